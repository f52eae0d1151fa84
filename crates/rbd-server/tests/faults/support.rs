//! What is measured in every fault: how long answers take, how soon all is well again, what is left behind.

use std::collections::BTreeSet;
use std::io::{Read, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::ceph::{Ceph, CephOptions, Store};
use testbed::http::Connection;
use testbed::service::{Answer, ApiClient, RbdService, RbdServiceOptions};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_sparrow-rbd");

/// The deadline that services are started with, as `--deadline` takes it.
pub const DEADLINE_FLAG: &str = "3s";
/// The same as a time.
pub const DEADLINE: Duration = Duration::from_secs(3);
/// How long an answer may take beyond the deadline.
const BEYOND: Duration = Duration::from_secs(1);
/// How long the service may take to answer again after a fault.
pub const RECOVERY: Duration = Duration::from_secs(5);
/// What two busy cores may add to any time measured here: a test machine runs compilers and other tests beside this one.
/// A call that hangs is off by far more than that.
pub const SLACK: Duration = Duration::from_secs(2);

/// The cluster that tests share which break none of its daemons.
pub fn shared() -> &'static Ceph {
    Ceph::shared().expect("a cluster")
}

/// A cluster whose daemons the test may freeze.
pub fn own() -> Ceph {
    Ceph::start(CephOptions::default()).expect("a cluster")
}

/// A cluster whose daemons the test may restart.
pub fn durable() -> Ceph {
    Ceph::start(CephOptions { store: Store::BLUESTORE, mgr: false }).expect("a cluster")
}

/// A service with the deadline above, ready.
pub fn service(ceph: &Ceph, arguments: &[&str]) -> RbdService {
    options(ceph).arguments(arguments).start().expect("a service")
}

/// A service with the deadline that it has by default, ready: for tests that measure no time, and whose removals and copies keep a
/// busy machine's only OSD from answering within the other.
pub fn patient(ceph: &Ceph) -> RbdService {
    RbdServiceOptions::new(BINARY, ceph).start().expect("a service")
}

/// How to start one.
pub fn options(ceph: &Ceph) -> RbdServiceOptions {
    RbdServiceOptions::new(BINARY, ceph).arguments(&["--deadline", DEADLINE_FLAG])
}

/// A pool of the test's own. Its name is new in each run.
pub fn pool(ceph: &Ceph) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("f{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    ceph.create_pool(&name).expect("a pool");
    name
}

/// The path of a pool's images.
pub fn images(pool: &str) -> String {
    format!("/api/v1/pools/{pool}/images")
}

/// The body that makes an image of 8 MiB.
pub fn new_image(name: &str) -> Value {
    json!({ "name": name, "sizeBytes": 8 << 20 })
}

/// A request as tests write them: method, path, JSON body or `Null`.
pub type Asked<'a> = (&'a str, String, Value);

/// Sends a request and gives the answer with its time.
pub fn ask(client: &ApiClient, (method, path, body): &Asked<'_>) -> (Answer, Duration) {
    let started = Instant::now();
    let answer = if body.is_null() { client.send(method, path, &[], &[]) } else { client.json(method, path, body) };
    (answer.expect("an answer"), started.elapsed())
}

/// As [`ask`]; fails when the answer comes later than a second beyond the deadline.
pub fn in_time(client: &ApiClient, asked: &Asked<'_>) -> Answer {
    let (answer, took) = ask(client, asked);
    assert!(took <= DEADLINE + BEYOND + SLACK, "{asked:?} took {took:?}: {} {}", answer.status, answer.text());
    answer
}

/// Sends all at once, each within its time; answers in the order of the requests.
pub fn all_in_time(client: &ApiClient, asked: &[Asked<'_>]) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = asked.iter().map(|asked| scope.spawn(move || in_time(client, asked))).collect();
        threads.into_iter().map(|thread| thread.join().expect("in time")).collect()
    })
}

