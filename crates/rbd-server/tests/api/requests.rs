//! What holds for every request, whatever it is about. The calls are those of the API description, for things that are not
//! there: a body or name that is rejected is rejected before anything is looked for.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use testbed::service::Answer;

use crate::support::{api, pool, service};

/// A call of the description.
struct Known {
    method: String,
    template: String,
    operation: Value,
}

impl Known {
    /// The path with these values for its parameters, and `none` for the others.
    fn path(&self, values: &[(&str, &str)]) -> String {
        let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => values.iter().find(|(known, _)| *known == name).map_or("none", |(_, value)| value).to_owned(),
            None => part.to_owned(),
        };
        self.template.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    fn parameters(&self, place: &str) -> Vec<String> {
        let parameters = self.operation["parameters"].as_array().unwrap();
        let here = parameters.iter().filter(|parameter| parameter["in"] == place);
        here.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
    }

    /// A body that is as it should be as far as the media type goes.
    fn send(&self, path: &str) -> Answer {
        match self.operation["requestBody"]["content"].as_object().map(|content| content.keys().next().unwrap()) {
            None => api().send(&self.method, path, &[], &[]).unwrap(),
            Some(media_type) => {
                let body: &[u8] = if media_type == "application/json" { b"{}" } else { b"x" };
                api().send(&self.method, path, &[("content-type", media_type)], body).unwrap()
            }
        }
    }
}

fn known() -> Vec<Known> {
    let document = api().get("/openapi.json").unwrap().expect(200).json();
    let mut known = Vec::new();
    for (template, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            known.push(Known { method, template: template.clone(), operation: operation.clone() });
        }
    }
    assert!(known.len() > 100);
    known
}

#[test]
fn body_must_be_an_object_with_each_field_once() {
    let json = &[("content-type", "application/json")];
    let mut tried = 0;
    for call in known() {
        if call.operation["requestBody"]["content"]["application/json"].is_null() {
            continue;
        }
        tried += 1;
        for (body, problem) in [
            ("[]", "invalid-field"),
            ("[1,true]", "invalid-field"),
            (r#"["a",1,{},null]"#, "invalid-field"),
            (r#"{"notAField":1}"#, "invalid-field"),
            (r#"{"name":"a","name":"b"}"#, "invalid-field"),
            ("null", "invalid-field"),
            ("\"a\"", "invalid-field"),
            ("{", "bad-request"),
            ("{} {}", "bad-request"),
            ("\u{0}", "bad-request"),
        ] {
            let answer = api().send(&call.method, &call.path(&[]), json, body.as_bytes()).unwrap();
            assert_eq!((answer.status, &*answer.problem()), (400, problem), "{} {} {body}", call.method, call.template);
        }
        for media_type in
            ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"]
        {
            let answer = api().send(&call.method, &call.path(&[]), &[("content-type", media_type)], b"{}").unwrap();
            assert_eq!((answer.status, &*answer.problem()), (415, "media-type"), "{} {}", call.method, call.template);
        }
    }
    assert!(tried > 20);
}

#[test]
fn shrink_needs_the_field_that_allows_it() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    api().post(&images, &json!({ "name": "a", "sizeBytes": 8 << 20 })).unwrap().expect(201);
    let answer = api().post(&format!("{images}/a/resize"), &json!([5_000_000, true])).unwrap().expect(400);
    assert_eq!(answer.json()["field"], "body");
    assert_eq!(api().get(&format!("{images}/a")).unwrap().json()["sizeBytes"], 8 << 20);
}

#[test]
fn image_data_must_be_bytes() {
    for (method, path) in [("PUT", "data"), ("POST", "diff")] {
        let path = format!("/api/v1/pools/none/images/none/{path}?");
        for media_type in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
            let path = if method == "PUT" { format!("{path}sizeBytes=1") } else { path.clone() };
            let answer = api().send(method, &path, &[("content-type", media_type)], b"x").unwrap();
            assert_eq!((answer.status, &*answer.problem()), (415, "media-type"), "{path} {media_type}");
        }
    }
}

#[test]
fn text_that_is_not_utf_8_is_rejected_with_a_problem() {
    for call in known() {
        let tries = call
            .parameters("path")
            .into_iter()
            .flat_map(|name| ["%ff", "a%c3", "%ed%a0%80", "%c0%af"].map(|bad| call.path(&[(&name, bad)])));
        let queries = call.parameters("query").into_iter().chain(["other".to_owned()]);
        let queries = queries.map(|name| format!("{}?{name}=%ff", call.path(&[])));
        let known_query = !call.parameters("query").is_empty();
        for path in tries.chain(queries.filter(|_| known_query)) {
            let answer = call.send(&path);
            assert_eq!(answer.status, 400, "{} {path}: {}", call.method, answer.text());
            if call.method != "HEAD" {
                // What is wrong with the body may be said first.
                let problem = answer.problem();
                assert!(["bad-request", "invalid-field"].contains(&&*problem), "{} {path}: {problem}", call.method);
            }
        }
    }
}

#[test]
fn overlong_name_is_not_found() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    api().post(&images, &json!({ "name": "a", "sizeBytes": 1 << 20 })).unwrap().expect(201);
    api().put(&format!("{images}/a/snapshots/s"), &json!(null)).unwrap().expect(201);
    api().put(&format!("/api/v1/pools/{pool}/groups/g"), &json!(null)).unwrap().expect(201);
    for call in known() {
        for name in call.parameters("path") {
            for length in [300, 1000, 3000, 9000] {
                let long = "x".repeat(length);
                let mut values = vec![(name.as_str(), long.as_str())];
                // What is before it is there.
                values.extend([("pool", pool.as_str()), ("image", "a"), ("snapshot", "s"), ("group", "g")]);
                let answer = call.send(&call.path(&values));
                assert!(
                    (400..500).contains(&answer.status),
                    "{} {} {name} {length}: {}",
                    call.method,
                    call.template,
                    answer.text()
                );
            }
        }
    }
}

