//! The key is replaced while the service runs.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testbed::service::RbdServiceOptions;

use crate::support::{
    BINARY, DEADLINE_FLAG, Footprint, SLACK, eventually, images, in_time, metric, new_image, pool, readiness, shared,
};

/// Replaces a file as a mounted Secret is: at once, never half-written.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

#[test]
fn wrong_key_is_said_and_a_new_one_taken_without_an_answer_lost() {
    let ceph = shared();
    let pool = pool(ceph);
    let caps = ["mon", "profile rbd", "osd", "profile rbd", "mgr", "profile rbd"];
    let entity = format!("client.{pool}");
    let first = ceph.ceph(&[&["auth", "get-or-create", &entity][..], &caps].concat()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let keyring = directory.path().join("keyring");
    replace(&keyring, &first);
    let service = RbdServiceOptions::with_files(BINARY, ceph.conf(), &keyring)
        .arguments(&["--id", &pool, "--deadline", DEADLINE_FLAG])
        .start()
        .unwrap();
    let list = ("GET", images(&pool), Value::Null);
    service.client.post(&images(&pool), &new_image("a")).unwrap().expect(201);
    let before = Footprint::idle(&service);
    assert_eq!(metric(&service, "ceph_connects_total"), 1);

    // A wrong key, and no keyring at all: the connection that there is goes on.
    let wrong = format!("[{entity}]\n\tkey = AQBAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==\n");
    for text in [wrong.as_str(), "not a keyring\n"] {
        let failed = metric(&service, "ceph_failed_connects_total");
        replace(&keyring, text);
        eventually("an attempt with the wrong key", Duration::from_secs(10), || {
            in_time(&service.client, &list).expect(200);
            (metric(&service, "ceph_failed_connects_total") > failed).then_some(())
        });
        let (status, said) = readiness(&service);
        assert_eq!(status, 200);
        assert!(said.contains("but: "), "{said}");
    }
    in_time(&service.client, &("POST", images(&pool), new_image("b"))).expect(201);

    // A new key: the monitors get it first, then the file.
    let key = std::process::Command::new("ceph-authtool").arg("--gen-print-key").output().unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    let text = format!("[{entity}]\n\tkey = {}\n", key.trim());
    let import = directory.path().join("import");
    let lines: String = caps.chunks(2).map(|cap| format!("\tcaps {} = \"{}\"\n", cap[0], cap[1])).collect();
    std::fs::write(&import, format!("{text}{lines}")).unwrap();
    ceph.ceph(&["auth", "import", "-i", import.to_str().unwrap()]).unwrap();
    in_time(&service.client, &list).expect(200);
    replace(&keyring, &text);
    eventually("a connection with the new key", Duration::from_secs(5) + SLACK, || {
        in_time(&service.client, &list).expect(200);
        (metric(&service, "ceph_connects_total") == 2).then_some(())
    });
    assert_eq!(readiness(&service), (200, "ready\n".to_owned()));
    in_time(&service.client, &("POST", images(&pool), new_image("c"))).expect(201);
    // The old connection is closed: nothing is left of it.
    before.returns(&service);
}
