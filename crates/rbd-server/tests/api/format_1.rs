//! Images of format 1, which are shown and left alone.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{api, ceph, pool};

/// Makes an image as `rbd` made them by default before Jewel; a client of today has to be forced.
fn old_image(pool: &str, name: &str) {
    let made = Command::new("rbd")
        .env("RBD_FORCE_ALLOW_V1", "1")
        .arg("--conf")
        .arg(ceph().conf())
        .args(["create", "--image-format", "1", "--size", "10M", &format!("{pool}/{name}")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn names(list: &Value) -> Vec<String> {
    list["Items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn images_of_format_1_are_listed_after_the_others_and_shown() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/images");
    old_image(&pool, "old");
    old_image(&pool, "a-old");
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{pool}/old@s")]).unwrap();
    assert_eq!(names(&api().get(&path).unwrap().expect(200).json()), ["a-old", "old"]);
    for name in ["new", "z"] {
        ceph().rbd(&["create", "--size", "1M", &format!("{pool}/{name}")]).unwrap();
    }
    let all = ["new", "z", "a-old", "old"];
    assert_eq!(names(&api().get(&path).unwrap().expect(200).json()), all);
    assert_eq!(names(&api().get(&format!("{path}?prefix=o")).unwrap().expect(200).json()), ["old"]);
    // Page by page, also where pages end between the two kinds.
    for limit in 1..=4 {
        let (mut seen, mut next) = (Vec::new(), format!("{path}?limit={limit}"));
        loop {
            let page = api().get(&next).unwrap().expect(200).json();
            seen.extend(names(&page));
            let Some(token) = page["Continue"].as_str() else { break };
            next = format!("{path}?limit={limit}&continue={token}");
        }
        assert_eq!(seen, all, "pages of {limit}");
    }
    let list = api().get(&format!("{path}?view=full")).unwrap().expect(200).json();
    let formats: Vec<&Value> = list["Items"].as_array().unwrap().iter().map(|item| &item["format"]).collect();
    assert_eq!(formats, [2, 2, 1, 1]);
    let old = api().get(&format!("{path}/old")).unwrap().expect(200).json();
    assert_eq!((&old["format"], &old["state"], &old["id"]), (&json!(1), &json!("ready"), &json!("")), "{old}");
    assert_eq!((&old["sizeBytes"], &old["objectSizeBytes"]), (&json!(10 << 20), &json!(4 << 20)), "{old}");
    assert_eq!(
        (&old["snapshots"][0]["name"], &old["snapshots"][0]["sizeBytes"]),
        (&json!("s"), &json!(10 << 20)),
        "{old}"
    );
}

#[test]
fn advice_about_an_image_of_format_1_is_true() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/images");
    old_image(&pool, "old");
    let taken = [
        api().post(&path, &json!({ "name": "old", "sizeBytes": 1 << 20 })).unwrap(),
        api().put(&format!("{path}/old"), &json!({ "sizeBytes": 10 << 20 })).unwrap(),
        api().send("PUT", &format!("{path}/old/data"), &[], &[0; 4096]).unwrap(),
    ];
    for answer in taken {
        let problem = answer.expect(409).json();
        assert_eq!(
            (&problem["type"], &problem["format"]),
            (&json!("urn:sparrow:problem:exists"), &json!(1)),
            "{problem}"
        );
        assert!(!problem["correction"].as_str().unwrap().contains("DELETE"), "{problem}");
    }
    for (method, path) in [
        ("DELETE", format!("{path}/old")),
        ("DELETE", format!("{path}/old?permanent=true")),
        ("PUT", format!("{path}/old/snapshots/s")),
        ("POST", format!("{path}/old/flatten")),
        ("GET", format!("{path}/old/children")),
    ] {
        let rejected = api().send(method, &path, &[], &[]).unwrap().expect(409);
        assert_eq!(
            (rejected.problem().as_str(), &rejected.json()["format"]),
            ("conflict", &json!(1)),
            "{}",
            rejected.text()
        );
        assert!(rejected.json()["correction"].as_str().unwrap().contains("rbd migration"), "{}", rejected.text());
    }
    // What the correction says works.
    let image = format!("{pool}/old");
    ceph().rbd(&["migration", "prepare", &image, &image]).unwrap();
    for act in ["execute", "commit"] {
        ceph().rbd(&["migration", act, "--no-progress", &image]).unwrap();
    }
    assert_eq!(api().get(&format!("{path}/old")).unwrap().expect(200).json()["format"], 2);
}
