//! Routes become changes of a table.
//!
//! It works by host: of a host that changed, the rules that are not the same are found, and the paths of these are written anew.
//! Backends and certificates are counted, so that one comes with the first that names it and goes with the last. When endpoints
//! change, the backends that are reached at them are written anew, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use entry_model::{
    Action as ModelAction, CertificateId, Destination, Endpoints, Host, HostName, Policies, Routes, Rule as ModelRule,
    RuleList,
};

use crate::backend::Backend;
use crate::carried_host::{
    CarriedHost, Classifier, NO_RULES, Obstacle, RuleContext, default_path, is_of_pattern, obstacles, rules_of_paths,
};
use crate::certificate::{Certificate, fits};
use crate::changes::{Change, Changes, DEFAULT_NOT_CARRIED};
use crate::host_entry::TlsClass;
use crate::key::{Key, MOST_HOST_BYTES, host_parts};
use crate::not_carried::{NotCarried, NotCarriedReason};
use crate::pattern_order::PatternOrder;
use crate::root::Revision;

/// Makes changes of routes, and remembers those that it was given last.
#[derive(Debug, Clone)]
pub struct Planner {
    classifier: Classifier,
    routes: Routes,
    revision: Option<Revision>,
    /// Of the hosts that are not served.
    not_carried: BTreeMap<HostName, Vec<NotCarried>>,
    /// The default, if it is not served.
    default_not_carried: Option<NotCarried>,
    /// How many shares of rules lead to a backend, by its name.
    backends: HashMap<String, u64>,
    /// How many hosts have a certificate.
    certificates: HashMap<CertificateId, u64>,
    /// What is asked of the clients of hosts over TLS, where that is not what all are asked.
    tls_classes: HashMap<HostName, TlsClass>,
}

/// Whether a rule is the same as one of other routes, whose policies may have other numbers.
fn is_same(rule: &ModelRule, policies: &Policies, other: &ModelRule, others: &Policies) -> bool {
    let ModelRule { listeners, matches, action, policy, origin } = rule;
    (listeners, matches, action, origin) == (&other.listeners, &other.matches, &other.action, &other.origin)
        && is_tried_alike(rule, other)
        && policies[*policy] == others[other.policy]
}

/// Whether rules of the same path are tried at the same place: patterns of the same text need not be.
fn is_tried_alike(rule: &ModelRule, other: &ModelRule) -> bool {
    rule.matches.path.precedence(&other.matches.path).is_eq()
}

/// Whether hosts with the same policies are the same.
fn is_same_host(host: &Arc<Host>, other: &Arc<Host>) -> bool {
    let are_same_rules = || {
        let [rules, others] = host.rules.unshared(&other.rules);
        rules.iter().zip(&others).all(|(rule, other)| rule == other && is_tried_alike(rule, other))
    };
    let of_host = |host: &Arc<Host>| (host.certificate.clone(), host.closed, host.rules.len());
    Arc::ptr_eq(host, other) || of_host(host) == of_host(other) && are_same_rules()
}

