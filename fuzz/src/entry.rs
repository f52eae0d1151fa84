//! `sparrow-entry`: what it reads of others, as far as it becomes a configuration.
//!
//! Whatever is in it, what is made of it is checked with `nginx_conf::shape`: no text of an object becomes more than the one
//! token that it is, and no directive is there that the program does not write.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use entry_kube::DirectorySource;
use entry_model::{
    Action, Backend, Certificate, CertificateId, Forward, Host, HostName, Ingress, IngressBackend, IngressClass,
    IngressPath, IngressRule, IngressTls, IpFamily, Key, Kind, Listener, ListenerSet, Match, Meta, Object, ObjectRef,
    PathMatch, PathRewrite, PathType, Policy, PortRef, Protocol, Routes, Rule, Secret, Service, ServiceKind,
    ServicePort, Snapshot,
};
use entry_translate::{
    INGRESS_NGINX_PREFIX, OWN_PREFIX, TranslateSettings, find_ingress_nginx_annotation, find_own_annotation, translate,
};
use nginx_conf::lexer::lex;
use nginx_conf::shape::check;
use nginx_conf::{
    FrameNeeds, LineOrigin, Modules, Settings, TemplateError, Version, object_of_error, reason_of_error, render,
    render_template,
};

/// Whether an input is well-formed.
type Target = fn(&[u8]) -> bool;

/// The functions of this module, by the names of their targets.
pub const TARGETS: &[(&str, Target)] = &[
    ("entry_manifests", manifests),
    ("entry_annotations", annotations),
    ("entry_certificate", certificate),
    ("nginx_conf_values", values),
    ("entry_template", template),
    ("nginx_words", words),
];

/// The oldest nginx and the newest, with everything that makes a configuration longer.
fn settings() -> [Settings; 2] {
    [Version::new(1, 22, 1), Version::new(1, 31, 3)].map(|version| Settings {
        version,
        trusted: "10.0.0.0/8".parse().into_iter().collect(),
        ..Settings::default()
    })
}

/// Makes routes and configurations of a snapshot; the routes.
fn served(snapshot: &Snapshot) -> Routes {
    let built = translate(snapshot, &TranslateSettings::default());
    for settings in settings() {
        check(&built.routes, &render(&built.routes, &FrameNeeds::of(&built.routes), &settings));
    }
    built.routes
}

/// A file in a directory of manifests: as YAML, and as JSON. Well-formed if all of it can be read as YAML.
pub fn manifests(data: &[u8]) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let mut good = false;
    for name in ["any.json", "any.yaml"] {
        let file = directory.path().join(name);
        std::fs::write(&file, data).expect("a file");
        let snapshot = DirectorySource::read(directory.path()).expect("the directory is there");
        good = snapshot.unreadable.is_empty();
        served(&snapshot);
        std::fs::remove_file(file).expect("the file is there");
    }
    good
}

fn meta(name: &str) -> Meta {
    Meta { namespace: "default".to_owned(), name: name.to_owned(), ..Meta::default() }
}

/// Annotations of an Ingress, `NAME=VALUE` with a NUL between them; `path` is its path. Well-formed if all names are known.
pub fn annotations(data: &[u8]) -> bool {
    let data = String::from_utf8_lossy(data);
    let mut path = None;
    let mut meta = meta("web");
    for annotation in data.split('\0').filter(|annotation| !annotation.is_empty()) {
        let (name, value) = annotation.split_once('=').unwrap_or((annotation, ""));
        if name == "path" {
            path = Some(value.to_owned());
        } else {
            meta.annotations.insert(name.to_owned(), value.to_owned());
        }
    }
    let is_known = |name: &String| {
        let ours = || name.strip_prefix(OWN_PREFIX).is_some_and(|name| find_own_annotation(name).is_some());
        let theirs = |name| find_ingress_nginx_annotation(name).is_some();
        ours() || name.strip_prefix(INGRESS_NGINX_PREFIX).is_some_and(theirs)
    };
    let all_known = meta.annotations.keys().all(is_known);
    let backend = IngressBackend::Service { name: "web".to_owned(), port: PortRef::Number(80) };
    let ingress = Ingress {
        meta,
        class: Some("sparrow".to_owned()),
        default_backend: None,
        rules: vec![IngressRule {
            host: Some("any.example".to_owned()),
            paths: vec![IngressPath { path, path_type: PathType::Prefix, backend }],
        }],
        tls: Vec::new(),
        addresses: Vec::new(),
    };
    let mut snapshot = Snapshot::default();
    for object in [Object::from(service()), ingress.into(), class().into()] {
        snapshot.put(object);
    }
    served(&snapshot);
    all_known
}

