//! Routes become a revision.

use std::collections::{BTreeMap, HashSet};

use entry_model::{HostName, Routes};

use crate::frame_needs::FrameNeeds;
use crate::host_tls::HostTls;
use crate::policy::{self, PolicySet};
use crate::policy_class::PolicyClasses;
use crate::revision::{MAIN, Revision, finish};
use crate::server::Servers;
use crate::stream::Streams;
use crate::tls::Certificates;
use crate::upstream::Upstreams;
use crate::writer::Writer;
use crate::{Settings, http, inexpressible};

/// Writes the routes as a configuration.
pub fn render(routes: &Routes, settings: &Settings) -> Revision {
    write(routes, routes, None, settings)
}

/// Writes the frame of a table: what its routes need, the routes that it does not carry, and what of all routes is no HTTP. The
/// settings name the module.
pub fn render_frame(all: &Routes, left_to_frame: &Routes, needs: &FrameNeeds, settings: &Settings) -> Revision {
    write(all, left_to_frame, Some(needs), settings)
}

fn write<'a>(all: &'a Routes, routes: &'a Routes, needs: Option<&'a FrameNeeds>, settings: &'a Settings) -> Revision {
    let mut notes = inexpressible::notes(routes, inexpressible::of_rule);
    let streams = Streams::of(all, settings, &mut notes);
    let protocols = needs.map(FrameNeeds::protocols).unwrap_or_default();
    let upstreams = Upstreams::of(routes, protocols, settings, &mut notes);
    // A table has those of its hosts itself.
    let certificates = if needs.is_some() { Certificates::default() } else { Certificates::of(routes, settings) };
    let size = 8192 + 1024 * routes.rules().count() + 512 * routes.hosts.len();
    let mut writer = Writer::new(MAIN, size);
    let servers = Servers {
        routes,
        policy_classes: &PolicyClasses::new(&routes.policies),
        settings,
        upstreams: &upstreams,
        certificates: &certificates,
        https: streams.https(),
        has_module: needs.is_some(),
        below_wildcards: needs.map(|needs| below_wildcards(all, routes, needs)).unwrap_or_default(),
    };
    http::write(&mut writer, &servers, &streams, needs, &mut notes);
    let (text, mut origins) = writer.finish();
    let mut files = BTreeMap::from([(MAIN.to_owned(), text.into_bytes())]);
    certificates.write(&mut files, &mut origins);
    policy::write_files(&PolicySet::of(routes, routes.rules(), needs), &mut files, &mut origins);
    let hosts = routes.hosts.iter().filter(|_| needs.is_none());
    for tls in hosts.filter_map(|(name, host)| HostTls::of(name, host, &routes.policies)) {
        policy::write_server_files(&tls, &mut files, &mut origins);
    }
    for tls in needs.iter().flat_map(|needs| needs.tls.values()) {
        policy::write_server_files(tls, &mut files, &mut origins);
    }
    finish(files, origins, notes)
}

/// The names of hosts of a table whose clients are asked what all are, below wildcards of which that is not so.
fn below_wildcards<'a>(all: &'a Routes, left_to_frame: &Routes, needs: &FrameNeeds) -> Vec<&'a str> {
    let wildcards =
        needs.tls.keys().filter_map(|name| if let HostName::OneLabel(parent) = name { Some(&**parent) } else { None });
    let wildcards: HashSet<&str> = wildcards.collect();
    if wildcards.is_empty() {
        return Vec::new();
    }
    let has_server = |name| left_to_frame.hosts.contains_key(name) || needs.tls.contains_key(name);
    let exact = all.hosts.keys().filter(|name| !has_server(*name));
    let exact = exact.filter_map(|name| if let HostName::Exact(name) = name { Some(&**name) } else { None });
    exact.filter(|name| name.split_once('.').is_some_and(|(_, parent)| wildcards.contains(parent))).collect()
}
