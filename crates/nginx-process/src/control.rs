//! The question that every worker answers: which generation are you?

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The generation of the worker that takes a new connection. Each question is a connection of its own.
pub(crate) async fn generation(socket: &Path, timeout: Duration) -> io::Result<String> {
    tokio::time::timeout(timeout, ask(socket)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn ask(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(b"GET /generation HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        Ok(body.trim().to_owned())
    } else {
        let status = head.lines().next().unwrap_or_default();
        Err(io::Error::other(format!("GET /generation on {}: {status:?}", socket.display())))
    }
}
