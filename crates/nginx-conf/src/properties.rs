//! Whatever is in the routes, the configuration has the shape that this program gave it.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use entry_model::{
    Access, Action, AddedHeader, AddressRange, Affinity, AnswerHeaders, Backend, BackendAddress, BackendTls, Balancing,
    BasicAuth, Buffers, Certificate, CertificateId, Cipher, ClientCertificateRule, ClientCertificates, ClientTls,
    ClientVerification, ConnectionHeader, CookieMatch, Cors, CorsOrigin, CorsOrigins, Destination, Endpoints,
    EndpointsId, ErrorPages, ExternalAuth, FixedAnswer, Forward, HashPart, HeaderField, HeaderMatch, Host, HostName,
    Key, Kind, Limits, Listener, ListenerId, ListenerSet, Match, Mirror, ObjectRef, OutsideServer, PasswordFile,
    PathMatch, PathRewrite, Pattern, PatternEngine, Pem, Policies, Policy, PolicyId, Protocol, QueryParamMatch,
    Redirect, RenamedHeader, Replacement, RequestHeaders, RequestLimit, ResponseBuffers, Retries, RetryCondition,
    Routes, Rule, SameSite, Scheme, SessionCookie, SortedMap, StreamPort, StreamRoute, Timeouts, TlsPassthrough,
    TlsVersion, Transport, UpstreamHost, UrlPart, UrlText, UrlVariable, ValueMatch, Verification, VerificationMode,
    WeightedBackend,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use route_table::TableWriter;
use table_memory::WritableTableMemory;
use testbed::nginx::Program;

use crate::lexer::lex;
use crate::shape::check;
use crate::splice::{MARK, splice};
use crate::{FrameNeeds, Modules, Revision, Settings, Version, render, render_template};

/// Text that means to break out, and any other.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\"",
        "'",
        "\\",
        ";",
        "{",
        "}",
        "$",
        "${",
        "$host",
        "#",
        "\n",
        "\r",
        "\t",
        " ",
        "\0",
        "(",
        ")",
        "*",
        "~",
        "^",
        ".",
        "/",
        "//",
        "/..",
        "%",
        "?",
        "@",
        "=",
        "\\\"",
        "\"; return 200 x; #",
        "a",
        "b",
        "麻雀",
        "é",
        "\u{7f}",
        "\u{2028}",
        "include /etc/passwd;",
    ]);
    prop_oneof![
        4 => vec(pieces, 0..8).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
        1 => (1_usize..6000).prop_map(|length| "x".repeat(length)),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => "[a-c]{1,2}", 2 => hostile()];
    prop_oneof![5 => vec(segment, 0..4).prop_map(|all| format!("/{}", all.join("/"))), 1 => hostile()]
}

fn host() -> impl Strategy<Value = HostName> {
    let name = || prop_oneof![3 => "[a-c]{1,3}(\\.[a-c]{1,3}){0,3}", 1 => "[a-z0-9_.-]{1,300}", 2 => hostile()];
    prop_oneof![4 => name().prop_map(HostName::Exact), 2 => name().prop_map(HostName::OneLabel), 1 => name().prop_map(HostName::Suffix), 1 => Just(HostName::Any)]
}

fn object() -> impl Strategy<Value = ObjectRef> {
    (hostile(), hostile()).prop_map(|(namespace, name)| ObjectRef::new(Kind::Ingress, Key { namespace, name }))
}

/// A pattern of any text. Nothing here runs it.
fn pattern(text: &str) -> Pattern {
    #[derive(Debug)]
    struct Never;
    impl PatternEngine for Never {
        fn is_match(&self, _: &[u8]) -> bool {
            unreachable!("a configuration is written, and not asked")
        }

        fn replace(&self, _: &[u8], _: &str) -> Vec<u8> {
            unreachable!("a configuration is written, and not asked")
        }
    }
    Pattern::new(text, Arc::new(Never))
}

/// Patterns that can be written.
const PATTERNS: &[&str] =
    &["^/a(/|$)(.*)", "(?i)^/[^/]+/(b|c){2,3}", "\\.js$", "^/\"';{}\\$\\?(x)", "^/.*?a", "\\b[\\x00-\\xff]"];

