//! Routes, requests, tables.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use entry_model::{
    Action, Affinity, Backend, BackendAddress, Balancing, Certificate, CertificateId, CookieMatch, Destination,
    Endpoints, EndpointsId, FixedAnswer, Forward, HeaderMatch, Host, HostName, Key, Kind, Listener, ListenerId,
    ListenerSet, Match, ObjectRef, PathMatch, PathRewrite, Pattern, PatternEngine, Policy, Protocol, QueryParamMatch,
    Redirect, Request, Routes, RoutingDecision, Rule, Scheme, SessionCookie, SortedMap, Timeouts, UrlPart, UrlText,
    UrlVariable, ValueMatch, WeightedBackend,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use route_table::{Class, Classifier, Headers, NoHeaders, Planner, Revision, Step, Table, TableWriter, TlsClass};

pub type Memory = Arc<[AtomicU64]>;

/// A memory of so many bytes.
pub fn memory(bytes: usize) -> Memory {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}

/// What is in a memory.
pub fn image(memory: &Memory) -> Vec<u64> {
    memory.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

pub fn from_image(image: &[u64]) -> Memory {
    image.iter().map(|word| AtomicU64::new(*word)).collect()
}

pub fn writer(memory: &Memory) -> TableWriter<Memory> {
    TableWriter::create(Arc::clone(memory), [3, 5]).expect("the memory is large enough")
}

pub fn planner() -> Planner {
    Planner::new(Classifier {
        of_policy: class_of,
        of_text: |_, policy| class_of(policy),
        of_tls: |_, host, policies| {
            let asked = host.rules.iter().map(|rule| &policies[rule.policy].client_tls).find(|tls| !tls.is_default());
            TlsClass(asked.map_or(0, |tls| 1 + u128::from(tls.prefers_own_order == Some(true))))
        },
    })
}

/// A table of routes, and what it was planned by.
pub fn table_of(routes: &Routes, bytes: usize) -> (Planner, TableWriter<Memory>, Table<Memory>) {
    let (mut planner, mut writer) = (planner(), writer(&memory(bytes)));
    writer.apply(&planner.plan(routes, Revision(1))).expect("there is room");
    let table = Table::open_with_cache(Arc::clone(writer.memory()), 64).expect("a table");
    (planner, writer, table)
}

pub const HOSTS: &[&str] = &["a.example", "b.a.example", "c.b.a.example", "example", "other"];
/// What certificate authorities ask for, and what is like it.
pub const CHALLENGES: &[&str] = &[
    "/.well-known",
    "/.well-known/acme-challenge",
    "/.well-known/acme-challenge/",
    "/.well-known/acme-challenge/x",
    "/.well-known/acme-challenge/x/y",
];
pub const PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "//a", "/a//b"];

#[derive(Debug)]
struct Never;

impl PatternEngine for Never {
    fn is_match(&self, _: &[u8]) -> bool {
        false
    }

    fn replace(&self, text: &[u8], _: &str) -> Vec<u8> {
        text.to_owned()
    }
}

/// A pattern of an engine that takes more than that of tables.
pub fn unbounded_pattern() -> Pattern {
    Pattern::new("^/(a+)+$", Arc::new(Never))
}

