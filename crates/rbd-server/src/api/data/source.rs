//! Reading an image as a stream: which parts hold data, reads of them in flight, and the body that they arrive in.
//!
//! A task of its own reads ahead, so that Ceph works while the client takes what came before. It ends, and the image
//! is closed, when all is sent, the client has gone or takes nothing for too long, or Ceph does not deliver in time.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use ceph::{Extent, Image, Pending};
use futures_util::Stream;
use prometheus_client::metrics::counter::Counter;
use rbd::workers::{Slot, deadline_in};
use rbd_model::fault::{Fault, Kind};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::streamed_image::StreamedImage;
use crate::streams::{HeldImage, MemoryShare};

/// Read ahead per stream.
const WINDOW_BYTES: usize = 32 << 20;
/// The least and the most that is read at once, between which an object is read as a whole.
const CHUNK_BYTES: Range<u64> = 1 << 20..4 << 20;
/// Bytes handed to the connection at once: a measure of what the client takes.
const FRAME_BYTES: usize = 256 << 10;
/// Holes smaller than this are read, not looked for: a read costs more than they do.
const GAP_BYTES: u64 = 64 << 10;
/// Objects looked at in one call when each has to be asked for its extents.
const EXACT_OBJECTS: u64 = 512;
/// Objects looked at in one call when the object map knows.
const MAPPED_OBJECTS: u64 = 1 << 16;

/// What all holes are sent from.
static ZEROS: [u8; FRAME_BYTES] = [0; FRAME_BYTES];

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|part| *part == ZEROS[..part.len()])
}

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where.
    pub offset: u64,
    /// How long; never 0.
    pub length: u64,
    /// Whether it holds data; else it reads as zeros.
    pub data: bool,
}

/// How an image is laid out, as far as reading it cares.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Size of an object, in bytes.
    pub object_bytes: u64,
    /// Bytes after which the objects of a stripe begin anew.
    pub period_bytes: u64,
    /// Whether the object map can be trusted to know which objects exist.
    pub mapped: bool,
}

impl Layout {
    /// Of an open image, at the snapshot it is switched to.
    pub fn of(image: &Image) -> Result<Self, Fault> {
        const FAST_DIFF: u64 = 1 << 4;
        const INVALID: u64 = 1 << 0 | 1 << 1;
        let object_bytes = image.stat()?.object_size_bytes.max(1);
        let period_bytes = object_bytes.saturating_mul(image.stripe_count()?.max(1));
        let mapped = image.features()? & FAST_DIFF != 0 && image.flags()? & INVALID == 0;
        Ok(Self { object_bytes, period_bytes, mapped })
    }

    /// What is read at once.
    pub fn chunk_bytes(&self) -> u64 {
        self.object_bytes.clamp(CHUNK_BYTES.start, CHUNK_BYTES.end)
    }
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct PieceSearch {
    /// Changes since this snapshot; else all data.
    pub from: Option<String>,
    /// The part of the image.
    pub range: Range<u64>,
    /// Whether whole objects will do, which is quick where the object map can be trusted.
    pub whole_objects: bool,
    /// Whether holes are wanted as pieces, and small ones may be passed off as data: for the bytes themselves.
    pub contiguous: bool,
}

/// Finds pieces, a window of the image at a time.
pub struct PieceFinder {
    image: Arc<StreamedImage>,
    layout: Layout,
    search: PieceSearch,
}

/// The image back from a worker, and what was found.
type WindowResult = Result<(HeldImage, Vec<Piece>, u64), Fault>;

impl PieceFinder {
    /// A finder for a search in an image.
    pub fn new(image: Arc<StreamedImage>, layout: Layout, search: PieceSearch) -> Self {
        Self { image, layout, search }
    }

    /// Whether all is found.
    pub fn done(&self) -> bool {
        self.search.range.is_empty()
    }

    /// Starts to look at the next window. The image comes back with the pieces and where the search stands then.
    fn start(&self, held: HeldImage) -> JoinHandle<WindowResult> {
        let (image, layout, search) = (Arc::clone(&self.image), self.layout, self.search.clone());
        tokio::spawn(async move {
            let deadline = deadline_in(image.app.deadline);
            let searched = Arc::clone(&image);
            let find = move || find(&searched, held, layout, &search, deadline);
            image.app.workers.run(&image.lane, deadline, find).await
        })
    }

