//! Purging the trash, and what is said to be removable.

use std::collections::BTreeSet;

use ceph::{Access, ImageRef};
use serde_json::{Value, json};

use super::trash::{cut_off_removal, trashed};
use crate::support::{api, ceph, context, finished, pool};

fn image(pool: &str, name: &str, size: &str) {
    ceph().rbd(&["create", "--size", size, "--image-feature", "layering", &format!("{pool}/{name}")]).unwrap();
}

fn to_trash(pool: &str, name: &str) {
    ceph().rbd(&["trash", "mv", &format!("{pool}/{name}")]).unwrap();
}

fn names(pool: &str) -> BTreeSet<String> {
    let list = api().get(&format!("/api/v1/pools/{pool}/trash")).unwrap().expect(200).json();
    list["Items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

fn begin(pool: &str) -> String {
    let path = format!("/api/v1/pools/{pool}/trash/purge");
    api().send("POST", &path, &[], &[]).unwrap().expect(202).header("location").to_owned()
}

fn purge(pool: &str) -> Value {
    finished(&api(), &begin(pool))
}

#[test]
fn parent_goes_in_the_pass_after_its_clone() {
    let pool = pool();
    // Smaller, and so tried first.
    image(&pool, "parent", "1M");
    let snapshot = format!("{pool}/parent@s");
    ceph().rbd(&["snap", "create", "--no-progress", &snapshot]).unwrap();
    ceph().rbd(&["clone", "--rbd-default-clone-format", "2", &snapshot, &format!("{pool}/clone")]).unwrap();
    ceph().rbd(&["resize", "--no-progress", "--size", "8M", &format!("{pool}/clone")]).unwrap();
    // Kept in the image's own trash until the clone is gone.
    ceph().rbd(&["snap", "rm", "--no-progress", &snapshot]).unwrap();
    for name in ["parent", "clone"] {
        to_trash(&pool, name);
    }
    let purged = purge(&pool);
    assert_eq!(purged["state"], "succeeded", "{purged}");
    assert_eq!(purged["progress"], json!({ "done": 2, "total": 2 }));
    assert_eq!(names(&pool), BTreeSet::new());
}

#[test]
fn every_image_that_stays_is_named_with_its_reason() {
    let pool = pool();
    for name in ["one", "two", "free"] {
        image(&pool, name, "1M");
    }
    for name in ["one", "two"] {
        ceph().rbd(&["snap", "create", "--no-progress", &format!("{pool}/{name}@s")]).unwrap();
    }
    image(&pool, "open", "1M");
    let opened = context(&pool).open_image(ImageRef::Name("open"), None, Access::ReadWrite).unwrap();
    for name in ["one", "two", "free", "open"] {
        to_trash(&pool, name);
    }
    let purged = purge(&pool);
    assert_eq!(purged["state"], "failed", "{purged}");
    let failures = purged["problem"]["failures"].as_array().unwrap();
    let found: BTreeSet<(&str, bool)> = failures
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["reason"].as_str().unwrap().contains("has 1 snapshot(s)")))
        .collect();
    assert_eq!(found, BTreeSet::from([("one", true), ("two", true), ("open", false)]), "{purged}");
    assert_eq!(purged["problem"]["removed"], 1, "{purged}");
    assert!(failures.iter().any(|one| one["reason"].as_str().unwrap().contains("is open in 1 client(s)")), "{purged}");
    assert_eq!(names(&pool), BTreeSet::from(["one", "two", "open"].map(str::to_owned)));
    opened.close().unwrap();
}

#[test]
fn huge_half_removed_image_keeps_no_other_waiting() {
    let pool = pool();
    image(&pool, "huge", "96G");
    to_trash(&pool, "huge");
    cut_off_removal(&pool, trashed(&pool, "huge")["id"].as_str().unwrap());
    image(&pool, "small", "1M");
    to_trash(&pool, "small");
    let location = begin(&pool);
    loop {
        let left = names(&pool);
        assert!(left.contains("huge") || !left.contains("small"), "the huge one went first");
        if left.is_empty() {
            break;
        }
    }
    assert_eq!(finished(&api(), &location)["state"], "succeeded");
}

#[test]
fn trash_item_is_removable_only_if_it_can_be_removed() {
    let pool = pool();
    for name in ["grouped", "moved", "open"] {
        image(&pool, name, "1M");
    }
    ceph().rbd(&["group", "create", &format!("{pool}/g")]).unwrap();
    ceph().rbd(&["group", "image", "add", &format!("{pool}/g"), &format!("{pool}/grouped")]).unwrap();
    let opened = context(&pool).open_image(ImageRef::Name("open"), None, Access::ReadWrite).unwrap();
    ceph().rbd(&["migration", "prepare", &format!("{pool}/moved"), &format!("{pool}/target")]).unwrap();
    for name in ["grouped", "open"] {
        to_trash(&pool, name);
    }
    for (name, reason) in
        [("grouped", "in the group \"g\""), ("moved", "migration"), ("open", "is open in 1 client(s)")]
    {
        let listed = trashed(&pool, name);
        assert_eq!(listed["removable"], false, "{listed}");
        assert!(listed["notRemovableReason"].as_str().unwrap().contains(reason), "{listed}");
        let path = format!("/api/v1/pools/{pool}/trash/{}", listed["id"].as_str().unwrap());
        assert_eq!(api().get(&path).unwrap().expect(200).json(), listed);
    }
    opened.close().unwrap();
    assert_eq!(trashed(&pool, "open")["removable"], true);
    // What is known beforehand is said at once, not by an operation that fails.
    for (name, kind) in [("grouped", "in-use"), ("moved", "migrating")] {
        let id = trashed(&pool, name)["id"].as_str().unwrap().to_owned();
        let rejected = api().delete(&format!("/api/v1/pools/{pool}/trash/{id}?force=true")).unwrap().expect(409);
        assert_eq!(rejected.problem(), kind, "{}", rejected.text());
    }
}

/// librbd makes an image with such stripes for anybody, and divides by zero when it removes it.
#[test]
fn purge_outlives_an_image_that_librbd_fails_on() {
    let pool = pool();
    image(&pool, "free", "8M");
    let stripes = ["--object-size", "32M", "--stripe-unit", "32M", "--stripe-count", "4294967296"];
    let broken = format!("{pool}/broken");
    let create = [&["create", "--size", "1G", "--image-feature", "layering"], &stripes[..], &[&broken]].concat();
    ceph().rbd(&create).unwrap();
    for name in ["broken", "free"] {
        to_trash(&pool, name);
    }
    let item = trashed(&pool, "broken");
    assert_eq!(item["removable"], false, "{item}");
    let purged = purge(&pool);
    let failures = &purged["problem"]["failures"];
    assert_eq!((failures.as_array().unwrap().len(), &failures[0]["name"]), (1, &json!("broken")), "{purged}");
    assert_eq!(names(&pool), BTreeSet::from(["broken".to_owned()]));
    let path = format!("/api/v1/pools/{pool}/trash/{}", item["id"].as_str().unwrap());
    api().delete(&format!("{path}?force=true&deleteSnapshots=true")).unwrap().expect(409);
}
