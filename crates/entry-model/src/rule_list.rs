//! The rules of a host, of which there may be very many.

use std::cmp::Ordering;
use std::iter::{FlatMap, Map};
use std::ops::{Index, IndexMut};
use std::slice;
use std::sync::Arc;

use crate::{PathMatch, Rule};

/// About so many rules are copied together, as pointers, when one of them changes.
const CHUNK: usize = 128;

/// Rules, sorted as they are tried ([`crate::Match::precedence`]); those that are tried alike stand as they were given.
///
/// A list that was made of another shares with it the rules that both have, most of them in whole chunks. So copying a list, changing a rule
/// of it, adding and removing one, and finding out what differs hardly depend on how many there are.
#[derive(Debug, Clone, Default)]
pub struct RuleList {
    /// None is empty, and none has more than twice [`CHUNK`] rules.
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
        self.chunks.iter().map(|chunk| chunk.len()).sum()
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
        let is_before = |one: &Arc<Rule>| one.matches.precedence(&rule.matches).is_le();
        // Where one chunk ends and the next begins, it goes to the end of the first.
        let at = self.chunks.partition_point(|chunk| is_before(&chunk[0])).saturating_sub(1);
        let chunk = self.chunks.get(at).map_or(&[][..], |chunk| chunk);
        let (before, after) = chunk.split_at(chunk.partition_point(is_before));
        let (before, after) = (before.to_vec(), after.to_vec());
        self.put_chunk(at, [before, vec![Arc::new(rule)], after].concat());
    }

    /// Takes out the rule of this place.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&mut self, index: usize) {
        let (mut at, index) = self.place_of(index);
        let mut rules = self.chunks[at].to_vec();
        rules.remove(index);
        // What is left of chunks does not grow many.
        if rules.len() < CHUNK / 2 && at > 0 && self.chunks[at - 1].len() <= CHUNK {
            self.chunks.remove(at);
            at -= 1;
            rules.splice(..0, self.chunks[at].iter().cloned());
        }
        self.put_chunk(at, rules);
    }

    /// Puts rules in place of a chunk, or of none after the last one.
    fn put_chunk(&mut self, at: usize, rules: Vec<Arc<Rule>>) {
        let chunks: Vec<Chunk> = match rules.len() {
            0 => Vec::new(),
            many if many > 2 * CHUNK => rules.chunks(many.div_ceil(2)).map(Arc::from).collect(),
            _ => vec![rules.into()],
        };
        self.chunks.splice(at..self.chunks.len().min(at + 1), chunks);
    }

    /// The chunk of a rule, and its place there.
    fn place_of(&self, index: usize) -> (usize, usize) {
        let mut rest = index;
        for (at, chunk) in self.chunks.iter().enumerate() {
            match rest.checked_sub(chunk.len()) {
                Some(more) => rest = more,
                None => return (at, rest),
            }
        }
        panic!("there is no rule {index} among {}", self.len());
    }

    /// The rules that are not shared, of this list and of another.
    pub fn unshared<'a>(&'a self, other: &'a Self) -> [Vec<&'a Arc<Rule>>; 2] {
        let is_same_chunk = |(one, other): &(&Chunk, &Chunk)| Arc::ptr_eq(one, other);
        let start = self.chunks.iter().zip(&other.chunks).take_while(is_same_chunk).count();
        let [one, other] = [self, other].map(|list| &list.chunks[start..]);
        let end = one.iter().rev().zip(other.iter().rev()).take_while(is_same_chunk).count();
        let rules = |chunks: &'a [Chunk]| chunks[..chunks.len() - end].iter().flat_map(|chunk| chunk.iter());
        differing_rules(rules(one), rules(other), Arc::ptr_eq)
    }
}

/// The rules of two lists, sorted as they are tried, that are not the same.
pub fn differing_rules<'a>(
    one: impl IntoIterator<Item = &'a Arc<Rule>>,
    other: impl IntoIterator<Item = &'a Arc<Rule>>,
    is_same: impl Fn(&Arc<Rule>, &Arc<Rule>) -> bool,
) -> [Vec<&'a Arc<Rule>>; 2] {
    let [mut differing, mut others] = [Vec::new(), Vec::new()];
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    loop {
        let order = match (one.peek(), other.peek()) {
            (None, None) => return [differing, others],
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(rule), Some(its)) if is_same(rule, its) => {
                one.next();
                other.next();
                continue;
            }
            (Some(rule), Some(its)) => rule.matches.precedence(&its.matches),
        };
        // Those that are tried alike differ together: their order counts.
        differing.extend(one.next_if(|_| order.is_le()));
        others.extend(other.next_if(|_| order.is_ge()));
    }
}

impl PartialEq for RuleList {
    /// Whether they have the same rules, whatever they share.
    fn eq(&self, other: &Self) -> bool {
        let [one, other] = self.unshared(other);
        one == other
    }
}

impl Eq for RuleList {}

impl Index<usize> for RuleList {
    type Output = Rule;

    fn index(&self, index: usize) -> &Rule {
        let (at, index) = self.place_of(index);
        &self.chunks[at][index]
    }
}

impl IndexMut<usize> for RuleList {
    /// To be changed but for what it matches. Other lists keep the rule as it was.
    fn index_mut(&mut self, index: usize) -> &mut Rule {
        let (at, index) = self.place_of(index);
        Arc::make_mut(&mut Arc::make_mut(&mut self.chunks[at])[index])
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
