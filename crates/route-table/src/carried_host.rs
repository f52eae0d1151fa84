//! What of a host goes into the table, and how its rules are written.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use entry_model::{
    Action as ModelAction, Affinity, Balancing, CertificateId, Destination, FixedAnswer, Host, HostName, Key, Match,
    ObjectRef, PathMatch, PathRewrite, Pattern, Policies, Policy, PolicyId, Rule as ModelRule, RuleList, ValueMatch,
};
use pattern_engine::compile;

use crate::backend::Backend;
use crate::bytes::ByteWriter;
use crate::certificate::is_id;
use crate::host_entry::{HostEntry, HostFacts, TlsClass};
use crate::key::{MOST_PATH_BYTES, Path, depth, depth_bit};
use crate::layout::{MOST_ORDER_BYTES, MOST_RULES_BYTES};
use crate::not_carried::{NotCarried, NotCarriedReason};
use crate::path_rules::{Action, Class, Conditions, EndpointChoice, Rule, Share, ShareCookie, Target};
use crate::pattern_order::PatternOrder;

/// Who decides of which class something is. Each decides by what it is given, and always the same.
#[derive(Debug, Clone, Copy)]
pub struct Classifier {
    /// Which locations of the frame requests need that are treated by a policy.
    pub of_policy: fn(&Policy) -> Class,
    /// Which a text needs, with the headers of a policy.
    pub of_text: fn(&FixedAnswer, &Policy) -> Class,
    /// What is asked of the clients of a host over TLS.
    pub of_tls: fn(&HostName, &Host, &Policies) -> TlsClass,
}

impl Default for Classifier {
    /// All are of one class.
    fn default() -> Self {
        Self {
            of_policy: |_| Class::default(),
            of_text: |_, _| Class::default(),
            of_tls: |_, _, _| TlsClass::default(),
        }
    }
}

/// What rules refer to by number or id, and who decides their classes.
pub struct RuleContext<'a> {
    pub policies: &'a Policies,
    classifier: Classifier,
    /// The policy that was looked at last, and its class: most rules are treated as the one before them.
    last_class: Cell<Option<(PolicyId, Class)>>,
}

/// What the table carries of a host.
#[derive(Clone, Copy)]
pub struct CarriedHost<'a> {
    pub host: &'a Host,
    /// Whether its rules are in the table.
    pub is_carried: bool,
    /// What is asked of its clients over TLS.
    pub tls_class: TlsClass,
}

/// What keeps a host out of the table.
#[derive(Debug, Clone, Copy)]
pub struct Obstacle<'a> {
    pub path: &'a str,
    pub origin: &'a ObjectRef,
    pub reason: NotCarriedReason,
}

impl<'a> Obstacle<'a> {
    pub fn rule(rule: &'a ModelRule, reason: NotCarriedReason) -> Self {
        Self { path: rule.matches.path.text(), origin: &rule.origin, reason }
    }

    /// What is told of it.
    pub fn to_not_carried(self, host: Option<&HostName>) -> NotCarried {
        let Self { path, origin, reason } = self;
        NotCarried { host: host.cloned(), path: path.to_owned(), origin: origin.clone(), reason }
    }
}

/// A path as a key has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathRef<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Pattern(&'a str),
}

impl<'a> PathRef<'a> {
    pub fn of(path: &'a PathMatch) -> Self {
        match path {
            PathMatch::Exact(path) => Self::Exact(path),
            PathMatch::Prefix(path) => Self::Prefix(path.trim_end_matches('/')),
            PathMatch::Regex(pattern) => Self::Pattern(pattern.text()),
        }
    }

    pub fn text(self) -> &'a str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Pattern(text) => text,
        }
    }

    pub fn to_path(self) -> Path {
        match self {
            Self::Exact(text) => Path::Exact(text.into()),
            Self::Prefix(text) => Path::Prefix(text.into()),
            Self::Pattern(text) => Path::Pattern(text.into()),
        }
    }

    /// Why it has no key. A pattern that is within the bounds has one.
    fn refused(self) -> Option<NotCarriedReason> {
        let text = self.text();
        if matches!(self, Self::Prefix("") | Self::Pattern(_)) {
            None
        } else if !text.starts_with('/') {
            Some(NotCarriedReason::NoPath)
        } else if text.len() > MOST_PATH_BYTES {
            Some(NotCarriedReason::LongPath)
        } else {
            None
        }
    }
}

