//! Reads a table that another process writes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use pattern_engine::CompiledPatterns;
use thiserror::Error;

use crate::blob::{self, BlobKind};
use crate::cache::{Cache, Decoded, Entry};
use crate::changes::{Change, Value};
use crate::fault::Fault;
use crate::key::{Key, hash};
use crate::key_hash::KeyHasher;
use crate::layout::{
    AT_CHECKSUM, AT_DRAINING, AT_HASH_KEY, AT_MAGIC, AT_ROOT, AT_VERSION, AT_WORDS, LEAST_WORDS, MAGIC, NODE_WORDS,
    Place, REUSE_AFTER, VERSION, header_checksum, load,
};
use crate::root::{Revision, Root};
use crate::trie::LEVELS;
use crate::word::{Word, nibble, tag};

/// Slots for decoded blobs, unless it is said otherwise: at least so many, and for each key of the table some, so that few fall on the same;
/// at most so many.
const LEAST_SLOTS: usize = 4096;
const SLOTS_PER_KEY: u64 = 4;
const MOST_SLOTS: u64 = 1 << 16;
/// How often a look-up starts over before it is given up.
const MOST_TRIES: u32 = 64;

/// Reads a table. Each thread has its own: what it decoded is kept in it.
///
/// The memory is only read, by relaxed loads with fences, which are sound on memory that is mapped read-only.
#[derive(Debug)]
pub struct Table<M> {
    memory: M,
    hash_key: [u64; 2],
    /// The word of the root in use.
    root_word: u64,
    root: Root,
    /// The word of a newer root that cannot be read.
    bad_root_word: Option<u64>,
    cache: Cache,
    /// Whether there are more slots when there are more keys.
    grows: bool,
    /// What a change decodes anew has mostly the patterns that were there before.
    patterns: CompiledPatterns,
    buffer: Vec<u8>,
}

/// Why a memory is not read as a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// No table begins there.
    #[error("the memory holds no route table")]
    NoTable,
    /// The table is of a program of another version.
    #[error("the route table has the version {0}, and this program reads {VERSION}: both must be of one release")]
    OtherVersion(u64),
    /// The header is damaged.
    #[error("the header of the route table is damaged")]
    Damaged,
    /// The table is longer than the memory.
    #[error("the route table has {words} words, and the memory {memory}")]
    Short {
        /// The words that the header says.
        words: u64,
        /// Those that there are.
        memory: usize,
    },
}

/// What is in a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableContents {
    /// Hosts.
    pub hosts: usize,
    /// Paths of hosts, with a list of rules each, and the default.
    pub paths: usize,
    /// Rules.
    pub rules: usize,
    /// Backends.
    pub backends: usize,
    /// Certificates.
    pub certificates: usize,
}

fn read_header(words: &[AtomicU64]) -> Result<[u64; 2], OpenError> {
    let word = |index| load(words, index).ok_or(OpenError::NoTable);
    let mut header = [0; AT_CHECKSUM];
    for (index, value) in header.iter_mut().enumerate() {
        *value = word(index)?;
    }
    if header[AT_MAGIC] != MAGIC {
        return Err(OpenError::NoTable);
    }
    if header_checksum(header) != word(AT_CHECKSUM)? {
        return Err(OpenError::Damaged);
    }
    if header[AT_VERSION] != u64::from(VERSION) {
        return Err(OpenError::OtherVersion(header[AT_VERSION]));
    }
    let all = header[AT_WORDS];
    if words.len() < LEAST_WORDS || all > words.len() as u64 {
        return Err(OpenError::Short { words: all, memory: words.len() });
    }
    Ok([header[AT_HASH_KEY], header[AT_HASH_KEY + 1]])
}

/// How many tables were published until that of a root, modulo 2^32.
fn publications(root_word: u64) -> u32 {
    (root_word >> 32) as u32
}

fn root_place(word: u64) -> Option<Place> {
    u32::try_from(word & 0xffff_ffff).ok().map(Place)
}

impl<M: AsRef<[AtomicU64]>> Table<M> {
    /// Opens a table, and keeps decoded blobs of it: up to 4,096, and up to 65,536 if there are so many.
    ///
    /// # Errors
    /// The memory holds no table that can be read.
    pub fn open(memory: M) -> Result<Self, OpenError> {
        let mut table = Self { grows: true, ..Self::open_with_cache(memory, LEAST_SLOTS)? };
        table.grow();
        Ok(table)
    }

