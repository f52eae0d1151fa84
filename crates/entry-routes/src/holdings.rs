//! Which namespace holds what, since earlier.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::{HostName, PathMatch};

/// Longest key that is written as it is, in bytes. A longer one is written as its digest, so that a record of as many hosts
/// as there may be fits into an object of 1 MiB.
const LONGEST: usize = 40;
/// What a digest begins with, which no host does.
const DIGEST: char = '#';
/// What the line with the number of rules begins with.
const RULES: &str = "rules ";

/// What a namespace can hold: a host, or the paths of one first segment on hosts that no rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unit<'a> {
    /// A host with a name.
    Host(&'a HostName),
    /// A first segment; empty for `/`, and with it for what no rule matches.
    Segment(&'a str),
}

impl<'a> Unit<'a> {
    /// What a rule is in.
    pub(crate) fn of(host: &'a HostName, path: &'a PathMatch) -> Self {
        match host {
            HostName::Any => Self::Segment(path.path().split('/').nth(1).unwrap_or_default()),
            host => Self::Host(host),
        }
    }

    /// What it is called in a record: `shop.example`, `*.shop.example`, `*/volume`, `*/`, or the digest of a long one.
    pub(crate) fn key(self) -> Cow<'a, str> {
        let key: Cow<'a, str> = match self {
            Self::Host(HostName::Exact(name)) => Cow::Borrowed(name),
            Self::Host(host) => Cow::Owned(host.to_string()),
            Self::Segment(segment) => Cow::Owned(["*/", segment].concat()),
        };
        if key.len() <= LONGEST {
            return key;
        }
        let digest = Sha256::digest(key.as_bytes());
        let mut text = DIGEST.to_string();
        for byte in &digest[..16] {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Cow::Owned(text)
    }
}

/// Which namespace holds which hosts and first segments, and how many rules of each are served: what makes a claim older than
/// the object says that asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    holders: HashMap<String, Arc<str>>,
    rules: HashMap<Arc<str>, usize>,
}

impl Holdings {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    pub(crate) fn holder(&self, key: &str) -> Option<&str> {
        self.holders.get(key).map(|namespace| &**namespace)
    }

    /// How many rules of a namespace were served, long ones counted as bounds do.
    pub(crate) fn rules(&self, namespace: &str) -> usize {
        self.rules.get(namespace).copied().unwrap_or(0)
    }

    /// Notes that a namespace holds this, unless another does.
    pub(crate) fn hold(&mut self, key: Cow<'_, str>, namespace: &str) {
        if self.holders.contains_key(&*key) {
            return;
        }
        let namespace = self.name(namespace);
        self.holders.insert(key.into_owned(), namespace);
    }

    /// Counts a rule, or one as long as several.
    pub(crate) fn count(&mut self, namespace: &str, weight: usize) {
        if let Some(count) = self.rules.get_mut(namespace) {
            *count += weight;
        } else {
            self.rules.insert(namespace.into(), weight);
        }
    }

    /// The name of a namespace, kept once.
    fn name(&mut self, namespace: &str) -> Arc<str> {
        if let Some((name, _)) = self.rules.get_key_value(namespace) {
            return Arc::clone(name);
        }
        let name: Arc<str> = namespace.into();
        self.rules.insert(Arc::clone(&name), 0);
        name
    }

    /// As text, by namespace: a line for each host (`shop.example`, `*.shop.example`) and each first segment (`*/volume`), and
    /// one with the number of rules. Of more bytes than `limit` in all, the rest of the lines is left out. The same for the
    /// same holdings.
    pub fn write(&self, limit: usize) -> BTreeMap<String, String> {
        let mut sorted: Vec<_> = self.holders.iter().map(|(key, namespace)| (&**namespace, key.as_str())).collect();
        sorted.sort_unstable();
        let mut texts = BTreeMap::new();
        let mut left = limit;
        for (namespace, key) in sorted {
            let first = || format!("{RULES}{}\n", self.rules(namespace));
            let room = key.len() + 1 + if texts.contains_key(namespace) { 0 } else { namespace.len() + first().len() };
            let Some(rest) = left.checked_sub(room) else { continue };
            left = rest;
            let text: &mut String = texts.entry(namespace.to_owned()).or_insert_with(first);
            text.push_str(key);
            text.push('\n');
        }
        texts
    }

