//! Routes become a revision.

use std::collections::BTreeMap;

use entry_model::Routes;

use crate::backend_protocols::BackendProtocols;
use crate::context::Context;
use crate::frame::FrameServers;
use crate::frame_needs::FrameNeeds;
use crate::policy::{self, PolicySet};
use crate::revision::{MAIN, Revision, finish};
use crate::stream::Streams;
use crate::writer::Writer;
use crate::{Settings, frame, http};

/// Writes the frame of a table of routes: what these need of nginx.conf, and what of them is no HTTP. Of the routes only listeners, the
/// names of hosts and what is no HTTP are read, so that a change of anything else makes no other frame.
pub fn render(routes: &Routes, needs: &FrameNeeds, settings: &Settings) -> Revision {
    let mut notes = Vec::new();
    let streams = Streams::of(routes, settings, &mut notes);
    let protocols = BackendProtocols(needs.protocols());
    let policies = PolicySet::of(needs);
    let context = Context { settings, protocols: &protocols };
    let below_wildcards = frame::below_wildcards(routes, needs);
    let https = streams.https();
    let servers = FrameServers { routes, needs, context, policies: &policies, https, below_wildcards };
    let mut writer = Writer::new(MAIN, 32 << 10);
    http::write(&mut writer, &servers, &streams, &mut notes);
    let (text, mut origins) = writer.finish();
    let mut files = BTreeMap::from([(MAIN.to_owned(), text.into_bytes())]);
    policy::write_files(&policies, &mut files, &mut origins);
    for tls in needs.tls.values() {
        policy::write_server_files(tls, &mut files, &mut origins);
    }
    finish(files, origins, notes)
}
