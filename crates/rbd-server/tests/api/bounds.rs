//! Images at and above the largest size, and with layouts that librbd divides by zero on: rejected when they are to be made,
//! and never walked over when another client made them. A walk would end the service.

use rbd_format::diff::{DiffRecord, DiffVersion};
use serde_json::{Value, json};
use testbed::http::exchange;
use testbed::service::Answer;

use crate::support::{api, ceph, context, finished, pool, service};

const MAX: u64 = 1 << 60;
const BEYOND: [u64; 3] = [MAX + 1, 1 << 63, u64::MAX];
const STREAM: &str = "application/vnd.ceph.rbd-diff";

fn image(pool: &str, name: &str) -> String {
    format!("/api/v1/pools/{pool}/images/{name}")
}

/// A diff that does nothing but give a size.
fn sized(bytes: u64) -> Vec<u8> {
    let mut stream = DiffVersion::V1.banner().to_vec();
    DiffRecord::Size(bytes).encode(DiffVersion::V1, &mut stream).unwrap();
    DiffRecord::End.encode(DiffVersion::V1, &mut stream).unwrap();
    stream
}

fn apply(path: &str, bytes: u64) -> Answer {
    api().send("POST", &format!("{path}/diff"), &[("content-type", STREAM)], &sized(bytes)).unwrap()
}

/// Makes an image of any size as librbd does for anybody: by `rbd import-diff`, or smaller ones by `rbd create`.
fn make_with_rbd(pool: &str, name: &str, bytes: u64, features: &str) {
    let spec = format!("{pool}/{name}");
    ceph().rbd(&["create", "--size", "8M", "--image-feature", features, &spec]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sized(bytes)).unwrap();
    ceph().rbd(&["import-diff", "--no-progress", file.path().to_str().unwrap(), &spec]).unwrap();
}

/// The service is the same process as before.
fn lives() {
    assert_eq!(service().admin_client().get("/healthz").unwrap().status, 200);
}

#[test]
fn sizes_end_at_the_bound_however_an_image_is_made() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    let layering = json!(["layering"]);
    for bytes in [0, MAX + 1, 1 << 63, u64::MAX] {
        let body = json!({ "name": "a", "sizeBytes": bytes, "features": layering });
        let rejected = api().post(&images, &body).unwrap().expect(400).json();
        assert_eq!(rejected["field"], "sizeBytes", "{rejected}");
        assert!(rejected["allowed"].as_str().unwrap().contains("1152921504606846976"), "{rejected}");
        let body = json!({ "sizeBytes": bytes, "features": layering });
        assert_eq!(api().put(&image(&pool, "a"), &body).unwrap().expect(400).json()["field"], "sizeBytes");
    }
    for bytes in BEYOND {
        let path = format!("{}/data?sizeBytes={bytes}", image(&pool, "a"));
        let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
        let answer = exchange(service().api(), head + "0\r\n\r\n").unwrap().expect(400).text();
        assert!(answer.contains("1 EiB"), "{answer}");
    }
    let made = api().post(&images, &json!({ "name": "a", "sizeBytes": MAX, "features": layering })).unwrap();
    assert_eq!(made.expect(201).json()["sizeBytes"], MAX);
    api().post(&images, &json!({ "name": "b", "sizeBytes": 8 << 20, "features": layering })).unwrap().expect(201);
    let resize = format!("{}/resize", image(&pool, "b"));
    for bytes in BEYOND {
        let body = json!({ "sizeBytes": bytes });
        assert_eq!(api().post(&resize, &body).unwrap().expect(400).json()["field"], "sizeBytes");
    }
    assert_eq!(api().post(&resize, &json!({ "sizeBytes": MAX })).unwrap().expect(200).json()["sizeBytes"], MAX);
}

#[test]
fn diff_gives_no_size_above_the_bound() {
    let pool = pool();
    let path = image(&pool, "a");
    ceph().rbd(&["create", "--size", "8M", "--image-feature", "layering", &format!("{pool}/a")]).unwrap();
    for bytes in BEYOND {
        let rejected = apply(&path, bytes).expect(409);
        assert_eq!(rejected.problem(), "not-a-diff");
        assert!(rejected.text().contains("1 EiB"), "{}", rejected.text());
    }
    for bytes in [0, MAX] {
        let applied = apply(&path, bytes).expect(200).json();
        assert_eq!((&applied["sizeBytes"], &applied["state"]), (&json!(bytes), &json!("ready")));
    }
    // Within the bound, and more than an object map can describe.
    ceph().rbd(&["create", "--size", "8M", &format!("{pool}/mapped")]).unwrap();
    let rejected = apply(&image(&pool, "mapped"), MAX).expect(409).json();
    assert!(rejected["allowed"].as_str().unwrap().contains("object-map"), "{rejected}");
    let untouched = api().get(&image(&pool, "mapped")).unwrap().expect(200).json();
    assert_eq!((&untouched["state"], &untouched["sizeBytes"]), (&json!("ready"), &json!(8 << 20)));
}

