//! `--auth kubernetes`, on a real API server, with the very roles that the operator's page shows.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::daemon::Daemons as _;
use testbed::kube::{ApiServer, Daemon};
use testbed::service::{ApiClient, RbdService, RbdServiceOptions};

use crate::support::{BINARY, Tenant, call, ceph, eventually, every_call, metric, rejected};

/// The manifests of the operator's page.
fn manifests() -> String {
    let page = include_str!("../../../../docs/operating/authentication.md");
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).map(|block| block.split_once("```").unwrap().0).collect();
    assert!(blocks.len() >= 3);
    blocks.join("---\n")
}

/// The API server that tests share, with the manifests applied.
fn shared() -> &'static ApiServer {
    static PREPARED: OnceLock<&ApiServer> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let server = ApiServer::shared().unwrap();
        prepare(server);
        server
    })
}

fn prepare(server: &ApiServer) {
    server.apply(&manifests()).unwrap();
    server.create_service_account("sparrow", "sparrow-rbd").unwrap();
}

/// The service, with the rights of its own service account and no more.
fn serve(server: &ApiServer, arguments: &[&str]) -> RbdService {
    let token = server.service_account_token("sparrow", "sparrow-rbd", &[]).unwrap();
    let kubeconfig = server.kubeconfig_for_token(&token).unwrap();
    RbdServiceOptions::new(BINARY, ceph())
        .arguments(&["--auth", "kubernetes", "--kubeconfig", kubeconfig.to_str().unwrap()])
        .arguments(arguments)
        .start()
        .unwrap()
}

/// A service account with its token for the service, and with a role if one is named.
fn account(server: &ApiServer, name: &str, role: Option<&str>) -> String {
    server.create_service_account("default", name).unwrap();
    if let Some(role) = role {
        bind(server, name, role);
    }
    server.service_account_token("default", name, &["sparrow-rbd"]).unwrap()
}

fn bind(server: &ApiServer, name: &str, role: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": format!("test-{name}-{role}") },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": "default" }],
    });
    server.apply(&binding.to_string()).unwrap();
}

fn pools(client: &ApiClient) -> Vec<String> {
    let list = client.get("/api/v1/pools").unwrap().expect(200).json();
    list["Items"].as_array().unwrap().iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn documented_kubernetes_roles_are_those_of_the_api() {
    let server = shared();
    let service = serve(server, &[]);
    let with = |name: &str, role: Option<&str>| service.client.with_token(&account(server, name, role));
    let viewer = with("viewer", Some("sparrow-rbd-viewer"));
    let operator = with("operator", Some("sparrow-rbd-operator"));
    let admin = with("admin", Some("sparrow-rbd-admin"));
    let nobody = with("nobody", None);
    let tenant = Tenant::new();
    // A finished operation, for the calls that take one.
    let copy = format!("/api/v1/pools/{}/images/a/copy", tenant.pool);
    let begun = operator.post(&copy, &json!({ "name": "b" })).unwrap().expect(202).json();
    let operation = begun["id"].as_str().unwrap().to_owned();
    operator.get(&format!("/api/v1/operations/{operation}?wait=60s")).unwrap().expect(200);
    let mut names = tenant.names().to_vec();
    names.push(("operation", &operation));
    let before = tenant.state();
    let rank = |role: &str| ["viewer", "operator", "admin"].iter().position(|known| *known == role).unwrap();
    for known in every_call(&service.client, &names) {
        assert_eq!(call(&service.client, &known).status, 401, "{known:?}");
        for (client, mine) in [(&viewer, Some("viewer")), (&operator, Some("operator")), (&nobody, None)] {
            let allowed = mine.is_some_and(|mine| rank(mine) >= rank(&known.role));
            // What an operator may change is not tried: it would be.
            if !allowed {
                let answer = call(client, &known);
                // Lists of what may be seen have nothing to reject.
                let empty = known.id == "listOperations";
                assert!(rejected(&known, &answer) || empty, "{known:?} as {mine:?}: {}", answer.text());
                assert!(!empty || answer.json()["Items"] == json!([]), "{}", answer.text());
            } else if !known.changes() {
                let answer = call(client, &known);
                assert!(![401, 403].contains(&answer.status), "{known:?} as {mine:?}: {}", answer.text());
            }
        }
    }
    assert_eq!(tenant.state(), before);
    // An operator may call whatever an operator may call.
    for known in every_call(&service.client, &[("pool", "no-such-pool")]) {
        if known.role != "admin" {
            let answer = call(&operator, &known);
            assert!(![401, 403].contains(&answer.status), "{known:?}: {}", answer.text());
        }
    }
    let made = format!("{}-made", tenant.pool);
    admin.post("/api/v1/pools", &json!({ "name": made })).unwrap().expect(201);
    admin.delete(&format!("/api/v1/pools/{made}?confirm={made}")).unwrap().expect(204);
    let log = service.output();
    let line = log.lines().find(|line| line.contains(&made)).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["who"], json!({ "name": "system:serviceaccount:default:admin", "method": "kubernetes" }));
    assert!(!log.contains("eyJ"), "a token is in the audit log");
}