/// A pattern that tables carry.
pub fn pattern(text: &str) -> Pattern {
    pattern_engine::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Rules for this pattern.
pub fn regex(text: &str) -> Match {
    Match::path(PathMatch::Regex(pattern(text)))
}

/// Patterns that objects have written so: many are as long as others, or as prefixes.
fn any_path_pattern() -> impl Strategy<Value = Pattern> {
    let text = select(&["^/a", "^/[ab]", "/b$", ".*", "(?i)^/A", "^/a/.", "^\\*", "^$", "^/\\."][..]);
    let written = select(&["", "/", "/a", "/b", "/a/b", "/a/b/c"][..]);
    (text, proptest::option::of(written), proptest::bool::weighted(0.2)).prop_map(|(text, written, is_first)| {
        let pattern = written.map_or_else(|| pattern(text), |written| pattern(text).written_as(written));
        if is_first { pattern.placed_first() } else { pattern }
    })
}

/// A path of a challenge, or one that is like it.
pub fn any_challenge() -> impl Strategy<Value = PathMatch> {
    let prefix = |path: &str| PathMatch::Prefix(path.trim_end_matches('/').to_owned());
    (select(CHALLENGES), any::<bool>())
        .prop_map(move |(path, is_exact)| if is_exact { PathMatch::Exact(path.to_owned()) } else { prefix(path) })
}

fn any_value() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        3 => select(&["1", "2"][..]).prop_map(|text| ValueMatch::Exact(text.to_owned())),
        1 => select(&["^1$", "[23]", "(?i)A"][..]).prop_map(|text| ValueMatch::Regex(pattern(text))),
    ]
}

pub fn any_host_name() -> impl Strategy<Value = HostName> {
    let name = || select(HOSTS).prop_map(str::to_owned);
    prop_oneof![
        3 => name().prop_map(HostName::Exact),
        2 => name().prop_map(HostName::OneLabel),
        2 => name().prop_map(HostName::Suffix),
        1 => Just(HostName::Any),
    ]
}

fn any_match() -> impl Strategy<Value = Match> {
    let path = prop_oneof![
        4 => select(PATHS).prop_map(|path| PathMatch::Exact(path.to_owned())),
        6 => select(&["/", "/a", "/a/b"][..]).prop_map(|path| PathMatch::Prefix(path.to_owned())),
        6 => any_path_pattern().prop_map(PathMatch::Regex),
        2 => any_challenge(),
    ];
    let pairs = |names: &'static [&'static str]| proptest::collection::btree_map(select(names), any_value(), 0..2);
    let method = proptest::option::weighted(0.3, select(&["GET", "POST"][..]));
    let conditions = (method, pairs(&["x-a", "x-b"]), pairs(&["c", "d"]), pairs(&["p", "q"]));
    (path, conditions).prop_map(|(path, (method, headers, cookies, query))| Match {
        path,
        method: method.map(str::to_owned),
        headers: headers.into_iter().map(|(name, value)| HeaderMatch { name: name.to_owned(), value }).collect(),
        cookies: cookies.into_iter().map(|(name, value)| CookieMatch { name: name.to_owned(), value }).collect(),
        query: query.into_iter().map(|(name, value)| QueryParamMatch { name: name.to_owned(), value }).collect(),
    })
}

/// Every third is reached at its endpoints.
pub fn backend(number: u8) -> Backend {
    let address = match number % 3 {
        0 => SocketAddr::from(([10, 0, 0, number], 80)).into(),
        1 => SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)], 8080)).into(),
        _ => BackendAddress::Endpoints(endpoints_id(u16::from(number) % 2)),
    };
    let protocol = [Protocol::Http, Protocol::Https, Protocol::Http2, Protocol::Http2Tls][usize::from(number) % 4];
    Backend { address, protocol, keep_alive: !number.is_multiple_of(3) }
}

/// The endpoints of one of a few ports.
pub fn endpoints_id(port: u16) -> EndpointsId {
    EndpointsId { service: Key { namespace: "shop".to_owned(), name: "web".to_owned() }.into(), port }
}

pub fn any_endpoints() -> impl Strategy<Value = Endpoints> {
    let address = (0..4_u8, any::<bool>()).prop_map(|(number, v4)| {
        let ip: IpAddr = if v4 { [10, 1, 0, number].into() } else { [0xfd01, 0, 0, 0, 0, 0, 0, number.into()].into() };
        SocketAddr::new(ip, 8080)
    });
    vec(address, 0..4).prop_map(Endpoints::from)
}

fn any_url_part() -> impl Strategy<Value = UrlPart> {
    prop_oneof![
        select(&["/y?z", "&"][..]).prop_map(|text| UrlPart::Text(text.to_owned())),
        select(UrlVariable::NAMES.map(|(_, variable)| variable).to_vec()).prop_map(UrlPart::Variable),
    ]
}

