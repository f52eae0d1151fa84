//! The clients of an image: watchers and holders of its lock.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ceph::{Access, ImageRef};
use serde_json::{Value, json};

use crate::support::{api, ceph, cluster, image_with_features};

#[test]
fn watchers_are_named_and_reading_adds_none() {
    let (pool, path) = image_with_features(&["layering"]);
    let watchers = || api().get(&format!("{path}/watchers")).unwrap().expect(200).json();
    assert_eq!(watchers(), json!({ "Kind": "WatcherList", "APIVersion": "v1", "Items": [] }));
    let other = cluster();
    let open = other.io_context(&pool, "").unwrap().open_image(ImageRef::Name("a"), None, Access::ReadWrite).unwrap();
    let list = watchers();
    let client = format!("client.{}", other.instance_id());
    assert_eq!(list["Items"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["Items"][0]["client"], client.as_str());
    assert_eq!(list["Items"][0]["thisService"], false);
    let status: Value =
        serde_json::from_str(&ceph().rbd(&["status", &format!("{pool}/a"), "--format", "json"]).unwrap()).unwrap();
    assert_eq!(status["watchers"][0]["address"], list["Items"][0]["address"], "{status}");
    assert_eq!(status["watchers"][0]["cookie"], list["Items"][0]["cookie"], "{status}");
    drop(open);
    assert_eq!(watchers()["Items"], json!([]));
}

/// A client that writes without end, to be killed.
struct Writer(Child);

impl Writer {
    fn start(image: &str) -> Self {
        let child = Command::new("rbd")
            .args(["--conf", &ceph().conf().display().to_string()])
            .args(["--keyring", &ceph().keyring().display().to_string()])
            .args(["bench", "--io-type", "write", "--io-total", "1T", "--io-threads", "1", image])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn lock_is_listed_and_taken_away() {
    let (pool, path) = image_with_features(&["layering", "exclusive-lock"]);
    let locks = || api().get(&format!("{path}/locks")).unwrap().expect(200).json();
    assert_eq!(locks()["Items"], json!([]));
    let writer = Writer::start(&format!("{pool}/a"));
    let started = Instant::now();
    let held = loop {
        let held = locks();
        if held["Items"].as_array().unwrap().len() == 1 {
            break held["Items"][0].clone();
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{held}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        (&held["mode"], &held["tag"], &held["thisService"]),
        (&json!("exclusive"), &json!("internal"), &json!(false)),
        "{held}"
    );
    let ls: Value =
        serde_json::from_str(&ceph().rbd(&["lock", "ls", &format!("{pool}/a"), "--format", "json"]).unwrap()).unwrap();
    assert_eq!(ls[0]["locker"], held["client"], "{ls}");
    assert_eq!(ls[0]["id"], held["cookie"], "{ls}");
    assert_eq!(ls[0]["address"], held["address"], "{ls}");
    // Both parameters are needed, and must be those of the holder.
    let missing = api().delete(&format!("{path}/locks?client=client.1")).unwrap().expect(400);
    assert_eq!(missing.problem(), "invalid-field");
    let wrong = api().delete(&format!("{path}/locks?client=client.1&cookie=x")).unwrap().expect(404);
    assert_eq!(wrong.problem(), "lock-not-found");
    assert_eq!(wrong.json()["locks"][0], held, "what there is is shown");
    let query = format!(
        "client={}&cookie={}",
        held["client"].as_str().unwrap(),
        rbd_api::names::encode_segment(held["cookie"].as_str().unwrap())
    );
    api().delete(&format!("{path}/locks?{query}")).unwrap().expect(204);
    // The holder is blocklisted: it cannot take the lock again.
    let nonce = held["address"].as_str().unwrap().to_owned();
    assert!(ceph().ceph(&["osd", "blocklist", "ls"]).unwrap().contains(&nonce), "{nonce}");
    assert_eq!(locks()["Items"], json!([]));
    assert_eq!(api().delete(&format!("{path}/locks?{query}")).unwrap().expect(404).problem(), "lock-not-found");
    drop(writer);
    // The image works, at once.
    api().post(&format!("{path}/snapshots"), &json!({ "name": "s" })).unwrap().expect(201);
}

#[test]
fn rejected_operation_names_the_clients_of_the_image() {
    // Without exclusive-lock an advisory lock is all there is; with it, a holder that does not give it up.
    let (pool, path) = image_with_features(&["layering", "exclusive-lock"]);
    let other = cluster();
    let open = other.io_context(&pool, "").unwrap().open_image(ImageRef::Name("a"), None, Access::ReadWrite).unwrap();
    open.lock_exclusive("mine").unwrap();
    let problem = api().post(&format!("{path}/features"), &json!({ "disable": ["exclusive-lock"] })).unwrap();
    let problem = problem.expect(409);
    assert_eq!(problem.problem(), "in-use", "{}", problem.text());
    let client = format!("client.{}", other.instance_id());
    assert_eq!(problem.json()["watchers"][0]["client"], client.as_str(), "{}", problem.text());
    assert_eq!(problem.json()["locks"][0]["client"], client.as_str(), "{}", problem.text());
}
