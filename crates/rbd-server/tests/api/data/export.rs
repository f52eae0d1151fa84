//! Export.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use testbed::http::Connection;
use testbed::service::{RbdService, RbdServiceOptions};

use super::{Files, MIB, assert_same, diff, half_empty, noise};
use crate::support::{BINARY, api, ceph, pool};

fn data(pool: &str, image: &str) -> String {
    format!("/api/v1/pools/{pool}/images/{image}/data")
}

/// Compares an image or snapshot (`image@snapshot`) with `rbd export`.
#[track_caller]
fn same_as_rbd(files: &Files, pool: &str, spec: &str) {
    let (image, query) = match spec.split_once('@') {
        Some((image, snapshot)) => (image, format!("?snapshot={snapshot}")),
        None => (spec, String::new()),
    };
    let expected = files.exported(&format!("{pool}/{spec}"));
    let answer = api().get(&format!("{}{query}", data(pool, image))).unwrap().expect(200);
    assert_eq!(answer.header("content-length"), expected.len().to_string(), "{spec}");
    assert_same(&answer.body, &expected, spec);
}

/// A life of an image: written, snapshot, partly discarded, snapshot, shrunk, grown, written; and clones of it.
fn lives(layout: &[&str], size_bytes: u64) {
    let (pool, files) = (pool(), Files::new());
    let image = format!("{pool}/a");
    let rbd = |arguments: &[&str]| ceph().rbd(arguments).unwrap();
    let apply = |name: &str, image: &str, stream: &[u8]| {
        let file = files.write(name, stream);
        ceph().rbd(&["import-diff", "--no-progress", &file, image]).unwrap();
    };
    let size = format!("{size_bytes}B");
    rbd(&[&["create", "--size", &size], layout, &[&image]].concat());
    same_as_rbd(&files, &pool, "a");
    let parts = [(0, 3 * MIB), (5 * MIB + 512, 100), (9 * MIB, 6 * MIB), (20 * MIB + 4096, 70_000)];
    apply("d1", &image, &diff(1, size_bytes, &parts, &[]));
    rbd(&["snap", "create", "--no-progress", &format!("{image}@s1")]);
    apply("d2", &image, &diff(2, size_bytes, &[(16 * MIB, MIB)], &[(0, 2 * MIB), (8 * MIB, 8 * MIB)]));
    rbd(&["snap", "create", "--no-progress", &format!("{image}@s2")]);
    rbd(&["resize", "--no-progress", "--allow-shrink", "--size", "10M", &image]);
    rbd(&["resize", "--no-progress", "--size", &size, &image]);
    apply("d3", &image, &diff(3, size_bytes, &[(12 * MIB + 1, 3), (size_bytes - 7, 7)], &[]));
    for spec in ["a", "a@s1", "a@s2"] {
        same_as_rbd(&files, &pool, spec);
    }
    // A clone of the first snapshot, smaller than it, then written, and a clone of that one.
    rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{image}@s1"), &format!("{pool}/b")]);
    same_as_rbd(&files, &pool, "b");
    rbd(&["resize", "--no-progress", "--allow-shrink", "--size", "13M", &format!("{pool}/b")]);
    rbd(&["resize", "--no-progress", "--size", "30M", &format!("{pool}/b")]);
    apply("d4", &format!("{pool}/b"), &diff(4, 30 * MIB, &[(MIB, 10), (25 * MIB, MIB)], &[(9 * MIB, MIB)]));
    rbd(&["snap", "create", "--no-progress", &format!("{pool}/b@s")]);
    rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{pool}/b@s"), &format!("{pool}/c")]);
    apply("d5", &format!("{pool}/c"), &diff(5, 30 * MIB, &[(2 * MIB, 10)], &[(25 * MIB, 4096)]));
    for spec in ["b", "b@s", "c"] {
        same_as_rbd(&files, &pool, spec);
    }
}

#[test]
fn export_equals_that_of_rbd_with_an_object_map() {
    lives(&[], 24 * MIB + 1234);
}

#[test]
fn export_equals_that_of_rbd_without_an_object_map() {
    lives(&["--image-feature", "layering"], 24 * MIB + 511);
}

#[test]
fn export_equals_that_of_rbd_when_striped() {
    let layout = ["--object-size", "1M", "--stripe-unit", "64K", "--stripe-count", "3"];
    lives(&layout, 24 * MIB + 4096);
}

