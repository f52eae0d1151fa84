//! What keeps closed what an object closed that takes part in nothing any more: nginx rejects it though only its paths were left of it, or it
//! cannot be read. Its paths cannot be written for nginx, so what would get their requests is answered 503.

use std::collections::HashMap;

use entry_model::{HostName, PathMatch, Reason};

use crate::attach::{AttachedObject, namespace_of};
use crate::attached_claims::{AttachedClaim, AttachedClaims};
use crate::verdict_draft::object_name;

/// Paths for which not everybody may ask, of objects that take part in nothing.
#[derive(Debug, Default)]
pub struct LeftOutPaths<'c>(Vec<LeftOutPath<'c>>);

/// The same, by the hosts at which requests for them come out.
#[derive(Debug, Default)]
pub struct LeftOutPathsByHost<'c>(HashMap<HostName, Vec<&'c LeftOutPath<'c>>>);

#[derive(Debug)]
struct LeftOutPath<'c> {
    host: &'c HostName,
    path: &'c PathMatch,
    namespace: String,
    /// The object, for a message.
    object: String,
}

impl<'c> LeftOutPaths<'c> {
    /// Those of these claims.
    pub fn new(claims: &AttachedClaims<'c>, attached: &[AttachedObject<'_>]) -> Self {
        let closed = claims.rules.iter().filter(|rule| rule.claim.is_closed());
        let path = |AttachedClaim { claim, owner, .. }: &AttachedClaim<'c>| LeftOutPath {
            host: &claim.host,
            path: &claim.matches.path,
            namespace: namespace_of(attached, *owner).to_owned(),
            object: object_name(&attached[owner.1].object),
        };
        Self(closed.map(path).collect())
    }

    /// By host: of one that nobody has, the wildcard above it, or all hosts.
    pub fn by_host(&self, is_there: impl Fn(&HostName) -> bool) -> LeftOutPathsByHost<'_> {
        let mut paths = LeftOutPathsByHost::default();
        for path in &self.0 {
            let serving = [Some(path.host.clone()), path.host.wildcard_above()].into_iter().flatten();
            let host = serving.into_iter().find(|host| is_there(host)).unwrap_or(HostName::Any);
            paths.0.entry(host).or_default().push(path);
        }
        paths
    }
}

impl LeftOutPathsByHost<'_> {
    /// Which rules of a host would get requests for them, though everybody may ask: those of the same namespace, since no other can close
    /// what a namespace has. Their owners are told.
    pub fn closed_rules(
        &self,
        host: &HostName,
        won: &[AttachedClaim<'_>],
        attached: &mut [AttachedObject<'_>],
    ) -> Vec<usize> {
        let mut closed = Vec::new();
        for left_out in self.0.get(host).into_iter().flatten() {
            let is_own = |rule: &AttachedClaim<'_>| namespace_of(attached, rule.owner) == left_out.namespace;
            let open = won.iter().enumerate().filter(|(_, rule)| is_own(rule) && !rule.claim.is_closed());
            let next: Vec<usize> = match left_out.path {
                PathMatch::Regex(_) => open.map(|(index, _)| index).collect(),
                PathMatch::Exact(path) | PathMatch::Prefix(path) => {
                    let first = won.iter().position(|rule| rule.claim.matches.path.matches(path));
                    open.map(|(index, _)| index).filter(|index| Some(*index) == first).collect()
                }
            };
            for index in next.into_iter().filter(|index| !closed.contains(index)).collect::<Vec<_>>() {
                closed.push(index);
                let message = format!(
                    "{} takes part in nothing, and this path would get requests for what not everybody may ask for there, so its requests are \
                     answered 503 until that object is corrected or removed",
                    left_out.object
                );
                attached[won[index].owner.1].draft.report_loss(&won[index].claim.site, Reason::Conflicted, message);
            }
        }
        closed.sort_unstable();
        closed
    }
}
