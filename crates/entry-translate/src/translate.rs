//! From a snapshot to routes, in passes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use entry_model::{Holdings, Key, Routes, Snapshot, Verdicts};

use crate::owners::Listed;
use crate::{BuildSettings, GoodSecret, Ownership, attach, bounds, claim, merge, owners, solver, tls};

/// What [`build`] makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Built {
    /// What is served.
    pub routes: Routes,
    /// What is said of each object that concerns this controller.
    pub verdicts: Verdicts,
    /// The Secrets that gave a certificate, as they were when they were good.
    pub good: BTreeMap<Key, GoodSecret>,
    /// Which namespace holds what from now on; nothing without ownership.
    pub held: Arc<Holdings>,
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
/// - A host belongs to one namespace, with all its paths, what no path matches, and the names below its wildcard: to those that
///   an annotation of theirs names, else to the one that holds it since earlier, else to that of the oldest object that claims
///   it. So does a first segment on hosts that no rule names. Claims of others are left out.
/// - What is over a bound is left out, the newest claims first; over that of its namespace, it keeps nothing from others.
/// - Of those who claim the same host and path the oldest has it; of one second, the first by kind (Services before
///   Ingresses), namespace and name.
/// - A certificate goes to hosts on which its object has a rule, and from a wildcard to the hosts below it of the same
///   namespace. Of several, a host gets one that is for it before another, then the oldest object's.
/// - All rules of a host with a certificate that is for it redirect to HTTPS unless their object says
///   `sparrow/ssl-redirect: "false"`, whichever object the certificate came with. No certificate is for every host, so rules
///   without a host redirect only if their object says `"true"`.
pub fn build(snapshot: &Snapshot, settings: &BuildSettings) -> Built {
    let mut attached = attach::attach(snapshot, settings);
    let mut asked = claim::claims(snapshot, settings, &mut attached);
    let owned = settings.ownership == Ownership::Namespace;
    let (listed, told) = if owned { Listed::read(snapshot) } else { <_>::default() };
    let mut held = Arc::default();
    let records: Vec<_> = std::iter::once(&snapshot.held).chain(&settings.held).filter(|_| owned).cloned().collect();
    let mut aside = attach::aside(snapshot, settings);
    let mut asked_aside = claim::claims(snapshot, settings, &mut aside);
    if owned {
        // What is over the bounds of a namespace claims nothing: else it would be kept from others and served to nobody.
        let bounds = settings.bounds.of_namespaces();
        bounds::apply(&bounds, &records, &mut asked, &mut attached);
        bounds::apply(&bounds, &records, &mut asked_aside, &mut aside);
        owners::settle(&listed, &records, &mut asked, &mut attached, (&asked_aside, &aside));
    }
    bounds::apply(&settings.bounds, &records, &mut asked, &mut attached);
    if owned {
        held = Arc::new(owners::holdings(&records, &asked, &attached, (&asked_aside, &aside)));
    }
    let mut certificates = tls::certificates(snapshot, settings, &mut asked.tls, &mut attached);
    let good = std::mem::take(&mut certificates.good);
    let mut routes = merge::merge(asked, certificates, &settings.bounds.certificates, &mut attached);
    solver::inherit(&mut routes, &settings.bounds.rules, &mut attached, |rule, host| {
        !owned || host.rules.iter().all(|own| own.origin.key.namespace == rule.origin.key.namespace)
    });
    listed.close(&mut routes, owned);
    routes.listeners.clone_from(&settings.listeners);
    let used: HashSet<_> = routes.rules().map(|rule| rule.policy).collect();
    routes.policies.retain(|id| used.contains(&id));
    let mut verdicts = attach::verdicts(attached, snapshot, settings);
    verdicts.extend(told);
    Built { routes, verdicts, good, held }
}
