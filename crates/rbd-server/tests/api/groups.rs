//! Groups of images and their snapshots.

use serde_json::json;

use crate::support::{api, ceph, pool};

#[test]
fn group_is_made_renamed_and_deleted() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/groups");
    let made = api().post(&path, &json!({ "name": "g" })).unwrap().expect(201);
    assert_eq!(made.header("location"), format!("{path}/g"));
    assert_eq!((&made.json()["images"], &made.json()["snapshots"]), (&json!([]), &json!([])));
    assert_eq!(api().post(&path, &json!({ "name": "g" })).unwrap().expect(409).problem(), "exists");
    let put = || api().send("PUT", &format!("{path}/h"), &[], &[]).unwrap();
    put().expect(201);
    put().expect(200);
    let list = api().get(&path).unwrap().expect(200).text();
    assert_eq!(list, r#"{"Kind":"GroupList","APIVersion":"v1","Items":[{"name":"g"},{"name":"h"}]}"#);
    let rename = |to: &str| api().json("PATCH", &format!("{path}/g"), &json!({ "name": to })).unwrap();
    assert_eq!(rename("h").expect(409).problem(), "exists");
    let renamed = rename("i").expect(200).json();
    assert_eq!((&renamed["name"], &renamed["id"]), (&json!("i"), &made.json()["id"]));
    assert_eq!(rename("j").expect(404).problem(), "group-not-found");
    api().delete(&format!("{path}/i")).unwrap().expect(204);
    assert_eq!(api().delete(&format!("{path}/i")).unwrap().expect(404).problem(), "group-not-found");
    assert_eq!(api().get(&format!("{path}/i")).unwrap().expect(404).problem(), "group-not-found");
    assert_eq!(ceph().rbd(&["group", "ls", &pool]).unwrap().trim(), "h");
}

#[test]
fn images_of_two_pools_are_in_one_group() {
    let (pool, other) = (pool(), pool());
    let path = format!("/api/v1/pools/{pool}/groups/g");
    api().send("PUT", &path, &[], &[]).unwrap().expect(201);
    ceph().rbd(&["create", "--size", "1", &format!("{pool}/a")]).unwrap();
    ceph().rbd(&["create", "--size", "1", &format!("{other}/b")]).unwrap();
    let images = format!("{path}/images");
    let add = |body| api().post(&images, &body).unwrap();
    add(json!({ "image": "a" })).expect(200);
    // Again is no mistake.
    add(json!({ "image": "a" })).expect(200);
    let group = add(json!({ "image": "b", "pool": other })).expect(200).json();
    assert_eq!(group["images"].as_array().unwrap().len(), 2, "{group}");
    assert_eq!(add(json!({ "image": "b" })).expect(404).problem(), "image-not-found");
    assert_eq!(add(json!({ "image": "a", "pool": "none" })).expect(404).problem(), "pool-not-found");
    assert_eq!(add(json!({ "image": "a", "namespace": "n" })).expect(400).json()["field"], "namespace");
    let second = format!("/api/v1/pools/{pool}/groups/second");
    api().send("PUT", &second, &[], &[]).unwrap().expect(201);
    let taken = api().post(&format!("{second}/images"), &json!({ "image": "a" })).unwrap().expect(409);
    assert_eq!(taken.problem(), "conflict", "{}", taken.text());
    let none = api().post(&format!("/api/v1/pools/{pool}/groups/none/images"), &json!({ "image": "a" })).unwrap();
    assert_eq!(none.expect(404).problem(), "group-not-found");

    // librbd lists nothing as soon as one image is in the trash.
    ceph().rbd(&["trash", "mv", &format!("{pool}/a")]).unwrap();
    assert_eq!(ceph().rbd(&["group", "image", "ls", &format!("{pool}/g")]).unwrap().trim(), "");
    let list = api().get(&images).unwrap().expect(200).json();
    let items = list["Items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{list}");
    let a = items.iter().find(|item| item["image"] == "a").unwrap();
    assert_eq!((&a["inTrash"], &a["attached"], &a["pool"]), (&json!(true), &json!(true), &json!(pool)));
    let b = items.iter().find(|item| item["image"] == "b").unwrap();
    assert_eq!((&b["inTrash"], &b["pool"]), (&json!(false), &json!(other)));

    assert_eq!(api().delete(&format!("{images}/b")).unwrap().expect(404).problem(), "image-not-found");
    api().delete(&format!("{images}/b?pool={other}")).unwrap().expect(204);
    // One in the trash goes by its id.
    assert_eq!(api().delete(&format!("{images}/a")).unwrap().expect(404).problem(), "image-not-found");
    api().delete(&format!("{images}/{}", a["imageId"].as_str().unwrap())).unwrap().expect(204);
    assert_eq!(api().get(&images).unwrap().expect(200).json()["Items"], json!([]));
    ceph().rbd(&["rm", &format!("{other}/b")]).unwrap();
}