    /// Looks at the next window and waits for it.
    ///
    /// # Errors
    /// What Ceph gives; then the image is closed.
    pub async fn next(&mut self, held: HeldImage) -> Result<(HeldImage, Vec<Piece>), Fault> {
        let found = self.start(held).await;
        self.take(found)
    }

    fn take(&mut self, found: Result<WindowResult, tokio::task::JoinError>) -> Result<(HeldImage, Vec<Piece>), Fault> {
        let (held, pieces, next) = found.map_err(|error| Fault::new(Kind::Internal, error.to_string()))??;
        self.search.range.start = next;
        Ok((held, pieces))
    }
}

/// The pieces of one window. Blocks.
fn find(
    streamed: &StreamedImage,
    held: HeldImage,
    layout: Layout,
    search: &PieceSearch,
    deadline: Instant,
) -> WindowResult {
    let Some(image) = held.image() else {
        return Err(Fault::new(Kind::Internal, "The image is closed already."));
    };
    let Range { start, end } = search.range;
    let whole_objects = search.whole_objects;
    let objects = if whole_objects && layout.mapped { MAPPED_OBJECTS } else { EXACT_OBJECTS };
    // Whole periods: what is found in one is not in order when objects are striped.
    let window = (objects * layout.object_bytes).next_multiple_of(layout.period_bytes);
    let next = ((start / layout.period_bytes) * layout.period_bytes).saturating_add(window).min(end);
    let mut extents: Vec<Extent> = Vec::new();
    let found = image.extents(search.from.as_deref(), start, next - start, whole_objects, &mut |extent| {
        extents.push(extent);
        ControlFlow::Continue(())
    });
    found.map_err(|error| streamed.explain_blocking(error, deadline))?;
    extents.sort_unstable_by_key(|extent| extent.offset);
    let pieces = if search.contiguous { filled(&extents, start..next) } else { merged(&extents, start..next) };
    Ok((held, pieces, next))
}

/// An extent within a range; `None` outside.
fn clipped(extent: Extent, range: &Range<u64>) -> Option<Piece> {
    let start = extent.offset.max(range.start);
    let end = extent.offset.saturating_add(extent.length).min(range.end);
    (start < end).then(|| Piece { offset: start, length: end - start, data: extent.exists })
}

/// Extents with neighbours of the same kind made one.
fn merged(extents: &[Extent], range: Range<u64>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for piece in extents.iter().filter_map(|extent| clipped(*extent, &range)) {
        match pieces.last_mut() {
            Some(last) if last.data == piece.data && last.offset + last.length == piece.offset => {
                last.length += piece.length;
            }
            _ => pieces.push(piece),
        }
    }
    pieces
}

/// Data and holes that cover the range without a gap; holes too small to matter are data.
fn filled(extents: &[Extent], range: Range<u64>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = range.start;
    let data = extents.iter().filter(|extent| extent.exists).filter_map(|extent| clipped(*extent, &range));
    for mut piece in data {
        // Overlaps cannot be, but a byte sent twice would be worse than a check.
        let end = piece.offset + piece.length;
        if end <= at {
            continue;
        }
        piece.offset = piece.offset.max(at);
        piece.length = end - piece.offset;
        let gap = piece.offset - at;
        match pieces.last_mut() {
            Some(last) if last.data && gap < GAP_BYTES => last.length += gap + piece.length,
            _ => {
                if gap > 0 {
                    pieces.push(Piece { offset: at, length: gap, data: false });
                }
                pieces.push(piece);
            }
        }
        at = end;
    }
    if at < range.end {
        pieces.push(Piece { offset: at, length: range.end - at, data: false });
    }
    pieces
}

/// What a stream is sent as.
pub trait StreamFormat: Send + 'static {
    /// What comes before everything.
    fn begin(&mut self) -> Bytes {
        Bytes::new()
    }
    /// What comes before a part with data; `None` sends the part as a hole instead.
    fn data(&mut self, offset: u64, bytes: &[u8]) -> Option<Bytes>;
    /// A hole: what is sent for it, and how many zeros after that.
    fn hole(&mut self, offset: u64, length: u64) -> (Bytes, u64);
    /// What comes after everything.
    fn end(&mut self) -> Bytes {
        Bytes::new()
    }
}