#[test]
fn largest_image_is_walked() {
    let pool = pool();
    make_with_rbd(&pool, "a", MAX, "layering");
    let path = image(&pool, "a");
    let part = api().send("GET", &format!("{path}/data"), &[("range", "bytes=-5")], &[]).unwrap().expect(206);
    assert_eq!(part.body, [0; 5]);
    assert_eq!(api().get(&path).unwrap().expect(200).json()["state"], "ready");
    lives();
}

/// Every call that would walk over an image's objects answers with why it does not.
fn assert_never_walked(path: &str, because: &str, beside: &str) {
    let rejected = |answer: Answer, what: &str| {
        let answer = answer.expect(409);
        assert_eq!(answer.problem(), "image-unusable", "{what}: {}", answer.text());
        assert!(answer.json()["detail"].as_str().unwrap().contains(because), "{what}: {}", answer.text());
        assert!(answer.json()["correction"].is_string(), "{what}: {}", answer.text());
    };
    for query in ["/usage", "/usage?exact=true", "/data", "/diff", "/diff?format=stream", "/diff?wholeObjects=true"] {
        rejected(api().get(&format!("{path}{query}")).unwrap(), query);
    }
    rejected(api().send("GET", &format!("{path}/data"), &[("range", "bytes=0-4")], &[]).unwrap(), "a range");
    assert_eq!(api().send("HEAD", &format!("{path}/data"), &[], &[]).unwrap().status, 409);
    for (work, body) in [
        ("flatten", json!({})),
        ("sparsify", json!({})),
        ("rebuild-object-map", json!({})),
        ("copy", json!({ "name": beside })),
        ("copy", json!({ "name": beside, "deep": true })),
        ("snapshots", json!({ "name": beside })),
    ] {
        rejected(api().post(&format!("{path}/{work}"), &body).unwrap(), work);
    }
    rejected(apply(path, 8 << 20), "apply");
    lives();
}

#[test]
fn image_that_another_client_made_too_large_is_listed_and_never_walked() {
    let pool = pool();
    for (name, bytes, features) in [
        ("fast", u64::MAX, "layering,exclusive-lock,object-map,fast-diff,deep-flatten"),
        ("plain", u64::MAX, "layering"),
        ("half", 1 << 63, "layering"),
        ("one", MAX + 1, "layering"),
    ] {
        make_with_rbd(&pool, name, bytes, features);
        let path = image(&pool, name);
        let shown = api().get(&path).unwrap().expect(200).json();
        assert_eq!((&shown["sizeBytes"], &shown["state"]), (&json!(bytes), &json!("unusable")), "{shown}");
        assert!(shown["stateReason"].as_str().unwrap().contains(&bytes.to_string()), "{shown}");
        assert_never_walked(&path, &bytes.to_string(), &format!("{name}-copy"));
    }
    let list = api().get(&format!("/api/v1/pools/{pool}/images?view=full")).unwrap().expect(200).json();
    let states: Vec<&Value> = list["Items"].as_array().unwrap().iter().map(|item| &item["state"]).collect();
    assert_eq!(states, vec!["unusable"; 4], "{list}");
    // It goes to the trash like any other.
    api().delete(&image(&pool, "fast")).unwrap().expect(200);
}

#[test]
fn snapshots_and_parents_that_are_too_large_keep_their_images_from_being_walked() {
    let pool = pool();
    make_with_rbd(&pool, "a", u64::MAX, "layering");
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{pool}/a@s")]).unwrap();
    let path = image(&pool, "a");
    let body = json!({ "name": "never", "cloneFormat": 2 });
    let rejected = api().post(&format!("{path}/snapshots/s/clone"), &body).unwrap().expect(409);
    assert_eq!(rejected.problem(), "image-unusable", "{}", rejected.text());
    let rollback = api().post(&format!("{path}/snapshots/s/rollback"), &json!({})).unwrap().expect(409);
    assert_eq!(rollback.problem(), "image-unusable", "{}", rollback.text());
    // A clone that is small by now takes data from a parent that is not.
    let clone = format!("{pool}/clone");
    ceph().rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{pool}/a@s"), &clone]).unwrap();
    let shrunk = context(&pool);
    let opened = shrunk.open_image(ceph::ImageRef::Name("clone"), None, ceph::Access::ReadWrite).unwrap();
    opened.resize(crate::support::size(8 << 20), true, &ceph::ignore_progress).unwrap();
    opened.close().unwrap();
    let shown = api().get(&image(&pool, "clone")).unwrap().expect(200).json();
    assert_eq!(shown["sizeBytes"], 8 << 20, "{shown}");
    assert_never_walked(&image(&pool, "clone"), &u64::MAX.to_string(), "clone-copy");
}

