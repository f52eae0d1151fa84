//! A revision: the files of one state of the routes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use entry_model::ObjectRef;
use sha2::{Digest, Sha256};

/// The file that nginx is started with.
pub(crate) const MAIN: &str = "nginx.conf";

/// Stands where the hash of the revision is told, until it is known.
pub(crate) const HASH_PLACE: &str = "????????????????????????????????";

/// The files of one state of the routes. The same routes and settings give the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Revision {
    /// 32 lower-case hexadecimal digits: of the SHA-256 of all files, in which the place where this is told is blank.
    pub hash: String,
    /// Contents by path. Paths are relative, and so are those in the files; `nginx.conf` is the entry. Files below `certs/`
    /// hold private keys, those below `passwords/` hashes of passwords.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whose lines are whose.
    pub origins: Vec<LineOrigin>,
    /// What could not be written, and why.
    pub notes: Vec<RenderNote>,
}

impl fmt::Debug for Revision {
    /// Names the files and shows none: private keys are in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.keys().collect();
        f.debug_struct("Revision").field("hash", &self.hash).field("files", &files).finish_non_exhaustive()
    }
}

/// Lines that are there because of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOrigin {
    /// The file.
    pub file: Cow<'static, str>,
    /// The first line, counted from 1.
    pub first_line: u32,
    /// The last.
    pub last_line: u32,
    /// The object.
    pub object: ObjectRef,
}

/// Something of an object that could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderNote {
    /// The object.
    pub object: ObjectRef,
    /// What is wrong and what becomes of it, in a sentence.
    pub message: String,
}

/// Names the revision and tells the name in its main file.
pub(crate) fn finish(
    mut files: BTreeMap<String, Vec<u8>>,
    origins: Vec<LineOrigin>,
    notes: Vec<RenderNote>,
) -> Revision {
    let mut hasher = Sha256::new();
    for (path, content) in &files {
        // Lengths keep a path and a content apart.
        hasher.update((path.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    let hash = format!("{:.32x}", hasher.finalize());
    if let Some(main) = files.get_mut(MAIN)
        // It is near the beginning, before anything from an object.
        && let Some(at) = main.windows(HASH_PLACE.len()).position(|window| window == HASH_PLACE.as_bytes())
    {
        main[at..at + HASH_PLACE.len()].copy_from_slice(hash.as_bytes());
    }
    Revision { hash, files, origins, notes }
}
