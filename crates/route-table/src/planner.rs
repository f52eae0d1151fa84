//! Routes become changes of a table.
//!
//! It works by host: of a host that changed, the rules that are not the same are found, and the paths of these are written anew.
//! Backends are counted, so that one comes with its first rule and goes with its last.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use entry_model::{
    Action as ModelAction, Destination, Host, HostName, ListenerSet, ObjectRef, PathMatch, PathRewrite, Policies,
    Policy, Routes, Rule as ModelRule, ValueMatch,
};

use crate::backend::Backend;
use crate::bytes::Writing;
use crate::changes::{Change, Changes};
use crate::host_entry::{HostEntry, HostFacts};
use crate::key::{Key, MOST_HOST_BYTES, MOST_PATH_BYTES, MOST_PATH_DEPTH, Path, depth, host_parts};
use crate::layout::MOST_BLOB_BYTES;
use crate::not_carried::{NotCarried, NotCarriedReason};
use crate::path_rules::{Action, Class, Conditions, Rule, Share, Target};
use crate::root::Revision;

/// Which class of locations of the frame a rule needs; none if the frame has none for it.
pub type Classify = fn(&ModelRule, &Policy) -> Option<Class>;

/// Makes changes of routes, and remembers those that it was given last.
#[derive(Debug, Clone)]
pub struct Planner {
    classify: Classify,
    routes: Routes,
    revision: Option<Revision>,
    /// By host and, where the rules of one path are too long, by path. The default has no host.
    not_carried: BTreeMap<(Option<HostName>, Option<Path>), Vec<NotCarried>>,
    /// How many shares of rules lead to a backend, by its name.
    backends: HashMap<String, u64>,
}

/// Routes with what is decided of their rules.
#[derive(Clone, Copy)]
struct Side<'a> {
    policies: &'a Policies,
    classify: Classify,
}

/// The rules of a host that go into the table, each with its path. Empty for one that is left to the frame.
type Carried<'a> = Vec<(PathRef<'a>, &'a ModelRule)>;

/// A path as a key has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum PathRef<'a> {
    Exact(&'a str),
    Prefix(&'a str),
}

impl<'a> PathRef<'a> {
    /// None for a pattern.
    fn of(path: &'a PathMatch) -> Option<Self> {
        match path {
            PathMatch::Exact(path) => Some(Self::Exact(path)),
            PathMatch::Prefix(path) => Some(Self::Prefix(path.trim_end_matches('/'))),
            PathMatch::Regex(_) => None,
        }
    }

    fn text(self) -> &'a str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
        }
    }

    fn to_path(self) -> Path {
        match self {
            Self::Exact(text) => Path::Exact(text.into()),
            Self::Prefix(text) => Path::Prefix(text.into()),
        }
    }

    /// Why it has no key.
    fn refused(self) -> Option<NotCarriedReason> {
        let text = self.text();
        let is_root = matches!(self, Self::Prefix(""));
        let is_deep = matches!(self, Self::Prefix(_)) && depth(text) > MOST_PATH_DEPTH;
        if !is_root && !text.starts_with('/') {
            Some(NotCarriedReason::NoPath)
        } else if text.len() > MOST_PATH_BYTES || is_deep {
            Some(NotCarriedReason::LongPath)
        } else {
            None
        }
    }
}

/// Why a rule cannot be found by its path alone and conditions of plain texts.
fn refused_match(rule: &ModelRule) -> Option<NotCarriedReason> {
    let is_pattern = |value: &ValueMatch| matches!(value, ValueMatch::Regex(_));
    let matches = &rule.matches;
    let has_pattern = matches.headers.iter().any(|header| is_pattern(&header.value))
        || matches.query.iter().any(|parameter| is_pattern(&parameter.value));
    match PathRef::of(&matches.path) {
        None => Some(NotCarriedReason::PathPattern),
        Some(path) => path.refused().or(has_pattern.then_some(NotCarriedReason::ValuePattern)),
    }
}

