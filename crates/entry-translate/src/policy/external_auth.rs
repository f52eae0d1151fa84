//! Another server is asked whether a request may pass.
//!
//! What would leave a path open that its owner wants closed is never ignored: its requests are answered 503 until it is mended.

use entry_model::{ExternalAuth, Key, Kind, ObjectRef, Reason, UrlText};

use super::annotations::Annotations;
use super::auth_values::{MOST_HEADERS, can_be_told, parse_header_names, parse_method, parse_parameter, parse_sign_in};
use super::global_auth::GlobalQuestion;
use super::headers::is_said_by_entry;
use super::outside_server::{Unreachable, find_asked_server, find_server};
use super::reader::{AnnotationReader, FoundText};
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::url::{HttpUrl, parse_http_url, parse_url_text};
use super::value::{parse_boolean, parse_go_boolean};
use crate::verdict_draft::{object_name, quoted};

/// What is said of annotations that rule connections to the server.
const KEPT: &str = "Connections in the clear to a Service or an address are kept as those to backends are; over TLS, and to other names, each question has \
                    one of its own";

pub const TOPIC: Topic = Topic {
    title: "External authentication",
    own: &[
        own(
            "auth-url",
            "a URL that is asked before each request: 2xx lets it pass, 401 and 403 are the answer, anything else is 500",
            "nobody is asked",
            "http://authelia.auth.svc.cluster.local/api/authz/auth-request",
        ).closes(),
        own(
            "auth-signin",
            "a URL to which clients are sent, with 302, instead of 401",
            "401",
            "https://auth.example.com",
        ),
        own(
            "auth-signin-redirect-param",
            "the parameter of that URL that says where the client wants to go, if the URL has none of this name",
            "`rd`",
            "return_to",
        ),
        own("auth-method", "the method with which it is asked", "`GET`", "HEAD").closes(),
        own(
            "auth-response-headers",
            "headers of its answer, with commas between them, that the backend gets; a client's own are dropped",
            "none",
            "Remote-User, Remote-Groups",
        ).closes(),
        own(
            "auth-request-redirect",
            "what it is told in `X-Auth-Request-Redirect`",
            "the path and the query",
            "https://$host$request_uri",
        ),
        own(
            "auth-always-set-cookie",
            "`true`, `false`: whether its cookies go to the client with answers that say that something is wrong, too",
            "`false`",
            "true",
        ),
        own(
            "auth-proxy-set-headers",
            "a ConfigMap of the namespace: headers that it is told, none of those that this entry says itself of each client",
            "none",
            "auth-headers",
        ).closes(),
        own(
            "enable-global-auth",
            "`true`, `false`: whether the server is asked that the [settings](config-map.md) have for all, where no auth-url names another",
            "`true`",
            "false",
        ),
        OwnAnnotation {
            name: "requests-from",
            objects: Objects::Services,
            value: "of any Service, with the label or not: names of namespaces with commas between them, or `*`. Their objects may have any \
                    requests sent to it that annotations ask for beside routes, such as auth-url; others may not",
            default: "its own, and others may ask it with `GET` and `HEAD`, see [below](#servers-of-other-namespaces)",
            example: "shop,blog",
            unusable: UnusableValue::Narrows("no other namespace may"),
        },
    ],
    ingress_nginx: &[
        differs(
            "auth-url",
            "A name of the cluster (`NAME.NAMESPACE.svc…`) is the Service's cluster IP, without DNS. Of variables it takes `$host`, \
             `$http_host`, `$best_http_host`, `$scheme`, `$pass_access_scheme`, `$request_method`, `$request_uri`, \
             `$escaped_request_uri`, `$uri`, `$is_args` and `$args`, and stands for them as they were sent. Addresses of the entry, its \
             machine and the API server are not asked. A Service of another namespace, or an address of the cluster, is asked with `GET` and \
             `HEAD` only, unless the Service's `sparrow/requests-from` says more. The certificate of a server of `https` is not verified, as \
             there. What cannot be used is 503, as there",
        ),
        differs(
            "auth-signin",
            "It takes the same variables, of the host `$host`, `$http_host` and `$best_http_host`",
        ),
        same("auth-signin-redirect-param", "The parameter that says where the client wants to go, by default `rd`"),
        same("auth-method", "The method with which the server is asked; a value that is none is 503"),
        same(
            "auth-response-headers",
            "Headers of the answer that the backend gets; a client's own are dropped. A value that is none is 503",
        ),
        same("auth-request-redirect", "What the server is told in `X-Auth-Request-Redirect`"),
        same("auth-always-set-cookie", "Whether its cookies go to the client with every answer"),
        differs("auth-cache-key", "Its answers are not kept: the server is asked before each request"),
        differs("auth-cache-duration", "Its answers are not kept: the server is asked before each request"),
        differs("auth-keepalive", KEPT),
        differs("auth-keepalive-requests", KEPT),
        differs("auth-keepalive-share-vars", "The question and the request share no variables"),
        differs("auth-keepalive-timeout", KEPT),
        differs(
            "auth-proxy-set-headers",
            "A ConfigMap of the same namespace alone, which the entry must be able to read, else 503; with a variable in a value, or one of \
             the headers that the entry says of each client (`X-Forwarded-…`, `X-Real-IP`), 503, too",
        ),
        IngressNginxAnnotation::never(
            "auth-snippet",
            Scope::Rule,
            "text of annotations never becomes configuration of nginx, since whoever may write an Ingress would rule all of it; write \
             headers into auth-proxy-set-headers",
        ),
        same(
            "enable-global-auth",
            "Whether the server is asked that the [settings](config-map.md) have for all (`global-auth-url`)",
        ),
    ],
};

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::ServicesAndIngresses, value, default, example)
}

