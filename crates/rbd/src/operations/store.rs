//! Records in RADOS: one omap per pool, in the pool's RADOS namespace `sparrow`, each change guarded by what was read.
//!
//! An entity that has rights for one namespace only cannot reach that. It keeps the records of the namespace in an omap there.

use std::time::Instant;

use ceph::{Errno, IoContext, OmapChange, omap_values};
use jiff::Timestamp;
use rbd_model::fault::{Fault, Kind};

use super::record::{Id, Record};
use super::schedule::{self, PurgeSchedule};

/// The RADOS namespace of a pool in which this service keeps its records. No RBD namespace may have this name.
pub const NAMESPACE: &str = "sparrow";

/// The object that holds them there.
const RECORDS_OBJECT: &str = "operations";

/// The object that holds them in an RBD namespace.
pub const RECORDS_OBJECT_IN_NAMESPACE: &str = "sparrow.operations";

/// How many records a pool keeps; the oldest finished ones make room.
const MAX_RECORDS: usize = 1000;

/// A record and its bytes as read, which guard the next change.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    /// The record.
    pub record: Record,
    bytes: Vec<u8>,
}

/// A schedule and its bytes as read, which guard the next change.
#[derive(Debug, Clone)]
pub struct StoredSchedule {
    /// The schedule.
    pub schedule: PurgeSchedule,
    bytes: Vec<u8>,
}

/// What a store holds.
#[derive(Debug, Default)]
pub struct StoreContents {
    /// Operations, oldest first.
    pub records: Vec<StoredRecord>,
    /// Schedules.
    pub schedules: Vec<StoredSchedule>,
}

/// The records of one pool, or of one of its namespaces.
pub struct RecordStore {
    io: IoContext,
    object: &'static str,
    /// The namespace, of a store that is in it.
    namespace: Option<String>,
}

/// What came of a guarded change.
#[derive(Debug)]
pub enum ChangeOutcome {
    /// It was written.
    Written(Box<StoredRecord>),
    /// Another changed it first.
    Lost,
}

impl RecordStore {
    /// The records of the pool of a context.
    ///
    /// # Errors
    /// `ENOENT` when the pool is gone.
    pub fn for_pool(io: &IoContext) -> Result<Self, Fault> {
        Ok(Self { io: io.in_namespace(NAMESPACE)?, object: RECORDS_OBJECT, namespace: None })
    }

    /// The records that are kept in a namespace of the pool.
    ///
    /// # Errors
    /// `ENOENT` when the pool is gone.
    pub fn for_namespace(io: &IoContext, namespace: &str) -> Result<Self, Fault> {
        let io = io.in_namespace(namespace)?;
        Ok(Self { io, object: RECORDS_OBJECT_IN_NAMESPACE, namespace: Some(namespace.to_owned()) })
    }

    /// The store that an id was made for.
    ///
    /// # Errors
    /// As [`RecordStore::for_pool`].
    pub fn for_operation(io: &IoContext, id: &Id) -> Result<Self, Fault> {
        match &id.namespace {
            Some(namespace) => Self::for_namespace(io, namespace),
            None => Self::for_pool(io),
        }
    }

    /// The store in which this entity keeps what is new in a namespace, and what it holds: the pool's, or that of the
    /// namespace when the entity may use nothing else of the pool.
    ///
    /// # Errors
    /// `ceph-forbidden` when it may use neither; what reading gives.
    pub fn for_place(io: &IoContext, namespace: &str, deadline: Instant) -> Result<(Self, StoreContents), Fault> {
        let store = Self::for_pool(io)?;
        match store.contents(deadline) {
            Err(fault) if fault.kind() == Kind::CephForbidden && !namespace.is_empty() => {
                let store = Self::for_namespace(io, namespace)?;
                let contents = store.contents(deadline)?;
                Ok((store, contents))
            }
            contents => Ok((store, contents?)),
        }
    }

