//! The only OSD is frozen.

use std::io::Read as _;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::ceph::Daemon;
use testbed::daemon::Daemons as _;

use crate::support::{
    Download, Footprint, MIB, SLACK, Upload, all_in_time, data, eventually, finished, images, import, in_time,
    large_image, metric, new_image, noise, options, own, pool, readiness, recovers, service,
};

#[test]
fn frozen_osd_is_answered_for_in_time_and_forgotten_when_it_thaws() {
    let ceph = own();
    let pool = pool(&ceph);
    ceph.rbd(&["create", "--size", "8", &format!("{pool}/a")]).unwrap();
    large_image(&ceph, &pool, "large");
    let service = service(&ceph, &[]);
    let bytes = noise(4, 96 * MIB);
    import(&service, &pool, "bytes", &bytes);
    let images = images(&pool);
    let get = |path: &str| ("GET", path.to_owned(), Value::Null);
    service.client.get(&format!("{images}?view=full")).unwrap().expect(200);
    service.client.post(&images, &new_image("warm")).unwrap().expect(201);
    service.client.delete(&format!("{images}/warm")).unwrap().expect(200);
    let before = Footprint::idle(&service);
    // Streams in their middle, and an operation that runs, while their OSD is gone.
    let mut download = Download::start(&service, &data(&pool, "bytes"));
    let mut some = vec![0; usize::try_from(MIB).unwrap()];
    download.read_exact(&mut some).unwrap();
    let mut upload = Upload::start(&service, &data(&pool, "cut"), bytes.len() as u64);
    upload.send(&bytes[..1 << 20]).unwrap();
    eventually("the import has begun", Duration::from_secs(5) + SLACK, || {
        (service.client.get(&format!("{images}/cut")).unwrap().json()["state"] == "incomplete").then_some(())
    });
    let removal = service.client.delete(&format!("{images}/large?permanent=true")).unwrap().expect(202);

    let frozen = ceph.frozen(Daemon::Osd).unwrap();
    let path = format!("{images}/a");
    let streams = std::thread::spawn({
        let rest = bytes[1 << 20..].to_vec();
        move || {
            // It may be cut off while it sends: then there is an answer to be read, or only the end.
            let sent = upload.send(&rest);
            let import = sent.is_ok().then(|| upload.status());
            let mut rest = Vec::new();
            let end = download.read_to_end(&mut rest);
            (import, end.is_err() || (rest.len() as u64) < download.length - MIB)
        }
    });
    let mut asked = vec![
        get(&images),
        get(&format!("{images}?view=full")),
        get(&path),
        get(&format!("/api/v1/pools/{pool}/operations")),
        ("POST", images.clone(), new_image("b")),
        ("POST", format!("{path}/resize"), json!({ "sizeBytes": 16 << 20 })),
        ("POST", format!("{path}/copy"), json!({ "name": "copy" })),
        ("DELETE", path.clone(), Value::Null),
        ("DELETE", format!("{path}?permanent=true"), Value::Null),
        ("POST", format!("/api/v1/pools/{pool}/trash/purge"), Value::Null),
    ];
    // Also more than there are slots: what waits for one is answered in time too.
    asked.extend((0..24).map(|n| ("POST", images.clone(), new_image(&format!("n{n}")))));
    for (asked, answer) in asked.iter().zip(all_in_time(&service.client, &asked)) {
        assert_eq!(answer.status, 503, "{asked:?}: {}", answer.text());
        assert!(["ceph-unavailable", "busy"].contains(&answer.problem().as_str()), "{asked:?}: {}", answer.text());
        assert!(!answer.header("retry-after").is_empty(), "{asked:?}");
    }
    // What is of all pools is answered, with the pools that are not.
    let operations = &all_in_time(&service.client, &[get("/api/v1/operations")])[0];
    assert_eq!(operations.status, 200, "{}", operations.text());
    assert!(operations.json()["Unread"].to_string().contains(&pool), "{}", operations.text());
    let (import, cut_off) = streams.join().unwrap();
    assert!(import.is_none_or(|status| status == 503), "{import:?}");
    assert!(cut_off, "an export without its OSD came to its end");
    assert!(metric(&service, "workers_stuck") > 0);
    assert_eq!(readiness(&service).0, 200);
    // The monitor is fine, and what it knows is told.
    in_time(&service.client, &get("/api/v1/pools")).expect(200);
    // A replica with its threads stuck ends in time all the same.
    let mut stuck = options(&ceph).arguments(&["--grace", "3s"]).start().unwrap();
    in_time(&stuck.client, &("POST", images.clone(), new_image("stuck"))).expect(503);
    let status = stuck.terminate(Duration::from_secs(3) + SLACK).unwrap();
    assert!(status.success(), "{status}: {}", stuck.log());

    drop(frozen);
    recovers(&service, &[(get(&images), 200), (("POST", images.clone(), new_image("after")), 201), (get(&path), 200)]);
    let removed = finished(&service.client, removal.header("location"), Duration::from_secs(60));
    assert_eq!(removed["state"], "succeeded", "{removed}");
    // What was said to be unknown has taken effect or not; either way each image is whole, or listed as what it is.
    let list = eventually("whole images", Duration::from_secs(10), || {
        let list = service.client.get(&format!("{images}?view=full")).unwrap().expect(200).json();
        let as_it_is = |item: &Value| item["state"] == if item["name"] == "cut" { "incomplete" } else { "ready" };
        list["Items"].as_array().unwrap().iter().all(as_it_is).then_some(list)
    });
    let gone = service.client.delete(&format!("{images}/cut?permanent=true")).unwrap().expect(202);
    assert_eq!(finished(&service.client, gone.header("location"), Duration::from_secs(60))["state"], "succeeded");
    for item in list["Items"].as_array().unwrap().iter().filter(|item| item["name"] != "cut") {
        ceph.rbd(&["info", &format!("{pool}/{}", item["name"].as_str().unwrap())]).unwrap();
    }
    before.returns(&service);
}
