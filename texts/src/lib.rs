//! What a source says to people: its string literals that are words, as one paragraph for each item.
//!
//! Texts come to users on many ways (problems, findings, errors, log lines, half sentences that others are put together of),
//! and no list of those ways would stay complete. So every literal of two words or more counts, wherever it goes; a few places
//! that say nothing to a user are left out by name.

mod format;

use proc_macro2::{Delimiter, Group, Literal, TokenStream, TokenTree};

/// Macros and methods whose words only a programmer meets.
const SILENT: [&str; 7] = ["assert", "assert_eq", "assert_ne", "debug_assert", "expect", "panic", "unreachable"];
/// Functions whose words are in `openapi/`.
const ELSEWHERE: &str = "endpoints";
/// Types whose variants say what kind of text follows.
const KINDS: [&str; 6] = ["KeptReason", "Kind", "Obstacle", "Reason", "Severity", "State"];
/// Methods that say which part of a problem their argument is.
const PARTS: [&str; 2] = ["cause", "correction"];
/// The calls, such as `Problem::field`, of which also single words are texts.
const TERSE: [&str; 2] = ["field", "field_conflict"];
/// What only texts for nginx have.
const NGINX: [&str; 4] = ["(?", "\"$", "~^", "~*"];

/// What an item says, line by line, in its order.
pub type Paragraph = Vec<String>;

/// The paragraphs of a source, without those of its tests.
///
/// # Errors
/// The source is no Rust.
pub fn paragraphs(source: &str) -> Result<Vec<Paragraph>, proc_macro2::LexError> {
    let mut all = Vec::new();
    items(source.parse()?, &mut all);
    Ok(all)
}

fn items(stream: TokenStream, all: &mut Vec<Paragraph>) {
    let mut item = Vec::new();
    for token in stream {
        let end = match &token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        };
        item.push(token);
        if end {
            take(&std::mem::take(&mut item), all);
        }
    }
}

fn take(item: &[TokenTree], all: &mut Vec<Paragraph>) {
    let names: Vec<String> = item.iter().filter_map(ident).collect();
    let is_test = item.iter().any(|token| matches!(token, TokenTree::Group(group) if is_for_tests(group)));
    let inner = names.iter().find(|name| matches!(name.as_str(), "fn" | "impl" | "mod" | "trait"));
    if is_test || names.windows(2).any(|pair| pair[0] == "fn" && pair[1] == ELSEWHERE) {
        return;
    }
    match (inner.map(String::as_str), item.last()) {
        (Some("impl" | "mod" | "trait"), Some(TokenTree::Group(group))) => items(group.stream(), all),
        _ => {
            let mut paragraph = Paragraph::new();
            words(item, "", true, &mut paragraph);
            all.extend((!paragraph.is_empty()).then_some(paragraph));
        }
    }
}

/// Whether it is the part of an attribute that lets what follows be there in tests only.
fn is_for_tests(group: &Group) -> bool {
    group.delimiter() == Delimiter::Bracket && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// The words among some tokens. `part`: which part of a problem they are, or of which kind, if that is known; `braced`: whether
/// commas end what it is known of.
fn words(tokens: &[TokenTree], part: &str, braced: bool, said: &mut Paragraph) {
    let mut kind = part.to_owned();
    for (at, token) in tokens.iter().enumerate() {
        let before = |n: usize| at.checked_sub(n).map(|at| &tokens[at]);
        match token {
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                let is = |n: usize, mark: char| before(n).is_some_and(|token| is_mark(token, mark));
                let attribute = group.delimiter() == Delimiter::Bracket && (is(1, '#') || (is(1, '!') && is(2, '#')));
                let name = if attribute { inner.first() } else { before(if is(1, '!') { 2 } else { 1 }) };
                let name = name.and_then(ident).unwrap_or_default();
                // Of attributes only those that say how an error is printed.
                if SILENT.contains(&name.as_str()) || (attribute && name != "error") {
                    continue;
                }
                let names_part = PARTS.contains(&name.as_str()) || (TERSE.contains(&name.as_str()) && is(2, ':'));
                let part = if names_part { &name } else { &kind };
                match (attribute, inner.get(1)) {
                    (true, Some(TokenTree::Group(text))) => words(&format::filled(text), part, false, said),
                    _ if is(1, '!') => words(&format::filled(group), part, false, said),
                    _ => words(&inner, part, group.delimiter() == Delimiter::Brace, said),
                }
            }
            TokenTree::Literal(literal) => {
                let text = text(literal).filter(|text| TERSE.contains(&part) || is_words(text));
                let colon = if kind.is_empty() { "" } else { ": " };
                said.extend(text.map(|text| format!("{kind}{colon}{}", shown(&text))));
            }
            TokenTree::Ident(name) => {
                let of = before(3).and_then(ident).filter(|of| KINDS.contains(&of.as_str()));
                if of.is_some() && before(1).is_some_and(|token| is_mark(token, ':')) {
                    kind = name.to_string();
                }
            }
            TokenTree::Punct(_) => {
                if is_mark(token, ';') || (braced && is_mark(token, ',')) {
                    part.clone_into(&mut kind);
                }
            }
        }
    }
}

