//! When a connection ends because nothing comes: soon in the middle of a request's head, late between requests.
//!
//! hyper has one time for both. A client keeps a connection for its next request for a minute or more, and loses that
//! request when the service closes just then; a head that has begun comes at once or not at all.

use std::future::Future;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::hyper_answers;

/// How long may pass without what is due.
#[derive(Debug, Clone, Copy)]
pub struct IdleLimits {
    /// From the first byte of a request's head to its last; also from a connection's beginning to its first request.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
}

/// What a connection is about, known to its reader and to what answers its requests.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Mutex<ConnectionState>>);

#[derive(Debug)]
struct ConnectionState {
    /// Requests that are not answered to the end.
    running: usize,
    /// Whether a head has begun.
    head: bool,
    /// Whether requests share the connection (HTTP/2), so that not every byte is one of a head.
    shared: bool,
    /// Since when no request runs, or a head is on its way.
    since: Instant,
}

impl Activity {
    /// Of a connection that begins now, and owes its first request.
    pub fn for_new_connection() -> Self {
        Self(Arc::new(Mutex::new(ConnectionState { running: 0, head: true, shared: false, since: Instant::now() })))
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has come; it runs until what is returned is dropped.
    pub fn begin(&self, shared: bool) -> RunningRequest {
        let mut state = self.state();
        state.running += 1;
        state.head = false;
        state.shared |= shared;
        RunningRequest(self.clone())
    }

    /// Bytes have come.
    fn note_read(&self) {
        let mut state = self.state();
        if state.running == 0 && !state.head && !state.shared {
            state.head = true;
            state.since = Instant::now();
        }
    }

    /// Bytes have gone: the last of an answer may go long after it was made.
    fn note_write(&self) {
        let mut state = self.state();
        if !state.head {
            state.since = Instant::now();
        }
    }

    /// Until when something must come; `None` while a request runs.
    fn deadline(&self, limits: IdleLimits) -> Option<Instant> {
        let state = self.state();
        let limit = if state.head { limits.head } else { limits.idle };
        (state.running == 0).then(|| state.since + limit)
    }
}

/// A request that runs.
#[derive(Debug)]
pub struct RunningRequest(Activity);

impl RunningRequest {
    /// The body of its answer, with which it ends.
    pub fn until_sent(self, body: Body) -> Body {
        Body::new(RunningBody { body, _running: self })
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running -= 1;
        state.since = Instant::now();
    }
}

struct RunningBody {
    body: Body,
    _running: RunningRequest,
}

impl hyper::body::Body for RunningBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that is read to its end when what is due does not come.
pub struct WatchedConnection<T> {
    inner: T,
    activity: Activity,
    limits: IdleLimits,
    /// Looks again then; a request that runs ends without a word to the reader.
    look: Pin<Box<Sleep>>,
    /// What goes instead of an answer that is being written, and how much of it has gone.
    instead: Option<(Vec<u8>, usize)>,
}

impl<T> WatchedConnection<T> {
    /// Watches a connection.
    pub fn new(inner: T, activity: Activity, limits: IdleLimits) -> Self {
        Self { inner, activity, limits, look: Box::pin(sleep_until(Instant::now() + limits.head)), instead: None }
    }

