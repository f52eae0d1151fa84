//! Clients under whose load something is changed: each keeps its connection and never sends a request a second time, so that what
//! is lost is seen.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use crate::http::Connection;

/// Whether a client looks at its connection before it uses it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionReuse {
    /// It does not.
    Blindly,
    /// It connects anew if the other side has closed it, as the usual libraries do.
    IfOpen,
}

/// What clients sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests.
    pub sent: u64,
    /// Those without a whole answer of status 200.
    pub lost: u64,
}

/// Clients at work, until they are told to end.
#[derive(Debug)]
pub struct Clients {
    threads: Vec<JoinHandle<Traffic>>,
    ends: Arc<AtomicBool>,
    connects: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl Clients {
    /// Starts so many clients of a path. They send `GET` and `POST` in turn, with gaps of 0 to 19 ms.
    pub fn start(number: u64, address: SocketAddr, path: &'static str, reuse: ConnectionReuse) -> Clients {
        let (ends, connects) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let answered = Arc::new(AtomicU64::new(0));
        let client = |turn| {
            let (ends, connects, answered) = (Arc::clone(&ends), Arc::clone(&connects), Arc::clone(&answered));
            let client = Client { address, path, reuse, turn, ends, connects, answered };
            thread::spawn(move || client.run())
        };
        let threads = (0..number).map(client).collect();
        Clients { threads, ends, connects, answered }
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// From now on a client ends with its connection, as behind a balancer that sends no new ones here.
    pub fn stop_connecting(&self) {
        self.connects.store(false, Ordering::Relaxed);
    }

    /// Ends each client after the answer that it waits for.
    pub fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    /// Waits until all have ended.
    ///
    /// # Panics
    /// One of them panicked.
    pub fn join(self) -> Traffic {
        self.threads.into_iter().fold(Traffic::default(), |all, thread| {
            let one = thread.join().expect("a client ends");
            Traffic { sent: all.sent + one.sent, lost: all.lost + one.lost }
        })
    }
}

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    path: &'static str,
    reuse: ConnectionReuse,
    /// The first client's turn is 0.
    turn: u64,
    ends: Arc<AtomicBool>,
    connects: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl Client {
    fn run(self) -> Traffic {
        let mut traffic = Traffic::default();
        let mut kept: Option<Connection> = None;
        while !self.ends.load(Ordering::Relaxed) {
            kept = kept.filter(|connection| self.reuse == ConnectionReuse::Blindly || is_open(connection));
            if kept.is_none() && !self.connects.load(Ordering::Relaxed) {
                break;
            }
            let post = (traffic.sent + self.turn).is_multiple_of(2);
            traffic.sent += 1;
            match self.send(kept.take(), post) {
                Ok(connection) => {
                    kept = connection;
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => traffic.lost += 1,
            }
            sleep(Duration::from_millis((traffic.sent * 7 + self.turn * 13) % 20));
        }
        traffic
    }

    /// One request and its whole answer. The connection, if the answer leaves it open.
    fn send(&self, kept: Option<Connection>, post: bool) -> io::Result<Option<Connection>> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(self.address)?,
        };
        let (method, body) = if post { ("POST", "0123456789abcdef") } else { ("GET", "") };
        let answer = connection.exchange(format!(
            "{method} {} HTTP/1.1\r\nHost: any.example\r\nContent-Length: {}\r\n\r\n{body}",
            self.path,
            body.len()
        ))?;
        if answer.status != 200 {
            return Err(io::Error::other(answer.text()));
        }
        Ok(answer.keeps_connection().then_some(connection))
    }
}

/// Nothing is to be read now: what is, is the end.
fn is_open(connection: &Connection) -> bool {
    let stream = connection.stream();
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    stream.set_nonblocking(false).is_ok() && peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
