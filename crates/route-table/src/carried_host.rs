//! What of a host goes into the table, and how its rules are written.

use std::sync::Arc;

use entry_model::{
    Action as ModelAction, Destination, Host, HostName, ListenerSet, ObjectRef, PathMatch, PathRewrite, Policies,
    Policy, Rule as ModelRule, ValueMatch,
};

use crate::backend::Backend;
use crate::bytes::Writing;
use crate::host_entry::{HostEntry, HostFacts};
use crate::key::{MOST_HOST_BYTES, MOST_PATH_BYTES, MOST_PATH_DEPTH, Path, depth, host_parts};
use crate::layout::MOST_BLOB_BYTES;
use crate::not_carried::NotCarriedReason;
use crate::path_rules::{Action, Class, Conditions, Rule, Share, Target};

/// Which class of locations of the frame a rule needs; none if the frame has none for it.
pub type Classify = fn(&ModelRule, &Policy) -> Option<Class>;

/// Routes with what is decided of their rules.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub policies: &'a Policies,
    pub classify: Classify,
}

/// Rules that go into the table, each with its path.
pub type CarriedRules<'a> = Vec<(PathRef<'a>, &'a ModelRule)>;

/// What the table carries of a host.
pub struct CarriedHost<'a> {
    host: &'a Host,
    /// Whether all of it is left to the frame.
    is_in_frame: bool,
    /// The rules that are not carried, or only to say that they are left to the frame.
    pub refused: Vec<(&'a ModelRule, NotCarriedReason)>,
    /// The rules that go into the table: none of a host that is left to the frame.
    pub rules: CarriedRules<'a>,
}

/// A path as a key has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathRef<'a> {
    Exact(&'a str),
    Prefix(&'a str),
}

impl<'a> PathRef<'a> {
    /// None for a pattern.
    pub fn of(path: &'a PathMatch) -> Option<Self> {
        match path {
            PathMatch::Exact(path) => Some(Self::Exact(path)),
            PathMatch::Prefix(path) => Some(Self::Prefix(path.trim_end_matches('/'))),
            PathMatch::Regex(_) => None,
        }
    }

    pub fn text(self) -> &'a str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
        }
    }

    pub fn to_path(self) -> Path {
        match self {
            Self::Exact(text) => Path::Exact(text.into()),
            Self::Prefix(text) => Path::Prefix(text.into()),
        }
    }

    /// Why it has no key.
    fn refused(self) -> Option<NotCarriedReason> {
        let text = self.text();
        let is_root = matches!(self, Self::Prefix(""));
        let is_deep = matches!(self, Self::Prefix(_)) && depth(text) > MOST_PATH_DEPTH;
        if !is_root && !text.starts_with('/') {
            Some(NotCarriedReason::NoPath)
        } else if text.len() > MOST_PATH_BYTES || is_deep {
            Some(NotCarriedReason::LongPath)
        } else {
            None
        }
    }
}

/// Why a rule cannot be found by its path alone and conditions of plain texts.
pub fn refused_match(rule: &ModelRule) -> Option<NotCarriedReason> {
    let is_pattern = |value: &ValueMatch| matches!(value, ValueMatch::Regex(_));
    let matches = &rule.matches;
    let has_pattern = matches.headers.iter().any(|header| is_pattern(&header.value))
        || matches.query.iter().any(|parameter| is_pattern(&parameter.value));
    match PathRef::of(&matches.path) {
        None => Some(NotCarriedReason::PathPattern),
        Some(path) => path.refused().or(has_pattern.then_some(NotCarriedReason::ValuePattern)),
    }
}

impl<'a> Side<'a> {
    /// Why nothing is done by the table with a rule that it finds.
    pub fn refused_action(self, rule: &ModelRule) -> Option<NotCarriedReason> {
        let rewrite = match &rule.action {
            ModelAction::Forward(forward) => Some(&forward.path),
            ModelAction::Redirect(redirect) => Some(&redirect.path),
            ModelAction::Respond(_) => None,
        };
        if matches!(rewrite, Some(PathRewrite::Regex { .. })) {
            Some(NotCarriedReason::RewritePattern)
        } else if self.class(rule).is_none() {
            Some(NotCarriedReason::NoClass)
        } else {
            None
        }
    }

    fn class(self, rule: &ModelRule) -> Option<Class> {
        (self.classify)(rule, &self.policies[rule.policy])
    }

