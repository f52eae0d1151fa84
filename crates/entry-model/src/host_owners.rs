//! Which namespace owns which hosts, since earlier.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::SortedMap;

/// What the line with the number of rules begins with.
const RULES_PREFIX: &str = "rules ";

/// Which namespace owns which hosts and first segments of paths, and how many rules of each are served: what makes a claim older than
/// the object says that asks for it. Cheap to clone, and to compare with one that it was cloned of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostOwners {
    owners: SortedMap<String, Arc<str>>,
    rules: SortedMap<Arc<str>, usize>,
}

impl HostOwners {
    /// Longest key that is written as it is, in bytes. A longer one is written as its digest, so that a record of as many hosts
    /// as there may be fits into an object of 1 MiB.
    pub const MAX_KEY_BYTES: usize = 40;
    /// What a digest begins with, which no host does.
    pub const DIGEST_MARK: char = '#';

    /// Whether nothing is owned.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The namespace that owns what this key stands for.
    pub fn owner_of(&self, key: &str) -> Option<&str> {
        self.owners.get(key).map(|namespace| &**namespace)
    }

    /// How many rules of a namespace were served, long ones counted as bounds do.
    pub fn rule_count(&self, namespace: &str) -> usize {
        self.rules.get(namespace).copied().unwrap_or(0)
    }

    /// Notes that a namespace owns this, unless another does.
    pub fn add(&mut self, key: Cow<'_, str>, namespace: &str) {
        self.add_all([key], namespace);
    }

    /// The same of several.
    pub fn add_all<'a>(&mut self, keys: impl IntoIterator<Item = Cow<'a, str>>, namespace: &str) {
        let mut name = None;
        for key in keys {
            if !self.owners.contains_key(&*key) {
                let name = name.get_or_insert_with(|| self.name(namespace));
                self.owners.insert(key.into_owned(), Arc::clone(name));
            }
        }
    }

    /// Counts a rule, or one as long as several.
    pub fn count_rule(&mut self, namespace: &str, weight: usize) {
        if let Some(count) = self.rules.get_mut(namespace) {
            *count += weight;
        } else {
            self.rules.insert(namespace.into(), weight);
        }
    }

    /// Notes that a namespace owns this, and no other any more; or that none does.
    pub fn set_owner(&mut self, key: &str, namespace: Option<&str>) {
        if self.owner_of(key) == namespace {
            return;
        }
        match namespace {
            Some(namespace) => {
                let name = self.name(namespace);
                self.owners.insert(key.to_owned(), name);
            }
            None => drop(self.owners.remove(key)),
        }
    }

    /// Notes how many rules of a namespace are served.
    pub fn set_rule_count(&mut self, namespace: &str, count: usize) {
        if self.rules.get(namespace) != Some(&count) {
            self.rules.insert(namespace.into(), count);
        }
    }

    /// What has another owner than in these.
    pub fn changed_keys<'a>(&'a self, before: &'a Self) -> Vec<&'a str> {
        let changed = self.owners.changed_keys(&before.owners, PartialEq::eq);
        changed.into_iter().map(String::as_str).collect()
    }

    /// The name of a namespace, kept once.
    fn name(&mut self, namespace: &str) -> Arc<str> {
        if let Some(name) = self.rules.key(namespace) {
            return Arc::clone(name);
        }
        let name: Arc<str> = namespace.into();
        self.rules.insert(Arc::clone(&name), 0);
        name
    }

    /// As text, by namespace: a line for each host (`shop.example`, `*.shop.example`) and each first segment (`*/volume`), and
    /// one with the number of rules. Of more bytes than `limit` in all, the rest of the lines is left out. The same for the
    /// same owners.
    pub fn to_texts(&self, limit: usize) -> BTreeMap<String, String> {
        let mut sorted: Vec<_> = self.owners.iter().map(|(key, namespace)| (&**namespace, key.as_str())).collect();
        sorted.sort_unstable();
        let mut texts = BTreeMap::new();
        let mut left = limit;
        for (namespace, key) in sorted {
            let first = || format!("{RULES_PREFIX}{}\n", self.rule_count(namespace));
            let room = key.len() + 1 + if texts.contains_key(namespace) { 0 } else { namespace.len() + first().len() };
            let Some(rest) = left.checked_sub(room) else { continue };
            left = rest;
            let text: &mut String = texts.entry(namespace.to_owned()).or_insert_with(first);
            text.push_str(key);
            text.push('\n');
        }
        texts
    }

    /// Reads what [`HostOwners::to_texts`] wrote, and how many lines of it cannot be read, which are passed over.
    pub fn from_texts(texts: &BTreeMap<String, String>) -> (Self, usize) {
        let (mut owners, mut garbled) = (Self::default(), 0);
        for (namespace, text) in texts {
            let name = owners.name(namespace);
            for line in text.split('\n').filter(|line| !line.is_empty()) {
                match line.strip_prefix(RULES_PREFIX).map(str::parse) {
                    Some(Ok(count)) => drop(owners.rules.insert(Arc::clone(&name), count)),
                    Some(Err(_)) => garbled += 1,
                    // A key of two namespaces is the first's, as everywhere.
                    None if is_key(line) && !owners.owners.contains_key(line) => {
                        owners.owners.insert(line.to_owned(), Arc::clone(&name));
                    }
                    None => garbled += 1,
                }
            }
        }
        (owners, garbled)
    }
}

/// Whether a line can be a key. What can be none is only said: it would match nothing.
fn is_key(line: &str) -> bool {
    let digest = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    match line.strip_prefix(HostOwners::DIGEST_MARK) {
        Some(text) => digest(text),
        None => {
            line.len() <= HostOwners::MAX_KEY_BYTES
                && (line.starts_with("*/") && !line[2..].contains('/') || name(line.strip_prefix("*.").unwrap_or(line)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_lines_of_a_record_are_skipped() {
        let text = "rules x\nrules -1\na.example\n{\"a\": 1}\n\u{0}\n#zz\n*/a/b\n\nb.example\n";
        let texts = BTreeMap::from([("a".to_owned(), text.to_owned()), ("b".to_owned(), "a.example\n".to_owned())]);
        let (read, garbled) = HostOwners::from_texts(&texts);
        assert_eq!(garbled, 7);
        assert_eq!([read.owner_of("a.example"), read.owner_of("b.example")], [Some("a"), Some("a")]);
        assert_eq!(read.rule_count("a"), 0);
    }
}
