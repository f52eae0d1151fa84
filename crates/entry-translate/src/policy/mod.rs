//! Annotations become policies: a file for each topic, with our annotations and those of ingress-nginx that say the same.
//!
//! A topic has rows, of which the documentation is made, and a reader. To add an annotation, write its row and read it; to add a
//! topic, write a file, and name it in [`TOPICS`] and in [`read`].

mod access;
mod alias_pattern;
pub mod aliases;
pub mod annotations;
mod answer_headers;
mod auth_answer;
mod auth_values;
mod backend;
mod backend_tls;
mod balancing;
mod body;
mod buffers;
mod canary;
pub mod canary_request;
mod ciphers;
mod client_certificates;
pub mod client_redirects;
mod client_tls;
mod companions;
mod cors;
mod error_pages;
mod external_auth;
mod forwarded_prefix;
pub mod global_auth;
mod headers;
pub mod hosts;
mod https_redirect;
mod limits;
mod logging;
mod mirror;
mod other;
pub mod outside_address;
pub mod outside_server;
mod passwords;
pub mod path_rewrite;
pub mod path_treatment;
pub mod reader;
mod redirect_url;
mod redirects;
mod request_headers;
mod retries;
mod service_route;
pub mod shared_policy;
mod snippet_access;
mod snippet_answers;
pub mod snippet_guards;
mod snippet_harmless;
mod snippet_lines;
mod snippet_locations;
mod snippet_redirects;
mod snippet_rewrites;
mod snippet_text;
mod snippet_treatment;
mod snippets;
pub mod table;
mod timeouts;
mod tls_passthrough;
mod upstream_vhost;
mod url;
mod value;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use error_pages::parse_error_statuses;
pub use value::parse_size;

use annotations::Annotations;
use canary_request::CanaryRole;
use reader::AnnotationReader;
use table::{IngressNginxAnnotation, OwnAnnotation, Topic};

/// All annotations that are ours begin with it.
pub const OWN_PREFIX: &str = "sparrow/";

/// Those of ingress-nginx begin with it.
pub const INGRESS_NGINX_PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// All topics, in the order in which the documentation has them.
pub const TOPICS: &[Topic] = &[
    service_route::TOPIC,
    path_rewrite::TOPIC,
    redirects::TOPIC,
    hosts::TOPIC,
    https_redirect::TOPIC,
    tls_passthrough::TOPIC,
    canary::TOPIC,
    backend::TOPIC,
    backend_tls::TOPIC,
    balancing::TOPIC,
    retries::TOPIC,
    timeouts::TOPIC,
    body::TOPIC,
    buffers::TOPIC,
    request_headers::TOPIC,
    answer_headers::TOPIC,
    cors::TOPIC,
    limits::TOPIC,
    access::TOPIC,
    external_auth::TOPIC,
    client_certificates::TOPIC,
    client_tls::TOPIC,
    error_pages::TOPIC,
    mirror::TOPIC,
    logging::TOPIC,
    snippets::TOPIC,
    other::TOPIC,
];

/// Reads all annotations.
pub fn read<'a>(reader: &mut AnnotationReader<'a, '_>, annotations: &mut Annotations<'a>) {
    reader.set_dialects_apart();
    // Here a canary says where its requests go, and which they are. How they are treated, its main says.
    backend::read(reader, annotations);
    balancing::read(reader, annotations);
    path_rewrite::read(reader, annotations);
    canary::read(reader, annotations);
    if let Some(CanaryRole::Of(_)) = annotations.canary {
        return reader.report_unread_own_of_canary();
    }
    service_route::read(reader, annotations);
    redirects::read(reader, annotations);
    hosts::read(reader, annotations);
    https_redirect::read(reader, annotations);
    tls_passthrough::read(reader, annotations);
    timeouts::read(reader, annotations);
    body::read(reader, annotations);
    buffers::read(reader, annotations);
    backend_tls::read(reader, annotations);
    request_headers::read(reader, annotations);
    answer_headers::read(reader, annotations);
    retries::read(reader, annotations);
    logging::read(reader, annotations);
    // What annotations say counts more than what snippets do.
    snippets::read(reader, annotations);
    mirror::read(reader, annotations);
    buffers::bound_held_bodies(reader, annotations);
    cors::read(reader, annotations);
    access::read(reader, annotations);
    client_certificates::read(reader, annotations);
    client_tls::read(reader, annotations);
    limits::read(reader, annotations);
    external_auth::read(reader, annotations);
    error_pages::read(reader, annotations);
}

/// What is known of one of ours, by its name without prefix.
pub fn find_own_annotation(name: &str) -> Option<&'static OwnAnnotation> {
    static BY_NAME: LazyLock<HashMap<&str, &OwnAnnotation>> =
        LazyLock::new(|| TOPICS.iter().flat_map(|topic| topic.own).map(|known| (known.name, known)).collect());
    BY_NAME.get(name).copied()
}

