//! What can go wrong, in words that an operator can act on.

use std::io;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the volume or of the supervisor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The volume has no room; what was in force stays in force.
    #[error(
        "{path}: no room for the new revision, the one in force stays: {cause}; make the volume larger (for an \
         emptyDir: sizeLimit, or the pod's memory limit if it is in memory)"
    )]
    Full {
        /// What was being written.
        path: PathBuf,
        /// The system's error. Not as its source: the message has it, and would be followed by it again.
        cause: io::Error,
    },
    /// A system call on a file failed.
    #[error("cannot {action} {path}: {cause}")]
    File {
        /// What was tried, as a verb: `write`, `rename`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error. Not as its source: the message has it, and would be followed by it again.
        cause: io::Error,
    },
    /// A name that cannot be a revision's: it would be used as a directory's name.
    #[error("{0:?} is no revision: expected 1 to 128 of the characters A-Z a-z 0-9 _ -")]
    Hash(String),
    /// A file of a revision whose path is not a relative one below the revision's directory.
    #[error("{0:?} is no path inside a revision: expected a relative one, without `.` and `..`")]
    Path(String),
    /// A revision without the main file.
    #[error("the revision {0} has no nginx.conf")]
    NoMain(String),
    /// A record that does not follow the newest one of its frame: another generator has written, or the volume was emptied.
    #[error(
        "the record does not follow the newest one of the route table of the revision {frame} ({}); a whole table with a greater \
         revision is needed, what was published before stays in force",
        .newest.map_or_else(|| "there is none".to_owned(), |newest| newest.to_string())
    )]
    TableOrder {
        /// The frame whose table it is.
        frame: String,
        /// The revision of its newest record; none if it has none.
        newest: Option<u64>,
    },
    /// A record of changes where a whole table is needed.
    #[error("the route table of the revision {0} is not whole, and it is the first one")]
    NotWhole(String),
    /// A record for a revision that is not offered.
    #[error(
        "the revision {frame} is not offered, {} is: its route table is not changed",
        .offered.as_deref().unwrap_or("none")
    )]
    NotOffered {
        /// The frame whose table it is.
        frame: String,
        /// What is offered.
        offered: Option<String>,
    },
    /// A record of a table that nobody would read.
    #[error(
        "{path}: a record of a route table has {bytes} bytes, more than the 256 MiB that are read; serve fewer routes"
    )]
    TableTooLarge {
        /// Its file, or its frame if it is not written.
        path: PathBuf,
        /// Bytes.
        bytes: u64,
    },
    /// A file of the volume holds what no generator or supervisor wrote.
    #[error("{path} is not understood: {reason}; remove it, or empty the volume")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another supervisor owns the runtime directory.
    #[error("{0} belongs to another supervisor that is running: give each its own runtime directory")]
    Owned(PathBuf),
    /// The program cannot be run.
    #[error("cannot run {program}: {reason}; is nginx installed there?")]
    Program {
        /// What was to be run.
        program: PathBuf,
        /// The system's error, or how it ended.
        reason: String,
    },
    /// A setting that cannot work.
    #[error("{0}")]
    Setting(String),
}

impl Error {
    /// An error of the file `path` while doing `action`; a lack of room is told apart.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |cause| match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Error::Full { path, cause }
            }
            _ => Error::File { action, path, cause },
        }
    }
}
