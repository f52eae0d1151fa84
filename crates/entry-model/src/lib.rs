//! Values: the objects of a cluster, what is served of them, and what their owners are told.
//!
//! ```text
//! Snapshot ──entry-translate──► Routes + Verdicts
//! ```
//!
//! The contract between all parts of the entry: no word of Kubernetes' API or of nginx, no clock, no files, no network, and no
//! dependency but `serde`, so that whatever serves routes can share the types. What a request's route is, [`Routes::find`]
//! defines.

mod action;
mod address_range;
mod addresses;
mod backend_mode;
mod condition;
mod config_map_names;
mod cookie;
mod endpoint_name;
mod endpoint_slice;
mod field_path;
mod fixed_answer;
mod host_name;
mod host_owners;
mod listener;
mod objects;
mod password_hash;
mod pattern;
mod policy;
mod request;
mod request_match;
mod rewrite;
mod routes;
mod routes_text;
mod rule_list;
mod secret_names;
mod session;
mod snapshot;
mod sorted_map;
mod stream_route;
mod tls_passthrough;
mod verdict;

pub use action::{Action, Backend, BackendAddress, Destination, EndpointsId, Forward, Protocol, WeightedBackend};
pub use address_range::{AddressRange, ParseAddressRangeError};
pub use addresses::{entry_addresses, load_balancer_addresses, node_addresses};
pub use backend_mode::{BACKENDS_ANNOTATION, BackendMode};
pub use condition::{Condition, ConditionKind, RevisionState};
pub use config_map_names::{CONFIG_MAP_ANNOTATIONS, annotated_config_maps};
pub use cookie::find_cookie;
pub use endpoint_name::EndpointName;
pub use endpoint_slice::{EndpointSlice, EndpointState, SliceEndpoint, SlicePort};
pub use field_path::{AbridgedText, FieldPath};
pub use fixed_answer::FixedAnswer;
pub use host_name::HostName;
pub use host_owners::HostOwners;
pub use listener::{Listener, ListenerId, ListenerSet};
pub use objects::{
    ConfigMap, HEADER_CONFIG_MAPS, HOSTS_ANNOTATION, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule,
    IngressTls, IpFamily, Key, LoadBalancerAddress, Meta, Namespace, Node, ObjectRef, PathType, PortRef, Secret,
    Service, ServiceKind, ServicePort,
};
pub use password_hash::{PasswordHashError, check_password_hash};
pub use pattern::{Pattern, PatternEngine, TemplatePart, template_parts};
pub use policy::{
    Access, AddedHeader, Affinity, AnswerHeaders, BackendTls, Balancing, BasicAuth, Buffers, CONNECTION_HEADERS,
    Cipher, ClientCertificateRule, ClientCertificates, ClientTls, ClientVerification, ConnectionHeader, Cors,
    CorsOrigin, CorsOrigins, Encryption, ErrorPages, ExternalAuth, HashPart, HeaderField, HeaderPart, HeaderValue,
    HeaderVariable, Limits, Mirror, OutsideServer, PasswordFile, Pem, Policies, Policy, PolicyId, RenamedHeader,
    Replacement, RequestHeaders, RequestLimit, ResponseBuffers, Retries, RetryCondition, SameSite, SessionCookie,
    Timeouts, TlsVersion, UpstreamHost, UrlPart, UrlText, UrlVariable, Verification, VerificationMode,
};
pub use request::{Request, Scheme};
pub use request_match::{ACME_CHALLENGE, CookieMatch, HeaderMatch, Match, PathMatch, QueryParamMatch, ValueMatch};
pub use rewrite::{PathRewrite, Redirect, encode_path};
pub use routes::{Certificate, CertificateId, Endpoints, Host, Routes, RoutingDecision, Rule};
pub use rule_list::{RuleIter, RuleList, SharedRules, differing_rules};
pub use secret_names::{SECRET_ANNOTATIONS, annotated_secrets, own_object_name};
pub use session::{number_of_session, session_of_cookie};
pub use snapshot::{Kind, Object, Snapshot};
pub use sorted_map::SortedMap;
pub use stream_route::{StreamPort, StreamRoute, Transport};
pub use tls_passthrough::TlsPassthrough;
pub use verdict::{Acceptance, Finding, Parent, ParentVerdict, Reason, Verdict, Verdicts};