/// Most are for a path alone.
fn matches() -> impl Strategy<Value = Match> {
    let path = (path(), 0..10_u8).prop_map(|(path, kind)| match kind {
        0..5 => PathMatch::Prefix(path),
        5..9 => PathMatch::Exact(path),
        _ => PathMatch::Regex(pattern(&path)),
    });
    let known = prop::sample::select(PATTERNS).prop_map(|text| PathMatch::Regex(pattern(text)));
    let path = prop_oneof![8 => path, 1 => known];
    let name = || prop_oneof![3 => "[a-z0-9-]{1,3}", 1 => hostile()];
    let known = prop::sample::select(PATTERNS);
    (path, 0..20_u8, hostile(), name(), (name(), known)).prop_map(|(path, more, text, header, (parameter, known))| {
        let mut matches = Match::path(path);
        if more >= 18 {
            matches.headers.push(HeaderMatch { name: header.clone(), value: ValueMatch::Regex(pattern(known)) });
        }
        let value = ValueMatch::Exact(text.clone());
        // Of the bits that are set, each is something that a request must have.
        if more < 8 {
            matches.method = (more & 1 != 0).then_some(text);
            matches.headers.extend((more & 2 != 0).then(|| HeaderMatch { name: header, value: value.clone() }));
            let cookie = CookieMatch { name: parameter.clone(), value: value.clone() };
            matches.cookies.extend((more & 4 != 0).then_some(cookie));
            matches.query.extend((more & 4 != 0).then_some(QueryParamMatch { name: parameter, value }));
        }
        matches
    })
}

fn action() -> impl Strategy<Value = Action> {
    let protocol = prop::sample::select(vec![
        Protocol::Http,
        Protocol::Http,
        Protocol::Https,
        Protocol::Http2,
        Protocol::Http2Tls,
    ]);
    let rewrite = (0..10_u8, hostile()).prop_map(|(kind, text)| match kind {
        0..5 => PathRewrite::Keep,
        5..8 => PathRewrite::StripPrefix,
        8 => PathRewrite::ReplacePrefix(format!("/{text}")),
        _ => PathRewrite::Regex { pattern: pattern(&text), template: text },
    });
    let template = (hostile(), hostile()).prop_map(|(one, two)| format!("{one}$1{two}$0"));
    let known = (prop::sample::select(PATTERNS), template);
    let known = known.prop_map(|(text, template)| PathRewrite::Regex { pattern: pattern(text), template });
    let full = hostile().prop_map(|text| PathRewrite::ReplaceFull(format!("/{text}")));
    let target = prop_oneof![Just("/a?b=$c#d".to_owned()), hostile().prop_map(|text| format!("/{text}"))];
    let variable = prop::sample::select(UrlVariable::NAMES.to_vec());
    let target = (target, proptest::option::of(variable)).prop_map(|(text, variable)| {
        let variable = variable.map(|(_, variable)| UrlPart::Variable(variable));
        PathRewrite::ReplaceTarget(UrlText([UrlPart::Text(text)].into_iter().chain(variable).collect()))
    });
    let rewrite = prop_oneof![6 => rewrite, 1 => known, 1 => full, 1 => target].boxed();
    let to = rewrite.clone();
    let endpoints = (hostile(), hostile(), 1..100_u16).prop_map(|(namespace, name, port)| {
        BackendAddress::Endpoints(EndpointsId { service: Key { namespace, name }.into(), port })
    });
    let address = prop_oneof![3 => any::<SocketAddr>().prop_map(BackendAddress::ClusterIp), 1 => endpoints];
    let other = (any::<SocketAddr>(), protocol.clone(), any::<u32>()).prop_map(|(address, protocol, weight)| {
        let backend = Backend { address: address.into(), protocol, keep_alive: true };
        WeightedBackend { weight, destination: Destination::Backend(backend) }
    });
    let status = (0..2_u32, any::<u16>());
    let status =
        status.prop_map(|(weight, status)| WeightedBackend { weight, destination: Destination::Status(status) });
    let others = prop_oneof![6 => Just(Vec::new()), 1 => vec(prop_oneof![other, status], 1..4)];
    let forward = (address, protocol, any::<bool>(), rewrite, others);
    let forward = forward.prop_map(|(address, protocol, keep_alive, path, others)| {
        let mut forward = Forward::to(Backend { address, protocol, keep_alive }, path);
        forward.backends.extend(others);
        Action::Forward(forward)
    });
    let host = prop_oneof![Just("a.example".to_owned()), hostile()];
    let scheme = prop::sample::select(vec![None, Some(Scheme::Http), Some(Scheme::Https)]);
    let redirect = (proptest::option::of(host), scheme, any::<Option<u16>>(), to);
    let redirect = redirect
        .prop_map(|(host, scheme, port, path)| Action::Redirect(Redirect { status: 301, scheme, host, port, path }));
    let variable = prop::sample::select(vec!["", "$host", "$remote_addr", "${escaped_request_uri}", "$http_x-"]);
    // What is read of objects has a status of HTTP; nginx takes none from 1000 on.
    let answer = (200..600_u16, hostile(), hostile(), variable).prop_map(|(status, kind, text, variable)| {
        let text = [&text, variable].concat();
        let answer = FixedAnswer::new(status, Some(&kind), &text).or_else(|| FixedAnswer::new(status, None, &text));
        answer.map_or(Action::Respond(status), Action::Answer)
    });
    let respond = prop_oneof![any::<u16>().prop_map(Action::Respond), answer];
    prop_oneof![12 => forward, 2 => redirect, 2 => Just(Action::UNAVAILABLE), 2 => respond]
}

