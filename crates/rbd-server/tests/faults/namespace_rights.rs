//! An entity that has rights for one namespace of one pool only.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use testbed::ceph::Ceph;
use testbed::service::{ApiClient, RbdService, RbdServiceOptions};

use crate::support::{BINARY, SLACK, eventually, finished, new_image, pool, readiness, shared};

const SOON: Duration = Duration::from_secs(30);

/// A pool with two namespaces, and an entity with rights for the first: pool, entity, keyring.
fn tenant(ceph: &Ceph) -> (String, String, PathBuf) {
    let pool = pool(ceph);
    for namespace in ["mine", "other"] {
        ceph.rbd(&["namespace", "create", &format!("{pool}/{namespace}")]).unwrap();
    }
    let entity = format!("tenant-{pool}");
    let osd = format!("profile rbd pool={pool} namespace=mine");
    let keyring = ceph.add_client(&entity, &[("mon", "profile rbd"), ("osd", &osd)]).unwrap();
    (pool, format!("client.{entity}"), keyring)
}

fn service(ceph: &Ceph, entity: &str, keyring: &std::path::Path, more: &[&str]) -> RbdService {
    let arguments = [&["--id", entity], more].concat();
    RbdServiceOptions::with_files(BINARY, ceph.conf(), keyring).arguments(&arguments).start().unwrap()
}

fn forbidden(client: &ApiClient, method: &str, path: &str, capability: &str) {
    let rejected = client.send(method, path, &[], &[]).unwrap().expect(403);
    let problem = rejected.json();
    assert_eq!(
        (rejected.problem().as_str(), &problem["capability"]),
        ("ceph-forbidden", &json!(capability)),
        "{problem}"
    );
    assert!(problem["correction"].as_str().unwrap().contains("ceph auth caps"), "{problem}");
}

fn large_image(ceph: &Ceph, image: &str) {
    ceph.rbd(&["create", "--size", "96G", "--image-feature", "layering", image]).unwrap();
}

#[test]
fn service_with_rights_for_one_namespace_serves_it_and_nothing_else() {
    let ceph = shared();
    let (pool, entity, keyring) = tenant(ceph);
    let service = service(ceph, &entity, &keyring, &[]);
    assert_eq!(readiness(&service), (200, "ready\n".to_owned()));
    let client = &service.client;
    let mine = format!("/api/v1/pools/{pool}/namespaces/mine");

    client.post(&format!("{mine}/images"), &new_image("a")).unwrap().expect(201);
    client.put(&format!("{mine}/images/a"), &json!({ "sizeBytes": 8 << 20 })).unwrap().expect(200);
    client.post(&format!("{mine}/images/a/snapshots"), &json!({ "name": "s" })).unwrap().expect(201);
    let list = client.get(&format!("{mine}/images?view=full")).unwrap().expect(200).json();
    assert_eq!(list["Items"][0]["snapshots"][0]["name"], "s", "{list}");
    client.post(&format!("{mine}/groups"), &json!({ "name": "g" })).unwrap().expect(201);
    client.put(&mine, &Value::Null).unwrap().expect(200);

    // Long work has its record in the namespace, under an id that leads there.
    let begun = client.delete(&format!("{mine}/images/a/snapshots")).unwrap().expect(202);
    let ended = finished(client, begun.header("location"), SOON);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    client.delete(&format!("{mine}/images/a?retention=0s")).unwrap().expect(200);
    assert_eq!(client.get(&format!("{mine}/trash")).unwrap().expect(200).json()["Items"][0]["removable"], true);
    let purged = client.send("POST", &format!("{mine}/trash/purge"), &[], &[]).unwrap().expect(202);
    assert_eq!(finished(client, purged.header("location"), SOON)["state"], "succeeded");
    for path in
        ["/api/v1/operations".to_owned(), format!("{mine}/operations"), format!("/api/v1/pools/{pool}/operations")]
    {
        let list = client.get(&path).unwrap().expect(200).json();
        let kinds: Vec<&str> =
            list["Items"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["purgeSnapshots", "purgeTrash"], "{path}: {list}");
    }
    // An import has a record too, and shows the image as what it is.
    let bytes = vec![7; 1 << 20];
    client.send("PUT", &format!("{mine}/images/imported/data"), &[], &bytes).unwrap().expect(201);
    assert_eq!(client.get(&format!("{mine}/images/imported")).unwrap().expect(200).json()["state"], "ready");

    let whole = format!("osd 'profile rbd pool={pool}'");
    for (method, path) in [
        ("GET", format!("/api/v1/pools/{pool}/images")),
        ("GET", format!("/api/v1/pools/{pool}/trash")),
        ("GET", format!("/api/v1/pools/{pool}/namespaces")),
        ("PUT", format!("/api/v1/pools/{pool}/namespaces/new")),
        ("GET", format!("/api/v1/pools/{pool}/statistics")),
        ("GET", format!("/api/v1/pools/{pool}/trash/schedule")),
    ] {
        forbidden(client, method, &path, &whole);
    }
    let other = format!("osd 'profile rbd pool={pool} namespace=other'");
    forbidden(client, "GET", &format!("/api/v1/pools/{pool}/namespaces/other/images"), &other);
    let rejected = client.post("/api/v1/pools", &json!({ "name": "new" })).unwrap().expect(403);
    assert_eq!(rejected.json()["capability"], "mon 'allow command \"osd pool create\"'");
    assert_eq!(readiness(&service).0, 200);
}