    /// The operations of a namespace that are in a store this entity may read, but not in its own for that place: those of
    /// services with rights for the namespace alone.
    ///
    /// # Errors
    /// What reading gives.
    pub fn records_elsewhere(&self, namespace: &str, deadline: Instant) -> Result<Vec<StoredRecord>, Fault> {
        if namespace.is_empty() || self.namespace.is_some() {
            return Ok(Vec::new());
        }
        match Self::for_namespace(&self.io, namespace)?.contents(deadline) {
            Err(fault) if fault.kind() == Kind::CephForbidden => Ok(Vec::new()),
            contents => Ok(contents?.records),
        }
    }

    /// The id of a new record of this store.
    pub fn new_id(&self) -> Id {
        Id::new(self.io.pool_id(), self.namespace.clone())
    }

    /// All that it holds. What cannot be read, of a newer release perhaps, is left alone.
    ///
    /// # Errors
    /// What reading gives.
    pub fn contents(&self, deadline: Instant) -> Result<StoreContents, Fault> {
        let entries = match self.io.omap_all(self.object, "", Some(deadline)) {
            Ok(entries) => entries,
            Err(error) if error.is(Errno::ENOENT) => return Ok(StoreContents::default()),
            Err(error) => return Err(error.into()),
        };
        let mut contents = StoreContents::default();
        for (key, bytes) in entries {
            if schedule::is_key(&key) {
                let read = serde_json::from_slice(&bytes).ok();
                contents.schedules.extend(read.map(|schedule| StoredSchedule { schedule, bytes }));
            } else if let Ok(record) = serde_json::from_slice(&bytes) {
                contents.records.push(StoredRecord { record, bytes });
            }
        }
        Ok(contents)
    }

    /// All operations, oldest first.
    ///
    /// # Errors
    /// What reading gives.
    pub fn all(&self, deadline: Instant) -> Result<Vec<StoredRecord>, Fault> {
        Ok(self.contents(deadline)?.records)
    }

    /// The value of one key.
    fn value(&self, key: &[u8], deadline: Instant) -> Result<Option<Vec<u8>>, Fault> {
        let read = omap_values(std::slice::from_ref(&self.io), self.object, &[key.to_vec()], Some(deadline)).pop();
        match read.unwrap_or_else(|| Ok(Vec::new())) {
            Err(error) if error.is(Errno::ENOENT) => Ok(None),
            entries => Ok(entries?.pop().map(|(_, bytes)| bytes)),
        }
    }

    /// One record.
    ///
    /// # Errors
    /// What reading gives.
    pub fn get(&self, id: &Id, deadline: Instant) -> Result<Option<StoredRecord>, Fault> {
        let bytes = self.value(id.key.as_bytes(), deadline)?;
        Ok(bytes.and_then(|bytes| Some(StoredRecord { record: serde_json::from_slice(&bytes).ok()?, bytes })))
    }

    /// The schedule of a namespace.
    ///
    /// # Errors
    /// What reading gives.
    pub fn schedule(&self, namespace: &str, deadline: Instant) -> Result<Option<StoredSchedule>, Fault> {
        let bytes = self.value(&schedule::key(namespace), deadline)?;
        Ok(bytes.and_then(|bytes| Some(StoredSchedule { schedule: serde_json::from_slice(&bytes).ok()?, bytes })))
    }

    /// Writes a schedule over whatever is there.
    ///
    /// # Errors
    /// What writing gives.
    pub fn set_schedule(&self, schedule: &PurgeSchedule) -> Result<(), Fault> {
        let set = vec![(schedule::key(&schedule.place.namespace), encode(schedule)?)];
        Ok(self.io.omap_change(self.object, &OmapChange { set, ..OmapChange::default() })?)
    }

    /// Forgets the schedule of a namespace; whether there was one.
    ///
    /// # Errors
    /// What writing gives.
    pub fn remove_schedule(&self, namespace: &str, deadline: Instant) -> Result<bool, Fault> {
        let key = schedule::key(namespace);
        if self.value(&key, deadline)?.is_none() {
            return Ok(false);
        }
        self.io.omap_change(self.object, &OmapChange { remove: vec![key], ..OmapChange::default() })?;
        Ok(true)
    }