impl<'a> Side<'a> {
    /// Why nothing is done by the table with a rule that it finds.
    fn refused_action(self, rule: &ModelRule) -> Option<NotCarriedReason> {
        let rewrite = match &rule.action {
            ModelAction::Forward(forward) => Some(&forward.path),
            ModelAction::Redirect(redirect) => Some(&redirect.path),
            ModelAction::Respond(_) => None,
        };
        if matches!(rewrite, Some(PathRewrite::Regex { .. })) {
            Some(NotCarriedReason::RewritePattern)
        } else if self.class(rule).is_none() {
            Some(NotCarriedReason::NoClass)
        } else {
            None
        }
    }

    fn class(self, rule: &ModelRule) -> Option<Class> {
        (self.classify)(rule, &self.policies[rule.policy])
    }

    /// Whether a host is left to the frame, and the rules that are not carried, with why.
    fn judge(self, name: &HostName, host: &'a Host) -> (bool, Vec<(&'a ModelRule, NotCarriedReason)>) {
        let is_long = host_parts(name).0.len() > MOST_HOST_BYTES;
        let judge = |rule: &'a ModelRule| {
            let reason = refused_match(rule).or_else(|| self.refused_action(rule));
            let reason = if is_long { Some(NotCarriedReason::LongHost) } else { reason };
            reason.map(|reason| (rule, reason))
        };
        let refused: Vec<_> = host.rules.iter().filter_map(judge).collect();
        (refused.iter().any(|(_, reason)| reason.is_of_host()), refused)
    }

    /// The rules that go into the table.
    fn carried(self, name: &HostName, host: Option<&'a Host>) -> Carried<'a> {
        let Some(host) = host else { return Vec::new() };
        if self.judge(name, host).0 || host_parts(name).0.len() > MOST_HOST_BYTES {
            return Vec::new();
        }
        let with_path = |rule: &'a ModelRule| {
            let path = PathRef::of(&rule.matches.path)?;
            path.refused().is_none().then_some((path, rule))
        };
        host.rules.iter().filter_map(with_path).collect()
    }

    /// What is done with the requests of a rule.
    fn action(self, rule: &ModelRule) -> Action {
        if self.refused_action(rule).is_some() {
            return Action::Frame;
        }
        match &rule.action {
            ModelAction::Forward(forward) => {
                let share = |share: &entry_model::WeightedBackend| Share {
                    weight: share.weight,
                    target: match &share.destination {
                        Destination::Backend(backend) => Target::Backend(Backend::name_of(backend).into()),
                        Destination::Status(status) => Target::Status(*status),
                    },
                };
                let shares = forward.backends.iter().map(share).collect();
                Action::Forward { shares, rewrite: forward.path.clone() }
            }
            ModelAction::Redirect(redirect) => Action::Redirect(redirect.clone()),
            ModelAction::Respond(status) => Action::Respond(*status),
        }
    }

    fn rule(self, rule: &ModelRule) -> Rule {
        let matches = &rule.matches;
        let pair = |name: &str, value: &ValueMatch| (name.into(), value.text().into());
        Rule {
            listeners: rule.listeners,
            conditions: Conditions {
                method: matches.method.as_deref().map(Box::from),
                headers: matches.headers.iter().map(|header| pair(&header.name, &header.value)).collect(),
                query: matches.query.iter().map(|parameter| pair(&parameter.name, &parameter.value)).collect(),
            },
            action: self.action(rule),
            policy: self.policies[rule.policy].clone(),
            class: self.class(rule).unwrap_or_default(),
            origin: rule.origin.clone(),
        }
    }

    /// The bytes of rules; none if these are too many.
    fn encode_rules<'r>(self, rules: impl ExactSizeIterator<Item = &'r ModelRule>) -> Option<Vec<u8>> {
        let mut writing = Writing::default();
        writing.len16(rules.len());
        rules.for_each(|rule| self.rule(rule).encode(&mut writing));
        // With room for the key.
        writing.into_bytes().filter(|bytes| bytes.len() <= MOST_BLOB_BYTES / 2)
    }
}

