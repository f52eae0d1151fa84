//! Servers that URLs of annotations name.

use std::net::{IpAddr, SocketAddr};

use entry_model::{
    BackendMode, HostName, Key, Kind, ObjectRef, OutsideServer, PortRef, Reason, Service, UrlPart, UrlText,
};

use super::alias_pattern::parse_alias;
use super::outside_address::{
    api_server, check_outside_address, check_outside_name, may_be_of_cluster, service_of_name,
};
use super::reader::AnnotationReader;
use super::url::HttpUrl;
use crate::host::parse_host;
use crate::resolve::{ResolveError, ResolveFault, find_port, service_address};
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

/// What is sent to a server. It decides whose server it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Question,
    /// Anything.
    Request,
}

/// The annotation of a Service that says which namespaces may have requests sent to it.
const CONSENT: &str = "sparrow/requests-from";

/// Where the server of a URL is reached to which anything may be sent: what is of another namespace must have said that it may. A name of
/// the cluster is that of a Service, and needs no DNS.
///
/// # Errors
/// Nowhere, or requests may not go there.
pub fn find_server(reader: &mut AnnotationReader<'_, '_>, url: &HttpUrl) -> Result<OutsideServer, Unreachable> {
    find_server_for(reader, url, Sent::Request)
}

/// The same, of a server that is only asked: `GET` or `HEAD`, with headers that the client or this entry says, and no others.
///
/// # Errors
/// Nowhere, or it may not be asked.
pub fn find_asked_server(reader: &mut AnnotationReader<'_, '_>, url: &HttpUrl) -> Result<OutsideServer, Unreachable> {
    find_server_for(reader, url, Sent::Question)
}

fn find_server_for(
    reader: &mut AnnotationReader<'_, '_>,
    url: &HttpUrl,
    sent: Sent,
) -> Result<OutsideServer, Unreachable> {
    let name = url.host.to_string();
    let namespace = reader.context.namespace;
    let mut services = |key: &Key| reader.service(key).map(|service| &**service);
    if let Ok(address) = name.parse() {
        check_address(&mut services, &name, address, sent)?;
        return Ok(OutsideServer::Address(SocketAddr::new(address, url.port)));
    }
    if url.host.has_variables() {
        check_names_of_hosts(reader, &url.host).map_err(|hint| Unreachable::value(&name, hint))?;
    } else {
        check_outside_name(&name).map_err(|hint| Unreachable::value(&name, hint))?;
        if let Some(key) = service_of_name(&name) {
            return find_service(&mut services, namespace, (&key, url.port), sent).map(OutsideServer::Address);
        }
    }
    if reader.context.defaults.resolves_names {
        return Ok(OutsideServer::Name { name: url.host.clone(), port: url.port });
    }
    let hint = "no resolver is known for it; name a Service, or start the entry with `--resolver`";
    let message = format!("The name {} is not looked up: {hint}", quoted(&name));
    Err(Unreachable { reason: Reason::Unsupported, message })
}

/// Where what a Service of the type `ExternalName` names is reached, if anything may be sent there: a Service of the cluster, or an address that is
/// none of the cluster. `services` looks them up. None of another name, which is looked up in DNS.
///
/// # Errors
/// Nowhere, or requests may not go there.
pub fn find_external_name<'s>(
    services: &mut impl FnMut(&Key) -> Option<&'s Service>,
    namespace: &str,
    (name, port): (&str, u16),
) -> Result<Option<SocketAddr>, Unreachable> {
    if let Ok(address) = name.parse() {
        check_address(services, name, address, Sent::Request)?;
        return Ok(Some(SocketAddr::new(address, port)));
    }
    check_outside_name(name).map_err(|hint| Unreachable::value(name, hint))?;
    match service_of_name(name) {
        Some(key) => find_service(services, namespace, (&key, port), Sent::Request).map(Some),
        None => Ok(None),
    }
}

