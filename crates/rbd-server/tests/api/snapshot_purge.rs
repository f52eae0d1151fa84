//! All snapshots of an image at once, and removing images with their snapshots.

use serde_json::{Value, json};

use crate::support::{api, ceph, finished, pool};

fn image_with(pool: &str, name: &str, snapshots: &[&str]) {
    let image = format!("{pool}/{name}");
    ceph().rbd(&["create", "--size", "8M", &image]).unwrap();
    for snapshot in snapshots {
        ceph().rbd(&["snap", "create", "--no-progress", &format!("{image}@{snapshot}")]).unwrap();
    }
}

fn clone(from: &str, to: &str) {
    ceph().rbd(&["clone", "--rbd-default-clone-format", "2", from, to]).unwrap();
}

fn snapshots(path: &str) -> Vec<String> {
    let list = api().get(&format!("{path}/snapshots")).unwrap().expect(200).json();
    let items = list["Items"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

fn reasons(problem: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let kept = problem["snapshots"].as_array().unwrap();
    kept.iter().map(|one| (text(&one["snapshot"]), text(&one["reason"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, reason)| ((*name).to_owned(), (*reason).to_owned())).collect()
}

fn trashed(pool: &str, name: &str) -> String {
    ceph().rbd(&["trash", "mv", &format!("{pool}/{name}")]).unwrap();
    let list = api().get(&format!("/api/v1/pools/{pool}/trash")).unwrap().expect(200).json();
    let found = list["Items"].as_array().unwrap().iter().find(|item| item["name"] == name).unwrap().clone();
    format!("/api/v1/pools/{pool}/trash/{}", found["id"].as_str().unwrap())
}

#[test]
fn all_snapshots_are_deleted_by_an_operation_with_progress() {
    let pool = pool();
    image_with(&pool, "a", &["one", "two", "three"]);
    let path = format!("/api/v1/pools/{pool}/images/a");
    let begun = api().delete(&format!("{path}/snapshots")).unwrap().expect(202);
    let operation = finished(&api(), begun.header("location"));
    assert_eq!(
        (&operation["kind"], &operation["state"]),
        (&json!("purgeSnapshots"), &json!("succeeded")),
        "{operation}"
    );
    assert_eq!(operation["progress"], json!({ "done": 3, "total": 3 }));
    assert_eq!(snapshots(&path), Vec::<String>::new());
    // Nothing to do is done.
    let again = api().delete(&format!("{path}/snapshots")).unwrap().expect(202);
    assert_eq!(finished(&api(), again.header("location"))["state"], "succeeded");
    let missing = api().delete(&format!("/api/v1/pools/{pool}/images/none/snapshots")).unwrap().expect(404);
    assert_eq!(missing.problem(), "image-not-found");
}

#[test]
fn protected_and_cloned_snapshots_are_named_before_anything_is_deleted() {
    let pool = pool();
    image_with(&pool, "a", &["free", "held", "cloned"]);
    ceph().rbd(&["snap", "protect", &format!("{pool}/a@held")]).unwrap();
    clone(&format!("{pool}/a@cloned"), &format!("{pool}/c"));
    let path = format!("/api/v1/pools/{pool}/images/a");
    let rejected = api().delete(&format!("{path}/snapshots")).unwrap().expect(409);
    assert_eq!(rejected.problem(), "in-use");
    let problem = rejected.json();
    assert_eq!(reasons(&problem), pairs(&[("held", "protected"), ("cloned", "cloned")]), "{problem}");
    assert_eq!(problem["snapshots"][1]["children"][0]["image"], "c", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(&format!("{pool}/c")), "{problem}");
    assert_eq!(snapshots(&path), ["free", "held", "cloned"]);

    let lifted = api().delete(&format!("{path}/snapshots?unprotect=true")).unwrap().expect(409).json();
    assert_eq!(reasons(&lifted), pairs(&[("cloned", "cloned")]), "{lifted}");
    ceph().rbd(&["rm", "--no-progress", &format!("{pool}/c")]).unwrap();
    let begun = api().delete(&format!("{path}/snapshots?unprotect=true")).unwrap().expect(202);
    assert_eq!(finished(&api(), begun.header("location"))["state"], "succeeded");
    assert_eq!(snapshots(&path), Vec::<String>::new());
}

#[test]
fn protected_snapshot_with_a_clone_of_format_1_stays_though_protection_may_be_lifted() {
    let pool = pool();
    image_with(&pool, "a", &["s"]);
    ceph().rbd(&["snap", "protect", &format!("{pool}/a@s")]).unwrap();
    ceph().rbd(&["clone", "--rbd-default-clone-format", "1", &format!("{pool}/a@s"), &format!("{pool}/c")]).unwrap();
    let path = format!("/api/v1/pools/{pool}/images/a/snapshots?unprotect=true");
    let problem = api().delete(&path).unwrap().expect(409).json();
    assert_eq!(reasons(&problem), pairs(&[("s", "cloned")]), "{problem}");
    assert_eq!(problem["snapshots"][0]["children"][0]["format"], 1, "{problem}");
}

#[test]
fn snapshots_of_groups_and_of_mirroring_are_named_as_theirs() {
    let pool = pool();
    image_with(&pool, "grouped", &[]);
    ceph().rbd(&["group", "create", &format!("{pool}/g")]).unwrap();
    ceph().rbd(&["group", "image", "add", &format!("{pool}/g"), &format!("{pool}/grouped")]).unwrap();
    ceph().rbd(&["group", "snap", "create", &format!("{pool}/g@gs")]).unwrap();
    image_with(&pool, "mirrored", &[]);
    ceph().rbd(&["mirror", "pool", "enable", &pool, "image"]).unwrap();
    ceph().rbd(&["mirror", "image", "enable", &format!("{pool}/mirrored"), "snapshot"]).unwrap();
    for (image, reason) in [("grouped", "group"), ("mirrored", "mirroring")] {
        let path = format!("/api/v1/pools/{pool}/images/{image}/snapshots");
        let problem = api().delete(&path).unwrap().expect(409).json();
        assert_eq!(reasons(&problem)[0].1, reason, "{problem}");
    }
}

#[test]
fn snapshots_of_an_image_in_the_trash_are_listed_and_deleted() {
    let pool = pool();
    image_with(&pool, "a", &["one", "two"]);
    let path = trashed(&pool, "a");
    assert_eq!(snapshots(&path), ["one", "two"]);
    let rejected = api().delete(&path).unwrap().expect(409);
    assert_eq!((rejected.problem(), &rejected.json()["snapshots"]), ("in-use".to_owned(), &json!(["one", "two"])));
    assert!(rejected.json()["correction"].as_str().unwrap().contains("deleteSnapshots=true"), "{}", rejected.text());
    let begun = api().delete(&format!("{path}/snapshots")).unwrap().expect(202);
    assert_eq!(finished(&api(), begun.header("location"))["state"], "succeeded");
    let item = api().get(&path).unwrap().expect(200).json();
    assert_eq!((&item["removable"], &item["snapshots"]), (&json!(true), &json!([])), "{item}");
    let removed = api().delete(&path).unwrap().expect(202);
    assert_eq!(finished(&api(), removed.header("location"))["state"], "succeeded");
    assert_eq!(api().get(&format!("{path}/snapshots")).unwrap().expect(404).problem(), "trash-not-found");
}

#[test]
fn image_is_removed_with_its_snapshots_when_that_is_asked_for() {
    let pool = pool();
    for name in ["a", "b"] {
        image_with(&pool, name, &["one", "two"]);
    }
    let path = format!("/api/v1/pools/{pool}/images/a");
    let rejected = api().delete(&format!("{path}?permanent=true")).unwrap().expect(409);
    assert!(rejected.json()["correction"].as_str().unwrap().contains("deleteSnapshots=true"), "{}", rejected.text());
    let alone = api().delete(&format!("{path}?deleteSnapshots=true")).unwrap().expect(409);
    assert_eq!(alone.json()["field"], "deleteSnapshots");
    let removed = api().delete(&format!("{path}?permanent=true&deleteSnapshots=true")).unwrap().expect(202);
    assert_eq!(finished(&api(), removed.header("location"))["state"], "succeeded");
    let removed = api().delete(&format!("{}?deleteSnapshots=true", trashed(&pool, "b"))).unwrap().expect(202);
    assert_eq!(finished(&api(), removed.header("location"))["state"], "succeeded");
    assert_eq!(ceph().rbd(&["ls", &pool]).unwrap(), "");
    assert_eq!(ceph().rbd(&["trash", "ls", "--all", &pool]).unwrap(), "");
}

#[test]
fn image_whose_snapshot_is_needed_keeps_all_of_them() {
    let pool = pool();
    image_with(&pool, "a", &["free", "cloned"]);
    clone(&format!("{pool}/a@cloned"), &format!("{pool}/c"));
    let path = format!("/api/v1/pools/{pool}/images/a");
    let rejected = api().delete(&format!("{path}?permanent=true&deleteSnapshots=true")).unwrap().expect(409).json();
    assert_eq!(reasons(&rejected), pairs(&[("cloned", "cloned")]), "{rejected}");
    assert_eq!(snapshots(&path), ["free", "cloned"]);
    let path = trashed(&pool, "a");
    let rejected = api().delete(&format!("{path}?deleteSnapshots=true")).unwrap().expect(409).json();
    assert_eq!(reasons(&rejected), pairs(&[("cloned", "cloned")]), "{rejected}");
    assert_eq!(snapshots(&path), ["free", "cloned"]);
}
