//! Differences between snapshots.

use serde_json::{Value, json};
use testbed::service::Answer;

use super::import::begin;
use super::{Files, MIB, assert_same, diff, half_empty, image, listed_state, noise};
use crate::support::{api, ceph, pool, service};

const STREAM: &str = "application/vnd.ceph.rbd-diff";

/// An image `a` with snapshots `s1` and `s2` and changes after each; the files that made it.
fn changed(layout: &[&str], files: &Files) -> String {
    let pool = pool();
    let a = format!("{pool}/a");
    let file = files.write("a", &half_empty(1, 20 * MIB + 77, 2 * MIB));
    ceph().rbd(&[&["import", "--no-progress"], layout, &[&file, &a]].concat()).unwrap();
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{a}@s1")]).unwrap();
    let size = 24 * MIB + 5;
    let file = files.write("d1", &diff(2, size, &[(MIB, 5000), (21 * MIB, MIB)], &[(4 * MIB, 8 * MIB), (13 * MIB, 6)]));
    ceph().rbd(&["import-diff", "--no-progress", &file, &a]).unwrap();
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{a}@s2")]).unwrap();
    let file = files.write("d2", &diff(3, size, &[(6 * MIB + 1, 70_000)], &[]));
    ceph().rbd(&["import-diff", "--no-progress", &file, &a]).unwrap();
    pool
}

/// What `rbd diff` says, in the API's words.
fn rbd_diff(arguments: &[&str]) -> Vec<Value> {
    let json = ceph().rbd(&[&["diff", "--format", "json"], arguments].concat()).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let parts = json.as_array().unwrap().iter().map(|part| {
        let exists = part["exists"] == "true" || part["exists"] == true;
        json!({ "offsetBytes": part["offset"], "lengthBytes": part["length"], "exists": exists })
    });
    joined(parts)
}

/// Parts with neighbours of a kind made one: `rbd` gives them per object.
fn joined(parts: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let number = |part: &Value, field: &str| part[field].as_u64().unwrap();
    for part in parts {
        match all.last_mut() {
            Some(last)
                if last["exists"] == part["exists"]
                    && number(last, "offsetBytes") + number(last, "lengthBytes") == number(&part, "offsetBytes") =>
            {
                last["lengthBytes"] = (number(last, "lengthBytes") + number(&part, "lengthBytes")).into();
            }
            _ => all.push(part),
        }
    }
    all
}

#[test]
fn diff_lists_the_parts_of_rbd_diff() {
    for layout in [&[][..], &["--image-feature", "layering"]] {
        let files = Files::new();
        let pool = changed(layout, &files);
        for (query, image, rbd) in [
            ("", "a", vec![]),
            ("?to=s1", "a@s1", vec![]),
            ("?from=s1&to=s2", "a@s2", vec!["--from-snap", "s1"]),
            ("?from=s2", "a", vec!["--from-snap", "s2"]),
            ("?from=s1&wholeObjects=true", "a", vec!["--from-snap", "s1", "--whole-object"]),
        ] {
            let list = api().get(&format!("{}/diff{query}", super::image(&pool, "a"))).unwrap().expect(200).json();
            assert_eq!((&list["Kind"], &list["APIVersion"]), (&json!("ExtentList"), &json!("v1")));
            let spec = format!("{pool}/{image}");
            let expected = rbd_diff(&[&rbd[..], &[&spec]].concat());
            assert_eq!(list["Items"], Value::from(expected), "{layout:?} {query}");
        }
    }
}

#[test]
fn diff_stream_is_accepted_by_rbd_import_diff() {
    let files = Files::new();
    let pool = changed(&[], &files);
    let b = format!("{pool}/b");
    ceph().rbd(&["create", "--size", "1M", &b]).unwrap();
    let diffs = format!("{}/diff", image(&pool, "a"));
    for (query, accept, state) in [
        ("?to=s1", STREAM, "a@s1"),
        ("?from=s1&to=s2&format=stream&wholeObjects=true", "*/*", "a@s2"),
        ("?from=s2", "text/plain, application/vnd.ceph.rbd-diff;q=0.5", "a"),
    ] {
        let answer = api().send("GET", &format!("{diffs}{query}"), &[("accept", accept)], &[]).unwrap().expect(200);
        assert_eq!(answer.header("content-type"), STREAM);
        let file = files.write("stream", &answer.body);
        ceph().rbd(&["import-diff", "--no-progress", &file, &b]).unwrap();
        let expected = files.exported(&format!("{pool}/{state}"));
        assert_same(&files.exported(&b), &expected, query);
    }
    for snapshot in ["s1", "s2"] {
        let expected = files.exported(&format!("{pool}/a@{snapshot}"));
        assert_same(&files.exported(&format!("{b}@{snapshot}")), &expected, snapshot);
    }
}

fn apply(path: &str, stream: &[u8]) -> Answer {
    api().send("POST", &format!("{path}/diff"), &[("content-type", STREAM)], stream).unwrap()
}

