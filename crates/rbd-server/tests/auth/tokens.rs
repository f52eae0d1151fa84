//! `--auth tokens`.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::http::Connection;

use crate::support::{BINARY, Tenant, TokensFile, call, ceph, eventually, every_call, metric, pool, rejected, replace};

#[test]
fn nobody_does_more_than_their_role() {
    let tenant = Tenant::new();
    let file = TokensFile::new();
    let secrets = ["viewer", "operator", "admin"].map(|role| file.add(role, role, &[]));
    let service = file.serve();
    let anonymous = &service.client;
    let [viewer, operator, admin] = secrets.map(|secret| anonymous.with_token(&secret));
    // Other suites make pools on the same cluster meanwhile; "x" is what a call here would make.
    let pools = || {
        let all = ceph().ceph(&["osd", "pool", "ls"]).unwrap();
        (all.lines().any(|name| name == "x"), all.lines().any(|name| name == tenant.pool))
    };
    let (before, pools_before) = (tenant.state(), pools());
    let rank = |role: &str| ["viewer", "operator", "admin"].iter().position(|known| *known == role).unwrap();
    let mut rejections = [0; 3];
    for known in every_call(anonymous, &tenant.names()) {
        let answer = call(anonymous, &known);
        assert_eq!(answer.status, 401, "{known:?} without a token");
        for (client, role) in [(&viewer, "viewer"), (&operator, "operator")] {
            if rank(role) < rank(&known.role) {
                let answer = call(client, &known);
                assert!(rejected(&known, &answer), "{known:?} as {role}: {}", answer.text());
                assert!(known.method == "HEAD" || answer.text().contains(&known.role), "{}", answer.text());
                rejections[rank(role)] += 1;
            }
        }
        assert!(!known.changes() || known.role != "viewer", "a viewer may {known:?}");
        if known.role == "viewer" && !known.path.ends_with("/events") {
            let answer = call(&viewer, &known);
            assert!(![401, 403].contains(&answer.status), "{known:?}: {}", answer.text());
        }
    }
    assert!(rejections[0] >= 10 && rejections[1] >= 2, "{rejections:?}");
    assert_eq!((tenant.state(), pools()), (before, pools_before));
    // The others are not rejected, as nothing here is there to be harmed.
    for known in every_call(anonymous, &[("pool", "no-such-pool")]) {
        let clients = [(&admin, "admin"), (&operator, "operator")];
        for (client, _) in clients.iter().filter(|(_, role)| rank(role) >= rank(&known.role)) {
            if known.id != "createPool" {
                let answer = call(client, &known);
                assert!(answer.status != 401 && answer.problem() != "forbidden", "{known:?}: {}", answer.text());
            }
        }
    }
    let made = format!("{}-made", tenant.pool);
    operator.post("/api/v1/pools", &json!({ "name": made })).unwrap().expect(403);
    admin.post("/api/v1/pools", &json!({ "name": made })).unwrap().expect(201);
    operator.delete(&format!("/api/v1/pools/{made}?confirm={made}")).unwrap().expect(403);
    admin.delete(&format!("/api/v1/pools/{made}?confirm={made}")).unwrap().expect(204);
}

#[test]
fn token_does_nothing_outside_its_scope() {
    let (mine, other) = (Tenant::new(), Tenant::new());
    let file = TokensFile::new();
    let team = format!("{}/team", mine.pool);
    let pool = file.add("pool", "admin", &["--scope", &mine.pool]);
    let team = file.add("team", "operator", &["--scope", &team]);
    let service = file.serve();
    let [pool, team] = [pool, team].map(|secret| service.client.with_token(&secret));
    let list = |client: &testbed::service::ApiClient| client.get("/api/v1/pools").unwrap().expect(200).json();
    for client in [&pool, &team] {
        assert_eq!(list(client)["Items"], json!([{ "name": mine.pool }]));
        // No call leads out, whatever it is.
        let before = other.state();
        for known in every_call(&service.client, &other.names()).iter().filter(|known| known.path.contains(&other.pool))
        {
            let answer = call(client, known);
            assert!(rejected(known, &answer), "{known:?}: {}", answer.text());
        }
        assert_eq!(other.state(), before);
        client.post("/api/v1/pools", &json!({ "name": "never-made" })).unwrap().expect(403);
        client.get("/api/v1/pools/no-such-pool").unwrap().expect(403);
    }
    let at = |place: &str| format!("/api/v1/pools/{}{place}", mine.pool);
    pool.get(&at("")).unwrap().expect(200);
    for place in ["/images/a", "/namespaces/team/images/a", "/operations"] {
        pool.get(&at(place)).unwrap().expect(200);
    }
    team.get(&at("/namespaces/team/images/a")).unwrap().expect(200);
    for place in ["", "/images", "/images/a", "/namespaces/team2/images", "/operations"] {
        team.get(&at(place)).unwrap().expect(403);
    }
    let image = json!({ "name": "mine", "sizeBytes": 1 << 20 });
    team.post(&at("/namespaces/team/images"), &image).unwrap().expect(201);
    team.post(&at("/images"), &image).unwrap().expect(403);
}

