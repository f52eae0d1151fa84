//! A host of which paths come and go for which nobody else asks: these are decided by themselves, and all else of it stays.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use entry_model::{Host, HostName, Match, ObjectRef, Rule};

use super::{HostConnections, HostMerger, HostTls, MergedHost, redirects_to_https};
use crate::claim::{Claim, Claims};
use crate::policy::client_redirects::HttpsRedirect;

/// What an object asked for, and asks for now.
#[derive(Debug, Clone, Copy)]
pub struct PathChange<'a> {
    pub object: &'a ObjectRef,
    pub before: Option<&'a Arc<Claims>>,
    pub now: Option<&'a Arc<Claims>>,
}

/// What becomes of a host.
#[derive(Debug, Default)]
pub struct PathEdit {
    /// For each object, in their order: the candidates that go, and those that come in their place.
    runs: Vec<CandidateRun>,
    /// The places, among rules, of those that go.
    went: Vec<usize>,
    /// The rules that come, sorted as they are tried.
    came: Vec<NewRule>,
    /// Whether another object has the rule that is tried first: it is named to those that name the host for a certificate only.
    pub has_other_first: bool,
}

#[derive(Debug)]
struct CandidateRun {
    went: Range<usize>,
    /// All that the object asks for, and which of that comes.
    came: Option<(Arc<Claims>, Vec<usize>)>,
    /// How many more candidates there are then, up to here.
    more: isize,
}

impl CandidateRun {
    /// How many candidates come.
    fn comes(&self) -> usize {
        self.came.as_ref().map_or(0, |(_, indexes)| indexes.len())
    }
}

fn are_same<T: PartialEq>(mut all: impl Iterator<Item = T>) -> bool {
    all.next().is_none_or(|first| all.all(|other| other == first))
}

/// Whether a candidate goes.
fn goes(runs: &[CandidateRun], candidate: usize) -> bool {
    let run = runs.partition_point(|run| run.went.end <= candidate);
    runs.get(run).is_some_and(|run| run.went.contains(&candidate))
}

/// A rule that comes.
#[derive(Debug)]
struct NewRule {
    /// Which of the runs it is of, and which there.
    run: usize,
    of_run: usize,
    /// The place of the rule that goes for it, or before which it comes.
    place: Result<usize, usize>,
}

/// A host before and after.
#[derive(Debug)]
pub struct EditedHost {
    pub before: Arc<Host>,
    pub now: Arc<Host>,
    /// The rules that the objects ask for which changed.
    pub asked: Vec<Rule>,
}

