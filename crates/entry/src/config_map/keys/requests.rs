//! How requests are answered.

use std::collections::BTreeSet;

use entry_model::BackendMode;
use entry_translate::{HttpsRedirect, parse_error_statuses};

use super::connections::set;
use super::{ConfigKey, left_out, not_followed_unless, read, unchanged};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{items, switch};

pub const KEYS: &[ConfigKey] = &[
    read(
        "ssl-redirect",
        set!(switch, |s, on| {
            s.defaults.https_redirect = if on { HttpsRedirect::WithCertificate } else { HttpsRedirect::Never };
        }),
        "Whether HTTP is redirected to HTTPS where the host has a certificate and no annotation says otherwise; it is without this key",
    ),
    read(
        "force-ssl-redirect",
        set!(switch, |s, on| if on {
            s.defaults.https_redirect = HttpsRedirect::Always;
        }),
        "`true`: HTTP is redirected to HTTPS without a certificate too, where no annotation says otherwise",
    ),
    read(
        "service-upstream",
        service_upstream,
        "`true`: requests are sent to the cluster IPs of Services, as they are without `--backends endpoints`; `false` changes nothing",
    ),
    not_followed_unless("http-redirect-code", &["308"], "it is 308, with which clients keep the method"),
    not_followed_unless(
        "no-tls-redirect-locations",
        &["/.well-known/acme-challenge"],
        "only challenges of ACME are not redirected; an annotation `ssl-redirect` is for the paths of an Ingress",
    ),
    read(
        "default-backend",
        default_backend,
        "A key of ours: the Service to which requests go that no rule takes, and which makes the pages of errors of those that name no \
         other, as `NAMESPACE/SERVICE` or `NAMESPACE/SERVICE:PORT`. As `--default-backend`, which in ingress-nginx is \
         `--default-backend-service`",
    ),
    read(
        "custom-http-errors",
        custom_http_errors,
        "Statuses from 400 to 599, with commas, for which the default backend makes the page, where no annotation names others. The \
         answer keeps the status of the error",
    ),
    read(
        "disable-proxy-intercept-errors",
        set!(switch, |s, on| s.defaults.passes_backend_errors = on),
        "`true`: of these, errors of backends themselves go through as they are, where no annotation says otherwise",
    ),
    not_followed_unless(
        "load-balance",
        &["", "round_robin"],
        "requests are spread in turn, and an annotation can say otherwise",
    ),
    not_followed_unless("upstream-hash-by", &[""], "the annotation `upstream-hash-by` is for an Ingress"),
    not_followed_unless("upstream-hash-by-subset", &["false"], "the annotation of this name is for an Ingress"),
    not_followed_unless("upstream-hash-by-subset-size", &["0", "3"], "the annotation of this name is for an Ingress"),
    not_followed_unless("limit-rate", &["0"], "the annotation `limit-rate` is for an Ingress"),
    not_followed_unless("limit-rate-after", &["0"], "the annotation `limit-rate-after` is for an Ingress"),
    read(
        "limit-req-status-code",
        set!(error_status, |s, status| s.nginx.limit_statuses.requests = Some(status)),
        "What is answered to requests over a limit of requests, from 400 to 599, where `sparrow/limit-status` says no other; 503 without \
         this key",
    ),
    read(
        "limit-conn-status-code",
        set!(error_status, |s, status| s.nginx.limit_statuses.connections = Some(status)),
        "The same of a limit of connections",
    ),
    not_followed_unless("limit-conn-zone-variable", &["$binary_remote_addr"], "limits are by the client's address"),
    not_followed_unless("preserve-trailing-slash", &["false"], "paths are forwarded as they were sent"),
    not_followed_unless("relative-redirects", &["true"], "this entry names host and scheme where it redirects"),
    not_followed_unless("use-port-in-redirects", &["false"], "`--public-https-port` says it"),
    not_followed_unless("app-root", &[""], "the annotation `app-root` is for an Ingress"),
    not_followed_unless(
        "proxy-redirect-from",
        &["off"],
        "what backends say of their own address is passed on as it is",
    ),
    not_followed_unless("proxy-redirect-to", &["off"], "what backends say of their own address is passed on as it is"),
    not_followed_unless("proxy-cookie-domain", &["off"], "cookies are passed on as they are"),
    not_followed_unless("proxy-cookie-path", &["off"], "cookies are passed on as they are"),
    unchanged("strict-validate-path-type", "Paths are served as Kubernetes defines their types"),
    unchanged("default-type", "Answers have the type that backends give them"),
];

fn default_backend(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    settings.defaults.default_backend = Some(context.value.parse()?);
    Ok(Remark::None)
}

/// Pages without anybody who makes them would be none.
fn custom_http_errors(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (mut statuses, mut wrong) = (BTreeSet::new(), Vec::new());
    for item in items(context.value)? {
        match parse_error_statuses(item) {
            Ok(status) => statuses.extend(status),
            Err(_) => wrong.push(item),
        }
    }
    let hint = "write statuses from 400 to 599, with commas between them";
    if statuses.is_empty() && !wrong.is_empty() {
        return Err(hint.to_owned());
    }
    settings.defaults.custom_http_errors = statuses.into_iter().collect();
    if settings.defaults.default_backend.is_none() && !settings.defaults.custom_http_errors.is_empty() {
        let message = "Errors go through as they are, but for objects with an annotation default-backend: name the Service that makes \
                       the pages in `default-backend`, or with --default-backend";
        return Ok(Remark::Loss(message.to_owned()));
    }
    Ok(left_out(&wrong, hint))
}

fn error_status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| (400..=599).contains(status));
    status.ok_or_else(|| "write a status from 400 to 599, such as `429`".to_owned())
}

fn service_upstream(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let is_default = settings.defaults.backends == BackendMode::ClusterIp;
    match switch(context.value)? {
        true => settings.defaults.backends = BackendMode::ClusterIp,
        false if is_default => {
            let message = "Requests are sent to the cluster IPs of Services all the same; `--backends endpoints`, or the annotation \
                           `sparrow/backends`, sends them to endpoints";
            return Ok(Remark::Note(message.to_owned()));
        }
        false => {}
    }
    Ok(Remark::None)
}
