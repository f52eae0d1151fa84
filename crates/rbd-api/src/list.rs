//! The envelope of lists, as consoles know it.

use rbd_model::unread::UnreadPool;
use schemars::JsonSchema;
use serde::Serialize;

/// A list. The three fields' names are those of the first publication.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    /// What it is a list of, such as `PoolList`.
    #[serde(rename = "Kind")]
    pub kind: &'static str,
    /// `v1`.
    #[serde(rename = "APIVersion")]
    pub api_version: &'static str,
    /// The things.
    #[serde(rename = "Items")]
    pub items: Vec<T>,
    /// Where to go on: the value for `continue`; absent at the end.
    #[serde(rename = "Continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A whole list.
    pub fn new(kind: &'static str, items: Vec<T>) -> Self {
        Self { kind, api_version: "v1", items, next: None }
    }
}

/// A list out of many pools, with what could not be read.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartialList<T> {
    /// The list of what could be read.
    #[serde(flatten)]
    pub list: List<T>,
    /// The pools that could not be read; empty when the list is whole.
    #[serde(rename = "Unread")]
    pub unread: Vec<UnreadPool>,
}
