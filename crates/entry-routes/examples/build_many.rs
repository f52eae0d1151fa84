//! Prints how long it takes to build many routes: half of Services with the label, half of Ingresses with a host each.
//!
//! `cargo run --release -p entry-routes --example build_many [ROUTES...]`

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use entry_routes::{
    BuildSettings, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, Meta, PathType, PortRef, Service,
    ServiceKind, ServicePort, Snapshot, build,
};

fn snapshot(routes: u32) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let class = Meta { name: "sparrow".to_owned(), ..Meta::default() };
    let class = IngressClass { meta: class, controller: "sparrow/entry".to_owned(), default: true };
    snapshot.classes.insert(class.meta.key(), Arc::new(class));
    for n in 0..routes / 2 {
        let mut meta = Meta {
            namespace: format!("team-{}", n % 50),
            name: format!("service-{n}"),
            created: i64::from(n % 1_000),
            ..Meta::default()
        };
        meta.annotations.insert("sparrow/read-timeout".to_owned(), "30s".to_owned());
        let path = |path: &str| IngressPath {
            path: Some(path.to_owned()),
            path_type: PathType::Prefix,
            backend: IngressBackend::Service { name: meta.name.clone(), port: PortRef::Name("http".to_owned()) },
        };
        let rule = IngressRule { host: Some(format!("host-{n}.example.com")), paths: vec![path("/")] };
        let ingress = Ingress {
            meta: meta.clone(),
            class: None,
            default_backend: None,
            rules: vec![rule],
            tls: Vec::new(),
            addresses: Vec::new(),
        };
        snapshot.ingresses.insert(meta.key(), Arc::new(ingress));
        meta.labels.insert("sparrow/expose".to_owned(), "true".to_owned());
        let port = ServicePort { name: "http".to_owned(), port: 80, protocol: "TCP".to_owned(), app_protocol: None };
        let [_, b, c, d] = n.to_be_bytes();
        let cluster_ips = vec![IpAddr::from([10, b, c, d])];
        let service = Service { kind: ServiceKind::ClusterIp, cluster_ips, ports: vec![port], meta };
        snapshot.services.insert(service.meta.key(), Arc::new(service));
    }
    snapshot
}

fn main() {
    let mut sizes: Vec<_> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000, 50_000];
    }
    for routes in sizes {
        let snapshot = snapshot(routes);
        let settings = BuildSettings::default();
        let mut times: Vec<_> = (0..25)
            .map(|_| {
                let began = Instant::now();
                let built = build(&snapshot, &settings);
                let time = began.elapsed();
                let count: usize = built.routes.hosts.values().map(|host| host.rules.len()).sum();
                assert_eq!(count, routes as usize);
                time
            })
            .collect();
        times.sort();
        let ms = |n: usize| times[n].as_secs_f64() * 1e3;
        println!("{routes:>6} routes  best {:>6.1} ms  median {:>6.1} ms", ms(0), ms(times.len() / 2));
    }
}