    /// What the table carries of a host.
    pub fn carried_host(self, name: &HostName, host: &'a Host) -> CarriedHost<'a> {
        let mut carried = CarriedHost { host, is_in_frame: false, refused: Vec::new(), rules: Vec::new() };
        if host_parts(name).0.len() > MOST_HOST_BYTES {
            carried.refused.extend(host.rules.iter().map(|rule| (rule, NotCarriedReason::LongHost)));
            return carried;
        }
        for rule in &host.rules {
            let refused = refused_match(rule);
            if let Some(reason) = refused.or_else(|| self.refused_action(rule)) {
                carried.is_in_frame |= reason.is_of_host();
                carried.refused.push((rule, reason));
            }
            let path = PathRef::of(&rule.matches.path).filter(|_| refused.is_none());
            carried.rules.extend(path.map(|path| (path, rule)));
        }
        if carried.is_in_frame {
            carried.rules.clear();
        }
        carried
    }

    /// What is done with the requests of a rule.
    fn action(self, rule: &ModelRule) -> Action {
        if self.refused_action(rule).is_some() {
            return Action::Frame;
        }
        match &rule.action {
            ModelAction::Forward(forward) => {
                let share = |share: &entry_model::WeightedBackend| Share {
                    weight: share.weight,
                    target: match &share.destination {
                        Destination::Backend(backend) => Target::Backend(Backend::name_of(backend).into()),
                        Destination::Status(status) => Target::Status(*status),
                    },
                };
                let shares = forward.backends.iter().map(share).collect();
                Action::Forward { shares, rewrite: forward.path.clone() }
            }
            ModelAction::Redirect(redirect) => Action::Redirect(redirect.clone()),
            ModelAction::Respond(status) => Action::Respond(*status),
        }
    }

    fn rule(self, rule: &ModelRule) -> Rule {
        let matches = &rule.matches;
        let pair = |name: &str, value: &ValueMatch| (name.into(), value.text().into());
        Rule {
            listeners: rule.listeners,
            conditions: Conditions {
                method: matches.method.as_deref().map(Box::from),
                headers: matches.headers.iter().map(|header| pair(&header.name, &header.value)).collect(),
                query: matches.query.iter().map(|parameter| pair(&parameter.name, &parameter.value)).collect(),
            },
            action: self.action(rule),
            policy: self.policies[rule.policy].clone(),
            class: self.class(rule).unwrap_or_default(),
            origin: rule.origin.clone(),
        }
    }

    /// The bytes of rules; none if these are too many.
    pub fn encode_rules<'r>(self, rules: impl ExactSizeIterator<Item = &'r ModelRule>) -> Option<Vec<u8>> {
        let mut writing = Writing::default();
        writing.len16(rules.len());
        rules.for_each(|rule| self.rule(rule).encode(&mut writing));
        // With room for the key.
        writing.into_bytes().filter(|bytes| bytes.len() <= MOST_BLOB_BYTES / 2)
    }
}

/// The bytes of a rule that leaves all requests of its path to the frame.
pub fn encode_frame(rule: &ModelRule) -> Vec<u8> {
    let mut writing = Writing::default();
    writing.len16(1);
    let (conditions, origin) = (Conditions::default(), ObjectRef::new(rule.origin.kind, short(&rule.origin.key)));
    let (policy, class) = (Policy::default(), Class::default());
    Rule { listeners: ListenerSet::ALL, conditions, action: Action::Frame, policy, class, origin }.encode(&mut writing);
    writing.into_bytes().unwrap_or_default()
}

fn short(key: &entry_model::Key) -> entry_model::Key {
    let short = |text: &str| text.chars().take(253).collect();
    entry_model::Key { namespace: short(&key.namespace), name: short(&key.name) }
}

impl CarriedHost<'_> {
    /// What the table knows of the host, beside its rules.
    pub fn entry(&self) -> HostEntry {
        let host = self.host;
        let mut facts = HostFacts {
            is_everywhere: host.rules.is_empty(),
            is_closed: host.closed,
            is_in_frame: self.is_in_frame,
            has_certificate: host.certificate.is_some(),
            listeners: host.rules.iter().fold(0, |bits, rule| bits | rule.listeners.bits()),
            ..HostFacts::default()
        };
        for (path, _) in &self.rules {
            match path {
                PathRef::Exact(_) => facts.has_exact = true,
                PathRef::Prefix(prefix) => facts.depths |= 1 << depth(prefix).min(MOST_PATH_DEPTH),
            }
            facts.longest_path = facts.longest_path.max(u16::try_from(path.text().len()).unwrap_or(u16::MAX));
        }
        HostEntry { facts, certificate: host.certificate.as_ref().map(|id| Arc::clone(&id.0)) }
    }
}
