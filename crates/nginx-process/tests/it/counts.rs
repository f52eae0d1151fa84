//! What workers count of requests by route, as the supervisor reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use testbed::echo::backend;

use crate::bench::{Running, SOON, blocking};
use crate::table_bench::TableBench;

/// Requests by route, of those that have any.
async fn requests(running: &Running) -> BTreeMap<String, u64> {
    let counter = running.handle.route_counter.clone().unwrap();
    let totals = blocking(move || counter.totals()).await;
    let totals = totals.into_iter().map(|totals| (totals.route, totals.by_class.iter().sum()));
    totals.filter(|(_, requests)| *requests > 0).collect()
}

/// Waits until these are the requests.
async fn until(running: &Running, expected: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> = expected.iter().map(|(route, n)| ((*route).to_owned(), *n)).collect();
    let wait = async {
        while requests(running).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let came = tokio::time::timeout(SOON, wait).await.is_ok();
    assert!(came, "{:?}, not {expected:?}", requests(running).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn route_that_is_removed_is_no_longer_told_and_leaves_room() {
    let mut bench = TableBench::new();
    bench.bench.settings.most_counted_routes = 2;
    // Each look at the counts looks for routes that are gone.
    bench.bench.settings.count_sweep_pause = Duration::ZERO;
    let address = backend("a");
    let running = bench.start_on("one", &[("a.example", address), ("b.example", address)]).await;
    for host in ["a.example", "b.example", "b.example"] {
        bench.backend(host).await.unwrap();
    }
    assert_eq!(bench.backend("nowhere.example").await, Err(404));
    until(&running, &[("Ingress default/a.example", 1), ("Ingress default/b.example", 2), ("none", 1)]).await;

    // They outlive another frame, which comes by a reload.
    bench.offer("two");
    bench.bench.outcome("two").await;
    bench.backend("b.example").await.unwrap();
    until(&running, &[("Ingress default/a.example", 1), ("Ingress default/b.example", 3), ("none", 1)]).await;

    for round in 0..5 {
        let (gone, comes) = (format!("{round}.example"), format!("{}.example", round + 1));
        bench.generator.remove(if round == 0 { "a.example" } else { &gone });
        bench.generator.route(&comes, address);
        let revision = bench.generator.publish("two");
        bench.confirmed("two", revision).await;
        let left = [("Ingress default/b.example", 3), ("none", 1)];
        until(&running, &left).await;
        // Until its place is free, which two more looks see to, it is counted together with others.
        requests(&running).await;
        requests(&running).await;
        bench.backend(&comes).await.unwrap();
        let name = format!("Ingress default/{comes}");
        until(&running, &[(&*name, 1), left[0], left[1]]).await;
    }
}
