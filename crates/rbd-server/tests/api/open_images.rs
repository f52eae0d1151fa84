//! What destroys data of an image that another client has open is rejected with that client, unless forced.

use std::path::Path;

use ceph::{Access, Image, ImageRef, ignore_progress};
use serde_json::{Value, json};
use testbed::service::Answer;

use crate::support::{api, ceph, context, finished, pool};

const MIB: u64 = 1 << 20;

fn path(pool: &str, name: &str) -> String {
    format!("/api/v1/pools/{pool}/images/{name}")
}

/// An image of 8 MiB whose snapshot `s` is empty, and whose first bytes are `new` now.
fn changed(pool: &str, name: &str) {
    let spec = format!("{pool}/{name}");
    ceph().rbd(&["create", "--size", "8M", &spec]).unwrap();
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{spec}@s")]).unwrap();
    ceph()
        .rbd(&["bench", "--io-type", "write", "--io-size", "4K", "--io-total", "4K", "--io-threads", "1", &spec])
        .unwrap();
}

/// Another client that has an image open for writing.
fn open(pool: &str, name: &str) -> Image {
    context(pool).open_image(ImageRef::Name(name), None, Access::ReadWrite).unwrap()
}

/// The first bytes of an image, as `rbd` reads them.
fn first_bytes(pool: &str, name: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("exported");
    let to = |file: &Path| file.to_str().unwrap().to_owned();
    ceph().rbd(&["export", "--no-progress", &format!("{pool}/{name}"), &to(&file)]).unwrap();
    std::fs::read(&file).unwrap()[..4096].to_vec()
}

/// A rejection with the one client that is in the way.
#[track_caller]
fn assert_in_use(answer: Answer, client: &str) {
    let answer = answer.expect(409);
    assert_eq!(answer.problem(), "in-use", "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["watchers"][0]["client"], client, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(client), "{problem}");
    assert!(problem["correction"].as_str().unwrap().contains("force"), "{problem}");
}

fn client(image: &Image) -> String {
    format!("client.{}", image.io_context().cluster().instance_id())
}

fn operation(answer: Answer) -> Value {
    finished(&api(), answer.expect(202).header("location"))
}

#[test]
fn rollback_is_rejected_with_the_client_unless_forced() {
    let pool = pool();
    changed(&pool, "a");
    let written = first_bytes(&pool, "a");
    let live = open(&pool, "a");
    let rollback = format!("{}/snapshots/s/rollback", path(&pool, "a"));
    assert_in_use(api().post(&rollback, &json!({})).unwrap(), &client(&live));
    assert_in_use(api().post(&rollback, &json!({ "force": false })).unwrap(), &client(&live));
    assert_eq!(first_bytes(&pool, "a"), written);
    let done = operation(api().post(&format!("{rollback}?force=true"), &json!({})).unwrap());
    assert_eq!((&done["state"], &done["force"]), (&json!("succeeded"), &json!(true)), "{done}");
    assert_ne!(first_bytes(&pool, "a"), written);
    live.close().unwrap();
    // Without a client it needs no force.
    assert_eq!(operation(api().post(&rollback, &json!({})).unwrap())["state"], "succeeded");
}

#[test]
fn shrinking_is_rejected_with_the_client_unless_forced_and_growing_is_not() {
    let pool = pool();
    changed(&pool, "a");
    let live = open(&pool, "a");
    let resize = format!("{}/resize", path(&pool, "a"));
    api().post(&resize, &json!({ "sizeBytes": 16 * MIB })).unwrap().expect(200);
    let smaller = json!({ "sizeBytes": 4 * MIB, "allowShrink": true });
    assert_in_use(api().post(&resize, &smaller).unwrap(), &client(&live));
    assert_eq!(api().get(&path(&pool, "a")).unwrap().expect(200).json()["sizeBytes"], 16 * MIB);
    let forced = json!({ "sizeBytes": 4 * MIB, "allowShrink": true, "force": true });
    assert_eq!(operation(api().post(&resize, &forced).unwrap())["state"], "succeeded");
    let smaller = json!({ "sizeBytes": 2 * MIB, "allowShrink": true });
    assert_eq!(operation(api().post(&format!("{resize}?force=true"), &smaller).unwrap())["state"], "succeeded");
    assert_eq!(live.size_bytes().unwrap(), 2 * MIB);
}

#[test]
fn rollback_of_a_group_names_the_clients_of_all_its_images() {
    let pool = pool();
    for name in ["a", "b", "c"] {
        changed(&pool, name);
    }
    ceph().rbd(&["group", "create", &format!("{pool}/g")]).unwrap();
    for name in ["a", "b", "c"] {
        ceph().rbd(&["group", "image", "add", &format!("{pool}/g"), &format!("{pool}/{name}")]).unwrap();
    }
    ceph().rbd(&["group", "snap", "create", &format!("{pool}/g@gs")]).unwrap();
    let (first, second) = (open(&pool, "a"), open(&pool, "c"));
    let rollback = format!("/api/v1/pools/{pool}/groups/g/snapshots/gs/rollback");
    let rejected = api().post(&rollback, &json!({})).unwrap().expect(409);
    assert_eq!(rejected.problem(), "in-use", "{}", rejected.text());
    let problem = rejected.json();
    let clients: Vec<&Value> =
        problem["watchers"].as_array().unwrap().iter().map(|watcher| &watcher["client"]).collect();
    assert_eq!(clients, [&json!(client(&first)), &json!(client(&second))], "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("\"a\"") && detail.contains("\"c\"") && !detail.contains("\"b\""), "{detail}");
    assert_eq!(operation(api().post(&format!("{rollback}?force=true"), &json!({})).unwrap())["state"], "succeeded");
    drop((first, second));
    assert_eq!(operation(api().post(&rollback, &json!({})).unwrap())["state"], "succeeded");
    // Other images than those that the snapshot is of.
    ceph().rbd(&["group", "image", "rm", &format!("{pool}/g"), &format!("{pool}/b")]).unwrap();
    let changed = api().post(&rollback, &json!({})).unwrap().expect(409).json();
    assert_eq!(changed["removed"], json!(["b"]), "{changed}");
}

