//! The rules of a path of a host, tried in their order.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use entry_model::{Key, Kind, ListenerSet, ObjectRef, PathRewrite, Policy, Redirect, Scheme, Timeouts};

use crate::bytes::{Reading, Writing};
use crate::key::Path;
use crate::request::Request;

/// The rules of a path of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRules {
    /// The path.
    pub path: Path,
    /// Tried in this order.
    pub rules: Box<[Rule]>,
}

/// A rule, as [`entry_model::Rule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// At which listeners.
    pub listeners: ListenerSet,
    /// Which requests, beside their path.
    pub conditions: Conditions,
    /// What is done.
    pub action: Action,
    /// How it is done.
    pub policy: Policy,
    /// The location of the frame that does it.
    pub class: Class,
    /// The object that asked for it.
    pub origin: ObjectRef,
}

/// Which location of the frame a request goes through, beside what is spoken to its backend: all rules of a class are treated
/// alike by nginx's own directives (times, sizes). It is a hash of what these say, which whoever plans the table computes from
/// the policy, so that the same policy has the same class in every frame. The location's name has it in hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u64);

/// What a request must have, beside its path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Which method; any without one.
    pub method: Option<Box<str>>,
    /// Which headers, by their names in lower case, with which values.
    pub headers: Box<[(Box<str>, Box<str>)]>,
    /// Which parameters of the query, as they are sent.
    pub query: Box<[(Box<str>, Box<str>)]>,
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is forwarded.
    Forward {
        /// Where to: one of these, by chance.
        shares: Box<[Share]>,
        /// What becomes of the path.
        rewrite: PathRewrite,
    },
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered with this status and no more.
    Respond(u16),
}

/// A share of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Its part, in proportion to the sum of all.
    pub weight: u32,
    /// Where it goes.
    pub target: Target,
}

/// Where a share goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To the backend of this name.
    Backend(Arc<str>),
    /// Nowhere: it is answered with this status.
    Status(u16),
}

impl PathRules {
    /// What was written; none if it is not well-formed.
    pub fn decode(path: Path, bytes: &[u8]) -> Option<Self> {
        let mut reading = Reading(bytes);
        let rules = reading.list(Rule::decode)?;
        reading.end()?;
        Some(Self { path, rules })
    }

    /// The rule that a request with its path gets, which came over TLS or not; none if it gets none of these.
    pub fn find(&self, request: &Request<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.listeners.contains(request.listener) && rule.conditions.are_met(request))
    }
}

impl Conditions {
    /// Whether a request meets them.
    fn are_met(&self, request: &Request<'_>) -> bool {
        let has = |found: Option<Cow<'_, [u8]>>, value: &str| found.is_some_and(|found| *found == *value.as_bytes());
        self.method.as_deref().is_none_or(|method| method.as_bytes() == request.method)
            && self.headers.iter().all(|(name, value)| has(request.headers.get(name), value))
            && self.query.iter().all(|(name, value)| has(request.parameter(name).map(Cow::Borrowed), value))
    }

    fn encode(&self, writing: &mut Writing) {
        let Self { method, headers, query } = self;
        writing.option(method.as_deref(), Writing::text);
        for pairs in [headers, query] {
            writing.len16(pairs.len());
            for (name, value) in pairs {
                writing.text(name);
                writing.text(value);
            }
        }
    }

    fn decode(reading: &mut Reading<'_>) -> Option<Self> {
        let pair = |reading: &mut Reading<'_>| Some((reading.text()?.into(), reading.text()?.into()));
        let method = reading.option(|reading| reading.text().map(Box::from))?;
        Some(Self { method, headers: reading.list(pair)?, query: reading.list(pair)? })
    }
}

impl Rule {
    /// Writes it.
    pub fn encode(&self, writing: &mut Writing) {
        let Self { listeners, conditions, action, policy, class, origin } = self;
        writing.u64(listeners.bits());
        writing.u64(class.0);
        conditions.encode(writing);
        action.encode(writing);
        encode_policy(writing, policy);
        writing.u8(encode_kind(origin.kind));
        writing.text(&origin.key.namespace);
        writing.text(&origin.key.name);
    }

    fn decode(reading: &mut Reading<'_>) -> Option<Self> {
        Some(Self {
            listeners: ListenerSet::from_bits(reading.u64()?),
            class: Class(reading.u64()?),
            conditions: Conditions::decode(reading)?,
            action: Action::decode(reading)?,
            policy: decode_policy(reading)?,
            origin: ObjectRef::new(
                decode_kind(reading.u8()?)?,
                Key { namespace: reading.text()?.to_owned(), name: reading.text()?.to_owned() },
            ),
        })
    }
}

