//! Who may connect, by a certificate.

use entry_model::{
    ClientCertificateRule, ClientCertificates, ClientVerification, Kind, Reason, Secret, VerificationMode,
};
use pattern_engine::BoundedPattern;

use super::access::find_secret;
use super::annotations::Annotations;
use super::reader::{AnnotationReader, FoundText};
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{parse_boolean, parse_go_boolean, parse_go_number};
use crate::authorities::{read_authorities, read_revocation_lists};
use crate::verdict_draft::quoted;

pub const TOPIC: Topic = Topic {
    title: "Client certificates",
    own: &[
        own(
            "client-certificate-secret",
            "the name of a Secret of the same namespace, of any type: its key `ca.crt` has the authorities whose certificates let clients in, \
             `ca.crl` lists of those that are revoked. For all paths of the host, see [below](#client-certificates)",
            "nobody is asked",
            "client-ca",
        ).closes(),
        own(
            "client-certificate-verify",
            "`on`: others are answered 400; `optional`: clients without one get in, too; `optional_no_ca`: those with one of anybody, too; \
             `off`: nobody is asked",
            "`on`",
            "optional",
        ).counts_as("on"),
        own(
            "client-certificate-depth",
            "a number: how many certificates there may be between that of a client and that of an authority",
            "`1`",
            "2",
        ),
        own(
            "client-certificate-error-page",
            "a URL: where clients are sent that have no valid one",
            "they are answered 400",
            "https://example.com/no-certificate",
        ),
        own(
            "client-certificate-subject",
            "a pattern that the subject must match, as RFC 2253 writes it; others are answered 403",
            "every subject",
            "CN=robot-[0-9]+",
        ).closes(),
        own(
            "client-certificate-pass",
            "`true`, `false`: whether backends get the certificate in the header `ssl-client-cert`",
            "`false`",
            "true",
        ),
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::differs(
            "auth-tls-secret",
            Scope::Host,
            "A Secret of the same namespace, with `ca.crt` and, if there is one, `ca.crl`, for all paths of the host. Where it cannot be used, \
             requests are answered 503. An Ingress of the host that asks for something else than the oldest is answered 503. Over plain HTTP \
             nobody gets in, where a certificate is required",
        ),
        IngressNginxAnnotation::same(
            "auth-tls-verify-client",
            Scope::Host,
            "`on`, `optional`, `optional_no_ca` or `off`; `on` without it",
        ),
        IngressNginxAnnotation::same(
            "auth-tls-verify-depth",
            Scope::Host,
            "How many certificates there may be between that of a client and that of an authority; 1 without it",
        ),
        IngressNginxAnnotation::differs(
            "auth-tls-error-page",
            Scope::Host,
            "A URL with `http://` or `https://` to which clients without a valid certificate are sent. Paths and names of locations have no \
             effect: nobody would be asked for a certificate there",
        ),
        IngressNginxAnnotation::differs(
            "auth-tls-match-cn",
            Scope::Host,
            "A pattern that the subject must match, without look-around and back-references; others are answered 403. With one that cannot be \
             used, requests are answered 503: there, nobody is asked for a certificate then",
        ),
        IngressNginxAnnotation::same(
            "auth-tls-pass-certificate-to-upstream",
            Scope::Host,
            "`true`: backends get the certificate in the header `ssl-client-cert`. In any case they get `ssl-client-verify`, \
             `ssl-client-subject-dn` and `ssl-client-issuer-dn`, which clients cannot send",
        )
        .unchanged_by(&["false"]),
    ],
};

/// Longest URL of an error page, in bytes.
const MAX_URL: usize = 1000;

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::ServicesAndIngresses, value, default, example)
}