/// Whether it is two words or more, of which one is no place.
fn is_words(text: &str) -> bool {
    let letters = |piece: &String| piece.split(|c: char| !c.is_alphabetic()).any(|run| run.chars().count() > 1);
    text.trim().contains(char::is_whitespace)
        && between_places(text).iter().any(letters)
        && !NGINX.iter().any(|mark| text.contains(mark))
}

/// Whether some text has all of a line of a paragraph, in its order and with its places filled.
pub fn is_in(line: &str, text: &str) -> bool {
    let said = |mark: &str| mark.chars().all(char::is_alphabetic);
    let line = line.split_once(": ").filter(|(mark, _)| said(mark)).map_or(line, |(_, line)| line);
    let mut rest = Some(text);
    for piece in between_places(line).iter().filter(|piece| !piece.trim().is_empty()) {
        rest = rest.and_then(|rest| Some(rest.split_once(piece.as_str())?.1));
    }
    rest.is_some()
}

/// What is before, between and after the places of a text.
fn between_places(text: &str) -> Vec<String> {
    let (mut depth, mut pieces, mut piece) = (0_u32, Vec::new(), String::new());
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                pieces.push(std::mem::take(&mut piece));
            }
            c if depth == 0 => piece.push(c),
            _ => {}
        }
    }
    pieces.push(piece);
    pieces
}

/// On one line.
fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn text(literal: &Literal) -> Option<String> {
    match syn::Lit::new(literal.clone()) {
        syn::Lit::Str(text) => Some(text.value()),
        _ => None,
    }
}

fn ident(token: &TokenTree) -> Option<String> {
    if let TokenTree::Ident(ident) = token { Some(ident.to_string()) } else { None }
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_they_are_and_in_order() {
        let source = r#"
            const LATER: &str = "try again \
                                 later";
            impl Image {
                /// A comment is no text.
                fn busy(&self) -> Problem {
                    assert!(self.open, "no user sees this");
                    let detail = format!("Image {:?} is {state}.", self.name, state = shown(self.state));
                    Problem::new(Kind::InUse, detail).cause("It is open.").correction(close("the image"));
                    Problem::field("size", "missing", "a number")
                }
            }
            enum Error { #[error("no {} here", what.name())] Missing { what: Object } }
            #[cfg(test)]
            mod tests { const OF_A_TEST: &str = "not this"; }
        "#;
        let busy = [
            "Image {self.name:?} is {shown(self.state)}.",
            "cause: It is open.",
            "correction: the image",
            "field: size",
            "field: missing",
            "field: a number",
        ];
        let expected: [&[&str]; 3] = [&["try again later"], &busy, &["no {what.name()} here"]];
        assert_eq!(paragraphs(source).unwrap(), expected);
    }

    #[test]
    fn a_text_is_in_what_fills_its_places() {
        let line = "Exists: The path {quoted(path)} of {host} is taken";
        assert!(is_in(line, "Conflicted: The path \"/a\" of b.example is taken by c"));
        assert!(!is_in(line, "The path \"/a\" is taken, and that of b.example"));
    }
}
