//! Everything that knows the Kubernetes API: where objects come from, and what is written back.
//!
//! ```text
//! directory ─ manifest ─┐                     ┌─ status (of Ingresses)
//!                       ├─ convert ─► Snapshot│─ events        by the holder of the lease
//! list, watch ──────────┘   (kinds)           └─ host_record
//! ```
//!
//! Two sources yield the same [`Snapshot`](entry_model::Snapshot): a directory of manifests and an API server.

mod api_error;
mod convert;
mod directory;
mod directory_source;
mod error;
mod events;
mod follow;
pub mod host_record;
mod kinds;
pub mod lease;
mod list;
mod manifest;
mod named_config_maps;
mod named_secrets;
mod options;
pub mod raw;
mod read_bounds;
mod roles;
mod source;
pub mod status;
mod store;
mod watch;
mod writes;

pub use convert::{Convert, InvalidObject};
pub use directory_source::DirectorySource;
pub use error::{Error, Result};
pub use kinds::{KINDS, KindInfo, VERSION};
pub use options::{SourceOptions, TlsSecrets};
pub use roles::{Roles, roles};
pub use source::{KubeSource, client};
pub use watch::KubeWatch;
