//! Which clients are answered 403, whatever they ask for.

use ipnet::IpNet;

use crate::token::{Pattern, Token};
use crate::writer::{Directive, case, constant, constant_block, directive, entry, map};

/// Longest text of a pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 200;
/// Most alternatives of one pattern.
const MAX_ALTERNATIVES: usize = 50;

/// Which clients are answered 403.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// Those of these addresses, whatever a route says.
    pub blocked: Vec<IpNet>,
    /// Those whose `User-Agent` is one of these.
    pub user_agents: Vec<TextPattern>,
    /// Those whose `Referer` is one of these.
    pub referers: Vec<TextPattern>,
    /// All but those of these addresses, where a route says nothing else; nobody if there are none.
    pub allowed: Vec<IpNet>,
    /// Those of these addresses, where a route says nothing else.
    pub denied: Vec<IpNet>,
}

/// A pattern of a header. It is a list of alternatives, each of texts with anything between them, so that the time to look for it grows
/// with the length of the header only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPattern {
    ignores_case: bool,
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    at_start: bool,
    at_end: bool,
    /// In their order, with anything between them; `None` in one stands for any character.
    pieces: Vec<Vec<Option<char>>>,
}

impl TextPattern {
    /// Reads a pattern: `~*` or `~` and an expression (the first ignores case), else the whole text of the header, without regard to
    /// case. Of expressions there are texts, `.`, `.*`, `\` before a sign, `^`, `$`, and `|` between alternatives, which may stand in
    /// one pair of parentheses.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > MAX_PATTERN_BYTES || text.chars().any(char::is_control) {
            return None;
        }
        let Some(expression) = text.strip_prefix('~') else {
            let whole = Alternative { at_start: true, at_end: true, pieces: vec![text.chars().map(Some).collect()] };
            return Some(Self { ignores_case: true, alternatives: vec![whole] });
        };
        let ignores_case = expression.starts_with('*');
        let expression = expression.strip_prefix('*').unwrap_or(expression);
        let inner = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let alternatives: Option<Vec<_>> =
            split_alternatives(inner.unwrap_or(expression)).map(parse_alternative).collect();
        let alternatives = alternatives.filter(|all| all.len() <= MAX_ALTERNATIVES)?;
        Some(Self { ignores_case, alternatives })
    }

    fn cases(&self) -> impl Iterator<Item = Directive<'static>> {
        let begin = if self.ignores_case { "~*" } else { "~" };
        self.alternatives.iter().filter_map(move |one| Some(entry(one.token(begin)?).words(["1"])))
    }
}

/// Cuts at each `|` that no `\` stands before.
fn split_alternatives(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |char| {
        let is_cut = char == '|' && !escaped;
        escaped = char == '\\' && !escaped;
        is_cut
    })
}

fn parse_alternative(text: &str) -> Option<Alternative> {
    let at_start = text.starts_with('^');
    let mut chars = text.strip_prefix('^').unwrap_or(text).chars().peekable();
    let (mut pieces, mut piece, mut at_end) = (Vec::new(), Vec::new(), false);
    while let Some(char) = chars.next() {
        match char {
            '$' if chars.peek().is_none() => at_end = true,
            '\\' => piece.push(Some(chars.next().filter(char::is_ascii_punctuation)?)),
            '.' if chars.next_if_eq(&'*').is_some() => pieces.push(std::mem::take(&mut piece)),
            '.' => piece.push(None),
            '*' | '+' | '?' | '[' | ']' | '(' | ')' | '{' | '}' | '^' | '$' => return None,
            other => piece.push(Some(other)),
        }
    }
    pieces.push(piece);
    // Anything before the first piece, or behind the last one, is what an end that is open says.
    let at_start = at_start && pieces.first().is_some_and(|first| !first.is_empty());
    let at_end = at_end && pieces.last().is_some_and(|last| !last.is_empty());
    pieces.retain(|piece| !piece.is_empty());
    (!pieces.is_empty()).then_some(Alternative { at_start, at_end, pieces })
}

impl Alternative {
    /// Each piece is looked for from the end of the one before it on, and never again once it is found: the first place is as good
    /// as any.
    fn token(&self, begin: &'static str) -> Option<Token> {
        let mut pattern = Pattern::default().own(begin).own("^");
        let last = self.pieces.len() - 1;
        for (index, piece) in self.pieces.iter().enumerate() {
            let is_fixed = index == 0 && self.at_start;
            let is_last_at_end = index == last && self.at_end;
            pattern = pattern.own(match (is_fixed, is_last_at_end) {
                (true, _) => "(?:",
                // The last one must be at the end: all places are looked at.
                (false, true) => "(?:.*?",
                (false, false) => "(?>.*?",
            });
            for char in piece {
                pattern = match char {
                    Some(char) => pattern.literal(char.encode_utf8(&mut [0; 4])),
                    None => pattern.own("."),
                };
            }
            pattern = pattern.own(")");
        }
        pattern.own(if self.at_end { "$" } else { "" }).token()
    }
}

