//! The stream that `rbd export-diff` writes and `rbd import-diff` reads: what changed in an image between two of its
//! snapshots, or from nothing to a snapshot.
//!
//! Version 1 is what those two commands speak. Version 2 prefixes each record with its length; it is what
//! `rbd export --export-format 2` is made of.
//!
//! Source: Ceph's `doc/dev/rbd-diff.rst`; limits as in `src/tools/rbd/action/Import.cc`.

use thiserror::Error;

use crate::{ImageSize, Name};

/// The longest snapshot name that `rbd import-diff` takes.
pub const MAX_NAME_BYTES: usize = 4096;

const BANNER_BYTES: usize = 12;
const FROM: u8 = b'f';
const TO: u8 = b't';
const PROTECTION: u8 = b'p';
const SIZE: u8 = b's';
const DATA: u8 = b'w';
const ZERO: u8 = b'z';
const END: u8 = b'e';

/// Which of the two layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffVersion {
    /// `rbd diff v1`.
    V1,
    /// `rbd diff v2`.
    V2,
}

impl DiffVersion {
    /// What the stream begins with.
    pub fn banner(self) -> &'static [u8; BANNER_BYTES] {
        match self {
            Self::V1 => b"rbd diff v1\n",
            Self::V2 => b"rbd diff v2\n",
        }
    }
}

/// Why a diff cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DiffError {
    /// The stream does not begin as a diff.
    #[error("the stream does not begin with \"rbd diff v1\" or \"rbd diff v2\"; is it the output of rbd export-diff?")]
    NotADiff,
    /// The stream ended before its end record.
    #[error("the stream ends in the middle; it was cut off on its way")]
    Truncated,
    /// A record that cannot be.
    #[error("{record} record: {reason}")]
    Invalid {
        /// The record's kind.
        record: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A record of a kind that is not known, in version 1, where its length is not known either.
    #[error("record with the unknown tag {0:#04x}")]
    UnknownTag(u8),
}

/// A record to write. The order is: what describes the diff, then data and zero records by ascending offset, then the
/// end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffRecord<'a> {
    /// The snapshot that the diff starts from; left out when it starts from nothing.
    FromSnapshot(&'a [u8]),
    /// The snapshot that the diff leads to, which importing creates; left out when it leads to the image's present.
    ToSnapshot(&'a [u8]),
    /// Whether importing protects that snapshot. Exports write it in version 2 only.
    Protection(bool),
    /// The image's size at the end of the diff.
    Size(u64),
    /// What comes before `length_bytes` bytes of data, which the caller writes next.
    Data {
        /// Where in the image.
        offset_bytes: u64,
        /// How much.
        length_bytes: u64,
    },
    /// A range that reads as zeros at the end of the diff.
    Zero {
        /// Where in the image.
        offset_bytes: u64,
        /// How much.
        length_bytes: u64,
    },
    /// The end of the stream.
    End,
}

impl DiffRecord<'_> {
    /// Appends the record to `out`.
    ///
    /// # Errors
    /// `Invalid` for a name longer than [`MAX_NAME_BYTES`], or a range that goes past 2^64 - 1; then nothing is
    /// appended.
    pub fn encode(&self, version: DiffVersion, out: &mut Vec<u8>) -> Result<(), DiffError> {
        match *self {
            Self::FromSnapshot(name) => encode_name(FROM, name, version, out)?,
            Self::ToSnapshot(name) => encode_name(TO, name, version, out)?,
            Self::Protection(protected) => {
                encode_tag(PROTECTION, 1, version, out);
                out.push(u8::from(protected));
            }
            Self::Size(size_bytes) => {
                encode_tag(SIZE, 8, version, out);
                out.extend(size_bytes.to_le_bytes());
            }
            Self::Data { offset_bytes, length_bytes } => {
                check_range(DATA, offset_bytes, length_bytes)?;
                let record_bytes = length_bytes
                    .checked_add(16)
                    .ok_or(DiffError::Invalid { record: "data", reason: "its length does not fit" })?;
                encode_tag(DATA, record_bytes, version, out);
                out.extend(offset_bytes.to_le_bytes());
                out.extend(length_bytes.to_le_bytes());
            }
            Self::Zero { offset_bytes, length_bytes } => {
                check_range(ZERO, offset_bytes, length_bytes)?;
                encode_tag(ZERO, 16, version, out);
                out.extend(offset_bytes.to_le_bytes());
                out.extend(length_bytes.to_le_bytes());
            }
            Self::End => out.push(END),
        }
        Ok(())
    }
}