#[test]
fn kept_lock_is_reported_with_its_holder() {
    let pool = pool();
    changed(&pool, "a");
    let live = open(&pool, "a");
    live.keep_exclusive_lock().unwrap();
    let holder = client(&live);
    let rollback = format!("{}/snapshots/s/rollback", path(&pool, "a"));
    assert_in_use(api().post(&rollback, &json!({})).unwrap(), &holder);
    let failed = operation(api().post(&format!("{rollback}?force=true"), &json!({})).unwrap());
    assert_eq!(failed["state"], "failed", "{failed}");
    assert_held(&failed["problem"], &holder);
}

#[track_caller]
fn assert_held(problem: &Value, holder: &str) {
    assert_eq!(problem["type"], "urn:sparrow:problem:in-use", "{problem}");
    assert_eq!(problem["locks"][0]["client"], holder, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(holder), "{problem}");
}

#[test]
fn group_names_the_client_that_keeps_it_from_a_snapshot() {
    let pool = pool();
    ceph().rbd(&["group", "create", &format!("{pool}/g")]).unwrap();
    for name in ["a", "b"] {
        changed(&pool, name);
        ceph().rbd(&["group", "image", "add", &format!("{pool}/g"), &format!("{pool}/{name}")]).unwrap();
    }
    let live = open(&pool, "b");
    live.keep_exclusive_lock().unwrap();
    let snapshots = format!("/api/v1/pools/{pool}/groups/g/snapshots");
    let rejected = api().post(&snapshots, &json!({ "name": "gs" })).unwrap().expect(409).json();
    assert_held(&rejected, &client(&live));
    assert!(rejected["detail"].as_str().unwrap().starts_with("Image \"b\""), "{rejected}");
}

#[test]
fn lock_that_was_taken_by_hand_counts_as_a_client() {
    let pool = pool();
    changed(&pool, "a");
    let holder = context(&pool).open_image(ImageRef::Name("a"), None, Access::ReadOnly).unwrap();
    holder.lock_exclusive("maintenance").unwrap();
    let rollback = format!("{}/snapshots/s/rollback", path(&pool, "a"));
    let rejected = api().post(&rollback, &json!({})).unwrap().expect(409).json();
    assert_eq!(rejected["locks"][0]["cookie"], "maintenance", "{rejected}");
}

