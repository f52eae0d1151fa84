//! Services with an authentication of the test's own, and every call that the API knows.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::ceph::Ceph;
use testbed::service::{ApiClient, RbdService, RbdServiceOptions};

pub const BINARY: &str = env!("CARGO_BIN_EXE_sparrow-rbd");

pub fn ceph() -> &'static Ceph {
    Ceph::shared().expect("a cluster")
}

/// A pool of the test's own. Its name is new in each run.
pub fn pool() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("auth{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    ceph().create_pool(&name).expect("a pool");
    name
}

pub fn serve(arguments: &[&str]) -> RbdService {
    RbdServiceOptions::new(BINARY, ceph()).arguments(arguments).start().expect("a service")
}

/// A file of tokens.
pub struct TokensFile {
    directory: tempfile::TempDir,
}

impl TokensFile {
    pub fn new() -> Self {
        let file = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::write(file.path(), r#"{"tokens":[]}"#).unwrap();
        file
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("tokens.json")
    }

    pub fn text(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// Adds a token as an operator does, and gives its secret.
    pub fn add(&self, name: &str, role: &str, more: &[&str]) -> String {
        let output = Command::new(BINARY)
            .args(["token", "--name", name, "--role", role, "--append", &self.text()])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn serve(&self) -> RbdService {
        serve(&["--auth", "tokens", "--tokens-file", &self.text()])
    }
}

/// Asks again until it is so; panics after the time.
pub fn eventually(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A call from the API description.
#[derive(Debug, Clone)]
pub struct Known {
    pub id: String,
    pub method: String,
    pub path: String,
    pub role: String,
    pub tag: String,
}

impl Known {
    /// The call in the API description.
    pub fn operation<'a>(&self, document: &'a Value) -> &'a Value {
        let methods = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
        methods.map(|(_, operation)| operation).find(|operation| operation["operationId"] == self.id.as_str()).unwrap()
    }

    pub fn changes(&self) -> bool {
        self.method != "GET"
    }
}

/// Every call of the served description, with names in the place of the path's parameters.
pub fn every_call(client: &ApiClient, names: &[(&str, &str)]) -> Vec<Known> {
    let document = client.get("/openapi.json").unwrap().expect(200).json();
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let mut path = path.clone();
        for (parameter, name) in names {
            path = path.replace(&format!("{{{parameter}}}"), name);
        }
        while let Some((before, rest)) = path.split_once('{') {
            path = format!("{before}x{}", rest.split_once('}').unwrap().1);
        }
        for (method, operation) in methods.as_object().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            calls.push(Known {
                id: text(&operation["operationId"]),
                method: method.to_uppercase(),
                path: path.clone(),
                role: text(&operation["x-sparrow-role"]),
                tag: text(&operation["tags"][0]),
            });
        }
    }
    assert!(calls.iter().filter(|call| call.changes()).count() >= 10, "{calls:?}");
    calls
}

/// Whether an answer says that the caller may not. One to `HEAD` has only its status to say it.
pub fn rejected(known: &Known, answer: &testbed::service::Answer) -> bool {
    answer.status == 403 && (known.method == "HEAD" || answer.problem() == "forbidden")
}

/// Makes the call, with a body for those that take one.
pub fn call(client: &ApiClient, call: &Known) -> testbed::service::Answer {
    let json: &[(&str, &str)] = &[("content-type", "application/json")];
    match call.method.as_str() {
        "GET" | "DELETE" => client.send(&call.method, &call.path, &[], &[]).unwrap(),
        method => client.send(method, &call.path, json, br#"{"name":"x"}"#).unwrap(),
    }
}

/// A pool with a namespace and an image with a snapshot in both, to be left alone.
pub struct Tenant {
    pub pool: String,
}

impl Tenant {
    pub fn new() -> Self {
        let pool = pool();
        ceph().rbd(&["namespace", "create", &format!("{pool}/team")]).unwrap();
        for place in [pool.clone(), format!("{pool}/team")] {
            ceph().rbd(&["create", "--size", "8M", &format!("{place}/a")]).unwrap();
            ceph().rbd(&["snap", "create", "--no-progress", &format!("{place}/a@s")]).unwrap();
        }
        Self { pool }
    }

    pub fn names(&self) -> [(&str, &str); 4] {
        [("pool", &self.pool), ("namespace", "team"), ("image", "a"), ("snapshot", "s")]
    }

    /// Everything that a change could change.
    pub fn state(&self) -> String {
        let rbd = |arguments: &[&str]| ceph().rbd(arguments).unwrap();
        let mut state = rbd(&["namespace", "ls", &self.pool]);
        for place in [self.pool.clone(), format!("{}/team", self.pool)] {
            state += &rbd(&["ls", "-l", &place]);
            state += &rbd(&["info", &format!("{place}/a")]);
            state += &rbd(&["image-meta", "ls", &format!("{place}/a")]);
            state += &rbd(&["lock", "ls", &format!("{place}/a")]);
            state += &rbd(&["trash", "ls", "--all", &place]);
            state += &rbd(&["group", "ls", &place]);
        }
        state
    }
}

/// Replaces a file in one step.
pub fn replace(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, content).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// A metric's value; 0 while it is not there.
pub fn metric(service: &RbdService, name: &str) -> u64 {
    let text = service.admin_client().get("/metrics").unwrap().expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.map_or(0, |value| value.parse().unwrap())
}
