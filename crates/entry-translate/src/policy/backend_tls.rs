//! How a backend is known, and what it is shown.

use std::collections::BTreeSet;

use entry_model::{BackendTls, Kind, ObjectRef, Pem, Reason, Secret, TlsVersion, Verification, own_object_name};

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{parse_integer, parse_on_off};
use crate::authorities::read_authorities;
use crate::certificate::load_certificate;
use crate::verdict_draft::quoted;

pub const TOPIC: Topic = Topic {
    title: "TLS to backends",
    own: &[
        own(
            "backend-tls-secret",
            "a Secret of the object's namespace: the backend is verified by the authorities in its `ca.crt`, and shown its `tls.crt` with \
             `tls.key`, if they are there. Without the Secret, or without authorities in it, the answer is 503",
            "the backend is not verified, and shown no certificate",
            "backend-ca",
        ).closes(),
        own(
            "backend-tls-name",
            "the name that the backend's certificate is for, and that it is sent (SNI); with `backend-tls-secret`",
            "the host of the request",
            "web.shop.svc",
        ).closes(),
        own(
            "backend-tls-verify",
            "`on`, `off`: whether the backend is verified; `off`: it is only shown the certificate of `backend-tls-secret`",
            "`on`",
            "off",
        ).counts_as("on"),
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::same(
            "proxy-ssl-ciphers",
            Scope::Backend,
            "Ciphers up to TLS 1.2, as OpenSSL has them; with `proxy-ssl-secret`, as all of these",
        ),
        IngressNginxAnnotation::differs(
            "proxy-ssl-name",
            Scope::Backend,
            "The name that the backend's certificate is for, and that it is sent. Without it the host of the request, and there a name that no \
             certificate has",
        ),
        IngressNginxAnnotation::differs(
            "proxy-ssl-protocols",
            Scope::Backend,
            "`TLSv1.2`, `TLSv1.3` or both, which is the default; there `TLSv1.2` is",
        ),
        IngressNginxAnnotation::differs(
            "proxy-ssl-secret",
            Scope::Backend,
            "`NAMESPACE/NAME` of a Secret with the authorities of backends in `ca.crt`, and the certificate that they are shown in `tls.crt` \
             and `tls.key`. It is of the Ingress's namespace. Where it is missing or broken, the answer is 503. Connections to such a backend \
             are not kept, so that none is used for a request that was to be verified otherwise",
        ),
        IngressNginxAnnotation::differs(
            "proxy-ssl-server-name",
            Scope::Backend,
            "`off`: the backend is not sent a name (SNI). Without it, it is sent one here, and none there",
        )
        .unchanged_by(&["on"]),
        IngressNginxAnnotation::same(
            "proxy-ssl-verify",
            Scope::Backend,
            "`on`: the backend must have a certificate of the authorities in `ca.crt`. Without `proxy-ssl-secret` it has no effect, as there",
        )
        .unchanged_by(&["off"]),
        IngressNginxAnnotation::same(
            "proxy-ssl-verify-depth",
            Scope::Backend,
            "How many certificates there may be between the authority and the backend's; 1 without it",
        ),
    ],
};

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::ServicesAndIngresses, value, default, example)
}

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let wanted = read_wanted(reader);
    let own_verifies = reader.own("backend-tls-verify", parse_on_off);
    let their_verifies = reader.ingress_nginx("proxy-ssl-verify", parse_on_off) == Some(true);
    let name = reader.own("backend-tls-name", parse_name);
    let Some(found) = reader.first_text("backend-tls-secret", &["proxy-ssl-secret"]) else {
        if their_verifies {
            let message = "The backend is not verified, as in ingress-nginx: no `proxy-ssl-secret` says whose certificates are good. Add \
                           one with `ca.crt`";
            reader.report_loss("proxy-ssl-verify", Reason::Invalid, message.to_owned());
        }
        if own_verifies == Some(true) {
            let message =
                unavailable("No Secret says whose certificates are good; name one in sparrow/backend-tls-secret");
            reader.report_own_loss("backend-tls-verify", Reason::Invalid, message);
            annotations.unavailable = true;
        }
        return;
    };
    let verifies = if found.is_own() { own_verifies.unwrap_or(true) } else { own_verifies.unwrap_or(their_verifies) };
    annotations.backend_tls = match (found.is_own(), verifies) {
        (true, _) => Some(("sparrow/backend-tls-secret", true)),
        (false, true) => Some(("nginx.ingress.kubernetes.io/proxy-ssl-secret", false)),
        (false, false) => None,
    };
    let identity = own_name(found.text, reader.context.namespace)
        .and_then(|secret| read_identity(reader, secret, verifies))
        .map_err(|message| reader.report_text_loss(&found, Reason::RefNotFound, message));
    match identity {
        Ok(identity) => {
            annotations.policy.backend_tls = BackendTls {
                verification: identity
                    .verification
                    .map(|authorities| Verification { authorities, depth: wanted.depth }),
                certificate: identity.certificate,
                name: name.or(wanted.name),
                hides_name: wanted.hides_name,
                ciphers: wanted.ciphers,
                protocols: wanted.protocols,
                origin: Some(identity.origin),
            };
        }
        Err(()) => annotations.unavailable = true,
    }
}

/// What is asked of a connection beside whom it is verified by.
struct Wanted {
    depth: u8,
    name: Option<String>,
    hides_name: bool,
    ciphers: Option<String>,
    protocols: BTreeSet<TlsVersion>,
}