    fn wrote(&self, outcome: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if outcome.is_ready() {
            self.activity.note_write();
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> WatchedConnection<T> {
    /// Writes what goes instead of these bytes, to its end; `None` when they go themselves.
    fn poll_instead(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Option<Result<usize>>> {
        if self.instead.is_none() {
            self.instead = hyper_answers::with_document(bytes).map(|answer| (answer, 0));
        }
        while let Some((answer, gone)) = &mut self.instead {
            if *gone == answer.len() {
                self.instead = None;
                return Poll::Ready(Some(Ok(bytes.len())));
            }
            match ready!(Pin::new(&mut self.inner).poll_write(context, &answer[*gone..])) {
                Ok(0) => return Poll::Ready(Some(Ok(0))),
                Ok(more) => *gone += more,
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(None)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WatchedConnection<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(context, buffer);
        if outcome.is_ready() {
            if buffer.filled().len() > before {
                self.activity.note_read();
            }
            return outcome;
        }
        loop {
            let now = Instant::now();
            let due = self.activity.deadline(self.limits);
            if due.is_some_and(|due| due <= now) {
                // The end of what comes: a connection without a request then ends in good order.
                return Poll::Ready(Ok(()));
            }
            let next = due.unwrap_or(now + self.limits.head.min(self.limits.idle));
            if self.look.deadline() > next || self.look.deadline() <= now {
                self.look.as_mut().reset(next);
            }
            ready!(self.look.as_mut().poll(context));
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WatchedConnection<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let outcome = match ready!(self.poll_instead(context, bytes)) {
            Some(instead) => Poll::Ready(instead),
            None => Pin::new(&mut self.inner).poll_write(context, bytes),
        };
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next())
            && let Some(instead) = ready!(self.poll_instead(context, only))
        {
            return self.wrote(Poll::Ready(instead));
        }
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const LIMITS: IdleLimits = IdleLimits { head: Duration::from_millis(200), idle: Duration::from_secs(3) };

    /// Its time began before the read did, by less than this.
    const BEFORE_READ: Duration = Duration::from_millis(100);

    /// How long a connection lasts whose read waits until it sees the end, and hardly less.
    async fn ends_after(watched: &mut WatchedConnection<tokio::io::DuplexStream>) -> Duration {
        let started = Instant::now();
        assert_eq!(watched.read(&mut [0; 64]).await.unwrap(), 0);
        started.elapsed() + BEFORE_READ
    }

    fn connection() -> (Activity, WatchedConnection<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (near, far) = duplex(1024);
        let activity = Activity::for_new_connection();
        (activity.clone(), WatchedConnection::new(near, activity, LIMITS), far)
    }

    #[tokio::test]
    async fn head_has_less_time_than_the_pause_between_requests() {
        let (_, mut watched, _far) = connection();
        let waited = ends_after(&mut watched).await;
        assert!((LIMITS.head..LIMITS.idle).contains(&waited), "a first request that never comes: {waited:?}");

        let (activity, mut watched, _far) = connection();
        drop(activity.begin(false));
        let waited = ends_after(&mut watched).await;
        assert!(waited >= LIMITS.idle, "no second request: {waited:?}");

        let (activity, mut watched, mut far) = connection();
        drop(activity.begin(false));
        far.write_all(b"GET").await.unwrap();
        assert_eq!(watched.read(&mut [0; 64]).await.unwrap(), 3);
        let waited = ends_after(&mut watched).await;
        assert!((LIMITS.head..LIMITS.idle).contains(&waited), "the rest of a head: {waited:?}");
    }

    #[tokio::test]
    async fn running_request_has_no_deadline() {
        let (activity, mut watched, mut far) = connection();
        let running = activity.begin(false);
        let writer = tokio::spawn(async move {
            tokio::time::sleep(LIMITS.idle + LIMITS.head).await;
            far.write_all(b"x").await.unwrap();
            far
        });
        assert_eq!(watched.read(&mut [0; 64]).await.unwrap(), 1);
        let _far = writer.await.unwrap();
        drop(running);
        let waited = ends_after(&mut watched).await;
        assert!(waited >= LIMITS.head * 2, "{waited:?}");
    }

    #[tokio::test]
    async fn shared_connection_is_idle_whatever_comes_beside_requests() {
        let (activity, mut watched, mut far) = connection();
        drop(activity.begin(true));
        far.write_all(b"ping").await.unwrap();
        assert_eq!(watched.read(&mut [0; 64]).await.unwrap(), 4);
        let waited = ends_after(&mut watched).await;
        assert!(waited >= LIMITS.head * 2, "{waited:?}");
    }
}