const fn same(name: &'static str, effect: &'static str) -> IngressNginxAnnotation {
    IngressNginxAnnotation::same(name, Scope::Rule, effect)
}

const fn differs(name: &'static str, how: &'static str) -> IngressNginxAnnotation {
    IngressNginxAnnotation::differs(name, Scope::Rule, how)
}

/// What cannot be used of an annotation: it is reported, and the rules of the object are answered 503.
struct Unusable {
    name: &'static str,
    reason: Reason,
    message: String,
}

impl Unusable {
    fn value(name: &'static str, value: &str, hint: &str) -> Self {
        Self { name, reason: Reason::Invalid, message: format!("The value {} cannot be used: {hint}", quoted(value)) }
    }
}

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let mut texts = |name| either(reader, name).map(|found| found.text);
    let all = Texts {
        url: texts("auth-url"),
        method: texts("auth-method"),
        response_headers: texts("auth-response-headers"),
        request_headers: texts("auth-proxy-set-headers"),
    };
    let sign_in = read_sign_in(reader);
    let request_redirect = read_checked(reader, "auth-request-redirect", parse_url_text);
    let always_set_cookie =
        reader.either_of(("auth-always-set-cookie", parse_boolean), ("auth-always-set-cookie", parse_go_boolean));
    let always_set_cookie = always_set_cookie.unwrap_or(false);
    // Whether answers or connections are kept changes how often the server is asked, and nothing else.
    for name in ["auth-cache-key", "auth-cache-duration"] {
        reader.ingress_nginx_text(name);
    }
    for name in ["auth-keepalive", "auth-keepalive-requests", "auth-keepalive-share-vars", "auth-keepalive-timeout"] {
        reader.ingress_nginx_text(name);
    }
    ask(reader, annotations, &all, (sign_in, request_redirect, always_set_cookie));
    if !annotations.auth_answer.renamed.is_empty() && annotations.policy.external_auth.is_some() {
        let renamed = std::mem::take(&mut annotations.auth_answer.renamed);
        if let Some(auth) = &mut annotations.policy.external_auth {
            auth.renamed_headers = renamed;
        }
    }
}

