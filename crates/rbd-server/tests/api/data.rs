//! Export, import, differences: always against what `rbd` itself reads and writes.

mod diff;
mod export;
mod import;

use std::path::PathBuf;

use rbd_format::diff::{DiffRecord, DiffVersion};

use crate::support::{api, ceph};

const MIB: u64 = 1 << 20;

/// Files that go with the test.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// What `rbd export` writes.
    fn exported(&self, image: &str) -> Vec<u8> {
        let path = self.path("exported");
        let _ = std::fs::remove_file(&path);
        ceph().rbd(&["export", "--no-progress", image, path.to_str().unwrap()]).unwrap();
        std::fs::read(&path).unwrap()
    }
}

/// An image's path.
fn image(pool: &str, image: &str) -> String {
    format!("/api/v1/pools/{pool}/images/{image}")
}

/// Its state, as the list of images has it.
fn listed_state(pool: &str, name: &str) -> String {
    let list = api().get(&format!("/api/v1/pools/{pool}/images?view=full")).unwrap().expect(200).json();
    let items = list["Items"].as_array().unwrap();
    let item = items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{list}"));
    item["state"].as_str().unwrap().to_owned()
}

/// Bytes that no compression or sparse file helps with, the same for the same seed.
fn noise(seed: u64, length: u64) -> Vec<u8> {
    // Xorshift: quick enough without optimisation.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap() + 8);
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(usize::try_from(length).unwrap());
    bytes
}

/// `length` bytes of which every second run of `run` bytes is zero.
fn half_empty(seed: u64, length: u64, run: u64) -> Vec<u8> {
    let mut bytes = noise(seed, length);
    for hole in bytes.chunks_mut(usize::try_from(run).unwrap()).skip(1).step_by(2) {
        hole.fill(0);
    }
    bytes
}

/// A diff stream with parts of noise and holes, as `rbd import-diff` takes it.
fn diff(seed: u64, size_bytes: u64, data: &[(u64, u64)], zeros: &[(u64, u64)]) -> Vec<u8> {
    let mut stream = DiffVersion::V1.banner().to_vec();
    let put = |record: DiffRecord<'_>, out: &mut Vec<u8>| record.encode(DiffVersion::V1, out).unwrap();
    put(DiffRecord::Size(size_bytes), &mut stream);
    for (part, (offset_bytes, length_bytes)) in data.iter().copied().enumerate() {
        put(DiffRecord::Data { offset_bytes, length_bytes }, &mut stream);
        stream.extend(noise(seed + part as u64, length_bytes));
    }
    for (offset_bytes, length_bytes) in zeros.iter().copied() {
        put(DiffRecord::Zero { offset_bytes, length_bytes }, &mut stream);
    }
    put(DiffRecord::End, &mut stream);
    stream
}

/// Where two long sequences differ first, if they do: `assert_eq!` would print them.
#[track_caller]
fn assert_same(left: &[u8], right: &[u8], what: &str) {
    assert_eq!(left.len(), right.len(), "{what}: lengths");
    if left != right {
        let at = left.iter().zip(right).position(|(left, right)| left != right);
        panic!("{what}: the bytes differ from {at:?} on");
    }
}
