//! What is said to the owner of an object.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::{Key, ObjectRef, SortedMap};

/// The verdicts on all objects that concern this controller, by object.
pub type Verdicts = SortedMap<ObjectRef, Verdict>;

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The `metadata.generation` that was looked at.
    pub observed_generation: i64,
    /// What became of it at each of its parents; at one without a name for objects that name none. Shared, since whoever tells of
    /// a verdict keeps what was told.
    pub parents: Arc<[ParentVerdict]>,
}

/// What became of an object at one of its parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentVerdict {
    /// The parent.
    pub parent: Parent,
    /// How much of the object is served there.
    pub acceptance: Acceptance,
    /// What is wrong with it, in the order of its fields.
    pub findings: Vec<Finding>,
}

/// To what an object is attached: a Gateway and one of its listeners. A Service or an Ingress names neither, so that it has one
/// parent without a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Parent {
    /// The Gateway.
    pub gateway: Option<Key>,
    /// The name of its listener; all that fit without one.
    pub listener: Option<String>,
}

impl Verdict {
    /// The verdict on an object that names no parent.
    pub fn new(observed_generation: i64, acceptance: Acceptance, findings: Vec<Finding>) -> Self {
        // Of most objects there is nothing to say.
        static ACCEPTED: LazyLock<Arc<[ParentVerdict]>> = LazyLock::new(|| unnamed(Acceptance::Accepted, Vec::new()));
        let parents = match acceptance {
            Acceptance::Accepted if findings.is_empty() => Arc::clone(&ACCEPTED),
            _ => unnamed(acceptance, findings),
        };
        Self { observed_generation, parents }
    }

    /// How much of the object is served, by all of its parents together.
    pub fn acceptance(&self) -> Acceptance {
        let is_all = |acceptance: Acceptance| self.parents.iter().all(|parent| parent.acceptance == acceptance);
        match () {
            () if is_all(Acceptance::Accepted) => Acceptance::Accepted,
            () if is_all(Acceptance::Rejected) => Acceptance::Rejected,
            () => Acceptance::Partial,
        }
    }

    /// All findings, parent by parent.
    pub fn findings(&self) -> Vec<&Finding> {
        self.parents.iter().flat_map(|parent| &parent.findings).collect()
    }

    /// Adds what is not served at any parent, and was found after the object was judged.
    pub fn add(&mut self, finding: &Finding) {
        for parent in Arc::make_mut(&mut self.parents) {
            parent.acceptance = parent.acceptance.max(Acceptance::Partial);
            parent.findings.push(finding.clone());
        }
    }
}

/// What became of an object at the parent without a name.
fn unnamed(acceptance: Acceptance, findings: Vec<Finding>) -> Arc<[ParentVerdict]> {
    Arc::new([ParentVerdict { parent: Parent::default(), acceptance, findings }])
}

impl Serialize for Verdict {
    /// As an object with `generation`, `outcome` and `findings`; and `parents`, if one has a name.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = self.parents.iter().any(|parent| parent.parent != Parent::default());
        let mut object = serializer.serialize_struct("Verdict", if named { 4 } else { 3 })?;
        object.serialize_field("generation", &self.observed_generation)?;
        object.serialize_field("outcome", &self.acceptance())?;
        object.serialize_field("findings", &self.findings())?;
        if named {
            let parents: Vec<_> = self.parents.iter().map(|parent| (&parent.parent, parent.acceptance)).collect();
            object.serialize_field("parents", &parents)?;
        }
        object.end()
    }
}

/// How much of an object is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Acceptance {
    /// All of it.
    Accepted,
    /// A part of it; the findings name the rest.
    Partial,
    /// Nothing.
    Rejected,
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
    /// Whether something is not served as it was asked for; else it is worth knowing only.
    #[serde(skip)]
    pub is_loss: bool,
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
    /// nginx rejected the configuration that the object leads to.
    RejectedByNginx,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_is_partial_where_its_parents_differ() {
        use Acceptance::{Accepted, Partial, Rejected};
        let at = |name: &str, acceptance| ParentVerdict {
            parent: Parent { gateway: None, listener: Some(name.to_owned()) },
            acceptance,
            findings: Vec::new(),
        };
        for (acceptances, expected) in [
            ([Accepted, Accepted], Accepted),
            ([Accepted, Rejected], Partial),
            ([Rejected, Rejected], Rejected),
            ([Partial, Rejected], Partial),
        ] {
            let parents = Arc::new([at("a", acceptances[0]), at("b", acceptances[1])]);
            assert_eq!(Verdict { observed_generation: 1, parents }.acceptance(), expected, "{acceptances:?}");
        }
    }
}
