//! A real one-node Ceph on loopback: one monitor, one OSD, and a manager when asked for.
//!
//! The daemons of the distribution run in the foreground as the current user, with all their files in one temporary
//! directory; no systemd, no root, no containers. With [`Store::Memory`] a cluster is up in about two seconds.
//!
//! # Who ends it
//! Each cluster has a *keeper*: a small shell process that holds the read end of a pipe whose write end is this process.
//! However this process ends (return, panic, Ctrl-C, `kill -9`), the pipe closes, and the keeper kills the daemons and
//! removes the directory. Dropping [`Ceph`] goes the same way and waits for it, so there is one way to end a cluster,
//! and statics, which Rust never drops, need no care. Daemons and keeper are in process groups of their own, so
//! that Ctrl-C in a terminal reaches only the owner.
//!
//! # One cluster for a whole test run
//! `testbed ceph -- COMMAND` starts a cluster, runs COMMAND with [`CONF_VARIABLE`], [`KEYRING_VARIABLE`] and
//! [`DIR_VARIABLE`] set, and ends it. [`Ceph::shared`] attaches to that cluster, or starts one for this process. Tests on
//! the shared cluster make pools under names of their own; tests that freeze or restart daemons start a cluster of
//! their own with [`Ceph::start`].

mod conf;
mod process;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::Pid;

use self::conf::MonPorts;
use crate::command;
use crate::daemon::{Daemons, tail};
use crate::keeper::Keeper;

/// Environment variable: path of the `ceph.conf` of the run's cluster.
pub const CONF_VARIABLE: &str = "SPARROW_TEST_CEPH_CONF";
/// Environment variable: path of the `client.admin` keyring of the run's cluster.
pub const KEYRING_VARIABLE: &str = "SPARROW_TEST_CEPH_KEYRING";
/// Environment variable: directory of the run's cluster.
pub const DIR_VARIABLE: &str = "SPARROW_TEST_CEPH_DIR";

/// How long a command-line tool may take.
const TOOL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a daemon may take to serve after its start.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Path names of Unix sockets, with their closing zero byte (`unix(7)`).
const SOCKET_PATH_BYTES: usize = 108;

/// Where the OSD keeps its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In the OSD's memory: quick to start, but everything is lost when the OSD ends.
    Memory {
        /// Capacity in bytes; memory is used as it is written.
        bytes: u64,
    },
    /// In a sparse file, by `BlueStore`: survives any end of the OSD.
    Bluestore {
        /// Capacity in bytes; disk is used as it is written.
        bytes: u64,
    },
}

impl Store {
    /// [`Store::Memory`] of 8 GiB.
    pub const MEMORY: Store = Store::Memory { bytes: 8 << 30 };
    /// [`Store::Bluestore`] of 12 GiB.
    pub const BLUESTORE: Store = Store::Bluestore { bytes: 12 << 30 };
}

/// How to start a cluster. The default is [`Store::MEMORY`] without a manager.
#[derive(Debug, Clone, Copy)]
pub struct CephOptions {
    /// Where the OSD keeps its objects.
    pub store: Store,
    /// Starts a manager too, about two seconds and 300 MiB: without one, pool statistics read 0 and quotas are not
    /// enforced. It can be started later with [`Daemons::start_daemon`], which returns when the OSD, too, has reported to it.
    pub mgr: bool,
}

impl Default for CephOptions {
    fn default() -> CephOptions {
        CephOptions { store: Store::MEMORY, mgr: false }
    }
}

/// One of the cluster's daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// The monitor, `mon.a`.
    Mon,
    /// The object storage daemon, `osd.0`.
    Osd,
    /// The manager, `mgr.x`.
    Mgr,
}

impl Daemon {
    fn program(self) -> &'static str {
        match self {
            Daemon::Mon => "ceph-mon",
            Daemon::Osd => "ceph-osd",
            Daemon::Mgr => "ceph-mgr",
        }
    }

    fn id(self) -> &'static str {
        match self {
            Daemon::Mon => "a",
            Daemon::Osd => "0",
            Daemon::Mgr => "x",
        }
    }

    /// The entity name, e.g. `osd.0`.
    pub fn name(self) -> &'static str {
        match self {
            Daemon::Mon => "mon.a",
            Daemon::Osd => "osd.0",
            Daemon::Mgr => "mgr.x",
        }
    }
}