/// Whether something may be sent to an address that is written as a number.
fn check_address<'s>(
    services: &mut impl FnMut(&Key) -> Option<&'s Service>,
    name: &str,
    address: IpAddr,
    sent: Sent,
) -> Result<(), Unreachable> {
    let api_server = services(&api_server());
    check_outside_address(address, api_server).map_err(|hint| Unreachable::value(name, hint))?;
    if sent == Sent::Request && may_be_of_cluster(address, api_server) {
        let hint = "it may be an address of another namespace, and of a number it is not known whether its owner agrees; name a \
                    Service, or a name in DNS";
        return Err(Unreachable::value(name, hint));
    }
    Ok(())
}

/// Whether a name with `$host` in it is one that may be asked for each host of the object. A client cannot choose among others.
fn check_names_of_hosts(reader: &mut AnnotationReader<'_, '_>, name: &UrlText) -> Result<(), &'static str> {
    const HINT: &str =
        "$host would be whatever a client sends; have a rule, and a host without `*` in each rule and alias";
    let aliases = reader.first_text("aliases", &["server-alias"]).map_or("", |found| found.text);
    let aliases = aliases.split(',').map(str::trim).filter(|alias| !alias.is_empty());
    let hosts = reader.context.hosts;
    if (hosts.is_empty() && aliases.clone().next().is_none()) || hosts.contains(&"") {
        return Err(HINT);
    }
    // One that cannot be used is not served, and its owner is told so elsewhere.
    let hosts = hosts.iter().filter_map(|host| parse_host(host).ok()).chain(aliases.flat_map(parse_alias).flatten());
    hosts.into_iter().try_for_each(|host| {
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

/// Where a Service is reached, if this may be sent to it. Of one of another namespace no more is told than that it is not reached: whoever
/// may write an Ingress is not to find out what others have.
fn find_service<'s>(
    services: &mut impl FnMut(&Key) -> Option<&'s Service>,
    namespace: &str,
    (key, port): (&Key, u16),
    sent: Sent,
) -> Result<SocketAddr, Unreachable> {
    if *key == api_server() {
        return Err(Unreachable::value(&format!("{}.{}.svc", key.name, key.namespace), "it is the API server"));
    }
    let service = services(key);
    let name = object_name(&ObjectRef::new(Kind::Service, key.clone()));
    if key.namespace == namespace {
        let Some(service) = service else {
            let message = format!("There is no {name}; make it, or name another");
            return Err(Unreachable { reason: Reason::RefNotFound, message });
        };
        let explain =
            |error: ResolveError| Unreachable { reason: error.reason, message: format!("{name}: {}", error.message) };
        return cluster_address(service, port).map_err(explain);
    }
    let agreed = service.filter(|service| agrees(service, namespace, sent));
    agreed.and_then(|service| cluster_address(service, port).ok()).ok_or_else(|| {
        let of = match sent {
            Sent::Question => format!("or its annotation {CONSENT} does not name {namespace}"),
            Sent::Request => format!(
                "or its annotation {CONSENT} is not there or does not name {namespace}; without it, Services of other namespaces are asked \
                 with `GET` and `HEAD` only, without auth-proxy-set-headers"
            ),
        };
        Unreachable {
            reason: Reason::RefNotFound,
            message: format!("{name} is not reached: it is not there, or has no cluster IP or no TCP port {port}, {of}"),
        }
    })
}

/// Whether the owner of a Service agrees that objects of another namespace have this sent to it. Whoever says nothing agrees to questions:
/// servers that answer them for all are common.
fn agrees(service: &Service, namespace: &str, sent: Sent) -> bool {
    match service.meta.annotations.get(CONSENT) {
        None => sent == Sent::Question,
        Some(names) => names.split(',').map(str::trim).any(|name| name == "*" || name == namespace),
    }
}

fn cluster_address(service: &Service, port: u16) -> Result<SocketAddr, ResolveError> {
    let address = service_address(service, BackendMode::ClusterIp)?;
    let (_, port) = find_port(service, &PortRef::Number(port))?;
    address.with_port(port.port).cluster_ip().ok_or_else(|| ResolveError {
        reason: Reason::Unsupported,
        fault: ResolveFault::Address,
        message: "It has no cluster IP".to_owned(),
    })
}