/// What is known of one of ingress-nginx, by its name without prefix.
pub fn find_ingress_nginx_annotation(name: &str) -> Option<&'static IngressNginxAnnotation> {
    static BY_NAME: LazyLock<HashMap<&str, &IngressNginxAnnotation>> = LazyLock::new(|| {
        TOPICS.iter().flat_map(|topic| topic.ingress_nginx).map(|known| (known.name, known)).collect()
    });
    BY_NAME.get(name).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use entry_model::{Acceptance, Kind, Snapshot};

    use super::annotations::read_annotations;
    use super::reader::AnnotationContext;
    use super::table::Meaning;
    use super::*;
    use crate::verdict_draft::VerdictDraft;
    use crate::{PolicyDefaults, TlsPassthroughAnnotations};

    /// All that the last release of ingress-nginx reads, its aliases among them.
    const INGRESS_NGINX: &str = include_str!("ingress_nginx_names.txt");

    fn findings(kind: Kind, annotations: &[(&str, &str)]) -> (Acceptance, Vec<String>) {
        let texts: BTreeMap<_, _> =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (defaults, snapshot, quarantine) = (PolicyDefaults::default(), Snapshot::default(), BTreeMap::new());
        let context = AnnotationContext {
            defaults: &defaults,
            follows_ingress_nginx: true,
            paths: &["/"],
            tls: true,
            namespace: "shop",
            quarantine: &quarantine,
            hosts: &["a.example"],
            snapshot: &snapshot,
            tls_passthrough: TlsPassthroughAnnotations::Own,
        };
        let mut draft = VerdictDraft::default();
        draft.mark_served();
        read_annotations(kind, &texts, context, &mut draft);
        let verdict = draft.into_verdict(1);
        (verdict.acceptance(), verdict.findings().iter().map(|finding| finding.message.clone()).collect())
    }

    #[test]
    fn each_annotation_of_ingress_nginx_has_one_row() {
        let mut rows: Vec<_> = TOPICS.iter().flat_map(|topic| topic.ingress_nginx).map(|row| row.name).collect();
        rows.sort_unstable();
        let names: Vec<_> = INGRESS_NGINX.lines().collect();
        assert_eq!(rows, names);
        let own: Vec<_> = TOPICS.iter().flat_map(|topic| topic.own).map(|row| row.name).collect();
        assert_eq!(own.iter().collect::<BTreeSet<_>>().len(), own.len());
    }

    #[test]
    fn each_annotation_that_has_a_meaning_is_read() {
        let off = "`--ingress-nginx-annotations off` says so";
        for row in TOPICS.iter().flat_map(|topic| topic.ingress_nginx) {
            let name = [INGRESS_NGINX_PREFIX, row.name].concat();
            let (_, messages) = findings(Kind::Ingress, &[(&name, "a value that nothing takes")]);
            match row.meaning {
                Meaning::Never(why) => assert!(messages.iter().any(|message| message.contains(why)), "{name}"),
                Meaning::Same(_) | Meaning::Differs(_) => {
                    assert!(!messages.iter().any(|message| message.contains(off)), "{name} is not read");
                }
            }
            for unchanged in row.unchanged {
                let upper = unchanged.to_ascii_uppercase();
                for value in [*unchanged, &upper] {
                    assert_eq!(findings(Kind::Ingress, &[(&name, value)]).0, Acceptance::Accepted, "{name}: {value}");
                }
            }
        }
    }

    #[test]
    fn annotation_of_ingress_nginx_that_has_no_meaning_is_lost() {
        for row in TOPICS.iter().flat_map(|topic| topic.ingress_nginx) {
            if let Meaning::Never(_) = row.meaning {
                let name = [INGRESS_NGINX_PREFIX, row.name].concat();
                let (acceptance, messages) = findings(Kind::Ingress, &[(&name, "a value that nothing takes")]);
                assert_eq!((acceptance, messages.len()), (Acceptance::Partial, 1), "{name}");
            }
        }
    }

    #[test]
    fn name_that_nobody_knows_is_worth_knowing_only() {
        let name = "nginx.ingress.kubernetes.io/rate-limit";
        let (acceptance, messages) = findings(Kind::Ingress, &[(name, "1")]);
        assert_eq!((acceptance, messages.len()), (Acceptance::Accepted, 1));
    }

    #[test]
    fn annotation_of_ours_that_is_not_known_is_lost() {
        for (kind, name) in [(Kind::Ingress, "sparrow/x"), (Kind::Ingress, "sparrow/path"), (Kind::Service, "sparrow/")]
        {
            let (acceptance, messages) = findings(kind, &[(name, "1")]);
            assert_eq!((acceptance, messages.len()), (Acceptance::Partial, 1), "{name}");
        }
    }
}
