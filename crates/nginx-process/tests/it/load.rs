//! Traffic while things change: what is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nginx_process::OutcomeState;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::bench::{Bench, SOON};

/// Clients that keep their connection and never send a request a second time.
struct Clients {
    tasks: JoinSet<(u64, u64)>,
    end: Arc<AtomicBool>,
    /// The balancer in front sends no new connections.
    no_new: Arc<AtomicBool>,
}

/// What a client does before it uses a connection again.
#[derive(Clone, Copy, PartialEq)]
enum Care {
    /// Nothing.
    None,
    /// It looks whether the other side has closed it, as the usual libraries do.
    Looks,
}

impl Clients {
    fn start(port: u16, path: &'static str, care: Care) -> Clients {
        let (end, no_new) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for number in 0..32 {
            tasks.spawn(client(port, path, care, number, Arc::clone(&end), Arc::clone(&no_new)));
        }
        Clients { tasks, end, no_new }
    }

    /// All requests, and those that had no whole answer.
    async fn join(self) -> (u64, u64) {
        let all = tokio::time::timeout(SOON, self.tasks.join_all()).await.unwrap();
        all.into_iter().fold((0, 0), |(sent, lost), (more, lost_more)| (sent + more, lost + lost_more))
    }
}

async fn client(
    port: u16,
    path: &str,
    care: Care,
    number: u64,
    end: Arc<AtomicBool>,
    no_new: Arc<AtomicBool>,
) -> (u64, u64) {
    let (mut sent, mut lost) = (0, 0);
    let mut connection: Option<BufReader<TcpStream>> = None;
    while !end.load(Ordering::Relaxed) {
        if care == Care::Looks {
            // Nothing is to be read now: what is, is the end.
            connection =
                connection.filter(|stream| stream.get_ref().try_read(&mut [0]).is_err_and(|error| would_block(&error)));
        }
        if connection.is_none() && no_new.load(Ordering::Relaxed) {
            break;
        }
        let (method, body) = if (sent + number).is_multiple_of(2) { ("GET", "") } else { ("POST", "0123456789abcdef") };
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        sent += 1;
        let before = connection.take();
        match exchange(port, before, &request).await {
            Ok(after) => connection = after,
            Err(_) => lost += 1,
        }
        // Gaps of 0 to 19 ms, different for each.
        sleep(Duration::from_millis((sent * 7 + number * 13) % 20)).await;
    }
    (sent, lost)
}

fn would_block(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock
}

/// One request and its whole answer. The connection, if the answer leaves it open.
async fn exchange(
    port: u16,
    connection: Option<BufReader<TcpStream>>,
    request: &str,
) -> std::io::Result<Option<BufReader<TcpStream>>> {
    let mut stream = match connection {
        Some(stream) => stream,
        None => BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?),
    };
    stream.write_all(request.as_bytes()).await?;
    let (mut length, mut keep, mut line) = (0, true, String::new());
    stream.read_line(&mut line).await?;
    if !line.starts_with("HTTP/1.1 200 ") {
        return Err(std::io::Error::other(line));
    }
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().unwrap(),
            Some(("Connection", value)) => keep = value != "close",
            Some(_) => {}
            None if line == "\r\n" => break,
            None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(keep.then_some(stream))
}

/// Answers each connection after a moment: with a whole answer, or never.
async fn backend(answers: bool) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                let _ = stream.read(&mut buffer).await;
                if answers {
                    sleep(Duration::from_millis(100)).await;
                    let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nslow").await;
                } else {
                    // Until the other side gives up.
                    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
                }
            });
        }
    });
    (port, task)
}

