//! Canaries: Ingresses that get some of the requests of another, of the same host and path.
//!
//! ```text
//! rule of the main Ingress + canary ─► a header decides ─► a cookie decides ─► shares by weight
//! ```
//!
//! A canary claims nothing: it is no rival of its main, and brings no host, certificate or policy of its own. What becomes of its
//! main's rule is at most five rules, so canaries are not counted among rules.

use std::collections::HashMap;

use entry_model::{
    Action, Backend, CookieMatch, Destination, Forward, HeaderMatch, HostName, Match, ObjectRef, PathMatch, PolicyId,
    Reason, Rule, ValueMatch, WeightedBackend,
};

use crate::attach::{AttachedObject, Seniority, namespace_of};
use crate::attached_claims::{AttachedCanary, AttachedClaim};
use crate::claim::CanaryClaim;
use crate::policy::canary_request::{Canary, CanaryHeader};
use crate::verdict_draft::{object_name, quoted};

/// The canary of each of these rules of a host; what is wrong with others is told to their owners. Of several the oldest is it.
pub fn assign<'c>(
    won: &[AttachedClaim<'c>],
    canaries: &[AttachedCanary<'c>],
    attached: &mut [AttachedObject<'_>],
) -> Vec<Option<AttachedCanary<'c>>> {
    let mut assigned: Vec<Option<AttachedCanary<'c>>> = vec![None; won.len()];
    if canaries.is_empty() {
        return assigned;
    }
    let mut canaries = canaries.to_vec();
    canaries.sort_by_key(|canary| (canary.owner, canary.index));
    let mains = MainRules::of(won);
    for canary in canaries {
        match mains.find(&canary) {
            None => report_without_main(&canary, attached),
            Some(main) => match why_not(&won[main], assigned[main].as_ref(), &canary, attached) {
                Some(message) => {
                    attached[canary.owner.1].draft.report_loss(&canary.claim.site, Reason::Conflicted, message);
                }
                None if canary.claim.backend.is_some() => {
                    attached[canary.owner.1].draft.mark_served();
                    assigned[main] = Some(canary);
                }
                // Its owner is told of that already.
                None => {}
            },
        }
    }
    assigned
}

/// The rules of a host that canaries can be for: the first of each path, and of each pattern by its text, since a canary need not say that
/// its path is a pattern.
struct MainRules<'c> {
    by_path: HashMap<&'c PathMatch, usize>,
    by_pattern: HashMap<&'c str, usize>,
}

impl<'c> MainRules<'c> {
    fn of(won: &[AttachedClaim<'c>]) -> Self {
        let mut mains = Self { by_path: HashMap::new(), by_pattern: HashMap::new() };
        for (index, main) in won.iter().enumerate().filter(|(_, main)| main.claim.matches.is_path_only()) {
            let path = &main.claim.matches.path;
            mains.by_path.entry(path).or_insert(index);
            if matches!(path, PathMatch::Regex(_)) {
                mains.by_pattern.entry(path.text()).or_insert(index);
            }
        }
        mains
    }

    /// The first of them that a canary is for.
    fn find(&self, canary: &AttachedCanary<'_>) -> Option<usize> {
        let (of_path, of_pattern) = (self.by_path.get(&canary.claim.path), self.by_pattern.get(&*canary.claim.text));
        of_path.into_iter().chain(of_pattern).min().copied()
    }
}

/// Tells a canary that there is nothing of which it is one.
pub fn report_without_main(canary: &AttachedCanary<'_>, attached: &mut [AttachedObject<'_>]) {
    let message = format!(
        "{} is served by no other Ingress, so this canary gets no requests; correct the host, the path or its type, or remove the \
         annotation `canary`",
        path_name(canary)
    );
    attached[canary.owner.1].draft.report_loss(&canary.claim.site, Reason::RefNotFound, message);
}

