//! What becomes of a request: [`entry_model::Routes::find`], with what is in memory.
//!
//! ```text
//! host ─► its names, from its own to that of all ─► facts: where it is, which paths it has at all
//! path ─► challenges ─► patterns placed first ─► the exact one ─► prefixes and other patterns, from the longest ─► the default
//! ```

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use entry_model::{ACME_CHALLENGE, FixedAnswer, PathRewrite, Pattern, Redirect, Scheme};
use smallvec::SmallVec;

use crate::backend::Backend;
use crate::cache::{Decoded, HostHandshake};
use crate::fault::Fault;
use crate::host_entry::{HostFacts, TlsClass};
use crate::key::{
    ANY_HOST, BACKEND, EXACT_HOST, EXACT_PATH, HOST, MOST_HOST_BYTES, ONE_LABEL, PATTERN, PATTERN_ORDER, PREFIX, Path,
    SUFFIX, depth_bit,
};
use crate::key_hash::KeyHasher;
use crate::match_work::MatchWork;
use crate::path_rules::{Action, PathRules, Rule, Share, Target};
use crate::pattern_order::{PatternOrder, PatternPlace, PatternRun};
use crate::request::Request;
use crate::root::{label_bit, labels};
use crate::table::Table;

/// Hardly any host has prefixes with more different numbers of slashes: for no more, no memory is allocated.
const FEW_DEPTHS: usize = 4;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The route is followed.
    Route(Route),
    /// It is sent to HTTPS, by this route.
    ToHttps(Route),
    /// 404.
    NotFound,
    /// Over TLS, for a host without certificate: the handshake is rejected.
    NoCertificate,
    /// Over TLS, on a connection that was opened for a host with another certificate, or of whose clients something else is asked (RFC 9110,
    /// 7.4): 421.
    OtherConnection,
}

/// The rule that a request gets, and the backend of its share. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    rules: Arc<PathRules>,
    index: usize,
    share: ChosenShare,
}

/// What a request of a rule that forwards gets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ChosenShare {
    Backend(Arc<Backend>),
    Status(u16),
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// It is forwarded.
    Forward {
        /// Where to.
        backend: &'a Arc<Backend>,
        /// What becomes of its path, of which [`Route::path`] has matched.
        rewrite: &'a PathRewrite,
    },
    /// The client is sent elsewhere.
    Redirect(&'a Redirect),
    /// It is answered with this status and no more.
    Respond(u16),
    /// It is answered with a text.
    Answer(&'a FixedAnswer),
}

impl Route {
    /// The path that matched.
    pub fn path(&self) -> &Path {
        &self.rules.path
    }

    /// The pattern that matched, if the path is one.
    pub fn pattern(&self) -> Option<&Pattern> {
        self.rules.pattern.as_ref()
    }

    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.rules.rules[self.index]
    }

    /// What the object is called that asked for the rule, as access logs have it: `Ingress shop/web`.
    pub fn origin_name(&self) -> &str {
        &self.rules.origins[self.index]
    }

    /// What is done with the request.
    pub fn step(&self) -> Step<'_> {
        match (&self.rule().action, &self.share) {
            (Action::Forward { rewrite, .. }, ChosenShare::Backend(backend)) => Step::Forward { backend, rewrite },
            (Action::Forward { .. }, ChosenShare::Status(status)) => Step::Respond(*status),
            (Action::Redirect(redirect), _) => Step::Redirect(redirect),
            (Action::Respond(status), _) => Step::Respond(*status),
            (Action::Answer(answer), _) => Step::Answer(answer),
        }
    }
}

/// A host that is served.
pub struct FoundHost<'a> {
    pub name: &'a [u8],
    pub kind: u8,
    pub facts: HostFacts,
    /// None without a certificate.
    pub handshake: Option<Arc<HostHandshake>>,
    /// The hash of what all keys of its paths begin with.
    hasher: KeyHasher,
}

impl<M: AsRef<[AtomicU64]>> Table<M> {
    /// What becomes of a request by the newest table. Memory is allocated only for what was not decoded yet, for a host with
    /// capital letters, and for one whose prefixes have more than four different numbers of slashes.
    ///
    /// # Errors
    /// What leads to its route is damaged, or not carried: the answer is 503.
    pub fn find(&mut self, request: &Request<'_>) -> Result<Found, Fault> {
        let host = lower_case(request.host);
        self.look_up(|table| table.find_in_root(&host, request))
    }

