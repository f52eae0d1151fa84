//! Pools of other applications: nothing is made in them, what is there can be read, and they are not deleted lightly.

use serde_json::{Value, json};

use crate::support::{api, ceph, finished, pool};

/// A pool of another application, with an image that was made before it was one.
fn foreign(application: &str) -> String {
    let pool = pool();
    ceph().rbd(&["create", "--size", "8M", &format!("{pool}/there")]).unwrap();
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{pool}/there@s")]).unwrap();
    let sure = "--yes-i-really-mean-it";
    ceph().ceph(&["osd", "pool", "application", "disable", &pool, "rbd", sure]).unwrap();
    ceph().ceph(&["osd", "pool", "application", "enable", &pool, application]).unwrap();
    // The service reads the maps anew.
    api().get("/api/v1/pools").unwrap().expect(200);
    pool
}

#[test]
fn nothing_is_made_in_a_pool_of_another_application() {
    let own = pool();
    ceph().rbd(&["create", "--size", "8M", &format!("{own}/a")]).unwrap();
    ceph().rbd(&["snap", "create", "--no-progress", &format!("{own}/a@s")]).unwrap();
    for application in ["cephfs", "rgw"] {
        let pool = foreign(application);
        let path = format!("/api/v1/pools/{pool}");
        let mine = format!("/api/v1/pools/{own}/images");
        let image = json!({ "name": "new", "sizeBytes": 8 << 20 });
        let data_there = json!({ "name": "new", "sizeBytes": 8 << 20, "dataPool": pool });
        let there = json!({ "name": "new", "pool": pool });
        for (method, path, body) in [
            ("POST", format!("{path}/images"), image.clone()),
            ("PUT", format!("{path}/images/new"), json!({ "sizeBytes": 8 << 20 })),
            ("POST", mine.clone(), data_there),
            ("POST", format!("{mine}/a/copy"), there.clone()),
            ("POST", format!("{mine}/a/snapshots/s/clone"), there),
            ("POST", format!("{path}/groups"), json!({ "name": "g" })),
            ("POST", format!("{path}/namespaces"), json!({ "name": "n" })),
            ("PUT", format!("{path}/trash/schedule"), json!({ "interval": "1h" })),
        ] {
            let rejected = api().json(method, &path, &body).unwrap().expect(409);
            let problem = rejected.json();
            assert_eq!(
                (rejected.problem().as_str(), &problem["applications"]),
                ("foreign-pool", &json!([application])),
                "{path}"
            );
            assert!(problem["correction"].as_str().unwrap().contains("application enable"), "{problem}");
        }
        let imported = api().send("PUT", &format!("{path}/images/new/data"), &[], &[0; 4096]).unwrap().expect(409);
        assert_eq!(imported.problem(), "foreign-pool");
        // What is there is read, and can be removed.
        let there = api().get(&format!("{path}/images/there")).unwrap().expect(200).json();
        assert_eq!(there["snapshots"][0]["name"], "s", "{there}");
        assert_eq!(api().get(&format!("{path}/images")).unwrap().expect(200).json()["Items"][0]["name"], "there");
        let gone =
            api().delete(&format!("{path}/images/there?permanent=true&deleteSnapshots=true")).unwrap().expect(202);
        assert_eq!(finished(&api(), gone.header("location"))["state"], "succeeded");
        // The correction is enough.
        ceph().ceph(&["osd", "pool", "application", "enable", &pool, "rbd", "--yes-i-really-mean-it"]).unwrap();
        api().post(&format!("{path}/images"), &image).unwrap().expect(201);
    }
    assert_eq!(ceph().rbd(&["ls", &own]).unwrap(), "a\n");
}

#[test]
fn pool_that_another_application_uses_is_deleted_only_when_forced() {
    let pool = foreign("rgw");
    let path = format!("/api/v1/pools/{pool}?confirm={pool}");
    let rejected = api().delete(&path).unwrap().expect(409);
    assert_eq!((rejected.problem().as_str(), &rejected.json()["applications"]), ("foreign-pool", &json!(["rgw"])));
    // Also one that is for rbd too.
    ceph().ceph(&["osd", "pool", "application", "enable", &pool, "rbd", "--yes-i-really-mean-it"]).unwrap();
    api().get("/api/v1/pools").unwrap().expect(200);
    assert_eq!(api().delete(&path).unwrap().expect(409).problem(), "foreign-pool");
    assert_eq!(api().get(&format!("/api/v1/pools/{pool}")).unwrap().expect(200).json()["name"], Value::String(pool));
    api().delete(&format!("{path}&force=true")).unwrap().expect(204);
}