/// Has the server asked that the object names, else the one that is for all.
fn ask(
    reader: &mut AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    all: &Texts<'_>,
    (sign_in, request_redirect, always_set_cookie): (Option<UrlText>, Option<UrlText>, bool),
) {
    let asks_all = reader
        .either_of(("enable-global-auth", parse_boolean), ("enable-global-auth", parse_go_boolean))
        .unwrap_or(true);
    let Some(url) = all.url else {
        if asks_all {
            ask_for_all(reader, annotations);
        }
        return;
    };
    match read_questions(reader, url, all) {
        Ok(auth) => {
            annotations.policy.external_auth =
                Some(ExternalAuth { sign_in, request_redirect, always_set_cookie, ..auth });
        }
        Err(Unusable { name, reason, message }) => {
            annotations.policy.external_auth = Some(ExternalAuth::closed());
            let message = format!("{message}. Until then, requests are answered 503, since they would pass unasked");
            report(reader, name, reason, message);
        }
    }
}

/// Has the server asked that settings have for all. Where they cannot be followed nobody passes.
fn ask_for_all(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let asked = &reader.context.defaults.external_auth;
    if !asked.is_asked() {
        return;
    }
    annotations.is_asked_for_all = true;
    let auth = match asked.question() {
        Some(question) => answer_for_all(reader, question).map_err(|Unreachable { reason, message }| (reason, message)),
        // What is wrong with it, the operator is told.
        None => Err((Reason::Invalid, "Its settings cannot be used; ask the operator of the entry".to_owned())),
    };
    annotations.policy.external_auth = Some(auth.unwrap_or_else(|(reason, message)| {
        let message = format!(
            "The server that is asked for all whether requests may pass (global-auth-url) cannot be asked. {message}. Until then, requests \
             are answered 503, since they would pass unasked"
        );
        reader.report_object_loss(reason, message);
        ExternalAuth::closed()
    }));
}

fn answer_for_all(
    reader: &mut AnnotationReader<'_, '_>,
    asked: GlobalQuestion<'_>,
) -> Result<ExternalAuth, Unreachable> {
    // The operator names it, so that the namespace of the Service has nothing to say.
    let server = find_asked_server(reader, asked.url)?;
    let HttpUrl { tls, host, target, .. } = asked.url;
    Ok(ExternalAuth {
        server,
        tls: *tls,
        host: host.clone(),
        target: target.clone(),
        method: asked.method.cloned(),
        response_headers: asked.response_headers.to_vec(),
        renamed_headers: Vec::new(),
        request_headers: Vec::new(),
        sign_in: asked.sign_in,
        request_redirect: asked.request_redirect.cloned(),
        always_set_cookie: asked.always_set_cookie,
    })
}

/// The texts that must be usable.
struct Texts<'a> {
    url: Option<&'a str>,
    method: Option<&'a str>,
    response_headers: Option<&'a str>,
    request_headers: Option<&'a str>,
}

/// The text of an annotation, ours before theirs.
fn either<'a>(reader: &mut AnnotationReader<'a, '_>, name: &'static str) -> Option<FoundText<'a>> {
    reader.first_text(name, &[name])
}

/// Reports a loss of an annotation in the dialect in which it is written.
fn report(reader: &mut AnnotationReader<'_, '_>, name: &'static str, reason: Reason, message: String) {
    if let Some(found) = either(reader, name) {
        reader.report_text_loss(&found, reason, message);
    }
}