#[test]
fn image_that_is_too_large_can_be_shrunk() {
    let pool = pool();
    // Of objects so large that it has few of them beyond the bound.
    let spec = format!("{pool}/a");
    ceph().rbd(&["create", "--size", "8M", "--object-size", "32M", "--image-feature", "layering", &spec]).unwrap();
    let io = context(&pool);
    let id = io.open_image(ceph::ImageRef::Name("a"), None, ceph::Access::ReadOnly).unwrap().id().unwrap();
    let header = format!("rbd_header.{id}");
    let size = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(size.path(), (MAX + 1).to_le_bytes()).unwrap();
    let file = size.path().to_str().unwrap();
    ceph().rados(&["-p", &pool, "setomapval", &header, "size", "--input-file", file]).unwrap();
    let path = image(&pool, "a");
    assert_eq!(api().get(&path).unwrap().expect(200).json()["state"], "unusable");
    let body = json!({ "sizeBytes": MAX - (64 << 20), "allowShrink": true });
    let location = api().post(&format!("{path}/resize"), &body).unwrap().expect(202).header("location").to_owned();
    let done = finished(&api(), &location);
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(api().get(&path).unwrap().expect(200).json()["state"], "ready");
}

#[test]
fn stripes_that_librbd_divides_by_zero_on_end_nothing() {
    let pool = pool();
    let create = |name: &str, count: &str| {
        ceph()
            .rbd(&[
                "create",
                "--size",
                "1G",
                "--object-size",
                "32M",
                "--stripe-unit",
                "32M",
                "--stripe-count",
                count,
                "--image-feature",
                "layering",
                &format!("{pool}/{name}"),
            ])
            .unwrap();
    };
    create("a", "4294967296");
    let path = image(&pool, "a");
    let shown = api().get(&path).unwrap().expect(200).json();
    assert_eq!(shown["state"], "unusable", "{shown}");
    assert_never_walked(&path, "striped", "a-copy");
    let grow = api().post(&format!("{path}/resize"), &json!({ "sizeBytes": 2_u64 << 30 })).unwrap().expect(409);
    assert_eq!(grow.problem(), "image-unusable", "{}", grow.text());
    let shrink = api().post(&format!("{path}/resize"), &json!({ "sizeBytes": 8 << 20, "allowShrink": true })).unwrap();
    assert_eq!(shrink.expect(409).problem(), "image-unusable");
    let removed = api().delete(&format!("{path}?permanent=true")).unwrap().expect(409);
    assert_eq!(removed.problem(), "image-unusable", "{}", removed.text());
    // librbd divides whenever it has opened the image to change it.
    ceph().rbd(&["group", "create", &format!("{pool}/g")]).unwrap();
    let group = format!("/api/v1/pools/{pool}/groups/g");
    for (what, answer) in [
        ("trash", api().delete(&format!("{path}?retention=0s")).unwrap()),
        ("metadata", api().put(&format!("{path}/metadata/k"), &json!({ "value": "v" })).unwrap()),
        ("qos", api().put(&format!("{path}/qos"), &json!({ "iopsLimit": 5 })).unwrap()),
        ("rename", api().post(&format!("{path}/rename"), &json!({ "name": "b" })).unwrap()),
        ("features", api().post(&format!("{path}/features"), &json!({ "enable": ["exclusive-lock"] })).unwrap()),
        ("group", api().post(&format!("{group}/images"), &json!({ "image": "a" })).unwrap()),
    ] {
        assert_eq!((answer.status, answer.problem().as_str()), (409, "image-unusable"), "{what}: {}", answer.text());
    }
    lives();
    // A layout of which one stripe would take gigabytes to look at is not made.
    let body = json!({
        "name": "b", "sizeBytes": 1_u64 << 40, "objectSizeBytes": 32 << 20, "stripeUnitBytes": 512, "stripeCount": 4096,
    });
    let rejected = api().post(&format!("/api/v1/pools/{pool}/images"), &body).unwrap().expect(409).json();
    assert_eq!(rejected["field"], "stripeUnitBytes", "{rejected}");
}
