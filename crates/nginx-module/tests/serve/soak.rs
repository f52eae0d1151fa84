//! Very many publications. By hand, since it takes minutes:
//!
//! ```text
//! SPARROW_PUBLICATIONS=1000000 cargo test -p nginx-module --test serve -- --ignored --nocapture soak
//! ```

use std::net::SocketAddr;
use std::time::Instant;

use entry_model::{HostName, Routes};
use testbed::clients::{Clients, ConnectionReuse};

use super::certificates::{self, Made};
use super::support::{Nginx, Publisher, backend, descriptors, forward, limited, prefix, process_number, routes};
use super::tls_client::TlsClient;

/// How many hosts there are, of which each publication changes one.
const HOSTS: usize = 40;

/// What is looked at: KiB of memory that is a process's own, and its descriptors.
type Size = (u64, usize);

fn size(pid: i32) -> Size {
    (process_number(pid, "RssAnon"), descriptors(pid))
}

/// Routes in which one host leads elsewhere, by another path and another policy, and every hundredth time has another certificate.
fn change(routes: &mut Routes, round: usize, to: SocketAddr, certificates: &[Made; 2]) {
    let host = format!("host-{}.example", round % HOSTS);
    let rule = forward(prefix(&format!("/{}", "a".repeat(round / 7 % 60))), to);
    let rule = if round.is_multiple_of(3) { limited(rule) } else { rule };
    let name = HostName::Exact(host.clone());
    let changed = self::routes([(host, vec![rule, forward(prefix("/"), to)])]);
    routes.hosts.insert(name.clone(), changed.hosts[&name].clone());
    if round.is_multiple_of(100) {
        let id = format!("certificate-{}", round / 100 % 70);
        certificates::certify(routes, &name, &id, &certificates[round / 100 % 2].certificate);
    }
}

#[test]
#[ignore = "takes minutes"]
fn publications_leave_memory_and_descriptors_as_they_were() {
    let publications = std::env::var("SPARROW_PUBLICATIONS").map_or(1_000_000, |number| number.parse().unwrap());
    let backends = ["a", "b", "c"].map(|name| (name, backend(name)));
    let certificates = ["one", "other"].map(certificates::make);
    let mut publisher = Publisher::new();
    let mut all = routes([("any.example".to_owned(), vec![forward(prefix("/"), backends[0].1)])]);
    publisher.publish(&all);
    let nginx = Nginx::start(&publisher, 2);
    let workers = nginx.workers();
    let own = i32::try_from(std::process::id()).unwrap();
    let look = || -> Vec<Size> { workers.iter().chain([&own]).map(|pid| size(*pid)).collect() };
    let clients = Clients::start(4, nginx.address, "/", ConnectionReuse::Blindly);
    let (begin, mut sizes) = (Instant::now(), Vec::new());
    for round in 1..=publications {
        let (name, to) = backends[round % backends.len()];
        change(&mut all, round, to, &certificates);
        let revision = publisher.publish(&all);
        if round.is_multiple_of(1000) {
            let host = format!("host-{}.example", round % HOSTS);
            assert_eq!(nginx.found(&host, "/"), Ok(name.to_owned()));
            assert_eq!(TlsClient::new().connect(nginx.tls, &host).unwrap().get(&host, "/").status, 200);
            assert_eq!(nginx.status().unwrap().revision, revision);
        }
        if round % (publications / 10) == 0 {
            sizes.push(look());
            println!("{round} publications, {:.0?}: (KiB, descriptors) {:?}", begin.elapsed(), sizes.last().unwrap());
        }
    }
    clients.end();
    let traffic = clients.join();
    println!("{traffic:?}");
    assert_eq!(traffic.lost, 0);
    assert_eq!(nginx.workers(), workers, "no worker ended");
    // The first tenths bring what workers keep: connections, sessions and certificates.
    let (then, now) = (&sizes[sizes.len() / 2], &sizes[sizes.len() - 1]);
    for (then, now) in then.iter().zip(now) {
        assert!(now.0 < then.0 + 4096 && now.1 <= then.1 + 8, "grown: {sizes:#?}");
    }
}
