//! Locations that snippets deny, and headers that they cannot set.

use testbed::http;

use crate::common::{Bench, CLASS, backend, debian, eventually, ingress, programs, service};

/// An Ingress with a snippet and others, one in a line.
fn web(port: u16, annotations: &str) -> String {
    let lines: String = annotations.lines().map(|line| format!("    nginx.ingress.kubernetes.io/{line}\n")).collect();
    ingress("web", "a.example", "one", port, None)
        .replace("metadata: { name: web }", &format!("metadata:\n  name: web\n  annotations:\n{lines}"))
}

fn statuses<const N: usize>(bench: &Bench, paths: [&str; N]) -> [u16; N] {
    paths.map(|path| http::get(bench.http, "a.example", path, "").map_or(0, |answer| answer.status))
}

#[test]
fn location_that_a_snippet_denies_is_denied() {
    let port = backend("one");
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &format!("{CLASS}---\n{}", service("one", port)));
        let deny = "server-snippet: 'location ^~ /app/admin { deny all; } location = /app { return 410; }'";
        bench.write("web.yaml", &web(port, deny));
        let entry = bench.start(&["run"]);
        let paths = ["/", "/app/x", "/app", "/app/admin", "/app/admin/x", "/app/admin.php", "/app//%61dmin"];
        eventually("denied", || statuses(&bench, paths) == [200, 200, 410, 403, 403, 403, 403]);
        // Beside patterns it is so, too, whose texts are longer.
        let patterns =
            web(port, &format!("use-regex: 'true'\n{deny}")).replace("path: /,", "path: '/(app|api)/?(.*)',");
        bench.write("web.yaml", &patterns);
        eventually("denied", || statuses(&bench, paths) == [404, 200, 410, 403, 403, 403, 403]);
        // An expression stands before all else, whatever the path is like that was sent.
        bench.write(
            "web.yaml",
            &web(port, r"server-snippet: 'location ~ /\.(git|ht) { deny all; } location ~* \.bak$ { return 404; }'"),
        );
        let paths = ["/", "/.git/config", "/app/%2egit", "/app/.htaccess", "/x.BAK", "/x.bak?a", "/a.git"];
        eventually("denied", || statuses(&bench, paths) == [200, 403, 403, 403, 404, 404, 200]);
        // So are challenges of certificate authorities not, which another Ingress serves.
        let solver = ingress("solver", "a.example", "one", port, None)
            .replace("path: /,", "path: /.well-known/acme-challenge/token,");
        let dots = web(port, r"server-snippet: 'location ~ /\. { deny all; }'");
        bench.write("web.yaml", &format!("{dots}---\n{solver}"));
        let paths = ["/.well-known/acme-challenge/token", "/.well-known/acme-challenge/other", "/.well-known/x"];
        eventually("challenged", || statuses(&bench, paths) == [200, 403, 403]);
        for (lines, status) in [
            ("allow 127.0.0.0/8; deny all;", 200),
            ("allow 192.0.2.0/24; deny all;", 403),
            ("deny 127.0.0.1; allow 127.0.0.0/8; deny all;", 403),
            ("deny 192.0.2.1;", 200),
            ("deny 127.0.0.1;", 403),
            // The first line that is for a client would count.
            ("allow 127.0.0.1; deny 127.0.0.0/8; deny all;", 503),
        ] {
            bench.write("web.yaml", &web(port, &format!("configuration-snippet: '{lines}'")));
            eventually(lines, || statuses(&bench, ["/"]) == [status]);
        }
        // What is not followed is not open.
        bench.write("web.yaml", &web(port, "server-snippet: 'if ($http_x_key != secret) { return 400; }'"));
        eventually("closed", || statuses(&bench, ["/", "/app", "/app/admin"]) == [503; 3]);
        entry.terminate();
    }
}

