//! What a reader of a key is given, and what it says of the value.

use std::collections::BTreeMap;

use entry_model::Snapshot;

/// What is known where the value of a key is read.
#[derive(Debug, Clone, Copy)]
pub struct KeyContext<'a> {
    /// The value, without blanks around it.
    pub value: &'a str,
    /// All values beside it.
    pub values: &'a BTreeMap<String, String>,
    /// The objects, among them `ConfigMaps` that a value names.
    pub snapshot: &'a Snapshot,
}

/// What of a value is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// All of it.
    None,
    /// All of it, and there is something to know.
    Note(String),
    /// Not all of it.
    Loss(String),
}