/// What goes from the reading task to the body.
enum ReaderMessage {
    /// Bytes, then zeros, and the memory that the bytes have.
    Part(Bytes, u64, Option<MemoryShare>),
    /// All is sent. Without it the body was cut off.
    End,
}

/// A part on its way.
enum BodyPart {
    Read { offset: u64, length: usize, pending: Pending<Vec<u8>>, share: Option<MemoryShare> },
    Hole { offset: u64, length: u64 },
}

/// Why a stream ended before its end.
enum StreamEnd {
    /// The client is gone: nothing to report.
    Gone,
    /// Something to report.
    Because(Fault),
}

impl From<Fault> for StreamEnd {
    fn from(problem: Fault) -> Self {
        Self::Because(problem)
    }
}

/// Reads pieces ahead and sends them.
pub struct StreamReader<F> {
    image: Arc<StreamedImage>,
    /// Kept until the image is closed.
    slot: Slot,
    request_id: String,
    finder: PieceFinder,
    /// `None` while a worker looks for pieces with it.
    held: Option<HeldImage>,
    finding: Option<JoinHandle<WindowResult>>,
    chunk_bytes: u64,
    pieces: VecDeque<Piece>,
    in_flight: VecDeque<BodyPart>,
    in_flight_bytes: usize,
    form: F,
    sender: mpsc::Sender<ReaderMessage>,
    /// Frames that the body gave away.
    taken: Arc<AtomicU64>,
}

