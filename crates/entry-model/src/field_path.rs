//! Paths to fields of objects, as `kubectl explain` writes them.

use std::fmt;

/// A field of an object, such as `spec.rules[0].http.paths[1].path`: a chain from the field up to the object. It lives on the
/// stack of whoever reads the object, and becomes text only when there is something to report.
///
/// ```
/// # use entry_model::FieldPath;
/// let spec = FieldPath::root("spec");
/// let rule = spec.at("rules", 3);
/// assert_eq!(rule.field("http").at("paths", 0).to_string(), "spec.rules[3].http.paths[0]");
/// let annotations = FieldPath::root("metadata").field("annotations");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    /// The object itself.
    Object,
    Field(&'a str),
    Item(&'a str, usize),
    Key(&'a str),
}

/// Most characters of a text that are shown.
const MAX_SHOWN_CHARS: usize = 100;

impl<'a> FieldPath<'a> {
    /// The object as a whole; its text is empty.
    pub const OBJECT: FieldPath<'static> = FieldPath { parent: None, step: Step::Object };

    /// A field of the object itself.
    pub const fn root(name: &'a str) -> Self {
        Self { parent: None, step: Step::Field(name) }
    }

    /// A field of this field.
    #[must_use]
    pub const fn field<'b>(&'b self, name: &'b str) -> FieldPath<'b> {
        FieldPath { parent: Some(self), step: Step::Field(name) }
    }

    /// An item, counted from 0, of a list that is a field of this field.
    #[must_use]
    pub const fn at<'b>(&'b self, list: &'b str, index: usize) -> FieldPath<'b> {
        FieldPath { parent: Some(self), step: Step::Item(list, index) }
    }

    /// The value of a key, where this is a map.
    #[must_use]
    pub const fn key<'b>(&'b self, key: &'b str) -> FieldPath<'b> {
        FieldPath { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}")?;
        }
        // A key of a map stands in brackets behind it, and so does what follows the object itself.
        let begins = self.parent.is_none_or(|parent| matches!(parent.step, Step::Object));
        let dot = if begins { "" } else { "." };
        match self.step {
            Step::Object => Ok(()),
            Step::Field(name) => write!(f, "{dot}{name}"),
            Step::Item(list, index) => write!(f, "{dot}{list}[{index}]"),
            Step::Key(key) => write!(f, "[{}]", AbridgedText(key)),
        }
    }
}

/// Text of an object, for a message: on one line, with its beginning if it is longer than 100 characters.
#[derive(Debug, Clone, Copy)]
pub struct AbridgedText<'a>(pub &'a str);

impl fmt::Display for AbridgedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(MAX_SHOWN_CHARS).map(|(at, _)| at);
        let shown = &self.0[..end.unwrap_or(self.0.len())];
        write!(f, "{}{}", shown.escape_debug(), if end.is_some() { "…" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_written_as_kubernetes_does() {
        let (spec, metadata) = (FieldPath::root("spec"), FieldPath::root("metadata"));
        let rule = spec.at("rules", 3);
        for (text, expected) in [
            (FieldPath::OBJECT.to_string(), ""),
            (spec.to_string(), "spec"),
            (rule.field("host").to_string(), "spec.rules[3].host"),
            (rule.field("http").at("paths", 10).field("path").to_string(), "spec.rules[3].http.paths[10].path"),
            (
                rule.at("matches", 0).at("headers", 1).field("value").to_string(),
                "spec.rules[3].matches[0].headers[1].value",
            ),
            (metadata.field("annotations").key("a/b\n").to_string(), "metadata.annotations[a/b\\n]"),
            (FieldPath::OBJECT.field("spec").to_string(), "spec"),
        ] {
            assert_eq!(text, expected);
        }
        let long = "x".repeat(1000);
        assert!(metadata.key(&long).to_string().chars().count() < 130);
    }
}
