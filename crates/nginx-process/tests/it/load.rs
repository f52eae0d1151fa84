//! Traffic while things change: what is lost.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nginx_process::OutcomeState;
use testbed::clients::{Clients, ConnectionReuse, Traffic};
use testbed::http;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::bench::{Bench, blocking};
use crate::death::until;
use crate::table_bench::TableBench;

/// Answers each connection after a moment: with a whole answer, or never.
fn backend(answers: bool) -> SocketAddr {
    let serve = move |mut connection: http::Connection| {
        connection.request()?;
        if answers {
            thread::sleep(Duration::from_millis(100));
            return connection.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nslow");
        }
        // Until the other side gives up.
        connection.read(&mut [0]).map(drop)
    };
    http::serve(serve).unwrap()
}

async fn lost_over_reloads(bench: &Bench, reloads: u64, reuse: ConnectionReuse) -> u64 {
    let running = bench.start_on("first").await;
    let clients = Clients::start(32, bench.address, "/", reuse);
    for number in 0..reloads {
        let hash = format!("g{number}");
        bench.offer(&hash);
        assert_eq!(bench.outcome(&hash).await.state, OutcomeState::Live);
    }
    assert_eq!(running.handle.status().frame_reloads, reloads);
    clients.end();
    let Traffic { sent, lost } = blocking(|| clients.join()).await;
    println!("{}: {lost} of {sent} requests lost over {reloads} reloads", bench.settings.nginx.display());
    assert!(sent > reloads * 32, "only {sent} requests: this proves nothing");
    running.stop().await;
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_over_50_reloads() {
    assert_eq!(lost_over_reloads(&Bench::new(testbed::nginx::newest()), 50, ConnectionReuse::Blindly).await, 0);
}

/// Without `keepalive_min_timeout` idle connections are closed at each reload, and a request may be on its way. How many
/// are lost is a matter of chance and of the machine's load; a quarter is far from what a broken reload would give.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oldest_nginx_loses_only_requests_that_meet_a_closing() {
    let lost = lost_over_reloads(&Bench::new(testbed::nginx::debian()), 50, ConnectionReuse::IfOpen).await;
    assert!(lost <= 400, "{lost} of 1,600 that may meet a closing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_when_stopped_under_load() {
    let mut bench = Bench::new(testbed::nginx::newest());
    bench.settings.drain_delay = Duration::from_millis(500);
    let backend = backend(true);
    let mut running = bench.start().await;
    let slow = format!("location /slow {{ proxy_pass http://{backend}; }}");
    bench.volume.offer("one", &bench.files("one", "", &slow), None).unwrap();
    bench.outcome("one").await;
    let clients = ["/", "/slow"].map(|path| Clients::start(32, bench.address, path, ConnectionReuse::Blindly));
    until("clients at work", || clients.iter().all(|clients| clients.answered() >= 10 * 32)).await;
    running.tell_to_stop();
    sleep(Duration::from_millis(250)).await;
    // Still served, and by now nothing in front sends new connections.
    assert_eq!(bench.get().await.unwrap(), "one");
    clients.iter().for_each(Clients::stop_connecting);
    running.stop().await;
    assert!(bench.get().await.is_err());
    // They end by themselves: each was told `Connection: close`.
    for clients in clients {
        let Traffic { sent, lost } = blocking(|| clients.join()).await;
        assert!(sent > 32, "only {sent} requests: this proves nothing");
        assert_eq!(lost, 0, "of {sent}");
    }
}

/// Debian's nginx closes idle connections at once when it ends, with a request on its way or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oldest_nginx_with_the_module_loses_no_request_when_stopped_under_load() {
    let mut bench = TableBench::new();
    bench.bench.settings.drain_delay = Duration::from_millis(500);
    let mut running = bench.start_on("one", &[("any.example", testbed::echo::backend("a"))]).await;
    let clients = Clients::start(32, bench.routed, "/", ConnectionReuse::Blindly);
    until("clients at work", || clients.answered() >= 10 * 32).await;
    running.tell_to_stop();
    sleep(Duration::from_millis(250)).await;
    // Still served, and by now nothing in front sends new connections.
    assert_eq!(bench.backend("any.example").await, Ok("a".to_owned()));
    clients.stop_connecting();
    running.stop().await;
    let Traffic { sent, lost } = blocking(|| clients.join()).await;
    assert!(sent > 32, "only {sent} requests: this proves nothing");
    assert_eq!(lost, 0, "of {sent}");
}

/// A request that the backend never answers.
fn ask_hanging(bench: &Bench) -> JoinHandle<std::io::Result<http::Answer>> {
    let address = bench.address;
    tokio::task::spawn_blocking(move || http::exchange(address, "GET /hang HTTP/1.0\r\n\r\n"))
}

#[tokio::test]
async fn hanging_connections_are_cut_at_the_stop_timeout() {
    for nginx in crate::bench::both() {
        let mut bench = Bench::new(nginx);
        bench.settings.stop_timeout = Duration::from_millis(500);
        let backend = backend(false);
        let running = bench.start().await;
        let hang = format!("location /hang {{ proxy_pass http://{backend}; }}");
        bench.volume.offer("one", &bench.files("one", "", &hang), None).unwrap();
        bench.outcome("one").await;
        let hanging = ask_hanging(&bench);
        sleep(Duration::from_millis(200)).await;
        running.stop().await;
        // Cut, not answered.
        assert!(!hanging.await.unwrap().is_ok_and(|answer| answer.status == 200));
    }
}

#[tokio::test]
async fn oldest_worker_is_ended_when_there_are_too_many() {
    for nginx in crate::bench::both() {
        let mut bench = Bench::new(nginx);
        bench.settings.max_old_workers = 2;
        bench.settings.old_worker_grace = Duration::from_secs(1);
        let backend = backend(false);
        let mut running = bench.start().await;
        let mut hanging = Vec::new();
        for number in 0..5 {
            let hash = format!("g{number}");
            let hang = format!("location /hang {{ proxy_pass http://{backend}; }}");
            bench.volume.offer(&hash, &bench.files(&hash, "", &hang), None).unwrap();
            bench.outcome(&hash).await;
            hanging.push(ask_hanging(&bench));
            sleep(Duration::from_millis(200)).await;
        }
        // One old worker of each of g0 to g3 has a connection.
        let ended = |status: &nginx_process::SupervisorStatus| status.ended_workers == 2 && status.old_workers == 2;
        running.until("two were ended", ended).await;
        let cut: Vec<bool> = hanging.iter().map(JoinHandle::is_finished).collect();
        assert_eq!(cut, [true, true, false, false, false]);
        assert_eq!(bench.get().await.unwrap(), "g4");
        running.stop().await;
    }
}
