//! What routes can say and this configuration cannot: it is reported, and never left out in silence.

use std::fmt;

use entry_model::{Action, ListenerSet, PathMatch, PathRewrite, Routes, Rule};

use crate::Note;

/// What of a rule or a host cannot be written as locations of nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inexpressible {
    /// A rule for some of the listeners.
    Listeners,
    /// A host of which any number of labels is left open.
    Suffix,
    /// A pattern for paths.
    PathPattern,
    /// Only some methods.
    Method,
    /// Only requests with some headers.
    Headers,
    /// Only requests with some parameters.
    Query,
    /// Several backends, or a share of requests that has none.
    Weights,
    /// A path that is replaced by another.
    Rewrite,
    /// Clients that are sent elsewhere, but from HTTP to HTTPS.
    Redirect,
    /// An answer with this status.
    Status(u16),
}

impl fmt::Display for Inexpressible {
    /// What it is, and that it is not served.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Listeners => "a rule for some of the listeners",
            Self::Suffix => "a host for any number of labels",
            Self::PathPattern => "a pattern for paths",
            Self::Method => "a rule for one method",
            Self::Headers => "a rule for some headers",
            Self::Query => "a rule for some parameters of the query",
            Self::Weights => "a rule with several backends",
            Self::Rewrite => "a path that is replaced",
            Self::Redirect => "a redirect of a rule",
            Self::Status(status) => return write!(f, "an answer with the status {status} is not served by this entry"),
        };
        write!(f, "{what} is not served by this entry")
    }
}

/// What of a rule cannot be written.
pub fn of_rule(rule: &Rule) -> Option<Inexpressible> {
    of_match(rule).or_else(|| of_action(&rule.action))
}

/// What of the requests that a rule is for cannot be told apart.
fn of_match(rule: &Rule) -> Option<Inexpressible> {
    let matches = &rule.matches;
    if rule.listeners != ListenerSet::ALL {
        Some(Inexpressible::Listeners)
    } else if matches!(matches.path, PathMatch::Regex(_)) {
        Some(Inexpressible::PathPattern)
    } else if matches.method.is_some() {
        Some(Inexpressible::Method)
    } else if !matches.headers.is_empty() {
        Some(Inexpressible::Headers)
    } else if !matches.query.is_empty() {
        Some(Inexpressible::Query)
    } else {
        None
    }
}

fn of_action(action: &Action) -> Option<Inexpressible> {
    match action {
        Action::Forward(forward) => match forward.path {
            _ if forward.only_backend().is_none() => Some(Inexpressible::Weights),
            PathRewrite::Keep | PathRewrite::StripPrefix => None,
            PathRewrite::ReplacePrefix(_) | PathRewrite::ReplaceFull(_) | PathRewrite::Regex { .. } => {
                Some(Inexpressible::Rewrite)
            }
        },
        Action::Redirect(_) => Some(Inexpressible::Redirect),
        Action::Respond(503) => None,
        Action::Respond(status) => Some(Inexpressible::Status(*status)),
    }
}

/// What cannot be written of all rules. Where there is a path, it is answered 503: else a shorter one, which may be somebody
/// else's, would get its requests.
pub fn notes(routes: &Routes) -> Vec<Note> {
    let note = |rule: &Rule| {
        let what = of_rule(rule)?;
        let path: String = rule.matches.path.text().chars().take(100).collect();
        let answer = match rule.matches.path {
            PathMatch::Regex(_) => "the rule does not stand",
            PathMatch::Exact(_) | PathMatch::Prefix(_) => "all requests for it are answered 503",
        };
        Some(Note { object: rule.origin.clone(), message: format!("the path {path:?}: {what}; {answer}") })
    };
    routes.rules().filter_map(note).collect()
}
