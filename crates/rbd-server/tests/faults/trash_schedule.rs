//! A trash that is purged by itself, while replicas come and go.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testbed::service::ApiClient;

use crate::support::{SLACK, eventually, finished, images, new_image, pool, service, shared};

/// How long it may take from the time of a schedule to its purge: replicas look every two seconds.
const SOON: Duration = Duration::from_secs(20);

fn in_seconds(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).to_string()
}

fn trash(client: &ApiClient, path: &str, name: &str, retention: &str) {
    client.post(path, &new_image(name)).unwrap().expect(201);
    client.delete(&format!("{path}/{name}?retention={retention}")).unwrap().expect(200);
}

fn names(client: &ApiClient, path: &str) -> Vec<String> {
    let list = client.get(path).unwrap().expect(200).json();
    list["Items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// The purges of a place, oldest first.
fn purges(client: &ApiClient, pool: &str, namespace: &str) -> Vec<Value> {
    let list = client.get(&format!("/api/v1/pools/{pool}/operations")).unwrap().expect(200).json();
    let items = list["Items"].as_array().unwrap();
    let here = |item: &&Value| item["kind"] == "purgeTrash" && item["place"]["namespace"] == namespace;
    items.iter().filter(here).cloned().collect()
}

#[test]
fn one_of_two_replicas_purges_and_a_restart_loses_nothing() {
    let ceph = shared();
    let pool = pool(ceph);
    ceph.rbd(&["namespace", "create", &format!("{pool}/n")]).unwrap();
    let mut replicas = [service(ceph, &[]), service(ceph, &[])];
    let client = replicas[0].client.clone();
    let (list, path) = (format!("/api/v1/pools/{pool}/trash"), format!("/api/v1/pools/{pool}/trash/schedule"));
    assert_eq!(client.get(&path).unwrap().expect(404).problem(), "schedule-not-found");
    trash(&client, &images(&pool), "expired", "0s");
    trash(&client, &images(&pool), "kept", "1h");

    let body = json!({ "interval": "1h", "startAt": in_seconds(1) });
    let set = client.put(&path, &body).unwrap().expect(201);
    assert_eq!(set.header("location"), path);
    assert_eq!((&set.json()["interval"], &set.json()["last"]), (&json!("1h"), &Value::Null));
    let operation = eventually("the purge", SOON + SLACK, || {
        client.get(&path).unwrap().expect(200).json()["last"]["operation"].as_str().map(str::to_owned)
    });
    let ended = finished(&client, &format!("/api/v1/operations/{operation}"), SOON);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert!(ended["requestedBy"].as_str().unwrap().contains("schedule"), "{ended}");
    assert_eq!(names(&client, &list), ["kept"]);
    let now = client.get(&path).unwrap().expect(200).json();
    assert!(now["nextAt"].as_str().unwrap() > now["last"]["at"].as_str().unwrap(), "{now}");

    // While no replica runs nothing happens; the next one that starts goes on.
    trash(&client, &images(&pool), "later", "0s");
    client.put(&path, &json!({ "interval": "1h", "startAt": in_seconds(4) })).unwrap().expect(200);
    for replica in &mut replicas {
        replica.kill().unwrap();
    }
    let again = [service(ceph, &[]), service(ceph, &[])];
    let client = again[0].client.clone();
    eventually("the purge after the restart", SOON + SLACK, || (names(&client, &list) == ["kept"]).then_some(()));
    // Both replicas have looked by the time that one schedule more has been followed.
    let place = format!("/api/v1/pools/{pool}/namespaces/n");
    trash(&client, &format!("{place}/images"), "inside", "0s");
    client
        .put(&format!("{place}/trash/schedule"), &json!({ "interval": "5m", "startAt": in_seconds(0) }))
        .unwrap()
        .expect(201);
    eventually("the namespace's purge", SOON + SLACK, || {
        names(&client, &format!("{place}/trash")).is_empty().then_some(())
    });
    assert_eq!(purges(&client, &pool, "").len(), 2);
    assert_eq!(purges(&client, &pool, "n").len(), 1);

    client.delete(&path).unwrap().expect(204);
    assert_eq!(client.delete(&path).unwrap().expect(404).problem(), "schedule-not-found");
    assert_eq!(client.get(&path).unwrap().expect(404).problem(), "schedule-not-found");
}

#[test]
fn schedule_waits_for_age_and_for_the_pool_to_fill() {
    let ceph = shared();
    let pool = pool(ceph);
    let service = service(ceph, &[]);
    let client = &service.client;
    let path = format!("/api/v1/pools/{pool}/trash/schedule");
    let list = format!("/api/v1/pools/{pool}/trash");
    trash(client, &images(&pool), "young", "0s");
    let last = |what: &str, member: &str| {
        eventually(what, SOON + SLACK, || {
            let last = client.get(&path).unwrap().expect(200).json()["last"][member].clone();
            last.as_str().map(str::to_owned)
        })
    };
    client.put(&path, &json!({ "interval": "1h", "olderThan": "1d", "startAt": in_seconds(0) })).unwrap().expect(201);
    let operation = last("a purge", "operation");
    assert_eq!(finished(client, &format!("/api/v1/operations/{operation}"), SOON)["state"], "succeeded");
    assert_eq!(names(client, &list), ["young"]);
    // Without a manager nobody knows how full the pool is: nothing is removed, and that is said.
    client
        .put(&path, &json!({ "interval": "1h", "poolFullerThanPercent": 80, "startAt": in_seconds(0) }))
        .unwrap()
        .expect(200);
    let skipped = last("a time that was skipped", "skipped");
    assert!(skipped.contains("How full the pool is"), "{skipped}");
    assert_eq!(names(client, &list), ["young"]);
}

#[test]
fn invalid_schedule_is_rejected() {
    let ceph = shared();
    let pool = pool(ceph);
    let service = service(ceph, &[]);
    let path = format!("/api/v1/pools/{pool}/trash/schedule");
    for (field, body) in [
        ("interval", json!({ "interval": "1s" })),
        ("interval", json!({ "interval": "never" })),
        ("interval", json!({ "interval": "2y" })),
        ("olderThan", json!({ "interval": "1h", "olderThan": "x" })),
        ("poolFullerThanPercent", json!({ "interval": "1h", "poolFullerThanPercent": 100 })),
        ("startAt", json!({ "interval": "1h", "startAt": "soon" })),
        ("more", json!({ "interval": "1h", "more": 1 })),
    ] {
        let rejected = service.client.put(&path, &body).unwrap().expect(400);
        assert_eq!(rejected.json()["field"], field, "{}", rejected.text());
    }
    assert_eq!(
        service.client.get("/api/v1/pools/no-such/trash/schedule").unwrap().expect(404).problem(),
        "pool-not-found"
    );
    assert_eq!(service.client.get(&path).unwrap().expect(404).problem(), "schedule-not-found");
}
