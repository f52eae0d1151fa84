//! Further names of hosts, of which nginx's `server_name` knows regular expressions too: those that stand for a few names and wildcards are
//! taken as these.

use entry_model::HostName;

use crate::host::parse_host;
use crate::verdict_draft::quoted;

/// Most names that an expression may stand for.
const MOST_NAMES: usize = 16;

/// Longest expression, in bytes.
const LONGEST: usize = 512;

/// Reads a further name: a host, or a regular expression, which begins with `~`.
///
/// # Errors
/// What is wrong with it and what to write, in a sentence.
pub fn parse_alias(text: &str) -> Result<Vec<HostName>, String> {
    let Some(pattern) = text.strip_prefix('~') else { return Ok(vec![parse_host(text)?]) };
    let names = names_of(pattern).ok_or_else(|| {
        format!(
            "The host {} is a regular expression that stands for other names than a few, so it cannot be used; write the names, or a wildcard such \
             as `*.example.com`, with commas between them",
            quoted(text)
        )
    })?;
    names.iter().map(|name| parse_host(name)).collect()
}

/// The names that an expression stands for, with `*` in front for whatever is below one.
fn names_of(pattern: &str) -> Option<Vec<String>> {
    let inner = pattern.trim().strip_prefix('^')?.strip_suffix('$')?;
    if inner.len() > LONGEST {
        return None;
    }
    let mut reader = PatternReader { rest: inner };
    // Beside a `|` out here the anchors would be of one side each.
    let names = reader.sequence(0)?;
    (reader.rest.is_empty() && names.iter().all(|name| is_name(name))).then_some(names)
}

/// Whether it has no `*`, or one that stands for whole labels in front.
fn is_name(name: &str) -> bool {
    !name.strip_prefix("*.").unwrap_or(name).contains('*')
}

/// An expression that is read from its beginning.
struct PatternReader<'a> {
    rest: &'a str,
}

impl PatternReader<'_> {
    fn take(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Texts with `|` between them, up to the end or a `)`.
    fn alternatives(&mut self, depth: usize) -> Option<Vec<String>> {
        const DEEPEST: usize = 4;
        if depth > DEEPEST {
            return None;
        }
        let mut all = self.sequence(depth)?;
        while self.take("|") {
            all.extend(self.sequence(depth)?);
        }
        (all.len() <= MOST_NAMES).then_some(all)
    }

    /// Parts that follow each other.
    fn sequence(&mut self, depth: usize) -> Option<Vec<String>> {
        let mut all = vec![String::new()];
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            let part = self.part(depth)?;
            let joined = all.iter().flat_map(|before| part.iter().map(move |after| [&**before, after].concat()));
            all = joined.collect();
            if all.len() > MOST_NAMES {
                return None;
            }
        }
        Some(all)
    }

    /// A character, anything, or a group.
    fn part(&mut self, depth: usize) -> Option<Vec<String>> {
        // Labels are told apart by dots alone, so one of anything is one, or several.
        if [".+", ".*", "[^.]+", "[^\\.]+"].iter().any(|anything| self.take(anything)) {
            return Some(vec!["*".to_owned()]);
        }
        let part = if self.take("(") {
            self.skip_name()?;
            let all = self.alternatives(depth + 1)?;
            self.take(")").then_some(all)?
        } else if self.take("\\.") || self.take("[.]") {
            vec![".".to_owned()]
        } else {
            let char = self.rest.chars().next().filter(|char| char.is_ascii_alphanumeric() || *char == '-')?;
            self.rest = &self.rest[1..];
            vec![char.to_string()]
        };
        if self.take("?") {
            return Some([part, vec![String::new()]].concat());
        }
        let is_repeated = self.rest.starts_with(['*', '+', '{', '?']);
        (!is_repeated).then_some(part)
    }

    /// What says how a group is called, or that it is not.
    fn skip_name(&mut self) -> Option<()> {
        if self.take("?:") {
            return Some(());
        }
        if self.take("?<") || self.take("?P<") {
            let (name, rest) = self.rest.split_once('>')?;
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            self.rest = rest;
            return is_name.then_some(());
        }
        (!self.rest.starts_with('?')).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expression_of_a_few_names_stands_for_these() {
        for (text, expected) in [
            ("a.example", &["a.example"][..]),
            ("*.a.example", &["*.a.example"]),
            (r"~^a\.example$", &["a.example"]),
            (r"~^(www\.)?A\.example$", &["www.a.example", "a.example"]),
            (
                r"~^(?:a|b-1)\.example\.(com|org)$",
                &["a.example.com", "a.example.org", "b-1.example.com", "b-1.example.org"],
            ),
            (r"~^.+\.a\.example$", &["*.a.example"]),
            (r"~^(?<tenant>[^.]+)\.a[.]example$", &["*.a.example"]),
            (r"~^(.*\.)?a\.example$", &["*.a.example", "a.example"]),
        ] {
            let hosts = parse_alias(text).unwrap_or_else(|message| panic!("{text}: {message}"));
            assert_eq!(hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn other_expressions_are_told() {
        let many = format!("~^({})\\.a\\.example$", (0..17).map(|n| format!("a{n}")).collect::<Vec<_>>().join("|"));
        let deep = format!("~^{}a{}\\.example$", "(".repeat(9), ")".repeat(9));
        let long = format!("~^{}\\.example$", "a".repeat(600));
        for text in [
            r"~a\.example",
            r"~^a\.example",
            r"~a\.example$",
            r"~^a.example$",
            r"~^www\d+\.a\.example$",
            r"~^[a-z]+\.a\.example$",
            r"~^a+\.example$",
            r"~^(a\.){2}example$",
            r"~^.+a\.example$",
            r"~^a\.(.+)\.example$",
            r"~^(?=a)a\.example$",
            r"~^(?!a)b\.example$",
            r"~^(a\.example$",
            r"~^a)\.example$",
            r"~^a\.example\z$",
            r"~^a\.example|b\.example$",
            "~^$",
            "~",
            "~^(|)$",
            "~^.+$",
            "*a.example",
            &many,
            &deep,
            &long,
        ] {
            assert!(parse_alias(text).is_err(), "{text}");
        }
    }
}