    /// A backend by its name, as the newest table has it; none if that has no such backend.
    ///
    /// # Errors
    /// What leads to it is damaged.
    pub fn find_backend(&mut self, name: &str) -> Result<Option<Arc<Backend>>, Fault> {
        match self.look_up(|table| table.backend(name)) {
            Err(Fault::NoBackend) => Ok(None),
            found => found.map(Some),
        }
    }

    fn find_in_root(&mut self, host: &[u8], request: &Request<'_>) -> Result<Found, Fault> {
        let host = self.find_host(host, request.listener.0)?;
        let facts = host.as_ref().map(|host| host.facts);
        if request.connection == Scheme::Https {
            let Some(handshake) = host.as_ref().and_then(|host| host.handshake.as_deref()) else {
                return Ok(Found::NoCertificate);
            };
            if handshake.tls_class != request.tls_class || self.is_misdirected(handshake, request)? {
                return Ok(Found::OtherConnection);
            }
        }
        if facts.is_some_and(|facts| !facts.is_carried) {
            return Err(Fault::NotCarried);
        }
        let mut work = MatchWork::default();
        if let Some(host) = &host
            && let Some((rules, index)) = self.find_rule(host, request, &mut work)?
        {
            return self.follow(rules, index, request);
        }
        if facts.is_some_and(|facts| facts.is_closed) {
            Ok(Found::NotFound)
        } else {
            self.find_default(request, &mut work)
        }
    }

    /// Whether a request's connection was opened for a host that now has another certificate than that of the request, or asks something
    /// else of its clients. One that was opened with the certificate before is as good as a new one. One that was opened for no host was asked what all
    /// are, whichever server nginx takes for the request.
    fn is_misdirected(&mut self, asked: &HostHandshake, request: &Request<'_>) -> Result<bool, Fault> {
        let (opened_for, asked_for) = (lower_case(request.server_name), lower_case(request.host));
        if opened_for.is_empty() {
            return Ok(asked.tls_class != TlsClass::default());
        }
        if opened_for == asked_for {
            return Ok(false);
        }
        let opened_for = self.find_host(&opened_for, request.listener.0)?;
        Ok(opened_for.as_ref().and_then(|host| host.handshake.as_deref()) != Some(asked))
    }

