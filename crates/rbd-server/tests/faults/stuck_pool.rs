//! One pool does not answer; all others do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::service::Answer;

use crate::support::{
    DEADLINE, Footprint, SLACK, ask, eventually, images, in_time, metric, new_image, own, pool, recovers, service,
};

/// The service's bounds per pool: calls that run, and calls that wait (`Limits` in the service).
const RUNNING: usize = 16;
const WAITING: usize = 256;

/// The pools that an answer could not read.
fn unread(answer: &Value) -> Vec<String> {
    let unread = answer["Unread"].as_array().unwrap_or_else(|| panic!("no Unread in {answer}"));
    unread.iter().map(|one| one["pool"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn stuck_pool_fills_its_own_queue_and_starves_no_other() {
    // Not the one that tests share: what asks all pools of it would be told of the stuck one.
    let ceph = &own();
    let (stuck, fine) = (pool(ceph), pool(ceph));
    let service = service(ceph, &[]);
    let get = |path: &str| ("GET", path.to_owned(), Value::Null);
    for pool in [&stuck, &fine] {
        service.client.post(&images(pool), &new_image("a")).unwrap().expect(201);
    }
    // A clone in the one whose parent is in the other: lists show the parent's name.
    let snapshot = format!("{stuck}/a@s");
    ceph.rbd(&["snap", "create", &snapshot]).unwrap();
    ceph.rbd(&["clone", "--rbd-default-clone-format", "2", &snapshot, &format!("{fine}/clone")]).unwrap();
    let clone = format!("{}/clone", images(&fine));
    assert_eq!(service.client.get(&clone).unwrap().expect(200).json()["parent"]["image"], "a");
    let protected = format!("{fine}/protected@s");
    service.client.post(&images(&fine), &new_image("protected")).unwrap().expect(201);
    ceph.rbd(&["snap", "create", &protected]).unwrap();
    ceph.rbd(&["snap", "protect", &protected]).unwrap();
    ceph.rbd(&["clone", "--rbd-default-clone-format", "1", &protected, &format!("{fine}/first")]).unwrap();
    // Another application's pool does not answer either, and nobody asks it.
    let foreign = format!("{stuck}-files");
    ceph.ceph(&["osd", "pool", "create", &foreign, "--size", "2"]).unwrap();
    ceph.ceph(&["osd", "pool", "application", "enable", &foreign, "cephfs"]).unwrap();
    ceph.ceph(&["osd", "pool", "set", &foreign, "min_size", "2"]).unwrap();
    let before = Footprint::idle(&service);
    // Two copies on one OSD: with fewer than `min_size` of them a placement group serves nothing.
    ceph.ceph(&["osd", "pool", "set", &stuck, "size", "2"]).unwrap();
    ceph.ceph(&["osd", "pool", "set", &stuck, "min_size", "2"]).unwrap();
    eventually("the pool is stuck", Duration::from_secs(20), || {
        (ask(&service.client, &get(&images(&stuck))).0.status == 503).then_some(())
    });

    let count = RUNNING + WAITING + 28;
    let (answers, slowest): (Vec<(Answer, Duration)>, Duration) = std::thread::scope(|scope| {
        let client = &service.client;
        let stuck = images(&stuck);
        let flood: Vec<_> = (0..count)
            .map(|n| {
                let asked = ("POST", stuck.clone(), new_image(&format!("n{n}")));
                scope.spawn(move || ask(client, &asked))
            })
            .collect();
        // Meanwhile the other pool is answered as if nothing were.
        let mut slowest = Duration::ZERO;
        let started = Instant::now();
        let mut n = 0;
        while started.elapsed() < DEADLINE {
            let made = in_time(client, &("POST", images(&fine), new_image(&format!("n{n}"))));
            assert_eq!(made.status, 201, "{}", made.text());
            let (listed, took) = ask(client, &get(&format!("{}/a", images(&fine))));
            assert_eq!(listed.status, 200, "{}", listed.text());
            slowest = slowest.max(took);
            n += 1;
        }
        (flood.into_iter().map(|thread| thread.join().unwrap()).collect(), slowest)
    });
    assert!(slowest < DEADLINE / 2 + SLACK, "an image of the other pool took {slowest:?}");
    let mut at_once = 0;
    for (answer, took) in &answers {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(["busy", "ceph-unavailable"].contains(&answer.problem().as_str()), "{}", answer.text());
        assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{:?}", answer.headers);
        // As many are sent at once as the machine has to make threads for: more than the usual slack.
        assert!(*took <= DEADLINE + Duration::from_secs(1) + 2 * SLACK, "{took:?}: {}", answer.text());
        at_once += usize::from(answer.problem() == "busy" && answer.text().contains("queue is full"));
    }
    assert!(at_once > 0, "none was turned away at once");
    assert_eq!(metric(&service, "workers_stuck"), RUNNING as u64);
    // What only the stuck pool knows is missing from the other's list, and nothing else.
    let list = in_time(&service.client, &get(&format!("{}?view=full", images(&fine)))).expect(200).json();
    let cloned = list["Items"].as_array().unwrap().iter().find(|item| item["name"] == "clone").unwrap();
    assert_eq!((&cloned["parent"]["pool"], &cloned["parent"]["image"]), (&json!(stuck), &Value::Null), "{cloned}");
    // The list of all operations has what can be read, and says which pool could not.
    let purge =
        service.client.send("POST", &format!("/api/v1/pools/{fine}/trash/purge"), &[], &[]).unwrap().expect(202);
    let all = in_time(&service.client, &get("/api/v1/operations")).expect(200).json();
    assert!(unread(&all).contains(&stuck) && !unread(&all).contains(&foreign), "{all}");
    let items = all["Items"].as_array().unwrap();
    assert!(items.iter().any(|item| purge.header("location").ends_with(item["id"].as_str().unwrap())), "{all}");
    // Clones of a protected snapshot may be in any pool.
    let children = in_time(&service.client, &get(&format!("{}/protected/children", images(&fine)))).expect(200).json();
    assert_eq!(
        (children["Items"].as_array().unwrap().len(), &children["Items"][0]["image"]),
        (1, &json!("first")),
        "{children}"
    );
    assert!(unread(&children).contains(&stuck) && !unread(&children).contains(&foreign), "{children}");
    // What must be known is not guessed: the protection stays.
    let lift = ("DELETE", format!("{}/protected/snapshots?unprotect=true", images(&fine)), Value::Null);
    let lift = in_time(&service.client, &lift).expect(503);
    assert!(lift.text().contains(&stuck), "{}", lift.text());

    ceph.delete_pool(&foreign).unwrap();
    ceph.ceph(&["osd", "pool", "set", &stuck, "min_size", "1"]).unwrap();
    recovers(&service, &[(get(&images(&stuck)), 200), (("POST", images(&stuck), new_image("after")), 201)]);
    assert_eq!(service.client.get(&clone).unwrap().expect(200).json()["parent"]["image"], "a");
    before.returns(&service);
}
