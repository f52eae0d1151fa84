//! Starts real clusters and does to them what tests of other crates will.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testbed::ceph::{Ceph, CephOptions, Daemon, Store};
use testbed::daemon::Daemons as _;

const MIB: u64 = 1 << 20;

fn wait_until(what: &str, timeout: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < timeout, "{what} within {timeout:?}");
        sleep(Duration::from_millis(20));
    }
    started.elapsed()
}

fn alive(pid: u32) -> bool {
    // The command line of a process that is gone is missing or, before anyone waited for it, empty.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn pids(cluster: &Ceph) -> Vec<u32> {
    [Daemon::Mon, Daemon::Osd, Daemon::Mgr].into_iter().filter_map(|daemon| cluster.pid(daemon).unwrap()).collect()
}

/// Whether `rbd ls` answers within `limit`.
fn answers_within(cluster: &Ceph, pool: &str, limit: &str) -> bool {
    let status = Command::new("timeout")
        .args(["--signal=KILL", limit, "rbd", "ls", "--pool", pool, "--conf"])
        .arg(cluster.conf())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.success()
}

#[test]
fn ceph_serves_images_and_ends_on_drop() {
    let cluster = Ceph::start(CephOptions::default()).unwrap();
    cluster.wait_healthy(Duration::from_secs(5)).unwrap();
    cluster.create_pool("rbd").unwrap();
    cluster.rbd(&["create", "rbd/one", "--size", "64"]).unwrap();
    assert_eq!(cluster.rbd(&["ls", "rbd"]).unwrap(), "one\n");
    assert!(cluster.rados(&["--pool", "rbd", "ls"]).unwrap().contains("rbd_id.one"));
    cluster.wait_healthy(Duration::from_secs(5)).unwrap();

    // Errors say what the tool said.
    let error = cluster.rbd(&["info", "rbd/two"]).unwrap_err().to_string();
    assert!(error.contains("No such file or directory"), "{error}");

    cluster.delete_pool("rbd").unwrap();
    assert_eq!(cluster.rados(&["lspools"]).unwrap().trim(), "");

    let (dir, pids, keeper) = (cluster.dir().to_owned(), pids(&cluster), cluster.keeper_pid().unwrap());
    assert_eq!(pids.len(), 2);
    drop(cluster);
    assert!(!dir.exists(), "{} is left", dir.display());
    for pid in pids.into_iter().chain([keeper]) {
        assert!(!alive(pid), "process {pid} is left");
    }
}

#[test]
fn client_is_limited_to_its_capabilities() {
    let cluster = Ceph::start(CephOptions::default()).unwrap();
    cluster.create_pool("rbd").unwrap();
    cluster.rbd(&["create", "rbd/one", "--size", "64"]).unwrap();
    let keyring = cluster
        .add_client("reader", &[("mon", "profile rbd-read-only"), ("osd", "profile rbd-read-only pool=rbd")])
        .unwrap();
    assert!(keyring.is_file());
    assert_eq!(cluster.rbd(&["--id", "reader", "ls", "rbd"]).unwrap(), "one\n");
    let error = cluster.rbd(&["--id", "reader", "create", "rbd/two", "--size", "64"]).unwrap_err().to_string();
    assert!(error.contains("Operation not permitted"), "{error}");
}

#[test]
fn frozen_daemon_answers_nothing_until_thawed() {
    let cluster = Ceph::start(CephOptions::default()).unwrap();
    cluster.create_pool("rbd").unwrap();
    assert!(answers_within(&cluster, "rbd", "10"));
    for daemon in [Daemon::Mon, Daemon::Osd] {
        let frozen = cluster.frozen(daemon).unwrap();
        assert!(!answers_within(&cluster, "rbd", "6"), "{} answers although frozen", daemon.name());
        drop(frozen);
        let took = wait_until("it answers", Duration::from_secs(10), || answers_within(&cluster, "rbd", "2"));
        assert!(took < Duration::from_secs(2), "{} took {took:?} to come back", daemon.name());
    }
    cluster.freeze(Daemon::Mon).unwrap();
    cluster.freeze(Daemon::Osd).unwrap();
    let (dir, pids) = (cluster.dir().to_owned(), pids(&cluster));
    drop(cluster);
    assert!(!dir.exists());
    assert!(pids.into_iter().all(|pid| !alive(pid)), "a frozen daemon is left");
}

