//! What of rules a template of the operator's can be told: it knows paths, prefixes that are taken off, and one backend for each.

use entry_model::{Action, Backend, Forward, ListenerSet, PathMatch, PathRewrite, Routes, Rule};

use crate::RenderNote;

/// How and where a rule forwards all requests for its path, if a template can be told so.
pub fn forward_of(rule: &Rule) -> Option<(&Forward, &Backend)> {
    match &rule.action {
        Action::Forward(forward) if obstacle(rule).is_none() => Some((forward, forward.only_backend()?)),
        _ => None,
    }
}

/// What is told of rules that a template is not told of: templates write what they like for their paths.
pub fn notes(routes: &Routes) -> Vec<RenderNote> {
    let note = |rule: &Rule| {
        let what = obstacle(rule)?;
        let path: String = rule.matches.path.text().chars().take(100).collect();
        let message = format!("the path {path:?}: a template does not get {what}; the rule is left out");
        Some(RenderNote { object: rule.origin.clone(), message })
    };
    routes.rules().filter_map(note).collect()
}

/// Why a template is not told of a rule.
fn obstacle(rule: &Rule) -> Option<&'static str> {
    if rule.listeners != ListenerSet::ALL {
        return Some("a rule for some of the listeners");
    }
    if matches!(rule.matches.path, PathMatch::Regex(_)) {
        return Some("a rule for a pattern of paths");
    }
    if !rule.matches.is_path_only() {
        return Some("a rule for some requests only");
    }
    match &rule.action {
        Action::Forward(forward) if !matches!(forward.path, PathRewrite::Keep | PathRewrite::StripPrefix) => {
            Some("a rule that asks for another path")
        }
        Action::Forward(forward) => forward.only_backend().is_none().then_some("a rule with several backends"),
        Action::Redirect(_) => Some("a rule that redirects"),
        // There is nothing behind it.
        Action::Respond(503) => None,
        Action::Respond(_) | Action::Answer(_) => Some("a rule that answers by itself"),
    }
}
