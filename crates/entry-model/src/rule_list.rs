//! The rules of a host, of which there may be very many.

use std::iter::Map;
use std::ops::{Index, IndexMut};
use std::slice;
use std::sync::Arc;

use crate::Rule;

/// Rules in an order. A list that was made of another shares with it the rules that both have: to copy one costs a pointer a rule, and so
/// does finding out what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleList(Vec<Arc<Rule>>);

/// The rules of a list, one after the other.
pub type RuleIter<'a> = Map<slice::Iter<'a, Arc<Rule>>, fn(&'a Arc<Rule>) -> &'a Rule>;

impl RuleList {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first one.
    pub fn first(&self) -> Option<&Rule> {
        self.0.first().map(AsRef::as_ref)
    }

    /// One after the other.
    pub fn iter(&self) -> RuleIter<'_> {
        self.into_iter()
    }

    /// The rules, each as lists share it.
    pub fn as_shared(&self) -> &[Arc<Rule>] {
        &self.0
    }

    /// One after the other, to be changed: other lists keep the rules as they were.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Rule> {
        self.0.iter_mut().map(Arc::make_mut)
    }

    /// Adds a rule at the end.
    pub fn push(&mut self, rule: Rule) {
        self.0.push(Arc::new(rule));
    }

    /// Adds a rule before that of an index.
    pub fn insert(&mut self, index: usize, rule: Rule) {
        self.0.insert(index, Arc::new(rule));
    }

    /// Sorts them as they are tried; those that are tried alike stay as they are.
    pub fn sort(&mut self) {
        self.0.sort_by(|one, other| one.matches.precedence(&other.matches));
    }

    /// What is not shared, of this list and of another: what lies between the rules that are shared at the beginning and at the end.
    pub fn unshared<'a>(&'a self, other: &'a Self) -> [&'a [Arc<Rule>]; 2] {
        let is_shared = |(one, other): &(&Arc<Rule>, &Arc<Rule>)| Arc::ptr_eq(one, other);
        let start = self.0.iter().zip(&other.0).take_while(is_shared).count();
        let (one, other) = (&self.0[start..], &other.0[start..]);
        let end = one.iter().rev().zip(other.iter().rev()).take_while(is_shared).count();
        [&one[..one.len() - end], &other[..other.len() - end]]
    }
}

impl Index<usize> for RuleList {
    type Output = Rule;

    fn index(&self, index: usize) -> &Rule {
        &self.0[index]
    }
}

impl IndexMut<usize> for RuleList {
    /// Other lists keep the rule as it was.
    fn index_mut(&mut self, index: usize) -> &mut Rule {
        Arc::make_mut(&mut self.0[index])
    }
}

impl<'a> IntoIterator for &'a RuleList {
    type Item = &'a Rule;
    type IntoIter = RuleIter<'a>;

    fn into_iter(self) -> RuleIter<'a> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl From<Vec<Rule>> for RuleList {
    fn from(rules: Vec<Rule>) -> Self {
        rules.into_iter().collect()
    }
}

impl FromIterator<Rule> for RuleList {
    fn from_iter<T: IntoIterator<Item = Rule>>(rules: T) -> Self {
        Self(rules.into_iter().map(Arc::new).collect())
    }
}

impl FromIterator<Arc<Rule>> for RuleList {
    fn from_iter<T: IntoIterator<Item = Arc<Rule>>>(rules: T) -> Self {
        Self(rules.into_iter().collect())
    }
}

impl Extend<Rule> for RuleList {
    fn extend<T: IntoIterator<Item = Rule>>(&mut self, rules: T) {
        self.0.extend(rules.into_iter().map(Arc::new));
    }
}
