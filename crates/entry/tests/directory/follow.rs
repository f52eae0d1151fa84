//! What is served follows the manifests.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, getpriority_process};

use crate::common::{Bench, backend, debian, eventually, programs, service, until};

#[test]
fn edited_manifest_is_served_and_removed_one_is_not() {
    let (one, two) = (backend("one"), backend("two"));
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("shop.yaml", &service("shop", one));
        let entry = bench.start(&["run"]);
        let answer = bench.get("any.example", "/shop/a%2Fb?c").unwrap();
        assert_eq!((answer.status, &*answer.text()), (200, "/a%2Fb?c"));
        // Live.
        bench.write("shop.yaml", &service("shop", two));
        bench.answers("/shop", 200, "two");
        bench.write("blog.yaml", &service("blog", one));
        bench.answers("/blog/", 200, "one");
        assert_eq!(bench.asks("any.example", "/shop"), (200, "two".to_owned()));
        bench.remove("shop.yaml");
        bench.answers("/shop", 404, "");
        assert_eq!(bench.asks("any.example", "/blog"), (200, "one".to_owned()));
        // What is told of it.
        let page = entry.admin("/").unwrap().text();
        assert!(page.contains("prefix /blog") && !page.contains("/shop"), "{page}");
        let [routes, accepted] = ["routes", "objects{outcome=\"accepted\"}"].map(|name| entry.metric(name));
        assert_eq!((routes.to_string(), accepted.to_string()), ("1".to_owned(), "1".to_owned()));
        eventually("live", || entry.metric("generation_lag_seconds").to_string() == "0");
        assert_eq!((entry.count("generations"), entry.count("nginx_reloads")), (4, 0));
        // It takes nginx with it.
        entry.terminate();
        assert!(bench.get("any.example", "/blog").is_none());
    }
}

#[test]
fn requests_come_before_changes() {
    let bench = Bench::new(&debian());
    bench.write("shop.yaml", &service("shop", backend("one")));
    let entry = bench.start(&["run"]);
    let niceness = |thread: Option<Pid>| getpriority_process(thread).unwrap();
    // How long it asks to run at a time, in nanoseconds: told by Linux since it can be asked for.
    let slice = |process: &Path| -> Option<u64> {
        let told = fs::read_to_string(process.join("sched")).ok()?;
        told.lines().find(|line| line.starts_with("se.slice"))?.rsplit(':').next()?.trim().parse().ok()
    };
    let usual = slice("/proc/thread-self".as_ref());
    let nginx = entry.nginx().unwrap();
    let workers = fs::read_to_string(format!("/proc/{0}/task/{0}/children", nginx.as_raw_nonzero())).unwrap();
    for pid in workers.split_whitespace().map(|pid| pid.parse().unwrap()).chain([nginx.as_raw_nonzero().get()]) {
        assert_eq!(niceness(Pid::from_raw(pid)), niceness(None), "nginx is as nice as who starts the entry");
        assert_eq!(slice(format!("/proc/{pid}").as_ref()), usual, "nginx has the slices of who starts the entry");
    }
    for thread in fs::read_dir(format!("/proc/{}/task", entry.pid())).unwrap().flatten() {
        // It may have ended.
        let Ok(name) = fs::read_to_string(thread.path().join("comm")) else { continue };
        let slice = slice(&thread.path());
        let thread = thread.file_name().to_str().unwrap().parse().unwrap();
        let Ok(found) = getpriority_process(Pid::from_raw(thread)) else { continue };
        // The allocator starts a thread of its own before anything else is run.
        let is_first = ["nginx-starter", "nginx-stderr", "jemalloc_bg_thd"].contains(&name.trim());
        assert_eq!(found, if is_first { niceness(None) } else { (niceness(None) + 10).min(19) }, "{name}");
        assert_eq!(slice, if is_first { usual } else { usual.map(|_| 20_000_000) }, "{name}");
    }
}

#[test]
fn requests_are_logged_and_counted() {
    let port = backend("one");
    for program in programs() {
        let mut bench = Bench::new(&program);
        bench.write("shop.yaml", &service("shop", port));
        let log = bench.path("access");
        bench.flag("--access-log", log.display().to_string());
        let entry = bench.start(&["run"]);
        bench.answers("/shop/x?q=%22", 200, "one");
        assert_eq!(bench.asks("any.example", "/none").0, 404);
        let lines =
            until("logged", || Some(fs::read_to_string(&log).unwrap()).filter(|text| text.lines().count() >= 2));
        let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found = |status: u64| lines.iter().find(|line| line["status"] == status).unwrap();
        assert_eq!(found(200)["uri"], "/shop/x?q=%22");
        assert_eq!(found(200)["route"], "Service default/shop");
        assert_eq!(found(200)["upstream"], format!("127.0.0.1:{port}"));
        assert_eq!(found(404)["upstream"], "");
        // Of its own counters nginx tells if it was built with the module for that.
        let built = String::from_utf8(Command::new(&program.nginx).arg("-V").output().unwrap().stderr).unwrap();
        assert_eq!(entry.count("nginx_requests") >= 2, built.contains("http_stub_status_module"));
        entry.terminate();
    }
}

