//! `--auth tokens`.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{BINARY, Tenant, TokensFile, call, ceph, eventually, every_call, metric, pool, replace};

#[test]
fn nobody_does_more_than_their_role() {
    let tenant = Tenant::new();
    let file = TokensFile::new();
    let secrets = ["viewer", "operator", "admin"].map(|role| file.add(role, role, &[]));
    let service = file.serve();
    let anonymous = &service.client;
    let [viewer, operator, admin] = secrets.map(|secret| anonymous.with_token(&secret));
    let pools = || ceph().ceph(&["osd", "pool", "ls"]).unwrap();
    let (before, pools_before) = (tenant.state(), pools());
    let rank = |role: &str| ["viewer", "operator", "admin"].iter().position(|known| *known == role).unwrap();
    let mut refused = [0; 3];
    for known in every_call(anonymous, &tenant.names()) {
        let answer = call(anonymous, &known);
        assert_eq!(answer.status, 401, "{known:?} without a token");
        for (client, role) in [(&viewer, "viewer"), (&operator, "operator")] {
            if rank(role) < rank(&known.role) {
                let answer = call(client, &known);
                assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{known:?} as {role}");
                assert!(answer.text().contains(&known.role), "{}", answer.text());
                refused[rank(role)] += 1;
            }
        }
        assert!(!known.changes() || known.role != "viewer", "a viewer may {known:?}");
        if known.role == "viewer" && !known.path.ends_with("/events") {
            let answer = call(&viewer, &known);
            assert!(![401, 403].contains(&answer.status), "{known:?}: {}", answer.text());
        }
    }
    assert!(refused[0] >= 10 && refused[1] >= 2, "{refused:?}");
    assert_eq!((tenant.state(), pools()), (before, pools_before));
    // The others are not refused, as nothing here is there to be harmed.
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
fn a_scope_is_the_end_of_the_world() {
    let (mine, other) = (Tenant::new(), Tenant::new());
    let file = TokensFile::new();
    let team = format!("{}/team", mine.pool);
    let pool = file.add("pool", "admin", &["--scope", &mine.pool]);
    let team = file.add("team", "operator", &["--scope", &team]);
    let service = file.serve();
    let [pool, team] = [pool, team].map(|secret| service.client.with_token(&secret));
    let list = |client: &testbed::service::Client| client.get("/api/v1/pools").unwrap().expect(200).json();
    for client in [&pool, &team] {
        assert_eq!(list(client)["Items"], json!([{ "name": mine.pool }]));
        // No call leads out, whatever it is.
        let before = other.state();
        for known in every_call(&service.client, &other.names()).iter().filter(|known| known.path.contains(&other.pool))
        {
            let answer = call(client, known);
            assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{known:?}");
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
fn a_scope_holds_for_places_that_the_path_does_not_name() {
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
    assert_eq!(other.state(), before);
    // An operation belongs to the place it works in.
    let begun = wide.post(&copy, &json!({ "name": "b", "pool": other.pool })).unwrap().expect(202);
    let location = begun.header("location").to_owned();
    let listed = |client: &testbed::service::Client| {
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

#[test]
fn the_file_is_read_anew_and_a_broken_one_changes_nothing() {
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
    for (index, wrong) in (1_u32..).zip(faults) {
        replace(&file.path(), &wrong);
        eventually(soon, "a broken file is seen", || metric(&service, failures) >= f64::from(index));
        assert!((metric(&service, broken) - 1.0).abs() < 0.1);
        assert_eq!((status(&first), status(&second)), (200, 200));
    }
    std::fs::remove_file(file.path()).unwrap();
    eventually(soon, "a missing file is seen", || metric(&service, failures) >= 4.0);
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
    assert!(metric(&service, broken).abs() < 0.1);
}

#[test]
fn a_token_ends_when_it_says() {
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
fn who_is_not_known_hears_how_to_be() {
    let file = TokensFile::new();
    let secret = file.add("known", "viewer", &[]);
    let service = file.serve();
    let client = &service.client;
    let answer = client.get("/api/v1/pools").unwrap().expect(401);
    assert_eq!(answer.problem(), "not-authenticated");
    assert_eq!(answer.header("content-type"), "application/problem+json; charset=utf-8");
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"sparrow-rbd\"");
    assert!(answer.json()["correction"].as_str().unwrap().contains("Authorization: Bearer"));
    let changed = format!("{}A", &secret[..secret.len() - 1]);
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
    assert!((counted - 5.0).abs() < 0.1, "{counted}");
    client.with_token(&secret).get("/api/v1/pools").unwrap().expect(200);
    assert!(!service.log().contains(&secret) && !service.output().contains(&secret));
}

#[test]
fn the_hash_of_a_password_opens_nothing() {
    let file = TokensFile::new();
    // SHA-256 of "password".
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let token = json!({ "name": "lazy", "role": "admin", "hash": format!("sha256:{hash}") });
    replace(&file.path(), &json!({ "tokens": [token] }).to_string());
    file.serve().client.with_token("password").get("/api/v1/pools").unwrap().expect(401);
}

#[test]
fn a_made_token_is_shown_once_and_kept_as_its_hash() {
    let make = |arguments: &[&str]| Command::new(BINARY).arg("token").args(arguments).output().unwrap();
    let output = make(&["--name", "a", "--role", "operator", "--scope", "p", "--scope", "q/n", "--scope", "q/"]);
    assert!(output.status.success());
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(secret.len(), "sparrow_rbd_".len() + 43);
    assert!(!made["entry"].to_string().contains(secret));
    assert_eq!(
        made["entry"]["scope"],
        json!([{ "pool": "p" }, { "pool": "q", "namespace": "n" }, { "pool": "q", "namespace": "" }])
    );
    // The entry, put into a file by hand, is the token.
    let file = TokensFile::new();
    replace(&file.path(), &json!({ "tokens": [made["entry"]] }).to_string());
    let client = file.serve().client.with_token(secret);
    drop(client);
    for wrong in [&["--name", "a"][..], &["--name", "a", "--role", "root"], &["--name", "", "--role", "viewer"]] {
        assert!(!make(wrong).status.success(), "{wrong:?}");
    }
    for scope in ["", "/n", "a/b/c"] {
        assert!(!make(&["--name", "a", "--role", "viewer", "--scope", scope]).status.success(), "{scope:?}");
    }
}

#[test]
fn data_is_not_for_viewers() {
    // Whatever reads or writes data asks for an operator, and no other reading call does.
    let file = TokensFile::new();
    let service = file.serve();
    let pool = pool();
    for known in every_call(&service.client, &[("pool", &pool)]).iter().filter(|known| !known.changes()) {
        assert_eq!(known.role == "viewer", known.tag != "data", "{known:?}");
    }
}
