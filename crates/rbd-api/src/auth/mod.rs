//! Who calls, and what they may do.

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// What an endpoint asks for, and what a caller may have. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything but image data.
    Viewer,
    /// Makes, changes and deletes images, and reads their data.
    Operator,
    /// Makes and deletes pools.
    Admin,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name for the audit log and the records of operations.
    pub name: String,
    /// Groups, as Kubernetes gives them.
    pub groups: Vec<String>,
}

/// What a call wants to do.
#[derive(Debug, Clone, Copy)]
pub struct Permission<'a> {
    /// The least role that may.
    pub role: Role,
    /// What is touched: `pools`, `images`, `snapshots`, …; the endpoint's tag.
    pub resource: &'a str,
    /// `get`, `list`, `create`, `update`, `delete`.
    pub verb: &'a str,
    /// The pool, where the endpoint has one.
    pub pool: Option<&'a str>,
    /// The namespace, where the endpoint has one; empty for the default one.
    pub namespace: &'a str,
}

/// How callers are known.
pub enum Authenticator {
    /// They are not; everybody may do everything.
    None,
}

impl Authenticator {
    /// Who sent these headers.
    ///
    /// # Errors
    /// `not-authenticated`.
    #[expect(clippy::unused_async, reason = "other methods ask over the network")]
    pub async fn authenticate(&self, _headers: &HeaderMap) -> Result<Principal, Problem> {
        match self {
            Self::None => Ok(Principal { name: "anonymous".into(), groups: Vec::new() }),
        }
    }

    /// Whether the caller may.
    ///
    /// # Errors
    /// `forbidden`.
    #[expect(clippy::unused_async, reason = "other methods ask over the network")]
    pub async fn authorize(&self, _principal: &Principal, _permission: Permission<'_>) -> Result<(), Problem> {
        match self {
            Self::None => Ok(()),
        }
    }
}