    /// As [`Table::open`], with another number of decoded blobs, which is rounded up to a power of two. A blob that is not among
    /// them is checked and decoded anew at each request.
    ///
    /// # Errors
    /// The memory holds no table that can be read.
    pub fn open_with_cache(memory: M, entries: usize) -> Result<Self, OpenError> {
        let hash_key = read_header(memory.as_ref())?;
        let mut table = Self {
            memory,
            hash_key,
            root_word: u64::MAX,
            root: Root::empty(),
            bad_root_word: None,
            cache: Cache::new(entries),
            grows: false,
            patterns: CompiledPatterns::default(),
            buffer: Vec::new(),
        };
        table.refresh().map_err(|_| OpenError::Damaged)?;
        Ok(table)
    }

    /// Takes the newest table that is published into use, and says its revision. If it is in use already, that is one load.
    ///
    /// # Errors
    /// Its root cannot be read: what was in use stays so.
    pub fn refresh(&mut self) -> Result<Revision, Fault> {
        for _ in 0..MOST_TRIES {
            let word = self.newest_root_word();
            if word == self.root_word {
                self.bad_root_word = None;
                return Ok(self.root.revision);
            }
            if Some(word) == self.bad_root_word {
                return Err(Fault::BadRoot);
            }
            let read = self.read_root(word);
            if !self.is_untouched(word) {
                continue;
            }
            return match read {
                Some(root) => {
                    let more = publications(word).wrapping_sub(publications(self.root_word));
                    // Only damage takes the number back, or leaves it: what is known of the table that had it need not be so in this one.
                    if more == 0 || more > u32::MAX / 2 {
                        self.cache = Cache::new(self.cache.slots());
                    }
                    (self.root, self.root_word, self.bad_root_word) = (root, word, None);
                    self.grow();
                    Ok(self.root.revision)
                }
                None => {
                    self.bad_root_word = Some(word);
                    Err(Fault::BadRoot)
                }
            };
        }
        Err(Fault::Busy)
    }

    /// Makes room for the decoded blobs of a larger table: what was decoded is decoded anew.
    fn grow(&mut self) {
        let wanted = self.root.keys.saturating_mul(SLOTS_PER_KEY).min(MOST_SLOTS);
        let wanted = usize::try_from(wanted).unwrap_or(0);
        if self.grows && wanted > self.cache.slots() {
            self.cache = Cache::new(wanted);
        }
    }

    /// The revision that is in use.
    pub fn revision(&self) -> Revision {
        self.root.revision
    }

    /// Whether nginx is about to end: clients are asked to close their connections. Damage of this word is none of a route.
    pub fn is_draining(&self) -> bool {
        load(self.memory.as_ref(), AT_DRAINING) == Some(1)
    }

    fn newest_root_word(&self) -> u64 {
        let word = load(self.memory.as_ref(), AT_ROOT).unwrap_or(u64::MAX);
        fence(Ordering::Acquire);
        word
    }

    fn read_root(&mut self, word: u64) -> Option<Root> {
        blob::read(self.memory.as_ref(), root_place(word)?, BlobKind::Root, &mut self.buffer).ok()?;
        Root::decode(&self.buffer)
    }

    /// Whether nothing was written over of what was read from a root on.
    fn is_untouched(&self, root_word: u64) -> bool {
        fence(Ordering::Acquire);
        let now = load(self.memory.as_ref(), AT_ROOT).unwrap_or(u64::MAX);
        // Modulo 2^32, as publications are counted.
        ((now >> 32).wrapping_sub(root_word >> 32) & 0xffff_ffff) < u64::from(REUSE_AFTER)
    }

    /// Looks something up in one table, of the newest that can be read.
    pub(crate) fn look_up<T>(&mut self, look: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        for _ in 0..MOST_TRIES {
            // If the newest cannot be read, the one before is read as long as its checksums fit.
            let newest = self.refresh();
            let found = look(self);
            if newest == Err(Fault::BadRoot) || self.is_untouched(self.root_word) {
                return found;
            }
        }
        Err(Fault::Busy)
    }

    /// The root in use.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Begins the hash of a key.
    pub(crate) fn hasher(&self) -> KeyHasher {
        KeyHasher::new(self.hash_key)
    }

    /// The place of the entry that a hash leads to.
    fn place_of(&self, hash: u64) -> Result<Option<Place>, Fault> {
        let words = self.memory.as_ref();
        let (mut word, mut at) = (self.root.trie, AT_ROOT);
        for level in 0..=LEVELS {
            match Word::decode(word).ok_or(Fault::BadWord { at })? {
                Word::Empty => return Ok(None),
                Word::Leaf(place, other) => return Ok((other == tag(hash)).then_some(place)),
                Word::Node(_) if level == LEVELS => break,
                Word::Node(node) => {
                    at = node.first_word() + nibble(hash, level);
                    word = load(words, at).ok_or(Fault::BadWord { at })?;
                }
            }
        }
        Err(Fault::BadWord { at })
    }