/// All patterns of a rule.
fn patterns(rule: &ModelRule) -> impl Iterator<Item = &Pattern> {
    let Match { path, method: _, headers, cookies, query } = &rule.matches;
    let of_path = match path {
        PathMatch::Regex(pattern) => Some(pattern),
        PathMatch::Exact(_) | PathMatch::Prefix(_) => None,
    };
    let headers = headers.iter().map(|header| &header.value);
    let cookies = cookies.iter().map(|cookie| &cookie.value);
    let values = headers.chain(cookies).chain(query.iter().map(|parameter| &parameter.value));
    let of_values = values.filter_map(|value| match value {
        ValueMatch::Regex(pattern) => Some(pattern),
        ValueMatch::Exact(_) => None,
    });
    let of_rewrite = match rewrite_of(rule) {
        Some(PathRewrite::Regex { pattern, .. }) => Some(pattern),
        _ => None,
    };
    of_path.into_iter().chain(of_values).chain(of_rewrite)
}

/// The cookie of sessions of which all requests get the same of a rule's shares.
fn share_cookie(rule: &ModelRule, balancing: &Balancing) -> Option<ShareCookie> {
    let (ModelAction::Forward(forward), Balancing::Session(cookie)) = (&rule.action, balancing) else { return None };
    let has_several = forward.backends.iter().filter(|share| share.weight > 0).count() > 1;
    (has_several && !cookie.changes_share).then(|| ShareCookie {
        name: cookie.name.as_str().into(),
        names_endpoint: cookie.affinity != Affinity::Balanced,
    })
}

/// Whether a rule is for a pattern of paths.
pub fn is_of_pattern(rule: &ModelRule) -> bool {
    matches!(rule.matches.path, PathMatch::Regex(_))
}

/// What becomes of the path of a rule's requests.
fn rewrite_of(rule: &ModelRule) -> Option<&PathRewrite> {
    match &rule.action {
        ModelAction::Forward(forward) => Some(&forward.path),
        ModelAction::Redirect(redirect) => Some(&redirect.path),
        ModelAction::Respond(_) | ModelAction::Answer(_) => None,
    }
}

/// Whether the order of these rules' patterns does not fit into a blob.
fn is_order_long(rules: &RuleList) -> bool {
    PatternOrder::encode(rules.iter()).is_none_or(|order| order.len() > MOST_ORDER_BYTES)
}

/// More than all that is of fixed size in a rule, in a condition, in a share with its backend's name, and in a part of a URL.
const RULE_BYTES: usize = 128;
const CONDITION_BYTES: usize = 8;
const SHARE_BYTES: usize = 128;
const PART_BYTES: usize = 8;

/// At least as many bytes as a rule takes.
fn most_bytes(rule: &ModelRule) -> usize {
    let Match { path: _, method, headers, cookies, query } = &rule.matches;
    let headers = headers.iter().map(|header| (&header.name, &header.value));
    let cookies = cookies.iter().map(|cookie| (&cookie.name, &cookie.value));
    let parameters = query.iter().map(|parameter| (&parameter.name, &parameter.value));
    let conditions =
        headers.chain(cookies).chain(parameters).map(|(name, value)| CONDITION_BYTES + name.len() + value.text().len());
    let rewrite = match rewrite_of(rule) {
        Some(PathRewrite::ReplacePrefix(text) | PathRewrite::ReplaceFull(text)) => text.len(),
        Some(PathRewrite::ReplaceTarget(target)) => target.to_string().len() + PART_BYTES * target.0.len(),
        Some(PathRewrite::Regex { pattern, template }) => pattern.text().len() + template.len(),
        Some(PathRewrite::Keep | PathRewrite::StripPrefix) | None => 0,
    };
    let action = match &rule.action {
        ModelAction::Forward(forward) => SHARE_BYTES * forward.backends.len(),
        ModelAction::Redirect(redirect) => redirect.host.as_ref().map_or(0, String::len),
        ModelAction::Answer(answer) => answer.content_type().len() + answer.written_text().len(),
        ModelAction::Respond(_) => 0,
    };
    let Key { namespace, name } = &*rule.origin.key;
    let method = method.as_ref().map_or(0, String::len);
    RULE_BYTES + method + conditions.sum::<usize>() + action + rewrite + namespace.len() + name.len()
}

/// Rules by their paths, in their order.
pub type RulesByPath<'a> = BTreeMap<PathRef<'a>, Vec<&'a ModelRule>>;

/// No rule.
pub static NO_RULES: RuleList = RuleList::new();

