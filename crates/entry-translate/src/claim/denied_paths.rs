//! Paths that nobody may ask for, or that are answered without a backend, at each host of an object.
//!
//! ```text
//! host: paths, of this object and of others ─► the longer first; of the same, what is denied
//! host: with a pattern                      ─► what is denied comes before all else (`merge`)
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use entry_model::{Action, HostName, Match, PathMatch, Reason};

use super::{Claim, Claims};
use crate::claim_site::ClaimSite;
use crate::path::into_prefix;
use crate::policy::annotations::Annotations;
use crate::policy::client_redirects::AnsweredPath;
use crate::verdict_draft::{VerdictDraft, quoted};

/// The snippet in which locations stand.
const SNIPPET: ClaimSite = ClaimSite::Annotation("nginx.ingress.kubernetes.io/server-snippet");

/// Adds a rule for each of them to each host that the object has rules for. What they cannot be put before is answered 503. `shares`: whether
/// namespaces share hosts without a name, by first segments.
pub fn add_denied_paths(asked: &mut Claims, annotations: &Annotations<'_>, shares: bool, draft: &mut VerdictDraft) {
    if annotations.answered_paths.is_empty() {
        return;
    }
    close_what_cannot_be_denied(asked, draft);
    if annotations.answered_paths.iter().any(|answered| is_expression(&answered.path)) {
        close_without_host(asked, draft);
    }
    if shares {
        close_shared_root(asked, annotations, draft);
    }
    report_own(asked, annotations, draft);
    let mut seen: BTreeSet<HostName> = BTreeSet::new();
    // Of some hosts nothing of the object can be served; what others serve there is denied all the same.
    let held = asked.held_hosts.iter().map(|host| (host, annotations.https_redirect, SNIPPET));
    let hosts = asked.rules.iter().map(|rule| (&rule.host, rule.redirect, rule.site)).chain(held);
    let hosts: Vec<_> = hosts.filter(|(host, ..)| seen.insert((*host).clone())).collect();
    let mut denied = Vec::new();
    for (host, redirect, site) in hosts {
        let of_host = annotations.answered_paths.iter();
        let of_host = of_host.filter(|answered| *host != HostName::Any || !is_expression(&answered.path));
        for AnsweredPath { path, action, policy } in of_host {
            let is_shared = shares && *host == HostName::Any;
            denied.extend(paths_of(path, is_shared, asked).into_iter().map(|path| {
                let (matches, policy) = (Match::path(path), Arc::clone(policy));
                let claim = Claim::new(host.clone(), matches, action.clone(), policy, redirect, site);
                Claim { denies: true, ..claim }
            }));
        }
    }
    // Where there is no room for all rules, the first are served.
    asked.rules.splice(0..0, denied);
}

/// Gives hosts of which nothing of the object can be served a rule that says what is done with all requests for them, if that is said: else hosts
/// without a name, or of a wildcard, would get these. Whatever is served at such a host by others has it done, too.
pub fn keep_actions_of_held_hosts(asked: &mut Claims, annotations: &Annotations<'_>) {
    let is_without_rule = |host: &&HostName| !asked.rules.iter().any(|rule| rule.host == **host);
    let held = asked.held_hosts.iter().filter(is_without_rule);
    let claims = held.filter_map(|host| {
        let (action, policy) = (asked.action_for(host)?, Arc::default());
        let claim = Claim::new(host.clone(), Match::any(), action, policy, annotations.https_redirect, SNIPPET);
        Some(Claim { weak: true, ..claim })
    });
    let claims: Vec<_> = claims.collect();
    asked.rules.extend(claims);
}

/// The paths of the rules that deny one.
fn paths_of(path: &PathMatch, is_shared: bool, asked: &Claims) -> Vec<PathMatch> {
    let PathMatch::Regex(pattern) = path else { return vec![path.clone()] };
    if is_expression(path) {
        return vec![path.clone()];
    }
    let text = pattern.written();
    // nginx takes it first, whatever is denied.
    let exact = PathMatch::Exact(text.to_owned());
    let exact = Some(exact).filter(|exact| asked.rules.iter().any(|rule| rule.matches.path == *exact));
    let of_segment = is_shared.then(|| PathMatch::Prefix(into_prefix(text.to_owned())));
    let beginning = (!is_shared || has_whole_segment(text)).then(|| path.clone());
    [beginning, of_segment, exact].into_iter().flatten().collect()
}