    /// What was decoded of the entry that has this hash and this key, which comes in parts.
    pub(crate) fn get(&mut self, hash: u64, key: &[&[u8]]) -> Result<Option<&Decoded>, Fault> {
        let publications = publications(self.root_word);
        let known = self.cache.find(hash, |entry| is_key(&entry.key, key));
        if let Some(number) = known.filter(|number| self.cache.entry(*number).publications == publications) {
            return Ok(Some(&self.cache.entry(number).decoded));
        }
        let Some(place) = self.place_of(hash)? else { return Ok(None) };
        let head = blob::head(self.memory.as_ref(), place);
        let number = match self.cache.find(hash, |entry| entry.place == place && Some(entry.head) == head) {
            // Nothing was written there since.
            Some(number) => {
                self.cache.entry_mut(number).publications = publications;
                number
            }
            None => {
                let entry = self.read_entry(place)?;
                self.cache.put(hash, entry)
            }
        };
        let entry = self.cache.entry(number);
        Ok(is_key(&entry.key, key).then_some(&entry.decoded))
    }

    fn read_entry(&mut self, place: Place) -> Result<Entry, Fault> {
        let bad = Fault::BadBlob { at: place.first_word() };
        let head = blob::read(self.memory.as_ref(), place, BlobKind::Entry, &mut self.buffer)?;
        let (key, value) = Change::split_blob(&self.buffer).ok_or(bad)?;
        let value = Key::decode(key).and_then(|key| Value::decode(key, value, &mut self.patterns)).ok_or(bad)?;
        let publications = publications(self.root_word);
        Ok(Entry { publications, place, head, key: key.into(), decoded: value.into() })
    }

    /// Reads all of the newest table, and counts what is in it.
    ///
    /// # Errors
    /// A part of it is damaged.
    pub fn check(&mut self) -> Result<TableContents, Fault> {
        self.refresh()?;
        self.look_up(Self::count)
    }

    fn count(&mut self) -> Result<TableContents, Fault> {
        let mut contents = TableContents::default();
        self.walk(|table, place| table.count_entry(place, &mut contents))?;
        Ok(contents)
    }

    /// What the objects of all rules are called, as [`crate::Route::origin_name`] has it.
    ///
    /// # Errors
    /// A part of the newest table is damaged.
    pub fn origins(&mut self) -> Result<HashSet<Box<str>>, Fault> {
        self.refresh()?;
        self.look_up(|table| {
            let mut origins = HashSet::new();
            table.walk(|table, place| {
                if let Decoded::Rules(rules) = table.read_entry(place)?.decoded {
                    origins.extend(rules.origins.iter().cloned());
                }
                Ok(())
            })?;
            Ok(origins)
        })
    }

    /// Visits all entries of the table in use.
    fn walk(&mut self, mut visit: impl FnMut(&mut Self, Place) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut left = vec![(self.root.trie, AT_ROOT, 0)];
        // Nodes of a damaged table may lead to each other; of one that is whole, each leads on.
        let mut steps = self.memory.as_ref().len() + 1;
        while let Some((word, at, level)) = left.pop() {
            steps = steps.checked_sub(1).ok_or(Fault::BadWord { at })?;
            match Word::decode(word).ok_or(Fault::BadWord { at })? {
                Word::Empty => {}
                Word::Leaf(place, _) => visit(self, place)?,
                Word::Node(_) if level == LEVELS => return Err(Fault::BadWord { at }),
                Word::Node(node) => {
                    for index in 0..NODE_WORDS {
                        let at = node.first_word() + index;
                        left.push((load(self.memory.as_ref(), at).ok_or(Fault::BadWord { at })?, at, level + 1));
                    }
                }
            }
        }
        Ok(())
    }

    fn count_entry(&mut self, place: Place, contents: &mut TableContents) -> Result<(), Fault> {
        let entry = self.read_entry(place)?;
        // It is found by its key only if the trie leads there.
        if self.place_of(hash(self.hash_key, &entry.key))? != Some(place) {
            return Err(Fault::BadBlob { at: place.first_word() });
        }
        match entry.decoded {
            Decoded::Host(..) => contents.hosts += 1,
            Decoded::Rules(rules) => {
                contents.paths += 1;
                contents.rules += rules.rules.len();
            }
            Decoded::PatternOrder(_) => {}
            Decoded::DefaultNotCarried => contents.paths += 1,
            Decoded::Backend(_) => contents.backends += 1,
            Decoded::Certificate(_) => contents.certificates += 1,
        }
        Ok(())
    }
}

/// Whether a key is that of these parts, one behind the other.
fn is_key(mut key: &[u8], parts: &[&[u8]]) -> bool {
    for part in parts {
        match key.strip_prefix(*part) {
            Some(rest) => key = rest,
            None => return false,
        }
    }
    key.is_empty()
}
