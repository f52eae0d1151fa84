//! Who may ask: by address, by password, or by both.

use entry_model::{AddressRange, BasicAuth, Kind, ObjectRef, PasswordFile, Reason, Secret, own_object_name};

use super::annotations::Annotations;
use super::passwords::{PasswordFormat, parse_passwords};
use super::reader::{AnnotationReader, FoundText};
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::parse_ranges;
use crate::verdict_draft::{abridged_output, quoted};

pub const TOPIC: Topic = Topic {
    title: "Access",
    own: &[
        OwnAnnotation {
            name: "allow-source-ranges",
            objects: Objects::ServicesAndIngresses,
            value: "addresses and ranges with commas between them, at most 1000: only clients with one of these may ask, others are answered 403",
            default: "every client may",
            example: "10.0.0.0/8, 2001:db8::1",
            unusable: UnusableValue::Closes,
        },
        OwnAnnotation {
            name: "deny-source-ranges",
            objects: Objects::ServicesAndIngresses,
            value: "the same: clients with one of these are answered 403, with `sparrow/satisfy: any` unless they have a password",
            default: "every client may",
            example: "203.0.113.7",
            unusable: UnusableValue::Closes,
        },
        OwnAnnotation {
            name: "basic-auth-secret",
            objects: Objects::ServicesAndIngresses,
            value: "the name of a Secret of the same namespace, of any type: only clients with a name and a password in it may ask, others \
                    are answered 401, see [below](#passwords)",
            default: "nobody is asked",
            example: "users",
            unusable: UnusableValue::Closes,
        },
        OwnAnnotation {
            name: "basic-auth-format",
            objects: Objects::ServicesAndIngresses,
            value: "`auth-file`: the key `auth` of the Secret is a file of `htpasswd`; `auth-map`: each key is a user, with the hash of the \
                    password as its value",
            default: "`auth-file`",
            example: "auth-map",
            unusable: UnusableValue::Closes,
        },
        OwnAnnotation {
            name: "basic-auth-realm",
            objects: Objects::ServicesAndIngresses,
            value: "what clients are told that the password is for: at most 200 characters of ASCII, without `\"`, `\\` and `$`",
            default: "empty",
            example: "Shop",
            unusable: UnusableValue::Ignored,
        },
        OwnAnnotation {
            name: "satisfy",
            objects: Objects::ServicesAndIngresses,
            value: "`all`, `any`: whether a client may ask with all that is asked for, or with one of address and password",
            default: "`all`",
            example: "any",
            unusable: UnusableValue::Ignored,
        },
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::same("allowlist-source-range", Scope::Rule, ALLOWED),
        IngressNginxAnnotation::same(
            "whitelist-source-range",
            Scope::Rule,
            "The older name of `allowlist-source-range`, which counts if both are there",
        ),
        IngressNginxAnnotation::same(
            "denylist-source-range",
            Scope::Rule,
            "Clients with one of these addresses are answered 403, before others are allowed. With a list that cannot be used, all are \
             answered 503",
        ),
        IngressNginxAnnotation::differs(
            "auth-type",
            Scope::Rule,
            "`basic` is the same. `digest` has no equal: requests are answered 503; make hashes for `basic`",
        ),
        IngressNginxAnnotation::differs(
            "auth-secret",
            Scope::Rule,
            "A Secret of the same namespace, of any type. Without it, without a user in it, or with one of another namespace, requests are \
             answered 503. A hash whose computation takes too long lets nobody in: bcrypt with a cost over 12, SHA-crypt with more than \
             100000 rounds",
        ),
        IngressNginxAnnotation::same(
            "auth-secret-type",
            Scope::Rule,
            "`auth-file`: the key `auth` is a file of `htpasswd`; `auth-map`: each key is a user, its value the hash of the password",
        ),
        IngressNginxAnnotation::differs(
            "auth-realm",
            Scope::Rule,
            "What clients are told that the password is for. One that cannot be used is empty: there, nobody is asked for a password then",
        ),
        IngressNginxAnnotation::same(
            "satisfy",
            Scope::Rule,
            "`any`: a client may ask with one of what is asked for, address or password",
        )
        .unchanged_by(&["all"]),
    ],
};

const ALLOWED: &str = "Only clients with one of these addresses may ask, others are answered 403; the address is the one that trusted \
                       proxies say. With a list that cannot be used, all are answered 503";

/// Reads them. Where who may ask cannot be known, nobody may.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let theirs = ["allowlist-source-range", "whitelist-source-range"];
    let allowed = read_ranges(reader, annotations, "allow-source-ranges", &theirs);
    // All of both families is everyone.
    let is_everyone = |ranges: &Vec<AddressRange>| {
        [AddressRange::ALL_V4, AddressRange::ALL_V6].iter().all(|all| ranges.contains(all))
    };
    if let Some(allowed) = allowed {
        // Whoever is on a list of snippets, too, is behind that of annotations.
        annotations.policy.access.allowed = Some(allowed).filter(|ranges| !is_everyone(ranges)).map(Into::into);
    }
    let denied = read_ranges(reader, annotations, "deny-source-ranges", &["denylist-source-range"]);
    if let Some(denied) = denied {
        annotations.policy.access.denied = annotations.policy.access.denied.iter().copied().chain(denied).collect();
    }
    annotations.policy.access.basic_auth = read_basic_auth(reader, annotations);
    annotations.policy.access.satisfy_any = reader.either("satisfy", parse_satisfy) == Some(true);
}

