//! A real Kubernetes cluster on this machine, in namespaces of its own, with a one-node Ceph beside it.
//!
//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler run once; each node is a network, mount and process
//! namespace with its own containerd, kubelet and kube-proxy. Nothing of it is reachable from the machine's own
//! network, and nothing in it reaches out: there is no default route. There is no DNS for Services and no registry
//! either: images are imported ([`Cluster::import`]), and network policies are stored, but nothing enforces them.
//!
//! It needs root, for the namespaces and their mounts, and what `scripts/install-kube` and `scripts/install-cluster` install.
//!
//! # Who ends it
//! A keeper, as for [`crate::ceph`] and [`crate::kube`]. Killing the first process of a process namespace ends all others
//! in it, and with the last of them go the mounts, interfaces and network namespaces.

mod config;
mod node;

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use self::node::Node;
use crate::ceph::{Ceph, CephOptions, Store};
use crate::command;
use crate::daemon::tail;
use crate::keeper::Keeper;
use crate::kube::{self, ApiServer, ForNodes, kubernetes, write_private};

/// How long the nodes may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a command may take that is not expected to wait for anything.
const TOOL_TIMEOUT: Duration = Duration::from_mins(2);

/// How to start a cluster. The default is one node.
#[derive(Debug, Clone, Copy)]
pub struct ClusterOptions {
    /// How many nodes, 1 to 9.
    pub nodes: u8,
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions { nodes: 1 }
    }
}

/// A running cluster. Dropping it ends it.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    nodes: Vec<Node>,
    /// The directory of `kubectl`.
    kubectl: PathBuf,
    ceph: Ceph,
    server: ApiServer,
    /// Dropped first, by [`Cluster`]'s own `Drop`.
    keeper: Option<Keeper>,
}

/// Why no cluster can be started here; none if it can.
pub fn unavailable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a cluster needs root, for namespaces and mounts".into());
    }
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private", "sh", "-ec"]);
    probe.arg("mount -t tmpfs tmpfs /run && ip link add probe0 type bridge && nft add table ip probe");
    match command::output(&mut probe, TOOL_TIMEOUT) {
        Ok(_) => None,
        Err(error) => Some(format!("a cluster needs namespaces, bridges and nftables: {error:#}")),
    }
}

impl Cluster {
    /// Starts a cluster, and returns when all its nodes are ready and Ceph serves.
    ///
    /// The first node is labelled `role=entry` and `zone=ceph`, the others `zone=ceph`.
    ///
    /// # Errors
    /// A program is missing (the error says how to install it), this is not root, or a part does not get ready within
    /// minutes; the error then shows the end of its log. Nothing is left behind.
    pub fn start(options: ClusterOptions) -> Result<Cluster> {
        if let Some(why) = unavailable() {
            bail!("{why}");
        }
        Cluster::try_start(options).context("start a cluster")
    }

