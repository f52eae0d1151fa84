//! Patterns, of paths and of values, and what they make of paths: what was sent, and what the backend saw or the status.

use entry_model::{
    Action, HeaderMatch, Match, PathMatch, PathRewrite, Pattern, Redirect, Rule, Scheme, UrlText, ValueMatch,
};
use testbed::clients::{Clients, ConnectionReuse};
use testbed::http::Connection;

use super::support::{Echo as _, Nginx, Publisher, backend, forward, prefix, redirected, routes_of_any, rule, to};

pub fn pattern(text: &str) -> Pattern {
    pattern_engine::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn regex(text: &str) -> PathMatch {
    PathMatch::Regex(pattern(text))
}

/// What the pattern matches becomes the template.
fn replace(text: &str, template: &str) -> PathRewrite {
    PathRewrite::Regex { pattern: pattern(text), template: template.to_owned() }
}

#[test]
fn a_path_that_is_no_text_is_matched_byte_by_byte() {
    let rewritten = to(backend("bytes"), replace("^/(.)(.*)$", "/$2/$1"));
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![
        rule(regex("^/[\\x80-\\xff]/[^/]+$"), to(backend("bytes"), PathRewrite::Keep)),
        rule(regex("^/%?[f].*~$"), rewritten),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for (sent, expected) in [
        // nginx decodes it, and the pattern must match what was sent, too.
        ("/%ff/a", Err(400)),
        ("/\u{e9}/a", Err(404)),
        ("/f%fe%FF~?x", Ok("/%fe%FF~/f?x")),
    ] {
        let answer = nginx.get("any.example", sent, "");
        let found = if answer.status == 200 { Ok(answer.target()) } else { Err(answer.status) };
        assert_eq!(found, expected, "{sent}");
    }
    let mut connection = Connection::open(nginx.address).unwrap();
    let raw = b"GET /\xff/a HTTP/1.1\r\nHost: any.example\r\n\r\n";
    let answer = connection.exchange(raw).unwrap();
    assert_eq!((answer.status, answer.header("Backend")), (200, "bytes"));
    assert!(!nginx.error_log().contains("sparrow: "), "{}", nginx.error_log());
}

#[test]
fn a_header_is_matched_by_a_pattern() {
    let header = HeaderMatch { name: "x-canary".to_owned(), value: ValueMatch::Regex(pattern("^(always|v[0-9]+)$")) };
    let canary = Match { headers: vec![header], ..Match::path(regex("(?i)^/api/")) };
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![
        Rule { matches: canary, ..forward(prefix("/"), backend("canary")) },
        forward(regex("(?i)^/api/"), backend("main")),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for (headers, expected) in [
        ("", "main"),
        ("X-Canary: always\r\n", "canary"),
        ("x-canary: v12\r\n", "canary"),
        ("X-Canary: v\r\n", "main"),
        ("X-Canary: never always\r\n", "main"),
        ("X-Canary: always\r\nX-Canary: always\r\n", "main"),
    ] {
        assert_eq!(nginx.get("any.example", "/API/x", headers).header("Backend"), expected, "{headers:?}");
    }
}

#[test]
fn a_client_is_sent_where_a_pattern_or_a_whole_target_says() {
    let elsewhere = |path| {
        let host = Some("other.example".to_owned());
        Action::Redirect(Redirect { status: 302, scheme: Some(Scheme::Https), host, port: None, path })
    };
    let target = |text: &str| PathRewrite::ReplaceTarget(UrlText::from_text(text));
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![
        rule(regex("^/a/"), elsewhere(replace("^/a/(.*)$", "/b c/$1"))),
        rule(regex("^/keep/.*\\.html$"), elsewhere(PathRewrite::Keep)),
        rule(prefix("/fixed"), elsewhere(target("/x%2Fy?z=$d#e"))),
        rule(prefix("/asked"), to(backend("asked"), target("/x%2Fy?z=$d#e"))),
        redirected(forward(regex("^/tls/[0-9]+"), backend("tls"))),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for (sent, status, location) in [
        ("/a/x%2Fy?z", 302, "https://other.example/b%20c/x%2Fy?z"),
        ("/a/%0d%0aX:y", 302, "https://other.example/b%20c/%0d%0aX:y"),
        ("/keep/a%20b//c.html?d", 302, "https://other.example/keep/a%20b//c.html?d"),
        ("/fixed/a?b", 302, "https://other.example/x%2Fy?z=%24d#e"),
        ("/tls/7/x?y", 308, "https://any.example:8443/tls/7/x?y"),
        ("/%61/x", 400, ""),
        ("/keep/a.htm%6c", 400, ""),
        ("/a/..%2fx", 400, ""),
        ("/A/x", 404, ""),
        ("/tls/x", 404, ""),
    ] {
        let answer = nginx.get("any.example", sent, "");
        assert_eq!((answer.status, answer.header("Location")), (status, location), "{sent}");
    }
    // A backend gets no fragment, nor what the client asked for.
    assert_eq!(nginx.get("any.example", "/asked/a?b", "").target(), "/x%2Fy?z=%24d");
}

#[test]
fn patterns_that_take_too_long_together_cost_one_answer() {
    let slow = |number: usize| format!("^/.*a.*[a-z]{{{}}}b", 400 + number);
    let mut rules: Vec<_> = (0..50).map(|number| forward(regex(&slow(number)), backend("slow"))).collect();
    // By itself, where it becomes another path.
    rules.push(rule(prefix("/rewritten"), to(backend("root"), replace("^/.*a.*[a-z]{900}(b?)", "/$1"))));
    rules.push(forward(prefix("/"), backend("root")));
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(rules));
    let nginx = Nginx::start(&publisher, 1);
    assert_eq!(nginx.found("any.example", &format!("/{}", "a".repeat(7000))), Err(500));
    assert_eq!(nginx.found("any.example", &format!("/{}", "a".repeat(100))), Ok("root".to_owned()));
    assert_eq!(nginx.get("any.example", "/rewritten/aa", "").target(), "/rewritten/aa");
    let told = "sparrow: the request is answered 500: the regular expressions of its host take too long";
    assert_eq!(nginx.error_log().matches(told).count(), 1, "{}", nginx.error_log());
}

#[test]
fn rules_of_patterns_change_under_load_without_a_reload() {
    let backends = ["a", "b", "c"].map(|name| (name, backend(name)));
    let stay = backend("stay");
    // Two hundred that no request is for are tried before.
    let routes_to = |number: usize| {
        let (_, address) = backends[number % backends.len()];
        let mut rules: Vec<_> =
            (0..200).map(|number| forward(regex(&format!("^/other-{number:03}/[a-z]+/(.*)$")), stay)).collect();
        rules.push(rule(regex("^/moving/(.*)"), to(address, replace("^/moving/(.*)", &format!("/{number}/$1")))));
        rules.push(forward(PathMatch::Prefix("/".to_owned()), stay));
        routes_of_any(rules)
    };
    let mut publisher = Publisher::new();
    publisher.publish(&routes_to(0));
    let nginx = Nginx::start(&publisher, 2);
    let workers = nginx.workers();
    let clients = Clients::start(16, nginx.address, "/moving/x", ConnectionReuse::Blindly);
    for number in 1..300 {
        publisher.publish(&routes_to(number));
        let answer = nginx.get("any.example", "/moving/y", "").expect(200);
        let (name, _) = backends[number % backends.len()];
        assert_eq!((answer.header("Backend"), answer.target()), (name, &*format!("/{number}/y")));
    }
    clients.end();
    let traffic = clients.join();
    assert_eq!(traffic.lost, 0, "{traffic:?}");
    assert_eq!(nginx.workers(), workers, "no worker ended");
    assert!(!nginx.error_log().contains("signal 1 "), "nothing was reloaded");
}
