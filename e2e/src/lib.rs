//! Both services in a real cluster: what the tests in `tests/e2e` share.
//!
//! One cluster of two nodes is started for the whole process. `node-1` has the labels `role=entry` and `zone=ceph`, `node-2`
//! only `zone=ceph`. The kustomize base is applied with the images of [`IMAGES_VARIABLE`], which `make e2e` builds. Tests
//! run one after the other, whatever the number of threads, and leave the cluster as they found it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testbed::cluster::Cluster;
use testbed::service::ApiClient;

/// Environment variable: the directory with `sparrow-entry.tar` and `sparrow-rbd.tar`, made by `scripts/build-images --output`.
pub const IMAGES_VARIABLE: &str = "SPARROW_E2E_IMAGES";

/// The namespace of the base and of the overlay `original`.
pub const NAMESPACE: &str = "sparrow";
/// The pools of the cluster's Ceph.
pub const POOLS: [&str; 2] = ["rbd", "kube"];
/// The node port of the base.
pub const NODE_PORT: u16 = 30080;

/// How long a rollout, or anything else that a cluster does by itself, may take.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The cluster with both services.
#[derive(Debug)]
pub struct Site {
    /// The cluster.
    pub cluster: &'static Cluster,
}

/// The site, for one test at a time; deployed on first use. The calling thread is moved into the cluster's network.
///
/// # Panics
/// If it cannot be deployed; what the cluster says about its pods is in the message.
pub fn site() -> MutexGuard<'static, Option<Site>> {
    static SITE: Mutex<Option<Site>> = Mutex::new(None);
    let (mut site, failed) = match SITE.lock() {
        Ok(site) => (site, false),
        Err(poisoned) => (poisoned.into_inner(), true),
    };
    let cluster = Cluster::shared().expect("a cluster");
    cluster.enter().expect("the cluster's network");
    if site.is_none() {
        let new = Site { cluster };
        if let Err(error) = new.deploy() {
            panic!("{error:#}\n{}", new.describe());
        }
        *site = Some(new);
    } else if failed {
        // The test before left it somewhere: what it changed most likely is set right.
        SITE.clear_poison();
        if let Err(error) = site.as_ref().context("no site").and_then(Site::restore) {
            panic!("after a failed test: {error:#}");
        }
    }
    site
}

impl Site {
    fn deploy(&self) -> Result<()> {
        let images = std::env::var_os(IMAGES_VARIABLE)
            .map(PathBuf::from)
            .with_context(|| format!("{IMAGES_VARIABLE} is not set: run `make e2e`"))?;
        for image in ["sparrow-entry.tar", "sparrow-rbd.tar"] {
            self.cluster.import(&images.join(image))?;
        }
        let ceph = self.cluster.ceph();
        for pool in POOLS {
            ceph.create_pool(pool)?;
        }
        self.kubectl(&["apply", "--kustomize", &manifests("namespace")])?;
        self.make_ceph_secret()?;
        self.apply("base")?;
        self.wait_rollouts()
    }

    /// Brings everything back to the base.
    ///
    /// # Errors
    /// As [`Site::kubectl`] and [`Site::wait_rollouts`].
    pub fn restore(&self) -> Result<()> {
        self.kubectl(&["label", "--overwrite", "node/node-1", "role=entry", "zone=ceph"])?;
        self.kubectl(&["label", "--overwrite", "node/node-2", "role-", "zone=ceph"])?;
        // Warnings are of what the pods of another overlay do, until they are replaced.
        self.kubectl(&["apply", "--validate=strict", "--kustomize", &manifests("base")])?;
        self.wait_rollouts()
    }

    /// The Secret of the base, as docs/operating/install.md makes it.
    fn make_ceph_secret(&self) -> Result<()> {
        let ceph = self.cluster.ceph();
        let keyring =
            ceph.add_client("sparrow", &[("mon", "profile rbd"), ("osd", "profile rbd"), ("mgr", "profile rbd")])?;
        let conf = self.ceph_conf()?;
        let keyring = format!("--from-file=ceph.client.sparrow.keyring={}", keyring.display());
        let conf = format!("--from-file=ceph.conf={}", conf.display());
        self.kubectl(&["--namespace", NAMESPACE, "create", "secret", "generic", "rbd-rest-api-ceph", &conf, &keyring])?;
        Ok(())
    }

    /// A `ceph.conf` as a client has it; the one of the cluster's Ceph has paths of this machine.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn ceph_conf(&self) -> Result<PathBuf> {
        let path = self.cluster.dir().join("client.conf");
        let text = format!("[global]\nmon_host = {}\n", self.cluster.ceph().mon_addr());
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Applies a directory of `deploy/kustomize`, strictly and with warnings as errors.
    ///
    /// # Errors
    /// As [`Site::kubectl`].
    pub fn apply(&self, directory: &str) -> Result<()> {
        let directory = manifests(directory);
        self.kubectl(&["apply", "--validate=strict", "--warnings-as-errors", "--kustomize", &directory])?;
        Ok(())
    }

