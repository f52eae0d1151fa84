//! Writing a stream into an image: gathered into chunks, zeros left out where the image is new, writes in flight.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use bytes::Bytes;
use ceph::{Errno, Image, Pending};
use http_body_util::BodyExt as _;
use prometheus_client::metrics::counter::Counter;
use rbd::workers::deadline_in;
use rbd_api::input;
use rbd_api::media::MediaType;
use rbd_api::problem::{self, RequestFault};
use rbd_model::fault::{Fault, Kind};

use super::source::is_zero;
use super::streamed_image::StreamedImage;
use crate::call::Call;
use crate::streams::{HeldImage, MemoryShare, linger};

/// Written behind per stream.
const WINDOW_BYTES: usize = 32 << 20;
/// Writes in flight per stream: small ones cost more than their bytes.
const WINDOW_WRITES: usize = 128;
/// Written chunks whose memory a stream keeps for the next.
const STOCK_CHUNKS: usize = 2;
/// The unit in which zeros are looked for and left out: what `rbd import` does by default (`--sparse-size`).
const SPARSE_BYTES: usize = 4096;

/// What bytes are said to be where nothing is known of them: by the standard, and by curl and Python when they are told nothing.
const UNKNOWN_TYPES: [&str; 2] = ["application/octet-stream", "application/x-www-form-urlencoded"];

/// A body as it arrives.
pub struct IncomingBody {
    body: Body,
    idle: Duration,
    counted: Counter,
    /// Bytes that came.
    pub came: u64,
}

impl IncomingBody {
    /// The body of a call, which must be of the declared media type or say nothing of it; its client is cut off when it sends
    /// nothing for too long.
    ///
    /// # Errors
    /// `media-type`.
    pub fn of<M: MediaType>(call: &mut Call, _: input::Bytes<M>) -> Result<Self, RequestFault> {
        let said = call.headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
        let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !essence.is_empty() && essence != M::NAME && !UNKNOWN_TYPES.contains(&essence.as_str()) {
            return Err(Fault::new(problem::Kind::MediaType, format!("The body is {said:?}."))
                .correction(format!("Send the bytes with the header Content-Type: {}.", M::NAME)));
        }
        let (idle, counted) = (call.app.streams.limits().idle, call.app.metrics.bytes_in.clone());
        Ok(Self { body: call.take_body(), idle, counted, came: 0 })
    }

    /// What came next; `None` at the end.
    ///
    /// # Errors
    /// `bad-request` when the client stands still or breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Ok(frame) = tokio::time::timeout(self.idle, self.body.frame()).await else {
                let text =
                    format!("The client has sent nothing for {} s after {} bytes.", self.idle.as_secs(), self.came);
                return Err(Fault::new(Kind::BadRequest, text));
            };
            let frame = match frame {
                None => return Ok(None),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    let text = format!("The body broke off after {} bytes: {error}.", self.came);
                    return Err(Fault::new(Kind::BadRequest, text));
                }
            };
            // Trailers are no data.
            if let Ok(bytes) = frame.into_data() {
                self.came += bytes.len() as u64;
                self.counted.inc_by(bytes.len() as u64);
                return Ok(Some(bytes));
            }
        }
    }

    /// See [`linger`].
    pub fn linger(self) {
        linger(self.body);
    }
}

/// Memory of chunks that were written, for those to come: fresh memory costs a page fault for every 4 KiB.
type ChunkStock = Arc<Mutex<Vec<(Vec<u8>, Option<MemoryShare>)>>>;

/// What is gathered. Its memory goes back to the stock when the last of it is written.
struct Chunk {
    bytes: Vec<u8>,
    share: Option<MemoryShare>,
    stock: ChunkStock,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() < STOCK_CHUNKS {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            stock.push((bytes, self.share.take()));
        }
    }
}

/// A part of a chunk.
struct Span {
    chunk: Arc<Chunk>,
    part: Range<usize>,
}

impl AsRef<[u8]> for Span {
    fn as_ref(&self) -> &[u8] {
        &self.chunk.bytes[self.part.clone()]
    }
}

/// Writes to an open image.
pub struct ImageSink {
    image: Arc<StreamedImage>,
    held: HeldImage,
    chunk_bytes: usize,
    /// Whether zeros need not be written: the image has none but zeros.
    sparse: bool,
    /// Where what is gathered begins.
    at: u64,
    /// Zeros that are gathered without memory, when nothing else is yet.
    zeros: usize,
    chunk: Option<Chunk>,
    stock: ChunkStock,
    in_flight: VecDeque<(Pending<()>, usize)>,
    in_flight_bytes: usize,
}

