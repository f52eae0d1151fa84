//! A supervisor with a volume of its own, and configurations for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nginx_process::{RevisionOutcome, Supervisor, SupervisorHandle, SupervisorSettings, SupervisorStatus, Volume};
use tempfile::TempDir;
pub use testbed::nginx::both;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub type Files = BTreeMap<String, Vec<u8>>;

/// Slack for a machine that does other work.
pub const SOON: Duration = Duration::from_secs(30);

pub struct Bench {
    dir: TempDir,
    pub volume: Volume,
    pub settings: SupervisorSettings,
    pub address: SocketAddr,
    newest: bool,
}

impl Bench {
    pub fn new(nginx: PathBuf) -> Bench {
        Bench::new_in(nginx, &std::env::temp_dir())
    }

    /// In memory, as a pod's volume is: nothing waits for a disk.
    pub fn in_memory(nginx: PathBuf) -> Bench {
        Bench::new_in(nginx, Path::new("/dev/shm"))
    }

    fn new_in(nginx: PathBuf, parent: &Path) -> Bench {
        let dir = tempfile::Builder::new().prefix("sparrow-nginx-").tempdir_in(parent).unwrap();
        let at = |name: &str| dir.path().join(name);
        let volume = Volume::open(at("volume")).unwrap();
        let newest = nginx == testbed::nginx::newest();
        let settings = SupervisorSettings::new(nginx, at("volume"), at("runtime"), at("runtime/control"));
        let address = testbed::ports::free_address().unwrap();
        Bench { dir, volume, settings, address, newest }
    }

    /// A file beside the volume.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn newest(&self) -> bool {
        self.newest
    }

    /// A configuration that answers every request with its hash. `http` and `server` are added at these levels.
    pub fn files(&self, hash: &str, http: &str, server: &str) -> Files {
        let runtime = self.settings.runtime.display();
        // Only Debian's has these modules, with directories that are not there where it is only unpacked.
        let temporary: String = ["fastcgi", "uwsgi", "scgi"]
            .iter()
            .filter(|_| !self.newest())
            .map(|module| format!("{module}_temp_path {runtime}/{module};\n"))
            .collect();
        let min_timeout = if self.newest() { "keepalive_min_timeout 5s;" } else { "" };
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let text = format!(
            "{user}
            worker_processes 2;
            worker_shutdown_timeout 60s;
            pid {runtime}/nginx.pid;
            error_log stderr notice;
            events {{ worker_connections 1024; }}
            http {{
                access_log off;
                client_body_temp_path {runtime}/body;
                proxy_temp_path {runtime}/proxy;
                {temporary}
                keepalive_timeout 60s;
                keepalive_requests 1000000;
                {min_timeout}
                {http}
                server {{ listen unix:{}; location = /generation {{ return 200 \"{hash}\"; }} }}
                server {{ listen {}; {server} location / {{ return 200 \"{hash}\"; }} }}
            }}",
            self.settings.control.display(),
            self.address,
        );
        Files::from([("nginx.conf".to_owned(), text.into_bytes())])
    }

    pub fn offer(&self, hash: &str) {
        self.volume.offer(hash, &self.files(hash, "", ""), None).unwrap();
    }

    /// Starts a supervisor, and waits until it serves a first revision of this name.
    pub async fn start_on(&self, revision: &str) -> Running {
        let running = self.start().await;
        self.offer(revision);
        self.outcome(revision).await;
        running
    }

    pub async fn start(&self) -> Running {
        let (supervisor, handle) = Supervisor::start(self.settings.clone()).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(supervisor.run(async {
            let _ = stopped.await;
        }));
        Running { handle, stop: Some(stop), task }
    }

    /// Waits until the supervisor has said something about `hash`.
    pub async fn outcome(&self, hash: &str) -> RevisionOutcome {
        let mut changes = self.volume.watch();
        let wait = async {
            loop {
                if let Some(outcome) = self.volume.outcome().unwrap()
                    && outcome.hash == hash
                {
                    return outcome;
                }
                changes.changed().await;
            }
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| panic!("no outcome of {hash}: {:?}", self.volume.outcome()))
    }

    /// What a new connection is answered.
    pub async fn get(&self) -> std::io::Result<String> {
        let address = self.address;
        Ok(blocking(move || testbed::http::get(address, "any.example", "/", "")).await?.text())
    }
}

/// Waits for what blocks, while the supervisor goes on.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Runs an ignored test with SMALL being a file system of 512 KiB, in a mount namespace of its own, which ends with it.
pub fn on_a_small_file_system(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command
        .args(["--mount", "sh", "-ec", "mount -t tmpfs -o size=512k tmpfs \"$SMALL\"; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", test])
        .env("SMALL", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs an ignored test in a process in which nothing else runs.
pub fn in_a_process_of_its_own(test: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", "--ignored", "--nocapture", test]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success() && text.contains("1 passed"), "{}", String::from_utf8_lossy(&output.stderr));
}

pub struct Running {
    pub handle: SupervisorHandle,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<nginx_process::Result<()>>,
}

impl Running {
    /// Waits for a status.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&SupervisorStatus) -> bool) -> SupervisorStatus {
        let mut status = self.handle.status.clone();
        let found = timeout(SOON, status.wait_for(holds)).await.map(|status| status.unwrap().clone());
        found.unwrap_or_else(|_| panic!("never {what}: {:?}", self.handle.status()))
    }

    pub fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops it, and checks that nothing of nginx is left.
    pub async fn stop(mut self) {
        let pid = self.handle.status().pid;
        self.tell_to_stop();
        self.task.await.unwrap().unwrap();
        if let Some(pid) = pid {
            assert_eq!(group(pid), Vec::<i32>::new(), "processes are left");
        }
    }
}

/// The running processes of a group.
pub fn group(leader: i32) -> Vec<i32> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let fields: Vec<String> = stat.rsplit_once(')')?.1.split_ascii_whitespace().map(str::to_owned).collect();
        (fields[2] == leader.to_string() && fields[0] != "Z").then_some(pid)
    });
    stats.collect()
}