    /// Writes a schedule over the one read, together with the record of the operation that it begins, if nobody changed the
    /// schedule meanwhile: of several replicas one begins it. The record as stored; none when
    /// another was first, or when there is none.
    ///
    /// # Errors
    /// `busy` when too many are unfinished; what writing gives.
    pub fn advance(
        &self,
        old: &StoredSchedule,
        schedule: &PurgeSchedule,
        begun: Option<(&Record, &[StoredRecord])>,
    ) -> Result<Option<StoredRecord>, Fault> {
        let key = schedule::key(&schedule.place.namespace);
        let mut change = OmapChange {
            guards: vec![(key.clone(), old.bytes.clone())],
            set: vec![(key, encode(schedule)?)],
            remove: Vec::new(),
        };
        let mut stored = None;
        if let Some((record, known)) = begun {
            stored = Some(self.put(&mut change, record, known)?);
        }
        match self.io.omap_change(self.object, &change) {
            Ok(()) => Ok(stored),
            Err(error) if error.is(Errno::ECANCELED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a new record. When there are too many, the oldest finished ones make room.
    ///
    /// # Errors
    /// `busy` when too many are unfinished; what writing gives.
    pub fn add(&self, record: &Record, known: &[StoredRecord]) -> Result<StoredRecord, Fault> {
        let mut change = OmapChange::default();
        let stored = self.put(&mut change, record, known)?;
        self.io.omap_change(self.object, &change)?;
        Ok(stored)
    }

    /// Adds a new record to a change.
    fn put(&self, change: &mut OmapChange, record: &Record, known: &[StoredRecord]) -> Result<StoredRecord, Fault> {
        if known.len() >= MAX_RECORDS {
            let spare = known.len() + 1 - MAX_RECORDS;
            let finished = known.iter().filter(|stored| stored.record.operation.state.is_finished());
            change.remove.extend(finished.take(spare).filter_map(|stored| key_of(&stored.record)));
            if change.remove.len() < spare {
                return Err(Fault::new(
                    Kind::Busy,
                    format!("Pool {:?} has {} unfinished operations.", self.io.pool(), known.len()),
                )
                .correction("Wait until some have ended, or cancel some.")
                .retry_after(10));
            }
        }
        let key = key_of(record).unwrap_or_default();
        let bytes = encode(record)?;
        change.guards.push((key.clone(), Vec::new()));
        change.set.push((key, bytes.clone()));
        Ok(StoredRecord { record: record.clone(), bytes })
    }

    /// Writes a record over the one read, if nobody changed it meanwhile.
    ///
    /// # Errors
    /// What writing gives.
    pub fn change(&self, old: &StoredRecord, mut record: Record) -> Result<ChangeOutcome, Fault> {
        record.operation.updated_at = Timestamp::now();
        let bytes = encode(&record)?;
        let key = key_of(&record).unwrap_or_default();
        let change = OmapChange {
            guards: vec![(key.clone(), old.bytes.clone())],
            set: vec![(key, bytes.clone())],
            remove: Vec::new(),
        };
        match self.io.omap_change(self.object, &change) {
            Ok(()) => Ok(ChangeOutcome::Written(Box::new(StoredRecord { record, bytes }))),
            Err(error) if error.is(Errno::ECANCELED) => Ok(ChangeOutcome::Lost),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets records that have ended before a moment.
    ///
    /// # Errors
    /// What writing gives.
    pub fn expire(&self, known: &[StoredRecord], before: Timestamp) -> Result<(), Fault> {
        let old = known.iter().filter(|stored| stored.record.operation.finished_at.is_some_and(|at| at < before));
        let remove: Vec<Vec<u8>> = old.filter_map(|stored| key_of(&stored.record)).collect();
        if remove.is_empty() {
            return Ok(());
        }
        // Unguarded: a finished record does not change any more.
        Ok(self.io.omap_change(self.object, &OmapChange { remove, ..OmapChange::default() })?)
    }
}

fn key_of(record: &Record) -> Option<Vec<u8>> {
    Id::parse(&record.operation.id).map(|id| id.key.into_bytes())
}

fn encode(record: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(record)
        .map_err(|error| Fault::new(Kind::Internal, format!("The record cannot be written: {error}.")))
}
