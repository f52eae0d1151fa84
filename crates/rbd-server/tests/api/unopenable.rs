//! Images that librbd must not open, since another client wrote into their headers: it would wait for ever, open parents until memory
//! is gone, or read files of this machine. Every call answers with why, at once, and nobody else is disturbed.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{api, ceph, context, finished, pool, service};

fn path(pool: &str, name: &str) -> String {
    format!("/api/v1/pools/{pool}/images/{name}")
}

fn header(pool: &str, name: &str) -> String {
    let images = context(pool).list_images().unwrap();
    let id = images.into_iter().find(|(listed, _)| listed == name).unwrap().1;
    format!("rbd_header.{id}")
}

fn set(pool: &str, object: &str, key: &str, value: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), value).unwrap();
    let input = file.path().to_str().unwrap();
    ceph().rados(&["-p", pool, "setomapval", object, key, "--input-file", input]).unwrap();
}

fn text(value: &str) -> Vec<u8> {
    let mut encoded = u32::try_from(value.len()).unwrap().to_le_bytes().to_vec();
    encoded.extend_from_slice(value.as_bytes());
    encoded
}

fn structure(version: u8, body: &[u8]) -> Vec<u8> {
    let mut encoded = vec![version, 1];
    encoded.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    encoded.extend_from_slice(body);
    encoded
}

/// The record that an image is the clone of a snapshot, as `cls_rbd` stores it since Nautilus.
fn parent_record(pool_id: i64, image_id: &str, snapshot_id: u64, overlap: u64) -> Vec<u8> {
    let mut body = pool_id.to_le_bytes().to_vec();
    body.extend(text(""));
    body.extend(text(image_id));
    body.extend(snapshot_id.to_le_bytes());
    body.push(1);
    body.extend(overlap.to_le_bytes());
    structure(2, &body)
}

/// The record of a migration, as `cls_rbd` stores it.
fn migration_record(role: u8, pool_id: i64, image_id: &str, state: u8, source: Option<&str>) -> Vec<u8> {
    let mut body = vec![role];
    body.extend(pool_id.to_le_bytes());
    for part in ["", "other", image_id] {
        body.extend(text(part));
    }
    body.extend(0_u32.to_le_bytes());
    body.extend(0_u64.to_le_bytes());
    body.extend([0, 0, state]);
    body.extend(text(""));
    body.push(0);
    if let Some(source) = source {
        body.extend(text(source));
    }
    structure(if source.is_some() { 3 } else { 2 }, &body)
}

const LAYERING: u64 = 1;
const MIGRATING: u64 = 1 << 9;

fn make(pool: &str, name: &str) -> String {
    ceph().rbd(&["create", "--size", "8M", "--image-feature", "layering", &format!("{pool}/{name}")]).unwrap();
    header(pool, name)
}

/// Each call answers soon, with a problem of this kind that says this.
fn assert_rejected(pool: &str, name: &str, kind: &str, because: &str) {
    let path = path(pool, name);
    let (began, stuck) = (Instant::now(), workers_stuck());
    let gets = ["/usage", "/locks", "/watchers", "/data", "/diff"];
    let mut answers: Vec<_> = gets.iter().map(|get| (*get, api().get(&format!("{path}{get}")).unwrap())).collect();
    for (post, body) in [
        ("/flatten", json!({})),
        ("/copy", json!({ "name": "copied" })),
        ("/snapshots", json!({ "name": "another" })),
        ("/resize", json!({ "sizeBytes": 16 << 20 })),
        ("/rename", json!({ "name": "renamed" })),
    ] {
        answers.push((post, api().post(&format!("{path}{post}"), &body).unwrap()));
    }
    for (call, answer) in answers {
        assert_eq!((answer.status, answer.problem().as_str()), (409, kind), "{call}: {}", answer.text());
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(because), "{call}: {detail}");
        assert!(answer.json()["correction"].is_string(), "{call}: {}", answer.text());
    }
    // The time of a call that waits for Ceph is 30 s.
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(workers_stuck(), stuck);
}

fn workers_stuck() -> String {
    let metrics = service().admin_client().get("/metrics").unwrap().text();
    metrics.lines().find(|line| line.starts_with("sparrow_rbd_workers_stuck ")).unwrap().to_owned()
}

