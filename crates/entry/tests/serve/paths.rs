//! Paths: what was sent, and what the backend saw or the status.

use entry_model::Protocol;

use super::path_cases::PATH_CASES;
use super::support::{Echo as _, Nginx, backend, binaries, exact, forward, prefix, routes, speaking};

#[test]
fn path_is_forwarded_as_it_was_sent() {
    let (strip, keep, only, root) = (backend("strip"), backend("keep"), backend("only"), backend("root"));
    let routes = routes([(
        "*",
        vec![
            forward(exact("/only"), only, false),
            forward(exact("/volume/exact"), only, true),
            forward(exact("/slash/"), only, false),
            forward(exact("/volume/slash/"), only, true),
            forward(exact("/keep/slash/"), only, false),
            forward(prefix("/volume"), strip, true),
            forward(prefix("/keep/deep"), strip, true),
            forward(prefix("/keep"), keep, false),
            forward(prefix("/麻 雀$host"), strip, true),
            forward(prefix("/"), root, true),
        ],
    )]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (sent, expected) in PATH_CASES {
            let answer = nginx.get("any.example", sent, "");
            let found =
                if answer.status == 200 { Ok((answer.header("Backend"), answer.target())) } else { Err(answer.status) };
            assert_eq!(found, *expected, "{sent} with {}", binary.version);
        }
        let prefix = |sent| nginx.get("a.example", sent, "").seen("X-Forwarded-Prefix").map(str::to_owned);
        assert_eq!(prefix("/volume/a").as_deref(), Some("/volume"));
        assert_eq!(prefix("/volume").as_deref(), Some("/volume"));
        assert_eq!(prefix("/%E9%BA%BB%20%E9%9B%80$host/x").as_deref(), Some("/%E9%BA%BB%20%E9%9B%80$host"));
        assert_eq!(prefix("/keep/a"), None);
    }
}

#[test]
fn exact_path_with_final_slash_leaves_the_path_without_it_to_other_rules() {
    let (exactly, h2) = (backend("exactly"), backend("unused"));
    let over_http2 = |rule| speaking(rule, Protocol::Http2);
    let rules = vec![
        forward(exact("/bar/"), exactly, false),
        forward(exact("/api/v1/"), exactly, true),
        over_http2(forward(exact("/grpc/x/"), h2, true)),
        forward(exact("/"), exactly, false),
    ];
    let mut with_default = routes([("*", rules.clone())]);
    with_default.default = Some(forward(prefix("/"), backend("default"), false));
    let without = routes([("*", rules)]);
    for binary in binaries() {
        for (routes, expected) in [(&without, 404), (&with_default, 200)] {
            let nginx = Nginx::start(&binary, routes, |_| {});
            for target in ["/bar", "/bar?x", "/api/v1", "/grpc/x", "/b%61r", "/bar/x"] {
                let answer = nginx.get("any.example", target, "");
                assert_eq!(answer.status, expected, "{target} with {}: {}", binary.version, answer.text());
                assert!(expected == 404 || answer.header("Backend") == "default", "{target}");
            }
            assert_eq!(nginx.get("any.example", "/bar/", "").header("Backend"), "exactly");
            assert_eq!(nginx.get("any.example", "/", "").header("Backend"), "exactly");
            assert_eq!(nginx.get("any.example", "http://any.example?x", "").header("Backend"), "exactly");
        }
    }
}
