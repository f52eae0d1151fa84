//! TCP and UDP services: the ports that `ConfigMaps` name, as ingress-nginx has them.
//!
//! ```text
//! ConfigMap: data: "5432": shop/db:5432 ─► port 5432/TCP ─► the Service's cluster IP, or its endpoints
//! ```
//!
//! The operator names the `ConfigMaps`, so a row may lead to a Service of any namespace. A row that cannot be used concerns itself
//! only.

use std::collections::{BTreeMap, BTreeSet};

use entry_model::{
    BACKENDS_ANNOTATION, BackendAddress, BackendMode, ConfigMap, FieldPath, Key, Kind, ObjectRef, PortRef, Reason,
    Routes, Scheme, Snapshot, SortedMap, StreamPort, StreamRoute, Transport, Verdict,
};

use crate::TranslateSettings;
use crate::resolve;
use crate::verdict_draft::{VerdictDraft, object_name, quoted};

/// Most rows of a `ConfigMap` that are read, the first by their keys: nginx listens at each port.
const MAX_ROWS: usize = 1000;

/// Longest text of a row that is read, in bytes: two names and a port are shorter.
const MAX_ROW_BYTES: usize = 512;

/// The `ConfigMaps` of TCP and UDP services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamServices {
    /// That of TCP services.
    pub tcp: Option<Key>,
    /// That of UDP services.
    pub udp: Option<Key>,
    /// Ports at which nginx could not listen, and why.
    pub closed_ports: BTreeMap<u16, String>,
}

impl StreamServices {
    /// Each with what its ports are for.
    fn config_maps(&self) -> impl Iterator<Item = (Transport, &Key)> {
        let both = [(Transport::Tcp, &self.tcp), (Transport::Udp, &self.udp)];
        both.into_iter().filter_map(|(transport, key)| Some((transport, key.as_ref()?)))
    }
}

/// A row: to which Service, and whether the PROXY protocol is spoken.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    service: Key,
    port: PortRef,
    accepts_proxy_protocol: bool,
    sends_proxy_protocol: bool,
}

/// What the `ConfigMaps` ask for, and what their owners are told.
#[derive(Debug, Default)]
pub struct ReadServices {
    pub routes: SortedMap<StreamPort, StreamRoute>,
    drafts: Vec<(ObjectRef, i64, VerdictDraft)>,
}

/// The Services that they name, whether these are there or not.
pub fn named_services(snapshot: &Snapshot, settings: &StreamServices) -> BTreeSet<Key> {
    let found = settings.config_maps().filter_map(|(transport, key)| Some((transport, snapshot.config_maps.get(key)?)));
    let rows = found.flat_map(|(transport, config_map)| {
        config_map.data.values().take(MAX_ROWS).filter_map(move |text| parse_row(transport, text).ok())
    });
    rows.map(|row| row.service).collect()
}

/// Reads the `ConfigMaps`.
pub fn read_services(snapshot: &Snapshot, settings: &TranslateSettings) -> ReadServices {
    let mut read = ReadServices::default();
    for (transport, key) in settings.stream_services.config_maps() {
        let object = ObjectRef::new(Kind::ConfigMap, key.clone());
        let mut draft = VerdictDraft::default();
        let Some(config_map) = snapshot.config_maps.get(key) else {
            let message =
                format!("There is no {}, which a flag names for {transport} services; make it", object_name(&object));
            draft.report_loss(&FieldPath::OBJECT, Reason::RefNotFound, message);
            read.drafts.push((object, 0, draft));
            continue;
        };
        let reader = RowReader { snapshot, settings, transport, object: &object };
        reader.read_rows(config_map, &mut draft, &mut read.routes);
        read.drafts.push((object, config_map.meta.generation, draft));
    }
    read
}

