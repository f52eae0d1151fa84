//! Patterns that were compiled, so that each is compiled once, wherever and however often its text is met.

use std::collections::HashMap;

use entry_model::Pattern;

use crate::bounds::PatternError;
use crate::engine::compile_sized;

/// Bytes of programs that are kept: of some thousand patterns.
const MOST_BYTES: usize = 8 << 20;

/// Patterns by their texts. All go when there are too many: those that are in use stay with whoever uses them.
#[derive(Debug, Default)]
pub struct CompiledPatterns {
    patterns: HashMap<Box<str>, Pattern>,
    bytes: usize,
}

impl CompiledPatterns {
    /// The pattern of a text.
    ///
    /// # Errors
    /// As [`crate::compile`].
    pub fn get(&mut self, text: &str) -> Result<Pattern, PatternError> {
        if let Some(pattern) = self.patterns.get(text) {
            return Ok(pattern.clone());
        }
        let (pattern, bytes) = compile_sized(text)?;
        if self.bytes + bytes > MOST_BYTES {
            self.patterns.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.patterns.insert(text.into(), pattern.clone());
        Ok(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri takes hours for it")]
    fn patterns_are_kept_up_to_a_bound() {
        let (mut patterns, mut most) = (CompiledPatterns::default(), 0);
        for number in 0..2_000 {
            let text = format!("^/shop-{number}/[a-z]{{300}}(/|$)(.*)");
            let pattern = patterns.get(&text).expect("a pattern");
            assert_eq!(pattern.text(), text);
            assert!(patterns.bytes <= MOST_BYTES && patterns.patterns.contains_key(&*text));
            most = most.max(patterns.patterns.len());
        }
        assert!((200..2_000).contains(&most), "{most}");
        assert_eq!(patterns.get("(a+)+"), Err(PatternError::Nested));
    }
}
