//! Connections that fail and connections that are closed leave no thread and no descriptor behind. The one test of its
//! process, since it counts them.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use ceph::{Errno, Settings};
use testbed::ceph::Ceph;

/// Threads and open descriptors of this process.
fn held() -> (usize, usize) {
    let count = |directory: &str| fs::read_dir(directory).expect("procfs").count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// What is held when it has not changed for half a second; closing goes on beside.
fn settled() -> (usize, usize) {
    let mut last = held();
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(500) {
        std::thread::sleep(Duration::from_millis(20));
        let now = held();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

fn rejected(wrong: &Settings) {
    let result = wrong.configure().expect("a configuration").connect();
    let error = result.map(|_| ()).expect_err("a wrong key");
    assert!(error.is(Errno::EACCES), "{error}");
}

#[test]
fn nothing_is_left_of_a_hundred_connections() {
    let ceph = Ceph::shared().expect("a cluster");
    let right = support::settings(ceph);
    // The same entity with another key.
    let directory = tempfile::tempdir().expect("a directory");
    let keyring = directory.path().join("keyring");
    let text = fs::read_to_string(ceph.keyring()).expect("a keyring");
    let key = text.lines().find_map(|line| line.trim().strip_prefix("key = ")).expect("a key");
    let (head, tail) = key.split_at(key.len() - 8);
    let other = if tail.starts_with('A') { "B" } else { "A" };
    fs::write(&keyring, format!("[client.admin]\n\tkey = {head}{other}{}\n", &tail[1..])).expect("a keyring");
    let wrong = Settings { keyring: Some(keyring), ..right.clone() };

    let connect = || {
        let cluster = right.configure().expect("a configuration").connect().expect("a connection");
        cluster.fsid().expect("an id")
    };
    // The first of each kind makes what the libraries keep for the process.
    rejected(&wrong);
    connect();
    ceph::end_at_once();
    let before = settled();
    for _ in 0..100 {
        rejected(&wrong);
    }
    assert_eq!(settled(), before, "threads and descriptors after 100 rejected connections");
    for _ in 0..100 {
        connect();
    }
    assert_eq!(settled(), before, "threads and descriptors after 100 connections");
}
