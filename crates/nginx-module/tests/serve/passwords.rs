//! Passwords that are remembered: whose they are, for which file, and who is asked all the same. That one is remembered shows where nginx
//! would no longer find it: its file is empty by then.

use std::fs;
use std::net::SocketAddr;

use tempfile::TempDir;
use testbed::http::{self, Connection};

use super::support::{Nginx, NginxBackend, Publisher, backend, wait_for};

/// `user:secret`.
const RIGHT: &str = "Basic dXNlcjpzZWNyZXQ=";
/// `user:wrong`.
const WRONG: &str = "Basic dXNlcjp3cm9uZw==";
/// `user:other`.
const OTHER: &str = "Basic dXNlcjpvdGhlcg==";
/// `else:secret`.
const ELSE: &str = "Basic ZWxzZTpzZWNyZXQ=";

/// nginx with locations beside those that the table leads to, and two files of passwords.
struct Guarded {
    nginx: Nginx,
    files: TempDir,
    address: SocketAddr,
    /// HTTP/2 in the clear.
    http2: SocketAddr,
}

impl Guarded {
    /// Starts it with what makes locations of a way to write one: its path, the file of passwords, and further directives.
    fn start(locations: impl FnOnce(&dyn Fn(&str, &str, &str) -> String) -> String) -> Self {
        let (files, one) = (tempfile::tempdir().unwrap(), backend("one"));
        let [address, http2] = std::array::from_fn(|_| testbed::ports::free_address().unwrap());
        let location = |path: &str, file: &str, more: &str| {
            let written = files.path().join(file).display().to_string();
            format!(
                "location {path} {{ auth_basic Shop; auth_basic_user_file {written}; sparrow_remember_passwords {file};\n\
                 proxy_pass http://{one}; {more} }}\n"
            )
        };
        let locations = locations(&location).replace("BACKEND", &format!("proxy_pass http://{one};"));
        let server = format!("server {{ listen {address}; listen {http2} http2; {locations} }}");
        fs::write(files.path().join("a"), "user:{PLAIN}secret\n").unwrap();
        fs::write(files.path().join("b"), "user:{PLAIN}other\n").unwrap();
        let nginx = Nginx::start_with(&Publisher::new(), 1, |config| config + &server);
        Self { nginx, files, address, http2 }
    }

    /// From here on there is no password in the files.
    fn empty_files(&self) {
        for file in ["a", "b"] {
            fs::write(self.files.path().join(file), "").unwrap();
        }
    }

    /// The status with this header `Authorization`.
    fn ask(&self, path: &str, authorization: &str) -> u16 {
        http::get(self.address, "any.example", path, &format!("Authorization: {authorization}\r\n")).unwrap().status
    }
}

#[test]
fn a_right_password_is_remembered_and_nobody_else_gets_in() {
    let guarded = Guarded::start(|location| location("/a", "a", ""));
    let all = [(RIGHT, 200), (WRONG, 401), (ELSE, 401), ("", 401), ("Basic !", 401), ("Bearer x", 401), (RIGHT, 200)];
    for (authorization, status) in all {
        assert_eq!(guarded.ask("/a", authorization), status, "{authorization}");
    }
    guarded.empty_files();
    // On connections of their own, and on one.
    let mut connection = Connection::open(guarded.address).unwrap();
    for (authorization, status) in all.into_iter().chain(all) {
        assert_eq!(guarded.ask("/a", authorization), status, "{authorization}");
        let request = format!("GET /a HTTP/1.1\r\nHost: any.example\r\nAuthorization: {authorization}\r\n\r\n");
        assert_eq!(connection.exchange(request).unwrap().status, status, "{authorization}");
    }
}

#[test]
fn a_password_is_not_right_for_another_file() {
    let guarded =
        Guarded::start(|location| location("/a", "a", "") + &location("/b", "b", "") + &location("/c", "a", ""));
    for _ in 0..2 {
        assert_eq!((guarded.ask("/a", RIGHT), guarded.ask("/b", RIGHT)), (200, 401));
        assert_eq!((guarded.ask("/a", OTHER), guarded.ask("/b", OTHER)), (401, 200));
    }
    guarded.empty_files();
    assert_eq!((guarded.ask("/a", RIGHT), guarded.ask("/b", RIGHT), guarded.ask("/c", RIGHT)), (200, 401, 200));
    assert_eq!((guarded.ask("/a", OTHER), guarded.ask("/b", OTHER), guarded.ask("/c", OTHER)), (401, 200, 401));
}

