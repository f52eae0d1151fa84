//! Routes, requests, and an engine for patterns.

use std::net::SocketAddr;
use std::sync::Arc;

use entry_model::{
    Action, Backend, Forward, Key, Kind, ListenerSet, Match, ObjectRef, PathRewrite, Pattern, PatternEngine, PolicyId,
    Protocol, Rule,
};

/// The engine of the crate `regex`, which takes time that is linear in the text.
#[derive(Debug)]
struct Engine(regex::bytes::Regex);

impl PatternEngine for Engine {
    fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    fn replace(&self, text: &[u8], template: &str) -> Vec<u8> {
        // Its names of groups may have letters, so that `$1x` would be one.
        let template = regex::Regex::new(r"\$(\d+)").expect("a pattern").replace_all(template, "$${$1}");
        self.0.replace(text, template.as_bytes()).into_owned()
    }
}

pub fn pattern(text: &str) -> Pattern {
    Pattern::new(text, Arc::new(Engine(regex::bytes::Regex::new(text).expect("a pattern"))))
}

pub fn object(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Ingress, Key { namespace: "shop".to_owned(), name: name.to_owned() })
}

/// A backend at this port.
pub fn backend(port: u16) -> Backend {
    Backend { address: SocketAddr::from(([10, 0, 0, 1], port)).into(), protocol: Protocol::Http, keep_alive: true }
}

/// A rule of an object, by whose name tests know it.
pub fn rule(name: &str, matches: Match) -> Rule {
    Rule {
        listeners: ListenerSet::ALL,
        matches,
        action: Action::Forward(Forward::to(backend(80), PathRewrite::Keep)),
        policy: PolicyId(0),
        origin: object(name),
    }
}