fn service() -> Service {
    let port = ServicePort { name: String::new(), port: 80, protocol: "TCP".to_owned(), app_protocol: None };
    Service {
        meta: meta("web"),
        kind: ServiceKind::ClusterIp,
        cluster_ips: vec![IpAddr::from(Ipv4Addr::LOCALHOST)],
        family: IpFamily::V4,
        ports: vec![port],
        addresses: Vec::new(),
    }
}

fn class() -> IngressClass {
    IngressClass {
        meta: Meta { namespace: String::new(), ..meta("sparrow") },
        controller: "sparrow/entry".to_owned(),
        default: false,
    }
}

/// A Secret of type `kubernetes.io/tls`: the chain, a NUL, and the key. Well-formed if its certificate is served.
pub fn certificate(data: &[u8]) -> bool {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (chain, key) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let backend = IngressBackend::Service { name: "web".to_owned(), port: PortRef::Number(80) };
    let host = "any.example".to_owned();
    let ingress = Ingress {
        meta: meta("web"),
        class: Some("sparrow".to_owned()),
        default_backend: None,
        rules: vec![IngressRule {
            host: Some(host.clone()),
            paths: vec![IngressPath { path: Some("/".to_owned()), path_type: PathType::Prefix, backend }],
        }],
        tls: vec![IngressTls { hosts: vec![host], secret: Some("tls".to_owned()) }],
        addresses: Vec::new(),
    };
    let secret =
        Secret { meta: meta("tls"), is_tls: true, certificate: chain.to_vec(), key: key.to_vec(), ..Secret::default() };
    let mut snapshot = Snapshot::default();
    for object in [Object::from(service()), ingress.into(), class().into(), secret.into()] {
        snapshot.put(object);
    }
    let routes = served(&snapshot);
    assert_eq!(routes.hosts.len(), 1);
    !routes.certificates.is_empty()
}

fn take<'a>(data: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, left) = data.split_at(len.min(data.len()));
    *data = left;
    taken
}

fn byte(data: &mut &[u8]) -> u8 {
    take(data, 1).first().copied().unwrap_or(0)
}

/// A text: its length in two bytes (little-endian), then its bytes. What is no UTF-8 becomes U+FFFD.
fn text(data: &mut &[u8]) -> String {
    let len = usize::from(byte(data)) | usize::from(byte(data)) << 8;
    String::from_utf8_lossy(take(data, len)).into_owned()
}

/// Routes of any texts: for each rule a byte of choices, an address of four bytes, then its host, its path, the namespace and
/// the name of its object, and the name of its certificate.
fn routes(mut data: &[u8]) -> Routes {
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut routes = Routes { listeners: Listener::built_in(&[local(8080)], &[local(8443)]), ..Routes::default() };
    while !data.is_empty() {
        let choices = byte(&mut data);
        let bit = |bit: u8| choices >> bit & 1 == 1;
        let ip: [u8; 4] = std::array::from_fn(|_| byte(&mut data));
        let [host, path, namespace, name, id] = std::array::from_fn(|_| text(&mut data));
        let protocol = match choices & 3 {
            0 => Protocol::Http,
            1 => Protocol::Https,
            2 => Protocol::Http2,
            _ => Protocol::Http2Tls,
        };
        let origin = ObjectRef::new(Kind::Ingress, Key { namespace, name });
        let backend = Backend {
            address: SocketAddr::from((ip, u16::from(choices))).into(),
            protocol,
            keep_alive: choices & 2 == 0,
        };
        let rewrite = if bit(2) { PathRewrite::StripPrefix } else { PathRewrite::Keep };
        let action = Action::Forward(Forward::to(backend, rewrite));
        let policy = routes.policies.intern(&Policy {
            max_body_bytes: bit(2).then_some(u64::from(choices)),
            redirect_to_https: bit(6),
            ..Policy::default()
        });
        let host = match (bit(3), host.is_empty()) {
            (_, true) => HostName::Any,
            (true, _) => HostName::OneLabel(host),
            (false, _) => HostName::Exact(host),
        };
        let id = (!id.is_empty()).then(|| CertificateId(id.into()));
        if let Some(id) = id.clone().filter(|_| bit(4)) {
            let (chain, key) = (path.clone().into_bytes(), Vec::new());
            routes.certificates.insert(id, Certificate { origin: origin.clone(), chain, key }.into());
        }
        let path = if bit(5) { PathMatch::Exact(path) } else { PathMatch::Prefix(path) };
        let rule = Rule { listeners: ListenerSet::ALL, matches: Match::path(path), action, policy, origin };
        if bit(7) {
            routes.default = Some(rule);
        } else {
            let mut of_host = routes.hosts.get(&host).map(|host| Host::clone(host)).unwrap_or_default();
            of_host.certificate = id.or(of_host.certificate.take());
            of_host.rules.push(rule);
            routes.hosts.insert(host, of_host.into());
        }
    }
    routes
}