#[test]
fn stream_of_rbd_export_diff_is_applied() {
    let files = Files::new();
    let pool = changed(&[], &files);
    let (b, path) = (format!("{pool}/b"), image(&pool, "b"));
    ceph().rbd(&["create", "--size", "1M", &b]).unwrap();
    let export = |arguments: &[&str]| {
        let file = files.path("exported-diff");
        let _ = std::fs::remove_file(&file);
        ceph().rbd(&[&["export-diff", "--no-progress"], arguments, &[file.to_str().unwrap()]].concat()).unwrap();
        std::fs::read(file).unwrap()
    };
    let first = export(&[&format!("{pool}/a@s1")]);
    let second = export(&["--from-snap", "s1", &format!("{pool}/a@s2")]);
    let third = export(&["--from-snap", "s2", &format!("{pool}/a")]);
    // Not in this order.
    assert_eq!(apply(&path, &second).expect(404).problem(), "snapshot-not-found");
    for (stream, state) in [(&first, "a@s1"), (&second, "a@s2"), (&third, "a")] {
        let answer = apply(&path, stream).expect(200).json();
        assert_eq!((&answer["state"], &answer["metadata"]), (&json!("ready"), &json!({})), "{answer}");
        assert_same(&files.exported(&b), &files.exported(&format!("{pool}/{state}")), state);
    }
    assert_same(&files.exported(&format!("{b}@s1")), &files.exported(&format!("{pool}/a@s1")), "s1");
    assert_same(&files.exported(&format!("{b}@s2")), &files.exported(&format!("{pool}/a@s2")), "s2");
    let again = apply(&path, &second).expect(409);
    assert_eq!((again.problem(), &again.json()["snapshots"]), ("exists".into(), &json!(["s2"])));
}

#[test]
fn diff_that_was_cut_off_leaves_the_image_incomplete_and_finishes_when_sent_again() {
    let files = Files::new();
    let pool = changed(&[], &files);
    let path = image(&pool, "a");
    let stream = diff(11, 24 * MIB, &[(0, 9 * MIB), (12 * MIB, MIB)], &[(10 * MIB, MIB)]);
    let answer = apply(&path, &stream[..stream.len() - 1]).expect(409);
    assert!(answer.text().contains("ends in the middle"), "{}", answer.text());
    assert_eq!(listed_state(&pool, "a"), "incomplete");
    // The image is closed behind the answer.
    let started = std::time::Instant::now();
    let mut again = apply(&path, &stream);
    while again.problem() == "in-use" && started.elapsed() < std::time::Duration::from_secs(5) {
        assert!(again.json()["watchers"][0]["address"].is_string(), "{}", again.text());
        std::thread::sleep(std::time::Duration::from_millis(50));
        again = apply(&path, &stream);
    }
    again.expect(200);
    assert_eq!(listed_state(&pool, "a"), "ready");
    let mut expected = files.exported(&format!("{pool}/a@s2"));
    expected.truncate(24 << 20);
    let put = |bytes: &mut [u8], at: u64, data: &[u8]| {
        let at = usize::try_from(at).unwrap();
        bytes[at..at + data.len()].copy_from_slice(data);
    };
    put(&mut expected, 0, &noise(11, 9 * MIB));
    put(&mut expected, 12 * MIB, &noise(12, MIB));
    put(&mut expected, 10 * MIB, &vec![0; 1 << 20]);
    assert_same(&files.exported(&format!("{pool}/a")), &expected, "after all");
}

#[test]
fn impossible_diff_is_rejected_with_the_reason() {
    let pool = pool();
    ceph().rbd(&["create", "--size", "8M", &format!("{pool}/a")]).unwrap();
    for snapshot in ["s1", "s2"] {
        ceph().rbd(&["snap", "create", "--no-progress", &format!("{pool}/a@{snapshot}")]).unwrap();
    }
    let path = image(&pool, "a");
    let get = |query: &str| api().get(&format!("{path}/diff{query}")).unwrap();
    assert_eq!(get("?from=no").expect(404).problem(), "snapshot-not-found");
    assert_eq!(get("?from=s2&to=s1").expect(409).json()["field"], "from");
    assert_eq!(get("?form=s1").expect(400).json()["field"], "form");
    assert_eq!(get("?from=s1").expect(200).json()["Items"], json!([]));
    for body in
        [&b""[..], b"rbd", b"rbd diff v3\n", b"rbd diff v1\nx", &[b"rbd diff v1\ne".as_slice(), b"more"].concat()]
    {
        assert_eq!(apply(&path, body).expect(409).problem(), "not-a-diff", "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(apply(&image(&pool, "b"), b"rbd diff v1\ne").expect(404).problem(), "image-not-found");
    // Nobody is written behind the back of: another import has the image open.
    let other = image(&pool, "other");
    let import = begin(service(), &format!("{other}/data"), 100_000, b"abc");
    let started = std::time::Instant::now();
    while api().get(&other).unwrap().json()["state"] != "incomplete" {
        assert!(started.elapsed() < std::time::Duration::from_secs(10));
    }
    let used = apply(&other, b"rbd diff v1\ne").expect(409);
    assert_eq!(used.problem(), "in-use");
    assert!(used.json()["watchers"][0]["client"].as_str().unwrap().starts_with("client."), "{}", used.text());
    drop(import);
    // An answer is not cut short: the whole list of an empty image.
    ceph().rbd(&["create", "--size", "0", &format!("{pool}/empty")]).unwrap();
    let list = api().get(&format!("{}/diff", image(&pool, "empty"))).unwrap().expect(200).text();
    assert_eq!(list, r#"{"Kind":"ExtentList","APIVersion":"v1","Items":[]}"#);
}
