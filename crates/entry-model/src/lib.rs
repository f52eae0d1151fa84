//! Values: the objects of a cluster, what is served of them, and what their owners are told.
//!
//! ```text
//! Snapshot ──entry-translate──► Routes + Verdicts
//! ```
//!
//! The contract between all parts of the entry: no word of Kubernetes' API or of nginx, no clock, no files, no network, and no
//! dependency but `serde`, so that whatever serves routes can share the types.

mod addresses;
mod holdings;
mod objects;
mod routes;
mod snapshot;
mod sorted_map;
mod text;
mod verdict;

pub use addresses::{addresses, balanced, reached};
pub use holdings::Holdings;
pub use objects::{
    Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IngressTls, Key, LoadBalancerAddress, Meta,
    Namespace, Node, ObjectRef, PathType, PortRef, Secret, Service, ServiceKind, ServicePort,
};
pub use routes::{
    Action, Backend, CHALLENGE, Certificate, CertificateId, Forward, Found, Host, HostName, PathMatch, Protocol,
    Request, Routes, Rule, Scheme, Timeouts,
};
pub use snapshot::{Kind, Object, Snapshot};
pub use sorted_map::SortedMap;
pub use verdict::{Finding, Outcome, Reason, Verdict, Verdicts};