#[test]
fn export_equals_that_of_rbd_with_small_objects_and_large_ones() {
    lives(&["--object-size", "64K", "--image-feature", "layering"], 24 * MIB);
    lives(&["--object-size", "32M"], 24 * MIB + 1);
}

#[test]
fn empty_image_has_an_empty_export() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "0", &format!("{pool}/a")]).unwrap();
    let answer = api().get(&data(&pool, "a")).unwrap().expect(200);
    assert_eq!((answer.body.len(), answer.header("content-length")), (0, "0"));
    let answer = api().send("GET", &data(&pool, "a"), &[("range", "bytes=0-")], &[]).unwrap().expect(416);
    assert_eq!(answer.header("content-range"), "bytes */0");
}

#[test]
fn ranges_of_a_snapshot_go_on_where_a_download_broke_off() {
    let (pool, files) = (pool(), Files::new());
    let bytes = half_empty(7, 13 * MIB + 77, 3 * MIB);
    let file = files.write("a", &bytes);
    ceph().rbd(&["import", "--no-progress", &file, &format!("{pool}/a")]).unwrap();
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{pool}/a@s")]).unwrap();
    let path = format!("{}?snapshot=s", data(&pool, "a"));
    let whole = api().send("HEAD", &path, &[], &[]).unwrap().expect(200);
    assert_eq!(whole.header("content-length"), bytes.len().to_string());
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    let etag = whole.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 4, "{etag}");
    let length = bytes.len() as u64;
    let boundaries = [0, 1, 511, MIB - 1, MIB, 3 * MIB, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 8 * MIB, length - 1];
    for (first, last) in boundaries.iter().flat_map(|first| boundaries.map(|last| (*first, last))) {
        if last < first {
            continue;
        }
        let range = format!("bytes={first}-{last}");
        let answer = api().send("GET", &path, &[("range", &range), ("if-range", &etag)], &[]).unwrap().expect(206);
        assert_eq!(answer.header("content-range"), format!("bytes {first}-{last}/{length}"));
        let expected = &bytes[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()];
        assert_same(&answer.body, expected, &range);
    }
    let tail = api().send("GET", &path, &[("range", "bytes=-5")], &[]).unwrap().expect(206);
    assert_same(&tail.body, &bytes[bytes.len() - 5..], "the last five");
    let past = api().send("GET", &path, &[("range", &format!("bytes={length}-"))], &[]).unwrap().expect(416);
    assert_eq!((past.problem(), past.header("content-range")), ("range".into(), &*format!("bytes */{length}")));
    api().send("GET", &path, &[("if-none-match", &etag)], &[]).unwrap().expect(304);
    let other = api().send("GET", &path, &[("range", "bytes=0-0"), ("if-range", "\"other\"")], &[]).unwrap();
    assert_same(&other.expect(200).body, &bytes, "another tag");
    // The head changes: it has no tag, and a range of it on a condition is the whole.
    let head = api().send("GET", &data(&pool, "a"), &[("range", "bytes=0-0"), ("if-range", &etag)], &[]).unwrap();
    let head = head.expect(200);
    assert_eq!((head.header("etag"), head.body.len()), ("", bytes.len()));
}

#[test]
fn export_names_the_image_or_snapshot_that_is_missing() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "1M", &format!("{pool}/a")]).unwrap();
    let problem = |path: &str| api().get(path).unwrap().expect(404).problem();
    assert_eq!(problem(&data("no-such-pool", "a")), "pool-not-found");
    assert_eq!(problem(&data(&pool, "b")), "image-not-found");
    assert_eq!(problem(&format!("{}?snapshot=s", data(&pool, "a"))), "snapshot-not-found");
    assert_eq!(problem(&format!("/api/v1/pools/{pool}/namespaces/n/images/a/data")), "namespace-not-found");
    let answer = api().get(&format!("{}?snap=s", data(&pool, "a"))).unwrap().expect(400);
    assert_eq!(answer.json()["field"], "snap", "{}", answer.text());
}

/// Threads and descriptors of a process.
fn handles(pid: u32) -> (usize, usize) {
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    (count("task"), count("fd"))
}

