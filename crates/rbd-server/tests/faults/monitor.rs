//! The monitor is frozen: connections to it stay open, and nothing is answered.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::ceph::Daemon;
use testbed::daemon::Daemons as _;

use crate::support::{Footprint, all_in_time, images, in_time, new_image, own, pool, readiness, recovers, service};

/// What needs no monitor goes on; what needs one is answered in time with the reason, and the service is never stuck as
/// a whole.
#[test]
fn frozen_monitor_stops_only_what_needs_it() {
    let ceph = own();
    let pool = pool(&ceph);
    ceph.rbd(&["namespace", "create", &format!("{pool}/ns")]).unwrap();
    ceph.rbd(&["create", "--size", "8", &format!("{pool}/a")]).unwrap();
    let service = service(&ceph, &[]);
    let images = images(&pool);
    let spaced = format!("/api/v1/pools/{pool}/namespaces/ns/images");
    // Everything is used once before it is measured.
    for path in ["/api/v1/pools", "/api/v1/operations", &images, &spaced, &format!("{images}/a")] {
        service.client.get(path).unwrap().expect(200);
    }
    service.client.post(&images, &new_image("warm")).unwrap().expect(201);
    let before = Footprint::idle(&service);

    let frozen = ceph.frozen(Daemon::Mon).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let get = |path: &str| ("GET", path.to_owned(), Value::Null);
    let nowhere = "/api/v1/operations/987654.0198c5a0-0000-7000-8000-000000000000";
    // More of each than the machine has cores: none may hold a thread that serves all.
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.extend([get(nowhere), get("/api/v1/pools"), get("/api/v1/pools/none/images"), get("/api/v1/operations")]);
        asked.push(("DELETE", nowhere.to_owned(), Value::Null));
    }
    asked.push(("POST", "/api/v1/pools".to_owned(), json!({ "name": "later" })));
    let answers = std::thread::scope(|scope| {
        let needy = scope.spawn(|| all_in_time(&service.client, &asked));
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..3 {
            for path in [&images, &spaced, &format!("{images}?view=full"), &format!("{images}/a")] {
                in_time(&service.client, &get(path)).expect(200);
            }
            assert_eq!(readiness(&service).0, 200);
        }
        needy.join().unwrap()
    });
    for (asked, answer) in asked.iter().zip(answers) {
        assert_eq!(answer.status, 503, "{asked:?}: {}", answer.text());
        assert_eq!(answer.problem(), "ceph-unavailable", "{asked:?}");
        assert!(!answer.header("retry-after").is_empty(), "{asked:?}");
    }
    let cause = in_time(&service.client, &get("/api/v1/pools")).expect(503).json();
    assert!(cause["cause"].as_str().unwrap().contains("monitors have not answered"), "{cause}");
    assert_eq!(readiness(&service).0, 200);
    drop(frozen);
    recovers(
        &service,
        &[
            (get("/api/v1/pools"), 200),
            (get(nowhere), 404),
            (get("/api/v1/pools/none/images"), 404),
            (("POST", images.clone(), new_image("after")), 201),
        ],
    );
    before.returns(&service);
}
