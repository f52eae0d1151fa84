//! What becomes of offers.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nginx_process::{Error, OutcomeState, SupervisorState, Volume};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::bench::{Bench, both};

#[tokio::test]
async fn offered_revisions_go_live_in_turn() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let mut running = bench.start().await;
        assert_eq!(running.handle.status().state, SupervisorState::Waiting);
        bench.offer("one");
        let outcome = bench.outcome("one").await;
        assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Live, Some("one")), "{outcome:?}");
        assert_eq!(bench.get().await.unwrap(), "one");
        bench.offer("two");
        assert_eq!(bench.outcome("two").await.state, OutcomeState::Live);
        // Confirmed means: no new connection is answered by the former one.
        for _ in 0..100 {
            assert_eq!(bench.get().await.unwrap(), "two");
        }
        let status = running.until("running", |status| status.state == SupervisorState::Running).await;
        assert_eq!((status.live.as_deref(), status.frame_reloads), (Some("two"), 1));
        running.stop().await;
        assert!(bench.get().await.is_err(), "something still listens");
    }
}

#[tokio::test]
async fn rejected_revision_is_tried_once_and_not_served() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let running = bench.start_on("good").await;
        let bad = bench.files("bad", "no_such_directive on;", "");
        bench.volume.offer("bad", &bad, None).unwrap();
        let outcome = bench.outcome("bad").await;
        assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Refused, Some("good")));
        assert!(outcome.message.contains("unknown directive \"no_such_directive\""), "{}", outcome.message);
        assert!(!outcome.message.contains("test failed"), "{}", outcome.message);
        assert_eq!(bench.get().await.unwrap(), "good");
        bench.volume.offer("bad", &bad, None).unwrap();
        sleep(Duration::from_millis(500)).await;
        let status = running.handle.status();
        // One signal: its words were enough, and the test's, for nginx to be left in peace.
        assert_eq!((status.refused, status.frame_reloads, status.state), (1, 1, SupervisorState::Running));
        // Back to what is in force: nothing to do, but it has an outcome.
        bench.offer("good");
        assert_eq!(bench.outcome("good").await.state, OutcomeState::Live);
        assert_eq!(running.handle.status().frame_reloads, 1);
        // Something else was offered between: it is tried again.
        bench.volume.offer("bad", &bad, None).unwrap();
        bench.outcome("bad").await;
        assert_eq!(running.handle.status().refused, 2);
        running.stop().await;
    }
}

#[tokio::test]
async fn rejection_is_explained_by_a_test_when_stderr_is_silent() {
    for nginx in both() {
        let mut bench = Bench::new(nginx);
        bench.settings.confirm_timeout = Duration::from_secs(1);
        let running = bench.start().await;
        let log = format!("error_log {} notice;", bench.path("log").display());
        let silent = |hash: &str, http: &str| {
            let mut files = bench.files(hash, http, "");
            let main = files.get_mut("nginx.conf").unwrap();
            *main = String::from_utf8(main.clone()).unwrap().replace("error_log stderr notice;", &log).into_bytes();
            bench.volume.offer(hash, &files, None).unwrap();
        };
        silent("one", "");
        bench.outcome("one").await;
        silent("bad", "no_such_directive on;");
        let outcome = bench.outcome("bad").await;
        assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Refused, Some("one")));
        assert!(outcome.message.contains("unknown directive \"no_such_directive\""), "{}", outcome.message);
        assert_eq!(bench.get().await.unwrap(), "one");
        silent("two", "");
        assert_eq!(bench.outcome("two").await.state, OutcomeState::Live);
        running.stop().await;
    }
}

#[tokio::test]
async fn revision_that_is_slow_to_read_goes_live() {
    for nginx in both() {
        let mut bench = Bench::new(nginx);
        bench.settings.confirm_timeout = Duration::from_millis(50);
        let running = bench.start_on("small").await;
        let many: String = (0..10_000).map(|number| format!("location /{number} {{ return 204; }}\n")).collect();
        bench.volume.offer("large", &bench.files("large", "", &many), None).unwrap();
        let outcome = bench.outcome("large").await;
        assert_eq!(outcome.state, OutcomeState::Live, "{outcome:?}");
        let status = running.handle.status();
        assert_eq!((status.failed, status.restarts, status.frame_reloads), (0, 0, 1));
        running.stop().await;
    }
}

#[tokio::test]
async fn rejected_first_revision_leaves_no_nginx() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let running = bench.start().await;
        bench.volume.offer("bad", &bench.files("bad", "no_such_directive on;", ""), None).unwrap();
        let outcome = bench.outcome("bad").await;
        assert_eq!((outcome.state, outcome.live), (OutcomeState::Refused, None));
        assert_eq!(running.handle.status().state, SupervisorState::Waiting);
        bench.offer("good");
        assert_eq!(bench.outcome("good").await.state, OutcomeState::Live);
        running.stop().await;
    }
}