#[test]
fn replicas_with_rights_for_one_namespace_take_over_from_each_other_and_follow_its_schedule() {
    let ceph = shared();
    let (pool, entity, keyring) = tenant(ceph);
    let told = format!("{pool}/mine");
    let mut first = service(ceph, &entity, &keyring, &[]);
    // Told of the namespace, it looks after it before anybody asks.
    let second = service(ceph, &entity, &keyring, &["--namespace", &told]);
    large_image(ceph, &format!("{pool}/mine/a"));
    let mine = format!("/api/v1/pools/{pool}/namespaces/mine");
    let begun = first.client.delete(&format!("{mine}/images/a?permanent=true")).unwrap().expect(202);
    let location = begun.header("location").to_owned();
    first.kill().unwrap();
    let ended = finished(&second.client, &location, Duration::from_secs(120));
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(ceph.rbd(&["ls", &told]).unwrap(), "");

    let client = &second.client;
    client.post(&format!("{mine}/images"), &new_image("b")).unwrap().expect(201);
    client.delete(&format!("{mine}/images/b?retention=0s")).unwrap().expect(200);
    let body = json!({ "interval": "1h", "startAt": Timestamp::now().to_string() });
    client.put(&format!("{mine}/trash/schedule"), &body).unwrap().expect(201);
    eventually("the purge", SOON + SLACK, || {
        let list = client.get(&format!("{mine}/trash")).unwrap().expect(200).json();
        list["Items"].as_array().unwrap().is_empty().then_some(())
    });
    // A service with rights for the whole pool sees the same, and cleans up with the namespace.
    let whole = crate::support::service(ceph, &[]);
    let list = whole.client.get(&format!("{mine}/operations")).unwrap().expect(200).json();
    assert_eq!(list["Items"][0]["kind"], "removeImage", "{list}");
    assert_eq!(whole.client.get(&location).unwrap().expect(200).json()["state"], "succeeded");
    whole.client.delete(&mine).unwrap().expect(204);
    assert_eq!(ceph.rados(&["-p", &pool, "-N", "mine", "ls"]).unwrap(), "");
}

#[test]
fn check_says_what_rights_for_namespaces_allow() {
    let ceph = shared();
    let (pool, entity, keyring) = tenant(ceph);
    let check = |more: &[&str]| {
        let mut command = std::process::Command::new(BINARY);
        command
            .args(["check", "--id", &entity])
            .arg("--ceph-conf")
            .arg(ceph.conf())
            .arg("--keyring")
            .arg(&keyring)
            .args(more);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = check(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("may use no pool as a whole"), "{text}");
    assert!(text.contains("--namespace POOL/NAMESPACE"), "{text}");
    let (code, text) = check(&["--namespace", &format!("{pool}/mine")]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("may use the images of namespace \"{pool}/mine\"")), "{text}");
    let (code, text) = check(&["--namespace", &format!("{pool}/other")]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("osd 'profile rbd pool={pool} namespace=other'")), "{text}");
}
