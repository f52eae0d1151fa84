//! Services that are served at their endpoints.

use std::net::{Ipv4Addr, SocketAddr};

use testbed::clients::{Clients, ConnectionReuse};
use testbed::http;
use testbed::pod::Pod;

use crate::common::{Bench, Program, debian, eventually, free, programs, until};

/// A Service at `/shop` that is served at its endpoints.
pub const SHOP: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: shop\n  labels: { sparrow/expose: \"true\" }\n  \
                    annotations: { sparrow/backends: endpoints }\nspec:\n  clusterIP: None\n  ports: [{ port: 80 }]\n";

/// A slice of it with one endpoint, since each has a port of its own here.
pub fn slice(name: &str, address: SocketAddr, conditions: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: shop-{name}\n  labels: {{ \
         kubernetes.io/service-name: shop }}\naddressType: IPv4\nendpoints: [{{ addresses: [{ip}], conditions: {{ {conditions} }} \
         }}]\nports: [{{ port: {port} }}]\n"
    )
}

/// Writes the Service with these endpoints, and with one that is ending.
pub fn write_shop(bench: &Bench, shop: &str, pods: &[Pod], ending: Option<&Pod>) {
    let slice = |pod: &Pod, conditions| slice(&pod.address().port().to_string(), pod.address(), conditions);
    let ready = pods.iter().map(|pod| slice(pod, READY));
    let slices: String = ready.chain(ending.map(|pod| slice(pod, ENDING))).collect();
    bench.write("shop.yaml", &[shop, &slices].concat());
}

pub const READY: &str = "ready: true";
pub const ENDING: &str = "ready: false, serving: true, terminating: true";

pub fn pod(name: &'static str) -> Pod {
    Pod::start(Ipv4Addr::LOCALHOST.into(), name).unwrap()
}

#[test]
fn requests_go_round_endpoints_and_past_one_that_is_gone() {
    for program in programs() {
        let bench = Bench::new(&program);
        let (a, b) = (pod("a"), pod("b"));
        let slices = [slice("gone", free(), READY), slice("a", a.address(), READY), slice("b", b.address(), READY)];
        bench.write("shop.yaml", &[SHOP, &slices.concat()].concat());
        let entry = bench.start(&["run"]);
        eventually("served", || bench.asks("any.example", "/shop").0 == 200);
        for _ in 0..10 {
            assert_eq!(bench.asks("any.example", "/shop").0, 200);
            // It was sent nowhere before it was sent to one that is there.
            let post = "POST /shop HTTP/1.1\r\nHost: any.example\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
            assert_eq!(http::exchange(bench.http, post).unwrap().status, 200);
        }
        assert!(a.requests() > 5 && b.requests() > 5, "{} {}", a.requests(), b.requests());
        // All of them end, and still answer: better than none.
        let slices = [slice("a", a.address(), ENDING), slice("b", b.address(), "ready: false")];
        bench.write("shop.yaml", &[SHOP, &slices.concat()].concat());
        eventually("without b", || (0..10).all(|_| bench.asks("any.example", "/shop") == (200, "a".to_owned())));
        bench.write("shop.yaml", &[SHOP, &slice("b", b.address(), "ready: false")].concat());
        bench.answers("/shop", 503, "");
        assert!(
            bench.ends(0, &["check"]).0.contains("Service default/shop has no endpoint for its port 80 that is ready")
        );
        bench.write("shop.yaml", &[SHOP, &slice("b", b.address(), READY)].concat());
        bench.answers("/shop", 200, "b");
        entry.terminate();
    }
}

#[test]
fn endpoints_of_which_the_one_with_the_fewest_requests_is_asked_change_without_a_reload() {
    let bench = Bench::new(&debian());
    let (a, b) = (pod("a"), pod("b"));
    let shop = SHOP.replace("endpoints }", "endpoints, sparrow/load-balance: least_conn }");
    let write = |pods: &[&Pod]| {
        let slices = pods.iter().map(|pod| slice(&pod.address().port().to_string(), pod.address(), READY));
        bench.write("shop.yaml", &[shop.clone(), slices.collect()].concat());
    };
    write(&[&a]);
    let entry = bench.start(&["run"]);
    bench.answers("/shop", 200, "a");
    let reloads = entry.count("nginx_reloads");
    write(&[&a, &b]);
    eventually("requests to both", || {
        bench.asks("any.example", "/shop");
        b.requests() > 5 && a.requests() > 5
    });
    write(&[&b]);
    eventually("requests to one", || (0..10).all(|_| bench.asks("any.example", "/shop") == (200, "b".to_owned())));
    assert_eq!(entry.count("nginx_reloads"), reloads);
    entry.terminate();
}

#[test]
fn rolling_update_of_three_endpoints_loses_no_request() {
    for program in programs() {
        rolling_update(&program);
    }
}

fn rolling_update(program: &Program) {
    let bench = Bench::new(program);
    let mut pods = vec![pod("a1"), pod("b1"), pod("c1")];
    write_shop(&bench, SHOP, &pods, None);
    let entry = bench.start(&["run"]);
    eventually("served", || bench.asks("any.example", "/shop").0 == 200);
    let reloads = entry.count("nginx_reloads");
    let clients = Clients::start(32, bench.http, "/shop", ConnectionReuse::Blindly);
    for name in ["a2", "b2", "c2"] {
        pods.push(pod(name));
        let old = pods.remove(0);
        write_shop(&bench, SHOP, &pods, Some(&old));
        until("requests to all that are ready", || pods.iter().all(|pod| pod.requests() > 20).then_some(()));
        // As soon as nobody sends it anything, it ends.
        let mut seen = (old.requests(), 0);
        until("the end of requests", || {
            seen = if seen.0 == old.requests() { (seen.0, seen.1 + 1) } else { (old.requests(), 0) };
            (seen.1 > 20).then_some(())
        });
        old.end();
        write_shop(&bench, SHOP, &pods, None);
    }
    clients.end();
    let traffic = clients.join();
    println!("3 of 3 endpoints replaced, {}: {traffic:?}", program.nginx.display());
    assert_eq!(traffic.lost, 0, "{traffic:?}");
    assert_eq!(entry.count("nginx_reloads"), reloads);
    entry.terminate();
}
