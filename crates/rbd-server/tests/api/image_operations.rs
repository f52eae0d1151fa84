//! Long work on images: deleting, resizing, flattening, copying, sparsifying, rolling back.

use serde_json::{Value, json};
use testbed::service::Answer;

use crate::support::{api, ceph, finished, pool};

/// The operation that an answer began, when it has ended.
fn operation(answer: Answer) -> Value {
    finished(&api(), answer.expect(202).header("location"))
}

fn image(path: &str) -> Value {
    api().get(path).unwrap().expect(200).json()
}

#[test]
fn deleting_moves_to_the_trash_with_a_retention() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "8", &format!("{pool}/a")]).unwrap();
    let path = format!("/api/v1/pools/{pool}/images/a");
    let wrong = api().delete(&format!("{path}?retention=soon")).unwrap().expect(400).json();
    assert_eq!(wrong["field"], "retention");
    let trashed = api().delete(&format!("{path}?retention=12h")).unwrap().expect(200).json();
    let expires = trashed["expiresAt"].as_str().unwrap().to_owned();
    let listed = ceph().rbd(&["trash", "ls", "--long", "--format", "json", &pool]).unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["id"], trashed["id"], "{listed}");
    assert_eq!(listed[0]["name"], "a");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let date = std::process::Command::new("date").args(["-d", &expires, "+%s"]).output().unwrap();
    let until: u64 = String::from_utf8(date.stdout).unwrap().trim().parse().unwrap();
    assert!((now + 12 * 3600 - 60..=now + 12 * 3600 + 60).contains(&until), "{expires}");

    // From the trash it goes for good only when it is time, or forced.
    let id = trashed["id"].as_str().unwrap();
    let trash = format!("/api/v1/pools/{pool}/trash/{id}");
    assert_eq!(api().delete(&trash).unwrap().expect(409).problem(), "conflict");
    assert_eq!(operation(api().delete(&format!("{trash}?force=true")).unwrap())["state"], "succeeded");
    assert_eq!(ceph().rbd(&["trash", "ls", "--all", &pool]).unwrap(), "");
    assert_eq!(api().delete(&trash).unwrap().expect(404).problem(), "trash-not-found");
}

#[test]
fn deleting_for_good_names_what_stands_in_the_way() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "8", &format!("{pool}/a")]).unwrap();
    ceph().rbd(&["snap", "create", &format!("{pool}/a@s1")]).unwrap();
    let path = format!("/api/v1/pools/{pool}/images/a?permanent=true");
    let problem = api().delete(&path).unwrap().expect(409);
    assert_eq!(problem.json()["snapshots"], json!(["s1"]), "{}", problem.text());
    ceph().rbd(&["snap", "rm", &format!("{pool}/a@s1")]).unwrap();
    let done = operation(api().delete(&path).unwrap());
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(done["kind"], "removeImage");
    assert_eq!(done["requestedBy"], "anonymous");
    assert_eq!(ceph().rbd(&["ls", &pool]).unwrap(), "");
    assert_eq!(api().delete(&path).unwrap().expect(404).problem(), "image-not-found");
}

#[test]
fn half_deleted_image_is_listed_and_can_be_removed_again() {
    let pool = pool();
    for name in ["a", "b", "c"] {
        ceph().rbd(&["create", "--size", "8", &format!("{pool}/{name}")]).unwrap();
    }
    // What a removal leaves that was cut off after the header had gone.
    let header = ceph().rbd(&["info", "--format", "json", &format!("{pool}/b")]).unwrap();
    let header: Value = serde_json::from_str(&header).unwrap();
    ceph().rados(&["-p", &pool, "rm", &format!("rbd_header.{}", header["id"].as_str().unwrap())]).unwrap();
    let images = format!("/api/v1/pools/{pool}/images");
    let list = api().get(&format!("{images}?view=full")).unwrap().expect(200).json();
    let states: Vec<_> = list["Items"].as_array().unwrap().iter().map(|item| &item["state"]).collect();
    assert_eq!(states, ["ready", "removing", "ready"], "{list}");
    assert_eq!(api().post(&format!("{images}/b/flatten"), &json!({})).unwrap().expect(409).problem(), "removing");
    let done = operation(api().delete(&format!("{images}/b?permanent=true")).unwrap());
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(ceph().rbd(&["ls", &pool]).unwrap(), "a\nc\n");
}

#[test]
fn growing_is_done_at_once_and_shrinking_is_asked_for() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "64", &format!("{pool}/a")]).unwrap();
    let path = format!("/api/v1/pools/{pool}/images/a");
    let resize = format!("{path}/resize");
    let grown = api().post(&resize, &json!({ "sizeBytes": 128 << 20 })).unwrap().expect(200).json();
    assert_eq!(grown["sizeBytes"], 128 << 20);
    let rejected = api().post(&resize, &json!({ "sizeBytes": 32 << 20 })).unwrap().expect(409).json();
    assert_eq!(rejected["sizeBytes"], 128 << 20);
    assert_eq!(api().post(&resize, &json!({ "sizeBytes": 0 })).unwrap().expect(400).json()["field"], "sizeBytes");
    let done = operation(api().post(&resize, &json!({ "sizeBytes": 32 << 20, "allowShrink": true })).unwrap());
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(image(&path)["sizeBytes"], 32 << 20);
}

