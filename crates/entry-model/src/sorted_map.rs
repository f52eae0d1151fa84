//! A sorted map that is cheap to clone.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

/// Most entries of a chunk. A change copies one chunk, and a list of all of them.
const MAX_CHUNK_ENTRIES: usize = 64;

/// Some entries, in the order of their keys.
type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// A sorted map that is cheap to clone: a clone shares all that neither has changed since. So it is cheap to keep one of each
/// moment, and to tell what changed between two.
///
/// ```text
/// Arc ─► [ Arc ─► [(key, value), …at most 64], Arc ─► […], … ]
/// ```
pub struct SortedMap<K, V> {
    /// None is empty, and all keys of one are below those of the next.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> SortedMap<K, V> {
    /// An empty map.
    pub fn new() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in the order of their keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, value))
    }

    /// All keys, in their order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// The chunk where a key is or would be, and where in it.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let after = self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(first, _)| first.borrow() <= key));
        let chunk = after.saturating_sub(1);
        let place =
            self.chunks.get(chunk).map_or(Err(0), |entries| entries.binary_search_by(|(k, _)| k.borrow().cmp(key)));
        (chunk, place)
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (chunk, place) = self.find(key);
        let place = place.ok()?;
        Some(&self.chunks[chunk][place].1)
    }

    /// A key as the map has it, for whoever would keep one of their own beside it.
    pub fn key<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&K>
    where
        K: Borrow<Q>,
    {
        let (chunk, place) = self.find(key);
        let place = place.ok()?;
        Some(&self.chunks[chunk][place].0)
    }

    /// Whether there is such a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).1.is_ok()
    }

    /// The keys whose values are not the same in two maps, or that only one of them has, in their order. What both share is
    /// passed over without a look.
    pub fn changed_keys<'a>(&'a self, before: &'a Self, same: impl Fn(&V, &V) -> bool) -> Vec<&'a K> {
        let mut changed = Vec::new();
        let (mut new, mut old) = (Cursor::of(self), Cursor::of(before));
        loop {
            new.skip_shared(&mut old);
            let order = match (new.entry(), old.entry()) {
                (None, None) => return changed,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            match (order, new.entry(), old.entry()) {
                (Ordering::Equal, Some((key, a)), Some((_, b))) if !same(a, b) => changed.push(key),
                (Ordering::Less, Some((key, _)), _) | (Ordering::Greater, _, Some((key, _))) => changed.push(key),
                _ => {}
            }
            if order.is_le() {
                new.step();
            }
            if order.is_ge() {
                old.step();
            }
        }
    }
}

/// A place in a map.
struct Cursor<'a, K, V> {
    chunks: &'a [Chunk<K, V>],
    at: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn of(map: &'a SortedMap<K, V>) -> Self {
        Self { chunks: &map.chunks, at: 0 }
    }

    fn entry(&self) -> Option<&'a (K, V)> {
        self.chunks.first()?.get(self.at)
    }

    fn step(&mut self) {
        self.at += 1;
        if self.chunks.first().is_some_and(|chunk| self.at == chunk.len()) {
            (self.chunks, self.at) = (&self.chunks[1..], 0);
        }
    }

    /// Passes over chunks that both have.
    fn skip_shared(&mut self, other: &mut Self) {
        while let (0, 0, [mine, rest @ ..], [theirs, others @ ..]) = (self.at, other.at, self.chunks, other.chunks) {
            if !Arc::ptr_eq(mine, theirs) {
                return;
            }
            (self.chunks, other.chunks) = (rest, others);
        }
    }
}

impl<K: Ord + Clone, V: Clone> SortedMap<K, V> {
    /// Puts a value in, and returns the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        // What comes in order is put behind all else, without a search and without half empty chunks.
        let last = self.chunks.last().and_then(|chunk| chunk.last());
        if last.is_none_or(|(last, _)| *last < key) {
            let chunks = Arc::make_mut(&mut self.chunks);
            match chunks.last_mut().filter(|chunk| chunk.len() < MAX_CHUNK_ENTRIES) {
                Some(chunk) => Arc::make_mut(chunk).push((key, value)),
                None => chunks.push(Arc::new(vec![(key, value)])),
            }
            self.len += 1;
            return None;
        }
        let (at, place) = self.find(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = &mut chunks[at];
        let entries = Arc::make_mut(chunk);
        match place {
            Ok(place) => Some(std::mem::replace(&mut entries[place].1, value)),
            Err(place) => {
                entries.insert(place, (key, value));
                if entries.len() > MAX_CHUNK_ENTRIES {
                    let upper = entries.split_off(MAX_CHUNK_ENTRIES / 2);
                    chunks.insert(at + 1, Arc::new(upper));
                }
                self.len += 1;
                None
            }
        }
    }