/// Waits until threads and descriptors are no more than before.
#[track_caller]
fn released(service: &RbdService, before: (usize, usize)) {
    let started = Instant::now();
    loop {
        let now = handles(service.pid());
        if now.0 <= before.0 && now.1 <= before.1 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(15), "{now:?} instead of {before:?}: {}", service.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An export whose body is read by hand.
fn begun(service: &RbdService, path: &str) -> Connection {
    let mut connection = Connection::open(service.api()).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    connection.answer_head().unwrap().expect(200);
    connection
}

/// An image with more data than all buffers on the way hold.
fn large(pool: &str) -> (Files, Vec<u8>) {
    let files = Files::new();
    let bytes = noise(3, 64 * MIB);
    let file = files.write("large", &bytes);
    ceph().rbd(&["import", "--no-progress", &file, &format!("{pool}/large")]).unwrap();
    (files, bytes)
}

#[test]
fn client_that_leaves_or_stands_still_leaves_nothing_behind() {
    let pool = pool();
    let (_files, bytes) = large(&pool);
    let options = RbdServiceOptions::new(BINARY, ceph()).arguments(&["--client-idle", "1s", "--streams-per-pool", "2"]);
    let service = options.start().unwrap();
    let path = data(&pool, "large");
    // Once, so that threads that stay have come.
    assert_same(&service.client.get(&path).unwrap().expect(200).body, &bytes, "once");
    std::thread::sleep(Duration::from_secs(7));
    let before = handles(service.pid());
    let mut first = [0; 1024];
    for _ in 0..4 {
        let mut gone = begun(&service, &path);
        gone.read_exact(&mut first).unwrap();
        drop(gone);
        // Its place is free at once, or this would be 503 the third time.
        std::thread::sleep(Duration::from_millis(200));
    }
    released(&service, before);
    // Two clients stand still: the places are taken, other requests are not.
    let mut still: Vec<Connection> = (0..2).map(|_| begun(&service, &path)).collect();
    for stream in &mut still {
        stream.read_exact(&mut first).unwrap();
    }
    let full = service.client.get(&path).unwrap().expect(503);
    assert_eq!((full.problem(), full.header("retry-after")), ("busy".into(), "2"));
    let started = Instant::now();
    service.client.get(&format!("/api/v1/pools/{pool}/images/large")).unwrap().expect(200);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    // They are cut off: what was on its way still arrives, the end does not.
    released(&service, before);
    for stream in &mut still {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!((rest.len() as u64) < 64 * MIB, "{}", rest.len());
    }
    assert!(service.log().contains("a client took nothing for too long"), "{}", service.log());
    service.client.get(&path).unwrap().expect(200);
}

#[test]
fn slow_client_gets_everything() {
    let pool = pool();
    let (_files, bytes) = large(&pool);
    let service = RbdServiceOptions::new(BINARY, ceph()).arguments(&["--client-idle", "1s"]).start().unwrap();
    let mut stream = begun(&service, &data(&pool, "large"));
    let mut got = Vec::new();
    // Slower than a chunk per second, for longer than the patience for one that stands still.
    let started = Instant::now();
    let mut part = vec![0; 128 << 10];
    while started.elapsed() < Duration::from_secs(5) {
        let length = stream.read(&mut part).unwrap();
        got.extend_from_slice(&part[..length]);
        std::thread::sleep(Duration::from_millis(100));
    }
    while !got.ends_with(&bytes[bytes.len() - 64..]) {
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "cut off after {} bytes: {}", got.len(), service.log());
        got.extend_from_slice(&part[..length]);
    }
    assert_same(&got, &bytes, "the body");
}

#[test]
fn thirty_two_parallel_exports_are_correct() {
    let (pool, files) = (pool(), Files::new());
    let bytes = half_empty(9, 24 * MIB + 5, MIB);
    let file = files.write("a", &bytes);
    ceph().rbd(&["import", "--no-progress", &file, &format!("{pool}/a")]).unwrap();
    // Memory for less than two windows: they share it.
    let options = RbdServiceOptions::new(BINARY, ceph()).arguments(&["--stream-memory-mib", "32"]);
    let service = options.start().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let answer = service.client.get(&data(&pool, "a")).unwrap().expect(200);
                assert_same(&answer.body, &bytes, "one of many");
            });
        }
    });
}