/// A handle on a cluster: the owner's, which ends the cluster when dropped, or an attached one, which never does.
#[derive(Debug)]
pub struct Ceph {
    dir: PathBuf,
    conf: PathBuf,
    keyring: PathBuf,
    mon_address: String,
    /// Daemons that this process started, to be waited for.
    children: Mutex<Vec<Child>>,
    keeper: Option<Keeper>,
}

impl Ceph {
    /// Starts a cluster and returns when it serves: the OSD is `up` and, if asked for, the manager is available.
    ///
    /// # Errors
    /// A Ceph program is missing or fails, or a daemon does not serve within a minute; the error then shows the end of its
    /// log. Nothing is left behind.
    pub fn start(options: CephOptions) -> Result<Ceph> {
        Ceph::start_at(Ipv4Addr::LOCALHOST, options)
    }

    /// [`Ceph::start`] on another address than loopback, which the calling thread's network has. Clients on other
    /// addresses reach it there; nothing keeps them out but their keys.
    ///
    /// # Errors
    /// As [`Ceph::start`].
    pub fn start_at(address: Ipv4Addr, options: CephOptions) -> Result<Ceph> {
        let mut attempt = 1;
        loop {
            match Ceph::try_start(address, options) {
                // Another process took the monitor's port between our look and its bind.
                Err(error) if attempt < 5 && format!("{error:#}").contains("unable to bind monitor") => attempt += 1,
                result => return result.context("start a one-node Ceph"),
            }
        }
    }

