//! The root of a table: what its first word leads to.

use std::fmt;

use entry_model::HostName;

use crate::bytes::{ByteReader, ByteWriter};

/// Names what was published. Whoever publishes chooses it; it only has to differ from the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The first word of the trie.
    pub trie: u64,
    /// What is published.
    pub revision: Revision,
    /// How many keys there are.
    pub keys: u64,
    /// Which patterns of hosts there are at all.
    pub patterns: Patterns,
}

/// Which patterns of hosts there are at all, so that a host that has no name of its own is looked for under few. Of those for
/// one label and for several, a bit for each number of labels that one has: bit 63 for 63 and more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patterns {
    pub one_label: u64,
    pub suffix: u64,
    pub any: bool,
}

/// The bit of a pattern's parent.
pub fn label_bit(labels: usize) -> u64 {
    1 << labels.min(63)
}

/// Labels in a name.
pub fn labels(name: &[u8]) -> usize {
    name.split(|byte| *byte == b'.').count()
}

/// Counts the patterns that there are.
#[derive(Debug, Clone)]
pub struct PatternCounts {
    one_label: [u32; 64],
    suffix: [u32; 64],
    any: bool,
}

impl Default for PatternCounts {
    fn default() -> Self {
        Self { one_label: [0; 64], suffix: [0; 64], any: false }
    }
}

impl PatternCounts {
    /// Counts a host that came, or that went.
    pub fn count(&mut self, host: &HostName, came: bool) {
        let (counts, parent) = match host {
            HostName::Exact(_) => return,
            HostName::OneLabel(parent) => (&mut self.one_label, parent),
            HostName::Suffix(parent) => (&mut self.suffix, parent),
            HostName::Any => {
                self.any = came;
                return;
            }
        };
        let count = &mut counts[labels(parent.as_bytes()).min(63)];
        *count = if came { *count + 1 } else { count.saturating_sub(1) };
    }

    /// Which there are.
    pub fn patterns(&self) -> Patterns {
        let bits = |counts: &[u32; 64]| {
            counts.iter().enumerate().filter(|(_, count)| **count > 0).fold(0, |bits, (labels, _)| bits | 1 << labels)
        };
        Patterns { one_label: bits(&self.one_label), suffix: bits(&self.suffix), any: self.any }
    }
}

impl Root {
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = ByteWriter::default();
        writer.u64(self.trie);
        writer.u64(self.revision.0);
        writer.u64(self.keys);
        writer.u64(self.patterns.one_label);
        writer.u64(self.patterns.suffix);
        writer.bool(self.patterns.any);
        writer.into_bytes().unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let (trie, revision, keys) = (reader.u64()?, Revision(reader.u64()?), reader.u64()?);
        let patterns = Patterns { one_label: reader.u64()?, suffix: reader.u64()?, any: reader.bool()? };
        reader.end()?;
        Some(Self { trie, revision, keys, patterns })
    }
}