    /// Reads what [`Holdings::write`] wrote, and how many lines of it cannot be read, which are passed over.
    pub fn read(texts: &BTreeMap<String, String>) -> (Self, usize) {
        let (mut holdings, mut garbled) = (Self::default(), 0);
        for (namespace, text) in texts {
            let name = holdings.name(namespace);
            for line in text.split('\n').filter(|line| !line.is_empty()) {
                match line.strip_prefix(RULES).map(str::parse) {
                    Some(Ok(count)) => drop(holdings.rules.insert(Arc::clone(&name), count)),
                    Some(Err(_)) => garbled += 1,
                    // A key of two namespaces is the first's, as everywhere.
                    None if is_key(line) && !holdings.holders.contains_key(line) => {
                        holdings.holders.insert(line.to_owned(), Arc::clone(&name));
                    }
                    None => garbled += 1,
                }
            }
        }
        (holdings, garbled)
    }
}

/// Whether a line can be a key. What can be none is only said: it would match nothing.
fn is_key(line: &str) -> bool {
    let digest = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    match line.strip_prefix(DIGEST) {
        Some(text) => digest(text),
        None => {
            line.len() <= LONGEST
                && (line.starts_with("*/") && !line[2..].contains('/') || name(line.strip_prefix("*.").unwrap_or(line)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 1 << 20;

    #[test]
    fn what_is_written_is_read_again() {
        let long = HostName::Exact(format!("{}.example", "x".repeat(60)));
        let mut holdings = Holdings::default();
        let wild = HostName::Wildcard("shop.example".to_owned());
        for unit in [Unit::Host(&wild), Unit::Host(&long), Unit::Segment("volume"), Unit::Segment("")] {
            holdings.hold(unit.key(), "shop");
        }
        holdings.hold(Unit::Segment("你 x").key(), "other");
        holdings.hold(Unit::Segment("volume").key(), "other");
        holdings.count("shop", 1);
        holdings.count("shop", 1);
        let texts = holdings.write(LARGE);
        let first: Vec<_> = texts["shop"].lines().take(2).collect();
        assert_eq!(first, ["rules 2", long_key(&long).as_str()], "{texts:?}");
        assert_eq!(texts["other"], "rules 0\n*/你 x\n");
        let (read, garbled) = Holdings::read(&texts);
        assert_eq!((read.write(LARGE), garbled), (texts, 0));
        assert_eq!((read.holder("*/volume"), read.rules("shop")), (Some("shop"), 2));
        assert_eq!(read.holder(&Unit::Host(&long).key()), Some("shop"));
    }

    fn long_key(host: &HostName) -> String {
        Unit::Host(host).key().into_owned()
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let text = "rules x\nrules -1\na.example\n{\"a\": 1}\n\u{0}\n#zz\n*/a/b\n\nb.example\n";
        let texts = BTreeMap::from([("a".to_owned(), text.to_owned()), ("b".to_owned(), "a.example\n".to_owned())]);
        let (read, garbled) = Holdings::read(&texts);
        assert_eq!(garbled, 7);
        assert_eq!([read.holder("a.example"), read.holder("b.example")], [Some("a"), Some("a")]);
        assert_eq!(read.rules("a"), 0);
    }

    #[test]
    fn a_record_has_a_largest_size() {
        let mut holdings = Holdings::default();
        for number in 0..1000 {
            let host = HostName::Exact(format!("host-{number}.{}.example", "x".repeat(40)));
            holdings.hold(Unit::Host(&host).key(), &format!("team-{}", number % 10));
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