fn read_wanted(reader: &mut AnnotationReader<'_, '_>) -> Wanted {
    let depth = reader.ingress_nginx("proxy-ssl-verify-depth", parse_integer);
    let name = reader.ingress_nginx("proxy-ssl-name", parse_name);
    let sends_name = reader.ingress_nginx("proxy-ssl-server-name", parse_on_off);
    let ciphers = reader.ingress_nginx("proxy-ssl-ciphers", parse_ciphers);
    let protocols = reader.ingress_nginx("proxy-ssl-protocols", parse_protocols);
    Wanted {
        depth: depth.and_then(|depth| u8::try_from(depth).ok()).filter(|depth| *depth > 0).unwrap_or(1),
        name,
        hides_name: sends_name == Some(false),
        ciphers,
        protocols: protocols.unwrap_or_else(|| [TlsVersion::V1_2, TlsVersion::V1_3].into()),
    }
}

/// What a Secret holds for connections to a backend.
struct Identity {
    origin: ObjectRef,
    verification: Option<Pem>,
    certificate: Option<Pem>,
}

/// Reads a Secret. `verifies`: whether the backend is to be verified.
fn read_identity(reader: &mut AnnotationReader<'_, '_>, name: &str, verifies: bool) -> Result<Identity, String> {
    let Some(secret) = reader.secret(name) else {
        return Err(unavailable(&format!("There is no Secret {} in the namespace of the object", quoted(name))));
    };
    let has_certificate = !(secret.certificate.is_empty() && secret.key.is_empty());
    let has_authorities = !secret.authorities.is_empty();
    if !has_certificate && !has_authorities {
        return Err(unavailable(&format!("The Secret {} has neither `ca.crt` nor `tls.crt`", quoted(name))));
    }
    read_secret(secret, verifies, has_certificate)
        .map_err(|why| unavailable(&format!("Secret {}: {why}", quoted(name))))
}

fn read_secret(secret: &Secret, verifies: bool, has_certificate: bool) -> Result<Identity, String> {
    let verification = verifies.then(|| read_authorities(&secret.authorities)).transpose()?;
    let certificate = has_certificate.then(|| load_certificate(secret)).transpose()?;
    let certificate = certificate.map(|loaded| {
        let chain = [loaded.certificate.chain.as_slice(), &loaded.certificate.key].concat();
        Pem(chain.into())
    });
    Ok(Identity {
        origin: secret.meta.object(Kind::Secret),
        verification: verification.map(|pem| Pem(pem.into_bytes().into())),
        certificate,
    })
}

fn unavailable(what: &str) -> String {
    format!(
        "{what}. Requests are answered 503 until it is put right, rather than sent to a backend that nobody has verified"
    )
}

/// The name of a Secret of the object's own namespace.
fn own_name<'a>(text: &'a str, namespace: &str) -> Result<&'a str, String> {
    own_object_name(text, namespace).ok_or_else(|| {
        unavailable(&format!(
            "{} names no Secret of the namespace of the object, which alone may be used",
            quoted(text)
        ))
    })
}

fn parse_name(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let text = text.trim();
    let is_name = (1..=253).contains(&text.len()) && text.bytes().all(is_plain);
    is_name.then(|| text.to_owned()).ok_or("it is a name, of letters, digits and `-._`")
}

/// Ciphers that each OpenSSL of today has. nginx does not start with a list of which none is there.
const CIPHERS: [&str; 31] = [
    "AES128-GCM-SHA256",
    "AES128-SHA",
    "AES128-SHA256",
    "AES256-GCM-SHA384",
    "AES256-SHA",
    "AES256-SHA256",
    "DEFAULT",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-CHACHA20-POLY1305",
    "ECDHE",
    "ECDHE+AESGCM",
    "ECDHE+CHACHA20",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "EECDH",
    "EECDH+AESGCM",
    "HIGH",
    "AESGCM",
];

/// What may be taken out of them: none of these is one of them.
const WEAK_CIPHERS: [&str; 16] = [
    "3DES", "ADH", "CAMELLIA", "DES", "DSS", "EXP", "EXPORT", "IDEA", "LOW", "MD5", "NULL", "PSK", "RC4", "SEED",
    "SRP", "aNULL",
];

/// A list of ciphers, all of which are known.
fn parse_ciphers(text: &str) -> Result<String, &'static str> {
    const HINT: &str = "it is a list of ciphers with `:` between them, of those that OpenSSL calls strong, or `DEFAULT` or `HIGH`; weak ones \
                        may stand in it with a `!`";
    let text = text.trim();
    let is_good = |word: &str| CIPHERS.contains(&word);
    let is_taken_out =
        |word: &str| word.strip_prefix('!').is_some_and(|weak| weak == "eNULL" || WEAK_CIPHERS.contains(&weak));
    let is_known = text.len() <= 1000 && text.split(':').all(|word| is_good(word) || is_taken_out(word));
    if is_known && text.split(':').any(is_good) { Ok(text.to_owned()) } else { Err(HINT) }
}

fn parse_protocols(text: &str) -> Result<BTreeSet<TlsVersion>, &'static str> {
    let parse = |word| match word {
        "TLSv1.2" => Ok(TlsVersion::V1_2),
        "TLSv1.3" => Ok(TlsVersion::V1_3),
        _ => Err("it is `TLSv1.2`, `TLSv1.3`, or both"),
    };
    text.split_whitespace().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_ciphers_has_one_that_is_there() {
        for list in ["DEFAULT", "HIGH:!aNULL:!MD5", "ECDHE-RSA-AES128-GCM-SHA256:!eNULL"] {
            assert_eq!(parse_ciphers(list).as_deref(), Ok(list));
        }
        for list in
            ["", "!aNULL", "HIGH:RC4", "HIGH:", "HIGH:!AES", "none", "HIGH; ssl_verify off", "@SECLEVEL=0:HIGH", "high"]
        {
            assert!(parse_ciphers(list).is_err(), "{list}");
        }
    }
}
