//! What nginx says of a configuration that the module cannot use, and what a right one gives.

use std::io::Write as _;
use std::net::SocketAddr;

use super::support::{
    Nginx, Publisher, WorkerStatus, backend, forward, http_block, prefix, routes_of_any, test_config, wait_for,
};

fn addresses() -> [SocketAddr; 2] {
    ["127.0.0.1:8080", "127.0.0.1:8443"].map(|address| address.parse().unwrap())
}

#[test]
fn a_file_that_could_be_truncated_is_no_table() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[0; 4096]).unwrap();
    for (path, why) in
        [(file.path(), "sealed against shrinking"), ("/nowhere/table".as_ref(), "No such file or directory")]
    {
        let (is_right, text) = test_config(&http_block(path, addresses()));
        assert!(!is_right && text.contains("cannot be used") && text.contains(why), "{text}");
    }
}

#[test]
fn directives_that_do_not_fit_are_rejected() {
    let publisher = Publisher::new();
    let right = http_block(&publisher.path(), addresses());
    assert!(test_config(&right).0, "{}", test_config(&right).1);
    let table = format!("sparrow_table {};", publisher.path().display());
    for (from, to, why) in [
        (table.as_str(), "", "needs \"sparrow_table\""),
        (table.as_str(), &format!("{table} {table}"), "\"sparrow_table\" directive is duplicate"),
        ("sparrow_route;", "sparrow_route 64;", "no number from 0 to 63"),
        ("sparrow_route;", "location /in/a/location { sparrow_route; }", "directive is not allowed here"),
        ("sparrow_route;", "sparrow_route; sparrow_route;", "\"sparrow_route\" directive is duplicate"),
        ("80 8443", "80 65536", "two numbers from 1 to 65535"),
        ("sparrow_route;", "sparrow_route; sparrow_remember_passwords a;", "directive is not allowed here"),
        (
            "sparrow_route;",
            "sparrow_route; location /a { sparrow_remember_passwords a; sparrow_remember_passwords b; }",
            "\"sparrow_remember_passwords\" directive is duplicate",
        ),
        ("sparrow_route;", "sparrow_route; location /a { sparrow_remember_passwords ''; }", "has an empty name"),
        ("sparrow_backends;", "server 127.0.0.1:1; sparrow_backends;", "beside which there is no \"server\""),
        ("sparrow_backends;", "least_conn; sparrow_backends;", "must be the first directive"),
        ("sparrow_keep_connections 64 4s 1000000;", "sparrow_keep_connections 64;", "invalid number of arguments"),
        ("sparrow_keep_connections 64 4s", "sparrow_keep_connections 0 4s", "takes a number from 1 to 65536"),
        ("sparrow_keep_connections 64 4s", "sparrow_keep_connections 65537 4s", "takes a number from 1 to 65536"),
        ("sparrow_keep_connections 64 4s", "sparrow_keep_connections 64 -1", "takes a number from 1 to 65536"),
        ("64 4s 1000000;", "64 4s 0;", "takes a number from 1 to 65536"),
        ("64 4s 1000000;", "64 4s 1 x;", "takes a number from 1 to 65536"),
        (
            "64 4s 1000000;",
            "64 4s 1; sparrow_keep_connections 64 4s 1;",
            "\"sparrow_keep_connections\" directive is duplicate",
        ),
        (
            "sparrow_certificates;",
            "sparrow_certificates; sparrow_certificates;",
            "\"sparrow_certificates\" directive is duplicate",
        ),
        ("sparrow_certificates;", "ssl_certificate a; sparrow_certificates;", "has no \"ssl_certificate\" beside it"),
        (
            "sparrow_certificates;",
            "sparrow_certificates; ssl_certificate $pid; ssl_certificate_key $pid;",
            "beside which there is no \"ssl_certificate\"",
        ),
        ("sparrow_certificates;", "sparrow_certificates 0123;", "takes 32 hexadecimal digits"),
        (
            "sparrow_certificates;",
            "sparrow_certificates 0123456789abcdef0123456789abcdeg;",
            "takes 32 hexadecimal digits",
        ),
        ("sparrow_certificates;", "", "no \"ssl_certificate\" is defined"),
        ("sparrow_scheme $told_scheme;", "sparrow_scheme $nowhere;", "unknown \"nowhere\" variable"),
    ] {
        let (is_right, text) = test_config(&right.replacen(from, to, 1));
        assert!(!is_right && text.contains(why), "{to}: {text}");
    }
}

#[test]
fn a_worker_tells_its_version_and_the_revision_by_which_it_routes() {
    let (a, mut publisher) = (backend("a"), Publisher::new());
    let nginx = Nginx::start(&publisher, 2);
    assert_eq!(nginx.status().unwrap().revision, 0);
    assert_eq!(nginx.found("any.example", "/"), Err(404));
    for _ in 0..3 {
        let revision = publisher.publish(&routes_of_any(vec![forward(prefix("/"), a)]));
        let status = nginx.status().unwrap();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        assert_eq!(status, WorkerStatus { pid: status.pid, version, revision, fault: String::new() });
    }
}

#[test]
fn a_reload_keeps_the_table() {
    let (a, b, mut publisher) = (backend("a"), backend("b"), Publisher::new());
    publisher.publish(&routes_of_any(vec![forward(prefix("/"), a)]));
    let nginx = Nginx::start(&publisher, 2);
    let before = nginx.workers();
    nginx.reload();
    wait_for("new workers", || nginx.workers().is_disjoint(&before).then_some(()));
    assert_eq!(nginx.found("any.example", "/"), Ok("a".to_owned()));
    publisher.publish(&routes_of_any(vec![forward(prefix("/"), b)]));
    assert_eq!(nginx.found("any.example", "/"), Ok("b".to_owned()));
}
