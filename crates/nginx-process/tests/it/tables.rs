//! Routes that are published: nothing is reloaded, and none is lost.

use std::fs;
use std::time::{Duration, Instant};

use nginx_process::{Error, OutcomeState, Volume};
use rustix::process::{Pid, Signal, kill_process};
use testbed::clients::{Clients, ConnectionReuse};
use testbed::echo::backend;
use tokio::time::sleep;

use crate::bench::blocking;
use crate::death::{Other, inherit, master, reap, until};
use crate::table_bench::{TableBench, found};
use crate::table_generator::TableGenerator;

const HOST: &str = "a.example";

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Resident bytes, and descriptors, of this process, in which the supervisor is.
fn own_size() -> (u64, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    (kib * 1024, fs::read_dir("/proc/self/fd").unwrap().count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_route_is_served_without_a_reload() {
    let backends = ["a", "b"].map(|name| (name, backend(name)));
    let mut bench = TableBench::new();
    let mut running = bench.start_on("one", &[(HOST, backends[0].1)]).await;
    assert_eq!(bench.found(HOST).await, ("one".to_owned(), Ok("a".to_owned())));
    assert_eq!(bench.backend("other.example").await, Err(404));
    let first = testbed::nginx::workers(running.handle.status().pid.unwrap());
    for round in 0..50 {
        let (name, address) = backends[(round + 1) % 2];
        bench.generator.route(HOST, address);
        let changes = bench.generator.plan();
        let begin = Instant::now();
        bench.bench.volume.publish("one", &changes).unwrap();
        running.until("confirmed", |status| status.table_revision == Some(changes.revision.0)).await;
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert_eq!(bench.backend(HOST).await, Ok(name.to_owned()));
    }
    bench.confirmed("one", bench.generator.revision()).await;
    assert_eq!(testbed::nginx::workers(running.handle.status().pid.unwrap()), first);
    let status = running.handle.status();
    assert_eq!((status.frame_reloads, status.table_publications, status.table_failures), (0, 50, 0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_routes_change() {
    let backends = ["a", "b"].map(backend);
    let mut bench = TableBench::new();
    let running = bench.start_on("one", &[("any.example", backends[0])]).await;
    let clients = Clients::start(16, bench.routed, "/", ConnectionReuse::Blindly);
    for round in 0..500 {
        bench.generator.route("any.example", backends[round % 2]);
        bench.generator.publish("one");
    }
    bench.confirmed("one", bench.generator.revision()).await;
    clients.end();
    let traffic = blocking(|| clients.join()).await;
    assert_eq!(traffic.lost, 0, "{traffic:?}");
    assert!(traffic.sent > 50, "{traffic:?}");
    assert_eq!(running.handle.status().frame_reloads, 0);
    running.stop().await;
}

#[tokio::test]
async fn killed_worker_and_killed_master_come_back_with_the_table() {
    let (a, b) = (backend("a"), backend("b"));
    let mut bench = TableBench::new();
    let mut running = bench.start_on("one", &[(HOST, a)]).await;
    // What workers are forked from has not seen this one.
    bench.generator.route(HOST, b);
    let revision = bench.generator.publish("one");
    bench.confirmed("one", revision).await;
    let worker = *bench.workers().await.first().unwrap();
    kill(worker, Signal::KILL);
    until("a new worker", || !std::path::Path::new(&format!("/proc/{worker}")).exists()).await;
    for _ in 0..20 {
        assert_eq!(bench.backend(HOST).await, Ok("b".to_owned()));
    }
    kill(running.handle.status().pid.unwrap(), Signal::KILL);
    running.until("restarted", |status| status.restarts == 1 && status.live.is_some()).await;
    assert_eq!(bench.backend(HOST).await, Ok("b".to_owned()));
    bench.generator.route(HOST, a);
    let revision = bench.generator.publish("one");
    bench.confirmed("one", revision).await;
    assert_eq!(bench.backend(HOST).await, Ok("a".to_owned()));
    running.stop().await;
}

#[tokio::test]
async fn next_supervisor_serves_the_same_table() {
    inherit();
    let (a, b) = (backend("a"), backend("b"));
    let mut bench = TableBench::new();
    bench.generator.route(HOST, a);
    bench.offer("one");
    let mut other = Other::start(&bench.bench);
    bench.confirmed("one", bench.generator.revision()).await;
    bench.generator.route(HOST, b);
    let revision = bench.generator.publish("one");
    bench.confirmed("one", revision).await;
    let memory = bench.memory();
    let (pid, reaper) = (master(&bench.bench), other.reaper());
    other.kill();
    until("gone", || crate::bench::group(pid).is_empty()).await;
    reap(&[pid, reaper]).await;
    fs::remove_file(bench.bench.volume.dir().join("table-outcome")).unwrap();
    let running = bench.bench.start().await;
    bench.confirmed("one", revision).await;
    assert_ne!(bench.memory(), memory);
    assert_eq!(bench.backend(HOST).await, Ok("b".to_owned()));
    running.stop().await;
}

#[tokio::test]
async fn damaged_record_is_named_and_a_whole_table_mends_it() {
    let (a, b) = (backend("a"), backend("b"));
    let mut bench = TableBench::new();
    let running = bench.start_on("one", &[(HOST, a)]).await;
    bench.generator.route(HOST, b);
    let record = bench.generator.plan().encode();
    let half = record.len() / 2;
    let mut flipped = record.clone();
    flipped[half] ^= 4;
    for (damaged, why) in [
        (record[..half].to_vec(), "not complete"),
        (Vec::new(), "not complete"),
        (flipped, "damaged"),
        ([&record[..], b"more"].concat(), "says that it leads to"),
        (b"no record at all".to_vec(), "damaged"),
    ] {
        // As a generator that does not rename, or a machine that crashed.
        let number = bench.bench.volume.newest_table_revision().unwrap().0 + 1;
        let staged = bench.bench.path("staged");
        fs::write(&staged, &damaged).unwrap();
        fs::rename(&staged, bench.record("one", number)).unwrap();
        let outcome = bench.table_outcome(|outcome| !outcome.message.is_empty()).await;
        assert!(outcome.message.contains(why) && outcome.message.contains(&number.to_string()), "{outcome:?}");
        assert_eq!(bench.backend(HOST).await, Ok("a".to_owned()), "the last good one stays");
        // Changes of what is not there are named by the first reason.
        bench.bench.volume.publish("one", &change_after(number)).unwrap();
        bench.table_outcome(|outcome| outcome.message.contains(why)).await;
        // A generator that looks at what became of it; and one that only has the whole table in place of the records.
        let mut next = TableGenerator::new(&bench.bench.volume);
        next.route(HOST, a);
        if number.is_multiple_of(2) {
            next.publish_whole("one");
        } else {
            next.compact("one");
        }
        bench.confirmed("one", next.revision()).await;
        assert_eq!(bench.backend(HOST).await, Ok("a".to_owned()));
    }
    assert_eq!(running.handle.status().frame_reloads, 0);
    running.stop().await;
}

#[tokio::test]
async fn whole_table_in_place_of_its_records_is_no_publication() {
    let (a, b) = (backend("a"), backend("b"));
    let mut bench = TableBench::new();
    let running = bench.start_on("one", &[(HOST, a)]).await;
    bench.generator.route(HOST, b);
    bench.generator.publish("one");
    bench.confirmed("one", bench.generator.revision()).await;
    let before = running.handle.status().table_publications;
    bench.generator.compact("one");
    bench.generator.route("other.example", b);
    bench.generator.publish("one");
    bench.confirmed("one", bench.generator.revision()).await;
    assert_eq!(running.handle.status().table_publications, before + 1);
    assert_eq!(bench.backend(HOST).await, Ok("b".to_owned()));
    running.stop().await;
    // One that starts finds all.
    fs::remove_file(bench.bench.volume.dir().join("table-outcome")).unwrap();
    let running = bench.bench.start().await;
    bench.confirmed("one", bench.generator.revision()).await;
    assert_eq!(bench.backend(HOST).await, Ok("b".to_owned()));
    assert_eq!(bench.backend("other.example").await, Ok("b".to_owned()));
    running.stop().await;
}

/// A record that changes nothing of the revision before it.
fn change_after(base: u64) -> route_table::Changes {
    let revision = route_table::Revision;
    route_table::Changes { base: Some(revision(base)), revision: revision(base + 1), changes: Vec::new() }
}

#[tokio::test]
async fn frame_whose_table_is_damaged_waits_for_a_whole_one() {
    let a = backend("a");
    let mut bench = TableBench::new();
    bench.generator.route(HOST, a);
    bench.offer("one");
    let record = bench.record("one", bench.generator.revision());
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() / 2]).unwrap();
    let running = bench.bench.start().await;
    let outcome = bench.bench.outcome("one").await;
    assert_eq!((outcome.state, outcome.live), (OutcomeState::Failed, None));
    assert!(outcome.message.contains("route table") && outcome.message.contains("not complete"), "{}", outcome.message);
    bench.generator.publish_whole("one");
    bench.confirmed("one", bench.generator.revision()).await;
    assert_eq!(bench.backend(HOST).await, Ok("a".to_owned()));
    running.stop().await;
}

#[tokio::test]
async fn full_memory_is_replaced_by_a_larger_one_and_nothing_is_lost() {
    let a = backend("a");
    let mut bench = TableBench::new();
    bench.bench.settings.table_memory = 64 << 10;
    let running = bench.start_on("one", &[("any.example", a)]).await;
    let memory = bench.memory();
    let clients = Clients::start(8, bench.routed, "/", ConnectionReuse::Blindly);
    for round in 0..40 {
        let hosts: Vec<String> = (0..50).map(|number| format!("host-{round}-{number}.example")).collect();
        bench.generator.route_all(&hosts, a);
        bench.generator.publish("one");
    }
    bench.confirmed("one", bench.generator.revision()).await;
    assert_eq!(bench.backend("host-39-49.example").await, Ok("a".to_owned()));
    assert_ne!(bench.memory(), memory);
    clients.end();
    let traffic = blocking(|| clients.join()).await;
    assert!(traffic.sent > 30, "{traffic:?}");
    // Debian's nginx closes idle connections at a reload; a request may be on its way. No more is lost than that.
    assert!(traffic.lost <= 8 * running.handle.status().frame_reloads, "{traffic:?}");
    let status = running.handle.status();
    assert!((1..=8).contains(&status.frame_reloads), "{} reloads", status.frame_reloads);
    assert_eq!((status.table_error, status.restarts), (None, 0));
    running.stop().await;
}

#[test]
fn full_volume_keeps_the_table_and_is_told_later() {
    crate::bench::on_a_small_file_system("tables::on_a_full_volume");
}

#[tokio::test]
#[ignore = "run by the test above, where SMALL is small"]
async fn on_a_full_volume() {
    let (a, b) = (backend("a"), backend("b"));
    let mut bench = TableBench::new();
    let small = std::path::PathBuf::from(std::env::var_os("SMALL").unwrap());
    bench.bench.volume = Volume::open(&small).unwrap().with_kept(0);
    bench.bench.settings.volume.clone_from(&small);
    bench.generator = TableGenerator::new(&bench.bench.volume);
    let mut running = bench.start_on("one", &[(HOST, a)]).await;
    fs::write(small.join("ballast"), vec![0; 600_000]).unwrap_err();
    bench.generator.route(HOST, b);
    let changes = bench.generator.plan();
    assert!(matches!(bench.bench.volume.publish("one", &changes), Err(Error::Full { .. })));
    assert_eq!(bench.backend(HOST).await, Ok("a".to_owned()));
    // There is room for the record, and none for its outcome.
    let ballast = fs::OpenOptions::new().append(true).open(small.join("ballast")).unwrap();
    ballast.set_len(ballast.metadata().unwrap().len() - 4096).unwrap();
    bench.bench.volume.publish("one", &changes).unwrap();
    let revision = Some(changes.revision.0);
    running.until("confirmed", |status| status.table_revision == revision).await;
    assert_eq!(bench.backend(HOST).await, Ok("b".to_owned()));
    assert_ne!(bench.bench.volume.table_outcome().unwrap().unwrap().revision, revision);
    ballast.set_len(0).unwrap();
    bench.confirmed("one", changes.revision.0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frame_and_its_table_come_in_force_together() {
    let backends = ["f0", "f1", "f2", "f3", "f4", "f5"].map(|name| (name, backend(name)));
    let mut bench = TableBench::new();
    let running = bench.start_on("f0", &[(HOST, backends[0].1)]).await;
    let (routed, stop) = (bench.routed, std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = std::sync::Arc::clone(&stop);
    let client = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            seen.push(found(routed, HOST));
        }
        seen
    });
    for (name, address) in &backends[1..] {
        bench.generator.route(HOST, *address);
        bench.offer(name);
        assert_eq!(bench.bench.outcome(name).await.state, OutcomeState::Live);
        bench.confirmed(name, bench.generator.revision()).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let seen = client.await.unwrap();
    assert!(seen.len() > 20, "only {} requests", seen.len());
    for (frame, backend) in seen {
        assert_eq!(backend, Ok(frame.clone()), "the frame {frame} with the table of another");
    }
    running.stop().await;
}

#[tokio::test]
async fn rejected_frame_keeps_the_table_that_is_in_force() {
    let (a, b) = (backend("a"), backend("b"));
    let mut bench = TableBench::new();
    let running = bench.start_on("one", &[(HOST, a)]).await;
    let memory = bench.memory();
    for (frame, more) in [("bad", "no_such_directive on;"), ("taken", "")] {
        let mut files = bench.frame_with(frame, more);
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        if frame == "taken" {
            let listen = format!("listen {}; listen {};", bench.routed, other.local_addr().unwrap());
            let main = files.get_mut("nginx.conf").unwrap();
            let text = String::from_utf8(main.clone()).unwrap();
            *main = text.replace(&format!("listen {};", bench.routed), &listen).into_bytes();
        }
        bench.generator.route(HOST, b);
        let whole = bench.generator.plan_whole();
        bench.bench.volume.offer(frame, &files, Some(&whole)).unwrap();
        let outcome = bench.bench.outcome(frame).await;
        assert_ne!(outcome.state, OutcomeState::Live, "{outcome:?}");
        assert_eq!(outcome.live.as_deref(), Some("one"));
        assert_eq!(bench.memory(), memory);
        assert_eq!(bench.found(HOST).await, ("one".to_owned(), Ok("a".to_owned())));
    }
    // Back to the frame that is in force, with another table: a publication.
    bench.offer("one");
    bench.confirmed("one", bench.generator.revision()).await;
    assert_eq!(bench.found(HOST).await, ("one".to_owned(), Ok("b".to_owned())));
    assert_eq!(bench.memory(), memory);
    running.stop().await;
}

#[tokio::test]
async fn frozen_worker_is_reported_and_others_go_on() {
    let (a, b) = (backend("a"), backend("b"));
    let mut bench = TableBench::new();
    let running = bench.start_on("one", &[(HOST, a)]).await;
    let frozen = *bench.workers().await.first().unwrap();
    kill(frozen, Signal::STOP);
    bench.generator.route(HOST, b);
    let first = bench.generator.publish("one");
    let outcome = bench.table_outcome(|outcome| !outcome.message.is_empty()).await;
    assert!(outcome.message.contains(&frozen.to_string()), "{outcome:?}");
    assert!(outcome.revision < Some(first), "{outcome:?}");
    // What comes later is published all the same.
    bench.generator.route(HOST, a);
    let second = bench.generator.publish("one");
    let published = || running.handle.status().table_publications == 2;
    until("published", published).await;
    kill(frozen, Signal::CONT);
    bench.confirmed("one", second).await;
    assert_eq!(running.handle.status().frame_reloads, 0);
    running.stop().await;
}

#[tokio::test]
async fn what_others_put_among_the_records_ends_nothing() {
    let (a, b) = (backend("a"), backend("b"));
    let mut bench = TableBench::new();
    let running = bench.start_on("one", &[(HOST, a)]).await;
    let precious = bench.bench.path("precious");
    fs::write(&precious, "precious").unwrap();
    let tables = bench.bench.volume.dir().join("tables");
    let next = |bench: &TableBench| bench.record("one", bench.bench.volume.newest_table_revision().unwrap().0 + 1);
    let (fifo, rwx) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    std::os::unix::fs::symlink(&precious, next(&bench)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", next(&bench)).unwrap();
    std::os::unix::fs::symlink("/nowhere", next(&bench)).unwrap();
    fs::create_dir(next(&bench)).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, next(&bench), fifo, rwx, 0).unwrap();
    fs::File::create(next(&bench)).unwrap().set_len(1 << 40).unwrap();
    let outcome = bench.table_outcome(|outcome| !outcome.message.is_empty()).await;
    assert!(outcome.message.contains("is not in force"), "{outcome:?}");
    assert_eq!(bench.backend(HOST).await, Ok("a".to_owned()));
    let mend = async |name: &str, address| {
        let mut generator = TableGenerator::new(&bench.bench.volume);
        generator.route(HOST, address);
        generator.publish_whole("one");
        let revision = Some(generator.revision());
        bench.table_outcome(|outcome| outcome.revision == revision && outcome.message.is_empty()).await;
        assert_eq!(bench.backend(HOST).await, Ok(name.to_owned()));
    };
    mend("b", b).await;
    // The directory itself is another one, or none.
    fs::rename(tables.join("one"), tables.join("moved")).unwrap();
    std::os::unix::fs::symlink("moved", tables.join("one")).unwrap();
    mend("a", a).await;
    fs::remove_dir_all(&tables).unwrap();
    std::os::unix::fs::symlink("/etc", &tables).unwrap();
    // Revisions are counted anew.
    mend("b", b).await;
    assert_eq!(bench.bench.volume.newest_table_revision().unwrap().0, 1);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    let status = running.handle.status();
    assert_eq!((status.frame_reloads, status.restarts), (0, 0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_not_asked_for_each_of_many_revisions() {
    const REVISIONS: usize = 200;
    let backends = ["a", "b"].map(backend);
    let mut bench = TableBench::new();
    let running = bench.start_on("one", &[(HOST, backends[0])]).await;
    let before = bench.requests().await;
    for round in 1..=REVISIONS {
        bench.generator.route(HOST, backends[round % 2]);
        let changes = bench.generator.plan();
        bench.bench.volume.publish("one", &changes).unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    bench.confirmed("one", bench.generator.revision()).await;
    let asked = bench.requests().await - before;
    assert!(asked < REVISIONS as u64, "{asked} questions for {REVISIONS} revisions");
    assert_eq!(running.handle.status().table_publications, REVISIONS as u64);
    running.stop().await;
}

#[test]
fn ten_thousand_publications_leave_no_more_than_the_first_ones() {
    // What other tests take is not to be counted.
    crate::bench::in_a_process_of_its_own("tables::publish_ten_thousand_times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test above"]
async fn publish_ten_thousand_times() {
    let backends = ["a", "b"].map(backend);
    let mut bench = TableBench::new();
    let running = bench.start_on("one", &[(HOST, backends[0])]).await;
    let mut sizes = Vec::new();
    let mut most_records = 0;
    let begin = Instant::now();
    for round in 1..=10_000 {
        bench.generator.route(HOST, backends[round % 2]);
        bench.generator.publish("one");
        if round % 2500 == 0 {
            bench.confirmed("one", bench.generator.revision()).await;
            sizes.push(own_size());
            most_records = most_records.max(fs::read_dir(bench.bench.volume.dir().join("tables/one")).unwrap().count());
        }
    }
    println!(
        "10,000 publications in {:?}: (resident bytes, descriptors) {sizes:?}, {most_records} records",
        begin.elapsed()
    );
    assert_eq!(bench.backend(HOST).await, Ok("a".to_owned()));
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    assert!(last.0 < first.0 + (4 << 20), "memory grows: {sizes:?}");
    assert!(last.1 <= first.1 + 8, "descriptors grow: {sizes:?}");
    assert!(most_records <= 258, "{most_records} records");
    let status = running.handle.status();
    assert_eq!((status.frame_reloads, status.table_failures), (0, 0));
    running.stop().await;
}
