//! From the API's types to the snapshot's: only what routes are made of is kept.

use std::collections::BTreeMap;
use std::net::IpAddr;

use entry_model::{
    Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IngressTls, LoadBalancerAddress, Meta, Namespace,
    Node, Object, PathType, PortRef, Secret, Service, ServiceKind, ServicePort,
};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The type of Secrets that hold a certificate.
pub(crate) const TLS_SECRET: &str = "kubernetes.io/tls";

/// The annotation of a Namespace that lists its hosts.
const HOSTS: &str = "sparrow/hosts";

/// A copy of the whole object, which `kubectl apply` leaves on it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Why an object cannot be used at all. An API server refuses such; a directory can hold them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Unusable {
    /// The field, such as `spec.ports[0].port`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

fn unusable<T>(field: impl Into<String>, problem: impl Into<String>) -> Result<T, Unusable> {
    Err(Unusable { field: field.into(), problem: problem.into() })
}

/// A type of the API that becomes an object of a snapshot.
pub trait Convert {
    /// The object; `None` if it is of no interest here, such as a Secret without a certificate.
    ///
    /// # Errors
    /// A value that no API server would have let in.
    fn convert(self) -> Result<Option<Object>, Unusable>;
}

/// Labels and annotations that matter are chosen by the caller.
fn meta(meta: ObjectMeta, labels: bool, annotation: impl Fn(&str) -> bool) -> Meta {
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.retain(|name, _| annotation(name));
    Meta {
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        created: meta.creation_timestamp.map_or(0, |time| time.0.as_second()),
        labels: if labels { meta.labels.unwrap_or_default() } else { BTreeMap::new() },
        annotations,
    }
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn port(number: i32, field: impl Into<String>) -> Result<u16, Unusable> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => unusable(field, format!("{number} is no port: it must be from 1 to 65535")),
    }
}

impl Convert for core::Service {
    /// All labels, for selectors; of the annotations only those with the prefix `sparrow/`.
    fn convert(self) -> Result<Option<Object>, Unusable> {
        let spec = self.spec.unwrap_or_default();
        let mut addresses = spec.cluster_ips.unwrap_or_default();
        if addresses.is_empty() {
            addresses.extend(given(spec.cluster_ip));
        }
        let kind = if spec.type_.as_deref() == Some("ExternalName") {
            ServiceKind::ExternalName(spec.external_name.unwrap_or_default())
        } else if addresses.iter().any(|address| address == "None") {
            ServiceKind::Headless
        } else {
            ServiceKind::ClusterIp
        };
        let mut cluster_ips = Vec::new();
        if kind == ServiceKind::ClusterIp {
            for (index, address) in addresses.iter().enumerate() {
                match address.parse::<IpAddr>() {
                    Ok(address) => cluster_ips.push(address),
                    Err(_) if address.is_empty() => {}
                    Err(_) => {
                        return unusable(format!("spec.clusterIPs[{index}]"), format!("`{address}` is no IP address"));
                    }
                }
            }
        }
        let mut ports = Vec::new();
        for (index, entry) in spec.ports.unwrap_or_default().into_iter().enumerate() {
            ports.push(ServicePort {
                name: entry.name.unwrap_or_default(),
                port: port(entry.port, format!("spec.ports[{index}].port"))?,
                protocol: given(entry.protocol).unwrap_or_else(|| "TCP".to_owned()),
                app_protocol: given(entry.app_protocol),
            });
        }
        let meta = meta(self.metadata, true, |name| name.starts_with("sparrow/"));
        let status = self.status.and_then(|status| status.load_balancer).and_then(|status| status.ingress);
        let addresses = status.unwrap_or_default().into_iter().filter_map(|entry| address(entry.ip, entry.hostname));
        let addresses = addresses.collect();
        Ok(Some(Service { meta, kind, cluster_ips, ports, addresses }.into()))
    }
}

impl Convert for networking::Ingress {
    /// No labels; all annotations but the copy that `kubectl apply` leaves, so that foreign ones can be named.
    fn convert(self) -> Result<Option<Object>, Unusable> {
        let mut meta = meta(self.metadata, false, |name| name != LAST_APPLIED);
        let spec = self.spec.unwrap_or_default();
        let class =
            given(spec.ingress_class_name).or_else(|| given(meta.annotations.remove("kubernetes.io/ingress.class")));
        let default_backend =
            spec.default_backend.map(|backend| ingress_backend(backend, "spec.defaultBackend")).transpose()?;
        let mut rules = Vec::new();
        for (index, entry) in spec.rules.unwrap_or_default().into_iter().enumerate() {
            let mut paths = Vec::new();
            for (number, path) in entry.http.unwrap_or_default().paths.into_iter().enumerate() {
                paths.push(ingress_path(path, &format!("spec.rules[{index}].http.paths[{number}]"))?);
            }
            rules.push(IngressRule { host: given(entry.host), paths });
        }
        let tls = spec.tls.unwrap_or_default().into_iter();
        let tls = tls
            .map(|tls| IngressTls { hosts: tls.hosts.unwrap_or_default(), secret: given(tls.secret_name) })
            .collect();
        let status = self.status.and_then(|status| status.load_balancer).and_then(|status| status.ingress);
        let addresses = status.unwrap_or_default().iter().filter_map(load_balancer_address).collect();
        Ok(Some(Ingress { meta, class, default_backend, rules, tls, addresses }.into()))
    }
}

