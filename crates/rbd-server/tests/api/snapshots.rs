//! Snapshots of an image.

use serde_json::{Value, json};

use crate::support::{api, ceph, context, pool, rejected_field};

fn image() -> (String, String) {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    api().post(&images, &json!({ "name": "a", "sizeBytes": 8 << 20 })).unwrap().expect(201);
    (pool, format!("{images}/a"))
}

#[test]
fn snapshot_is_taken_renamed_and_deleted() {
    let (pool, path) = image();
    let snapshots = format!("{path}/snapshots");
    let made = api().post(&snapshots, &json!({ "name": "s" })).unwrap().expect(201);
    assert_eq!(made.header("location"), format!("{snapshots}/s"));
    let snapshot = made.json();
    assert_eq!((&snapshot["kind"], &snapshot["sizeBytes"]), (&json!("user"), &json!(8 << 20)), "{snapshot}");
    assert_eq!(api().get(&format!("{snapshots}/s")).unwrap().expect(200).json(), snapshot);
    assert_eq!(api().post(&snapshots, &json!({ "name": "s" })).unwrap().expect(409).problem(), "exists");
    assert_eq!(api().put(&format!("{snapshots}/s"), &json!(null)).unwrap().expect(200).json()["id"], snapshot["id"]);
    let second = api().put(&format!("{snapshots}/t"), &json!(null)).unwrap().expect(201);
    assert_eq!(second.header("location"), format!("{snapshots}/t"));
    let renamed = api().post(&format!("{snapshots}/t/rename"), &json!({ "name": "u" })).unwrap().expect(200).json();
    assert_eq!((&renamed["name"], &renamed["id"]), (&json!("u"), &second.json()["id"]));
    assert_eq!(
        api().post(&format!("{snapshots}/u/rename"), &json!({ "name": "s" })).unwrap().expect(409).problem(),
        "exists"
    );
    for wrong in ["a/b", "a@b", ""] {
        let problem = api().post(&snapshots, &json!({ "name": wrong })).unwrap().expect(400).json();
        assert_eq!(problem["field"], "name");
    }
    // As rbd lists them.
    let list = api().get(&snapshots).unwrap().expect(200).json();
    assert_eq!(list["Kind"], "SnapshotList");
    let rbd: Value =
        serde_json::from_str(&ceph().rbd(&["snap", "ls", &format!("{pool}/a"), "--format", "json"]).unwrap()).unwrap();
    let pairs = |list: &Value, size: &str| -> Vec<(Value, Value, Value)> {
        list.as_array().unwrap().iter().map(|one| (one["id"].clone(), one["name"].clone(), one[size].clone())).collect()
    };
    assert_eq!(pairs(&list["Items"], "sizeBytes"), pairs(&rbd, "size"));
    // Each thing that can be missing is named.
    for (path, kind) in [
        (format!("{snapshots}/none"), "snapshot-not-found"),
        (format!("/api/v1/pools/{pool}/images/none/snapshots/s"), "image-not-found"),
        ("/api/v1/pools/none/images/a/snapshots/s".to_owned(), "pool-not-found"),
        (format!("/api/v1/pools/{pool}/namespaces/none/images/a/snapshots/s"), "namespace-not-found"),
    ] {
        assert_eq!(api().get(&path).unwrap().expect(404).problem(), kind);
        assert_eq!(api().delete(&path).unwrap().expect(404).problem(), kind);
        assert_eq!(api().post(&format!("{path}/rename"), &json!({ "name": "x" })).unwrap().expect(404).problem(), kind);
        assert_eq!(api().put(&format!("{path}/protection"), &json!(null)).unwrap().expect(404).problem(), kind);
        assert_eq!(api().delete(&format!("{path}/protection")).unwrap().expect(404).problem(), kind);
        assert_eq!(api().post(&format!("{path}/clone"), &json!({ "name": "x" })).unwrap().expect(404).problem(), kind);
    }
    api().delete(&format!("{snapshots}/s")).unwrap().expect(204);
    api().delete(&format!("{snapshots}/u")).unwrap().expect(204);
    assert_eq!(ceph().rbd(&["snap", "ls", "--all", &format!("{pool}/a")]).unwrap(), "");
    // At the image's limit.
    ceph().rbd(&["snap", "limit", "set", &format!("{pool}/a"), "--limit", "1"]).unwrap();
    api().post(&snapshots, &json!({ "name": "one" })).unwrap().expect(201);
    let problem = api().post(&snapshots, &json!({ "name": "two" })).unwrap().expect(409).json();
    assert_eq!(problem["snapshots"], json!(["one"]), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("may have, 1"));
}

