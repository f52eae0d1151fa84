//! Since when there is a newer configuration than the one in force.

use std::collections::VecDeque;
use std::time::Instant;

/// How many are kept apart; of more, the newest counts from when the one before it was made.
const LIMIT: usize = 64;

/// The configurations that were made since the one in force, in order.
#[derive(Debug, Default)]
pub struct PendingConfigurations {
    live: Option<String>,
    waiting: VecDeque<(Option<String>, Instant)>,
}

impl PendingConfigurations {
    /// A configuration of this hash was made, or none could be. The one that was made last before, or is in force, is no news.
    pub fn note_rendered(&mut self, hash: Option<&str>) {
        let newest = self.waiting.back().map_or(self.live.as_deref(), |(hash, _)| hash.as_deref());
        if newest == hash && (hash.is_some() || !self.waiting.is_empty()) {
            return;
        }
        let full = self.waiting.len() == LIMIT;
        let since = if full { self.waiting.pop_back().map(|(_, since)| since) } else { None };
        self.waiting.push_back((hash.map(str::to_owned), since.unwrap_or_else(Instant::now)));
    }

    /// This one is in force: it and what was made before it is no longer waited for.
    pub fn note_live(&mut self, hash: Option<&str>) {
        let Some(hash) = hash else { return };
        if let Some(at) = self.waiting.iter().rposition(|(made, _)| made.as_deref() == Some(hash)) {
            self.waiting.drain(..=at);
        }
        self.live = Some(hash.to_owned());
    }

    /// Since when the newest is not in force; none if it is.
    pub fn since(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, since)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_time_counts_from_oldest_configuration_newer_than_live_one() {
        let mut pending = PendingConfigurations::default();
        assert_eq!(pending.since(), None);
        pending.note_rendered(Some("a"));
        let a = pending.since();
        assert!(a.is_some());
        pending.note_rendered(Some("a"));
        pending.note_rendered(Some("b"));
        assert_eq!(pending.since(), a);
        pending.note_live(Some("a"));
        let b = pending.since();
        assert!(b > a);
        pending.note_live(Some("a"));
        pending.note_live(None);
        assert_eq!(pending.since(), b);
        pending.note_live(Some("b"));
        pending.note_rendered(Some("b"));
        assert_eq!(pending.since(), None);
    }

    #[test]
    fn failed_rendering_is_pending_until_a_newer_one_is_live() {
        let mut pending = PendingConfigurations::default();
        pending.note_rendered(None);
        let failed = pending.since();
        assert!(failed.is_some());
        pending.note_rendered(None);
        pending.note_rendered(Some("a"));
        assert_eq!(pending.since(), failed);
        pending.note_live(Some("a"));
        assert_eq!(pending.since(), None);
        // Back to what is in force, after a failure.
        pending.note_rendered(None);
        pending.note_rendered(Some("a"));
        pending.note_live(Some("a"));
        assert_eq!(pending.since(), None);
    }

    #[test]
    fn pending_configurations_are_bounded() {
        let mut pending = PendingConfigurations::default();
        for number in 0..1000 {
            pending.note_rendered(Some(&number.to_string()));
        }
        assert!(pending.waiting.len() <= LIMIT);
        pending.note_live(Some("999"));
        assert_eq!(pending.since(), None);
    }
}
