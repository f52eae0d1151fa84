//! Long work: its state, waiting for it, cancelling it, and what becomes of it when its replica goes.

use std::time::{Duration, Instant};

use ceph::OmapChange;
use serde_json::{Value, json};
use testbed::service::RbdServiceOptions;

use crate::support::{BINARY, api, ceph, context, finished, pool};

/// An image whose removal takes a while: 24,576 objects, each to be looked for.
fn large_image(pool: &str, name: &str) {
    let features = ["--image-feature", "layering"];
    let spec = format!("{pool}/{name}");
    ceph().rbd(&[&["create", "--size", "96G", "--object-size", "4M", &spec][..], &features[..]].concat()).unwrap();
}

#[test]
fn operation_is_listed_waited_for_and_followed() {
    let pool = pool();
    large_image(&pool, "a");
    let accepted = api().delete(&format!("/api/v1/pools/{pool}/images/a?permanent=true")).unwrap().expect(202);
    let operation = accepted.json();
    let id = operation["id"].as_str().unwrap();
    let list = api().get(&format!("/api/v1/pools/{pool}/operations")).unwrap().expect(200).json();
    assert_eq!(list["Kind"], "OperationList");
    assert_eq!(list["Items"][0]["id"], id, "{list}");
    let events = api().get(&format!("/api/v1/operations/{id}/events")).unwrap().expect(200);
    assert_eq!(events.header("content-type"), "text/event-stream");
    let text = events.text();
    let last = text.rsplit("data: ").next().unwrap().trim();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["state"], "succeeded", "{text}");
    let all = api().get("/api/v1/operations").unwrap().expect(200).json();
    assert!(all["Items"].as_array().unwrap().iter().any(|item| item["id"] == id));
    for wrong in ["x", "99999.0198c5a0-0000-7000-8000-000000000000", &format!("{id}0")] {
        let missing = api().get(&format!("/api/v1/operations/{wrong}")).unwrap().expect(404);
        assert_eq!(missing.problem(), "operation-not-found");
    }
    assert_eq!(api().get(&format!("/api/v1/operations/{id}?wait=2h")).unwrap().expect(400).json()["field"], "wait");
    let ended = api().delete(&format!("/api/v1/operations/{id}")).unwrap().expect(409);
    assert_eq!(ended.problem(), "conflict");
}

#[test]
fn removal_is_cancelled_by_another_replica_and_done_again() {
    let pool = pool();
    large_image(&pool, "a");
    let other = RbdServiceOptions::new(BINARY, ceph()).start().unwrap();
    let path = format!("/api/v1/pools/{pool}/images/a?permanent=true");
    let accepted = api().delete(&path).unwrap().expect(202);
    let location = accepted.header("location").to_owned();
    let asked = other.client.delete(&location).unwrap();
    let state = finished(&other.client, &location)["state"].clone();
    // On a quick machine it may have ended before it was asked.
    assert!(
        (asked.status, state.as_str()) == (202, Some("cancelled")) || state == "succeeded",
        "{} {state}",
        asked.text()
    );
    if state == "cancelled" {
        let list = api().get(&format!("/api/v1/pools/{pool}/images?view=full")).unwrap().expect(200).json();
        assert_eq!(list["Items"][0]["name"], "a", "{list}");
        let again = api().delete(&path).unwrap().expect(202);
        assert_eq!(finished(&api(), again.header("location"))["state"], "succeeded");
    }
    assert_eq!(ceph().rbd(&["ls", &pool]).unwrap(), "");
}

#[test]
fn operation_of_a_killed_replica_is_resumed_by_another() {
    let pool = pool();
    large_image(&pool, "a");
    large_image(&pool, "b");
    let mut first = RbdServiceOptions::new(BINARY, ceph()).start().unwrap();
    let removal = first.client.delete(&format!("/api/v1/pools/{pool}/images/a?permanent=true")).unwrap().expect(202);
    let body = json!({ "name": "copy" });
    let copy = first.client.post(&format!("/api/v1/pools/{pool}/images/b/copy"), &body).unwrap().expect(202);
    std::thread::sleep(Duration::from_millis(150));
    first.kill().unwrap();
    let killed = Instant::now();
    // Any replica answers for it at once.
    let known = api().get(removal.header("location")).unwrap().expect(200).json();
    assert_eq!(known["kind"], "removeImage");
    let removed = finished(&api(), removal.header("location"));
    assert_eq!(removed["state"], "succeeded", "{removed}");
    let copied = finished(&api(), copy.header("location"));
    if copied["state"] == "interrupted" {
        assert!(copied["problem"]["correction"].as_str().unwrap().contains("delete it"), "{copied}");
        let list = api().get(&format!("/api/v1/pools/{pool}/images?view=full")).unwrap().expect(200).json();
        let items = list["Items"].as_array().unwrap();
        if let Some(item) = items.iter().find(|item| item["name"] == "copy") {
            assert_eq!(item["state"], "incomplete", "{list}");
            let path = format!("/api/v1/pools/{pool}/images/copy?permanent=true&force=true");
            let gone = api().delete(&path).unwrap().expect(202);
            let gone = finished(&api(), gone.header("location"));
            assert_eq!(gone["state"], "succeeded", "{gone}");
        }
    }
    assert!(killed.elapsed() < Duration::from_secs(150));
    let left = ceph().rbd(&["ls", &pool]).unwrap();
    assert!(left.contains('b') && !left.lines().any(|name| name == "a"), "{left}");
}

