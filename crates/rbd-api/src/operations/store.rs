//! Records in RADOS: one omap per pool, in the pool's RADOS namespace `sparrow`, each change guarded by what was read.

use std::time::Instant;

use ceph::{Errno, IoContext, OmapChange};
use jiff::Timestamp;

use super::record::{Id, Record};
use crate::problem::{Kind, Problem};

/// The RADOS namespace of a pool in which this service keeps its records. No RBD namespace may have this name.
pub const NAMESPACE: &str = "sparrow";

/// The object that holds them.
const OBJECT: &str = "operations";

/// How many records a pool keeps; the oldest finished ones make room.
const MOST_RECORDS: usize = 1000;

/// A record and its bytes as read, which guard the next change.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The record.
    pub record: Record,
    bytes: Vec<u8>,
}

/// The records of one pool.
pub struct Store {
    io: IoContext,
}

/// What came of a guarded change.
#[derive(Debug)]
pub enum Outcome {
    /// It was written.
    Written(Box<Stored>),
    /// Another changed it first.
    Lost,
}

impl Store {
    /// The records of the pool of a context.
    ///
    /// # Errors
    /// `ENOENT` when the pool is gone.
    pub fn of(io: &IoContext) -> Result<Self, Problem> {
        Ok(Self { io: io.in_namespace(NAMESPACE)? })
    }

    /// All records, oldest first. What cannot be read, of a newer release perhaps, is left alone.
    ///
    /// # Errors
    /// What reading gives.
    pub fn all(&self, deadline: Instant) -> Result<Vec<Stored>, Problem> {
        let entries = match self.io.omap_all(OBJECT, "", Some(deadline)) {
            Ok(entries) => entries,
            Err(error) if error.is(Errno::ENOENT) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        Ok(entries
            .into_iter()
            .filter_map(|(_, bytes)| {
                let record = serde_json::from_slice(&bytes).ok()?;
                Some(Stored { record, bytes })
            })
            .collect())
    }

    /// One record.
    ///
    /// # Errors
    /// What reading gives.
    pub fn get(&self, id: &Id, deadline: Instant) -> Result<Option<Stored>, Problem> {
        let entries = match self.io.omap_all(OBJECT, &id.key, Some(deadline)) {
            Ok(entries) => entries,
            Err(error) if error.is(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(entries
            .into_iter()
            .find(|(key, _)| key == id.key.as_bytes())
            .and_then(|(_, bytes)| Some(Stored { record: serde_json::from_slice(&bytes).ok()?, bytes })))
    }

    /// Writes a new record. When there are too many, the oldest finished ones make room.
    ///
    /// # Errors
    /// `busy` when too many are unfinished; what writing gives.
    pub fn add(&self, record: &Record, known: &[Stored]) -> Result<Stored, Problem> {
        let mut remove = Vec::new();
        if known.len() >= MOST_RECORDS {
            let spare = known.len() + 1 - MOST_RECORDS;
            let finished = known.iter().filter(|stored| stored.record.operation.state.finished());
            remove.extend(finished.take(spare).filter_map(|stored| key_of(&stored.record)));
            if remove.len() < spare {
                return Err(Problem::new(
                    Kind::Busy,
                    format!("Pool {:?} has {} unfinished operations.", self.io.pool(), known.len()),
                )
                .correction("Wait until some have ended, or cancel some.")
                .retry_after(10));
            }
        }
        let key = key_of(record).unwrap_or_default();
        let bytes = encode(record)?;
        let change = OmapChange { guards: vec![(key.clone(), Vec::new())], set: vec![(key, bytes.clone())], remove };
        self.io.omap_change(OBJECT, &change)?;
        Ok(Stored { record: record.clone(), bytes })
    }

    /// Writes a record over the one read, if nobody changed it meanwhile.
    ///
    /// # Errors
    /// What writing gives.
    pub fn change(&self, old: &Stored, mut record: Record) -> Result<Outcome, Problem> {
        record.operation.updated_at = Timestamp::now();
        let bytes = encode(&record)?;
        let key = key_of(&record).unwrap_or_default();
        let change = OmapChange {
            guards: vec![(key.clone(), old.bytes.clone())],
            set: vec![(key, bytes.clone())],
            remove: Vec::new(),
        };
        match self.io.omap_change(OBJECT, &change) {
            Ok(()) => Ok(Outcome::Written(Box::new(Stored { record, bytes }))),
            Err(error) if error.is(Errno::ECANCELED) => Ok(Outcome::Lost),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets records that have ended before a moment.
    ///
    /// # Errors
    /// What writing gives.
    pub fn expire(&self, known: &[Stored], before: Timestamp) -> Result<(), Problem> {
        let old = known.iter().filter(|stored| stored.record.operation.finished_at.is_some_and(|at| at < before));
        let remove: Vec<Vec<u8>> = old.filter_map(|stored| key_of(&stored.record)).collect();
        if remove.is_empty() {
            return Ok(());
        }
        // Unguarded: a finished record does not change any more.
        Ok(self.io.omap_change(OBJECT, &OmapChange { remove, ..OmapChange::default() })?)
    }
}

fn key_of(record: &Record) -> Option<Vec<u8>> {
    Id::parse(&record.operation.id).map(|id| id.key.into_bytes())
}

fn encode(record: &Record) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(record)
        .map_err(|error| Problem::new(Kind::Internal, format!("The operation cannot be written: {error}.")))
}
