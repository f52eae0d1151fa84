//! The rules of a host, of which there may be very many.

use std::iter::{FlatMap, Map};
use std::ops::{Index, IndexMut};
use std::slice;
use std::sync::Arc;

use crate::{PathMatch, Rule};

/// So many rules are copied together, as pointers, when one of them changes.
const CHUNK: usize = 128;

/// Rules, sorted as they are tried ([`crate::Match::precedence`]); those that are tried alike stand as they were given.
///
/// A list that was made of another shares with it the rules that both have, most of them in whole chunks. So copying a list, changing a rule
/// of it and finding out what differs hardly depend on how many there are. Adding a rule takes a look at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleList {
    /// All are full but the last one, and none is empty.
    chunks: Vec<Chunk>,
}

type Chunk = Arc<[Arc<Rule>]>;

/// The rules of a list, one after the other, each as lists share it.
pub type SharedRules<'a> =
    FlatMap<slice::Iter<'a, Chunk>, slice::Iter<'a, Arc<Rule>>, fn(&'a Chunk) -> slice::Iter<'a, Arc<Rule>>>;

/// The rules of a list, one after the other.
pub type RuleIter<'a> = Map<SharedRules<'a>, fn(&'a Arc<Rule>) -> &'a Rule>;

impl RuleList {
    /// Without any rule.
    pub const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The first one.
    pub fn first(&self) -> Option<&Rule> {
        self.iter().next()
    }

    /// One after the other.
    pub fn iter(&self) -> RuleIter<'_> {
        self.into_iter()
    }

    /// One after the other, each as lists share it.
    pub fn shared(&self) -> SharedRules<'_> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// One after the other, to be changed but for what they match: other lists keep the rules as they were.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Rule> {
        self.chunks.iter_mut().flat_map(Arc::make_mut).map(Arc::make_mut)
    }

    /// Those whose paths are tried at the place of this one. Few others are looked at.
    pub fn at_place_of<'a>(&'a self, path: &'a PathMatch) -> impl Iterator<Item = &'a Rule> {
        let is_before = |rule: &Arc<Rule>| rule.matches.path.precedence(path).is_lt();
        // They begin in the last chunk that begins with one before them, or at the next chunk.
        let chunk = self.chunks.partition_point(|chunk| is_before(&chunk[0])).saturating_sub(1);
        let start = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(is_before));
        let rules = self.chunks.iter().skip(chunk).flat_map(|chunk| chunk.iter()).skip(start).map(AsRef::as_ref);
        rules.take_while(|rule: &&Rule| rule.matches.path.precedence(path).is_eq())
    }

    /// Adds a rule, after those that are tried alike.
    pub fn push(&mut self, rule: Rule) {
        self.extend([rule]);
    }

    /// What is not shared, of this list and of another: what lies between the rules that are shared at the beginning and at the end.
    pub fn unshared<'a>(&'a self, other: &'a Self) -> [Vec<&'a Arc<Rule>>; 2] {
        let is_same_chunk = |(one, other): &(&Chunk, &Chunk)| Arc::ptr_eq(one, other);
        let start = self.chunks.iter().zip(&other.chunks).take_while(is_same_chunk).count();
        let [one, other] = [self, other].map(|list| &list.chunks[start..]);
        let end = one.iter().rev().zip(other.iter().rev()).take_while(is_same_chunk).count();
        let [one, other] = [one, other].map(|chunks| &chunks[..chunks.len() - end]);
        let [mut one, mut other] = [one, other].map(|chunks| chunks.iter().flat_map(|chunk| chunk.iter()).collect());
        leave_what_differs(&mut one, &mut other, |one: &Arc<Rule>, other: &Arc<Rule>| Arc::ptr_eq(one, other));
        [one, other]
    }
}

/// Takes off what two lists have alike, at the beginning and at the end.
pub fn leave_what_differs<'a, T>(one: &mut Vec<&'a T>, other: &mut Vec<&'a T>, is_same: impl Fn(&T, &T) -> bool) {
    let is_same = |(one, other): &(&&T, &&T)| is_same(one, other);
    let start = one.iter().zip(other.iter()).take_while(is_same).count();
    let [rest, other_rest] = [&one[start..], &other[start..]];
    let end = rest.iter().rev().zip(other_rest.iter().rev()).take_while(is_same).count();
    for list in [one, other] {
        list.truncate(list.len() - end);
        list.drain(..start);
    }
}

impl Index<usize> for RuleList {
    type Output = Rule;

    fn index(&self, index: usize) -> &Rule {
        &self.chunks[index / CHUNK][index % CHUNK]
    }
}

impl IndexMut<usize> for RuleList {
    /// To be changed but for what it matches. Other lists keep the rule as it was.
    fn index_mut(&mut self, index: usize) -> &mut Rule {
        Arc::make_mut(&mut Arc::make_mut(&mut self.chunks[index / CHUNK])[index % CHUNK])
    }
}

impl<'a> IntoIterator for &'a RuleList {
    type Item = &'a Rule;
    type IntoIter = RuleIter<'a>;

    fn into_iter(self) -> RuleIter<'a> {
        self.shared().map(AsRef::as_ref)
    }
}

impl From<Vec<Rule>> for RuleList {
    fn from(rules: Vec<Rule>) -> Self {
        rules.into_iter().collect()
    }
}

impl FromIterator<Rule> for RuleList {
    fn from_iter<T: IntoIterator<Item = Rule>>(rules: T) -> Self {
        rules.into_iter().map(Arc::new).collect()
    }
}

impl FromIterator<Arc<Rule>> for RuleList {
    fn from_iter<T: IntoIterator<Item = Arc<Rule>>>(rules: T) -> Self {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_by(|one, other| one.matches.precedence(&other.matches));
        Self { chunks: rules.chunks(CHUNK).map(Arc::from).collect() }
    }
}

impl Extend<Rule> for RuleList {
    fn extend<T: IntoIterator<Item = Rule>>(&mut self, more: T) {
        *self = self.shared().cloned().chain(more.into_iter().map(Arc::new)).collect();
    }
}
