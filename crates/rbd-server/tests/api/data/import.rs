//! Import.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::ceph::{Ceph, CephOptions, Store};
use testbed::http::{Connection, exchange};
use testbed::service::{RbdService, RbdServiceOptions};

use super::{Files, MIB, assert_same, half_empty, image, listed_state, noise};
use crate::support::{BINARY, api, ceph, pool, rejected_field, service};

/// The parts of an image that hold data, as `rbd diff` finds them without the object map.
fn extents(image: &str) -> Vec<(u64, u64)> {
    let json: Value = serde_json::from_str(&ceph().rbd(&["diff", "--format", "json", image]).unwrap()).unwrap();
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for part in json.as_array().unwrap().iter().filter(|part| part["exists"] != "false") {
        let (offset, length) = (part["offset"].as_u64().unwrap(), part["length"].as_u64().unwrap());
        match parts.last_mut() {
            Some(last) if last.0 + last.1 == offset => last.1 += length,
            _ => parts.push((offset, length)),
        }
    }
    parts
}

/// Imports the bytes by the API and by `rbd`: the same bytes, and the same parts that hold data.
fn same_as_rbd(bytes: &[u8], query: &str, layout: &[&str]) {
    let (pool, files) = (pool(), Files::new());
    let path = format!("{}/data{query}", image(&pool, "a"));
    let answer = api().send("PUT", &path, &[], bytes).unwrap().expect(201);
    assert_eq!(answer.header("location"), image(&pool, "a"));
    let made = answer.json();
    assert_eq!((&made["state"], &made["sizeBytes"]), (&"ready".into(), &(bytes.len() as u64).into()), "{made}");
    assert_eq!(made["metadata"], serde_json::json!({}), "{made}");
    assert_same(&files.exported(&format!("{pool}/a")), bytes, "what rbd exports");
    let file = files.write("b", bytes);
    let target = format!("{pool}/b");
    ceph().rbd(&[&["import", "--no-progress"], layout, &[&file, &target]].concat()).unwrap();
    assert_eq!(extents(&format!("{pool}/a")), extents(&target), "parts that hold data");
}

#[test]
fn import_equals_that_of_rbd() {
    // Odd lengths, holes of an object, within objects, of a block, at both ends; and nothing but zeros.
    same_as_rbd(&half_empty(1, 20 * MIB + 4097, 4 * MIB), "", &[]);
    same_as_rbd(&half_empty(2, 9 * MIB + 1, 64 << 10), "", &[]);
    same_as_rbd(&half_empty(3, 2 * MIB + 511, 4096), "", &[]);
    same_as_rbd(&noise(4, 5 * MIB + 3), "?objectSizeBytes=1048576", &["--object-size", "1M"]);
    same_as_rbd(&half_empty(5, 70 * MIB, 5 * MIB), "?objectSizeBytes=33554432", &["--object-size", "32M"]);
    let striped = "?objectSizeBytes=1048576&stripeUnitBytes=65536&stripeCount=4";
    let layout = ["--object-size", "1M", "--stripe-unit", "64K", "--stripe-count", "4"];
    same_as_rbd(&half_empty(6, 9 * MIB + 5, MIB), striped, &layout);
    same_as_rbd(&half_empty(7, 9 * MIB + 5, MIB), "?features=layering", &["--image-feature", "layering"]);
    same_as_rbd(&vec![0; 8 << 20], "", &[]);
    same_as_rbd(&[7], "", &[]);
}

#[test]
fn import_gets_the_layout_asked_for() {
    let pool = pool();
    let query = "?features=layering,exclusive-lock&objectSizeBytes=1048576&stripeUnitBytes=65536&stripeCount=4";
    let made =
        api().send("PUT", &format!("{}/data{query}", image(&pool, "a")), &[], b"abc").unwrap().expect(201).json();
    assert_eq!(made["features"], serde_json::json!(["layering", "striping", "exclusive-lock"]), "{made}");
    assert_eq!((&made["stripeUnitBytes"], &made["stripeCount"]), (&65536.into(), &4.into()), "{made}");
    let none = api().send("PUT", &format!("{}/data?features=", image(&pool, "b")), &[], b"abc").unwrap();
    assert_eq!(none.expect(201).json()["features"], serde_json::json!([]));
}

