//! What a namespace can hold, and its key in the record.

use std::borrow::Cow;

use entry_model::{Holdings, HostName, PathMatch};
use sha2::{Digest as _, Sha256};

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
            HostName::Any => Self::Segment(path.text().split('/').nth(1).unwrap_or_default()),
            host => Self::Host(host),
        }
    }

    /// Its key in [`Holdings`]: `shop.example`, `*.shop.example`, `*/volume`, `*/`, or the digest of a long one.
    pub fn key(self) -> Cow<'a, str> {
        let key: Cow<'a, str> = match self {
            Self::Host(HostName::Exact(name)) => Cow::Borrowed(name),
            Self::Host(host) => Cow::Owned(host.to_string()),
            Self::Segment(segment) => Cow::Owned(["*/", segment].concat()),
        };
        if key.len() <= Holdings::LONGEST_KEY {
            return key;
        }
        let digest = Sha256::digest(key.as_bytes());
        Cow::Owned(format!("{}{digest:.32x}", Holdings::DIGEST))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LARGE: usize = 1 << 20;

    #[test]
    fn every_key_survives_the_host_record() {
        let long = HostName::Exact(format!("{}.example", "x".repeat(60)));
        let mut holdings = Holdings::default();
        let wild = HostName::OneLabel("shop.example".to_owned());
        for unit in [
            HostOrSegment::Host(&wild),
            HostOrSegment::Host(&long),
            HostOrSegment::Segment("volume"),
            HostOrSegment::Segment(""),
        ] {
            holdings.hold(unit.key(), "shop");
        }
        holdings.hold(HostOrSegment::Segment("你 x").key(), "other");
        holdings.hold(HostOrSegment::Segment("volume").key(), "other");
        holdings.count("shop", 1);
        holdings.count("shop", 1);
        let texts = holdings.write(LARGE);
        let first: Vec<_> = texts["shop"].lines().take(2).collect();
        assert_eq!(first, ["rules 2", &*HostOrSegment::Host(&long).key()], "{texts:?}");
        assert_eq!(texts["other"], "rules 0\n*/你 x\n");
        let (read, garbled) = Holdings::read(&texts);
        assert_eq!((read.write(LARGE), garbled), (texts, 0));
        assert_eq!((read.holder("*/volume"), read.rules("shop")), (Some("shop"), 2));
        assert_eq!(read.holder(&HostOrSegment::Host(&long).key()), Some("shop"));
    }

    #[test]
    fn record_of_long_hosts_stays_below_its_limit() {
        let mut holdings = Holdings::default();
        for number in 0..1000 {
            let host = HostName::Exact(format!("host-{number}.{}.example", "x".repeat(40)));
            holdings.hold(HostOrSegment::Host(&host).key(), &format!("team-{}", number % 10));
        }
        let size = |texts: &BTreeMap<String, String>| texts.iter().map(|(a, b)| a.len() + b.len()).sum::<usize>();
        let all = holdings.write(LARGE);
        assert!(size(&all) < 40 * 1000, "{}", size(&all));
        for limit in [0, 1, 50, 1000, 20_000] {
            let some = holdings.write(limit);
            assert!(size(&some) <= limit && Holdings::read(&some).1 == 0, "{limit}: {some:?}");
        }
    }
}