async fn lost_over_reloads(bench: &Bench, reloads: u64, care: Care) -> u64 {
    let running = bench.start().await;
    bench.offer("first");
    bench.outcome("first").await;
    let clients = Clients::start(bench.port, "/", care);
    for number in 0..reloads {
        let hash = format!("g{number}");
        bench.offer(&hash);
        assert_eq!(bench.outcome(&hash).await.state, OutcomeState::Live);
    }
    assert_eq!(running.handle.status().reloads, reloads);
    clients.end.store(true, Ordering::Relaxed);
    let (sent, lost) = clients.join().await;
    println!("{}: {lost} of {sent} requests lost over {reloads} reloads", bench.settings.nginx.display());
    assert!(sent > reloads * 32, "only {sent} requests: this proves nothing");
    running.stop().await;
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_over_50_reloads() {
    assert_eq!(lost_over_reloads(&Bench::new(testbed::nginx::newest()), 50, Care::None).await, 0);
}

/// Without `keepalive_min_timeout` idle connections are closed at each reload, and a request may be on its way. How many
/// are lost is a matter of chance and of the machine's load; a quarter is far from what a broken reload would give.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_nginx_loses_what_meets_its_closing() {
    let lost = lost_over_reloads(&Bench::new(testbed::nginx::debian()), 50, Care::Looks).await;
    assert!(lost <= 400, "{lost} of 1,600 that may meet a closing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_stopped_under_load() {
    let mut bench = Bench::new(testbed::nginx::newest());
    bench.settings.drain_delay = Duration::from_millis(500);
    let (port, _backend) = backend(true).await;
    let mut running = bench.start().await;
    let slow = format!("location /slow {{ proxy_pass http://127.0.0.1:{port}; }}");
    bench.volume.offer("one", &bench.files("one", "", &slow)).unwrap();
    bench.outcome("one").await;
    let (fast, slow) = (Clients::start(bench.port, "/", Care::None), Clients::start(bench.port, "/slow", Care::None));
    sleep(Duration::from_secs(1)).await;
    running.tell_to_stop();
    sleep(Duration::from_millis(250)).await;
    // Still served, and by now nothing in front sends new connections.
    assert_eq!(bench.get().await.unwrap(), "one");
    for clients in [&fast, &slow] {
        clients.no_new.store(true, Ordering::Relaxed);
    }
    running.stop().await;
    assert!(bench.get().await.is_err());
    // They end by themselves: each was told `Connection: close`.
    for (clients, least) in [(fast, 32), (slow, 32)] {
        let (sent, lost) = clients.join().await;
        assert!(sent > least, "only {sent} requests: this proves nothing");
        assert_eq!(lost, 0, "of {sent}");
    }
}

#[tokio::test]
async fn connections_that_do_not_end_are_cut_at_a_stop() {
    for nginx in crate::bench::both() {
        let mut bench = Bench::new(nginx);
        bench.settings.stop_timeout = Duration::from_millis(500);
        let (port, _backend) = backend(false).await;
        let running = bench.start().await;
        let hang = format!("location /hang {{ proxy_pass http://127.0.0.1:{port}; }}");
        bench.volume.offer("one", &bench.files("one", "", &hang)).unwrap();
        bench.outcome("one").await;
        let hanging = tokio::spawn(crate::bench::request(bench.port, "GET /hang HTTP/1.0\r\n\r\n"));
        sleep(Duration::from_millis(200)).await;
        running.stop().await;
        // Cut, not answered.
        assert!(!matches!(hanging.await.unwrap(), Ok(answer) if answer.contains("200 OK")));
    }
}

#[tokio::test]
async fn too_many_old_workers_lose_the_oldest() {
    for nginx in crate::bench::both() {
        let mut bench = Bench::new(nginx);
        bench.settings.max_old_workers = 2;
        bench.settings.old_worker_grace = Duration::from_secs(1);
        let (port, _backend) = backend(false).await;
        let mut running = bench.start().await;
        let mut hanging = Vec::new();
        for number in 0..5 {
            let hash = format!("g{number}");
            let hang = format!("location /hang {{ proxy_pass http://127.0.0.1:{port}; }}");
            bench.volume.offer(&hash, &bench.files(&hash, "", &hang)).unwrap();
            bench.outcome(&hash).await;
            hanging.push(tokio::spawn(crate::bench::request(bench.port, "GET /hang HTTP/1.0\r\n\r\n")));
            sleep(Duration::from_millis(200)).await;
        }
        // One old worker of each of g0 to g3 has a connection.
        let ended = |status: &nginx_process::Status| status.ended_workers == 2 && status.old_workers == 2;
        running.until("two were ended", ended).await;
        let cut: Vec<bool> = hanging.iter().map(JoinHandle::is_finished).collect();
        assert_eq!(cut, [true, true, false, false, false]);
        assert_eq!(bench.get().await.unwrap(), "g4");
        for task in hanging {
            task.abort();
        }
        running.stop().await;
    }
}
