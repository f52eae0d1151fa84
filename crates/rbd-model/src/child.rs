//! Clones.

use schemars::JsonSchema;
use serde::Serialize;

/// A clone of a snapshot.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// Its pool; null when the pool is gone.
    pub pool: Option<String>,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its name; of one in the trash, the name it had. Null when it cannot be read.
    pub image: Option<String>,
    /// Its id.
    pub id: String,
    /// Whether it is in the trash.
    pub in_trash: bool,
    /// The snapshot it is a clone of.
    pub snapshot: String,
    /// 1: its snapshot must stay protected. 2: it need not.
    pub format: u8,
}
