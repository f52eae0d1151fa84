//! What is told of requests by route.

use testbed::echo::backend;

use crate::common::{Bench, debian, eventually, free, service};

#[test]
fn requests_are_told_by_route_and_beyond_the_most_together() {
    let mut bench = Bench::new(&debian());
    bench.flag("--max-counted-routes", "1".to_owned());
    bench.write("shop.yaml", &service("shop", backend("a").port()));
    let entry = bench.start(&["run"]);
    bench.answers("/shop/", 200, "a");
    let told = |name: &str, labels: &str| entry.metric(&format!("nginx_route_{name}{{{labels}}}"));
    let shop = "route=\"Service default/shop\"";
    // It may have been asked more than once until it was served.
    let of_shop = || told("requests_total", &format!("{shop},status=\"2xx\""));
    eventually("a request of the route", || of_shop() >= 1.0);
    let asked = of_shop();

    bench.write("down.yaml", &service("down", free().port()));
    bench.answers("/down/", 502, "");
    let of_others = || told("requests_total", "route=\"other\",status=\"5xx\"");
    eventually("a request of another route", || of_others() >= 1.0);
    eventually("a request of none", || {
        bench.answers("/nowhere", 404, "");
        told("requests_total", "route=\"none\",status=\"4xx\"") >= 1.0
    });
    for _ in 0..3 {
        bench.answers("/shop/", 200, "a");
    }
    eventually("three requests more", || (of_shop() - asked - 3.0).abs() < 0.5);
    assert!((told("duration_seconds_count", shop) - asked - 3.0).abs() < 0.5);
    assert!((told("duration_seconds_bucket", &format!("le=\"+Inf\",{shop}")) - asked - 3.0).abs() < 0.5);
    assert!(told("sent_bytes_total", shop) > 100.0 && told("received_bytes_total", shop) > 100.0);
    assert!(told("retries_total", shop) < 0.5 && told("aborted_total", shop) < 0.5);
    entry.terminate();
}