#[test]
fn half_written_manifest_keeps_its_routes() {
    let port = backend("one");
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("shop.yaml", &format!("{}---\n{}", service("shop", port), service("blog", port)));
        let entry = bench.start(&["run"]);
        bench.answers("/blog", 200, "one");
        let generations = entry.count("generations");
        // Someone writes it in place and takes his time. It is not even looked at, unless he pauses for a second.
        let mut file = File::create(bench.path("objects/shop.yaml")).unwrap();
        let mut longest = Duration::ZERO;
        for part in service("shop", port).as_bytes()[..40].chunks(2) {
            let begun = Instant::now();
            file.write_all(part).unwrap();
            sleep(Duration::from_millis(100));
            longest = longest.max(begun.elapsed());
        }
        let refused = entry.metric("objects{outcome=\"rejected\"}") > 0.0;
        assert!(!refused || longest > Duration::from_millis(800), "{longest:?}");
        assert_eq!(bench.asks("any.example", "/blog").0, 200);
        // He goes away in the middle of it.
        drop(file);
        eventually("told", || entry.metric("objects{outcome=\"rejected\"}") > 0.0);
        entry.says("Manifest shop.yaml");
        entry.says("stays in force: ");
        assert!(!entry.log().contains("Nothing of it is served"), "it is");
        assert!(entry.metric("findings{reason=\"Invalid\"}") > 0.0);
        assert_eq!(entry.admin("/readyz").unwrap().status, 200, "it serves what it served");
        for path in ["/shop", "/blog"] {
            assert_eq!(bench.asks("any.example", path), (200, "one".to_owned()));
        }
        assert_eq!(entry.count("generations"), generations);
        // Others are followed all the same.
        bench.write("news.yaml", &service("news", port));
        bench.answers("/news", 200, "one");
        bench.write("shop.yaml", &service("shop", port));
        bench.answers("/blog", 404, "");
        eventually("good again", || entry.metric("objects{outcome=\"rejected\"}") == 0.0);
        entry.terminate();
    }
}

#[test]
fn readiness_waits_for_a_served_configuration() {
    let bench = Bench::new(&debian());
    // nginx alone, with nothing on the volume.
    let nginx = bench.start_unready(&["nginx"]);
    let answer = until("asked", || nginx.admin("/readyz"));
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("no configuration is served yet"), "{}", answer.text());
    assert_eq!(nginx.admin("/healthz").unwrap().status, 200);
    assert_eq!(nginx.metric("ready").to_string(), "0");
    bench.ends(0, &["generate"]);
    nginx.wait_ready();
    assert_eq!(nginx.metric("ready").to_string(), "1");
    bench.answers("/", 404, "");
}

#[test]
fn watch_and_nginx_work_through_a_volume() {
    let (one, two) = (backend("one"), backend("two"));
    for program in programs() {
        let bench = Bench::new(&program);
        bench.write("shop.yaml", &service("shop", one));
        bench.ends(0, &["generate"]);
        let serving = bench.start(&["nginx"]);
        bench.answers("/shop", 200, "one");
        let watching = bench.start(&["watch"]);
        assert_eq!(watching.count("generations"), 0, "generate has written the same");
        bench.write("shop.yaml", &service("shop", two));
        bench.answers("/shop", 200, "two");
        eventually("known to be live", || watching.metric("generation_lag_seconds") == 0.0);
        // What watch wrote last stays when it goes, and it goes on where it was.
        watching.terminate();
        bench.write("blog.yaml", &service("blog", one));
        let watching = bench.start(&["watch"]);
        bench.answers("/blog", 200, "one");
        // nginx comes and goes too.
        serving.terminate();
        let before = watching.count("generations");
        bench.write("news.yaml", &service("news", two));
        eventually("offered", || watching.count("generations") > before);
        eventually("known to be served by nobody", || watching.metric("generation_lag_seconds") > 0.0);
        let _serving = bench.start(&["nginx"]);
        bench.answers("/news", 200, "two");
        eventually("known to be live", || watching.metric("generation_lag_seconds") == 0.0);
        watching.terminate();
    }
}

#[test]
fn many_changes_lead_to_few_reloads() {
    let port = backend("one");
    for program in programs() {
        let (bench, entry) = Bench::serving_shop(&program, port);
        let before = entry.count("nginx_reloads");
        let begun = Instant::now();
        for number in 1..=500_u32 {
            bench.write("shop.yaml", &service(&format!("shop{number}"), port));
            let due = begun + Duration::from_millis(2) * number;
            sleep(due.saturating_duration_since(Instant::now()));
        }
        let took = begun.elapsed();
        bench.answers("/shop500", 200, "one");
        let reloads = entry.count("nginx_reloads") - before;
        // At most one in 150 ms, and the last. A machine that takes longer to write them may reload more often.
        let most = 1 + took.as_millis().div_ceil(150);
        assert!(u128::from(reloads) <= most, "{reloads} reloads in {took:?}");
        for path in ["/shop", "/shop499"] {
            assert_eq!(bench.asks("any.example", path).0, 404);
        }
        entry.terminate();
    }
}

#[test]
fn modification_time_of_a_manifest_does_not_matter() {
    let (one, two) = (backend("one"), backend("two"));
    let bench = Bench::new(&debian());
    bench.write("shop.yaml", &service("shop", one));
    let _entry = bench.start(&["run"]);
    bench.answers("/shop", 200, "one");
    // Newer content with an older date, as an archive brings it.
    let beside = bench.path("beside");
    fs::write(&beside, service("shop", two)).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    File::options().write(true).open(&beside).unwrap().set_modified(long_ago).unwrap();
    fs::rename(&beside, bench.path("objects/shop.yaml")).unwrap();
    bench.answers("/shop", 200, "two");
}
