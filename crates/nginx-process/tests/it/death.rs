//! Processes that end without being told to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nginx_process::{Error, OutcomeState, Supervisor, SupervisorSettings, SupervisorState, Volume};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::time::{sleep, timeout};

use crate::bench::{Bench, SOON, both, group};

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never {what}"));
}

#[tokio::test]
async fn killed_master_is_replaced_and_its_workers_are_ended() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let mut running = bench.start_on("one").await;
        for round in 1..=3 {
            let status = running.until("running", |status| status.state == SupervisorState::Running).await;
            let pid = status.pid.unwrap();
            assert!(group(pid).len() >= 3, "a master and two workers");
            kill(pid, Signal::KILL);
            let status = running.until("restarted", |status| status.restarts == round && status.live.is_some()).await;
            assert_ne!(status.pid, Some(pid));
            assert_eq!(group(pid), Vec::<i32>::new(), "its workers");
            assert_eq!(bench.get().await.unwrap(), "one");
        }
        // What is offered meanwhile is not lost.
        kill(running.handle.status().pid.unwrap(), Signal::KILL);
        bench.offer("two");
        running.until("two", |status| status.live.as_deref() == Some("two")).await;
        assert_eq!(bench.get().await.unwrap(), "two");
        running.stop().await;
    }
}

#[tokio::test]
async fn hanging_generator_does_not_delay_a_restart() {
    let bench = Bench::new(testbed::nginx::newest());
    let mut running = bench.start_on("one").await;
    // As a generator that is stopped in the middle of an offer.
    let lock = fs::File::open(bench.volume.dir().join("lock")).unwrap();
    lock.lock().unwrap();
    fs::write(bench.volume.dir().join("offered"), "two\n").unwrap();
    kill(running.handle.status().pid.unwrap(), Signal::KILL);
    running.until("restarted", |status| status.restarts == 1 && status.live.is_some()).await;
    assert_eq!(bench.get().await.unwrap(), "one");
    drop(lock);
    bench.offer("two");
    running.until("two", |status| status.live.as_deref() == Some("two")).await;
    running.stop().await;
}

#[tokio::test]
async fn killed_worker_is_replaced_by_its_master() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let running = bench.start_on("one").await;
        let pid = running.handle.status().pid.unwrap();
        for worker in group(pid).into_iter().filter(|member| *member != pid) {
            kill(worker, Signal::KILL);
            until("a new worker", || group(pid).len() == 3 && !group(pid).contains(&worker)).await;
        }
        assert_eq!(bench.get().await.unwrap(), "one");
        bench.offer("two");
        assert_eq!(bench.outcome("two").await.state, OutcomeState::Live);
        assert_eq!(running.handle.status().restarts, 0);
        running.stop().await;
    }
}

#[tokio::test]
async fn master_that_is_told_to_start_another_binary_does_not() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let running = bench.start_on("one").await;
        let pid = running.handle.status().pid.unwrap();
        // It is a child of the supervisor, for which nginx ignores this signal.
        kill(pid, Signal::USR2);
        bench.offer("two");
        assert_eq!(bench.outcome("two").await.state, OutcomeState::Live);
        until("alone with two workers", || group(pid).len() == 3).await;
        assert!(!bench.settings.runtime.join("nginx.pid.oldbin").exists());
        assert_eq!(bench.get().await.unwrap(), "two");
        assert_eq!((running.handle.status().pid, running.handle.status().restarts), (Some(pid), 0));
        running.stop().await;
    }
}

#[tokio::test]
async fn frozen_master_is_replaced() {
    let mut bench = Bench::new(testbed::nginx::newest());
    bench.settings.confirm_timeout = Duration::from_secs(1);
    let mut running = bench.start_on("one").await;
    let pid = running.handle.status().pid.unwrap();
    kill(pid, Signal::STOP);
    bench.offer("two");
    running.until("two", |status| status.live.as_deref() == Some("two")).await;
    assert_eq!(group(pid), Vec::<i32>::new());
    assert_eq!(bench.get().await.unwrap(), "two");
    running.stop().await;
}

#[tokio::test]
async fn dropped_supervisor_leaves_no_nginx() {
    let bench = Bench::new(testbed::nginx::newest());
    let (supervisor, handle) = Supervisor::start(bench.settings.clone()).await.unwrap();
    let task = tokio::spawn(supervisor.run(std::future::pending()));
    bench.offer("one");
    bench.outcome("one").await;
    let pid = handle.status().pid.unwrap();
    task.abort();
    until("gone", || !Path::new(&format!("/proc/{pid}")).exists()).await;
}