#[test]
fn snapshots_of_a_group_are_taken_renamed_and_deleted() {
    let pool = pool();
    ceph().rbd(&["namespace", "create", &format!("{pool}/n")]).unwrap();
    let path = format!("/api/v1/pools/{pool}/namespaces/n/groups/g");
    api().send("PUT", &path, &[], &[]).unwrap().expect(201);
    for image in ["a", "b"] {
        ceph().rbd(&["create", "--size", "1", &format!("{pool}/n/{image}")]).unwrap();
        api().post(&format!("{path}/images"), &json!({ "image": image })).unwrap().expect(200);
    }
    let snapshots = format!("{path}/snapshots");
    let made = api().post(&snapshots, &json!({ "name": "s" })).unwrap().expect(201);
    assert_eq!(made.header("location"), format!("{snapshots}/s"));
    let made = made.json();
    assert_eq!((&made["state"], made["images"].as_array().unwrap().len()), (&json!("complete"), 2));
    assert!(made["images"][0]["snapshotId"].is_u64(), "{made}");
    let image = api().get(&format!("/api/v1/pools/{pool}/namespaces/n/images/a")).unwrap().expect(200).json();
    assert_eq!(image["snapshots"][0]["kind"], "group");
    assert_eq!(api().post(&snapshots, &json!({ "name": "s" })).unwrap().expect(409).problem(), "exists");
    api().post(&snapshots, &json!({ "name": "t" })).unwrap().expect(201);
    let rename =
        |from: &str, to: &str| api().json("PATCH", &format!("{snapshots}/{from}"), &json!({ "name": to })).unwrap();
    assert_eq!(rename("s", "t").expect(409).problem(), "exists");
    assert_eq!(rename("s", "u").expect(200).json()["name"], "u");
    assert_eq!(rename("s", "v").expect(404).problem(), "snapshot-not-found");
    assert_eq!(api().get(&format!("{snapshots}/u")).unwrap().expect(200).json()["name"], "u");
    let held = api().delete(&path).unwrap().expect(409);
    assert_eq!((held.problem().as_str(), &held.json()["snapshots"]), ("in-use", &json!(["t", "u"])));
    api().delete(&format!("{snapshots}/u")).unwrap().expect(204);
    assert_eq!(api().delete(&format!("{snapshots}/u")).unwrap().expect(404).problem(), "snapshot-not-found");
    let list = api().get(&snapshots).unwrap().expect(200).json();
    assert_eq!((&list["Kind"], list["Items"].as_array().unwrap().len()), (&json!("GroupSnapshotList"), 1));
    api().delete(&format!("{path}?deleteSnapshots=true")).unwrap().expect(204);
    let image = api().get(&format!("/api/v1/pools/{pool}/namespaces/n/images/a")).unwrap().expect(200).json();
    assert_eq!(image["snapshots"], json!([]));
    assert_eq!(api().get(&snapshots).unwrap().expect(404).problem(), "group-not-found");
}
