//! How long the patterns of one look-up may take together.
//!
//! Each takes time that is linear in the text, and in the pattern. But a host may have hundreds, and its owner may mean harm to the
//! others whose requests a worker has: what takes too long is given up, as nginx's own engine does it.

use entry_model::Pattern;

use crate::fault::Fault;

/// How many steps the patterns of one look-up may take, of some nanoseconds each.
const MOST_STEPS: u64 = 1 << 23;

/// What the patterns of one look-up have taken.
#[derive(Debug, Default)]
pub struct MatchWork {
    steps: u64,
}

impl MatchWork {
    /// Whether a pattern matches.
    pub fn is_match(&mut self, pattern: &Pattern, text: &[u8]) -> Result<bool, Fault> {
        self.steps = self.steps.saturating_add(pattern.most_steps(text));
        if self.steps > MOST_STEPS { Err(Fault::LongMatch) } else { Ok(pattern.is_match(text)) }
    }
}

/// Whether a pattern may be run on a text by itself.
pub fn may_run(pattern: &Pattern, text: &[u8]) -> bool {
    pattern.most_steps(text) <= MOST_STEPS
}