/// All of a host's rules that have a path of some of them.
pub fn rules_of_paths<'a>(rules: &'a RuleList, some: impl IntoIterator<Item = &'a &'a ModelRule>) -> RulesByPath<'a> {
    let (mut by_path, mut of_patterns) = (RulesByPath::new(), RulesByPath::new());
    for rule in some {
        let path = &rule.matches.path;
        let known = if is_of_pattern(rule) { &mut of_patterns } else { &mut by_path };
        // There may be very many others, which are not looked at.
        let is_of_path = |other: &&ModelRule| PathRef::of(&other.matches.path) == PathRef::of(path);
        let of_path =
            || if is_of_pattern(rule) { Vec::new() } else { rules.at_place_of(path).filter(is_of_path).collect() };
        known.entry(PathRef::of(path)).or_insert_with(of_path);
    }
    // Patterns of the same text stand where each object's own puts them: one look at all rules finds them.
    let others = if of_patterns.is_empty() { &NO_RULES } else { rules };
    for rule in others.iter().filter(|rule| is_of_pattern(rule)) {
        if let Some(of_path) = of_patterns.get_mut(&PathRef::of(&rule.matches.path)) {
            of_path.push(rule);
        }
    }
    by_path.append(&mut of_patterns);
    by_path
}

/// The path by which the table finds a rule, or why it does not carry it.
pub fn path_of(rule: &ModelRule) -> Result<PathRef<'_>, NotCarriedReason> {
    let path = PathRef::of(&rule.matches.path);
    // Whoever wrote it may have another engine, and readers take none that is not theirs.
    let is_bad = patterns(rule).any(|pattern| compile(pattern.text()).is_err());
    path.refused().or(is_bad.then_some(NotCarriedReason::BadPattern)).map_or(Ok(path), Err)
}

/// What keeps a host out of the table, of which it is known that none but some of its rules do. `by_path` has all rules of
/// their paths.
pub fn obstacles<'a>(host: &'a Host, suspects: &[&'a ModelRule], by_path: &RulesByPath<'a>) -> Vec<Obstacle<'a>> {
    let refused = |rule: &&'a ModelRule| Some(Obstacle::rule(rule, path_of(rule).err()?));
    let is_long =
        |rules: &&Vec<&ModelRule>| rules.iter().map(|rule| most_bytes(rule)).sum::<usize>() > MOST_RULES_BYTES;
    let long = by_path.values().filter(is_long).flatten();
    let long = long.map(|rule| Obstacle::rule(rule, NotCarriedReason::LongRules));
    let of_order = || host.rules.iter().find(|rule| is_of_pattern(rule)).filter(|_| is_order_long(&host.rules));
    let order = suspects.iter().any(|rule| is_of_pattern(rule)).then(of_order).flatten();
    let order = order.map(|rule| Obstacle::rule(rule, NotCarriedReason::LongPatternOrder));
    suspects.iter().filter_map(refused).chain(long).chain(order).collect()
}

/// As [`path_of`], of the default, which has no other rules beside it.
pub fn default_path(rule: &ModelRule) -> Result<PathRef<'_>, NotCarriedReason> {
    let is_long = most_bytes(rule) > MOST_RULES_BYTES;
    path_of(rule).and_then(|path| if is_long { Err(NotCarriedReason::LongRules) } else { Ok(path) })
}

impl<'a> RuleContext<'a> {
    /// With nothing looked at yet.
    pub fn new(policies: &'a Policies, classifier: Classifier) -> Self {
        Self { policies, classifier, last_class: Cell::default() }
    }

    fn class(&self, rule: &ModelRule) -> Class {
        let policy = &self.policies[rule.policy];
        if let ModelAction::Answer(answer) = &rule.action {
            return (self.classifier.of_text)(answer, policy);
        }
        let last = self.last_class.get().filter(|(id, _)| *id == rule.policy);
        let (_, class) = last.unwrap_or_else(|| (rule.policy, (self.classifier.of_policy)(policy)));
        self.last_class.set(Some((rule.policy, class)));
        class
    }

    /// What is asked of the clients of a host over TLS.
    pub fn tls_class(&self, name: &HostName, host: &Host) -> TlsClass {
        (self.classifier.of_tls)(name, host, self.policies)
    }