#[test]
fn method_that_a_path_does_not_take_is_answered_with_those_that_it_does() {
    let all = ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    let known = known();
    for template in known.iter().map(|call| &call.template) {
        let taken: Vec<&str> =
            known.iter().filter(|call| call.template == *template).map(|call| call.method.as_str()).collect();
        for method in all.iter().filter(|method| !taken.contains(method)) {
            let path = Known { method: String::new(), template: template.clone(), operation: Value::Null }.path(&[]);
            let answer = api().send(method, &path, &[], &[]).unwrap().expect(405);
            assert_eq!(answer.problem(), "method-not-allowed");
            let allowed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
            assert!(taken.iter().all(|method| allowed.contains(method)), "{method} {path}: {allowed:?}");
        }
    }
}

#[test]
fn root_leads_to_the_documentation() {
    let index = api().get("/").unwrap().expect(200).json();
    assert_eq!((&index["docs"], &index["openapi"]), (&json!("/docs"), &json!("/openapi.json")));
    let behind = api().send("GET", "/", &[("x-forwarded-prefix", "/volume")], &[]).unwrap().expect(200).json();
    assert_eq!(behind["docs"], "/volume/docs");
    let missing = api().get("/api/v1/nothing").unwrap().expect(404).json();
    assert!(missing["correction"].as_str().unwrap().contains("/docs"), "{missing}");
}

#[test]
fn request_says_once_which_host_it_is_for() {
    let ask = |head: &str| testbed::http::exchange(service().api(), head).unwrap();
    let close = "connection: close\r\n\r\n";
    let good = ask(&format!("GET /api/v1/pools HTTP/1.1\r\nhost: 127.0.0.1\r\n{close}"));
    assert_eq!(good.status, 200);
    for hosts in
        ["", "host: 127.0.0.1\r\nhost: 127.0.0.1\r\n", "host: \r\n", "host: a b\r\n", "host: a/b\r\n", "host: u@a\r\n"]
    {
        for path in ["/api/v1/pools", "/docs", "/openapi.json", "/nothing"] {
            let answer = ask(&format!("GET {path} HTTP/1.1\r\n{hosts}{close}"));
            assert_eq!((answer.status, &*answer.problem()), (400, "bad-request"), "{path} {hosts:?}");
        }
    }
    let two = ask(&format!("GET http://localhost/api/v1/pools HTTP/1.1\r\nhost: 127.0.0.1\r\n{close}"));
    assert_eq!(two.status, 400);
    let old = ask("GET /api/v1/pools HTTP/1.0\r\n\r\n");
    assert_eq!(old.status, 200, "HTTP/1.0 need not say");
}

#[test]
fn metrics_come_in_the_form_that_the_reader_asks_for() {
    let pool = pool();
    let data = format!("/api/v1/pools/{pool}/images/a/data");
    let bytes = vec![7; 1 << 20];
    api().send("PUT", &data, &[], &bytes).unwrap().expect(201);
    api().get(&data).unwrap().expect(200);
    let admin = service().admin_client();
    let text = admin.get("/metrics").unwrap().expect(200);
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = text.text();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let sample = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| sample.strip_suffix(end)).unwrap_or(sample);
        assert!(
            text.contains(&format!("# HELP {family} ")) || text.contains(&format!("# HELP {sample} ")),
            "{sample} has no HELP"
        );
    }
    assert!(!text.contains("# EOF"), "{text}");
    let value = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.unwrap_or_else(|| panic!("{name} is missing: {text}")).parse().unwrap()
    };
    for direction in ["in", "out"] {
        assert!(value(&format!("sparrow_rbd_stream_bytes_total{{direction=\"{direction}\"}}")) >= 1 << 20);
    }
    assert!(text.contains("sparrow_rbd_ceph_errors_total{errno=\""), "{text}");
    let accept = &[("accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3")];
    let open = admin.send("GET", "/metrics", accept, &[]).unwrap().expect(200);
    assert!(open.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.text().ends_with("# EOF\n"));
}

