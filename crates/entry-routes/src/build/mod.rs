//! From a snapshot to routes, in passes that each have a file:
//!
//! 1. `attach`: which objects are this controller's.
//! 2. `claim`: what each of them asks for, with `options` (annotations), `host`, `path` and `resolve` (Services and ports).
//! 3. `tls`: which certificates objects bring, with `certificate` (Secrets).
//! 4. `merge`: who gets what several ask for, in the order in which rules are tried, with `offers` (whose certificate a host
//!    gets).
//!
//! All along, `draft` keeps what the owner of each object is told.

mod addresses;
mod attach;
mod certificate;
mod claim;
mod draft;
mod host;
mod merge;
mod offers;
mod options;
mod path;
mod resolve;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Key, ObjectRef, Reason, Routes, Secret, Snapshot, Verdicts};

pub use addresses::{addresses, balanced, reached};

/// What [`build`] needs to know beside the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSettings {
    /// `spec.controller` of the `IngressClasses` that are served here.
    pub controller: String,
    /// The label, name and value, of the Services that are served without an Ingress.
    pub service_selector: (String, String),
    /// The label, name and value, of the Nodes that clients reach.
    pub node_selector: (String, String),
    /// The Service whose load balancer clients reach instead of the Nodes.
    pub publish_service: Option<Key>,
    /// Whether there is an HTTPS listener. Without it no certificate is used and nothing is redirected.
    pub https: bool,
    /// The time, in seconds since 1970. Only what is said of certificates depends on it.
    pub now: i64,
    /// Objects that are put aside: why, and in words what is wrong with each, to which is added what becomes of it. They
    /// contribute nothing.
    pub quarantine: BTreeMap<ObjectRef, (Reason, String)>,
    /// Secrets as they were when they last gave a certificate, as [`Built::good`] has them: one that is broken now goes on
    /// giving it.
    pub last_good: BTreeMap<Key, Arc<Secret>>,
}

impl Default for BuildSettings {
    fn default() -> Self {
        Self {
            controller: "sparrow/entry".to_owned(),
            service_selector: ("sparrow/expose".to_owned(), "true".to_owned()),
            node_selector: ("role".to_owned(), "entry".to_owned()),
            publish_service: None,
            https: true,
            now: 0,
            quarantine: BTreeMap::new(),
            last_good: BTreeMap::new(),
        }
    }
}

/// What [`build`] makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Built {
    /// What is served.
    pub routes: Routes,
    /// What is said of each object that concerns this controller.
    pub verdicts: Verdicts,
    /// The Secrets that gave a certificate, as they were when they were good.
    pub good: BTreeMap<Key, Arc<Secret>>,
}

/// Makes routes of a snapshot, and a verdict on each object of this controller.
///
/// Never fails: what cannot be served is left out or answered 503, its object's verdict says so, and nothing else changes.
///
/// - Services with the label: one prefix, `sparrow/path`, on `sparrow/host` (all hosts without it), to `sparrow/port`. Without
///   that: to the only TCP port; of several to the one that is called `http`, else to the first, and the owner is told.
/// - Ingresses of our classes. A path whose backend is not there, or not supported, stands and is answered 503: else a
///   shorter path, perhaps somebody else's, would get its requests.
/// - A default backend gets what no rule, of any object, names on the hosts of its Ingress; without rules, what no rule at
///   all matches. A host that only `spec.tls` names counts as one of them then.
/// - Paths are decoded once; so `/a%20b` and `/a b` are the same claim, as are `/a` and `/a/` as prefixes.
/// - Of those who claim the same host and path the oldest has it; of one second, the first by kind (Services before
///   Ingresses), namespace and name.
/// - A certificate goes to hosts on which its object has a rule, and from a wildcard to the hosts below it of the same
///   namespace. Of several, a host gets one that is for it before another, then the oldest object's.
/// - All rules of a host with a certificate that is for it redirect to HTTPS unless their object says
///   `sparrow/ssl-redirect: "false"`, whichever object the certificate came with. No certificate is for every host, so rules
///   without a host redirect only if their object says `"true"`.
pub fn build(snapshot: &Snapshot, settings: &BuildSettings) -> Built {
    let mut attached = attach::attach(snapshot, settings);
    let mut asked = claim::claims(snapshot, &mut attached);
    let mut certificates = tls::certificates(snapshot, settings, &mut asked.tls, &mut attached);
    let good = std::mem::take(&mut certificates.good);
    let routes = merge::merge(asked, certificates, &mut attached);
    Built { routes, verdicts: attach::verdicts(attached, snapshot, settings), good }
}
