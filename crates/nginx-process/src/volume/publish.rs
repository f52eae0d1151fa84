//! The generator's side of a table: records are added to that of the frame that is offered.

use std::path::PathBuf;
use std::sync::PoisonError;

use route_table::{Changes, Revision};

use super::table_dir::{self, GREATEST, MOST_RECORD_BYTES, RecordFile, TableDir};
use super::{UNFINISHED, Volume, check_hash};
use crate::{Error, Result};

/// So many records of changes are as many files to read for a supervisor that starts.
const MANY_CHANGES: usize = 256;
/// Of a large whole table more are read for each so many bytes of it: writing it takes as long as reading a few records.
const WHOLE_BYTES_A_CHANGE: u64 = 16 << 10;
/// So many bytes of changes are no burden, however small the table is.
const FEW_BYTES: u64 = 1 << 20;
/// A file takes whole pages.
const PAGE: u64 = 4096;

/// What a supervisor reads that starts: the newest whole table, and what changed since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableRecords {
    /// How many records of changes there are.
    pub changes: usize,
    /// The bytes that these take.
    pub change_bytes: u64,
    /// The bytes that the whole table takes.
    pub whole_bytes: u64,
}

impl TableRecords {
    fn new(records: &[RecordFile]) -> TableRecords {
        let mut sizes = records.iter().map(|record| record.size);
        let whole = TableRecords::of_whole(sizes.next().unwrap_or_default());
        sizes.fold(whole, TableRecords::with_change)
    }

    /// A whole table of so many bytes.
    fn of_whole(bytes: u64) -> TableRecords {
        TableRecords { changes: 0, change_bytes: 0, whole_bytes: bytes.next_multiple_of(PAGE) }
    }

    /// The same with a record of changes of so many bytes.
    fn with_change(self, bytes: u64) -> TableRecords {
        let change_bytes = self.change_bytes + bytes.next_multiple_of(PAGE);
        TableRecords { changes: self.changes + 1, change_bytes, ..self }
    }

    /// Whether it is time for another whole table, which replaces all of these.
    pub fn should_compact(&self) -> bool {
        let many = (self.whole_bytes / WHOLE_BYTES_A_CHANGE).max(MANY_CHANGES as u64);
        self.changes as u64 >= many || self.change_bytes > self.whole_bytes.max(FEW_BYTES)
    }
}

/// What this process has published last, so that it need not look at all records each time.
#[derive(Debug)]
pub(super) struct Published {
    frame: String,
    number: u64,
    records: TableRecords,
}

/// A record as it is written.
pub(super) struct EncodedRecord {
    number: u64,
    base: Option<u64>,
    bytes: Vec<u8>,
}

impl EncodedRecord {
    pub(super) fn new(frame: &str, changes: &Changes) -> Result<EncodedRecord> {
        let bytes = changes.encode();
        if bytes.len() as u64 > MOST_RECORD_BYTES {
            return Err(Error::TableTooLarge { path: PathBuf::from(frame), bytes: bytes.len() as u64 });
        }
        Ok(EncodedRecord { number: changes.revision.0, base: changes.base.map(|base| base.0), bytes })
    }

    /// One that is a whole table.
    pub(super) fn whole(frame: &str, changes: &Changes) -> Result<EncodedRecord> {
        if changes.base.is_some() {
            return Err(Error::NotWhole(frame.to_owned()));
        }
        EncodedRecord::new(frame, changes)
    }
}

impl Volume {
    /// Adds a record to the table of the frame that is offered. A whole one takes the place of those before it. Blocking; racing
    /// generators wait for each other.
    ///
    /// # Errors
    /// - [`Error::NotOffered`]: another frame is offered.
    /// - [`Error::TableOrder`]: the record does not follow the newest one.
    /// - [`Error::Full`], or a volume that cannot be written. What was published before then stays.
    pub fn publish(&self, frame: &str, changes: &Changes) -> Result<TableRecords> {
        check_hash(frame)?;
        let record = EncodedRecord::new(frame, changes)?;
        let _lock = self.lock()?;
        self.check_offered(frame)?;
        self.add_record(frame, &record)
    }

