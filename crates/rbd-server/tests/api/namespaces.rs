//! Namespaces of a pool.

use ceph::OmapChange;
use serde_json::json;

use crate::support::{api, ceph, context, pool};

#[test]
fn namespace_is_made_listed_and_deleted() {
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
    let ready = |name: &str| json!({ "name": name, "pool": pool, "state": "ready" });
    assert_eq!(list["Items"], json!([ready("a"), ready("b")]));
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
fn service_keeps_its_own_namespace_for_itself() {
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
fn namespace_that_holds_something_stays_and_says_what() {
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

#[test]
fn namespace_of_which_half_is_there_is_shown_finished_and_deleted() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/namespaces");
    let listed = |names: &[&[u8]]| {
        let set = names.iter().map(|name| ([b"name_", *name].concat(), Vec::new())).collect();
        let change = OmapChange { set, ..OmapChange::default() };
        context(&pool).omap_change("rbd_namespace", &change).unwrap();
    };
    listed(&[b"half", b"other", b"a/b", b"\xff", b""]);
    let list = api().get(&path).unwrap().expect(200).json();
    let states: Vec<(&str, &str)> = list["Items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["name"].as_str().unwrap(), item["state"].as_str().unwrap()))
        .collect();
    let expected = [
        ("", "unusable"),
        ("a/b", "incomplete"),
        ("half", "incomplete"),
        ("other", "incomplete"),
        ("/\\xff", "unusable"),
    ];
    assert_eq!(states, expected, "{list}");
    let half = api().get(&format!("{path}/half")).unwrap().expect(200).json();
    assert!(half["state"] == "incomplete" && half["stateReason"].is_string(), "{half}");
    // What is made there would not be seen.
    let images = format!("{path}/half/images");
    assert_eq!(api().get(&images).unwrap().expect(404).problem(), "namespace-not-found");
    api().send("PUT", &format!("{path}/half"), &[], &[]).unwrap().expect(201);
    assert_eq!(api().get(&format!("{path}/half")).unwrap().expect(200).json()["state"], "ready");
    api().post(&images, &json!({ "name": "a", "sizeBytes": 1 })).unwrap().expect(201);
    api().send("PUT", &format!("{path}/half"), &[], &[]).unwrap().expect(200);
    for name in ["other", "a%2Fb"] {
        api().delete(&format!("{path}/{name}")).unwrap().expect(204);
        assert_eq!(api().get(&format!("{path}/{name}")).unwrap().expect(404).problem(), "namespace-not-found");
    }
    let left = ceph().rbd(&["namespace", "ls", &pool]).unwrap();
    assert!(left.contains("half") && !left.contains("other") && !left.contains("a/b"), "{left}");
}