/// The bytes of a rule that leaves all requests of its path to the frame.
fn encode_frame(rule: &ModelRule) -> Vec<u8> {
    let mut writing = Writing::default();
    writing.len16(1);
    let (conditions, origin) = (Conditions::default(), ObjectRef::new(rule.origin.kind, short(&rule.origin.key)));
    let (policy, class) = (Policy::default(), Class::default());
    Rule { listeners: ListenerSet::ALL, conditions, action: Action::Frame, policy, class, origin }.encode(&mut writing);
    writing.into_bytes().unwrap_or_default()
}

fn short(key: &entry_model::Key) -> entry_model::Key {
    let short = |text: &str| text.chars().take(253).collect();
    entry_model::Key { namespace: short(&key.namespace), name: short(&key.name) }
}

/// What a table knows of a host.
fn host_entry(name: &HostName, host: &Host, side: Side<'_>) -> HostEntry {
    let (is_in_frame, _) = side.judge(name, host);
    let mut facts = HostFacts {
        is_everywhere: host.rules.is_empty(),
        is_closed: host.closed,
        is_in_frame,
        has_certificate: host.certificate.is_some(),
        listeners: host.rules.iter().fold(0, |bits, rule| bits | rule.listeners.bits()),
        ..HostFacts::default()
    };
    for (path, _) in side.carried(name, Some(host)) {
        match path {
            PathRef::Exact(_) => facts.has_exact = true,
            PathRef::Prefix(prefix) => facts.depths |= 1 << depth(prefix).min(MOST_PATH_DEPTH),
        }
        facts.longest_path = facts.longest_path.max(u16::try_from(path.text().len()).unwrap_or(u16::MAX));
    }
    HostEntry { facts, certificate: host.certificate.as_ref().map(|id| Arc::clone(&id.0)) }
}

/// Whether a rule is the same as one of other routes, whose policies may have other numbers.
fn is_same(rule: &ModelRule, policies: &Policies, other: &ModelRule, others: &Policies) -> bool {
    let ModelRule { listeners, matches, action, policy, origin } = rule;
    (listeners, matches, action, origin) == (&other.listeners, &other.matches, &other.action, &other.origin)
        && policies[*policy] == others[other.policy]
}

/// The paths of which rules are not the same.
fn changed_paths<'a>(
    old: &Carried<'a>,
    old_side: Side<'_>,
    new: &Carried<'a>,
    new_side: Side<'_>,
) -> BTreeSet<PathRef<'a>> {
    let same = |(old, new): (&(PathRef<'_>, &ModelRule), &(PathRef<'_>, &ModelRule))| {
        is_same(old.1, old_side.policies, new.1, new_side.policies)
    };
    let start = old.iter().zip(new).take_while(|pair| same(*pair)).count();
    let (old, new) = (&old[start..], &new[start..]);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|pair| same(*pair)).count();
    let (old, new) = (&old[..old.len() - end], &new[..new.len() - end]);
    old.iter().chain(new).map(|(path, _)| *path).collect()
}

/// The rules of some paths, by path.
fn by_path<'a>(rules: &Carried<'a>, paths: &BTreeSet<PathRef<'a>>) -> HashMap<PathRef<'a>, Vec<&'a ModelRule>> {
    let mut by_path: HashMap<_, Vec<_>> = HashMap::new();
    for (path, rule) in rules.iter().filter(|(path, _)| paths.contains(path)) {
        by_path.entry(*path).or_default().push(*rule);
    }
    by_path
}

/// The backends of a rule's shares.
fn backends(rule: &ModelRule) -> impl Iterator<Item = &entry_model::Backend> {
    let shares = match &rule.action {
        ModelAction::Forward(forward) => &forward.backends[..],
        ModelAction::Redirect(_) | ModelAction::Respond(_) => &[],
    };
    shares.iter().filter_map(|share| match &share.destination {
        Destination::Backend(backend) => Some(backend),
        Destination::Status(_) => None,
    })
}

