//! The objects of a cluster, reduced to what routes are made of.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Kind;

/// Names an object of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Its namespace; empty for kinds of the whole cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// Reads `NAMESPACE/NAME`; none where a part is empty, too long for Kubernetes, or has a character that no name has.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = |part: &str| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
            (1..=253).contains(&part.len()) && part.bytes().all(legal)
        };
        let (namespace, name) = text.split_once('/')?;
        let key = || Self { namespace: namespace.to_owned(), name: name.to_owned() };
        (is_name(namespace) && is_name(name)).then(key)
    }
}

/// Names an object. Cheap to clone: each line of a configuration has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    #[serde(flatten)]
    pub key: Arc<Key>,
}

impl ObjectRef {
    /// The reference to the object of this kind with this key.
    pub fn new(kind: Kind, key: Key) -> Self {
        Self { kind, key: Arc::new(key) }
    }
}

impl fmt::Display for ObjectRef {
    /// `Ingress shop/web`, `Node a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.key.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.key.name),
        }
    }
}

/// What all objects have. Labels and annotations are those that matter here: a source may leave others out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Namespace; empty for kinds of the whole cluster.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The API server's id of this object; empty from a directory.
    pub uid: String,
    /// Counts changes of the specification; 0 from a directory.
    pub generation: i64,
    /// When it was made, in seconds since 1970. The older of two objects that claim the same wins.
    pub created: i64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Meta {
    /// The key of the object.
    pub fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// The reference to the object, which is of this kind.
    pub fn object(&self, kind: Kind) -> ObjectRef {
        ObjectRef::new(kind, self.key())
    }
}

/// A family of addresses, as `spec.ipFamilies` of Services has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    /// `IPv4`.
    V4,
    /// `IPv6`.
    V6,
}

impl IpFamily {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// How a Service is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceKind {
    /// By its cluster IPs: `ClusterIP`, `NodePort` and `LoadBalancer` alike.
    ClusterIp,
    /// Headless (`clusterIP: None`): by the addresses of its pods only.
    Headless,
    /// Another name in DNS.
    ExternalName(String),
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What all objects have.
    pub meta: Meta,
    /// How it is reached.
    pub kind: ServiceKind,
    /// Its cluster IPs, first the one of its first family; empty until it has one.
    pub cluster_ips: Vec<IpAddr>,
    /// Its first family: that of its first cluster IP, else the first of `spec.ipFamilies`, else IPv4.
    pub family: IpFamily,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `status.loadBalancer.ingress`: where its load balancer is reached.
    pub addresses: Vec<LoadBalancerAddress>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty if the only port has none.
    pub name: String,
    /// The port of the cluster IP.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// `appProtocol`: what is spoken on it.
    pub app_protocol: Option<String>,
}

/// An Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// What all objects have.
    pub meta: Meta,
    /// `spec.ingressClassName`, else the annotation `kubernetes.io/ingress.class`.
    pub class: Option<String>,
    /// `spec.defaultBackend`.
    pub default_backend: Option<IngressBackend>,
    /// `spec.rules`.
    pub rules: Vec<IngressRule>,
    /// `spec.tls`.
    pub tls: Vec<IngressTls>,
    /// `status.loadBalancer.ingress`.
    pub addresses: Vec<LoadBalancerAddress>,
}

/// A rule of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressRule {
    /// The host; every host without it.
    pub host: Option<String>,
    /// `http.paths`.
    pub paths: Vec<IngressPath>,
}

/// A path of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressPath {
    /// The path; `None` means `/`.
    pub path: Option<String>,
    /// How it is matched.
    pub path_type: PathType,
    /// Where it leads.
    pub backend: IngressBackend,
}

/// How a path is matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathType {
    /// The whole path.
    Exact,
    /// By its segments.
    Prefix,
    /// As this controller likes: the same as `Prefix`.
    ImplementationSpecific,
    /// Something else, which only a directory can hold.
    Unknown(String),
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngressBackend {
    /// A Service of the Ingress's namespace.
    Service {
        /// Its name.
        name: String,
        /// Its port.
        port: PortRef,
    },
    /// Another object, which is not supported.
    Resource {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
}

/// Names a port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// A part of `spec.tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressTls {
    /// The hosts; all hosts of the rules when empty.
    pub hosts: Vec<String>,
    /// The Secret with the certificate.
    pub secret: Option<String>,
}

/// An entry of `status.loadBalancer.ingress`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadBalancerAddress {
    /// An address.
    Ip(IpAddr),
    /// A name.
    Hostname(String),
}

/// An `IngressClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressClass {
    /// What all objects have.
    pub meta: Meta,
    /// `spec.controller`.
    pub controller: String,
    /// Whether Ingresses without a class are of this one: annotation `ingressclass.kubernetes.io/is-default-class`.
    pub default: bool,
}

/// A Secret of the type `kubernetes.io/tls`, or one that annotations may name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// What all objects have.
    pub meta: Meta,
    /// Whether it is of the type `kubernetes.io/tls`: from others comes no certificate of a host.
    pub is_tls: bool,
    /// `tls.crt`: a chain of certificates in PEM; empty when missing.
    pub certificate: Vec<u8>,
    /// `tls.key`: a private key in PEM; empty when missing.
    pub key: Vec<u8>,
    /// `ca.crt`: certificates of authorities in PEM; empty when missing.
    pub authorities: Vec<u8>,
    /// `ca.crl`: lists of revoked certificates in PEM; empty when missing.
    pub revoked: Vec<u8>,
    /// `auth`: users and the hashes of their passwords, as htpasswd writes them; empty when missing.
    pub passwords: Vec<u8>,
    /// The keys whose values are hashes of passwords: users, with these.
    pub password_hashes: BTreeMap<String, String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// A `ConfigMap` that a flag, or another object that is read, names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMap {
    /// What all objects have.
    pub meta: Meta,
    /// `data`: texts by their keys. Bytes (`binaryData`) are left out.
    pub data: BTreeMap<String, String>,
}

/// The keys of a `ConfigMap` of settings under which it names another `ConfigMap`, whose data are headers.
pub const HEADER_CONFIG_MAPS: [&str; 2] = ["add-headers", "proxy-set-headers"];

impl ConfigMap {
    /// The `ConfigMaps` that one of settings names: under [`HEADER_CONFIG_MAPS`], as `NAMESPACE/NAME`.
    pub fn named_config_maps(&self) -> impl Iterator<Item = Key> {
        HEADER_CONFIG_MAPS.iter().filter_map(|name| Key::parse(self.data.get(*name)?.trim()))
    }
}

/// A Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What all objects have.
    pub meta: Meta,
    /// Addresses of the type `ExternalIP`.
    pub external: Vec<IpAddr>,
    /// Addresses of the type `InternalIP`.
    pub internal: Vec<IpAddr>,
    /// Whether its condition `Ready` is true.
    pub ready: bool,
}

/// The annotation of a Namespace that lists the hosts that it owns.
pub const HOSTS_ANNOTATION: &str = "sparrow/hosts";

/// A Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// What all objects have.
    pub meta: Meta,
    /// The annotation `sparrow/hosts`: the only hosts that its objects may claim, which are closed to those of others.
    pub hosts: Option<String>,
}
