//! Addresses at which clients reach the entry.

use entry_model::{Key, LoadBalancerAddress, Meta, Node, Snapshot, entry_addresses};

use crate::support::{Objects, key, service, texts};

fn node(name: &str, external: &[&str], internal: &[&str], ready: bool) -> Node {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect();
    let meta = Meta { name: name.to_owned(), labels: texts([("role", "entry")]), ..Meta::default() };
    Node { meta, external: parse(external), internal: parse(internal), ready }
}

fn node_label() -> (String, String) {
    ("role".to_owned(), "entry".to_owned())
}

fn reached(nodes: Vec<Node>) -> Vec<String> {
    let mut snapshot = Snapshot::default();
    for node in nodes {
        snapshot.put(node);
    }
    entry_addresses(&snapshot, None, &node_label()).iter().map(text).collect()
}

fn text(address: &LoadBalancerAddress) -> String {
    match address {
        LoadBalancerAddress::Ip(ip) => ip.to_string(),
        LoadBalancerAddress::Hostname(name) => name.clone(),
    }
}

#[test]
fn published_service_replaces_node_addresses() {
    let mut balanced = service("lb");
    let ip = |text: &str| LoadBalancerAddress::Ip(text.parse().expect("an address"));
    balanced.addresses =
        vec![LoadBalancerAddress::Hostname("lb.example".into()), ip("192.0.2.8"), ip("192.0.2.7"), ip("192.0.2.8")];
    let mut snapshot = Objects::new().service(balanced).service(service("none")).0;
    snapshot.put(node("a", &["192.0.2.1"], &[], true));
    let published = |service: Option<Key>| {
        entry_addresses(&snapshot, service.as_ref(), &node_label()).iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(published(None), ["192.0.2.1"]);
    assert_eq!(published(Some(key("shop", "lb"))), ["192.0.2.7", "192.0.2.8", "lb.example"]);
    for missing in ["none", "nobody"] {
        assert!(published(Some(key("shop", missing))).is_empty(), "{missing}: not the nodes', which would be wrong");
    }
}

#[test]
fn external_node_addresses_come_before_internal() {
    let mut other = node("other", &["192.0.2.9"], &[], true);
    other.meta.labels = texts([("role", "worker")]);
    let nodes = vec![
        other,
        node("a", &["192.0.2.2", "2001:db8::2"], &["10.0.0.2"], true),
        node("b", &[], &["10.0.0.10", "10.0.0.3"], true),
        node("c", &["192.0.2.2"], &[], true),
    ];
    assert_eq!(reached(nodes), ["10.0.0.3", "10.0.0.10", "192.0.2.2", "2001:db8::2"]);
}

#[test]
fn unready_nodes_are_left_out_unless_none_is_ready() {
    let down = || node("down", &[], &["10.0.0.1"], false);
    assert_eq!(reached(vec![down(), node("up", &[], &["10.0.0.2"], true)]), ["10.0.0.2"]);
    assert_eq!(reached(vec![down()]), ["10.0.0.1"]);
    assert!(reached(vec![]).is_empty());
}
