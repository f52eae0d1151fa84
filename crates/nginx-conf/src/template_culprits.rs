//! Whose values a template cannot take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use entry_model::{Host, ObjectRef, Routes, RuleList, SortedMap};

use crate::TemplateError;

/// The objects that fail also when there are no others, because of a value of theirs, and what is wrong with each.
///
/// Filters of a template change values, so whose a value is cannot be seen on it. It is found by halves: of many objects with
/// one bad one, all together are tried about twice.
pub fn find_culprits(
    routes: &Routes,
    attempt: impl Fn(&Routes) -> Option<TemplateError>,
) -> BTreeMap<ObjectRef, String> {
    let objects: BTreeSet<&ObjectRef> = routes.rules().map(|rule| &rule.origin).collect();
    let objects: Vec<_> = objects.into_iter().collect();
    let mut blamed = BTreeMap::new();
    let mut parts = vec![objects.as_slice()];
    while let Some(part) = parts.pop() {
        let Some(error) = (!part.is_empty()).then(|| attempt(&only(routes, part))).flatten() else { continue };
        match part {
            [object] => {
                if let TemplateError::MisplacedValue { by_value: true, .. } = error {
                    blamed.insert((*object).clone(), error.to_string());
                }
            }
            part => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([first, second]);
            }
        }
    }
    blamed
}

/// What these objects, which are sorted, have of the routes.
fn only(routes: &Routes, objects: &[&ObjectRef]) -> Routes {
    let theirs = |origin: &ObjectRef| objects.binary_search(&origin).is_ok();
    let hosts = routes.hosts.iter().filter_map(|(name, host)| {
        let rules = host.rules.shared().filter(|rule| theirs(&rule.origin));
        let rules: RuleList = rules.cloned().collect();
        (!rules.is_empty()).then(|| (name.clone(), Arc::new(Host { rules, ..Host::clone(host) })))
    });
    let hosts: SortedMap<_, _> = hosts.collect();
    let named = hosts.values().filter_map(|host| host.certificate.as_ref());
    let certificates = named.filter_map(|id| Some((id.clone(), Arc::clone(routes.certificates.get(id)?)))).collect();
    Routes {
        hosts,
        default: routes.default.clone().filter(|rule| theirs(&rule.origin)),
        certificates,
        ..routes.clone()
    }
}
