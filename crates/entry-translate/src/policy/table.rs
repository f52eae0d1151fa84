//! What is known of an annotation beside its reader: from these rows follow what is told of it, and the pages about it.

/// A topic: the annotations of both dialects that say the same, and their reader.
#[derive(Debug, Clone, Copy)]
pub struct Topic {
    /// What it is about, as a heading.
    pub title: &'static str,
    /// Our annotations.
    pub own: &'static [OwnAnnotation],
    /// Those of ingress-nginx.
    pub ingress_nginx: &'static [IngressNginxAnnotation],
}

/// An annotation of ours.
#[derive(Debug, Clone, Copy)]
pub struct OwnAnnotation {
    /// Its name without `sparrow/`.
    pub name: &'static str,
    /// On which objects it has a meaning.
    pub objects: Objects,
    /// What values it takes and what it does, in Markdown.
    pub value: &'static str,
    /// What happens without it, in Markdown.
    pub default: &'static str,
    /// A value.
    pub example: &'static str,
    /// What is in force where its value cannot be used.
    pub unusable: UnusableValue,
}

/// What is in force where the value of an annotation of ours cannot be used. It never lets in whom the annotation may have kept out, never
/// sends in the clear what it may have kept secret, and never sends a request elsewhere than it may have said: where as without the annotation
/// would, it is something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnusableValue {
    /// The same as without the annotation.
    Ignored,
    /// All that the object is asked for is answered 503.
    Closes,
    /// The same as with this value, which lets the fewest through.
    CountsAs(&'static str),
    /// What these words say, behind "so", in Markdown.
    Narrows(&'static str),
}

impl OwnAnnotation {
    /// One that is ignored where its value cannot be used.
    pub const fn new(
        name: &'static str,
        objects: Objects,
        value: &'static str,
        default: &'static str,
        example: &'static str,
    ) -> Self {
        Self { name, objects, value, default, example, unusable: UnusableValue::Ignored }
    }

    /// Where its value cannot be used, all that the object is asked for is answered 503.
    #[must_use]
    pub const fn closes(self) -> Self {
        Self { unusable: UnusableValue::Closes, ..self }
    }

    /// Where its value cannot be used, it is the same as with this one.
    #[must_use]
    pub const fn counts_as(self, value: &'static str) -> Self {
        Self { unusable: UnusableValue::CountsAs(value), ..self }
    }

    /// Where its value cannot be used, it is as these words say.
    #[must_use]
    pub const fn narrows(self, words: &'static str) -> Self {
        Self { unusable: UnusableValue::Narrows(words), ..self }
    }
}

/// The objects on which an annotation has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objects {
    /// Services with the label.
    Services,
    /// Services with the label, and Ingresses.
    ServicesAndIngresses,
    /// Ingresses.
    Ingresses,
}

/// An annotation of ingress-nginx, as its last release (1.15) reads it.
#[derive(Debug, Clone, Copy)]
pub struct IngressNginxAnnotation {
    /// Its name without `nginx.ingress.kubernetes.io/`.
    pub name: &'static str,
    /// What it is for.
    pub scope: Scope,
    /// Whether it means the same here.
    pub meaning: Meaning,
    /// Values, whatever their case, that ask for what happens without the annotation: they are no finding where it has no meaning.
    pub unchanged: &'static [&'static str],
}

/// What an annotation of ingress-nginx is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The hosts of its Ingress, with all their paths.
    Host,
    /// The paths of its Ingress.
    Rule,
    /// The backends of its Ingress.
    Backend,
}

/// Whether an annotation of ingress-nginx means the same here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It does what it did there. What it does, in a sentence in Markdown.
    Same(&'static str),
    /// It does what it did there, but for what the sentence says.
    Differs(&'static str),
    /// It has no effect: why, and what does the same here if there is something.
    Never(&'static str),
}

impl IngressNginxAnnotation {
    /// One that means the same.
    pub const fn same(name: &'static str, scope: Scope, effect: &'static str) -> Self {
        Self { name, scope, meaning: Meaning::Same(effect), unchanged: &[] }
    }

    /// One that means something else in part.
    pub const fn differs(name: &'static str, scope: Scope, how: &'static str) -> Self {
        Self { name, scope, meaning: Meaning::Differs(how), unchanged: &[] }
    }

    /// One without effect.
    pub const fn never(name: &'static str, scope: Scope, why: &'static str) -> Self {
        Self { name, scope, meaning: Meaning::Never(why), unchanged: &[] }
    }

    /// These values ask for what happens without it.
    #[must_use]
    pub const fn unchanged_by(self, unchanged: &'static [&'static str]) -> Self {
        Self { unchanged, ..self }
    }

    /// Whether a value asks for what happens without the annotation.
    pub fn is_unchanged_by(&self, value: &str) -> bool {
        let value = value.trim();
        // There, a value that is empty is none.
        let asks_for_nothing = value.is_empty() && matches!(self.meaning, Meaning::Never(_));
        asks_for_nothing || self.unchanged.iter().any(|unchanged| value.eq_ignore_ascii_case(unchanged))
    }
}