/// The policies of all routes here. What rules ask for is one of them.
const POLICIES: usize = 8;

fn ranges() -> impl Strategy<Value = Arc<[AddressRange]>> {
    let range = (any::<IpAddr>(), 0..=128_u8)
        .prop_filter_map("too many bits", |(address, bits)| AddressRange::new(address, bits));
    vec(range, 0..3).prop_map(Into::into)
}

/// What a translation lets through, among it the word that turns the question off.
fn realm() -> impl Strategy<Value = String> {
    prop_oneof![Just("off".to_owned()), "[ !#%-~]{0,20}"]
}

fn access() -> impl Strategy<Value = Access> {
    let basic_auth =
        (realm(), hostile()).prop_map(|(realm, text)| BasicAuth { realm, passwords: PasswordFile(text).into() });
    let all = (proptest::option::of(ranges()), ranges(), proptest::option::of(basic_auth), any::<bool>());
    all.prop_map(|(allowed, denied, basic_auth, satisfy_any)| Access { allowed, denied, basic_auth, satisfy_any })
}

/// What clients are asked for.
fn asked() -> impl Strategy<Value = Option<ClientCertificates>> {
    let mode = prop::sample::select(vec![
        VerificationMode::Required,
        VerificationMode::Optional,
        VerificationMode::OptionalOfAnyone,
    ]);
    let texts = (hostile(), hostile(), proptest::option::of(Just("https://example.com/x?y=1".to_owned())));
    let verification =
        (mode, any::<u8>(), texts, object()).prop_map(|(mode, depth, (authorities, revoked, error_page), origin)| {
            ClientVerification {
                mode,
                depth,
                authorities: authorities.into(),
                revoked: revoked.into(),
                error_page,
                origin,
            }
        });
    let subject = proptest::option::of(prop::sample::select(vec!["^CN=a[0-9]+$".to_owned(), "CN=\\x20\"x".to_owned()]));
    let usable = (verification, subject, any::<bool>()).prop_map(|(verification, subject, passes_certificate)| {
        ClientCertificates::Usable(ClientCertificateRule {
            verification: verification.into(),
            subject,
            passes_certificate,
        })
    });
    prop_oneof![4 => Just(None), 1 => Just(Some(ClientCertificates::Unusable)), 2 => usable.prop_map(Some)]
}

fn client_tls() -> impl Strategy<Value = ClientTls> {
    let ciphers = prop::sample::subsequence(Cipher::ALL.to_vec(), 0..=3);
    (ciphers, any::<Option<bool>>()).prop_map(|(ciphers, prefers_own_order)| ClientTls { ciphers, prefers_own_order })
}

fn limits() -> impl Strategy<Value = Limits> {
    let requests =
        || proptest::option::of((any::<u32>(), any::<u32>()).prop_map(|(rate, burst)| RequestLimit { rate, burst }));
    let counted_for = proptest::option::weighted(0.2, object());
    let counted = (requests(), requests(), any::<Option<u32>>(), counted_for, ranges(), any::<Option<u16>>());
    (counted, any::<Option<u64>>(), any::<Option<u64>>()).prop_map(|(counted, bytes_per_second, bytes_before)| {
        let (requests_per_second, requests_per_minute, connections, counted_for, exempt, status) = counted;
        Limits {
            requests_per_second,
            requests_per_minute,
            connections,
            counted_for,
            exempt,
            status,
            bytes_per_second,
            bytes_before,
        }
    })
}

