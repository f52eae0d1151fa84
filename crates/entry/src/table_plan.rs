//! What is in the table that nginx's module routes by, and what the frame must have for that.
//!
//! ```text
//! Routes ─► planner ─► changes since the table that was published last ─► volume
//!        └► what they need ─► frame
//! ```

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use entry_model::{Action, Certificate, CertificateId, Host, HostName, ObjectRef, Policy, Routes, Rule, SortedMap};
use nginx_conf::{
    FrameNeeds, HostTls, PolicyClass, RenderNote, SeenRules, Settings, unreachable_notes, unwritten_note,
};
use route_table::{Changes, Class, Classifier, Planner, Revision, TlsClass};

/// Plans the table of the routes, and remembers what was published of it.
#[derive(Debug)]
pub struct TablePlan {
    planner: Planner,
    /// What a frame has for the routes that were planned so far: kept as long as it is enough, so that a policy that comes and goes
    /// costs no reload.
    needs: FrameNeeds,
    /// The hosts that were planned last.
    hosts: SortedMap<HostName, Arc<Host>>,
    /// What is told of rules of the table whose backends this nginx cannot reach, or of which it cannot read what they ask for, by host.
    notes: BTreeMap<HostName, Vec<(Arc<Rule>, RenderNote)>>,
    /// The same of the default.
    default_notes: Vec<RenderNote>,
    /// The revision that was planned last.
    revision: Revision,
    /// The revision that was published last; none before the first.
    published: Option<Revision>,
    /// What changed since.
    changes: Changes,
    /// All of what was planned last, as long as it is known: planning it anew takes as long as the first time.
    whole: Option<Changes>,
    /// The certificates that were planned last, and those that were published last.
    certificates: [SortedMap<CertificateId, Arc<Certificate>>; 2],
}

impl Default for TablePlan {
    fn default() -> Self {
        Self {
            planner: Planner::new(Classifier {
                of_policy: |policy| Class(PolicyClass::of(policy).0),
                of_text: |answer, policy| {
                    PolicyClass::of_text(answer, policy).map_or_else(Class::default, |class| Class(class.0))
                },
                of_tls: |name, host, policies| TlsClass(HostTls::of(name, host, policies).map_or(0, |tls| tls.class())),
            }),
            needs: FrameNeeds::of_any(),
            hosts: SortedMap::default(),
            notes: BTreeMap::new(),
            default_notes: Vec::new(),
            revision: Revision(0),
            published: None,
            changes: Changes { base: None, revision: Revision(0), changes: Vec::new() },
            whole: None,
            certificates: Default::default(),
        }
    }
}

impl TablePlan {
    /// Plans the table of these routes for an nginx. It costs what changed.
    pub fn plan(&mut self, routes: &Routes, settings: &Settings) {
        let next = Revision(self.revision.0 + 1);
        let planned = self.planner.plan(routes, next);
        if planned.base.is_none() {
            self.revision = next;
            self.whole = Some(planned);
        } else if !planned.changes.is_empty() {
            self.revision = next;
            self.whole = None;
            self.changes.merge(planned.changes);
        }
        self.certificates[0] = routes.certificates.clone();
        let before = std::mem::replace(&mut self.hosts, routes.hosts.clone());
        let (mut added, mut seen) = (FrameNeeds::default(), SeenRules::default());
        let none = Arc::default();
        for name in self.hosts.changed_keys(&before, Arc::ptr_eq) {
            let [host, old] = [&self.hosts, &before].map(|hosts| hosts.get(name));
            // Of a host whose clients are asked nothing the planner knows that without a look at all rules.
            let asking = host.filter(|_| self.planner.tls_class(name) != TlsClass::default());
            let tls = asking.and_then(|host| HostTls::of(name, host, &routes.policies));
            let [host, old] = [host.unwrap_or(&none), old.unwrap_or(&none)];
            let [came, went] = host.rules.unshared(&old.rules);
            // What each rule needs depends on what clients are asked over TLS, which is so for all of a host.
            let is_asked_alike = self.needs.tls_of(name) == tls.as_ref();
            let to_add = if is_asked_alike { came.clone() } else { host.rules.shared().collect() };
            added.add(to_add.into_iter().map(AsRef::as_ref), &routes.policies, tls.as_ref(), &mut seen);
            self.needs.set_tls(name, tls);
            let mut notes = self.notes.remove(name).unwrap_or_default();
            if !notes.is_empty() {
                let gone: HashSet<*const Rule> = went.iter().map(|rule| Arc::as_ptr(rule)).collect();
                notes.retain(|(rule, _)| !gone.contains(&Arc::as_ptr(rule)));
            }
            notes.extend(
                came.iter().flat_map(|rule| {
                    rule_notes(rule, routes.policy(rule), settings).map(|note| (Arc::clone(rule), note))
                }),
            );
            if !notes.is_empty() {
                self.notes.insert(name.clone(), notes);
            }
        }
        routes.default.iter().for_each(|rule| added.add_default(rule, routes.policy(rule)));
        let of_default = routes.default.iter().flat_map(|rule| rule_notes(rule, routes.policy(rule), settings));
        self.default_notes = of_default.collect();
        if !self.needs.cover(&added) {
            // The frame changes anyway, so what nobody needs any more goes with it.
            self.needs = FrameNeeds::of(routes);
        }
    }