fn encode_tag(tag: u8, record_bytes: u64, version: DiffVersion, out: &mut Vec<u8>) {
    out.push(tag);
    if version == DiffVersion::V2 {
        out.extend(record_bytes.to_le_bytes());
    }
}

fn encode_name(tag: u8, name: &[u8], version: DiffVersion, out: &mut Vec<u8>) -> Result<(), DiffError> {
    let invalid = DiffError::Invalid { record: record_name(tag), reason: "its name is longer than 4096 bytes" };
    if name.len() > MAX_NAME_BYTES {
        return Err(invalid);
    }
    let name_bytes = u32::try_from(name.len()).map_err(|_| invalid)?;
    encode_tag(tag, u64::from(name_bytes) + 4, version, out);
    out.extend(name_bytes.to_le_bytes());
    out.extend(name);
    Ok(())
}

fn check_range(tag: u8, offset_bytes: u64, length_bytes: u64) -> Result<u64, DiffError> {
    let reason = "its range goes past 2^64 - 1";
    offset_bytes.checked_add(length_bytes).ok_or(DiffError::Invalid { record: record_name(tag), reason })
}

fn record_name(tag: u8) -> &'static str {
    match tag {
        FROM => "from snapshot",
        TO => "to snapshot",
        PROTECTION => "protection",
        SIZE => "size",
        DATA => "data",
        ZERO => "zero",
        END => "end",
        _ => "unknown",
    }
}

/// What a stream says, piece by piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiffEvent<'a> {
    /// The stream is a diff of this version. Comes first.
    Begin(DiffVersion),
    /// The snapshot that the diff starts from, which the image must have.
    FromSnapshot(Name),
    /// The snapshot to create at the end, which the image must not have.
    ToSnapshot(Name),
    /// Whether to protect that snapshot.
    Protection(bool),
    /// The size to give the image, before any data.
    Size(ImageSize),
    /// Data to write. A record comes as one or more of these, as its bytes arrive.
    Data {
        /// Where in the image.
        offset_bytes: u64,
        /// What; never empty.
        bytes: &'a [u8],
    },
    /// A range to zero or discard.
    Zero {
        /// Where in the image.
        offset_bytes: u64,
        /// How much.
        length_bytes: u64,
    },
    /// A record of a kind that is not known is passed over, as version 2 allows.
    Skipped {
        /// Its tag.
        tag: u8,
        /// How long it is.
        length_bytes: u64,
    },
    /// The end of the diff. What follows in the input is left there.
    End,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Banner,
    Tag,
    RecordLength { tag: u8 },
    Body { tag: u8, record_bytes: Option<u64> },
    Name { tag: u8, name_bytes: usize },
    Data { offset_bytes: u64, left_bytes: u64 },
    Skip { left_bytes: u64 },
    Ended,
}

/// Reads a stream as its bytes arrive, without input or output of its own. It keeps at most one record without its
/// data, so at most [`MAX_NAME_BYTES`].
///
/// ```
/// use rbd_format::diff::{DiffParser, DiffEvent};
///
/// let mut parser = DiffParser::new();
/// let mut input: &[u8] = b"rbd diff v1\ns\0\x10\0\0\0\0\0\0e";
/// let mut size_bytes = None;
/// while let Some(event) = parser.next(&mut input)? {
///     if let DiffEvent::Size(size) = event {
///         size_bytes = Some(size.bytes());
///     }
/// }
/// parser.finish()?;
/// assert_eq!(size_bytes, Some(4096));
/// # Ok::<(), rbd_format::diff::DiffError>(())
/// ```
#[derive(Debug, Clone)]
pub struct DiffParser {
    state: State,
    version: DiffVersion,
    /// The part of the present field that arrived.
    field: Vec<u8>,
    /// The describing records that came.
    seen: Vec<u8>,
    data_begun: bool,
    size: Option<ImageSize>,
}

impl Default for DiffParser {
    fn default() -> Self {
        Self::new()
    }
}

impl DiffParser {
    /// A parser at the beginning of a stream.
    pub fn new() -> Self {
        Self {
            state: State::Banner,
            version: DiffVersion::V1,
            field: Vec::new(),
            seen: Vec::new(),
            data_begun: false,
            size: None,
        }
    }

