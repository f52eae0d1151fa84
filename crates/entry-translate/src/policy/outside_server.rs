//! Servers that URLs of annotations name.

use std::net::SocketAddr;

use entry_model::{BackendMode, Kind, ObjectRef, OutsideServer, PortRef, Reason};

use super::outside_address::{api_server, check_outside_address, is_own_name, service_of_name};
use super::reader::AnnotationReader;
use super::url::HttpUrl;
use crate::resolve::{find_port, service_address};
use crate::verdict_draft::{object_name, quoted};

/// Why no request goes to a server.
pub struct Unreachable {
    /// Of the finding.
    pub reason: Reason,
    /// A sentence without a full stop.
    pub message: String,
}

impl Unreachable {
    fn value(value: &str, hint: &str) -> Self {
        Self { reason: Reason::Invalid, message: format!("The value {} cannot be used: {hint}", quoted(value)) }
    }
}

/// Where the server of a URL is reached. A name of the cluster is that of a Service, and needs no DNS.
///
/// # Errors
/// Nowhere, or requests may not go there.
pub fn find_server(reader: &mut AnnotationReader<'_, '_>, url: &HttpUrl) -> Result<OutsideServer, Unreachable> {
    let name = url.host.to_string();
    let unusable = |reason, message: String| Unreachable { reason, message };
    if let Ok(address) = name.parse() {
        check_outside_address(address, reader.service(&api_server()).map(|service| &**service))
            .map_err(|hint| Unreachable::value(&name, hint))?;
        return Ok(OutsideServer::Address(SocketAddr::new(address, url.port)));
    }
    if is_own_name(&name) || name.contains(':') {
        return Err(Unreachable::value(&name, "it is no name of a server"));
    }
    let Some(key) = service_of_name(&name).filter(|_| !url.host.has_variables()) else {
        if url.host.has_variables() && !reader.context.has_named_hosts {
            let hint = "$host would be whatever a client sends; name a host in each rule";
            return Err(Unreachable::value(&name, hint));
        }
        if reader.context.defaults.resolves_names {
            return Ok(OutsideServer::Name { name: url.host.clone(), port: url.port });
        }
        let hint = "no resolver is known for it; name a Service, or start the entry with `--resolver`";
        return Err(unusable(Reason::Unsupported, format!("The name {} is not looked up: {hint}", quoted(&name))));
    };
    if key == api_server() {
        return Err(Unreachable::value(&name, "it is the API server"));
    }
    let service_name = object_name(&ObjectRef::new(Kind::Service, key.clone()));
    let Some(service) = reader.service(&key) else {
        return Err(unusable(Reason::RefNotFound, format!("There is no {service_name}; make it, or name another")));
    };
    let explain = |message: String| format!("{service_name}: {message}");
    let address = service_address(service, BackendMode::ClusterIp);
    let address = address.map_err(|error| unusable(error.reason, explain(error.message)))?;
    let (_, port) = find_port(service, &PortRef::Number(url.port))
        .map_err(|error| unusable(error.reason, explain(error.message)))?;
    let Some(address) = address.with_port(port.port).cluster_ip() else {
        return Err(unusable(Reason::Unsupported, explain("It has no cluster IP".to_owned())));
    };
    Ok(OutsideServer::Address(address))
}
