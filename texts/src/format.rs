//! The places of a format string, filled with what is put there.

use proc_macro2::{Group, Literal, TokenStream, TokenTree};

/// An expression that is longer stands as `…`, in characters.
const LONGEST: usize = 48;

/// The arguments of a macro, the first of them that is a text with its places filled: `"{} of {pool:?}", image.name()` becomes
/// `"{image.name()} of {pool:?}"`. What is put there follows, since it may have words of its own.
pub(crate) fn filled(group: &Group) -> Vec<TokenTree> {
    let mut tokens: Vec<_> = group.stream().into_iter().collect();
    let comma = |token: &TokenTree| crate::is_mark(token, ',');
    let mut start = 0;
    for argument in tokens.split(comma) {
        let next = start + argument.len() + 1;
        if let [TokenTree::Literal(literal)] = argument
            && let Some(text) = crate::text(literal)
        {
            let rest = tokens.get(next..).unwrap_or_default();
            let values: Vec<_> = rest.split(comma).map(expression).collect();
            tokens[start] = Literal::string(&fill(&text, &values)).into();
            break;
        }
        start = next;
    }
    tokens
}

/// `values`: each with its name, if it has one.
fn fill(text: &str, values: &[(Option<String>, String)]) -> String {
    let (mut out, mut rest, mut next) = (String::new(), text, 0);
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        // A brace that stands for itself is written twice.
        if rest[at..].starts_with("{{") || rest[at..].starts_with("}}") {
            out.push_str(&rest[at..=at]);
            rest = &rest[at + 2..];
            continue;
        }
        let Some((place, after)) = rest[at + 1..].split_once('}') else { break };
        let (name, how) = place.split_once(':').map_or((place, ""), |(name, how)| (name, how));
        let value = match name {
            "" => {
                next += 1;
                values.get(next - 1)
            }
            name => values.iter().find(|(known, _)| known.as_deref() == Some(name)),
        };
        let value = value.map_or(name, |(_, value)| value);
        let colon = if how.is_empty() { "" } else { ":" };
        out.extend(["{", value, colon, how, "}"]);
        rest = after;
    }
    out + rest
}

/// An argument: its name, if it has one, and its value.
fn expression(tokens: &[TokenTree]) -> (Option<String>, String) {
    match tokens {
        [TokenTree::Ident(name), mark, value @ ..] if crate::is_mark(mark, '=') => {
            (Some(name.to_string()), compact(value))
        }
        value => (None, compact(value)),
    }
}

/// Without blanks but between words, and cut.
fn compact(tokens: &[TokenTree]) -> String {
    let printed = tokens.iter().cloned().collect::<TokenStream>().to_string();
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (mut out, mut chars) = (String::new(), printed.chars().peekable());
    while let Some(c) = chars.next() {
        if !c.is_whitespace() || (word(out.chars().last()) && word(chars.peek().copied())) {
            out.push(c);
        }
    }
    if out.chars().count() > LONGEST { "…".to_owned() } else { out }
}