impl ReadServices {
    /// The verdicts, once it is known which endpoints there are.
    pub fn into_verdicts(self, routes: &Routes) -> impl Iterator<Item = (ObjectRef, Verdict)> {
        let Self { routes: streams, drafts } = self;
        let without_endpoints: Vec<(ObjectRef, String, String)> = streams
            .iter()
            .filter(|(_, route)| routes.addresses_at(&route.backend).is_empty())
            .map(|(port, route)| {
                let message = format!(
                    "There are no {} that are ready, so the port {port} is closed; it is opened as soon as there is one",
                    route.backend
                );
                (route.origin.clone(), field(port.number), message)
            })
            .collect();
        drafts.into_iter().map(move |(object, generation, mut draft)| {
            for (_, field, message) in without_endpoints.iter().filter(|(origin, ..)| *origin == object) {
                draft.report_loss(field, Reason::RefNotFound, message.clone());
            }
            (object, draft.into_verdict(generation))
        })
    }
}

/// Reads the rows of a `ConfigMap`.
struct RowReader<'a> {
    snapshot: &'a Snapshot,
    settings: &'a TranslateSettings,
    transport: Transport,
    object: &'a ObjectRef,
}

impl RowReader<'_> {
    fn read_rows(
        &self,
        config_map: &ConfigMap,
        draft: &mut VerdictDraft,
        routes: &mut SortedMap<StreamPort, StreamRoute>,
    ) {
        if config_map.data.len() > MAX_ROWS {
            let message =
                format!("Of the rows of a ConfigMap {MAX_ROWS} are read, and the others are not served; remove some");
            draft.report_loss(&FieldPath::root("data"), Reason::BoundExceeded, message);
        }
        for (key, text) in config_map.data.iter().take(MAX_ROWS) {
            match self.read_row(key, text) {
                Ok((port, route)) => {
                    draft.mark_served();
                    routes.insert(port, route);
                }
                Err((reason, message)) => {
                    let message = format!("{message}. This row is not served, the others are");
                    draft.report_loss(&FieldPath::root("data").key(key), reason, message);
                }
            }
        }
    }

    fn read_row(&self, key: &str, text: &str) -> Result<(StreamPort, StreamRoute), (Reason, String)> {
        let number = self.read_port(key)?;
        let row = parse_row(self.transport, text).map_err(|message| (Reason::Invalid, message))?;
        let backend = self.backend(&row)?;
        let Row { accepts_proxy_protocol, sends_proxy_protocol, .. } = row;
        let route = StreamRoute { backend, accepts_proxy_protocol, sends_proxy_protocol, origin: self.object.clone() };
        Ok((StreamPort { transport: self.transport, number }, route))
    }

    fn read_port(&self, key: &str) -> Result<u16, (Reason, String)> {
        let number = key.parse().ok().filter(|number| *number > 0 && !key.starts_with('+'));
        let number: u16 = number.ok_or_else(|| {
            (Reason::Invalid, format!("The key {} is no port; write one from 1 to 65535", quoted(key)))
        })?;
        let is_own = |listener: &&entry_model::Listener| listener.sockets.iter().any(|socket| socket.port() == number);
        if let Some(own) = self.settings.listeners.iter().find(is_own).filter(|_| self.transport == Transport::Tcp) {
            let what = if own.protocol == Scheme::Https { "HTTPS" } else { "HTTP" };
            return Err((Reason::Conflicted, format!("This entry serves {what} at the port {number}; take another")));
        }
        match self.settings.stream_services.closed_ports.get(&number) {
            Some(why) => Err((
                Reason::RejectedByNginx,
                format!("nginx cannot listen at the port {number}: {why}; take another, and it is tried again"),
            )),
            None => Ok(number),
        }
    }

    /// Where the Service of a row is reached.
    fn backend(&self, row: &Row) -> Result<BackendAddress, (Reason, String)> {
        let Some(service) = self.snapshot.services.get(&row.service) else {
            return Err((Reason::RefNotFound, format!("There is no {}; make it, or name another", service_name(row))));
        };
        let asked = service.meta.annotations.get(BACKENDS_ANNOTATION).and_then(|text| text.parse().ok());
        let mode = match self.transport {
            Transport::Tcp => asked.unwrap_or(self.settings.defaults.backends),
            // Of endpoints, those of TCP are known.
            Transport::Udp => BackendMode::ClusterIp,
        };
        let port = resolve::find_stream_port(service, &row.port, self.transport);
        let found = port.and_then(|port| Ok(resolve::service_address(service, mode)?.with_port(port)));
        found.map_err(|error| (error.reason, format!("{}: {}", service_name(row), error.message)))
    }
}

