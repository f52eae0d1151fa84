//! Monitor and OSD crash, stay away for a while, and come back.

use std::time::Duration;

use serde_json::Value;
use testbed::ceph::Daemon;
use testbed::daemon::Daemons as _;
use testbed::service::ApiClient;

use crate::support::{Footprint, all_in_time, durable, images, in_time, new_image, pool, readiness, recovers, service};

#[test]
fn cluster_that_crashes_and_comes_back_is_served_again_without_a_restart() {
    let ceph = durable();
    let pool = pool(&ceph);
    let service = service(&ceph, &[]);
    let images = images(&pool);
    let get = |path: &str| ("GET", path.to_owned(), Value::Null);
    service.client.post(&images, &new_image("a")).unwrap().expect(201);
    service.client.get("/api/v1/pools").unwrap().expect(200);
    let before = Footprint::idle(&service);

    ceph.kill_daemon(Daemon::Mon).unwrap();
    ceph.kill_daemon(Daemon::Osd).unwrap();
    let asked = [
        get("/api/v1/pools"),
        get(&images),
        get(&format!("{images}/a")),
        get("/api/v1/operations"),
        ("POST", images.clone(), new_image("b")),
        ("DELETE", format!("{images}/a"), Value::Null),
    ];
    for (asked, answer) in asked.iter().zip(all_in_time(&service.client, &asked)) {
        assert_eq!(answer.status, 503, "{asked:?}: {}", answer.text());
    }
    std::thread::sleep(Duration::from_secs(10));
    // On a connection of its own: one that stood idle for 10 s is closed by the service, perhaps at this very moment.
    in_time(&ApiClient::new(&format!("http://{}", service.api())), &get("/api/v1/pools")).expect(503);
    assert_eq!(readiness(&service).0, 200);

    ceph.start_daemon(Daemon::Mon).unwrap();
    ceph.start_daemon(Daemon::Osd).unwrap();
    recovers(
        &service,
        &[(get("/api/v1/pools"), 200), (get(&images), 200), (("POST", images.clone(), new_image("c")), 201)],
    );
    // The deletion that was answered with 503 may have taken effect; nothing else may be gone.
    let trash = ceph.rbd(&["trash", "ls", &pool]).unwrap();
    let listed = ceph.rbd(&["ls", &pool]).unwrap();
    assert!(listed.lines().any(|name| name == "a") != trash.contains(" a"), "{listed} {trash}");

    // The monitor alone: what is connected to the OSD works on, and finds the monitor again.
    ceph.kill_daemon(Daemon::Mon).unwrap();
    in_time(&service.client, &get(&images)).expect(200);
    in_time(&service.client, &get("/api/v1/pools")).expect(503);
    // Long enough that a client that waits ever longer between its attempts may be late.
    std::thread::sleep(Duration::from_secs(20));
    ceph.start_daemon(Daemon::Mon).unwrap();
    recovers(&service, &[(get("/api/v1/pools"), 200)]);
    // The OSD alone, in good order.
    ceph.restart_daemon(Daemon::Osd).unwrap();
    recovers(&service, &[(get(&images), 200), (("POST", images.clone(), new_image("d")), 201)]);
    before.returns(&service);
}
