//! What routes can say and this configuration cannot: it is reported, and never left out in silence.

use std::fmt;

use entry_model::{
    Action, Forward, ListenerSet, Match, PathMatch, PathRewrite, Redirect, Routes, Rule, UrlPart, UrlText, UrlVariable,
};
use pattern_engine::BoundedPattern;

use crate::RenderNote;
use crate::condition::{Condition, conditions};
use crate::token::{is_host_name, is_url_target};

/// Longest path that replaces another, in bytes: encoded, and with what stands around it, it must fit into a token.
const MAX_REPLACEMENT_BYTES: usize = 1024;

/// The statuses with which nginx names another place.
const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// Whether nginx can answer so and do no more: 444 closes the connection, and with some of the others it names another place.
pub fn can_respond(status: u16) -> bool {
    (200..600).contains(&status) && status != 444 && !REDIRECT_STATUSES.contains(&status)
}

/// What of a rule or a host cannot be written as locations of nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inexpressible {
    /// A rule for some of the listeners.
    Listeners,
    /// A host of which any number of labels is left open.
    Suffix,
    /// A pattern for paths that is out of the bounds.
    PathPattern,
    /// Only requests with a method that is too long.
    Method,
    /// Only requests with some headers, of which one has a pattern that is out of the bounds, or a name that nginx does not know.
    Headers,
    /// Only requests with some cookies, of which one has a pattern, or a name or value that no cookie has.
    Cookies,
    /// Only requests with some parameters, of which one has a pattern, or a name or value that no parameter has.
    Query,
    /// A path that is replaced by what is no path, or by a pattern that is out of the bounds.
    Rewrite,
    /// Clients that are sent to what is no host, or with another status.
    Redirect,
    /// Only some requests for a path, or several backends; of templates only.
    Choice,
    /// An answer with this status.
    Status(u16),
}

impl fmt::Display for Inexpressible {
    /// What it is, and that it is not served.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Listeners => "a rule for some of the listeners",
            Self::Suffix => "a host for any number of labels",
            Self::PathPattern => "such a pattern for paths",
            Self::Method => "a rule for a method of this length",
            Self::Headers => "a rule for a header of this name or value",
            Self::Cookies => "a rule for a cookie of this name or value",
            Self::Query => "a rule for a parameter of the query of this name or value",
            Self::Rewrite => "a path that is replaced by such a one",
            Self::Redirect => "such a redirect",
            Self::Choice => "in a template, a rule for some requests only, or with several backends,",
            Self::Status(status) => return write!(f, "an answer with the status {status} is not served by this entry"),
        };
        write!(f, "{what} is not served by this entry")
    }
}

/// What of a rule cannot be written. Every field is named here, so that a new one does not compile until it is said what becomes of it.
pub fn of_rule(rule: &Rule) -> Option<Inexpressible> {
    let Rule { listeners, matches, action, policy: _, origin: _ } = rule;
    if *listeners != ListenerSet::ALL {
        return Some(Inexpressible::Listeners);
    }
    of_match(matches).or_else(|| of_action(action))
}

/// What of a rule a template does not get: it knows paths and prefixes that are taken off, and nothing else.
pub fn of_template_rule(rule: &Rule) -> Option<Inexpressible> {
    let of_action = || match &rule.action {
        Action::Forward(forward) if matches!(forward.path, PathRewrite::Keep | PathRewrite::StripPrefix) => None,
        Action::Forward(_) => Some(Inexpressible::Rewrite),
        Action::Redirect(_) => Some(Inexpressible::Redirect),
        Action::Respond(503) => None,
        Action::Respond(status) => Some(Inexpressible::Status(*status)),
        Action::Answer(answer) => Some(Inexpressible::Status(answer.status())),
    };
    let of_choice = || is_branching(rule).then_some(Inexpressible::Choice);
    match rule.matches.path {
        PathMatch::Regex(_) => Some(Inexpressible::PathPattern),
        PathMatch::Exact(_) | PathMatch::Prefix(_) => of_rule(rule).or_else(of_action).or_else(of_choice),
    }
}