#[test]
fn snapshot_with_clones_of_format_1_stays_protected() {
    let (pool, path) = image();
    let other = crate::support::pool();
    let snapshot = format!("{path}/snapshots/s");
    api().put(&snapshot, &json!(null)).unwrap().expect(201);
    // A new cluster still lets clients of before Mimic in, so that it makes clones of format 1.
    let clone = json!({ "name": "c", "pool": other });
    let problem = api().post(&format!("{snapshot}/clone"), &clone).unwrap().expect(409);
    assert!(problem.json()["correction"].as_str().unwrap().contains("protection"), "{}", problem.text());
    for _ in 0..2 {
        let protected = api().put(&format!("{snapshot}/protection"), &json!(null)).unwrap().expect(200).json();
        assert_eq!(protected["protected"], true);
    }
    let problem = api().delete(&snapshot).unwrap().expect(409);
    assert_eq!(problem.problem(), "in-use");
    assert_eq!(problem.json()["children"], json!([]), "{}", problem.text());
    let made = api().post(&format!("{snapshot}/clone"), &clone).unwrap().expect(201);
    assert_eq!(made.header("location"), format!("/api/v1/pools/{other}/images/c"));
    assert_eq!(made.json()["parent"]["snapshot"], "s", "{}", made.text());
    assert_eq!(made.json()["pool"], other.as_str());
    assert_eq!(api().post(&format!("{snapshot}/clone"), &clone).unwrap().expect(409).problem(), "exists");
    // What is in the way is named, for deletion and for the protection.
    for answer in [api().delete(&snapshot).unwrap(), api().delete(&format!("{snapshot}/protection")).unwrap()] {
        let problem = answer.expect(409);
        assert_eq!(problem.problem(), "in-use");
        let child = &problem.json()["children"][0];
        assert_eq!((&child["pool"], &child["image"], &child["snapshot"]), (&json!(other), &json!("c"), &json!("s")));
    }
    // In the trash it still counts.
    ceph().rbd(&["trash", "mv", &format!("{other}/c")]).unwrap();
    let children = api().get(&format!("{path}/children")).unwrap().expect(200).json();
    assert_eq!(children["Items"][0]["inTrash"], true, "{children}");
    assert_eq!(
        api().delete(&format!("{snapshot}/protection")).unwrap().expect(409).json()["children"][0]["inTrash"],
        true
    );
    let id = children["Items"][0]["id"].as_str().unwrap();
    ceph().rbd(&["trash", "rm", "--no-progress", &format!("{other}/{id}")]).unwrap();
    for _ in 0..2 {
        api().delete(&format!("{snapshot}/protection")).unwrap().expect(204);
    }
    api().delete(&snapshot).unwrap().expect(204);
    // Across namespaces only with format 2.
    ceph().rbd(&["namespace", "create", &format!("{pool}/ns")]).unwrap();
    api().put(&snapshot, &json!(null)).unwrap().expect(201);
    api().put(&format!("{snapshot}/protection"), &json!(null)).unwrap().expect(200);
    let far = json!({ "name": "far", "namespace": "ns" });
    let problem = api().post(&format!("{snapshot}/clone"), &far).unwrap().expect(409).json();
    assert!(problem["correction"].as_str().unwrap().contains("cloneFormat"), "{problem}");
}