#[test]
fn resource_names_are_pools_and_namespaces() {
    let server = shared();
    // The page's team has `kube/team-a`.
    ceph().create_pool("kube").unwrap();
    ceph().rbd(&["namespace", "create", "kube/team-a"]).unwrap();
    ceph().rbd(&["namespace", "create", "kube/team-b"]).unwrap();
    let tenant = Tenant::new();
    let service = serve(server, &[]);
    let team = service.client.with_token(&account(server, "team-a", None));
    assert_eq!(pools(&team), ["kube"]);
    let image = json!({ "name": "a", "sizeBytes": 1 << 20 });
    let images = |place: &str| format!("/api/v1/pools/{place}/images");
    team.post(&images("kube/namespaces/team-a"), &image).unwrap().expect(201);
    team.get(&images("kube/namespaces/team-a")).unwrap().expect(200);
    for place in ["kube", "kube/namespaces/team-b", &tenant.pool, &format!("{}/namespaces/team", tenant.pool)] {
        for answer in [team.get(&images(place)).unwrap(), team.post(&images(place), &image).unwrap()] {
            assert_eq!(answer.expect(403).problem(), "forbidden", "{place}");
        }
    }
    let answer = team.post(&images("kube/namespaces/team-b"), &image).unwrap();
    let correction = answer.json()["correction"].as_str().unwrap().to_owned();
    assert!(correction.contains(r#"resourceNames ["kube/team-b"]"#), "{correction}");
    let copy = format!("{}/a/copy", images("kube/namespaces/team-a"));
    team.post(&copy, &json!({ "name": "b", "pool": tenant.pool })).unwrap().expect(403);
    let begun = team.post(&copy, &json!({ "name": "b" })).unwrap().expect(202);
    team.get(&format!("{}?wait=30s", begun.header("location"))).unwrap().expect(200);
    // A rule for a whole pool is for its namespaces too, and for no other pool.
    let rule = |resource: &str| {
        json!({
            "apiGroups": ["rbd.sparrow.internal"], "resources": [resource], "verbs": ["*"],
            "resourceNames": [tenant.pool],
        })
    };
    let one_pool = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "test-one-pool" }, "rules": [rule("images"), rule("pools")],
    });
    server.apply(&one_pool.to_string()).unwrap();
    let owner = service.client.with_token(&account(server, "owner", Some("test-one-pool")));
    assert_eq!(pools(&owner), [tenant.pool.as_str()]);
    for place in ["", "/namespaces/team"] {
        owner.get(&images(&format!("{}{place}", tenant.pool))).unwrap().expect(200);
    }
    owner.get(&images("kube")).unwrap().expect(403);
    owner.post("/api/v1/pools", &json!({ "name": "never-made" })).unwrap().expect(403);
}

#[test]
fn token_must_be_for_this_service() {
    let server = shared();
    let service = serve(server, &[]);
    let good = account(server, "audience", Some("sparrow-rbd-viewer"));
    let get = |token: &str| service.client.with_token(token).get("/api/v1/pools").unwrap();
    get(&good).expect(200);
    for audiences in [&[][..], &["another"]] {
        let token = server.service_account_token("default", "audience", audiences).unwrap();
        let answer = get(&token).expect(401);
        assert_eq!(answer.problem(), "invalid-token");
        assert!(answer.json()["correction"].as_str().unwrap().contains("--audience sparrow-rbd"), "{}", answer.text());
    }
    get("not.a.token").expect(401);
    // The signature decides: neither another payload nor no signature will do.
    let mut parts: Vec<&str> = good.split('.').collect();
    parts[2] = "";
    get(&parts.join(".")).expect(401);
    let own = serve(server, &["--audience", "another"]);
    let another = server.service_account_token("default", "audience", &["another"]).unwrap();
    own.client.with_token(&another).get("/api/v1/pools").unwrap().expect(200);
    own.client.with_token(&good).get("/api/v1/pools").unwrap().expect(401);
}

