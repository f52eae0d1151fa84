//! How images are mirrored to other clusters.

use schemars::JsonSchema;
use serde::Serialize;

/// How an image is mirrored to other clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mirroring {
    /// `journal`, `snapshot` or `unknown`: how changes get there.
    pub mode: &'static str,
    /// `enabled`, `creating`, `disabling`, `disabled` or `unknown`.
    pub state: &'static str,
    /// `primary` for the one that is written to, `demoted` for one that was, `nonPrimary` for a copy of one in another cluster;
    /// null when it cannot be read.
    pub role: Option<&'static str>,
    /// Its id in all clusters that it is mirrored to.
    pub global_id: String,
}

impl Mirroring {
    /// Whether its copies in other clusters follow it.
    pub fn has_followers(&self) -> bool {
        self.role == Some("primary") && self.state != "disabled"
    }
}