fn any_rewrite() -> impl Strategy<Value = PathRewrite> {
    prop_oneof![
        Just(PathRewrite::Keep),
        Just(PathRewrite::StripPrefix),
        Just(PathRewrite::ReplacePrefix("/x".to_owned())),
        Just(PathRewrite::ReplaceFull("/y/".to_owned())),
        vec(any_url_part(), 1..4).prop_map(|parts| PathRewrite::ReplaceTarget(UrlText(parts))),
        any_path_pattern().prop_map(|pattern| PathRewrite::Regex { pattern, template: "/x$1".to_owned() }),
    ]
}

fn any_action() -> impl Strategy<Value = Action> {
    let destination = prop_oneof![
        4 => (0..8_u8).prop_map(|number| Destination::Backend(backend(number))),
        1 => Just(Destination::Status(503)),
    ];
    let share = (0..4_u32, destination).prop_map(|(weight, destination)| WeightedBackend { weight, destination });
    let redirect = (
        select(&[301_u16, 308][..]),
        proptest::option::of(select(&[Scheme::Http, Scheme::Https][..])),
        proptest::option::of(Just("there.example".to_owned())),
        proptest::option::of(any::<u16>()),
        any_rewrite(),
    );
    prop_oneof![
        6 => (vec(share, 0..4), any_rewrite())
            .prop_map(|(backends, path)| Action::Forward(Forward { backends, path })),
        1 => redirect.prop_map(|(status, scheme, host, port, path)| {
            Action::Redirect(Redirect { status, scheme, host, port, path })
        }),
        1 => select(&[404_u16, 503][..]).prop_map(Action::Respond),
        1 => (select(&[200_u16, 403][..]), select(&["", "麻雀\n", "<p>\"}\\", "${host}!"][..]))
            .prop_map(|(status, text)| Action::Answer(FixedAnswer::new(status, None, text).expect("a text"))),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let time = || proptest::option::weighted(0.3, (0..5_000_u64).prop_map(Duration::from_millis));
    let timeouts = (time(), time(), time()).prop_map(|(connect, read, send)| Timeouts { connect, read, send });
    let affinity = select(&[Affinity::Balanced, Affinity::Persistent, Affinity::PersistentUntilFailure][..]);
    let session = (affinity, any::<bool>()).prop_map(|(affinity, changes_share)| {
        Balancing::Session(Box::new(SessionCookie { affinity, changes_share, ..SessionCookie::new("c") }))
    });
    let balancing = prop_oneof![2 => Just(Balancing::RoundRobin), 1 => session];
    (timeouts, proptest::option::weighted(0.3, any::<u64>()), any::<bool>(), balancing).prop_map(
        |(timeouts, max_body_bytes, redirect_to_https, balancing)| Policy {
            timeouts,
            balancing,
            max_body_bytes,
            redirect_to_https,
            ..Policy::default()
        },
    )
}

fn any_listeners() -> impl Strategy<Value = ListenerSet> {
    prop_oneof![
        4 => Just(ListenerSet::ALL),
        1 => Just(ListenerSet::from_iter([ListenerId(0)])),
        1 => Just(ListenerSet::from_iter([ListenerId(1)])),
    ]
}

/// Policies that one location carries out have one class.
pub fn class_of(policy: &Policy) -> Class {
    let mut hasher = std::hash::DefaultHasher::new();
    Policy { redirect_to_https: false, ..policy.clone() }.hash(&mut hasher);
    Class(hasher.finish().into())
}

/// A rule, and the policy that it is to have.
pub type Asked = (Rule, Policy);

pub fn any_asked() -> impl Strategy<Value = Asked> {
    (any_listeners(), any_match(), any_action(), any_policy(), 0..1000_u32).prop_map(
        |(listeners, matches, action, policy, number)| {
            let rule = Rule { listeners, matches, ..rule(&number.to_string(), Match::any()) };
            (Rule { action, ..rule }, policy)
        },
    )
}

/// A host as it is asked for: its rules, whether it has a certificate, whether it is closed.
pub type AskedHost = (Vec<Asked>, bool, bool);

pub fn any_asked_host() -> impl Strategy<Value = AskedHost> {
    (vec(any_asked(), 0..5), any::<bool>(), any::<bool>())
}

/// Puts a host into routes.
pub fn put_host(routes: &mut Routes, name: HostName, (rules, has_certificate, closed): AskedHost) {
    let mut rules: Vec<_> =
        rules.into_iter().map(|(rule, policy)| Rule { policy: routes.policies.intern(&policy), ..rule }).collect();
    rules.sort_by(|a, b| a.matches.precedence(&b.matches));
    let certificate = has_certificate.then(|| CertificateId("0123abcd".into()));
    routes.hosts.insert(name, Arc::new(Host { certificate, rules: rules.into(), closed }));
}

/// Routes of hosts and a default.
pub fn any_routes() -> impl Strategy<Value = Routes> {
    let endpoints = proptest::collection::btree_map((0..2_u16).prop_map(endpoints_id), any_endpoints(), 0..3);
    let default = proptest::option::weighted(0.4, any_asked());
    (vec((any_host_name(), any_asked_host()), 0..6), default, endpoints).prop_map(|(hosts, default, endpoints)| {
        let mut routes = Routes { endpoints: endpoints.into_iter().collect(), ..empty() };
        for (name, host) in hosts {
            put_host(&mut routes, name, host);
        }
        put_default(&mut routes, default);
        routes
    })
}

pub fn put_default(routes: &mut Routes, default: Option<Asked>) {
    routes.default = default.map(|(rule, policy)| Rule { policy: routes.policies.intern(&policy), ..rule });
}

pub fn empty() -> Routes {
    let local = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let origin = object("certificate");
    let certificate = Certificate { origin, chain: Vec::new(), key: Vec::new() };
    Routes {
        listeners: Listener::built_in(&[local(80)], &[local(443)]),
        certificates: SortedMap::from([(CertificateId("0123abcd".into()), Arc::new(certificate))]),
        ..Routes::default()
    }
}

pub fn object(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Ingress, Key { namespace: "shop".to_owned(), name: name.to_owned() })
}