/// Waits until something holds; fails when it does not within the time.
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() <= within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// After a fault: waits until all of these are answered with the status wanted, one after the other, and no thread is
/// stuck any more; together within the time that the service has for that.
pub fn recovers(service: &RbdService, wanted: &[(Asked<'_>, u16)]) {
    let ended = Instant::now();
    let mut last = String::new();
    for (asked, status) in wanted {
        while {
            let (answer, _) = ask(&service.client, asked);
            last = format!("{asked:?}: {} {}", answer.status, answer.text());
            answer.status != *status
        } {
            assert!(ended.elapsed() <= RECOVERY + SLACK, "{last}\n{}", service.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let took = ended.elapsed();
    assert!(took <= RECOVERY + SLACK, "well again only after {took:?}; {last}\n{}", service.log());
    eventually("no thread is stuck", (RECOVERY + SLACK).saturating_sub(took), || {
        (metric(service, "workers_stuck") == 0).then_some(())
    });
}

/// A metric without labels.
pub fn metric(service: &RbdService, name: &str) -> u64 {
    let text = service.admin_client().get("/metrics").expect("metrics").expect(200).text();
    let start = format!("sparrow_rbd_{name} ");
    let line = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line[start.len()..].trim().parse().expect("a number")
}

/// The readiness as its status and text.
pub fn readiness(service: &RbdService) -> (u16, String) {
    let answer = service.admin_client().get("/readyz").expect("an answer");
    (answer.status, answer.text())
}

/// Threads and file descriptors of a service.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    threads: usize,
    descriptors: usize,
}

impl Footprint {
    /// As they are now.
    pub fn of(service: &RbdService) -> Self {
        let count = |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", service.pid())).expect("/proc").count();
        Self { threads: count("task"), descriptors: count("fd") }
    }

    /// Once idle: threads for blocking calls end one second after their last one.
    pub fn idle(service: &RbdService) -> Self {
        let mut lowest = Self::of(service);
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(500));
            let now = Self::of(service);
            lowest.threads = lowest.threads.min(now.threads);
            lowest.descriptors = lowest.descriptors.min(now.descriptors);
        }
        lowest
    }

    /// Waits until the service has no more of either than at the time of `self`, but for a few: librbd starts some of
    /// its threads when it first needs them, and the sweep of the operations has one now and then.
    pub fn returns(self, service: &RbdService) {
        const FEW: usize = 4;
        let started = Instant::now();
        loop {
            let now = Self::of(service);
            if now.threads <= self.threads + FEW && now.descriptors <= self.descriptors + FEW {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(15), "{now:?}, before the fault {self:?}");
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}

/// The operation at a path, when it has ended; fails when it has not within the time.
pub fn finished(client: &ApiClient, location: &str, within: Duration) -> Value {
    let started = Instant::now();
    loop {
        let answer = client.get(&format!("{location}?wait=2s")).expect("an answer");
        // A busy Ceph is asked again, as the answer says.
        let operation = if answer.status == 503 { answer.json() } else { answer.expect(200).json() };
        if !["queued", "running"].contains(&operation["state"].as_str().unwrap_or("running")) {
            return operation;
        }
        assert!(started.elapsed() <= within, "not finished within {within:?}: {operation}");
    }
}

/// Everything in a pool but the service's own records: each object as `namespace/name`, and the entries of the lists
/// of images as `namespace/name entry`.
pub fn contents(ceph: &Ceph, pool: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in ceph.rados(&["-p", pool, "ls", "--all"]).expect("rados ls").lines() {
        let (namespace, object) = line.split_once('\t').unwrap_or(("", line));
        if namespace == "sparrow" {
            continue;
        }
        // The lists themselves stay once they are made; what counts is what is in them.
        if ["rbd_directory", "rbd_trash", "rbd_children", "rbd_info"].contains(&object) {
            let keys = ceph.rados(&["-p", pool, "-N", namespace, "listomapkeys", object]).expect("its keys");
            all.extend(keys.lines().map(|key| format!("{namespace}/{object} {key}")));
        } else {
            all.insert(format!("{namespace}/{object}"));
        }
    }
    all
}

/// What is in the second and not in the first.
pub fn left_over(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    after.difference(before).cloned().collect()
}

/// An image whose removal takes a while: its objects have to be looked for one by one.
pub fn large_image(ceph: &Ceph, pool: &str, name: &str) {
    let image = format!("{pool}/{name}");
    ceph.rbd(&["create", "--size", "96G", "--object-size", "4M", "--image-feature", "layering", &image])
        .expect("created");
}

/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;

/// Bytes without a pattern, the same for the same seed.
pub fn noise(seed: u64, length: u64) -> Vec<u8> {
    // Xorshift: quick enough without optimisation.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// The path of an image's bytes.
pub fn data(pool: &str, image: &str) -> String {
    format!("{}/{image}/data", images(pool))
}

/// Makes an image of these bytes.
pub fn import(service: &RbdService, pool: &str, image: &str, bytes: &[u8]) {
    service.client.send("PUT", &data(pool, image), &[], bytes).expect("an answer").expect(201);
}

/// A download on a connection of its own, read at the test's pace.
pub struct Download {
    connection: Connection,
    /// The status.
    pub status: u16,
    /// The bytes that the body has.
    pub length: u64,
}

impl Download {
    /// Sends the request and reads the answer's head.
    pub fn start(service: &RbdService, path: &str) -> Self {
        let mut connection = Connection::open(service.api()).expect("a connection");
        write!(connection, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").expect("sent");
        let head = connection.answer_head().expect("a head");
        let length = head.header("content-length").parse().unwrap_or(0);
        Self { connection, status: head.status, length }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.connection.read(buffer)
    }
}

/// An import on a connection of its own, sent at the test's pace.
pub struct Upload(Connection);

impl Upload {
    /// Sends the request's head: a body of `length` bytes will follow.
    pub fn start(service: &RbdService, path: &str, length: u64) -> Self {
        let mut connection = Connection::open(service.api()).expect("a connection");
        write!(connection, "PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n").expect("sent");
        Self(connection)
    }

    /// Sends some of the body.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    /// The answer's status.
    pub fn status(mut self) -> u16 {
        self.0.answer_head().expect("an answer").status
    }
}
