//! Where clients reach the nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::BuildSettings;
use crate::{Node, Snapshot};

/// The addresses of the entry's nodes, sorted: of each its external ones, else its internal ones.
///
/// Nodes that are not ready are left out, unless none is ready: names that lead nowhere are worse than names that may
/// lead somewhere.
pub fn addresses(snapshot: &Snapshot, settings: &BuildSettings) -> Vec<IpAddr> {
    let (label, value) = &settings.node_selector;
    let selected = || snapshot.nodes.values().filter(|node| node.meta.labels.get(label) == Some(value));
    let any_ready = selected().any(|node| node.ready);
    let reachable = |node: &Node| if node.external.is_empty() { node.internal.clone() } else { node.external.clone() };
    let unique: BTreeSet<_> =
        selected().filter(|node| node.ready || !any_ready).flat_map(|node| reachable(node)).collect();
    unique.into_iter().collect()
}