#[test]
fn answers_are_kept_for_ten_seconds_and_no_longer() {
    let server = shared();
    let service = serve(server, &[]);
    let tenant = Tenant::new();
    let token = account(server, "deleted", Some("sparrow-rbd-viewer"));
    let path = format!("/api/v1/pools/{}/images", tenant.pool);
    let status = |token: &str| service.client.with_token(token).get(&path).unwrap().status;
    assert_eq!(status(&token), 200);
    let reviews = || {
        ["token", "access"].map(|review| {
            metric(
                &service,
                &format!("sparrow_rbd_kubernetes_reviews_total{{review=\"{review}\",outcome=\"allowed\"}}"),
            )
        })
    };
    let before = reviews();
    let asked = Instant::now();
    for _ in 0..50 {
        assert_eq!(status(&token), 200);
    }
    assert!(asked.elapsed() > Duration::from_secs(9) || reviews() == before, "asked anew for each request");
    // Deleted: over in ten seconds at most.
    let (code, body) = server.request("DELETE", "/api/v1/namespaces/default/serviceaccounts/deleted", None).unwrap();
    assert_eq!(code, 200, "{body}");
    eventually(Duration::from_secs(12), "a deleted account is rejected", || status(&token) == 401);
    // A new right works soon.
    let late = account(server, "late", None);
    assert_eq!(status(&late), 403);
    bind(server, "late", "sparrow-rbd-viewer");
    eventually(Duration::from_secs(4), "a new right works", || status(&late) == 200);
}

#[test]
fn api_server_that_is_away_allows_nothing_new() {
    let server = ApiServer::start().unwrap();
    prepare(&server);
    let service = serve(&server, &["--auth-outage", "30s"]);
    let known = account(&server, "known", Some("sparrow-rbd-viewer"));
    let unknown = account(&server, "unknown", Some("sparrow-rbd-admin"));
    let get = |token: &str| service.client.with_token(token).get("/api/v1/pools").unwrap();
    let unavailable = |token: &str, within: Duration| {
        let started = Instant::now();
        let answer = get(token).expect(503);
        assert!(started.elapsed() < within, "{:?}", started.elapsed());
        assert_eq!(answer.problem(), "authentication-unavailable");
        assert!(!answer.header("retry-after").is_empty());
        assert!(answer.json()["cause"].is_string(), "{}", answer.text());
    };
    get(&known).expect(200);
    let asked = Instant::now();
    let frozen = server.frozen(Daemon::ApiServer).unwrap();
    unavailable(&unknown, Duration::from_millis(3500));
    // Many at once wait no longer.
    std::thread::scope(|scope| {
        for number in 0..100 {
            let token = format!("a.b.{number}");
            scope.spawn(move || unavailable(&token, Duration::from_secs(4)));
        }
    });
    // What was allowed still is: past the 10 seconds for which nobody would ask, and not all wait for reviews that fail.
    std::thread::sleep(Duration::from_secs(11).saturating_sub(asked.elapsed()));
    get(&known).expect(200);
    let again = Instant::now();
    get(&known).expect(200);
    assert!(again.elapsed() < Duration::from_secs(1), "{:?}", again.elapsed());
    // What was not allowed before is not allowed now.
    let new = service.client.with_token(&known).delete("/api/v1/pools/none").unwrap();
    assert_eq!(new.expect(503).problem(), "authentication-unavailable");
    // Nor is what was known believed for ever.
    std::thread::sleep(Duration::from_secs(31).saturating_sub(asked.elapsed()));
    unavailable(&known, Duration::from_millis(3500));
    // A change that was tried meanwhile is in the audit log.
    service.client.with_token(&unknown).post("/api/v1/pools", &json!({ "name": "x" })).unwrap().expect(503);
    assert!(service.output().contains("\"problem\":\"authentication-unavailable\""), "{}", service.output());
    drop(frozen);
    eventually(Duration::from_secs(5), "it is asked again", || get(&unknown).status == 200);
    server.stop_daemon(Daemon::ApiServer).unwrap();
    unavailable("a.b.c", Duration::from_millis(3500));
    server.start_daemon(Daemon::ApiServer).unwrap();
    eventually(Duration::from_secs(15), "it is found again", || get(&unknown).status == 200);
    assert!(metric(&service, "sparrow_rbd_kubernetes_reviews_total{review=\"token\",outcome=\"error\"}") >= 3);
}

#[test]
fn service_that_may_not_ask_says_so() {
    let server = shared();
    server.create_service_account("sparrow", "unbound").unwrap();
    let token = server.service_account_token("sparrow", "unbound", &[]).unwrap();
    let kubeconfig = server.kubeconfig_for_token(&token).unwrap();
    let service = RbdServiceOptions::new(BINARY, ceph())
        .arguments(&["--auth", "kubernetes", "--kubeconfig", kubeconfig.to_str().unwrap()])
        .start()
        .unwrap();
    let answer = service.client.with_token("a.b.c").get("/api/v1/pools").unwrap().expect(503);
    assert!(answer.json()["correction"].as_str().unwrap().contains("system:auth-delegator"), "{}", answer.text());
}
