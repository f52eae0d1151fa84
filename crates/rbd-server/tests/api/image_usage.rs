//! The space that an image takes.

use std::time::{Duration, Instant};

use ceph::{Access, ImageRef};
use serde_json::{Value, json};
use testbed::service::RbdServiceOptions;

use crate::support::{BINARY, api, ceph, context, image_with, pool, size};

/// Writes at offsets, and waits until it is done.
fn write(open: &ceph::Image, offset: u64, length: usize) {
    let pending = open.write(offset, vec![7_u8; length]).unwrap();
    wait(pending);
    wait(open.flush().unwrap());
}

fn wait<T>(pending: ceph::Pending<T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { pending.await.unwrap() })
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
        let (pool, _) = image_with(features, object_size);
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