/// Whether numbers that both have stand for the same.
fn agree(policies: &Policies, others: &Policies) -> bool {
    policies.iter().all(|(id, policy)| others.get(id).is_none_or(|other| Arc::ptr_eq(policy, other) || policy == other))
}

/// The changes of a plan that is being made.
#[derive(Default)]
struct Plan {
    changes: Vec<Change>,
    /// Backends whose numbers of shares changed, by name, with the bytes of one that came.
    backends: BTreeMap<String, (i64, Vec<u8>)>,
}

impl Plan {
    fn put(&mut self, key: &Key, value: Vec<u8>) {
        self.changes.push(Change::put(key, value));
    }

    fn remove(&mut self, key: &Key) {
        self.changes.push(Change::remove(key));
    }

    fn count(&mut self, rule: &ModelRule, by: i64) {
        for backend in backends(rule) {
            let (count, bytes) = self.backends.entry(Backend::name_of(backend)).or_default();
            *count += by;
            if by > 0 && bytes.is_empty() {
                *bytes = Backend::encode(backend);
            }
        }
    }
}

impl Planner {
    /// One that was given nothing yet.
    pub fn new(classify: Classify) -> Self {
        Self {
            classify,
            routes: Routes::default(),
            revision: None,
            not_carried: BTreeMap::new(),
            backends: HashMap::new(),
        }
    }

    /// What changes from the routes that it was given last to these: at first all of a table. It costs what changed.
    pub fn plan(&mut self, routes: &Routes, revision: Revision) -> Changes {
        let before = std::mem::replace(&mut self.routes, routes.clone());
        let [old, new] = [&before, routes].map(|routes| Side { policies: &routes.policies, classify: self.classify });
        let mut plan = Plan::default();
        let changed: Vec<&HostName> = if agree(new.policies, old.policies) {
            routes.hosts.changed_keys(&before.hosts, |host, other| Arc::ptr_eq(host, other) || host == other)
        } else {
            let all: BTreeSet<_> = routes.hosts.keys().chain(before.hosts.keys()).collect();
            all.into_iter().collect()
        };
        for name in changed {
            let hosts = [&before, routes].map(|routes| routes.hosts.get(name).map(AsRef::as_ref));
            self.plan_host(&mut plan, name, (old, hosts[0]), (new, hosts[1]));
        }
        self.plan_default(&mut plan, (old, before.default.as_ref()), (new, routes.default.as_ref()));
        self.plan_backends(&mut plan);
        Changes { base: self.revision.replace(revision), revision, changes: plan.changes }
    }

    /// All of the table that it planned last, for whoever has none.
    pub fn full(&self) -> Changes {
        Self::new(self.classify).plan(&self.routes, self.revision.unwrap_or_default())
    }

    /// The revision that it planned last.
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// The rules that the table does not carry.
    pub fn not_carried(&self) -> impl Iterator<Item = &NotCarried> {
        self.not_carried.values().flatten()
    }

    /// Remembers the rules of a host, or of a path of it, that are not carried, in place of those before.
    fn note(&mut self, place: (Option<&HostName>, Option<Path>), rules: &[(&ModelRule, NotCarriedReason)]) {
        let host = place.0.cloned();
        let note = |(rule, reason): &(&ModelRule, _)| NotCarried {
            host: host.clone(),
            path: rule.matches.path.text().to_owned(),
            origin: rule.origin.clone(),
            reason: *reason,
        };
        let notes: Vec<_> = rules.iter().map(note).collect();
        let place = (host, place.1);
        if notes.is_empty() {
            self.not_carried.remove(&place);
        } else {
            self.not_carried.insert(place, notes);
        }
    }