#[test]
fn clones_of_format_2_keep_a_deleted_snapshot() {
    let (pool, path) = image();
    let data = crate::support::pool();
    ceph().rbd(&["namespace", "create", &format!("{pool}/ns")]).unwrap();
    let snapshot = format!("{path}/snapshots/s");
    api().put(&snapshot, &json!(null)).unwrap().expect(201);
    let layout = json!({
        "name": "c", "namespace": "ns", "cloneFormat": 2, "features": ["layering", "exclusive-lock", "deep-flatten"],
        "objectSizeBytes": 1 << 20, "stripeUnitBytes": 65536, "stripeCount": 2, "dataPool": data,
    });
    let made = api().post(&format!("{snapshot}/clone"), &layout).unwrap().expect(201);
    assert_eq!(made.header("location"), format!("/api/v1/pools/{pool}/namespaces/ns/images/c"));
    let clone = made.json();
    assert_eq!(clone["objectSizeBytes"], 1 << 20, "{clone}");
    assert_eq!(clone["dataPool"], data.as_str());
    assert_eq!(clone["stripeCount"], 2);
    assert_eq!(clone["parent"]["image"], "a");
    // From the namespace back, with what the parent has.
    let inner = format!("/api/v1/pools/{pool}/namespaces/ns/images/c");
    api().put(&format!("{inner}/snapshots/t"), &json!(null)).unwrap().expect(201);
    let back = json!({ "name": "back", "namespace": "", "cloneFormat": 2 });
    let back = api().post(&format!("{inner}/snapshots/t/clone"), &back).unwrap().expect(201).json();
    assert_eq!((&back["namespace"], &back["parent"]["namespace"]), (&json!(""), &json!("ns")));
    for (field, wrong) in [
        ("features", json!({ "name": "x", "features": [] })),
        ("cloneFormat", json!({ "name": "x", "cloneFormat": 3 })),
        ("name", json!({ "name": "x/y" })),
        ("dataPool", json!({ "name": "x", "dataPool": "none", "cloneFormat": 2 })),
    ] {
        assert_eq!(rejected_field(&api().post(&format!("{snapshot}/clone"), &wrong).unwrap()), field, "{wrong}");
    }
    let nowhere = json!({ "name": "x", "pool": "none" });
    assert_eq!(api().post(&format!("{snapshot}/clone"), &nowhere).unwrap().expect(404).problem(), "pool-not-found");
    let nowhere = json!({ "name": "x", "namespace": "none" });
    assert_eq!(
        api().post(&format!("{snapshot}/clone"), &nowhere).unwrap().expect(404).problem(),
        "namespace-not-found"
    );
    // It is kept without its name, and goes with its last clone.
    let kept = api().delete(&snapshot).unwrap().expect(200).json();
    assert_eq!((&kept["kind"], &kept["clones"]), (&json!("trash"), &json!(1)), "{kept}");
    assert_eq!(api().get(&snapshot).unwrap().expect(404).problem(), "snapshot-not-found");
    let children = api().get(&format!("{path}/children")).unwrap().expect(200).json();
    assert_eq!(children["Items"][0]["namespace"], "ns", "{children}");
    api().put(&snapshot, &json!(null)).unwrap().expect(201);
    ceph().rbd(&["flatten", "--no-progress", &format!("{pool}/ns/c")]).unwrap();
    let left = api().get(&format!("{path}/snapshots")).unwrap().expect(200).json();
    let kinds: Vec<&Value> = left["Items"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["user"], "{left}");
}

#[test]
fn snapshot_of_a_group_is_changed_with_the_group_only() {
    let (pool, path) = image();
    ceph().rbd(&["group", "create", &format!("{pool}/g")]).unwrap();
    ceph().rbd(&["group", "image", "add", &format!("{pool}/g"), &format!("{pool}/a")]).unwrap();
    ceph().rbd(&["group", "snap", "create", &format!("{pool}/g@gs")]).unwrap();
    let list = api().get(&format!("{path}/snapshots")).unwrap().expect(200).json();
    let name = list["Items"][0]["name"].as_str().unwrap();
    assert_eq!(list["Items"][0]["kind"], "group");
    let snapshot = format!("{path}/snapshots/{name}");
    api().get(&snapshot).unwrap().expect(200);
    let problem = api().delete(&snapshot).unwrap().expect(409);
    assert_eq!(problem.problem(), "conflict");
    assert!(problem.json()["detail"].as_str().unwrap().contains("group"), "{}", problem.text());
}

