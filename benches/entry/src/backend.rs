//! What is behind nginx: a server in this process that answers everything with 200 and one body.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server. Dropping it ends it.
#[derive(Debug)]
pub struct Backend {
    /// Where.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Backend {
    /// Listens on a free port of this address.
    ///
    /// # Errors
    /// The address is not one of this machine.
    pub async fn start(ip: &str, body: &str) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let address = listener.local_addr()?;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer: &'static [u8] = answer.into_bytes().leak();
        let task = tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, answer));
                }
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers whole requests until the connection ends.
async fn serve(mut stream: TcpStream, answer: &[u8]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer: Vec<u8> = Vec::with_capacity(4096);
    loop {
        while let Some(end) = whole(&buffer) {
            buffer.drain(..end);
            stream.write_all(answer).await.ok()?;
        }
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// The length of the first request, if all of it is there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let length = text.lines().filter_map(|line| line.split_once(": "));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.next().map_or(Some(0), |(_, value)| value.parse().ok())?;
    (buffer.len() >= head + length).then_some(head + length)
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn request_is_whole_with_its_body() {
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA: b\r\n\r\nGET"), Some(24));
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA: b\r\n"), None);
        assert_eq!(whole(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab"), None);
        assert_eq!(whole(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcd"), Some(41));
    }
}
