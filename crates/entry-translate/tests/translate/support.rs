//! Objects, and what is built of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use entry_model::{
    Acceptance, EndpointSlice, EndpointState, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule,
    IngressTls, IpFamily, Key, Kind, Meta, ObjectRef, PathType, PortRef, Reason, Secret, Service, ServiceKind,
    ServicePort, SliceEndpoint, SlicePort, Snapshot,
};
use entry_translate::{Quarantine, TranslateSettings, Translation, translate};

/// 2026-01-01.
pub const NOW: i64 = 1_767_225_600;

pub fn key(namespace: &str, name: &str) -> Key {
    Key { namespace: namespace.to_owned(), name: name.to_owned() }
}

pub fn object(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef::new(kind, key("shop", name))
}

pub fn meta(name: &str) -> Meta {
    Meta { namespace: "shop".to_owned(), name: name.to_owned(), generation: 3, ..Meta::default() }
}

pub fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

pub fn port(name: &str, port: u16) -> ServicePort {
    ServicePort { name: name.to_owned(), port, protocol: "TCP".to_owned(), app_protocol: None }
}

/// A Service at 10.0.0.1, port 80, without the label.
pub fn service(name: &str) -> Service {
    Service {
        meta: meta(name),
        kind: ServiceKind::ClusterIp,
        cluster_ips: vec![IpAddr::from([10, 0, 0, 1])],
        family: IpFamily::V4,
        ports: vec![port("", 80)],
        addresses: Vec::new(),
    }
}

/// The same with the label.
pub fn exposed<const N: usize>(name: &str, annotations: [(&str, &str); N]) -> Service {
    let mut service = service(name);
    service.meta.labels = texts([("sparrow/expose", "true")]);
    service.meta.annotations = texts(annotations);
    service
}

pub fn backend(name: &str) -> IngressBackend {
    IngressBackend::Service { name: name.to_owned(), port: PortRef::Number(80) }
}

/// A slice of a Service, whose endpoints are reached at port 8080 for its port without a name.
pub fn slice<const N: usize>(name: &str, service: &str, endpoints: [(&str, EndpointState); N]) -> EndpointSlice {
    let endpoint = |(address, state): (&str, _)| SliceEndpoint { address: address.parse().expect("an address"), state };
    EndpointSlice {
        meta: Meta { generation: 0, ..meta(name) },
        service: service.to_owned(),
        endpoints: endpoints.map(endpoint).into(),
        ports: [SlicePort { name: String::new(), port: 8080 }].into(),
    }
}

/// An Ingress of our class without rules.
pub fn ingress(name: &str) -> Ingress {
    Ingress {
        meta: meta(name),
        class: Some("sparrow".to_owned()),
        default_backend: None,
        rules: Vec::new(),
        tls: Vec::new(),
        addresses: Vec::new(),
    }
}

pub fn rule(host: Option<&str>, paths: Vec<IngressPath>) -> IngressRule {
    IngressRule { host: host.map(str::to_owned), paths }
}

/// A path to the Service `web`.
pub fn prefix(path: &str) -> IngressPath {
    IngressPath { path: Some(path.to_owned()), path_type: PathType::Prefix, backend: backend("web") }
}

pub fn exact(path: &str) -> IngressPath {
    IngressPath { path_type: PathType::Exact, ..prefix(path) }
}

pub fn to(path: IngressPath, name: &str) -> IngressPath {
    IngressPath { backend: backend(name), ..path }
}

pub fn tls(hosts: &[&str], secret: &str) -> IngressTls {
    IngressTls { hosts: hosts.iter().map(|&host| host.to_owned()).collect(), secret: Some(secret.to_owned()) }
}

/// An Ingress with a rule for a host.
pub fn with_rule(name: &str, host: Option<&str>, paths: Vec<IngressPath>) -> Ingress {
    Ingress { rules: vec![rule(host, paths)], ..ingress(name) }
}

/// A class of ours.
pub fn class(name: &str) -> IngressClass {
    let meta = Meta { namespace: String::new(), ..meta(name) };
    IngressClass { meta, controller: "sparrow/entry".to_owned(), default: false }
}

/// A Secret with a certificate for names, and its key.
pub fn secret(name: &str, hosts: &[&str]) -> Secret {
    signed(name, hosts, (2020, 2040))
}

/// The same, valid from the beginning of a year to that of another.
pub fn signed(name: &str, hosts: &[&str], years: (i32, i32)) -> Secret {
    let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut parameters = rcgen::CertificateParams::new(hosts).expect("names of hosts");
    parameters.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let (certificate, key) = (certificate.pem().into(), key.serialize_pem().into());
    Secret { meta: meta(name), is_tls: true, certificate, key, ..Secret::default() }
}

/// Objects, with the class `sparrow`.
pub struct Objects(pub Snapshot);

impl Objects {
    pub fn new() -> Self {
        Self(Snapshot::default()).class(class("sparrow"))
    }

    pub fn class(mut self, class: IngressClass) -> Self {
        self.0.put(class);
        self
    }

    pub fn service(mut self, service: Service) -> Self {
        self.0.put(service);
        self
    }

    pub fn ingress(mut self, ingress: Ingress) -> Self {
        self.0.put(ingress);
        self
    }

    pub fn slice(mut self, slice: EndpointSlice) -> Self {
        self.0.put(slice);
        self
    }

    pub fn secret(mut self, secret: Secret) -> Self {
        self.0.put(secret);
        self
    }

    pub fn translate(&self) -> Translation {
        self.translate_with(&settings())
    }

    pub fn translate_with(&self, settings: &TranslateSettings) -> Translation {
        translate(&self.0, settings)
    }
}

/// An object is put aside, and its paths with it.
pub fn left_out(reason: Reason, message: &str) -> Quarantine {
    Quarantine { reason, message: message.to_owned(), keeps_paths: false }
}

pub fn settings() -> TranslateSettings {
    TranslateSettings { now: NOW, ..TranslateSettings::default() }
}

/// Compares routes with lines of text; certificates' ids are left out.
#[track_caller]
pub fn assert_routes(built: &Translation, expected: &[&str]) {
    let text = built.routes.to_string();
    let lines: Vec<_> = text
        .lines()
        .map(|line| match line.split_once(" certificate ") {
            Some((host, rest)) => format!("{host} certificate{}", &rest[12..]),
            None => line.to_owned(),
        })
        .collect();
    assert_eq!(lines, expected, "\n{text}");
}

/// Compares a verdict with its acceptance, and each finding with its field, reason and a part of its message.
#[track_caller]
pub fn assert_verdict(
    built: &Translation,
    object: &ObjectRef,
    acceptance: Acceptance,
    findings: &[(&str, Reason, &str)],
) {
    let verdict = built.verdicts.get(object).unwrap_or_else(|| panic!("no verdict on {object}: {:#?}", built.verdicts));
    assert_eq!(verdict.acceptance(), acceptance, "{verdict:#?}");
    let fields: Vec<_> = verdict.findings().iter().map(|finding| (finding.field.as_str(), finding.reason)).collect();
    let expected: Vec<_> = findings.iter().map(|&(field, reason, _)| (field, reason)).collect();
    assert_eq!(fields, expected, "{verdict:#?}");
    for (finding, (.., part)) in verdict.findings().iter().zip(findings) {
        assert!(finding.message.contains(part), "{part:?} is not in {:?}", finding.message);
    }
}
