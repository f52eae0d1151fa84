//! What the groups measure with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result, anyhow, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::kube::ApiServer;
use tokio::runtime::Runtime;

use crate::entry::{Entry, flag};
use crate::guard::Guarded;

/// Addresses for Services, on all of which this machine can listen.
const SERVICES: &str = "127.64.0.0/16";
/// The addresses that groups choose for Services which change: each another, since they share the API server, and of the
/// part that is not given out unasked.
pub const SETTLED_PROBE: &str = "127.64.0.201";
pub const STORM_PROBE: &str = "127.64.0.202";
pub const TABLE_PROBE: &str = "127.64.0.205";
pub const MANY_PROBE: &str = "127.64.0.206";
pub const TRAEFIK_PROBES: [&str; 2] = ["127.64.0.203", "127.64.0.204"];
/// More than the bounds allow unasked.
const BOUNDS: [&str; 8] = [
    "--max-hosts=100000",
    "--max-hosts-per-namespace=100000",
    "--max-rules=200000",
    "--max-rules-per-namespace=200000",
    "--max-patterns=100000",
    "--max-patterns-per-namespace=100000",
    "--max-certificates=100000",
    "--max-certificates-per-namespace=100000",
];
/// How many objects are created at a time.
const AT_A_TIME: usize = 16;

/// What the groups measure with.
#[derive(Debug)]
pub struct Stage {
    /// Drives the clients and the backends.
    pub runtime: Runtime,
    /// `sparrow-entry`.
    pub binary: PathBuf,
    /// Debian's nginx, or that which `SPARROW_NGINX_DEBIAN` names.
    pub debian: PathBuf,
    /// The module for it: `SPARROW_NGINX_MODULE`, which `scripts/build-nginx` has built for another one, else the one that is built beside
    /// `sparrow-entry`.
    module: PathBuf,
    quick: bool,
    // Holds the directories of all groups, so that none is left however this process ends.
    scratch: Guarded,
    server: OnceLock<Result<Server, String>>,
    /// The namespaces whose objects were created.
    filled: Mutex<BTreeSet<&'static str>>,
}

struct Server(ApiServer);

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.url())
    }
}

impl Stage {
    /// Nothing is started yet.
    ///
    /// # Errors
    /// No threads or processes can be made, or the module is not there.
    pub fn new(binary: PathBuf, quick: bool) -> Result<Self> {
        let set = std::env::var_os("SPARROW_NGINX_MODULE").filter(|value| !value.is_empty());
        let module = set.map_or_else(|| binary.with_file_name("libngx_http_sparrow_module.so"), PathBuf::from);
        ensure!(module.exists(), "{} is missing: cargo build --release -p nginx-module", module.display());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let debian = testbed::nginx::debian();
        let scratch = Guarded::start(|_| Ok(vec!["sleep".to_owned(), "infinity".to_owned()]))?;
        Ok(Self { runtime, binary, debian, module, quick, scratch, server: OnceLock::new(), filled: Mutex::default() })
    }

    /// The first; the second when it has to be quick.
    pub fn either<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// An empty directory.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn directory(&self) -> Result<TempDir> {
        Ok(tempfile::tempdir_in(self.scratch.directory())?)
    }

    /// The API server, started on first use.
    ///
    /// # Errors
    /// It does not start.
    pub fn server(&self) -> Result<&ApiServer> {
        let start = || {
            let server = ApiServer::start_with_services(SERVICES).map_err(|error| format!("{error:#}"))?;
            let class = crate::objects::class();
            server.apply(&class.to_string()).map_err(|error| format!("{error:#}"))?;
            Ok(Server(server))
        };
        self.server.get_or_init(start).as_ref().map(|server| &server.0).map_err(|error| anyhow!("{error}"))
    }

    /// A client of the API server, to which nothing is refused, and a namespace that is made if it is not there.
    ///
    /// # Errors
    /// The API server does not start.
    pub async fn client(&self, namespace: &str) -> Result<Client> {
        let server = self.server()?;
        server.apply(
            &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }).to_string(),
        )?;
        Ok(entry_kube::client(Some(server.admin_kubeconfig())).await?)
    }

    /// Whether the objects of a namespace are still to be created, by who asks.
    pub fn is_to_fill(&self, namespace: &'static str) -> bool {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace)
    }

    /// The arguments of an entry that follows a namespace of the API server.
    ///
    /// # Errors
    /// The API server does not start.
    pub fn server_flags(&self, namespace: &str) -> Result<Vec<String>> {
        let kubeconfig = flag("kubeconfig", self.server()?.admin_kubeconfig());
        let more = [format!("--namespace={namespace}"), format!("--lease-namespace={namespace}")];
        Ok(["--from=kubernetes".to_owned(), kubeconfig].into_iter().chain(more).collect())
    }

    /// What all commands are given for a directory of their own. As root, workers must reach what is in it.
    pub fn flags(&self, directory: &Path) -> Vec<String> {
        let mut flags = BOUNDS.map(str::to_owned).to_vec();
        flags.extend([
            flag("nginx", &self.debian),
            flag("nginx-module", &self.module),
            flag("volume", directory.join("volume")),
            flag("runtime", directory.join("runtime")),
            "--access-log=off".to_owned(),
            "--workers=2".to_owned(),
        ]);
        if rustix::process::geteuid().is_root() {
            flags.push("--user=root".to_owned());
        }
        flags
    }

    /// Starts `sparrow-entry run` with a directory of manifests.
    ///
    /// # Errors
    /// As [`Entry::start`].
    pub async fn run_from(&self, directory: &Path) -> Result<Entry> {
        self.run(&[flag("from", directory)]).await
    }

    /// Starts `sparrow-entry run` with a source and what else is set.
    ///
    /// # Errors
    /// As [`Entry::start`].
    pub async fn run(&self, more: &[String]) -> Result<Entry> {
        Entry::start(&self.binary, |directory| [&self.flags(directory), more].concat()).await
    }
}

/// Creates objects, several at a time.
///
/// # Errors
/// One cannot be created.
pub async fn create<K>(client: &Client, namespace: &str, objects: impl IntoIterator<Item = Value>) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    stream::iter(objects)
        .map(async |object| {
            let object: K = serde_json::from_value(object)?;
            let created = api.create(&PostParams::default(), &object).await;
            created.map(drop).context("create an object")
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
}