/// Reads `NAMESPACE/SERVICE:PORT`, and for TCP `:PROXY` behind it, with which connections begin with the PROXY protocol, or `::PROXY`
/// and `:PROXY:PROXY`, with which those to the Service do. Source: the user guide of ingress-nginx on exposing TCP and UDP services.
fn parse_row(transport: Transport, text: &str) -> Result<Row, String> {
    let wrong = || {
        format!(
            "The value {} names no port of a Service; write `NAMESPACE/SERVICE:PORT`, such as `shop/db:5432`, and for TCP, if the PROXY \
             protocol is spoken, `:PROXY`, `::PROXY` or `:PROXY:PROXY` behind it",
            quoted(text)
        )
    };
    let mut parts = text.trim().split(':').map(str::trim);
    let (name, port) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (accepts, sends) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let service = name.split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name));
    let is_proxy = |part: &str| part.eq_ignore_ascii_case("proxy");
    let is_flag = |part: &str| part.is_empty() || (transport == Transport::Tcp && is_proxy(part));
    match service {
        Some((namespace, name))
            if text.len() <= MAX_ROW_BYTES
                && is_name(port)
                && is_flag(accepts)
                && is_flag(sends)
                && parts.next().is_none() =>
        {
            Ok(Row {
                service: Key { namespace: namespace.to_owned(), name: name.to_owned() },
                port: port.parse().map_or_else(|_| PortRef::Name(port.to_owned()), PortRef::Number),
                accepts_proxy_protocol: is_proxy(accepts),
                sends_proxy_protocol: is_proxy(sends),
            })
        }
        _ => Err(wrong()),
    }
}

fn service_name(row: &Row) -> String {
    object_name(&ObjectRef::new(Kind::Service, row.service.clone()))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

fn field(number: u16) -> String {
    FieldPath::root("data").key(&number.to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_ingress_nginx_writes_them() {
        let key = |namespace: &str, name: &str| Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let row = |port, accepts_proxy_protocol, sends_proxy_protocol| {
            Ok(Row { service: key("shop", "db"), port, accepts_proxy_protocol, sends_proxy_protocol })
        };
        let number = || PortRef::Number(5432);
        for (text, expected) in [
            ("shop/db:5432", row(number(), false, false)),
            (" shop/db:5432 ", row(number(), false, false)),
            ("shop/db:psql", row(PortRef::Name("psql".to_owned()), false, false)),
            ("shop/db:5432:PROXY", row(number(), true, false)),
            ("shop/db:5432::PROXY", row(number(), false, true)),
            ("shop/db:5432:PROXY:PROXY", row(number(), true, true)),
            ("shop/db:5432:proxy", row(number(), true, false)),
        ] {
            assert_eq!(parse_row(Transport::Tcp, text), expected, "{text}");
        }
        let long = format!("shop/{}:80", "x".repeat(MAX_ROW_BYTES));
        for text in [
            "",
            "db:5432",
            "shop/db",
            "shop/db:",
            "/db:1",
            "shop/:1",
            "shop/db:1:x",
            "shop/db:1:PROXY:x",
            "a/b/c:1",
            "shop/db:1:PROXY:PROXY:PROXY",
            "shop/$db:1",
            "shop/db:1;",
            &long,
        ] {
            assert!(parse_row(Transport::Tcp, text).is_err(), "{text}");
        }
        assert!(parse_row(Transport::Udp, "shop/db:53:PROXY").is_err());
        assert!(parse_row(Transport::Udp, "shop/db:53").is_ok());
    }
}
