//! A snapshot of a cluster's objects becomes routes, and a verdict on every object.
//!
//! ```text
//! Snapshot ──translate──► Routes + Verdicts
//! ```
//!
//! Pure: no clock, no files, no network, and no word of nginx. What comes out is sorted and depends on nothing but the arguments;
//! a [`Translator`] only spares what did not change since the last snapshot. Its passes have a file each:
//!
//! 1. `attach`: which objects are this controller's.
//! 2. `claim`: what each of them asks for, a file for each kind, with `policy` (annotations, by topic), `host`, `path`, `regex_path` (paths that look like one) and `resolve` (Services and ports). `attached_claims`
//!    puts the claims of all side by side.
//! 3. `owners`: what of it belongs to other namespaces, by `host_or_segment`; `bounds`: what of it is too much.
//! 4. `tls`: which certificates objects bring, with `certificate` (Secrets), and for that `pem`, `chain` and `private_key`.
//! 5. `merge`: host by host, who gets what several ask for, in the order in which rules are tried, with
//!    `certificate_selection`, `host_client_certificates`, `host_actions` (what a `server-snippet` says of all paths of a host) and
//!    `tls_passthrough`, and `left_out` (what keeps closed what an object closed that takes part in nothing); `acme_http01`: hosts for ACME challenges only.
//!    `default_rule`: what no rule takes, where the operator names a `default_backend`.
//! 6. `stream_services`: TCP and UDP services, which `ConfigMaps` name.
//! 7. `endpoints`: where the Services are reached of which routes name the endpoints.
//!
//! All along, `verdict_draft` keeps what the owner of each object is told, and `claim_site` where in an object a claim is made.

mod acme_http01;
mod amounts;
mod anchored_pattern;
mod attach;
mod attached_claims;
mod authorities;
mod bounds;
mod caches;
mod canary;
mod certificate;
mod certificate_selection;
mod chain;
mod claim;
mod claim_site;
mod default_backend;
mod default_rule;
mod endpoints;
pub mod external_names;
mod first_segment;
mod host;
mod host_actions;
mod host_bonds;
mod host_change;
mod host_client_certificates;
mod host_client_tls;
mod host_or_segment;
mod left_out;
mod merge;
mod object_users;
mod owners;
mod path;
mod path_change;
mod pem;
mod policy;
mod private_key;
mod regex_path;
mod resolve;
mod retarget;
mod rule_weight;
mod settings;
mod stream_services;
mod tls;
mod tls_passthrough;
mod translate;
mod translation;
mod verdict_draft;

pub use bounds::{Bound, Bounds};
pub use default_backend::DefaultBackend;
pub use policy::client_redirects::HttpsRedirect;
pub use policy::global_auth::GlobalAuth;
pub use policy::snippet_guards::{SnippetPlace, snippet_guards};
pub use policy::table::{IngressNginxAnnotation, Meaning, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
pub use policy::{
    INGRESS_NGINX_PREFIX, OWN_PREFIX, TOPICS, find_ingress_nginx_annotation, find_own_annotation, parse_error_statuses,
    parse_size,
};
pub use settings::{HostOwnership, PolicyDefaults, Quarantine, TlsPassthroughAnnotations, TranslateSettings};
pub use stream_services::StreamServices;
pub use tls::LastGoodSecret;
pub use translate::{Translator, Way, translate};
pub use translation::Translation;
