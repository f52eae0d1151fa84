//! Changes of the trie. What readers see is never written: a node on the way to a change is copied once a publication, and what
//! it replaces is remembered, to be freed later.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::blob::{self, BlobKind};
use crate::changes::Change;
use crate::fault::Fault;
use crate::key::hash;
use crate::layout::{NODE_WORDS, Place, UNIT_WORDS, load};
use crate::space::Space;
use crate::word::{Word, nibble, tag};

/// Levels of nodes: four bits of a hash each.
pub const LEVELS: u32 = 16;

/// Why a change cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditError {
    /// There is no room.
    Full,
    /// What is there cannot be read.
    Damaged(Fault),
}

impl From<Fault> for EditError {
    fn from(fault: Fault) -> Self {
        Self::Damaged(fault)
    }
}

/// The changes of a publication.
pub struct Edit<'a> {
    pub words: &'a [AtomicU64],
    pub space: &'a mut Space,
    pub hash_key: [u64; 2],
    /// What was taken for this publication: no reader sees it yet.
    pub fresh: HashSet<Place>,
    /// What this publication replaces.
    pub replaced: Vec<Place>,
    /// Bytes of the blob that was read last.
    buffer: Vec<u8>,
}

/// A leaf to be put in.
#[derive(Clone, Copy)]
struct NewLeaf<'k> {
    hash: u64,
    key: &'k [u8],
    word: u64,
}

/// What a word says that stands at an index of the memory.
fn decode(word: u64, at: usize) -> Result<Word, EditError> {
    Word::decode(word).ok_or(EditError::Damaged(Fault::BadWord { at }))
}

impl<'a> Edit<'a> {
    pub fn new(words: &'a [AtomicU64], space: &'a mut Space, hash_key: [u64; 2]) -> Self {
        Self { words, space, hash_key, fresh: HashSet::new(), replaced: Vec::new(), buffer: Vec::new() }
    }

    fn take(&mut self, units: usize) -> Result<Place, EditError> {
        let place = self.space.take(self.words, units).ok_or(EditError::Full)?;
        self.fresh.insert(place);
        Ok(place)
    }

    /// Writes a blob.
    pub fn write_blob(&mut self, kind: BlobKind, bytes: &[u8]) -> Result<Place, EditError> {
        let place = self.take(blob::units(bytes.len()))?;
        blob::write(self.words, place, kind, self.space.next_serial(), bytes);
        Ok(place)
    }

    /// Frees at once what no reader has seen, and later what one may.
    pub fn release(&mut self, place: Place) {
        if self.fresh.remove(&place) {
            self.space.free(place);
        } else {
            self.replaced.push(place);
        }
    }

    /// Undoes all of it.
    pub fn roll_back(&mut self) {
        for place in self.fresh.drain() {
            self.space.free(place);
        }
    }

    fn child(&self, node: Place, index: usize) -> Result<u64, EditError> {
        let at = node.first_word() + index;
        load(self.words, at).ok_or(EditError::Damaged(Fault::BadWord { at }))
    }

    fn set_child(&self, node: Place, index: usize, word: u64) {
        // What was taken is within the memory.
        if let Some(child) = self.words.get(node.first_word() + index) {
            child.store(word, Ordering::Relaxed);
        }
    }

    /// A node without children.
    fn new_node(&mut self) -> Result<Place, EditError> {
        let node = self.take(NODE_WORDS / UNIT_WORDS)?;
        for index in 0..NODE_WORDS {
            self.set_child(node, index, Word::Empty.encode());
        }
        Ok(node)
    }

    /// A node that may be written: itself, or a copy.
    fn own(&mut self, node: Place) -> Result<Place, EditError> {
        if self.fresh.contains(&node) {
            return Ok(node);
        }
        let copy = self.take(NODE_WORDS / UNIT_WORDS)?;
        for index in 0..NODE_WORDS {
            self.set_child(copy, index, self.child(node, index)?);
        }
        self.release(node);
        Ok(copy)
    }

    /// Reads the entry at a place; its key and value.
    fn entry(&mut self, place: Place) -> Result<(&[u8], &[u8]), EditError> {
        blob::read(self.words, place, BlobKind::Entry, &mut self.buffer)?;
        let bad = Fault::BadBlob { at: place.first_word() };
        Ok(Change::split_blob(&self.buffer).ok_or(bad)?)
    }

    /// The place of a key's entry.
    fn find(&mut self, trie: u64, key: &[u8]) -> Result<Option<Place>, EditError> {
        let hash = hash(self.hash_key, key);
        let (mut word, mut at) = (trie, 0);
        for level in 0..=LEVELS {
            match decode(word, at)? {
                Word::Empty => return Ok(None),
                Word::Leaf(place, other) => {
                    return Ok((other == tag(hash) && self.entry(place)?.0 == key).then_some(place));
                }
                Word::Node(_) if level == LEVELS => break,
                Word::Node(node) => {
                    at = node.first_word() + nibble(hash, level);
                    word = self.child(node, nibble(hash, level))?;
                }
            }
        }
        Err(EditError::Damaged(Fault::BadWord { at }))
    }

