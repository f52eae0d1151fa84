//! The clients. None of them sends a request twice.

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
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What a client sends.
pub fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{length}\r\n{body}").into_bytes()
}

/// Clients that each keep a connection and send one request after the other.
#[derive(Debug)]
pub struct Load {
    /// Where.
    pub address: SocketAddr,
    /// How many.
    pub clients: usize,
    /// What, in turns; each client begins with another.
    pub requests: Vec<Vec<u8>>,
    /// The longest pause between an answer and the next request; it differs from request to request. Zero for none.
    pub pause: Duration,
}

/// What was sent.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Requests.
    pub sent: u64,
    /// Those without a whole answer of status 200.
    pub lost: u64,
    /// Why the first was lost.
    pub why: Option<String>,
    /// How long the answers took.
    pub times: Vec<Duration>,
}

/// Clients at work.
#[derive(Debug)]
pub struct Running {
    tasks: JoinSet<Traffic>,
    end: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl Load {
    /// Starts the clients.
    pub fn start(self) -> Running {
        let mut running = Running { tasks: JoinSet::new(), end: Arc::default(), answered: Arc::default() };
        let load = Arc::new(self);
        for number in 0..load.clients {
            let (end, answered) = (Arc::clone(&running.end), Arc::clone(&running.answered));
            running.tasks.spawn(client(Arc::clone(&load), number, end, answered));
        }
        running
    }
}

impl Running {
    /// How many requests were answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends the clients after the answer that each waits for.
    ///
    /// # Errors
    /// A client does not end.
    pub async fn stop(self) -> Result<Traffic> {
        self.end.store(true, Ordering::Relaxed);
        let all = timeout(PATIENCE * 2, self.tasks.join_all()).await.context("the clients do not end")?;
        Ok(all.into_iter().fold(Traffic::default(), |mut all, one| {
            all.sent += one.sent;
            all.lost += one.lost;
            all.why = all.why.or(one.why);
            all.times.extend(one.times);
            all
        }))
    }
}

async fn client(load: Arc<Load>, number: usize, end: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Traffic {
    let mut traffic = Traffic::default();
    let mut kept: Option<Connection> = None;
    let mut requests = load.requests.iter().cycle().skip(number % load.requests.len());
    while !end.load(Ordering::Relaxed) {
        let Some(request) = requests.next() else { break };
        traffic.sent += 1;
        let began = Instant::now();
        match timeout(PATIENCE, once(load.address, kept.take(), request)).await {
            Ok(Ok(connection)) => {
                kept = connection;
                traffic.times.push(began.elapsed());
                answered.fetch_add(1, Ordering::Relaxed);
            }
            failed => {
                traffic.lost += 1;
                let why = failed.map_or_else(
                    |late| late.to_string(),
                    |error| error.err().map_or_else(String::new, |e| e.to_string()),
                );
                traffic.why.get_or_insert(why);
                // Where nobody listens, no client asks in a tight loop.
                sleep(Duration::from_millis(1)).await;
            }
        }
        if !load.pause.is_zero() {
            let turn = (traffic.sent * 7 + number as u64 * 13) % 20;
            sleep(load.pause.mul_f64(f64::from(u32::try_from(turn).unwrap_or(0)) / 19.0)).await;
        }
    }
    traffic
}

/// One request and its answer. The connection, if it stays open.
async fn once(address: SocketAddr, kept: Option<Connection>, request: &[u8]) -> io::Result<Option<Connection>> {
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(address).await?,
    };
    let answer = connection.exchange(request).await?;
    if answer.status != 200 {
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
        Load { address, clients: 4, requests, pause: Duration::ZERO }
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
        assert_eq!(traffic.times.len() as u64, traffic.sent);

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
