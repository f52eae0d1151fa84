//! The admin port.

use std::fs;
use std::path::Path;

use testbed::http::{exchange, get};

use crate::common::{Bench, debian, service};

#[test]
fn metrics_come_in_the_form_that_the_reader_prefers() {
    let bench = Bench::new(&debian());
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

/// The admission controller of ingress-nginx could be reached by every pod, and ran nginx on what it was sent.
#[test]
fn cve_2025_1974_and_cve_2026_24514_no_port_takes_a_review() {
    let bench = Bench::new(&debian());
    bench.write("shop.yaml", &service("shop", 81));
    let entry = bench.start(&["run"]);
    let before = bench.live();
    let review = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","object":{
        "apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"a","namespace":"a","annotations":{
        "nginx.ingress.kubernetes.io/auth-url":"http://a.example/#;}}}\n\nssl_engine /tmp/a;\n\n"}},"spec":{"rules":[{"host":"a.example"}]}}}}"#;
    for path in ["/", "/validate", "/mutate", "/networking/v1/ingresses"] {
        for address in [entry.admin_address(), bench.http] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: admin\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{review}",
                review.len()
            );
            let answer = exchange(address, request).unwrap();
            assert!((400..500).contains(&answer.status), "{address}{path}: {}", answer.status);
            assert!(!answer.text().contains("AdmissionReview"), "{}", answer.text());
        }
    }
    assert_eq!(bench.live(), before);
    entry.terminate();
    // Nor does a manifest ask an API server to send one.
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let mut directories = vec![deploy.join("kustomize"), deploy.join("helm")];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files += 1;
                assert!(!fs::read_to_string(&path).unwrap().contains("WebhookConfiguration"), "{}", path.display());
            }
        }
    }
    assert!(files > 10, "{files} files");
}
