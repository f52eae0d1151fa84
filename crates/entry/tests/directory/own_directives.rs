//! What annotations of ingress-nginx do is what nginx's own directives do: the same requests go to an nginx with a configuration that is written by
//! hand, with the directives that ingress-nginx would write, and are answered the same.
//!
//! Where we mean to differ, the tables in `docs/reference/ingress-nginx-annotations.md` say so, and these requests are not among them.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::thread::{self, sleep};
use std::time::Duration;

use testbed::http::{self, Answer, Connection, Request};
use testbed::nginx::RunningNginx;

use crate::common::{Bench, CLASS, eventually, free, programs};

/// A host, what its Ingress says, and what ingress-nginx would write of it: beside servers, in its server, and in its location.
struct Asked {
    host: &'static str,
    path: &'static str,
    annotations: &'static [&'static str],
    http: &'static str,
    server: &'static str,
    location: &'static str,
}

const AUTH: &str = "auth-url: http://auth.default.svc.cluster.local:AUTH/check";

const ALL: &[Asked] = &[
    Asked {
        host: "rate.example",
        path: "/",
        annotations: &["limit-rpm: '1'"],
        http: "limit_req_zone $binary_remote_addr zone=rate:5m rate=1r/m; limit_req_status 503;",
        server: "",
        location: "limit_req zone=rate burst=5 nodelay;",
    },
    Asked {
        host: "connections.example",
        path: "/",
        annotations: &["limit-connections: '2'"],
        http: "limit_conn_zone $binary_remote_addr zone=connections:5m; limit_conn_status 503;",
        server: "",
        location: "limit_conn connections 2;",
    },
    Asked {
        host: "password.example",
        path: "/",
        annotations: &["auth-type: basic", "auth-secret: users", "auth-realm: The shop"],
        http: "",
        server: "",
        location: "auth_basic \"The shop\"; auth_basic_user_file users;",
    },
    Asked {
        host: "cors.example",
        path: "/",
        annotations: &[
            "enable-cors: 'true'",
            "cors-allow-origin: https://shop.example.com",
            "cors-allow-methods: GET, PUT",
            "cors-max-age: '600'",
            "cors-expose-headers: X-Total",
        ],
        http: "map $http_origin $allowed { default ''; 'https://shop.example.com' $http_origin; } map $allowed $credentials { default true; '' ''; }
             map $allowed $methods { default 'GET, PUT'; '' ''; } map $allowed $age { default 600; '' ''; } map $allowed $expose { default X-Total; '' ''; }
             map $allowed $headers { default 'DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization'; '' ''; }",
        server: "",
        location: "proxy_hide_header Access-Control-Allow-Origin; add_header Access-Control-Allow-Origin $allowed always;
             add_header Access-Control-Allow-Credentials $credentials always; add_header Access-Control-Allow-Methods $methods always;
             add_header Access-Control-Allow-Headers $headers always; add_header Access-Control-Max-Age $age always;
             add_header Access-Control-Expose-Headers $expose always;
             set $preflight $request_method$allowed;
             if ($preflight = 'OPTIONShttps://shop.example.com') { add_header Access-Control-Allow-Origin $allowed always;
             add_header Access-Control-Allow-Credentials $credentials always; add_header Access-Control-Allow-Methods $methods always;
             add_header Access-Control-Allow-Headers $headers always; add_header Access-Control-Max-Age $age always;
             add_header Access-Control-Expose-Headers $expose always; return 204; }",
    },
    Asked {
        host: "body.example",
        path: "/",
        annotations: &["proxy-body-size: 1k", "proxy-request-buffering: 'on'"],
        http: "",
        server: "",
        location: "client_max_body_size 1k; proxy_request_buffering on;",
    },
    Asked {
        host: "streamed.example",
        path: "/",
        annotations: &["proxy-request-buffering: 'off'"],
        http: "",
        server: "",
        location: "proxy_request_buffering off; client_max_body_size 0;",
    },
    Asked { host: "short.example", path: "/", annotations: &["proxy-buffer-size: 4k"], http: "", server: "", location: "proxy_buffer_size 4k;" },
    Asked { host: "long.example", path: "/", annotations: &["proxy-buffer-size: 16k"], http: "", server: "", location: "proxy_buffer_size 16k; proxy_busy_buffers_size 24k;" },
    Asked {
        host: "asked.example",
        path: "/",
        annotations: &[AUTH, "auth-response-headers: X-User"],
        http: "",
        server: "location = /_auth { internal; proxy_pass http://127.0.0.1:AUTH/check; proxy_pass_request_body off; proxy_set_header Content-Length ''; }",
        location: "auth_request /_auth; auth_request_set $user $upstream_http_x_user; proxy_set_header X-User $user;",
    },
    Asked {
        host: "signin.example",
        path: "/",
        annotations: &[AUTH, "auth-signin: 'https://login.example/?rd=$scheme://$host$request_uri'"],
        http: "",
        server: "location = /_auth { internal; proxy_pass http://127.0.0.1:AUTH/check; proxy_pass_request_body off; proxy_set_header Content-Length ''; }
             location @signin { return 302 https://login.example/?rd=$scheme://$host$request_uri; }",
        location: "auth_request /_auth; error_page 401 = @signin;",
    },
    Asked {
        host: "range.example",
        path: "/",
        annotations: &["whitelist-source-range: 192.0.2.0/24, 2001:db8::/32"],
        http: "",
        server: "",
        location: "allow 192.0.2.0/24; allow 2001:db8::/32; deny all;",
    },
    Asked {
        host: "denied.example",
        path: "/",
        annotations: &["denylist-source-range: 127.0.0.0/8"],
        http: "",
        server: "",
        location: "deny 127.0.0.0/8;",
    },
    Asked {
        host: "moved.example",
        path: "/",
        annotations: &["permanent-redirect: 'https://new.example/x$is_args$args'"],
        http: "",
        server: "",
        location: "return 301 https://new.example/x$is_args$args;",
    },
    Asked {
        host: "told.example",
        path: "/",
        annotations: &["upstream-vhost: inner.example", "connection-proxy-header: keep-alive"],
        http: "",
        server: "",
        location: "proxy_set_header Host inner.example; proxy_set_header Connection keep-alive;",
    },
];

/// The end of [`ALL`], which has lines of snippets: they are what is written by hand.
const SNIPPETS: &[Asked] = &[
    Asked {
        host: "within.example",
        path: "/api",
        annotations: &["configuration-snippet: 'rewrite ^/api/(.*)$ /inner/$1 break;'"],
        http: "",
        server: "",
        location: "rewrite ^/api/(.*)$ /inner/$1 break;",
    },
    Asked {
        host: "rewritten.example",
        path: "/",
        annotations: &[
            "server-snippet: 'rewrite ^/old/(.*)$ /new/$1 permanent; rewrite ^/blog(/|$)(.*) https://blog.example/$2; rewrite ^(/a)$ $1/ redirect;'",
        ],
        http: "",
        server: "rewrite ^/old/(.*)$ /new/$1 permanent; rewrite ^/blog(/|$)(.*) https://blog.example/$2; rewrite ^(/a)$ $1/ redirect;",
        location: "",
    },
    Asked {
        host: "all.example",
        path: "/",
        annotations: &["configuration-snippet: 'rewrite ^/(.*)$ https://new.example/x/$1 permanent;'"],
        http: "",
        server: "",
        location: "rewrite ^/(.*)$ https://new.example/x/$1 permanent;",
    },
    Asked {
        host: "said.example",
        path: "/",
        annotations: &[
            "server-snippet: 'location = /ip { default_type text/plain; return 200 \"$remote_addr $host $request_method $args\"; } location = /no { return 403 \"$host\"; }'",
        ],
        http: "",
        server: "location = /ip { default_type text/plain; return 200 \"$remote_addr $host $request_method $args\"; } location = /no { return 403 \"$host\"; }",
        location: "",
    },
];

/// A backend that says of a request what matters here. Its heads are long where that is asked for, and its answers take their time.
fn backend() -> SocketAddr {
    let answer = |mut connection: Connection| -> io::Result<()> {
        while let Some(request) = connection.request()? {
            if request.target() == "/slow" {
                sleep(Duration::from_secs(1));
            }
            let head =
                if request.target() == "/long" { format!("X-Long: {}\r\n", "x".repeat(6000)) } else { String::new() };
            let seen = seen_by_backend(&request);
            write!(
                connection,
                "HTTP/1.1 200 OK\r\n{head}Access-Control-Allow-Origin: https://backend.example\r\nContent-Length: {}\r\n\r\n{seen}",
                seen.len()
            )?;
        }
        Ok(())
    };
    http::serve(answer).unwrap()
}

fn seen_by_backend(request: &Request) -> String {
    let header = |name: &str| request.header(name).unwrap_or("-").to_owned();
    let names = ["X-User", "Content-Length", "Transfer-Encoding", "Connection", "Authorization"];
    let line = request.head.lines().next().unwrap_or_default();
    let host = if request.header("Host") == Some("inner.example") { "inner" } else { "-" };
    format!("{line} {host} {} {:?}", names.map(header).join(" "), request.body.len())
}

/// Who is asked: each cookie is a status.
fn auth_server() -> SocketAddr {
    let answer = |mut connection: Connection| -> io::Result<()> {
        while let Some(request) = connection.request()? {
            let status = request.header("Cookie").and_then(|cookie| cookie.strip_prefix("status=")).unwrap_or("401");
            write!(
                connection,
                "HTTP/1.1 {status} Said\r\nX-User: ann\r\nWWW-Authenticate: Basic realm=asked\r\nContent-Length: 0\r\n\r\n"
            )?;
        }
        Ok(())
    };
    http::serve(answer).unwrap()
}

fn objects(backend: SocketAddr, auth: SocketAddr) -> String {
    let service = |name: &str, address: SocketAddr| {
        let port = address.port();
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ clusterIP: 127.0.0.1, ports: [{{ port: {port} }}] }}\n"
        )
    };
    let ingresses: String = ALL
        .iter()
        .chain(SNIPPETS)
        .map(|Asked { host, path, annotations, .. }| {
        let lines: String = annotations.iter().map(|line| format!("    nginx.ingress.kubernetes.io/{line}\n")).collect();
        let name = host.trim_end_matches(".example");
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  annotations:\n{lines}spec:\n  ingressClassName: sparrow\n  \
             rules:\n  - host: {host}\n    http: {{ paths: [{{ path: {path}, pathType: Prefix, backend: {{ service: {{ name: web, port: {{ number: {} }} }} }} }}] }}\n",
            backend.port()
        )
    }).collect();
    let users = "---\napiVersion: v1\nkind: Secret\nmetadata: { name: users }\nstringData: { auth: 'ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=' }\n";
    let objects =
        [CLASS.to_owned(), service("web", backend), service("auth", auth), users.to_owned(), ingresses].concat();
    objects.replace("AUTH", &auth.port().to_string())
}