#[test]
fn texts_of_snippets_are_told() {
    let port = backend("one");
    let lines = "server-snippet: \"location = /robots.txt { add_header Content-Type text/plain; return 200 'User-agent: *\\nDisallow: /\\n'; } \
                 location /health { access_log off; default_type application/json; add_header X-A $host always; return 200 '{\\\"up\\\": \\\"; }\\\"}'; } \
                 location = /empty.html { return 204; } location = /teapot { return 418 teapot; } \
                 location = /ip { return 200 '$remote_addr $host $request_method $uri?$args $http_x_a\\n'; } \
                 location = /no { return 403 '<p>No, ${remote_addr}</p>'; }\"\n\
                 whitelist-source-range: 192.0.2.0/24";
    let all = "configuration-snippet: \"more_set_headers 'X-Robots-Tag: none'; return 200 '<h1>soon</h1>';\"";
    for program in programs() {
        let bench = Bench::new(&program);
        let maintained = web(port, all)
            .replace("name: web\n  annotations", "name: soon\n  annotations")
            .replace("a.example", "b.example");
        bench.write(
            "all.yaml",
            &format!("{CLASS}---\n{}---\n{}---\n{maintained}", service("one", port), web(port, lines)),
        );
        let entry = bench.start(&["run"]);
        eventually("served", || statuses(&bench, ["/health", "/other"]) == [200, 403]);
        for (host, path, status, kind, text) in [
            ("a.example", "/robots.txt", 200, "text/plain", "User-agent: *\nDisallow: /\n"),
            ("a.example", "/health", 200, "application/json", "{\"up\": \"; }\"}"),
            ("a.example", "/health/x", 200, "application/json", "{\"up\": \"; }\"}"),
            ("a.example", "/healthy", 200, "application/json", "{\"up\": \"; }\"}"),
            ("a.example", "/empty.html", 204, "", ""),
            ("a.example", "/ip?a=%0ab", 200, "text/plain", "127.0.0.1 a.example GET /ip?a=%0ab <b>\n"),
            ("a.example", "/no", 403, "text/html", "<p>No, 127.0.0.1</p>"),
            ("b.example", "/any/page.css", 200, "text/html", "<h1>soon</h1>"),
        ] {
            let answer = http::get(bench.http, host, path, "X-A: <b>\r\n").unwrap();
            assert_eq!((answer.status, answer.header("Content-Type")), (status, kind), "{host}{path}");
            assert!(text.is_empty() || answer.text() == text, "{host}{path}: {}", answer.text());
        }
        let header =
            |host: &str, path: &str, name: &str| http::get(bench.http, host, path, "").unwrap().header(name).to_owned();
        assert_eq!(header("a.example", "/health", "X-A"), "a.example");
        assert_eq!(header("b.example", "/", "X-Robots-Tag"), "none");
        assert_eq!(statuses(&bench, ["/teapot", "/health/../x"]), [418, 400]);
        // A text with what may be a secret is not told, and nobody gets anything instead.
        bench.write(
            "all.yaml",
            &format!(
                "{CLASS}---\n{}---\n{}",
                service("one", port),
                web(port, "configuration-snippet: 'return 200 $http_cookie;'")
            ),
        );
        eventually("closed", || statuses(&bench, ["/", "/x"]) == [503; 2]);
        entry.terminate();
    }
}

#[test]
fn rewrites_of_snippets_send_clients_elsewhere() {
    let port = backend("one");
    let of_host = |host: &str, annotation: &str| {
        web(port, annotation)
            .replace("name: web\n  annotations", &format!("name: {host}\n  annotations"))
            .replace("a.example", &format!("{host}.example"))
    };
    let lines = "server-snippet: \"rewrite ^/old/(.*)$ /new/$1 permanent; rewrite ^/blog(/|$)(.*) https://b.example/$2 redirect;\"";
    let all = "configuration-snippet: rewrite ^ https://new.$host$request_uri? permanent;";
    let group = "configuration-snippet: rewrite ^/(.*)$ https://b.example/x/$1 redirect;";
    let one = "configuration-snippet: rewrite ^/app/(.*)$ /$1 last;";
    let within = "configuration-snippet: rewrite ^/app/(.*)$ /inner/$1 break;";
    let objects = [
        format!("{CLASS}---\n{}", service("one", port)),
        of_host("a", lines),
        of_host("c", all),
        of_host("d", group),
        of_host("e", one),
        of_host("f", within).replace("path: /,", "path: /app,"),
    ];
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("all.yaml", &objects.join("---\n"));
        let entry = bench.start(&["run"]);
        eventually("served", || bench.asks("a.example", "/x").0 == 200);
        for (host, sent, status, location) in [
            ("a.example", "/old/a%2Fb?c=d", 301, "http://a.example/new/a%2Fb?c=d"),
            // No end of a line is matched, as there.
            ("a.example", "/old/a%0d%0aX:y", 200, ""),
            ("a.example", "/blog", 302, "https://b.example/"),
            ("a.example", "/blog/a?b", 302, "https://b.example/a?b"),
            ("a.example", "/old", 200, ""),
            ("a.example", "/%6Fld/x", 400, ""),
            ("c.example", "/a?b", 301, "https://new.c.example/a?b"),
            ("d.example", "/a%20b?c", 302, "https://b.example/x/a%20b?c"),
            ("e.example", "/app/x", 503, ""),
        ] {
            let answer = http::get(bench.http, host, sent, "").unwrap();
            assert_eq!((answer.status, answer.header("Location")), (status, location), "{host}{sent}");
        }
        let told =
            |sent: &str| http::get(bench.http, "f.example", sent, "").map(|answer| (answer.status, answer.text()));
        for (sent, seen) in [("/app/a%2Fb?c", "/inner/a%2Fb?c"), ("/app", "/app"), ("/app/", "/inner/")] {
            assert_eq!(told(sent).unwrap(), (200, seen.to_owned()), "{sent}");
        }
        assert_eq!(told("/%61pp/x").unwrap().0, 400);
        entry.terminate();
    }
}

