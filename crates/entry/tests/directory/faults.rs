//! What goes wrong around it: nginx dies, it dies itself, the volume is full, the clock jumps; and the end under load.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testbed::clients::{Clients, ConnectionReuse, Traffic};

use crate::common::clock::Clock;
use crate::common::tls::{Certificate, secret};
use crate::common::{Bench, CLASS, backend, debian, eventually, ingress, programs, service, until};

#[test]
fn killed_nginx_is_started_again() {
    let port = backend("one");
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("shop.yaml", &service("shop", port));
        let entry = bench.start(&["run"]);
        for round in 1..=2 {
            bench.answers("/shop", 200, "one");
            let master = until("its pid", || entry.nginx());
            kill_process(master, Signal::KILL).unwrap();
            eventually("counted", || entry.count("nginx_restarts") == round);
            assert_ne!(entry.nginx(), Some(master));
            entry.wait_ready();
        }
        bench.answers("/shop", 200, "one");
        // And it can still be told new things.
        bench.write("shop.yaml", &service("blog", port));
        bench.answers("/blog", 200, "one");
        entry.terminate();
    }
}

#[test]
fn killed_entry_leaves_no_nginx_and_resumes() {
    let port = backend("one");
    for program in programs() {
        let (bench, entry) = Bench::serving_shop(&program, port);
        let master = until("its pid", || entry.nginx());
        kill_process(Pid::from_raw(entry.pid().try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
        drop(entry);
        eventually("gone", || !Path::new(&format!("/proc/{}", master.as_raw_nonzero())).exists());
        assert!(bench.get("any.example", "/shop").is_none());
        let entry = bench.start(&["run"]);
        bench.answers("/shop", 200, "one");
        assert_eq!(entry.count("nginx_reloads"), 0);
        entry.terminate();
    }
}

#[test]
fn second_entry_in_a_runtime_directory_ends_at_once() {
    let bench = Bench::new(&debian());
    bench.write("shop.yaml", &service("shop", 81));
    let entry = bench.start(&["run"]);
    let (_, err) = bench.ends(2, &["nginx", "--admin", "127.0.0.1:0"]);
    assert!(err.contains(bench.path("run").to_str().unwrap()), "{err}");
    bench.answers("/", 404, "");
    entry.terminate();
}

#[test]
fn admin_address_in_use_is_the_only_thing_reported() {
    let bench = Bench::new(&debian());
    bench.write("shop.yaml", &service("shop", 81));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for command in ["watch", "nginx", "run"] {
        let (_, err) = bench.ends(2, &[command, "--admin", &address]);
        assert!(err.contains(&format!("--admin: cannot listen on {address}")), "{err}");
        assert!(!err.contains("ERROR"), "{err}");
        assert_eq!(err.matches("os error").count(), 1, "{err}");
    }
    // That of the traffic is waited for.
    let taken = TcpListener::bind(bench.http).unwrap();
    let entry = bench.start_unready(&["run"]);
    let reason = format!("bind() to {} failed (98: ", bench.http);
    eventually("told", || {
        entry.admin("/readyz").is_some_and(|answer| answer.status == 503 && answer.text().contains(&reason))
    });
    let body = entry.admin("/readyz").unwrap().text();
    assert!(!body.contains(bench.path("volume").to_str().unwrap()), "{body}");
    drop(taken);
    entry.wait_ready();
    entry.terminate();
}

#[test]
fn missing_api_server_is_reported_once() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut bench = Bench::without_source(&debian());
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{ name: c, cluster: {{ server: \"http://{nobody}\" }} }}]\nusers: [{{ name: u, user: \
         {{}} }}]\ncontexts: [{{ name: x, context: {{ cluster: c, user: u }} }}]\ncurrent-context: x\n"
    );
    fs::write(bench.path("kubeconfig"), kubeconfig).unwrap();
    bench.flag("--kubeconfig", bench.path("kubeconfig").display().to_string());
    bench.flag("--no-status", "true".to_owned());
    let entry = bench.start_unready(&["watch"]);
    entry.says("cannot follow Service objects");
    // It is tried again and again meanwhile.
    sleep(Duration::from_secs(3));
    let log = entry.log();
    assert_eq!(log.matches("cannot follow Service objects").count(), 1, "{log}");
    assert!(log.lines().filter(|line| line.contains("ERROR")).all(|line| line.contains("cannot follow")), "{log}");
    assert!(!log.contains("\"WARN\"") && !log.contains("\"target\":\"kube"), "{log}");
    entry.terminate();
}

#[test]
fn no_request_is_lost_when_terminated_under_load() {
    let port = backend("one");
    // The oldest closes idle connections at once, and a request may be on its way.
    let mut bench = Bench::new(&debian());
    bench.flag("--drain-delay", "1s".to_owned());
    bench.write("shop.yaml", &service("shop", port));
    let mut entry = bench.start(&["run"]);
    bench.answers("/shop", 200, "one");
    let clients = Clients::start(16, bench.http, "/shop", ConnectionReuse::Blindly);
    sleep(Duration::from_millis(500));
    entry.tell_to_end();
    // The balancers in front hear of it: everything is still served, and by and by there are no new connections.
    eventually("told", || entry.admin("/readyz").is_some_and(|answer| answer.status == 503));
    sleep(Duration::from_millis(300));
    assert_eq!(bench.asks("any.example", "/shop").0, 200);
    clients.stop_connecting();
    assert!(entry.ended().success());
    // Each was told `Connection: close`, so they end by themselves.
    let Traffic { sent, lost } = clients.join();
    assert!(sent > 200, "only {sent} requests: this proves nothing");
    assert_eq!(lost, 0, "of {sent}");
}

#[test]
fn full_volume_keeps_the_live_configuration() {
    let port = backend("one");
    let bench = Bench::new(&debian());
    let volume = bench.path("volume");
    fs::create_dir(&volume).unwrap();
    bench.write("shop.yaml", &service("shop", port));
    // In a mount namespace of its own, which ends with it, the volume is small.
    let root = rustix::process::geteuid().is_root();
    let small = format!("mount -t tmpfs -o size=512k tmpfs '{}'; exec \"$0\" \"$@\"", volume.display());
    let mut by = vec!["unshare", "--mount"];
    if !root {
        by.extend(["--user", "--map-root-user"]);
    }
    by.extend(["sh", "-ec", &small]);
    let entry = bench.start_by(&by, &["run"]);
    entry.wait_ready();
    bench.answers("/shop", 200, "one");
    let ballast = PathBuf::from(format!("/proc/{}/root{}/ballast", entry.pid(), volume.display()));
    fs::write(&ballast, vec![0; 1 << 20]).unwrap_err();
    bench.write("blog.yaml", &service("blog", port));
    eventually("told", || entry.metric("offer_failing") > 0.0);
    entry.says("the configuration in force stays: a new one cannot be offered");
    for line in entry.log().lines().filter(|line| line.contains("cannot be offered")) {
        assert_eq!(line.matches("os error 28").count(), 1, "{line}");
    }
    assert_eq!(bench.asks("any.example", "/shop"), (200, "one".to_owned()));
    assert_eq!(bench.asks("any.example", "/blog").0, 404);
    assert_eq!(entry.admin("/readyz").unwrap().status, 200, "it serves");
    // Once there is room, it goes on without another change.
    fs::remove_file(&ballast).unwrap();
    bench.answers("/blog", 200, "one");
    entry.says("configurations can be offered again");
    assert_eq!(entry.metric("offer_failing").to_string(), "0");
    entry.terminate();
}

#[test]
fn clock_jumps_change_only_certificate_expiry() {
    const YEAR: i64 = 365 * 24 * 3600;
    let (one, two) = (backend("one"), backend("two"));
    // Debian's, since the library has no hold of one that is linked statically.
    let bench = Bench::new(&debian()).with_https();
    let clock = Clock::new(&bench.path("clock"));
    bench.write("tls.yaml", &secret("tls", &Certificate::until("a.example", 2100)));
    bench.write("web.yaml", &format!("{CLASS}---\n{}", ingress("web", "a.example", "shop", one, Some("tls"))));
    bench.write("shop.yaml", &service("shop", one));
    let entry = bench.start_by(&clock.by(), &["run"]);
    entry.wait_ready();
    let dated = |year: i64| format!("\"timestamp\":\"{year}");
    let year = || entry.log().lines().last().and_then(|line| line.get(14..18)?.parse::<i64>().ok()).unwrap();
    let now = year();
    for (round, years) in [-20, 0, 90, 30, -1].into_iter().enumerate() {
        clock.jump(years * YEAR);
        let (port, name) = if round % 2 == 0 { (two, "two") } else { (one, "one") };
        bench.write("shop.yaml", &service("shop", port));
        bench.answers("/shop", 200, name);
        eventually("live", || entry.metric("generation_lag_seconds") == 0.0);
        // What depends on the date is told at the next change.
        let expired = years == 90;
        eventually("the certificate", || (entry.metric("findings{reason=\"InvalidRef\"}") > 0.0) == expired);
        let master = until("its pid", || entry.nginx());
        kill_process(master, Signal::KILL).unwrap();
        eventually("started again", || entry.count("nginx_restarts") == round as u64 + 1);
        eventually("the date", || {
            // Not all years are as long.
            (-1..=1).any(|off| entry.log().contains(&dated(now + years + off)))
        });
        bench.answers("/shop", 200, name);
    }
    entry.terminate();
}

#[test]
fn lag_metric_grows_while_the_volume_is_locked() {
    let port = backend("one");
    for program in programs() {
        let (bench, entry) = Bench::serving_shop(&program, port);
        eventually("live", || entry.metric("generation_lag_seconds") <= 0.0);
        let lock = fs::File::open(bench.path("volume/lock")).unwrap();
        lock.lock().unwrap();
        bench.write("shop.yaml", &service("blog", port));
        eventually("told", || entry.metric("generation_lag_seconds") > 1.0);
        // A change more does not begin anew.
        let before = entry.metric("generation_lag_seconds");
        bench.write("more.yaml", &service("more", port));
        eventually("it goes on", || entry.metric("generation_lag_seconds") > before + 1.0);
        lock.unlock().unwrap();
        bench.answers("/blog", 200, "one");
        bench.answers("/more", 200, "one");
        eventually("live again", || entry.metric("generation_lag_seconds") <= 0.0);
        entry.terminate();
    }
}