/// nginx with the directives that are written by hand.
fn by_hand(binary: &Path, directory: &Path, (backend, auth): (SocketAddr, SocketAddr)) -> (RunningNginx, SocketAddr) {
    let address = free();
    fs::create_dir(directory).unwrap();
    fs::write(directory.join("users"), "ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
    let http: String = ALL.iter().chain(SNIPPETS).map(|asked| asked.http).collect();
    let servers: String = ALL
        .iter()
        .chain(SNIPPETS)
        .map(|Asked { host, path, server, location, .. }| {
            // What is said of a header in a location takes the place of what is said above it.
            let connection = if location.contains("Connection") { "" } else { "proxy_set_header Connection '';" };
            format!(
                "server {{ listen {address}; server_name {host}; {server} location {path} {{ proxy_http_version 1.1; {connection} {location} proxy_pass \
                 http://{backend}; }} }}\n"
            )
        })
        .collect();
    let config = format!(
        "worker_processes 1; pid nginx.pid; error_log error.log; user root; events {{ }}\nhttp {{ access_log off; client_body_temp_path body; proxy_temp_path \
         proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi; port_in_redirect off; {http}\n{servers} }}"
    );
    fs::write(directory.join("nginx.conf"), config.replace("AUTH", &auth.port().to_string())).unwrap();
    let running = RunningNginx::start(binary, directory).unwrap();
    eventually("the nginx that is written by hand", || std::net::TcpStream::connect(address).is_ok());
    (running, address)
}

/// What of an answer must be the same.
fn told(answer: &Answer) -> String {
    let names = [
        "Location",
        "WWW-Authenticate",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Credentials",
        "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers",
        "Access-Control-Max-Age",
        "Access-Control-Expose-Headers",
    ];
    let headers: String = names.iter().map(|name| format!("{name}: {}; ", answer.header(name))).collect();
    let seen = if answer.status == 200 { answer.text() } else { String::new() };
    format!("{} {headers}{seen}", answer.status)
}

fn ask(address: SocketAddr, method: &str, host: &str, target: &str, rest: &str) -> String {
    let (headers, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
    let headers =
        if headers.is_empty() || headers.ends_with("\r\n") { headers.to_owned() } else { format!("{headers}\r\n") };
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n{body}");
    http::exchange(address, request).map_or_else(|error| error.to_string(), |answer| told(&answer))
}

/// The answers to requests of all kinds, each with what was asked.
fn answers(address: SocketAddr) -> Vec<(String, String)> {
    let body = |length: usize| format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length));
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_owned();
    let basic = |credentials: &str| format!("Authorization: Basic {credentials}");
    let mut all = vec![
        ("GET", "password.example", "/", String::new()),
        ("GET", "password.example", "/", basic("YW5uOnNlY3JldA==")),
        ("GET", "password.example", "/", basic("YW5uOnBhc3N3b3Jk")),
        ("GET", "password.example", "/", basic("Ym9iOnRlc3Q=")),
        ("GET", "password.example", "/", basic("!")),
        ("GET", "password.example", "/", basic("YW5u")),
        ("GET", "password.example", "/", "Authorization: Bearer YW5uOnRlc3Q=".to_owned()),
        ("GET", "cors.example", "/", "Origin: https://shop.example.com".to_owned()),
        ("GET", "cors.example", "/", "Origin: https://evil.example".to_owned()),
        ("GET", "cors.example", "/", String::new()),
        (
            "OPTIONS",
            "cors.example",
            "/",
            "Origin: https://shop.example.com\r\nAccess-Control-Request-Method: PUT".to_owned(),
        ),
        ("POST", "body.example", "/", body(1024)),
        ("POST", "body.example", "/", body(1025)),
        ("POST", "body.example", "/", chunked.clone()),
        ("POST", "streamed.example", "/", body(3000)),
        ("POST", "streamed.example", "/", chunked),
        ("GET", "short.example", "/long", String::new()),
        ("GET", "long.example", "/long", String::new()),
        ("GET", "range.example", "/", String::new()),
        ("GET", "denied.example", "/", String::new()),
        ("GET", "moved.example", "/a?b=c", String::new()),
        ("POST", "moved.example", "/a", body(3)),
        ("GET", "told.example", "/a%20b?c", String::new()),
        ("GET", "within.example", "/api/a/b?c=d", String::new()),
        ("GET", "within.example", "/api", String::new()),
        ("GET", "within.example", "/api/", String::new()),
        ("GET", "rewritten.example", "/old/a?b=c", String::new()),
        ("GET", "rewritten.example", "/old/", String::new()),
        ("GET", "rewritten.example", "/old", String::new()),
        ("GET", "rewritten.example", "/blog", String::new()),
        ("GET", "rewritten.example", "/blog/a/b?c", String::new()),
        ("GET", "rewritten.example", "/blogs", String::new()),
        ("POST", "rewritten.example", "/a", body(2)),
        ("GET", "rewritten.example", "/a/", String::new()),
        ("GET", "all.example", "/", String::new()),
        ("GET", "all.example", "/a/b?c=d", String::new()),
        ("GET", "said.example", "/ip?a=b", String::new()),
        ("POST", "said.example", "/no", String::new()),
        ("GET", "said.example", "/other", String::new()),
    ];
    for host in ["asked.example", "signin.example"] {
        for status in ["200", "202", "204", "401", "403", "404", "500", "302"] {
            all.push(("GET", host, "/a?b=c", format!("X-User: root\r\nCookie: status={status}")));
        }
        all.push(("POST", host, "/a", format!("Cookie: status=200\r\n{}", body(5))));
    }
    all.extend((0..10).map(|_| ("GET", "rate.example", "/", String::new())));
    let said = |(method, host, target, rest): (&str, &str, &str, String)| {
        let about: String = rest.chars().take(60).collect();
        (format!("{method} {host}{target} {about}"), ask(address, method, host, target, &rest))
    };
    all.into_iter().map(said).collect()
}

/// The answers to more requests at once than there may be connections, in any order.
fn answers_at_once(address: SocketAddr) -> Vec<String> {
    let asks: Vec<_> =
        (0..4).map(|_| thread::spawn(move || ask(address, "GET", "connections.example", "/slow", ""))).collect();
    let mut answers: Vec<_> = asks.into_iter().map(|ask| ask.join().unwrap()).collect();
    answers.sort();
    answers
}

#[test]
fn annotations_do_what_directives_of_nginx_do() {
    for program in programs() {
        let (backend, auth) = (backend(), auth_server());
        let bench = Bench::new(&program);
        bench.write("all.yaml", &objects(backend, auth));
        let entry = bench.start(&["run"]);
        eventually("served", || bench.get("told.example", "/").is_some_and(|answer| answer.status == 200));
        let (_by_hand, address) = by_hand(&program.nginx, &bench.path("by-hand"), (backend, auth));
        for ((asked, ours), (_, theirs)) in answers(bench.http).into_iter().zip(answers(address)) {
            assert_eq!(ours, theirs, "{program:?}: {asked}");
        }
        assert_eq!(answers_at_once(bench.http), answers_at_once(address), "{program:?}");
        entry.terminate();
    }
}