fn policies() -> impl Strategy<Value = Policies> {
    let time = || proptest::option::of(any::<u64>().prop_map(Duration::from_millis));
    let forwarding = (buffers(), backend_tls(), request_headers(), answer_headers(), retries());
    let others = (proptest::option::of(external_auth()), proptest::option::of(error_pages()));
    let more = (proptest::option::of(cors()), access(), (asked(), client_tls()), limits(), others);
    let policy = ((time(), time(), time()), any::<Option<u64>>(), forwarding, more, any::<[bool; 3]>());
    let policy = policy.prop_map(|((connect, read, send), max_body_bytes, forwarding, more, switches)| {
        let (buffers, backend_tls, request_headers, answer_headers, retries) = forwarding;
        let (cors, access, (client_certificates, client_tls), limits, (external_auth, error_pages)) = more;
        let [speaks_http_1_0, without_access_log, redirect_to_https] = switches;
        Policy {
            timeouts: Timeouts { connect, read, send },
            max_body_bytes,
            buffers,
            speaks_http_1_0,
            cors,
            access,
            client_certificates,
            client_tls,
            limits,
            external_auth,
            error_pages,
            backend_tls,
            request_headers,
            answer_headers,
            retries,
            without_access_log,
            redirect_to_https,
            ..Policy::default()
        }
    });
    // What is generated is large: not all of it is to be on the stack.
    let session = (balancing(), hostile());
    let policy = (policy.boxed(), session.boxed(), proptest::option::of(mirror()).boxed());
    let policy = policy.prop_map(|(policy, (balancing, session_path), mirror)| Policy {
        balancing,
        session_path,
        mirror,
        ..policy
    });
    let policy = policy.boxed();
    vec(policy, POLICIES).prop_map(|all| {
        let mut policies = Policies::default();
        for policy in &all {
            policies.intern(policy);
        }
        policies
    })
}

fn balancing() -> impl Strategy<Value = Balancing> {
    let part = || {
        hostile().prop_flat_map(|text| {
            let parts = [
                HashPart::Text(text.clone()),
                HashPart::RequestUri,
                HashPart::Host,
                HashPart::ClientAddress,
                HashPart::PeerAddress,
                HashPart::Method,
                HashPart::Query,
                HashPart::Header(text.clone()),
                HashPart::Cookie(text.clone()),
                HashPart::Parameter(text),
            ];
            prop::sample::select(parts.to_vec())
        })
    };
    let name = prop_oneof!["[a-z]{1,5}", "[!#$%&'*+.^_`|~-]{1,5}"];
    let same_site = prop::sample::select(vec![
        None,
        Some(SameSite::None),
        Some(SameSite::Lax),
        Some(SameSite::Strict),
        Some(SameSite::NoneIfUnderstood),
    ]);
    let affinity =
        prop::sample::select(vec![Affinity::Balanced, Affinity::Persistent, Affinity::PersistentUntilFailure]);
    let numbers = (any::<Option<u64>>(), any::<Option<bool>>());
    let session = (name, proptest::option::of(hostile()), numbers, same_site, affinity);
    let session = session.prop_map(|(name, domain, (max_age_seconds, secure), same_site, affinity)| {
        let changes_share = max_age_seconds.is_some_and(|seconds| seconds % 2 == 1);
        let cookie = SessionCookie { name, domain, max_age_seconds, same_site, secure, affinity, changes_share };
        Balancing::Session(Box::new(cookie))
    });
    let subset = (vec(part(), 1..4), any::<std::num::NonZeroU16>());
    prop_oneof![
        6 => Just(Balancing::RoundRobin),
        1 => Just(Balancing::LeastConnections),
        1 => vec(part(), 1..4).prop_map(Balancing::Hash),
        1 => subset.prop_map(|(parts, size)| Balancing::HashSubset(parts, size)),
        1 => session,
    ]
}

fn buffers() -> impl Strategy<Value = Buffers> {
    let bytes = || prop_oneof![Just(0), 1..200_000_u32, any::<u32>()];
    let response = (bytes(), 0..20_u32, proptest::option::of(bytes()));
    let response = response.prop_map(|(size, number, busy)| ResponseBuffers::new(size, number, busy));
    let sizes = [(); 2].map(|()| proptest::option::of(bytes()));
    (proptest::option::of(response), sizes, any::<[Option<bool>; 2]>()).prop_map(
        |(response, [max_file_bytes, request_bytes], [holds_response, holds_request])| Buffers {
            response,
            holds_response,
            max_file_bytes,
            holds_request,
            request_bytes,
        },
    )
}

fn url() -> impl Strategy<Value = UrlText> {
    let variables = UrlVariable::NAMES.map(|(_, variable)| UrlPart::Variable(variable));
    vec(prop_oneof![hostile().prop_map(UrlPart::Text), prop::sample::select(variables.to_vec())], 0..4)
        .prop_map(UrlText)
}

