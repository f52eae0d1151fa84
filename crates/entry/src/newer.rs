//! Since when there is a newer configuration than the one in force.

use std::collections::VecDeque;
use std::time::Instant;

/// How many are told apart; of more, the newest counts from when the one before it was made.
const MOST: usize = 64;

/// The configurations that were made since the one in force, in order.
#[derive(Debug, Default)]
pub struct Newer {
    live: Option<String>,
    waiting: VecDeque<(Option<String>, Instant)>,
}

impl Newer {
    /// A configuration of this hash was made, or none could be. The one that was made last before, or is in force, is no news.
    pub fn made(&mut self, hash: Option<&str>) {
        let newest = self.waiting.back().map_or(self.live.as_deref(), |(hash, _)| hash.as_deref());
        if newest == hash && (hash.is_some() || !self.waiting.is_empty()) {
            return;
        }
        let full = self.waiting.len() == MOST;
        let since = if full { self.waiting.pop_back().map(|(_, since)| since) } else { None };
        self.waiting.push_back((hash.map(str::to_owned), since.unwrap_or_else(Instant::now)));
    }

    /// This one is in force: it and what was made before it is no longer waited for.
    pub fn live(&mut self, hash: Option<&str>) {
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
    fn it_counts_from_the_oldest_that_is_newer_than_what_is_in_force() {
        let mut newer = Newer::default();
        assert_eq!(newer.since(), None);
        newer.made(Some("a"));
        let a = newer.since();
        assert!(a.is_some());
        newer.made(Some("a"));
        newer.made(Some("b"));
        assert_eq!(newer.since(), a);
        newer.live(Some("a"));
        let b = newer.since();
        assert!(b > a);
        newer.live(Some("a"));
        newer.live(None);
        assert_eq!(newer.since(), b);
        newer.live(Some("b"));
        newer.made(Some("b"));
        assert_eq!(newer.since(), None);
    }

    #[test]
    fn what_cannot_be_made_is_waited_for_until_something_newer_is_in_force() {
        let mut newer = Newer::default();
        newer.made(None);
        let failed = newer.since();
        assert!(failed.is_some());
        newer.made(None);
        newer.made(Some("a"));
        assert_eq!(newer.since(), failed);
        newer.live(Some("a"));
        assert_eq!(newer.since(), None);
        // Back to what is in force, after a failure.
        newer.made(None);
        newer.made(Some("a"));
        newer.live(Some("a"));
        assert_eq!(newer.since(), None);
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let mut newer = Newer::default();
        for number in 0..1000 {
            newer.made(Some(&number.to_string()));
        }
        assert!(newer.waiting.len() <= MOST);
        newer.live(Some("999"));
        assert_eq!(newer.since(), None);
    }
}
