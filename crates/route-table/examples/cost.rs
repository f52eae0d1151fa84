//! What tables cost: `cargo run --release -p route-table --example cost`. One line for each shape of routes.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use entry_model::{
    Action, Backend, Forward, Host, HostName, Key, Kind, ListenerId, ListenerSet, Match, ObjectRef, PathMatch,
    PathRewrite, PolicyId, Protocol, Routes, Rule, Scheme,
};
use route_table::{Changes, Class, Found, NoHeaders, Planner, Request, Revision, Table, TableWriter};

/// Bytes of the memory.
const BYTES: usize = 64 << 20;
const ROUNDS: usize = 4000;

fn rule(host: usize, path: usize, port: u16) -> Rule {
    // A backend for ten hosts.
    let ip = u32::try_from(host / 10).unwrap_or(0);
    let backend = Backend {
        address: std::net::SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 | ip), port)).into(),
        protocol: Protocol::Http,
        keep_alive: true,
    };
    Rule {
        listeners: ListenerSet::ALL,
        matches: Match::path(PathMatch::Prefix(format!("/service-{path:05}"))),
        action: Action::Forward(Forward::to(backend, PathRewrite::StripPrefix)),
        policy: PolicyId(0),
        origin: ObjectRef::new(Kind::Ingress, Key { namespace: "shop".to_owned(), name: format!("web-{host}-{path}") }),
    }
}

fn host_name(host: usize) -> String {
    format!("host-{host:05}.example.com")
}

fn put(routes: &mut Routes, host: usize, paths: usize, port_of_first: u16) {
    let rules = (0..paths).map(|path| rule(host, path, if path == 0 { port_of_first } else { 80 })).collect();
    routes.hosts.insert(HostName::Exact(host_name(host)), Arc::new(Host { rules, ..Host::default() }));
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_nanos();
    let micros = |nanos: u128| format!("{}.{:02}", nanos / 1000, nanos % 1000 / 10);
    format!("{} / {} us", micros(at(50)), micros(at(99)))
}

fn find(table: &mut Table<Arc<[AtomicU64]>>, host: &str, path: &str) -> Found {
    let request = Request {
        listener: ListenerId(0),
        scheme: Scheme::Http,
        connection: Scheme::Http,
        server_name: b"",
        method: b"GET",
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: b"",
        headers: &NoHeaders,
        chance: 0,
    };
    table.find(&request).expect("the table is whole")
}

fn measure(hosts: usize, paths: usize, rounds: usize) {
    let mut routes = Routes::default();
    for host in 0..hosts {
        put(&mut routes, host, paths, 80);
    }
    let memory: Arc<[AtomicU64]> = (0..BYTES / 8).map(|_| AtomicU64::new(0)).collect();
    let mut planner = Planner::new(|_, _| Some(Class(0)));
    let mut writer = TableWriter::create(Arc::clone(&memory), [1, 2]).expect("a table");
    let start = Instant::now();
    let full = planner.plan(&routes, Revision(1));
    let planned = start.elapsed();
    let record = full.encode();
    let start = Instant::now();
    let (full, _) = Changes::decode(&record).expect("a record");
    writer.apply(&full).expect("there is room");
    let built = start.elapsed();
    let used = writer.usage().used_bytes;
    let mut table = Table::open_with_cache(memory, 1 << 17).expect("a table");

    let [mut plan, mut apply, mut first, mut hot, mut random] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..rounds {
        let host = round * 7919 % hosts;
        put(&mut routes, host, paths, u16::try_from(81 + round).unwrap_or(81));
        let start = Instant::now();
        let record = planner.plan(&routes, Revision(2 + round as u64)).encode();
        plan.push(start.elapsed());
        let start = Instant::now();
        let (changes, _) = Changes::decode(&record).expect("a record");
        writer.apply(&changes).expect("there is room");
        apply.push(start.elapsed());
        let name = host_name(host);
        for times in [&mut first, &mut hot] {
            let start = Instant::now();
            let found = find(&mut table, &name, "/service-00000/a/b/c");
            times.push(start.elapsed());
            assert!(matches!(found, Found::Route(_)));
        }
        let other = host_name(round * 104_729 % hosts);
        let start = Instant::now();
        let found = find(&mut table, &other, "/service-00000/a/b/c");
        random.push(start.elapsed());
        assert!(matches!(found, Found::Route(_)));
    }
    println!(
        "{hosts} hosts of {paths} paths: plan {planned:?}, read and build {built:?}, {} KiB, record {} KiB; \
         one change p50 / p99: plan {}, read and publish {}, first look {}, next look {}, any look {}",
        used / 1024,
        record.len() / 1024,
        percentiles(plan),
        percentiles(apply),
        percentiles(first),
        percentiles(hot),
        percentiles(random),
    );
    // All of these times have that of reading the clock in them.
    let start = Instant::now();
    let name = host_name(1 % hosts);
    for _ in 0..1_000_000 {
        std::hint::black_box(find(&mut table, std::hint::black_box(&name), "/service-00000/a/b/c"));
    }
    println!("  one look of a million at the same route: {:?}", start.elapsed() / 1_000_000);
}

fn main() {
    measure(10, 1, ROUNDS);
    measure(50_000, 1, ROUNDS);
    measure(1000, 50, ROUNDS);
    measure(1, 50_000, 50);
}