#[test]
fn bodies_in_other_encodings_and_charsets_are_rejected() {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    let body = br#"{"name":"a","sizeBytes":1048576}"#;
    for headers in [
        &[("content-type", "application/json"), ("content-encoding", "gzip")][..],
        &[("content-type", "application/json; charset=utf-16")],
        &[("content-type", "application/json; charset=\"iso-8859-1\"")],
    ] {
        let answer = api().send("POST", &images, headers, body).unwrap().expect(415);
        assert_eq!(answer.problem(), "media-type");
    }
    let headers = &[("content-type", "application/json; charset=UTF-8"), ("content-encoding", "identity")];
    api().send("POST", &images, headers, body).unwrap().expect(201);
    let gzip = &[("content-type", "application/octet-stream"), ("content-encoding", "gzip")];
    let answer = api().send("PUT", &format!("{images}/b/data"), gzip, b"\x1f\x8b").unwrap().expect(415);
    assert_eq!(answer.problem(), "media-type");
    assert_eq!(api().get(&format!("{images}/b")).unwrap().status, 404);
}

#[test]
fn change_under_a_condition_that_cannot_be_told_is_not_made() {
    let pool = pool();
    let path = format!("/api/v1/pools/{pool}/images/a");
    api().put(&path, &json!({ "sizeBytes": 1 << 20 })).unwrap().expect(201);
    let json = ("content-type", "application/json");
    for (condition, status, problem) in [
        (("if-match", "\"zz\""), 412, "precondition-failed"),
        (("if-none-match", "*"), 412, "precondition-failed"),
        (("if-unmodified-since", "Sat, 29 Oct 1994 19:43:31 GMT"), 412, "precondition-failed"),
        (("expect", "foo"), 417, "expectation-failed"),
    ] {
        let body = br#"{"sizeBytes":2097152}"#;
        let answer = api().send("POST", &format!("{path}/resize"), &[json, condition], body).unwrap().expect(status);
        assert_eq!(answer.problem(), problem);
    }
    assert_eq!(api().get(&path).unwrap().expect(200).json()["sizeBytes"], 1 << 20);
}

/// The answer to a request as it goes over the wire, to the end of the connection.
fn raw(request: &str) -> String {
    let mut connection = std::net::TcpStream::connect(service().api()).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn body_with_two_lengths_never_leaves_a_second_request() {
    let head = "POST /api/v1/pools HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let rest = "0\r\n\r\nGET /api/v1/cluster HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let both = raw(&format!("{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{rest}"));
    assert!(both.starts_with("HTTP/1.1 400 ") && both.contains("bad-request"), "{both}");
    for order in ["content-length: 5\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"]
    {
        let answers = raw(&format!("{head}{order}\r\n\r\n{rest}"));
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{order}: {answers}");
        assert!(answers.to_lowercase().contains("connection: close"), "{order}: {answers}");
    }
    let twice = "GET /api/v1/pools HTTP/1.1\r\nhost: localhost\r\nrange: bytes=0-1\r\nrange: bytes=2-3\r\n\
                 connection: close\r\n\r\n";
    assert!(raw(twice).starts_with("HTTP/1.1 400 "));
}

#[test]
fn head_that_is_not_http_is_answered_with_a_document() {
    let get = "GET /api/v1/pools HTTP/1.1\r\nhost: localhost\r\n";
    let many: String = (0..120).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (request, status, problem) in [
        (format!("{get}content-length: 1\r\ncontent-length: 2\r\n\r\n"), 400, "bad-request"),
        (format!("{get}content-length: -1\r\n\r\n"), 400, "bad-request"),
        ("GET / HTTP/1.1\r\nhost\r\n\r\n".to_owned(), 400, "bad-request"),
        (format!("{get}{many}\r\n"), 431, "head-too-large"),
        (format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(70_000)), 431, "head-too-large"),
    ] {
        let answer = raw(&request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains("application/problem+json"), "{head}");
        let document: Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["type"], format!("urn:sparrow:problem:{problem}"), "{document}");
    }
}