/// A rule of an object, by whose name tests know it.
pub fn rule(name: &str, matches: Match) -> Rule {
    let address = SocketAddr::from(([10, 0, 0, 1], 80)).into();
    let backend = Backend { address, protocol: Protocol::Http, keep_alive: true };
    Rule {
        listeners: ListenerSet::ALL,
        matches,
        action: Action::Forward(Forward::to(backend, PathRewrite::Keep)),
        policy: entry_model::PolicyId(u32::MAX),
        origin: object(name),
    }
}

/// A request that has all its texts.
#[derive(Debug, Clone)]
pub struct AskedRequest {
    pub listener: u8,
    pub scheme: Scheme,
    pub method: &'static str,
    pub host: String,
    pub path: &'static str,
    pub query: &'static str,
    pub headers: Vec<(&'static str, &'static str)>,
    pub chance: u64,
}

pub fn any_request() -> impl Strategy<Value = AskedRequest> {
    let host = (select(HOSTS), select(&["", ".", ".."][..]), any::<bool>(), select(&["", "x.", "x.y.", "."][..]));
    let host = host.prop_map(|(name, end, upper, start)| {
        let host = format!("{start}{name}{end}");
        if upper { host.to_uppercase() } else { host }
    });
    let path = prop_oneof![
        8 => select(PATHS),
        2 => select(CHALLENGES),
        1 => select(&["", "*", "/abc/d", "/a/b/c/d/e"][..]),
    ];
    (
        0..3_u8,
        select(&[Scheme::Http, Scheme::Https][..]),
        select(&["GET", "POST", "get"][..]),
        host,
        path,
        select(&["", "p=1", "q=2&p=12", "p=2&p=1", "p"][..]),
        vec(
            prop_oneof![
                (select(&["x-a", "x-b"][..]), select(&["1", "2"][..])),
                (Just("cookie"), select(&["c=1", "d=2; c=2", "e=1"][..])),
                (
                    Just("cookie"),
                    select(&["c=7f", "c=0123456789abcdef0123456789abcdef; c=2", "c=", "c=8 9", SESSION][..])
                ),
            ],
            0..3,
        ),
        any::<u64>(),
    )
        .prop_map(|(listener, scheme, method, host, path, query, headers, chance)| AskedRequest {
            listener,
            scheme,
            method,
            host,
            path,
            query,
            headers,
            chance,
        })
}

