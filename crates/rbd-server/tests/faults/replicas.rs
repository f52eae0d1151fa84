//! Two replicas change the same names, and the same image, at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use testbed::service::RbdServiceOptions;

use crate::support::{
    BINARY, ask, contents, eventually, finished, images, in_time, left_over, new_image, patient, pool, service, shared,
};

const NAMES: [&str; 3] = ["a", "b", "c"];
const TIME: Duration = Duration::from_secs(10);

#[test]
fn two_replicas_on_the_same_names_leave_whole_images_and_nothing_else() {
    let ceph = shared();
    let pool = pool(ceph);
    let replicas = [patient(ceph), patient(ceph)];
    // Whatever a pool has once it was used.
    let path = images(&pool);
    replicas[0].client.post(&path, &new_image("warm")).unwrap().expect(201);
    ceph.rbd(&["rm", "--no-progress", &format!("{pool}/warm")]).unwrap();
    let before = contents(ceph, &pool);

    let started = Instant::now();
    let counted = std::sync::Mutex::new(BTreeMap::<(&str, u16, String), u32>::new());
    let next = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for replica in &replicas {
            for _ in 0..5 {
                scope.spawn(|| {
                    while started.elapsed() < TIME {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let name = NAMES[n as usize % NAMES.len()];
                        // As many of one as of the other, in changing order.
                        let (what, asked) = if (n / 3).is_multiple_of(2) {
                            ("create", ("POST", path.clone(), new_image(name)))
                        } else {
                            ("delete", ("DELETE", format!("{path}/{name}?permanent=true"), Value::Null))
                        };
                        let (answer, _) = ask(&replica.client, &asked);
                        let allowed: &[(u16, &str)] = if what == "create" {
                            &[(201, ""), (409, "exists"), (409, "removing"), (409, "conflict")]
                        } else {
                            &[(202, ""), (404, "image-not-found"), (409, "in-use"), (409, "conflict")]
                        };
                        let got = (answer.status, answer.problem());
                        assert!(allowed.contains(&(got.0, &got.1)), "{what} {name}: {got:?} {}", answer.text());
                        *counted.lock().unwrap().entry((what, got.0, got.1)).or_default() += 1;
                    }
                });
            }
        }
    });
    let counted = counted.into_inner().unwrap();
    for (what, status) in [("create", 201), ("delete", 202)] {
        assert!(counted.iter().any(|(key, count)| key.0 == what && key.1 == status && *count > 3), "{counted:?}");
    }
    // The operations end, and end well, or say that another was first.
    let operations = format!("/api/v1/pools/{pool}/operations");
    eventually("the end of all operations", Duration::from_secs(60), || {
        let list = replicas[1].client.get(&operations).unwrap().expect(200).json();
        let items = list["Items"].as_array().unwrap().clone();
        items.iter().all(|item| !["queued", "running"].contains(&item["state"].as_str().unwrap())).then_some(())
    });
    let list = replicas[1].client.get(&format!("{path}?view=full")).unwrap().expect(200).json();
    let items = list["Items"].as_array().unwrap();
    let named: BTreeSet<String> = items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
    let listed: BTreeSet<String> = ceph.rbd(&["ls", &pool]).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(named, listed, "{counted:?}");
    assert_eq!(items.len(), named.len(), "{list}");
    for item in items {
        assert_eq!(item["state"], "ready", "{item}");
        let image = format!("{pool}/{}", item["name"].as_str().unwrap());
        // Whole: it opens, takes bytes, and gives them back.
        ceph.rbd(&["bench", "--io-type", "write", "--io-size", "64K", "--io-total", "256K", &image]).unwrap();
        ceph.rbd(&["rm", "--no-progress", &image]).unwrap();
    }
    // Nothing is left of those that were deleted.
    assert_eq!(left_over(&before, &contents(ceph, &pool)), Vec::<String>::new(), "{counted:?}");
}

/// librbd makes an image in steps: its entry in the list first, its header later. Here the steps are taken slowly, so
/// that a removal comes between them.
#[test]
fn image_is_not_removed_between_the_steps_of_its_making() {
    let ceph = shared();
    let pool = pool(ceph);
    ceph.rbd(&["create", "--size", "8", &format!("{pool}/warm")]).unwrap();
    ceph.rbd(&["rm", "--no-progress", &format!("{pool}/warm")]).unwrap();
    let before = contents(ceph, &pool);
    let service = service(ceph, &[]);
    ceph.rbd(&["create", "--size", "8", "--image-feature", "layering", &format!("{pool}/a")]).unwrap();
    let info = ceph.rbd(&["info", "--format", "json", &format!("{pool}/a")]).unwrap();
    let info: Value = serde_json::from_str(&info).unwrap();
    let header = format!("rbd_header.{}", info["id"].as_str().unwrap());
    ceph.rados(&["-p", &pool, "cp", &header, "later"]).unwrap();
    ceph.rados(&["-p", &pool, "rm", &header]).unwrap();
    let path = format!("{}/a?permanent=true", images(&pool));
    let removal = in_time(&service.client, &("DELETE", path, Value::Null)).expect(202);
    std::thread::sleep(Duration::from_millis(500));
    ceph.rados(&["-p", &pool, "cp", "later", &header]).unwrap();
    ceph.rados(&["-p", &pool, "rm", "later"]).unwrap();
    let removed = finished(&service.client, removal.header("location"), Duration::from_secs(60));
    assert_eq!(removed["state"], "succeeded", "{removed}");
    assert_eq!(left_over(&before, &contents(ceph, &pool)), Vec::<String>::new());
}

#[test]
fn replicas_that_change_one_image_at_the_same_time_outlive_it() {
    // Whoever has the image's exclusive lock also does what the other asks it to: librbd 16 aborts the process when such a
    // request meets the closing of the image.
    let ceph = shared();
    let pool = pool(ceph);
    let mut replicas = [(); 2].map(|()| RbdServiceOptions::new(BINARY, ceph).start().unwrap());
    replicas[0].client.post(&images(&pool), &new_image("a")).unwrap().expect(201);
    let until = Instant::now() + Duration::from_secs(6);
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let client = replicas[lane % 2].client.clone();
            let entry = format!("{}/a/metadata/lane{lane}", images(&pool));
            scope.spawn(move || {
                while Instant::now() < until {
                    client.put(&entry, &json!({ "value": "x" })).unwrap().expect(200);
                }
            });
        }
    });
    for replica in &mut replicas {
        assert_eq!(replica.ended().unwrap(), None);
    }
}
