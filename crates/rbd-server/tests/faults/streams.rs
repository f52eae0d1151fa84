//! Clients of an export that leave, dawdle, or stand still.

use std::io::Read as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Download, Footprint, MIB, RECOVERY, SLACK, data, eventually, import, in_time, noise, pool, service, shared,
};

#[test]
fn client_that_leaves_in_the_middle_of_an_export_leaves_nothing_behind() {
    let ceph = shared();
    let pool = pool(ceph);
    let service = service(ceph, &["--streams-per-pool", "1"]);
    let bytes = noise(1, 64 * MIB);
    import(&service, &pool, "a", &bytes);
    let path = data(&pool, "a");
    let whole = || ("GET", path.clone(), Value::Null);
    assert!(in_time(&service.client, &whole()).expect(200).body == bytes);
    let before = Footprint::idle(&service);
    for round in 0..5 {
        let mut download = Download::start(&service, &path);
        assert_eq!(download.status, 200);
        let mut some = vec![0; usize::try_from(MIB).unwrap()];
        download.read_exact(&mut some).unwrap();
        // There is one place, and this one has it.
        let busy = in_time(&service.client, &whole()).expect(503);
        assert_eq!(busy.problem(), "busy");
        assert!(!busy.header("retry-after").is_empty(), "{:?}", busy.headers);
        drop(download);
        eventually(&format!("the place is free again, round {round}"), RECOVERY + SLACK, || {
            (in_time(&service.client, &("HEAD", path.clone(), Value::Null)).status == 200).then_some(())?;
            let answer = in_time(&service.client, &whole());
            (answer.status == 200).then(|| assert!(answer.body == bytes))
        });
    }
    before.returns(&service);
}

#[test]
fn slow_client_gets_every_byte_and_one_that_stands_still_is_let_go() {
    let ceph = shared();
    let pool = pool(ceph);
    let service = service(ceph, &["--client-idle", "3s", "--stream-memory-mib", "32"]);
    let bytes = noise(2, 64 * MIB);
    import(&service, &pool, "a", &bytes);
    let path = data(&pool, "a");
    let before = Footprint::idle(&service);
    std::thread::scope(|scope| {
        // Far longer than the deadline and the patience with those who stand still.
        let slow = scope.spawn(|| {
            let started = Instant::now();
            let mut download = Download::start(&service, &path);
            let mut all = Vec::new();
            while (all.len() as u64) < download.length {
                let mut part = vec![0; usize::try_from(MIB).unwrap()];
                download.read_exact(&mut part).expect("the next MiB");
                all.extend(part);
                std::thread::sleep(Duration::from_millis(150));
            }
            assert!(started.elapsed() > Duration::from_secs(9));
            assert!(all == bytes);
        });
        let still = scope.spawn(|| {
            let mut download = Download::start(&service, &path);
            let mut some = vec![0; usize::try_from(MIB).unwrap()];
            download.read_exact(&mut some).unwrap();
            std::thread::sleep(Duration::from_secs(3) + RECOVERY + SLACK);
            // What was on its way may still come; then the connection is over.
            let mut rest = Vec::new();
            let end = download.read_to_end(&mut rest);
            assert!(end.is_err() || (rest.len() as u64) < download.length - MIB, "{end:?} {}", rest.len());
        });
        // Nobody else notices.
        for _ in 0..3 {
            let answer = in_time(&service.client, &("GET", path.clone(), Value::Null)).expect(200);
            assert!(answer.body == bytes);
        }
        still.join().unwrap();
        slow.join().unwrap();
    });
    before.returns(&service);
}