/// What of the requests that a rule is for cannot be told apart.
fn of_match(matches: &Match) -> Option<Inexpressible> {
    if matches!(&matches.path, PathMatch::Regex(pattern) if BoundedPattern::parse(pattern.text()).is_err()) {
        return Some(Inexpressible::PathPattern);
    }
    let conditions = conditions(matches);
    let wrong = conditions.iter().find(|condition| !condition.is_expressible())?;
    Some(match wrong {
        Condition::Method(_) => Inexpressible::Method,
        Condition::Header(_) => Inexpressible::Headers,
        Condition::Cookie(_) => Inexpressible::Cookies,
        Condition::Parameter(_) => Inexpressible::Query,
    })
}

fn of_action(action: &Action) -> Option<Inexpressible> {
    match action {
        Action::Forward(Forward { path: PathRewrite::ReplaceTarget(target), .. }) if target.has_variables() => {
            Some(Inexpressible::Rewrite)
        }
        Action::Forward(forward) => of_rewrite(&forward.path),
        Action::Redirect(Redirect { status, scheme: _, host, port: _, path }) => {
            let is_host = host.as_deref().is_none_or(is_host_name) && REDIRECT_STATUSES.contains(status);
            if is_host { of_rewrite(path) } else { Some(Inexpressible::Redirect) }
        }
        Action::Respond(status) => (!can_respond(*status)).then_some(Inexpressible::Status(*status)),
        Action::Answer(answer) => {
            let status = answer.status();
            (!can_respond(status)).then_some(Inexpressible::Status(status))
        }
    }
}

/// What of a path that becomes another cannot be written.
fn of_rewrite(rewrite: &PathRewrite) -> Option<Inexpressible> {
    let is_path = |path: &str| path.starts_with('/') && path.len() <= MAX_REPLACEMENT_BYTES;
    let is_written = match rewrite {
        PathRewrite::Keep | PathRewrite::StripPrefix => true,
        PathRewrite::ReplacePrefix(path) | PathRewrite::ReplaceFull(path) => is_path(path),
        PathRewrite::ReplaceTarget(target) => is_target(target),
        PathRewrite::Regex { pattern, template } => {
            template.len() <= MAX_REPLACEMENT_BYTES && BoundedPattern::parse(pattern.text()).is_ok()
        }
    };
    (!is_written).then_some(Inexpressible::Rewrite)
}

/// Whether it begins with a `/`, is not too long, and has no characters but those of a URL.
fn is_target(target: &UrlText) -> bool {
    let begins = match target.0.first() {
        Some(UrlPart::Text(text)) => text.starts_with('/'),
        Some(UrlPart::Variable(variable)) => matches!(variable, UrlVariable::Target | UrlVariable::Path),
        None => false,
    };
    let is_written = |part: &UrlPart| match part {
        UrlPart::Text(text) => is_url_target(text),
        UrlPart::Variable(_) => true,
    };
    begins && target.to_string().len() <= MAX_REPLACEMENT_BYTES && target.0.iter().all(is_written)
}

/// What cannot be written of all rules. Where there is a path, it is answered 503: else a shorter one, which may be somebody
/// else's, would get its requests. Templates write what they like for a rule that they do not get.
pub fn notes(routes: &Routes, of_rule: fn(&Rule) -> Option<Inexpressible>) -> Vec<RenderNote> {
    let note = |rule: &Rule| {
        let what = of_rule(rule)?;
        let path: String = rule.matches.path.text().chars().take(100).collect();
        let answer = match rule.matches.path {
            PathMatch::Regex(_) => "the rule does not stand",
            PathMatch::Exact(_) | PathMatch::Prefix(_) => "all requests for it are answered 503",
        };
        Some(RenderNote { object: rule.origin.clone(), message: format!("the path {path:?}: {what}; {answer}") })
    };
    routes.rules().filter_map(note).collect()
}

/// Whether a rule asks for more than a location of its path can say: some requests only, or several backends.
pub fn is_branching(rule: &Rule) -> bool {
    let is_shared = match &rule.action {
        Action::Forward(forward) => forward.only_backend().is_none(),
        Action::Redirect(_) | Action::Respond(_) | Action::Answer(_) => false,
    };
    of_rule(rule).is_none() && (is_shared || !rule.matches.is_path_only())
}

