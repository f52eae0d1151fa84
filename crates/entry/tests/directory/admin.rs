//! The admin port.

use testbed::http::get;

use crate::common::{Bench, service};

#[test]
fn metrics_come_in_the_form_that_the_reader_prefers() {
    let bench = Bench::new(testbed::nginx::debian());
    bench.write("shop.yaml", &service("shop", 81));
    let entry = bench.start(&["watch"]);
    entry.wait_ready();
    let metrics = |accept: &str| get(entry.admin_address(), "admin", "/metrics", accept).unwrap().expect(200);
    let text = metrics("");
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    // There a counter is described by the name of its samples.
    assert!(text.text().contains("# TYPE sparrow_entry_generations_total counter\n"), "{}", text.text());
    assert!(!text.text().contains("# EOF"), "{}", text.text());
    let open = metrics("Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3\r\n");
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.text().contains("# TYPE sparrow_entry_generations counter\n"), "{}", open.text());
    assert!(open.text().ends_with("# EOF\n"), "{}", open.text());
    entry.terminate();
}
