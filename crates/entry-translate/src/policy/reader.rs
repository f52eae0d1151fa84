//! Reads the annotations of one object, of both dialects.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use entry_model::{ConfigMap, FieldPath, Key, Kind, ObjectRef, Reason, Secret, Service, Snapshot};

use super::companions::{COMPANIONS, Companions};
use super::table::{IngressNginxAnnotation, Meaning, Objects, UnusableValue};
use super::{INGRESS_NGINX_PREFIX, OWN_PREFIX, find_ingress_nginx_annotation, find_own_annotation};
use crate::verdict_draft::{VerdictDraft, quoted};
use crate::{PolicyDefaults, Quarantine, TlsPassthroughAnnotations};

/// What is known beside the annotations.
#[derive(Debug, Clone, Copy)]
pub struct AnnotationContext<'a> {
    /// What listeners do where no annotation says otherwise.
    pub defaults: &'a PolicyDefaults,
    /// Whether annotations of ingress-nginx are followed.
    pub follows_ingress_nginx: bool,
    /// The paths of the Ingress.
    pub paths: &'a [&'a str],
    /// Whether a host of the object may have a certificate.
    pub tls: bool,
    /// The namespace of the object.
    pub namespace: &'a str,
    /// Objects that are put aside.
    pub quarantine: &'a BTreeMap<ObjectRef, Quarantine>,
    /// The hosts of the object as its rules have them; an empty one stands for all hosts.
    pub hosts: &'a [&'a str],
    /// Where objects are looked up that annotations name.
    pub snapshot: &'a Snapshot,
    /// Which annotations have TLS connections go to backends as they come.
    pub tls_passthrough: TlsPassthroughAnnotations,
}

/// The annotations of an object, which are asked for by their names. Of a value that cannot be used its owner is told.
#[derive(Debug)]
pub struct AnnotationReader<'a, 'd> {
    kind: Kind,
    /// What is known beside the annotations.
    pub context: AnnotationContext<'a>,
    /// Ours, without prefix, and whether they were asked for.
    own: Vec<(&'a str, &'a str, bool)>,
    /// Those of ingress-nginx, without prefix, and whether they were asked for.
    ingress_nginx: Vec<(&'a str, &'a str, bool)>,
    draft: &'d mut VerdictDraft,
    /// What was looked up because annotations name it.
    references: Vec<ObjectRef>,
    /// Whether requests may go nowhere.
    is_closed: bool,
}

/// The text of an annotation of either dialect.
#[derive(Debug, Clone, Copy)]
pub struct FoundText<'a> {
    prefix: &'static str,
    name: &'static str,
    /// The text.
    pub text: &'a str,
}

impl<'a> FoundText<'a> {
    fn new(prefix: &'static str, name: &'static str, text: &'a str) -> Self {
        Self { prefix, name, text }
    }

    /// Whether it is one of ours.
    pub fn is_own(&self) -> bool {
        self.prefix == OWN_PREFIX
    }
}

impl<'a, 'd> AnnotationReader<'a, 'd> {
    /// A reader of the annotations of an object.
    pub fn new(
        kind: Kind,
        annotations: &'a BTreeMap<String, String>,
        context: AnnotationContext<'a>,
        draft: &'d mut VerdictDraft,
    ) -> Self {
        let own = with_prefix(annotations, OWN_PREFIX).map(|(name, value)| (name, value, false)).collect();
        let ingress_nginx = with_prefix(annotations, INGRESS_NGINX_PREFIX);
        let ingress_nginx = ingress_nginx.map(|(name, value)| (name, value, false)).collect();
        Self { kind, context, own, ingress_nginx, draft, references: Vec::new(), is_closed: false }
    }