fn external_auth() -> impl Strategy<Value = ExternalAuth> {
    let server = prop_oneof![
        1 => Just(OutsideServer::Unknown),
        3 => any::<SocketAddr>().prop_map(OutsideServer::Address),
        1 => (url(), any::<u16>()).prop_map(|(name, port)| OutsideServer::Name { name, port }),
    ];
    let urls = (url(), url(), proptest::option::of(url()), proptest::option::of(url()));
    // Names are those that a translation lets through: nginx has no room for longer ones.
    let name = || "[A-Za-z0-9_-]{1,64}";
    let renamed =
        (name(), hostile(), "[A-Za-z0-9_-]{1,64}").prop_map(|(name, prefix, of)| RenamedHeader { name, prefix, of });
    let headers = (vec(name(), 0..3), vec((name(), hostile()), 0..3), vec(renamed, 0..3));
    (server, urls, headers, proptest::option::of(hostile()), any::<[bool; 2]>()).prop_map(
        |(
            server,
            (host, target, sign_in, request_redirect),
            (response_headers, request_headers, renamed_headers),
            method,
            [tls, always],
        )| {
            let always_set_cookie = always;
            ExternalAuth {
                server,
                tls,
                host,
                target,
                method,
                sign_in,
                response_headers,
                renamed_headers,
                request_headers,
                request_redirect,
                always_set_cookie,
            }
        },
    )
}

fn mirror() -> impl Strategy<Value = Mirror> {
    external_auth().prop_map(|ExternalAuth { server, tls, host, target, always_set_cookie, .. }| Mirror {
        server,
        tls,
        host,
        target,
        with_body: always_set_cookie,
    })
}

fn error_pages() -> impl Strategy<Value = ErrorPages> {
    // nginx takes no page for 499, which no annotation leads to either.
    (vec(prop_oneof![300..499_u16, 500..600_u16], 1..4), any::<bool>(), any::<SocketAddr>())
        .prop_map(|(statuses, intercepts, server)| ErrorPages { statuses, intercepts, server })
}

fn cors() -> impl Strategy<Value = Cors> {
    let named = (hostile(), any::<bool>(), hostile(), any::<Option<u16>>());
    let named = named.prop_map(|(scheme, any_label, host, port)| CorsOrigin::Named { scheme, any_label, host, port });
    let origins = vec(prop_oneof![4 => named, 1 => Just(CorsOrigin::Null)], 0..3).prop_map(CorsOrigins::Listed);
    let origins = prop_oneof![3 => origins, 1 => Just(CorsOrigins::Any)];
    (origins, [hostile(), hostile(), hostile()], any::<bool>(), any::<u32>()).prop_map(
        |(origins, [methods, headers, exposed_headers], credentials, max_age_seconds)| Cors {
            origins,
            methods,
            headers,
            exposed_headers,
            credentials,
            max_age_seconds,
        },
    )
}

/// Any header that is one; names that nginx knows are among them.
fn header() -> impl Strategy<Value = HeaderField> {
    let known = prop::sample::select(vec!["Accept-Encoding", "Set-Cookie", "ETag", "Cache-Control", "X-Remote-User"]);
    let name = prop_oneof![3 => "[A-Za-z0-9-]{1,40}", 1 => known.prop_map(str::to_owned)];
    let variables = ["$host$uri", "${request_id} $args", "$upstream_http_x$http_y", "$msec$the_real_ip"];
    let variables = prop::sample::select(variables.to_vec()).prop_map(str::to_owned);
    let value = prop_oneof![2 => hostile(), 2 => "[ -#%-~]{0,60}", 1 => variables, 1 => Just("\"".repeat(1500))];
    (name, value)
        .prop_map(|(name, value)| HeaderField::new(&name, &value).or_else(|_| HeaderField::new(&name, "a")).unwrap())
}

/// With certificates that nginx can read: what has them from objects reads them before.
fn backend_tls() -> impl Strategy<Value = BackendTls> {
    let made = rcgen::generate_simple_self_signed(["backend.example".to_owned()]).unwrap();
    let authorities = Pem(made.cert.pem().into_bytes().into());
    let certificate = Pem((made.cert.pem() + &made.signing_key.serialize_pem()).into_bytes().into());
    let protocols = prop::collection::btree_set(prop::sample::select(vec![TlsVersion::V1_2, TlsVersion::V1_3]), 0..3);
    let name = proptest::option::of("[a-z0-9._:-]{1,40}");
    let ciphers = prop::sample::select(vec![None, Some("HIGH:!aNULL".to_owned()), Some("DEFAULT".to_owned())]);
    (any::<u8>(), any::<[bool; 3]>(), name, ciphers, protocols).prop_map(
        move |(depth, [verified, shown, hides_name], name, ciphers, protocols)| BackendTls {
            verification: verified.then(|| Verification { authorities: authorities.clone(), depth }),
            certificate: shown.then(|| certificate.clone()),
            name,
            hides_name,
            ciphers,
            protocols,
            origin: None,
        },
    )
}

fn request_headers() -> impl Strategy<Value = RequestHeaders> {
    let connection = prop::sample::select(vec![None, Some(ConnectionHeader::Close), Some(ConnectionHeader::KeepAlive)]);
    let host = prop_oneof![hostile(), "[a-z0-9.-]{1,30}(:[0-9]{1,5})?"];
    (proptest::option::of(host), connection, vec(header(), 0..3)).prop_map(|(host, connection, set)| RequestHeaders {
        host: host.and_then(|host| UpstreamHost::new(&host)),
        connection,
        set,
    })
}

