//! Namespaces of a pool.

use serde_json::json;

use crate::support::{api, ceph, pool};

#[test]
fn a_namespace_is_made_listed_and_deleted() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/namespaces");
    let empty = api().get(&path).unwrap().expect(200).text();
    assert_eq!(empty, r#"{"Kind":"NamespaceList","APIVersion":"v1","Items":[]}"#);
    let made = api().post(&path, &json!({ "name": "b" })).unwrap().expect(201);
    assert_eq!(made.header("location"), format!("{path}/b"));
    assert_eq!(api().post(&path, &json!({ "name": "b" })).unwrap().expect(409).problem(), "exists");
    let put = || api().send("PUT", &format!("{path}/a"), &[], &[]).unwrap();
    assert_eq!(put().expect(201).header("location"), format!("{path}/a"));
    put().expect(200);
    let list = api().get(&path).unwrap().expect(200).json();
    assert_eq!(list["Items"], json!([{ "name": "a", "pool": pool }, { "name": "b", "pool": pool }]));
    assert!(ceph().rbd(&["namespace", "ls", &pool]).unwrap().contains('a'));
    assert_eq!(api().get(&format!("{path}/a")).unwrap().expect(200).json()["name"], "a");
    api().delete(&format!("{path}/a")).unwrap().expect(204);
    assert_eq!(api().get(&format!("{path}/a")).unwrap().expect(404).problem(), "namespace-not-found");
    assert_eq!(api().delete(&format!("{path}/a")).unwrap().expect(404).problem(), "namespace-not-found");
    assert_eq!(api().get("/api/v1/pools/none/namespaces").unwrap().expect(404).problem(), "pool-not-found");
    let post = api().post("/api/v1/pools/none/namespaces", &json!({ "name": "a" })).unwrap();
    assert_eq!(post.expect(404).problem(), "pool-not-found");
    assert_eq!(api().post(&path, &json!({ "name": "a/b" })).unwrap().expect(400).json()["field"], "name");
}

#[test]
fn the_service_keeps_its_own_namespace_for_itself() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/namespaces");
    assert_eq!(api().post(&path, &json!({ "name": "sparrow" })).unwrap().expect(409).json()["field"], "name");
    let put = api().send("PUT", &format!("{path}/sparrow"), &[], &[]).unwrap().expect(409);
    assert_eq!(put.json()["field"], "namespace");
    // One that somebody made all the same is shown.
    ceph().rbd(&["namespace", "create", &format!("{pool}/sparrow")]).unwrap();
    assert_eq!(api().get(&path).unwrap().expect(200).json()["Items"][0]["name"], "sparrow");
}

#[test]
fn a_namespace_that_holds_something_stays_and_says_what() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/namespaces/n");
    ceph().rbd(&["namespace", "create", &format!("{pool}/n")]).unwrap();
    ceph().rbd(&["create", "--size", "1", &format!("{pool}/n/a")]).unwrap();
    let held = api().delete(&path).unwrap().expect(409);
    assert_eq!((held.problem().as_str(), &held.json()["images"]), ("in-use", &json!(["a"])));
    ceph().rbd(&["trash", "mv", &format!("{pool}/n/a")]).unwrap();
    // librbd would drop a group with its namespace, and leave its header behind.
    ceph().rbd(&["group", "create", &format!("{pool}/n/g")]).unwrap();
    let held = api().delete(&path).unwrap().expect(409).json();
    assert_eq!(held["images"], json!([]));
    assert_eq!(held["trash"][0]["name"], "a");
    assert_eq!(held["groups"], json!(["g"]));
    assert!(held["detail"].as_str().unwrap().contains("1 in its trash, 1 group(s)"), "{held}");
    ceph().rbd(&["trash", "purge", &format!("{pool}/n")]).unwrap();
    ceph().rbd(&["group", "rm", &format!("{pool}/n/g")]).unwrap();
    api().delete(&path).unwrap().expect(204);
    assert_eq!(ceph().rados(&["-p", &pool, "-N", "n", "ls"]).unwrap(), "");
}
