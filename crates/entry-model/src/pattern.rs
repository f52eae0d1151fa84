//! Regular expressions, without an engine.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What runs a regular expression. It takes time that is linear in the text: a pattern and the text that it is run on are
/// both of strangers. Texts are bytes: what clients send need not be UTF-8.
pub trait PatternEngine: fmt::Debug + Send + Sync {
    /// Whether it matches anywhere in the text; `^` and `$` bind it to the text's ends.
    fn is_match(&self, text: &[u8]) -> bool;

    /// What its first match in the text becomes, the rest of the text as it is: [`template_parts`] says what a template stands for.
    /// Without a match the text is returned as it is.
    fn replace(&self, text: &[u8], template: &str) -> Vec<u8>;

    /// At most how many steps it takes to run it on the text: whoever runs many counts them. 0 if that is not known.
    fn most_steps(&self, text: &[u8]) -> u64 {
        let _ = text;
        0
    }
}

/// A part of a template for what a pattern matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplatePart<'a> {
    /// This text.
    Text(&'a str),
    /// What the group of this number matched, 0 to 9; nothing if it matched nothing, or if there is none.
    Group(u8),
}

/// The parts of a template: `$1` stands for the first group, `$0` for the whole match, `$$` for a dollar. A dollar before anything
/// else is itself.
pub fn template_parts(template: &str) -> impl Iterator<Item = TemplatePart<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        let (part, after) = first_part(rest)?;
        rest = after;
        Some(part)
    })
}

fn first_part(text: &str) -> Option<(TemplatePart<'_>, &str)> {
    let Some(after) = text.strip_prefix('$') else {
        let end = text.find('$').unwrap_or(text.len());
        return (end > 0).then(|| (TemplatePart::Text(&text[..end]), &text[end..]));
    };
    match after.as_bytes().first() {
        Some(digit @ b'0'..=b'9') => Some((TemplatePart::Group(digit - b'0'), &after[1..])),
        Some(b'$') => Some((TemplatePart::Text("$"), &after[1..])),
        _ => Some((TemplatePart::Text("$"), after)),
    }
}

/// A regular expression that an engine has taken. The model has none of its own: whoever reads objects brings one, and whoever
/// serves may bring another that matches the same.
///
/// Two are the same if their texts are.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    written: Arc<str>,
    is_first: bool,
    engine: Arc<dyn PatternEngine>,
}

impl Pattern {
    /// A pattern of this text, which the engine was made of.
    pub fn new(text: &str, engine: Arc<dyn PatternEngine>) -> Self {
        let text: Arc<str> = text.into();
        Self { written: Arc::clone(&text), text, is_first: false, engine }
    }

    /// The same, which its object has written so, without what says how it is to be understood.
    #[must_use]
    pub fn written_as(self, written: &str) -> Self {
        Self { written: written.into(), ..self }
    }

    /// The same, which is tried before all else.
    #[must_use]
    pub fn placed_first(self) -> Self {
        Self { is_first: true, ..self }
    }

    /// Whether it is tried before all else, exact paths among that.
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// Its text, of which the engine was made.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its text as its object has written it.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// As [`PatternEngine::is_match`].
    pub fn is_match(&self, text: impl AsRef<[u8]>) -> bool {
        self.engine.is_match(text.as_ref())
    }

    /// As [`PatternEngine::replace`].
    pub fn replace(&self, text: impl AsRef<[u8]>, template: &str) -> Vec<u8> {
        self.engine.replace(text.as_ref(), template)
    }

    /// As [`PatternEngine::most_steps`].
    pub fn most_steps(&self, text: impl AsRef<[u8]>) -> u64 {
        self.engine.most_steps(text.as_ref())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