#[test]
fn scope_holds_for_places_that_the_path_does_not_name() {
    let (mine, other) = (Tenant::new(), Tenant::new());
    let file = TokensFile::new();
    let scoped = file.add("scoped", "operator", &["--scope", &mine.pool]);
    let foreign = file.add("foreign", "operator", &["--scope", &other.pool]);
    let wide = file.add("wide", "operator", &[]);
    let service = file.serve();
    let [scoped, foreign, wide] = [scoped, foreign, wide].map(|secret| service.client.with_token(&secret));
    let copy = format!("/api/v1/pools/{}/images/a/copy", mine.pool);
    let before = other.state();
    for body in [
        json!({ "name": "b", "pool": other.pool }),
        json!({ "name": "b", "pool": other.pool, "namespace": "team" }),
        json!({ "name": "b", "dataPool": other.pool }),
        json!({ "name": "b", "pool": "no-such-pool" }),
    ] {
        assert_eq!(scoped.post(&copy, &body).unwrap().expect(403).problem(), "forbidden", "{body}");
    }
    let images = format!("/api/v1/pools/{}/images", mine.pool);
    let clone = format!("{images}/a/snapshots/s/clone");
    for (path, body) in [
        (&clone, json!({ "name": "b", "pool": other.pool, "cloneFormat": 2 })),
        (&clone, json!({ "name": "b", "dataPool": other.pool, "cloneFormat": 2 })),
        (&images, json!({ "name": "b", "sizeBytes": 1, "dataPool": other.pool })),
    ] {
        assert_eq!(scoped.post(path, &body).unwrap().expect(403).problem(), "forbidden", "{path} {body}");
    }
    let put = json!({ "sizeBytes": 1, "dataPool": other.pool });
    scoped.put(&format!("{images}/b"), &put).unwrap().expect(403);
    assert_eq!(other.state(), before);
    // An operation belongs to the place it works in.
    let begun = wide.post(&copy, &json!({ "name": "b", "pool": other.pool })).unwrap().expect(202);
    let location = begun.header("location").to_owned();
    let listed = |client: &testbed::service::ApiClient| {
        let list = client.get("/api/v1/operations").unwrap().expect(200).json();
        list["Items"].as_array().unwrap().iter().any(|operation| location.ends_with(operation["id"].as_str().unwrap()))
    };
    assert!(!listed(&scoped) && listed(&foreign) && listed(&wide));
    for path in [location.clone(), format!("{location}?wait=10s"), format!("{location}/events")] {
        scoped.get(&path).unwrap().expect(403);
    }
    scoped.delete(&location).unwrap().expect(403);
    foreign.get(&format!("{location}?wait=30s")).unwrap().expect(200);
}

/// A body that the schema allows, with what it must have, and with `foreign` as the pool that the property names.
fn body(document: &Value, schema: &Value, property: &str, foreign: &str, mine: &str) -> Value {
    let schema = resolved(document, schema);
    if let Some(known) = schema["enum"].get(0).or(schema.get("const")) {
        return known.clone();
    }
    if let Some(properties) = schema["properties"].as_object() {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let wanted = |name: &str| required.iter().any(|known| known == name);
        let value = |name: &str, schema: &Value| {
            if name == property {
                json!(foreign)
            } else if is_pool(name) {
                json!(mine)
            } else {
                body(document, schema, property, foreign, mine)
            }
        };
        return properties
            .iter()
            .filter(|(name, schema)| {
                *name == property || wanted(name) || pools_in(document, schema).iter().any(|known| known == property)
            })
            .map(|(name, schema)| (name.clone(), value(name, schema)))
            .collect();
    }
    let kind = if schema["type"].is_array() { &schema["type"][0] } else { &schema["type"] };
    match kind.as_str() {
        Some("array") => json!([body(document, &schema["items"], property, foreign, mine)]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("object") => json!({}),
        _ => json!("b"),
    }
}

/// The schema behind references and `null`.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolved(document, document.pointer(&reference[1..]).unwrap());
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[choice].get(0) {
            return resolved(document, first);
        }
    }
    schema
}

fn is_pool(property: &str) -> bool {
    property == "pool" || property.ends_with("Pool")
}