/// Whether one condition is enough.
fn parse_satisfy(text: &str) -> Result<bool, &'static str> {
    match text.trim() {
        "any" => Ok(true),
        "all" => Ok(false),
        _ => Err("write `all` or `any`"),
    }
}

/// Who has a name and a password. Where that is asked for and cannot be known, nobody may ask.
fn read_basic_auth(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) -> Option<BasicAuth> {
    let kind = reader.ingress_nginx_found("auth-type");
    let secret = reader.first_text("basic-auth-secret", &["auth-secret"]);
    let format = reader.first_text("basic-auth-format", &["auth-secret-type"]);
    let realm = read_realm(reader);
    let is_own = secret.is_some_and(|secret| secret.is_own());
    if !is_own {
        match (kind, secret) {
            (None, None) => return None,
            (None, Some(secret)) => {
                let message = "Nobody is asked for a password, as in ingress-nginx: there is no annotation auth-type; write it, with the \
                               value `basic`";
                reader.report_text_loss(&secret, Reason::Invalid, message.to_owned());
                return None;
            }
            (Some(kind), _) if kind.text.trim() != "basic" => {
                let message = format!(
                    "{} is no way of asking for a password that is known here; write `basic`",
                    quoted(kind.text)
                );
                return close(reader, annotations, &kind, Reason::Unsupported, &message);
            }
            (Some(kind), None) => {
                let message = "No Secret is named that has the users; write its name into the annotation auth-secret";
                return close(reader, annotations, &kind, Reason::Invalid, message);
            }
            (Some(_), Some(_)) => {}
        }
    }
    let secret = secret?;
    let format = match format.map(|format| (format, format.text.parse())) {
        None => PasswordFormat::File,
        Some((_, Ok(format))) => format,
        Some((found, Err(()))) => {
            let message = format!("{} is no format of passwords; write `auth-file` or `auth-map`", quoted(found.text));
            return close(reader, annotations, &found, Reason::Invalid, &message);
        }
    };
    let object = match find_secret(reader, &secret) {
        Ok(object) => object,
        Err((reason, message)) => return close(reader, annotations, &secret, reason, &message),
    };
    match parse_passwords(object, format) {
        Ok((text, rejected)) => {
            if let Some(rejected) = rejected {
                reader.report_text_loss(&secret, Reason::InvalidRef, rejected);
            }
            Some(BasicAuth { realm, passwords: PasswordFile(text).into() })
        }
        Err(message) => close(reader, annotations, &secret, Reason::InvalidRef, &message),
    }
}

/// The Secret that an annotation names.
pub fn find_secret<'a>(
    reader: &mut AnnotationReader<'a, '_>,
    found: &FoundText<'_>,
) -> Result<&'a Secret, (Reason, String)> {
    let namespace = reader.context.namespace;
    let Some(name) = own_object_name(found.text, namespace) else {
        let message = format!(
            "{} names no Secret of the namespace {namespace}, and others are not read; write its name",
            quoted(found.text)
        );
        return Err((Reason::Invalid, message));
    };
    let found = reader.secret(name);
    let key = entry_model::Key { namespace: namespace.to_owned(), name: name.to_owned() };
    let object = ObjectRef::new(Kind::Secret, key);
    let aside = reader.context.quarantine.get(&object).map(|aside| &aside.message);
    if let Some(secret) = found.filter(|_| aside.is_none()) {
        return Ok(secret);
    }
    let message = match aside.or_else(|| reader.context.snapshot.unreadable.get(&object)) {
        Some(text) => format!("Secret {namespace}/{name} cannot be used: {}", abridged_output(text)),
        None => format!("There is no Secret {namespace}/{name} with a key that is of use here; make it"),
    };
    Err((Reason::RefNotFound, message))
}

/// What clients are told.
fn read_realm(reader: &mut AnnotationReader<'_, '_>) -> String {
    let Some(found) = reader.first_text("basic-auth-realm", &["auth-realm"]) else { return String::new() };
    let is_usable = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\$".contains(&byte);
    if found.text.len() <= 200 && found.text.bytes().all(is_usable) {
        return found.text.to_owned();
    }
    let message = format!(
        "{} cannot be told to clients, who are asked for a password all the same; write at most 200 characters of ASCII without `\"`, \
         `\\` and `$`",
        quoted(found.text)
    );
    reader.report_text_loss(&found, Reason::Invalid, message);
    String::new()
}

/// Says that nobody may ask, since it is not known who may.
fn close<T>(
    reader: &mut AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    found: &FoundText<'_>,
    reason: Reason,
    message: &str,
) -> Option<T> {
    annotations.unavailable = true;
    reader.report_text_loss(found, reason, format!("{message}. Until then, nobody may ask: requests are answered 503"));
    None
}

fn read_ranges(
    reader: &mut AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    own: &'static str,
    ingress_nginx: &[&'static str],
) -> Option<Vec<AddressRange>> {
    let found = reader.first_text(own, ingress_nginx)?;
    match parse_ranges(found.text) {
        Ok(ranges) => Some(ranges),
        Err(fault) => {
            let message = format!(
                "The list {fault}, so it is not known who may ask, and nobody may: requests are answered 503. Write addresses or ranges \
                 with commas between them, such as `10.0.0.0/8, 2001:db8::1`"
            );
            reader.report_text_loss(&found, Reason::Invalid, message);
            annotations.unavailable = true;
            None
        }
    }
}
