//! What is said to the owner of an object.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::ObjectRef;

/// The verdicts on all objects that concern this controller, by object.
pub type Verdicts = BTreeMap<ObjectRef, Verdict>;

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The generation of the object that was looked at.
    pub generation: i64,
    /// How much of it is served.
    pub outcome: Outcome,
    /// What is wrong with it, in the order of its fields.
    pub findings: Vec<Finding>,
}

/// How much of an object is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Outcome {
    /// All of it.
    Accepted,
    /// A part of it; the findings name the rest.
    Partial,
    /// Nothing.
    Refused,
}

/// Something that the owner of an object should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The field, such as `spec.rules[0].http.paths[1].path` or `metadata.annotations[sparrow/port]`.
    pub field: String,
    /// Why, for programs.
    pub reason: Reason,
    /// What is wrong, what stays in force, and what to do, in a sentence or two.
    pub message: String,
}

/// Why something is not served as it was asked for. Where the Gateway API has a reason for it, its name is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Reason {
    /// A value cannot be used.
    Invalid,
    /// Something is asked for that this controller does not do.
    Unsupported,
    /// A Service, a port or a Secret that is named is not there.
    RefNotFound,
    /// What is named is there and cannot be used, such as a certificate with a foreign key.
    InvalidRef,
    /// Another object claimed the same host and path before, or the host belongs to another namespace.
    Conflicted,
    /// More is asked for than is served of one namespace, or of all.
    BoundExceeded,
    /// nginx refused the configuration that the object leads to.
    RefusedByNginx,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
