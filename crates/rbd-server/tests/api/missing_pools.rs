//! Images whose parent's or data's pool is gone, and pools that others need.

use serde_json::{Value, json};

use crate::support::{api, ceph, finished, pool};

fn path(pool: &str, name: &str) -> String {
    format!("/api/v1/pools/{pool}/images/{name}")
}

/// Waits until the service knows that a pool is gone.
fn gone(pool: &str) {
    let started = std::time::Instant::now();
    while api().get(&format!("/api/v1/pools/{pool}")).unwrap().status != 404 {
        assert!(started.elapsed().as_secs() < 10);
        std::thread::yield_now();
    }
}

fn listed(pool: &str, name: &str) -> Value {
    let list = api().get(&format!("/api/v1/pools/{pool}/images?view=full")).unwrap().expect(200).json();
    list["Items"].as_array().unwrap().iter().find(|item| item["name"] == name).unwrap().clone()
}

/// A clone `clone` of an image in a pool, and an image `data` whose data is in another: home, parents, data.
fn made() -> (String, String, String) {
    let (home, parents, data) = (pool(), pool(), pool());
    ceph().rbd(&["create", "--size", "8M", &format!("{parents}/p")]).unwrap();
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{parents}/p@s")]).unwrap();
    for name in ["clone", "trashed", "removed"] {
        let clone = format!("{home}/{name}");
        ceph().rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{parents}/p@s"), &clone]).unwrap();
    }
    ceph().rbd(&["create", "--size", "8M", "--data-pool", &data, &format!("{home}/data")]).unwrap();
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{home}/data@s")]).unwrap();
    ceph().rbd(&["create", "--size", "8M", &format!("{home}/plain")]).unwrap();
    (home, parents, data)
}

#[test]
fn pool_that_others_need_is_not_deleted_unless_forced() {
    let (home, parents, data) = made();
    ceph().rbd(&["namespace", "create", &format!("{home}/ns")]).unwrap();
    let clone = format!("{home}/ns/inner");
    ceph().rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{parents}/p@s"), &clone]).unwrap();
    ceph().rbd(&["trash", "mv", &format!("{home}/trashed")]).unwrap();
    let delete = |pool: &str, more: &str| api().delete(&format!("/api/v1/pools/{pool}?confirm={pool}{more}")).unwrap();
    let rejected = delete(&parents, "").expect(409);
    assert_eq!(rejected.problem(), "in-use", "{}", rejected.text());
    let problem = rejected.json();
    let mut named: Vec<String> = problem["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| {
            assert_eq!((&image["pool"], &image["holds"]), (&json!(home), &json!("its parent")), "{image}");
            format!(
                "{}/{} {}",
                image["namespace"].as_str().unwrap(),
                image["image"].as_str().unwrap(),
                image["inTrash"]
            )
        })
        .collect();
    named.sort();
    assert_eq!(named, ["/clone false", "/removed false", "/trashed true", "ns/inner false"], "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(&format!("{home}/clone")), "{problem}");
    let rejected = delete(&data, "").expect(409).json();
    assert_eq!(
        (&rejected["images"][0]["image"], &rejected["images"][0]["holds"]),
        (&json!("data"), &json!("its data"))
    );
    // Its own images hold no pool.
    delete(&parents, "&force=true").expect(204);
    delete(&home, "").expect(204);
    delete(&data, "").expect(204);
}