impl Action {
    fn encode(&self, writing: &mut Writing) {
        match self {
            Self::Forward { shares, rewrite } => {
                writing.u8(1);
                writing.len16(shares.len());
                for share in shares {
                    share.encode(writing);
                }
                encode_rewrite(writing, rewrite);
            }
            Self::Redirect(redirect) => {
                let Redirect { status, scheme, host, port, path } = redirect;
                writing.u8(2);
                writing.u16(*status);
                writing.option(*scheme, |writing, scheme| writing.bool(scheme == Scheme::Https));
                writing.option(host.as_deref(), Writing::text);
                writing.option(*port, Writing::u16);
                encode_rewrite(writing, path);
            }
            Self::Respond(status) => {
                writing.u8(3);
                writing.u16(*status);
            }
        }
    }

    fn decode(reading: &mut Reading<'_>) -> Option<Self> {
        match reading.u8()? {
            1 => Some(Self::Forward { shares: reading.list(Share::decode)?, rewrite: decode_rewrite(reading)? }),
            2 => Some(Self::Redirect(Redirect {
                status: reading.u16()?,
                scheme: reading.option(Reading::bool)?.map(|https| if https { Scheme::Https } else { Scheme::Http }),
                host: reading.option(|reading| reading.text().map(str::to_owned))?,
                port: reading.option(Reading::u16)?,
                path: decode_rewrite(reading)?,
            })),
            3 => reading.u16().map(Self::Respond),
            _ => None,
        }
    }
}

impl Share {
    fn encode(&self, writing: &mut Writing) {
        writing.u32(self.weight);
        match &self.target {
            Target::Backend(name) => {
                writing.u8(1);
                writing.text(name);
            }
            Target::Status(status) => {
                writing.u8(2);
                writing.u16(*status);
            }
        }
    }

    fn decode(reading: &mut Reading<'_>) -> Option<Self> {
        let weight = reading.u32()?;
        let target = match reading.u8()? {
            1 => Target::Backend(reading.text()?.into()),
            2 => Target::Status(reading.u16()?),
            _ => return None,
        };
        Some(Self { weight, target })
    }

    /// The share that a request gets, by a number that is as likely to be any as any other, as
    /// [`entry_model::Forward::destination`] has it. None without any weight.
    pub fn choose(shares: &[Self], chance: u64) -> Option<&Self> {
        let all: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
        let point = u64::try_from((u128::from(chance) * u128::from(all)) >> 64).unwrap_or(u64::MAX);
        let mut end = 0;
        shares.iter().find(|share| {
            end += u64::from(share.weight);
            point < end
        })
    }
}

/// Writes what becomes of a path. The planner has taken out what has a pattern.
fn encode_rewrite(writing: &mut Writing, rewrite: &PathRewrite) {
    match rewrite {
        PathRewrite::Keep | PathRewrite::Regex { .. } => writing.u8(1),
        PathRewrite::StripPrefix => writing.u8(2),
        PathRewrite::ReplacePrefix(replacement) => {
            writing.u8(3);
            writing.text(replacement);
        }
        PathRewrite::ReplaceFull(replacement) => {
            writing.u8(4);
            writing.text(replacement);
        }
    }
}

fn decode_rewrite(reading: &mut Reading<'_>) -> Option<PathRewrite> {
    match reading.u8()? {
        1 => Some(PathRewrite::Keep),
        2 => Some(PathRewrite::StripPrefix),
        3 => Some(PathRewrite::ReplacePrefix(reading.text()?.to_owned())),
        4 => Some(PathRewrite::ReplaceFull(reading.text()?.to_owned())),
        _ => None,
    }
}

fn encode_policy(writing: &mut Writing, policy: &Policy) {
    let Policy { timeouts: Timeouts { connect, read, send }, max_body_bytes, redirect_to_https } = policy;
    for time in [connect, read, send] {
        writing.option(*time, |writing, time| {
            writing.u64(time.as_secs());
            writing.u32(time.subsec_nanos());
        });
    }
    writing.option(*max_body_bytes, Writing::u64);
    writing.bool(*redirect_to_https);
}

fn decode_policy(reading: &mut Reading<'_>) -> Option<Policy> {
    let time = |reading: &mut Reading<'_>| {
        reading.option(|reading| {
            let (seconds, nanoseconds) = (reading.u64()?, reading.u32()?);
            (nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))
        })
    };
    Some(Policy {
        timeouts: Timeouts { connect: time(reading)?, read: time(reading)?, send: time(reading)? },
        max_body_bytes: reading.option(Reading::u64)?,
        redirect_to_https: reading.bool()?,
    })
}

fn encode_kind(kind: Kind) -> u8 {
    match kind {
        Kind::Service => 1,
        Kind::Ingress => 2,
        Kind::IngressClass => 3,
        Kind::Secret => 4,
        Kind::Node => 5,
        Kind::Namespace => 6,
        Kind::Manifest => 7,
    }
}

fn decode_kind(kind: u8) -> Option<Kind> {
    Kind::ALL.iter().copied().chain([Kind::Manifest]).find(|known| encode_kind(*known) == kind)
}