#[tokio::test]
async fn failed_reload_keeps_the_last_good_revision() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let running = bench.start().await;
        let zone = |key: &str| format!("limit_req_zone ${key} zone=z:64k rate=1r/s;");
        bench.volume.offer("one", &bench.files("one", &zone("remote_addr"), ""), None).unwrap();
        assert_eq!(bench.outcome("one").await.state, OutcomeState::Live);
        // The zone is in memory with another key. `nginx -t` does not see that memory.
        bench.volume.offer("two", &bench.files("two", &zone("host"), ""), None).unwrap();
        let outcome = bench.outcome("two").await;
        assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Failed, Some("one")));
        assert!(outcome.message.contains("while previously it used the"), "{}", outcome.message);
        assert_eq!(bench.volume.live().as_deref(), Some("one"));
        assert_eq!(bench.get().await.unwrap(), "one");
        bench.volume.offer("three", &bench.files("three", &zone("remote_addr"), ""), None).unwrap();
        assert_eq!(bench.outcome("three").await.state, OutcomeState::Live);
        running.stop().await;
    }
}

#[tokio::test]
async fn address_in_use_is_waited_for_and_then_reported() {
    for nginx in both() {
        let bench = Bench::new(nginx);
        let running = bench.start_on("one").await;
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = format!("listen {};", other.local_addr().unwrap());
        bench.volume.offer("two", &bench.files("two", "", &listen), None).unwrap();
        let outcome = bench.outcome("two").await;
        assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Failed, Some("one")));
        assert!(
            outcome.message.contains("in use") && outcome.message.contains("still could not bind"),
            "{}",
            outcome.message
        );
        assert_eq!(bench.get().await.unwrap(), "one");
        // nginx complains at once, and then gets it.
        bench.volume.offer("three", &bench.files("three", "", &listen), None).unwrap();
        sleep(Duration::from_millis(1200)).await;
        drop(other);
        assert_eq!(bench.outcome("three").await.state, OutcomeState::Live);
        assert_eq!(bench.get().await.unwrap(), "three");
        running.stop().await;
    }
}

#[tokio::test]
async fn first_start_is_retried_when_the_address_was_in_use() {
    let bench = Bench::new(testbed::nginx::newest());
    let mut running = bench.start().await;
    let other = std::net::TcpListener::bind(bench.address).unwrap();
    bench.offer("one");
    let outcome = bench.outcome("one").await;
    assert_eq!((outcome.state, outcome.live), (OutcomeState::Failed, None));
    assert!(outcome.message.contains("still could not bind"), "{}", outcome.message);
    drop(other);
    running.until("one", |status| status.live.as_deref() == Some("one")).await;
    assert_eq!(bench.get().await.unwrap(), "one");
    running.stop().await;
}

#[tokio::test]
async fn unconfirmed_revision_is_rolled_back() {
    for nginx in both() {
        let mut bench = Bench::new(nginx);
        bench.settings.confirm_timeout = Duration::from_secs(2);
        let mut running = bench.start_on("one").await;
        bench.volume.offer("two", &bench.files("other", "", ""), None).unwrap();
        let outcome = bench.outcome("two").await;
        assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Failed, Some("one")));
        assert!(outcome.message.contains("still answered by revision \"other\""), "{}", outcome.message);
        for _ in 0..100 {
            assert_eq!(bench.get().await.unwrap(), "one");
        }
        let status = running.until("running", |status| status.state == SupervisorState::Running).await;
        assert_eq!((status.failed, status.frame_reloads), (1, 2));
        running.stop().await;
    }
}

#[tokio::test]
async fn hanging_test_is_killed_and_retried() {
    let mut bench = Bench::new(testbed::nginx::newest());
    let (hang, nginx) = (bench.path("hang"), bench.path("nginx"));
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' -t '*) [ -e {} ] && exec sleep 271828 ;; esac\nexec {} \"$@\"\n",
        hang.display(),
        bench.settings.nginx.display()
    );
    fs::write(&nginx, script).unwrap();
    fs::set_permissions(&nginx, fs::Permissions::from_mode(0o755)).unwrap();
    bench.settings.nginx = nginx;
    bench.settings.test_timeout = Duration::from_secs(2);
    let running = bench.start_on("one").await;
    // After a refusal, what comes next is tested before nginx reads it.
    bench.volume.offer("bad", &bench.files("bad", "no_such_directive on;", ""), None).unwrap();
    assert_eq!(bench.outcome("bad").await.state, OutcomeState::Refused);
    fs::write(&hang, "").unwrap();
    bench.offer("two");
    let outcome = bench.outcome("two").await;
    assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Failed, Some("one")));
    assert_eq!(running.handle.status().frame_reloads, 1);
    assert!(outcome.message.contains("did not end"), "{}", outcome.message);
    assert_eq!(bench.get().await.unwrap(), "one");
    let sleeps =
        |entry: &fs::DirEntry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x00271828\x00");
    fs::remove_file(&hang).unwrap();
    // It said nothing about the revision: without another offer it is tried again.
    let mut status = running.handle.status.clone();
    let live = status.wait_for(|status| status.live.as_deref() == Some("two"));
    tokio::time::timeout(crate::bench::SOON, live).await.unwrap().unwrap();
    assert_eq!(fs::read_dir("/proc").unwrap().flatten().filter(sleeps).count(), 0);
    running.stop().await;
}

