//! Which rules a location has to choose from, where a path does not decide that alone.

use std::collections::HashMap;

use entry_model::{PathMatch, Pattern, Rule};

use crate::inexpressible::{is_branching, is_final};
use crate::location_kind::LocationKind;

/// The rules of a host by their paths.
pub struct Candidates<'r, 'a> {
    rules: &'r [&'a Rule],
    exact: HashMap<&'a str, Vec<usize>>,
    /// Without a final slash.
    prefixes: HashMap<&'a str, Vec<usize>>,
    /// By their texts, with what runs them.
    patterns: HashMap<&'a str, (Vec<usize>, Option<Pattern>)>,
}

impl<'r, 'a> Candidates<'r, 'a> {
    /// Those of a host; none if a path alone decides which rule a request gets.
    pub fn of(rules: &'r [&'a Rule]) -> Option<Self> {
        if !rules.iter().any(|rule| is_branching(rule)) {
            return None;
        }
        let mut all = Self { rules, exact: HashMap::new(), prefixes: HashMap::new(), patterns: HashMap::new() };
        for (number, rule) in rules.iter().enumerate() {
            match &rule.matches.path {
                PathMatch::Exact(path) => all.exact.entry(path).or_default().push(number),
                PathMatch::Prefix(path) => all.prefixes.entry(path.trim_end_matches('/')).or_default().push(number),
                PathMatch::Regex(pattern) => {
                    let compile = || (Vec::new(), pattern_engine::compile(pattern.text()).ok());
                    all.patterns.entry(pattern.text()).or_insert_with(compile).0.push(number);
                }
            }
        }
        Some(all)
    }

    /// The rules of which the requests at a location of a rule's path get the first whose conditions they meet, in their order. The
    /// last one is final, unless there is none.
    pub fn at(&self, place: &LocationKind<'_>, path: &PathMatch) -> Vec<&'a Rule> {
        let mut numbers: Vec<usize> = match place {
            // Which others match the same paths is not known.
            LocationKind::Pattern(_) => {
                let PathMatch::Regex(pattern) = path else { return Vec::new() };
                self.patterns.get(pattern.text()).map(|(numbers, _)| numbers.clone()).unwrap_or_default()
            }
            LocationKind::Below(path) => self.prefixes_of(path).collect(),
            // Only the default, which is no candidate for a path.
            LocationKind::Default => Vec::new(),
            LocationKind::Path(path) | LocationKind::Top(path) | LocationKind::Within { path, .. } => {
                let exact = self.exact.get(path).into_iter().flatten().copied();
                let is_match =
                    |(_, engine): &&(_, Option<Pattern>)| engine.as_ref().is_some_and(|engine| engine.is_match(path));
                let patterns = self.patterns.values().filter(is_match).flat_map(|(numbers, _)| numbers).copied();
                exact.chain(patterns).chain(self.prefixes_of(path)).collect()
            }
        };
        numbers.sort_unstable();
        let last = numbers.iter().position(|number| is_final(self.rules[*number]));
        numbers.truncate(last.map_or(numbers.len(), |last| last + 1));
        numbers.into_iter().map(|number| self.rules[number]).collect()
    }

    /// The rules for prefixes of a path.
    fn prefixes_of(&self, path: &str) -> impl Iterator<Item = usize> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let found: Vec<usize> = ends.filter_map(|end| self.prefixes.get(&path[..end])).flatten().copied().collect();
        found.into_iter()
    }
}
