//! Envoy, beside a table: the same routes in a file that it follows, as it comes without a control plane.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::ports::free_address;
use tokio::time::sleep;

use crate::guard::Guarded;
use crate::http;
use crate::settled::answers;
use crate::traefik::cached;

/// The version that `scripts/install-from-pypi envoy` makes available.
pub const VERSION: &str = "1.40.0";
/// What is said where it is not there.
pub const MISSING: &str = "Envoy is not there: run scripts/install-from-pypi envoy";
/// How long it may take to serve.
const READY: Duration = Duration::from_mins(1);

/// An Envoy with many hosts, and below `/probe/` of all others one of two backends.
#[derive(Debug)]
pub struct Envoy {
    process: Guarded,
    /// Where it serves.
    pub http: SocketAddr,
    hosts: u16,
}

/// `SPARROW_ENVOY`, else what `scripts/install-from-pypi envoy` has made available.
pub fn binary() -> PathBuf {
    cached("SPARROW_ENVOY", "envoy", VERSION)
}

impl Envoy {
    /// Starts it with so many hosts that lead to where nobody listens, and waits until it serves.
    ///
    /// # Errors
    /// It does not serve; what it said is in the error.
    pub async fn start(binary: &Path, hosts: u16, backends: [SocketAddr; 2], nobody: SocketAddr) -> Result<Self> {
        let http = free_address()?;
        let process = Guarded::start(|directory| {
            let file = directory.join("envoy.json");
            fs::write(&file, bootstrap(http, directory, backends, nobody).to_string())?;
            fs::write(routes_file(directory), routes(hosts, 0).to_string())?;
            let arguments = ["--concurrency", "2", "--disable-hot-restart", "--log-level", "warn", "-c"];
            let command = [binary.display().to_string()].into_iter().chain(arguments.map(str::to_owned));
            Ok(command.chain([file.display().to_string()]).collect())
        })?;
        let began = Instant::now();
        while !http::get(http, "/probe/").await.is_ok_and(|(status, body)| status == 200 && body == answers(0)[0]) {
            ensure!(process.runs(), "Envoy has ended; it said:\n{}", process.said());
            ensure!(began.elapsed() < READY, "Envoy does not serve; it said:\n{}", process.said());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { process, http, hosts })
    }

    /// Replaces the file of routes, which leads to one of the backends then. When that began.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn change(&self, to: usize) -> Result<Instant> {
        let directory = self.process.directory();
        let draft = directory.join("draft");
        fs::write(&draft, routes(self.hosts, to).to_string())?;
        let began = Instant::now();
        fs::rename(draft, routes_file(directory))?;
        Ok(began)
    }
}

fn routes_file(directory: &Path) -> PathBuf {
    directory.join("routes.json")
}

/// What it is started with: all but the routes.
fn bootstrap(http: SocketAddr, directory: &Path, [one, other]: [SocketAddr; 2], nobody: SocketAddr) -> Value {
    let of = |address: SocketAddr| json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } });
    let cluster = |name: &str, address| {
        json!({
            "name": name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": of(address) } }] }],
            },
        })
    };
    let extension = |name: &str, kind: &str, mut config: Value| {
        config["@type"] = format!("type.googleapis.com/envoy.extensions.filters.{kind}").into();
        json!({ "name": format!("envoy.filters.{name}"), "typed_config": config })
    };
    let router = extension("http.router", "http.router.v3.Router", json!({}));
    let manager = json!({
        "stat_prefix": "web",
        "rds": {
            "route_config_name": "routes",
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": { "path": routes_file(directory) },
            },
        },
        "http_filters": [router],
    });
    let kind = "network.http_connection_manager.v3.HttpConnectionManager";
    let manager = extension("network.http_connection_manager", kind, manager);
    json!({
        "node": { "id": "bench", "cluster": "bench" },
        "static_resources": {
            "listeners": [{ "name": "web", "address": of(http), "filter_chains": [{ "filters": [manager] }] }],
            "clusters": [cluster("one", one), cluster("other", other), cluster("nobody", nobody)],
        },
    })
}

/// A host for each number, and the backend of all others.
fn routes(hosts: u16, to: usize) -> Value {
    let host = |name: &str, domain: &str, prefix: &str, cluster: &str| {
        json!({
            "name": name,
            "domains": [domain],
            "routes": [{ "match": { "prefix": prefix }, "route": { "cluster": cluster } }],
        })
    };
    let many = (0..hosts).map(|number| format!("host-{number}"));
    let many = many.map(|name| host(&name, &format!("{name}.example.com"), "/", "nobody"));
    let hosts: Vec<_> = many.chain([host("any", "*", "/probe/", answers(to)[0])]).collect();
    json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "routes",
        "virtual_hosts": hosts,
    }] })
}
