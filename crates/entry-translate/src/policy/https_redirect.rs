//! Whether HTTP is redirected to HTTPS.

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{parse_boolean, parse_go_boolean};

pub const TOPIC: Topic = Topic {
    title: "Redirects to HTTPS",
    own: &[OwnAnnotation {
        name: "ssl-redirect",
        objects: Objects::ServicesAndIngresses,
        value: "`true`, `false`: whether HTTP is redirected to HTTPS",
        default: "`true` where the host has a certificate that is for it",
        example: "false",
    }],
    ingress_nginx: &[
        IngressNginxAnnotation::same(
            "ssl-redirect",
            Scope::Rule,
            "Whether HTTP is redirected to HTTPS, with 308, where the host has a certificate that is for it",
        ),
        IngressNginxAnnotation::never("force-ssl-redirect", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
    ],
};

/// Reads it.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    // Where it is `true` there, it is without the annotation, too.
    let theirs = reader.ingress_nginx("ssl-redirect", parse_go_boolean).filter(|redirects| !redirects);
    annotations.ssl_redirect = reader.own("ssl-redirect", parse_boolean).or(theirs);
}
