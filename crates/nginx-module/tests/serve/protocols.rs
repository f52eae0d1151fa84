//! What backends are spoken to. The backend is the newest nginx, which tells what it saw.

use entry_model::{Backend, Forward, PathRewrite, Protocol, Rule};
use testbed::http;

use super::support::{Nginx, NginxBackend, Publisher, prefix, routes_of_any, rule, speaking};

const SERVER: &str = "\
    return 200 \"$request_method $request_uri $server_protocol $scheme prefix:$http_prefix uri:$http_uri sent:$http_sent\";";

/// For each protocol: its path, and what the backend sees of it.
const PROTOCOLS: [(&str, Protocol, &str); 4] = [
    ("/http", Protocol::Http, "HTTP/1.1 http"),
    ("/https", Protocol::Https, "HTTP/1.1 https"),
    ("/h2c", Protocol::Http2, "HTTP/2.0 http"),
    ("/h2", Protocol::Http2Tls, "HTTP/2.0 https"),
];

fn routed(backend: &NginxBackend) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (path, protocol, _) in PROTOCOLS {
        let is_tls = matches!(protocol, Protocol::Https | Protocol::Http2Tls);
        let address = if is_tls { backend.tls } else { backend.plain };
        rules.push(rule(prefix(path), speaking(protocol, address, PathRewrite::StripPrefix)));
        rules.push(rule(prefix(&format!("{path}-keep")), speaking(protocol, address, PathRewrite::Keep)));
        let once = Backend { address: address.into(), protocol, keep_alive: false };
        rules.push(rule(
            prefix(&format!("{path}-once")),
            entry_model::Action::Forward(Forward::to(once, PathRewrite::StripPrefix)),
        ));
    }
    rules
}

#[test]
fn backends_are_spoken_to_in_their_protocol_and_see_the_target_as_it_was_sent() {
    let backend = NginxBackend::start(SERVER);
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(routed(&backend)));
    let nginx = Nginx::start(&publisher, 1);
    for (path, protocol, seen) in PROTOCOLS {
        let (kept, once) = (format!("{path}-keep"), format!("{path}-once"));
        for (target, expected, taken_off) in [
            (format!("{path}/pkg.Service/Method?a=%2F"), "/pkg.Service/Method?a=%2F".to_owned(), path),
            (format!("{path}/a%2Fb;c//d"), "/a%2Fb;c//d".to_owned(), path),
            (format!("{path}?x=1"), "/?x=1".to_owned(), path),
            (path.to_owned(), "/".to_owned(), path),
            (format!("{kept}/a%2Fb;c//d?e"), format!("{kept}/a%2Fb;c//d?e"), ""),
            (format!("{once}/a%2Fb"), "/a%2Fb".to_owned(), &*once),
        ] {
            // More than once, so that kept connections are used. Without a body over HTTP/2: this backend answers before it has
            // read one, and what it says of that later is an error to `grpc_pass` on the connection's next request.
            let is_http2 = matches!(protocol, Protocol::Http2 | Protocol::Http2Tls);
            for (method, body) in [("GET", ""), if is_http2 { ("GET", "") } else { ("POST", "abc") }, ("GET", "")] {
                let length = if body.is_empty() { "" } else { "Content-Length: 3\r\n" };
                let head = format!("{method} {target} HTTP/1.1\r\nHost: any.example\r\n{length}");
                let answer = http::exchange(nginx.address, format!("{head}Connection: close\r\n\r\n{body}")).unwrap();
                let text = answer.text();
                let start = format!("{method} {expected} {seen} prefix:{taken_off} uri:{path}");
                assert!(answer.status == 200 && text.starts_with(&start), "{target}: {answer:?}, not {start}");
                // What the client sent stays what nginx's own variables say.
                assert_eq!(answer.header("Sent"), target);
                if is_http2 {
                    assert!(text.ends_with(&format!(" sent:{target}")), "{text}");
                }
            }
        }
        assert_eq!(nginx.get("any.example", &format!("{path}/../a"), "").status, 400);
        assert_eq!(nginx.get("any.example", &format!("/{path}/a"), "").status, 400);
    }
}

#[test]
fn an_error_page_of_a_grpc_backend_that_is_down_says_what_the_client_sent() {
    let (down, mut publisher) = (testbed::ports::free_address().unwrap(), Publisher::new());
    publisher
        .publish(&routes_of_any(vec![rule(prefix("/h2c"), speaking(Protocol::Http2, down, PathRewrite::StripPrefix))]));
    let nginx = Nginx::start(&publisher, 1);
    let answer = nginx.get("any.example", "/h2c/a%2Fb", "").expect(502);
    assert_eq!((answer.text(), answer.header("Sent")), ("error page of /h2c/a/b".to_owned(), "/h2c/a%2Fb"));
}
