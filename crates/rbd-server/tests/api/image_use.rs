//! Who uses an image: parent, children, watchers, locks, space.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ceph::{Access, ImageRef};
use serde_json::{Value, json};
use testbed::ceph::{Ceph, CephOptions};
use testbed::service::RbdServiceOptions;

use crate::support::{BINARY, api, ceph, cluster, context, pool, size};

fn image(features: &[&str]) -> (String, String) {
    image_of(features, 4 << 20)
}

fn image_of(features: &[&str], object_size: u64) -> (String, String) {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    let body = json!({ "name": "a", "sizeBytes": 64 << 20, "features": features, "objectSizeBytes": object_size });
    api().post(&images, &body).unwrap().expect(201);
    (pool, format!("{images}/a"))
}

/// Writes at offsets, and waits until it is done.
fn write(open: &ceph::Image, offset: u64, length: usize) {
    let pending = open.write(offset, vec![7_u8; length]).unwrap();
    wait(pending);
    wait(open.flush().unwrap());
}

fn wait<T>(pending: ceph::Pending<T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { pending.await.unwrap() })
}

#[test]
fn parent_and_children_of_both_formats() {
    let (pool, path) = image(&["layering", "exclusive-lock"]);
    let other = crate::support::pool();
    ceph().rbd(&["namespace", "create", &format!("{other}/ns")]).unwrap();
    for name in ["s1", "s2"] {
        api().put(&format!("{path}/snapshots/{name}"), &json!(null)).unwrap().expect(201);
    }
    api().put(&format!("{path}/snapshots/s1/protection"), &json!(null)).unwrap().expect(200);
    for (snapshot, clone) in [
        ("s1", json!({ "name": "v1", "pool": other, "cloneFormat": 1 })),
        ("s1", json!({ "name": "v2", "cloneFormat": 2 })),
        ("s2", json!({ "name": "far", "pool": other, "namespace": "ns", "cloneFormat": 2 })),
        ("s2", json!({ "name": "binned", "pool": other, "cloneFormat": 2 })),
    ] {
        api().post(&format!("{path}/snapshots/{snapshot}/clone"), &clone).unwrap().expect(201);
    }
    ceph().rbd(&["trash", "mv", &format!("{other}/binned")]).unwrap();
    // The snapshot in the trash of snapshots still has its clones.
    api().delete(&format!("{path}/snapshots/s2")).unwrap().expect(200);
    let children = api().get(&format!("{path}/children")).unwrap().expect(200).json();
    assert_eq!(children["Kind"], "ChildList");
    let mut shown: Vec<(String, String, String, String, bool)> = children["Items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| {
            let text = |field: &str| child[field].as_str().unwrap().to_owned();
            (text("image"), text("pool"), text("namespace"), text("snapshot"), child["inTrash"].as_bool().unwrap())
        })
        .collect();
    shown.sort();
    let row = |image: &str, pool: &str, namespace: &str, snapshot: &str, in_trash| {
        (image.to_owned(), pool.to_owned(), namespace.to_owned(), snapshot.to_owned(), in_trash)
    };
    let expected = [
        row("binned", &other, "", "s2", true),
        row("far", &other, "ns", "s2", false),
        row("v1", &other, "", "s1", false),
        row("v2", &pool, "", "s1", false),
    ];
    assert_eq!(shown, expected, "{children}");
    // And from their side.
    let far = format!("/api/v1/pools/{other}/namespaces/ns/images/far");
    let parent = api().get(&format!("{far}/parent")).unwrap().expect(200).json();
    assert_eq!((&parent["parent"]["image"], &parent["parent"]["pool"]), (&json!("a"), &json!(pool)), "{parent}");
    assert_eq!(api().get(&format!("{far}/children")).unwrap().expect(200).json()["Items"], json!([]));
    let none = api().get(&format!("/api/v1/pools/{pool}/images/none/children")).unwrap().expect(404);
    assert_eq!(none.problem(), "image-not-found");
}

