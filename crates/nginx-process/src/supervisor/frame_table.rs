//! The table of a frame in memory, made of the records that the volume has of it.

use route_table::{Changes, TableWriter, Usage, WriteError};
use table_memory::WritableTableMemory;

use crate::random_key::random_key;
use crate::volume::TableDir;
use crate::{Error, Volume};

/// Bytes of the largest memory, which is all that a table can name.
const MOST_MEMORY_BYTES: u64 = 4 << 30;
/// A table has no more than so many bytes for each of its records' ones: nodes, and blobs of powers of two.
const MEMORY_PER_RECORD: u64 = 8;
/// All records of a frame together are not read beyond so many bytes: two whole tables, and what changed between them.
const MOST_BYTES: u64 = 512 << 20;
/// So many records are applied before something else gets its turn.
const RECORDS_A_TURN: usize = 64;
/// A table that is read for the first time takes no more turns than these.
const MOST_TURNS: usize = 1 << 10;
/// A memory has whole pages.
const PAGE: u64 = 4096;

/// A frame's table.
#[derive(Debug)]
pub(super) struct FrameTable {
    frame: String,
    writer: TableWriter<WritableTableMemory>,
    /// The newest record that was looked at.
    looked_at: Option<u64>,
    /// The oldest record when they were looked for last: a whole table.
    oldest: Option<u64>,
    /// The newest record that is in the table.
    revision: Option<u64>,
    /// Why a later record is not in it.
    fault: Option<String>,
    /// Where its records are; none if the volume has none.
    dir: Option<TableDir>,
    /// Why its records cannot be looked for.
    unreadable: Option<String>,
    /// The records that were not looked at, in order.
    news: Vec<u64>,
    /// Why it has to be made anew in another memory.
    spent: Option<String>,
}

/// How many records were looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RecordCounts {
    /// Those that are published.
    pub(super) published: u64,
    /// Those that are not.
    pub(super) failed: u64,
    /// Whether there may be others.
    pub(super) may_have_more: bool,
}

/// Why a record is not in the table.
enum RecordFault {
    /// It was removed meanwhile, since a later one replaces it.
    Gone,
    /// It cannot be read, or does not follow.
    Rejected(String),
    /// The memory is full, or damaged.
    Spent(String),
}

impl FrameTable {
    /// Reads the table of a frame into a memory of its own, of at least so many bytes; none if the frame has no table.
    ///
    /// # Errors
    /// No whole table is there, or there is no memory for it.
    pub(super) fn read(volume: &Volume, frame: &str, least_bytes: u64) -> Result<Option<FrameTable>, String> {
        let Some(dir) = volume.table_dir(frame).map_err(|error| error.to_string())? else { return Ok(None) };
        let records = dir.records().map_err(|error| error.to_string())?;
        let record_bytes: u64 = records.iter().map(|record| record.size).fold(0, u64::saturating_add);
        if record_bytes > MOST_BYTES {
            return Err(format!(
                "the records of the route table have {record_bytes} bytes, more than the 512 MiB that are read"
            ));
        }
        let mut bytes = least_bytes.saturating_add(record_bytes * MEMORY_PER_RECORD).next_multiple_of(PAGE);
        loop {
            let mut table = FrameTable::create(frame, bytes.min(MOST_MEMORY_BYTES))?;
            table.apply_all(volume);
            match table.spent {
                None if table.revision.is_some() => return Ok(Some(table)),
                None => return Err(table.fault.unwrap_or_else(|| "the route table has no record".to_owned())),
                Some(why) if bytes >= MOST_MEMORY_BYTES => return Err(why),
                Some(_) => bytes *= 2,
            }
        }
    }

    fn create(frame: &str, bytes: u64) -> Result<FrameTable, String> {
        let memory =
            WritableTableMemory::create(bytes).map_err(|error| format!("no memory for the route table: {error}"))?;
        let writer = TableWriter::create(memory, random_key()?).map_err(|error| error.to_string())?;
        let frame = frame.to_owned();
        Ok(FrameTable {
            frame,
            writer,
            looked_at: None,
            oldest: None,
            revision: None,
            fault: None,
            dir: None,
            unreadable: None,
            news: Vec::new(),
            spent: None,
        })
    }

    /// The frame whose table it is.
    pub(super) fn frame(&self) -> &str {
        &self.frame
    }