pub struct HeaderList<'a>(pub &'a Request<'a>);

impl Headers for HeaderList<'_> {
    fn value(&self, name: &str, number: usize) -> Option<&[u8]> {
        let mut of_name = self.0.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        of_name.nth(number).map(|(_, value)| value.as_bytes())
    }
}

/// What becomes of a request, as far as both sides say it.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Forward {
        name: String,
        class: Class,
        rewrite: PathRewrite,
        backend: String,
        protocol: Protocol,
        keep_alive: bool,
        addresses: Vec<SocketAddr>,
    },
    Redirect {
        name: String,
        redirect: Redirect,
    },
    Respond {
        name: String,
        status: u16,
    },
    Text {
        name: String,
        class: Class,
        answer: FixedAnswer,
    },
    ToHttps(String),
    NotCarried,
    NotFound,
    NoCertificate,
    Fault,
}

/// By the definition.
pub fn by_definition(routes: &Routes, asked: &AskedRequest) -> Answer {
    let request = Request {
        listener: ListenerId(asked.listener),
        scheme: asked.scheme,
        method: asked.method,
        host: &asked.host,
        path: asked.path,
        query: asked.query,
        headers: &asked.headers,
    };
    match routes.find(&request) {
        RoutingDecision::NotFound => Answer::NotFound,
        RoutingDecision::NoCertificate => Answer::NoCertificate,
        RoutingDecision::RedirectToHttps(rule) => Answer::ToHttps(rule.origin.key.name.clone()),
        RoutingDecision::Rule(rule) => {
            let name = rule.origin.key.name.clone();
            match &rule.action {
                Action::Redirect(redirect) => Answer::Redirect { name, redirect: redirect.clone() },
                Action::Respond(status) => Answer::Respond { name, status: *status },
                Action::Answer(answer) => {
                    Answer::Text { name, class: class_of(routes.policy(rule)), answer: answer.clone() }
                }
                Action::Forward(forward) => {
                    match forward.destination(share_number(routes.policy(rule), &request, asked.chance)) {
                        None => Answer::Respond { name, status: 500 },
                        Some(Destination::Status(status)) => Answer::Respond { name, status: *status },
                        Some(Destination::Backend(backend)) => Answer::Forward {
                            name,
                            class: class_of(routes.policy(rule)),
                            rewrite: forward.path.clone(),
                            backend: route_table::Backend::name_of(backend),
                            protocol: backend.protocol,
                            keep_alive: backend.keep_alive,
                            addresses: routes.addresses(backend).to_vec(),
                        },
                    }
                }
            }
        }
    }
}