/// A value without which the path is as closed: one that cannot be used is left out, and a finding says so.
fn read_checked<T>(
    reader: &mut AnnotationReader<'_, '_>,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Option<T> {
    let found = either(reader, name)?;
    let text = found.text;
    match parse(text) {
        Ok(value) => Some(value),
        Err(hint) => {
            let message = format!("The value {} cannot be used, so it is left out: {hint}", quoted(text));
            reader.report_text_loss(&found, Reason::Invalid, message);
            None
        }
    }
}

/// Where clients sign in, with where they want to go.
fn read_sign_in(reader: &mut AnnotationReader<'_, '_>) -> Option<UrlText> {
    let parameter = read_checked(reader, "auth-signin-redirect-param", parse_parameter);
    let parameter = parameter.unwrap_or_else(|| "rd".to_owned());
    read_checked(reader, "auth-signin", |text| parse_sign_in(text, &parameter))
}

/// What is asked, of whom, and what becomes of the answer.
fn read_questions(reader: &mut AnnotationReader<'_, '_>, url: &str, all: &Texts<'_>) -> Result<ExternalAuth, Unusable> {
    let parsed = parse_http_url(url.trim()).map_err(|hint| Unusable::value("auth-url", url, hint))?;
    let method = all.method.map(|text| parse_method(text).map_err(|hint| Unusable::value("auth-method", text, hint)));
    let method = method.transpose()?;
    let response_headers = all
        .response_headers
        .map(|text| parse_header_names(text).map_err(|hint| Unusable::value("auth-response-headers", text, hint)));
    let response_headers = response_headers.transpose()?;
    let request_headers = all.request_headers.map(|text| read_request_headers(reader, text)).transpose()?;
    let is_question =
        request_headers.is_none() && method.as_deref().is_none_or(|method| matches!(method, "GET" | "HEAD"));
    let server = if is_question { find_asked_server(reader, &parsed) } else { find_server(reader, &parsed) };
    let server = server.map_err(|Unreachable { reason, message }| Unusable { name: "auth-url", reason, message })?;
    let HttpUrl { tls, host, target, .. } = parsed;
    Ok(ExternalAuth {
        server,
        tls,
        host,
        target,
        method,
        response_headers: response_headers.unwrap_or_default(),
        renamed_headers: Vec::new(),
        request_headers: request_headers.unwrap_or_default(),
        sign_in: None,
        request_redirect: None,
        always_set_cookie: false,
    })
}

/// The headers of a `ConfigMap`. All must be usable, since the server may decide by them.
fn read_request_headers(reader: &mut AnnotationReader<'_, '_>, text: &str) -> Result<Vec<(String, String)>, Unusable> {
    const NAME: &str = "auth-proxy-set-headers";
    let own_namespace = reader.context.namespace;
    let name = match text.split_once('/') {
        Some((namespace, name)) if namespace == own_namespace => name,
        Some(_) => {
            return Err(Unusable::value(
                NAME,
                text,
                "a ConfigMap of another namespace is not read; make one in the Ingress's",
            ));
        }
        None => text,
    };
    let key = Key { namespace: own_namespace.to_owned(), name: name.to_owned() };
    let Some(map) = reader.config_map(name) else {
        let reference = object_name(&ObjectRef::new(Kind::ConfigMap, key));
        let message = format!("There is no {reference}, or it is not read; make it");
        return Err(Unusable { name: NAME, reason: Reason::RefNotFound, message });
    };
    if map.data.len() > MOST_HEADERS {
        return Err(Unusable::value(NAME, text, "it has more than 32 headers; keep fewer in it"));
    }
    let is_value =
        |value: &str| value.len() <= 1024 && value.bytes().all(|byte| byte >= b' ' && byte != 0x7f && byte != b'$');
    map.data
        .iter()
        .map(|(name, value)| {
            if is_said_by_entry(name) {
                let hint = format!(
                    "its key {} is a header that the entry says itself of each client; remove it",
                    quoted(name)
                );
                Err(Unusable::value(NAME, text, &hint))
            } else if can_be_told(name) && is_value(value) {
                Ok((name.clone(), value.clone()))
            } else {
                let hint =
                    format!("its key {} is no header with a value of printable characters without `$`", quoted(name));
                Err(Unusable::value(NAME, text, &hint))
            }
        })
        .collect()
}