#[test]
fn new_texts_and_redirects_come_into_force_without_a_reload() {
    let port = backend("one");
    let bench = Bench::new(&debian());
    bench.write("all.yaml", &format!("{CLASS}---\n{}", service("one", port)));
    let text = |path: &str, text: &str| {
        let header = "add_header X-Sent $request_uri always;";
        web(
            port,
            &format!(
                "server-snippet: 'location = {path} {{ {header} return 200 \"{text}\"; }} location = /fixed {{ return 200 \"{text}\"; }} \
                 location = /moved {{ return 302 https://b.example/{text}?rd=$http_host$request_uri; }}'"
            ),
        )
    };
    bench.write("web.yaml", &text("/one", "first"));
    let entry = bench.start(&["run"]);
    let asks = |path: &str| {
        let answer = http::get(bench.http, "a.example", path, "").unwrap();
        (answer.text(), answer.header("X-Sent").to_owned())
    };
    let told = |text: &str, sent: &str| (text.to_owned(), sent.to_owned());
    eventually("served", || asks("/one?a") == told("first", "/one?a"));
    let reloads = || ["nginx_reloads", "frame_reloads"].map(|name| entry.count(name));
    let before = reloads();
    bench.write("web.yaml", &text("/two", "second"));
    eventually("another text", || asks("/two") == told("second", "/two"));
    assert_eq!(asks("/fixed"), told("second", ""));
    let moved = http::get(bench.http, "a.example", "/moved", "").unwrap();
    assert_eq!(moved.header("Location"), "https://b.example/second?rd=a.example/moved");
    assert_eq!(statuses(&bench, ["/one", "/two", "/fixed"]), [200; 3]);
    assert_eq!(reloads(), before);
    entry.terminate();
}

#[test]
fn challenges_beside_denied_expressions_come_into_force_without_a_reload() {
    let port = backend("one");
    let bench = Bench::new(&debian());
    bench.write("all.yaml", &format!("{CLASS}---\n{}", service("one", port)));
    let dots = web(port, r"server-snippet: 'location ~ /\. { deny all; }'");
    let solver = |token: &str| {
        let path = format!("path: /.well-known/acme-challenge/{token},");
        format!("{dots}---\n{}", ingress("solver", "a.example", "one", port, None).replace("path: /,", &path))
    };
    bench.write("web.yaml", &solver("first"));
    let entry = bench.start(&["run"]);
    let paths = ["/.well-known/acme-challenge/first", "/.well-known/acme-challenge/second", "/.git"];
    eventually("the first", || statuses(&bench, paths) == [200, 403, 403]);
    let reloads = || ["nginx_reloads", "frame_reloads"].map(|name| entry.count(name));
    let before = reloads();
    bench.write("web.yaml", &solver("second"));
    eventually("the second", || statuses(&bench, paths) == [403, 200, 403]);
    assert_eq!(reloads(), before);
    entry.terminate();
}