/// The properties that name a pool.
fn pools_in(document: &Value, schema: &Value) -> Vec<String> {
    let schema = resolved(document, schema);
    let mut found = Vec::new();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if is_pool(name) { found.push(name.clone()) } else { found.extend(pools_in(document, schema)) }
    }
    if schema["items"].is_object() {
        found.extend(pools_in(document, &schema["items"]));
    }
    found
}

#[test]
fn request_body_cannot_name_a_place_outside_the_scope() {
    let (mine, other) = (Tenant::new(), Tenant::new());
    let file = TokensFile::new();
    let scoped = file.add("scoped", "admin", &["--scope", &mine.pool]);
    let service = file.serve();
    let client = service.client.with_token(&scoped);
    let document = service.client.get("/openapi.json").unwrap().expect(200).json();
    let before = other.state();
    let mut tried = 0;
    for known in every_call(&service.client, &mine.names()) {
        let operation = known.operation(&document);
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        for property in pools_in(&document, schema) {
            let body = body(&document, schema, &property, &other.pool, &mine.pool);
            let answer = client.json(&known.method, &known.path, &body).unwrap();
            assert_eq!(answer.problem(), "forbidden", "{known:?} with {body}: {}", answer.text());
            tried += 1;
        }
        for parameter in operation["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] == "query" && is_pool(name) {
                let path = format!("{}?{name}={}", known.path, other.pool);
                let answer = client.json(&known.method, &path, &json!({})).unwrap();
                assert_eq!(answer.problem(), "forbidden", "{known:?} with {name}: {}", answer.text());
                tried += 1;
            }
        }
    }
    assert!(tried >= 4, "{tried}");
    assert_eq!(other.state(), before);
}

#[test]
fn tokens_file_is_read_anew_and_a_broken_one_changes_nothing() {
    let file = TokensFile::new();
    let first = file.add("first", "viewer", &[]);
    let service = file.serve();
    let status = |secret: &str| service.client.with_token(secret).get("/api/v1/pools").unwrap().status;
    let soon = Duration::from_secs(4);
    assert_eq!(status(&first), 200);
    let second = file.add("second", "viewer", &[]);
    eventually(soon, "a new token is good", || status(&second) == 200);
    let good = std::fs::read_to_string(file.path()).unwrap();
    let broken = "sparrow_rbd_file_broken{file=\"tokens\"}";
    let failures = "sparrow_rbd_reload_failures_total{file=\"tokens\"}";
    let faults = [good.replace("\"role\"", "\"rôle\""), good[..good.len() / 2].to_owned(), String::new()];
    for (index, wrong) in (1..).zip(faults) {
        replace(&file.path(), &wrong);
        eventually(soon, "a broken file is seen", || metric(&service, failures) >= index);
        assert_eq!(metric(&service, broken), 1);
        assert_eq!((status(&first), status(&second)), (200, 200));
    }
    std::fs::remove_file(file.path()).unwrap();
    eventually(soon, "a missing file is seen", || metric(&service, failures) >= 4);
    assert_eq!((status(&first), status(&second)), (200, 200));
    assert!(service.log().contains("unknown field `rôle`"), "{}", service.log());
    // Withdrawn, by a file that comes through a symbolic link, as in a mounted Secret.
    let mut fewer: Value = serde_json::from_str(&good).unwrap();
    fewer["tokens"].as_array_mut().unwrap().remove(0);
    let target = file.path().with_file_name("target.json");
    std::fs::write(&target, fewer.to_string()).unwrap();
    std::os::unix::fs::symlink("target.json", file.path()).unwrap();
    eventually(soon, "a withdrawn token is not good", || status(&first) == 401);
    assert_eq!(status(&second), 200);
    assert_eq!(metric(&service, broken), 0);
}

#[test]
fn token_ends_when_it_says() {
    let file = TokensFile::new();
    let soon = (jiff::Timestamp::now() + Duration::from_secs(4)).to_string();
    let ending = file.add("ending", "viewer", &["--expires-at", &soon]);
    let ended = file.add("ended", "viewer", &["--expires-at", "2020-01-01T00:00:00Z"]);
    let service = file.serve();
    let get = |secret: &str| service.client.with_token(secret).get("/api/v1/pools").unwrap();
    get(&ending).expect(200);
    assert!(get(&ended).expect(401).json()["detail"].as_str().unwrap().contains("expired at 2020-01-01"));
    eventually(Duration::from_secs(8), "it has ended", || get(&ending).status == 401);
}