#[test]
fn clones_are_flattened_copied_and_rolled_back() {
    let pool = pool();
    let name = |image: &str| format!("{pool}/{image}");
    ceph().rbd(&["create", "--size", "16", &name("a")]).unwrap();
    ceph().rbd(&["bench", "--io-type", "write", "--io-size", "4M", "--io-total", "16M", &name("a")]).unwrap();
    ceph().rbd(&["snap", "create", &name("a@s")]).unwrap();
    ceph().rbd(&["clone", "--rbd-default-clone-format", "2", &name("a@s"), &name("b")]).unwrap();
    let images = format!("/api/v1/pools/{pool}/images");
    assert_eq!(image(&format!("{images}/b"))["parent"]["image"], "a");

    let done = operation(api().post(&format!("{images}/b/flatten"), &json!({})).unwrap());
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(image(&format!("{images}/b"))["parent"], Value::Null);
    assert_eq!(api().post(&format!("{images}/b/flatten"), &json!({})).unwrap().expect(409).problem(), "conflict");

    ceph().rbd(&["namespace", "create", &format!("{pool}/ns")]).unwrap();
    let body = json!({ "name": "copy", "namespace": "ns", "deep": true });
    let done = operation(api().post(&format!("{images}/a/copy"), &body).unwrap());
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(done["place"], json!({ "pool": pool, "namespace": "ns" }));
    let copied = image(&format!("/api/v1/pools/{pool}/namespaces/ns/images/copy"));
    assert_eq!(copied["snapshots"][0]["name"], "s", "{copied}");
    assert_eq!(api().post(&format!("{images}/a/copy"), &body).unwrap().expect(409).problem(), "exists");
    let sum = |image: &str| {
        let output = std::process::Command::new("sh")
            .args(["-c", "rbd --conf \"$1\" --keyring \"$2\" export --no-progress \"$3\" - | sha256sum", "sh"])
            .args([ceph().conf(), ceph().keyring()])
            .arg(image)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let before = sum(&name("a"));
    assert_eq!(before, sum(&format!("{pool}/ns/copy")));

    ceph().rbd(&["bench", "--io-type", "write", "--io-size", "4K", "--io-total", "64K", &name("a")]).unwrap();
    assert_ne!(before, sum(&name("a")));
    let done = operation(api().post(&format!("{images}/a/snapshots/s/rollback"), &json!({})).unwrap());
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(done["cancellable"], false);
    assert_eq!(before, sum(&name("a")));

    for work in ["sparsify", "rebuild-object-map"] {
        let done = operation(api().post(&format!("{images}/a/{work}"), &json!({})).unwrap());
        assert_eq!(done["state"], "succeeded", "{done}");
    }
    assert_eq!(before, sum(&name("a")));
}

#[test]
fn open_image_is_not_deleted_unless_forced_and_its_watchers_are_named() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "1024", &format!("{pool}/a")]).unwrap();
    let mut writer = std::process::Command::new("rbd")
        .arg("--conf")
        .arg(ceph().conf())
        .arg("--keyring")
        .arg(ceph().keyring())
        .args(["bench", "--io-type", "write", "--io-size", "4K", "--io-total", "100G", &format!("{pool}/a")])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let path = format!("/api/v1/pools/{pool}/images/a");
    let started = std::time::Instant::now();
    while !ceph().rbd(&["status", &format!("{pool}/a")]).unwrap().contains("watcher=") {
        assert!(started.elapsed().as_secs() < 20);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for query in ["", "?permanent=true"] {
        let problem = api().delete(&format!("{path}{query}")).unwrap().expect(409);
        assert_eq!(problem.problem(), "in-use");
        assert_eq!(problem.json()["watchers"].as_array().unwrap().len(), 1, "{}", problem.text());
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    // Its watch lasts; the forced removal waits for its end, and says so.
    let accepted = api().delete(&format!("{path}?permanent=true&force=true")).unwrap().expect(202);
    let location = accepted.header("location").to_owned();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let waiting = api().get(&location).unwrap().expect(200).json();
    assert!(waiting["waitingFor"].as_str().is_some_and(|what| what.contains("watch")), "{waiting}");
    let done = finished(&api(), &location);
    assert_eq!(done["state"], "succeeded", "{done}");
}

#[test]
fn purge_removes_what_has_expired_and_nothing_else() {
    let pool = pool();
    for (name, retention) in [("old", "0s"), ("young", "1h")] {
        ceph().rbd(&["create", "--size", "8", &format!("{pool}/{name}")]).unwrap();
        let path = format!("/api/v1/pools/{pool}/images/{name}?retention={retention}");
        api().delete(&path).unwrap().expect(200);
    }
    let done = operation(api().post(&format!("/api/v1/pools/{pool}/trash/purge"), &json!({})).unwrap());
    assert_eq!(done["state"], "succeeded", "{done}");
    let left = ceph().rbd(&["trash", "ls", "--all", &pool]).unwrap();
    assert!(left.contains("young") && !left.contains("old"), "{left}");
    let missing = api().post("/api/v1/pools/none/trash/purge", &json!({})).unwrap().expect(404);
    assert_eq!(missing.problem(), "pool-not-found");
}