/// By the table.
pub fn by_table(table: &mut Table<Memory>, asked: &AskedRequest) -> Answer {
    let model = Request { headers: &asked.headers, ..Request::default() };
    let request = route_table::Request {
        listener: ListenerId(asked.listener),
        scheme: asked.scheme,
        connection: asked.scheme,
        server_name: b"",
        tls_class: TlsClass::default(),
        method: asked.method.as_bytes(),
        host: asked.host.as_bytes(),
        path: asked.path.as_bytes(),
        query: asked.query.as_bytes(),
        headers: &HeaderList(&model),
        chance: asked.chance,
    };
    let name = |route: &route_table::Route| route.rule().origin.key.name.clone();
    match table.find(&request) {
        Err(route_table::Fault::NotCarried) => Answer::NotCarried,
        Err(_) => Answer::Fault,
        Ok(route_table::Found::NotFound) => Answer::NotFound,
        Ok(route_table::Found::NoCertificate | route_table::Found::OtherConnection) => Answer::NoCertificate,
        Ok(route_table::Found::ToHttps(route)) => Answer::ToHttps(name(&route)),
        Ok(route_table::Found::Route(route)) => match route.step() {
            Step::Redirect(redirect) => Answer::Redirect { name: name(&route), redirect: redirect.clone() },
            Step::Respond(status) => Answer::Respond { name: name(&route), status },
            Step::Answer(answer) => {
                Answer::Text { name: name(&route), class: route.rule().class, answer: answer.clone() }
            }
            Step::Forward { backend, rewrite } => Answer::Forward {
                name: name(&route),
                class: route.rule().class,
                rewrite: rewrite.clone(),
                backend: backend.name.to_string(),
                protocol: backend.protocol,
                keep_alive: backend.keep_alive,
                addresses: backend.endpoints.iter().map(|endpoint| endpoint.address).collect(),
            },
        },
    }
}

/// A session with its endpoint.
const SESSION: &str = "x=1; c=fedcba9876543210fedcba9876543210-0123456789abcdef; y";

/// The number by which the share of a request is chosen, read in another way than the table does.
fn share_number(policy: &Policy, request: &Request<'_>, chance: u64) -> u64 {
    let Balancing::Session(cookie) = &policy.balancing else { return chance };
    let sent: Vec<_> = request.headers.iter().filter(|(name, _)| *name == "cookie").map(|(_, value)| *value).collect();
    let sent = sent.join("; ");
    let Some(value) = sent.split("; ").find_map(|pair| pair.strip_prefix("c=")) else { return chance };
    let session = value.split(' ').next().expect("a part");
    let is_named =
        cookie.affinity == Affinity::Balanced || session.split('-').next().is_some_and(|name| name.len() == 32);
    if cookie.changes_share || session.is_empty() || !is_named {
        return chance;
    }
    u64::from_str_radix(&format!("{session:f<16}")[..16], 16).expect("digits")
}

/// A plain request for a host and a path.
pub fn get<'a>(host: &'a str, path: &'a str) -> route_table::Request<'a> {
    route_table::Request {
        listener: ListenerId(0),
        scheme: Scheme::Http,
        connection: Scheme::Http,
        server_name: b"",
        tls_class: TlsClass::default(),
        method: b"GET",
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: b"",
        headers: &NoHeaders,
        chance: 0,
    }
}

/// Routes of so many hosts with one rule each, which leads to a backend of this port.
pub fn many(hosts: usize, port: u16) -> Routes {
    let mut routes = empty();
    for number in 0..hosts {
        put_one(&mut routes, number, port);
    }
    routes
}

pub fn put_one(routes: &mut Routes, number: usize, port: u16) {
    let address = SocketAddr::from(([10, 0, 0, 1], port)).into();
    let backend = Backend { address, protocol: Protocol::Http, keep_alive: true };
    let rule = Rule {
        action: Action::Forward(Forward::to(backend, PathRewrite::StripPrefix)),
        ..rule(&number.to_string(), Match::path(PathMatch::Prefix("/a".to_owned())))
    };
    let name = HostName::Exact(format!("host-{number}.example"));
    routes.hosts.insert(name, Arc::new(Host { rules: vec![rule].into(), ..Host::default() }));
}

/// The port to which a request of the host of a number leads.
pub fn port_of(table: &mut Table<Memory>, number: usize) -> Result<Option<u16>, route_table::Fault> {
    let found = table.find(&get(&format!("host-{number}.example"), "/a/b"))?;
    let route_table::Found::Route(route) = &found else { return Ok(None) };
    let Step::Forward { backend, .. } = route.step() else { return Ok(None) };
    Ok(Some(backend.endpoints[0].address.port()))
}
