//! A server that is asked for all whether requests may pass.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use testbed::http;

use crate::common::{Bench, CLASS, backend, eventually, ingress, programs, service};

/// A server that lets those pass who send the header `Secret: sesame`, and says who they are; its answers to others are 401.
fn auth_server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    http::serve_connections(listener, |mut connection| {
        while let Some(request) = connection.request()? {
            let status = if request.header("Secret") == Some("sesame") { "200 OK" } else { "401 Unauthorized" };
            write!(connection, "HTTP/1.1 {status}\r\nRemote-User: ali\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    port
}

fn plain_service(name: &str, port: u16) -> String {
    service(name, port).replace("  labels: { sparrow/expose: \"true\" }\n", "")
}

fn settings(values: &[(&str, &str)]) -> String {
    let data: String = values.iter().map(|(key, value)| format!("  {key}: {value:?}\n")).collect();
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: sparrow}}\ndata:\n{data}")
}

/// An Ingress with an annotation.
fn annotated(name: &str, host: &str, port: u16, annotation: &str, value: &str) -> String {
    ingress(name, host, "web", port, None).replace(
        &format!("metadata: {{ name: {name} }}"),
        &format!("metadata: {{ name: {name}, annotations: {{ {annotation}: {value:?} }} }}"),
    )
}

#[test]
fn server_is_asked_for_all_but_those_who_say_otherwise() {
    const ENABLED: &str = "nginx.ingress.kubernetes.io/enable-global-auth";
    let (port, auth) = (backend("web"), auth_server());
    for program in programs() {
        let mut bench = Bench::new(&program).with_https();
        bench.flag("--config", "sparrow/settings".to_owned());
        bench.write("class.yaml", CLASS);
        bench.write("web.yaml", &plain_service("web", port));
        bench.write("auth.yaml", &plain_service("auth", auth));
        bench.write("plain.yaml", &ingress("plain", "plain.example", "web", port, None));
        bench.write("open.yaml", &annotated("open", "open.example", port, ENABLED, "false"));
        bench.write("asked.yaml", &annotated("asked", "asked.example", port, ENABLED, "no"));
        bench.write("label.yaml", &service("label", port));
        let path = "/.well-known/acme-challenge";
        let solver = ingress("solver", "plain.example", "web", port, None);
        bench.write("solver.yaml", &solver.replace("path: /,", &format!("path: {path}/token,")));
        let url = format!("http://auth.default.svc:{auth}/verify");
        let asks = ("global-auth-url", &*url);
        bench.write("settings.yaml", &settings(&[asks]));
        let entry = bench.start(&["run"]);
        let ask = |host: &str, path: &str, headers: &str| {
            http::get(bench.http, host, path, headers).map_or(0, |answer| answer.status)
        };
        let is = |host: &str, path: &str, status: u16| ask(host, path, "") == status;
        eventually("asked", || is("plain.example", "/", 401));
        for (host, path) in [("plain.example", "/x"), ("asked.example", "/"), ("any.example", "/label")] {
            assert_eq!((ask(host, path, ""), ask(host, path, "Secret: sesame\r\n")), (401, 200), "{host}");
        }
        let challenge = format!("{path}/token");
        assert!(is("open.example", "/", 200) && is("plain.example", &challenge, 200));
        assert!(is("plain.example", "/.well-known/other", 401));
        // Other paths of which nobody is asked, in place of those.
        bench.write("settings.yaml", &settings(&[asks, ("no-auth-locations", "/label")]));
        eventually("others", || is("any.example", "/label", 200) && is("plain.example", &challenge, 401));
        // Clients sign in elsewhere.
        bench.write("settings.yaml", &settings(&[asks, ("global-auth-signin", "https://login.example/start")]));
        eventually("signing in", || is("plain.example", "/", 302) && is("any.example", "/label", 302));
        // What cannot be used closes.
        let none = ("global-auth-url", "http://none.default.svc/");
        for broken in [&[("global-auth-url", "auth")][..], &[none], &[asks, ("global-auth-method", "get")]] {
            bench.write("settings.yaml", &settings(broken));
            let closed = || ask("plain.example", "/", "Secret: sesame\r\n") == 503 && is("any.example", "/label", 503);
            eventually("closed", closed);
            assert!(is("open.example", "/", 200), "{broken:?}");
            bench.write("settings.yaml", &settings(&[asks]));
            eventually("asked again", || is("plain.example", "/", 401) && is("any.example", "/label", 401));
        }
        // Another setting that nginx rejects does not keep it from being asked.
        bench.write("settings.yaml", &settings(&[("keep-alive", "60")]));
        eventually("nobody is asked", || is("plain.example", "/", 200) && is("any.example", "/label", 200));
        bench.write("settings.yaml", &settings(&[asks, ("ssl-ciphers", "NONE-SUCH")]));
        eventually("asked all the same", || is("plain.example", "/", 401) && is("any.example", "/label", 401));
        entry.says("nginx rejects the settings");
        assert!(is("plain.example", "/", 401));
        entry.terminate();
    }
}
