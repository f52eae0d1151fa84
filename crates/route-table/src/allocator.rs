//! Which units of the memory are taken: a buddy allocator, so that what was freed in pieces is whole again.

use std::collections::BTreeSet;

use crate::layout::Place;

const ORDERS: usize = 27;
const FREE: u8 = u8::MAX;

/// Which units are taken. Of each piece the size is known here, and not read from a memory that may be damaged.
#[derive(Debug)]
pub struct Allocator {
    /// Free pieces of 2^order units, by order.
    free: [BTreeSet<u32>; ORDERS],
    /// The order of the piece that begins at a unit.
    orders: Vec<u8>,
    used: usize,
}

/// The least order whose pieces have so many units.
fn order_of(units: usize) -> usize {
    units.max(1).next_power_of_two().trailing_zeros() as usize
}

impl Allocator {
    /// All of so many units are free.
    pub fn new(units: usize) -> Self {
        let mut all = Self { free: std::array::from_fn(|_| BTreeSet::new()), orders: vec![FREE; units], used: 0 };
        let mut at = 0;
        while at < units {
            let aligned = if at == 0 { ORDERS - 1 } else { at.trailing_zeros() as usize };
            let fitting = (units - at).ilog2() as usize;
            let order = aligned.min(fitting).min(ORDERS - 1);
            all.free[order].insert(u32::try_from(at).unwrap_or(u32::MAX));
            at += 1 << order;
        }
        all
    }

    /// Takes so many units that lie together; none if there are none.
    pub fn take(&mut self, units: usize) -> Option<Place> {
        let order = order_of(units);
        let found = (order..ORDERS).find(|order| !self.free[*order].is_empty())?;
        let at = self.free[found].pop_first()?;
        for half in order..found {
            self.free[half].insert(at + (1 << half));
        }
        self.orders[at as usize] = u8::try_from(order).unwrap_or(FREE);
        self.used += 1 << order;
        Some(Place(at))
    }

    /// Frees what was taken.
    pub fn free(&mut self, place: Place) {
        let mut at = place.0;
        let Some(order) = self.orders.get_mut(at as usize).filter(|order| **order != FREE) else { return };
        let mut order = usize::from(std::mem::replace(order, FREE));
        self.used -= 1 << order;
        while order + 1 < ORDERS && self.free[order].remove(&(at ^ 1 << order)) {
            at &= !(1 << order);
            order += 1;
        }
        self.free[order].insert(at);
    }

    /// How many units are taken.
    pub fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pieces_never_overlap_and_all_is_whole_again_at_the_end(
            units in 1..400_usize,
            steps in proptest::collection::vec((any::<bool>(), 1..40_usize), 0..200),
        ) {
            let mut allocator = Allocator::new(units);
            let whole: Vec<_> = allocator.free.to_vec();
            let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
            for (take, number) in steps {
                if take {
                    let Some(place) = allocator.take(number) else { continue };
                    let end = place.0 as usize + number;
                    prop_assert!(end <= units);
                    prop_assert!(taken.range(place.0..).next().is_none_or(|(next, _)| end <= *next as usize));
                    let before = taken.range(..place.0).next_back();
                    prop_assert!(before.is_none_or(|(at, number)| *at as usize + number <= place.0 as usize));
                    taken.insert(place.0, number);
                } else if let Some(at) = taken.keys().nth(number % taken.len().max(1)).copied() {
                    taken.remove(&at);
                    allocator.free(Place(at));
                }
            }
            for at in taken.into_keys() {
                allocator.free(Place(at));
            }
            prop_assert_eq!(allocator.used(), 0);
            prop_assert_eq!(allocator.free.to_vec(), whole);
        }
    }
}
