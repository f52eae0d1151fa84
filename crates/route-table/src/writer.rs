//! Writes a table.
//!
//! ```text
//! changes ─► new blobs and nodes, where no reader looks ─► the root's blob ─► the root's word: one store, published
//! ```
//!
//! Whenever the writer ends, readers have all of what was published last. A new writer does not go on where one ended: it makes
//! a table of its own.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::blob::BlobKind;
use crate::changes::Changes;
use crate::fault::Fault;
use crate::key::Key;
use crate::layout::{
    AT_CHECKSUM, AT_DRAINING, AT_HASH_KEY, AT_MAGIC, AT_VERSION, AT_WORDS, LEAST_WORDS, MAGIC, Place, UNIT_WORDS,
    VERSION, header_checksum, units,
};
use crate::root::{HostCounts, Revision, Root};
use crate::space::Space;
use crate::trie::{Edit, EditError};

/// Writes a table into a memory that nobody else writes.
#[derive(Debug)]
pub struct TableWriter<M> {
    memory: M,
    hash_key: [u64; 2],
    space: Space,
    root: Root,
    root_place: Place,
    hosts: HostCounts,
}

/// Why no table can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CreateError {
    /// The memory is too small.
    #[error("a route table needs at least {} bytes of memory", LEAST_WORDS * 8)]
    Small,
}

/// Why changes are not published. Readers keep what they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WriteError {
    /// There is no room for them.
    #[error(
        "the route table is full: {used_bytes} of its {bytes} bytes are in use; what was published before stays in force; \
         make a larger table, which nginx takes with a reload"
    )]
    Full {
        /// Bytes in use.
        used_bytes: usize,
        /// Bytes in all.
        bytes: usize,
    },
    /// They are of another revision than the one that is published.
    #[error("the changes are of the revision {base}, and the route table has {published}: a whole table is needed")]
    OtherBase {
        /// The revision that they change.
        base: Revision,
        /// The revision that is published.
        published: Revision,
    },
    /// The memory was damaged where they have to be put in.
    #[error("{0}; make a new table, which nginx takes with a reload")]
    Damaged(Fault),
}

/// How many keys changes have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// Keys that have a new value.
    pub put: usize,
    /// Keys that are gone.
    pub removed: usize,
}

/// How much of a table is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in use. What was replaced not long ago is among them.
    pub used_bytes: usize,
    /// Bytes in all.
    pub bytes: usize,
    /// Hosts, paths and backends.
    pub keys: u64,
}

impl<M: AsRef<[AtomicU64]>> TableWriter<M> {
    /// Makes a table without any route, of the revision 0, in a memory that no reader has opened yet. The key of the hash is
    /// 16 random bytes.
    ///
    /// # Errors
    /// The memory is too small.
    pub fn create(memory: M, hash_key: [u64; 2]) -> Result<Self, CreateError> {
        let words = memory.as_ref();
        if words.len() < LEAST_WORDS {
            return Err(CreateError::Small);
        }
        let space = Space::new(units(words.len()));
        let mut writer =
            Self { memory, hash_key, space, root: Root::empty(), root_place: Place(0), hosts: HostCounts::default() };
        writer.begin().map_err(|_| CreateError::Small)?;
        Ok(writer)
    }

    /// Writes the first root, then the header.
    fn begin(&mut self) -> Result<(), EditError> {
        let words = self.memory.as_ref();
        let mut edit = Edit::new(words, &mut self.space, self.hash_key);
        self.root_place = edit.write_blob(BlobKind::Root, &self.root.encode())?;
        self.space.publish(words, self.root_place);
        let mut header = [0; AT_CHECKSUM];
        header[AT_MAGIC] = MAGIC;
        header[AT_VERSION] = u64::from(VERSION);
        header[AT_WORDS] = words.len() as u64;
        header[AT_HASH_KEY..].copy_from_slice(&self.hash_key);
        words[AT_CHECKSUM].store(header_checksum(header), Ordering::Relaxed);
        for (word, value) in words.iter().zip(header).rev() {
            word.store(value, Ordering::Release);
        }
        Ok(())
    }