    /// What is told of rules of the table: whose backends this nginx cannot reach, and what does not fit into the table.
    pub fn notes(&self) -> impl Iterator<Item = RenderNote> {
        let not_carried = self
            .planner
            .not_carried()
            .map(|rule| RenderNote { object: rule.origin.clone(), message: rule.to_string() });
        let of_rules = self.notes.values().flatten().map(|(_, note)| note);
        of_rules.chain(&self.default_notes).cloned().chain(not_carried)
    }

    /// What the routes that were planned last need of the frame.
    pub fn needs(&self) -> &FrameNeeds {
        &self.needs
    }

    /// The revision of the table that was planned last.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The whole table that was planned last.
    pub fn whole(&mut self) -> Changes {
        let whole = self.whole.take().unwrap_or_else(|| self.planner.full());
        Changes { base: None, revision: self.revision, ..whole }
    }

    /// What is to be published for a frame that is in use; none if that was done.
    pub fn publication(&mut self) -> Option<Changes> {
        match self.published {
            Some(base) if base == self.revision => None,
            Some(base) => Some(Changes { base: Some(base), revision: self.revision, ..self.changes.clone() }),
            None => Some(self.whole()),
        }
    }

    /// What takes room on the volume when the table is published, in bytes: each certificate that was not there before, by its id,
    /// and all else, by the empty name.
    pub fn unpublished_bytes(&mut self, is_new_frame: bool) -> BTreeMap<String, u64> {
        let is_whole = is_new_frame || self.published.is_none();
        let unpublished = if is_whole { self.whole.get_or_insert_with(|| self.planner.full()) } else { &self.changes };
        let all = unpublished.encoded_bytes() as u64;
        let [planned, published] = &self.certificates;
        let new = planned.changed_keys(published, Arc::ptr_eq).into_iter().filter_map(|id| {
            let certificate = planned.get(id).filter(|_| !published.contains_key(id))?;
            Some((id.0.to_string(), (certificate.chain.len() + certificate.key.len()) as u64))
        });
        let mut bytes: BTreeMap<String, u64> = new.collect();
        let others = all.saturating_sub(bytes.values().sum());
        bytes.insert(String::new(), others);
        bytes
    }

    /// Whose certificate an id of [`TablePlan::unpublished_bytes`] is of.
    pub fn certificate_owner(&self, id: &str) -> Option<&ObjectRef> {
        self.certificates[0].get(&CertificateId(id.into())).map(|certificate| &certificate.origin)
    }

    /// The table of this revision was published.
    pub fn note_published(&mut self, revision: Revision) {
        // Whatever was planned since is still to be published, and needs a whole table.
        self.published = (revision == self.revision).then_some(revision);
        self.changes.changes.clear();
        self.certificates[1] = self.certificates[0].clone();
    }

    /// All of the table that was published last: with it, those who read the volume need not read what was before. None if another was
    /// planned since.
    pub fn published_whole(&mut self) -> Option<Changes> {
        (self.published == Some(self.revision)).then(|| self.whole())
    }

    /// The table is to be published whole next, under a revision of its own that is higher than this one too.
    pub fn publish_whole_after(&mut self, newest: Option<Revision>) {
        self.revision = Revision(newest.map_or(self.revision.0, |newest| newest.0.max(self.revision.0)) + 1);
        self.published = None;
        self.changes.changes.clear();
    }
}