#[test]
fn import_of_nothing_makes_an_empty_image() {
    let pool = pool();
    let path = format!("{}/data", image(&pool, "a"));
    let made = api().send("PUT", &path, &[("content-length", "0")], &[]).unwrap().expect(201).json();
    assert_eq!((&made["sizeBytes"], &made["state"]), (&0.into(), &"ready".into()), "{made}");
}

#[test]
fn import_goes_to_a_data_pool() {
    let (pool, data_pool) = (pool(), pool());
    let bytes = noise(6, 3 * MIB);
    let path = format!("{}/data?dataPool={data_pool}", image(&pool, "a"));
    let made = api().send("PUT", &path, &[], &bytes).unwrap().expect(201).json();
    assert_eq!(made["dataPool"], data_pool.as_str(), "{made}");
    assert_same(&api().get(&format!("{}/data", image(&pool, "a"))).unwrap().expect(200).body, &bytes, "back");
    assert!(ceph().rados(&["-p", &data_pool, "ls"]).unwrap().contains("rbd_data."));
}

#[test]
fn invalid_import_is_rejected_before_an_image_is_made() {
    let pool = pool();
    let put = |name: &str, query: &str| {
        let path = format!("{}/data{query}", image(&pool, name));
        api().send("PUT", &path, &[], b"abc").unwrap()
    };
    for (query, field) in [
        ("?sizeBytes=4", "sizeBytes"),
        ("?objectSizeBytes=5000", "objectSizeBytes"),
        ("?objectSizeBytes=2048", "objectSizeBytes"),
        ("?dataPool=no-such-pool", "dataPool"),
        ("?features=layering,fast", "features"),
        ("?features=object-map", "features"),
        ("?features=layering,", "features"),
        ("?stripeUnitBytes=4096", "stripeCount"),
        ("?size=3", "size"),
    ] {
        assert_eq!(rejected_field(&put("a", query)), field, "{query}");
    }
    assert_eq!(put("a%2Fb", "").expect(400).json()["field"], "image");
    let list = api().get(&format!("/api/v1/pools/{pool}/images")).unwrap().expect(200).json();
    assert_eq!(list["Items"], serde_json::json!([]));
    put("a", "?sizeBytes=3").expect(201);
    assert_eq!(put("a", "").expect(409).problem(), "exists");
}

/// Sends the head of an import of `promised` bytes and the bytes given.
pub fn begin(service: &RbdService, path: &str, promised: usize, bytes: &[u8]) -> Connection {
    let mut connection = Connection::open(service.api()).unwrap();
    write!(connection, "PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {promised}\r\n\r\n").unwrap();
    connection.write_all(bytes).unwrap();
    connection
}