#[test]
fn a_pool_that_does_not_answer_hides_no_other_pools_clones() {
    let ceph = Ceph::start(CephOptions::default()).unwrap();
    ceph.create_pool("p").unwrap();
    let service = RbdServiceOptions::new(BINARY, &ceph).arguments(&["--deadline", "4s"]).start().unwrap();
    let client = &service.client;
    let images = "/api/v1/pools/p/images";
    client.post(images, &json!({ "name": "a", "sizeBytes": 1 << 20 })).unwrap().expect(201);
    let snapshots = format!("{images}/a/snapshots");
    for (snapshot, format) in [("s1", 1), ("s2", 2)] {
        client.put(&format!("{snapshots}/{snapshot}"), &json!(null)).unwrap().expect(201);
        if format == 1 {
            client.put(&format!("{snapshots}/{snapshot}/protection"), &json!(null)).unwrap().expect(200);
        }
        let clone = json!({ "name": format!("c{format}"), "cloneFormat": format });
        client.post(&format!("{snapshots}/{snapshot}/clone"), &clone).unwrap().expect(201);
    }
    let children = format!("{images}/a/children");
    assert_eq!(client.get(&children).unwrap().expect(200).json()["Items"].as_array().unwrap().len(), 2);
    // Three OSDs are needed, and there is one: it never becomes active.
    ceph.ceph(&["osd", "erasure-code-profile", "set", "three", "k=2", "m=1", "crush-failure-domain=osd"]).unwrap();
    ceph.ceph(&["osd", "pool", "create", "silent", "erasure", "three"]).unwrap();
    let started = Instant::now();
    let known = client.get(&children).unwrap().expect(200).json();
    assert_eq!(known["Items"].as_array().unwrap().len(), 2, "{known}");
    assert_eq!(
        (known["Unread"].as_array().unwrap().len(), &known["Unread"][0]["pool"]),
        (1, &json!("silent")),
        "{known}"
    );
    // Lifting the protection takes knowing all of them.
    let problem = client.delete(&format!("{snapshots}/s1/protection")).unwrap().expect(503);
    assert_eq!(problem.json()["pools"], json!(["silent"]), "{}", problem.text());
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    // Clones of format 2 are known without it.
    let other = format!("{images}/b");
    client.put(&other, &json!({ "sizeBytes": 1 << 20 })).unwrap().expect(201);
    client.put(&format!("{other}/snapshots/s"), &json!(null)).unwrap().expect(201);
    let clone = json!({ "name": "c3", "cloneFormat": 2 });
    client.post(&format!("{other}/snapshots/s/clone"), &clone).unwrap().expect(201);
    let known = client.get(&format!("{other}/children")).unwrap().expect(200).json();
    assert_eq!((&known["Items"][0]["image"], &known["Items"][0]["format"]), (&json!("c3"), &json!(2)), "{known}");
    // Marked as another application's, it cannot have clones.
    ceph.ceph(&["osd", "pool", "application", "enable", "silent", "rgw"]).unwrap();
    assert_eq!(client.get(&children).unwrap().expect(200).json()["Unread"], json!([]));
}