impl<F: StreamFormat> StreamReader<F> {
    /// Starts to read with the first window's pieces, and gives the body.
    pub fn start(
        slot: Slot,
        request_id: String,
        finder: PieceFinder,
        (held, pieces): (HeldImage, Vec<Piece>),
        form: F,
    ) -> Body {
        let (sender, receiver) = mpsc::channel(1);
        let taken = Arc::new(AtomicU64::new(0));
        let body = BodyParts {
            receiver,
            bytes: Bytes::new(),
            zeros: 0,
            share: None,
            ended: false,
            taken: taken.clone(),
            counted: finder.image.app.metrics.bytes_out.clone(),
        };
        let reader = Self {
            image: Arc::clone(&finder.image),
            slot,
            request_id,
            chunk_bytes: finder.layout.chunk_bytes(),
            finder,
            held: Some(held),
            finding: None,
            pieces: pieces.into(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            form,
            sender,
            taken,
        };
        tokio::spawn(reader.run());
        Body::from_stream(body)
    }

    async fn run(mut self) {
        let outcome = self.read_all().await;
        match outcome {
            Ok(()) => {}
            Err(StreamEnd::Gone) => tracing::info!(request_id = self.request_id, "the client left before the end"),
            Err(StreamEnd::Because(problem)) => {
                tracing::warn!(request_id = self.request_id, %problem, "an export was cut off");
            }
        }
        self.release().await;
    }

    /// Waits for what librbd still does, without a thread, and closes the image. The body learns first that nothing
    /// more comes.
    async fn release(self) {
        let Self { sender, in_flight, finding, held, slot, .. } = self;
        drop(sender);
        for part in in_flight {
            if let BodyPart::Read { pending, .. } = part {
                let _ = pending.await;
            }
        }
        let held = match finding {
            Some(finding) => finding.await.ok().and_then(Result::ok).map(|(held, ..)| held),
            None => held,
        };
        if let Some(held) = held {
            held.close().await;
        }
        drop(slot);
    }

    async fn read_all(&mut self) -> Result<(), StreamEnd> {
        let first = self.form.begin();
        self.send(ReaderMessage::Part(first, 0, None)).await?;
        loop {
            self.top_up().await?;
            let Some(part) = self.in_flight.pop_front() else {
                if let Some(mut finding) = self.finding.take() {
                    let found = tokio::select! {
                        found = &mut finding => found,
                        () = self.sender.closed() => {
                            self.finding = Some(finding);
                            return Err(StreamEnd::Gone);
                        }
                    };
                    self.found(found)?;
                    continue;
                }
                break;
            };
            self.deliver(part).await?;
        }
        // A body with a known length is dropped as soon as that is reached, so nobody may be there to take this.
        let last = self.form.end();
        match self.send(ReaderMessage::Part(last, 0, None)).await {
            Ok(()) => match self.send(ReaderMessage::End).await {
                Err(StreamEnd::Gone) => Ok(()),
                sent => sent,
            },
            Err(StreamEnd::Gone) => Ok(()),
            Err(cut) => Err(cut),
        }
    }

    fn found(&mut self, found: Result<WindowResult, tokio::task::JoinError>) -> Result<(), StreamEnd> {
        let (held, pieces) = self.finder.take(found)?;
        self.held = Some(held);
        self.pieces.extend(pieces);
        Ok(())
    }

    /// Starts reads until the window is full; looks for more pieces when there are none left.
    async fn top_up(&mut self) -> Result<(), StreamEnd> {
        while self.in_flight_bytes < WINDOW_BYTES && self.in_flight.len() < 1024 {
            let Some(held) = &self.held else { break };
            let Some(piece) = self.pieces.front_mut() else { break };
            if !piece.data {
                self.in_flight.push_back(BodyPart::Hole { offset: piece.offset, length: piece.length });
                self.pieces.pop_front();
                continue;
            }
            let Some(image) = held.image() else { break };
            let length = (self.chunk_bytes - piece.offset % self.chunk_bytes).min(piece.length);
            let bytes = usize::try_from(length).unwrap_or(usize::MAX);
            let share = self.image.app.streams.share(bytes);
            if share.is_none() && self.in_flight_bytes > 0 {
                // Others have the memory; what is in flight goes on.
                break;
            }
            let pending = match image.read(piece.offset, bytes) {
                Ok(pending) => pending,
                Err(error) => return Err(self.image.explain(error).await.into()),
            };
            self.in_flight.push_back(BodyPart::Read { offset: piece.offset, length: bytes, pending, share });
            self.in_flight_bytes += bytes;
            piece.offset += length;
            piece.length -= length;
            if piece.length == 0 {
                self.pieces.pop_front();
            }
        }
        if self.pieces.is_empty()
            && !self.finder.done()
            && let Some(held) = self.held.take()
        {
            self.finding = Some(self.finder.start(held));
        }
        Ok(())
    }

    async fn deliver(&mut self, part: BodyPart) -> Result<(), StreamEnd> {
        let message = match part {
            BodyPart::Hole { offset, length } => {
                let (bytes, zeros) = self.form.hole(offset, length);
                ReaderMessage::Part(bytes, zeros, None)
            }
            BodyPart::Read { offset, length, mut pending, share } => {
                let waited = tokio::select! {
                    waited = tokio::time::timeout(self.image.app.deadline, &mut pending) => Some(waited),
                    () = self.sender.closed() => None,
                };
                let Some(Ok(read)) = waited else {
                    // Not dropped: the image must not be closed before librbd is done.
                    self.in_flight.push_front(BodyPart::Read { offset, length, pending, share });
                    if waited.is_none() {
                        return Err(StreamEnd::Gone);
                    }
                    let text = format!("Ceph has not delivered {length} bytes at {offset} in time.");
                    return Err(Fault::new(Kind::CephUnavailable, text).into());
                };
                self.in_flight_bytes -= length;
                let bytes = match read {
                    Ok(bytes) => bytes,
                    Err(error) => return Err(self.image.explain(error).await.into()),
                };
                if bytes.len() != length {
                    let text = format!("{} bytes came for {length} at {offset}: the image has shrunk.", bytes.len());
                    return Err(Fault::new(Kind::Conflict, text).into());
                }
                match self.form.data(offset, &bytes) {
                    Some(before) => {
                        if !before.is_empty() {
                            self.send(ReaderMessage::Part(before, 0, None)).await?;
                        }
                        // No copy: the vector becomes the bytes.
                        ReaderMessage::Part(Bytes::from(bytes), 0, share)
                    }
                    None => {
                        let (bytes, zeros) = self.form.hole(offset, length as u64);
                        ReaderMessage::Part(bytes, zeros, None)
                    }
                }
            }
        };
        if let Some(finding) = self.finding.take_if(|finding| finding.is_finished()) {
            let found = finding.await;
            self.found(found)?;
            self.top_up().await?;
        }
        self.send(message).await
    }

    /// Hands a message to the body, and gives up when the client takes nothing for too long.
    async fn send(&mut self, message: ReaderMessage) -> Result<(), StreamEnd> {
        let idle = self.image.app.streams.limits().idle;
        let permit = loop {
            let before = self.taken.load(Ordering::Relaxed);
            match tokio::time::timeout(idle, self.sender.reserve()).await {
                Ok(Ok(permit)) => break permit,
                Ok(Err(_)) => return Err(StreamEnd::Gone),
                Err(_) if self.taken.load(Ordering::Relaxed) != before => {}
                Err(_) => {
                    let text = format!("The client has taken nothing for {} s.", idle.as_secs());
                    return Err(Fault::new(Kind::BadRequest, text).into());
                }
            }
        };
        permit.send(message);
        Ok(())
    }
}

/// The body: parts in frames, so that progress is seen between them.
struct BodyParts {
    receiver: mpsc::Receiver<ReaderMessage>,
    bytes: Bytes,
    zeros: u64,
    share: Option<MemoryShare>,
    ended: bool,
    taken: Arc<AtomicU64>,
    counted: Counter,
}

impl BodyParts {
    fn count(&self, length: usize) {
        self.counted.inc_by(length as u64);
    }
}

impl Stream for BodyParts {
    type Item = Result<Bytes, CutOffError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        loop {
            if !self.bytes.is_empty() {
                let length = self.bytes.len().min(FRAME_BYTES);
                self.count(length);
                return Poll::Ready(Some(Ok(self.bytes.split_to(length))));
            }
            self.share = None;
            if self.zeros > 0 {
                let length = usize::try_from(self.zeros).unwrap_or(FRAME_BYTES).min(FRAME_BYTES);
                self.zeros -= length as u64;
                self.count(length);
                return Poll::Ready(Some(Ok(Bytes::from_static(&ZEROS[..length]))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match std::task::ready!(self.receiver.poll_recv(context)) {
                Some(ReaderMessage::Part(bytes, zeros, share)) => {
                    self.bytes = bytes;
                    self.zeros = zeros;
                    self.share = share;
                }
                Some(ReaderMessage::End) => self.ended = true,
                None => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(CutOffError)));
                }
            }
        }
    }
}