    /// Whether the object has none.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.ingress_nginx.is_empty()
    }

    /// The kind of the object.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text of one of ours.
    pub fn own_text(&mut self, name: &str) -> Option<&'a str> {
        let found = self.own.iter_mut().find(|(other, ..)| *other == name)?;
        found.2 = true;
        Some(found.1)
    }

    /// One of ours. Of a value that cannot be used a finding says what is in force instead, which its row says.
    pub fn own<T>(&mut self, name: &str, parse: impl Fn(&'a str) -> Result<T, &'static str>) -> Option<T> {
        self.own_or_unusable(name, parse)?.ok()
    }

    /// One of ours, or that it cannot be used, where neither another value counts nor the default is in force.
    pub fn own_or_unusable<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&'a str) -> Result<T, &'static str>,
    ) -> Option<Result<T, ()>> {
        let value = self.own_text(name)?;
        let hint = match parse(value) {
            Ok(parsed) => return Some(Ok(parsed)),
            Err(hint) => hint,
        };
        let unusable = find_own_annotation(name).map_or(UnusableValue::Ignored, |known| known.unusable);
        let in_force = match unusable {
            UnusableValue::Ignored => "the default stays in force".to_owned(),
            UnusableValue::Closes => "so requests are answered 503".to_owned(),
            UnusableValue::CountsAs(other) => format!("so it counts as `{other}`"),
            UnusableValue::Narrows(words) => format!("so {words}"),
        };
        self.report_unusable(name, value, &in_force, hint);
        self.is_closed |= unusable == UnusableValue::Closes;
        match unusable {
            UnusableValue::CountsAs(other) => parse(other).ok().map(Ok),
            UnusableValue::Ignored => None,
            UnusableValue::Closes | UnusableValue::Narrows(_) => Some(Err(())),
        }
    }

    fn report_unusable(&mut self, name: &str, value: &str, in_force: &str, hint: &str) {
        let message = format!("The value {} cannot be used, {in_force}: {hint}", quoted(value));
        self.report_own_loss(name, Reason::Invalid, message);
    }

    /// Whether a value of ours cannot be used without which requests would go where they may not.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The text of one of ingress-nginx, if those are followed on this object.
    pub fn ingress_nginx_text(&mut self, name: &str) -> Option<&'a str> {
        if !self.follows_ingress_nginx() {
            return None;
        }
        let found = self.ingress_nginx.iter_mut().find(|(other, ..)| *other == name)?;
        found.2 = true;
        Some(found.1)
    }

    /// One of ingress-nginx. A value that it ignores is ignored here, too, and a note says so.
    pub fn ingress_nginx<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&'a str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let value = self.ingress_nginx_text(name)?;
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(hint) => {
                let message = format!(
                    "The value {} has no effect, as in ingress-nginx: {hint}; correct or remove it",
                    quoted(value)
                );
                self.report_note(name, Reason::Invalid, message);
                None
            }
        }
    }

    /// The text of the first of these that the object has: ours, then those of ingress-nginx, of which several may be names for the same.
    pub fn first_text(&mut self, own: &'static str, ingress_nginx: &[&'static str]) -> Option<FoundText<'a>> {
        if self.own_counts(own, ingress_nginx) {
            return Some(FoundText::new(OWN_PREFIX, own, self.own_text(own)?));
        }
        // Each is asked for, so that none of them is told to be without effect.
        let theirs = ingress_nginx
            .iter()
            .map(|name| Some(FoundText::new(INGRESS_NGINX_PREFIX, name, self.ingress_nginx_text(name)?)));
        theirs.fold(None, Option::or)
    }

    /// Whether there is one of ours, which counts rather than those of ingress-nginx: from then on these are not there, and notes say so.
    pub fn own_counts(&mut self, own: &str, ingress_nginx: &[&str]) -> bool {
        let Some(&(_, text, _)) = self.own.iter().find(|(other, ..)| *other == own) else { return false };
        for name in ingress_nginx {
            let says_the_same = |theirs: &str| theirs.trim().eq_ignore_ascii_case(text.trim());
            if self.drop_ingress_nginx(name).is_some_and(|theirs| !says_the_same(theirs)) {
                let message =
                    format!("The annotation has no effect: {OWN_PREFIX}{own} is there, and counts; remove one of them");
                self.report_note(name, Reason::Conflicted, message);
            }
        }
        true
    }

    /// Where one of ours says what is to be done, those of ingress-nginx that say how do not count.
    pub fn set_dialects_apart(&mut self) {
        for companions in COMPANIONS {
            let is_there = |principal: &&&str| self.own.iter().any(|(other, ..)| other == *principal);
            if let Some(principal) = companions.own_principals.iter().find(is_there) {
                for name in companions.ingress_nginx {
                    self.drop_beside(principal, name);
                }
            }
        }
    }

    fn drop_beside(&mut self, principal: &str, name: &str) {
        if self.drop_ingress_nginx(name).is_some() {
            let message = format!(
                "The annotation has no effect: {OWN_PREFIX}{principal} is there, beside which annotations of this entry count only. Write \
                 what it says with one of those, or remove it"
            );
            self.report_note(name, Reason::Conflicted, message);
        }
    }

    /// Takes one of ingress-nginx out, so that nobody reads it. Its text, if it was there and is followed on this object.
    fn drop_ingress_nginx(&mut self, name: &str) -> Option<&'a str> {
        if !self.follows_ingress_nginx() {
            return None;
        }
        let index = self.ingress_nginx.iter().position(|(other, ..)| *other == name)?;
        Some(self.ingress_nginx.remove(index).1)
    }

    /// The text of one of ingress-nginx, with its name.
    pub fn ingress_nginx_found(&mut self, name: &'static str) -> Option<FoundText<'a>> {
        Some(FoundText::new(INGRESS_NGINX_PREFIX, name, self.ingress_nginx_text(name)?))
    }

    /// Something that an annotation asks for is not served as it was asked for.
    pub fn report_text_loss(&mut self, found: &FoundText<'_>, reason: Reason, message: String) {
        self.report(found.prefix, found.name, reason, message, true);
    }

    /// Something is worth knowing about an annotation.
    pub fn report_text_note(&mut self, found: &FoundText<'_>, reason: Reason, message: String) {
        self.report(found.prefix, found.name, reason, message, false);
    }

    /// A Secret of the object's namespace. What the object asks for depends on it from now on, also if it is not there.
    pub fn secret(&mut self, name: &str) -> Option<&'a Arc<Secret>> {
        let key = Key { namespace: self.context.namespace.to_owned(), name: name.to_owned() };
        let found = self.context.snapshot.secrets.get(&key);
        self.references.push(ObjectRef::new(Kind::Secret, key));
        found
    }

    /// A `ConfigMap` of the object's namespace. What the object asks for depends on it from now on, also if it is not there.
    pub fn config_map(&mut self, name: &str) -> Option<&'a Arc<ConfigMap>> {
        let key = Key { namespace: self.context.namespace.to_owned(), name: name.to_owned() };
        let found = self.context.snapshot.config_maps.get(&key);
        self.references.push(ObjectRef::new(Kind::ConfigMap, key));
        found
    }

    /// A Service, of any namespace. What the object asks for depends on it from now on, also if it is not there.
    pub fn service(&mut self, key: &Key) -> Option<&'a Arc<Service>> {
        self.references.push(ObjectRef::new(Kind::Service, key.clone()));
        self.context.snapshot.services.get(key)
    }

    /// Something that one of ours asks for is not served as it was asked for.
    pub fn report_own_loss(&mut self, name: &str, reason: Reason, message: String) {
        self.report(OWN_PREFIX, name, reason, message, true);
    }

    /// Something that one of ingress-nginx asks for is not served as it was asked for.
    pub fn report_loss(&mut self, name: &str, reason: Reason, message: String) {
        self.report(INGRESS_NGINX_PREFIX, name, reason, message, true);
    }

    /// Something is worth knowing about one of ingress-nginx.
    pub fn report_note(&mut self, name: &str, reason: Reason, message: String) {
        self.report(INGRESS_NGINX_PREFIX, name, reason, message, false);
    }

    /// Something that several annotations ask for together is not served.
    pub fn report_object_loss(&mut self, reason: Reason, message: String) {
        self.draft.report_loss(&FieldPath::root("metadata").field("annotations"), reason, message);
    }

    fn report(&mut self, prefix: &str, name: &str, reason: Reason, message: String, lost: bool) {
        let field = annotation_field(prefix, name);
        if lost {
            self.draft.report_loss(&field, reason, message);
        } else {
            self.draft.report_note(&field, reason, message);
        }
    }

    /// Ours, else that of ingress-nginx, of the same name.
    pub fn either<T>(&mut self, name: &str, parse: fn(&'a str) -> Result<T, &'static str>) -> Option<T> {
        self.either_of((name, parse), (name, parse))
    }

    /// Ours, else that of ingress-nginx. Where ours cannot be used, that of ingress-nginx does not count either: it may be weaker than what was
    /// to be said.
    pub fn either_of<T>(
        &mut self,
        (own, parse_own): (&str, impl Fn(&'a str) -> Result<T, &'static str>),
        (ingress_nginx, parse): (&str, impl FnOnce(&'a str) -> Result<T, &'static str>),
    ) -> Option<T> {
        if self.own_counts(own, &[ingress_nginx]) {
            self.own(own, parse_own)
        } else {
            self.ingress_nginx(ingress_nginx, parse)
        }
    }

    /// Ours, else that of ingress-nginx, which counts where ours cannot be used, too: for what is weakest where nothing is said.
    pub fn either_usable<T>(
        &mut self,
        (own, parse_own): (&str, impl Fn(&'a str) -> Result<T, &'static str>),
        (ingress_nginx, parse): (&str, impl FnOnce(&'a str) -> Result<T, &'static str>),
    ) -> Option<T> {
        let Some(theirs) = self.ingress_nginx(ingress_nginx, parse) else { return self.own(own, parse_own) };
        let Some(value) = self.own_text(own) else { return Some(theirs) };
        match parse_own(value) {
            Ok(parsed) => {
                self.own_counts(own, &[ingress_nginx]);
                Some(parsed)
            }
            Err(hint) => {
                self.report_unusable(own, value, "that of ingress-nginx stays in force", hint);
                Some(theirs)
            }
        }
    }

    /// Of those of ingress-nginx that were not asked for, nothing is told: it does not read them either.
    pub fn ignore_other_ingress_nginx(&mut self) {
        self.ingress_nginx.clear();
    }

    /// Whether annotations of ingress-nginx are followed on this object: it reads those of Ingresses.
    fn follows_ingress_nginx(&self) -> bool {
        self.context.follows_ingress_nginx && self.kind == Kind::Ingress
    }

    /// Tells of annotations that nobody reads. What the object depends on, from then on.
    pub fn finish(mut self) -> Vec<ObjectRef> {
        for companions in COMPANIONS {
            self.report_companions_alone(companions);
        }
        for (name, ..) in std::mem::take(&mut self.own) {
            self.report_unknown_own(name);
        }
        for (name, value, was_read) in std::mem::take(&mut self.ingress_nginx) {
            if !was_read {
                self.report_unread_ingress_nginx(name, value);
            }
        }
        self.references
    }

    /// Tells of those that say something only beside another one, which is not there.
    fn report_companions_alone(&mut self, companions: &Companions) {
        let Companions { own_principals, own, ingress_nginx_principals, ingress_nginx, .. } = *companions;
        let has_own = own_principals.iter().any(|name| self.own_text(name).is_some());
        if has_own || ingress_nginx_principals.iter().any(|name| self.ingress_nginx_text(name).is_some()) {
            return;
        }
        for name in own {
            if self.own_text(name).is_none() {
                continue;
            }
            let principals = any_of(OWN_PREFIX, own_principals);
            let message = format!("The annotation has no effect without {principals}; write that, or remove this");
            self.report_alone(OWN_PREFIX, name, message);
        }
        for name in ingress_nginx {
            let Some(value) = self.ingress_nginx_text(name) else { continue };
            let asks_for_nothing = |known: &IngressNginxAnnotation| known.is_unchanged_by(value);
            if !find_ingress_nginx_annotation(name).is_some_and(asks_for_nothing) {
                let principals = any_of("", ingress_nginx_principals);
                let message = format!(
                    "The annotation has no effect without {principals}, as in ingress-nginx; write that, or remove this"
                );
                self.report_alone(INGRESS_NGINX_PREFIX, name, message);
            }
        }
    }

    /// Tells of one that has no effect, unless something is said of it already.
    fn report_alone(&mut self, prefix: &str, name: &str, message: String) {
        if !self.draft.has_finding(&annotation_field(prefix, name)) {
            self.report(prefix, name, Reason::Unsupported, message, false);
        }
    }

    /// Tells a canary which of ours say nothing there.
    pub fn report_unread_own_of_canary(&mut self) {
        let is_known = |name: &str| find_own_annotation(name).is_some_and(|known| known.objects != Objects::Services);
        let unread = self.own.iter().filter(|(name, _, was_read)| !was_read && is_known(name));
        let names: Vec<&str> = unread.map(|(name, ..)| *name).collect();
        if !names.is_empty() {
            let message = format!(
                "The Ingress is a canary, whose requests are treated as its main says, so these have no effect: {}; write them on the main, \
                 or remove them",
                list(OWN_PREFIX, &names)
            );
            self.draft.report_note(&FieldPath::root("metadata").field("annotations"), Reason::Unsupported, message);
        }
    }

    fn report_unknown_own(&mut self, name: &str) {
        let hint = match find_own_annotation(name).map(|known| known.objects) {
            Some(Objects::ServicesAndIngresses) => return,
            Some(Objects::Services) if self.kind == Kind::Service => return,
            Some(Objects::Ingresses) if self.kind == Kind::Ingress => return,
            Some(Objects::Services) => "it is for Services; an Ingress has fields for that. Remove it",
            Some(Objects::Ingresses) => "it is for Ingresses. Remove it",
            None => "there is none of this name; correct or remove it",
        };
        self.report_own_loss(name, Reason::Unsupported, format!("The annotation has no effect: {hint}"));
    }

    fn report_unread_ingress_nginx(&mut self, name: &str, value: &str) {
        let Some(known) = find_ingress_nginx_annotation(name) else {
            let message = "The annotation has no effect: neither ingress-nginx nor this entry knows one of this name; \
                           correct or remove it";
            self.report_note(name, Reason::Unsupported, message.to_owned());
            return;
        };
        if known.is_unchanged_by(value) {
            return;
        }
        if self.kind != Kind::Ingress {
            let message = "The annotation has no effect, as in ingress-nginx, which reads those of Ingresses; write ours, or remove \
                           it";
            self.report_note(name, Reason::Unsupported, message.to_owned());
            return;
        }
        let hint = match known.meaning {
            Meaning::Never(why) => why,
            Meaning::Same(_) | Meaning::Differs(_) => "`--ingress-nginx-annotations off` says so",
        };
        let message = format!("The annotation is one of ingress-nginx and has no effect: {hint}. Replace or remove it");
        self.report_loss(name, Reason::Unsupported, message);
    }
}

/// The field of an annotation.
fn annotation_field(prefix: &str, name: &str) -> String {
    FieldPath::root("metadata").field("annotations").key(&[prefix, name].concat()).to_string()
}

/// Names with a prefix, in a sentence.
fn list(prefix: &str, names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("{prefix}{name}")).collect();
    names.join(", ")
}

/// The only name, or any of several, in a sentence.
fn any_of(prefix: &str, names: &[&str]) -> String {
    let list = list(prefix, names);
    if names.len() == 1 { list } else { format!("any of {list}") }
}

/// Those whose names begin so, without that.
fn with_prefix<'a>(
    annotations: &'a BTreeMap<String, String>,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all = annotations.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
    all.map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
}
