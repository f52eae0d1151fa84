//! What the supervisor reports to the generator: one file, as JSON, replaced by rename.

use serde::{Deserialize, Serialize};

use super::claim::UNFINISHED_HERE;
use super::{Volume, read};
use crate::{Error, Result};

/// What became of an offered revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OutcomeState {
    /// New connections are answered by it.
    Live,
    /// nginx refused it when testing it; it was never in force.
    Refused,
    /// It passed the test, or the test could not be made, and it could not be put in force. The last good one is.
    Failed,
}

/// What the supervisor says about the last revision that it tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionOutcome {
    /// The revision that this is about.
    pub hash: String,
    /// What became of it.
    pub state: OutcomeState,
    /// nginx's words, cut to 4 KiB; empty when it is live.
    #[serde(default)]
    pub message: String,
    /// When.
    pub at: jiff::Timestamp,
    /// The revision in force, which is another one unless `state` is live; none if nginx is not running.
    pub live: Option<String>,
}

impl Volume {
    /// What became of the last revision that was tried; none if none was yet.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn outcome(&self) -> Result<Option<RevisionOutcome>> {
        let path = self.dir.join("outcome");
        let Some(text) = read(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Content { path, reason: error.to_string() })
    }

    /// Writes what became of a revision.
    pub(crate) fn write_outcome(&self, outcome: &RevisionOutcome) -> Result<()> {
        let text = serde_json::to_vec(outcome)
            .map_err(|error| Error::Content { path: self.dir.join("outcome"), reason: error.to_string() })?;
        self.replace("outcome", UNFINISHED_HERE, &text)
    }
}