    /// The memory.
    pub(super) fn memory(&self) -> &WritableTableMemory {
        self.writer.memory()
    }

    /// Has workers ask clients to close their connections.
    pub(super) fn begin_drain(&self) {
        self.writer.begin_drain();
    }

    /// How much of the memory is in use.
    pub(super) fn usage(&self) -> Usage {
        self.writer.usage()
    }

    /// The revision that is published.
    pub(super) fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// Why it has to be made anew in another memory.
    pub(super) fn spent(&self) -> Option<&str> {
        self.spent.as_deref()
    }

    /// Why not all records are in it.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref().or(self.unreadable.as_deref())
    }

    /// Opens the directory of its records, which may be another one each time.
    pub(super) fn open(&mut self, volume: &Volume) {
        let opened = volume.table_dir(&self.frame);
        self.unreadable = opened.as_ref().err().map(Error::to_string);
        self.dir = opened.ok().flatten();
    }

    /// Where its records are, when that was opened last.
    pub(super) fn dir(&self) -> Option<&TableDir> {
        self.dir.as_ref()
    }

    /// Looks for records that are new.
    pub(super) fn look(&mut self) {
        self.news.clear();
        let Some(numbers) = self.dir.as_ref().map(TableDir::numbers) else { return };
        if let Err(error) = &numbers {
            self.unreadable = Some(error.to_string());
        }
        let numbers = numbers.unwrap_or_default();
        // The volume was emptied, and they are counted anew.
        if numbers.last().is_some_and(|newest| Some(*newest) < self.looked_at) {
            self.looked_at = None;
        }
        // Another whole table takes the place of what could not be applied, under the number of one of these.
        let oldest = numbers.first().copied();
        if self.fault.is_some() && oldest != self.oldest && oldest > self.revision {
            self.looked_at = self.revision;
        }
        self.oldest = oldest;
        self.news.extend(numbers.into_iter().filter(|number| Some(*number) > self.looked_at));
    }

    /// Whether records are new that can be applied.
    pub(super) fn has_news(&self) -> bool {
        self.spent.is_none() && !self.news.is_empty()
    }

    /// Applies what is new, as much as there is time for.
    pub(super) fn apply_new(&mut self) -> RecordCounts {
        let mut counts = RecordCounts::default();
        let Some(dir) = self.dir.take() else { return counts };
        let news = std::mem::take(&mut self.news);
        counts.may_have_more = news.len() > RECORDS_A_TURN;
        for number in news.into_iter().take(RECORDS_A_TURN) {
            match self.apply_record(&dir, number) {
                Ok(()) => {
                    self.fault = None;
                    self.revision = Some(number);
                    counts.published += 1;
                }
                Err(RecordFault::Gone) => {
                    counts.may_have_more = true;
                    break;
                }
                Err(RecordFault::Spent(why)) => {
                    self.spent = Some(why);
                    break;
                }
                Err(RecordFault::Rejected(why)) => {
                    // Those that follow are of another base: the first says why.
                    self.fault.get_or_insert(why);
                    counts.failed += 1;
                }
            }
            self.looked_at = Some(number);
        }
        counts
    }

    fn apply_all(&mut self, volume: &Volume) {
        // Records may come, or be replaced by a whole table, meanwhile; what comes later than all these is applied in a turn.
        for _ in 0..MOST_TURNS {
            self.open(volume);
            self.look();
            if !self.has_news() {
                return;
            }
            self.apply_new();
        }
    }

    fn apply_record(&mut self, dir: &TableDir, number: u64) -> Result<(), RecordFault> {
        let rejected = |why: String| RecordFault::Rejected(format!("the record {number} is not in force: {why}"));
        let bytes = dir.read(number).map_err(|error| match error {
            Error::File { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => RecordFault::Gone,
            error => rejected(error.to_string()),
        })?;
        let (changes, length) = Changes::decode(&bytes).map_err(|error| rejected(error.to_string()))?;
        if length != bytes.len() || changes.revision.0 != number {
            return Err(rejected(format!("it says that it leads to {}, and takes {length} bytes", changes.revision)));
        }
        self.writer.apply(&changes).map(drop).map_err(|error| match error {
            WriteError::Full { .. } | WriteError::Damaged(_) => RecordFault::Spent(error.to_string()),
            WriteError::OtherBase { .. } => rejected(error.to_string()),
        })
    }
}
