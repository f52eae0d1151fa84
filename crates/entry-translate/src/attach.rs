//! Which objects are this controller's.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use entry_model::{
    FieldPath, Ingress, IngressBackend, Key, Kind, Meta, Object, ObjectRef, Reason, Service, Snapshot, Verdicts,
};

use crate::verdict_draft::{VerdictDraft, abridged_output};
use crate::{Quarantine, TranslateSettings};

/// How old an object is among others: when it was made, and its index. Of those that ask for the same, the lowest gets it.
pub type Seniority = (i64, usize);

/// An object that asks for routes.
#[derive(Debug)]
pub struct AttachedObject<'a> {
    pub object: ObjectRef,
    pub source: RouteObject<'a>,
    pub draft: VerdictDraft,
}

/// An object of a kind that can ask for routes.
#[derive(Debug, Clone, Copy)]
pub enum RouteObject<'a> {
    Service(&'a Arc<Service>),
    Ingress(&'a Arc<Ingress>),
}

impl<'a> RouteObject<'a> {
    pub fn meta(self) -> &'a Meta {
        match self {
            Self::Service(service) => &service.meta,
            Self::Ingress(ingress) => &ingress.meta,
        }
    }

    /// The names of the Services that it names as backends.
    fn service_names(self) -> impl Iterator<Item = &'a str> {
        let ingress = if let Self::Ingress(ingress) = self { Some(ingress) } else { None };
        let backends = ingress.into_iter().flat_map(|ingress| {
            let of_paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
            of_paths.chain(&ingress.default_backend)
        });
        backends.filter_map(|backend| match backend {
            IngressBackend::Service { name, .. } => Some(&**name),
            IngressBackend::Resource { .. } => None,
        })
    }
}

impl<'a> RouteObject<'a> {
    /// An object as one of these, if it is of such a kind.
    pub fn of(object: &'a Object) -> Option<Self> {
        match object {
            Object::Service(service) => Some(Self::Service(service)),
            Object::Ingress(ingress) => Some(Self::Ingress(ingress)),
            _ => None,
        }
    }
}

impl RouteObject<'_> {
    /// Whether it declares TLS.
    pub fn brings_certificate(self) -> bool {
        matches!(self, Self::Ingress(ingress) if !ingress.tls.is_empty())
    }

    /// Whether it names one of these Services, by namespace and name, as a backend.
    pub fn names_any(self, services: &HashSet<(&str, &str)>) -> bool {
        let namespace = &*self.meta().namespace;
        self.service_names().any(|name| services.contains(&(namespace, name)))
    }

    /// The Services that it names as backends.
    pub fn services(self) -> BTreeSet<Key> {
        let key = |name: &str| Key { namespace: self.meta().namespace.clone(), name: name.to_owned() };
        self.service_names().map(key).collect()
    }

    /// The object.
    pub fn object(self) -> Object {
        match self {
            Self::Service(service) => Object::Service(Arc::clone(service)),
            Self::Ingress(ingress) => Object::Ingress(Arc::clone(ingress)),
        }
    }

    /// Its place in memory.
    pub fn memory_address(self) -> usize {
        match self {
            Self::Service(service) => Arc::as_ptr(service).addr(),
            Self::Ingress(ingress) => Arc::as_ptr(ingress).addr(),
        }
    }
}

/// The namespace of an object that asks.
pub fn namespace_of<'a>(attached: &[AttachedObject<'a>], owner: Seniority) -> &'a str {
    &attached[owner.1].source.meta().namespace
}

/// The Services with the label and the Ingresses of our classes, by kind, namespace and name: in the order in which a
/// snapshot holds them, which is kind to caches.
pub fn attached_objects<'a>(snapshot: &'a Snapshot, settings: &TranslateSettings) -> Vec<AttachedObject<'a>> {
    let takes_part = |object: &ObjectRef| !is_left_out(snapshot, settings, object);
    route_objects(snapshot, settings).filter(|attached| takes_part(&attached.object)).collect()
}

/// The same, of those that take part in nothing: what their namespace has stays with it.
pub fn left_out_objects<'a>(snapshot: &'a Snapshot, settings: &TranslateSettings) -> Vec<AttachedObject<'a>> {
    if settings.quarantine.is_empty() && snapshot.unreadable.is_empty() {
        return Vec::new();
    }
    let is_left_out = |object: &ObjectRef| is_left_out(snapshot, settings, object);
    route_objects(snapshot, settings).filter(|attached| is_left_out(&attached.object)).collect()
}