fn answer_headers() -> impl Strategy<Value = AnswerHeaders> {
    let added = vec((header(), any::<bool>()).prop_map(|(field, always)| AddedHeader { field, always }), 0..3);
    let text = || prop_oneof!["[a-zA-Z0-9._/:?&=,-]{1,30}", hostile()];
    let replacement = || (text(), text()).prop_map(|(from, to)| Replacement::new(&from, &to).ok());
    (vec(header(), 0..2), added, [replacement(), replacement(), replacement()]).prop_map(
        |(hidden, added, [cookie_domain, cookie_path, redirect])| AnswerHeaders {
            hidden: hidden.iter().map(|field| field.name().to_owned()).collect(),
            added,
            cookie_domain,
            cookie_path,
            redirect,
        },
    )
}

fn retries() -> impl Strategy<Value = Retries> {
    let conditions = prop::collection::btree_set(prop::sample::select(RetryCondition::ALL.to_vec()), 0..4);
    let time = any::<u64>().prop_map(Duration::from_millis);
    (proptest::option::of(conditions), any::<Option<u32>>(), proptest::option::of(time))
        .prop_map(|(conditions, tries, time)| Retries { conditions, tries, time })
}

fn rule() -> impl Strategy<Value = Rule> {
    let listeners = prop_oneof![20 => Just(ListenerSet::ALL), 1 => Just(ListenerSet::from_iter([ListenerId(0)]))];
    (listeners, matches().boxed(), action().boxed(), 0..u32::try_from(POLICIES).unwrap(), object()).prop_map(
        |(listeners, matches, action, policy, origin)| Rule {
            listeners,
            matches,
            action,
            policy: PolicyId(policy),
            origin,
        },
    )
}

/// Endpoints for all backends that are reached at them, up to three for each.
fn endpoints(routes: &Routes) -> SortedMap<EndpointsId, Endpoints> {
    let address = |number: u16| match number {
        0 => SocketAddr::from(([10, 1, 0, 1], 8080)),
        1 => SocketAddr::from(([0xfd01, 0, 0, 0, 0, 0, 0, 1], 8080)),
        _ => SocketAddr::from(([10, 1, 0, 2], 0)),
    };
    let id = |rule: &Rule| match &rule.action {
        Action::Forward(forward) => match &forward.backends.first()?.destination {
            Destination::Backend(Backend { address: BackendAddress::Endpoints(id), .. }) => Some(id.clone()),
            _ => None,
        },
        _ => None,
    };
    routes.rules().filter_map(id).map(|id| (id.clone(), (0..id.port % 4).map(address).collect())).collect()
}

/// Any routes. The certificates are real ones or text, as asked.
fn routes(pem: Option<(Vec<u8>, Vec<u8>)>) -> impl Strategy<Value = Routes> {
    let id =
        || prop_oneof!["[0-9a-f]{64}", hostile(), Just("f".repeat(64))].prop_map(|text| CertificateId(text.into()));
    let certificate = (object(), hostile(), hostile())
        .prop_map(move |(origin, chain, key)| {
            let (chain, key) = pem.clone().unwrap_or((chain.into_bytes(), key.into_bytes()));
            Arc::new(Certificate { origin, chain, key })
        })
        .boxed();
    let rule = || rule().boxed();
    let hosts = btree_map(host(), (proptest::option::of(id()), vec(rule(), 0..6)), 0..6).boxed();
    let shared = (btree_map(id(), certificate.clone(), 0..3), certificate, policies().boxed(), any::<bool>()).boxed();
    (hosts, proptest::option::of(rule()), shared).prop_map(
        |(hosts, default, (mut certificates, certificate, policies, https))| {
            let mut named = SortedMap::new();
            for (index, (name, (id, rules))) in hosts.into_iter().enumerate() {
                // Most certificates that are named are there.
                if let Some(id) = id.as_ref().filter(|_| index % 3 != 2) {
                    certificates.insert(id.clone(), certificate.clone());
                }
                named.insert(name, Arc::new(Host { certificate: id, rules: rules.into(), closed: false }));
            }
            let https = if https { vec![SocketAddr::from(([127, 0, 0, 1], 8443))] } else { Vec::new() };
            let listeners = Listener::built_in(&[SocketAddr::from(([127, 0, 0, 1], 8080))], &https);
            let certificates = certificates.into_iter().collect();
            let mut routes = Routes { listeners, hosts: named, default, policies, certificates, ..Routes::default() };
            pass_through_some(&mut routes);
            routes.endpoints = endpoints(&routes);
            routes
        },
    )
}

