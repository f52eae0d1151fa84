//! How images are encrypted.

use schemars::JsonSchema;
use serde::Serialize;

/// How an image's data is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// Not with LUKS. A client may encrypt it in another way, which cannot be seen.
    None,
    /// With LUKS, version 1.
    Luks1,
    /// With LUKS, version 2.
    Luks2,
    /// With LUKS, of another version.
    Luks,
}