/// What could not be read, or is put aside with its paths: its verdict says so at the end.
fn is_left_out(snapshot: &Snapshot, settings: &TranslateSettings, object: &ObjectRef) -> bool {
    settings.quarantine.get(object).is_some_and(|aside| !aside.keeps_paths) || snapshot.unreadable.contains_key(object)
}

fn route_objects<'a>(snapshot: &'a Snapshot, settings: &TranslateSettings) -> impl Iterator<Item = AttachedObject<'a>> {
    let services = snapshot.services.iter().filter(move |(_, service)| is_exposed(service, settings));
    let classes = AttachedClasses::of(snapshot, settings);
    let ingresses = snapshot.ingresses.iter().filter(move |(_, ingress)| classes.attach(ingress));

    let attached = |kind, key: &Arc<Key>, source| AttachedObject {
        object: ObjectRef { kind, key: Arc::clone(key) },
        source,
        draft: VerdictDraft::default(),
    };
    let services = services.map(move |(key, service)| attached(Kind::Service, key, RouteObject::Service(service)));
    let ingresses = ingresses.map(move |(key, ingress)| attached(Kind::Ingress, key, RouteObject::Ingress(ingress)));
    services.chain(ingresses)
}

/// Whether an object is this controller's, of which these are the classes.
pub fn is_attached(object: RouteObject<'_>, classes: &AttachedClasses<'_>, settings: &TranslateSettings) -> bool {
    match object {
        RouteObject::Service(service) => is_exposed(service, settings),
        RouteObject::Ingress(ingress) => classes.attach(ingress),
    }
}

/// Whether a Service has the label with which it asks for a route.
pub fn is_exposed(service: &Service, settings: &TranslateSettings) -> bool {
    let (label, value) = &settings.service_selector;
    service.meta.labels.get(label) == Some(value)
}

/// The classes whose Ingresses are this controller's.
pub struct AttachedClasses<'a> {
    names: HashSet<&'a str>,
    /// Whether one of them is that of Ingresses without class.
    has_default: bool,
}

impl<'a> AttachedClasses<'a> {
    /// Those of a snapshot.
    pub fn of(snapshot: &'a Snapshot, settings: &TranslateSettings) -> Self {
        let classes = || snapshot.classes.values().filter(|class| class.controller == settings.controller);
        let names = classes().map(|class| class.meta.name.as_str()).collect();
        Self { names, has_default: classes().any(|class| class.default) }
    }

    /// Whether an Ingress is of one of them.
    pub fn attach(&self, ingress: &Ingress) -> bool {
        ingress.class.as_deref().map_or(self.has_default, |class| self.names.contains(class))
    }
}

/// The verdicts on what took part, and on what could not.
pub fn verdicts(attached: Vec<AttachedObject<'_>>, snapshot: &Snapshot, settings: &TranslateSettings) -> Verdicts {
    let finished = attached.into_iter().map(|AttachedObject { object, source, draft }| {
        let generation = source.meta().generation;
        (object, draft.into_verdict(generation))
    });
    let mut verdicts: Verdicts = finished.collect();
    let rejected = |reason, message: String, generation| {
        let mut draft = VerdictDraft::default();
        draft.report_loss(&FieldPath::OBJECT, reason, message);
        draft.into_verdict(generation)
    };
    for (object, Quarantine { reason, message, keeps_paths }) in &settings.quarantine {
        let what = abridged_output(message);
        let message = if *keeps_paths {
            format!(
                "{what}. Requests for its paths are answered 503, all else is served; correct it, and it is tried again"
            )
        } else {
            format!("{what}. Nothing of it is served, all else is; correct it, and it is tried again")
        };
        let generation = snapshot.get(object).map_or(0, |object| object.meta().generation);
        verdicts.insert(object.clone(), rejected(*reason, message, generation));
    }
    for (object, text) in &snapshot.unreadable {
        let message = match object.kind {
            // Of a file, what was good before may be served; its words say so.
            Kind::Manifest => {
                format!("The manifest cannot be read: {}. All else is served; correct it", abridged_output(text))
            }
            _ => {
                format!(
                    "The object cannot be read: {}. Nothing of it is served, all else is; correct it",
                    abridged_output(text)
                )
            }
        };
        verdicts.insert(object.clone(), rejected(Reason::Invalid, message, 0));
    }
    verdicts
}