/// Has TLS connections passed through for hosts without certificate, to the backend of their first rule.
fn pass_through_some(routes: &mut Routes) {
    for (name, host) in routes.hosts.iter().filter(|(_, host)| host.certificate.is_none()) {
        let Some(rule) = host.rules.first() else { continue };
        let backend = match &rule.action {
            Action::Forward(forward) => forward.only_backend().map(|backend| backend.address.clone()),
            Action::Redirect(_) | Action::Respond(_) | Action::Answer(_) => None,
        };
        routes.tls_passthrough.insert(name.clone(), TlsPassthrough { backend, origin: rule.origin.clone() });
    }
    let passed = routes.tls_passthrough.values().find_map(|passed| Some((passed.backend.clone()?, &passed.origin)));
    let Some((backend, origin)) = passed else { return };
    for (transport, sends_proxy_protocol) in [(Transport::Tcp, true), (Transport::Udp, false)] {
        let (backend, origin) = (backend.clone(), origin.clone());
        let route = StreamRoute { backend, accepts_proxy_protocol: sends_proxy_protocol, sends_proxy_protocol, origin };
        routes.streams.insert(StreamPort { transport, number: 8053 }, route);
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let version = prop::sample::select(vec![Version::new(1, 22, 1), Version::new(1, 26, 3), Version::new(1, 31, 3)]);
    let bits = any::<[bool; 12]>().prop_map(
        |[ssl, http_v2, grpc, realip, auth_request, mirror, stub_status, stream, stream_pass, fastcgi, uwsgi, scgi]| {
            Modules {
                ssl,
                http_v2,
                grpc,
                realip,
                auth_request,
                mirror,
                stub_status,
                stream,
                stream_ssl_preread: stream,
                stream_realip: stream,
                stream_pass,
                brotli: false,
                fastcgi,
                uwsgi,
                scgi,
            }
        },
    );
    let modules = prop_oneof![Just(Modules::default()), bits];
    (version, modules, any::<[bool; 2]>()).prop_map(|(version, modules, [proxy_protocol, trusted])| Settings {
        version,
        modules,
        trusted: if trusted { vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()] } else { Vec::new() },
        proxy_protocol,
        ..Settings::default()
    })
}

/// The certificate of an authority, and its list of revoked certificates.
fn authority() -> (String, String) {
    let (mut params, key) = (rcgen::CertificateParams::default(), rcgen::KeyPair::generate().unwrap());
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).unwrap().pem();
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(4000, 1, 1),
        crl_number: rcgen::SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&rcgen::Issuer::new(params, key)).unwrap().pem().unwrap();
    (certificate, list)
}

/// The frame of a table of these routes.
fn frame(routes: &Routes, settings: &Settings) -> Revision {
    render(routes, &FrameNeeds::of(routes), settings)
}

#[test]
fn any_routes_are_accepted_by_nginx() {
    for program in testbed::nginx::programs() {
        any_routes_are_accepted_by(&program);
    }
}

