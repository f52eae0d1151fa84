//! The cluster.

use std::time::{Duration, Instant};

use testbed::ceph::{Ceph, CephOptions, Daemon};
use testbed::daemon::Daemons as _;
use testbed::service::RbdServiceOptions;

use crate::support::{BINARY, api, ceph};

#[test]
fn cluster_has_its_identity_and_the_reasons_for_unknown_fields() {
    let cluster = api().get("/api/v1/cluster").unwrap().expect(200).json();
    assert_eq!(cluster["fsid"], ceph().ceph(&["fsid"]).unwrap().trim());
    let version = ceph().ceph(&["version"]).unwrap();
    let version = version.split(' ').nth(2).unwrap();
    assert_eq!(cluster["version"], version);
    assert!(
        cluster["daemons"]
            .as_array()
            .unwrap()
            .iter()
            .any(|daemon| { daemon["kind"] == "osd" && daemon["version"] == version && daemon["count"] == 1 })
    );
    assert_eq!(cluster["entity"], "client.admin");
    assert_eq!(cluster["monitors"]["inQuorum"][0], "a");
    assert_eq!(cluster["osds"], serde_json::json!({ "total": 1, "up": 1, "in": 1 }));
    assert!(cluster["health"]["status"].as_str().unwrap().starts_with("HEALTH_"), "{cluster}");
    assert!(cluster["libraries"]["librbd"].as_str().unwrap().starts_with("1."), "{cluster}");
    // The shared cluster has no manager: space is not known, which is not the same as none.
    assert!(cluster["capacity"].is_null());
    assert!(cluster["unknown"]["capacity"].as_str().unwrap().contains("No manager is active"), "{cluster}");
}

#[test]
fn space_is_known_only_while_a_manager_reports_it() {
    let ceph = Ceph::start(CephOptions { mgr: true, ..CephOptions::default() }).unwrap();
    ceph.create_pool("p").unwrap();
    ceph.rbd(&["create", "--size", "1G", "p/a"]).unwrap();
    ceph.rbd(&["bench", "--io-type", "write", "--io-size", "4M", "--io-total", "8M", "p/a"]).unwrap();
    let service = RbdServiceOptions::new(BINARY, &ceph).start().unwrap();
    let wait = |path: &str, good: &dyn Fn(&serde_json::Value) -> bool| {
        let started = Instant::now();
        loop {
            let answer = service.client.get(path).unwrap().expect(200).json();
            if good(&answer) {
                return answer;
            }
            assert!(started.elapsed() < Duration::from_secs(40), "{answer}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let (cluster, pool) = ("/api/v1/cluster", "/api/v1/pools/p/statistics");
    let shown = wait(cluster, &|cluster| cluster["capacity"]["storedBytes"].as_u64() >= Some(8 << 20));
    let capacity = &shown["capacity"];
    assert_eq!(capacity["totalBytes"], 8_u64 << 30);
    assert!(capacity["objects"].as_u64().unwrap() >= 3, "{shown}");
    assert_eq!(capacity["usedBytes"].as_u64().unwrap() + capacity["availableBytes"].as_u64().unwrap(), 8 << 30);
    assert!(shown["unknown"].get("capacity").is_none());
    let shown = wait(pool, &|pool| pool["space"]["storedBytes"].as_u64() >= Some(8 << 20));
    assert!(shown["space"]["availableBytes"].as_u64().unwrap() > 1 << 30, "{shown}");
    assert_eq!(shown["images"], serde_json::json!({ "count": 1, "provisionedBytes": 1 << 30, "snapshots": 0 }));
    // The manager hangs: its last report is still there, but is not passed off as current.
    ceph.freeze(Daemon::Mgr).unwrap();
    let shown = wait(cluster, &|cluster| cluster["capacity"].is_null());
    assert!(shown["unknown"]["capacity"].as_str().unwrap().contains("No manager"), "{shown}");
    assert_eq!(shown["managers"]["active"], false);
    let shown = service.client.get(pool).unwrap().expect(200).json();
    assert!(shown["space"].is_null());
    assert!(shown["unknown"]["space"].as_str().unwrap().contains("No manager"), "{shown}");
    // Images are counted all the same.
    assert_eq!(shown["images"]["count"], 1);
}

#[test]
fn entity_with_rbd_caps_sees_the_cluster() {
    let keyring = ceph().add_client("cluster-viewer", &[("mon", "profile rbd"), ("osd", "profile rbd")]).unwrap();
    let service = RbdServiceOptions::with_files(BINARY, ceph().conf(), &keyring)
        .arguments(&["--id", "cluster-viewer"])
        .start()
        .unwrap();
    let cluster = service.client.get("/api/v1/cluster").unwrap().expect(200).json();
    assert_eq!(cluster["entity"], "client.cluster-viewer");
    assert_eq!(cluster["osds"]["up"], 1, "{cluster}");
    assert!(!cluster["health"].is_null());
}

#[test]
fn field_that_the_caps_forbid_is_null_with_the_reason() {
    let caps = [("mon", "allow service osd r, allow command \"version\""), ("osd", "profile rbd")];
    let keyring = ceph().add_client("cluster-blind", &caps).unwrap();
    let service = RbdServiceOptions::with_files(BINARY, ceph().conf(), &keyring)
        .arguments(&["--id", "cluster-blind"])
        .start()
        .unwrap();
    let cluster = service.client.get("/api/v1/cluster").unwrap().expect(200).json();
    for field in ["health", "capacity", "osds", "monitors", "managers", "daemons"] {
        assert!(cluster[field].is_null(), "{field}: {cluster}");
        assert!(cluster["unknown"][field].as_str().unwrap().contains("access denied"), "{field}: {cluster}");
    }
    assert!(!cluster["version"].is_null(), "{cluster}");
    assert!(!cluster["fsid"].is_null(), "{cluster}");
}