#[test]
fn import_from_outside_rbd_is_never_opened() {
    let pool = pool();
    let header = make(&pool, "steal");
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "the key of this machine").unwrap();
    let source = json!({ "type": "raw", "stream": { "type": "file", "file_path": secret.path() } }).to_string();
    for state in [2, 3, 4] {
        set(&pool, &header, "migration", &migration_record(2, -1, "", state, Some(&source)));
        set(&pool, &header, "features", &(LAYERING | MIGRATING).to_le_bytes());
        assert_rejected(&pool, "steal", "migrating", "outside RBD");
    }
    assert_eq!(api().get(&path(&pool, "steal")).unwrap().expect(200).json()["state"], "unusable");
}

#[test]
fn migration_that_never_goes_on_is_not_waited_for() {
    let pool = pool();
    let header = make(&pool, "a");
    set(&pool, &header, "features", &(LAYERING | MIGRATING).to_le_bytes());
    assert_rejected(&pool, "a", "migrating", "no record of a migration");
    let pool_id = context(&pool).pool_id();
    for (role, state, because) in [(2, 1, "preparation was cut off"), (2, 200, "cannot go on"), (7, 2, "cannot go on")]
    {
        set(&pool, &header, "migration", &migration_record(role, pool_id, "x", state, None));
        assert_rejected(&pool, "a", "migrating", because);
    }
}

#[test]
fn image_with_endless_ancestors_is_rejected() {
    let pool = pool();
    let pool_id = context(&pool).pool_id();
    let headers = ["self", "left", "right", "child"].map(|name| make(&pool, name));
    let [own, left, right, _] = headers.each_ref().map(|header| header.strip_prefix("rbd_header.").unwrap());
    for (header, parent) in headers.iter().zip([own, right, left, left]) {
        set(&pool, header, "parent", &parent_record(pool_id, parent, 4, 8 << 20));
    }
    for name in ["self", "left", "right", "child"] {
        assert_rejected(&pool, name, "image-unusable", "own ancestor");
    }
    // They are listed as what they are, whichever of them a page holds, and nobody else is.
    make(&pool, "whole");
    let mut shown: Vec<_> =
        ["self", "left", "right", "child"].map(|name| api().get(&path(&pool, name)).unwrap().expect(200).json()).into();
    for query in ["view=full", "view=full&prefix=child", "view=full&prefix=right"] {
        let list = api().get(&format!("/api/v1/pools/{pool}/images?{query}")).unwrap().expect(200).json();
        shown.extend(list["Items"].as_array().unwrap().iter().cloned());
    }
    assert_eq!(shown.len(), 4 + 5 + 2);
    for image in shown {
        let reason = image["stateReason"].as_str().unwrap_or_default();
        let (state, says) = if image["name"] == "whole" { ("ready", "") } else { ("unusable", "own ancestor") };
        assert!(image["state"] == state && reason.contains(says), "{image}");
    }
    // They can be removed, and cost nobody anything.
    for name in ["self", "left"] {
        let removed = api().delete(&format!("{}?permanent=true", path(&pool, name))).unwrap().expect(202);
        let ended = finished(&api(), removed.header("location"));
        assert_eq!(ended["state"], "succeeded", "{ended}");
    }
}

#[test]
fn parent_without_the_snapshot_is_named() {
    let pool = pool();
    let pool_id = context(&pool).pool_id();
    let (header, parent) = (make(&pool, "clone"), make(&pool, "parent"));
    let parent = parent.strip_prefix("rbd_header.").unwrap();
    set(&pool, &header, "parent", &parent_record(pool_id, parent, 999, 8 << 20));
    let answer = api().get(&format!("{}/usage", path(&pool, "clone"))).unwrap().expect(409);
    assert_eq!(answer.problem(), "image-unusable");
    assert!(answer.json()["detail"].as_str().unwrap().contains("snapshot with the id 999"), "{}", answer.text());
}

#[test]
fn snapshot_beyond_the_newest_makes_the_image_unusable() {
    let pool = pool();
    let header = make(&pool, "a");
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{pool}/a@s")]).unwrap();
    set(&pool, &header, "snap_seq", &0_u64.to_le_bytes());
    assert_rejected(&pool, "a", "image-unusable", "beyond the newest");
    assert_eq!(api().get(&path(&pool, "a")).unwrap().expect(200).json()["state"], "unusable");
}
