//! The room in the memory, and when what was replaced is room again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::allocator::Allocator;
use crate::layout::{AT_ROOT, Place, REUSE_AFTER};

/// The room in the memory.
#[derive(Debug)]
pub struct Space {
    allocator: Allocator,
    /// What was replaced, by the publication after which no reader begins with it.
    replaced: VecDeque<(u32, Place)>,
    /// The number of the newest publication.
    published: u32,
    /// The place of the newest root.
    root: Place,
    /// The serial of the blob that was written last.
    serial: u32,
}

/// The word of a root.
pub fn root_word(published: u32, place: Place) -> u64 {
    u64::from(published) << 32 | u64::from(place.0)
}

impl Space {
    /// All of so many units is free, and nothing is published.
    pub fn new(units: usize) -> Self {
        Self { allocator: Allocator::new(units), replaced: VecDeque::new(), published: 0, root: Place(0), serial: 0 }
    }

    /// Takes so many units; none if there are none, even with all that readers do not see any more.
    pub fn take(&mut self, words: &[AtomicU64], units: usize) -> Option<Place> {
        self.allocator.take(units).or_else(|| {
            self.reuse_all(words);
            self.allocator.take(units)
        })
    }

    /// Frees what no reader has seen.
    pub fn free(&mut self, place: Place) {
        self.allocator.free(place);
    }

    /// A number that no blob written lately has.
    pub fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// Frees what no reader sees any more.
    pub fn reuse(&mut self) {
        while let Some((last_seen, place)) = self.replaced.front().copied() {
            if self.published.wrapping_sub(last_seen) < REUSE_AFTER {
                break;
            }
            self.replaced.pop_front();
            self.allocator.free(place);
        }
    }

    /// Frees all that was replaced: readers are told by as many publications of the same, and those that are at it start over.
    fn reuse_all(&mut self, words: &[AtomicU64]) {
        if !self.replaced.is_empty() {
            self.publish_as(words, REUSE_AFTER, self.root);
            self.reuse();
        }
    }

    /// Publishes a root.
    pub fn publish(&mut self, words: &[AtomicU64], root: Place) {
        self.publish_as(words, 1, root);
    }

    /// Takes what the newest publication has replaced.
    pub fn replace(&mut self, places: Vec<Place>) {
        let last_seen = self.published.wrapping_sub(1);
        self.replaced.extend(places.into_iter().map(|place| (last_seen, place)));
    }

    /// How many units are taken.
    pub fn used(&self) -> usize {
        self.allocator.used()
    }

    /// Publishes a root, as so many publications.
    fn publish_as(&mut self, words: &[AtomicU64], count: u32, root: Place) {
        self.published = self.published.wrapping_add(count);
        self.root = root;
        if let Some(word) = words.get(AT_ROOT) {
            word.store(root_word(self.published, root), Ordering::Release);
        }
        // Whoever sees what is written from here on, sees this root too.
        fence(Ordering::Release);
    }
}