#[tokio::test]
async fn stop_at_any_moment_leaves_no_nginx() {
    for nginx in both() {
        for moment in 0..20 {
            let bench = Bench::new(nginx.clone());
            let running = bench.start().await;
            bench.offer("one");
            if moment % 2 == 1 {
                bench.outcome("one").await;
                bench.offer("two");
            }
            sleep(Duration::from_millis(moment * 8)).await;
            running.stop().await;
            // The master and `nginx -t` name their directory; a worker that is left would answer.
            let own = bench.settings.runtime.display().to_string();
            let named = |entry: &fs::DirEntry| {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&own)
            };
            until("gone", || !fs::read_dir("/proc").unwrap().flatten().any(|entry| named(&entry))).await;
            assert!(bench.get().await.is_err(), "something still listens, stopped after {} ms", moment * 8);
        }
    }
}

#[tokio::test]
async fn second_supervisor_of_a_runtime_directory_is_rejected() {
    let bench = Bench::new(testbed::nginx::newest());
    let running = bench.start().await;
    let error = Supervisor::start(bench.settings.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Owned(_)), "{error}");
    running.stop().await;
    bench.start().await.stop().await;
}

/// A supervisor in a process of its own.
pub struct Other(Child);

impl Other {
    pub fn start(bench: &Bench) -> Other {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "death::supervise"])
            .env("SUPERVISED", bench.settings.runtime.parent().unwrap())
            .env("SUPERVISED_NGINX", &bench.settings.nginx)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Other(child)
    }

    pub fn reaper(&self) -> i32 {
        let marked = |entry: &fs::DirEntry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            parent == Some(self.0.id()) && String::from_utf8_lossy(&line).contains("sparrow-nginx-reaper")
        };
        let reaper = fs::read_dir("/proc").unwrap().flatten().find(marked).unwrap();
        reaper.file_name().to_str().unwrap().parse().unwrap()
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for what this process has inherited from a killed one: not every machine's init does.
pub fn inherit() {
    rustix::process::set_child_subreaper(Pid::from_raw(1)).unwrap();
}

pub async fn reap(pids: &[i32]) {
    for pid in pids {
        let gone = || waitpid(Pid::from_raw(*pid), WaitOptions::NOHANG).is_err();
        until("reaped", gone).await;
    }
}

pub fn master(bench: &Bench) -> i32 {
    let text = fs::read_to_string(bench.settings.runtime.join("nginx.group")).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
#[ignore = "run by the tests below, in a process that they kill"]
async fn supervise() {
    let dir = PathBuf::from(std::env::var_os("SUPERVISED").unwrap());
    let at = |name: &str| Path::join(&dir, name);
    let nginx = std::env::var_os("SUPERVISED_NGINX").unwrap();
    let settings = SupervisorSettings::new(nginx, at("volume"), at("runtime"), at("runtime/control"));
    let (supervisor, _handle) = Supervisor::start(settings).await.unwrap();
    supervisor.run(std::future::pending()).await.unwrap();
}

#[tokio::test]
async fn killed_supervisor_leaves_no_nginx() {
    inherit();
    for nginx in both() {
        let bench = Bench::new(nginx);
        bench.offer("one");
        let mut other = Other::start(&bench);
        bench.outcome("one").await;
        let (pid, reaper) = (master(&bench), other.reaper());
        assert!(group(pid).len() >= 3);
        other.kill();
        until("gone", || group(pid).is_empty()).await;
        reap(&[pid, reaper]).await;
    }
}

#[tokio::test]
async fn next_supervisor_ends_nginx_that_was_left() {
    inherit();
    for nginx in both() {
        let bench = Bench::new(nginx);
        bench.offer("one");
        let mut other = Other::start(&bench);
        bench.outcome("one").await;
        let (pid, reaper) = (master(&bench), other.reaper());
        kill(reaper, Signal::KILL);
        other.kill();
        // Only the workers are left, which is the worst case.
        kill(pid, Signal::KILL);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(bench.get().await.unwrap(), "one", "the workers serve on");
        reap(&[pid, reaper]).await;
        let mut running = bench.start().await;
        assert_eq!(group(pid), Vec::<i32>::new());
        running.until("one", |status| status.live.as_deref() == Some("one")).await;
        assert_eq!(bench.get().await.unwrap(), "one");
        running.stop().await;
    }
}

#[tokio::test]
async fn stale_group_file_ends_no_other_process() {
    let bench = Bench::new(testbed::nginx::newest());
    let mut innocent = Command::new("sleep").arg("600").spawn().unwrap();
    Volume::open(&bench.settings.volume).unwrap();
    fs::create_dir_all(&bench.settings.runtime).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    let note = format!("{} 1 {} {}\n", innocent.id(), boot.trim_end(), namespace.display());
    fs::write(bench.settings.runtime.join("nginx.group"), note).unwrap();
    let running = bench.start().await;
    assert!(innocent.try_wait().unwrap().is_none(), "ended a process that only has the number");
    running.stop().await;
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}
