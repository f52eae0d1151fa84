//! What is done with a request.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::{FixedAnswer, Key, PathRewrite, Redirect};

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is forwarded.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered with this status and no more.
    Respond(u16),
    /// It is answered with a text.
    Answer(FixedAnswer),
}

impl Action {
    /// The status for a rule that stands, while where it leads does not exist.
    pub const UNAVAILABLE: Self = Self::Respond(503);

    /// Whether it lets no request pass.
    pub fn refuses(&self) -> bool {
        match self {
            Self::Forward(_) | Self::Redirect(_) => false,
            Self::Respond(status) => *status >= 400,
            Self::Answer(answer) => answer.status() >= 400,
        }
    }
}

/// Where and how a request is forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Forward {
    /// Where to: one of these, by chance. Without any, or with none of any weight, the answer is 500, as the Gateway API has it.
    pub backends: Vec<WeightedBackend>,
    /// What becomes of the path.
    pub path: PathRewrite,
}

/// A backend, and how many of the requests it gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WeightedBackend {
    /// Its share, in proportion to the sum of all. With 0 it gets none.
    pub weight: u32,
    /// What its share of requests gets.
    pub destination: Destination,
}

/// Where a share of requests goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// To a backend.
    Backend(Backend),
    /// Nowhere: it is answered with this status, since the backend does not exist or cannot be used. The other shares are
    /// served.
    Status(u16),
}

/// A server of requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// Where it is.
    pub address: BackendAddress,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Whether a connection is kept for further requests, whose ever they are.
    pub keep_alive: bool,
}

/// Where a backend is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendAddress {
    /// At the address of a Service's port, behind which the cluster chooses an endpoint for each connection.
    ClusterIp(SocketAddr),
    /// At the endpoints of a Service's port, of which one is chosen for each request. [`crate::Routes::endpoints`] has them, so
    /// that no rule changes with them.
    Endpoints(EndpointsId),
}

/// Names the endpoints of a port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointsId {
    /// The Service.
    pub service: Arc<Key>,
    /// The port of the Service, which may be another one at its endpoints.
    pub port: u16,
}

impl fmt::Display for EndpointsId {
    /// `shop/web:80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { namespace, name } = &*self.service;
        write!(f, "{namespace}/{name}:{}", self.port)
    }
}

impl From<SocketAddr> for BackendAddress {
    fn from(address: SocketAddr) -> Self {
        Self::ClusterIp(address)
    }
}

impl BackendAddress {
    /// The address of a Service's port; none of one that is reached at its endpoints.
    pub fn cluster_ip(&self) -> Option<SocketAddr> {
        match self {
            Self::ClusterIp(address) => Some(*address),
            Self::Endpoints(_) => None,
        }
    }
}

impl fmt::Display for BackendAddress {
    /// `10.0.0.1:80`, `endpoints of shop/web:80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterIp(address) => address.fmt(f),
            Self::Endpoints(id) => write!(f, "endpoints of {id}"),
        }
    }
}

/// What a backend speaks. Source: `appProtocol` of KEP-1422 and KEP-3726.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1, and with it WebSocket.
    Http,
    /// The same over TLS.
    Https,
    /// HTTP/2 in the clear, and with it gRPC.
    Http2,
    /// HTTP/2 over TLS.
    Http2Tls,
}

impl Forward {
    /// All requests to one backend.
    pub fn to(backend: Backend, path: PathRewrite) -> Self {
        Self { backends: vec![WeightedBackend { weight: 1, destination: Destination::Backend(backend) }], path }
    }

    /// The backend, if all requests go to the same.
    pub fn only_backend(&self) -> Option<&Backend> {
        match self.backends.as_slice() {
            [WeightedBackend { weight: 1.., destination: Destination::Backend(backend) }] => Some(backend),
            _ => None,
        }
    }

    /// Where a request goes, by a number that is as likely to be any as any other. Of the shares, which are laid one behind the
    /// other over all numbers, it is the one into which the number falls. None without any weight.
    pub fn destination(&self, chance: u64) -> Option<&Destination> {
        let all: u64 = self.backends.iter().map(|share| u64::from(share.weight)).sum();
        let point = u64::try_from((u128::from(chance) * u128::from(all)) >> 64).unwrap_or(u64::MAX);
        let mut end = 0;
        let share = self.backends.iter().find(|share| {
            end += u64::from(share.weight);
            point < end
        });
        share.map(|share| &share.destination)
    }
}
