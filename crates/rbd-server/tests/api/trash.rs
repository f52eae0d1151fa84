//! The trash.

use serde_json::{Value, json};

use crate::support::{api, ceph, pool};

pub fn trashed(pool: &str, name: &str) -> Value {
    let list = api().get(&format!("/api/v1/pools/{pool}/trash")).expect("an answer").expect(200).json();
    let found = list["Items"].as_array().expect("a list").iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

/// Makes an entry of the trash one of a removal that was cut off, by its first byte after version, compatible version
/// and length: its source.
pub fn cut_off_removal(pool: &str, id: &str) {
    let file = ceph().dir().join(format!("trash-{pool}-{id}"));
    let (path, key) = (file.to_str().expect("UTF-8"), format!("id_{id}"));
    ceph().rados(&["-p", pool, "getomapval", "rbd_trash", &key, path]).expect("done");
    let mut bytes = std::fs::read(&file).expect("done");
    assert_eq!(bytes[6], 0, "moved there by a user");
    bytes[6] = 3;
    std::fs::write(&file, bytes).expect("done");
    ceph().rados(&["-p", pool, "setomapval", "rbd_trash", &key, "--input-file", path]).expect("done");
    assert!(!ceph().rbd(&["trash", "ls", "--all", pool]).expect("done").contains(id), "rbd hides it now");
}

#[test]
fn image_in_the_trash_is_shown_and_restored() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/trash");
    let empty = api().get(&path).unwrap().expect(200).text();
    assert_eq!(empty, r#"{"Kind":"TrashList","APIVersion":"v1","Items":[]}"#);
    ceph().rbd(&["create", "--size", "1G", &format!("{pool}/a")]).unwrap();
    ceph().rbd(&["trash", "mv", "--expires-at", "tomorrow", &format!("{pool}/a")]).unwrap();
    let item = trashed(&pool, "a");
    assert_eq!((&item["source"], &item["state"]), (&json!("user"), &json!("trashed")));
    assert_eq!((&item["sizeBytes"], &item["snapshots"]), (&json!(1 << 30), &json!([])));
    assert_eq!(item["removable"], false);
    assert!(item["notRemovableReason"].as_str().unwrap().contains("retention"), "{item}");
    let expires = ceph().rbd(&["trash", "ls", "--long", "--format", "json", &pool]).unwrap();
    assert!(expires.contains("protected until"), "{expires}");
    assert!(item["deletedAt"].as_str().unwrap() < item["expiresAt"].as_str().unwrap(), "{item}");
    let id = item["id"].as_str().unwrap();
    assert_eq!(api().get(&format!("{path}/{id}")).unwrap().expect(200).json(), item);

    // The name is taken meanwhile.
    ceph().rbd(&["create", "--size", "1", &format!("{pool}/a")]).unwrap();
    let restore = format!("{path}/{id}/restore");
    let taken = api().send("POST", &restore, &[], &[]).unwrap().expect(409);
    assert_eq!(taken.problem(), "exists");
    assert!(taken.json()["correction"].as_str().unwrap().contains("another name"));
    assert_eq!(api().post(&restore, &json!({ "name": "a@b" })).unwrap().expect(400).json()["field"], "name");
    let restored = api().post(&restore, &json!({ "name": "b" })).unwrap().expect(200);
    assert_eq!(restored.header("location"), format!("/api/v1/pools/{pool}/images/b"));
    assert_eq!((&restored.json()["name"], &restored.json()["id"]), (&json!("b"), &json!(id)));
    assert_eq!(api().post(&restore, &json!({})).unwrap().expect(404).problem(), "trash-not-found");
    assert_eq!(api().get(&format!("{path}/{id}")).unwrap().expect(404).problem(), "trash-not-found");
    assert!(ceph().rbd(&["ls", &pool]).unwrap().contains('b'));
}

#[test]
fn trash_item_names_the_obstacle_to_its_removal() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "1", &format!("{pool}/free")]).unwrap();
    ceph().rbd(&["trash", "mv", &format!("{pool}/free")]).unwrap();
    let free = trashed(&pool, "free");
    assert_eq!((&free["removable"], &free["notRemovableReason"]), (&json!(true), &json!(null)));
    ceph().rbd(&["create", "--size", "1", &format!("{pool}/parent")]).unwrap();
    ceph().rbd(&["snap", "create", &format!("{pool}/parent@s")]).unwrap();
    ceph().rbd(&["trash", "mv", &format!("{pool}/parent")]).unwrap();
    let parent = trashed(&pool, "parent");
    assert_eq!(parent["snapshots"], json!(["s"]));
    assert!(parent["notRemovableReason"].as_str().unwrap().contains("has 1 snapshot(s)"), "{parent}");
    let id = parent["id"].as_str().unwrap();
    api().send("POST", &format!("/api/v1/pools/{pool}/trash/{id}/restore"), &[], &[]).unwrap().expect(200);
    let (from, to) = (format!("{pool}/parent@s"), format!("{pool}/clone"));
    ceph().rbd(&["clone", "--rbd-default-clone-format", "2", &from, &to]).unwrap();
    ceph().rbd(&["trash", "mv", &format!("{pool}/parent")]).unwrap();
    let parent = trashed(&pool, "parent");
    assert!(parent["notRemovableReason"].as_str().unwrap().contains("1 clone(s)"), "{parent}");
}

#[test]
fn image_whose_removal_was_cut_off_is_listed_and_not_restored() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "1G", &format!("{pool}/a")]).unwrap();
    ceph().rbd(&["trash", "mv", &format!("{pool}/a")]).unwrap();
    let id = trashed(&pool, "a")["id"].as_str().unwrap().to_owned();
    cut_off_removal(&pool, &id);
    let item = trashed(&pool, "a");
    assert_eq!(
        (&item["source"], &item["state"], &item["removable"]),
        (&json!("removing"), &json!("removing"), &json!(true))
    );
    let rejected =
        api().send("POST", &format!("/api/v1/pools/{pool}/trash/{id}/restore"), &[], &[]).unwrap().expect(409);
    assert_eq!(rejected.problem(), "removing");
    // Its header may be gone already.
    ceph().rados(&["-p", &pool, "rm", &format!("rbd_header.{id}")]).unwrap();
    let item = trashed(&pool, "a");
    assert_eq!((&item["sizeBytes"], &item["state"]), (&json!(null), &json!("removing")));
    // A namespace with such a one is not empty.
    ceph().rbd(&["namespace", "create", &format!("{pool}/n")]).unwrap();
    ceph().rbd(&["create", "--size", "1", &format!("{pool}/n/b")]).unwrap();
    ceph().rbd(&["trash", "mv", &format!("{pool}/n/b")]).unwrap();
    let list = api().get(&format!("/api/v1/pools/{pool}/namespaces/n/trash")).unwrap().expect(200).json();
    assert_eq!((&list["Items"][0]["name"], &list["Items"][0]["namespace"]), (&json!("b"), &json!("n")));
}
