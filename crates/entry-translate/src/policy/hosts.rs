//! Further names of a host.

use entry_model::Reason;

use super::alias_pattern::parse_alias;
use super::aliases::Aliases;
use super::annotations::Annotations;
use super::reader::{AnnotationReader, FoundText};
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use crate::verdict_draft::quoted;

/// Most further names of a host.
const MAX_ALIASES: usize = 32;

pub const TOPIC: Topic = Topic {
    title: "Hosts",
    own: &[OwnAnnotation {
        name: "aliases",
        objects: Objects::Ingresses,
        value: "hosts, with commas between them, for which the same is served as for the first host of the Ingress, unless a rule of its \
                namespace names them, or they belong to another namespace; over HTTPS if its certificate is for them. A regular expression \
                (`~^(www\\.)?example\\.com$`) is taken that stands for up to 16 names and wildcards",
        default: "none",
        example: "example.org,www.example.org",
        unusable: UnusableValue::Narrows("it is not served for that host, and for the others it is"),
    }],
    ingress_nginx: &[IngressNginxAnnotation::differs(
        "server-alias",
        Scope::Host,
        "The same is served for these hosts as for the first host of the Ingress, unless a rule of its namespace names them, or they belong to \
         another namespace. A regular expression is taken that stands for up to 16 names and wildcards (`~^(www\\.)?example\\.com$`, \
         `~^.+\\.example\\.com$`, where a wildcard is for one label, as everywhere here); another one is not served, and a finding names it",
    )],
};

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let Some(found) = reader.first_text("aliases", &["server-alias"]) else { return };
    let mut hosts = Vec::new();
    for text in found.text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        match parse_alias(text) {
            Ok(names) if hosts.len() + names.len() <= MAX_ALIASES => hosts.extend(names),
            Ok(_) => report(
                reader,
                &found,
                &format!("Of further hosts at most {MAX_ALIASES} are served, so not {}", quoted(text)),
            ),
            Err(message) => report(reader, &found, &message),
        }
    }
    let annotation = if found.is_own() { "sparrow/aliases" } else { "nginx.ingress.kubernetes.io/server-alias" };
    annotations.aliases = Aliases { hosts, annotation };
}

fn report(reader: &mut AnnotationReader<'_, '_>, found: &FoundText<'_>, message: &str) {
    let message = format!("{message}. It is not served, the other hosts are");
    reader.report_text_loss(found, Reason::Invalid, message);
}
