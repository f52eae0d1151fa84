//! Answers of a fixed text.

use entry_model::{
    Action, AddedHeader, AnswerHeaders, FixedAnswer, HeaderField, HeaderMatch, Match, Policy, Routes, Rule, ValueMatch,
};

use super::support::{Nginx, backend, binaries, exact, forward, prefix, rule, treated_routes};

fn text(matches: Match, status: u16, content_type: Option<&str>, text: &str) -> Rule {
    let answer = FixedAnswer::new(status, content_type, text).unwrap();
    Rule { matches, ..rule(prefix("/"), Action::Answer(answer), "some") }
}

/// Clients are told these headers.
fn telling(headers: &[(&str, &str, bool)]) -> Policy {
    let header = |&(name, value, always): &_| AddedHeader { field: HeaderField::new(name, value).unwrap(), always };
    let added = headers.iter().map(header).collect();
    Policy { answer_headers: AnswerHeaders { added, ..AnswerHeaders::default() }, ..Policy::default() }
}

#[test]
fn texts_are_told_with_their_headers_where_their_conditions_are_met() {
    let up = backend("up");
    let with = |path, method: Option<&str>, header: Option<&str>| Match {
        method: method.map(str::to_owned),
        headers: header
            .map(|value| HeaderMatch { name: "x-a".to_owned(), value: ValueMatch::Exact(value.to_owned()) })
            .into_iter()
            .collect(),
        ..Match::path(path)
    };
    let (plain, told) = (Policy::default(), telling(&[("X-Sent", "$request_uri", true), ("X-Fine", "1", false)]));
    let to_https = Policy { redirect_to_https: true, ..told.clone() };
    let routes = treated_routes([
        (text(with(exact("/robots.txt"), None, None), 200, None, "User-agent: *\n\"\\;}"), plain.clone()),
        (text(with(exact("/empty"), None, None), 204, None, ""), plain.clone()),
        (text(with(prefix("/page/deep"), None, None), 200, Some("text/css"), "{}"), plain.clone()),
        (text(with(prefix("/page"), Some("PUT"), None), 405, None, "<p>no</p>"), told.clone()),
        (
            text(with(prefix("/page"), None, Some("1")), 200, Some("application/json; charset=utf-8"), "[]"),
            told.clone(),
        ),
        (forward(prefix("/page"), up, false), plain.clone()),
        (text(with(prefix("/own"), None, None), 200, Some("text/x"), "$host, $escaped_request_uri;"), plain.clone()),
        (text(with(prefix("/https"), None, None), 200, None, "over TLS"), to_https),
    ]);
    let like = routes.rules().find(|rule| rule.matches.method.is_some()).unwrap();
    let default = Rule { policy: like.policy, ..text(Match::any(), 404, None, "nothing") };
    let routes = Routes { default: Some(default), ..routes };
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        let ask = |method: &str, target: &str, headers: &str| {
            nginx.send(format!("{method} {target} HTTP/1.1\r\nHost: a.example\r\n{headers}Connection: close\r\n\r\n"))
        };
        let one = "X-A: 1\r\n";
        for (method, target, headers, status, kind, body, sent, fine) in [
            ("GET", "/robots.txt", "", 200, "text/plain", "User-agent: *\n\"\\;}", "", ""),
            ("GET", "//robots.txt?a", "", 200, "text/plain", "User-agent: *\n\"\\;}", "", ""),
            ("GET", "/empty", one, 204, "", "", "", ""),
            ("GET", "/page/deep/x.html", one, 200, "text/css", "{}", "", ""),
            ("PUT", "/page/%61", one, 405, "text/html", "<p>no</p>", "/page/%61", ""),
            ("POST", "/page/x.css", one, 200, "application/json; charset=utf-8", "[]", "/page/x.css", "1"),
            ("GET", "/page/../page", one, 400, "", "", "", ""),
            ("GET", "/own/x.css?a&b", "", 200, "text/x", "a.example, /own/x.css?a%26b;", "", ""),
            ("GET", "/elsewhere", "", 404, "text/plain", "nothing", "/elsewhere", ""),
        ] {
            let answer = ask(method, target, headers);
            assert_eq!(answer.status, status, "{method} {target}");
            if status != 400 {
                assert_eq!((answer.header("Content-Type"), answer.text().as_str()), (kind, body), "{method} {target}");
                assert_eq!((answer.header("X-Sent"), answer.header("X-Fine")), (sent, fine), "{method} {target}");
            }
        }
        // What is not the text's is the backend's.
        assert_eq!(ask("GET", "/page/x", "X-A: 2\r\n").header("Backend"), "up");
        assert_eq!(ask("GET", "/https/x?y", "").header("Location"), "https://a.example/https/x?y");
        // What a client sends with its request is read to the end, and the connection is kept.
        let mut connection = nginx.connect();
        for _ in 0..2 {
            let request = "PUT /page HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nabcde";
            assert_eq!(connection.exchange(request).unwrap().text(), "<p>no</p>");
        }
    }
}
