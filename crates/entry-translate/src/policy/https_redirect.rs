//! Whether HTTP is redirected to HTTPS.

use entry_model::Reason;

use super::annotations::Annotations;
use super::client_redirects::HttpsRedirect;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::{parse_boolean, parse_go_boolean};

pub const TOPIC: Topic = Topic {
    title: "Redirects to HTTPS",
    own: &[OwnAnnotation {
        name: "ssl-redirect",
        objects: Objects::ServicesAndIngresses,
        value: "`true`, `false`, `always`: whether HTTP is redirected to HTTPS; `true` also while the certificate that is declared for the \
                host cannot be had, `always` where none is declared, too: for a proxy in front that ends TLS and is trusted",
        default: "`true` where the host has a certificate that is for it",
        example: "false",
        unusable: UnusableValue::CountsAs("always"),
    }],
    ingress_nginx: &[
        IngressNginxAnnotation::same(
            "ssl-redirect",
            Scope::Rule,
            "Whether HTTP is redirected to HTTPS, with 308, where the host has a certificate that is for it; `true` also while the certificate \
             that is declared for the host cannot be had",
        ),
        IngressNginxAnnotation::same(
            "force-ssl-redirect",
            Scope::Rule,
            "HTTP is redirected to HTTPS with 308, where the host has no certificate, too. The scheme is the one that a trusted proxy \
             names. What is below `/.well-known/acme-challenge/` is not redirected",
        )
        .unchanged_by(&["false"]),
    ],
};

/// Reads it.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let default = reader.context.defaults.https_redirect;
    if reader.own_counts("ssl-redirect", &["force-ssl-redirect", "ssl-redirect"]) {
        annotations.https_redirect = reader.own("ssl-redirect", parse_redirect).unwrap_or(default);
        return;
    }
    let force = reader.ingress_nginx("force-ssl-redirect", parse_go_boolean);
    let redirects = reader.ingress_nginx("ssl-redirect", parse_go_boolean);
    let is_forced = force.unwrap_or(default == HttpsRedirect::Always);
    annotations.https_redirect = match (is_forced, redirects) {
        (true, _) => HttpsRedirect::Always,
        (false, Some(true)) => HttpsRedirect::WithTls,
        (false, Some(false)) => HttpsRedirect::Never,
        (false, None) if default == HttpsRedirect::Never => HttpsRedirect::Never,
        (false, None) => HttpsRedirect::WithCertificate,
    };
    if force == Some(true) && !reader.context.tls {
        let message = "The hosts have no certificate here, so requests are redirected to where this entry serves nothing, unless a proxy in \
                       front that is trusted (--trusted-proxies) says that they came over HTTPS";
        reader.report_note("force-ssl-redirect", Reason::RefNotFound, message.to_owned());
    }
}

fn parse_redirect(text: &str) -> Result<HttpsRedirect, &'static str> {
    match (text, parse_boolean(text)) {
        ("always", _) => Ok(HttpsRedirect::Always),
        (_, Ok(true)) => Ok(HttpsRedirect::Wanted),
        (_, Ok(false)) => Ok(HttpsRedirect::Never),
        (_, Err(_)) => Err("write `true`, `false` or `always`"),
    }
}
