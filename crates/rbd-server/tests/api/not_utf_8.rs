//! Names that are not UTF-8, which Ceph's own clients may give. No request can hold them; lists say that they are there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{api, ceph, pool};

const NAME: &[u8] = b"bad\xff";
/// What [`NAME`] is in base64.
const BASE64: &str = "YmFk/w==";
/// How [`NAME`] is shown.
const SHOWN: &str = "/bad\\xff";

/// A command that finds the test's cluster.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let (conf, keyring) = (ceph().conf().display(), ceph().keyring().display());
    command.env("CEPH_ARGS", format!("--conf {conf} --keyring {keyring}"));
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `rbd` with these words, then a pool, and a name of bytes in it.
fn rbd(words: &[&str], place: &str, name: &[u8]) {
    run(command("rbd").args(words).arg(OsStr::from_bytes(&[place.as_bytes(), b"/", name].concat())));
}

fn items(path: &str) -> Vec<Value> {
    api().get(path).unwrap().expect(200).json()["Items"].as_array().unwrap().clone()
}

fn item(path: &str, name: &str) -> Value {
    let items = items(path);
    items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name} is not in {items:?}")).clone()
}

#[test]
fn image_with_a_name_of_other_bytes_is_told_from_all_others() {
    let pool = pool();
    ceph().rbd(&["namespace", "create", &format!("{pool}/n")]).unwrap();
    for (place, path) in [
        (pool.clone(), format!("/api/v1/pools/{pool}")),
        (format!("{pool}/n"), format!("/api/v1/pools/{pool}/namespaces/n")),
    ] {
        let images = format!("{path}/images");
        rbd(&["create", "--size", "8M"], &place, NAME);
        // Two whose names are what a careless list would show for it.
        for name in ["bad\\xff", "bad\u{fffd}"] {
            api().post(&images, &json!({ "name": name, "sizeBytes": 1 << 20 })).unwrap().expect(201);
        }
        let names: Vec<Value> = items(&images).iter().map(|item| item["name"].clone()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(item(&images, SHOWN)["nameBase64"], BASE64);
        assert!(item(&images, "bad\\xff").get("nameBase64").is_none());

        let full = format!("{images}?view=full");
        let image = item(&full, SHOWN);
        assert_eq!((&image["state"], &image["nameBase64"]), (&json!("unusable"), &json!(BASE64)));
        assert_eq!(image["sizeBytes"], 8 << 20);
        assert_eq!(item(&full, "bad\\xff")["state"], "ready");
        // Each page of a list that goes on behind it has one.
        let mut seen = Vec::new();
        let mut next = format!("{images}?limit=1");
        loop {
            let page = api().get(&next).unwrap().expect(200).json();
            seen.extend(page["Items"].as_array().unwrap().iter().map(|item| item["name"].clone()));
            let Some(token) = page["Continue"].as_str() else { break };
            next = format!("{images}?limit=1&continue={token}");
        }
        assert_eq!(seen, names);
        for wrong in ["bad%ff", "%2Fbad%5Cxff"] {
            let answer = api().get(&format!("{images}/{wrong}")).unwrap();
            assert!([400, 404].contains(&answer.status), "{wrong}: {}", answer.text());
        }

        // What its reason advises helps.
        let reason = image["stateReason"].as_str().unwrap();
        let (_, advice) = reason.split_once("in bash: ").unwrap_or_else(|| panic!("{reason}"));
        run(command("bash").args(["-c", &advice.replace("NEW-NAME", "good")]));
        assert_eq!(api().get(&format!("{images}/good")).unwrap().expect(200).json()["id"], image["id"]);
    }
}

#[test]
fn snapshot_group_and_trash_names_of_other_bytes_are_told_from_all_others() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}");
    ceph().rbd(&["create", "--size", "8M", &format!("{pool}/a")]).unwrap();
    rbd(&["snap", "create", "--no-progress"], &pool, b"a@bad\xff");
    api().put(&format!("{path}/images/a/snapshots/bad%5Cxff"), &json!(null)).unwrap().expect(201);
    let snapshots = format!("{path}/images/a/snapshots");
    assert_eq!(item(&snapshots, SHOWN)["nameBase64"], BASE64);
    assert!(item(&snapshots, "bad\\xff").get("nameBase64").is_none());
    assert_eq!(api().get(&format!("{snapshots}/%2Fbad%5Cxff")).unwrap().status, 404);

    rbd(&["group", "create"], &pool, NAME);
    api().put(&format!("{path}/groups/bad%5Cxff"), &json!(null)).unwrap().expect(201);
    assert_eq!(items(&format!("{path}/groups")).len(), 2);
    item(&format!("{path}/groups"), SHOWN);

    rbd(&["namespace", "create"], &pool, NAME);
    item(&format!("{path}/namespaces"), SHOWN);

    rbd(&["create", "--size", "8M"], &pool, NAME);
    rbd(&["trash", "mv"], &pool, NAME);
    let id = item(&format!("{path}/trash"), SHOWN)["id"].as_str().unwrap().to_owned();
    let restore = format!("{path}/trash/{id}/restore");
    api().post(&restore, &json!({ "name": "good" })).unwrap().expect(200);
    api().get(&format!("{path}/images/good")).unwrap().expect(200);
}
