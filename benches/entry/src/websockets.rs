//! `WebSockets` that stay open across reloads, and are opened again when they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two messages of a client.
const PAUSE: Duration = Duration::from_millis(20);
/// A message, as a client sends it: a text of four letters, masked with zeros. The backend sends it back as it is.
const MESSAGE: &[u8] = b"\x81\x84\0\0\0\0ping";

/// What became of them.
#[derive(Debug, Default)]
pub struct Told {
    /// How long those lived that the other side ended.
    pub ended: Vec<Duration>,
    /// How many were open at the end.
    pub open: usize,
    /// How many could not be opened.
    pub refused: usize,
    /// Why the first of these.
    pub why: Option<String>,
}

impl Told {
    /// How many ended before workers had been leaving for so long. They began before that, and clocks of workers are as
    /// exact as their last turn.
    pub fn sooner(&self, shutdown_timeout: Duration) -> usize {
        let least = shutdown_timeout.saturating_sub(Duration::from_millis(200));
        self.ended.iter().filter(|lived| **lived < least).count()
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct WebSockets {
    tasks: JoinSet<Told>,
    end: Arc<AtomicBool>,
}

impl WebSockets {
    /// Starts so many clients.
    pub fn start(address: SocketAddr, path: &'static str, clients: usize) -> Self {
        let mut all = Self { tasks: JoinSet::new(), end: Arc::default() };
        for _ in 0..clients {
            all.tasks.spawn(client(address, path, Arc::clone(&all.end)));
        }
        all
    }

    /// Ends them.
    ///
    /// # Errors
    /// One does not end.
    pub async fn stop(self) -> Result<Told> {
        self.end.store(true, Ordering::Relaxed);
        let all = timeout(PATIENCE * 2, self.tasks.join_all()).await.context("the WebSockets do not end")?;
        Ok(all.into_iter().fold(Told::default(), |mut all, one| {
            all.ended.extend(one.ended);
            all.open += one.open;
            all.refused += one.refused;
            all.why = all.why.or(one.why);
            all
        }))
    }
}

async fn client(address: SocketAddr, path: &'static str, end: Arc<AtomicBool>) -> Told {
    let mut told = Told::default();
    while !end.load(Ordering::Relaxed) {
        let began = Instant::now();
        match timeout(PATIENCE, open(address, path)).await {
            Ok(Ok(mut stream)) => {
                while exchange(&mut stream).await.is_ok() {
                    if end.load(Ordering::Relaxed) {
                        told.open += 1;
                        return told;
                    }
                    sleep(PAUSE).await;
                }
                told.ended.push(began.elapsed());
            }
            failed => {
                told.refused += 1;
                told.why.get_or_insert(match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer".to_owned(),
                });
                sleep(PAUSE).await;
            }
        }
    }
    told
}

async fn open(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: c3BhcnJvdy1iZW5jaC1rZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 4096 {
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        return Ok(stream);
    }
    let status = String::from_utf8_lossy(head.get(..12).unwrap_or(&head)).into_owned();
    Err(io::Error::other(format!("answered {status}")))
}

/// Sends a message and reads it again.
async fn exchange(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(MESSAGE).await?;
    let mut answer = [0; MESSAGE.len()];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
    if answer == MESSAGE { Ok(()) } else { Err(io::Error::other("another message")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    #[tokio::test]
    async fn ended_websockets_are_told_from_kept_ones() {
        let backend = Backend::start("127.0.0.1", "hello").await.unwrap();
        let all = WebSockets::start(backend.address, "/a", 3);
        sleep(Duration::from_millis(100)).await;
        let told = all.stop().await.unwrap();
        assert_eq!((told.open, told.ended.len(), told.refused), (3, 0, 0), "{told:?}");

        // One that says yes, and then ends what it has begun.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
            }
        });
        let all = WebSockets::start(address, "/a", 1);
        sleep(Duration::from_millis(100)).await;
        let told = all.stop().await.unwrap();
        assert!(!told.ended.is_empty() && told.open == 0, "{told:?}");
        assert_eq!(told.sooner(Duration::from_secs(10)), told.ended.len());
        assert_eq!(told.sooner(Duration::ZERO), 0);

        let nobody = testbed::ports::free_address().unwrap();
        let all = WebSockets::start(nobody, "/a", 1);
        sleep(Duration::from_millis(50)).await;
        let told = all.stop().await.unwrap();
        assert!(told.refused > 0 && told.why.is_some(), "{told:?}");
    }
}
