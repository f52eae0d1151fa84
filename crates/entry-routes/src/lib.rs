//! A snapshot of a cluster's objects becomes routes, and a verdict on every object.
//!
//! ```text
//! Snapshot ──build──► Routes + Verdicts
//! ```
//!
//! Pure: no clock, no files, no network, and no word of nginx. [`build()`] makes everything anew each time; what it gives is
//! sorted and depends on nothing but its arguments.

mod bounds;
mod build;
mod holdings;
mod routes;
mod snapshot;
mod text;
mod verdict;

pub use bounds::{Bound, Bounds};
pub use build::{BuildSettings, Built, Defaults, GoodSecret, Ownership, addresses, balanced, build, reached};
pub use holdings::Holdings;
pub use routes::{
    Action, Backend, CHALLENGE, Certificate, CertificateId, Forward, Found, Host, HostName, PathMatch, Protocol,
    Request, Routes, Rule, Scheme, Timeouts,
};
pub use snapshot::{
    Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IngressTls, Key, Kind, LoadBalancerAddress, Meta,
    Namespace, Node, ObjectRef, PathType, PortRef, Secret, Service, ServiceKind, ServicePort, Snapshot,
};
pub use verdict::{Finding, Outcome, Reason, Verdict, Verdicts};
