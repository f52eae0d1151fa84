//! Pools.

use serde_json::json;

use crate::support::{api, ceph, pool};

#[test]
fn the_list_has_the_published_form_and_is_current() {
    let name = pool();
    let answer = api().get("/api/v1/pools/").unwrap().expect(200);
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    let list = answer.json();
    assert_eq!(list["Kind"], "PoolList");
    assert_eq!(list["APIVersion"], "v1");
    assert!(list["Items"].as_array().unwrap().contains(&json!({ "name": name })), "{list}");
    assert!(answer.text().starts_with(r#"{"Kind":"PoolList","APIVersion":"v1","Items":[{"name":""#), "{list}");
    // Another client deletes it: the next list is without it.
    ceph().delete_pool(&name).unwrap();
    let list = api().get("/api/v1/pools").unwrap().expect(200).json();
    assert!(!list["Items"].as_array().unwrap().contains(&json!({ "name": name })), "{list}");
}

#[test]
fn a_pool_is_made_and_deleted() {
    let name = format!("made-{}", std::process::id());
    let path = format!("/api/v1/pools/{name}");
    let made = api().post("/api/v1/pools", &json!({ "name": name })).unwrap().expect(201);
    assert_eq!(made.header("location"), path);
    // Ready for images at once.
    ceph().rbd(&["create", "--size", "1", &format!("{name}/a")]).unwrap();
    assert_eq!(api().post("/api/v1/pools", &json!({ "name": name })).unwrap().expect(409).problem(), "exists");
    assert_eq!(api().delete(&path).unwrap().expect(400).json()["field"], "confirm");
    api().delete(&format!("{path}?confirm={name}")).unwrap().expect(204);
    assert_eq!(api().get(&path).unwrap().expect(404).problem(), "pool-not-found");
}
