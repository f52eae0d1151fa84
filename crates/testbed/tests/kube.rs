//! The API server of the testbed, as tests use it.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, but not in their helpers")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::{Value, json};
use testbed::daemon::Daemons as _;
use testbed::kube::{ApiServer, Daemon, Programs, available};

fn get(server: &ApiServer, path: &str) -> Value {
    let (status, body) = server.request("GET", path, None).unwrap();
    assert_eq!(status, 200, "GET {path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn create(server: &ApiServer, path: &str, object: &Value) -> Value {
    let (status, body) = server.request("POST", path, Some(&object.to_string())).unwrap();
    assert_eq!(status, 201, "POST {path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// The status of a `TokenReview`.
fn review(server: &ApiServer, token: &str, audiences: &[&str]) -> Value {
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": token, "audiences": audiences },
    });
    create(server, "/apis/authentication.k8s.io/v1/tokenreviews", &request)["status"].clone()
}

/// Whether a `SubjectAccessReview` allows `user` to do `verb` on `images` of `rbd.sparrow.dev`, which nothing serves.
fn allowed(server: &ApiServer, user: &str, verb: &str) -> bool {
    let request = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "resourceAttributes": { "group": "rbd.sparrow.dev", "resource": "images", "verb": verb, "name": "rbd" },
        },
    });
    let answer = create(server, "/apis/authorization.k8s.io/v1/subjectaccessreviews", &request);
    answer["status"]["allowed"].as_bool().unwrap()
}

/// The processes whose command line names something in `dir`.
fn processes_of(dir: &Path) -> Vec<String> {
    let inside = format!("{}/", dir.display());
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&inside))
        .collect()
}

#[test]
fn api_server_is_ready_and_of_the_pinned_version() {
    let server = ApiServer::shared().unwrap();
    assert_eq!(server.request("GET", "/readyz", None).unwrap(), (200, "ok".into()));
    if env::var_os("KUBEBUILDER_ASSETS").is_none() {
        let version = get(server, "/version")["gitVersion"].clone();
        let required = format!("k8s.io/kubernetes {}\n", version.as_str().unwrap());
        assert!(include_str!("../kube/kubernetes/go.mod").contains(&required), "{version}");
    }
    let kubeconfig: Value = serde_json::from_str(&fs::read_to_string(server.admin_kubeconfig()).unwrap()).unwrap();
    assert_eq!(kubeconfig["clusters"][0]["cluster"]["server"], server.url());
}

#[test]
fn token_authenticates_for_its_audience_only() {
    let server = ApiServer::shared().unwrap();
    server.create_service_account("tokens", "console").unwrap();
    let token = server.service_account_token("tokens", "console", &["sparrow-rbd"]).unwrap();

    let status = review(server, &token, &["sparrow-rbd"]);
    assert_eq!(status["authenticated"], true, "{status}");
    assert_eq!(status["user"]["username"], "system:serviceaccount:tokens:console");
    assert_eq!(status["audiences"], json!(["sparrow-rbd"]));

    assert_ne!(review(server, &token, &["other"])["authenticated"], true);
    assert_ne!(review(server, &format!("{token}x"), &["sparrow-rbd"])["authenticated"], true);

    // One not seen before: the API server remembers for ten seconds that it accepted a token.
    let unseen = server.service_account_token("tokens", "console", &["sparrow-rbd"]).unwrap();
    let (status, _) = server.request("DELETE", "/api/v1/namespaces/tokens/serviceaccounts/console", None).unwrap();
    assert_eq!(status, 200);
    assert_ne!(review(server, &unseen, &["sparrow-rbd"])["authenticated"], true, "its account is gone");
}

#[test]
fn access_to_a_virtual_resource_follows_rbac() {
    let server = ApiServer::shared().unwrap();
    server.create_service_account("roles", "reader").unwrap();
    let user = "system:serviceaccount:roles:reader";
    assert!(!allowed(server, user, "get"));

    server
        .apply(
            "
# A comment alone is a document, too.
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: image-reader
rules:
  - apiGroups: [rbd.sparrow.dev]
    resources: [images]
    verbs: [get, list]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: image-reader
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: image-reader
subjects:
  - kind: ServiceAccount
    name: reader
    namespace: roles
",
        )
        .unwrap();
    // The authorizer reads roles by a watch.
    let started = Instant::now();
    while !allowed(server, user, "get") {
        assert!(started.elapsed() < Duration::from_secs(10), "the role has no effect");
        sleep(Duration::from_millis(50));
    }
    assert!(allowed(server, user, "list"));
    assert!(!allowed(server, user, "delete"));
    assert!(!allowed(server, "system:serviceaccount:roles:other", "get"));
}

#[test]
fn kubeconfig_of_a_token_acts_as_its_service_account() {
    let server = ApiServer::shared().unwrap();
    server.create_service_account("clients", "nobody").unwrap();
    let token = server.service_account_token("clients", "nobody", &[]).unwrap();
    let path = server.kubeconfig_for_token(&token).unwrap();
    let config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let cluster = &config["clusters"][0]["cluster"];
    assert_eq!(config["users"][0]["user"]["token"], token);

    let status = |method: &str, path: &str, body: &str| {
        let output = Command::new("curl")
            .args(["-q", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "-X", method, "--data", body])
            .args(["-H", &format!("Authorization: Bearer {token}"), "-H", "Content-Type: application/json", "--cacert"])
            .arg(cluster["certificate-authority"].as_str().unwrap())
            .arg(format!("{}{path}", cluster["server"].as_str().unwrap()))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let who = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
    assert_eq!(status("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", who), "201", "known");
    assert_eq!(status("GET", "/api/v1/secrets", ""), "403", "but with no right");
}

#[test]
fn apply_creates_and_changes_objects_and_waits_for_new_kinds() {
    let server = ApiServer::shared().unwrap();
    let service = |port: u16| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{ports: [{{name: http, port: {port}}}]}}\n"
        )
    };
    server.apply(&service(80)).unwrap();
    server.apply(&service(8080)).unwrap();
    let ports = get(server, "/api/v1/namespaces/default/services/web")["spec"]["ports"].clone();
    assert_eq!(ports.as_array().unwrap().len(), 1, "{ports}");
    assert_eq!(ports[0]["port"], 8080);

    server
        .apply(
            "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: birds.testbed.sparrow.dev}
spec:
  group: testbed.sparrow.dev
  scope: Namespaced
  names: {plural: birds, singular: bird, kind: Bird}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {grams: {type: integer}}}}
