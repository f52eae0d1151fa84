//! What an image is set to: name, features, metadata, `QoS`.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{api, ceph, context, pool, rejected_field};

fn image(name: &str, features: &[&str]) -> (String, String) {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    api().post(&images, &json!({ "name": name, "sizeBytes": 4 << 20, "features": features })).unwrap().expect(201);
    (pool, format!("{images}/{name}"))
}

#[test]
fn image_is_renamed() {
    let (pool, path) = image("a", &["layering", "exclusive-lock"]);
    let images = format!("/api/v1/pools/{pool}/images");
    let id = api().get(&path).unwrap().json()["id"].clone();
    // Also while another client has it open and holds its lock.
    let io = context(&pool);
    let open = io.open_image(ceph::ImageRef::Name("a"), None, ceph::Access::ReadWrite).unwrap();
    open.create_snapshot("s").unwrap();
    let renamed = api().post(&format!("{path}/rename"), &json!({ "name": "b" })).unwrap().expect(200).json();
    drop(open);
    assert_eq!((&renamed["name"], &renamed["id"]), (&json!("b"), &id));
    assert_eq!(ceph().rbd(&["ls", &pool]).unwrap().trim(), "b");
    assert_eq!(
        api().post(&format!("{path}/rename"), &json!({ "name": "c" })).unwrap().expect(404).problem(),
        "image-not-found"
    );
    let path = format!("{images}/b");
    api().post(&format!("{path}/rename"), &json!({ "name": "b" })).unwrap().expect(200);
    api().post(&images, &json!({ "name": "c", "sizeBytes": 1 })).unwrap().expect(201);
    assert_eq!(api().post(&format!("{path}/rename"), &json!({ "name": "c" })).unwrap().expect(409).problem(), "exists");
    let wrong = api().post(&format!("{path}/rename"), &json!({ "name": "c/d" })).unwrap().expect(400).json();
    assert_eq!(wrong["field"], "name");
}

