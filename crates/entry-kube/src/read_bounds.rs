//! How much is read of a directory of manifests.

/// How much is read of a directory of manifests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadBounds {
    /// Largest file, in bytes.
    pub(crate) file_bytes: u64,
    /// All files together, in bytes.
    pub(crate) total_bytes: u64,
    /// How many files.
    pub(crate) files: usize,
    /// How many documents a file may have.
    pub(crate) documents: usize,
    /// How many values a document may have, those counted that aliases repeat.
    pub(crate) values: usize,
}

impl ReadBounds {
    /// Of a directory that is followed: its files come from whoever may write there, and are read again and again.
    pub(crate) const FOLLOWED: Self =
        Self { file_bytes: 1 << 20, total_bytes: 64 << 20, files: 10_000, documents: 5000, values: 200_000 };

    /// Of what was exported from a cluster, in which one document may be the list of all objects, and which is read once.
    pub(crate) const EXPORT: Self =
        Self { file_bytes: 64 << 20, total_bytes: 256 << 20, files: 100_000, documents: 100_000, values: 5_000_000 };
}
