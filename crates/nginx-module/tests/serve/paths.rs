//! Paths: what was sent, and what the backend saw or the status.

use entry_model::PathRewrite;

use super::path_cases::PATH_CASES;
use super::support::{
    Echo as _, Nginx, Publisher, backend, exact, forward, prefix, redirected, routes_of_any, rule, to,
};

#[test]
fn a_path_is_forwarded_as_it_was_sent() {
    let (strip, keep, only, root) = (backend("strip"), backend("keep"), backend("only"), backend("root"));
    let stripped = |path, address| rule(path, to(address, PathRewrite::StripPrefix));
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![
        forward(exact("/only"), only),
        stripped(exact("/volume/exact"), only),
        forward(exact("/slash/"), only),
        stripped(exact("/volume/slash/"), only),
        forward(exact("/keep/slash/"), only),
        stripped(prefix("/volume"), strip),
        stripped(prefix("/keep/deep"), strip),
        forward(prefix("/keep"), keep),
        stripped(prefix("/麻 雀$host"), strip),
        stripped(prefix("/"), root),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for (sent, expected) in PATH_CASES {
        let answer = nginx.get("any.example", sent, "");
        let found =
            if answer.status == 200 { Ok((answer.header("Backend"), answer.target())) } else { Err(answer.status) };
        assert_eq!(found, *expected, "{sent}");
    }
}

#[test]
fn a_redirect_keeps_the_host_and_the_target_and_names_the_public_port() {
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![redirected(forward(prefix("/a"), backend("a")))]));
    let nginx = Nginx::start(&publisher, 1);
    let answer = nginx.get("one.example:8080", "/a/b%2Fc//d?e=f", "");
    assert_eq!((answer.status, answer.header("Location")), (308, "https://one.example:8443/a/b%2Fc//d?e=f"));
    // Whether the path may be forwarded is asked where it was sent to.
    let answer = nginx.get("one.example", "/%61/b", "");
    assert_eq!((answer.status, answer.header("Location")), (308, "https://one.example:8443/%61/b"));
    assert_eq!(nginx.get("one.example", "/a/../a", "").status, 400);
    let nameless = testbed::http::exchange(nginx.address, "GET /a/b HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((nameless.status, nameless.header("Location")), (400, ""), "it cannot be told where to");
    // A proxy in front has taken TLS off.
    assert_eq!(nginx.get("one.example", "/a/b", "Told-Scheme: https\r\n").target(), "/a/b");
}

#[test]
fn a_path_is_replaced_as_its_rule_says() {
    let (one, mut publisher) = (backend("one"), Publisher::new());
    let replacing = |path, rewrite| rule(prefix(path), to(one, rewrite));
    publisher.publish(&routes_of_any(vec![
        replacing("/prefix", PathRewrite::ReplacePrefix("/new one".to_owned())),
        replacing("/whole", PathRewrite::ReplaceFull("/only".to_owned())),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for (sent, expected) in
        [("/prefix/a%2Fb//c?d", "/new%20one/a%2Fb//c?d"), ("/prefix", "/new%20one"), ("/whole/a%2Fb//c?d", "/only?d")]
    {
        assert_eq!(nginx.get("any.example", sent, "").target(), expected, "{sent}");
    }
    assert_eq!(nginx.get("any.example", "/%70refix/a", "").status, 400);
}
