//! TLS that is not ended here: connections for a host go to its backend as they come.

use entry_model::Reason;

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::{parse_boolean, parse_go_boolean};
use crate::TlsPassthroughAnnotations;
use crate::claim_site::ClaimSite;

/// Ours, without prefix.
const OWN: &str = "tls-passthrough";

/// That of ingress-nginx, without prefix.
const INGRESS_NGINX: &str = "ssl-passthrough";

pub const TOPIC: Topic = Topic {
    title: "TLS passthrough",
    own: &[OwnAnnotation {
        name: OWN,
        objects: Objects::ServicesAndIngresses,
        value: "`true`, `false`: whether TLS connections for its hosts go to the backend of the path `/` as they come, see \
                [below](#what-tls-passthrough-does)",
        default: "`false`",
        example: "true",
        unusable: UnusableValue::Closes,
    }],
    ingress_nginx: &[IngressNginxAnnotation::differs(
        INGRESS_NGINX,
        Scope::Host,
        "TLS connections for the host go to the backend of the path `/` as they come, with `--tls-passthrough all`, as there with \
         `--enable-ssl-passthrough`; without that flag it has no effect, here as there",
    )],
};

/// Reads it.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let (ours, theirs) = if reader.own_counts(OWN, &[INGRESS_NGINX]) {
        (reader.own(OWN, parse_boolean), None)
    } else {
        (None, reader.ingress_nginx(INGRESS_NGINX, parse_go_boolean))
    };
    annotations.tls_passthrough = match (ours, theirs, reader.context.tls_passthrough) {
        (Some(true), _, TlsPassthroughAnnotations::None) => {
            let message = "The annotation has no effect: the operator of the entry allows no TLS passthrough \
                           (--tls-passthrough none), so TLS ends here; remove it";
            reader.report_own_loss(OWN, Reason::Unsupported, message.to_owned());
            None
        }
        (Some(true), ..) => Some(ClaimSite::Annotation("sparrow/tls-passthrough")),
        (None, Some(true), TlsPassthroughAnnotations::All) => {
            Some(ClaimSite::Annotation("nginx.ingress.kubernetes.io/ssl-passthrough"))
        }
        (None, Some(true), TlsPassthroughAnnotations::None | TlsPassthroughAnnotations::Own) => {
            let message = "The annotation has no effect, as in ingress-nginx without its flag --enable-ssl-passthrough, so TLS ends \
                           here; if that flag was set, ask the operator of the entry for --tls-passthrough all, else remove it";
            reader.report_note(INGRESS_NGINX, Reason::Unsupported, message.to_owned());
            None
        }
        (Some(false), ..) | (None, Some(false) | None, _) => None,
    };
}