#[test]
fn unknown_caller_is_told_how_to_authenticate() {
    let file = TokensFile::new();
    let secret = file.add("known", "viewer", &[]);
    let service = file.serve();
    let client = &service.client;
    let answer = client.get("/api/v1/pools").unwrap().expect(401);
    assert_eq!(answer.problem(), "not-authenticated");
    assert_eq!(answer.header("content-type"), "application/problem+json; charset=utf-8");
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"sparrow-rbd\"");
    assert!(answer.json()["correction"].as_str().unwrap().contains("Authorization: Bearer"));
    let (start, end) = secret.split_at("sparrow_rbd_".len());
    let changed = format!("{start}{}{}", if end.starts_with('A') { 'B' } else { 'A' }, &end[1..]);
    for wrong in ["x", "sparrow_rbd_", &changed, &format!("{secret}x"), &"y".repeat(20_000)] {
        let answer = client.with_token(wrong).get("/api/v1/pools").unwrap().expect(401);
        assert_eq!(answer.problem(), "invalid-token", "{wrong}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"sparrow-rbd\", error=\"invalid_token\"");
    }
    // A token in the query is none, and is not repeated.
    let answer = client.get(&format!("/api/v1/pools?access_token={secret}")).unwrap().expect(401);
    assert!(!answer.text().contains(&secret));
    client.send("GET", "/api/v1/pools", &[("authorization", "Basic eDp5")], &[]).unwrap().expect(401);
    client.send("HEAD", "/api/v1/pools", &[], &[]).unwrap().expect(401);
    // The same everywhere, and so open to all.
    client.get("/openapi.json").unwrap().expect(200);
    let counted = metric(&service, "sparrow_rbd_authentication_failures_total{reason=\"invalid-token\"}");
    assert_eq!(counted, 5);
    client.with_token(&secret).get("/api/v1/pools").unwrap().expect(200);
    assert!(!service.log().contains(&secret) && !service.output().contains(&secret));
}

#[test]
fn hash_of_a_secret_that_was_not_made_here_admits_nobody() {
    let file = TokensFile::new();
    // SHA-256 of "password".
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let token = json!({ "name": "lazy", "role": "admin", "hash": format!("sha256:{hash}") });
    replace(&file.path(), &json!({ "tokens": [token] }).to_string());
    file.serve().client.with_token("password").get("/api/v1/pools").unwrap().expect(401);
}

#[test]
fn made_token_is_shown_once_and_kept_as_its_hash() {
    let make = |arguments: &[&str]| Command::new(BINARY).arg("token").args(arguments).output().unwrap();
    let output = make(&["--name", "a", "--role", "operator", "--scope", "p", "--scope", "q/n", "--scope", "q/"]);
    assert!(output.status.success());
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let secret = shown["secret"].as_str().unwrap();
    assert_eq!(secret.len(), "sparrow_rbd_".len() + 43);
    assert!(!shown["entry"].to_string().contains(secret));
    assert_eq!(
        shown["entry"]["scope"],
        json!([{ "pool": "p" }, { "pool": "q", "namespace": "n" }, { "pool": "q", "namespace": "" }])
    );
    // The entry, put into a file by hand, is the token.
    let file = TokensFile::new();
    replace(&file.path(), &json!({ "tokens": [shown["entry"]] }).to_string());
    let service = file.serve();
    let client = service.client.with_token(secret);
    client.get("/api/v1/pools").unwrap().expect(200);
    client.get("/api/v1/pools/other").unwrap().expect(403);
    for wrong in [&["--name", "a"][..], &["--name", "a", "--role", "root"], &["--name", "", "--role", "viewer"]] {
        assert!(!make(wrong).status.success(), "{wrong:?}");
    }
    for scope in ["", "/n", "a/b/c"] {
        assert!(!make(&["--name", "a", "--role", "viewer", "--scope", scope]).status.success(), "{scope:?}");
    }
}

#[test]
fn viewer_cannot_read_image_data() {
    // Whatever reads or writes data asks for an operator, and no other reading call does.
    let file = TokensFile::new();
    let service = file.serve();
    let pool = pool();
    for known in every_call(&service.client, &[("pool", &pool)]).iter().filter(|known| !known.changes()) {
        assert_eq!(known.role == "viewer", known.tag != "data", "{known:?}");
    }
}

#[test]
fn caller_rejected_while_sending_gets_the_reason() {
    let file = TokensFile::new();
    let service = file.serve();
    let mut connection = Connection::open(service.api()).unwrap();
    let mut rejected = |length: usize, more: &str, sent: usize| {
        let head = "POST /api/v1/pools HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json";
        write!(connection, "{head}\r\n{more}content-length: {length}\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        connection.exchange(vec![b'x'; sent]).unwrap().expect(401)
    };
    // A small body is read, and the connection goes on.
    for _ in 0..3 {
        assert!(rejected(1000, "", 1000).keeps_connection());
    }
    // Nobody is told to send a body that is not wanted.
    assert!(!rejected(1000, "expect: 100-continue\r\n", 0).keeps_connection());
}
