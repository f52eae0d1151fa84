//! Without authentication: pages of other sites are kept out, by the host that a request is for and by where it comes from.

use serde_json::json;
use testbed::http::exchange;
use testbed::service::{Answer, RbdService};

use crate::support::{pool, serve};

fn ask(service: &RbdService, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {target} HTTP/1.1\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
    exchange(service.api(), request).unwrap()
}

#[test]
fn host_that_is_not_allowed_is_rejected() {
    let service = serve(&["--allowed-host", "api.example.org", "--allowed-host", "*.svc"]);
    let port = service.api().port();
    let pools = "/api/v1/pools";
    for host in [
        "127.0.0.1",
        "10.0.0.7:30080",
        "[::1]",
        &format!("[2001:db8::7]:{port}"),
        "localhost",
        "LOCALHOST.:80",
        "x.localhost",
        "api.example.org",
        "API.Example.ORG.:8080",
        "sparrow.team.svc",
    ] {
        assert_eq!(ask(&service, "GET", pools, &[("host", host)]).status, 200, "{host}");
    }
    for host in
        ["evil.example", "api.example.org.evil.example", "x.api.example.org", "127.0.0.1.evil.example", "svc", "127.1"]
    {
        for (method, target) in [("GET", pools), ("POST", pools), ("POST", "/api/v1/pools/p/trash/purge")] {
            let answer = ask(&service, method, target, &[("host", host)]);
            assert_eq!((answer.status, &*answer.problem()), (403, "host-not-allowed"), "{method} {target} for {host}");
            assert!(answer.json()["correction"].as_str().unwrap().contains("--allowed-host"));
        }
    }
    // As a proxy is asked: the target says the host.
    let absolute =
        |host: &str, header: &str| ask(&service, "GET", &format!("http://{host}{pools}"), &[("host", header)]);
    assert_eq!(absolute("127.0.0.1", "127.0.0.1").status, 200);
    assert_eq!(absolute("evil.example", "evil.example").status, 403);
    assert_eq!(absolute("evil.example", "127.0.0.1").status, 400);
    assert_eq!(absolute("127.0.0.1", "evil.example").status, 400);
    assert!(service.output().contains("host-not-allowed"), "the audit log has it: {}", service.output());
}

#[test]
fn http_2_authority_is_checked_as_the_host() {
    let service = serve(&[]);
    let curl = |host: &str| {
        let output = std::process::Command::new("curl")
            .args(["--silent", "--http2-prior-knowledge", "--noproxy", "*", "--max-time", "20", "--header"])
            .args([&format!("host: {host}"), "--write-out", "%{http_version} %{http_code}", "--output", "/dev/null"])
            .arg(format!("http://{}/api/v1/pools", service.api()))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(curl("127.0.0.1"), "2 200");
    assert_eq!(curl("evil.example"), "2 403");
}

#[test]
fn change_from_another_site_is_rejected() {
    let service = serve(&[]);
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    service.client.post(&images, &json!({ "name": "a", "sizeBytes": 1 << 20 })).unwrap().expect(201);
    let host = service.api().to_string();
    let own = format!("http://{host}");
    let foreign: [&[(&str, &str)]; 7] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "null")],
        &[("origin", "http://evil.example")],
        &[("origin", "http://127.0.0.1:1")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
        &[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")],
    ];
    for headers in foreign {
        let headers: Vec<(&str, &str)> = [("host", host.as_str())].into_iter().chain(headers.iter().copied()).collect();
        for (method, target) in [
            ("DELETE", format!("{images}/a")),
            ("POST", format!("/api/v1/pools/{pool}/trash/purge")),
            ("POST", format!("{images}/a/flatten")),
            ("PUT", format!("{images}/a/snapshots/s")),
        ] {
            let answer = ask(&service, method, &target, &headers);
            assert_eq!((answer.status, &*answer.problem()), (403, "cross-site"), "{method} {target} {headers:?}");
        }
        assert_eq!(ask(&service, "GET", &images, &headers).status, 200, "what only reads is let through: {headers:?}");
    }
    let same = [("host", host.as_str()), ("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(ask(&service, "PUT", &format!("{images}/a/snapshots/s"), &same).status, 201);
    assert_eq!(ask(&service, "DELETE", &format!("{images}/a/snapshots/s"), &[("host", &host)]).status, 204);
}

#[test]
fn any_host_is_accepted_with_a_token() {
    let file = crate::support::TokensFile::new();
    let secret = file.add("viewer", "viewer", &[]);
    let service = file.serve();
    let headers = [("host", "storage.example.org"), ("authorization", &*format!("Bearer {secret}"))];
    assert_eq!(ask(&service, "GET", "/api/v1/pools", &headers).status, 200);
}
