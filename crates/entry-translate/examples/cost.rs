//! What one change costs among few routes and among many: `cargo run --release -p entry-translate --example cost`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use entry_model::{
    Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IpFamily, Kind, Meta, ObjectRef, PathType,
    PortRef, Service, ServiceKind, ServicePort, Snapshot,
};
use entry_translate::{Bound, Bounds, TranslateSettings, Translator};

const ROUNDS: u16 = 21;

fn meta(namespace: usize, name: &str) -> Meta {
    Meta { namespace: format!("team-{namespace}"), name: name.to_owned(), ..Meta::default() }
}

fn service(namespace: usize, port: u16) -> Service {
    let port = ServicePort { name: "http".to_owned(), port, protocol: "TCP".to_owned(), app_protocol: None };
    let family = IpFamily::V4;
    let cluster_ips = vec![[10, 0, 0, 1].into()];
    let meta = meta(namespace, "web");
    Service { meta, kind: ServiceKind::ClusterIp, cluster_ips, family, ports: vec![port], addresses: Vec::new() }
}

fn ingress(namespace: usize, name: &str, paths: &[&str]) -> Ingress {
    let backend = IngressBackend::Service { name: "web".to_owned(), port: PortRef::Name("http".to_owned()) };
    let path = |path: &&str| IngressPath {
        path: Some((*path).to_owned()),
        path_type: PathType::Prefix,
        backend: backend.clone(),
    };
    let rules =
        vec![IngressRule { host: Some(format!("{name}.example.com")), paths: paths.iter().map(path).collect() }];
    let (class, meta) = (Some("sparrow".to_owned()), meta(namespace, name));
    Ingress { meta, class, default_backend: None, rules, tls: Vec::new(), addresses: Vec::new() }
}

/// An Ingress and a host for each route, a hundred routes of a namespace.
fn snapshot(routes: usize) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let meta = Meta { name: "sparrow".to_owned(), ..Meta::default() };
    snapshot.put(IngressClass { meta, controller: "sparrow/entry".to_owned(), default: false });
    for number in 0..routes {
        if number % 100 == 0 {
            snapshot.put(service(number / 100, 80));
        }
        snapshot.put(ingress(number / 100, &format!("host-{number}"), &["/"]));
    }
    snapshot
}

fn main() {
    let bound = Bound { namespace: 1000, all: 100_000 };
    let bounds = Bounds { hosts: bound, rules: bound, patterns: bound, certificates: bound, rates: bound };
    println!("p50, and the most, in microseconds, of {ROUNDS} changes of each kind");
    for routes in [1000, 10_000, 50_000] {
        let (mut snapshot, mut translator) = (snapshot(routes), Translator::default());
        let mut settings = TranslateSettings { bounds, ..TranslateSettings::default() };
        let mut translate = |snapshot: &Snapshot| {
            let began = Instant::now();
            let translation = translator.translate(snapshot, &settings);
            let took = began.elapsed();
            settings.host_owners = vec![translation.host_owners];
            settings.last_good = translation.last_good;
            took
        };
        let first = translate(&snapshot);
        let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
        // What the first has made of owners is what the second begins with.
        times.entry("nothing changes").or_default().push(translate(&snapshot));
        for round in 0..ROUNDS {
            let mut take = |what: &'static str, snapshot: &Snapshot| {
                times.entry(what).or_default().push(translate(snapshot));
            };
            snapshot.put(ingress(3, "added", &["/"]));
            take("added, on a host of its own", &snapshot);
            let paths = if round % 2 == 0 { ["/", "/more"] } else { ["/", "/others"] };
            snapshot.put(ingress(5, "host-501", &paths));
            take("asks for another path", &snapshot);
            let mut beside = ingress(5, "beside", &["/beside"]);
            beside.rules[0].host = Some("host-502.example.com".to_owned());
            snapshot.put(beside);
            take("added, on a host of another object", &snapshot);
            snapshot.put(service(7, 81 + round));
            take("leads elsewhere, with 100 objects", &snapshot);
            for (what, namespace, name) in [
                ("removed, with its host", "team-3", "added"),
                ("removed, from a host of another object", "team-5", "beside"),
            ] {
                let key = entry_model::Key { namespace: namespace.to_owned(), name: name.to_owned() };
                snapshot.remove(&ObjectRef::new(Kind::Ingress, key));
                take(what, &snapshot);
            }
        }
        println!("{routes} routes, the first translation {}", first.as_micros());
        for (what, mut took) in times {
            took.sort();
            let most = took[took.len() - 1].as_micros();
            println!("  {what}: {} {most}", took[took.len() / 2].as_micros());
        }
    }
}
