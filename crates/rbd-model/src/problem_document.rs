//! The shape of a fault as clients read it, and as it is kept with an operation.

use serde::Serialize;
use serde_json::{Map, Value};

/// The document's shape, for the API description.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemDocument {
    /// `urn:sparrow:problem:` and the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of thing went wrong.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
    /// The errno that Ceph gave, such as `ENOENT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceph_errno: Option<String>,
    /// The request, as in the `X-Request-Id` header and the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What stands in the way: `snapshots`, `children`, `watchers`, `locks`, `failures`, or the `field` and what is `allowed`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