/// The rules that differ, of old and new ones. Rules that both share are the same if numbers stand for the same policies, and are not looked
/// at then.
fn differing_rules<'a>(
    (old, old_policies): (&'a RuleList, &Policies),
    (new, new_policies): (&'a RuleList, &Policies),
    do_policies_agree: bool,
) -> [Vec<&'a ModelRule>; 2] {
    let [went, came] =
        if do_policies_agree { old.unshared(new) } else { [old, new].map(|list| list.shared().collect()) };
    let is_same = |old: &Arc<ModelRule>, new: &Arc<ModelRule>| is_same(old, old_policies, new, new_policies);
    entry_model::differing_rules(went, came, is_same).map(|rules| rules.into_iter().map(AsRef::as_ref).collect())
}

/// The backends of a rule's shares.
fn backends(rule: &ModelRule) -> impl Iterator<Item = &entry_model::Backend> {
    let shares = match &rule.action {
        ModelAction::Forward(forward) => &forward.backends[..],
        ModelAction::Redirect(_) | ModelAction::Respond(_) | ModelAction::Answer(_) => &[],
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
struct Plan<'a> {
    /// What is planned.
    routes: &'a Routes,
    /// Whether numbers of policies stand for the same as before.
    do_policies_agree: bool,
    changes: Vec<Change>,
    /// Backends by name.
    backends: BTreeMap<String, BackendChange>,
    /// Certificates whose numbers of hosts changed.
    certificates: BTreeMap<CertificateId, i64>,
}

/// What becomes of a backend.
#[derive(Default)]
struct BackendChange {
    /// How many more shares lead to it.
    more: i64,
    /// Its bytes, if shares came or its endpoints changed.
    bytes: Vec<u8>,
    /// Whether its endpoints changed.
    is_changed: bool,
}

impl Plan<'_> {
    fn put(&mut self, key: &Key, value: Vec<u8>) {
        self.changes.push(Change::put(key, value));
    }

    fn remove(&mut self, key: &Key) {
        self.changes.push(Change::remove(key));
    }

    /// What is known of a host, if that changed, and its certificates. Beside the host, the rules of it that differ.
    fn put_host(
        &mut self,
        name: &HostName,
        (old, went): (Option<CarriedHost<'_>>, &[&ModelRule]),
        (new, came): (Option<CarriedHost<'_>>, &[&ModelRule]),
    ) {
        let key = Key::Host(name.clone());
        match (old, new) {
            (_, None) => self.remove(&key),
            (Some(old), Some(new)) if old.is_known_alike(new, went, came) => {}
            (old, Some(new)) => match [old, Some(new)].map(|host| host?.entry().encode()) {
                [_, None] => self.remove(&key),
                [old_entry, Some(new_entry)] if old_entry.as_ref() != Some(&new_entry) => self.put(&key, new_entry),
                [_, Some(_)] => {}
            },
        }
        for (host, by) in [(old, -1), (new, 1)] {
            if let Some(id) = host.and_then(CarriedHost::certificate) {
                *self.certificates.entry(id.clone()).or_default() += by;
            }
        }
    }

    /// In which order the patterns of a host are tried, if one of those differs that went and came.
    fn put_pattern_order(
        &mut self,
        name: &HostName,
        (old, went): (Option<CarriedHost<'_>>, &[&ModelRule]),
        (new, came): (Option<CarriedHost<'_>>, &[&ModelRule]),
    ) {
        if !went.iter().chain(came).any(|rule| is_of_pattern(rule)) {
            return;
        }
        let key = Key::PatternOrder(name.clone());
        match [old, new].map(|host| PatternOrder::encode(host?.rules().iter())) {
            [old, Some(new)] if old.as_ref() != Some(&new) => self.put(&key, new),
            [Some(_), None] => self.remove(&key),
            _ => {}
        }
    }

    fn count(&mut self, rule: &ModelRule, by: i64) {
        for backend in backends(rule) {
            let change = self.backends.entry(Backend::name_of(backend)).or_default();
            change.more += by;
            if by > 0 && change.bytes.is_empty() {
                change.bytes = Backend::encode(backend, self.routes.addresses(backend));
            }
        }
    }
}

impl Planner {
    /// One that was given nothing yet.
    pub fn new(classifier: Classifier) -> Self {
        Self {
            classifier,
            routes: Routes::default(),
            revision: None,
            not_carried: BTreeMap::new(),
            default_not_carried: None,
            backends: HashMap::new(),
            certificates: HashMap::new(),
            tls_classes: HashMap::new(),
        }
    }

    /// What changes from the routes that it was given last to these: at first all of a table. It costs what changed.
    pub fn plan(&mut self, routes: &Routes, revision: Revision) -> Changes {
        let before = std::mem::replace(&mut self.routes, routes.clone());
        let [old, new] = [&before, routes].map(|routes| RuleContext::new(&routes.policies, self.classifier));
        let mut plan = Plan {
            routes,
            do_policies_agree: agree(new.policies, old.policies),
            changes: Vec::new(),
            backends: BTreeMap::new(),
            certificates: BTreeMap::new(),
        };
        let changed: Vec<&HostName> = if plan.do_policies_agree {
            routes.hosts.changed_keys(&before.hosts, is_same_host)
        } else {
            let all: BTreeSet<_> = routes.hosts.keys().chain(before.hosts.keys()).collect();
            all.into_iter().collect()
        };
        for name in changed {
            let hosts = [&before, routes].map(|routes| routes.hosts.get(name).map(AsRef::as_ref));
            self.plan_host(&mut plan, name, (&old, hosts[0]), (&new, hosts[1]));
        }
        self.plan_default(&mut plan, (&old, before.default.as_ref()), (&new, routes.default.as_ref()));
        self.plan_endpoints(&mut plan, &before);
        self.plan_backends(&mut plan);
        self.plan_certificates(&mut plan, &before, routes);
        Changes { base: self.revision.replace(revision), revision, changes: plan.changes }
    }

    /// All of the table that it planned last, for whoever has none.
    pub fn full(&self) -> Changes {
        Self::new(self.classifier).plan(&self.routes, self.revision.unwrap_or_default())
    }

    /// The revision that it planned last.
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// The rules that the table does not carry.
    pub fn not_carried(&self) -> impl Iterator<Item = &NotCarried> {
        self.not_carried.values().flatten().chain(&self.default_not_carried)
    }

    /// Remembers what keeps a host out of the table, in place of what did before.
    fn note(&mut self, name: &HostName, obstacles: &[Obstacle<'_>]) {
        if obstacles.is_empty() {
            self.not_carried.remove(name);
        } else {
            let noted = obstacles.iter().map(|obstacle| obstacle.to_not_carried(Some(name))).collect();
            self.not_carried.insert(name.clone(), noted);
        }
    }

    /// What is asked of the clients of a host over TLS.
    pub fn tls_class(&self, name: &HostName) -> TlsClass {
        self.tls_classes.get(name).copied().unwrap_or_default()
    }

    fn set_tls_class(&mut self, name: &HostName, class: TlsClass) {
        if class == TlsClass::default() {
            self.tls_classes.remove(name);
        } else {
            self.tls_classes.insert(name.clone(), class);
        }
    }

    /// Each rule is compared with what it was, and only those that differ are looked at closely, with those of the same paths.
    fn plan_host(
        &mut self,
        plan: &mut Plan<'_>,
        name: &HostName,
        (old, old_host): (&RuleContext<'_>, Option<&Host>),
        (new, new_host): (&RuleContext<'_>, Option<&Host>),
    ) {
        if !has_key(name) {
            let rules = new_host.map_or(&NO_RULES, |host| &host.rules);
            let long: Vec<_> = rules.iter().map(|rule| Obstacle::rule(rule, NotCarriedReason::LongHost)).collect();
            self.note(name, &long);
            self.set_tls_class(name, new_host.map(|host| new.tls_class(name, host)).unwrap_or_default());
            return;
        }
        let old_class = self.tls_class(name);
        let carried =
            |host| CarriedHost { host, is_carried: !self.not_carried.contains_key(name), tls_class: old_class };
        let old_host = old_host.map(carried);
        let old_rules = old_host.map_or(&NO_RULES, CarriedHost::rules);
        let rules = new_host.map_or(&NO_RULES, |host| &host.rules);
        let [mut went, mut came] =
            differing_rules((old_rules, old.policies), (rules, new.policies), plan.do_policies_agree);
        let asks = |rules: &[&ModelRule], policies: &Policies| {
            rules.iter().any(|rule| policies[rule.policy].asks_in_handshake())
        };
        let is_asked_alike = plan.do_policies_agree
            && old_host.is_some_and(|host| host.is_carried)
            && !asks(&went, old.policies)
            && !asks(&came, new.policies);
        let tls_class = match new_host {
            Some(_) if is_asked_alike => old_class,
            Some(host) => new.tls_class(name, host),
            None => TlsClass::default(),
        };
        self.set_tls_class(name, tls_class);
        let mut by_path = rules_of_paths(rules, came.iter().chain(&went));
        // What was carried, and stays as it is, keeps nothing out.
        let obstacles = new_host.map(|host| obstacles(host, &came, &by_path)).unwrap_or_default();
        self.note(name, &obstacles);
        let new_host = new_host.map(|host| CarriedHost { host, is_carried: obstacles.is_empty(), tls_class });
        if !obstacles.is_empty() {
            // Whatever of it was carried goes.
            [went, came] = [old_rules.iter().collect(), Vec::new()];
            by_path = rules_of_paths(&NO_RULES, &went);
        }
        plan.put_host(name, (old_host, &went), (new_host, &came));
        plan.put_pattern_order(name, (old_host, &went), (new_host, &came));
        for (rules, by) in [(&went, -1), (&came, 1)] {
            for rule in rules {
                plan.count(rule, by);
            }
        }
        for (path, rules) in by_path {
            let key = Key::Rules(name.clone(), path.to_path());
            if rules.is_empty() {
                plan.remove(&key);
            } else {
                plan.put(&key, new.encode_rules(rules.into_iter()));
            }
        }
    }

    fn plan_default(
        &mut self,
        plan: &mut Plan<'_>,
        (old, old_rule): (&RuleContext<'_>, Option<&ModelRule>),
        (new, new_rule): (&RuleContext<'_>, Option<&ModelRule>),
    ) {
        let is_same = match (old_rule, new_rule) {
            (Some(rule), Some(other)) => is_same(rule, old.policies, other, new.policies),
            (rule, other) => rule.is_none() && other.is_none(),
        };
        if is_same {
            return;
        }
        for (rule, by) in [(old_rule, -1), (new_rule, 1)] {
            if let Some(rule) = rule.filter(|rule| default_path(rule).is_ok()) {
                plan.count(rule, by);
            }
        }
        self.default_not_carried = None;
        let Some(rule) = new_rule else {
            plan.remove(&Key::Default);
            return;
        };
        let path = default_path(rule);
        self.default_not_carried = path.err().map(|reason| Obstacle::rule(rule, reason).to_not_carried(None));
        plan.put(
            &Key::Default,
            path.map_or_else(|_| DEFAULT_NOT_CARRIED.to_vec(), |path| new.encode_default(path, rule)),
        );
    }

    /// A certificate comes with the first host that names it, if it is there, and goes with the last.
    fn plan_certificates(&mut self, plan: &mut Plan<'_>, before: &Routes, routes: &Routes) {
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

    /// Notes the backends whose endpoints are not as they were.
    fn plan_endpoints(&self, plan: &mut Plan<'_>, before: &Routes) {
        let same = |endpoints: &Endpoints, other: &Endpoints| Arc::ptr_eq(endpoints, other) || endpoints == other;
        for id in plan.routes.endpoints.changed_keys(&before.endpoints, same) {
            for backend in Backend::of_endpoints(id) {
                let name = Backend::name_of(&backend);
                if self.backends.contains_key(&name) {
                    let change = plan.backends.entry(name).or_default();
                    change.is_changed = true;
                    change.bytes = Backend::encode(&backend, plan.routes.addresses(&backend));
                }
            }
        }
    }

    fn plan_backends(&mut self, plan: &mut Plan<'_>) {
        for (name, BackendChange { more, bytes, is_changed }) in std::mem::take(&mut plan.backends) {
            let before = self.backends.get(&name).copied().unwrap_or(0);
            let after = before.saturating_add_signed(more);
            let key = Key::Backend(name.as_str().into());
            match (before, after) {
                (0, 1..) => plan.put(&key, bytes),
                (1.., 0) => plan.remove(&key),
                (1.., 1..) if is_changed => plan.put(&key, bytes),
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
