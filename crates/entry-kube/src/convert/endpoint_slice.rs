//! `discovery.k8s.io/v1` `EndpointSlice`.

use std::net::IpAddr;

use entry_model::{EndpointSlice, EndpointState, IpFamily, Meta, Object, SliceEndpoint, SlicePort};
use k8s_openapi::api::discovery::v1 as discovery;

use super::{Convert, InvalidObject, invalid, nonempty, parse_port};

/// The label that names the Service. Slices without it are nobody's.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

impl Convert for discovery::EndpointSlice {
    /// One of a Service and of IP addresses, with the endpoints that may get requests and the ports for TCP.
    fn convert(self) -> Result<Option<Object>, InvalidObject> {
        let mut labels = self.metadata.labels.unwrap_or_default();
        let Some(service) = nonempty(labels.remove(SERVICE_NAME)) else { return Ok(None) };
        let family = match self.address_type.as_str() {
            "IPv4" => IpFamily::V4,
            "IPv6" => IpFamily::V6,
            // It is deprecated, and kube-proxy passes over it too.
            "FQDN" => return Ok(None),
            other => return invalid("addressType", format!("`{other}` is not known: write IPv4 or IPv6")),
        };
        let mut endpoints = Vec::new();
        for (index, endpoint) in self.endpoints.unwrap_or_default().into_iter().enumerate() {
            let Some(state) = state(endpoint.conditions.as_ref()) else { continue };
            let field = || format!("endpoints[{index}].addresses[0]");
            // Of several nobody says what the others mean.
            let Some(text) = endpoint.addresses.first() else { return invalid(field(), "it is missing") };
            match text.parse::<IpAddr>() {
                Ok(address) if is_usable(address, family) => endpoints.push(SliceEndpoint { address, state }),
                _ => return invalid(field(), format!("`{text}` is no {} address of an endpoint", self.address_type)),
            }
        }
        let mut ports = Vec::new();
        for (index, entry) in self.ports.unwrap_or_default().into_iter().enumerate() {
            let is_tcp = entry.protocol.as_deref().is_none_or(|protocol| ["", "TCP"].contains(&protocol));
            if let Some(port) = entry.port.filter(|_| is_tcp) {
                let port = parse_port(port, format!("ports[{index}].port"))?;
                ports.push(SlicePort { name: entry.name.unwrap_or_default(), port });
            }
        }
        let meta = Meta {
            namespace: self.metadata.namespace.unwrap_or_default(),
            name: self.metadata.name.unwrap_or_default(),
            ..Meta::default()
        };
        Ok(Some(EndpointSlice { meta, service, endpoints: endpoints.into(), ports: ports.into() }.into()))
    }
}

/// Whether an endpoint gets requests, as kube-proxy has it; none if it gets none at all. Of an unknown condition the API says what
/// it counts as.
fn state(conditions: Option<&discovery::EndpointConditions>) -> Option<EndpointState> {
    let is = |condition: fn(&discovery::EndpointConditions) -> Option<bool>, unknown: bool| {
        conditions.and_then(condition).unwrap_or(unknown)
    };
    if is(|conditions| conditions.ready, true) {
        Some(EndpointState::Ready)
    } else if is(|conditions| conditions.serving, true) && is(|conditions| conditions.terminating, false) {
        Some(EndpointState::Draining)
    } else {
        None
    }
}

/// Whether an endpoint can have an address. An API server takes those of the machine itself neither; a directory may have them.
fn is_usable(address: IpAddr, family: IpFamily) -> bool {
    IpFamily::of(address) == family && !address.is_unspecified() && !address.is_multicast()
}