#[test]
fn chains_that_the_kernel_cannot_follow_are_warned_of() {
    let (pool, path) = image();
    let images = format!("/api/v1/pools/{pool}/images");
    let mut last = path;
    for depth in 1..=16 {
        api().put(&format!("{last}/snapshots/s"), &json!(null)).unwrap().expect(201);
        let body = json!({ "name": format!("c{depth}"), "cloneFormat": 2 });
        let clone = api().post(&format!("{last}/snapshots/s/clone"), &body).unwrap().expect(201).json();
        let warned = clone["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty());
        assert_eq!(warned, depth > 15, "{clone}");
        last = format!("{images}/c{depth}");
    }
    let parent = api().get(&format!("{last}/parent")).unwrap().expect(200).json();
    assert_eq!(parent["ancestors"].as_array().unwrap().len(), 16);
    assert_eq!(parent["parent"]["image"], "c15");
    assert_eq!(parent["ancestors"][15]["image"], "a");
    assert!(parent["warnings"][0].as_str().unwrap().contains("16 ancestors"), "{parent}");
    let none = api().get(&format!("{images}/a/parent")).unwrap().expect(200).json();
    assert_eq!(none, json!({ "parent": null, "ancestors": [], "warnings": [] }));
}

#[test]
fn more_snapshots_than_the_kernel_takes_are_warned_of() {
    let (pool, path) = image();
    let io = context(&pool);
    let open = io.open_image(ceph::ImageRef::Name("a"), None, ceph::Access::ReadWrite).unwrap();
    for number in 0..510 {
        open.create_snapshot(&format!("s{number}")).unwrap();
    }
    drop(open);
    assert!(api().get(&path).unwrap().expect(200).json().get("warnings").is_none());
    let taken = api().post(&format!("{path}/snapshots"), &json!({ "name": "more" })).unwrap().expect(201).json();
    assert!(taken["warnings"][0].as_str().unwrap().contains("511"), "{taken}");
    assert!(api().get(&path).unwrap().json()["warnings"][0].as_str().unwrap().contains("511"));
}

#[test]
fn many_may_put_the_same_snapshot_at_once() {
    let (pool, path) = image();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..16).map(|_| scope.spawn(|| api().put(&format!("{path}/snapshots/s"), &json!(null)).unwrap())).collect();
        for thread in threads {
            // librbd tells everybody who asked for it that it was taken, not only the first.
            let answer = thread.join().unwrap();
            assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
            assert_eq!(answer.json()["name"], "s");
        }
    });
    let list = ceph().rbd(&["snap", "ls", "--all", &format!("{pool}/a"), "--format", "json"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn of_many_who_take_or_delete_the_same_snapshot_one_does() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/images/a");
    api().put(&path, &json!({ "sizeBytes": 1 << 20 })).unwrap().expect(201);
    let at_once = |call: &(dyn Fn() -> u16 + Sync)| -> Vec<u16> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..12).map(|_| scope.spawn(call)).collect();
            let mut statuses: Vec<u16> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            statuses.sort_unstable();
            statuses
        })
    };
    let taken = at_once(&|| api().post(&format!("{path}/snapshots"), &json!({ "name": "s" })).unwrap().status);
    assert_eq!((taken[0], &taken[1..]), (201, &[409; 11][..]));
    let deleted = at_once(&|| api().delete(&format!("{path}/snapshots/s")).unwrap().status);
    assert_eq!((deleted[0], &deleted[1..]), (204, &[404; 11][..]));
}
