//! Pools.

use serde_json::json;
use testbed::ceph::{Ceph, CephOptions};
use testbed::service::RbdServiceOptions;

use crate::support::{BINARY, api, ceph, pool};

#[test]
fn pool_list_has_the_published_form_and_is_current() {
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
fn pool_is_made_and_deleted() {
    let name = format!("made-{}", std::process::id());
    let path = format!("/api/v1/pools/{name}");
    let made = api().post("/api/v1/pools", &json!({ "name": name })).unwrap().expect(201);
    assert_eq!(made.header("location"), path);
    // Ready for images at once.
    ceph().rbd(&["create", "--size", "1", &format!("{name}/a")]).unwrap();
    assert_eq!(api().post("/api/v1/pools", &json!({ "name": name })).unwrap().expect(409).problem(), "exists");
    assert_eq!(api().delete(&path).unwrap().expect(400).json()["field"], "confirm");
    let other = api().delete(&format!("{path}?confirm=other")).unwrap().expect(409);
    assert_eq!((&*other.problem(), &other.json()["field"]), ("field-conflict", &json!("confirm")));
    api().delete(&format!("{path}?confirm={name}")).unwrap().expect(204);
    assert_eq!(api().get(&path).unwrap().expect(404).problem(), "pool-not-found");
}

#[test]
fn full_view_shows_what_the_monitors_know() {
    let name = pool();
    ceph().ceph(&["osd", "pool", "set-quota", &name, "max_bytes", "1048576"]).unwrap();
    let list = api().get("/api/v1/pools?view=full").unwrap().expect(200).json();
    let shown = list["Items"].as_array().unwrap().iter().find(|pool| pool["name"] == name).unwrap();
    assert_eq!(shown["kind"], "replicated");
    assert_eq!(shown["applications"], json!(["rbd"]));
    assert_eq!((&shown["size"], &shown["minSize"], &shown["pgNum"]), (&json!(1), &json!(1), &json!(8)));
    assert_eq!((&shown["quotaBytes"], &shown["quotaObjects"]), (&json!(1_048_576), &json!(null)));
    assert_eq!((&shown["autoscaleMode"], &shown["crushRule"]), (&json!("off"), &json!("replicated_rule")));
    assert!(shown["createdAt"].as_str().unwrap().ends_with('Z'), "{shown}");
    assert_eq!(&api().get(&format!("/api/v1/pools/{name}")).unwrap().expect(200).json(), shown);
    assert_eq!(api().get("/api/v1/pools?view=more").unwrap().expect(400).json()["field"], "view");
}

#[test]
fn putting_a_pool_is_idempotent() {
    let name = format!("put-{}", std::process::id());
    let path = format!("/api/v1/pools/{name}");
    let spec =
        json!({ "pgNum": 16, "size": 1, "quotaBytes": 1 << 30, "quotaObjects": 1000, "crushRule": "replicated_rule" });
    let made = api().put(&path, &spec).unwrap().expect(201);
    assert_eq!(made.header("location"), path);
    let shown = made.json();
    assert_eq!(shown["pgNum"], 16, "{shown}");
    assert_eq!((&shown["quotaBytes"], &shown["quotaObjects"]), (&json!(1 << 30), &json!(1000)));
    ceph().rbd(&["create", "--size", "1", &format!("{name}/a")]).unwrap();
    assert_eq!(api().put(&path, &spec).unwrap().expect(200).json(), shown);
    // What is not said may be anything.
    api().send("PUT", &path, &[], &[]).unwrap().expect(200);
    let other = api().put(&path, &json!({ "pgNum": 32, "quotaBytes": 1 << 30 })).unwrap().expect(409);
    assert_eq!(other.json()["differences"], json!([{ "field": "pgNum", "is": 16, "asked": 32 }]));
    assert_eq!(api().post("/api/v1/pools", &json!({ "name": name })).unwrap().expect(409).problem(), "exists");
    assert_eq!(api().put(&path, &json!({ "replicas": 2 })).unwrap().expect(400).json()["field"], "replicas");
    assert_eq!(api().put(&path, &json!({ "pgNum": 0 })).unwrap().expect(400).json()["field"], "pgNum");
    assert_eq!(api().put(&path, &json!({ "crushRule": "" })).unwrap().expect(400).json()["field"], "crushRule");
    assert_eq!(api().put("/api/v1/pools/.x", &json!({})).unwrap().expect(400).json()["field"], "pool");
    let rejected = api().put("/api/v1/pools/norule", &json!({ "crushRule": "none-such" })).unwrap().expect(409);
    assert!(rejected.json()["detail"].as_str().unwrap().contains("none-such"), "{}", rejected.text());
}

#[test]
fn pool_whose_making_was_cut_off_is_finished_by_the_same_call() {
    // It may make pools and not mark them for rbd.
    let name = format!("half-{}", std::process::id());
    let caps = [("mon", "profile rbd, allow command \"osd pool create\""), ("osd", "profile rbd")];
    let keyring = ceph().add_client("half", &caps).unwrap();
    let service =
        RbdServiceOptions::with_files(BINARY, ceph().conf(), &keyring).arguments(&["--id", "half"]).start().unwrap();
    // It then makes none,
    let rejected = service.client.post("/api/v1/pools", &json!({ "name": name })).unwrap().expect(403);
    assert!(rejected.json()["capability"].as_str().unwrap().contains("application enable"), "{}", rejected.text());
    api().get(&format!("/api/v1/pools/{name}")).unwrap().expect(404);
    // and cannot finish one.
    ceph().ceph(&["osd", "pool", "create", &name]).unwrap();
    let half = service.client.post("/api/v1/pools", &json!({ "name": name })).unwrap().expect(403);
    assert_eq!(half.problem(), "ceph-forbidden");
    assert_eq!(half.json()["unfinishedPool"], name, "{}", half.text());
    assert!(half.json()["capability"].as_str().unwrap().contains("osd pool application enable"), "{}", half.text());
    assert!(half.json()["correction"].as_str().unwrap().contains("repeat the call"), "{}", half.text());
    // It is listed, and seen to be for nothing.
    let shown = api().get(&format!("/api/v1/pools/{name}")).unwrap().expect(200).json();
    assert_eq!(shown["applications"], json!([]));
    let finished = api().post("/api/v1/pools", &json!({ "name": name })).unwrap().expect(201).json();
    assert_eq!(finished["applications"], json!(["rbd"]));
    ceph().rbd(&["create", "--size", "1", &format!("{name}/a")]).unwrap();
}

#[test]
fn forbidden_change_of_a_pool_names_the_capability() {
    let name = pool();
    let keyring = ceph().add_client("nopools", &[("mon", "profile rbd"), ("osd", "profile rbd")]).unwrap();
    let service =
        RbdServiceOptions::with_files(BINARY, ceph().conf(), &keyring).arguments(&["--id", "nopools"]).start().unwrap();
    let rejected = service.client.post("/api/v1/pools", &json!({ "name": "nopools" })).unwrap().expect(403);
    assert_eq!(rejected.json()["capability"], "mon 'allow command \"osd pool create\"'");
    let rejected = service.client.delete(&format!("/api/v1/pools/{name}?confirm={name}")).unwrap().expect(403);
    assert_eq!(rejected.json()["capability"], "mon 'allow command \"osd pool delete\"'");
    service.client.get(&format!("/api/v1/pools/{name}")).unwrap().expect(200);
    // With no more than these capabilities it may.
    let caps = "profile rbd, allow command \"osd pool create\", allow command \"osd pool delete\", \
                allow command \"osd pool application enable\", allow command \"osd pool set-quota\"";
    let keyring = ceph().add_client("pools", &[("mon", caps), ("osd", "profile rbd")]).unwrap();
    let service =
        RbdServiceOptions::with_files(BINARY, ceph().conf(), &keyring).arguments(&["--id", "pools"]).start().unwrap();
    let spec = json!({ "name": "bycaps", "quotaObjects": 100 });
    service.client.post("/api/v1/pools", &spec).unwrap().expect(201);
    service.client.delete("/api/v1/pools/bycaps?confirm=bycaps").unwrap().expect(204);
}

#[test]
fn cluster_that_forbids_deleting_pools_says_so() {
    let ceph = Ceph::start(CephOptions::default()).unwrap();
    ceph.create_pool("p").unwrap();
    ceph.ceph(&["tell", "mon.a", "injectargs", "--mon_allow_pool_delete=false"]).unwrap();
    let service = RbdServiceOptions::new(BINARY, &ceph).start().unwrap();
    let rejected = service.client.delete("/api/v1/pools/p?confirm=p").unwrap().expect(403);
    assert!(rejected.json()["correction"].as_str().unwrap().contains("mon_allow_pool_delete"), "{}", rejected.text());
}

#[test]
fn statistics_count_images_of_all_namespaces_and_survive_a_half_deleted_one() {
    let name = pool();
    let image = |name: &str| ceph().rbd(&["create", "--size", "1G", name]).unwrap();
    ceph().rbd(&["namespace", "create", &format!("{name}/n")]).unwrap();
    image(&format!("{name}/a"));
    image(&format!("{name}/half"));
    image(&format!("{name}/n/b"));
    image(&format!("{name}/n/c"));
    ceph().rbd(&["snap", "create", &format!("{name}/a@s")]).unwrap();
    ceph().rbd(&["trash", "mv", &format!("{name}/n/c")]).unwrap();
    let path = format!("/api/v1/pools/{name}/statistics");
    let shown = api().get(&path).unwrap().expect(200).json();
    assert_eq!(shown["images"], json!({ "count": 3, "provisionedBytes": 3_u64 << 30, "snapshots": 1 }), "{shown}");
    assert_eq!(shown["trash"], json!({ "count": 1, "provisionedBytes": 1 << 30, "snapshots": 0 }), "{shown}");
    assert_eq!(shown["namespaces"], 1);
    // No manager, no numbers.
    assert!(shown["space"].is_null());
    assert!(shown["unknown"]["space"].as_str().unwrap().contains("No manager is active"), "{shown}");
    let info = ceph().rbd(&["info", "--format", "json", &format!("{name}/half")]).unwrap();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    ceph().rados(&["-p", &name, "rm", &format!("rbd_header.{}", info["id"].as_str().unwrap())]).unwrap();
    let shown = api().get(&path).unwrap().expect(200).json();
    assert_eq!(shown["images"]["provisionedBytes"], 2_u64 << 30, "{shown}");
    assert_eq!(api().get("/api/v1/pools/none/statistics").unwrap().expect(404).problem(), "pool-not-found");
}

#[test]
fn erasure_coded_pool_has_no_images() {
    // On one OSD it can never be active, and whoever looks into all pools waits for it: so on a cluster of its own.
    let ceph = Ceph::start(CephOptions::default()).unwrap();
    let service = RbdServiceOptions::new(BINARY, &ceph).start().unwrap();
    let profile = ["osd", "erasure-code-profile", "set", "test21", "k=2", "m=1", "crush-failure-domain=osd"];
    ceph.ceph(&profile).unwrap();
    ceph.ceph(&["osd", "pool", "create", "ec", "erasure", "test21"]).unwrap();
    let path = "/api/v1/pools/ec";
    assert_eq!(service.client.get(path).unwrap().expect(200).json()["kind"], "erasure");
    let other = service.client.put(path, &json!({})).unwrap().expect(409).json();
    assert_eq!(other["differences"][0]["field"], "kind", "{other}");
}

#[test]
fn statistics_add_up_what_can_be_read_and_name_the_rest() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    for name in ["a", "damaged"] {
        api().post(&images, &json!({ "name": name, "sizeBytes": 8 << 20 })).unwrap().expect(201);
    }
    let id = api().get(&format!("{images}/damaged")).unwrap().json()["id"].as_str().unwrap().to_owned();
    ceph().rados(&["-p", &pool, "setomapval", &format!("rbd_header.{id}"), "snapshot_0000000000000001", "x"]).unwrap();
    let statistics = api().get(&format!("/api/v1/pools/{pool}/statistics")).unwrap().expect(200).json();
    let sums = json!({ "count": 2, "provisionedBytes": 8 << 20, "snapshots": 0 });
    assert_eq!(statistics["images"], sums, "{statistics}");
    assert_eq!(statistics["unread"][0]["image"], "damaged", "{statistics}");
}