/// Whether no rule behind it gets requests for its path. One that cannot be written is answered 503, whatever the requests have.
pub fn is_final(rule: &Rule) -> bool {
    rule.matches.is_path_only() || of_rule(rule).is_some()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use entry_model::{
        Access, Backend, BasicAuth, CookieMatch, Forward, HeaderMatch, Host, HostName, Key, Kind, Listener, ListenerId,
        Match, ObjectRef, PasswordFile, Pattern, PatternEngine, Policies, Policy, PolicyId, Protocol, QueryParamMatch,
        Redirect, ValueMatch,
    };

    use super::*;
    use crate::shape::check;
    use crate::{Settings, render};

    #[derive(Debug)]
    struct Never;

    impl PatternEngine for Never {
        fn is_match(&self, _: &[u8]) -> bool {
            false
        }

        fn replace(&self, text: &[u8], _: &str) -> Vec<u8> {
            text.to_owned()
        }
    }

    fn forward(path: PathRewrite) -> Forward {
        let backend = Backend {
            address: SocketAddr::from(([10, 0, 0, 1], 80)).into(),
            protocol: Protocol::Http,
            keep_alive: true,
        };
        Forward::to(backend, path)
    }

    fn rule() -> Rule {
        Rule {
            listeners: ListenerSet::ALL,
            matches: Match::path(PathMatch::Prefix("/a".to_owned())),
            action: Action::Forward(forward(PathRewrite::Keep)),
            policy: PolicyId(0),
            origin: ObjectRef::new(Kind::Ingress, Key { namespace: "shop".to_owned(), name: "web".to_owned() }),
        }
    }

    /// All that a rule can ask for and this configuration does not have.
    fn rules() -> Vec<(Inexpressible, Rule)> {
        let exact = |text: &str| ValueMatch::Exact(text.to_owned());
        let pattern = || Pattern::new("^/(a+)+", Arc::new(Never));
        let matching = |matches: Match| Rule { matches: Match { path: rule().matches.path, ..matches }, ..rule() };
        let doing = |action: Action| Rule { action, ..rule() };
        let header = |name: &str, value| {
            let header = HeaderMatch { name: name.to_owned(), value };
            (Inexpressible::Headers, matching(Match { headers: vec![header], ..Match::any() }))
        };
        let cookie = |name: &str, value| {
            let cookie = CookieMatch { name: name.to_owned(), value };
            (Inexpressible::Cookies, matching(Match { cookies: vec![cookie], ..Match::any() }))
        };
        let parameter = |name: &str, value| {
            let parameter = QueryParamMatch { name: name.to_owned(), value };
            (Inexpressible::Query, matching(Match { query: vec![parameter], ..Match::any() }))
        };
        let redirect = |status, host: &str| {
            let host = Some(host.to_owned());
            Action::Redirect(Redirect { status, scheme: None, host, port: None, path: PathRewrite::Keep })
        };
        let rewriting = |path| doing(Action::Forward(forward(path)));
        let template = "/x".to_owned();
        vec![
            (Inexpressible::Listeners, Rule { listeners: ListenerSet::from_iter([ListenerId(0)]), ..rule() }),
            (Inexpressible::PathPattern, Rule { matches: Match::path(PathMatch::Regex(pattern())), ..rule() }),
            (Inexpressible::Method, matching(Match { method: Some("X".repeat(701)), ..Match::any() })),
            header("x", ValueMatch::Regex(pattern())),
            header("x", exact("")),
            header("x_y", exact("1")),
            header("x.y", exact("1")),
            header("X", exact("1")),
            header("", exact("1")),
            header(&"x".repeat(300), exact(&"1".repeat(101))),
            cookie("x", ValueMatch::Regex(pattern())),
            cookie("", exact("1")),
            cookie("x;y", exact("1")),
            cookie("x", exact("1;y")),
            parameter("x", ValueMatch::Regex(pattern())),
            parameter("", exact("1")),
            parameter("x=", exact("1")),
            parameter("x&y", exact("1")),
            parameter("x", exact("1&y")),
            (Inexpressible::Rewrite, rewriting(PathRewrite::ReplacePrefix("x".to_owned()))),
            (Inexpressible::Rewrite, rewriting(PathRewrite::ReplaceFull(String::new()))),
            (Inexpressible::Rewrite, rewriting(PathRewrite::ReplaceTarget(UrlText::from_text("/a b")))),
            (Inexpressible::Rewrite, rewriting(PathRewrite::Regex { pattern: pattern(), template })),
            (Inexpressible::Redirect, doing(redirect(301, "a b"))),
            (Inexpressible::Redirect, doing(redirect(300, "a"))),
            (Inexpressible::Status(444), doing(Action::Respond(444))),
            (Inexpressible::Status(301), doing(Action::Respond(301))),
            (Inexpressible::Status(100), doing(Action::Respond(100))),
        ]
    }

    fn routes(name: HostName, rule: Rule) -> Routes {
        let host = Host { rules: vec![rule], ..Host::default() };
        let listeners = Listener::built_in(&[([127, 0, 0, 1], 80).into()], &[]);
        Routes { listeners, hosts: [(name, Arc::new(host))].into(), ..Routes::default() }
    }

    #[test]
    fn rule_that_cannot_be_written_is_reported_and_answered_503() {
        for (expected, rule) in rules() {
            assert_eq!(of_rule(&rule), Some(expected), "{rule:?}");
            let is_pattern = matches!(rule.matches.path, PathMatch::Regex(_));
            let routes = routes(HostName::Any, rule);
            let revision = render(&routes, &Settings::default());
            check(&routes, &revision);
            let [note] = &revision.notes[..] else { panic!("{expected}: {:?}", revision.notes) };
            assert!(note.message.contains(&expected.to_string()), "{note:?}");
            let text = std::str::from_utf8(&revision.files["nginx.conf"]).unwrap();
            assert_eq!(text.contains("return 503 $sparrow_503;"), !is_pattern, "{expected}: {text}");
            assert!(!text.contains("proxy_pass"), "{expected}: {text}");
        }
        assert_eq!(of_rule(&rule()), None);
        assert_eq!(of_rule(&Rule { action: Action::UNAVAILABLE, ..rule() }), None);
    }

    #[test]
    fn rule_that_nginx_cannot_be_told_keeps_its_path_from_shorter_ones() {
        // A variable cannot be written, and what does not ask for a password must not get the requests instead.
        let passwords = Arc::new(PasswordFile("user:hash".to_owned()));
        let basic_auth = Some(BasicAuth { realm: "$realm".to_owned(), passwords });
        let access = Access { basic_auth, ..Access::default() };
        for rewrite in [PathRewrite::Keep, PathRewrite::StripPrefix, PathRewrite::ReplaceFull("/x".to_owned())] {
            let mut policies = Policies::default();
            let open = Rule { policy: policies.intern(&Policy::default()), ..rule() };
            let open = Rule { matches: Match::path(PathMatch::Prefix("/".to_owned())), ..open };
            let policy = policies.intern(&Policy { access: access.clone(), ..Policy::default() });
            let closed = Rule { policy, action: Action::Forward(forward(rewrite.clone())), ..rule() };
            let host = Host { rules: vec![closed, open], ..Host::default() };
            let listeners = Listener::built_in(&[([127, 0, 0, 1], 80).into()], &[]);
            let hosts = [(HostName::Exact("a.example".to_owned()), Arc::new(host))].into();
            let routes = Routes { listeners, hosts, policies, ..Routes::default() };
            let revision = render(&routes, &Settings::default());
            check(&routes, &revision);
            let [note] = &revision.notes[..] else { panic!("{:?}", revision.notes) };
            assert!(note.message.contains("answered 503"), "{note:?}");
            let text = std::str::from_utf8(&revision.files["nginx.conf"]).unwrap();
            for location in ["location = \"/a\" {", "location ^~ \"/a/\" {"] {
                let (_, block) = text.split_once(location).expect(location);
                let (block, _) = block.split_once("\n        }\n").unwrap();
                assert!(block.contains("return 503 $sparrow_503;") && !block.contains("proxy_pass"), "{block}");
            }
        }
    }

    #[test]
    fn host_of_any_number_of_labels_is_reported() {
        let routes = routes(HostName::Suffix("example.com".to_owned()), rule());
        let revision = render(&routes, &Settings::default());
        check(&routes, &revision);
        let [note] = &revision.notes[..] else { panic!("{:?}", revision.notes) };
        assert!(note.message.contains(&Inexpressible::Suffix.to_string()), "{note:?}");
    }
}
