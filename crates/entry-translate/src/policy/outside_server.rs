//! Servers that URLs of annotations name.

use std::net::{IpAddr, SocketAddr};

use entry_model::{BackendMode, HostName, Key, Kind, ObjectRef, OutsideServer, PortRef, Reason, UrlPart, UrlText};

use super::outside_address::{api_server, check_outside_address, check_outside_name, service_of_name};
use super::reader::AnnotationReader;
use super::url::HttpUrl;
use crate::host::parse_host;
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
    if let Ok(address) = name.parse() {
        check_outside_address(address, reader.service(&api_server()).map(|service| &**service))
            .map_err(|hint| Unreachable::value(&name, hint))?;
        return Ok(OutsideServer::Address(SocketAddr::new(address, url.port)));
    }
    if url.host.has_variables() {
        check_names_of_hosts(reader, &url.host).map_err(|hint| Unreachable::value(&name, hint))?;
    } else {
        check_outside_name(&name).map_err(|hint| Unreachable::value(&name, hint))?;
        if let Some(key) = service_of_name(&name) {
            return find_service(reader, &key, url.port).map(OutsideServer::Address);
        }
    }
    if reader.context.defaults.resolves_names {
        return Ok(OutsideServer::Name { name: url.host.clone(), port: url.port });
    }
    let hint = "no resolver is known for it; name a Service, or start the entry with `--resolver`";
    let message = format!("The name {} is not looked up: {hint}", quoted(&name));
    Err(Unreachable { reason: Reason::Unsupported, message })
}

/// Whether a name with `$host` in it is one that may be asked for each host of the object. A client cannot choose among others.
fn check_names_of_hosts(reader: &mut AnnotationReader<'_, '_>, name: &UrlText) -> Result<(), &'static str> {
    const HINT: &str =
        "$host would be whatever a client sends; have a rule, and a host without `*` in each rule and alias";
    let aliases = reader.first_text("aliases", &["server-alias"]).map_or("", |found| found.text);
    let aliases = aliases.split(',').map(str::trim).filter(|alias| !alias.is_empty());
    let hosts: Vec<_> = reader.context.hosts.iter().copied().chain(aliases).collect();
    if hosts.is_empty() {
        return Err(HINT);
    }
    hosts.into_iter().try_for_each(|host| {
        // One that cannot be used is not served, and its owner is told so elsewhere.
        let Ok(host) = parse_host(host) else { return if host.is_empty() { Err(HINT) } else { Ok(()) } };
        let HostName::Exact(host) = host else { return Err(HINT) };
        let parts = name.0.iter().map(|part| match part {
            UrlPart::Text(text) => text.as_str(),
            UrlPart::Variable(_) => host.as_str(),
        });
        let name: String = parts.collect();
        check_outside_name(&name)?;
        let is_address = name.parse::<IpAddr>().is_ok();
        if is_address || service_of_name(&name).is_some() {
            return Err("with $host it would be an address or a Service; name that");
        }
        Ok(())
    })
}

/// Where a Service is asked.
fn find_service(reader: &mut AnnotationReader<'_, '_>, key: &Key, port: u16) -> Result<SocketAddr, Unreachable> {
    let unusable = |reason, message: String| Unreachable { reason, message };
    if *key == api_server() {
        return Err(Unreachable::value(&format!("{}.{}.svc", key.name, key.namespace), "it is the API server"));
    }
    let service_name = object_name(&ObjectRef::new(Kind::Service, key.clone()));
    let Some(service) = reader.service(key) else {
        return Err(unusable(Reason::RefNotFound, format!("There is no {service_name}; make it, or name another")));
    };
    let explain = |message: String| format!("{service_name}: {message}");
    let address = service_address(service, BackendMode::ClusterIp);
    let address = address.map_err(|error| unusable(error.reason, explain(error.message)))?;
    let (_, port) =
        find_port(service, &PortRef::Number(port)).map_err(|error| unusable(error.reason, explain(error.message)))?;
    let address = address.with_port(port.port).cluster_ip();
    address.ok_or_else(|| unusable(Reason::Unsupported, explain("It has no cluster IP".to_owned())))
}
