//! The symbolic link by which nginx finds the memory of its table.
//!
//! A frame says `sparrow_table RUNTIME/table;` whichever memory is behind it. The link is replaced before nginx reads its
//! configuration, and nginx maps what it leads to then: workers keep that mapping until they end, whatever the link says later.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use table_memory::WritableTableMemory;

/// Begins the name of a link that a supervisor has not finished.
const UNFINISHED: &str = ".tmp-table-";

/// The link.
#[derive(Debug)]
pub(super) struct TableLink {
    runtime: PathBuf,
}

impl TableLink {
    /// That of a runtime directory, in which a supervisor that was killed may have left something.
    pub(super) fn new(runtime: &Path) -> TableLink {
        for entry in fs::read_dir(runtime).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let _ = fs::remove_file(entry.path());
            }
        }
        TableLink { runtime: runtime.to_owned() }
    }

    /// Has it lead to a memory of this process, or takes it away.
    pub(super) fn point_to(&self, memory: Option<&WritableTableMemory>) -> io::Result<()> {
        let path = self.runtime.join("table");
        let Some(memory) = memory else {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };
        let staged =
            tempfile::Builder::new().prefix(UNFINISHED).make_in(&self.runtime, |path| symlink(memory.path(), path))?;
        staged.into_temp_path().persist(&path).map_err(|error| error.error)
    }
}
