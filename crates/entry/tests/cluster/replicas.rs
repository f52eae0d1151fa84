//! Two of them: one writes, and the other goes on when it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::clock::Clock;
use crate::common::{Bench, Entry, debian, eventually};
use crate::support::Tenant;

/// The name of the replica that holds the lease; empty if none does.
fn holder(tenant: &Tenant<'_>) -> String {
    let leases = tenant.read("/apis/coordination.k8s.io/v1/namespaces/NS/leases");
    let spec = &leases["items"][0]["spec"];
    let holder = spec["holderIdentity"].as_str().unwrap_or_default();
    holder.split('_').next().unwrap_or_default().to_owned()
}

fn written(replica: &Entry) -> u64 {
    replica.count("statuses_written")
}

fn replica(tenant: &Tenant<'_>, name: &str) -> Bench {
    let mut bench = tenant.bench(&debian());
    bench.flag("--identity", name.to_owned());
    bench
}

#[test]
fn second_replica_takes_over_the_writing() {
    let tenant = Tenant::shared();
    tenant.class();
    tenant.service("cart", 80);
    tenant.node("1", "203.0.113.1", true);
    tenant.ingress("web", "web.example", "cart", 80);
    let [a, b] = ["a", "b"].map(|name| replica(&tenant, name));
    let first = a.start(&["watch"]);
    eventually("its address", || tenant.addresses("web") == ["203.0.113.1"]);
    assert_eq!(holder(&tenant), "a");
    // From now on it is never without an address.
    let (end, emptied) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let watcher = {
        let (end, emptied) = (Arc::clone(&end), Arc::clone(&emptied));
        let path = format!("/apis/networking.k8s.io/v1/namespaces/{}/ingresses/web", tenant.namespace);
        let server = tenant.server;
        thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let (_, body) = server.request("GET", &path, None).unwrap();
                if !body.contains("203.0.113.") {
                    emptied.store(true, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(50));
            }
        })
    };
    // The other one's clock is an hour ahead: by it, the lease would have run out.
    let clock = Clock::new(&b.path("clock"));
    clock.jump(3600);
    let second = b.start_by(&clock.by(), &["watch"]);
    second.wait_ready();
    tenant.node("2", "203.0.113.2", true);
    eventually("followed", || tenant.addresses("web") == ["203.0.113.1", "203.0.113.2"]);
    sleep(Duration::from_secs(3));
    assert_eq!((holder(&tenant), written(&first), written(&second)), ("a".to_owned(), 2, 0));
    // Both make configurations, whoever holds the lease.
    tenant.service("blog", 81);
    for bench in [&a, &b] {
        eventually("written", || bench.has_in_table("/blog"));
    }
    // Given back, not run out: that would take 15 s.
    first.terminate();
    let begun = Instant::now();
    eventually("handed over", || holder(&tenant) == "b");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(tenant.addresses("web"), ["203.0.113.1", "203.0.113.2"]);
    // The next one knows which of the entries are theirs.
    tenant.node("1", "203.0.113.1", false);
    eventually("followed", || tenant.addresses("web") == ["203.0.113.2"]);
    // The first comes back, and leaves it at that; even when clocks jump.
    let first = a.start(&["watch"]);
    clock.jump(-7200);
    tenant.node("3", "203.0.113.3", true);
    eventually("followed", || tenant.addresses("web") == ["203.0.113.2", "203.0.113.3"]);
    clock.jump(7200);
    sleep(Duration::from_secs(3));
    assert_eq!((holder(&tenant), written(&first), written(&second)), ("b".to_owned(), 0, 2));
    // No holder is left, and no status is emptied.
    second.terminate();
    first.terminate();
    end.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    assert!(!emptied.load(Ordering::Relaxed));
    assert_eq!(tenant.addresses("web"), ["203.0.113.2", "203.0.113.3"]);
}

#[test]
fn ingress_that_leaves_the_class_between_two_holders_loses_its_address() {
    let tenant = Tenant::shared();
    tenant.class();
    tenant.service("cart", 80);
    tenant.node("1", "203.0.113.1", true);
    tenant.ingress("leaves", "leaves.example", "cart", 80);
    tenant.ingress("stays", "stays.example", "cart", 80);
    let [a, b] = ["a", "b"].map(|name| replica(&tenant, name));
    let first = a.start(&["watch"]);
    eventually("its address", || tenant.addresses("leaves") == ["203.0.113.1"]);
    let second = b.start(&["watch"]);
    second.wait_ready();
    assert_eq!(holder(&tenant), "a");
    // Killed: the lease is not given back, and has to run out.
    drop(first);
    let backend = json!({ "service": { "name": "cart", "port": { "number": 80 } } });
    let paths = json!([{ "path": "/", "pathType": "Prefix", "backend": backend }]);
    tenant.apply(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "leaves" },
        "spec": { "ingressClassName": "another", "rules": [{ "host": "leaves.example", "http": { "paths": paths } }] },
    }));
    tenant.ingress("comes", "comes.example", "cart", 80);
    eventually("taken over", || holder(&tenant) == "b");
    eventually("its address", || tenant.addresses("comes") == ["203.0.113.1"]);
    eventually("no address", || tenant.addresses("leaves").is_empty());
    assert_eq!(tenant.addresses("stays"), ["203.0.113.1"]);
    // A class that goes to another controller takes all of its Ingresses along, and brings them back.
    let class = |controller: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": { "name": tenant.namespace }, "spec": { "controller": controller },
        })
    };
    let path = format!("/apis/networking.k8s.io/v1/ingressclasses/{}", tenant.namespace);
    tenant.delete(&path);
    // The controller of a class cannot be changed.
    tenant.server.apply(&class("another.example/controller").to_string()).unwrap();
    eventually("no addresses", || ["stays", "comes"].iter().all(|name| tenant.addresses(name).is_empty()));
    tenant.delete(&path);
    tenant.class();
    eventually("addresses", || ["stays", "comes"].iter().all(|name| tenant.addresses(name) == ["203.0.113.1"]));
    second.terminate();
}
