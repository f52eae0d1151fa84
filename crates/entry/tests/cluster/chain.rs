//! The whole way, from an object in the API server to an answer through nginx.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use entry_kube::{SourceOptions, TlsSecrets};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testbed::daemon::Daemons as _;
use testbed::kube::{ApiServer, Daemon};

use crate::common::tls::{Certificate, curl};
use crate::common::{backend_on, debian, eventually, until};
use crate::support::Tenant;

/// The addresses of Services are nobody's on this machine. So this runs in a network namespace of its own, in which all of
/// them are the machine's, and in which there is no other network.
#[test]
fn objects_of_the_api_server_are_served() {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--net"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    // The API server does not start without a default route: here it leads nowhere.
    let network = "ip link set lo up; ip addr add 198.51.100.1/32 dev lo; ip route add default dev lo
        ip route add local 192.0.2.0/24 dev lo; exec \"$0\" \"$@\"";
    let output = command
        .args(["sh", "-ec", network])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "chain::in_a_network_of_its_own"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// A backend on all addresses of this network.
fn backend(name: &'static str) -> u16 {
    backend_on(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap(), name)
}

#[test]
#[ignore = "run by the test above, in its own network"]
fn in_a_network_of_its_own() {
    // Were it another network, requests would leave this machine.
    let routes = fs::read_to_string("/proc/net/route").unwrap();
    assert!(routes.lines().skip(1).all(|route| route.starts_with("lo\t")), "{routes}");

    let (one, two) = (backend("one"), backend("two"));
    let server = ApiServer::start().unwrap();
    let tenant = Tenant::new(&server, "shop".to_owned(), SourceOptions::default());
    tenant.service("cart", one);
    let bench = tenant.bench(&debian());

    // Once, as an init container.
    bench.ends(0, &["generate"]);
    assert!(bench.has_in_table("/cart"));
    // And on.
    let entry = bench.start(&["run"]);
    bench.answers("/cart", 200, "one");
    tenant.service("blog", two);
    bench.answers("/blog", 200, "two");
    tenant.delete("/api/v1/namespaces/NS/services/blog");
    bench.answers("/blog", 404, "");

    // An Ingress, and where clients find it.
    tenant.class();
    tenant.node("1", "203.0.113.1", true);
    tenant.ingress("web", "web.example", "cart", one);
    eventually("served", || bench.asks("web.example", "/x") == (200, "one".to_owned()));
    eventually("its address", || tenant.addresses("web") == ["203.0.113.1"]);
    let (zone, _) = bench.ends(0, &["render", "--zone"]);
    assert_eq!(zone, "web.example. 60 IN A 203.0.113.1\n");
    let (routes, _) = bench.ends(0, &["render", "--routes"]);
    assert!(routes.contains("web.example prefix / -> 192.0.2.") && routes.contains("* prefix /cart -> "), "{routes}");

    // It hangs for a while and misses what happens. nginx goes on, and it catches up.
    let process = Pid::from_raw(entry.pid().try_into().unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    tenant.service("blog", one);
    tenant.ingress("web", "moved.example", "cart", one);
    assert_eq!(bench.asks("web.example", "/"), (200, "one".to_owned()));
    kill_process(process, Signal::CONT).unwrap();
    bench.answers("/blog", 200, "one");
    eventually("moved", || bench.asks("moved.example", "/") == (200, "one".to_owned()));
    // A worker that a reload ended still answers what it had accepted.
    eventually("gone from where it was", || bench.asks("web.example", "/").0 == 404);

    // The API server goes away, and with it nothing else.
    server.kill_daemon(Daemon::ApiServer).unwrap();
    let begun = Instant::now();
    // At once as a rule; one that only falls silent is noticed after some 15 s.
    while entry.metric("source_failing{kind=\"Service\"}") == 0.0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the API server is gone, and nobody is told");
        assert_eq!(bench.asks("any.example", "/cart"), (200, "one".to_owned()));
        sleep(Duration::from_millis(50));
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(bench.asks("any.example", "/cart"), (200, "one".to_owned()));
        assert_eq!(bench.asks("moved.example", "/"), (200, "one".to_owned()));
        assert_eq!(entry.admin("/readyz").unwrap().status, 200);
        sleep(Duration::from_millis(50));
    }
    // One that starts meanwhile serves what is on the volume, and waits.
    entry.terminate();
    let entry = bench.start_unready(&["run"]);
    bench.answers("/cart", 200, "one");
    let answer = until("asked", || entry.admin("/readyz"));
    assert!(answer.status == 503 && answer.text().contains("the objects have not all been read yet"), "{answer:?}");
    server.start_daemon(Daemon::ApiServer).unwrap();
    entry.wait_ready();
    tenant.service("news", two);
    bench.answers("/news", 200, "two");
    eventually("well again", || entry.metric("source_failing{kind=\"Service\"}") == 0.0);

    // It restarts, and what changes afterwards is seen, by the same sparrow-entry.
    server.restart_daemon(Daemon::ApiServer).unwrap();
    tenant.service("late", one);
    tenant.delete("/api/v1/namespaces/NS/services/news");
    bench.answers("/late", 200, "one");
    bench.answers("/news", 404, "");
    assert_eq!(tenant.addresses("web"), ["203.0.113.1"], "no restart empties a status");
    entry.terminate();
    assert_eq!(tenant.addresses("web"), ["203.0.113.1"]);

    secrets_that_are_named(&server, one);
    endpoints(&server, [one, two]);
}

/// A headless Service that is served at its endpoints, as their slice says.
fn endpoints(server: &ApiServer, [one, two]: [u16; 2]) {
    let tenant = Tenant::new(server, "pods".to_owned(), SourceOptions::default());
    let bench = tenant.bench(&debian());
    let entry = bench.start(&["run"]);
    tenant.apply(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "web", "labels": { "sparrow/expose": "true" }, "annotations": { "sparrow/backends": "endpoints" },
        },
        "spec": { "clusterIP": "None", "ports": [{ "name": "http", "port": 80, "targetPort": "any" }] },
    }));
    bench.answers("/web", 503, "");
    // Of this machine, as the addresses of pods are of their nodes.
    let slice = |port: u16, ready: bool, serving: bool| {
        let conditions = json!({ "ready": ready, "serving": serving, "terminating": !ready });
        tenant.apply(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": format!("web-{port}"), "labels": { "kubernetes.io/service-name": "web" } },
            "endpoints": [{ "addresses": ["198.51.100.1"], "conditions": conditions }],
            "ports": [{ "name": "http", "port": port, "protocol": "TCP" }],
        }));
    };
    slice(one, true, true);
    bench.answers("/web", 200, "one");
    slice(two, true, true);
    bench.answers("/web", 200, "two");
    slice(one, false, true);
    eventually("without one", || (0..10).all(|_| bench.asks("any.example", "/web") == (200, "two".to_owned())));
    tenant.delete(&format!("/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices/web-{two}"));
    bench.answers("/web", 200, "one");
    slice(one, false, false);
    bench.answers("/web", 503, "");
    entry.terminate();
}

