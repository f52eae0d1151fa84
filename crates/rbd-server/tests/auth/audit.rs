//! The audit log.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::ceph::{Ceph, CephOptions, Daemon};
use testbed::daemon::Daemons as _;
use testbed::http::Connection;
use testbed::service::RbdServiceOptions;

use crate::support::{BINARY, Tenant, TokensFile, eventually, pool, serve};

/// The lines of a log; each must be whole.
fn lines(log: &str) -> Vec<Value> {
    assert!(log.is_empty() || log.ends_with('\n'), "{log}");
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn each_change_and_each_attempt_leaves_a_line() {
    let tenant = Tenant::new();
    let file = TokensFile::new();
    let operator = file.add("the operator", "operator", &[]);
    let viewer = file.add("the viewer", "viewer", &[]);
    let service = file.serve();
    let [operator, viewer] = [&operator, &viewer].map(|secret| service.client.with_token(secret));
    let images = format!("/api/v1/pools/{}/images", tenant.pool);
    let image = format!("{images}/made");
    let body = json!({ "name": "made", "sizeBytes": 1 << 20 });
    let json_headers =
        [("content-type", "application/json"), ("x-request-id", "my-1"), ("x-forwarded-for", "10.1.2.3")];
    let send =
        |client: &testbed::service::ApiClient| client.send("POST", &images, &json_headers, body.to_string().as_bytes());
    send(&operator).unwrap().expect(201);
    send(&operator).unwrap().expect(409);
    send(&viewer).unwrap().expect(403);
    send(&service.client).unwrap().expect(401);
    operator.get(&image).unwrap().expect(200);
    let secret = "hunter2";
    let begun = operator.delete(&format!("{image}?permanent=true&token={secret}")).unwrap();
    let begun = if begun.status == 400 { operator.delete(&format!("{image}?permanent=true")).unwrap() } else { begun };
    let operation = begun.expect(202).json()["id"].as_str().unwrap().to_owned();
    let log = service.output();
    let lines = lines(&log);
    let outcome = |line: &Value| (line["outcome"].as_str().unwrap().to_owned(), line["status"].as_u64().unwrap());
    let outcomes: Vec<_> = lines.iter().map(outcome).filter(|(_, status)| *status != 400).collect();
    assert_eq!(
        outcomes,
        [("done", 201), ("failed", 409), ("refused", 403), ("refused", 401), ("accepted", 202)]
            .map(|(outcome, status)| (outcome.to_owned(), status)),
        "{log}"
    );
    let first = &lines[0];
    first["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(first["from"].as_str().unwrap().starts_with("127.0.0.1:"));
    for (member, value) in [
        ("requestId", json!("my-1")),
        ("who", json!({ "name": "the operator", "method": "token" })),
        ("forwardedFor", json!("10.1.2.3")),
        ("endpoint", json!("createImage")),
        ("method", json!("POST")),
        ("path", json!(images)),
        ("target", json!({ "pool": tenant.pool })),
        ("name", json!("made")),
        ("location", json!(image)),
    ] {
        assert_eq!(first[member], value, "{first}");
    }
    assert_eq!(lines[1]["problem"], "exists");
    assert_eq!((&lines[2]["problem"], &lines[2]["who"]["name"]), (&json!("forbidden"), &json!("the viewer")));
    assert_eq!((&lines[3]["problem"], &lines[3]["who"]), (&json!("not-authenticated"), &Value::Null));
    let last = lines.last().unwrap();
    assert_eq!(last["operation"], operation);
    assert_eq!(last["query"], json!({ "permanent": "true" }));
    assert_eq!(last["target"], json!({ "pool": tenant.pool, "image": "made" }));
    assert!(!log.contains(secret) && !log.contains("sparrow_rbd_") && !log.contains("Bearer"), "{log}");
}

#[test]
fn copy_names_its_target_too() {
    let (from, to) = (Tenant::new(), pool());
    let service = serve(&[]);
    let copy = format!("/api/v1/pools/{}/images/a/copy", from.pool);
    service.client.post(&copy, &json!({ "name": "b", "pool": to })).unwrap().expect(202);
    let lines = lines(&service.output());
    assert_eq!(lines[0]["also"], json!([{ "pool": to, "namespace": "" }]));
    assert_eq!(lines[0]["who"], json!({ "name": "anonymous", "method": "none" }));
}

#[test]
fn hostile_names_stay_inside_their_line() {
    let service = serve(&[]);
    let hostile = "a\n{\"outcome\":\"done\"}\u{1b}[2J\u{2028}\"\\";
    let encoded = rbd_api::names::encode_segment(hostile);
    service.client.delete(&format!("/api/v1/pools/{encoded}/images/{encoded}")).unwrap();
    let body = json!({ "name": hostile }).to_string();
    let headers = [("content-type", "application/json"), ("x-forwarded-for", "\"},{\"")];
    service.client.send("POST", "/api/v1/pools", &headers, body.as_bytes()).unwrap().expect(400);
    let log = service.output();
    let lines = lines(&log);
    assert_eq!(lines.len(), 2, "{log}");
    assert_eq!(lines[0]["target"], json!({ "pool": hostile, "image": hostile }));
    assert_eq!(lines[1]["name"], hostile);
    assert_eq!(lines[1]["forwardedFor"], "\"},{\"");
    assert!(!log.contains('\u{1b}'));
}

#[test]
fn audit_lines_are_whole_and_complete_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    // Two replicas append to one file.
    let services = [(); 2].map(|()| serve(&["--audit-log", log.to_str().unwrap()]));
    let name = "n".repeat(200);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (client, name) = (services[thread % 2].client.clone(), &name);
            scope.spawn(move || {
                for number in 0..50 {
                    let path = format!("/api/v1/pools/none-{thread}-{number}?confirm={name}");
                    client.delete(&path).unwrap().expect(409);
                }
            });
        }
    });
    let lines = lines(&std::fs::read_to_string(&log).unwrap());
    let pools: std::collections::BTreeSet<&str> =
        lines.iter().map(|line| line["target"]["pool"].as_str().unwrap()).collect();
    assert_eq!((lines.len(), pools.len()), (400, 400));
    assert_eq!(services[0].output(), "");
}

#[test]
fn client_that_goes_away_leaves_a_line() {
    let ceph = Ceph::start(CephOptions::default()).unwrap();
    ceph.create_pool("p").unwrap();
    let service = RbdServiceOptions::new(BINARY, &ceph).start().unwrap();
    let frozen = ceph.frozen(Daemon::Osd).unwrap();
    let mut stream = Connection::open(service.api()).unwrap();
    let body = r#"{"name":"a","sizeBytes":1}"#;
    let head = "POST /api/v1/pools/p/images HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(service.output(), "");
    drop(stream);
    eventually(Duration::from_secs(5), "a line", || !service.output().is_empty());
    let lines = lines(&service.output());
    assert_eq!((&lines[0]["outcome"], &lines[0]["status"]), (&json!("unknown"), &Value::Null));
    assert_eq!((&lines[0]["name"], &lines[0]["endpoint"]), (&json!("a"), &json!("createImage")));
    drop(frozen);
}
