//! One service for all tests, and a pool for each.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use testbed::ceph::Ceph;
use testbed::service::{Answer, ApiClient, RbdService, RbdServiceOptions};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_sparrow-rbd");

/// The cluster of this run.
pub fn ceph() -> &'static Ceph {
    Ceph::shared().expect("a cluster")
}

/// The service that tests share; its keeper ends it with this process.
pub fn service() -> &'static RbdService {
    static SERVICE: OnceLock<RbdService> = OnceLock::new();
    SERVICE.get_or_init(|| RbdServiceOptions::new(BINARY, ceph()).start().expect("a service"))
}

/// A client of the shared service, with paths as a user writes them.
pub fn api() -> ApiClient {
    service().client.clone()
}

/// A connection of this process's own to the cluster: for what Ceph's tools cannot do, and as another client.
pub fn cluster() -> ceph::Cluster {
    let settings = ceph::Settings {
        conf_file: Some(ceph().conf().to_owned()),
        keyring: Some(ceph().keyring().to_owned()),
        ..ceph::Settings::new("client.admin")
    };
    let cluster = settings.configure().expect("a configuration").connect().expect("a connection");
    ceph::end_at_once();
    cluster
}

/// A pool on a connection of this process's own.
pub fn context(pool: &str) -> ceph::IoContext {
    cluster().io_context(pool, "").expect("a context")
}

/// A pool of the test's own, made with Ceph's tools. Its name is new in each run.
pub fn pool() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    ceph().create_pool(&name).expect("a pool");
    name
}

/// An image of 64 MiB with these features in a pool of its own, and the path of the image.
pub fn image_with_features(features: &[&str]) -> (String, String) {
    image_with(features, 4 << 20)
}

/// As [`image_with_features`], with objects of this size.
pub fn image_with(features: &[&str], object_size: u64) -> (String, String) {
    let pool = pool();
    let images = format!("/api/v1/pools/{pool}/images");
    let body = json!({ "name": "a", "sizeBytes": 64 << 20, "features": features, "objectSizeBytes": object_size });
    api().post(&images, &body).expect("an answer").expect(201);
    (pool, format!("{images}/a"))
}

/// The operation at a path, when it has ended; panics when it does not within two minutes.
pub fn finished(client: &ApiClient, location: &str) -> serde_json::Value {
    for _ in 0..12 {
        let operation = client.get(&format!("{location}?wait=10s")).expect("an answer").expect(200).json();
        if !["queued", "running"].contains(&operation["state"].as_str().unwrap_or_default()) {
            return operation;
        }
    }
    panic!("{location} does not end");
}

/// The field that an answer rejects: with 400 a value that the schema rules out, with 409 one that does not go with another
/// field or with what is there.
pub fn rejected_field(answer: &Answer) -> String {
    let problem = answer.problem();
    assert!(
        [(400, "invalid-field"), (409, "field-conflict")].contains(&(answer.status, &*problem)),
        "{}: {}",
        answer.status,
        answer.text()
    );
    answer.json()["field"].as_str().expect("a field").to_owned()
}

/// A size within the bound.
pub fn size(bytes: u64) -> ceph::ImageSize {
    ceph::ImageSize::new(bytes).expect("a size within the bound")
}
