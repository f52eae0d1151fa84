//! Everything that knows the Kubernetes API: where objects come from, and what is written back.
//!
//! Two sources yield the same [`Snapshot`](entry_model::Snapshot): a directory of manifests and an API server.

mod convert;
mod directory;
mod error;
mod events;
mod follow;

mod kinds;
pub mod lease;
mod manifest;
pub mod record;
mod roles;
mod source;
pub mod status;
mod store;

pub use convert::{Convert, Unusable};
pub use directory::DirectorySource;
pub use error::{Error, Result};
pub use kinds::{KINDS, KindInfo, VERSION};
pub use roles::{Roles, roles};
pub use source::{KubeSource, Options, TlsSecrets, Watching, client};
