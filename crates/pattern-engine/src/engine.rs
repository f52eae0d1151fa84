//! A pattern that is within the bounds, and the engine that runs it.

use std::sync::Arc;

use entry_model::Pattern;
use regex_automata::nfa::thompson;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::bounds::{self, MAX_PATTERN_BYTES, PatternError};
use crate::linear::LinearEngine;

/// How much memory its program may take, in bytes. A worker of nginx has those of all patterns that its requests have led to.
const MAX_PROGRAM_BYTES: usize = 1 << 17;

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

/// What each text begins with that a pattern matches: of each byte both forms, where case does not count. Empty for one that can
/// match elsewhere than at the beginning.
fn literal_beginning(hir: &Hir) -> Box<[[u8; 2]]> {
    let HirKind::Concat(parts) = hir.kind() else { return Box::default() };
    let Some((HirKind::Look(Look::Start), parts)) = parts.split_first().map(|(first, rest)| (first.kind(), rest))
    else {
        return Box::default();
    };
    let mut beginning = Vec::new();
    for part in parts {
        match part.kind() {
            HirKind::Literal(literal) => beginning.extend(literal.0.iter().map(|byte| [*byte; 2])),
            HirKind::Class(Class::Bytes(class)) => match class.ranges() {
                [one, other] if one.len() == 1 && other.len() == 1 => beginning.push([one.start(), other.start()]),
                _ => break,
            },
            _ => break,
        }
    }
    beginning.into()
}

/// A pattern with an engine that takes time linear in what it is run on.
///
/// # Errors
/// As [`BoundedPattern::parse`], or its program is too large.
pub fn compile(text: &str) -> Result<Pattern, PatternError> {
    compile_sized(text).map(|(pattern, _)| pattern)
}

/// The same, and the bytes of its program.
pub(crate) fn compile_sized(text: &str) -> Result<(Pattern, usize), PatternError> {
    let BoundedPattern { hir } = BoundedPattern::parse(text)?;
    let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(MAX_PROGRAM_BYTES));
    let program = thompson::Compiler::new().configure(config).build_from_hir(&hir).map_err(|_| PatternError::Large)?;
    let bytes = program.memory_usage();
    let engine = LinearEngine::new(program, literal_beginning(&hir)).ok_or(PatternError::Large)?;
    Ok((Pattern::new(text, Arc::new(engine)), bytes))
}
