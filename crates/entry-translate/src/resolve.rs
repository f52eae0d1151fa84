//! From a Service and a port to an address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use entry_model::{
    AbridgedText, BackendAddress, BackendMode, EndpointsId, Key, PortRef, Protocol, Reason, Service, ServiceKind,
    ServicePort, Transport,
};

/// Why a Service or a port cannot be reached.
#[derive(Debug)]
pub struct ResolveError {
    pub reason: Reason,
    pub fault: ResolveFault,
    /// A sentence, and what to do.
    pub message: String,
}

/// What of a Service is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveFault {
    /// Its kind: it can never be reached as it is.
    Kind,
    /// It has no cluster IP.
    Address,
    /// The port is not there.
    Port,
    /// The port, with this index, cannot be used.
    PortValue(usize),
}

/// Where a Service is reached, at any of its ports.
#[derive(Debug)]
pub enum ServiceAddress {
    /// At its cluster IP.
    ClusterIp(IpAddr),
    /// At the endpoints of the Service of this name.
    Endpoints(Arc<Key>),
}

impl ServiceAddress {
    /// Where the port of this number is reached.
    pub fn with_port(self, port: u16) -> BackendAddress {
        match self {
            Self::ClusterIp(ip) => SocketAddr::new(ip, port).into(),
            Self::Endpoints(service) => BackendAddress::Endpoints(EndpointsId { service, port }),
        }
    }
}

/// Where a Service is reached.
pub fn service_address(service: &Service, mode: BackendMode) -> Result<ServiceAddress, ResolveError> {
    let rejected = |message: &str| ResolveError {
        reason: Reason::Unsupported,
        fault: ResolveFault::Kind,
        message: message.to_owned(),
    };
    match service.kind {
        ServiceKind::ClusterIp | ServiceKind::Headless if mode == BackendMode::Endpoints => {
            return Ok(ServiceAddress::Endpoints(Arc::new(service.meta.key())));
        }
        ServiceKind::ClusterIp => {}
        ServiceKind::Headless => {
            return Err(rejected(
                "A headless Service has no address of its own; use a Service with a cluster IP, or have requests sent to the \
                 endpoints of this one, with the annotation sparrow/backends",
            ));
        }
        ServiceKind::ExternalName(_) => {
            return Err(rejected(
                "A Service of the type ExternalName is rejected, since it would lead requests to any name its owner likes; \
                 use a Service with a cluster IP",
            ));
        }
    }
    match service.cluster_ips.first() {
        Some(ip) if ip.is_unspecified() || ip.is_multicast() => Err(ResolveError {
            reason: Reason::InvalidRef,
            fault: ResolveFault::Address,
            message: format!("The cluster IP {ip} is no address of a Service; correct it"),
        }),
        Some(ip) => Ok(ServiceAddress::ClusterIp(*ip)),
        None => Err(ResolveError {
            reason: Reason::RefNotFound,
            fault: ResolveFault::Address,
            message: "The Service has no cluster IP yet; it is served as soon as it has one".to_owned(),
        }),
    }
}

/// The port of a Service that is meant, with its index.
pub fn find_port<'a>(service: &'a Service, wanted: &PortRef) -> Result<(usize, &'a ServicePort), ResolveError> {
    let is_wanted = |port: &ServicePort| match wanted {
        PortRef::Number(number) => port.port == *number,
        PortRef::Name(name) => !name.is_empty() && port.name == *name,
    };
    // The same number can be there once for each protocol.
    let mut found = service.ports.iter().enumerate().filter(|(_, port)| is_wanted(port));
    let first = found.clone().next();
    let (index, port) = found.find(|(_, port)| port.protocol == "TCP").or(first).ok_or_else(|| ResolveError {
        reason: Reason::RefNotFound,
        fault: ResolveFault::Port,
        message: format!("The Service has no such port; it has {}", list_ports(service)),
    })?;
    check_port(index, port)
}

/// The number of the port of a Service that is meant, of those for connections or for datagrams.
pub fn find_stream_port(service: &Service, wanted: &PortRef, transport: Transport) -> Result<u16, ResolveError> {
    let transport = transport.to_string();
    let is_wanted = |port: &&ServicePort| match wanted {
        PortRef::Number(number) => port.port == *number,
        PortRef::Name(name) => port.name == *name,
    };
    let found = service.ports.iter().filter(is_wanted).find(|port| port.protocol == transport && port.port > 0);
    found.map(|port| port.port).ok_or_else(|| ResolveError {
        reason: Reason::RefNotFound,
        fault: ResolveFault::Port,
        message: format!("The Service has no such {transport} port; it has {}", list_ports(service)),
    })
}

/// The port of a Service when none is named: the one that is called `http`, else the first. True if others are left out
/// and no name says which is meant.
pub fn default_port(service: &Service) -> Result<(usize, &ServicePort, bool), ResolveError> {
    let mut tcp = service.ports.iter().enumerate().filter(|(_, port)| port.protocol == "TCP");
    let http = tcp.clone().find(|(_, port)| port.name == "http");
    let several = http.is_none() && tcp.clone().count() > 1;
    let (index, port) = http.or_else(|| tcp.next()).ok_or_else(|| ResolveError {
        reason: Reason::Unsupported,
        fault: ResolveFault::Kind,
        message: "The Service has no TCP port, and HTTP needs one; add one".to_owned(),
    })?;
    check_port(index, port).map(|(index, port)| (index, port, several))
}

fn check_port(index: usize, port: &ServicePort) -> Result<(usize, &ServicePort), ResolveError> {
    let problem = |message: String| {
        Err(ResolveError { reason: Reason::InvalidRef, fault: ResolveFault::PortValue(index), message })
    };
    if port.protocol != "TCP" {
        return problem(format!("The port {} is no TCP port, and HTTP needs one; name another", port.port));
    }
    if port.port == 0 {
        return problem("The port 0 cannot be reached; write one from 1 to 65535".to_owned());
    }
    Ok((index, port))
}

/// The ports of a Service, for a message. Few are enough for whoever mistyped one.
fn list_ports(service: &Service) -> String {
    const SHOWN: usize = 5;
    let shown = service.ports.iter().take(SHOWN).map(|port| match port.name.as_str() {
        "" => port.port.to_string(),
        name => format!("{} ({})", port.port, AbridgedText(name)),
    });
    let mut shown: Vec<_> = shown.collect();
    match service.ports.len() {
        0 => return "none".to_owned(),
        all if all > SHOWN => shown.push(format!("{} more", all - SHOWN)),
        _ => {}
    }
    shown.join(", ")
}

/// What a name of a protocol means.
pub fn parse_protocol(name: &str) -> Option<Protocol> {
    Some(match name {
        "http" | "kubernetes.io/ws" | "ws" => Protocol::Http,
        "https" | "kubernetes.io/wss" | "wss" => Protocol::Https,
        "kubernetes.io/h2c" | "h2c" | "grpc" => Protocol::Http2,
        "grpcs" => Protocol::Http2Tls,
        _ => return None,
    })
}
