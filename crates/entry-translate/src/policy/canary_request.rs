//! What annotations say of the requests that a canary gets.

use entry_model::Pattern;

/// What says how requests are shared, and means nothing without `canary`.
pub const DETAILS: &[&str] = &[
    "canary-by-header",
    "canary-by-header-value",
    "canary-by-header-pattern",
    "canary-by-cookie",
    "canary-weight",
    "canary-weight-total",
    AFFINITY_BEHAVIOR,
];

/// What says whether sessions stay with the canary.
pub const AFFINITY_BEHAVIOR: &str = "affinity-canary-behavior";

/// What an object is that says of itself whether it is a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CanaryRole {
    /// It is one, of these requests.
    Of(Canary),
    /// It cannot be known whether it is one.
    Unknown,
}

/// Which requests a canary gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// A header that decides, by its name in lower case.
    pub header: Option<(String, CanaryHeader)>,
    /// A cookie that decides.
    pub cookie: Option<String>,
    /// How many of all other requests, of `total`.
    pub weight: u32,
    /// At least the weight, and not 0.
    pub total: u32,
    /// Whether each request is drawn, rather than each session.
    pub draws_requests: bool,
}

/// Which values of a header decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CanaryHeader {
    /// `always` is for the canary, `never` for the main.
    AlwaysOrNever,
    /// This is for the canary.
    Value(String),
    /// What the pattern matches is for the canary.
    Pattern(Pattern),
    /// None.
    Nothing,
}