    /// The next event, taking from the front of `input` what belongs to it. `None` when the diff has ended, or else
    /// when `input` is used up and more is needed.
    ///
    /// # Errors
    /// When the stream is no diff; the size is above [`ImageSize::MAX`]; data would lie outside the image's new size; a describing record comes twice or
    /// after data. The parser is of no further use then.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<DiffEvent<'a>>, DiffError> {
        loop {
            let event = match self.state {
                State::Ended => return Ok(None),
                State::Data { offset_bytes, left_bytes } => return Ok(self.data(offset_bytes, left_bytes, input)),
                State::Skip { left_bytes } => {
                    let skipped = take_at_most(input, left_bytes).len() as u64;
                    let left_bytes = left_bytes - skipped;
                    if left_bytes > 0 {
                        self.state = State::Skip { left_bytes };
                        return Ok(None);
                    }
                    self.state = State::Tag;
                    None
                }
                state => {
                    if !self.fill(field_bytes(state), input) {
                        return Ok(None);
                    }
                    let field = std::mem::take(&mut self.field);
                    let event = self.field(state, &field)?;
                    // Handed back for its allocation.
                    self.field = field;
                    self.field.clear();
                    event
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Confirms that the stream was whole, when there is no more input.
    ///
    /// # Errors
    /// `Truncated` when the end record did not come.
    pub fn finish(&self) -> Result<(), DiffError> {
        if matches!(self.state, State::Ended) { Ok(()) } else { Err(DiffError::Truncated) }
    }

    /// Whether the field of `wanted_bytes` is complete.
    fn fill(&mut self, wanted_bytes: usize, input: &mut &[u8]) -> bool {
        let missing = wanted_bytes.saturating_sub(self.field.len());
        self.field.extend(take_at_most(input, missing as u64));
        self.field.len() == wanted_bytes
    }

    fn data<'a>(&mut self, offset_bytes: u64, left_bytes: u64, input: &mut &'a [u8]) -> Option<DiffEvent<'a>> {
        let bytes = take_at_most(input, left_bytes);
        if bytes.is_empty() {
            return None;
        }
        let len = bytes.len() as u64;
        self.state = if len == left_bytes {
            State::Tag
        } else {
            // The whole range was checked to end within a u64.
            State::Data { offset_bytes: offset_bytes + len, left_bytes: left_bytes - len }
        };
        Some(DiffEvent::Data { offset_bytes, bytes })
    }

    fn field(&mut self, state: State, field: &[u8]) -> Result<Option<DiffEvent<'static>>, DiffError> {
        match state {
            State::Banner => {
                self.version = [DiffVersion::V1, DiffVersion::V2]
                    .into_iter()
                    .find(|version| version.banner() == field)
                    .ok_or(DiffError::NotADiff)?;
                self.state = State::Tag;
                Ok(Some(DiffEvent::Begin(self.version)))
            }
            State::Tag => self.tag(field.first().copied().unwrap_or_default()),
            State::RecordLength { tag } => self.record_length(tag, u64_at(field, 0)),
            State::Body { tag, record_bytes } => self.body(tag, record_bytes, field),
            State::Name { tag, .. } => {
                self.state = State::Tag;
                let name = Name::from(field);
                Ok(Some(if tag == FROM { DiffEvent::FromSnapshot(name) } else { DiffEvent::ToSnapshot(name) }))
            }
            State::Data { .. } | State::Skip { .. } | State::Ended => Ok(None),
        }
    }

