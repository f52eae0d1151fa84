//! Routes become changes of a table.
//!
//! It works by host: of a host that changed, the rules that are not the same are found, and the paths of these are written anew.
//! Backends and certificates are counted, so that one comes with the first that names it and goes with the last.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use entry_model::{
    Action as ModelAction, CertificateId, Destination, Host, HostName, Policies, Routes, Rule as ModelRule,
};

use crate::backend::Backend;
use crate::carried_host::{CarriedRules, Classify, Obstacle, PathRef, RuleContext};
use crate::certificate::{Certificate, fits};
use crate::changes::{Change, Changes, DEFAULT_IN_FRAME};
use crate::key::{Key, MOST_HOST_BYTES, host_parts};
use crate::not_carried::NotCarried;
use crate::root::Revision;

/// Makes changes of routes, and remembers those that it was given last.
#[derive(Debug, Clone)]
pub struct Planner {
    classify: Classify,
    routes: Routes,
    revision: Option<Revision>,
    /// By host, of those that are left to the frame or not served at all. The default has no host.
    not_carried: BTreeMap<Option<HostName>, Vec<NotCarried>>,
    /// How many shares of rules lead to a backend, by its name.
    backends: HashMap<String, u64>,
    /// How many hosts have a certificate.
    certificates: HashMap<CertificateId, u64>,
}

/// Whether a rule is the same as one of other routes, whose policies may have other numbers.
fn is_same(rule: &ModelRule, policies: &Policies, other: &ModelRule, others: &Policies) -> bool {
    let ModelRule { listeners, matches, action, policy, origin } = rule;
    (listeners, matches, action, origin) == (&other.listeners, &other.matches, &other.action, &other.origin)
        && policies[*policy] == others[other.policy]
}

/// The paths of which rules are not the same.
fn changed_paths<'a>(
    old: &CarriedRules<'a>,
    old_context: RuleContext<'_>,
    new: &CarriedRules<'a>,
    new_context: RuleContext<'_>,
) -> BTreeSet<PathRef<'a>> {
    let same = |(old, new): (&(PathRef<'_>, &ModelRule), &(PathRef<'_>, &ModelRule))| {
        is_same(old.1, old_context.policies, new.1, new_context.policies)
    };
    let start = old.iter().zip(new).take_while(|pair| same(*pair)).count();
    let (old, new) = (&old[start..], &new[start..]);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|pair| same(*pair)).count();
    let (old, new) = (&old[..old.len() - end], &new[..new.len() - end]);
    old.iter().chain(new).map(|(path, _)| *path).collect()
}

/// The rules of some paths, by path.
fn by_path<'a>(rules: &CarriedRules<'a>, paths: &BTreeSet<PathRef<'a>>) -> HashMap<PathRef<'a>, Vec<&'a ModelRule>> {
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

/// Whether a host can be in a table: no request is for one that is longer than any in DNS.
fn has_key(name: &HostName) -> bool {
    host_parts(name).0.len() <= MOST_HOST_BYTES
}

