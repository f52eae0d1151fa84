//! What a client is told beside what the backend sent.

use entry_model::{HeaderField, Key, Kind, ObjectRef, Reason, Replacement};

use super::annotations::Annotations;
use super::headers::{parse_lines, set_answer_header};
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use crate::verdict_draft::{object_name, quoted};

pub const TOPIC: Topic = Topic {
    title: "Headers of answers",
    own: &[OwnAnnotation {
        name: "response-headers",
        objects: Objects::ServicesAndIngresses,
        value: "`Name: value`, up to 32, one in a line: the client is told this, whatever the backend says; without a value, it is not told what \
                the backend says. `Content-Type`, `Location`, `Server` and those of the connection are said by the backend or this entry. Values take \
                [variables](#variables-in-headers)",
        default: "what the backend says",
        example: "X-Frame-Options: DENY",
        unusable: UnusableValue::Ignored,
    }],
    ingress_nginx: &[
        IngressNginxAnnotation::differs(
            "custom-headers",
            Scope::Rule,
            "`NAMESPACE/NAME` of a ConfigMap whose data are headers that the client is told. It is of the Ingress's namespace, and no list of \
             allowed headers is asked; without the ConfigMap, the headers are missing, rather than 503. Values take \
             [variables of a closed list](annotations.md#variables-in-headers)",
        ),
        IngressNginxAnnotation::same(
            "proxy-cookie-domain",
            Scope::Rule,
            "`FROM TO`: what in `Domain` of the backend's cookies becomes what. No patterns",
        )
        .unchanged_by(&["off"]),
        IngressNginxAnnotation::same(
            "proxy-cookie-path",
            Scope::Rule,
            "`FROM TO`: what at the beginning of `Path` of the backend's cookies becomes what. No patterns",
        )
        .unchanged_by(&["off"]),
        IngressNginxAnnotation::same(
            "proxy-redirect-from",
            Scope::Rule,
            "What at the beginning of the backend's `Location` and `Refresh` becomes what `proxy-redirect-to` says. No patterns; `default` \
             changes nothing, as there",
        )
        .unchanged_by(&["off", "default"]),
        IngressNginxAnnotation::same("proxy-redirect-to", Scope::Rule, "What becomes of `proxy-redirect-from`")
            .unchanged_by(&["off"]),
        IngressNginxAnnotation::never(
            "http2-push-preload",
            Scope::Host,
            "no nginx of today pushes, and no browser takes what is pushed; the header `Link` of the backend passes through, and browsers load \
             what it names",
        )
        .unchanged_by(&["false"]),
    ],
};

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let headers = &mut annotations.policy.answer_headers;
    headers.cookie_domain = read_replacement(reader, "proxy-cookie-domain");
    headers.cookie_path = read_replacement(reader, "proxy-cookie-path");
    headers.redirect = read_redirect(reader);
    read_custom_headers(reader, annotations);
    for field in reader.own("response-headers", parse_lines).unwrap_or_default() {
        set_own_answer_header(reader, annotations, field);
    }
}

/// Headers of a `ConfigMap`.
fn read_custom_headers(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let Some(text) = reader.ingress_nginx_text("custom-headers").map(str::trim) else { return };
    // There, an empty value is none.
    if text.is_empty() {
        return;
    }
    let name = match text.split_once('/') {
        None => text,
        Some((namespace, name)) if namespace == reader.context.namespace => name,
        Some(_) => {
            let message =
                "The headers are not set: the ConfigMap is of another namespace; copy it to the one of this Ingress";
            reader.report_loss("custom-headers", Reason::InvalidRef, message.to_owned());
            return;
        }
    };
    let Some(config_map) = reader.config_map(name) else {
        let key = Key { namespace: reader.context.namespace.to_owned(), name: name.to_owned() };
        let reference = object_name(&ObjectRef::new(Kind::ConfigMap, key));
        let message = format!("The headers are not set: there is no {reference}, or it is not read; make it");
        reader.report_loss("custom-headers", Reason::RefNotFound, message);
        return;
    };
    for (header, value) in &config_map.data {
        let set = HeaderField::new(header, value.trim())
            .and_then(|field| set_answer_header(&mut annotations.policy.answer_headers, field));
        if let Err(why) = set {
            let message =
                format!("The header {} of the ConfigMap is not set, the others are: {why}. Remove it", quoted(header));
            reader.report_loss("custom-headers", Reason::Unsupported, message);
        }
    }
}

fn set_own_answer_header(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>, field: HeaderField) {
    let name = field.name().to_owned();
    if let Err(why) = set_answer_header(&mut annotations.policy.answer_headers, field) {
        let message = format!("The header `{name}` is not set, the others are: {why}. Remove it");
        reader.report_own_loss("response-headers", Reason::Unsupported, message);
    }
}

/// Two words, or `off`.
fn read_replacement(reader: &mut AnnotationReader<'_, '_>, name: &str) -> Option<Replacement> {
    let text = reader.ingress_nginx_text(name)?.trim();
    if text.eq_ignore_ascii_case("off") {
        return None;
    }
    let mut words = text.split_whitespace();
    let (from, to) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let found = if words.next().is_some() { Err("it is two words, or `off`") } else { Replacement::new(from, to) };
    report_replacement(reader, name, found)
}

fn read_redirect(reader: &mut AnnotationReader<'_, '_>) -> Option<Replacement> {
    let from = reader.ingress_nginx_text("proxy-redirect-from").map(str::trim);
    let to = reader.ingress_nginx_text("proxy-redirect-to").map(str::trim);
    let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
    match (from?, to.unwrap_or("off")) {
        (from, to) if is(from, "off") || is(from, "default") || is(to, "off") => None,
        (from, to) => report_replacement(reader, "proxy-redirect-from", Replacement::new(from, to)),
    }
}

fn report_replacement(
    reader: &mut AnnotationReader<'_, '_>,
    name: &str,
    found: Result<Replacement, &'static str>,
) -> Option<Replacement> {
    found
        .map_err(|why| {
            let message = format!("The headers of the backend stay as they are: {why}. Correct or remove it");
            reader.report_loss(name, Reason::Unsupported, message);
        })
        .ok()
}