    /// Applies YAML.
    ///
    /// # Errors
    /// As [`testbed::kube::ApiServer::apply`].
    pub fn apply_yaml(&self, yaml: &str) -> Result<()> {
        self.cluster.api_server().apply(yaml)
    }

    /// Runs kubectl as the administrator.
    ///
    /// # Errors
    /// It fails; its standard error is in the error.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.cluster.kubectl(args)
    }

    /// Runs kubectl in the services' namespace.
    ///
    /// # Errors
    /// As [`Site::kubectl`].
    pub fn kubectl_here(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["--namespace", NAMESPACE];
        all.extend(args);
        self.kubectl(&all)
    }

    /// Waits until both Deployments have the pods that they ask for, and no others.
    ///
    /// # Errors
    /// They do not within [`PATIENCE`].
    pub fn wait_rollouts(&self) -> Result<()> {
        for deployment in ["rbd-rest-api", "nginx-kit"] {
            self.wait_rollout(deployment)?;
        }
        Ok(())
    }

    /// Waits until a Deployment has the pods that it asks for, and no others.
    ///
    /// # Errors
    /// It does not within [`PATIENCE`].
    pub fn wait_rollout(&self, deployment: &str) -> Result<()> {
        let name = format!("deployment/{deployment}");
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        self.kubectl_here(&["rollout", "status", &name, &timeout])?;
        // Pods that end still drain.
        let what = format!("only two pods of {deployment}");
        wait(&what, || Ok(self.pods(deployment)?.len() == 2))
    }

    /// The pods of a Deployment, those that are ending included.
    ///
    /// # Errors
    /// As [`Site::kubectl`].
    pub fn pods(&self, deployment: &str) -> Result<Vec<Value>> {
        let selector = format!("app.kubernetes.io/name={deployment}");
        let list = self.json(&["get", "pods", "--selector", &selector])?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// What `kubectl … --output json` in the services' namespace prints.
    ///
    /// # Errors
    /// As [`Site::kubectl`].
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        serde_json::from_str(&self.kubectl_here(&all)?).context("read kubectl's JSON")
    }

    /// A client of a node port of the first node, with a connection of its own.
    pub fn client(&self, port: u16) -> ApiClient {
        ApiClient::new(&format!("http://{}:{port}", self.cluster.node_addresses()[0]))
    }

    /// A token for the block storage API of a service account with a `ClusterRole`, which is made if there is none yet.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn token(&self, account: &str, role: &str) -> Result<String> {
        let server = self.cluster.api_server();
        server.create_service_account("default", account)?;
        self.apply_yaml(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: e2e-{account}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
             subjects: [{{kind: ServiceAccount, name: {account}, namespace: default}}]\n"
        ))?;
        server.service_account_token("default", account, &["sparrow-rbd"])
    }

    /// What the cluster says about the pods, for a failure's message.
    pub fn describe(&self) -> String {
        let say = |args: &[&str]| self.kubectl_here(args).unwrap_or_else(|error| format!("{error:#}"));
        let mut text = say(&["get", "pods", "--output", "wide"]);
        text += &say(&["get", "events", "--sort-by=.lastTimestamp"]);
        for pod in ["rbd-rest-api", "nginx-kit"] {
            let selector = format!("--selector=app.kubernetes.io/name={pod}");
            text += &say(&["logs", &selector, "--all-containers", "--tail=20", "--prefix"]);
        }
        text
    }
}

/// Tries until it is true, and says what was waited for if it never is.
///
/// # Errors
/// It is not within [`PATIENCE`], or the last try failed.
pub fn wait(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    loop {
        let result = done();
        if matches!(result, Ok(true)) {
            return Ok(());
        }
        if started.elapsed() >= PATIENCE {
            result.with_context(|| format!("waited for {what}"))?;
            bail!("waited {PATIENCE:?} in vain for {what}");
        }
        sleep(Duration::from_millis(100));
    }
}

/// The path of a directory below `deploy/kustomize`.
fn manifests(directory: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kustomize");
    root.join(directory).display().to_string()
}

/// The names of the pools in an answer of `GET /api/v1/pools/`.
///
/// # Errors
/// It is no list of pools.
pub fn pool_names(list: &Value) -> Result<Vec<String>> {
    ensure!(list["Kind"] == "PoolList", "no list of pools: {list}");
    let items = list["Items"].as_array().context("no Items")?;
    Ok(items.iter().filter_map(|pool| pool["name"].as_str().map(str::to_owned)).collect())
}
