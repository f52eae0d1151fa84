//! What can be wrong with a table.

use thiserror::Error;

/// Why a part of a table cannot be read, or its rules not be tried. The request that led there is answered 503, the handshake fails; others
/// are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// A word of the trie is damaged.
    #[error("the route table is damaged: its word {at} leads nowhere")]
    BadWord {
        /// Its index in the memory.
        at: usize,
    },
    /// A blob is damaged, or it is not what its key says.
    #[error("the route table is damaged: what is at its word {at} does not fit its checksum or its key")]
    BadBlob {
        /// The index of its first word in the memory.
        at: usize,
    },
    /// The newest root is damaged; the one before stays in use.
    #[error("the newest route table cannot be read: its root is damaged")]
    BadRoot,
    /// A rule leads to a backend that is not in the table.
    #[error("a rule of the route table leads to a backend that is not in it")]
    NoBackend,
    /// What tells in which order a host's patterns are tried leads to rules that are not in the table.
    #[error("the patterns of a host of the route table lead to rules that are not in it")]
    NoRules,
    /// The planner could not carry what the request needs.
    #[error("what its host or the default asks for does not fit into the route table; the generator says why")]
    NotCarried,
    /// The patterns that had to be tried take too long together. The answer is 500.
    #[error("the regular expressions of its host take too long for what the client has sent")]
    LongMatch,
    /// A host names a certificate that is not in the table.
    #[error("a host of the route table names a certificate that is not in it")]
    NoCertificate,
    /// Each time it was looked, [`crate::REUSE_AFTER`] publications went by meanwhile.
    #[error("the route table changed faster than it could be read")]
    Busy,
}
