//! What tables cost: `cargo run --release -p route-table --example cost`. One line for each shape of routes; hosts with patterns are the
//! first ones.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use entry_model::{
    Action, Backend, Forward, Host, HostName, Key, Kind, ListenerId, ListenerSet, Match, ObjectRef, PathMatch,
    PathRewrite, PolicyId, Protocol, Routes, Rule, Scheme,
};
use route_table::{
    Changes, Classifier, Fault, Found, NoHeaders, Planner, Request, Revision, Table, TableWriter, TlsClass,
};

/// Bytes of the memory.
const BYTES: usize = 64 << 20;
const ROUNDS: usize = 4000;
/// How many are opened to see what one takes.
const WORKERS: usize = 20;

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

fn find(table: &mut Table<Arc<[AtomicU64]>>, host: &str, path: &str) -> Result<Found, Fault> {
    let request = Request {
        listener: ListenerId(0),
        scheme: Scheme::Http,
        connection: Scheme::Http,
        server_name: b"",
        tls_class: TlsClass::default(),
        method: b"GET",
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: b"",
        headers: &NoHeaders,
        chance: 0,
    };
    table.find(&request)
}

fn measure(hosts: usize, paths: usize, rounds: usize) {
    let mut routes = Routes::default();
    for host in 0..hosts {
        put(&mut routes, host, paths, 80);
    }
    let memory: Arc<[AtomicU64]> = (0..BYTES / 8).map(|_| AtomicU64::new(0)).collect();
    let mut planner = Planner::new(Classifier::default());
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
            assert!(matches!(found, Ok(Found::Route(_))));
        }
        let other = host_name(round * 104_729 % hosts);
        let start = Instant::now();
        let found = find(&mut table, &other, "/service-00000/a/b/c");
        random.push(start.elapsed());
        assert!(matches!(found, Ok(Found::Route(_))));
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
        let _ = std::hint::black_box(find(&mut table, std::hint::black_box(&name), "/service-00000/a/b/c"));
    }
    println!("  one look of a million at the same route: {:?}", start.elapsed() / 1_000_000);
}

/// Kilobytes of memory that this process has.
fn resident_kib() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4
}

fn pattern_rule(pattern: &str, port: u16) -> Rule {
    let pattern = pattern_engine::compile(pattern).expect("a pattern");
    let mut rule = rule(0, 0, port);
    if let Action::Forward(forward) = &mut rule.action {
        forward.path = PathRewrite::Regex { pattern: pattern.clone(), template: "/$2".to_owned() };
    }
    Rule { matches: Match::path(PathMatch::Regex(pattern)), ..rule }
}

/// A host with so many patterns: what a worker takes for it, and how long it takes to look for the last one.
fn measure_patterns(number: usize, of_number: impl Fn(usize) -> String, path: &str) {
    let memory: Arc<[AtomicU64]> = (0..BYTES / 8).map(|_| AtomicU64::new(0)).collect();
    let mut planner = Planner::new(Classifier::default());
    let mut writer = TableWriter::create(Arc::clone(&memory), [1, 2]).expect("a table");
    let mut rules: Vec<_> = (0..number).map(|number| pattern_rule(&of_number(number), 80)).collect();
    let mut apply = |rules: &[Rule], revision| {
        let mut routes = Routes::default();
        let host = Host { rules: rules.iter().cloned().collect(), ..Host::default() };
        routes.hosts.insert(HostName::Exact(host_name(0)), Arc::new(host));
        let start = Instant::now();
        let record = planner.plan(&routes, Revision(revision)).encode();
        let (planned, start) = (start.elapsed(), Instant::now());
        writer.apply(&Changes::decode(&record).expect("a record").0).expect("there is room");
        (planned, start.elapsed())
    };
    let (planned, published) = apply(&rules, 1);
    let mut table = Table::open_with_cache(Arc::clone(&memory), 1 << 12).expect("a table");
    let mut looks = |number: usize| {
        let start = Instant::now();
        for _ in 0..number {
            let _ = std::hint::black_box(find(&mut table, &host_name(0), path));
        }
        start.elapsed() / u32::try_from(number).unwrap_or(1)
    };
    let first = looks(1);
    let next = looks(20);
    rules[number - 1] = pattern_rule(&of_number(number - 1), 81);
    let (plan_of_change, publish_of_change) = apply(&rules, 2);
    let after_change = looks(1);
    rules.push(pattern_rule(&of_number(number), 80));
    let (plan_of_one_more, publish_of_one_more) = apply(&rules, 3);
    let after_one_more = looks(1);
    let open = |_| Table::open_with_cache(Arc::clone(&memory), 1).expect("a table");
    let mut tables: Vec<_> = (0..WORKERS).map(open).collect();
    let before = resident_kib();
    for table in &mut tables {
        let _ = std::hint::black_box(find(table, &host_name(0), path));
    }
    let resident = resident_kib().saturating_sub(before) / WORKERS;
    println!(
        "{number} patterns such as {:.40}, a path of {} bytes: plan {planned:?}, read and build {published:?}; \
         first look {first:?}, then a worker has {resident} KiB more; next look {next:?}; a rule changes: plan {plan_of_change:?}, \
         publish {publish_of_change:?}, first look {after_change:?}; one more: plan {plan_of_one_more:?}, \
         publish {publish_of_one_more:?}, first look {after_one_more:?}",
        of_number(number - 1),
        path.len(),
    );
}

fn main() {
    // First, as long as no memory was given back that they would take.
    let usual = |number: usize| format!("(?i)^/service-{number:03}/v[0-9]+(/|$)(.*)");
    measure_patterns(500, usual, "/service-499/v2/orders/1234567/items");
    measure_patterns(500, usual, &format!("/service-499/v2/{}", "orders/".repeat(1100)));
    // None matches, and each is tried to the end of the longest path that nginx takes, until it is enough.
    let slow = |number: usize| format!("^/.*a.*[a-z]{{{}}}b", 400 + number);
    measure_patterns(20, slow, &format!("/{}", "a".repeat(8000)));
    measure(10, 1, ROUNDS);
    measure(50_000, 1, ROUNDS);
    measure(1000, 50, ROUNDS);
    measure(1, 50_000, 50);
}
