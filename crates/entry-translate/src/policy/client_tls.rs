//! With which ciphers clients may speak TLS.

use entry_model::{Cipher, ClientTls, Reason};

use super::annotations::Annotations;
use super::ciphers::parse_cipher_list;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::{parse_boolean, parse_go_boolean};
use crate::verdict_draft::quoted;

pub const TOPIC: Topic = Topic {
    title: "TLS with clients",
    own: &[
        OwnAnnotation {
            name: "ssl-ciphers",
            objects: Objects::ServicesAndIngresses,
            value: "the ciphers of TLS 1.2 for the hosts of the object, with `:` between them, in the words of OpenSSL. The oldest object of \
                    a host that says something is followed",
            default: "those of all hosts",
            example: "ECDHE+AESGCM:ECDHE+CHACHA20",
            unusable: UnusableValue::Ignored,
        },
        OwnAnnotation {
            name: "ssl-prefer-server-ciphers",
            objects: Objects::ServicesAndIngresses,
            value: "`true`, `false`: whether the order of the entry's ciphers counts, rather than that of the client's",
            default: "`false`",
            example: "true",
            unusable: UnusableValue::Ignored,
        },
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::differs(
            "ssl-ciphers",
            Scope::Host,
            "The ciphers of TLS 1.2 for the host, by the oldest Ingress of it that names some, as there. Weak ones (RC4, 3DES and their \
             like, those without authentication) and `@SECLEVEL` are left out, and a finding names them. It is not followed for rules \
             without a host",
        ),
        IngressNginxAnnotation::same(
            "ssl-prefer-server-ciphers",
            Scope::Host,
            "Whether the order of the server's ciphers counts, rather than that of the client's",
        )
        .unchanged_by(&["false"]),
    ],
};

/// Reads them. What the oldest object of a host says stands ([`crate::host_client_tls`]).
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    const ORDER: &str = "ssl-prefer-server-ciphers";
    const CIPHERS: &str = "ssl-ciphers";
    let prefers_own_order = reader.either_of((ORDER, parse_boolean), (ORDER, parse_go_boolean));
    let ciphers = if reader.own_counts(CIPHERS, &[CIPHERS]) {
        reader.own(CIPHERS, parse_own)
    } else {
        read_ingress_nginx(reader)
    };
    let ciphers = ciphers.unwrap_or_default();
    annotations.policy.client_tls = ClientTls { ciphers, prefers_own_order };
}

fn read_ingress_nginx(reader: &mut AnnotationReader<'_, '_>) -> Option<Vec<Cipher>> {
    const NAME: &str = "ssl-ciphers";
    let list = reader.ingress_nginx(NAME, parse_cipher_list)?;
    let left_out = quoted(&list.without_effect.join(":"));
    if list.ciphers.is_empty() {
        let message = "The value has no cipher that is safe, so those of all hosts stay in force: write names of ciphers, such as \
                       `ECDHE-RSA-AES128-GCM-SHA256`, or remove it";
        reader.report_loss(NAME, Reason::Invalid, message.to_owned());
        return None;
    }
    if !list.without_effect.is_empty() {
        let message = format!(
            "The ciphers {left_out} have no effect, since they are weak or not known; the others of the list are in force. Remove them"
        );
        reader.report_note(NAME, Reason::Unsupported, message);
    }
    Some(list.ciphers)
}

/// Ours has nothing that is without effect.
fn parse_own(text: &str) -> Result<Vec<Cipher>, &'static str> {
    const HINT: &str = "write ciphers of TLS 1.2 that are safe, in the words of OpenSSL, with `:` between them";
    let list = parse_cipher_list(text).map_err(|_| HINT)?;
    if list.ciphers.is_empty() || !list.without_effect.is_empty() { Err(HINT) } else { Ok(list.ciphers) }
}