#[tokio::test]
async fn incomplete_revision_is_not_used() {
    let bench = Bench::new(testbed::nginx::newest());
    let running = bench.start_on("one").await;
    let volume = bench.volume.dir().to_owned();
    // A generator that died while writing, and one that does not rename.
    fs::create_dir_all(volume.join("generations/.tmp-offer-x/new")).unwrap();
    fs::write(volume.join("generations/.tmp-offer-x/new/nginx.conf"), "events {").unwrap();
    fs::write(volume.join("offered"), "../../../etc\n").unwrap();
    sleep(Duration::from_millis(300)).await;
    fs::write(volume.join("offered"), "missing\n").unwrap();
    let outcome = bench.outcome("missing").await;
    assert_eq!((outcome.state, outcome.live.as_deref()), (OutcomeState::Failed, Some("one")));
    assert_eq!(bench.get().await.unwrap(), "one");
    bench.offer("two");
    assert_eq!(bench.outcome("two").await.state, OutcomeState::Live);
    assert!(!volume.join("generations/.tmp-offer-x").exists());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_offers_lead_to_few_reloads() {
    for nginx in both() {
        let bench = Bench::in_memory(nginx);
        let running = bench.start_on("first").await;
        let begin = Instant::now();
        for number in 0..500u32 {
            bench.offer(&format!("g{number}"));
            let at = begin + Duration::from_millis(2) * (number + 1);
            sleep(at.saturating_duration_since(Instant::now())).await;
        }
        let offering = begin.elapsed();
        let outcome = bench.outcome("g499").await;
        assert_eq!(outcome.state, OutcomeState::Live, "{outcome:?}");
        assert_eq!(bench.get().await.unwrap(), "g499");
        let reloads = running.handle.status().frame_reloads;
        println!("{reloads} reloads for 500 offers in {offering:?}, live after {:?}", begin.elapsed());
        // One at once, one each 150 ms, one for the rest.
        let most = offering.as_millis() / 150 + 2;
        assert!((1..=most).contains(&u128::from(reloads)), "{reloads} reloads, {most} allowed");
        let kept = fs::read_dir(bench.volume.dir().join("generations")).unwrap().count();
        assert!(kept <= 8, "{kept} revisions are kept");
        running.stop().await;
    }
}

#[test]
fn running_nginx_survives_a_full_volume() {
    crate::bench::on_a_small_file_system("offers::with_a_full_volume");
}

#[tokio::test]
#[ignore = "run by the test above, where SMALL is small"]
async fn with_a_full_volume() {
    let mut bench = Bench::new(testbed::nginx::newest());
    let small = PathBuf::from(std::env::var_os("SMALL").unwrap());
    bench.volume = Volume::open(&small).unwrap().with_kept(0);
    bench.settings.volume.clone_from(&small);
    let mut running = bench.start_on("one").await;
    fs::write(small.join("ballast"), vec![0; 600_000]).unwrap_err();
    assert!(matches!(bench.volume.offer("two", &bench.files("two", "", ""), None), Err(Error::Full { .. })));
    // What needs no room goes on.
    let pid = Pid::from_raw(running.handle.status().pid.unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    running.until("restarted", |status| status.restarts == 1 && status.live.is_some()).await;
    assert_eq!(bench.get().await.unwrap(), "one");
    assert_eq!(bench.volume.offered().unwrap().as_deref(), Some("one"));
    // There is room for the revision and, by what is written later, none for its outcome.
    let ballast = || fs::OpenOptions::new().append(true).open(small.join("ballast")).unwrap();
    let size = ballast().metadata().unwrap().len();
    ballast().set_len(size - 12 * 1024).unwrap();
    bench.offer("three");
    let _ = ballast().write_all(&[0; 12 * 1024]);
    running.until("three", |status| status.live.as_deref() == Some("three")).await;
    assert_eq!(bench.get().await.unwrap(), "three");
    fs::remove_file(small.join("ballast")).unwrap();
    assert_eq!(bench.outcome("three").await.state, OutcomeState::Live);
    running.stop().await;
}
