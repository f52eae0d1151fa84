//! SIGTERM: not ready, still serving, then an end in good order.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::http::exchange;
use testbed::service::Signal;

use crate::support::{
    Download, MIB, SLACK, data, eventually, finished, images, import, large_image, noise, pool, readiness, service,
    shared,
};

#[test]
fn service_that_is_told_to_end_drains_hands_over_and_ends() {
    let ceph = shared();
    let pool = pool(ceph);
    large_image(ceph, &pool, "a");
    large_image(ceph, &pool, "b");
    let mut ending = service(ceph, &["--drain-delay", "4s", "--grace", "20s"]);
    let bytes = noise(6, 80 * MIB);
    import(&ending, &pool, "bytes", &bytes);
    let images = images(&pool);
    let removal = ending.client.delete(&format!("{images}/a?permanent=true")).unwrap().expect(202);
    let location = removal.header("location").to_owned();
    let client = ending.client.clone();
    let waited = format!("{location}?wait=60s");
    let waiting = std::thread::spawn(move || client.get(&waited).unwrap());
    // An export that will still be on its way when the drain is over.
    let mut download = Download::start(&ending, &data(&pool, "bytes"));
    let exporting = std::thread::spawn(move || {
        let mut all = Vec::new();
        while (all.len() as u64) < download.length {
            let mut part = vec![0; usize::try_from(MIB).unwrap()];
            download.read_exact(&mut part).expect("the next MiB");
            all.extend(part);
            std::thread::sleep(Duration::from_millis(100));
        }
        (all, Instant::now())
    });
    // An idle connection, as clients keep them.
    let _idle = TcpStream::connect(ending.api()).unwrap();
    std::thread::sleep(Duration::from_millis(300));

    let told = Instant::now();
    ending.signal(Signal::TERM).unwrap();
    eventually("not ready", Duration::from_millis(500) + SLACK, || {
        let (status, text) = readiness(&ending);
        (status == 503 && text.contains("ending")).then_some(())
    });
    // Whoever has not seen that yet is served all the same, and told to go elsewhere with the next request.
    assert!(told.elapsed() < Duration::from_secs(4), "the test was too slow to see the drain");
    let answer = exchange(ending.api(), "GET /api/v1/pools HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap().expect(200);
    assert!(!answer.keeps_connection(), "{:?}", answer.headers);
    let rejected = ending.client.post(&format!("{images}/b/flatten"), &json!({})).unwrap();
    assert_eq!(rejected.status, 409, "{}", rejected.text());
    // After the drain nobody is accepted any more.
    eventually("new connections are rejected", Duration::from_secs(4) + SLACK, || {
        TcpStream::connect(ending.api()).is_err().then_some(())
    });
    let closed = Instant::now();
    let status = eventually("the end", Duration::from_secs(20) + SLACK, || ending.ended().unwrap());
    assert!(status.success(), "{status}: {}", ending.log());
    let (all, done) = exporting.join().unwrap();
    assert!(all == bytes);
    assert!(done > closed, "the export was over before the drain was");
    let answer = waiting.join().unwrap().expect(200).json();
    assert_eq!(answer["kind"], "removeImage");

    // Another replica goes on with what was handed over, without waiting for a lease.
    let other = service(ceph, &[]);
    let done = finished(&other.client, &location, Duration::from_secs(90));
    assert_eq!(done["state"], "succeeded", "{done}");
    // Replicas of other tests share the cluster: one may have taken it over and ended before.
    let resumed = done["resumed"].as_u64().unwrap();
    assert!(resumed >= 1 || answer["state"] == "succeeded", "{done} {answer}");
}
