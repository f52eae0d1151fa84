//! Where an image comes from: its parent and its clones.

use std::time::{Duration, Instant};

use serde_json::json;
use testbed::ceph::{Ceph, CephOptions};
use testbed::service::RbdServiceOptions;

use crate::support::{BINARY, api, ceph, image_with_features};

#[test]
fn parent_and_children_of_both_clone_formats_are_shown() {
    let (pool, path) = image_with_features(&["layering", "exclusive-lock"]);
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
fn pool_that_does_not_answer_hides_no_other_pools_clones() {
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
