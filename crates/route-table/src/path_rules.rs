//! The rules of a path of a host, tried in their order.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use entry_model::{
    FixedAnswer, Key, Kind, ListenerSet, ObjectRef, PathRewrite, Pattern, Redirect, Scheme, UrlPart, UrlText,
    UrlVariable, ValueMatch, number_of_session, session_of_cookie,
};
use pattern_engine::CompiledPatterns;
use smallvec::SmallVec;

use crate::bytes::{ByteReader, ByteWriter};
use crate::fault::Fault;
use crate::key::Path;
use crate::match_work::MatchWork;
use crate::origin_name::origin_name;
use crate::request::Request;

/// The rules of a path of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRules {
    /// The path.
    pub path: Path,
    /// The pattern, if the path is one.
    pub pattern: Option<Pattern>,
    /// Tried in this order. Of most paths there is one, and a request looks for it in one place.
    pub rules: SmallVec<[Rule; 1]>,
    /// What the object of each is called.
    pub origins: SmallVec<[Box<str>; 1]>,
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
    /// Whether a request over plain HTTP is sent to HTTPS instead.
    pub redirect_to_https: bool,
    /// Which of its backend's endpoints a request gets.
    pub endpoint_choice: EndpointChoice,
    /// The cookie of sessions of which all requests get the same share; without one each request gets any.
    pub share_cookie: Option<ShareCookie>,
    /// The location of the frame that does it, as all else of the policy asks for; [`Class::default`] for a fixed text that needs none.
    pub class: Class,
    /// The object that asked for it.
    pub origin: ObjectRef,
}

/// Which location of the frame a request goes through, beside what is spoken to its backend: all rules of a class are treated
/// alike by nginx's own directives (times, sizes). It is a hash of what these say, which whoever plans the table computes from
/// the policy, so that the same policy has the same class in every frame. The location's name has it in 32
/// hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u128);

impl Class {
    /// Adds its 32 digits to a text: for each request, so without a formatter.
    pub fn push_digits(self, text: &mut String) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 32];
        for (two, byte) in digits.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            two.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
        }
        text.push_str(str::from_utf8(&digits).unwrap_or_default());
    }
}

/// Which of its backend's endpoints a request gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EndpointChoice {
    /// The next one in turn.
    #[default]
    InTurn,
    /// The one that has the fewest requests.
    FewestRequests,
    /// The one that a key of the request leads to. What the key is, the location of the frame says.
    ByKey,
}

/// The cookie of sessions of which all requests get the same share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareCookie {
    /// Its name.
    pub name: Box<str>,
    /// Whether it names an endpoint beside the session.
    pub names_endpoint: bool,
}

