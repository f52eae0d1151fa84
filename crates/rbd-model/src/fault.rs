//! What went wrong, why, and what to do: the error of everything that is done with Ceph here.
//!
//! How it is sent to whoever asked, and with which status, is for others to say.

use ceph_error::Errno;
use serde::Serialize;
use serde_json::{Map, Value};

/// Defines the kinds of faults: variant, name, title.
macro_rules! kinds {
    ($($variant:ident $slug:literal $title:literal,)*) => {
        /// What kind of fault; decides its name and title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $title] $variant,)* }

        impl Kind {
            /// All kinds, for the reference.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name by which programs know it, such as `image-not-found`.
            pub fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// What kind of thing went wrong, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

kinds! {
    BadRequest "bad-request" "The request is not well-formed",
    InvalidField "invalid-field" "A field has a value that is not allowed",
    CephForbidden "ceph-forbidden" "Ceph does not let this service do this",
    NotFound "not-found" "There is nothing at this path",
    PoolNotFound "pool-not-found" "The pool does not exist",
    NamespaceNotFound "namespace-not-found" "The namespace does not exist",
    ImageNotFound "image-not-found" "The image does not exist",
    SnapshotNotFound "snapshot-not-found" "The snapshot does not exist",
    GroupNotFound "group-not-found" "The group does not exist",
    TrashNotFound "trash-not-found" "The trash holds no such image",
    MetadataNotFound "metadata-not-found" "The metadata key does not exist",
    LockNotFound "lock-not-found" "The lock does not exist",
    ScheduleNotFound "schedule-not-found" "The schedule does not exist",
    OperationNotFound "operation-not-found" "The operation does not exist",
    Exists "exists" "The name is taken",
    InUse "in-use" "Something stands in the way",
    Conflict "conflict" "The state does not allow this",
    FieldConflict "field-conflict" "A field does not go with another, or with what is there",
    NotADiff "not-a-diff" "The body is no diff that could be applied",
    ForeignPool "foreign-pool" "The pool is for another application",
    Removing "removing" "The image is being removed",
    Migrating "migrating" "The image is being migrated",
    NotPrimary "not-primary" "The image is mirrored from another cluster",
    PoolMissing "pool-missing" "A pool that the image needs is gone",
    ImageUnusable "image-unusable" "librbd cannot work with the image",
    Full "full" "There is no space left",
    Internal "internal" "The service failed",
    Damaged "damaged" "What Ceph holds cannot be read",
    NotSupported "not-supported" "The cluster cannot do this",
    Busy "busy" "The service has no worker free",
    CephUnavailable "ceph-unavailable" "Ceph does not answer",
}

impl Kind {
    /// Whether it says that something that was just there is not.
    pub fn is_missing(self) -> bool {
        matches!(
            self,
            Self::NotFound
                | Self::PoolNotFound
                | Self::NamespaceNotFound
                | Self::ImageNotFound
                | Self::SnapshotNotFound
                | Self::GroupNotFound
                | Self::TrashNotFound
                | Self::MetadataNotFound
                | Self::LockNotFound
                | Self::ScheduleNotFound
                | Self::OperationNotFound
        )
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.title())
    }
}

/// What went wrong, on its way to whoever asked for it. Who speaks to clients has kinds of its own besides those of the domain.
#[derive(Debug, Clone)]
pub struct Fault<K = Kind>(Box<Parts<K>>);

#[derive(Debug, Clone)]
struct Parts<K> {
    kind: K,
    detail: String,
    cause: Option<String>,
    correction: Option<String>,
    errno: Option<Errno>,
    retry_after_seconds: Option<u64>,
    members: Map<String, Value>,
}

impl Fault {
    /// A field with a value that its schema rules out: which, what is wrong, and what is allowed.
    pub fn field(field: &str, wrong: impl AsRef<str>, allowed: impl Into<String>) -> Self {
        Self::of_field(Kind::InvalidField, field, wrong.as_ref(), allowed.into())
    }

    /// A field with a value that its schema allows, and that does not go with another field or with what is there: which,
    /// what is wrong, and what would do.
    pub fn field_conflict(field: &str, wrong: impl AsRef<str>, allowed: impl Into<String>) -> Self {
        Self::of_field(Kind::FieldConflict, field, wrong.as_ref(), allowed.into())
    }

    fn of_field(kind: Kind, field: &str, wrong: &str, allowed: String) -> Self {
        Self::new(kind, format!("{field}: {wrong}"))
            .correction(format!("Send {allowed}."))
            .with("field", field)
            .with("allowed", allowed)
    }
}

impl<K> Fault<K> {
    /// A fault of a kind, with what happened.
    pub fn new(kind: K, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            cause: None,
            correction: None,
            errno: None,
            retry_after_seconds: None,
            members: Map::new(),
        }))
    }

    /// The same with other words about what happened.
    #[must_use]
    pub fn about(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Why it happened.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn correction(mut self, correction: impl Into<String>) -> Self {
        self.0.correction = Some(correction.into());
        self
    }

    /// The errno that Ceph gave.
    #[must_use]
    pub fn errno(mut self, errno: Errno) -> Self {
        self.0.errno = Some(errno);
        self
    }

    /// When to try again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// What stands in the way, or more about it, for programs.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// Whether it says more for programs under this name.
    pub fn has(&self, member: &str) -> bool {
        self.0.members.contains_key(member)
    }

    /// Its kind.
    pub fn kind(&self) -> K
    where
        K: Copy,
    {
        self.0.kind
    }

    /// The same as a fault of a wider kind.
    #[must_use]
    pub fn widen<W: From<K>>(self) -> Fault<W> {
        let Parts { kind, detail, cause, correction, errno, retry_after_seconds, members } = *self.0;
        Fault(Box::new(Parts { kind: kind.into(), detail, cause, correction, errno, retry_after_seconds, members }))
    }

    /// The errno that Ceph gave.
    pub fn ceph_errno(&self) -> Option<Errno> {
        self.0.errno
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        self.0.correction.as_deref()
    }

    /// What happened.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Why it happened.
    pub fn why(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// What it says for programs under a name.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.members.get(name)
    }

    /// All that it says for programs, by name.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0.members
    }

    /// When to try again, in seconds.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.0.retry_after_seconds
    }
}

impl<K: std::fmt::Display> std::fmt::Display for Fault<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.detail)
    }
}

impl<K: std::fmt::Debug + std::fmt::Display> std::error::Error for Fault<K> {}

/// Things as what a fault says for programs, see [`Fault::with`].
pub fn members<T: Serialize>(things: &[T]) -> Value {
    serde_json::to_value(things).unwrap_or_default()
}
