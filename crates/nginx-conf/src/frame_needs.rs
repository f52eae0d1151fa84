//! What routes of a table need of the frame: locations that carry their policies out, and upstreams of the protocols that
//! their backends speak.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use entry_model::{
    Action, AddedHeader, Backend, Destination, FixedAnswer, HostName, Policies, Policy, PolicyId, Protocol, Routes,
    Rule,
};

use crate::host_tls::HostTls;
use crate::policy::headers;
use crate::policy_class::{PolicyClass, carried_out_by_location};
use crate::token::Text;

/// What routes of a table need of the frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameNeeds {
    /// The locations to which the module leads requests that are forwarded.
    pub(crate) locations: BTreeSet<ForwardLocation>,
    /// The upstreams through which it does.
    pub(crate) upstreams: BTreeSet<TableUpstream>,
    /// The locations in which it answers with texts.
    pub(crate) texts: BTreeMap<PolicyClass, TextLocation>,
    /// What clients are asked over TLS, by host: of those of whom it is not what all are asked.
    pub(crate) tls: BTreeMap<HostName, HostTls>,
    /// Which of all this the servers have that ask the same, by what it is. So each location is there for whoever needs it, and not once
    /// more for each server.
    by_tls: BTreeMap<u128, ServerNeeds>,
    /// Which of it every server has: what the default needs, and the plainest of all routes.
    of_all: ServerNeeds,
}

/// The rules of some routes that were looked at, by all of them that matters to a frame.
#[derive(Debug, Default)]
pub struct SeenRules(HashSet<(Option<u128>, PolicyId, Protocol, bool)>);

/// Which of the locations of a frame are in a server over TLS that asks something of its clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ServerNeeds {
    locations: BTreeSet<(TableUpstream, PolicyClass)>,
    texts: BTreeSet<PolicyClass>,
}

/// A location of the frame for all requests of a table that are forwarded in one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ForwardLocation {
    /// The upstream through which it forwards.
    pub upstream: TableUpstream,
    pub class: PolicyClass,
    pub policy: Policy,
}

/// A location of the frame for all texts that clients are told with the same headers, or for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextLocation {
    /// What is told there, if something of a request stands in it: else the module knows that.
    pub answer: Option<FixedAnswer>,
    pub headers: Vec<AddedHeader>,
}

/// An upstream for all backends of a table that speak one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableUpstream {
    pub protocol: Protocol,
    /// Whether connections are kept for further requests.
    pub keep_alive: bool,
}

impl FrameNeeds {
    /// What the plainest of all routes needs: every frame has it, so that the first of them needs no other one.
    pub fn of_any() -> Self {
        let (mut needs, policy) = (Self::default(), Policy::default());
        let location = needs.add_backend(TableUpstream { protocol: Protocol::Http, keep_alive: true }, &policy);
        needs.of_all.locations.insert(location);
        needs
    }

    /// What a rule with its policy needs.
    pub(crate) fn of_rule(rule: &Rule, policy: &Policy) -> Self {
        let mut needs = Self::default();
        needs.add_locations(rule, policy);
        needs
    }

    /// What all rules and hosts of these routes need.
    pub fn of(routes: &Routes) -> Self {
        let mut needs = Self::of_any();
        let mut seen = SeenRules::default();
        for (name, host) in &routes.hosts {
            let tls = HostTls::of(name, host, &routes.policies);
            needs.add(&host.rules, &routes.policies, tls.as_ref(), &mut seen);
            needs.set_tls(name, tls);
        }
        if let Some(rule) = &routes.default {
            needs.add_default(rule, routes.policy(rule));
        }
        needs
    }