    /// The cluster of this test run if `testbed ceph` started one, else one for this process, started on first use with
    /// the default options and ended when the process ends.
    ///
    /// # Errors
    /// As [`Ceph::start`]; a failed start is not tried again.
    pub fn shared() -> Result<&'static Ceph> {
        static SHARED: OnceLock<Result<Ceph, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                let cluster = match std::env::var_os(DIR_VARIABLE) {
                    Some(dir) => Ceph::attach(Path::new(&dir)).with_context(|| format!("from {DIR_VARIABLE}")),
                    None => Ceph::start(CephOptions::default()),
                };
                cluster.map_err(|error| format!("{error:#}"))
            })
            .as_ref()
            .map_err(|error| anyhow!("{error}"))
    }

    /// A handle on the running cluster in `dir` (see [`Ceph::dir`]). Dropping it leaves the cluster alone.
    ///
    /// # Errors
    /// There is no cluster in `dir`.
    pub fn attach(dir: &Path) -> Result<Ceph> {
        let mut cluster = Ceph::at(dir.to_owned(), None)?;
        ensure!(cluster.conf.exists(), "no cluster in {}: it has no ceph.conf", dir.display());
        ensure!(cluster.keyring.exists(), "no cluster in {}: it has no client.admin.keyring", dir.display());
        cluster.mon_address = read(&dir.join("mon_address"))?;
        Ok(cluster)
    }

    fn at(dir: PathBuf, keeper: Option<Keeper>) -> Result<Ceph> {
        ensure!(dir.to_str().is_some(), "the path {} is not UTF-8", dir.display());
        let conf = dir.join("ceph.conf");
        let keyring = dir.join("client.admin.keyring");
        Ok(Ceph { dir, conf, keyring, mon_address: String::new(), children: Mutex::default(), keeper })
    }

    fn try_start(address: Ipv4Addr, options: CephOptions) -> Result<Ceph> {
        let dir = tempfile::Builder::new().prefix("sparrow-ceph-").tempdir().context("create the directory")?;
        let longest = dir.path().join("run").join("osd.0.asok");
        ensure!(
            longest.as_os_str().len() < SOCKET_PATH_BYTES,
            "{} is too long for a Unix socket: set TMPDIR to a shorter path",
            longest.display()
        );
        let keeper = Keeper::start(dir.path(), &[&mark(dir.path())])?;
        // From here on the keeper removes it.
        let mut cluster = Ceph::at(dir.keep(), Some(keeper))?;
        let ports = MonPorts::pick(address)?;
        cluster.mon_address = ports.vector();
        cluster.make_mon(options, ports)?;
        cluster.start_daemon(Daemon::Mon)?;
        cluster.make_osd()?;
        cluster.start_daemon(Daemon::Osd)?;
        if options.mgr {
            cluster.start_daemon(Daemon::Mgr)?;
        }
        Ok(cluster)
    }

    /// Writes the configuration and the keyrings, and makes the monitor's store.
    fn make_mon(&self, options: CephOptions, ports: MonPorts) -> Result<()> {
        for part in ["run", "log", "mon", "osd.0", "mgr.x"] {
            let path = self.dir.join(part);
            fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        }
        let fsid = uuid()?;
        let write =
            |path: &Path, text: &str| fs::write(path, text).with_context(|| format!("write {}", path.display()));
        write(&self.dir.join("mon_address"), &self.mon_address)?;
        write(&self.conf, &conf::render(&options, &self.dir, &fsid, ports))?;

        let everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"];
        let profile = ["--cap", "mon", "allow profile mgr", "--cap", "osd", "allow *", "--cap", "mds", "allow *"];
        self.make_keyring("mon.", "mon.a.keyring", &["--cap", "mon", "allow *"])?;
        self.make_keyring("client.admin", "client.admin.keyring", &everything)?;
        self.make_keyring("mgr.x", "mgr.x.keyring", &profile)?;
        self.make_keyring("osd.0", "osd.0.keyring", &[])?;

        // The monitor takes all keys of this one into its store.
        let mut keys = String::new();
        for name in ["mon.a", "client.admin", "mgr.x"] {
            keys += &read(&self.dir.join(format!("{name}.keyring")))?;
        }
        let first_keys = self.dir.join("first.keyring");
        write(&first_keys, &keys)?;
        let map = self.dir.join("monmap");
        self.tool("monmaptool")
            .args(["--create", "--fsid", &fsid, "--addv", "a", &self.mon_address])
            .arg(&map)
            .run()
            .context("make the monitor map")?;
        self.tool("ceph-mon")
            .args(["--mkfs", "--id", "a"])
            .arg("--monmap")
            .arg(&map)
            .arg("--keyring")
            .arg(&first_keys)
            .run()
            .context("make the monitor's store")?;
        Ok(())
    }

    fn make_keyring(&self, entity: &str, file: &str, caps: &[&str]) -> Result<()> {
        self.tool("ceph-authtool")
            .args(["--create-keyring", "--gen-key", "--name", entity])
            .args(caps)
            .arg(self.dir.join(file))
            .run()
            .with_context(|| format!("make the key of {entity}"))?;
        Ok(())
    }

    /// Registers the OSD with the monitor and makes its store.
    fn make_osd(&self) -> Result<()> {
        let id = uuid()?;
        let keyring = self.dir.join("osd.0.keyring");
        let secret = self.tool("ceph-authtool").arg(&keyring).args(["--print-key", "--name", "osd.0"]).run()?;
        let secrets = self.dir.join("osd.0.json");
        fs::write(&secrets, serde_json::json!({ "cephx_secret": secret.trim() }).to_string())
            .with_context(|| format!("write {}", secrets.display()))?;
        let mut make = Command::new("ceph-osd");
        make.arg(mark(&self.dir)).args(["--mkfs", "--no-mon-config", "--id", "0", "--osd-uuid", &id]);
        // Neither needs the other, and both take a while.
        std::thread::scope(|scope| {
            let store = scope.spawn(move || command::output(&mut make, TOOL_TIMEOUT));
            let registered =
                self.ceph(&["osd", "new", &id, "0", "-i", &secrets.to_string_lossy()]).context("register the OSD");
            let store = store.join().map_err(|_| anyhow!("the thread panicked")).flatten();
            store.context("make the OSD's store").and(registered)
        })?;
        Ok(())
    }

    /// The configuration file, all that a client needs: it names the monitor and, by `$name`, the keyrings.
    pub fn conf(&self) -> &Path {
        &self.conf
    }

    /// The keyring of `client.admin`.
    pub fn keyring(&self) -> &Path {
        &self.keyring
    }

    /// The directory of the cluster's files: `ceph.conf`, `ENTITY.keyring`, `log/DAEMON.log`, `run/DAEMON.asok`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The monitor's address vector, e.g. `[v2:127.0.0.1:20001/0,v1:127.0.0.1:20002/0]`, as in `mon_host`.
    pub fn mon_addr(&self) -> &str {
        &self.mon_address
    }

    /// The environment variables by which [`Ceph::shared`] finds this cluster in another process.
    pub fn variables(&self) -> [(&'static str, &Path); 3] {
        [(CONF_VARIABLE, &self.conf), (KEYRING_VARIABLE, &self.keyring), (DIR_VARIABLE, &self.dir)]
    }

    /// Creates a replicated pool for RBD (`ceph osd pool create`, `rbd pool init`).
    ///
    /// # Errors
    /// As [`Ceph::ceph`].
    pub fn create_pool(&self, name: &str) -> Result<()> {
        self.ceph(&["osd", "pool", "create", name])?;
        self.rbd(&["pool", "init", name])?;
        Ok(())
    }

    /// Deletes a pool with everything in it.
    ///
    /// # Errors
    /// As [`Ceph::ceph`].
    pub fn delete_pool(&self, name: &str) -> Result<()> {
        self.ceph(&["osd", "pool", "delete", name, name, "--yes-i-really-really-mean-it"])?;
        Ok(())
    }

    /// Creates the entity `client.NAME` with capabilities such as `("mon", "profile rbd")`, and returns the path of its
    /// keyring, which [`Ceph::conf`] also names.
    ///
    /// # Errors
    /// As [`Ceph::ceph`]; the entity exists with other capabilities.
    pub fn add_client(&self, name: &str, caps: &[(&str, &str)]) -> Result<PathBuf> {
        let entity = format!("client.{name}");
        let path = self.dir.join(format!("{entity}.keyring"));
        let file = path.to_string_lossy();
        let mut args = vec!["auth", "get-or-create", &entity];
        args.extend(caps.iter().flat_map(|(service, cap)| [*service, *cap]));
        args.extend(["-o", &file]);
        self.ceph(&args)?;
        Ok(path)
    }

    /// Runs `ceph ARGS` as `client.admin` and returns its standard output.
    ///
    /// # Errors
    /// It fails (the error carries its standard error), or takes longer than a minute.
    pub fn ceph(&self, args: &[&str]) -> Result<String> {
        self.tool("ceph").args(["--connect-timeout", "30"]).args(args).run()
    }

    /// Runs `rbd ARGS` as `client.admin` and returns its standard output.
    ///
    /// # Errors
    /// As [`Ceph::ceph`].
    pub fn rbd(&self, args: &[&str]) -> Result<String> {
        self.tool("rbd").args(args).run()
    }

    /// Runs `rados ARGS` as `client.admin` and returns its standard output.
    ///
    /// # Errors
    /// As [`Ceph::ceph`].
    pub fn rados(&self, args: &[&str]) -> Result<String> {
        self.tool("rados").args(args).run()
    }

    fn tool(&self, program: &str) -> Tool {
        let mut command = Command::new(program);
        // The two that make files know no configuration.
        if !matches!(program, "ceph-authtool" | "monmaptool") {
            command.arg(mark(&self.dir));
        }
        Tool { command }
    }

    /// Asks a daemon over its admin socket, e.g. `perf dump`, and returns the answer, usually JSON.
    ///
    /// # Errors
    /// The daemon does not run, or does not answer within ten seconds.
    pub fn ask(&self, daemon: Daemon, command: &str) -> Result<String> {
        process::ask(&self.dir.join("run").join(format!("{}.asok", daemon.name())), command)
    }

    /// Waits until the cluster's health is `HEALTH_OK`.
    ///
    /// # Errors
    /// It is not within `timeout`; the error carries the details. As [`Ceph::ceph`].
    pub fn wait_healthy(&self, timeout: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let health = self.ceph(&["health", "detail"])?;
            if health.starts_with("HEALTH_OK") {
                return Ok(());
            }
            ensure!(started.elapsed() < timeout, "not healthy after {timeout:?}: {}", health.trim());
            sleep(Duration::from_millis(100));
        }
    }

    /// The keeper's process id, none for an attached handle.
    pub fn keeper_pid(&self) -> Option<u32> {
        self.keeper.as_ref().map(Keeper::pid)
    }

    fn wait_serving(&self, daemon: Daemon, child: &mut Child) -> Result<()> {
        let started = Instant::now();
        while !self.serves(daemon)? {
            if let Some(status) = child.try_wait().context("wait for a daemon")? {
                bail!("{} ended ({status})", daemon.name());
            }
            ensure!(started.elapsed() < START_TIMEOUT, "{} does not serve after {START_TIMEOUT:?}", daemon.name());
            // A manager is asked for by a tool that costs a quarter of a second of a core that the manager could use.
            sleep(Duration::from_millis(if daemon == Daemon::Mgr { 250 } else { 10 }));
        }
        Ok(())
    }

    fn serves(&self, daemon: Daemon) -> Result<bool> {
        let answer = match daemon {
            Daemon::Mon => self.ask(daemon, "mon_status").ok(),
            Daemon::Osd => self.ask(daemon, "status").ok(),
            Daemon::Mgr => Some(self.ceph(&["status", "--format", "json"])?),
        };
        // There may be no socket yet, or one left by the daemon before, or a daemon that does not know the command yet.
        let Some(answer) = answer else { return Ok(false) };
        let Ok(answer) = serde_json::from_str::<serde_json::Value>(&answer) else { return Ok(false) };
        Ok(match daemon {
            Daemon::Mon => answer["state"] == "leader",
            Daemon::Osd => answer["state"] == "active",
            // It is `available` before it heard from the OSD, and has no statistics until then.
            Daemon::Mgr => answer["mgrmap"]["available"] == true && answer["pgmap"]["bytes_total"].as_u64() > Some(0),
        })
    }
}