#[test]
fn no_location_within_another_inherits_what_is_remembered() {
    let guarded = Guarded::start(|location| {
        let other = location("/a/b", "b", "").replace("sparrow_remember_passwords b;", "");
        let file = other.split_once("auth_basic_user_file ").and_then(|(_, rest)| rest.split_once(';')).unwrap().0;
        let within =
            format!("{other} location /a/same {{ BACKEND }} limit_except GET {{ auth_basic_user_file {file}; }}");
        let changed = location("/if", "a", "if ($uri) { set $one 1; } if ($uri) { set $two 2; }");
        location("/a", "a", &within) + &location("/b", "b", "") + &changed
    });
    assert_eq!((guarded.ask("/a", RIGHT), guarded.ask("/a/same", RIGHT), guarded.ask("/b", OTHER)), (200, 200, 200));
    assert_eq!((guarded.ask("/a/b", RIGHT), guarded.ask("/a/b", OTHER)), (401, 200));
    let post = |authorization: &str| {
        let head = format!("POST /a HTTP/1.1\r\nHost: any.example\r\nAuthorization: {authorization}\r\n");
        http::exchange(guarded.address, format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n")).unwrap().status
    };
    assert_eq!((post(RIGHT), post(OTHER)), (401, 200));
    guarded.empty_files();
    assert_eq!((guarded.ask("/a", RIGHT), guarded.ask("/a/same", RIGHT)), (200, 401));
    // A block of `if` is of the location.
    assert_eq!((guarded.ask("/if", RIGHT), guarded.ask("/if", WRONG), guarded.ask("/if", OTHER)), (200, 401, 401));
    assert_eq!((guarded.ask("/a/b", RIGHT), guarded.ask("/a/b", OTHER), post(OTHER)), (401, 401, 401));
}

#[test]
fn whoever_the_address_lets_in_has_no_right_password() {
    let guarded = Guarded::start(|location| {
        location("/any", "a", "satisfy any; allow 127.0.0.0/8; deny all;")
            + &location("/password", "a", "satisfy any; deny all;")
            + &location("/nobody", "a", "deny all;")
            + &location("/a", "a", "")
    });
    for authorization in [WRONG, ""] {
        assert_eq!(guarded.ask("/any", authorization), 200);
        assert_eq!((guarded.ask("/a", authorization), guarded.ask("/password", authorization)), (401, 401));
    }
    assert_eq!((guarded.ask("/password", RIGHT), guarded.ask("/nobody", RIGHT)), (200, 403));
    guarded.empty_files();
    // What is remembered is as good as what nginx finds, and no better.
    assert_eq!(
        (guarded.ask("/password", RIGHT), guarded.ask("/nobody", RIGHT), guarded.ask("/a", RIGHT)),
        (200, 403, 200)
    );
    assert_eq!(
        (guarded.ask("/password", WRONG), guarded.ask("/nobody", WRONG), guarded.ask("/a", WRONG)),
        (401, 403, 401)
    );
}

#[test]
fn nothing_is_remembered_where_nobody_was_asked() {
    let guarded = Guarded::start(|location| {
        let subrequest = location("= /inner", "a", "internal;");
        let page = location("@page", "a", "").replace("auth_basic Shop;", "");
        let off = location("/off", "a", "").replace("auth_basic Shop;", "auth_basic off;");
        let outer = "location /outer { auth_request /inner; BACKEND }";
        let shown = location("/shown", "a", "error_page 401 @page;");
        subrequest + &page + &off + outer + &shown + &location("/a", "a", "")
    });
    for path in ["/outer", "/off"] {
        assert_eq!(guarded.ask(path, WRONG), 200, "{path}");
        assert_eq!(guarded.ask("/a", WRONG), 401, "{path}");
    }
    for _ in 0..2 {
        let answer =
            http::get(guarded.address, "any.example", "/shown", &format!("Authorization: {WRONG}\r\n")).unwrap();
        assert_eq!((answer.status, answer.header("Backend")), (401, "one"));
    }
    assert_eq!(guarded.ask("/a", WRONG), 401);
    assert_eq!(guarded.ask("/outer", RIGHT), 200);
    guarded.empty_files();
    assert_eq!(guarded.ask("/a", RIGHT), 401, "a subrequest is not asked for its password");
}

#[test]
fn a_request_that_goes_on_elsewhere_is_asked_there() {
    let guarded = Guarded::start(|location| {
        let moved =
            "location /moved { error_page 404 = /b; return 404; } location /named { error_page 404 = @b; return 404; }";
        let after = location("/after", "a", "error_page 418 = /b; try_files /nowhere =418;");
        location("/a", "a", "") + &location("/b", "b", "") + &location("@b", "b", "") + moved + &after
    });
    for emptied in [false, true] {
        if emptied {
            guarded.empty_files();
        }
        for path in ["/moved", "/named", "/b"] {
            assert_eq!((guarded.ask(path, RIGHT), guarded.ask(path, OTHER)), (401, 200), "{path} {emptied}");
        }
        assert_eq!((guarded.ask("/a", RIGHT), guarded.ask("/a", OTHER)), (200, 401), "{emptied}");
        // Known in the first, and not in the second.
        assert_eq!((guarded.ask("/after", RIGHT), guarded.ask("/after", OTHER)), (401, 401), "{emptied}");
    }
}

#[test]
fn what_is_long_or_ends_within_is_asked_for_each_time() {
    let guarded = Guarded::start(|location| location("/a", "a", ""));
    // `us:`, and three times as many bytes of a password as groups.
    let long =
        |groups| (format!("us:{{PLAIN}}{}\n", "xxx".repeat(groups)), format!("Basic dXM6{}", "eHh4".repeat(groups)));
    for ((users, authorization), is_remembered) in [
        (long(341), true),
        (long(342), false),
        // `ab` and what ends a text in C: nginx compares no further.
        (("us:{PLAIN}ab\n".to_owned(), "Basic dXM6YWIA".to_owned()), false),
    ] {
        fs::write(guarded.files.path().join("a"), users).unwrap();
        assert_eq!(guarded.ask("/a", &authorization), 200);
        guarded.empty_files();
        assert_eq!(guarded.ask("/a", &authorization), if is_remembered { 200 } else { 401 });
    }
}

#[test]
fn http_2_is_asked_as_http_1_is() {
    let guarded = Guarded::start(|location| location("/a", "a", ""));
    // A client of HTTP/2.
    let client =
        NginxBackend::start(&format!("location / {{ proxy_http_version 2; proxy_pass http://{}; }}", guarded.http2));
    let ask = |authorization: &str| {
        http::get(client.plain, "any.example", "/a", &format!("Authorization: {authorization}\r\n")).unwrap().status
    };
    assert_eq!((ask(WRONG), ask(RIGHT)), (401, 200));
    guarded.empty_files();
    for _ in 0..2 {
        assert_eq!((ask(WRONG), ask(RIGHT), ask(ELSE)), (401, 200, 401));
        assert_eq!((guarded.ask("/a", WRONG), guarded.ask("/a", RIGHT)), (401, 200));
    }
}

#[test]
fn another_worker_has_to_ask() {
    let guarded = Guarded::start(|location| location("/a", "a", ""));
    assert_eq!(guarded.ask("/a", RIGHT), 200);
    guarded.empty_files();
    assert_eq!(guarded.ask("/a", RIGHT), 200);
    guarded.nginx.replace_worker();
    assert_eq!(guarded.ask("/a", RIGHT), 401);
    fs::write(guarded.files.path().join("a"), "user:{PLAIN}secret\n").unwrap();
    assert_eq!(guarded.ask("/a", RIGHT), 200);
    guarded.empty_files();
    assert_eq!(guarded.ask("/a", RIGHT), 200);
    guarded.nginx.reload();
    wait_for("a worker that does not know", || (guarded.ask("/a", RIGHT) == 401).then_some(()));
}