/// What is told of a rule. Most have a policy that asks for nothing, which nginx can read.
fn rule_notes(rule: &Rule, policy: &Policy, settings: &Settings) -> impl Iterator<Item = RenderNote> {
    let asks = *policy != Policy::default() || matches!(rule.action, Action::Answer(_));
    unreachable_notes(rule, settings).chain(asks.then(|| unwritten_note(rule, policy, settings)).flatten())
}

#[cfg(test)]
mod tests {
    use entry_model::{
        Access, AddedHeader, Affinity, AnswerHeaders, Backend, Balancing, BasicAuth, ClientCertificateRule,
        ClientCertificates, ClientTls, ClientVerification, FixedAnswer, Forward, HeaderField, Key, Kind, Listener,
        ListenerSet, Match, PasswordFile, PathMatch, PathRewrite, Policies, Policy, PolicyId, Protocol, Rule,
        SessionCookie, Timeouts, VerificationMode, WeightedBackend,
    };

    use super::*;

    fn forward(path: &str, port: u16, policy: PolicyId) -> Rule {
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], port)).into();
        let backend = Backend { address, protocol: Protocol::Http, keep_alive: true };
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        Rule {
            listeners: ListenerSet::ALL,
            matches: Match::path(PathMatch::Prefix(path.to_owned())),
            action: Action::Forward(Forward::to(backend, PathRewrite::Keep)),
            policy,
            origin: ObjectRef::new(Kind::Ingress, key),
        }
    }

    /// A host and the default, both at this port, treated with this read timeout in seconds.
    fn routes(port: u16, read: u64) -> Routes {
        let mut policies = Policies::default();
        let timeouts = Timeouts { read: Some(std::time::Duration::from_secs(read)), ..Timeouts::default() };
        let policy = policies.intern(&Policy { timeouts, ..Policy::default() });
        let host = Host { rules: vec![forward("/", port, policy)].into(), ..Host::default() };
        Routes {
            listeners: Listener::built_in(&[([127, 0, 0, 1], 80).into()], &[]),
            hosts: [(HostName::Exact("a.example".to_owned()), Arc::new(host))].into(),
            default: Some(forward("/", port, policy)),
            policies,
            ..Routes::default()
        }
    }

    fn frame(plan: &mut TablePlan, routes: &Routes) -> String {
        let settings = Settings::default();
        plan.plan(routes, &settings);
        nginx_conf::render(routes, plan.needs(), &settings).hash
    }

    #[test]
    fn frame_stays_while_routes_lead_elsewhere() {
        let mut plan = TablePlan::default();
        let first = frame(&mut plan, &routes(80, 1));
        assert_eq!(frame(&mut plan, &routes(81, 1)), first);
        let with_both = frame(&mut plan, &routes(81, 2));
        assert_ne!(with_both, first, "a policy that no rule had");
        // Of policies that come and go those stay that the frame has.
        assert_eq!(frame(&mut plan, &routes(82, 2)), with_both);
    }

    /// As [`routes`], where clients of the host are asked for certificates of this authority, or speak ciphers of their own.
    fn asking(port: u16, authority: Option<&str>) -> Routes {
        let mut routes = routes(port, 1);
        routes.listeners = Listener::built_in(&[([127, 0, 0, 1], 80).into()], &[([127, 0, 0, 1], 443).into()]);
        let origin = ObjectRef::new(Kind::Secret, Key { namespace: "shop".to_owned(), name: "ca".to_owned() });
        let verification = |authority: &str| ClientVerification {
            mode: VerificationMode::Required,
            depth: 1,
            authorities: authority.into(),
            revoked: "".into(),
            error_page: None,
            origin: origin.clone(),
        };
        let asked = authority.map(|authority| {
            ClientCertificates::Usable(ClientCertificateRule {
                verification: verification(authority).into(),
                subject: None,
                passes_certificate: false,
            })
        });
        let client_tls = ClientTls { prefers_own_order: authority.is_none().then_some(true), ..ClientTls::default() };
        let policy = Policy { client_certificates: asked, client_tls, ..Policy::default() };
        let policy = routes.policies.intern(&policy);
        for (_, host) in routes.hosts.iter_mut() {
            Arc::make_mut(host).rules = vec![forward("/", port, policy)].into();
        }
        routes
    }

    #[test]
    fn hosts_whose_clients_are_asked_something_else_change_without_another_frame() {
        for authority in [Some("one"), None] {
            let mut plan = TablePlan::default();
            let first = frame(&mut plan, &asking(80, authority));
            assert_eq!(frame(&mut plan, &asking(81, authority)), first, "{authority:?}");
            // What they are asked is the frame's, and goes with whoever asks it.
            let none = frame(&mut plan, &Routes { hosts: routes(81, 1).hosts, ..asking(81, authority) });
            assert_eq!(frame(&mut plan, &asking(82, authority)), first, "{authority:?}");
            let second = frame(&mut plan, &asking(81, Some("two")));
            assert!(first != second && second != none && none != first, "{authority:?}");
        }
    }

    #[test]
    fn authorities_of_many_hosts_have_one_location_together() {
        let mut plan = TablePlan::default();
        let mut routes = asking(80, Some("one"));
        for number in 0..9 {
            let mut other = asking(80, Some(&format!("authority {number}")));
            let (_, host) = other.hosts.iter_mut().next().unwrap();
            let rule = &mut Arc::make_mut(host).rules[0];
            rule.policy = routes.policies.intern(&other.policies[rule.policy]);
            routes.hosts.insert(HostName::Exact(format!("{number}.example")), Arc::clone(host));
        }
        let settings = Settings::default();
        plan.plan(&routes, &settings);
        let frame = nginx_conf::render(&routes, plan.needs(), &settings);
        let config = String::from_utf8(frame.files["nginx.conf"].clone()).unwrap();
        let server = config.rsplit("ssl_verify_client on;").next().unwrap();
        assert_eq!(
            server.matches("location = \"sparrow-http-").count(),
            3,
            "with, without, and the plainest: {server}"
        );
        assert_eq!(frame.files.keys().filter(|path| path.starts_with("authorities/")).count(), 10);
    }

    #[test]
    fn servers_over_tls_have_the_locations_of_their_own_hosts_alone() {
        const HOSTS: usize = 40;
        let mut routes = asking(80, Some("one"));
        for number in 0..HOSTS {
            let mut other = asking(80, Some(&format!("authority {number}")));
            let (_, host) = other.hosts.iter_mut().next().unwrap();
            let rule = &mut Arc::make_mut(host).rules[0];
            let policy = Policy { max_body_bytes: Some(number as u64 + 1), ..other.policies[rule.policy].clone() };
            rule.policy = routes.policies.intern(&policy);
            routes.hosts.insert(HostName::Exact(format!("{number}.example")), Arc::clone(host));
        }
        let (mut plan, settings) = (TablePlan::default(), Settings::default());
        plan.plan(&routes, &settings);
        let frame = nginx_conf::render(&routes, plan.needs(), &settings);
        assert_eq!(nginx_conf::render(&routes, &FrameNeeds::of(&routes), &settings).hash, frame.hash);
        let config = String::from_utf8(frame.files["nginx.conf"].clone()).unwrap();
        // All of them at each listener, and in each server its own, that of the default and the plainest.
        let of_all = HOSTS + 3;
        assert_eq!(config.matches("location = \"sparrow-http-").count(), 2 * of_all + 3 * (HOSTS + 1));
        for number in 0..HOSTS {
            let name = format!("server_name \"{number}.example\";");
            let (_, server) = config.split_once(&name).unwrap();
            let (server, _) = server.split_once("\n    }\n").unwrap();
            assert!(server.contains(&format!("client_max_body_size {};", number + 1)), "{server}");
        }
    }

    #[test]
    fn what_nginx_could_not_read_is_closed_and_told() {
        let realm = "a realm is no text with a $variable".to_owned();
        let basic_auth = Some(BasicAuth { realm, passwords: Arc::new(PasswordFile("user:hash".to_owned())) });
        let mut routes = routes(80, 1);
        let access = Access { basic_auth, ..Access::default() };
        let policy = routes.policies.intern(&Policy { access, ..Policy::default() });
        let rules = vec![forward("/closed", 80, policy), forward("/", 80, routes.default.as_ref().unwrap().policy)];
        let host = Host { rules: rules.into(), ..Host::default() };
        routes.hosts.insert(HostName::Exact("a.example".to_owned()), Arc::new(host));
        let (mut plan, settings) = (TablePlan::default(), Settings::default());
        plan.plan(&routes, &settings);
        let notes: Vec<_> = plan.notes().map(|note| note.message).collect();
        let [note] = &notes[..] else { panic!("{notes:?}") };
        assert!(note.contains("\"/closed\"") && note.contains("answered 503"), "{note}");
        let frame = nginx_conf::render(&routes, plan.needs(), &settings);
        let config = String::from_utf8(frame.files["nginx.conf"].clone()).unwrap();
        let name = format!("location = \"sparrow-http-{}\" {{", PolicyClass::of(&routes.policies[policy]));
        let (_, block) = config.split_once(&name).expect("a location");
        let (block, _) = block.split_once("\n        }\n").unwrap();
        assert!(block.contains("return 503 $sparrow_503;") && !block.contains("proxy_pass"), "{block}");
    }

    #[test]
    fn sessions_with_shares_change_without_another_frame() {
        for affinity in [Affinity::Balanced, Affinity::Persistent] {
            let session = Balancing::Session(Box::new(SessionCookie { affinity, ..SessionCookie::new("route") }));
            let shares = |weights: &[u32]| {
                let mut routes = routes(80, 1);
                let policy = routes.policies.intern(&Policy { balancing: session.clone(), ..Policy::default() });
                let mut rule = forward("/", 80, policy);
                let Action::Forward(forward) = &mut rule.action else { panic!("{rule:?}") };
                let share = forward.backends[0].clone();
                forward.backends =
                    weights.iter().map(|weight| WeightedBackend { weight: *weight, ..share.clone() }).collect();
                let host = Host { rules: vec![rule].into(), ..Host::default() };
                routes.hosts.insert(HostName::Exact("a.example".to_owned()), Arc::new(host));
                routes
            };
            let mut plan = TablePlan::default();
            let first = frame(&mut plan, &shares(&[1]));
            assert_eq!(frame(&mut plan, &shares(&[9, 1])), first, "{affinity:?}");
            assert_eq!(frame(&mut plan, &shares(&[5, 1, 4])), first, "{affinity:?}");
        }
    }

    #[test]
    fn texts_are_carried_and_new_ones_need_no_other_frame() {
        let mut plan = TablePlan::default();
        let mut with_text = |path: &str, text: &str, header: Option<&str>| {
            let mut routes = routes(80, 1);
            let field = |value| HeaderField::new("X-A", value).unwrap();
            let added = header.map(|value| AddedHeader { field: field(value), always: true }).into_iter().collect();
            let answer_headers = AnswerHeaders { added, ..AnswerHeaders::default() };
            let policy = routes.policies.intern(&Policy { answer_headers, ..Policy::default() });
            let answer = Action::Answer(FixedAnswer::new(200, None, text).unwrap());
            let host = Host {
                rules: vec![Rule { action: answer.clone(), ..forward(path, 80, policy) }].into(),
                closed: true,
                ..Host::default()
            };
            routes.hosts.insert(HostName::Exact("a.example".to_owned()), Arc::new(host));
            routes.default = Some(Rule { action: answer, ..forward("/", 80, policy) });
            let settings = Settings::default();
            plan.plan(&routes, &settings);
            nginx_conf::render(&routes, plan.needs(), &settings).hash
        };
        let plain = with_text("/a", "one", None);
        assert_eq!(with_text("/b", "two", None), plain);
        let told = with_text("/b", "two", Some("$request_uri"));
        assert_ne!(told, plain, "headers that no text had");
        assert_eq!(with_text("/c", "three", Some("$request_uri")), told);
        assert_eq!(with_text("/c", "three", None), told);
        assert_ne!(with_text("/c", "$host", None), told, "a text with something of the request");
    }

    #[test]
    fn changes_follow_a_whole_table_until_one_is_asked_for() {
        let mut plan = TablePlan::default();
        frame(&mut plan, &routes(80, 1));
        let whole = plan.publication().unwrap();
        assert_eq!((whole.base, whole.revision), (None, Revision(1)));
        plan.note_published(whole.revision);
        assert_eq!(plan.publication(), None);
        frame(&mut plan, &routes(81, 1));
        frame(&mut plan, &routes(82, 1));
        let changes = plan.publication().unwrap();
        assert_eq!((changes.base, changes.revision), (Some(Revision(1)), Revision(3)));
        plan.note_published(changes.revision);
        let whole = plan.published_whole().unwrap();
        assert_eq!((whole.base, whole.revision), (None, Revision(3)));
        assert_eq!(plan.publication(), None);
        frame(&mut plan, &routes(83, 1));
        assert_eq!(plan.published_whole(), None);
        plan.publish_whole_after(Some(Revision(9)));
        let whole = plan.publication().unwrap();
        assert_eq!((whole.base, whole.revision), (None, Revision(10)));
    }
}
