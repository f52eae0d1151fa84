//! The endpoints of Services: where their pods are reached.

use std::net::IpAddr;

use crate::Meta;

/// An `EndpointSlice`: some of the endpoints of a Service. Clusters have many, and they change all the time, so it has no more than
/// what requests are sent by: its [`Meta`] is its namespace and its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Its namespace and name.
    pub meta: Meta,
    /// The Service, of the same namespace: label `kubernetes.io/service-name`.
    pub service: String,
    /// The endpoints that may get requests.
    pub endpoints: Box<[SliceEndpoint]>,
    /// The ports of each of them, for TCP.
    pub ports: Box<[SlicePort]>,
}

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceEndpoint {
    /// Its address.
    pub address: IpAddr,
    /// Whether it gets requests.
    pub state: EndpointState,
}

/// Whether an endpoint gets requests. One that is neither has no place here. Source: KEP-1672.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointState {
    /// It does: its condition `ready` is true.
    Ready,
    /// Only if none is ready: it ends, and still answers (`serving` and `terminating`).
    Draining,
}

/// A port of all endpoints of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the port of the Service.
    pub name: String,
    /// Its number at the endpoints.
    pub port: u16,
}
