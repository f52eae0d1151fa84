//! Mirrored and encrypted images: what is shown of them, and what is rejected.

use serde_json::{Value, json};

use crate::support::{api, ceph, finished, pool};

fn mirrored_pool() -> String {
    let pool = pool();
    ceph().rbd(&["mirror", "pool", "enable", &pool, "image"]).unwrap();
    for (name, mode) in
        [("by-snapshot", "snapshot"), ("by-journal", "journal"), ("demoted", "snapshot"), ("was", "journal")]
    {
        let image = format!("{pool}/{name}");
        ceph().rbd(&["create", "--size", "8M", "--image-feature", "exclusive-lock,journaling", &image]).unwrap();
        ceph().rbd(&["mirror", "image", "enable", &image, mode]).unwrap();
    }
    for name in ["demoted", "was"] {
        ceph().rbd(&["mirror", "image", "demote", &format!("{pool}/{name}")]).unwrap();
    }
    ceph().rbd(&["create", "--size", "8M", &format!("{pool}/alone")]).unwrap();
    pool
}

#[test]
fn mirroring_is_shown_with_mode_state_and_role() {
    let pool = mirrored_pool();
    let path = format!("/api/v1/pools/{pool}/images");
    let list = api().get(&format!("{path}?view=full")).unwrap().expect(200).json();
    for (name, mode, role) in [
        ("by-snapshot", "snapshot", "primary"),
        ("by-journal", "journal", "primary"),
        ("demoted", "snapshot", "demoted"),
        ("was", "journal", "demoted"),
    ] {
        let info = ceph().rbd(&["info", "--format", "json", &format!("{pool}/{name}")]).unwrap();
        let info: Value = serde_json::from_str(&info).unwrap();
        let expected =
            json!({ "mode": mode, "state": "enabled", "role": role, "globalId": info["mirroring"]["global_id"] });
        assert_eq!(info["mirroring"]["primary"], json!(role == "primary"), "{info}");
        let item = list["Items"].as_array().unwrap().iter().find(|item| item["name"] == name).unwrap();
        assert_eq!(item["mirroring"], expected, "{item}");
        let image = api().get(&format!("{path}/{name}")).unwrap().expect(200).json();
        assert_eq!(image["mirroring"], expected, "{image}");
    }
    let alone = api().get(&format!("{path}/alone")).unwrap().expect(200).json();
    assert_eq!(alone["mirroring"], Value::Null, "{alone}");
}

#[test]
fn primary_of_a_mirrored_image_is_deleted_only_when_forced() {
    let pool = mirrored_pool();
    let path = format!("/api/v1/pools/{pool}/images");
    for name in ["by-snapshot", "by-journal"] {
        for query in ["", "?permanent=true&deleteSnapshots=true"] {
            let rejected = api().delete(&format!("{path}/{name}{query}")).unwrap().expect(409);
            assert_eq!(rejected.problem(), "in-use", "{}", rejected.text());
            assert_eq!(rejected.json()["mirroring"]["role"], "primary", "{}", rejected.text());
        }
    }
    let rejected = api().delete(&format!("{path}/by-journal")).unwrap().expect(409).json();
    assert_eq!(rejected["mirroring"]["role"], "primary", "{rejected}");
    assert!(rejected["correction"].as_str().unwrap().contains("force=true"), "{rejected}");
    api().delete(&format!("{path}/by-journal?force=true")).unwrap().expect(200);
    let removed = api().delete(&format!("{path}/by-snapshot?permanent=true&force=true")).unwrap().expect(202);
    let removed = finished(&api(), removed.header("location"));
    assert_eq!(removed["state"], "succeeded", "{removed}");
}

#[test]
fn luks_is_seen_in_the_list_and_in_a_single_image() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/images");
    let passphrase = ceph().dir().join(format!("passphrase-{pool}"));
    std::fs::write(&passphrase, "secret").unwrap();
    for (name, format) in [("one", "luks1"), ("two", "luks2")] {
        let image = format!("{pool}/{name}");
        ceph().rbd(&["create", "--size", "32M", &image]).unwrap();
        ceph().rbd(&["encryption", "format", &image, format, &passphrase.to_string_lossy()]).unwrap();
        assert_eq!(api().get(&format!("{path}/{name}")).unwrap().expect(200).json()["encryption"], format);
    }
    ceph().rbd(&["create", "--size", "8M", &format!("{pool}/plain")]).unwrap();
    let plain = api().get(&format!("{path}/plain")).unwrap().expect(200).json();
    assert_eq!((&plain["encryption"], &plain["unknown"]), (&json!("none"), &json!({})), "{plain}");
    let listed = api().get(&format!("{path}?view=full")).unwrap().expect(200).json()["Items"].clone();
    let found: Vec<&Value> = listed.as_array().unwrap().iter().map(|item| &item["encryption"]).collect();
    assert_eq!(found, ["luks1", "none", "luks2"], "{listed}");
    // The bytes of a clone are its parent's until they are written.
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{pool}/two@s")]).unwrap();
    ceph().rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{pool}/two@s"), &format!("{pool}/c")]).unwrap();
    let clone = api().get(&format!("{path}/c")).unwrap().expect(200).json();
    assert!(clone["unknown"]["encryption"].as_str().unwrap().contains("parent"), "{clone}");
    ceph().rbd(&["flatten", "--no-progress", &format!("{pool}/c")]).unwrap();
    assert_eq!(api().get(&format!("{path}/c")).unwrap().expect(200).json()["encryption"], "luks2");
}