#[test]
fn watchers_are_named_and_reading_adds_none() {
    let (pool, path) = image(&["layering"]);
    let watchers = || api().get(&format!("{path}/watchers")).unwrap().expect(200).json();
    assert_eq!(watchers(), json!({ "Kind": "WatcherList", "APIVersion": "v1", "Items": [] }));
    let other = cluster();
    let open = other.io_context(&pool, "").unwrap().open_image(ImageRef::Name("a"), None, Access::ReadWrite).unwrap();
    let list = watchers();
    let client = format!("client.{}", other.instance_id());
    assert_eq!(list["Items"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["Items"][0]["client"], client.as_str());
    assert_eq!(list["Items"][0]["thisService"], false);
    let status: Value =
        serde_json::from_str(&ceph().rbd(&["status", &format!("{pool}/a"), "--format", "json"]).unwrap()).unwrap();
    assert_eq!(status["watchers"][0]["address"], list["Items"][0]["address"], "{status}");
    assert_eq!(status["watchers"][0]["cookie"], list["Items"][0]["cookie"], "{status}");
    drop(open);
    assert_eq!(watchers()["Items"], json!([]));
}

/// A client that writes without end, to be killed.
struct Writer(Child);

impl Writer {
    fn start(image: &str) -> Self {
        let child = Command::new("rbd")
            .args(["--conf", &ceph().conf().display().to_string()])
            .args(["--keyring", &ceph().keyring().display().to_string()])
            .args(["bench", "--io-type", "write", "--io-total", "1T", "--io-threads", "1", image])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_lock_is_listed_and_taken_away() {
    let (pool, path) = image(&["layering", "exclusive-lock"]);
    let locks = || api().get(&format!("{path}/locks")).unwrap().expect(200).json();
    assert_eq!(locks()["Items"], json!([]));
    let writer = Writer::start(&format!("{pool}/a"));
    let started = Instant::now();
    let held = loop {
        let held = locks();
        if held["Items"].as_array().unwrap().len() == 1 {
            break held["Items"][0].clone();
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{held}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        (&held["mode"], &held["tag"], &held["thisService"]),
        (&json!("exclusive"), &json!("internal"), &json!(false)),
        "{held}"
    );
    let ls: Value =
        serde_json::from_str(&ceph().rbd(&["lock", "ls", &format!("{pool}/a"), "--format", "json"]).unwrap()).unwrap();
    assert_eq!(ls[0]["locker"], held["client"], "{ls}");
    assert_eq!(ls[0]["id"], held["cookie"], "{ls}");
    assert_eq!(ls[0]["address"], held["address"], "{ls}");
    // Both parameters are needed, and must be those of the holder.
    let missing = api().delete(&format!("{path}/locks?client=client.1")).unwrap().expect(400);
    assert_eq!(missing.problem(), "invalid-field");
    let wrong = api().delete(&format!("{path}/locks?client=client.1&cookie=x")).unwrap().expect(404);
    assert_eq!(wrong.problem(), "lock-not-found");
    assert_eq!(wrong.json()["locks"][0], held, "what there is is shown");
    let query = format!(
        "client={}&cookie={}",
        held["client"].as_str().unwrap(),
        rbd_api::names::segment(held["cookie"].as_str().unwrap())
    );
    api().delete(&format!("{path}/locks?{query}")).unwrap().expect(204);
    // The holder is blocklisted: it cannot take the lock again.
    let nonce = held["address"].as_str().unwrap().to_owned();
    assert!(ceph().ceph(&["osd", "blocklist", "ls"]).unwrap().contains(&nonce), "{nonce}");
    assert_eq!(locks()["Items"], json!([]));
    assert_eq!(api().delete(&format!("{path}/locks?{query}")).unwrap().expect(404).problem(), "lock-not-found");
    drop(writer);
    // The image works, at once.
    api().post(&format!("{path}/snapshots"), &json!({ "name": "s" })).unwrap().expect(201);
}

#[test]
fn who_stands_in_the_way_is_named() {
    // Without exclusive-lock an advisory lock is all there is; with it, a holder that does not give it up.
    let (pool, path) = image(&["layering", "exclusive-lock"]);
    let other = cluster();
    let open = other.io_context(&pool, "").unwrap().open_image(ImageRef::Name("a"), None, Access::ReadWrite).unwrap();
    open.lock_exclusive("mine").unwrap();
    let problem = api().post(&format!("{path}/features"), &json!({ "disable": ["exclusive-lock"] })).unwrap();
    let problem = problem.expect(409);
    assert_eq!(problem.problem(), "in-use", "{}", problem.text());
    let client = format!("client.{}", other.instance_id());
    assert_eq!(problem.json()["watchers"][0]["client"], client.as_str(), "{}", problem.text());
    assert_eq!(problem.json()["locks"][0]["client"], client.as_str(), "{}", problem.text());
}

fn du(image: &str, exact: bool) -> Vec<(Option<String>, u64, u64)> {
    let mut arguments = vec!["du", "--format", "json", image];
    if exact {
        arguments.push("--exact");
    }
    let text = ceph().rbd(&arguments).unwrap();
    let du: Value = serde_json::from_str(&text).unwrap();
    du["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let number = |field: &str| row[field].as_u64().unwrap();
            (row["snapshot"].as_str().map(str::to_owned), number("provisioned_size"), number("used_size"))
        })
        .collect()
}

#[test]
fn usage_is_that_of_rbd_du() {
    for (features, object_size) in [
        (&["layering", "exclusive-lock", "object-map", "fast-diff"][..], 4 << 20),
        (&["layering", "exclusive-lock"], 4 << 20),
        // Objects enough to be counted in several steps.
        (&["layering"], 32 << 10),
    ] {
        let (pool, _) = image_of(features, object_size);
        let io = context(&pool);
        {
            let open = io.open_image(ImageRef::Name("a"), None, Access::ReadWrite).unwrap();
            write(&open, 0, 4096);
            write(&open, 9 << 20, 1 << 20);
            open.create_snapshot("s1").unwrap();
            write(&open, 0, 8192);
            write(&open, 40 << 20, 6 << 20);
            open.create_snapshot("s2").unwrap();
            write(&open, 20 << 20, 100_000);
            open.resize(size(80 << 20), false, &ceph::ignore_progress).unwrap();
            open.close().unwrap();
        }
        ceph()
            .rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{pool}/a@s2"), &format!("{pool}/c")])
            .unwrap();
        {
            let open = io.open_image(ImageRef::Name("c"), None, Access::ReadWrite).unwrap();
            write(&open, 50 << 20, 4096);
            open.create_snapshot("t").unwrap();
            open.close().unwrap();
        }
        let mut measured = Vec::new();
        for name in ["a", "c"] {
            for exact in [false, true] {
                let path = format!("/api/v1/pools/{pool}/images/{name}/usage?exact={exact}");
                let usage = api().get(&path).unwrap().expect(200).json();
                // Without fast-diff every object is looked at anyway, so that bytes are counted.
                let exact = exact || !features.contains(&"fast-diff");
                let rows = du(&format!("{pool}/{name}"), exact);
                let mut shown: Vec<(Option<String>, u64, u64)> = Vec::new();
                for space in usage["snapshots"].as_array().unwrap().iter().chain([&usage["head"]]) {
                    let number = |field: &str| space[field].as_u64().unwrap();
                    shown.push((
                        space["snapshot"].as_str().map(str::to_owned),
                        number("provisionedBytes"),
                        number("usedBytes"),
                    ));
                }
                assert_eq!(shown, rows, "{features:?} {name} exact={exact}: {usage}");
                let total: u64 = rows.iter().map(|(_, _, used)| used).sum();
                assert_eq!(usage["usedBytes"].as_u64().unwrap(), total, "{usage}");
                assert_eq!(usage["exact"], exact, "{usage}");
                assert_eq!(usage["reason"], Value::Null);
                measured.push(usage["usedBytes"].as_u64().unwrap());
            }
        }
        assert!(measured.iter().all(|used| *used > 0), "{measured:?}");
    }
}

#[test]
fn usage_that_takes_too_long_is_null_with_the_reason() {
    let pool = pool();
    let options = RbdServiceOptions::new(BINARY, ceph()).arguments(&["--deadline", "2s"]);
    let service = options.start().unwrap();
    let images = format!("/api/v1/pools/{pool}/images");
    let body = json!({ "name": "vast", "sizeBytes": 1_u64 << 50, "features": ["layering"] });
    service.client.post(&images, &body).unwrap().expect(201);
    let started = Instant::now();
    let usage = service.client.get(&format!("{images}/vast/usage")).unwrap().expect(200).json();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!((&usage["usedBytes"], &usage["head"]["usedBytes"]), (&Value::Null, &Value::Null), "{usage}");
    assert!(usage["reason"].as_str().unwrap().contains("fast-diff"), "{usage}");
    assert_eq!(usage["provisionedBytes"], 1_u64 << 50);
}