fn any_routes_are_accepted_by(program: &Program) {
    let made = rcgen::generate_simple_self_signed(["any.example".to_owned()]).unwrap();
    let pem = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    let (authority, revoked) = authority();
    let text = Command::new(&program.nginx).arg("-V").output().unwrap();
    let text = String::from_utf8(text.stderr).unwrap();
    let stream_module = Some(program.stream_module());
    let (version, modules): (Version, _) = (text.parse().unwrap(), Modules::parse(&text));
    let table = TableWriter::create(WritableTableMemory::create(1 << 16).unwrap(), [1, 2]).unwrap();
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&(routes(Some(pem)), settings()), |(routes, settings)| {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            version,
            modules,
            stream_module: stream_module.clone(),
            module: program.module.clone(),
            runtime: dir.path().to_owned(),
            control: dir.path().join("control"),
            error_log: dir.path().join("error.log"),
            access_log: Some(dir.path().join("access.log")),
            ..settings.clone()
        };
        let revision = frame(&routes, &settings);
        symlink(table.memory().path(), dir.path().join("table")).unwrap();
        for (file, content) in &revision.files {
            // What a translation lets through is whole.
            let content = match file.split_once('/') {
                Some(("authorities", _)) => authority.as_bytes(),
                Some(("revoked", _)) => revoked.as_bytes(),
                _ => content,
            };
            let file = dir.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        let mut command = Command::new(&program.nginx);
        command.args(["-t", "-q", "-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(dir.path().join("nginx.conf"));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // It says nothing at all: a warning would be in the operator's log at every change. But of how it keeps many names of headers for
        // gRPC no directive says more.
        let benign = [
            "the \"user\" directive makes sense only",
            "could not build optimal grpc_headers_hash",
            "requests are served and not counted",
        ];
        let quiet = said.lines().all(|line| benign.iter().any(|benign| line.contains(benign)));
        prop_assert!(
            output.status.success() && quiet,
            "{said}\n{}",
            String::from_utf8_lossy(&revision.files["nginx.conf"])
        );
        Ok(())
    });
    result.unwrap();
}

/// Values where they may stand.
const PLACES: &str = "{{ control_server }}{% for r in routes %}block {{ r.path }} x{{ r.name }} \"{{ r.namespace }}\" {\n\
                      one a{{ r.cluster_ip }}:{{ r.port }} '{{ r.name }}' {{ r.host }};two ${x}{{ r.match }};}\n{% endfor %}";

#[test]
fn template_gets_every_value() {
    const REST: &str = "{{ control_server }}{{ upstreams }}{% for h in hosts %}{{ h.name }} '{{ h.certificate }}';\
                        {% for r in h.routes %}{{ r.protocol }} {{ r.upstream }} '{{ r.certificate }}' {{ r.kind }} \
                        {{ 1 if r.strip_prefix else 0 }} {{ 1 if r.redirect_to_https else 0 }};{% endfor %}{% endfor %}\
                        {% for a in settings.http + settings.https + settings.trusted %}{{ a }};{% endfor %}\
                        {{ settings.runtime }} '{{ settings.user }}' '{{ settings.access_log }}' {{ settings.error_log }} \
                        {{ settings.worker_processes }};";
    let object =
        |name: &str| ObjectRef::new(Kind::Ingress, Key { namespace: "default".to_owned(), name: name.to_owned() });
    let backend =
        Backend { address: SocketAddr::from(([127, 0, 0, 1], 80)).into(), protocol: Protocol::Http, keep_alive: true };
    let rule = |path: PathMatch| Rule {
        listeners: ListenerSet::ALL,
        matches: Match::path(path),
        action: Action::Forward(Forward::to(backend.clone(), PathRewrite::StripPrefix)),
        policy: PolicyId(0),
        origin: object("web"),
    };
    let rules = vec![rule(PathMatch::Exact("/b".to_owned())), rule(PathMatch::Prefix("/a".to_owned()))];
    let hosts = [(HostName::Any, Arc::new(Host { rules: rules.into(), ..Host::default() }))].into();
    let routes = Routes { hosts, ..Routes::default() };
    let revision = render_template(PLACES, &routes, &Settings::default()).unwrap();
    let text = std::str::from_utf8(&revision.files["nginx.conf"]).unwrap();
    for line in ["two ${x}Exact;", "two ${x}Prefix;", "one a127.0.0.1:80 'web' \"*\";"] {
        assert!(text.contains(line), "{text}");
    }
    render_template(REST, &routes, &Settings::default()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_stays_where_it_was_put(routes in routes(None), settings in settings()) {
        let revision = frame(&routes, &settings);
        prop_assert_eq!(&revision, &frame(&routes, &settings));
        check(&routes, &revision);
    }

    #[test]
    fn any_text_stays_where_a_template_put_it(routes in routes(None), settings in settings()) {
        // Not all is quotable everywhere: what is not is refused.
        if let Ok(revision) = render_template(PLACES, &routes, &settings) {
            let text = std::str::from_utf8(&revision.files["nginx.conf"]).unwrap();
            let statements = lex(text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            // After what `control_server` brings.
            for statement in statements.iter().skip_while(|statement| statement.words != ["server"]).skip(1) {
                prop_assert_eq!((statement.words[0].as_str(), statement.words.len()), ("block", 4));
                let names: Vec<_> = statement.block.iter().flatten().map(|inner| (inner.words[0].as_str(), inner.words.len())).collect();
                prop_assert_eq!(names, [("one", 4), ("two", 2)]);
            }
        }
    }

    #[test]
    fn a_value_is_one_token_or_refused(value in hostile()) {
        let text = format!("a {MARK}0{MARK} \"b{MARK}0{MARK}\";\n");
        if let Ok((text, _)) = splice(&text, std::slice::from_ref(&value)) {
            let expected = vec!["a".to_owned(), value.clone(), format!("b{value}")];
            prop_assert_eq!(lex(&text).unwrap()[0].words.clone(), expected);
        }
        // A part of a word either stays one or is refused.
        if let Ok((text, _)) = splice(&format!("a b{MARK}0{MARK}c;"), std::slice::from_ref(&value)) {
            prop_assert_eq!(lex(&text).unwrap()[0].words.clone(), ["a".to_owned(), format!("b{value}c")]);
        }
    }
}
