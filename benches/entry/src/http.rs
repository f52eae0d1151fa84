//! The clients. None of them sends a request twice.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Longest wait for an answer. One that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest head of an answer.
const LONGEST: usize = 64 << 10;

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
    /// Whether the connection stays open.
    pub keep: bool,
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its whole answer, which must tell its length.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            self.more().await?;
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > LONGEST {
                return Err(wrong("the head of the answer does not end"));
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head]).map_err(|_| wrong("the head of the answer is no text"))?;
        let status = text.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| wrong("no status"))?;
        let (mut length, mut keep) = (None, true);
        for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse::<usize>().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                keep = !value.eq_ignore_ascii_case("close");
            }
        }
        let end = head + length.ok_or_else(|| wrong("an answer without its length"))?;
        while self.buffer.len() < end {
            self.more().await?;
        }
        Ok(Answer { status, body: &self.buffer[head..end], keep })
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// A `GET` on a connection of its own: status and body.
///
/// # Errors
/// There is no whole answer.
pub async fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    let work = async {
        let mut connection = Connection::open(address).await?;
        let answer = connection.exchange(request.as_bytes()).await?;
        Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
    };
    in_time(work).await
}

/// What a client sends.
pub fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{length}\r\n{body}").into_bytes()
}

/// Clients that each keep a connection and send one request after the other.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where.
    pub address: SocketAddr,
    /// How many.
    pub clients: usize,
    /// What, in turns; each client begins with another.
    pub requests: Vec<Vec<u8>>,
    /// The status of a whole answer.
    pub status: u16,
    /// The longest pause between an answer and the next request; it differs from request to request. Zero for none.
    pub pause: Duration,
}

/// What was sent.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Requests.
    pub sent: u64,
    /// Those without a whole answer of the status that they should have.
    pub lost: u64,
    /// Why the first was lost.
    pub why: Option<String>,
    /// The answers.
    pub answers: Vec<Timed>,
}

/// An answer's time.
#[derive(Debug, Clone, Copy)]
pub struct Timed {
    /// When its request was begun.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
}

impl Traffic {
    /// How long the answers took.
    pub fn times(&self) -> Vec<Duration> {
        self.answers.iter().map(|answer| answer.took).collect()
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Running {
    tasks: JoinSet<Traffic>,
    work: Arc<Work>,
}

/// What clients share while they work.
#[derive(Debug, Default)]
pub struct Work {
    end: AtomicBool,
    answered: AtomicU64,
}

impl Work {
    /// Whether clients are to end.
    pub fn ends(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Notes in what a client did whether it had its answer, which it began to wait for then.
    pub async fn note<T>(&self, traffic: &mut Traffic, began: Instant, answer: io::Result<T>) -> Option<T> {
        traffic.sent += 1;
        match answer {
            Ok(answer) => {
                traffic.answers.push(Timed { began, took: began.elapsed() });
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(answer)
            }
            Err(error) => {
                traffic.lost += 1;
                traffic.why.get_or_insert_with(|| error.to_string());
                // Where nobody listens, no client asks in a tight loop.
                sleep(Duration::from_millis(1)).await;
                None
            }
        }
    }
}

impl Load {
    /// Starts the clients.
    pub fn start(self) -> Running {
        let load = Arc::new(self);
        Running::start(load.clients, |number, work| client(Arc::clone(&load), number, work))
    }
}

impl Running {
    /// Starts so many clients, each by its number.
    pub fn start<F>(clients: usize, client: impl Fn(usize, Arc<Work>) -> F) -> Self
    where
        F: Future<Output = Traffic> + Send + 'static,
    {
        let mut running = Self { tasks: JoinSet::new(), work: Arc::default() };
        for number in 0..clients {
            running.tasks.spawn(client(number, Arc::clone(&running.work)));
        }
        running
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> u64 {
        self.work.answered.load(Ordering::Relaxed)
    }

    /// Ends the clients after the answer that each waits for.
    ///
    /// # Errors
    /// A client does not end.
    pub async fn stop(self) -> Result<Traffic> {
        self.work.end.store(true, Ordering::Relaxed);
        let all = timeout(PATIENCE * 2, self.tasks.join_all()).await.context("the clients do not end")?;
        Ok(all.into_iter().fold(Traffic::default(), |mut all, one| {
            all.sent += one.sent;
            all.lost += one.lost;
            all.why = all.why.or(one.why);
            all.answers.extend(one.answers);
            all
        }))
    }
}

async fn client(load: Arc<Load>, number: usize, work: Arc<Work>) -> Traffic {
    let mut traffic = Traffic::default();
    let mut kept: Option<Connection> = None;
    // Far from each other, so that they do not ask for the same at the same time.
    let mut requests = load.requests.iter().cycle().skip(number * load.requests.len() / load.clients);
    while !work.ends() {
        let Some(request) = requests.next() else { break };
        let began = Instant::now();
        let answer = in_time(once(&load, kept.take(), request)).await;
        kept = work.note(&mut traffic, began, answer).await.flatten();
        if !load.pause.is_zero() {
            let turn = (traffic.sent * 7 + number as u64 * 13) % 20;
            sleep(load.pause.mul_f64(f64::from(u32::try_from(turn).unwrap_or(0)) / 19.0)).await;
        }
    }
    traffic
}

/// What comes of an exchange, which may not take for ever.
///
/// # Errors
/// It takes too long, or its own.
pub async fn in_time<T>(exchange: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// One request and its answer. The connection, if it stays open.
async fn once(load: &Load, kept: Option<Connection>, request: &[u8]) -> io::Result<Option<Connection>> {
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(load.address).await?,
    };
    let answer = connection.exchange(request).await?;
    if answer.status != load.status {
        return Err(wrong(&format!("answered {}", answer.status)));
    }
    Ok(answer.keep.then_some(connection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    fn load(address: SocketAddr) -> Load {
        let requests = vec![request("GET", "/a", ""), request("POST", "/a", "body")];
        Load { address, clients: 4, requests, status: 200, pause: Duration::ZERO }
    }

    #[tokio::test]
    async fn every_request_is_answered_or_lost() {
        let backend = Backend::start("127.0.0.1", "hello").await.unwrap();
        assert_eq!(get(backend.address, "/a").await.unwrap(), (200, "hello".to_owned()));
        let running = load(backend.address).start();
        while running.answered() < 100 {
            sleep(Duration::from_millis(1)).await;
        }
        let traffic = running.stop().await.unwrap();
        assert_eq!((traffic.lost, traffic.why), (0, None));
        assert_eq!(traffic.answers.len() as u64, traffic.sent);

        let nobody = testbed::ports::free_address().unwrap();
        let running = load(nobody).start();
        sleep(Duration::from_millis(50)).await;
        let traffic = running.stop().await.unwrap();
        assert!(traffic.sent >= 4 && traffic.lost == traffic.sent, "{traffic:?}");
    }

    #[tokio::test]
    async fn connection_that_ends_in_the_middle_is_a_lost_request() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
            }
        });
        assert!(get(address, "/").await.is_err());
    }
}
