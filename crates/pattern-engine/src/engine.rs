//! A pattern that is within the bounds, and the engine that runs it.

use std::sync::Arc;

use entry_model::{Pattern, PatternEngine, TemplatePart, template_parts};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

use crate::bounds::{self, MAX_PATTERN_BYTES, PatternError};

/// How much memory its program may take, in bytes.
const MAX_PROGRAM_BYTES: usize = 1 << 20;

/// A pattern that is within the bounds.
#[derive(Debug, Clone)]
pub struct BoundedPattern {
    pub(crate) hir: Hir,
}

impl BoundedPattern {
    /// Reads a pattern: the syntax of the crate `regex`, for bytes. `(?i)` at its front is for ASCII letters.
    ///
    /// # Errors
    /// It is out of the bounds, or has what engines of linear time do not have.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::Long);
        }
        // Nothing that is sent has these, so a pattern with them could match in one form only: decoded.
        if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(PatternError::NotAscii);
        }
        let mut parser = ParserBuilder::new().unicode(false).utf8(false).nest_limit(32).build();
        let hir = parser
            .parse(text)
            .map_err(|error| if is_look_around(&error) { PatternError::LookAround } else { PatternError::Syntax })?;
        bounds::check(&hir)?;
        Ok(Self { hir })
    }
}

fn is_look_around(error: &regex_syntax::Error) -> bool {
    use regex_syntax::ast::ErrorKind;
    let regex_syntax::Error::Parse(error) = error else { return false };
    matches!(error.kind(), ErrorKind::UnsupportedLookAround | ErrorKind::UnsupportedBackreference)
}

/// A pattern with an engine that takes time linear in what it is run on.
///
/// # Errors
/// As [`BoundedPattern::parse`].
pub fn compile(text: &str) -> Result<Pattern, PatternError> {
    BoundedPattern::parse(text)?;
    let mut builder = regex::bytes::RegexBuilder::new(text);
    let regex = builder.unicode(false).size_limit(MAX_PROGRAM_BYTES).build().map_err(|_| PatternError::Large)?;
    Ok(Pattern::new(text, Arc::new(LinearEngine(regex))))
}

/// The engine of the crate `regex`, on bytes.
#[derive(Debug)]
struct LinearEngine(regex::bytes::Regex);

impl PatternEngine for LinearEngine {
    fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }

    fn replace(&self, text: &str, template: &str) -> String {
        let bytes = text.as_bytes();
        let Some(captures) = self.0.captures(bytes) else { return text.to_owned() };
        let Some(whole) = captures.get(0) else { return text.to_owned() };
        let mut out = bytes[..whole.start()].to_vec();
        for part in template_parts(template) {
            match part {
                TemplatePart::Text(text) => out.extend_from_slice(text.as_bytes()),
                TemplatePart::Group(group) => {
                    out.extend_from_slice(captures.get(group.into()).map_or(b"", |group| group.as_bytes()));
                }
            }
        }
        out.extend_from_slice(&bytes[whole.end()..]);
        // A byte at which a group ends may be within a character.
        String::from_utf8_lossy(&out).into_owned()
    }
}
