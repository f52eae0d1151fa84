//! A connection that ends when its other side takes nothing for too long.
//!
//! Without it a client that stops reading would hold its connection, and what waits to be sent, for ever: TCP
//! keep-alive is answered by its kernel.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What may wait in the kernel to be sent the first time. The default, megabytes, would hide for minutes that a slow
/// client takes something, since a socket takes more only when a good part of that has left. What is on its way is not
/// bound by it (`TCP_NOTSENT_LOWAT` in tcp(7)).
const UNSENT_BYTES: u32 = 256 << 10;

/// Prepares a connection to be watched.
pub fn prepare(stream: &tokio::net::TcpStream) {
    // What fails here makes it less exact, no more.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
}

/// A connection whose writes fail with `TimedOut` when nothing could be written for the time given.
pub struct StallTimeout<T> {
    inner: T,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl<T> StallTimeout<T> {
    /// Watches a connection.
    pub fn new(inner: T, patience: Duration) -> Self {
        Self { inner, patience, waiting: None, armed: false }
    }

    /// A write's outcome, or the end of patience.
    fn judge<R>(&mut self, context: &mut Context<'_>, outcome: Poll<Result<R>>) -> Poll<Result<R>> {
        if outcome.is_ready() {
            self.armed = false;
            return outcome;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        if !self.armed {
            waiting.as_mut().reset(Instant::now() + patience);
            self.armed = true;
        }
        ready!(waiting.as_mut().poll(context));
        self.armed = false;
        tracing::info!(seconds = patience.as_secs(), "a client took nothing for too long: its connection ends");
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client took nothing for too long")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StallTimeout<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for StallTimeout<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.judge(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        self.judge(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn reader_that_is_slow_is_waited_for_and_one_that_stands_still_is_not() {
        let (near, mut far) = duplex(1024);
        let mut near = StallTimeout::new(near, Duration::from_millis(200));
        let reader = tokio::spawn(async move {
            let mut byte = [0; 512];
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                far.read_exact(&mut byte).await.unwrap();
            }
            far
        });
        // 4 KiB: 3 KiB are taken over 600 ms, 1 KiB is kept by the pipe.
        near.write_all(&[1; 4096]).await.unwrap();
        let _far = reader.await.unwrap();
        let error = near.write_all(&[1; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
