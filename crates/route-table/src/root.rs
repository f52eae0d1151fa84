//! The root of a table: what its first word leads to.

use std::fmt;

use entry_model::HostName;

use crate::bytes::{ByteReader, ByteWriter};
use crate::word::Word;

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
    /// Which hosts there are at all.
    pub hosts: HostShapes,
}

/// Which hosts there are at all, so that one that nobody has is looked for under few names. Of each kind of name, a bit for each
/// number of labels that one has, without `*`: bit 63 for 63 and more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostShapes {
    pub exact: u64,
    pub one_label: u64,
    pub suffix: u64,
    pub any: bool,
}

/// The bit of a name of so many labels.
pub fn label_bit(labels: usize) -> u64 {
    1 << labels.min(63)
}

/// Labels in a name.
pub fn labels(name: &[u8]) -> usize {
    name.split(|byte| *byte == b'.').count()
}

/// Counts the hosts that there are, by number of labels.
#[derive(Debug, Clone)]
pub struct HostCounts {
    exact: [u32; 64],
    one_label: [u32; 64],
    suffix: [u32; 64],
    any: bool,
}

impl Default for HostCounts {
    fn default() -> Self {
        Self { exact: [0; 64], one_label: [0; 64], suffix: [0; 64], any: false }
    }
}

impl HostCounts {
    /// Counts a host that came, or that went.
    pub fn count(&mut self, host: &HostName, came: bool) {
        let (counts, name) = match host {
            HostName::Exact(name) => (&mut self.exact, name),
            HostName::OneLabel(parent) => (&mut self.one_label, parent),
            HostName::Suffix(parent) => (&mut self.suffix, parent),
            HostName::Any => {
                self.any = came;
                return;
            }
        };
        let count = &mut counts[labels(name.as_bytes()).min(63)];
        *count = if came { *count + 1 } else { count.saturating_sub(1) };
    }

    /// Which there are.
    pub fn shapes(&self) -> HostShapes {
        let bits = |counts: &[u32; 64]| {
            counts.iter().enumerate().filter(|(_, count)| **count > 0).fold(0, |bits, (labels, _)| bits | 1 << labels)
        };
        HostShapes {
            exact: bits(&self.exact),
            one_label: bits(&self.one_label),
            suffix: bits(&self.suffix),
            any: self.any,
        }
    }
}

impl Root {
    /// That of a table without any route, of the revision 0.
    pub fn empty() -> Self {
        Self { trie: Word::Empty.encode(), revision: Revision::default(), keys: 0, hosts: HostShapes::default() }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut writer = ByteWriter::default();
        writer.u64(self.trie);
        writer.u64(self.revision.0);
        writer.u64(self.keys);
        writer.u64(self.hosts.exact);
        writer.u64(self.hosts.one_label);
        writer.u64(self.hosts.suffix);
        writer.bool(self.hosts.any);
        writer.into_bytes().unwrap_or_default()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let (trie, revision, keys) = (reader.u64()?, Revision(reader.u64()?), reader.u64()?);
        let (exact, one_label, suffix) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let hosts = HostShapes { exact, one_label, suffix, any: reader.bool()? };
        reader.end()?;
        Some(Self { trie, revision, keys, hosts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_the_hosts_that_are_left() {
        let name = |name: &str| HostName::Exact(name.to_owned());
        let parent = |parent: &str| HostName::OneLabel(parent.to_owned());
        let mut counts = HostCounts::default();
        for host in [name("a.example"), name("b.example"), name("example"), parent("a.b.example"), HostName::Any] {
            counts.count(&host, true);
        }
        let shapes = HostShapes { exact: 0b110, one_label: 0b1000, suffix: 0, any: true };
        assert_eq!(counts.shapes(), shapes);
        counts.count(&name("a.example"), false);
        assert_eq!(counts.shapes(), shapes);
        for host in [name("b.example"), parent("a.b.example"), HostName::Any] {
            counts.count(&host, false);
        }
        assert_eq!(counts.shapes(), HostShapes { exact: 0b10, ..HostShapes::default() });
        counts.count(&name(&"a.".repeat(100)), true);
        assert_eq!(counts.shapes().exact, 0b10 | 1 << 63);
    }
}