    /// The host that matches best and is at a listener, in the order of [`entry_model::HostName::candidates`].
    pub(crate) fn find_host<'a>(&mut self, host: &'a [u8], listener: u8) -> Result<Option<FoundHost<'a>>, Fault> {
        let (shapes, all) = (self.root().hosts, labels(host));
        if shapes.exact & label_bit(all) != 0
            && let Some(found) = self.host_entry(host, EXACT_HOST, listener)?
        {
            return Ok(Some(found));
        }
        if shapes.one_label | shapes.suffix != 0 {
            let mut left = all;
            for (at, _) in host.iter().enumerate().filter(|(_, byte)| **byte == b'.') {
                left -= 1;
                if at == 0 {
                    continue;
                }
                let parent = &host[at + 1..];
                let is_first = left + 1 == all;
                if is_first
                    && shapes.one_label & label_bit(left) != 0
                    && let Some(found) = self.host_entry(parent, ONE_LABEL, listener)?
                {
                    return Ok(Some(found));
                }
                if shapes.suffix & label_bit(left) != 0
                    && let Some(found) = self.host_entry(parent, SUFFIX, listener)?
                {
                    return Ok(Some(found));
                }
            }
        }
        if shapes.any { self.host_entry(b"", ANY_HOST, listener) } else { Ok(None) }
    }

    /// A host by its name, if it is at a listener.
    fn host_entry<'a>(&mut self, name: &'a [u8], kind: u8, listener: u8) -> Result<Option<FoundHost<'a>>, Fault> {
        if name.len() > MOST_HOST_BYTES {
            return Ok(None);
        }
        let mut hasher = self.hasher();
        hasher.write(name);
        hasher.write(&[kind]);
        let (facts, handshake) = match self.get(hasher.finish_with(HOST), &[name, &[kind], &[HOST]])? {
            Some(Decoded::Host(facts, handshake)) => (*facts, handshake.clone()),
            _ => return Ok(None),
        };
        Ok(facts.is_at(listener).then_some(FoundHost { name, kind, facts, handshake, hasher }))
    }

    /// The first rule of a host that a request matches.
    fn find_rule(
        &mut self,
        host: &FoundHost<'_>,
        request: &Request<'_>,
        work: &mut MatchWork,
    ) -> Result<Option<(Arc<PathRules>, usize)>, Fault> {
        let path = request.path;
        let order = self.pattern_order(host)?;
        if order.is_some() && path.len() > ACME_CHALLENGE.len() && path.starts_with(ACME_CHALLENGE.as_bytes()) {
            // What is for challenges alone comes before all patterns.
            let hashes = PathHashes::of(host, path).longer_than(ACME_CHALLENGE.len());
            let mut none = PatternTries { order: None, next: 0, work };
            if let Some(found) = self.find_rule_by(&hashes, &mut none, host, request)? {
                return Ok(Some(found));
            }
        }
        let mut patterns = PatternTries { order, next: 0, work };
        if let Some(found) = self.try_patterns(&mut patterns, |place| place.is_first, host, request)? {
            return Ok(Some(found));
        }
        if path.first().is_none_or(|first| *first == b'/') {
            let found = self.find_rule_by(&PathHashes::of(host, path), &mut patterns, host, request)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        self.try_patterns(&mut patterns, |_| true, host, request)
    }

    /// In which order the patterns of a host are tried, if it has any.
    fn pattern_order(&mut self, host: &FoundHost<'_>) -> Result<Option<Arc<PatternOrder>>, Fault> {
        if !host.facts.has_patterns {
            return Ok(None);
        }
        match self.get(host.hasher.finish_with(PATTERN_ORDER), &[host.name, &[host.kind], &[PATTERN_ORDER]])? {
            Some(Decoded::PatternOrder(order)) => Ok(Some(Arc::clone(order))),
            _ => Err(Fault::NoRules),
        }
    }

    /// The first rule of the patterns that are next, as far as these are in a place that is wanted.
    fn try_patterns(
        &mut self,
        patterns: &mut PatternTries<'_>,
        is_wanted: impl Fn(PatternPlace) -> bool,
        host: &FoundHost<'_>,
        request: &Request<'_>,
    ) -> Result<Option<(Arc<PathRules>, usize)>, Fault> {
        let Some(order) = &patterns.order else { return Ok(None) };
        while let Some(run) = order.runs.get(patterns.next).filter(|run| is_wanted(run.place)) {
            patterns.next += 1;
            if patterns.work.is_match(&run.pattern, request.path)?
                && let Some(found) = self.find_pattern_rule(run, host, request, patterns.work)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first rule of a run, whose pattern matches.
    fn find_pattern_rule(
        &mut self,
        run: &PatternRun,
        host: &FoundHost<'_>,
        request: &Request<'_>,
        work: &mut MatchWork,
    ) -> Result<Option<(Arc<PathRules>, usize)>, Fault> {
        let text = run.pattern.text().as_bytes();
        let mut hasher = host.hasher.clone();
        hasher.write(text);
        let some = usize::from(run.rules.0)..usize::from(run.rules.1);
        match self.get(hasher.finish_with(PATTERN), &[host.name, &[host.kind], text, &[PATTERN]])? {
            Some(Decoded::Rules(rules)) if some.end <= rules.rules.len() => {
                Ok(rules.find_among(some, request, work)?.map(|index| (Arc::clone(rules), index)))
            }
            _ => Err(Fault::NoRules),
        }
    }

    fn find_rule_by(
        &mut self,
        hashes: &PathHashes,
        patterns: &mut PatternTries<'_>,
        host: &FoundHost<'_>,
        request: &Request<'_>,
    ) -> Result<Option<(Arc<PathRules>, usize)>, Fault> {
        let path = request.path;
        if let Some(hash) = hashes.exact
            && let Some(found) = self.find_path_rule(host, hash, (path, EXACT_PATH), request, patterns.work)?
        {
            return Ok(Some(found));
        }
        for (hash, prefix) in hashes.prefixes(path) {
            // That of all paths has a slash where objects write it.
            let is_longer = |place: PatternPlace| usize::from(place.length) >= prefix.len().max(1);
            if let Some(found) = self.try_patterns(patterns, is_longer, host, request)? {
                return Ok(Some(found));
            }
            if let Some(found) = self.find_path_rule(host, hash, (prefix, PREFIX), request, patterns.work)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_path_rule(
        &mut self,
        host: &FoundHost<'_>,
        hash: u64,
        (path, kind): (&[u8], u8),
        request: &Request<'_>,
        work: &mut MatchWork,
    ) -> Result<Option<(Arc<PathRules>, usize)>, Fault> {
        match self.get(hash, &[host.name, &[host.kind], path, &[kind]])? {
            Some(Decoded::Rules(rules)) => Ok(rules.find(request, work)?.map(|index| (Arc::clone(rules), index))),
            _ => Ok(None),
        }
    }

    fn find_default(&mut self, request: &Request<'_>, work: &mut MatchWork) -> Result<Found, Fault> {
        let rules = match self.get(self.hasher().finish_with(BACKEND), &[&[BACKEND]])? {
            Some(Decoded::Rules(rules)) if rules.match_path(request.path, work)? => Arc::clone(rules),
            Some(Decoded::DefaultNotCarried) => return Err(Fault::NotCarried),
            _ => return Ok(Found::NotFound),
        };
        match rules.find(request, work)? {
            Some(index) => self.follow(rules, index, request),
            None => Ok(Found::NotFound),
        }
    }

    /// What becomes of a request that gets a rule.
    fn follow(&mut self, rules: Arc<PathRules>, index: usize, request: &Request<'_>) -> Result<Found, Fault> {
        let rule = &rules.rules[index];
        let in_clear = request.scheme == Scheme::Http && !request.path.starts_with(ACME_CHALLENGE.as_bytes());
        if in_clear && rule.redirect_to_https {
            return Ok(Found::ToHttps(Route { rules, index, share: ChosenShare::Status(503) }));
        }
        let share = match &rule.action {
            Action::Redirect(_) | Action::Respond(_) | Action::Answer(_) => ChosenShare::Status(503),
            Action::Forward { shares, .. } => {
                match Share::choose(shares, rule.share_number(request)).map(|share| &share.target) {
                    Some(Target::Backend(name)) => ChosenShare::Backend(self.backend(name)?),
                    Some(Target::Status(status)) => ChosenShare::Status(*status),
                    // As the Gateway API has it.
                    None => ChosenShare::Status(500),
                }
            }
        };
        Ok(Found::Route(Route { rules, index, share }))
    }

    fn backend(&mut self, name: &str) -> Result<Arc<Backend>, Fault> {
        let mut hasher = self.hasher();
        hasher.write(name.as_bytes());
        match self.get(hasher.finish_with(BACKEND), &[name.as_bytes(), &[BACKEND]])? {
            Some(Decoded::Backend(backend)) => Ok(Arc::clone(backend)),
            _ => Err(Fault::NoBackend),
        }
    }
}

/// The patterns of a host, and which of their runs is tried next.
struct PatternTries<'w> {
    order: Option<Arc<PatternOrder>>,
    next: usize,
    work: &'w mut MatchWork,
}

/// A host in lower case, without final dots.
pub fn lower_case(host: &[u8]) -> Cow<'_, [u8]> {
    let end = host.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1);
    let host = &host[..end];
    if host.iter().any(u8::is_ascii_uppercase) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

/// The hashes of those paths of a host that a path may match, from one pass over it.
struct PathHashes {
    exact: Option<u64>,
    /// The hash of each prefix, and where it ends, from the shortest.
    prefixes: SmallVec<[(u64, usize); FEW_DEPTHS]>,
}

impl PathHashes {
    fn of(host: &FoundHost<'_>, path: &[u8]) -> Self {
        let facts = host.facts;
        let mut all = Self { exact: None, prefixes: SmallVec::with_capacity(facts.depths.count_ones() as usize) };
        // What is longer than the longest is none of them.
        let within = &path[..path.len().min(usize::from(facts.longest_path) + 1)];
        let (mut hasher, mut start, mut depth) = (host.hasher.clone(), 0, 0);
        loop {
            let slash = within[start..].iter().skip(usize::from(depth > 0)).position(|byte| *byte == b'/');
            let end = match slash {
                Some(at) => start + at + usize::from(depth > 0),
                None if within.len() == path.len() => path.len(),
                None => return all,
            };
            if end > usize::from(facts.longest_path) {
                return all;
            }
            hasher.write(&path[start..end]);
            start = end;
            // No prefix ends with a slash.
            if facts.depths & depth_bit(depth) != 0 && !path[..end].ends_with(b"/") {
                all.prefixes.push((hasher.finish_with(PREFIX), end));
            }
            if end == path.len() {
                all.exact = facts.has_exact.then(|| hasher.finish_with(EXACT_PATH));
                return all;
            }
            depth += 1;
        }
    }

    /// The same, without prefixes of so many bytes or fewer.
    fn longer_than(mut self, bytes: usize) -> Self {
        self.prefixes.retain(|(_, end)| *end > bytes);
        self
    }

    /// The prefixes, from the longest.
    fn prefixes<'a>(&self, path: &'a [u8]) -> impl Iterator<Item = (u64, &'a [u8])> {
        self.prefixes.iter().rev().map(|(hash, end)| (*hash, &path[..*end]))
    }
}
