//! What is answered instead of an error of a backend.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use entry_model::{BackendMode, ErrorPages, Key, Reason};

use super::annotations::Annotations;
use super::reader::{AnnotationReader, FoundText};
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{parse_boolean, parse_go_boolean};
use crate::default_backend::DefaultBackend;
use crate::verdict_draft::quoted;

/// What a default backend answers where nobody says for which statuses it is: those of a backend that cannot be reached.
const UNREACHABLE: [u16; 2] = [502, 503];

/// What is told where nobody is there to make pages.
const NO_DEFAULT_BACKEND: &str = "Errors go through as they are: no default backend is named; name a Service in default-backend, or ask \
                                  the operator of the entry for one for all (--default-backend)";

/// Most statuses of a list.
const MOST_STATUSES: usize = 40;

pub const TOPIC: Topic = Topic {
    title: "Error pages",
    own: &[
        own(
            "custom-http-errors",
            "statuses from 400 to 599 with commas between them, for which the default backend makes the page",
            "those for all (`custom-http-errors` of the [settings](config-map.md)); with a default backend, those of a backend that cannot be reached",
            "404,503",
        ),
        own(
            "default-backend",
            "a Service of the namespace that makes the pages of errors",
            "that for all (`--default-backend`), if there is one",
            "pages",
        ),
        own(
            "disable-proxy-intercept-errors",
            "`true`, `false`: whether errors of the backend itself go through as they are",
            "`false`",
            "true",
        ),
    ],
    ingress_nginx: &[
        differs(
            "custom-http-errors",
            "The answer has the status of the error, whatever the default backend says: a page never opens what was refused. It is asked \
             with `GET`. Without default-backend the Service of `--default-backend` makes the page, and without that errors go through as \
             they are: there, the client gets a 404 instead",
        ),
        differs(
            "default-backend",
            "Its port called `http`, else its first, is asked at the cluster IP. Without custom-http-errors it makes the page where no \
             endpoint can be reached (502, 503); a path whose Service is missing is 503. It makes those for all, too",
        ),
        IngressNginxAnnotation::same(
            "disable-proxy-intercept-errors",
            Scope::Rule,
            "Errors of the backend itself go through as they are",
        )
        .unchanged_by(&["false"]),
    ],
};

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::ServicesAndIngresses, value, default, example)
}

const fn differs(name: &'static str, how: &'static str) -> IngressNginxAnnotation {
    IngressNginxAnnotation::differs(name, Scope::Rule, how)
}

const STATUSES: &str = "custom-http-errors";
const SERVER: &str = "default-backend";
const GOES_THROUGH: &str = "disable-proxy-intercept-errors";

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let defaults = reader.context.defaults;
    let asked = reader.either(STATUSES, parse_error_statuses);
    let is_asked = asked.is_some();
    let for_all = Some(&defaults.custom_http_errors).filter(|statuses| !statuses.is_empty());
    let statuses = asked.or_else(|| for_all.cloned());
    let goes_through = reader.either_of((GOES_THROUGH, parse_boolean), (GOES_THROUGH, parse_go_boolean));
    let goes_through = goes_through.unwrap_or(!is_asked && defaults.passes_backend_errors);
    // There, an empty value is none.
    let found = reader.first_text(SERVER, &[SERVER]).filter(|found| found.is_own() || !found.text.trim().is_empty());
    let intercepts = statuses.is_some() && !goes_through;
    let Some(server) = choose_server(reader, found, statuses.is_some(), is_asked) else { return };
    let statuses = statuses.unwrap_or_else(|| UNREACHABLE.into());
    annotations.policy.error_pages = Some(ErrorPages { statuses, intercepts, server });
}

/// Who makes the pages: the Service that an annotation names, else, for statuses that somebody names, that of all.
fn choose_server(
    reader: &mut AnnotationReader<'_, '_>,
    found: Option<FoundText<'_>>,
    has_statuses: bool,
    is_asked: bool,
) -> Option<SocketAddr> {
    let for_all = reader.context.defaults.default_backend.as_ref().filter(|_| has_statuses);
    let of_all = for_all.map(|backend| find_page_server(reader, backend));
    let Some(found) = found else {
        let (reason, message) = match of_all {
            Some(Ok(server)) => return Some(server),
            Some(Err((reason, message))) => (reason, format!("{message}. Until then, errors go through as they are")),
            None => (Reason::Unsupported, NO_DEFAULT_BACKEND.to_owned()),
        };
        // What is asked of all, the operator is told.
        if let Some(statuses) = reader.first_text(STATUSES, &[STATUSES]).filter(|_| is_asked) {
            reader.report_text_loss(&statuses, reason, message);
        }
        return None;
    };
    let (reason, message) = match find_named_server(reader, found.text) {
        Ok(server) => return Some(server),
        Err(error) => error,
    };
    let of_all = of_all.and_then(Result::ok);
    let until = match of_all {
        Some(_) => "the default backend for all makes the pages",
        None => "errors go through as they are",
    };
    reader.report_text_loss(&found, reason, format!("{message}. Until then, {until}"));
    of_all
}

/// Where the Service of this name makes pages.
fn find_named_server(reader: &mut AnnotationReader<'_, '_>, name: &str) -> Result<SocketAddr, (Reason, String)> {
    let service = Key { namespace: reader.context.namespace.to_owned(), name: name.trim().to_owned() };
    if service.name.contains('/') {
        let message =
            format!("The value {} cannot be used: it is the name of a Service of the same namespace", quoted(name));
        return Err((Reason::Invalid, message));
    }
    find_page_server(reader, &DefaultBackend { service, port: None })
}

/// Where a Service makes pages: at its cluster IP.
fn find_page_server(
    reader: &mut AnnotationReader<'_, '_>,
    backend: &DefaultBackend,
) -> Result<SocketAddr, (Reason, String)> {
    let (address, _) = backend.find(reader.service(&backend.service), BackendMode::ClusterIp)?;
    address.cluster_ip().ok_or_else(|| (Reason::Unsupported, "It has no cluster IP".to_owned()))
}

/// Reads statuses of errors with commas between them: from 400 to 599, sorted, each once.
///
/// # Errors
/// What to write instead.
pub fn parse_error_statuses(text: &str) -> Result<Vec<u16>, &'static str> {
    const HINT: &str = "it is a list of statuses from 400 to 599, with commas between them";
    let parse =
        |status: &str| status.trim().parse().ok().filter(|status| (400..=599).contains(status) && *status != 499);
    let statuses: Option<BTreeSet<u16>> = text.split(',').map(parse).collect();
    let statuses = statuses.filter(|statuses| statuses.len() <= MOST_STATUSES);
    statuses.map(|statuses| statuses.into_iter().collect()).ok_or(HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_errors() {
        assert_eq!(parse_error_statuses("503, 404,503"), Ok(vec![404, 503]));
        for text in ["", "200", "600", "4xx", "404;", "-404", "499", "404,"] {
            assert!(parse_error_statuses(text).is_err(), "{text}");
        }
    }
}
