//! How much a client may ask for.
//!
//! nginx counts in zones of shared memory, and a reload that changes a zone fails: so one is for a rate, which its name says, and all
//! objects with that rate share it. What is counted is an address together with an object.

use std::collections::BTreeSet;

use entry_model::{AddressRange, Kind, Limits, ObjectRef, RequestLimit};

use super::PolicySet;
use crate::LimitStatuses;
use crate::policy_class::content_name;
use crate::token::{Text, Token, size};
use crate::writer::{Directive, Writer, case, directive, entry, map};

/// The size of each zone, for ever: room for some ten thousand clients. Of one that is full the oldest clients are forgotten.
const ZONE_SIZE: &str = ":10m";

/// What is counted: it is empty where nothing is.
const COUNTED: &str = "\"$binary_remote_addr$sparrow_limit_route\"";

/// In what time so many requests may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RateUnit {
    Second,
    Minute,
}

impl RateUnit {
    /// What nginx calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Second => "r/s",
            Self::Minute => "r/m",
        }
    }

    /// Adds the name of the zone of a rate to a text.
    fn zone(self, text: Text, rate: u32) -> Text {
        text.own("sparrow_").number(rate).own(match self {
            Self::Second => "_requests_per_second",
            Self::Minute => "_requests_per_minute",
        })
    }
}

/// The limits of requests.
fn requests(limits: &Limits) -> impl Iterator<Item = (RateUnit, RequestLimit)> {
    let second = limits.requests_per_second.map(|limit| (RateUnit::Second, limit));
    second.into_iter().chain(limits.requests_per_minute.map(|limit| (RateUnit::Minute, limit)))
}

/// Writes them into a location.
pub fn write(writer: &mut Writer<'_>, limits: &Limits) -> Option<()> {
    if limits.counts_clients() {
        if let Some(object) = &limits.counted_for {
            writer.line("set").words(["$sparrow_limit_route"]).text(|text| route_name(text, object)).end()?;
        }
        let line = writer.line("set").words(["$sparrow_limit_key"]);
        if limits.exempt.is_empty() {
            line.words([COUNTED]).end()?;
        } else {
            line.text(|text| exempt_name(text.own("$sparrow_limit_key_"), &limits.exempt)).end()?;
        }
    }
    for (unit, RequestLimit { rate, burst }) in requests(limits) {
        let line = writer.line("limit_req").text(|text| unit.zone(text.own("zone="), rate.max(1)));
        // nginx knows none that is 0.
        match burst {
            0 => line.end()?,
            _ => line.text(|text| text.own("burst=").number(burst)).words(["nodelay"]).end()?,
        }
    }
    if let Some(connections) = limits.connections {
        writer
            .line("limit_conn")
            .words(["sparrow_connections"])
            .token(&Token::number(connections.clamp(1, 65_535)))
            .end()?;
    }
    if let Some(status) = limits.status.filter(|_| limits.counts_clients()) {
        let status = Token::number(status.clamp(400, 599));
        writer.line("limit_req_status").token(&status).end()?;
        writer.line("limit_conn_status").token(&status).end()?;
    }
    for (name, bytes) in [("limit_rate", limits.bytes_per_second), ("limit_rate_after", limits.bytes_before)] {
        if let Some(bytes) = bytes {
            writer.line(name).token(&size(bytes)).end()?;
        }
    }
    Some(())
}

/// The object of a rule, as `$sparrow_route` names it. Names of Kubernetes are plain; others, from a file, are made so.
fn route_name(text: Text, origin: &ObjectRef) -> Text {
    let key = &origin.key;
    let text = match origin.kind {
        Kind::Service => text.own("Service "),
        Kind::Ingress => text.own("Ingress "),
        _ => text,
    };
    text.plain_of(&key.namespace, '_').own("/").plain_of(&key.name, '_')
}

/// Adds a name for clients that are not counted.
fn exempt_name(text: Text, exempt: &[AddressRange]) -> Text {
    text.plain_of(&content_name(&exempt), '_')
}

/// Writes the zones, and who is not counted.
pub fn write_shared(writer: &mut Writer<'_>, policies: &PolicySet<'_>, statuses: LimitStatuses) {
    let counted: Vec<&Limits> =
        policies.iter().map(|policy| &policy.limits).filter(|limits| limits.counts_clients()).collect();
    if counted.is_empty() {
        return;
    }
    for (name, status) in [("limit_req_status", statuses.requests), ("limit_conn_status", statuses.connections)] {
        if let Some(status) = status {
            writer.write(&directive(name).token(Token::number(status.clamp(400, 599))));
        }
    }
    writer.write(&map("\"\"", "$sparrow_limit_key", vec![case("default", "\"\"")]));
    writer.write(&map("\"\"", "$sparrow_limit_route", vec![case("default", "$sparrow_route")]));
    let exempt: BTreeSet<&[AddressRange]> =
        counted.iter().map(|limits| &*limits.exempt).filter(|exempt| !exempt.is_empty()).collect();
    for directive in exempt.into_iter().flat_map(exempt_variables) {
        writer.write(&directive);
    }
    let rates: BTreeSet<_> =
        counted.iter().flat_map(|limits| requests(limits)).map(|(unit, limit)| (unit, limit.rate.max(1))).collect();
    for (unit, rate) in rates {
        // Of words of this program and numbers: nginx can read them.
        let line = writer.line("limit_req_zone").words(["$sparrow_limit_key"]);
        let line = line.text(|text| unit.zone(text.own("zone="), rate).own(ZONE_SIZE));
        let _ = line.text(|text| text.own("rate=").number(rate).own(unit.name())).end();
    }
    if counted.iter().any(|limits| limits.connections.is_some()) {
        let line = writer.line("limit_conn_zone").words(["$sparrow_limit_key"]);
        let _ = line.text(|text| text.own("zone=sparrow_connections").own(ZONE_SIZE)).end();
    }
}

/// What is counted where these clients are not.
fn exempt_variables(exempt: &[AddressRange]) -> Vec<Directive<'static>> {
    let name = |prefix: &'static str| exempt_name(Text::default().own(prefix), exempt).token();
    let (Some(is_exempt), Some(key)) = (name("$sparrow_limit_exempt_"), name("$sparrow_limit_key_")) else {
        return Vec::new();
    };
    // A whole family is what nginx takes `default` for.
    let ranges = exempt.iter().flat_map(|range| match range.halves().filter(|_| range.is_whole_family()) {
        Some(halves) => halves.to_vec(),
        None => vec![*range],
    });
    let ranges: BTreeSet<_> = ranges.collect();
    let cases = ranges.into_iter().map(|range| entry(Token::range(range)).words(["1"]));
    let cases = [case("default", "0")].into_iter().chain(cases).collect::<Vec<_>>();
    vec![
        directive("geo").words(["$remote_addr"]).token(is_exempt.clone()).block(cases),
        directive("map").token(is_exempt).token(key).block(vec![case("default", "\"\""), case("0", COUNTED)]),
    ]
}
