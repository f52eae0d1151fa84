//! What can go wrong.

use std::io;
use std::path::PathBuf;

use entry_model::Kind;

/// What a source, a writer or the lease cannot do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory cannot be read or watched.
    #[error("cannot read the manifests in {}: {cause}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why. Not as its source: the message has it, and would be followed by it again.
        cause: io::Error,
    },
    /// Objects of a kind cannot be read from the API server.
    #[error("cannot list {kind} objects: {message}")]
    List {
        /// The kind.
        kind: Kind,
        /// Why; for a missing right, which rule is missing.
        message: String,
        /// Whether it is a missing right.
        forbidden: bool,
    },
    /// There is no usable way to the API server.
    #[error("cannot tell how to reach the API server: {0}; outside a cluster name a kubeconfig")]
    Client(String),
    /// The API server cannot be reached or rejects.
    #[error(transparent)]
    Api(#[from] Box<kube::Error>),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// The result of what talks to an API server or a directory.
pub type Result<T, E = Error> = std::result::Result<T, E>;
