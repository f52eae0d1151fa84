//! How large a pattern may be, and how often it may try again.

use regex_syntax::hir::{Capture, Class, Hir, HirKind, Look, Repetition};
use thiserror::Error;

/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 512;

/// How many bytes and classes it may stand for, once what is repeated a number of times is written out.
const MAX_STEPS: u64 = 1000;

/// How many of its parts may be repeated without an end: each multiplies what an engine that goes back may have to try.
const MAX_UNBOUNDED: u64 = 6;

/// Highest number of a group: templates have one digit for it.
const MAX_GROUPS: u32 = 9;

/// Why a pattern is rejected: what is wrong, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Its text is too long.
    #[error("it is longer than 512 bytes; write a shorter one")]
    Long,
    /// It has characters that a client encodes.
    #[error("it has characters beyond ASCII or blanks, which clients send encoded; match them with `[^/]+`")]
    NotAscii,
    /// It cannot be read.
    #[error("it is no regular expression; correct it")]
    Syntax,
    /// It looks around or refers back.
    #[error(
        "it looks ahead, looks behind or refers back to a group, which takes more than linear time; write rules for each of \
         the paths instead"
    )]
    LookAround,
    /// It has more groups than templates can name.
    #[error("it has more than 9 groups; write `(?:` for those that are not used")]
    Groups,
    /// It stands for too much once its counted repetitions are written out.
    #[error("it is too large when its repetitions are written out; write `*` or `+` instead of high numbers")]
    Large,
    /// Something is repeated in which something is repeated without an end.
    #[error("it repeats a part that repeats without an end itself, which may take very long; write one repetition")]
    Nested,
    /// It repeats too many parts without an end.
    #[error("it has more than 6 parts that are repeated without an end; write fewer `*` and `+`")]
    Unbounded,
}

/// What a part of a pattern costs.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    steps: u64,
    unbounded: u64,
}

impl Cost {
    fn add(self, other: Self) -> Self {
        Self {
            steps: self.steps.saturating_add(other.steps),
            unbounded: self.unbounded.saturating_add(other.unbounded),
        }
    }
}

/// Checks that a pattern is within the bounds, and has nothing but what both engines understand alike.
pub fn check(hir: &Hir) -> Result<(), PatternError> {
    let Cost { steps, unbounded } = cost(hir)?;
    if hir.properties().explicit_captures_len() > MAX_GROUPS as usize {
        Err(PatternError::Groups)
    } else if steps > MAX_STEPS {
        Err(PatternError::Large)
    } else if unbounded > MAX_UNBOUNDED {
        Err(PatternError::Unbounded)
    } else {
        Ok(())
    }
}

fn cost(hir: &Hir) -> Result<Cost, PatternError> {
    let of_all = |parts: &[Hir]| parts.iter().try_fold(Cost::default(), |all, part| Ok(all.add(cost(part)?)));
    match hir.kind() {
        HirKind::Empty => Ok(Cost::default()),
        HirKind::Look(Look::Start | Look::End | Look::WordAscii | Look::WordAsciiNegate) => Ok(Cost::default()),
        // What is about lines: no value here has any.
        HirKind::Look(_) => Err(PatternError::Syntax),
        HirKind::Literal(literal) => Ok(Cost { steps: literal.0.len() as u64, unbounded: 0 }),
        HirKind::Class(Class::Unicode(class)) if !class.is_ascii() => Err(PatternError::NotAscii),
        HirKind::Class(_) => Ok(Cost { steps: 1, unbounded: 0 }),
        HirKind::Repetition(Repetition { min, max, sub, .. }) => repeated(cost(sub)?, *min, *max),
        HirKind::Capture(Capture { sub, .. }) => cost(sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => of_all(parts),
    }
}

fn repeated(sub: Cost, min: u32, max: Option<u32>) -> Result<Cost, PatternError> {
    if sub.unbounded > 0 && max.is_none_or(|max| max > 1) {
        return Err(PatternError::Nested);
    }
    let times = u64::from(max.unwrap_or(min.max(1)));
    let unbounded = sub.unbounded + u64::from(max.is_none());
    Ok(Cost { steps: sub.steps.max(1).saturating_mul(times), unbounded })
}