/// Reads them. Where a certificate is asked for and it cannot be known which, nobody may ask.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let mode = reader.either_of(("client-certificate-verify", parse_mode), ("auth-tls-verify-client", parse_mode));
    let depth = reader.either_of(("client-certificate-depth", parse_depth), ("auth-tls-verify-depth", parse_go_number));
    let error_page = reader.either_of(("client-certificate-error-page", parse_url), ("auth-tls-error-page", parse_url));
    let passes_certificate = reader.either_of(
        ("client-certificate-pass", parse_boolean),
        ("auth-tls-pass-certificate-to-upstream", parse_go_boolean),
    );
    let passes_certificate = passes_certificate == Some(true);
    let subject = reader.first_text("client-certificate-subject", &["auth-tls-match-cn"]);
    // There, an empty one is none.
    let subject = subject.filter(|found| found.is_own() || !found.text.trim().is_empty());
    let Some(secret) = reader.first_text("client-certificate-secret", &["auth-tls-secret"]) else {
        let verify = reader.first_text("client-certificate-verify", &["auth-tls-verify-client"]);
        let asks = |found: &FoundText<'_>| mode.map_or(found.is_own(), |mode| mode.is_some());
        let asking = [subject, verify.filter(asks)].into_iter().flatten();
        if let Some(found) = asking.max_by_key(FoundText::is_own) {
            report_without_secret(reader, annotations, &found);
        }
        return;
    };
    let Some(mode) = mode.unwrap_or(Some(VerificationMode::Required)) else { return };
    let depth = depth.filter(|depth| *depth > 0).map_or(1, |depth| u8::try_from(depth).unwrap_or(u8::MAX));
    let subject = match subject.map(|found| (found, parse_subject(found.text))) {
        None => None,
        Some((_, Ok(subject))) => Some(subject),
        Some((found, Err(message))) => return close(reader, annotations, &found, Reason::Invalid, &message),
    };
    let object = match find_secret(reader, &secret) {
        Ok(object) => object,
        Err((reason, message)) => return close(reader, annotations, &secret, reason, &message),
    };
    match verification(object, mode, depth, error_page) {
        Ok(verification) => {
            let rule = ClientCertificateRule { verification: verification.into(), subject, passes_certificate };
            annotations.policy.client_certificates = Some(ClientCertificates::Usable(rule));
        }
        Err(message) => close(reader, annotations, &secret, Reason::InvalidRef, &message),
    }
}

/// Something is asked of certificates, and no Secret says whose they are to be.
fn report_without_secret(
    reader: &mut AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    found: &FoundText<'_>,
) {
    if found.is_own() {
        let message = "No Secret with the authorities is named; write its name into sparrow/client-certificate-secret";
        close(reader, annotations, found, Reason::Invalid, message);
    } else {
        let message = "Nobody is asked for a certificate, as in ingress-nginx: no Secret with the authorities is named; write its name into \
                       the annotation auth-tls-secret";
        reader.report_text_loss(found, Reason::Invalid, message.to_owned());
    }
}

/// Says that nobody may ask, since it is not known who may.
fn close(
    reader: &mut AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    found: &FoundText<'_>,
    reason: Reason,
    message: &str,
) {
    let message = format!("{message}. Until then, nobody may ask: requests for the host are answered 503");
    reader.report_text_loss(found, reason, message);
    annotations.unavailable = true;
    annotations.policy.client_certificates = Some(ClientCertificates::Unusable);
}

fn verification(
    secret: &Secret,
    mode: VerificationMode,
    depth: u8,
    error_page: Option<String>,
) -> Result<ClientVerification, String> {
    let authorities = read_authorities(&secret.authorities)?.into();
    let revoked = read_revocation_lists(&secret.revoked)?.into();
    let origin = secret.meta.object(Kind::Secret);
    Ok(ClientVerification { mode, depth, authorities, revoked, error_page, origin })
}

/// None if nobody is asked.
fn parse_mode(text: &str) -> Result<Option<VerificationMode>, &'static str> {
    match text.trim() {
        "on" => Ok(Some(VerificationMode::Required)),
        "optional" => Ok(Some(VerificationMode::Optional)),
        "optional_no_ca" => Ok(Some(VerificationMode::OptionalOfAnyone)),
        "off" => Ok(None),
        _ => Err("it is `on`, `optional`, `optional_no_ca` or `off`"),
    }
}

fn parse_depth(text: &str) -> Result<i64, &'static str> {
    text.parse().ok().filter(|depth| (1..=100).contains(depth)).ok_or("write a number from 1 to 100")
}

/// A URL of which each character stands for itself.
fn parse_url(text: &str) -> Result<String, &'static str> {
    const HINT: &str = "it is a URL that begins with `http://` or `https://`, of letters, digits and `-._~:/?&=%+,@`";
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(HINT)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?&=%+,@".contains(&byte);
    let has_host = rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    (has_host && text.len() <= MAX_URL && rest.bytes().all(is_plain)).then(|| text.to_owned()).ok_or(HINT)
}

/// A pattern for subjects, in which a space stands for itself.
fn parse_subject(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("The pattern is empty, so that every subject would match it; write one".to_owned());
    }
    let pattern = text.replace(' ', "\\x20");
    let parsed = BoundedPattern::parse(&pattern)
        .map_err(|error| format!("The pattern {} cannot be used: {error}", quoted(text)));
    parsed.map(|_| pattern)
}
