//! What the supervisor reports of the table of the frame in force: one file, as JSON, replaced by rename.

use serde::{Deserialize, Serialize};

use super::claim::UNFINISHED_HERE;
use super::{Volume, read};
use crate::{Error, Result};

/// What became of the records of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableOutcome {
    /// The frame whose table it is.
    pub frame: String,
    /// The newest revision that all workers have confirmed; none while there is none.
    pub revision: Option<u64>,
    /// Why a newer one is not in force, cut to 4 KiB; empty if all is well.
    #[serde(default)]
    pub message: String,
    /// When.
    pub at: jiff::Timestamp,
}

impl Volume {
    /// What became of the records of the table that is in force; none if no frame with a table was yet.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn table_outcome(&self) -> Result<Option<TableOutcome>> {
        let path = self.dir.join("table-outcome");
        let Some(text) = read(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Content { path, reason: error.to_string() })
    }

    /// Writes what became of the records of a table.
    pub(crate) fn write_table_outcome(&self, outcome: &TableOutcome) -> Result<()> {
        let text = serde_json::to_vec(outcome)
            .map_err(|error| Error::Content { path: self.dir.join("table-outcome"), reason: error.to_string() })?;
        self.replace_unsynced("table-outcome", UNFINISHED_HERE, &text)
    }
}
