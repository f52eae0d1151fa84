//! What one change costs among few routes and among many: `cargo run --release -p entry-translate --example cost`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use entry_model::{
    Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IpFamily, Key, Kind, Meta, ObjectRef, PathType,
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
    on_host(Some(format!("{name}.example.com")), namespace, name, paths)
}

fn on_host(host: Option<String>, namespace: usize, name: &str, paths: &[&str]) -> Ingress {
    let backend = IngressBackend::Service { name: "web".to_owned(), port: PortRef::Name("http".to_owned()) };
    let path = |path: &&str| IngressPath {
        path: Some((*path).to_owned()),
        path_type: PathType::Prefix,
        backend: backend.clone(),
    };
    let rules = vec![IngressRule { host, paths: paths.iter().map(path).collect() }];
    let (class, meta) = (Some("sparrow".to_owned()), meta(namespace, name));
    Ingress { meta, class, default_backend: None, rules, tls: Vec::new(), addresses: Vec::new() }
}

fn classes() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let meta = Meta { name: "sparrow".to_owned(), ..Meta::default() };
    snapshot.put(IngressClass { meta, controller: "sparrow/entry".to_owned(), default: false });
    snapshot
}

/// An Ingress and a host for each route, a hundred routes of a namespace.
fn of_many_hosts(routes: usize) -> Snapshot {
    let mut snapshot = classes();
    for number in 0..routes {
        if number % 100 == 0 {
            snapshot.put(service(number / 100, 80));
        }
        snapshot.put(ingress(number / 100, &format!("host-{number}"), &["/"]));
    }
    snapshot
}

/// An Ingress and a path for each route, all of one namespace and of one host, or of all hosts.
fn of_one_host(host: Option<&str>, routes: usize) -> Snapshot {
    let mut snapshot = classes();
    snapshot.put(service(0, 80));
    for number in 0..routes {
        let name = format!("path-{number}");
        snapshot.put(on_host(host.map(str::to_owned), 0, &name, &[&format!("/{name}")]));
    }
    snapshot
}

fn remove(snapshot: &mut Snapshot, namespace: usize, name: &str) {
    let key = Key { namespace: format!("team-{namespace}"), name: name.to_owned() };
    snapshot.remove(&ObjectRef::new(Kind::Ingress, key));
}

/// A translator, and how long its changes took, by what was changed.
struct Measured {
    translator: Translator,
    settings: TranslateSettings,
    times: BTreeMap<&'static str, Vec<Duration>>,
}

impl Measured {
    /// One that has translated this, and then the same again.
    fn new(snapshot: &Snapshot) -> Self {
        let bound = Bound { namespace: 100_000, all: 100_000 };
        let bounds = Bounds { hosts: bound, rules: bound, patterns: bound, certificates: bound, rates: bound };
        let settings = TranslateSettings { bounds, host_owners: vec![Arc::default()], ..TranslateSettings::default() };
        let mut measured = Self { translator: Translator::default(), settings, times: BTreeMap::new() };
        measured.take("all, at first", snapshot);
        measured.take("nothing changes", snapshot);
        measured
    }

    fn take(&mut self, what: &'static str, snapshot: &Snapshot) {
        let began = Instant::now();
        let translation = self.translator.translate(snapshot, &self.settings);
        self.times.entry(what).or_default().push(began.elapsed());
        self.settings.host_owners = vec![translation.host_owners];
        self.settings.last_good = translation.last_good;
    }

    fn print(self, of: &str) {
        println!("{of}");
        for (what, mut took) in self.times {
            took.sort();
            println!("  {what}: {} {}", took[took.len() / 2].as_micros(), took[took.len() - 1].as_micros());
        }
    }
}

fn main() {
    println!("p50, and the most, in microseconds, of {ROUNDS} changes of each kind");
    for routes in [1000, 10_000, 50_000] {
        let mut snapshot = of_many_hosts(routes);
        let mut measured = Measured::new(&snapshot);
        for round in 0..ROUNDS {
            snapshot.put(ingress(3, "added", &["/"]));
            measured.take("added, on a host of its own", &snapshot);
            let paths = if round % 2 == 0 { ["/", "/more"] } else { ["/", "/others"] };
            snapshot.put(ingress(5, "host-501", &paths));
            measured.take("asks for another path", &snapshot);
            snapshot.put(on_host(Some("host-502.example.com".to_owned()), 5, "beside", &["/beside"]));
            measured.take("added, on a host of another object", &snapshot);
            snapshot.put(service(7, 81 + round));
            measured.take("leads elsewhere, with 100 objects", &snapshot);
            remove(&mut snapshot, 3, "added");
            measured.take("removed, with its host", &snapshot);
            remove(&mut snapshot, 5, "beside");
            measured.take("removed, from a host of another object", &snapshot);
        }
        measured.print(&format!("{routes} routes, each of a host of its own"));
        for host in [Some("one.example.com"), None] {
            let mut snapshot = of_one_host(host, routes);
            let mut measured = Measured::new(&snapshot);
            for _ in 0..ROUNDS {
                snapshot.put(on_host(host.map(str::to_owned), 0, "added", &["/added"]));
                measured.take("added", &snapshot);
                remove(&mut snapshot, 0, "added");
                measured.take("removed", &snapshot);
            }
            measured.print(&format!("{routes} routes of {}", host.unwrap_or("all hosts")));
        }
    }
}
