//! Slots of routes that are gone are given to others.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;

use crate::counts::{RouteCounts, UsedSlot};

/// Finds out, sweep by sweep, which routes are gone. One that is absent twice in a row loses its slot, so that one which comes at
/// the same moment as a sweep does not; the slot is another's one sweep later, when no worker adds to it for the former.
#[derive(Debug, Default)]
pub struct CountsSweep {
    /// Those that were absent in the last sweep, by slot and hash.
    absent: HashSet<(usize, u64)>,
    buried: Vec<usize>,
}

/// The routes that had slots when a sweep began.
#[derive(Debug)]
pub struct CountedRoutes(Vec<UsedSlot>);

impl CountsSweep {
    /// Whether another sweep has something to do, though no route has changed.
    pub fn is_due(&self) -> bool {
        !self.absent.is_empty() || !self.buried.is_empty()
    }

    /// Begins a sweep. Which routes there are is to be found out after this.
    pub fn begin<M: AsRef<[AtomicU64]>>(counts: &RouteCounts<M>) -> CountedRoutes {
        CountedRoutes(counts.used())
    }

    /// Ends it.
    pub fn finish<M: AsRef<[AtomicU64]>>(
        &mut self,
        counts: &RouteCounts<M>,
        counted: CountedRoutes,
        is_there: impl Fn(&str) -> bool,
    ) {
        for index in self.buried.drain(..) {
            counts.free(index);
        }
        let absent_before = std::mem::take(&mut self.absent);
        for slot in counted.0.into_iter().filter(|slot| !is_there(&slot.name)) {
            let key = (slot.index, slot.hash);
            if !absent_before.contains(&key) {
                self.absent.insert(key);
            } else if counts.bury(&slot) {
                self.buried.push(slot.index);
            }
        }
        counts.set_used(counts.used().len() + self.buried.len());
    }
}