impl Daemons for Ceph {
    type Daemon = Daemon;

    fn name(&self, daemon: Daemon) -> &'static str {
        daemon.name()
    }

    fn find(&self, daemon: Daemon) -> Result<Option<Pid>> {
        process::find(daemon.program(), &mark(&self.dir))
    }

    /// Starts a daemon that does not run, and waits until it serves. A memory-backed OSD comes back `up` but empty, and
    /// calls on its pools block: restart OSDs with [`Store::Bluestore`] only.
    fn start_daemon(&self, daemon: Daemon) -> Result<()> {
        let name = daemon.name();
        ensure!(self.find(daemon)?.is_none(), "{name} runs already");
        let output = self.dir.join("log").join(format!("{name}.out"));
        let out = File::create(&output).with_context(|| format!("create {}", output.display()))?;
        let mut command = Command::new(daemon.program());
        command
            .arg(mark(&self.dir))
            .args(["-f", "--id", daemon.id()])
            .stdin(Stdio::null())
            .stdout(out.try_clone().context("share the daemon's output")?)
            .stderr(out)
            // Out of reach of the terminal's Ctrl-C.
            .process_group(0);
        let mut child = command.spawn().map_err(|error| command::cannot_start(&command, error))?;
        let result = self.wait_serving(daemon, &mut child);
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        children.push(child);
        result.with_context(|| {
            let log = self.dir.join("log").join(format!("{name}.log"));
            format!("start {name}; the end of its output:\n{}\n{}", tail(&output, 20), tail(&log, 20))
        })
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            drop(keeper);
            let children = self.children.get_mut().unwrap_or_else(PoisonError::into_inner);
            for child in children {
                let _ = child.wait();
            }
        }
    }
}

/// A program to be run to its end.
struct Tool {
    command: Command,
}

impl Tool {
    fn arg(mut self, arg: impl AsRef<OsStr>) -> Tool {
        self.command.arg(arg);
        self
    }

    fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Tool {
        self.command.args(args);
        self
    }

    fn run(mut self) -> Result<String> {
        command::output(&mut self.command, TOOL_TIMEOUT)
    }
}

/// The argument that every process of the cluster carries, and by which it is found.
fn mark(dir: &Path) -> String {
    format!("--conf={}", dir.join("ceph.conf").display())
}

/// A random UUID, from the kernel.
fn uuid() -> Result<String> {
    let source = "/proc/sys/kernel/random/uuid";
    Ok(fs::read_to_string(source).with_context(|| format!("read {source}"))?.trim().to_owned())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