/// The body ends before its end, so that the client does not take it for whole. The reason is in the log.
#[derive(Debug, thiserror::Error)]
#[error("the stream was cut off")]
struct CutOffError;

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(offset: u64, length: u64, exists: bool) -> Extent {
        Extent { offset, length, exists }
    }

    #[test]
    fn holes_fill_what_extents_leave() {
        let mib = 1 << 20;
        let extents = [
            extent(mib, mib, true),
            // A hole too small to matter.
            extent(2 * mib + 4096, mib - 4096, true),
            extent(5 * mib, mib, false),
            extent(7 * mib, 4 * mib, true),
        ];
        let pieces = filled(&extents, mib / 2..8 * mib);
        let piece = |offset, length, data| Piece { offset, length, data };
        assert_eq!(
            pieces,
            [
                piece(mib / 2, mib / 2, false),
                piece(mib, 2 * mib, true),
                piece(3 * mib, 4 * mib, false),
                piece(7 * mib, mib, true),
            ]
        );
        assert_eq!(filled(&[], 3..9), [piece(3, 6, false)]);
        assert_eq!(filled(&[extent(0, 100, true)], 3..9), [piece(3, 6, true)]);
        // Out of order or twice: still every byte once.
        let twice = filled(&[extent(0, 6, true), extent(2, 8, true)], 0..10);
        assert_eq!(twice, [piece(0, 10, true)]);
    }

    #[test]
    fn neighbours_of_a_kind_are_one() {
        let extents = [extent(0, 4, true), extent(4, 4, true), extent(8, 4, false), extent(16, 4, false)];
        let piece = |offset, length, data| Piece { offset, length, data };
        assert_eq!(merged(&extents, 1..18), [piece(1, 7, true), piece(8, 4, false), piece(16, 2, false)]);
    }

    #[test]
    fn zero_is_seen_whatever_the_length() {
        assert!(is_zero(&[]));
        assert!(is_zero(&vec![0; FRAME_BYTES + 1]));
        let mut bytes = vec![0; FRAME_BYTES + 1];
        bytes[FRAME_BYTES] = 1;
        assert!(!is_zero(&bytes));
    }
}
