//! A pool at its quota.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::ceph::{Ceph, CephOptions, Store};

use crate::support::{
    Footprint, MIB, data, eventually, finished, images, in_time, metric, new_image, noise, pool, recovers, service,
};

fn full(ceph: &Ceph, pool: &str) -> bool {
    let pools = ceph.ceph(&["osd", "pool", "ls", "detail"]).unwrap();
    pools.lines().any(|line| line.contains(&format!("'{pool}'")) && line.contains("full_quota"))
}

#[test]
fn pool_at_its_quota_rejects_what_grows_it_and_lets_go_of_the_rest() {
    let ceph = Ceph::start(CephOptions { store: Store::MEMORY, mgr: true }).expect("a cluster");
    let pool = pool(&ceph);
    let service = service(&ceph, &[]);
    let images = images(&pool);
    let get = |path: &str| ("GET", path.to_owned(), Value::Null);
    for name in ["a", "b", "c"] {
        service.client.post(&images, &json!({ "name": name, "sizeBytes": 64 << 20 })).unwrap().expect(201);
    }
    let bench = ["bench", "--io-type", "write", "--io-size", "1M", "--io-total", "32M"];
    ceph.rbd(&[&bench[..], &[&format!("{pool}/a")]].concat()).unwrap();
    let before = Footprint::idle(&service);
    ceph.ceph(&["osd", "pool", "set-quota", &pool, "max_bytes", "1048576"]).unwrap();
    eventually("the pool is full", Duration::from_secs(60), || full(&ceph, &pool).then_some(()));

    // Whatever adds to it is rejected, at once, in words.
    let copy = json!({ "name": "copy" });
    let made = in_time(&service.client, &("POST", images.clone(), new_image("d")));
    assert_eq!((made.status, made.problem()), (507, "full".to_owned()), "{}", made.text());
    assert!(made.json()["correction"].as_str().unwrap().contains("quota"), "{}", made.text());
    let bytes = noise(3, 4 * MIB);
    let import = service.client.send("PUT", &data(&pool, "i"), &[], &bytes).unwrap();
    assert_eq!((import.status, import.problem()), (507, "full".to_owned()), "{}", import.text());
    let copied = in_time(&service.client, &("POST", format!("{images}/a/copy"), copy)).expect(202);
    let copied = finished(&service.client, copied.header("location"), Duration::from_secs(20));
    assert_eq!(copied["state"], "failed", "{copied}");
    assert_eq!(copied["problem"]["type"], "urn:sparrow:problem:full", "{copied}");
    // What reads works on.
    for path in [images.clone(), format!("{images}?view=full"), format!("{images}/a"), "/api/v1/operations".into()] {
        in_time(&service.client, &get(&path)).expect(200);
    }
    // The trash takes it if it needs no room for that; else the way out is said.
    let trashed = in_time(&service.client, &("DELETE", format!("{images}/b"), Value::Null));
    if trashed.status != 200 {
        assert_eq!((trashed.status, trashed.problem()), (507, "full".to_owned()), "{}", trashed.text());
        assert!(trashed.json()["correction"].as_str().unwrap().contains("permanent=true"), "{}", trashed.text());
        in_time(&service.client, &get(&format!("{images}/b"))).expect(200);
    }
    // Removing for good is what helps, so it works.
    for name in ["a", "c"] {
        let removal = in_time(&service.client, &("DELETE", format!("{images}/{name}?permanent=true"), Value::Null));
        let removed = finished(&service.client, removal.expect(202).header("location"), Duration::from_secs(60));
        assert_eq!(removed["state"], "succeeded", "{removed}");
        in_time(&service.client, &get(&format!("{images}/{name}"))).expect(404);
    }
    assert_eq!(metric(&service, "workers_stuck"), 0);

    ceph.ceph(&["osd", "pool", "set-quota", &pool, "max_bytes", "0"]).unwrap();
    // The monitor lifts it with its next tick.
    eventually("the pool is not full", Duration::from_secs(60), || (!full(&ceph, &pool)).then_some(()));
    recovers(&service, &[(("POST", images.clone(), new_image("after")), 201)]);
    service.client.send("PUT", &data(&pool, "i"), &[], &bytes).unwrap().expect(201);
    assert!(service.client.get(&data(&pool, "i")).unwrap().expect(200).body == bytes);
    before.returns(&service);
}