/// Waits until an image is listed, with the reason why it is not whole.
#[track_caller]
fn incomplete(path: &str, reason: &str) {
    let started = Instant::now();
    loop {
        let answer = api().get(path).unwrap();
        if answer.status == 200 {
            let json = answer.json();
            if json["stateReason"].as_str().is_some_and(|text| text.contains(reason)) {
                assert_eq!(json["state"], "incomplete", "{json}");
                return;
            }
        }
        assert!(started.elapsed() < Duration::from_secs(15), "{}", answer.text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Deletes an image once nobody has it open any more.
#[track_caller]
fn deleted(path: &str) {
    let started = Instant::now();
    loop {
        let answer = api().delete(path).unwrap();
        if answer.status < 300 {
            break;
        }
        assert!(answer.status == 409 && started.elapsed() < Duration::from_secs(90), "{}", answer.text());
        std::thread::sleep(Duration::from_millis(200));
    }
    let started = Instant::now();
    while api().get(path).unwrap().status != 404 {
        assert!(started.elapsed() < Duration::from_secs(15));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn import_whose_client_leaves_is_listed_incomplete_and_can_be_deleted() {
    let pool = pool();
    let path = image(&pool, "cut");
    let stream = begin(service(), &format!("{path}/data"), 64 << 20, &noise(8, 10 * MIB));
    incomplete(&path, "has not finished");
    // Its data is not given away as if it were whole.
    assert_eq!(api().get(&format!("{path}/data")).unwrap().expect(409).problem(), "conflict");
    drop(stream);
    incomplete(&path, "The body broke off after");
    assert_eq!(listed_state(&pool, "cut"), "incomplete");
    let metadata = ceph().rbd(&["image-meta", "list", &format!("{pool}/cut")]).unwrap();
    assert!(metadata.contains("sparrow.incomplete"), "{metadata}");
    let again = api().send("PUT", &format!("{path}/data"), &[], b"abc").unwrap().expect(409);
    assert_eq!(again.problem(), "exists");
    assert!(again.json()["correction"].as_str().unwrap().contains("Delete it first"), "{}", again.text());
    deleted(&path);
}

#[test]
fn import_that_is_killed_is_listed_incomplete_and_can_be_deleted() {
    let pool = pool();
    let mut service = RbdServiceOptions::new(BINARY, ceph()).start().unwrap();
    let path = image(&pool, "cut");
    let _stream = begin(&service, &format!("{path}/data"), 64 << 20, &noise(8, 10 * MIB));
    incomplete(&path, "has not finished");
    service.kill().unwrap();
    assert_eq!(listed_state(&pool, "cut"), "incomplete");
    deleted(&path);
}

#[test]
fn import_with_another_length_or_a_stalled_client_fails_with_the_reason() {
    let pool = pool();
    let service = RbdServiceOptions::new(BINARY, ceph()).arguments(&["--client-idle", "1s"]).start().unwrap();
    let chunked = |name: &str, promised: u64, length: usize| {
        let path = format!("{}/data?sizeBytes={promised}", image(&pool, name));
        let mut request =
            format!("PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
        for part in noise(9, length as u64).chunks(100_000) {
            request.extend([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
        }
        request.extend(b"0\r\n\r\n");
        exchange(service.api(), request).unwrap()
    };
    chunked("right", 3 * MIB, 3 << 20).expect(201);
    let short = chunked("short", 3 * MIB, 1 << 20).expect(409).text();
    assert!(short.contains("1048576 bytes came instead of 3145728"), "{short}");
    let long = chunked("long", 3 * MIB, 12 << 20).expect(409).text();
    assert!(long.contains("More than the 3145728 bytes"), "{long}");
    let mut still = begin(&service, &format!("{}/data", image(&pool, "still")), 8 << 20, b"abc");
    let answer = still.answer().unwrap().expect(400).text();
    assert!(answer.contains("The client has sent nothing for 1 s after 3 bytes"), "{answer}");
    for (name, reason) in [("short", "came instead"), ("long", "More than"), ("still", "sent nothing")] {
        incomplete(&image(&pool, name), reason);
        deleted(&image(&pool, name));
    }
    // An upload whose end the client announces by closing its side of the connection is cut off too.
    let half = begin(&service, &format!("{}/data", image(&pool, "half")), 8 << 20, b"abc");
    half.stream().shutdown(Shutdown::Write).unwrap();
    incomplete(&image(&pool, "half"), "broke off after 3 bytes");
}

#[test]
fn full_pool_is_507_at_once() {
    let ceph = Ceph::start(CephOptions { store: Store::MEMORY, mgr: true }).unwrap();
    ceph.create_pool("small").unwrap();
    ceph.ceph(&["osd", "pool", "set-quota", "small", "max_bytes", "8000000"]).unwrap();
    let service = RbdServiceOptions::new(BINARY, &ceph).arguments(&["--deadline", "20s"]).start().unwrap();
    let put = |name: &str, length: u64| {
        let path = format!("{}/data", image("small", name));
        service.client.send("PUT", &path, &[], &noise(1, length)).unwrap()
    };
    let wait = |full: bool| {
        let started = Instant::now();
        while ceph.ceph(&["osd", "pool", "ls", "detail"]).unwrap().contains("full_quota") != full {
            assert!(started.elapsed() < Duration::from_mins(1), "the pool stays as it is");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    // One is on its way when the pool becomes full.
    let mut middle = begin(&service, &format!("{}/data", image("small", "middle")), 40 << 20, &noise(2, 8 * MIB));
    put("first", 12 * MIB).expect(201);
    wait(true);
    let started = Instant::now();
    let answer = put("second", 12 * MIB).expect(507);
    assert_eq!(answer.problem(), "full", "{}", answer.text());
    let _ = middle.write_all(&noise(3, 32 * MIB));
    let answer = middle.answer().unwrap().expect(507).text();
    assert!(answer.contains("imageState"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // Reading works as before, and writing does when there is space again.
    service.client.get(&format!("{}/data", image("small", "first"))).unwrap().expect(200);
    ceph.ceph(&["osd", "pool", "set-quota", "small", "max_bytes", "0"]).unwrap();
    wait(false);
    put("third", 12 * MIB).expect(201);
}
