//! The symbolic links by which nginx finds memory: that of its table, and that of what it counts.
//!
//! A frame says `sparrow_table RUNTIME/table;` whichever memory is behind it. The link is replaced before nginx reads its
//! configuration, and nginx maps what it leads to then: workers keep that mapping until they end, whatever the link says later.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use table_memory::WritableTableMemory;

/// A link.
#[derive(Debug)]
pub(crate) struct MemoryLink {
    runtime: PathBuf,
    name: &'static str,
}

impl MemoryLink {
    /// That of a name in a runtime directory, in which a supervisor that was killed may have left something.
    pub(crate) fn new(runtime: &Path, name: &'static str) -> MemoryLink {
        let link = MemoryLink { runtime: runtime.to_owned(), name };
        for entry in fs::read_dir(runtime).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&link.unfinished()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        link
    }

    /// Begins the name of a link that a supervisor has not finished.
    fn unfinished(&self) -> String {
        format!(".tmp-{}-", self.name)
    }

    /// Has it lead to a memory of this process, or takes it away.
    pub(crate) fn point_to(&self, memory: Option<&WritableTableMemory>) -> io::Result<()> {
        let path = self.runtime.join(self.name);
        let Some(memory) = memory else {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };
        let staged = tempfile::Builder::new()
            .prefix(&self.unfinished())
            .make_in(&self.runtime, |path| symlink(memory.path(), path))?;
        staged.into_temp_path().persist(&path).map_err(|error| error.error)
    }
}
