//! Backends that speak HTTP/2 or TLS. The backend is the newest nginx, which tells what it saw.

use entry_model::Protocol;

use super::support::{Nginx, NginxBackend, binaries, exact, forward, free, newest, prefix, routes, speaking};

#[test]
fn backends_are_spoken_to_in_their_protocol() {
    let (newest, tls) = (newest(), free());
    let backend = NginxBackend::start(&newest, |plain| {
        format!(
            "access_log off; server {{ listen {plain}; listen {tls} ssl; http2 on; keepalive_requests 2;\n\
             ssl_certificate cert.pem; ssl_certificate_key cert.pem;\n\
             add_trailer Last $request_uri always;\n\
             return 200 \"GET $request_uri $server_protocol\\nscheme: $scheme\\nhost: $http_host\\nte: $http_te\\n\
             prefix: $http_x_forwarded_prefix\\nfor: $http_x_forwarded_for\\n\"; }}"
        )
    });
    let plain = backend.address;
    let mut rules = vec![speaking(forward(exact("/exact"), plain, true), Protocol::Http2)];
    for (path, address, protocol) in [
        ("/http", plain, Protocol::Http),
        ("/https", tls, Protocol::Https),
        ("/h2c", plain, Protocol::Http2),
        ("/h2", tls, Protocol::Http2Tls),
    ] {
        rules.push(speaking(forward(prefix(path), address, true), protocol));
        rules.push(speaking(forward(prefix(&format!("{path}-keep")), address, false), protocol));
    }
    let routes = routes([("*", rules)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        for (path, version, scheme) in
            [("/http", "1.1", "http"), ("/https", "1.1", "https"), ("/h2c", "2.0", "http"), ("/h2", "2.0", "https")]
        {
            for (target, seen) in [
                (format!("{path}/pkg.Service/Method?a=%2F"), Some("/pkg.Service/Method?a=%2F".to_owned())),
                (format!("{path}/a%2Fb;c//d"), Some("/a%2Fb;c//d".to_owned())),
                (format!("{path}?x=1"), Some("/?x=1".to_owned())),
                (path.to_owned(), Some("/".to_owned())),
                (format!("{path}-keep/a%2Fb;c//d?e"), Some(format!("{path}-keep/a%2Fb;c//d?e"))),
            ] {
                // More than once, so that kept connections are used.
                for _ in 0..3 {
                    let answer = nginx.get("one.example", &target, "TE: trailers\r\n");
                    let Some(seen) = &seen else {
                        assert_eq!(answer.status, 400, "{target}");
                        continue;
                    };
                    let body = answer.text();
                    assert!(
                        body.contains(&format!("GET {seen} HTTP/{version}\nscheme: {scheme}\n")),
                        "{target}: {answer:?}"
                    );
                    assert!(body.contains("host: one.example\n") && body.contains("for: 127.0.0.1\n"), "{body}");
                    let stripped = if target.contains("-keep") { "" } else { path };
                    assert!(body.contains(&format!("prefix: {stripped}\n")), "{body}");
                }
            }
        }
        assert!(nginx.get("x", "/exact?y", "").text().starts_with("GET /?y HTTP/2.0"), "{}", nginx.config());
    }
}
