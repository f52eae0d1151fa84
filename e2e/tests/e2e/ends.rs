//! A cluster ends with whoever started it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use e2e::wait;
use testbed::cluster::{Cluster, ClusterOptions};

#[test]
fn a_killed_owner_leaves_nothing() {
    let links = || fs::read_dir("/sys/class/net").unwrap().count();
    let before = links();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ends::owner_to_be_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let dirs: Vec<PathBuf> =
        lines.filter_map(|line| line.unwrap().strip_prefix("directory ").map(PathBuf::from)).take(3).collect();
    assert_eq!(dirs.len(), 3, "the owner did not start a cluster");
    let name = dirs[0].file_name().unwrap().to_str().unwrap();
    // All of this is there now, so that its absence below means something.
    assert!(processes(name) > 5, "{}", processes(name));
    assert!(!groups(name).is_empty());

    owner.kill().unwrap();
    owner.wait().unwrap();
    wait("all processes to end", || Ok(processes(name) == 0)).unwrap();
    wait("the control groups to be gone", || Ok(groups(name).is_empty())).unwrap();
    wait("the directories to be gone", || Ok(!dirs.iter().any(|dir| dir.exists()))).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(name), "{mounts}");
    assert_eq!(links(), before);
}

/// Started by the test above, and killed by it.
#[test]
#[ignore = "a part of a_killed_owner_leaves_nothing"]
fn owner_to_be_killed() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    cluster.kubectl(&["run", "pod", "--image=sparrow.test/pause:1"]).unwrap();
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/pod", "--timeout=60s"]).unwrap();
    for dir in [cluster.dir(), cluster.api_server().dir(), cluster.ceph().dir()] {
        println!("directory {}", dir.display());
    }
    loop {
        std::thread::park();
    }
}

/// How many processes are in a control group of the cluster, or have its directory in their command line.
fn processes(name: &str) -> usize {
    let has = |path: PathBuf| fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains(name));
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    entries.filter(|entry| has(entry.join("cgroup")) || has(entry.join("cmdline"))).count()
}

/// Its control groups.
fn groups(name: &str) -> String {
    let found = Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", name]).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}