    /// Whether a key is there.
    pub fn contains(&mut self, trie: u64, key: &[u8]) -> Result<bool, EditError> {
        Ok(self.find(trie, key)?.is_some())
    }

    /// Puts a value in; the trie's first word, or none if that is the value that is there.
    pub fn put(&mut self, trie: u64, key: &[u8], value: &[u8]) -> Result<Option<u64>, EditError> {
        if let Some(place) = self.find(trie, key)?
            && self.entry(place)?.1 == value
        {
            return Ok(None);
        }
        let hash = hash(self.hash_key, key);
        let place = self.write_blob(BlobKind::Entry, &Change::blob(key, value))?;
        let leaf = NewLeaf { hash, key, word: Word::Leaf(place, tag(hash)).encode() };
        self.insert(trie, 0, 0, leaf).map(Some)
    }

    /// What a word becomes when a leaf is put in below it. `at` is where the word stands.
    fn insert(&mut self, word: u64, at: usize, level: u32, leaf: NewLeaf<'_>) -> Result<u64, EditError> {
        match decode(word, at)? {
            Word::Empty => Ok(leaf.word),
            Word::Node(node) if level < LEVELS => {
                let (node, index) = (self.own(node)?, nibble(leaf.hash, level));
                let child = self.child(node, index)?;
                let changed = self.insert(child, node.first_word() + index, level + 1, leaf)?;
                self.set_child(node, index, changed);
                Ok(Word::Node(node).encode())
            }
            Word::Node(_) => Err(EditError::Damaged(Fault::BadWord { at })),
            Word::Leaf(place, _) => {
                let hash_key = self.hash_key;
                let (key, _) = self.entry(place)?;
                if key == leaf.key {
                    self.release(place);
                    return Ok(leaf.word);
                }
                let other = hash(hash_key, key);
                self.split(word, other, level, leaf)
            }
        }
    }

    /// A node, or several, that tell a leaf that is there from the one that is put in.
    fn split(&mut self, there: u64, other: u64, level: u32, leaf: NewLeaf<'_>) -> Result<u64, EditError> {
        if level >= LEVELS {
            // Two keys with one hash: nobody can make them, and chance will not.
            return Err(EditError::Full);
        }
        let node = self.new_node()?;
        let (index, other_index) = (nibble(leaf.hash, level), nibble(other, level));
        if index == other_index {
            let below = self.split(there, other, level + 1, leaf)?;
            self.set_child(node, index, below);
        } else {
            self.set_child(node, other_index, there);
            self.set_child(node, index, leaf.word);
        }
        Ok(Word::Node(node).encode())
    }

    /// Takes a key out; the trie's first word, or none if it is not there.
    pub fn remove(&mut self, trie: u64, key: &[u8]) -> Result<Option<u64>, EditError> {
        let Some(place) = self.find(trie, key)? else { return Ok(None) };
        self.release(place);
        let hash = hash(self.hash_key, key);
        self.take_out(trie, 0, 0, hash).map(Some)
    }

    /// What a word becomes when the leaf below it is taken out that a hash leads to.
    fn take_out(&mut self, word: u64, at: usize, level: u32, hash: u64) -> Result<u64, EditError> {
        match decode(word, at)? {
            Word::Node(node) if level < LEVELS => {
                let (node, index) = (self.own(node)?, nibble(hash, level));
                let child = self.child(node, index)?;
                let changed = self.take_out(child, node.first_word() + index, level + 1, hash)?;
                self.set_child(node, index, changed);
                self.shrink(node)
            }
            Word::Node(_) => Err(EditError::Damaged(Fault::BadWord { at })),
            Word::Empty | Word::Leaf(..) => Ok(Word::Empty.encode()),
        }
    }

    /// The word of a node: that of its only leaf if it has no more, else its own.
    fn shrink(&mut self, node: Place) -> Result<u64, EditError> {
        let mut only = None;
        for index in 0..NODE_WORDS {
            let child = self.child(node, index)?;
            match decode(child, node.first_word() + index)? {
                Word::Empty => {}
                Word::Leaf(..) if only.is_none() => only = Some(child),
                Word::Leaf(..) | Word::Node(_) => return Ok(Word::Node(node).encode()),
            }
        }
        self.release(node);
        Ok(only.unwrap_or_else(|| Word::Empty.encode()))
    }

    /// All keys below a word.
    pub fn keys(&mut self, trie: u64) -> Result<Vec<Box<[u8]>>, EditError> {
        let (mut keys, mut left) = (Vec::new(), vec![(trie, 0, 0)]);
        while let Some((word, at, level)) = left.pop() {
            match decode(word, at)? {
                Word::Empty => {}
                Word::Leaf(place, _) => keys.push(self.entry(place)?.0.into()),
                Word::Node(_) if level == LEVELS => return Err(EditError::Damaged(Fault::BadWord { at })),
                Word::Node(node) => {
                    for index in 0..NODE_WORDS {
                        left.push((self.child(node, index)?, node.first_word() + index, level + 1));
                    }
                }
            }
        }
        Ok(keys)
    }
}