#[test]
fn image_without_the_pool_of_its_parent_or_data_says_so_everywhere() {
    let (home, parents, data) = made();
    let ids: Vec<Value> = [&parents, &data]
        .iter()
        .map(|pool| api().get(&format!("/api/v1/pools/{pool}")).unwrap().expect(200).json()["id"].clone())
        .collect();
    for name in ["clone", "data"] {
        assert_eq!(api().get(&path(&home, name)).unwrap().expect(200).json()["state"], "ready");
    }
    for pool in [&parents, &data] {
        ceph().ceph(&["osd", "pool", "rm", pool, pool, "--yes-i-really-really-mean-it"]).unwrap();
        gone(pool);
    }
    for (name, pool, id, held) in [("clone", &parents, &ids[0], "its parent"), ("data", &data, &ids[1], "its data")] {
        let image = path(&home, name);
        let shown = api().get(&image).unwrap().expect(200).json();
        let words = format!("needs the pool {pool:?} (id {id}), which held {held} and is gone");
        assert_eq!((&shown["state"], &shown["stateReason"]), (&json!("unusable"), &json!(format!("It {words}."))));
        assert_eq!(listed(&home, name)["stateReason"], shown["stateReason"]);
        let rejected = |answer: testbed::service::Answer, what: &str| {
            let answer = answer.expect(409);
            assert_eq!(answer.problem(), "pool-missing", "{name} {what}: {}", answer.text());
            let problem = answer.json();
            assert_eq!(problem["detail"], format!("Image {name:?} {words}."), "{name} {what}");
            assert_eq!(problem["missingPool"], json!({ "id": id, "name": pool }), "{name} {what}");
        };
        for query in ["usage", "data", "diff"] {
            rejected(api().get(&format!("{image}/{query}")).unwrap(), query);
        }
        for (work, body) in [
            ("flatten", json!({})),
            ("sparsify", json!({})),
            ("rebuild-object-map", json!({})),
            ("copy", json!({ "name": "copied" })),
            ("copy", json!({ "name": "copied", "deep": true })),
            ("resize", json!({ "sizeBytes": 16 << 20 })),
            ("resize", json!({ "sizeBytes": 4 << 20, "allowShrink": true })),
            ("snapshots", json!({ "name": "t" })),
        ] {
            rejected(api().post(&format!("{image}/{work}"), &body).unwrap(), work);
        }
    }
    let rollback = api().post(&format!("{}/snapshots/s/rollback", path(&home, "data")), &json!({})).unwrap();
    assert_eq!(rollback.expect(409).problem(), "pool-missing");
    // It can be deleted, and others are as they were.
    api().delete(&path(&home, "trashed")).unwrap().expect(200);
    for name in ["removed", "data"] {
        for snapshot in listed(&home, name)["snapshots"].as_array().unwrap() {
            let name = snapshot["name"].as_str().unwrap();
            ceph().rbd(&["snap", "rm", "--no-progress", &format!("{home}/data@{name}")]).unwrap_or_default();
        }
        let removed = api().delete(&format!("{}?permanent=true", path(&home, name))).unwrap();
        if removed.status == 202 {
            let done = finished(&api(), removed.header("location"));
            assert_eq!(done["state"], "succeeded", "{name}: {done}");
        } else {
            assert_eq!(name, "data", "{}", removed.text());
        }
    }
    api().get(&format!("{}/usage", path(&home, "plain"))).unwrap().expect(200);
}

#[test]
fn group_and_its_images_in_other_pools_keep_both_pools() {
    let (groups, images) = (pool(), pool());
    ceph().rbd(&["create", "--size", "8M", &format!("{images}/m")]).unwrap();
    ceph().rbd(&["group", "create", &format!("{groups}/g")]).unwrap();
    ceph().rbd(&["group", "image", "add", &format!("{groups}/g"), &format!("{images}/m")]).unwrap();
    ceph().rbd(&["group", "snap", "create", &format!("{groups}/g@s")]).unwrap();
    let delete = |pool: &str, more: &str| api().delete(&format!("/api/v1/pools/{pool}?confirm={pool}{more}")).unwrap();
    let rejected = delete(&groups, "").expect(409).json();
    let image = &rejected["images"][0];
    assert_eq!((&image["image"], &image["holds"]), (&json!("m"), &json!("its group")), "{rejected}");
    let rejected = delete(&images, "").expect(409).json();
    let group = json!([{ "pool": groups, "namespace": "", "group": "g", "holds": 2 }]);
    assert_eq!(rejected["groups"], group, "{rejected}");
    // Lost with its group's pool, the membership keeps the image from nothing.
    delete(&groups, "&force=true").expect(204);
    gone(&groups);
    let image = path(&images, "m");
    let kept = api().delete(&format!("{image}?permanent=true")).unwrap().expect(409);
    assert!(kept.text().contains("snapshot"), "{}", kept.text());
    let accepted = api().delete(&format!("{image}?permanent=true&deleteSnapshots=true")).unwrap().expect(202);
    let removed = finished(&api(), accepted.header("location"));
    assert_eq!(removed["state"], "succeeded", "{removed}");
    assert_eq!(ceph().rbd(&["ls", &images]).unwrap(), "");
}

#[test]
fn image_in_the_trash_whose_group_is_gone_with_its_pool_is_removed() {
    let (groups, images) = (pool(), pool());
    ceph().rbd(&["create", "--size", "8M", &format!("{images}/m")]).unwrap();
    ceph().rbd(&["group", "create", &format!("{groups}/g")]).unwrap();
    ceph().rbd(&["group", "image", "add", &format!("{groups}/g"), &format!("{images}/m")]).unwrap();
    api().delete(&path(&images, "m")).unwrap().expect(200);
    let trash = format!("/api/v1/pools/{images}/trash");
    let item = api().get(&trash).unwrap().expect(200).json()["Items"][0].clone();
    assert!(item["notRemovableReason"].as_str().unwrap().contains("group"), "{item}");
    api().delete(&format!("/api/v1/pools/{groups}?confirm={groups}&force=true")).unwrap().expect(204);
    gone(&groups);
    let accepted = api().delete(&format!("{trash}/{}?force=true", item["id"].as_str().unwrap())).unwrap().expect(202);
    let removed = finished(&api(), accepted.header("location"));
    assert_eq!(removed["state"], "succeeded", "{removed}");
}