    /// What is done with the requests of a rule.
    fn action(rule: &ModelRule) -> Action {
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
            ModelAction::Answer(answer) => Action::Answer(answer.clone()),
        }
    }

    fn rule(&self, rule: &ModelRule) -> Rule {
        let (matches, policy) = (&rule.matches, &self.policies[rule.policy]);
        let pair = |name: &str, value: &ValueMatch| (name.into(), value.clone());
        Rule {
            listeners: rule.listeners,
            conditions: Conditions {
                method: matches.method.as_deref().map(Box::from),
                headers: matches.headers.iter().map(|header| pair(&header.name, &header.value)).collect(),
                cookies: matches.cookies.iter().map(|cookie| pair(&cookie.name, &cookie.value)).collect(),
                query: matches.query.iter().map(|parameter| pair(&parameter.name, &parameter.value)).collect(),
            },
            action: Self::action(rule),
            redirect_to_https: policy.redirect_to_https,
            endpoint_choice: match policy.balancing {
                Balancing::RoundRobin => EndpointChoice::InTurn,
                Balancing::LeastConnections => EndpointChoice::FewestRequests,
                Balancing::Hash(_) | Balancing::HashSubset(..) | Balancing::Session(_) => EndpointChoice::ByKey,
            },
            share_cookie: share_cookie(rule, &policy.balancing),
            class: self.class(rule),
            origin: rule.origin.clone(),
        }
    }

    /// The bytes of the default: its path, then as the rules of a path.
    pub fn encode_default(&self, path: PathRef<'_>, rule: &ModelRule) -> Vec<u8> {
        let mut writer = ByteWriter::default();
        writer.u8(path.to_path().kind());
        writer.text(path.text());
        writer.raw(&self.encode_rules(std::iter::once(rule)));
        writer.into_bytes().unwrap_or_default()
    }

    /// The bytes of rules that the table carries.
    pub fn encode_rules<'r>(&self, rules: impl ExactSizeIterator<Item = &'r ModelRule>) -> Vec<u8> {
        let mut writer = ByteWriter::default();
        writer.len16(rules.len());
        rules.for_each(|rule| self.rule(rule).encode(&mut writer));
        // They are no longer than what a length can say.
        writer.into_bytes().unwrap_or_default()
    }
}

/// What is known of a host that has a rule more.
fn add_rule(facts: HostFacts, rule: &ModelRule) -> HostFacts {
    let path = PathRef::of(&rule.matches.path);
    let longest_path = u16::try_from(path.text().len()).unwrap_or(u16::MAX);
    let of_rule = match path {
        PathRef::Exact(_) => HostFacts { has_exact: true, longest_path, ..HostFacts::default() },
        PathRef::Prefix(prefix) => HostFacts { depths: depth_bit(depth(prefix)), longest_path, ..HostFacts::default() },
        PathRef::Pattern(_) => HostFacts { has_patterns: true, ..HostFacts::default() },
    };
    facts.with(HostFacts { listeners: rule.listeners.bits(), ..of_rule })
}

impl<'a> CarriedHost<'a> {
    /// The rules that go into the table: none of a host that is not carried.
    pub fn rules(self) -> &'a RuleList {
        if self.is_carried { &self.host.rules } else { &NO_RULES }
    }

    /// Whether the same is known of a host, beside its rules, as of another. `went`: the rules that only this one has, `came`: those that
    /// only the other has. Of very many that both have few are looked at, usually.
    pub fn is_known_alike(self, other: Self, went: &[&ModelRule], came: &[&ModelRule]) -> bool {
        let Host { certificate, rules, closed } = self.host;
        let of_rules =
            |rules: &[&ModelRule]| rules.iter().fold(HostFacts::default(), |facts, rule| add_rule(facts, rule));
        let [of_went, of_came] = [went, came].map(of_rules);
        let have_the_rest = || {
            let (mut known, mut own) = (HostFacts::default(), went.iter().peekable());
            let wanted = of_went.with(of_came);
            // Those that only this one has stand among all as here.
            rules.iter().filter(|rule| own.next_if(|own| **own == *rule).is_none()).any(|rule| {
                known = add_rule(known, rule);
                known.with(wanted) == known
            })
        };
        self.is_carried
            && other.is_carried
            && self.tls_class == other.tls_class
            && (certificate, closed, rules.is_empty())
                == (&other.host.certificate, &other.host.closed, other.host.rules.is_empty())
            && (of_went == of_came || have_the_rest())
    }

    /// What the table knows of the host, beside its rules.
    pub fn entry(self) -> HostEntry {
        let host = self.host;
        let of_rules = self.rules().iter().fold(HostFacts::default(), add_rule);
        let facts = HostFacts {
            is_everywhere: host.rules.is_empty(),
            is_closed: host.closed,
            is_carried: self.is_carried,
            listeners: host.rules.iter().fold(0, |bits, rule| bits | rule.listeners.bits()),
            ..of_rules
        };
        let certificate = host.certificate.as_ref().map(|id| Arc::clone(&id.0));
        HostEntry { facts, certificate, tls_class: self.tls_class }
    }

    /// The id of the certificate that the table has for its sake.
    pub fn certificate(self) -> Option<&'a CertificateId> {
        self.host.certificate.as_ref().filter(|id| is_id(&id.0))
    }
}
