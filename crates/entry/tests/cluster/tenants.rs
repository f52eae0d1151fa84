//! Two namespaces of a cluster, one of which is hostile, and two replicas: what is the other's stays the other's, in both.

use std::net::TcpListener;

use entry_kube::SourceOptions;
use serde_json::{Value, json};
use testbed::kube::ApiServer;

use crate::common::{Bench, Entry, Program, backend_on, debian, eventually};
use crate::support::Tenant;

/// Addresses of Services on which this machine can listen.
const SERVICES: &str = "127.66.0.0/16";
const RECORD: &str = "/api/v1/namespaces/entry/configmaps/sparrow-entry-hosts";

struct Cluster {
    server: ApiServer,
}

impl Cluster {
    fn apply(&self, namespace: &str, mut object: Value) {
        object["metadata"]["namespace"] = json!(namespace);
        self.server.apply(&object.to_string()).unwrap();
    }

    /// A namespace, which lists hosts if there are some.
    fn namespace(&self, name: &str, hosts: Option<&str>) {
        let annotations = hosts.map(|hosts| json!({ "sparrow/hosts": hosts }));
        let metadata = json!({ "name": name, "annotations": annotations });
        self.server
            .apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }).to_string())
            .unwrap();
    }

    /// A Service `web` at an address, and one that is exposed at `/NAMESPACE`, with a backend.
    fn web(&self, namespace: &str, address: &str, name: &'static str) -> u16 {
        let port = backend_on(TcpListener::bind((address, 0)).unwrap(), name);
        self.apply(
            namespace,
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
                "spec": { "clusterIP": address, "ports": [{ "port": port }] },
            }),
        );
        port
    }

    /// An Ingress of a namespace: all of some hosts, and paths on hosts that no rule names.
    fn ingress(&self, namespace: &str, port: u16, hosts: &[&str], paths: &[&str], rest: bool) {
        let backend = json!({ "service": { "name": "web", "port": { "number": port } } });
        let path = |path: &str| json!({ "path": path, "pathType": "Prefix", "backend": backend });
        let mut rules: Vec<_> =
            hosts.iter().map(|host| json!({ "host": host, "http": { "paths": [path("/")] } })).collect();
        if !paths.is_empty() {
            rules.push(json!({ "http": { "paths": paths.iter().map(|text| path(text)).collect::<Vec<_>>() } }));
        }
        let mut spec = json!({ "ingressClassName": "entry", "rules": rules });
        if rest {
            spec["defaultBackend"] = backend.clone();
        }
        let metadata = json!({ "name": "web" });
        self.apply(
            namespace,
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec,
            }),
        );
    }

    /// What the record says of a namespace; empty if nothing.
    fn record(&self, namespace: &str) -> String {
        let (_, body) = self.server.request("GET", RECORD, None).unwrap();
        let record: Value = serde_json::from_str(&body).unwrap();
        record["data"][namespace].as_str().unwrap_or_default().to_owned()
    }

    fn events(&self, namespace: &str) -> String {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        self.server.request("GET", &path, None).unwrap().1
    }
}

/// What the victim has.
fn stays(benches: &[&Bench]) {
    for bench in benches {
        for (host, path) in [
            ("shop.example", "/"),
            ("shop.example", "/admin"),
            ("login.wild.example", "/"),
            ("any.example", "/volume"),
            ("any.example", "/volume/api"),
        ] {
            assert_eq!(bench.asks(host, path), (200, "good".to_owned()), "{host}{path}");
        }
    }
}

fn replica(tenant: &Tenant<'_>, name: &str, program: &Program) -> Bench {
    let mut bench = tenant.bench(program);
    bench.flag("--identity", name.to_owned());
    bench
}

fn restarted(bench: &Bench, entry: Entry) -> Entry {
    entry.terminate();
    bench.start(&["run"])
}

#[test]
fn hostile_namespace_gets_no_host_of_another_in_any_replica() {
    let cluster = Cluster { server: ApiServer::start_with_services(SERVICES).unwrap() };
    let tenant = Tenant::new(&cluster.server, "entry".to_owned(), SourceOptions::default());
    tenant.class();
    // By age alone it would have everything: it is older, and of one second the first by name.
    cluster.namespace("a-evil", None);
    let bad = cluster.web("a-evil", "127.66.0.202", "bad");
    cluster.ingress("a-evil", bad, &["own.example"], &[], false);
    cluster.namespace("victim", None);
    let good = cluster.web("victim", "127.66.0.201", "good");
    cluster.ingress("victim", good, &["shop.example", "*.wild.example"], &["/volume"], false);
    let (a, b) = (replica(&tenant, "a", &debian()), replica(&tenant, "b", &debian()));
    let first = a.start(&["run"]);
    let mut second = b.start(&["run"]);
    stays(&[&a, &b]);
    eventually("the record", || cluster.record("victim").contains("shop.example\n"));
    assert_eq!(cluster.record("a-evil"), "rules 1\nown.example\n");

    let hosts = ["own.example", "free.example", "shop.example", "login.wild.example", "*.wild.example"];
    cluster.ingress("a-evil", bad, &hosts, &["/volume/api", "/volume"], true);
    for bench in [&a, &b] {
        eventually("what was free", || bench.asks("free.example", "/").1 == "bad");
    }
    stays(&[&a, &b]);
    let told = "belongs to the namespace victim";
    eventually("an Event", || cluster.events("a-evil").contains(told));
    let (out, _) = a.ends(1, &["check"]);
    assert!(out.contains(told) && !out.contains("Ingress victim/"), "{out}");

    // One that starts knows it by the record.
    second = restarted(&b, second);
    stays(&[&a, &b]);

    // The other one goes on with the record, and who comes back follows it.
    first.terminate();
    cluster.ingress("victim", good, &["shop.example", "*.wild.example", "late.example"], &["/volume"], false);
    eventually("followed", || b.asks("late.example", "/").1 == "good");
    eventually("written by the other", || cluster.record("victim").contains("late.example\n"));
    cluster.ingress(
        "a-evil",
        bad,
        &[hosts.as_slice(), &["late.example", "new.example"]].concat(),
        &["/volume/api"],
        true,
    );
    eventually("what was free", || b.asks("new.example", "/").1 == "bad");
    let first = a.start(&["run"]);
    // At first it serves what was there when it ended.
    eventually("followed", || a.asks("new.example", "/").1 == "bad" && a.asks("late.example", "/").1 == "good");
    assert_eq!(b.asks("late.example", "/").1, "good");
    stays(&[&a, &b]);

    // Deleted or scribbled, it is written again from what they know.
    let (status, body) = cluster.server.request("DELETE", RECORD, None).unwrap();
    assert_eq!(status, 200, "{body}");
    eventually("written again", || cluster.record("victim").contains("late.example\n"));
    let data = json!({ "victim": "rules many\n{\u{0}", "z": "#\n*/a/b" });
    cluster.apply(
        "entry",
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "sparrow-entry-hosts" }, "data": data,
        }),
    );
    second.says("lines cannot be read and are passed over");
    eventually("written again", || {
        cluster.record("victim").contains("late.example\n") && cluster.record("z").is_empty()
    });
    stays(&[&a, &b]);

    // The operator's word is above all of it.
    cluster.namespace("a-evil", Some("shop.example"));
    for bench in [&a, &b] {
        eventually("as the operator says", || bench.asks("shop.example", "/").1 == "bad");
        eventually("and nothing else", || bench.asks("free.example", "/").0 == 404);
    }
    second.terminate();
    first.terminate();
}