/// An entry of an Ingress's status; `None` if it names neither an address nor a host.
pub(crate) fn load_balancer_address(entry: &networking::IngressLoadBalancerIngress) -> Option<LoadBalancerAddress> {
    address(entry.ip.clone(), entry.hostname.clone())
}

fn address(ip: Option<String>, hostname: Option<String>) -> Option<LoadBalancerAddress> {
    match ip.and_then(|ip| ip.parse().ok()) {
        Some(ip) => Some(LoadBalancerAddress::Ip(ip)),
        None => given(hostname).map(LoadBalancerAddress::Hostname),
    }
}

fn ingress_path(path: networking::HTTPIngressPath, field: &str) -> Result<IngressPath, Unusable> {
    let path_type = match path.path_type.as_str() {
        "Exact" => PathType::Exact,
        "Prefix" => PathType::Prefix,
        "ImplementationSpecific" => PathType::ImplementationSpecific,
        "" => {
            return unusable(
                format!("{field}.pathType"),
                "it is missing: write Exact, Prefix or ImplementationSpecific",
            );
        }
        _ => PathType::Unknown(path.path_type),
    };
    let backend = ingress_backend(path.backend, &format!("{field}.backend"))?;
    Ok(IngressPath { path: given(path.path), path_type, backend })
}

fn ingress_backend(backend: networking::IngressBackend, field: &str) -> Result<IngressBackend, Unusable> {
    match (backend.service, backend.resource) {
        (Some(_), Some(_)) => unusable(field, "it has both a service and a resource: keep one"),
        (None, None) => unusable(field, "it names no service"),
        (None, Some(resource)) => Ok(IngressBackend::Resource { kind: resource.kind, name: resource.name }),
        (Some(service), None) => {
            let wanted = service.port.unwrap_or_default();
            let port = match (wanted.number.filter(|number| *number != 0), given(wanted.name)) {
                (Some(number), None) => PortRef::Number(port(number, format!("{field}.service.port.number"))?),
                (None, Some(name)) => PortRef::Name(name),
                (None, None) => return unusable(format!("{field}.service.port"), "write a number or a name"),
                (Some(_), Some(_)) => {
                    return unusable(format!("{field}.service.port"), "it has both a number and a name: keep one");
                }
            };
            if service.name.is_empty() {
                return unusable(format!("{field}.service.name"), "it is missing");
            }
            Ok(IngressBackend::Service { name: service.name, port })
        }
    }
}

impl Convert for networking::IngressClass {
    fn convert(self) -> Result<Option<Object>, Unusable> {
        let mut meta = meta(self.metadata, false, |name| name == "ingressclass.kubernetes.io/is-default-class");
        meta.namespace.clear();
        let default = std::mem::take(&mut meta.annotations).into_values().any(|value| value == "true");
        let controller = self.spec.and_then(|spec| spec.controller).unwrap_or_default();
        Ok(Some(IngressClass { meta, controller, default }.into()))
    }
}

impl Convert for core::Secret {
    fn convert(self) -> Result<Option<Object>, Unusable> {
        if self.type_.as_deref() != Some(TLS_SECRET) {
            return Ok(None);
        }
        let mut data = self.data.unwrap_or_default();
        // An API server merges it into `data`; in a manifest it stands by itself.
        let texts = self.string_data.unwrap_or_default().into_iter();
        data.extend(texts.map(|(name, text)| (name, ByteString(text.into_bytes()))));
        let mut take = |name: &str| data.remove(name).map(|value| value.0).unwrap_or_default();
        let (certificate, key) = (take("tls.crt"), take("tls.key"));
        let meta = meta(self.metadata, false, |_| false);
        Ok(Some(Secret { meta, certificate, key }.into()))
    }
}

impl Convert for core::Namespace {
    /// Only one that lists hosts.
    fn convert(self) -> Result<Option<Object>, Unusable> {
        let mut meta = meta(self.metadata, false, |name| name == HOSTS);
        meta.namespace.clear();
        let hosts = std::mem::take(&mut meta.annotations).remove(HOSTS);
        Ok(hosts.map(|hosts| Namespace { meta, hosts: Some(hosts) }.into()))
    }
}

impl Convert for core::Node {
    fn convert(self) -> Result<Option<Object>, Unusable> {
        let mut meta = meta(self.metadata, true, |_| false);
        meta.namespace.clear();
        let status = self.status.unwrap_or_default();
        let (mut external, mut internal) = (Vec::new(), Vec::new());
        for entry in status.addresses.unwrap_or_default() {
            let Ok(address) = entry.address.parse() else { continue };
            match entry.type_.as_str() {
                "ExternalIP" => external.push(address),
                "InternalIP" => internal.push(address),
                _ => {}
            }
        }
        let conditions = status.conditions.unwrap_or_default();
        let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        Ok(Some(Node { meta, external, internal, ready }.into()))
    }
}
