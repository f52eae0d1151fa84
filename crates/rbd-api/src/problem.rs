//! Errors as clients see them: RFC 9457 problem documents that say what happened, why, and what to do.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use ceph::Errno;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::why::Reason;

/// Defines the kinds of problems: variant, slug of the `type` URN, status, title.
macro_rules! kinds {
    ($($variant:ident $slug:literal $status:ident $title:literal,)*) => {
        /// What kind of problem; decides `type`, `status` and `title`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $title] $variant,)* }

        impl Kind {
            /// All kinds, for the reference.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The last part of the problem's `type`, `urn:sparrow:problem:<slug>`.
            pub fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// The HTTP status it is answered with.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// What kind of thing went wrong, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

kinds! {
    BadRequest "bad-request" BAD_REQUEST "The request is not well-formed",
    InvalidField "invalid-field" BAD_REQUEST "A field has a value that is not allowed",
    NotAuthenticated "not-authenticated" UNAUTHORIZED "The caller is not known",
    InvalidToken "invalid-token" UNAUTHORIZED "The token is not valid",
    Forbidden "forbidden" FORBIDDEN "The caller may not do this",
    HostNotAllowed "host-not-allowed" FORBIDDEN "The request is for a host that is not this service",
    CrossSite "cross-site" FORBIDDEN "A page of another site may not do this",
    CephForbidden "ceph-forbidden" FORBIDDEN "Ceph does not let this service do this",
    NotFound "not-found" NOT_FOUND "There is nothing at this path",
    PoolNotFound "pool-not-found" NOT_FOUND "The pool does not exist",
    NamespaceNotFound "namespace-not-found" NOT_FOUND "The namespace does not exist",
    ImageNotFound "image-not-found" NOT_FOUND "The image does not exist",
    SnapshotNotFound "snapshot-not-found" NOT_FOUND "The snapshot does not exist",
    GroupNotFound "group-not-found" NOT_FOUND "The group does not exist",
    TrashNotFound "trash-not-found" NOT_FOUND "The trash holds no such image",
    MetadataNotFound "metadata-not-found" NOT_FOUND "The metadata key does not exist",
    LockNotFound "lock-not-found" NOT_FOUND "The lock does not exist",
    ScheduleNotFound "schedule-not-found" NOT_FOUND "The schedule does not exist",
    OperationNotFound "operation-not-found" NOT_FOUND "The operation does not exist",
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The path does not take this method",
    Exists "exists" CONFLICT "The name is taken",
    InUse "in-use" CONFLICT "Something stands in the way",
    Conflict "conflict" CONFLICT "The state does not allow this",
    FieldConflict "field-conflict" CONFLICT "A field does not go with another, or with what is there",
    NotADiff "not-a-diff" CONFLICT "The body is no diff that could be applied",
    ForeignPool "foreign-pool" CONFLICT "The pool is for another application",
    Removing "removing" CONFLICT "The image is being removed",
    Migrating "migrating" CONFLICT "The image is being migrated",
    NotPrimary "not-primary" CONFLICT "The image is mirrored from another cluster",
    PoolMissing "pool-missing" CONFLICT "A pool that the image needs is gone",
    ImageUnusable "image-unusable" CONFLICT "librbd cannot work with the image",
    TooLarge "too-large" PAYLOAD_TOO_LARGE "The body is too large",
    HeadTooLarge "head-too-large" REQUEST_HEADER_FIELDS_TOO_LARGE "The request's target and headers are too large",
    MediaType "media-type" UNSUPPORTED_MEDIA_TYPE "The body is of another type",
    Range "range" RANGE_NOT_SATISFIABLE "The range is outside the image",
    Full "full" INSUFFICIENT_STORAGE "There is no space left",
    Internal "internal" INTERNAL_SERVER_ERROR "The service failed",
    Damaged "damaged" INTERNAL_SERVER_ERROR "What Ceph holds cannot be read",
    NotSupported "not-supported" NOT_IMPLEMENTED "The cluster cannot do this",
    Busy "busy" SERVICE_UNAVAILABLE "The service has no worker free",
    AuthenticationUnavailable "authentication-unavailable" SERVICE_UNAVAILABLE "It cannot be found out who may do this",
    CephUnavailable "ceph-unavailable" SERVICE_UNAVAILABLE "Ceph does not answer",
    ShuttingDown "shutting-down" SERVICE_UNAVAILABLE "The service is ending",
}

impl Kind {
    /// Whether it says that something that was just there is not.
    pub fn missing(self) -> bool {
        self.status() == StatusCode::NOT_FOUND
    }
}

/// A problem on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: Kind,
    detail: String,
    cause: Option<String>,
    correction: Option<String>,
    errno: Option<Errno>,
    retry_after_seconds: Option<u64>,
    extra: Map<String, Value>,
}

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

impl Problem {
    /// A problem of a kind, with what happened.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            cause: None,
            correction: None,
            errno: None,
            retry_after_seconds: None,
            extra: Map::new(),
        }))
    }

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

    /// When to try again, as the `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// A further member of the document.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(member.to_owned(), value.into());
        self
    }

    /// Whether it has a further member.
    pub fn has(&self, member: &str) -> bool {
        self.0.extra.contains_key(member)
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
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

    /// The document as it is sent.
    pub fn document(&self, request_id: Option<&str>) -> ProblemDocument {
        let parts = &self.0;
        ProblemDocument {
            kind: format!("urn:sparrow:problem:{}", parts.kind.slug()),
            title: parts.kind.title().to_owned(),
            status: parts.kind.status().as_u16(),
            detail: parts.detail.clone(),
            cause: parts.cause.clone(),
            correction: parts.correction.clone(),
            ceph_errno: parts.errno.map(|errno| errno.name().to_owned()),
            request_id: request_id.map(str::to_owned),
            extra: parts.extra.clone(),
        }
    }

    /// The response.
    pub fn response(&self, request_id: Option<&str>) -> Response<Body> {
        let body = serde_json::to_vec(&self.document(request_id)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.0.kind.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.0.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // RFC 6750, section 3: the error only where there was a token.
        let challenge = match self.0.kind {
            Kind::NotAuthenticated => Some("Bearer realm=\"sparrow-rbd\""),
            Kind::InvalidToken => Some("Bearer realm=\"sparrow-rbd\", error=\"invalid_token\""),
            _ => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// What an errno means when nothing more is known about the place it came from. Handlers that know more say more.
impl From<ceph::Error> for Problem {
    fn from(error: ceph::Error) -> Self {
        let Some(errno) = error.errno() else {
            if let Some(reason) = Reason::of(&error) {
                return reason.problem_of(error.subject());
            }
            return match &error {
                ceph::Error::Nul(_) => Self::new(Kind::BadRequest, error.to_string()),
                ceph::Error::Missing(_) => {
                    Self::new(Kind::NotSupported, error.to_string()).correction("Upgrade librbd beside this service.")
                }
                _ => Self::new(Kind::Damaged, error.to_string()).correction(
                    "Look at the object with `rados listomapvals`, and restore the image from a backup, or remove it.",
                ),
            };
        };
        let detail = error.to_string();
        let problem = match errno {
            Errno::ENOENT => Self::new(Kind::NotFound, detail),
            Errno::EEXIST => Self::new(Kind::Exists, detail),
            Errno::EBUSY | Errno::ENOTEMPTY | Errno::EROFS | Errno::EMLINK => Self::new(Kind::InUse, detail),
            Errno::EINVAL | Errno::EDOM | Errno::ERANGE | Errno::ENODEV => Self::new(Kind::Conflict, detail),
            Errno::ESTALE | Errno::EAGAIN => Self::new(Kind::Conflict, detail)
                .cause("Another client changed the same object at the same time.")
                .correction("Read it again, and repeat the call if it is still wanted.")
                .retry_after(1),
            Errno::EPERM | Errno::EACCES => Self::new(Kind::CephForbidden, detail).correction(
                "Give the entity of this service the missing capability with `ceph auth caps`; \
                 `sparrow-rbd check` names it.",
            ),
            Errno::ENOSPC | Errno::EDQUOT => Self::new(Kind::Full, detail)
                .cause("The pool or the cluster is full, or the pool has reached its quota.")
                .correction("Remove images with ?permanent=true, raise the quota, or add OSDs."),
            Errno::ETIMEDOUT => Self::new(Kind::CephUnavailable, detail)
                .cause("Whether a change took effect is not known.")
                .correction("Read the object again before repeating the change.")
                .retry_after(5),
            Errno::ENOTCONN | Errno::ESHUTDOWN | Errno::ECONNREFUSED => {
                Self::new(Kind::CephUnavailable, detail).retry_after(1)
            }
            Errno::EOPNOTSUPP | Errno::ENOSYS => Self::new(Kind::NotSupported, detail),
            Errno::ECANCELED => Self::new(Kind::Conflict, detail),
            Errno::ENAMETOOLONG => Self::new(Kind::BadRequest, detail)
                .cause("A name is longer than Ceph takes.")
                .correction("Use a shorter name."),
            _ => Self::new(Kind::Internal, detail),
        };
        problem.errno(errno)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.kind.title(), self.0.detail)
    }
}

impl std::error::Error for Problem {}
