//! What a namespace can hold, and its key in the record.

use std::borrow::Cow;

use entry_model::{HostName, HostOwners, PathMatch};
use sha2::{Digest as _, Sha256};

use crate::first_segment::segment_of;

/// What a namespace can hold: a host, or the paths of one first segment on hosts that no rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostOrSegment<'a> {
    /// A host with a name.
    Host(&'a HostName),
    /// A first segment; empty for `/`, and with it for what no rule matches.
    Segment(&'a str),
}

impl<'a> HostOrSegment<'a> {
    /// The unit that a rule is in.
    pub fn of(host: &'a HostName, path: &'a PathMatch) -> Self {
        match host {
            HostName::Any => Self::Segment(match path {
                PathMatch::Regex(pattern) => segment_of(pattern),
                PathMatch::Exact(path) | PathMatch::Prefix(path) => path.split('/').nth(1).unwrap_or_default(),
            }),
            host => Self::Host(host),
        }
    }

    /// Its key in [`HostOwners`]: `shop.example`, `*.shop.example`, `*/volume`, `*/`, or the digest of a long one.
    pub fn key(self) -> Cow<'a, str> {
        let key: Cow<'a, str> = match self {
            Self::Host(HostName::Exact(name)) => Cow::Borrowed(name),
            Self::Host(host) => Cow::Owned(host.to_string()),
            Self::Segment(segment) => Cow::Owned(["*/", segment].concat()),
        };
        if key.len() <= HostOwners::MAX_KEY_BYTES {
            return key;
        }
        let digest = Sha256::digest(key.as_bytes());
        Cow::Owned(format!("{}{digest:.32x}", HostOwners::DIGEST_MARK))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const RECORD_BYTES: usize = 1 << 20;

    #[test]
    fn every_key_survives_the_host_record() {
        let long = HostName::Exact(format!("{}.example", "x".repeat(60)));
        let mut owners = HostOwners::default();
        let wild = HostName::OneLabel("shop.example".to_owned());
        for unit in [
            HostOrSegment::Host(&wild),
            HostOrSegment::Host(&long),
            HostOrSegment::Segment("volume"),
            HostOrSegment::Segment(""),
        ] {
            owners.add(unit.key(), "shop");
        }
        owners.add(HostOrSegment::Segment("你 x").key(), "other");
        owners.add(HostOrSegment::Segment("volume").key(), "other");
        owners.count_rule("shop", 1);
        owners.count_rule("shop", 1);
        let texts = owners.to_texts(RECORD_BYTES);
        let first: Vec<_> = texts["shop"].lines().take(2).collect();
        assert_eq!(first, ["rules 2", &*HostOrSegment::Host(&long).key()], "{texts:?}");
        assert_eq!(texts["other"], "rules 0\n*/你 x\n");
        let (read, garbled) = HostOwners::from_texts(&texts);
        assert_eq!((read.to_texts(RECORD_BYTES), garbled), (texts, 0));
        assert_eq!((read.owner_of("*/volume"), read.rule_count("shop")), (Some("shop"), 2));
        assert_eq!(read.owner_of(&HostOrSegment::Host(&long).key()), Some("shop"));
    }

    #[test]
    fn record_of_long_hosts_stays_below_its_limit() {
        let mut owners = HostOwners::default();
        for number in 0..1000 {
            let host = HostName::Exact(format!("host-{number}.{}.example", "x".repeat(40)));
            owners.add(HostOrSegment::Host(&host).key(), &format!("team-{}", number % 10));
        }
        let size = |texts: &BTreeMap<String, String>| texts.iter().map(|(a, b)| a.len() + b.len()).sum::<usize>();
        let all = owners.to_texts(RECORD_BYTES);
        assert!(size(&all) < 40 * 1000, "{}", size(&all));
        for limit in [0, 1, 50, 1000, 20_000] {
            let some = owners.to_texts(limit);
            assert!(size(&some) <= limit && HostOwners::from_texts(&some).1 == 0, "{limit}: {some:?}");
        }
    }
}
