//! `kill -9` of a replica in the middle of its work.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::ceph::Ceph;
use testbed::service::ApiClient;

use crate::support::{
    MIB, SLACK, Upload, contents, data, eventually, finished, images, large_image, left_over, noise, patient, pool,
    shared,
};

/// The lease of an operation (15 s), the watch of a dead client (31 s), and the rest of the work on a busy machine.
const TAKEN_OVER: Duration = Duration::from_secs(90);

/// Waits until an operation has made some way, so that the kill hits its middle.
fn under_way(client: &ApiClient, location: &str) {
    eventually("progress", Duration::from_secs(20), || {
        let operation = client.get(location).unwrap().expect(200).json();
        assert!(["queued", "running"].contains(&operation["state"].as_str().unwrap()), "over already: {operation}");
        (operation["progress"]["done"].as_u64() > Some(0)).then_some(())
    });
}

/// Deletes an image for good, and again while a dead client's watch keeps it.
fn remove(client: &ApiClient, pool: &str, name: &str) {
    let path = format!("{}/{name}?permanent=true", images(pool));
    let accepted = eventually("the removal is accepted", Duration::from_secs(60), || {
        let answer = client.delete(&path).unwrap();
        assert!([202, 409].contains(&answer.status), "{}", answer.text());
        (answer.status == 202).then_some(answer)
    });
    let gone = finished(client, accepted.header("location"), TAKEN_OVER);
    assert_eq!(gone["state"], "succeeded", "{gone}");
}

/// The images of a pool by their names and states.
fn states(client: &ApiClient, pool: &str) -> Vec<(String, String)> {
    let list = client.get(&format!("{}?view=full", images(pool))).unwrap().expect(200).json();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    list["Items"].as_array().unwrap().iter().map(|item| (text(item, "name"), text(item, "state"))).collect()
}

/// A pool that was used, and what it then holds.
fn used_pool(ceph: &Ceph) -> (String, BTreeSet<String>) {
    let pool = pool(ceph);
    ceph.rbd(&["create", "--size", "8", &format!("{pool}/warm")]).unwrap();
    ceph.rbd(&["rm", "--no-progress", &format!("{pool}/warm")]).unwrap();
    let before = contents(ceph, &pool);
    (pool, before)
}

#[test]
fn removal_whose_replica_was_killed_is_resumed_and_leaves_nothing() {
    let ceph = shared();
    let (pool, before) = used_pool(ceph);
    large_image(ceph, &pool, "a");
    ceph.rbd(&["bench", "--io-type", "write", "--io-size", "4M", "--io-total", "64M", &format!("{pool}/a")]).unwrap();
    ceph.rbd(&["create", "--size", "8", &format!("{pool}/kept")]).unwrap();
    let other = patient(ceph);
    let mut first = patient(ceph);
    let removal = first.client.delete(&format!("{}/a?permanent=true", images(&pool))).unwrap().expect(202);
    under_way(&first.client, removal.header("location"));
    first.kill().unwrap();
    // Whatever it has become, it fails no list.
    for (name, state) in states(&other.client, &pool) {
        assert!(name == "kept" || ["ready", "removing"].contains(&state.as_str()), "{name} {state}");
    }
    let removed = finished(&other.client, removal.header("location"), TAKEN_OVER);
    assert_eq!(removed["state"], "succeeded", "{removed}");
    // Services of other tests on the cluster are replicas too, and may have taken it over and ended.
    assert!(removed["resumed"].as_u64() >= Some(1), "{removed}");
    assert_eq!(states(&other.client, &pool), [("kept".to_owned(), "ready".to_owned())]);
    remove(&other.client, &pool, "kept");
    assert_eq!(left_over(&before, &contents(ceph, &pool)), Vec::<String>::new());
}

#[test]
fn copy_whose_replica_was_killed_is_said_to_be_interrupted_and_can_be_removed() {
    let ceph = shared();
    let (pool, before) = used_pool(ceph);
    let image = format!("{pool}/a");
    ceph.rbd(&["create", "--size", "1G", &image]).unwrap();
    ceph.rbd(&["bench", "--io-type", "write", "--io-size", "4M", "--io-total", "64M", &image]).unwrap();
    // Its clients read it slowly, however quick the machine is.
    ceph.rbd(&["image-meta", "set", &image, "conf_rbd_qos_read_iops_limit", "10"]).unwrap();
    let other = patient(ceph);
    let mut first = patient(ceph);
    let body = json!({ "name": "copy" });
    let copy = first.client.post(&format!("{}/a/copy", images(&pool)), &body).unwrap().expect(202);
    under_way(&other.client, copy.header("location"));
    first.kill().unwrap();
    let interrupted = finished(&other.client, copy.header("location"), TAKEN_OVER);
    assert_eq!(interrupted["state"], "interrupted", "{interrupted}");
    assert!(interrupted["problem"]["correction"].as_str().unwrap().contains("delete it"), "{interrupted}");
    let listed = states(&other.client, &pool);
    assert!(listed.contains(&("a".to_owned(), "ready".to_owned())), "{listed:?}");
    for (name, state) in listed {
        if name == "copy" {
            assert_eq!(state, "incomplete");
            remove(&other.client, &pool, "copy");
        }
    }
    // The source is whole and can be copied again.
    remove(&other.client, &pool, "a");
    assert_eq!(left_over(&before, &contents(ceph, &pool)), Vec::<String>::new());
}

#[test]
fn import_whose_replica_was_killed_is_listed_as_incomplete_and_can_be_removed() {
    let ceph = shared();
    let (pool, before) = used_pool(ceph);
    let other = patient(ceph);
    let mut first = patient(ceph);
    let mut upload = Upload::start(&first, &data(&pool, "a"), 64 * MIB);
    upload.send(&noise(5, 24 * MIB)).unwrap();
    let listed = || states(&other.client, &pool).first().map(|(_, state)| state.clone());
    eventually("the other replica lists it", Duration::from_secs(5) + SLACK, || {
        (listed().as_deref() == Some("incomplete")).then_some(())
    });
    // Some of it has been written.
    eventually("data objects", Duration::from_secs(10), || {
        contents(ceph, &pool).iter().any(|object| object.contains("rbd_data.")).then_some(())
    });
    first.kill().unwrap();
    assert_eq!(listed().as_deref(), Some("incomplete"));
    let operations = format!("/api/v1/pools/{pool}/operations");
    let import = other.client.get(&operations).unwrap().expect(200).json()["Items"][0].clone();
    assert_eq!(import["kind"], "import", "{import}");
    let path = format!("/api/v1/operations/{}", import["id"].as_str().unwrap());
    let interrupted = finished(&other.client, &path, TAKEN_OVER);
    assert_eq!(interrupted["state"], "interrupted", "{interrupted}");
    assert!(interrupted["problem"]["correction"].as_str().unwrap().contains("delete it"), "{interrupted}");
    assert_eq!(listed().as_deref(), Some("incomplete"));
    assert_eq!(other.client.get(&data(&pool, "a")).unwrap().status, 409);
    remove(&other.client, &pool, "a");
    assert_eq!(states(&other.client, &pool), []);
    assert_eq!(left_over(&before, &contents(ceph, &pool)), Vec::<String>::new());
}
