//! Errors as clients see them: RFC 9457 problem documents that say what happened, why, and what to do.

use axum_core::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use rbd_model::fault::{self, Fault};
use rbd_model::problem_document::ProblemDocument;
use serde_json::Value;

/// Defines the kinds of problems that a request itself has: variant, slug of the `type` URN, status, title.
macro_rules! kinds {
    ($($variant:ident $slug:literal $status:ident $title:literal,)*) => {
        /// What kind of problem; decides `type`, `status` and `title`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            /// What the request asked for could not be done.
            Fault(fault::Kind),
            $(#[doc = $title] $variant,)*
        }

        impl Kind {
            /// The kinds that a request itself has.
            const OF_REQUESTS: &[Self] = &[$(Self::$variant,)*];

            /// The last part of the problem's `type`, `urn:sparrow:problem:<slug>`.
            pub fn slug(self) -> &'static str {
                match self { Self::Fault(kind) => kind.slug(), $(Self::$variant => $slug,)* }
            }

            /// The HTTP status it is answered with.
            pub fn status(self) -> StatusCode {
                match self { Self::Fault(kind) => status(kind), $(Self::$variant => StatusCode::$status,)* }
            }

            /// What kind of thing went wrong, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { Self::Fault(kind) => kind.title(), $(Self::$variant => $title,)* }
            }
        }
    };
}

kinds! {
    NotAuthenticated "not-authenticated" UNAUTHORIZED "The caller is not known",
    InvalidToken "invalid-token" UNAUTHORIZED "The token is not valid",
    Forbidden "forbidden" FORBIDDEN "The caller may not do this",
    HostNotAllowed "host-not-allowed" FORBIDDEN "The request is for a host that is not this service",
    CrossSite "cross-site" FORBIDDEN "A page of another site may not do this",
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The path does not take this method",
    PreconditionFailed "precondition-failed" PRECONDITION_FAILED "The condition of the request does not hold",
    TooLarge "too-large" PAYLOAD_TOO_LARGE "The body is too large",
    HeadTooLarge "head-too-large" REQUEST_HEADER_FIELDS_TOO_LARGE "The request's target and headers are too large",
    MediaType "media-type" UNSUPPORTED_MEDIA_TYPE "The body is of another type",
    ExpectationFailed "expectation-failed" EXPECTATION_FAILED "What the request expects is not done",
    Range "range" RANGE_NOT_SATISFIABLE "The range is outside the image",
    AuthenticationUnavailable "authentication-unavailable" SERVICE_UNAVAILABLE "It cannot be found out who may do this",
    ShuttingDown "shutting-down" SERVICE_UNAVAILABLE "The service is ending",
}

/// The HTTP status that a fault is answered with.
fn status(kind: fault::Kind) -> StatusCode {
    use fault::Kind;
    match kind {
        Kind::BadRequest | Kind::InvalidField => StatusCode::BAD_REQUEST,
        Kind::CephForbidden => StatusCode::FORBIDDEN,
        Kind::NotFound
        | Kind::PoolNotFound
        | Kind::NamespaceNotFound
        | Kind::ImageNotFound
        | Kind::SnapshotNotFound
        | Kind::GroupNotFound
        | Kind::TrashNotFound
        | Kind::MetadataNotFound
        | Kind::LockNotFound
        | Kind::ScheduleNotFound
        | Kind::OperationNotFound => StatusCode::NOT_FOUND,
        Kind::Exists
        | Kind::InUse
        | Kind::Conflict
        | Kind::FieldConflict
        | Kind::NotADiff
        | Kind::ForeignPool
        | Kind::Removing
        | Kind::Migrating
        | Kind::NotPrimary
        | Kind::PoolMissing
        | Kind::ImageUnusable => StatusCode::CONFLICT,
        Kind::Full => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Internal | Kind::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::NotSupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Busy | Kind::CephUnavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl Kind {
    /// All kinds by status, for the reference.
    pub fn all() -> Vec<Self> {
        let faults = fault::Kind::ALL.iter().map(|kind| Self::Fault(*kind));
        let mut all: Vec<Self> = faults.chain(Self::OF_REQUESTS.iter().copied()).collect();
        all.sort_by_key(|kind| kind.status());
        all
    }
}

impl From<fault::Kind> for Kind {
    fn from(kind: fault::Kind) -> Self {
        Self::Fault(kind)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.title())
    }
}

/// What a request is rejected with, before anything is done with Ceph or after.
pub type RequestFault = Fault<Kind>;

/// A fault on its way to the client: the document and the response that say it.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    fault: RequestFault,
    headers: HeaderMap,
}

impl<K> From<Fault<K>> for Problem
where
    Kind: From<K>,
{
    fn from(fault: Fault<K>) -> Self {
        Self(Box::new(Parts { fault: fault.widen(), headers: HeaderMap::new() }))
    }
}

/// The document of what an operation failed with, as its record keeps it.
pub fn of_operation(fault: &Fault, request_id: &str) -> Value {
    serde_json::to_value(Problem::from(fault.clone()).document(Some(request_id))).unwrap_or_default()
}

impl Problem {
    /// A further header of the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// The fault.
    pub fn fault(&self) -> &RequestFault {
        &self.0.fault
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.fault().kind()
    }

    /// The document as it is sent.
    pub fn document(&self, request_id: Option<&str>) -> ProblemDocument {
        let (fault, kind) = (self.fault(), self.kind());
        ProblemDocument {
            kind: format!("urn:sparrow:problem:{}", kind.slug()),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail: fault.detail().to_owned(),
            cause: fault.why().map(str::to_owned),
            correction: fault.advice().map(str::to_owned),
            ceph_errno: fault.ceph_errno().map(|errno| errno.name().to_owned()),
            request_id: request_id.map(str::to_owned),
            extra: fault.members().clone(),
        }
    }

    /// The response.
    pub fn response(&self, request_id: Option<&str>) -> Response<Body> {
        let body = serde_json::to_vec(&self.document(request_id)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind().status();
        let headers = response.headers_mut();
        headers.extend(self.0.headers.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.fault().retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // RFC 6750, section 3: the error only where there was a token.
        let challenge = match self.kind() {
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

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fault().fmt(f)
    }
}

impl std::error::Error for Problem {}