/// HTTPS without the right to read all Secrets: each is fetched by its name, under a Role of its own.
fn secrets_that_are_named(server: &ApiServer, port: u16) {
    let options = SourceOptions { tls_secrets: TlsSecrets::Named, ..SourceOptions::default() };
    let tenant = Tenant::new(server, "safe".to_owned(), options);
    let mut bench = tenant.bench(&debian()).with_https();
    bench.flag("--tls-secrets", "named".to_owned());
    tenant.class();
    tenant.service("shop", port);
    let secret = |name: &str, certificate: &Certificate| {
        tenant.apply(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": { "name": name },
            "stringData": { "tls.crt": certificate.pem, "tls.key": certificate.key },
        }));
    };
    let [a, b] = ["a.example", "b.example"].map(Certificate::new);
    secret("tls-a", &a);
    secret("tls-b", &b);
    tenant.ingress_with("a", "a.example", "shop", port, Some("tls-a"));
    tenant.ingress_with("b", "b.example", "shop", port, Some("tls-b"));
    tenant.may_get_secret("tls-a");
    let entry = bench.start(&["run"]);
    eventually("HTTPS", || curl(&bench, "a.example", &a) == Ok("one".to_owned()));
    assert_eq!(bench.asks("a.example", "/").0, 308);
    // What it may not read is told, and served in the clear.
    entry.says("resourceNames [\\\"tls-b\\\"]");
    assert_eq!(bench.asks("b.example", "/"), (200, "one".to_owned()));
    tenant.may_get_secret("tls-b");
    eventually("HTTPS", || curl(&bench, "b.example", &b) == Ok("one".to_owned()));
    entry.terminate();
}
