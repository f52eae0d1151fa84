//! Another binary of nginx, or another module, takes the place of the one that runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::process::Signal;
use testbed::http;

use super::support::{
    Nginx, Publisher, backend, forward, is_running, prefix, process_number, routes_of_any, signal, wait_for,
};

/// Asks on new connections until it is told to end. How many were answered; each must be.
struct Asking(Arc<AtomicBool>, JoinHandle<usize>);

impl Asking {
    fn start(nginx: &Nginx) -> Self {
        let (ends, address) = (Arc::new(AtomicBool::new(false)), nginx.address);
        let told = Arc::clone(&ends);
        let ask = move || {
            let mut answered = 0;
            while !told.load(Ordering::Relaxed) {
                http::get(address, "any.example", "/", "").unwrap().expect(200);
                answered += 1;
            }
            answered
        };
        Self(ends, thread::spawn(ask))
    }

    fn end(self) -> usize {
        self.0.store(true, Ordering::Relaxed);
        self.1.join().unwrap()
    }
}

/// The module with another version, of which it tells.
fn other_version(directory: &Path) -> PathBuf {
    let mut bytes = fs::read(testbed::nginx::module()).unwrap();
    let version = concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes();
    let places: Vec<_> = bytes.windows(version.len()).enumerate().filter(|(_, found)| *found == version).collect();
    let places: Vec<usize> = places.into_iter().map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] = b'9';
    }
    let path = directory.join("next.so");
    fs::write(&path, bytes).unwrap();
    path
}

/// The versions of the module of which workers of a master tell, as far as asking many times finds them.
fn versions(nginx: &Nginx, master: i32) -> Vec<String> {
    let master = u64::try_from(master).unwrap();
    let told = (0..50).filter_map(|_| nginx.status().ok());
    let mut versions: Vec<_> =
        told.filter(|status| process_number(status.pid, "PPid") == master).map(|status| status.version).collect();
    versions.dedup();
    versions
}

#[test]
fn another_binary_and_module_route_by_the_same_table_beside_the_old_ones() {
    let (a, b, mut publisher, dir) = (backend("a"), backend("b"), Publisher::new(), tempfile::tempdir().unwrap());
    publisher.publish(&routes_of_any(vec![forward(prefix("/"), a)]));
    let nginx = Nginx::start_daemon(&publisher, 2);
    let (old, own) = (nginx.master(), env!("CARGO_PKG_VERSION"));
    let next_version = format!("9{}", &own[1..]);
    let asking = Asking::start(&nginx);
    nginx.load_module(&other_version(dir.path()));
    signal(old, Signal::USR2);
    let next = wait_for("the next master", || Some(nginx.master()).filter(|pid| *pid != old));
    let both = || {
        let [old, next] = [old, next].map(|master| versions(&nginx, master));
        (old == [own] && next == [next_version.as_str()]).then_some(())
    };
    wait_for("workers of both", both);
    // All of them adopt what is published, by the way.
    publisher.publish(&routes_of_any(vec![forward(prefix("/"), b)]));
    for _ in 0..100 {
        assert_eq!(nginx.found("any.example", "/"), Ok("b".to_owned()));
    }
    wait_for("workers of both", both);
    signal(old, Signal::QUIT);
    wait_for("the end of the old master", || (!is_running(old)).then_some(()));
    let revision = publisher.publish(&routes_of_any(vec![forward(prefix("/"), a)]));
    for _ in 0..100 {
        assert_eq!(nginx.found("any.example", "/"), Ok("a".to_owned()));
    }
    let status = nginx.status().unwrap();
    assert_eq!((status.version, status.revision), (next_version, revision));
    let answered = asking.end();
    assert!(answered > 100, "only {answered} requests");
}

#[test]
fn a_binary_that_cannot_use_the_module_leaves_the_old_one_at_work() {
    let (a, mut publisher, dir) = (backend("a"), Publisher::new(), tempfile::tempdir().unwrap());
    publisher.publish(&routes_of_any(vec![forward(prefix("/"), a)]));
    let nginx = Nginx::start_daemon(&publisher, 1);
    let (master, pid) = (nginx.master(), nginx.status().unwrap().pid);
    let broken = dir.path().join("broken.so");
    fs::write(&broken, "no module").unwrap();
    nginx.load_module(&broken);
    for (signals, said) in [(Signal::USR2, "dlopen() \""), (Signal::HUP, "dlopen() \"")] {
        let before = nginx.error_log().matches(said).count();
        signal(master, signals);
        wait_for("what is said of it", || (nginx.error_log().matches(said).count() > before).then_some(()));
        assert_eq!(nginx.found("any.example", "/"), Ok("a".to_owned()));
        assert_eq!((nginx.master(), nginx.status().unwrap().pid), (master, pid));
    }
}

#[test]
fn a_reload_takes_another_module_only_under_another_name() {
    let (a, b, mut publisher, dir) = (backend("a"), backend("b"), Publisher::new(), tempfile::tempdir().unwrap());
    publisher.publish(&routes_of_any(vec![forward(prefix("/"), a)]));
    let nginx = Nginx::start(&publisher, 2);
    let own = env!("CARGO_PKG_VERSION");
    let next_version = format!("9{}", &own[1..]);
    let (file, next) = (dir.path().join("module.so"), other_version(dir.path()));
    // Put in its place by a rename, as packages do: what runs has the old file.
    let replace = |source: &Path| {
        fs::copy(source, dir.path().join("staged")).unwrap();
        fs::rename(dir.path().join("staged"), &file).unwrap();
    };
    replace(&testbed::nginx::module());
    for (module, version) in [(&file, own), (&file, own), (&next, &next_version), (&file, &next_version)] {
        nginx.load_module(module);
        let before = nginx.workers();
        nginx.reload();
        wait_for("new workers", || nginx.workers().is_disjoint(&before).then_some(()));
        assert_eq!(nginx.status().unwrap().version, version, "{}", module.display());
        for (name, address) in [("b", b), ("a", a)] {
            publisher.publish(&routes_of_any(vec![forward(prefix("/"), address)]));
            assert_eq!(nginx.found("any.example", "/"), Ok(name.to_owned()));
        }
        // What is loaded stays under its name: only the last round, where it is loaded no more, takes this one.
        replace(&next);
    }
}
