//! What is answered instead of an error of a backend.

use std::collections::BTreeSet;

use entry_model::{BackendMode, ErrorPages, Key, Kind, ObjectRef, Reason};

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{parse_boolean, parse_go_boolean};
use crate::resolve::{default_port, service_address};
use crate::verdict_draft::{object_name, quoted};

/// What a default backend answers where nobody says for which statuses it is: those of a backend that cannot be reached.
const UNREACHABLE: [u16; 2] = [502, 503];

/// Most statuses of a list.
const MOST_STATUSES: usize = 40;

pub const TOPIC: Topic = Topic {
    title: "Error pages",
    own: &[
        own(
            "custom-http-errors",
            "statuses from 400 to 599 with commas between them, for which the default backend makes the page",
            "none; with a default backend, those of a backend that cannot be reached",
            "404,503",
        ),
        own("default-backend", "a Service of the namespace that makes the pages of errors", "none", "pages"),
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
             with `GET`. Without default-backend errors go through as they are",
        ),
        differs(
            "default-backend",
            "Its first port is asked at the cluster IP. Without custom-http-errors it makes the page where no endpoint can be reached \
             (502, 503); a path whose Service is missing is 503",
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
    OwnAnnotation { name, objects: Objects::ServicesAndIngresses, value, default, example }
}

const fn differs(name: &'static str, how: &'static str) -> IngressNginxAnnotation {
    IngressNginxAnnotation::differs(name, Scope::Rule, how)
}

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let theirs = reader.ingress_nginx("custom-http-errors", parse_statuses);
    let statuses = reader.own("custom-http-errors", parse_statuses).or(theirs);
    let theirs = reader.ingress_nginx("disable-proxy-intercept-errors", parse_go_boolean);
    let goes_through = reader.own("disable-proxy-intercept-errors", parse_boolean).or(theirs).unwrap_or(false);
    let theirs = reader.ingress_nginx_text("default-backend");
    let Some(name) = reader.own("default-backend", Ok).or(theirs) else {
        if statuses.is_some() {
            let message = "Errors go through as they are: there is no default backend for all Ingresses; name a Service in \
                           default-backend";
            report(reader, "custom-http-errors", Reason::Unsupported, message.to_owned());
        }
        return;
    };
    match find_server(reader, name) {
        Ok(server) => {
            let intercepts = statuses.is_some() && !goes_through;
            let statuses = statuses.unwrap_or_else(|| UNREACHABLE.into());
            annotations.policy.error_pages = Some(ErrorPages { statuses, intercepts, server });
        }
        Err((reason, message)) => {
            report(reader, "default-backend", reason, format!("{message}. Until then, errors go through as they are"));
        }
    }
}

/// Reports a loss of an annotation in the dialect in which it is written.
fn report(reader: &mut AnnotationReader<'_, '_>, name: &'static str, reason: Reason, message: String) {
    if reader.own(name, Ok).is_some() {
        reader.report_own_loss(name, reason, message);
    } else {
        reader.report_loss(name, reason, message);
    }
}

/// Where the Service of this name makes pages.
fn find_server(reader: &mut AnnotationReader<'_, '_>, name: &str) -> Result<std::net::SocketAddr, (Reason, String)> {
    let key = Key { namespace: reader.context.namespace.to_owned(), name: name.trim().to_owned() };
    if key.name.contains('/') {
        let message =
            format!("The value {} cannot be used: it is the name of a Service of the same namespace", quoted(name));
        return Err((Reason::Invalid, message));
    }
    let service_name = object_name(&ObjectRef::new(Kind::Service, key.clone()));
    let Some(service) = reader.service(&key) else {
        return Err((Reason::RefNotFound, format!("There is no {service_name}; make it, or name another")));
    };
    let explain = |message: &str| format!("{service_name}: {message}");
    let address =
        service_address(service, BackendMode::ClusterIp).map_err(|error| (error.reason, explain(&error.message)))?;
    let (_, port, _) = default_port(service).map_err(|error| (error.reason, explain(&error.message)))?;
    let found = address.with_port(port.port).cluster_ip();
    found.ok_or_else(|| (Reason::Unsupported, explain("It has no cluster IP")))
}

fn parse_statuses(text: &str) -> Result<Vec<u16>, &'static str> {
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
        assert_eq!(parse_statuses("503, 404,503"), Ok(vec![404, 503]));
        for text in ["", "200", "600", "4xx", "404;", "-404", "499", "404,"] {
            assert!(parse_statuses(text).is_err(), "{text}");
        }
    }
}
