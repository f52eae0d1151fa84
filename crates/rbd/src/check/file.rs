//! How a file looks to this process.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// No configuration or keyring is larger.
const LIMIT_BYTES: u64 = 4 << 20;

/// How a file looks to this process.
#[derive(Debug, PartialEq, Eq)]
pub enum FileState {
    /// It is not there.
    Missing,
    /// It is there, or a directory above it, but this user may not read it; owner, group and mode where they are known.
    Unreadable(Option<(u32, u32, u32)>),
    /// It is a directory.
    Directory,
    /// Another error.
    Failed(String),
    /// What it holds.
    Content(Vec<u8>),
}

/// Looks at a file.
pub fn inspect_file(path: &Path) -> FileState {
    match read(path) {
        Ok(look) => look,
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => FileState::Missing,
            ErrorKind::IsADirectory => FileState::Directory,
            ErrorKind::PermissionDenied => FileState::Unreadable(
                std::fs::metadata(path).ok().map(|found| (found.uid(), found.gid(), found.mode() & 0o7777)),
            ),
            _ => FileState::Failed(error.to_string()),
        },
    }
}

fn read(path: &Path) -> std::io::Result<FileState> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Ok(FileState::Directory);
    }
    let mut content = Vec::new();
    file.take(LIMIT_BYTES).read_to_end(&mut content)?;
    Ok(FileState::Content(content))
}

impl FileState {
    /// Whether Ceph's search, which takes the first file that it can open, ends here. Directories can be opened.
    pub fn ends_search(&self) -> bool {
        matches!(self, Self::Directory | Self::Content(_))
    }
}

/// The end of a sentence that starts with the path.
impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "does not exist"),
            Self::Unreadable(Some((owner, group, mode))) => {
                let user = user();
                write!(
                    f,
                    "cannot be read by user {user}: it belongs to user {owner} and group {group}, mode {mode:04o}"
                )
            }
            Self::Unreadable(None) => write!(f, "is in a directory that user {} may not enter", user()),
            Self::Directory => write!(f, "is a directory"),
            Self::Failed(error) => write!(f, "cannot be read: {error}"),
            Self::Content(_) => write!(f, "can be read"),
        }
    }
}

/// The user this process runs as, from the owner of its entry in `/proc` (proc(5)).
pub fn user() -> String {
    std::fs::metadata("/proc/self").map_or_else(|_| "unknown".into(), |found| found.uid().to_string())
}

/// What to do when this user cannot read a file.
pub fn make_readable(path: &Path) -> String {
    let path = path.display();
    format!(
        "Let user {} read it (`chown {0} {path}`, or its group and mode 0640), or run as its owner; in Kubernetes set \
         fsGroup, or the defaultMode of the Secret.",
        user()
    )
}

/// A list of files as Ceph's options hold it, which separates them by any of `,;= ` and tabs.
pub fn list(text: &str) -> Vec<PathBuf> {
    text.split([',', ';', '=', ' ', '\t']).filter(|part| !part.is_empty()).map(PathBuf::from).collect()
}

/// Paths with how they look, for a sentence.
pub fn tried(looks: &[(PathBuf, FileState)]) -> String {
    let parts: Vec<String> = looks.iter().map(|(path, look)| format!("{} {look}", path.display())).collect();
    parts.join("; ")
}
