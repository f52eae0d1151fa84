//! A node: namespaces of its own with containerd, kubelet and kube-proxy.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{TOOL_TIMEOUT, config, create, with_path};
use crate::command;
use crate::daemon::tail;
use crate::kube::{cached, kubernetes};

/// How long a node's first processes may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The first process of a node. `$1` is the node's directory, `$2` its control group.
///
/// `/run` is the node's own for containerd's shims and the pods' network namespaces, `/var/log` for the kubelet's links, and
/// `/etc` for `/etc/ceph`. The processes are in a control group that the pods' groups are beside, not below: only leaves
/// may have processes where controllers are on.
const FIRST_PROCESS: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir /run/netns
mount -t tmpfs tmpfs /var/log
mkdir -p "$1/etc/ceph" "$1/etc-work" "$1/../etc-ceph"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/etc-work" /etc
mount --bind "$1/../etc-ceph" /etc/ceph
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    group=$hierarchy
    for part in $(echo "$2" | tr / ' ') node; do
        # Where it is needed and possible, pass the controllers on; the kubelet does it below.
        if [ -e "$group/cgroup.subtree_control" ]; then
            for controller in $(cat "$group/cgroup.controllers"); do
                echo "+$controller" >"$group/cgroup.subtree_control" || true
            done
        fi
        mkdir -p "$group/$part"
        for file in cpuset.cpus cpuset.mems; do
            # In version 1 a new group has none, and takes no process.
            if [ -e "$group/cgroup.clone_children" ] && [ -e "$group/$file" ]; then cat "$group/$file" >"$group/$part/$file"; fi
        done
        group=$group/$part
    done
    echo 0 >"$group/cgroup.procs"
done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
: >"$1/up"
# As the first process it is the parent of all that lose theirs, and waits for them.
while :; do sleep 1000; done
"#;

/// The network of the first node: a bridge that the others are plugged into. `$1` is its address.
const FIRST_NETWORK: &str = r#"
ip link add node0 type bridge
ip addr add "$1/24" dev node0
ip link set node0 up
"#;

/// The network of a further node. `$1` is its address, `$2` its number, `$3` a process in the network of the first node, `$4` the
/// first node's address.
const FURTHER_NETWORK: &str = r#"
ip link add node0 type veth peer name "node-$2"
ip addr add "$1/24" dev node0
ip link set node0 up
ip link set "node-$2" netns "$3"
ip route add "10.244.1.0/24" via "$4"
"#;

/// Joins the control group `$1`, then runs the rest: so the keeper sees when the last daemon has ended.
const JOIN: &str = r#"
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if [ -e "$hierarchy$1/node/cgroup.procs" ]; then echo 0 >"$hierarchy$1/node/cgroup.procs"; fi
done
shift
exec "$@"
"#;

/// A node of a cluster.
#[derive(Debug)]
pub struct Node {
    number: u8,
    name: String,
    dir: PathBuf,
    group: String,
    programs: PathBuf,
    /// `unshare`, the parent of the first process.
    parent: Child,
    /// Daemons with their names; each is an `nsenter` that waits for the daemon.
    daemons: Vec<(String, Child)>,
}

/// The argument by which the keeper finds the first processes of the cluster's nodes.
pub fn mark(dir: &Path) -> String {
    format!("--cluster={}", dir.display())
}

impl Node {
    /// Makes the namespaces and the network, and starts containerd.
    pub fn start(cluster: &Path, number: u8, first: Option<&Node>) -> Result<Node> {
        let name = format!("node-{number}");
        let pause = cached("containers-debian/pause.tar", "scripts/install-cluster")?;
        let programs = pause.parent().context("a file in no directory")?.to_owned();
        let dir = cluster.join(&name);
        for part in ["cni", "kubelet", "pod-logs", "volume-plugins", "addresses"] {
            create(&dir.join(part))?;
        }
        let base = cluster.file_name().and_then(|name| name.to_str()).context("a directory without a name")?;
        let group = format!("/{base}/{number}");
        let log = File::create(dir.join("first.log")).context("create a log")?;
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private"])
            .args(["--kill-child=KILL", "sh", "-c", FIRST_PROCESS, "testbed-node"])
            .arg(&dir)
            .args([&group, &mark(cluster)])
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share a log")?)
            .stderr(log)
            // Out of reach of the terminal's Ctrl-C.
            .process_group(0);
        let parent = command.spawn().map_err(|error| command::cannot_start(&command, error))?;
        let mut node = Node { number, name, dir, group, programs, parent, daemons: Vec::new() };
        let up = node.dir.join("up");
        node.wait(|| up.exists()).with_context(|| format!("start the namespaces of {}", node.name))?;
        node.plug(first).with_context(|| format!("plug {} in", node.name))?;
        node.start_containerd()?;
        Ok(node)
    }