    /// Puts the whole table in the place of the newest record, which leads to the same, and of all before it. A supervisor that has that
    /// revision has nothing to do. Blocking; racing generators wait for each other.
    ///
    /// # Errors
    /// - [`Error::NotOffered`]: another frame is offered.
    /// - [`Error::TableOrder`]: the newest record is another one.
    /// - [`Error::Full`], or a volume that cannot be written. What was published before then stays.
    pub fn compact(&self, frame: &str, whole: &Changes) -> Result<()> {
        check_hash(frame)?;
        let record = EncodedRecord::whole(frame, whole)?;
        let _lock = self.lock()?;
        self.check_offered(frame)?;
        let dir = TableDir::open(&self.dir, frame)?;
        let newest = dir.as_ref().map(TableDir::numbers).transpose()?.and_then(|mut numbers| numbers.pop());
        let Some(dir) = dir.filter(|_| newest == Some(record.number)) else {
            return Err(Error::TableOrder { frame: frame.to_owned(), newest });
        };
        dir.add(record.number, &record.bytes, self.file_mode, UNFINISHED)?;
        dir.remove_before(record.number)?;
        self.note_published(frame, record.number, TableRecords::of_whole(record.bytes.len() as u64));
        Ok(())
    }

    /// That this frame is the one that is offered.
    fn check_offered(&self, frame: &str) -> Result<()> {
        match self.offered()? {
            Some(offered) if offered == frame => Ok(()),
            offered => Err(Error::NotOffered { frame: frame.to_owned(), offered }),
        }
    }

    fn note_published(&self, frame: &str, number: u64, records: TableRecords) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        *published = Some(Published { frame: frame.to_owned(), number, records });
    }

    /// The greatest revision of all records on the volume, of whichever frame; none if there are none. A generator that starts
    /// counts on from it.
    pub fn newest_table_revision(&self) -> Option<Revision> {
        let frames = table_dir::frames(&self.dir).ok()?;
        let newest = frames.iter().filter_map(|frame| TableDir::open(&self.dir, frame).ok()??.numbers().ok()?.pop());
        newest.max().map(Revision)
    }

    /// Adds a record, for which room is made if there is none. Only while the lock is held.
    pub(super) fn add_record(&self, frame: &str, record: &EncodedRecord) -> Result<TableRecords> {
        self.try_add_record(frame, record).or_else(|error| {
            let Error::Full { .. } = error else { return Err(error) };
            // What is kept for looking at is given up first.
            self.clean(0);
            self.try_add_record(frame, record)
        })
    }

    fn try_add_record(&self, frame: &str, record: &EncodedRecord) -> Result<TableRecords> {
        let dir = match record.base {
            None => Some(TableDir::make(&self.dir, frame, self.dir_mode)?),
            Some(_) => TableDir::open(&self.dir, frame)?,
        };
        let out_of_order = |newest| Error::TableOrder { frame: frame.to_owned(), newest };
        let dir = dir.ok_or_else(|| out_of_order(None))?;
        let newest = dir.numbers()?.pop();
        let is_there = record.base.is_none() && newest == Some(record.number);
        // What cannot be read is as good as another one.
        if !(is_there && dir.read(record.number).is_ok_and(|bytes| bytes == record.bytes)) {
            let follows = record.base.is_none_or(|base| newest == Some(base));
            let is_next = record.number <= GREATEST && newest.is_none_or(|newest| record.number > newest);
            if !follows || !is_next {
                return Err(out_of_order(newest));
            }
            dir.add(record.number, &record.bytes, self.file_mode, UNFINISHED)?;
        }
        let last = self.published.lock().unwrap_or_else(PoisonError::into_inner).take();
        let records = match (record.base, last) {
            (None, _) => {
                dir.remove_before(record.number)?;
                TableRecords::of_whole(record.bytes.len() as u64)
            }
            (Some(base), Some(last)) if last.frame == frame && last.number == base => {
                last.records.with_change(record.bytes.len() as u64)
            }
            (Some(_), _) => TableRecords::new(&dir.records()?),
        };
        self.note_published(frame, record.number, records);
        Ok(records)
    }

    /// Removes the tables of frames that are not kept.
    pub(super) fn clean_tables(&self) {
        let is_kept = |frame: &str| check_hash(frame).is_ok() && self.revision(frame).is_dir();
        if let Err(error) = table_dir::retain(&self.dir, is_kept) {
            tracing::warn!(%error, "an old table cannot be removed");
        }
    }
}