/// Whether a path is a regular expression that a snippet has, and not all that begins like a path.
fn is_expression(path: &PathMatch) -> bool {
    matches!(path, PathMatch::Regex(pattern) if pattern.is_first())
}

/// Whether all that begins so has the same first segment.
fn has_whole_segment(text: &str) -> bool {
    text[1..].contains('/')
}

/// Has nobody get what would be served in front of a path that is denied.
fn close_what_cannot_be_denied(asked: &mut Claims, draft: &mut VerdictDraft) {
    if let Some(default) = &mut asked.default {
        default.action = Action::UNAVAILABLE;
        let message = "A snippet of this Ingress denies paths, which cannot be denied to a default backend of all hosts, so its requests are \
                       answered 503; write a rule with the path `/` instead";
        draft.report_loss(&default.site, Reason::Unsupported, message.to_owned());
    }
    let is_pattern = |rule: &&mut Claim| matches!(rule.matches.path, PathMatch::Regex(_));
    for rule in asked.rules.iter_mut().filter(|rule| rule.host == HostName::Any).filter(is_pattern) {
        rule.action = Action::UNAVAILABLE;
        let message = "A snippet of this Ingress denies paths, which cannot be denied in front of a pattern without a host, so its requests \
                       are answered 503; name a host, or write a path";
        draft.report_loss(&rule.site, Reason::Unsupported, message.to_owned());
    }
}

/// The same of rules without a host, where an expression would stand before what others have.
fn close_without_host(asked: &mut Claims, draft: &mut VerdictDraft) {
    for rule in asked.rules.iter_mut().filter(|rule| rule.host == HostName::Any) {
        rule.action = Action::UNAVAILABLE;
        let message = "A snippet of this Ingress denies paths by a regular expression, which cannot be done on hosts that no rule names, so its \
                       requests are answered 503; name a host";
        draft.report_loss(&rule.site, Reason::Unsupported, message.to_owned());
    }
}

/// The same of the root of hosts without a name, where what begins like a path may be of another segment.
fn close_shared_root(asked: &mut Claims, annotations: &Annotations<'_>, draft: &mut VerdictDraft) {
    let part = annotations.answered_paths.iter().find_map(|answered| match &answered.path {
        PathMatch::Regex(pattern) if !has_whole_segment(pattern.written()) => Some(pattern.written()),
        _ => None,
    });
    let Some(part) = part else { return };
    let root = Match::any();
    for rule in asked.rules.iter_mut().filter(|rule| rule.host == HostName::Any && rule.matches == root) {
        rule.action = Action::UNAVAILABLE;
        let message = format!(
            "A snippet of this Ingress denies all that begins with {}, which cannot be denied on hosts that no rule names, since others may \
             have a part of it; so requests for this path are answered 503; name a host, or end the denied path with `/`",
            quoted(part)
        );
        draft.report_loss(&rule.site, Reason::Unsupported, message);
    }
}

/// Says which paths of the object itself are denied.
fn report_own(asked: &Claims, annotations: &Annotations<'_>, draft: &mut VerdictDraft) {
    let is_denied =
        |path: &PathMatch| annotations.answered_paths.iter().any(|answered| is_same_path(&answered.path, path));
    let mut told = BTreeSet::new();
    for rule in asked.rules.iter().filter(|rule| is_denied(&rule.matches.path)) {
        if told.insert(rule.site) {
            let message = format!(
                "The path {} is answered by a location of a snippet of this Ingress, which stays in force; remove one of them",
                quoted(rule.matches.path.text())
            );
            draft.report_loss(&rule.site, Reason::Conflicted, message);
        }
    }
}

/// Whether nothing is left of the path of a rule.
fn is_same_path(denied: &PathMatch, path: &PathMatch) -> bool {
    match (denied, path) {
        (_, PathMatch::Regex(_)) | (PathMatch::Exact(_), PathMatch::Prefix(_)) => false,
        (PathMatch::Exact(denied), PathMatch::Exact(path)) => denied == path,
        (_, PathMatch::Exact(path) | PathMatch::Prefix(path)) => {
            into_prefix(denied.text().to_owned()) == into_prefix(path.clone())
        }
    }
}