#[test]
fn features_are_turned_on_and_off() {
    let (pool, path) = image("a", &["layering", "deep-flatten"]);
    let features = format!("{path}/features");
    let change = |enable: &[&str], disable: &[&str]| {
        api().post(&features, &json!({ "enable": enable, "disable": disable })).unwrap()
    };
    let shown = || {
        let info = ceph().rbd(&["info", &format!("{pool}/a"), "--format", "json"]).unwrap();
        let info: Value = serde_json::from_str(&info).unwrap();
        info["features"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // What is missing is named.
    let problem = change(&["object-map"], &[]).expect(409);
    assert_eq!(problem.problem(), "conflict");
    assert!(problem.json()["correction"].as_str().unwrap().contains("exclusive-lock"), "{}", problem.text());
    let on = change(&["exclusive-lock", "object-map", "journaling"], &[]).expect(200).json();
    assert_eq!(on["flags"], json!(["object map invalid", "fast diff invalid"]), "{on}");
    assert_eq!(
        shown(),
        ["layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling"],
        "as rbd has it"
    );
    // The same again changes nothing.
    change(&["exclusive-lock", "object-map"], &[]).expect(200);
    let problem = change(&[], &["exclusive-lock"]).expect(409).json();
    assert!(problem["detail"].as_str().unwrap().contains("needs \"exclusive-lock\""), "{problem}");
    change(&[], &["journaling", "fast-diff", "deep-flatten", "exclusive-lock"]).expect(200);
    assert_eq!(shown(), ["layering"]);
    // One off and another on, in one request.
    change(&["exclusive-lock", "journaling"], &[]).expect(200);
    change(&["fast-diff"], &["journaling"]).expect(200);
    assert_eq!(shown(), ["layering", "exclusive-lock", "object-map", "fast-diff"]);
    for (enable, disable) in [(&["deep-flatten"][..], &[][..]), (&[], &["layering"]), (&["fast-diff"], &["object-map"])]
    {
        if enable == ["fast-diff"] {
            change(&[], &["fast-diff"]).expect(200);
            // Both are off now: turning one off is nothing, turning the other on brings both.
            change(enable, disable).expect(200);
            continue;
        }
        let problem = change(enable, disable).expect(409);
        assert_eq!(problem.problem(), "conflict");
        assert!(problem.json()["correction"].is_string());
    }
    assert_eq!(change(&["striping"], &[]).expect(400).json()["field"], "enable");
    assert_eq!(change(&["layering"], &["layering"]).expect(409).json()["field"], "disable");
    let both = api().get(&path).unwrap().json();
    assert_eq!(both["features"], json!(["layering", "exclusive-lock", "object-map", "fast-diff"]));
}

#[test]
fn metadata_is_set_listed_and_removed() {
    let (pool, path) = image("a", &["layering"]);
    let metadata = format!("{path}/metadata");
    let keys = ["owner", "kubernetes.io/pvc", "ü %&"];
    for key in keys {
        let entry = format!("{metadata}/{}", rbd_api::names::encode_segment(key));
        let set = api().put(&entry, &json!({ "value": "ünïcode" })).unwrap().expect(200).json();
        assert_eq!(set, json!({ "key": key, "value": "ünïcode" }));
        assert_eq!(api().get(&entry).unwrap().expect(200).json(), set);
        assert_eq!(ceph().rbd(&["image-meta", "get", &format!("{pool}/a"), key]).unwrap().trim(), "ünïcode");
    }
    ceph().rbd(&["image-meta", "set", &format!("{pool}/a"), "conf_rbd_cache", "false"]).unwrap();
    let all = api().get(&metadata).unwrap().expect(200).json();
    assert_eq!(all["metadata"].as_object().unwrap().len(), 4, "{all}");
    // What another client set can go; what is the service's own cannot.
    api().delete(&format!("{metadata}/conf_rbd_cache")).unwrap().expect(204);
    api().delete(&format!("{metadata}/owner")).unwrap().expect(204);
    assert_eq!(api().delete(&format!("{metadata}/owner")).unwrap().expect(404).problem(), "metadata-not-found");
    assert_eq!(api().get(&format!("{metadata}/owner")).unwrap().expect(404).problem(), "metadata-not-found");
    let long = "k".repeat(257);
    for key in ["sparrow.incomplete", "conf_rbd_cache", ".rbd", "a%01", long.as_str()] {
        let entry = format!("{metadata}/{key}");
        assert_eq!(api().put(&entry, &json!({ "value": "v" })).unwrap().expect(400).json()["field"], "key", "{key}");
    }
    assert_eq!(api().delete(&format!("{metadata}/sparrow.incomplete")).unwrap().expect(400).json()["field"], "key");
    let large = json!({ "value": "v".repeat(16385) });
    assert_eq!(api().put(&format!("{metadata}/k"), &large).unwrap().expect(400).json()["field"], "key");
    let listed = ceph().rbd(&["image-meta", "list", &format!("{pool}/a"), "--format", "json"]).unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed, api().get(&metadata).unwrap().json()["metadata"]);
    // A value of which nothing is left out, and none at all.
    api().put(&format!("{metadata}/empty"), &json!({ "value": "" })).unwrap().expect(200);
    assert_eq!(api().get(&format!("{metadata}/empty")).unwrap().expect(200).json()["value"], "");
    let missing = api().get(&format!("/api/v1/pools/{pool}/images/none/metadata")).unwrap().expect(404);
    assert_eq!(missing.problem(), "image-not-found");
}

#[test]
fn qos_limits_are_those_that_rbd_shows() {
    let (pool, path) = image("a", &["layering", "exclusive-lock"]);
    let qos = format!("{path}/qos");
    let shown = |option: &str| {
        let listed = ceph().rbd(&["config", "image", "list", &format!("{pool}/a"), "--format", "json"]).unwrap();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let option = listed.as_array().unwrap().iter().find(|one| one["name"] == option).unwrap();
        (option["value"].as_str().unwrap().to_owned(), option["source"].as_str().unwrap().to_owned())
    };
    let none = api().get(&qos).unwrap().expect(200).json();
    assert_eq!(none.as_object().unwrap().len(), 18);
    assert!(none.as_object().unwrap().values().all(Value::is_null), "{none}");
    let wanted = json!({
        "iopsLimit": 500, "iopsBurst": 1000, "iopsBurstSeconds": 10, "bpsLimit": 100_000_000,
        "readIopsLimit": 400, "writeIopsLimit": 300, "readBpsLimit": 90_000_000, "writeBpsLimit": 0,
        "writeBpsBurst": null,
    });
    let set = api().put(&qos, &wanted).unwrap().expect(200).json();
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(set[field], *value);
    }
    assert_eq!(api().get(&qos).unwrap().expect(200).json(), set);
    for (option, value) in [
        ("rbd_qos_iops_limit", "500"),
        ("rbd_qos_iops_burst", "1000"),
        ("rbd_qos_iops_burst_seconds", "10"),
        ("rbd_qos_bps_limit", "100000000"),
        ("rbd_qos_read_iops_limit", "400"),
        ("rbd_qos_write_iops_limit", "300"),
        ("rbd_qos_read_bps_limit", "90000000"),
        ("rbd_qos_write_bps_limit", "0"),
    ] {
        assert_eq!(shown(option), (value.to_owned(), "image".to_owned()), "{option}");
    }
    // What is absent is removed.
    api().put(&qos, &json!({ "readIopsLimit": 7 })).unwrap().expect(200);
    assert_ne!(shown("rbd_qos_iops_limit").1, "image");
    assert_eq!(shown("rbd_qos_read_iops_limit").0, "7");
    for (field, wrong) in [
        ("iopsBurst", json!({ "iopsBurst": 10 })),
        ("readBpsBurst", json!({ "readBpsLimit": 10, "readBpsBurst": 9 })),
        ("bpsBurstSeconds", json!({ "bpsBurstSeconds": 0 })),
        ("iopsLimit", json!({ "iopsLimit": -1 })),
        ("iops", json!({ "iops": 1 })),
    ] {
        assert_eq!(rejected_field(&api().put(&qos, &wrong).unwrap()), field, "{wrong}");
    }
    assert_eq!(shown("rbd_qos_read_iops_limit").0, "7", "what was rejected changed nothing");
    // What another client set and is no number is said, not shown as none.
    let id = api().get(&path).unwrap().json()["id"].as_str().unwrap().to_owned();
    let header = format!("rbd_header.{id}");
    ceph().rados(&["-p", &pool, "setomapval", &header, "metadata_conf_rbd_qos_bps_limit", "much"]).unwrap();
    assert_eq!(api().get(&qos).unwrap().expect(500).problem(), "damaged");
    api().put(&qos, &json!({})).unwrap().expect(200);
    assert_eq!(api().get(&qos).unwrap().expect(200).json(), none);
}

#[test]
fn limit_slows_a_client_of_librbd() {
    let (pool, path) = image("a", &["layering", "exclusive-lock"]);
    api().put(&format!("{path}/qos"), &json!({ "iopsLimit": 50 })).unwrap().expect(200);
    let bench = Command::new("rbd")
        .args(["--conf", &ceph().conf().display().to_string(), "--keyring", &ceph().keyring().display().to_string()])
        .args(["bench", "--io-type", "write", "--io-size", "4096", "--io-total", "614400", &format!("{pool}/a")])
        .output()
        .unwrap();
    assert!(bench.status.success(), "{}", String::from_utf8_lossy(&bench.stderr));
    // 150 writes; the first second may take a burst.
    let text = String::from_utf8_lossy(&bench.stdout);
    let seconds: f64 = text
        .lines()
        .find(|line| line.starts_with("elapsed"))
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap()
        .parse()
        .unwrap();
    assert!(seconds >= 1.0, "{text}");
}