/// The changes of a plan that is being made.
#[derive(Default)]
struct Plan {
    changes: Vec<Change>,
    /// Backends whose numbers of shares changed, by name, with the bytes of one that came.
    backends: BTreeMap<String, (i64, Vec<u8>)>,
    /// Certificates whose numbers of hosts changed.
    certificates: BTreeMap<CertificateId, i64>,
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
            certificates: HashMap::new(),
        }
    }

    /// What changes from the routes that it was given last to these: at first all of a table. It costs what changed.
    pub fn plan(&mut self, routes: &Routes, revision: Revision) -> Changes {
        let before = std::mem::replace(&mut self.routes, routes.clone());
        let [old, new] = [&before, routes].map(|Routes { policies, certificates, .. }| RuleContext {
            policies,
            certificates,
            classify: self.classify,
        });
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
        self.plan_certificates(&mut plan, &before, routes);
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

    /// The hosts that are left to the frame, with all of their rules.
    pub fn hosts_left_to_frame(&self) -> impl Iterator<Item = &HostName> {
        self.not_carried.keys().flatten().filter(|name| has_key(name))
    }

    /// Whether the default is left to the frame.
    pub fn is_default_left_to_frame(&self) -> bool {
        self.not_carried.contains_key(&None)
    }

    /// Remembers the rules of a host that are not carried, in place of those before.
    fn note(&mut self, name: Option<&HostName>, obstacles: &[Obstacle<'_>]) {
        let note = |obstacle: &Obstacle<'_>| NotCarried {
            host: name.cloned(),
            path: obstacle.path.to_owned(),
            origin: obstacle.origin.clone(),
            reason: obstacle.reason,
        };
        if obstacles.is_empty() {
            self.not_carried.remove(&name.cloned());
        } else {
            self.not_carried.insert(name.cloned(), obstacles.iter().map(note).collect());
        }
    }

    fn plan_host(
        &mut self,
        plan: &mut Plan,
        name: &HostName,
        (old, old_host): (RuleContext<'_>, Option<&Host>),
        (new, new_host): (RuleContext<'_>, Option<&Host>),
    ) {
        let old_carried = old_host.map(|host| old.carried_host(name, host));
        let new_carried = new_host.map(|host| new.carried_host(name, host));
        self.note(Some(name), new_carried.as_ref().map_or(&[], |carried| &carried.obstacles));
        if !has_key(name) {
            return;
        }
        let [old_entry, new_entry] = [&old_carried, &new_carried].map(|carried| carried.as_ref()?.entry().encode());
        let key = Key::Host(name.clone());
        match new_entry {
            None => plan.remove(&key),
            Some(new_entry) if old_entry.as_ref() != Some(&new_entry) => plan.put(&key, new_entry),
            Some(_) => {}
        }
        for (carried, by) in [(&old_carried, -1), (&new_carried, 1)] {
            if let Some(id) = carried.as_ref().and_then(|carried| carried.certificate()) {
                *plan.certificates.entry(id.clone()).or_default() += by;
            }
        }
        let [old_rules, new_rules] =
            [old_carried, new_carried].map(|carried| carried.map(|carried| carried.rules).unwrap_or_default());
        let changed = changed_paths(&old_rules, old, &new_rules, new);
        let (old_by_path, new_by_path) = (by_path(&old_rules, &changed), by_path(&new_rules, &changed));
        for path in &changed {
            let key = Key::Rules(name.clone(), path.to_path());
            let (old_rules, new_rules) = (old_by_path.get(path), new_by_path.get(path));
            for (rules, by) in [(old_rules, -1), (new_rules, 1)] {
                rules.into_iter().flatten().for_each(|rule| plan.count(rule, by));
            }
            match new_rules {
                Some(rules) => plan.put(&key, new.encode_rules(rules.iter().copied())),
                None => plan.remove(&key),
            }
        }
    }

    fn plan_default(
        &mut self,
        plan: &mut Plan,
        (old, old_rule): (RuleContext<'_>, Option<&ModelRule>),
        (new, new_rule): (RuleContext<'_>, Option<&ModelRule>),
    ) {
        let is_same = match (old_rule, new_rule) {
            (Some(rule), Some(other)) => is_same(rule, old.policies, other, new.policies),
            (rule, other) => rule.is_none() && other.is_none(),
        };
        if is_same {
            return;
        }
        for (context, rule, by) in [(old, old_rule, -1), (new, new_rule, 1)] {
            if let Some(rule) = rule.filter(|rule| context.default_path(rule).is_ok()) {
                plan.count(rule, by);
            }
        }
        let Some(rule) = new_rule else {
            plan.remove(&Key::Default);
            self.note(None, &[]);
            return;
        };
        let path = new.default_path(rule);
        let obstacles: Vec<_> = path.err().map(|reason| Obstacle::rule(rule, reason)).into_iter().collect();
        self.note(None, &obstacles);
        plan.put(&Key::Default, path.map_or_else(|_| DEFAULT_IN_FRAME.to_vec(), |path| new.encode_default(path, rule)));
    }

    /// A certificate comes with the first host that names it, if it is there, and goes with the last.
    fn plan_certificates(&mut self, plan: &mut Plan, before: &Routes, routes: &Routes) {
        let mut ids = std::mem::take(&mut plan.certificates);
        let is_same = |one: &Arc<_>, other: &Arc<_>| Arc::ptr_eq(one, other) || one == other;
        for id in routes.certificates.changed_keys(&before.certificates, is_same) {
            ids.entry(id.clone()).or_default();
        }
        for (id, by) in ids {
            let count = self.certificates.get(&id).copied().unwrap_or(0);
            let carried = |routes: &Routes| routes.certificates.get(&id).filter(|one| fits(&id, one)).cloned();
            let old = carried(before).filter(|_| count > 0);
            let count = count.saturating_add_signed(by);
            let new = carried(routes).filter(|_| count > 0);
            let key = Key::Certificate(Arc::clone(&id.0));
            match (&old, &new) {
                (Some(old), Some(new)) if is_same(old, new) => {}
                (_, Some(new)) => plan.put(&key, Certificate::encode(new)),
                (Some(_), None) => plan.remove(&key),
                (None, None) => {}
            }
            if count == 0 {
                self.certificates.remove(&id);
            } else {
                self.certificates.insert(id, count);
            }
        }
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
