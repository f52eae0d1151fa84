//! From the API's types to the snapshot's, a file for each kind: only what routes are made of is kept.

use std::collections::BTreeMap;

use entry_model::{LoadBalancerAddress, Meta, Object};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

mod config_map;
mod endpoint_slice;
mod ingress;
mod ingress_class;
mod namespace;
mod node;
mod secret;
mod service;

pub(crate) use endpoint_slice::SERVICE_NAME;
pub(crate) use ingress::load_balancer_address;
pub(crate) use secret::TLS_SECRET;

/// A copy of the whole object, which `kubectl apply` leaves on it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Why an object cannot be used at all. An API server rejects such; a directory can hold them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidObject {
    /// The field, such as `spec.ports[0].port`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A type of the API that becomes an object of a snapshot.
pub trait Convert {
    /// The object; `None` if it is of no interest here, such as a Secret without a certificate.
    ///
    /// # Errors
    /// A value that no API server would have let in.
    fn convert(self) -> Result<Option<Object>, InvalidObject>;
}

fn invalid<T>(field: impl Into<String>, problem: impl Into<String>) -> Result<T, InvalidObject> {
    Err(InvalidObject { field: field.into(), problem: problem.into() })
}

/// Labels and annotations that matter are chosen by the caller.
fn reduce_meta(meta: ObjectMeta, labels: bool, annotation: impl Fn(&str) -> bool) -> Meta {
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.retain(|name, _| annotation(name));
    if annotations.is_empty() {
        // One that was emptied keeps its room.
        annotations = BTreeMap::new();
    }
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

fn nonempty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn parse_port(number: i32, field: impl Into<String>) -> Result<u16, InvalidObject> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => invalid(field, format!("{number} is no port: it must be from 1 to 65535")),
    }
}

fn reduce_address(ip: Option<String>, hostname: Option<String>) -> Option<LoadBalancerAddress> {
    match ip.and_then(|ip| ip.parse().ok()) {
        Some(ip) => Some(LoadBalancerAddress::Ip(ip)),
        None => nonempty(hostname).map(LoadBalancerAddress::Hostname),
    }
}
