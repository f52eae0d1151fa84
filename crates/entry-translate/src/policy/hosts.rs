//! Further names of a host.

use entry_model::Reason;

use super::aliases::Aliases;
use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use crate::host::parse_host;
use crate::verdict_draft::quoted;

/// Most further names of a host.
const MAX_ALIASES: usize = 32;

pub const TOPIC: Topic = Topic {
    title: "Hosts",
    own: &[OwnAnnotation {
        name: "aliases",
        objects: Objects::Ingresses,
        value: "hosts, with commas between them, for which the same is served as for the first host of the Ingress, unless a rule names \
                them; over HTTPS if its certificate is for them",
        default: "none",
        example: "example.org,www.example.org",
    }],
    ingress_nginx: &[IngressNginxAnnotation::differs(
        "server-alias",
        Scope::Host,
        "The same is served for these hosts as for the first host of the Ingress, unless a rule names them; names and wildcards \
             are taken, regular expressions are not",
    )],
};

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let theirs = reader.ingress_nginx_text("server-alias");
    let (text, name) = match reader.own("aliases", Ok) {
        Some(own) => (own, "sparrow/aliases"),
        None => match theirs {
            Some(theirs) => (theirs, "nginx.ingress.kubernetes.io/server-alias"),
            None => return,
        },
    };
    let mut hosts = Vec::new();
    for text in text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        match parse_host(text) {
            Ok(host) if hosts.len() < MAX_ALIASES => hosts.push(host),
            Ok(_) => report(
                reader,
                name,
                &format!("Of further hosts at most {MAX_ALIASES} are served, so not {}", quoted(text)),
            ),
            Err(message) => report(reader, name, &message),
        }
    }
    annotations.aliases = Aliases { hosts, annotation: name };
}

fn report(reader: &mut AnnotationReader<'_, '_>, name: &'static str, message: &str) {
    let message = format!("{message}. It is not served, the other hosts are");
    match name.strip_prefix(super::OWN_PREFIX) {
        Some(own) => reader.report_own_loss(own, Reason::Invalid, message),
        None => reader.report_loss("server-alias", Reason::Invalid, message),
    }
}