/// What a request must have, beside its path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Which method; any without one.
    pub method: Option<Box<str>>,
    /// Which headers, by their names in lower case, with which values.
    pub headers: Box<[(Box<str>, ValueMatch)]>,
    /// Which cookies, with which values.
    pub cookies: Box<[(Box<str>, ValueMatch)]>,
    /// Which parameters of the query, as they are sent.
    pub query: Box<[(Box<str>, ValueMatch)]>,
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is forwarded.
    Forward {
        /// Where to: one of these, by chance.
        shares: SmallVec<[Share; 1]>,
        /// What becomes of the path.
        rewrite: PathRewrite,
    },
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered with this status and no more.
    Respond(u16),
    /// It is answered with a text.
    Answer(FixedAnswer),
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
    pub fn decode(path: Path, bytes: &[u8], patterns: &mut CompiledPatterns) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let pattern = match &path {
            Path::Pattern(text) => Some(patterns.get(text).ok()?),
            Path::Exact(_) | Path::Prefix(_) => None,
        };
        let rules: SmallVec<[Rule; 1]> = reader.list(|reader| Rule::decode(reader, patterns))?;
        reader.end()?;
        let origins = rules.iter().map(|rule| origin_name(&rule.origin).into()).collect();
        Some(Self { path, pattern, rules, origins })
    }

    /// Whether they are for a path.
    pub(crate) fn match_path(&self, path: &[u8], work: &mut MatchWork) -> Result<bool, Fault> {
        match (&self.path, &self.pattern) {
            (_, Some(pattern)) => work.is_match(pattern, path),
            (Path::Exact(text) | Path::Pattern(text), None) => Ok(path == text.as_bytes()),
            (Path::Prefix(prefix), None) => {
                let rest = path.strip_prefix(prefix.as_bytes());
                Ok(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")))
            }
        }
    }

    /// The rule that a request with their path gets, which came over TLS or not; none if it gets none of these.
    pub(crate) fn find(&self, request: &Request<'_>, work: &mut MatchWork) -> Result<Option<usize>, Fault> {
        self.find_among(0..self.rules.len(), request, work)
    }

    /// The same, of some of them.
    pub(crate) fn find_among(
        &self,
        some: Range<usize>,
        request: &Request<'_>,
        work: &mut MatchWork,
    ) -> Result<Option<usize>, Fault> {
        for index in some {
            if let Some(rule) = self.rules.get(index)
                && rule.listeners.contains(request.listener)
                && rule.conditions.are_met(request, work)?
            {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

impl Conditions {
    /// Whether a request meets them.
    fn are_met(&self, request: &Request<'_>, work: &mut MatchWork) -> Result<bool, Fault> {
        if self.method.as_deref().is_some_and(|method| method.as_bytes() != request.method) {
            return Ok(false);
        }
        let mut has = |found: Option<Cow<'_, [u8]>>, wanted: &ValueMatch| match (found, wanted) {
            (None, _) => Ok(false),
            (Some(found), ValueMatch::Exact(wanted)) => Ok(*found == *wanted.as_bytes()),
            (Some(found), ValueMatch::Regex(pattern)) => work.is_match(pattern, &found),
        };
        for (name, wanted) in &self.headers {
            if !has(request.headers.get(name), wanted)? {
                return Ok(false);
            }
        }
        for (name, wanted) in &self.cookies {
            if !has(request.headers.cookie(name).map(Cow::Borrowed), wanted)? {
                return Ok(false);
            }
        }
        for (name, wanted) in &self.query {
            if !has(request.parameter(name).map(Cow::Borrowed), wanted)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn encode(&self, writer: &mut ByteWriter) {
        let Self { method, headers, cookies, query } = self;
        writer.option(method.as_deref(), ByteWriter::text);
        for pairs in [headers, cookies, query] {
            writer.len16(pairs.len());
            for (name, value) in pairs {
                writer.text(name);
                writer.bool(matches!(value, ValueMatch::Regex(_)));
                writer.text(value.text());
            }
        }
    }

    fn decode(reader: &mut ByteReader<'_>, patterns: &mut CompiledPatterns) -> Option<Self> {
        let mut pair = |reader: &mut ByteReader<'_>| {
            let (name, is_pattern, text) = (reader.text()?.into(), reader.bool()?, reader.text()?);
            let value = if is_pattern {
                ValueMatch::Regex(patterns.get(text).ok()?)
            } else {
                ValueMatch::Exact(text.to_owned())
            };
            Some((name, value))
        };
        let method = reader.option(|reader| reader.text().map(Box::from))?;
        let (headers, cookies) = (reader.list(&mut pair)?, reader.list(&mut pair)?);
        Some(Self { method, headers, cookies, query: reader.list(pair)? })
    }
}

impl Rule {
    /// Writes it.
    pub fn encode(&self, writer: &mut ByteWriter) {
        let Self { listeners, conditions, action, redirect_to_https, endpoint_choice, share_cookie, class, origin } =
            self;
        writer.u64(listeners.bits());
        writer.u128(class.0);
        conditions.encode(writer);
        action.encode(writer);
        writer.bool(*redirect_to_https);
        writer.u8(endpoint_choice.encode());
        writer.option(share_cookie.as_ref(), |writer, cookie| {
            writer.text(&cookie.name);
            writer.bool(cookie.names_endpoint);
        });
        writer.u8(encode_kind(origin.kind));
        writer.text(&origin.key.namespace);
        writer.text(&origin.key.name);
    }

    fn decode(reader: &mut ByteReader<'_>, patterns: &mut CompiledPatterns) -> Option<Self> {
        Some(Self {
            listeners: ListenerSet::from_bits(reader.u64()?),
            class: Class(reader.u128()?),
            conditions: Conditions::decode(reader, patterns)?,
            action: Action::decode(reader, patterns)?,
            redirect_to_https: reader.bool()?,
            endpoint_choice: EndpointChoice::decode(reader.u8()?)?,
            share_cookie: reader
                .option(|reader| Some(ShareCookie { name: reader.text()?.into(), names_endpoint: reader.bool()? }))?,
            origin: ObjectRef::new(
                decode_kind(reader.u8()?)?,
                Key { namespace: reader.text()?.to_owned(), name: reader.text()?.to_owned() },
            ),
        })
    }
}

impl Rule {
    /// The number by which the share of a request is chosen.
    pub(crate) fn share_number(&self, request: &Request<'_>) -> u64 {
        self.share_cookie.as_ref().and_then(|cookie| cookie.number(request)).unwrap_or(request.chance)
    }
}

impl ShareCookie {
    /// The number by which a share is chosen for the session of a request; none if it has none.
    pub(crate) fn number(&self, request: &Request<'_>) -> Option<u64> {
        let value = request.headers.cookie(&self.name)?;
        session_of_cookie(value, self.names_endpoint).map(number_of_session)
    }
}

impl EndpointChoice {
    fn encode(self) -> u8 {
        match self {
            Self::InTurn => 0,
            Self::FewestRequests => 1,
            Self::ByKey => 2,
        }
    }

    fn decode(choice: u8) -> Option<Self> {
        [Self::InTurn, Self::FewestRequests, Self::ByKey].into_iter().find(|known| known.encode() == choice)
    }
}

impl Action {
    fn encode(&self, writer: &mut ByteWriter) {
        match self {
            Self::Forward { shares, rewrite } => {
                writer.u8(1);
                writer.len16(shares.len());
                for share in shares {
                    share.encode(writer);
                }
                encode_rewrite(writer, rewrite);
            }
            Self::Redirect(redirect) => {
                let Redirect { status, scheme, host, port, path } = redirect;
                writer.u8(2);
                writer.u16(*status);
                writer.option(*scheme, |writer, scheme| writer.bool(scheme == Scheme::Https));
                writer.option(host.as_deref(), ByteWriter::text);
                writer.option(*port, ByteWriter::u16);
                encode_rewrite(writer, path);
            }
            Self::Respond(status) => {
                writer.u8(3);
                writer.u16(*status);
            }
            Self::Answer(answer) => {
                writer.u8(4);
                writer.u16(answer.status());
                writer.text(answer.content_type());
                writer.text(&answer.written_text());
            }
        }
    }

    fn decode(reader: &mut ByteReader<'_>, patterns: &mut CompiledPatterns) -> Option<Self> {
        match reader.u8()? {
            1 => {
                Some(Self::Forward { shares: reader.list(Share::decode)?, rewrite: decode_rewrite(reader, patterns)? })
            }
            2 => Some(Self::Redirect(Redirect {
                status: reader.u16()?,
                scheme: reader.option(ByteReader::bool)?.map(|https| if https { Scheme::Https } else { Scheme::Http }),
                host: reader.option(|reader| reader.text().map(str::to_owned))?,
                port: reader.option(ByteReader::u16)?,
                path: decode_rewrite(reader, patterns)?,
            })),
            3 => reader.u16().map(Self::Respond),
            4 => FixedAnswer::new(reader.u16()?, Some(reader.text()?), reader.text()?).map(Self::Answer),
            _ => None,
        }
    }
}

impl Share {
    fn encode(&self, writer: &mut ByteWriter) {
        writer.u32(self.weight);
        match &self.target {
            Target::Backend(name) => {
                writer.u8(1);
                writer.text(name);
            }
            Target::Status(status) => {
                writer.u8(2);
                writer.u16(*status);
            }
        }
    }

    fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let weight = reader.u32()?;
        let target = match reader.u8()? {
            1 => Target::Backend(reader.text()?.into()),
            2 => Target::Status(reader.u16()?),
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

fn encode_rewrite(writer: &mut ByteWriter, rewrite: &PathRewrite) {
    match rewrite {
        PathRewrite::Keep => writer.u8(1),
        PathRewrite::StripPrefix => writer.u8(2),
        PathRewrite::ReplacePrefix(replacement) => {
            writer.u8(3);
            writer.text(replacement);
        }
        PathRewrite::ReplaceFull(replacement) => {
            writer.u8(4);
            writer.text(replacement);
        }
        PathRewrite::ReplaceTarget(target) => {
            writer.u8(5);
            writer.len16(target.0.len());
            for part in &target.0 {
                match part {
                    UrlPart::Text(text) => {
                        writer.u8(0);
                        writer.text(text);
                    }
                    UrlPart::Variable(variable) => writer.u8(encode_variable(*variable)),
                }
            }
        }
        PathRewrite::Regex { pattern, template } => {
            writer.u8(6);
            writer.text(pattern.text());
            writer.text(template);
        }
    }
}

fn decode_rewrite(reader: &mut ByteReader<'_>, patterns: &mut CompiledPatterns) -> Option<PathRewrite> {
    match reader.u8()? {
        1 => Some(PathRewrite::Keep),
        2 => Some(PathRewrite::StripPrefix),
        3 => Some(PathRewrite::ReplacePrefix(reader.text()?.to_owned())),
        4 => Some(PathRewrite::ReplaceFull(reader.text()?.to_owned())),
        5 => Some(PathRewrite::ReplaceTarget(UrlText(reader.list(decode_url_part)?))),
        6 => Some(PathRewrite::Regex {
            pattern: patterns.get(reader.text()?).ok()?,
            template: reader.text()?.to_owned(),
        }),
        _ => None,
    }
}

fn decode_url_part(reader: &mut ByteReader<'_>) -> Option<UrlPart> {
    let code = reader.u8()?;
    if code == 0 {
        return Some(UrlPart::Text(reader.text()?.to_owned()));
    }
    let mut known = UrlVariable::NAMES.into_iter().map(|(_, variable)| variable);
    known.find(|variable| encode_variable(*variable) == code).map(UrlPart::Variable)
}

fn encode_variable(variable: UrlVariable) -> u8 {
    match variable {
        UrlVariable::Host => 1,
        UrlVariable::HostAndPort => 2,
        UrlVariable::Scheme => 3,
        UrlVariable::Method => 4,
        UrlVariable::Target => 5,
        UrlVariable::EscapedTarget => 6,
        UrlVariable::Path => 7,
        UrlVariable::QuestionMark => 8,
        UrlVariable::Query => 9,
    }
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
        Kind::EndpointSlice => 8,
        Kind::ConfigMap => 9,
    }
}

fn decode_kind(kind: u8) -> Option<Kind> {
    Kind::ALL.iter().copied().chain([Kind::Manifest]).find(|known| encode_kind(*known) == kind)
}