#[test]
fn restarted_monitor_serves_again() {
    let cluster = Ceph::start(CephOptions::default()).unwrap();
    cluster.create_pool("rbd").unwrap();
    cluster.kill_daemon(Daemon::Mon).unwrap();
    assert_eq!(cluster.pid(Daemon::Mon).unwrap(), None);
    assert!(cluster.stop_daemon(Daemon::Mon).unwrap_err().to_string().contains("mon.a does not run"));
    cluster.start_daemon(Daemon::Mon).unwrap();
    assert!(cluster.start_daemon(Daemon::Mon).unwrap_err().to_string().contains("mon.a runs already"));
    cluster.rbd(&["create", "rbd/one", "--size", "64"]).unwrap();
}

#[test]
fn image_on_bluestore_survives_osd_restart() {
    let cluster = Ceph::start(CephOptions { store: Store::BLUESTORE, mgr: false }).unwrap();
    cluster.create_pool("rbd").unwrap();
    let content = cluster.dir().join("content");
    std::fs::write(&content, vec![0xA5; 5 * usize::try_from(MIB).unwrap()]).unwrap();
    cluster.rbd(&["import", content.to_str().unwrap(), "rbd/kept"]).unwrap();

    cluster.kill_daemon(Daemon::Osd).unwrap();
    cluster.start_daemon(Daemon::Osd).unwrap();
    let exported = cluster.dir().join("exported");
    cluster.rbd(&["export", "rbd/kept", exported.to_str().unwrap()]).unwrap();
    assert!(std::fs::read(&exported).unwrap() == std::fs::read(&content).unwrap(), "the content changed");

    cluster.stop_daemon(Daemon::Osd).unwrap();
    let osds: serde_json::Value =
        serde_json::from_str(&cluster.ceph(&["osd", "stat", "--format", "json"]).unwrap()).unwrap();
    assert_eq!(osds["num_up_osds"], 0);
    cluster.start_daemon(Daemon::Osd).unwrap();
    assert_eq!(cluster.rbd(&["ls", "rbd"]).unwrap(), "kept\n");
}