#[test]
fn clients_are_looked_at_again_when_the_operation_starts() {
    let pool = pool();
    changed(&pool, "a");
    let written = first_bytes(&pool, "a");
    // As many operations as run at once, each waiting for a client that has its image open.
    let waiting: Vec<(Image, String)> = (0..4)
        .map(|number| {
            let name = format!("busy-{number}");
            ceph().rbd(&["create", "--size", "8M", &format!("{pool}/{name}")]).unwrap();
            let live = open(&pool, &name);
            let removal = api().delete(&format!("{}?permanent=true&force=true", path(&pool, &name))).unwrap();
            (live, removal.expect(202).header("location").to_owned())
        })
        .collect();
    for (_, location) in &waiting {
        let started = std::time::Instant::now();
        while api().get(location).unwrap().expect(200).json()["waitingFor"].is_null() {
            assert!(started.elapsed().as_secs() < 20, "{location}");
            std::thread::yield_now();
        }
    }
    let rollback = api().post(&format!("{}/snapshots/s/rollback", path(&pool, "a")), &json!({})).unwrap().expect(202);
    let shrink = json!({ "sizeBytes": MIB, "allowShrink": true });
    changed(&pool, "b");
    let shrink = api().post(&format!("{}/resize", path(&pool, "b")), &shrink).unwrap().expect(202);
    let (first, second) = (open(&pool, "a"), open(&pool, "b"));
    for (live, location) in waiting {
        live.close().unwrap();
        assert_eq!(finished(&api(), &location)["state"], "succeeded");
    }
    for (answer, live) in [(rollback, &first), (shrink, &second)] {
        let failed = finished(&api(), answer.header("location"));
        assert_eq!(failed["state"], "failed", "{failed}");
        assert_eq!(failed["problem"]["watchers"][0]["client"], client(live), "{failed}");
    }
    assert_eq!(first_bytes(&pool, "a"), written);
    assert_eq!(second.size_bytes().unwrap(), 8 * MIB);
}

#[test]
fn change_that_clients_cannot_see_needs_no_force() {
    let pool = pool();
    changed(&pool, "a");
    ceph().rbd(&["snap", "protect", &format!("{pool}/a@s")]).unwrap();
    ceph().rbd(&["clone", &format!("{pool}/a@s"), &format!("{pool}/b")]).unwrap();
    let live = open(&pool, "b");
    for work in ["sparsify", "flatten", "rebuild-object-map"] {
        let done = operation(api().post(&format!("{}/{work}", path(&pool, "b")), &json!({})).unwrap());
        assert_eq!(done["state"], "succeeded", "{work}: {done}");
    }
    live.resize(crate::support::size(9 * MIB), false, &ignore_progress).unwrap();
}

#[test]
fn pool_with_images_that_clients_have_open_is_not_deleted_unless_forced() {
    let pool = pool();
    ceph().rbd(&["namespace", "create", &format!("{pool}/ns")]).unwrap();
    for name in ["a", "b", "ns/c"] {
        ceph().rbd(&["create", "--size", "8M", &format!("{pool}/{name}")]).unwrap();
    }
    let first = open(&pool, "b");
    let inner = context(&pool).in_namespace("ns").unwrap();
    let second = inner.open_image(ImageRef::Name("c"), None, Access::ReadWrite).unwrap();
    let delete = format!("/api/v1/pools/{pool}?confirm={pool}");
    let rejected = api().delete(&delete).unwrap().expect(409);
    assert_eq!(rejected.problem(), "in-use", "{}", rejected.text());
    let problem = rejected.json();
    let held: Vec<(&Value, &Value)> = problem["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| (&image["image"], &image["watchers"][0]["client"]))
        .collect();
    assert_eq!(held, [(&json!("b"), &json!(client(&first))), (&json!("c"), &json!(client(&second)))], "{problem}");
    first.close().unwrap();
    second.close().unwrap();
    api().delete(&delete).unwrap().expect(204);
}

#[test]
fn lock_taken_on_purpose_is_named_before_an_operation_is_accepted() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/images/a");
    let body = json!({ "name": "a", "sizeBytes": 8 << 20 });
    api().post(&format!("/api/v1/pools/{pool}/images"), &body).unwrap().expect(201);
    api().post(&format!("{path}/snapshots"), &json!({ "name": "s" })).unwrap().expect(201);
    ceph().rbd(&["lock", "add", &format!("{pool}/a"), "mine"]).unwrap();
    for answer in [
        api().post(&format!("{path}/sparsify"), &json!({})).unwrap(),
        api().post(&format!("{path}/rebuild-object-map"), &json!({})).unwrap(),
        api().delete(&format!("{path}/snapshots")).unwrap(),
        api().delete(&format!("{path}?permanent=true&deleteSnapshots=true&force=true")).unwrap(),
    ] {
        let problem = answer.expect(409).json();
        assert_eq!(problem["locks"][0]["cookie"], "mine", "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("is locked by client."), "{problem}");
    }
    let operations = api().get(&format!("/api/v1/pools/{pool}/operations")).unwrap().expect(200).json();
    assert_eq!(operations["Items"], json!([]), "{operations}");
}