/// Where a value may stand in a template: as a word, within one, within quotes of both kinds.
const PLACES: &str = "{{ control_server }}{% for r in routes %}block {{ r.path }} x{{ r.name }} \"{{ r.namespace }}\" {\n\
                      one a{{ r.port }} '{{ r.name }}' {{ r.host }};two ${x}{{ r.match }};}\n{% endfor %}";

/// Any text in any field of routes. Well-formed if all of it can be written, by a template too.
pub fn values(data: &[u8]) -> bool {
    let routes = routes(data);
    let mut good = true;
    for settings in settings() {
        let revision = render(&routes, &FrameNeeds::of(&routes), &settings);
        check(&routes, &revision);
        good &= revision.notes.is_empty();
        let Ok(revision) = render_template(PLACES, &routes, &settings) else {
            good = false;
            continue;
        };
        let text = std::str::from_utf8(&revision.files["nginx.conf"]).expect("UTF-8");
        let statements = lex(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        // After what `control_server` brings.
        for statement in statements.iter().skip_while(|statement| statement.words != ["server"]).skip(1) {
            assert_eq!((statement.words[0].as_str(), statement.words.len()), ("block", 4), "{text}");
            let inner = statement.block.iter().flatten();
            let inner: Vec<_> = inner.map(|inner| (inner.words[0].as_str(), inner.words.len())).collect();
            assert_eq!(inner, [("one", 4), ("two", 2)], "{text}");
        }
    }
    good
}

/// Any template. It ends, says of which line an error is, and gives the same twice. Well-formed if it gives a configuration.
pub fn template(data: &[u8]) -> bool {
    let Ok(template) = std::str::from_utf8(data) else { return false };
    // Some of what is in the corpus of `values`: a plain rule, and one that means to break out.
    let mut rules = Vec::new();
    for (choices, host, path) in [(4, "any.example", "/a"), (36, "", "/a\"; return 200 $host; # {{ x }} {% raw %}")] {
        rules.extend([choices, 127, 0, 0, 1]);
        for text in [host, path, "default", "web", ""] {
            rules.extend(u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
            rules.extend(text.as_bytes());
        }
    }
    let routes = routes(&rules);
    let [_, settings] = settings();
    let made = render_template(template, &routes, &settings);
    match &made {
        Ok(revision) => {
            let text = std::str::from_utf8(&revision.files["nginx.conf"]).expect("UTF-8");
            assert!(text.contains(&revision.hash));
        }
        Err(TemplateError::Failed { line, .. } | TemplateError::MisplacedValue { line, .. }) => {
            assert!(*line <= template.lines().count() + 1, "{made:?}");
        }
        Err(_) => {}
    }
    assert_eq!(made, render_template(template, &routes, &settings));
    made.is_ok()
}

/// What nginx says: `-v`, `-V`, and why it refuses a configuration. Well-formed if it is about an object.
pub fn words(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let _ = (text.parse::<Version>(), Modules::parse(text));
    let reason = reason_of_error(text);
    assert_eq!(reason.lines().count().max(1), 1, "{reason}");
    let key = |name: &str| Key { namespace: "default".to_owned(), name: name.to_owned() };
    let origin = |file: &str, [first_line, last_line]: [u32; 2], name: &str| LineOrigin {
        file: file.to_owned().into(),
        first_line,
        last_line,
        object: ObjectRef::new(Kind::Ingress, key(name)),
    };
    let origins = [
        origin("nginx.conf", [1, 99], "outer"),
        origin("nginx.conf", [10, 20], "inner"),
        origin("certs/abc.pem", [1, 9], "certificate"),
    ];
    let found = object_of_error(&origins, text);
    assert!(found.iter().all(|found| origins.iter().any(|origin| origin.object == *found)));
    found.is_some()
}