static BLOCKED_ARGUMENTS: [Token; 1] = [Token::word("($sparrow_is_blocked)")];
static FORBIDDEN_ARGUMENTS: [Token; 1] = [Token::word("403")];
static FORBIDDEN: [Directive<'static>; 1] = [constant("return", &FORBIDDEN_ARGUMENTS)];

impl ClientFilter {
    fn blocks(&self) -> bool {
        !(self.blocked.is_empty() && self.user_agents.is_empty() && self.referers.is_empty())
    }

    /// What is at the level of `http`.
    pub(crate) fn directives(&self) -> Vec<Directive<'static>> {
        let mut all = Vec::new();
        if self.blocks() {
            let blocked = self.blocked.iter().flat_map(halves).map(|net| entry(Token::net(net)).words(["1"]));
            all.push(
                directive("geo")
                    .words(["$remote_addr", "$sparrow_blocked_address"])
                    .block([case("default", "0")].into_iter().chain(blocked).collect::<Vec<_>>()),
            );
            for (source, name, patterns) in [
                ("$http_user_agent", "$sparrow_blocked_user_agent", &self.user_agents),
                ("$http_referer", "$sparrow_blocked_referer", &self.referers),
            ] {
                let cases = patterns.iter().flat_map(TextPattern::cases);
                all.push(map(source, name, [case("default", "0")].into_iter().chain(cases).collect()));
            }
            let each = "\"$sparrow_blocked_address$sparrow_blocked_user_agent$sparrow_blocked_referer\"";
            all.push(map(each, "$sparrow_is_blocked", vec![case("default", "1"), case("000", "0")]));
        }
        for (name, nets) in [("deny", &self.denied), ("allow", &self.allowed)] {
            all.extend(nets.iter().map(|net| directive(name).token(Token::net(*net))));
        }
        if !self.allowed.is_empty() {
            all.push(directive("deny").words(["all"]));
        }
        all
    }

    /// What a server needs.
    pub(crate) fn check(&self) -> Option<Directive<'static>> {
        self.blocks().then(|| constant_block("if", &BLOCKED_ARGUMENTS, &FORBIDDEN))
    }

    /// What the control server needs, whose client is this entry.
    pub(crate) fn exemption(&self) -> Option<Directive<'static>> {
        let restricts = !(self.allowed.is_empty() && self.denied.is_empty());
        restricts.then(|| directive("allow").words(["all"]))
    }
}

/// A range of addresses; of all addresses the halves, since the whole is what nginx takes `default` for.
pub fn halves(net: &IpNet) -> Vec<IpNet> {
    if net.prefix_len() > 0 { vec![*net] } else { net.subnets(1).map(Iterator::collect).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(text: &str) -> Option<Vec<String>> {
        let parsed = TextPattern::parse(text)?;
        let begin = if parsed.ignores_case { "~*" } else { "~" };
        Some(parsed.alternatives.iter().map(|one| one.token(begin).unwrap().as_str().to_owned()).collect())
    }

    #[test]
    fn pattern_is_texts_with_anything_between() {
        for (text, expected) in [
            ("curl/8", &[r#""~*^(?:curl/8)$""#][..]),
            ("~*bot", &[r#""~*^(?>.*?bot)""#]),
            ("~*.*bot.*", &[r#""~*^(?>.*?bot)""#]),
            ("~^a.*b$", &[r#""~^(?:a)(?:.*?b)$""#]),
            ("~*(wget|curl)", &[r#""~*^(?>.*?wget)""#, r#""~*^(?>.*?curl)""#]),
            (r"~a\|b.c", &[r#""~^(?>.*?a\\x7cb.c)""#]),
            ("default", &[r#""~*^(?:default)$""#]),
        ] {
            assert_eq!(patterns(text).unwrap(), expected, "{text}");
        }
        for text in [
            "", "~", "~*", "~(a|b)+", "~a+", "~[ab]", "~a{2}", "~(a)(b)", r"~\d", "~a\\", "~.*", "~a|", "a\nb",
            "~(?=a)",
        ] {
            assert_eq!(patterns(text), None, "{text}");
        }
        assert!(TextPattern::parse(&"a".repeat(MAX_PATTERN_BYTES + 1)).is_none());
    }
}