    fn tag(&mut self, tag: u8) -> Result<Option<DiffEvent<'static>>, DiffError> {
        match tag {
            END => {
                self.state = State::Ended;
                return Ok(Some(DiffEvent::End));
            }
            FROM | TO | PROTECTION | SIZE => {
                let invalid = |reason| Err(DiffError::Invalid { record: record_name(tag), reason });
                if self.data_begun {
                    return invalid("comes after data");
                }
                if self.seen.contains(&tag) {
                    return invalid("comes twice");
                }
                self.seen.push(tag);
            }
            DATA | ZERO => self.data_begun = true,
            _ if self.version == DiffVersion::V1 => return Err(DiffError::UnknownTag(tag)),
            _ => {}
        }
        self.state = match self.version {
            DiffVersion::V1 => State::Body { tag, record_bytes: None },
            DiffVersion::V2 => State::RecordLength { tag },
        };
        Ok(None)
    }

    fn record_length(&mut self, tag: u8, record_bytes: u64) -> Result<Option<DiffEvent<'static>>, DiffError> {
        if !matches!(tag, FROM | TO | PROTECTION | SIZE | DATA | ZERO) {
            self.state = State::Skip { left_bytes: record_bytes };
            return Ok(Some(DiffEvent::Skipped { tag, length_bytes: record_bytes }));
        }
        // Names and data are compared with the length inside, once that has come. That of a protection record is not
        // looked at, as in Ceph: Pacific at least says 8 and writes one byte.
        let fits = match tag {
            SIZE => record_bytes == 8,
            ZERO => record_bytes == 16,
            _ => true,
        };
        if !fits {
            return Err(length_mismatch(tag));
        }
        self.state = State::Body { tag, record_bytes: Some(record_bytes) };
        Ok(None)
    }

    fn body(
        &mut self,
        tag: u8,
        record_bytes: Option<u64>,
        field: &[u8],
    ) -> Result<Option<DiffEvent<'static>>, DiffError> {
        let fits = |expected: Option<u64>| record_bytes.is_none_or(|record_bytes| expected == Some(record_bytes));
        self.state = State::Tag;
        match tag {
            FROM | TO => {
                let name_bytes = u32_at(field);
                if !fits(Some(u64::from(name_bytes) + 4)) {
                    return Err(length_mismatch(tag));
                }
                let invalid =
                    DiffError::Invalid { record: record_name(tag), reason: "its name is longer than 4096 bytes" };
                let name_bytes =
                    usize::try_from(name_bytes).ok().filter(|len| *len <= MAX_NAME_BYTES).ok_or(invalid)?;
                self.state = State::Name { tag, name_bytes };
                Ok(None)
            }
            PROTECTION => Ok(Some(DiffEvent::Protection(field.iter().any(|byte| *byte != 0)))),
            SIZE => {
                let reason = "is more than 1152921504606846976 bytes (1 EiB), the largest size of an image";
                let size =
                    ImageSize::new(u64_at(field, 0)).ok_or(DiffError::Invalid { record: record_name(tag), reason })?;
                self.size = Some(size);
                Ok(Some(DiffEvent::Size(size)))
            }
            _ => {
                let offset_bytes = u64_at(field, 0);
                let length_bytes = u64_at(field, 8);
                let end_bytes = check_range(tag, offset_bytes, length_bytes)?;
                // Without a size the image keeps the one that it has, which is not above the largest.
                if end_bytes > self.size.unwrap_or(ImageSize::MAX).bytes() {
                    let reason = "lies outside the image's size";
                    return Err(DiffError::Invalid { record: record_name(tag), reason });
                }
                if tag == ZERO {
                    return Ok(Some(DiffEvent::Zero { offset_bytes, length_bytes }));
                }
                if !fits(length_bytes.checked_add(16)) {
                    return Err(length_mismatch(tag));
                }
                if length_bytes > 0 {
                    self.state = State::Data { offset_bytes, left_bytes: length_bytes };
                }
                Ok(None)
            }
        }
    }
}

fn length_mismatch(tag: u8) -> DiffError {
    DiffError::Invalid { record: record_name(tag), reason: "its two lengths contradict each other" }
}

/// How many bytes the field takes that a state waits for.
fn field_bytes(state: State) -> usize {
    match state {
        State::Banner => BANNER_BYTES,
        State::Tag | State::Body { tag: PROTECTION, .. } => 1,
        State::Body { tag: FROM | TO, .. } => 4,
        State::RecordLength { .. } | State::Body { tag: SIZE, .. } => 8,
        State::Body { .. } => 16,
        State::Name { name_bytes, .. } => name_bytes,
        State::Data { .. } | State::Skip { .. } | State::Ended => 0,
    }
}

fn take_at_most<'a>(input: &mut &'a [u8], most_bytes: u64) -> &'a [u8] {
    let len = usize::try_from(most_bytes).unwrap_or(usize::MAX).min(input.len());
    let (taken, left) = input.split_at(len);
    *input = left;
    taken
}

/// The little-endian number at this place of a field that was filled to hold it.
fn u64_at(field: &[u8], at: usize) -> u64 {
    field.get(at..).and_then(|field| field.first_chunk()).copied().map_or(0, u64::from_le_bytes)
}

fn u32_at(field: &[u8]) -> u32 {
    field.first_chunk().copied().map_or(0, u32::from_le_bytes)
}
