//! Where clients reach the entry.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Key, LoadBalancerAddress, Node, Snapshot};

/// The addresses of the entry: those of the Service that is published, else those of the nodes with this label (name and
/// value), as [`node_addresses`] has them.
pub fn entry_addresses(
    snapshot: &Snapshot,
    publish: Option<&Key>,
    node_label: &(String, String),
) -> Vec<LoadBalancerAddress> {
    if let Some(service) = publish {
        return load_balancer_addresses(snapshot, service);
    }
    let (label, value) = node_label;
    let nodes = snapshot.nodes.values().map(Arc::as_ref);
    let nodes = nodes.filter(|node| node.meta.labels.get(label) == Some(value));
    node_addresses(nodes).into_iter().map(LoadBalancerAddress::Ip).collect()
}

/// The addresses of a Service's load balancer, sorted, each once; none if there is no such Service, or it has none yet.
pub fn load_balancer_addresses(snapshot: &Snapshot, service: &Key) -> Vec<LoadBalancerAddress> {
    let addresses = snapshot.services.get(service).map(|service| &service.addresses);
    let unique: BTreeSet<_> = addresses.into_iter().flatten().cloned().collect();
    unique.into_iter().collect()
}

/// The addresses at which these nodes are reached, sorted, each once: of each its external ones, else its internal ones.
///
/// Nodes that are not ready are left out, unless none is ready: names that lead nowhere are worse than names that may
/// lead somewhere.
pub fn node_addresses<'a>(nodes: impl Iterator<Item = &'a Node> + Clone) -> Vec<IpAddr> {
    let any_ready = nodes.clone().any(|node| node.ready);
    let of = |node: &'a Node| if node.external.is_empty() { &node.internal } else { &node.external };
    let unique: BTreeSet<_> = nodes.filter(|node| node.ready || !any_ready).flat_map(of).copied().collect();
    unique.into_iter().collect()
}