#[test]
fn replica_that_ends_hands_over() {
    let pool = pool();
    large_image(&pool, "a");
    let mut first = RbdServiceOptions::new(BINARY, ceph()).start().unwrap();
    let removal = first.client.delete(&format!("/api/v1/pools/{pool}/images/a?permanent=true")).unwrap().expect(202);
    let status = first.terminate(Duration::from_secs(30)).unwrap();
    assert!(status.success(), "{status}: {}", first.log());
    let handed = Instant::now();
    let done = finished(&api(), removal.header("location"));
    assert_eq!(done["state"], "succeeded", "{done}");
    assert!(handed.elapsed() < Duration::from_secs(60));
    assert_eq!(ceph().rbd(&["ls", &pool]).unwrap(), "");
}

#[test]
fn same_removal_twice_is_one_operation() {
    let pool = pool();
    large_image(&pool, "a");
    let path = format!("/api/v1/pools/{pool}/images/a?permanent=true");
    let first = api().delete(&path).unwrap().expect(202).json();
    let second = api().delete(&path).unwrap();
    if second.status == 202 {
        assert_eq!(second.json()["id"], first["id"]);
        let resize = json!({ "sizeBytes": 1 << 20, "allowShrink": true });
        let other = api().post(&format!("/api/v1/pools/{pool}/images/a/resize"), &resize).unwrap();
        assert!([404, 409].contains(&other.status), "{}", other.text());
    } else {
        assert_eq!(second.problem(), "image-not-found");
    }
    let location = format!("/api/v1/operations/{}", first["id"].as_str().unwrap());
    assert_eq!(finished(&api(), &location)["state"], "succeeded");
}

/// The key and the record of the newest operation of a pool, as they are kept.
fn newest_record(pool: &str) -> (String, Value) {
    let io = context(pool).in_namespace("sparrow").unwrap();
    let (key, bytes) = io.omap_all("operations", "0", None).unwrap().pop().unwrap();
    (String::from_utf8(key).unwrap(), serde_json::from_slice(&bytes).unwrap())
}

/// Leaves a record as a replica does that died while it ran the operation, after so many others had.
fn died_running(pool: &str, key: &str, record: &Value, image_id: &str, deaths: u32) -> String {
    let mut record = record.clone();
    let key = format!("{}{deaths:02}", &key[..key.len() - 2]);
    let pool_id = record["id"].as_str().unwrap().split('.').next().unwrap().to_owned();
    record["id"] = json!(format!("{pool_id}.{key}"));
    record["state"] = json!("running");
    record["owner"] = json!("a replica that is gone");
    record["image"] = json!("a");
    record["imageId"] = json!(image_id);
    record["deaths"] = json!(deaths);
    record.as_object_mut().unwrap().remove("finishedAt");
    let set = vec![(key.clone().into_bytes(), serde_json::to_vec(&record).unwrap())];
    let change = OmapChange { set, ..OmapChange::default() };
    context(pool).in_namespace("sparrow").unwrap().omap_change("operations", &change).unwrap();
    format!("/api/v1/operations/{pool_id}.{key}")
}

#[test]
fn operation_that_ends_its_replicas_is_not_begun_again_for_ever() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    api().post(&images, &json!({ "name": "first", "sizeBytes": 1 << 20 })).unwrap().expect(201);
    let removal = api().delete(&format!("{images}/first?permanent=true")).unwrap().expect(202);
    assert_eq!(finished(&api(), removal.header("location"))["state"], "succeeded");
    let (key, record) = newest_record(&pool);
    let made = api().post(&images, &json!({ "name": "a", "sizeBytes": 1 << 20 })).unwrap().expect(201).json();
    let id = made["id"].as_str().unwrap();
    // It was run three times.
    let failed = finished(&api(), &died_running(&pool, &key, &record, id, 2));
    assert_eq!((&failed["state"], &failed["kind"]), (&json!("failed"), &json!("removeImage")), "{failed}");
    assert!(failed["problem"]["detail"].as_str().unwrap().contains("3 times"), "{failed}");
    api().get(&format!("{images}/a")).unwrap().expect(200);
    // It was run twice.
    let resumed = finished(&api(), &died_running(&pool, &key, &record, id, 1));
    assert_eq!(resumed["state"], "succeeded", "{resumed}");
    assert_eq!(api().get(&format!("{images}/a")).unwrap().status, 404);
}