    fn plan_host(
        &mut self,
        plan: &mut Plan,
        name: &HostName,
        (old, old_host): (Side<'_>, Option<&Host>),
        (new, new_host): (Side<'_>, Option<&Host>),
    ) {
        let refused = new_host.map(|host| new.judge(name, host).1).unwrap_or_default();
        self.note((Some(name), None), &refused);
        if host_parts(name).0.len() > MOST_HOST_BYTES {
            return;
        }
        let entries = (
            old_host.and_then(|host| host_entry(name, host, old).encode()),
            new_host.and_then(|host| host_entry(name, host, new).encode()),
        );
        let key = Key::Host(name.clone());
        match entries {
            (Some(_), None) => plan.remove(&key),
            (old, Some(new)) if old.as_ref() != Some(&new) => plan.put(&key, new),
            _ => {}
        }
        let (old_rules, new_rules) = (old.carried(name, old_host), new.carried(name, new_host));
        let changed = changed_paths(&old_rules, old, &new_rules, new);
        let (old_by_path, new_by_path) = (by_path(&old_rules, &changed), by_path(&new_rules, &changed));
        for path in &changed {
            let key = Key::Rules(name.clone(), path.to_path());
            let (old_rules, new_rules) = (old_by_path.get(path), new_by_path.get(path));
            old_rules.into_iter().flatten().for_each(|rule| plan.count(rule, -1));
            new_rules.into_iter().flatten().for_each(|rule| plan.count(rule, 1));
            let mut too_long = Vec::new();
            match new_rules {
                Some(rules) => {
                    let bytes = new.encode_rules(rules.iter().copied());
                    if bytes.is_none() {
                        too_long.extend(rules.iter().map(|rule| (*rule, NotCarriedReason::LongRules)));
                    }
                    plan.put(&key, bytes.unwrap_or_else(|| encode_frame(rules[0])));
                }
                None => plan.remove(&key),
            }
            self.note((Some(name), Some(path.to_path())), &too_long);
        }
    }

    fn plan_default(
        &mut self,
        plan: &mut Plan,
        (old, old_rule): (Side<'_>, Option<&ModelRule>),
        (new, new_rule): (Side<'_>, Option<&ModelRule>),
    ) {
        let is_same = match (old_rule, new_rule) {
            (Some(rule), Some(other)) => is_same(rule, old.policies, other, new.policies),
            (rule, other) => rule.is_none() && other.is_none(),
        };
        if is_same {
            return;
        }
        for (rule, by) in old_rule.map(|rule| (rule, -1)).into_iter().chain(new_rule.map(|rule| (rule, 1))) {
            plan.count(rule, by);
        }
        let Some(rule) = new_rule else {
            plan.remove(&Key::Default);
            self.note((None, None), &[]);
            return;
        };
        let mut reason = refused_match(rule).or_else(|| new.refused_action(rule));
        let path = PathRef::of(&rule.matches.path).filter(|_| refused_match(rule).is_none());
        let bytes = new.encode_rules(std::iter::once(rule));
        let (bytes, path) = match path.zip(bytes) {
            Some((path, bytes)) => (bytes, path),
            None => {
                reason = reason.or(Some(NotCarriedReason::LongRules));
                (encode_frame(rule), PathRef::Prefix(""))
            }
        };
        let mut writing = Writing::default();
        writing.bool(matches!(path, PathRef::Exact(_)));
        writing.text(path.text());
        writing.raw(&bytes);
        plan.put(&Key::Default, writing.into_bytes().unwrap_or_default());
        let refused: Vec<_> = reason.map(|reason| (rule, reason)).into_iter().collect();
        self.note((None, None), &refused);
    }

    fn plan_backends(&mut self, plan: &mut Plan) {
        for (name, (by, bytes)) in std::mem::take(&mut plan.backends) {
            let before = self.backends.get(&name).copied().unwrap_or(0);
            let after = before.saturating_add_signed(by);
            let key = Key::Backend(name.as_str().into());
            match (before, after) {
                (0, 1..) => plan.put(&key, bytes),
                (1.., 0) => plan.remove(&key),
                _ => {}
            }
            if after == 0 {
                self.backends.remove(&name);
            } else {
                self.backends.insert(name, after);
            }
        }
    }
}