    /// Adds what the rules of a host need whose clients are asked this; of those that are treated alike, once for all that were `seen`.
    pub fn add<'a>(
        &mut self,
        rules: impl IntoIterator<Item = &'a Rule>,
        policies: &Policies,
        tls: Option<&HostTls>,
        seen: &mut SeenRules,
    ) {
        let class = tls.map(HostTls::class);
        for rule in rules {
            let mut is_new = matches!(rule.action, Action::Answer(_));
            for backend in backends(rule) {
                is_new |= seen.0.insert((class, rule.policy, backend.protocol, backend.keep_alive));
            }
            if !is_new {
                continue;
            }
            let needed = self.add_locations(rule, &policies[rule.policy]);
            // Of what needs nothing nothing is kept: else a frame would never cover it.
            if let Some(class) = class.filter(|_| needed != ServerNeeds::default()) {
                self.by_tls.entry(class).or_default().add(needed);
            }
        }
    }

    /// Adds what the default needs, which each host may have.
    pub fn add_default(&mut self, rule: &Rule, policy: &Policy) {
        let needed = self.add_locations(rule, policy);
        self.of_all.add(needed);
    }

    /// Adds the locations that a rule needs, and says which these are.
    fn add_locations(&mut self, rule: &Rule, policy: &Policy) -> ServerNeeds {
        let mut needed = ServerNeeds::default();
        if let Action::Answer(answer) = &rule.action {
            let location = || TextLocation {
                answer: answer.fixed_text().is_none().then(|| answer.clone()),
                headers: policy.answer_headers.added.clone(),
            };
            needed.texts.extend(PolicyClass::of_text(answer, policy));
            self.texts.extend(needed.texts.iter().map(|class| (*class, location())));
        }
        for backend in backends(rule) {
            let upstream = TableUpstream { protocol: backend.protocol, keep_alive: backend.keep_alive };
            needed.locations.insert(self.add_backend(upstream, policy));
        }
        needed
    }

    fn add_backend(&mut self, upstream: TableUpstream, policy: &Policy) -> (TableUpstream, PolicyClass) {
        let class = PolicyClass::of(policy);
        self.upstreams.insert(upstream);
        self.locations.insert(ForwardLocation { upstream, class, policy: carried_out_by_location(policy) });
        (upstream, class)
    }

    /// Says what the clients of a host are asked over TLS; none if that is what all are. Unlike all else, nobody must be asked what nobody needs.
    pub fn set_tls(&mut self, name: &HostName, tls: Option<HostTls>) {
        match tls {
            Some(tls) => drop(self.tls.insert(name.clone(), tls)),
            None => drop(self.tls.remove(name)),
        }
    }

    /// What was said of a host that its clients are asked over TLS.
    pub fn tls_of(&self, name: &HostName) -> Option<&HostTls> {
        self.tls.get(name)
    }

    /// Whether a frame that has these has the locations and upstreams that others need.
    pub fn cover(&self, others: &Self) -> bool {
        others.locations.is_subset(&self.locations)
            && others.upstreams.is_subset(&self.upstreams)
            && others.texts.keys().all(|class| self.texts.contains_key(class))
            && self.of_all.cover(&others.of_all)
            && others.by_tls.iter().all(|(tls, needs)| self.by_tls.get(tls).is_some_and(|own| own.cover(needs)))
    }

    /// Which of the locations that forward a server has: all, or, where it asks something of its clients, those of its hosts.
    pub(crate) fn locations_of(&self, tls: Option<&HostTls>) -> impl Iterator<Item = &ForwardLocation> {
        let of_server = self.of_server(tls);
        let has = move |location: &&ForwardLocation| {
            of_server.is_none_or(|needs| {
                needs.into_iter().flatten().any(|needs| needs.locations.contains(&(location.upstream, location.class)))
            })
        };
        self.locations.iter().filter(has)
    }

    /// Which of those that answer with texts.
    pub(crate) fn texts_of(&self, tls: Option<&HostTls>) -> impl Iterator<Item = (PolicyClass, &TextLocation)> {
        let of_server = self.of_server(tls);
        let has = move |class: PolicyClass| {
            of_server.is_none_or(|needs| needs.into_iter().flatten().any(|needs| needs.texts.contains(&class)))
        };
        self.texts.iter().map(|(class, location)| (*class, location)).filter(move |(class, _)| has(*class))
    }

    /// Which of all locations are in a server that asks this; none of one that has all.
    fn of_server(&self, tls: Option<&HostTls>) -> Option<[Option<&ServerNeeds>; 2]> {
        tls.map(|tls| [Some(&self.of_all), self.by_tls.get(&tls.class())])
    }

    /// Whether texts, or headers of texts, need variables that are not there otherwise.
    pub(crate) fn have_variables_in_texts(&self) -> bool {
        let values = |text: &TextLocation| {
            let headers = text.headers.iter().any(|header| headers::need_variables(header.field.value().parts()));
            headers || text.answer.as_ref().is_some_and(|answer| headers::need_variables(answer.parts()))
        };
        self.texts.values().any(values)
    }

    /// The protocols of backends.
    pub(crate) fn protocols(&self) -> BTreeSet<Protocol> {
        self.upstreams.iter().map(|upstream| upstream.protocol).collect()
    }
}