/// Why an object gets no requests of a main.
fn why_not(
    main: &AttachedClaim<'_>,
    before: Option<&AttachedCanary<'_>>,
    canary: &AttachedCanary<'_>,
    attached: &[AttachedObject<'_>],
) -> Option<String> {
    let path = path_name(canary);
    let name = |owner: Seniority| object_name(&attached[owner.1].object);
    if namespace_of(attached, main.owner) != namespace_of(attached, canary.owner) {
        return Some(format!(
            "{path} is served by {} of another namespace, so this canary gets no requests; make it in that namespace",
            name(main.owner)
        ));
    }
    if let Some(before) = before {
        return Some(format!(
            "{path} has {} as canary, which was first and stays in force, so this one gets no requests; remove one of them",
            name(before.owner)
        ));
    }
    let is_forwarded = matches!(&main.claim.action, Action::Forward(forward) if forward.only_backend().is_some());
    (!is_forwarded).then(|| {
        format!(
            "{path} of {} is not forwarded to a Service, so this canary gets no requests; correct that Ingress",
            name(main.owner)
        )
    })
}

fn path_name(canary: &AttachedCanary<'_>) -> String {
    match &canary.claim.host {
        HostName::Any => format!("The path {}", quoted(canary.claim.path.text())),
        host => format!("The path {} of the host {}", quoted(canary.claim.path.text()), quoted(&host.to_string())),
    }
}

/// The rules by which requests of a main's rule are shared with its canary, in the order in which they are tried. What is spoken, and
/// what becomes of the path, is as the main has it. `policies`: the main's, as it is for rules of the canary's, and for that of both.
pub fn share_rule(main: Rule, canary: &CanaryClaim, origin: &ObjectRef, policies: [PolicyId; 2]) -> Vec<Rule> {
    let (Action::Forward(forward), Some(backend)) = (&main.action, &canary.backend) else { return vec![main] };
    let Some(of_main) = forward.only_backend() else { return vec![main] };
    let backend = Backend { protocol: of_main.protocol, ..backend.clone() };
    let (to_canary, to_main) = (Destination::Backend(backend), Destination::Backend(of_main.clone()));
    let shared = |shares: &[(u32, &Destination)]| {
        let share = |(weight, destination): &(u32, &Destination)| WeightedBackend {
            weight: *weight,
            destination: (*destination).clone(),
        };
        Action::Forward(Forward { backends: shares.iter().map(share).collect(), path: forward.path.clone() })
    };
    let [policy, policy_of_both] = policies;
    let Canary { header, cookie, weight, total, draws_requests: _ } = &*canary.canary;
    let mut rules = Vec::new();
    for (matches, is_canary) in header_matches(&main.matches, header.as_ref())
        .into_iter()
        .chain(cookie_matches(&main.matches, cookie.as_deref()))
    {
        let of_main = || Rule { matches: matches.clone(), ..main.clone() };
        rules.push(if is_canary {
            Rule { action: shared(&[(1, &to_canary)]), origin: origin.clone(), policy, ..of_main() }
        } else {
            of_main()
        });
    }
    let action = match total - weight {
        _ if *weight == 0 => main.action.clone(),
        0 => shared(&[(1, &to_canary)]),
        rest => shared(&[(rest, &to_main), (*weight, &to_canary)]),
    };
    rules.push(Rule { action, policy: policy_of_both, ..main });
    rules
}

/// Which headers decide, and whether for the canary.
fn header_matches(main: &Match, header: Option<&(String, CanaryHeader)>) -> Vec<(Match, bool)> {
    let Some((name, wanted)) = header else { return Vec::new() };
    let with = |value: ValueMatch| Match { headers: vec![HeaderMatch { name: name.clone(), value }], ..main.clone() };
    match wanted {
        CanaryHeader::AlwaysOrNever => vec![(with(exact("always")), true), (with(exact("never")), false)],
        CanaryHeader::Value(value) => vec![(with(exact(value)), true)],
        CanaryHeader::Pattern(pattern) => vec![(with(ValueMatch::Regex(pattern.clone())), true)],
        CanaryHeader::Nothing => Vec::new(),
    }
}

fn cookie_matches(main: &Match, cookie: Option<&str>) -> Vec<(Match, bool)> {
    let Some(name) = cookie else { return Vec::new() };
    let with = |value: &str| {
        let cookie = CookieMatch { name: name.to_owned(), value: exact(value) };
        Match { cookies: vec![cookie], ..main.clone() }
    };
    vec![(with("always"), true), (with("never"), false)]
}

fn exact(text: &str) -> ValueMatch {
    ValueMatch::Exact(text.to_owned())
}
