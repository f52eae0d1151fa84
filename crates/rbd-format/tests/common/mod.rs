//! Fixtures, and an encoder of Ceph's primitives that shares nothing with the decoder under test.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::PathBuf;

pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

pub fn fixture_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The bytes of a fixture that is one object's or stream's data.
pub fn data(name: &str) -> Vec<u8> {
    let path = fixture_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The entries of a fixture in the form that its directory's README describes.
pub fn entries(name: &str) -> Entries {
    let text = String::from_utf8(data(name)).expect("a fixture of entries is text");
    text.lines()
        .map(|line| {
            let (key, value) = line.split_once(' ').expect("a key and a value");
            let key = key.strip_prefix("hex:").map_or_else(|| key.as_bytes().to_vec(), unhex);
            (key, if value == "-" { Vec::new() } else { unhex(value) })
        })
        .collect()
}

pub fn all_fixtures(suffix: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(fixture_path(""))
        .expect("the directory of fixtures")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8"))
        .filter(|name| name.ends_with(suffix))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no fixtures end with {suffix}");
    names
}

fn unhex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "an odd number of digits: {digits}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

/// Ceph's encodings, for values that no release at hand writes any more.
#[derive(Default)]
pub struct Encoder(pub Vec<u8>);

impl Encoder {
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend(value);
        self
    }

    /// The number of items or bytes that follow.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).expect("few items"))
    }

    pub fn string(&mut self, value: &[u8]) -> &mut Self {
        self.count(value.len()).raw(value)
    }

    pub fn option(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.u8(1).u64(value),
            None => self.u8(0),
        }
    }

    pub fn structure(&mut self, version: u8, compat: u8, content: impl FnOnce(&mut Encoder)) -> &mut Self {
        let mut inner = Encoder::default();
        content(&mut inner);
        self.u8(version).u8(compat).string(&inner.0)
    }
}