    /// One for this process, started on first use with two nodes and ended when the process ends.
    ///
    /// # Errors
    /// As [`Cluster::start`]; a failed start is not tried again.
    pub fn shared() -> Result<&'static Cluster> {
        static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| Cluster::start(ClusterOptions { nodes: 2 }).map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("{error}"))
    }

    fn try_start(options: ClusterOptions) -> Result<Cluster> {
        ensure!((1..=9).contains(&options.nodes), "a cluster has 1 to 9 nodes, not {}", options.nodes);
        // Everything that can be missing, before anything is started.
        let programs = kube::available()?;
        let kubectl = kubectl()?;
        for name in ["kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"] {
            kubernetes(name)?;
        }
        let dir = tempfile::Builder::new().prefix("sparrow-cluster-").tempdir().context("create the directory")?;
        ensure!(dir.path().to_str().is_some(), "the path {} is not UTF-8", dir.path().display());
        let keeper = Keeper::start(dir.path(), &[&node::mark(dir.path())])?;
        // From here on the keeper removes it.
        let dir = dir.keep();
        let mut nodes: Vec<Node> = Vec::new();
        for number in 1..=options.nodes {
            let node = Node::start(&dir, number, nodes.first())?;
            nodes.push(node);
        }
        let first = &nodes[0];
        let (server, ceph) = std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                first.enter()?;
                ApiServer::start_in(
                    &programs,
                    config::SERVICES,
                    Some(&ForNodes {
                        address: first.address(),
                        names: nodes.iter().map(|node| node.name().to_owned()).collect(),
                        first_service: config::FIRST_SERVICE,
                    }),
                )
            });
            let ceph = scope.spawn(|| {
                first.enter()?;
                Ceph::start_at(first.address(), CephOptions { store: Store::MEMORY, mgr: false })
            });
            let ended = |_| anyhow!("the thread panicked");
            let (server, ceph) = (server.join().map_err(ended).flatten(), ceph.join().map_err(ended).flatten());
            Ok::<_, anyhow::Error>((server?, ceph?))
        })?;
        let mut cluster = Cluster { dir, nodes, kubectl, ceph, server, keeper: Some(keeper) };
        cluster.start_daemons()?;
        cluster.wait_nodes().with_context(|| cluster.logs())?;
        Ok(cluster)
    }

    fn start_daemons(&mut self) -> Result<()> {
        let admin = self.server.admin_kubeconfig().display().to_string();
        let files = self.server.dir();
        let file = |name: &str| files.join(name).display().to_string();
        let controllers = [
            format!("--kubeconfig={admin}"),
            format!("--root-ca-file={}", file("ca.crt")),
            format!("--service-account-private-key-file={}", file("service-account.key")),
            "--use-service-account-credentials=true".into(),
            "--leader-elect=false".into(),
            // A node that is lost is noticed in seconds.
            "--node-monitor-grace-period=20s".into(),
        ];
        let scheduler = [format!("--kubeconfig={admin}"), "--leader-elect=false".into()];
        let ca = self.server.ca_file().to_owned();
        for node in &mut self.nodes {
            let key = |kind: &str| files.join(format!("node-{}.{kind}", node.name()));
            let user = json!({ "client-certificate": key("crt"), "client-key": key("key") });
            let kubeconfig = self.dir.join(format!("{}.kubeconfig", node.name()));
            write_private(&kubeconfig, &self.server.kubeconfig(&user))?;
            node.start_kubelet(&kubeconfig, &ca)?;
            node.start_proxy(self.server.admin_kubeconfig())?;
        }
        let first = &mut self.nodes[0];
        first.spawn("kube-controller-manager", &kubernetes("kube-controller-manager")?, &controllers)?;
        first.spawn("kube-scheduler", &kubernetes("kube-scheduler")?, &scheduler)
    }

    fn wait_nodes(&mut self) -> Result<()> {
        let enter = self.nodes[0].network()?;
        let (nodes, server) = (&mut self.nodes, &self.server);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                move_into_link_name_space(enter.as_fd(), Some(LinkNameSpaceType::Network))?;
                let started = Instant::now();
                loop {
                    for node in nodes.iter_mut() {
                        node.check_running()?;
                    }
                    let (_, answer) = server.request("GET", "/api/v1/nodes", None)?;
                    let list: Value = serde_json::from_str(&answer).context("read the nodes")?;
                    let ready =
                        list["items"].as_array().map_or(0, |nodes| nodes.iter().filter(|node| is_ready(node)).count());
                    // Without it no pod is admitted to a namespace.
                    let account = "/api/v1/namespaces/default/serviceaccounts/default";
                    if ready == nodes.len() && server.request("GET", account, None)?.0 == 200 {
                        return Ok(());
                    }
                    ensure!(
                        started.elapsed() < READY_TIMEOUT,
                        "after {READY_TIMEOUT:?}, nodes are not ready: {answer}"
                    );
                    sleep(Duration::from_millis(100));
                }
            });
            waiting.join().map_err(|_| anyhow!("the thread panicked")).flatten()
        })
    }

    /// The ends of all logs, for an error message.
    pub fn logs(&self) -> String {
        let logs = self.nodes.iter().flat_map(Node::logs);
        logs.map(|log| format!("the end of {}:\n{}\n", log.display(), tail(&log, 15))).collect()
    }

    /// Moves the calling thread into the network of the first node, and with it what it starts from now on: only there
    /// are the API server, nodes, pods, Services and Ceph reachable.
    ///
    /// # Errors
    /// The cluster has ended.
    pub fn enter(&self) -> Result<()> {
        self.nodes[0].enter()
    }

    /// Its API server.
    pub fn api_server(&self) -> &ApiServer {
        &self.server
    }

    /// Its Ceph, at the address of the first node.
    pub fn ceph(&self) -> &Ceph {
        &self.ceph
    }

    /// The names of the nodes, e.g. `node-1`.
    pub fn node_names(&self) -> Vec<&str> {
        self.nodes.iter().map(Node::name).collect()
    }

    /// The addresses of the nodes, at which a `NodePort` answers.
    pub fn node_addresses(&self) -> Vec<Ipv4Addr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// The directory that every node has as `/etc/ceph`: what is put there, pods can mount by `hostPath`.
    pub fn etc_ceph(&self) -> PathBuf {
        self.dir.join("etc-ceph")
    }

    /// The directory of its files and logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A program to be run in the network of the first node, with `KUBECONFIG` set and `kubectl` on its `PATH`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.nodes[0].in_network(program);
        command.env("KUBECONFIG", self.server.admin_kubeconfig()).env("PATH", self.path());
        command
    }

    /// `PATH` with `kubectl` on it.
    pub fn path(&self) -> OsString {
        with_path(&self.kubectl)
    }

    /// How a person reaches it from a shell, as long as it runs.
    pub fn usage(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(|node| format!("{} {}", node.name(), node.address())).collect();
        format!(
            "A cluster of {} ({}), and Ceph with {}.\n\
             It is in a network of its own. A shell in there, with kubectl and its KUBECONFIG:\n\n  \
             nsenter --net={} env KUBECONFIG={} PATH={}:$PATH sh\n\n\
             Images are imported by `testbed cluster --image ARCHIVE`. Ctrl-C ends it.",
            self.server.url(),
            nodes.join(", "),
            self.ceph.conf().display(),
            self.nodes[0].namespace("net"),
            self.server.admin_kubeconfig().display(),
            self.kubectl.display(),
        )
    }

    /// Runs `kubectl ARGS` as a member of `system:masters`, and returns its standard output.
    ///
    /// # Errors
    /// It fails (the error carries its standard error), or takes longer than two minutes.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        command::output(self.command("kubectl").args(args), TOOL_TIMEOUT)
    }

    /// Imports the images of an archive (`docker save`, or OCI) into every node.
    ///
    /// # Errors
    /// The archive cannot be read, or is none.
    pub fn import(&self, archive: &Path) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.import(archive))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Ends everything in the namespaces; API server and Ceph end with their own handles.
        drop(self.keeper.take());
        for node in &mut self.nodes {
            node.reap();
        }
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

/// The directory of the `kubectl` of the API server's version.
fn kubectl() -> Result<PathBuf> {
    let version = kube::version()?.trim_start_matches('v');
    let program = kube::cached(&format!("kubectl-{version}/kubectl"), "scripts/install-from-pypi kubectl")?;
    Ok(program.parent().context("a program in no directory")?.to_owned())
}

/// `PATH` with a directory before all others.
fn with_path(directory: &Path) -> OsString {
    let mut path = directory.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into()));
    path
}

/// Creates a directory and those above it.
fn create(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))
}
