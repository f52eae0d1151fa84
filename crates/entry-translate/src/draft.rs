//! What the owner of an object will be told, as it is gathered.

use std::collections::HashSet;
use std::fmt;

use entry_model::{Finding, ObjectRef, Outcome, Reason, Verdict};

/// A field of an object. Ordered as the fields are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place<'a> {
    /// The object as a whole.
    Whole,
    Annotation(&'a str),
    Name,
    ClusterIp,
    Ports,
    Port(usize, PortPart),
    ServiceType,
    Spec,
    DefaultBackend(BackendPart),
    Rule(usize, RulePart),
    Tls,
    TlsEntry(usize, TlsPart),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortPart {
    AppProtocol,
    Number,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RulePart {
    Host,
    Paths,
    Path(usize),
    PathType(usize),
    Backend(usize, BackendPart),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendPart {
    Whole,
    Resource,
    Name,
    Port,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsPart {
    Hosts,
    Host(usize),
    Secret,
}

impl fmt::Display for BackendPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "",
            Self::Resource => ".resource",
            Self::Name => ".service.name",
            Self::Port => ".service.port",
        })
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole => Ok(()),
            Self::Annotation(name) => write!(f, "metadata.annotations[{}]", cut(name)),
            Self::Name => f.write_str("metadata.name"),
            Self::ClusterIp => f.write_str("spec.clusterIP"),
            Self::Ports => f.write_str("spec.ports"),
            Self::Port(n, PortPart::AppProtocol) => write!(f, "spec.ports[{n}].appProtocol"),
            Self::Port(n, PortPart::Number) => write!(f, "spec.ports[{n}].port"),
            Self::ServiceType => f.write_str("spec.type"),
            Self::Spec => f.write_str("spec"),
            Self::DefaultBackend(part) => write!(f, "spec.defaultBackend{part}"),
            Self::Rule(n, RulePart::Host) => write!(f, "spec.rules[{n}].host"),
            Self::Rule(n, RulePart::Paths) => write!(f, "spec.rules[{n}].http.paths"),
            Self::Rule(n, RulePart::Path(m)) => write!(f, "spec.rules[{n}].http.paths[{m}].path"),
            Self::Rule(n, RulePart::PathType(m)) => write!(f, "spec.rules[{n}].http.paths[{m}].pathType"),
            Self::Rule(n, RulePart::Backend(m, part)) => write!(f, "spec.rules[{n}].http.paths[{m}].backend{part}"),
            Self::Tls => f.write_str("spec.tls"),
            Self::TlsEntry(n, TlsPart::Hosts) => write!(f, "spec.tls[{n}].hosts"),
            Self::TlsEntry(n, TlsPart::Host(m)) => write!(f, "spec.tls[{n}].hosts[{m}]"),
            Self::TlsEntry(n, TlsPart::Secret) => write!(f, "spec.tls[{n}].secretName"),
        }
    }
}

/// How many findings are told of one object: they go into Events, the log and metrics.
const MOST: usize = 20;

/// A verdict in the making.
#[derive(Debug, Default)]
pub struct Draft<'a> {
    findings: Vec<(Place<'a>, Reason, String)>,
    lost: bool,
    served: bool,
}

impl<'a> Draft<'a> {
    /// Something that was asked for is not served as it was asked for.
    pub fn lose(&mut self, place: Place<'a>, reason: Reason, message: String) {
        self.lost = true;
        self.note(place, reason, message);
    }

    /// All is served, and there is something to know.
    pub fn note(&mut self, place: Place<'a>, reason: Reason, message: String) {
        self.findings.push((place, reason, message));
    }

    /// Takes back what was said of the backends of these claims: nothing leads there.
    pub fn forget_backends(&mut self, claims: &HashSet<Place<'a>>) {
        let claim = |place: Place<'a>| match place {
            Place::Rule(n, RulePart::Backend(m, _)) => Some(Place::Rule(n, RulePart::Path(m))),
            Place::DefaultBackend(BackendPart::Resource | BackendPart::Name | BackendPart::Port) => {
                Some(Place::DefaultBackend(BackendPart::Whole))
            }
            _ => None,
        };
        self.findings.retain(|&(place, ..)| claim(place).is_none_or(|claim| !claims.contains(&claim)));
    }

    /// A rule of the object stands. One that is answered 503 counts too: nobody else gets its path.
    pub fn serve(&mut self) {
        self.served = true;
    }

    /// The verdict.
    pub fn verdict(mut self, generation: i64) -> Verdict {
        // Stable: what is said of the same field stays in the order in which it was found.
        self.findings.sort_by_key(|&(place, ..)| place);
        let more = self.findings.len().saturating_sub(MOST);
        if let Some(&(_, reason, _)) = self.findings.get(MOST) {
            self.findings.truncate(MOST);
            let message = format!("And {more} more findings, which are told when there are fewer; correct these first");
            self.findings.push((Place::Whole, reason, message));
        }
        let outcome = match (self.lost, self.served) {
            (false, _) => Outcome::Accepted,
            (true, true) => Outcome::Partial,
            (true, false) => Outcome::Refused,
        };
        let finding =
            |(place, reason, message): (Place<'_>, _, _)| Finding { field: place.to_string(), reason, message };
        Verdict { generation, outcome, findings: self.findings.into_iter().map(finding).collect() }
    }
}

/// Text from an object, for a message: quoted, on one line, at most 100 characters of it.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text))
}

/// The same without quotes.
pub fn cut(text: &str) -> String {
    const LONGEST: usize = 100;
    let end = text.char_indices().nth(LONGEST);
    let shown = &text[..end.map_or(text.len(), |(at, _)| at)];
    format!("{}{}", shown.escape_debug(), if end.is_some() { "…" } else { "" })
}

/// What a program said, for a message: on one line, at most 300 characters of it, so that its reason is in it.
pub fn words(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut shown = String::new();
    for c in text.chars().take(LONGEST) {
        match c {
            '"' | '\'' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// An object, for a message: `Ingress shop/web`.
pub fn named(object: &ObjectRef) -> String {
    match object.key.namespace.as_str() {
        "" => format!("{} {}", object.kind, cut(&object.key.name)),
        namespace => format!("{} {}/{}", object.kind, cut(namespace), cut(&object.key.name)),
    }
}
