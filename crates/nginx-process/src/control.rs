//! nginx's control socket, seen by who asks: each worker answers which revision it serves, and what it counts.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Longer answers are not nginx's, in bytes.
const LONGEST: u64 = 64 << 10;

/// The client of the control socket. Each question is a connection of its own, so that any worker may answer it.
#[derive(Debug, Clone)]
pub struct Control {
    socket: PathBuf,
}

/// What nginx counts (`ngx_http_stub_status_module`), those of the control socket included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionCounts {
    /// Client connections that are open.
    pub active: u64,
    /// Client connections that were accepted so far.
    pub accepted: u64,
    /// Those of them that were handled; fewer only when a limit was reached.
    pub handled: u64,
    /// Requests so far.
    pub requests: u64,
    /// Open connections whose request's head is being read.
    pub reading: u64,
    /// Open connections whose answer is being made or sent.
    pub writing: u64,
    /// Open connections that are idle.
    pub waiting: u64,
}

/// What a worker says of its route table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerTable {
    /// The worker.
    pub pid: i32,
    /// The revision by which it routes its next request.
    pub revision: u64,
    /// Why that is not the newest; empty if it is.
    pub fault: String,
}

impl Control {
    /// The client of this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Control {
        Control { socket: socket.into() }
    }

    /// The revision that the answering worker serves.
    ///
    /// # Errors
    /// No worker answers within the time, or it has none.
    pub async fn revision(&self, timeout: Duration) -> io::Result<String> {
        Ok(self.get("/generation", timeout).await?.trim().to_owned())
    }

    /// What the answering worker says of its route table; none if its revision has none.
    ///
    /// # Errors
    /// No worker answers within the time, or it answers something else than `PID REVISION FAULT`.
    pub async fn table(&self, timeout: Duration) -> io::Result<Option<WorkerTable>> {
        match self.get("/table", timeout).await {
            Ok(body) => {
                let table = read_table(body.trim_end());
                table.map(Some).ok_or_else(|| io::Error::other(format!("no table: {body:?}")))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What nginx counts; none if it is built without the module.
    ///
    /// # Errors
    /// No worker answers within the time, or it does not answer as that module does.
    pub async fn connection_counts(&self, timeout: Duration) -> io::Result<Option<ConnectionCounts>> {
        match self.get("/status", timeout).await {
            Ok(body) => read_counts(&body).map(Some).ok_or_else(|| io::Error::other(format!("no counts: {body:?}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, path: &str, timeout: Duration) -> io::Result<String> {
        let answer = tokio::time::timeout(timeout, self.exchange(path)).await??;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.lines().next().unwrap_or_default();
        match status.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            other => {
                let kind = if other == Some("404") { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
                Err(io::Error::new(kind, format!("GET {path} on {}: {status:?}", self.socket.display())))
            }
        }
    }

    async fn exchange(&self, path: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Reads `PID REVISION FAULT`, of which the last may be empty or have spaces.
fn read_table(body: &str) -> Option<WorkerTable> {
    let mut words = body.splitn(3, ' ');
    let (pid, revision) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(WorkerTable { pid, revision, fault: words.next().unwrap_or_default().to_owned() })
}

/// Reads `Active connections: 2 \nserver accepts handled requests\n 5 5 9 \nReading: 0 Writing: 1 Waiting: 1`.
fn read_counts(body: &str) -> Option<ConnectionCounts> {
    let numbers: Vec<u64> = body.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [active, accepted, handled, requests, reading, writing, waiting] = numbers[..] else { return None };
    Some(ConnectionCounts { active, accepted, handled, requests, reading, writing, waiting })
}