    /// The revision that is published.
    pub fn revision(&self) -> Revision {
        self.root.revision
    }

    /// How much is in use.
    pub fn usage(&self) -> Usage {
        let bytes = |units: usize| units * UNIT_WORDS * 8;
        Usage {
            used_bytes: bytes(self.space.used()),
            bytes: bytes(units(self.memory.as_ref().len())),
            keys: self.root.keys,
        }
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Tells readers that nginx is about to end, so that they ask clients to close their connections.
    pub fn begin_drain(&self) {
        if let Some(word) = self.memory.as_ref().get(AT_DRAINING) {
            word.store(1, Ordering::Relaxed);
        }
    }

    /// Makes the changes and publishes them, all at once or none. It costs what changes.
    ///
    /// # Errors
    /// There is no room, they are of another revision, or the memory was damaged.
    pub fn apply(&mut self, changes: &Changes) -> Result<ChangeCounts, WriteError> {
        if let Some(base) = changes.base
            && base != self.root.revision
        {
            return Err(WriteError::OtherBase { base, published: self.root.revision });
        }
        self.publish(changes).map_err(|error| match error {
            EditError::Full => {
                let Usage { used_bytes, bytes, .. } = self.usage();
                WriteError::Full { used_bytes, bytes }
            }
            EditError::Damaged(fault) => WriteError::Damaged(fault),
        })
    }

    fn publish(&mut self, changes: &Changes) -> Result<ChangeCounts, EditError> {
        self.space.reuse();
        let words = self.memory.as_ref();
        let (mut hosts, old_root) = (self.hosts.clone(), self.root_place);
        let mut edit = Edit::new(words, &mut self.space, self.hash_key);
        let made = make(&mut edit, &self.root, &mut hosts, changes).and_then(|(root, counts)| {
            let place = edit.write_blob(BlobKind::Root, &root.encode())?;
            Ok((root, counts, place))
        });
        let (root, counts, place) = match made {
            Ok(made) => made,
            Err(error) => {
                edit.roll_back();
                return Err(error);
            }
        };
        edit.release(old_root);
        let replaced = std::mem::take(&mut edit.replaced);
        self.space.publish(words, place);
        self.space.replace(replaced);
        (self.root, self.root_place, self.hosts) = (root, place, hosts);
        Ok(counts)
    }
}

/// Makes changes where no reader looks; the root that they lead to, but for its place.
fn make(
    edit: &mut Edit<'_>,
    before: &Root,
    hosts: &mut HostCounts,
    changes: &Changes,
) -> Result<(Root, ChangeCounts), EditError> {
    let mut root = before.clone();
    let mut counts = ChangeCounts::default();
    let mut count = |key: &[u8], came: bool| {
        if let Some(Key::Host(host)) = Key::decode(key) {
            hosts.count(&host, came);
        }
    };
    if changes.base.is_none() {
        let kept: HashSet<&[u8]> =
            changes.changes.iter().filter(|change| change.value.is_some()).map(|change| &*change.key).collect();
        for key in edit.keys(root.trie)?.iter().filter(|key| !kept.contains(&***key)) {
            if let Some(trie) = edit.remove(root.trie, key)? {
                (root.trie, root.keys, counts.removed) = (trie, root.keys - 1, counts.removed + 1);
                count(key, false);
            }
        }
    }
    for change in &changes.changes {
        match &change.value {
            Some(value) => {
                let is_new = !edit.contains(root.trie, &change.key)?;
                if let Some(trie) = edit.put(root.trie, &change.key, value)? {
                    (root.trie, counts.put) = (trie, counts.put + 1);
                }
                if is_new {
                    root.keys += 1;
                    count(&change.key, true);
                }
            }
            None => {
                if let Some(trie) = edit.remove(root.trie, &change.key)? {
                    (root.trie, root.keys, counts.removed) = (trie, root.keys - 1, counts.removed + 1);
                    count(&change.key, false);
                }
            }
        }
    }
    root.revision = changes.revision;
    root.hosts = hosts.shapes();
    Ok((root, counts))
}
