//! Where in its object a claim is made.

use std::fmt;

use entry_model::FieldPath;

/// The field with which an object makes a claim: kept with the claim, and made a path of only if there is something to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimSite {
    /// The name of a Service, which is its path.
    Name,
    /// An annotation.
    Annotation(&'static str),
    /// The default backend of an Ingress.
    DefaultBackend,
    /// The host of a rule of an Ingress.
    Host(usize),
    /// A path of a rule of an Ingress: the number of the rule, and its own there.
    Path(usize, usize),
    /// The hosts of an entry of `spec.tls`, none of which is named.
    TlsHosts(usize),
    /// A host of an entry of `spec.tls`: the number of the entry, and its own there.
    TlsHost(usize, usize),
    /// The Secret of an entry of `spec.tls`.
    TlsSecret(usize),
}

impl ClaimSite {
    /// The annotation of a Service that names its host.
    pub const HOST_ANNOTATION: Self = Self::Annotation("sparrow/host");

    /// The field that names the host of a claim, if the claim is for a host with a name.
    #[must_use]
    pub fn host(self) -> Self {
        match self {
            Self::Path(rule, _) => Self::Host(rule),
            Self::Annotation(_) | Self::Name => Self::HOST_ANNOTATION,
            site => site,
        }
    }
}

impl fmt::Display for ClaimSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (metadata, spec) = (FieldPath::root("metadata"), FieldPath::root("spec"));
        match *self {
            Self::Name => metadata.field("name").fmt(f),
            Self::Annotation(name) => metadata.field("annotations").key(name).fmt(f),
            Self::DefaultBackend => spec.field("defaultBackend").fmt(f),
            Self::Host(rule) => spec.at("rules", rule).field("host").fmt(f),
            Self::Path(rule, path) => spec.at("rules", rule).field("http").at("paths", path).field("path").fmt(f),
            Self::TlsHosts(entry) => spec.at("tls", entry).field("hosts").fmt(f),
            Self::TlsHost(entry, host) => spec.at("tls", entry).at("hosts", host).fmt(f),
            Self::TlsSecret(entry) => spec.at("tls", entry).field("secretName").fmt(f),
        }
    }
}
