//! What an errno of librbd means is asked of the image: mirroring, migration, groups.

use serde_json::{Value, json};
use testbed::service::Answer;

use crate::support::{api, ceph, finished, pool};

fn path(pool: &str, name: &str) -> String {
    format!("/api/v1/pools/{pool}/images/{name}")
}

fn create(pool: &str, name: &str) {
    let spec = format!("{pool}/{name}");
    ceph().rbd(&["create", "--size", "8M", &spec]).unwrap();
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{spec}@s")]).unwrap();
}

/// Everything that changes an image, with the answer that it gets at once or as an operation.
fn changes(path: &str) -> Vec<(&'static str, Value)> {
    let told = |answer: Answer| match answer.status {
        202 => finished(&api(), answer.header("location"))["problem"].clone(),
        _ => answer.json(),
    };
    let post = |what: &'static str, body: Value| (what, told(api().post(&format!("{path}/{what}"), &body).unwrap()));
    vec![
        post("resize", json!({ "sizeBytes": 16 << 20 })),
        post("resize", json!({ "sizeBytes": 4 << 20, "allowShrink": true })),
        post("snapshots", json!({ "name": "t" })),
        post("snapshots/s/rollback", json!({})),
        post("sparsify", json!({})),
        post("rebuild-object-map", json!({})),
        post("features", json!({ "disable": ["fast-diff", "object-map"] })),
        post("rename", json!({ "name": "other" })),
        ("metadata", told(api().put(&format!("{path}/metadata/k"), &json!({ "value": "v" })).unwrap())),
        ("snapshot deletion", told(api().delete(&format!("{path}/snapshots/s")).unwrap())),
        ("trash", told(api().delete(path).unwrap())),
    ]
}

#[test]
fn image_that_is_not_primary_says_so_whatever_is_asked_of_it() {
    let pool = pool();
    ceph().rbd(&["mirror", "pool", "enable", &pool, "image"]).unwrap();
    for mode in ["snapshot", "journal"] {
        create(&pool, mode);
        let spec = format!("{pool}/{mode}");
        ceph().rbd(&["mirror", "image", "enable", &spec, mode]).unwrap();
        ceph().rbd(&["mirror", "image", "demote", &spec]).unwrap();
        for (what, problem) in changes(&path(&pool, mode)) {
            assert_eq!(problem["type"], "urn:sparrow:problem:not-primary", "{mode} {what}: {problem}");
            assert!(problem["correction"].as_str().unwrap().contains("promote"), "{mode} {what}: {problem}");
        }
        // It is read all the same.
        api().get(&format!("{}/usage", path(&pool, mode))).unwrap().expect(200);
    }
}

#[test]
fn destination_of_a_migration_is_not_deleted_behind_its_back() {
    let pool = pool();
    // With data: `rbd` ends with an assertion when it migrates what has lost a snapshot meanwhile.
    let bench = ["bench", "--io-type", "write", "--io-size", "4K", "--io-total", "64K"];
    create(&pool, "snapped");
    ceph().rbd(&[&bench[..], &[&format!("{pool}/snapped")]].concat()).unwrap();
    ceph().rbd(&["migration", "prepare", &format!("{pool}/snapped"), &format!("{pool}/moved")]).unwrap();
    let rejected = api().delete(&format!("{}/snapshots/s", path(&pool, "moved"))).unwrap().expect(409);
    assert_eq!(rejected.problem(), "migrating", "{}", rejected.text());
    ceph().rbd(&["migration", "execute", "--no-progress", &format!("{pool}/moved")]).unwrap();
    ceph().rbd(&["migration", "commit", "--no-progress", &format!("{pool}/moved")]).unwrap();
    ceph().rbd(&["create", "--size", "8M", &format!("{pool}/from")]).unwrap();
    ceph().rbd(&["migration", "prepare", &format!("{pool}/from"), &format!("{pool}/to")]).unwrap();
    for query in ["", "?force=true", "?permanent=true", "?permanent=true&force=true"] {
        let rejected = api().delete(&format!("{}{query}", path(&pool, "to"))).unwrap().expect(409);
        assert_eq!(rejected.problem(), "migrating", "{query}: {}", rejected.text());
        let problem = rejected.json();
        assert_eq!(problem["migration"], json!({ "with": format!("{pool}/from"), "state": "prepared" }), "{query}");
        assert!(problem["correction"].as_str().unwrap().contains("rbd migration"), "{problem}");
    }
    ceph().rbd(&["migration", "execute", "--no-progress", &format!("{pool}/to")]).unwrap();
    ceph().rbd(&["migration", "commit", "--no-progress", &format!("{pool}/to")]).unwrap();
    let done = finished(
        &api(),
        api().delete(&format!("{}?permanent=true", path(&pool, "to"))).unwrap().expect(202).header("location"),
    );
    assert_eq!(done["state"], "succeeded", "{done}");
}

#[test]
fn image_of_a_group_is_not_removed_and_the_group_is_named() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "8M", &format!("{pool}/a")]).unwrap();
    ceph().rbd(&["group", "create", &format!("{pool}/g")]).unwrap();
    ceph().rbd(&["group", "image", "add", &format!("{pool}/g"), &format!("{pool}/a")]).unwrap();
    for query in ["?permanent=true", "?permanent=true&force=true"] {
        let rejected = api().delete(&format!("{}{query}", path(&pool, "a"))).unwrap().expect(409);
        assert_eq!(rejected.problem(), "in-use", "{}", rejected.text());
        assert_eq!(rejected.json()["group"], json!({ "pool": pool, "name": "g" }), "{}", rejected.text());
        assert!(rejected.json()["detail"].as_str().unwrap().contains("\"g\""), "{}", rejected.text());
    }
}

#[test]
fn snapshots_of_a_migrations_destination_are_kept() {
    let pool = pool();
    create(&pool, "from");
    ceph().rbd(&["migration", "prepare", &format!("{pool}/from"), &format!("{pool}/to")]).unwrap();
    for path in [format!("{}/snapshots/s", path(&pool, "to")), format!("{}/snapshots", path(&pool, "to"))] {
        let rejected = api().delete(&path).unwrap().expect(409);
        assert_eq!(rejected.problem(), "migrating", "{path}: {}", rejected.text());
    }
    ceph().rbd(&["migration", "abort", "--no-progress", &format!("{pool}/to")]).unwrap();
}