    /// Takes a value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        let place = place.ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let (_, value) = Arc::make_mut(&mut chunks[at]).remove(place);
        self.len -= 1;
        let left = chunks[at].len();
        if left == 0 {
            chunks.remove(at);
        } else if left < MAX_CHUNK_ENTRIES / 4
            && let Some(next) = chunks.get(at + 1)
            && left + next.len() <= MAX_CHUNK_ENTRIES / 2
        {
            // Else a map that shrinks would become one of many chunks with little in each.
            let next = Arc::unwrap_or_clone(chunks.remove(at + 1));
            Arc::make_mut(&mut chunks[at]).extend(next);
        }
        Some(value)
    }

    /// Keeps those entries for which it is said. If it is all of them, nothing is copied.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let gone: Vec<K> = self.iter().filter(|(key, value)| !keep(key, value)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// All entries, their values to be changed, in the order of their keys. All of the map is copied if it is shared.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let chunks = Arc::make_mut(&mut self.chunks).iter_mut();
        chunks.flat_map(|chunk| Arc::make_mut(chunk).iter_mut().map(|(key, value)| (&*key, value)))
    }

    /// As [`SortedMap::iter_mut`], without keys.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        let place = place.ok()?;
        Some(&mut Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[at])[place].1)
    }
}

impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> Index<&Q> for SortedMap<K, V> {
    type Output = V;

    /// The value of a key.
    ///
    /// # Panics
    /// There is no such key.
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the caller knows that the key is there")
    }
}

impl<'a, K, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Box<dyn Iterator<Item = (&'a K, &'a V)> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl<K, V> Clone for SortedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SortedMap<K, V> {
    /// What both share is passed over without a look.
    fn eq(&self, other: &Self) -> bool {
        if self.len != other.len {
            return false;
        }
        let (mut mine, mut theirs) = (Cursor::of(self), Cursor::of(other));
        loop {
            mine.skip_shared(&mut theirs);
            match (mine.entry(), theirs.entry()) {
                (Some(one), Some(two)) if one == two => {}
                (one, two) => return one.is_none() && two.is_none(),
            }
            mine.step();
            theirs.step();
        }
    }
}

impl<K: Eq, V: Eq> Eq for SortedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SortedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SortedMap<K, V> {
    /// Of several with one key the last.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord + Clone, V: Clone, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn map_is_the_same_as_a_b_tree_whatever_is_done(
            steps in proptest::collection::vec((0..400_u16, proptest::option::weighted(0.6, any::<u8>())), 0..1500),
            moment in 0..1500_usize,
        ) {
            let (mut map, mut expected) = (SortedMap::new(), BTreeMap::new());
            let mut before = (map.clone(), expected.clone());
            for (number, (key, value)) in steps.into_iter().enumerate() {
                if number == moment {
                    before = (map.clone(), expected.clone());
                }
                match value {
                    Some(value) => prop_assert_eq!(map.insert(key, value), expected.insert(key, value)),
                    None => prop_assert_eq!(map.remove(&key), expected.remove(&key)),
                }
                prop_assert_eq!(map.get(&key), expected.get(&key));
                prop_assert_eq!(map.key(&key), expected.get_key_value(&key).map(|(key, _)| key));
            }
            prop_assert!(map.iter().eq(expected.iter()) && map.len() == expected.len());
            prop_assert!(map.chunks.iter().all(|chunk| (1..=MAX_CHUNK_ENTRIES).contains(&chunk.len())));
            // What was cloned is as it was, and what changed since is known.
            prop_assert!(before.0.iter().eq(before.1.iter()));
            let keys: std::collections::BTreeSet<_> = expected.keys().chain(before.1.keys()).copied().collect();
            let changed: Vec<_> = keys.into_iter().filter(|key| expected.get(key) != before.1.get(key)).collect();
            let found: Vec<_> = map.changed_keys(&before.0, PartialEq::eq).into_iter().copied().collect();
            prop_assert_eq!(found, changed);
            prop_assert_eq!(map == before.0, expected == before.1);
        }
    }

    #[test]
    fn changed_keys_skips_shared_chunks() {
        let before: SortedMap<_, _> = (0..10_000).map(|number| (number, 0)).collect();
        let mut after = before.clone();
        after.insert(5000, 1);
        let looked = std::cell::Cell::new(0);
        let changed = after.changed_keys(&before, |a, b| {
            looked.set(looked.get() + 1);
            a == b
        });
        assert_eq!(changed, [&5000]);
        assert!(looked.get() <= MAX_CHUNK_ENTRIES, "{}", looked.get());
    }
}