impl ImageSink {
    /// Writes chunks of `chunk_bytes` to an image that is open for writing.
    pub fn new(image: Arc<StreamedImage>, held: HeldImage, chunk_bytes: u64, sparse: bool) -> Self {
        Self {
            image,
            held,
            chunk_bytes: usize::try_from(chunk_bytes).unwrap_or(WINDOW_BYTES),
            sparse,
            at: 0,
            zeros: 0,
            chunk: None,
            stock: ChunkStock::default(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    /// Writes bytes at an offset; what follows on the last ones is gathered with them.
    ///
    /// # Errors
    /// What Ceph gives, for these or for earlier ones.
    pub async fn write(&mut self, mut offset: u64, mut bytes: &[u8]) -> Result<(), Fault> {
        if offset != self.at + self.gathered() as u64 {
            self.send().await?;
        }
        while !bytes.is_empty() {
            if self.gathered() == 0 {
                self.at = offset;
            }
            let length = (self.room() - self.gathered()).min(bytes.len());
            let (now, later) = bytes.split_at(length);
            self.gather(now).await?;
            offset += length as u64;
            bytes = later;
            if self.gathered() == self.room() {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// How much is gathered.
    fn gathered(&self) -> usize {
        self.chunk.as_ref().map_or(self.zeros, |chunk| chunk.bytes.len())
    }

    /// How much goes into the present chunk: up to the next border, so that objects are written as wholes.
    fn room(&self) -> usize {
        let within = usize::try_from(self.at % self.chunk_bytes as u64).unwrap_or(0);
        self.chunk_bytes - within
    }

    /// Takes up bytes for which there is room.
    async fn gather(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.chunk.is_none() {
            if self.sparse && is_zero(bytes) {
                self.zeros += bytes.len();
                return Ok(());
            }
            let (mut memory, share) = self.reserve().await?;
            memory.reserve_exact(self.room());
            memory.resize(std::mem::take(&mut self.zeros), 0);
            self.chunk = Some(Chunk { bytes: memory, share, stock: Arc::clone(&self.stock) });
        }
        if let Some(chunk) = &mut self.chunk {
            chunk.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Memory for a chunk: used before, or shared, or beyond the share when nothing of this stream is in flight.
    async fn reserve(&mut self) -> Result<(Vec<u8>, Option<MemoryShare>), Fault> {
        loop {
            if let Some(used) = self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                return Ok(used);
            }
            if let Some(share) = self.image.app.streams.share(self.chunk_bytes) {
                return Ok((Vec::new(), Some(share)));
            }
            if self.in_flight.is_empty() {
                return Ok((Vec::new(), None));
            }
            self.oldest().await?;
        }
    }

    /// Makes a part read as zeros.
    ///
    /// # Errors
    /// What Ceph gives, for this or for earlier ones.
    pub async fn zero(&mut self, mut offset: u64, mut length: u64) -> Result<(), Fault> {
        // Large parts in steps, each of which is answered within the deadline.
        const STEP_BYTES: u64 = 256 << 20;
        self.send().await?;
        while length > 0 {
            let step = (STEP_BYTES - offset % STEP_BYTES).min(length);
            let bytes = usize::try_from(step).unwrap_or(usize::MAX);
            self.start(0, |image| image.write_zeroes(offset, bytes)).await?;
            offset += step;
            length -= step;
        }
        Ok(())
    }

    /// Starts to write what is gathered.
    async fn send(&mut self) -> Result<(), Fault> {
        // Zeros alone are there already.
        self.zeros = 0;
        let Some(chunk) = self.chunk.take() else { return Ok(()) };
        let whole = 0..chunk.bytes.len();
        let spans = if self.sparse { spans(&chunk.bytes) } else { vec![whole] };
        let chunk = Arc::new(chunk);
        for part in spans {
            let (offset, length) = (self.at + part.start as u64, part.len());
            let span = Span { chunk: Arc::clone(&chunk), part };
            self.start(length, |image| image.write(offset, span)).await?;
        }
        Ok(())
    }

    /// Starts a write when there is room for it in the window.
    async fn start(
        &mut self,
        bytes: usize,
        write: impl FnOnce(&Image) -> ceph::Result<Pending<()>>,
    ) -> Result<(), Fault> {
        while self.in_flight_bytes + bytes > WINDOW_BYTES.max(bytes) || self.in_flight.len() >= WINDOW_WRITES {
            self.oldest().await?;
        }
        // Errors are seen early: a pool that is full stops the client at once.
        while let Some((pending, _)) = self.in_flight.front_mut() {
            let Some(done) = ready(pending).await else { break };
            self.landed(done).await?;
        }
        let Some(image) = self.held.image() else {
            return Err(Fault::new(Kind::Internal, "The image is closed already."));
        };
        let pending = match write(image) {
            Ok(pending) => pending,
            Err(error) => return Err(self.image.explain(error).await),
        };
        self.in_flight.push_back((pending, bytes));
        self.in_flight_bytes += bytes;
        Ok(())
    }

    /// Waits for the oldest write.
    async fn oldest(&mut self) -> Result<(), Fault> {
        let Some((pending, _)) = self.in_flight.front_mut() else { return Ok(()) };
        match tokio::time::timeout(self.image.app.deadline, pending).await {
            Ok(done) => self.landed(done).await,
            Err(_) => Err(late()),
        }
    }

    /// Takes the oldest write off, which is done.
    async fn landed(&mut self, done: ceph::Result<()>) -> Result<(), Fault> {
        if let Some((_, bytes)) = self.in_flight.pop_front() {
            self.in_flight_bytes -= bytes;
        }
        match done {
            Ok(()) => Ok(()),
            Err(error) => Err(self.image.explain(error).await),
        }
    }

    /// Waits for all writes and makes them last.
    ///
    /// # Errors
    /// What Ceph gives for any write.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        self.send().await?;
        self.start(0, Image::flush).await?;
        while !self.in_flight.is_empty() {
            self.oldest().await?;
        }
        Ok(())
    }

    /// Runs a blocking call on the image, with nothing in flight. It is given what says why a call of Ceph failed.
    ///
    /// # Errors
    /// What the call gives; then the image is closed.
    pub async fn call<T: Send + 'static>(
        mut self,
        call: impl FnOnce(&Image, &dyn Fn(ceph::Error) -> Fault) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(Self, T), SinkFault> {
        let held = std::mem::take(&mut self.held);
        let (streamed, deadline) = (Arc::clone(&self.image), deadline_in(self.image.app.deadline));
        let run = move || {
            let Some(image) = held.image() else {
                return Err(Fault::new(Kind::Internal, "The image is closed already."));
            };
            let answer = call(image, &|error| streamed.explain_blocking(error, deadline));
            Ok((held, answer))
        };
        let (held, answer) = match self.image.app.workers.run(&self.image.lane, deadline, run).await {
            Ok(done) => done,
            Err(problem) => return Err(SinkFault { problem, sink: None }),
        };
        self.held = held;
        match answer {
            Ok(answer) => Ok((self, answer)),
            Err(problem) => Err(SinkFault { problem, sink: Some(Box::new(self)) }),
        }
    }

    /// Waits for what librbd still does, without a thread, then does what is left to do, and closes the image.
    pub async fn abandon(self, last: impl FnOnce(&Image) + Send + 'static) {
        for (pending, _) in self.in_flight {
            let _ = pending.await;
        }
        let close = move || {
            if let Some(image) = self.held.take() {
                last(&image);
            }
        };
        let _ = tokio::task::spawn_blocking(close).await;
    }
}

/// A call on a sink's image that failed; the sink is gone when the call did not come back in time.
pub struct SinkFault {
    pub problem: Fault,
    pub sink: Option<Box<ImageSink>>,
}

/// Ceph does not write.
fn late() -> Fault {
    Fault::new(Kind::CephUnavailable, "Ceph has not written the data in time.").errno(Errno::ETIMEDOUT).retry_after(5)
}

/// The outcome of what is done already.
async fn ready<T>(pending: &mut Pending<T>) -> Option<ceph::Result<T>> {
    let mut pending = Pin::new(pending);
    std::future::poll_fn(move |context| match pending.as_mut().poll(context) {
        std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

/// The parts of a chunk that are not zero, to blocks of [`SPARSE_BYTES`].
fn spans(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    if is_zero(bytes) {
        return spans;
    }
    for (block, start) in bytes.chunks(SPARSE_BYTES).zip((0..).step_by(SPARSE_BYTES)) {
        if is_zero(block) {
            continue;
        }
        match spans.last_mut() {
            Some(last) if last.end == start => last.end += block.len(),
            _ => spans.push(start..start + block.len()),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_zeros_are_left_out() {
        let mut bytes = vec![0; 10 * SPARSE_BYTES + 100];
        assert!(spans(&bytes).is_empty());
        bytes[SPARSE_BYTES] = 1;
        bytes[3 * SPARSE_BYTES - 1] = 1;
        bytes[10 * SPARSE_BYTES + 99] = 1;
        assert_eq!(spans(&bytes), [SPARSE_BYTES..3 * SPARSE_BYTES, 10 * SPARSE_BYTES..10 * SPARSE_BYTES + 100]);
        assert!(spans(&[]).is_empty());
    }
}