impl HostMerger {
    /// What becomes of a host of which objects, which are sorted, ask for other paths; none if that is not for them alone to say, or all of
    /// the host may change. `is_shared`: whether each namespace has paths of it for itself.
    pub fn plan_paths(&self, name: &HostName, changes: &[PathChange<'_>], is_shared: bool) -> Option<PathEdit> {
        let merged = self.hosts.get(name).filter(|merged| merged.decides_by_path())?;
        let mut edit = PathEdit::default();
        let mut went = BTreeMap::new();
        let mut came: Vec<(&Claim, NewRule)> = Vec::new();
        for change in changes {
            let start = merged.place_of_object(Some(change.object));
            let run = change.before.map_or(start..start, |claims| merged.candidates_of(claims));
            let on_host = |claims: &Claims| {
                let rules = claims.rules.iter().enumerate().filter(|(_, claim)| claim.host == *name);
                rules.map(|(index, _)| index).collect::<Vec<_>>()
            };
            // What is not among them belongs to others.
            if change.before.map_or(0, |claims| on_host(claims).len()) != run.len() {
                return None;
            }
            for candidate in run.clone() {
                let place = merged.find_place(&merged.claim(candidate).matches).ok()?;
                if merged.won[place] != candidate {
                    return None;
                }
                went.insert(place, candidate);
            }
            let now = change.now.map(|claims| (Arc::clone(claims), on_host(claims)));
            for (of_run, index) in now.iter().flat_map(|(_, indexes)| indexes.iter().enumerate()) {
                let claim = &change.now?.rules[*index];
                let place = merged.find_place(&claim.matches);
                came.push((claim, NewRule { run: edit.runs.len(), of_run, place }));
            }
            let more = edit.runs.last().map_or(0, |run: &CandidateRun| run.more);
            let mut run = CandidateRun { went: run, came: now, more };
            run.more += run.comes().cast_signed() - run.went.len().cast_signed();
            edit.runs.push(run);
        }
        came.sort_by(|(one, _), (other, _)| one.matches.precedence(&other.matches));
        let is_taken = |(_, rule): &(_, NewRule)| rule.place.is_ok_and(|place| !went.contains_key(&place));
        let is_twice = |two: &[(&Claim, _)]| two[0].0.matches.precedence(&two[1].0.matches).is_eq();
        let is_rival = |(lost, first): &(usize, usize)| {
            goes(&edit.runs, *lost) || goes(&edit.runs, *first) || merged.claim(*lost).yields
        };
        // Where none is redirected the object is told.
        let is_unredirected = |(claim, _): &(&Claim, _)| {
            claim.redirect == HttpsRedirect::Wanted && !redirects_to_https(name, claim.redirect, &merged.tls)
        };
        if came.iter().any(is_taken)
            || came.windows(2).any(is_twice)
            || merged.lost.iter().any(is_rival)
            || came.iter().any(is_unredirected)
        {
            return None;
        }
        let kept = || merged.won.iter().enumerate().filter(|(place, _)| !went.contains_key(place));
        // Who has a say on the host has one before and after, whichever paths come and go.
        let namespaces: BTreeSet<&str> = changes.iter().map(|change| &*change.object.key.namespace).collect();
        let has_say = |namespace: &str| {
            let stands = |claims: &Claims, claim: &Claim| {
                let is_theirs = claims.object.as_ref().is_some_and(|object| object.key.namespace == namespace);
                is_theirs && !claim.weak && !claim.yields && !claim.matches.path.is_acme_challenge()
            };
            let own = || changes.iter().zip(&edit.runs).filter(|(change, _)| change.object.key.namespace == namespace);
            own().any(|(_, run)| !run.went.is_empty()) && own().any(|(_, run)| run.comes() > 0)
                || kept().any(|(_, won)| stands(&merged.candidates[*won].0, merged.claim(*won)))
        };
        if !is_shared && !namespaces.into_iter().all(has_say) {
            return None;
        }
        let object_of = |candidate: usize| merged.candidates[candidate].0.object.as_ref();
        // A default backend has a say on certificates only as long as its namespace is alone there.
        let namespace_of = |candidate: usize| object_of(candidate).map(|object| &*object.key.namespace);
        let came_of = || came.iter().map(|(_, rule)| Some(&*changes[rule.run].object.key.namespace));
        let was_alone = || are_same(merged.won.iter().map(|won| namespace_of(*won)));
        let is_alone = || are_same(kept().map(|(_, won)| namespace_of(*won)).chain(came_of()));
        if merged.has_weak && was_alone() != is_alone() {
            return None;
        }
        let first_kept = kept().next();
        let is_first = |(_, rule): &&(&Claim, NewRule)| {
            let place = rule.place.unwrap_or_else(|place| place);
            first_kept.is_none_or(|(kept, _)| place <= kept)
        };
        let now_first = match came.first().filter(is_first) {
            Some((_, rule)) => Some(changes[rule.run].object),
            // Without any rule there is no host.
            None => object_of(*first_kept?.1),
        };
        edit.has_other_first = now_first != object_of(merged.won[0]);
        let names_certificate = |(lost, _): &(usize, usize)| !merged.candidates[*lost].0.tls.is_empty();
        if edit.has_other_first && merged.lost.iter().any(names_certificate) {
            return None;
        }
        edit.came = came.into_iter().map(|(_, rule)| rule).collect();
        edit.went = went.into_keys().collect();
        Some(edit)
    }

    /// The rules' claims that stay.
    pub fn kept_claims<'a>(&'a self, name: &HostName, edit: &'a PathEdit) -> impl Iterator<Item = &'a Claim> {
        let merged = self.hosts.get(name).into_iter();
        merged.flat_map(|merged| {
            let kept = merged.won.iter().enumerate().filter(|(place, _)| edit.went.binary_search(place).is_err());
            kept.map(|(_, won)| merged.claim(*won))
        })
    }

    /// Makes a host again as it was planned for these changes.
    pub fn edit_paths(&mut self, name: &HostName, edit: PathEdit, changes: &[PathChange<'_>]) -> Option<EditedHost> {
        let mut merged = self.hosts.remove(name)?;
        let before = Arc::clone(&merged.host);
        let (PathEdit { runs, went, came, .. }, mut host) = (edit, Host::clone(&before));
        let (mut asked, mut inserted) = (Vec::with_capacity(came.len()), Vec::new());
        let replaced: BTreeSet<usize> = came.iter().filter_map(|rule| rule.place.ok()).collect();
        for NewRule { run, of_run, place } in &came {
            let Some((claims, indexes)) = &runs[*run].came else { continue };
            let claim = &claims.rules[indexes[*of_run]];
            let rule = self.rule(name, claim, &merged.tls, &merged.connections, changes[*run].object);
            asked.push(rule.clone());
            match *place {
                Ok(place) => {
                    if host.rules[place] != rule {
                        host.rules[place] = rule;
                    }
                }
                Err(_) => inserted.push(rule),
            }
        }
        for place in went.into_iter().rev().filter(|place| !replaced.contains(place)) {
            host.rules.remove(place);
        }
        for rule in inserted {
            host.rules.push(rule);
        }
        merged.edit_candidates(runs, &came);
        if host.rules != before.rules {
            merged.host = Arc::new(host);
            self.published.insert(name.clone(), Arc::clone(&merged.host));
        }
        let now = Arc::clone(&merged.host);
        self.hosts.insert(name.clone(), merged);
        Some(EditedHost { before, now, asked })
    }
}

impl MergedHost {
    fn claim(&self, candidate: usize) -> &Claim {
        let (claims, index) = &self.candidates[candidate];
        &claims.rules[*index]
    }

    /// Whether what becomes of a path depends on no other path of the host.
    fn decides_by_path(&self) -> bool {
        let is_for_all = match &self.tls {
            HostTls::Rejected | HostTls::Lacking(_) => true,
            // Whose clients reject it is told whether any rule redirects to it.
            HostTls::Ended(given) => given.is_for,
            HostTls::PassedThrough(_) => false,
        };
        is_for_all
            && self.canaries.is_empty()
            && !self.has_patterns
            && !self.asks_passthrough
            && self.connections == HostConnections::default()
            && self.closing.is_empty()
    }

    /// The place of the rule with this match, or where it would be.
    fn find_place(&self, matches: &Match) -> Result<usize, usize> {
        self.won.binary_search_by(|won| self.claim(*won).matches.precedence(matches))
    }

    fn edit_candidates(&mut self, runs: Vec<CandidateRun>, came: &[NewRule]) {
        let shift = |candidate: usize| {
            let passed = runs.partition_point(|run| run.went.end <= candidate);
            let more = passed.checked_sub(1).map_or(0, |last| runs[last].more);
            candidate.saturating_add_signed(more)
        };
        // Where the first of a run comes to stand.
        let starts: Vec<usize> = runs
            .iter()
            .enumerate()
            .map(|(index, run)| {
                let more = index.checked_sub(1).map_or(0, |last| runs[last].more);
                run.went.start.saturating_add_signed(more)
            })
            .collect();
        let mut came = came.iter().map(|rule| (rule.place, starts[rule.run] + rule.of_run)).peekable();
        let mut won = Vec::with_capacity(self.won.len() + came.len());
        for (place, candidate) in self.won.iter().enumerate() {
            while let Some((_, new)) = came.next_if(|(at, _)| *at == Err(place)) {
                won.push(new);
            }
            match came.next_if(|(at, _)| *at == Ok(place)) {
                Some((_, new)) => won.push(new),
                None if goes(&runs, *candidate) => {}
                None => won.push(shift(*candidate)),
            }
        }
        won.extend(came.map(|(_, new)| new));
        self.won = won;
        for (lost, first) in &mut self.lost {
            (*lost, *first) = (shift(*lost), shift(*first));
        }
        let mut rest = std::mem::take(&mut self.candidates).into_iter();
        let mut taken = 0;
        for CandidateRun { went, came, .. } in runs {
            self.candidates.extend(rest.by_ref().take(went.start - taken));
            rest.by_ref().take(went.len()).for_each(drop);
            taken = went.end;
            let came = came
                .into_iter()
                .flat_map(|(claims, indexes)| indexes.into_iter().map(move |index| (Arc::clone(&claims), index)));
            self.candidates.extend(came);
        }
        self.candidates.extend(rest);
    }
}