impl ServerNeeds {
    fn add(&mut self, needed: Self) {
        self.locations.extend(needed.locations);
        self.texts.extend(needed.texts);
    }

    fn cover(&self, others: &Self) -> bool {
        others.locations.is_subset(&self.locations) && others.texts.is_subset(&self.texts)
    }
}

/// The backends to which a rule forwards requests.
pub fn backends(rule: &Rule) -> impl Iterator<Item = &Backend> {
    let shares = match &rule.action {
        Action::Forward(forward) => &forward.backends[..],
        Action::Redirect(_) | Action::Respond(_) | Action::Answer(_) => &[],
    };
    shares.iter().filter_map(|share| match &share.destination {
        Destination::Backend(backend) => Some(backend),
        Destination::Status(_) => None,
    })
}

impl ForwardLocation {
    /// Adds its name to a text. No path of a request is like this, so only the module leads there.
    pub fn name(&self, text: Text) -> Text {
        let TableUpstream { protocol, keep_alive } = self.upstream;
        let text = text.own("sparrow-").own(protocol_name(protocol)).own(if keep_alive { "-" } else { "-once-" });
        text.plain_of(&self.class.to_string(), '_')
    }
}

impl TableUpstream {
    /// Adds its name to a text.
    pub fn name(self, text: Text) -> Text {
        let text = text.own("sparrow_").own(protocol_name(self.protocol));
        if self.keep_alive { text } else { text.own("_once") }
    }
}

/// What the module calls a protocol.
fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
        Protocol::Http2 => "h2c",
        Protocol::Http2Tls => "h2",
    }
}

#[cfg(test)]
mod tests {
    use entry_model::{
        ClientTls, Host, Key, Kind, ListenerSet, Match, ObjectRef, PathMatch, PathRewrite, Policies, Redirect,
    };

    use super::*;

    #[test]
    fn needs_of_routes_cover_what_each_rule_adds() {
        let mut policies = Policies::default();
        let client_tls = ClientTls { prefers_own_order: Some(true), ..ClientTls::default() };
        let policy = policies.intern(&Policy { client_tls, ..Policy::default() });
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        // It needs no location, and its host has a server of its own.
        let redirect = Redirect { status: 301, scheme: None, host: None, port: None, path: PathRewrite::Keep };
        let rule = Rule {
            listeners: ListenerSet::ALL,
            matches: Match::path(PathMatch::Prefix("/".to_owned())),
            action: Action::Redirect(redirect),
            policy,
            origin: ObjectRef::new(Kind::Ingress, key),
        };
        let name = HostName::Exact("a.example".to_owned());
        let host = Host { rules: vec![rule].into(), ..Host::default() };
        let tls = HostTls::of(&name, &host, &policies);
        let mut added = FrameNeeds::default();
        added.add(&host.rules, &policies, tls.as_ref(), &mut SeenRules::default());
        let routes = Routes { hosts: [(name, host.into())].into(), policies, ..Routes::default() };
        let needs = FrameNeeds::of(&routes);
        assert!(tls.is_some() && needs.tls.len() == 1 && needs.cover(&added), "{added:?}");
    }
}
