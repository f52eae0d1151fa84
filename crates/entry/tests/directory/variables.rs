//! Parts of a request in the URLs and headers that annotations and snippets ask for.

use testbed::echo::{Echo as _, backend};
use testbed::http;

use crate::common::{Bench, CLASS, eventually, programs, service};

/// An Ingress of a host, with annotations, one in a line.
fn ingress(name: &str, host: &str, port: u16, annotations: &str) -> String {
    let lines: String = annotations.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  annotations:\n{lines}spec:\n  ingressClassName: \
         sparrow\n  rules:\n  - host: {host}\n    http:\n      paths:\n      - {{ path: /, pathType: Prefix, backend: {{ service: {{ name: web, \
         port: {{ number: {port} }} }} }} }}\n"
    )
}

#[test]
fn parts_of_the_request_stand_in_the_url_of_a_redirect() {
    let port = backend("web").port();
    let theirs = |name: &str, url: &str| format!("nginx.ingress.kubernetes.io/{name}: '{url}'");
    let objects = [
        format!("{CLASS}---\n{}", service("web", port)),
        ingress("www", "www-1.example", port, &theirs("permanent-redirect", "https://www.$host$request_uri")),
        ingress("own", "own.example", port, "sparrow/redirect: 'https://www.$host/x?y=$request_uri'"),
        ingress(
            "port",
            "port.example",
            port,
            &theirs("temporal-redirect", "$scheme://${host}:8443/a/?rd=$scheme://$http_host$escaped_request_uri"),
        ),
        ingress("path", "path.example", port, &theirs("permanent-redirect", "https://new.example/old$uri")),
        ingress(
            "snippet",
            "snippet.example",
            port,
            &theirs("configuration-snippet", "return 308 https://new.$host$uri$is_args$args;"),
        ),
        ingress(
            "server",
            "server.example",
            port,
            &theirs("server-snippet", "return 302 https://login.example/?rd=$request_uri;"),
        ),
        ingress(
            "location",
            "location.example",
            port,
            &theirs("server-snippet", "location = /dav { return 301 $scheme://$host/remote/; }"),
        ),
        ingress("cookie", "cookie.example", port, &theirs("permanent-redirect", "https://new.example/$http_cookie")),
        ingress("any", "'*.any.example'", port, &theirs("permanent-redirect", "https://www.$host/")),
        ingress("joined", "joined.example", port, &theirs("permanent-redirect", "https://$host-evil.example/")),
        ingress(
            "endless",
            "endless.example",
            port,
            &theirs("configuration-snippet", "return 301 https://$host$request_uri;"),
        ),
        ingress("plain", "plain.example", port, "sparrow/keep-alive: 'true'"),
    ];
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &objects.concat());
        let entry = bench.start(&["run"]);
        eventually("served", || bench.asks("plain.example", "/x").0 == 200);
        for (host, sent, status, location) in [
            ("www-1.example", "/a%2Fb?c=%0d%0aX", 301, "https://www.www-1.example/a%2Fb?c=%0d%0aX"),
            ("own.example", "/a?b", 302, "https://www.own.example/x?y=/a?b"),
            (
                "port.example",
                "/a%20b?c&d+e",
                302,
                "http://port.example:8443/a/?rd=http://port.example/a%2520b?c%26d%2Be",
            ),
            ("path.example", "/a%0d%0aX:y?c", 301, "https://new.example/old/a%0d%0aX:y"),
            ("snippet.example", "/a?b=c", 308, "https://new.snippet.example/a?b=c"),
            ("server.example", "/a?b", 302, "https://login.example/?rd=/a?b"),
            ("location.example", "/dav", 301, "http://location.example/remote/"),
            ("location.example", "/dav/x", 200, ""),
            ("cookie.example", "/", 503, ""),
            ("a.any.example", "/", 503, ""),
            ("joined.example", "/", 503, ""),
            ("endless.example", "/", 503, ""),
        ] {
            let answer = bench.get(host, sent).unwrap();
            assert_eq!((answer.status, answer.header("Location")), (status, location), "{host}{sent}");
        }
        entry.terminate();
    }
}

#[test]
fn parts_of_the_request_stand_in_headers() {
    let port = backend("web").port();
    let snippet = "nginx.ingress.kubernetes.io/configuration-snippet: |\n  \
         more_set_headers \"X-Id: $req_id\" \"X-Upstream: $upstream_status/$upstream_http_content_type\";\n  \
         more_set_headers \"X-Cookie: $http_cookie\";\n  \
         more_set_headers \"X-Root: $document_root\";\n  \
         add_header X-Path \"$scheme $host $uri ${args}.\" always;\n  \
         add_header X-Success $request_method;\n  \
         proxy_set_header X-Start \"t=${msec}\";\n  \
         proxy_set_header X-Original $scheme://$http_host$request_uri;\n  \
         proxy_set_header X-Tenant $arg_tenant;\n  \
         proxy_set_header X-Status $upstream_status;\n  \
         proxy_set_header X-User $remote_user;";
    let own = "sparrow/response-headers: |\n  X-Served-For: $remote_addr $http_x_tenant\nsparrow/request-headers: |\n  X-Method: $request_method";
    let custom = "nginx.ingress.kubernetes.io/custom-headers: default/headers";
    let objects = [
        format!("{CLASS}---\n{}", service("web", port)),
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: headers }\ndata: { X-Request-Id-Copy: '$request_id', X-Bad: '$nothing' }\n".to_owned(),
        ingress("snippet", "snippet.example", port, snippet),
        ingress("own", "own.example", port, own),
        ingress("custom", "custom.example", port, custom),
    ];
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &objects.concat());
        let entry = bench.start(&["run"]);
        eventually("served", || bench.asks("snippet.example", "/x").0 == 200);
        let sent = "Cookie: secret=1\r\nX-Tenant: shop\r\nX-User: forged\r\nX-Status: forged\r\n";
        let ask = |host: &str, target: &str| http::get(bench.http, host, target, sent).unwrap();
        let answer = ask("snippet.example", "/a%0d%0aSet-Cookie:x?tenant=a%0ab&c");
        assert_eq!(answer.status, 200);
        let id = answer.seen("X-Request-ID").unwrap();
        assert_eq!((answer.header("X-Id"), id.len()), (id, 32));
        assert_eq!(answer.header("X-Upstream").split('/').next(), Some("200"));
        assert_eq!(answer.header("X-Path"), "http snippet.example /a%0d%0aSet-Cookie:x tenant=a%0ab&c.");
        assert_eq!(answer.header("X-Success"), "GET");
        for absent in ["X-Cookie", "X-Root", "Set-Cookie"] {
            assert_eq!(answer.header(absent), "", "{absent}");
        }
        assert!(answer.seen("X-Start").is_some_and(|start| start.starts_with("t=1")));
        let original = "http://snippet.example/a%0d%0aSet-Cookie:x?tenant=a%0ab&c";
        assert_eq!(answer.seen("X-Original"), Some(original));
        assert_eq!(answer.seen("X-Tenant"), Some("a%0ab"));
        // What is not followed is never what the client says.
        assert_eq!((answer.seen("X-User"), answer.seen("X-Status")), (None, None));
        let answer = ask("own.example", "/");
        assert_eq!((answer.header("X-Served-For"), answer.seen("X-Method")), ("127.0.0.1 shop", Some("GET")));
        let answer = ask("custom.example", "/");
        assert_eq!(Some(answer.header("X-Request-Id-Copy")), answer.seen("X-Request-ID"));
        assert_eq!(answer.header("X-Bad"), "");
        entry.terminate();
    }
}
