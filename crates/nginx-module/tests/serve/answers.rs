//! Locations of nginx's configuration, in which requests go on: which one, with which variables, and that nobody else gets there.

use entry_model::{Action, Forward, Key, Kind, ObjectRef, PathRewrite, Redirect, Rule};
use testbed::http::{self, Answer};

use super::support::{
    Echo as _, Nginx, Publisher, backend, exact, forward, limited, prefix, redirected, routes, routes_of_any, rule, to,
};

fn named(rule: Rule, kind: Kind, name: &str) -> Rule {
    let key = Key { namespace: "shop".to_owned(), name: name.to_owned() };
    Rule { origin: ObjectRef::new(kind, key), ..rule }
}

fn post(nginx: &Nginx, path: &str, body: &str) -> Answer {
    let head = format!("POST {path} HTTP/1.1\r\nHost: any.example\r\nContent-Length: {}\r\n", body.len());
    http::exchange(nginx.address, format!("{head}Connection: close\r\n\r\n{body}")).unwrap()
}

#[test]
fn an_answer_is_given_by_its_location_else_by_nginx() {
    let nobody = Action::Forward(Forward { backends: Vec::new(), path: PathRewrite::Keep });
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![
        forward(prefix("/up"), backend("up")),
        rule(prefix("/gone"), Action::UNAVAILABLE),
        rule(prefix("/misdirected"), Action::Respond(421)),
        rule(prefix("/nobody"), nobody),
        rule(prefix("/teapot"), Action::Respond(410)),
        rule(prefix("/empty"), Action::Respond(204)),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for (target, status) in [("//up/a", 400), ("/nowhere/a?b", 404), ("/misdirected", 421), ("/gone/a", 503)] {
        let answer = nginx.get("any.example", target, "").expect(status);
        let path = target.split('?').next().unwrap().replace("//", "/");
        assert_eq!(answer.text(), format!("answer {status} of {path}"), "{target}");
    }
    for (target, status) in [("/nobody", 500), ("/teapot", 410), ("/empty", 204)] {
        let answer = nginx.get("any.example", target, "").expect(status);
        assert!(!answer.text().contains("answer"), "{target}");
    }
    assert_eq!(nginx.error_log().matches("sparrow: ").count(), 0, "{}", nginx.error_log());
}

#[test]
fn a_dot_segment_is_rejected_whatever_its_route_is() {
    let redirect =
        Redirect { status: 301, scheme: None, host: None, port: None, path: PathRewrite::ReplaceFull("/x".to_owned()) };
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![
        forward(prefix("/up"), backend("up")),
        redirected(forward(prefix("/https"), backend("https"))),
        rule(prefix("/redirect"), Action::Redirect(redirect)),
        rule(prefix("/gone"), Action::UNAVAILABLE),
        rule(prefix("/teapot"), Action::Respond(410)),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for (path, status) in
        [("/up", 200), ("/https", 308), ("/redirect", 301), ("/gone", 503), ("/teapot", 410), ("/no", 404)]
    {
        assert_eq!(nginx.get("any.example", &format!("{path}/a"), "").status, status, "{path}");
        for rest in ["/./a", "/a/..", "/..%2fa", "/%2e%2E;/a", "/a#b", "?a#b"] {
            assert_eq!(nginx.get("any.example", &format!("{path}{rest}"), "").status, 400, "{path}{rest}");
        }
    }
}

#[test]
fn variables_say_the_object_the_path_and_what_was_taken_off() {
    let (one, mut publisher) = (backend("one"), Publisher::new());
    let stripped = |path| rule(path, to(one, PathRewrite::StripPrefix));
    publisher.publish(&routes_of_any(vec![
        named(stripped(prefix("/a b")), Kind::Ingress, "web"),
        named(forward(prefix("/kept"), one), Kind::Service, "api"),
        named(stripped(exact("/")), Kind::Ingress, "root"),
        named(rule(prefix("/gone"), Action::UNAVAILABLE), Kind::Ingress, "not\"plain/\n"),
        named(redirected(forward(prefix("/https"), one)), Kind::Ingress, "tls"),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for (sent, uri, prefix, route) in [
        ("/a%20b/c%2Fd", "/a b/c/d", Some("/a%20b"), "Ingress shop/web"),
        ("/kept//x", "/kept/x", None, "Service shop/api"),
        ("/", "/", None, "Ingress shop/root"),
    ] {
        let answer = nginx.get("any.example", sent, "").expect(200);
        assert_eq!((answer.seen("Uri"), answer.seen("Prefix")), (Some(uri), prefix), "{sent}");
        assert_eq!((answer.header("Uri"), answer.header("Sent"), answer.header("Route")), (uri, sent, route));
    }
    for (sent, status, route) in [
        ("/gone", 503, "Ingress shop/not_plain__"),
        ("/https/a", 308, "Ingress shop/tls"),
        ("/kept/../kept/a", 400, "Service shop/api"),
        ("/nowhere", 404, ""),
    ] {
        assert_eq!(nginx.get("any.example", sent, "").expect(status).header("Route"), route, "{sent}");
    }
}

#[test]
fn a_host_that_the_table_does_not_carry_is_answered_503() {
    let (one, mut publisher) = (backend("one"), Publisher::new());
    let long = exact(&format!("/{}", "a".repeat(5000)));
    publisher.publish(&routes([
        ("left-out.example".to_owned(), vec![forward(long, one), forward(prefix("/"), one)]),
        ("carried.example".to_owned(), vec![forward(prefix("/"), one)]),
    ]));
    let nginx = Nginx::start(&publisher, 1);
    for target in ["/a", "/"] {
        nginx.get("left-out.example", target, "").expect(503);
    }
    assert!(nginx.error_log().contains("does not fit into the route table"), "{}", nginx.error_log());
    assert_eq!(nginx.found("carried.example", "/a"), Ok("one".to_owned()));
}

#[test]
fn a_location_treats_requests_by_their_policy_and_pages_of_errors_are_routed_by_nobody() {
    let (one, down, mut publisher) = (backend("one"), testbed::ports::free_address().unwrap(), Publisher::new());
    let named = |rule| named(rule, Kind::Ingress, "web");
    publisher.publish(&routes_of_any(vec![
        named(limited(forward(prefix("/limited"), one))),
        named(forward(prefix("/unlimited"), one)),
        named(forward(prefix("/down"), down)),
        rule(prefix("/"), Action::Respond(410)),
    ]));
    let asking = |config: String| {
        let page = "location = /page { return 200 \"page of $uri\"; } location = /asked { return 204; }";
        let config =
            config.replace("location @error_page", &format!("{page} error_page 504 /page; location @error_page"));
        // A subrequest of each request.
        config.replace("client_max_body_size 0;", "client_max_body_size 0; auth_request /asked;")
    };
    let nginx = Nginx::start_with(&publisher, 1, asking);
    assert_eq!(post(&nginx, "/limited/a", "12345").expect(200).seen("Uri"), Some("/limited/a"));
    assert_eq!(post(&nginx, "/unlimited/a", "123456").expect(200).seen("Uri"), Some("/unlimited/a"));
    // Before the request is in its location, and in it.
    for (path, body, status) in [("/limited/a%2Fb", "123456", 413), ("/down/a%2Fb", "", 502)] {
        let answer = post(&nginx, path, body).expect(status);
        let uri = path.replace("%2F", "/");
        assert_eq!(answer.text(), format!("error page of {uri}"));
        assert_eq!(
            (answer.header("Uri"), answer.header("Sent"), answer.header("Route")),
            (&*uri, path, "Ingress shop/web")
        );
    }
    // A path as a page: it is the server's, though the table has a rule for it.
    let nginx = Nginx::start_with(&publisher, 1, |config| {
        asking(config).replace("error_page 413 502 @error_page", "error_page 410 413 502 /page")
    });
    for (path, body, status) in [("/else", "", 410), ("/limited/a", "123456", 413), ("/down/a", "", 502)] {
        assert_eq!(post(&nginx, path, body).expect(status).text(), "page of /page", "{path}");
    }
}

#[test]
fn no_path_of_a_client_is_the_name_of_a_location() {
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![forward(prefix("/"), backend("root"))]));
    let nginx = Nginx::start(&publisher, 1);
    for name in ["sparrow-http-00000000000000000000000000000000", "sparrow-answer-404"] {
        for target in [name.to_owned(), format!("%2F{name}"), format!("?{name}")] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n");
            let answer = http::exchange(nginx.address, request).unwrap();
            assert_eq!((answer.status, answer.header("Route")), (400, ""), "{target}");
            assert!(!answer.text().contains("answer"), "{target}");
        }
        let answer = nginx.get("any.example", &format!("/{name}"), "").expect(200);
        assert_eq!(answer.target(), format!("/{name}"));
        assert_eq!(nginx.get("any.example", &format!("/..{name}/"), "").expect(200).header("Backend"), "root");
    }
}

#[test]
fn a_location_that_nginx_does_not_have_is_told_and_nothing_else_serves_the_request() {
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![
        forward(prefix("/a"), backend("a")),
        limited(forward(prefix("/limited"), backend("b"))),
    ]));
    let nginx = Nginx::start_with(&publisher, 1, |config| {
        config.replace("sparrow-http-00000000000000000000000000000005", "other")
    });
    assert_eq!(nginx.found("any.example", "/limited/x"), Err(500));
    assert_eq!(nginx.found("any.example", "/a"), Ok("a".to_owned()));
    let log = nginx.error_log();
    assert!(
        log.contains(
            "its server has no location \"sparrow-http-00000000000000000000000000000005\", of which the table speaks"
        ),
        "{log}"
    );
}