    fn wait(&mut self, done: impl Fn() -> bool) -> Result<()> {
        let started = Instant::now();
        while !done() {
            self.check_running()?;
            ensure!(started.elapsed() < START_TIMEOUT, "not done after {START_TIMEOUT:?}");
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Whether the first process and all daemons run.
    ///
    /// # Errors
    /// One does not; its log's end is in the error.
    pub fn check_running(&mut self) -> Result<()> {
        let first = ("first".to_owned(), &mut self.parent);
        for (name, child) in self.daemons.iter_mut().map(|(name, child)| (name.clone(), child)).chain([first]) {
            if let Some(status) = child.try_wait().context("wait for a daemon")? {
                bail!("{name} of {} ended ({status}): {}", self.name, tail(&self.dir.join(format!("{name}.log")), 15));
            }
        }
        Ok(())
    }

    fn plug(&self, first: Option<&Node>) -> Result<()> {
        let address = self.address().to_string();
        let mut shell = self.inside("sh");
        match first {
            None => {
                shell.args(["-ec", FIRST_NETWORK, "sh", &address]);
            }
            Some(first) => {
                let (number, target) = (self.number.to_string(), first.parent.id().to_string());
                // The namespace by its process, who is not in this node's /proc: the machine's `ip` does it.
                let mut outside = self.in_network("sh");
                outside.args(["-ec", FURTHER_NETWORK, "sh", &address, &number, &target, &first.address().to_string()]);
                command::output(&mut outside, TOOL_TIMEOUT)?;
                shell = first.inside("sh");
                let script = r#"ip link set "node-$1" master node0 up; ip route add "$2" via "$3""#;
                shell.args(["-ec", script, "sh", &number, &config::pods(self.number), &address]);
            }
        }
        command::output(&mut shell, TOOL_TIMEOUT)?;
        // kube-proxy rewrites what goes to Services, but only what has a route gets as far.
        let mut route = self.inside("ip");
        command::output(route.args(["route", "add", config::SERVICES, "dev", "node0"]), TOOL_TIMEOUT)?;
        Ok(())
    }

    fn start_containerd(&mut self) -> Result<()> {
        self.write("cni/pods.conflist", &config::network(&self.dir, self.number))?;
        let file = self.write("containerd.toml", &config::containerd(&self.dir, &self.programs))?;
        let program = self.programs.join("containerd");
        self.spawn("containerd", &program, &[format!("--config={}", file.display())])?;
        let socket = self.dir.join("containerd.sock");
        self.wait(|| std::os::unix::net::UnixStream::connect(&socket).is_ok()).context("start containerd")?;
        self.import(&self.programs.join("pause.tar"))
    }

    /// Starts the kubelet, which registers the node.
    pub fn start_kubelet(&mut self, kubeconfig: &Path, ca: &Path) -> Result<()> {
        let file = self.write("kubelet.json", &config::kubelet(&self.dir, self.number, &self.group, ca))?;
        let labels = if self.number == 1 { "role=entry,zone=ceph" } else { "zone=ceph" };
        let args = [
            format!("--config={}", file.display()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--root-dir={}", self.dir.join("kubelet").display()),
            format!("--cert-dir={}", self.dir.join("kubelet").display()),
            format!("--hostname-override={}", self.name),
            format!("--node-ip={}", self.address()),
            format!("--node-labels={labels}"),
        ];
        self.spawn("kubelet", &kubernetes("kubelet")?, &args)
    }

    /// Starts kube-proxy.
    pub fn start_proxy(&mut self, kubeconfig: &Path) -> Result<()> {
        let file = self.write("proxy.json", &config::proxy(kubeconfig, &self.name))?;
        self.spawn("kube-proxy", &kubernetes("kube-proxy")?, &[format!("--config={}", file.display())])
    }

    /// Starts a daemon in the node's namespaces.
    pub fn spawn(&mut self, name: &str, program: &Path, args: &[String]) -> Result<()> {
        let path = self.dir.join(format!("{name}.log"));
        let log = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let mut command = self.inside("sh");
        command
            .args(["-c", JOIN, "sh", &self.group])
            .arg(program)
            .args(args)
            // containerd finds its shim, and the shim runc, on the path.
            .env("PATH", with_path(&self.programs))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share a log")?)
            .stderr(log)
            .process_group(0);
        let child = command.spawn().map_err(|error| command::cannot_start(&command, error))?;
        self.daemons.push((name.to_owned(), child));
        Ok(())
    }

    /// The path of a namespace, valid in this machine's `/proc`.
    pub fn namespace(&self, kind: &str) -> String {
        format!("/proc/{}/ns/{kind}", self.parent.id())
    }

    /// A program to be run in all the node's namespaces.
    fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.namespace("net")))
            .arg(format!("--mount={}", self.namespace("mnt")))
            // Not the parent's own, but that of its children.
            .arg(format!("--pid={}", self.namespace("pid_for_children")))
            .arg("--")
            .arg(program);
        command
    }

    /// A program to be run in the node's network alone.
    pub fn in_network(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace("net"))).arg("--").arg(program);
        command
    }

    /// The node's network namespace.
    pub fn network(&self) -> Result<File> {
        let path = self.namespace("net");
        File::open(&path).with_context(|| format!("open {path}"))
    }

    /// Moves the calling thread into the node's network.
    pub fn enter(&self) -> Result<()> {
        let network = self.network()?;
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("enter the network of {}", self.name))
    }

    /// Imports the images of an archive.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let mut command = Command::new(self.programs.join("ctr"));
        command.arg(format!("--address={}", self.dir.join("containerd.sock").display()));
        command.args(["--namespace=k8s.io", "images", "import"]).arg(archive);
        command::output(&mut command, TOOL_TIMEOUT).with_context(|| format!("import {}", archive.display()))?;
        Ok(())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn address(&self) -> Ipv4Addr {
        config::address(self.number)
    }

    pub fn logs(&self) -> Vec<PathBuf> {
        self.daemons.iter().map(|(name, _)| self.dir.join(format!("{name}.log"))).collect()
    }

    /// Waits for what the keeper has killed.
    pub fn reap(&mut self) {
        for child in self.daemons.iter_mut().map(|(_, child)| child).chain([&mut self.parent]) {
            let _ = child.wait();
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}