---
apiVersion: testbed.sparrow.dev/v1
kind: Bird
metadata: {name: sparrow}
spec: {grams: 30}
",
        )
        .unwrap();
    let bird = get(server, "/apis/testbed.sparrow.dev/v1/namespaces/default/birds/sparrow");
    assert_eq!(bird["spec"]["grams"], 30);

    let (status, body) = server
        .request("PATCH", "/api/v1/namespaces/default/services/web", Some(r#"{"metadata":{"labels":{"a":"b"}}}"#))
        .unwrap();
    assert_eq!(status, 200, "{body}");
    let rejected = server.apply(&service(0)).unwrap_err();
    assert!(format!("{rejected:#}").contains("spec.ports[0].port"), "{rejected:#}");
}

#[test]
fn restarted_api_server_has_what_was_stored() {
    let server = ApiServer::start().unwrap();
    server.create_service_account("kept", "account").unwrap();
    let token = server.service_account_token("kept", "account", &["sparrow-rbd"]).unwrap();
    let url = server.url().to_owned();

    server.stop_daemon(Daemon::ApiServer).unwrap();
    assert_eq!(server.pid(Daemon::ApiServer).unwrap(), None);
    assert!(server.request("GET", "/readyz", None).is_err());
    server.start_daemon(Daemon::ApiServer).unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(review(&server, &token, &["sparrow-rbd"])["authenticated"], true);

    server.kill_daemon(Daemon::Etcd).unwrap();
    server.start_daemon(Daemon::Etcd).unwrap();
    get(&server, "/api/v1/namespaces/kept/serviceaccounts/account");

    {
        let _frozen = server.frozen(Daemon::ApiServer).unwrap();
        let address = url.trim_start_matches("https://").parse().unwrap();
        let connection = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(2));
        assert!(connection.is_ok(), "a frozen server still has its port: {connection:?}");
        let asked = Command::new("curl").args(["-q", "-sk", "--noproxy", "*", "-m", "1"]).arg(&url).status().unwrap();
        assert_eq!(asked.code(), Some(28), "curl's status for an operation that timed out");
    }
    assert_eq!(server.request("GET", "/readyz", None).unwrap().0, 200);
}

#[test]
fn service_addresses_are_of_the_chosen_range() {
    let server = ApiServer::start_with_services("127.64.0.0/16").unwrap();
    let path = "/api/v1/namespaces/default/services";
    for (name, asked) in [("any", None), ("this", Some("127.64.0.201"))] {
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": { "ports": [{ "port": 80 }] },
        });
        if let Some(asked) = asked {
            service["spec"]["clusterIP"] = asked.into();
        }
        let address = create(&server, path, &service)["spec"]["clusterIP"].as_str().unwrap().to_owned();
        assert!(address.starts_with("127.64."), "{address}");
        assert!(asked.is_none_or(|asked| asked == address), "{address}");
    }
}

#[test]
fn attached_handle_cannot_end_the_api_server() {
    let server = ApiServer::shared().unwrap();
    let attached = ApiServer::attach(server.dir()).unwrap();
    assert_eq!(attached.request("GET", "/readyz", None).unwrap().0, 200);
    assert!(attached.stop_daemon(Daemon::ApiServer).is_err());
    drop(attached);
    assert_eq!(server.request("GET", "/readyz", None).unwrap().0, 200);
}

#[test]
fn dropped_api_server_leaves_no_process_and_no_directory() {
    let server = ApiServer::start().unwrap();
    let dir = server.dir().to_owned();
    server.freeze(Daemon::ApiServer).unwrap();
    assert_eq!(processes_of(&dir).len(), 2 + 1, "two daemons and the keeper");
    drop(server);
    assert_eq!(processes_of(&dir), Vec::<String>::new());
    assert!(!dir.exists());
}

#[test]
fn api_server_ends_when_its_owner_is_killed() {
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "owner_to_be_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let dir = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("dir=").map(PathBuf::from)).unwrap();
    assert_eq!(processes_of(&dir).len(), 2 + 1, "two daemons and the keeper");

    owner.kill().unwrap();
    owner.wait().unwrap();
    let started = Instant::now();
    while dir.exists() || !processes_of(&dir).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(15), "left behind: {:?}", processes_of(&dir));
        sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "the other process of a_killed_owner_leaves_nothing"]
fn owner_to_be_killed() {
    let server = ApiServer::start().unwrap();
    println!("\ndir={}", server.dir().display());
    // Longer than its parent needs; ends by itself if that is gone.
    sleep(Duration::from_mins(1));
}

#[test]
fn failed_start_of_api_server_shows_the_log_and_leaves_no_process() {
    let programs = Programs { etcd: "/bin/false".into(), ..available().unwrap() };
    let error = format!("{:#}", ApiServer::start_with(&programs).err().unwrap());
    assert!(error.contains("etcd does not run"), "{error}");
    assert!(error.contains("kube-apiserver's log"), "{error}");
}