#[test]
fn manager_reports_statistics_and_enforces_quotas() {
    let cluster = Ceph::start(CephOptions::default()).unwrap();
    cluster.create_pool("rbd").unwrap();
    // At run time, as a test that needs it on a running cluster would.
    cluster.start_daemon(Daemon::Mgr).unwrap();
    cluster.wait_healthy(Duration::from_secs(20)).unwrap();
    let content = cluster.dir().join("content");
    std::fs::write(&content, vec![0xA5; 8 * usize::try_from(MIB).unwrap()]).unwrap();
    cluster.rbd(&["import", content.to_str().unwrap(), "rbd/one"]).unwrap();

    let stored = || {
        let df: serde_json::Value = serde_json::from_str(&cluster.ceph(&["df", "--format", "json"]).unwrap()).unwrap();
        let pool = df["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == "rbd").unwrap();
        pool["stats"]["stored"].as_u64().unwrap()
    };
    let took = wait_until("statistics", Duration::from_secs(10), || stored() >= 8 * MIB);
    println!("statistics after {took:?}");

    cluster.ceph(&["osd", "pool", "set-quota", "rbd", "max_bytes", &(4 * MIB).to_string()]).unwrap();
    let full = || cluster.ceph(&["osd", "pool", "ls", "detail"]).unwrap().contains("full_quota");
    let took = wait_until("the full flag", Duration::from_secs(10), full);
    println!("full after {took:?}");
}

#[test]
fn manager_has_statistics_when_it_is_started() {
    let cluster = Ceph::start(CephOptions::default()).unwrap();
    let read = |args: &[&str]| -> serde_json::Value { serde_json::from_str(&cluster.ceph(args).unwrap()).unwrap() };
    // The OSD is slow to report.
    let frozen = cluster.frozen(Daemon::Osd).unwrap();
    std::thread::scope(|scope| {
        let start = scope.spawn(|| cluster.start_daemon(Daemon::Mgr));
        let available = || read(&["mgr", "stat", "--format", "json"])["available"] == true;
        wait_until("a manager", Duration::from_secs(20), available);
        sleep(Duration::from_secs(1));
        assert!(!start.is_finished());
        drop(frozen);
        start.join().unwrap().unwrap();
    });
    assert_eq!(read(&["df", "--format", "json"])["stats"]["total_bytes"], 8_u64 << 30);
}

#[test]
fn manager_makes_no_pool_of_its_own() {
    let cluster = Ceph::start(CephOptions { mgr: true, ..CephOptions::default() }).unwrap();
    // It keeps this when it has looked after the devices for the first time, for which it wants a pool.
    let looked = || cluster.ceph(&["config-key", "exists", "mgr/devicehealth/last_scrape"]).is_ok();
    wait_until("it has looked", Duration::from_secs(20), looked);
    // It looks again at every change of the OSD map.
    cluster.create_pool("rbd").unwrap();
    assert_eq!(cluster.rados(&["lspools"]).unwrap(), "rbd\n");
    cluster.wait_healthy(Duration::from_secs(20)).unwrap();
}

/// `testbed ceph -- sh` that prints the directory, then ends with status 7 once its input closes.
fn runner() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
    command
        .args(["ceph", "--", "sh", "-c", "trap 'exit 9' TERM; echo \"$SPARROW_TEST_CEPH_DIR\"; read _ || exit 7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

fn first_line(child: &mut std::process::Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn runner_returns_the_exit_status_and_ends_the_cluster() {
    let mut runner = runner().spawn().unwrap();
    let dir = first_line(&mut runner);
    let attached = Ceph::attach(Path::new(&dir)).unwrap();
    attached.create_pool("rbd").unwrap();
    assert!(attached.mon_addr().starts_with("[v2:127.0.0.1:"), "{}", attached.mon_addr());
    let pids = pids(&attached);
    drop(attached);
    assert!(pids.iter().all(|pid| alive(*pid)), "an attached handle ended the cluster");

    drop(runner.stdin.take());
    assert_eq!(runner.wait().unwrap().code(), Some(7));
    assert!(!Path::new(&dir).exists());
    assert!(!pids.into_iter().any(alive), "a daemon is left");
}

#[test]
fn runner_ends_the_cluster_on_sigterm() {
    let mut runner = runner().spawn().unwrap();
    let dir = first_line(&mut runner);
    let pids = pids(&Ceph::attach(Path::new(&dir)).unwrap());
    // Kept: waiting would close it, and end the command that way.
    let _input = runner.stdin.take();
    kill_process(Pid::from_child(&runner), Signal::TERM).unwrap();
    // The command saw it too; `read` is a builtin, so its trap runs at once.
    assert_eq!(runner.wait().unwrap().code(), Some(9));
    assert!(!Path::new(&dir).exists());
    assert!(!pids.into_iter().any(alive), "a daemon is left");
}

#[test]
fn ceph_ends_when_its_owner_is_killed() {
    let mut runner = runner().spawn().unwrap();
    let dir = first_line(&mut runner);
    let attached = Ceph::attach(Path::new(&dir)).unwrap();
    let pids = pids(&attached);
    attached.freeze(Daemon::Osd).unwrap();
    assert_eq!(pids.len(), 2);
    // Kept: the orphaned command ends when it is dropped.
    let _input = runner.stdin.take();
    runner.kill().unwrap();
    assert_eq!(runner.wait().unwrap().signal(), Some(9));
    wait_until("the directory is gone", Duration::from_secs(10), || !Path::new(&dir).exists());
    assert!(!pids.into_iter().any(alive), "a daemon is left");
}

#[test]
fn failed_start_of_ceph_shows_the_log_and_leaves_no_process() {
    let long = tempfile::Builder::new().prefix(&"x".repeat(90)).tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .args(["ceph", "--", "true"])
        .env("TMPDIR", long.path())
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(error.contains("set TMPDIR to a shorter path"), "{error}");

    let short = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .args(["ceph", "--", "true"])
        .env("TMPDIR", short.path())
        .env("PATH", "/bin-that-is-not-there:/bin-neither")
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("not installed"), "{error}");
    for dir in [long, short] {
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something is left");
    }
}

#[test]
fn test_processes_of_a_run_share_its_ceph() {
    let cluster = Ceph::shared().unwrap();
    assert!(std::ptr::eq(cluster, Ceph::shared().unwrap()));
    assert!(cluster.pid(Daemon::Osd).unwrap().is_some());
    let Some(dir) = std::env::var_os(testbed::ceph::DIR_VARIABLE) else {
        // Not beside `testbed ceph`: this process owns it. Now the same test beside one.
        assert!(cluster.keeper_pid().is_some());
        let output = Command::new(env!("CARGO_BIN_EXE_testbed"))
            .args(["ceph", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "test_processes_of_a_run_share_its_ceph"])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    };
    assert_eq!(cluster.keeper_pid(), None);
    assert_eq!(cluster.dir(), Path::new(&dir));
    for (variable, path) in cluster.variables() {
        assert_eq!(std::env::var_os(variable).unwrap(), path);
    }
}
