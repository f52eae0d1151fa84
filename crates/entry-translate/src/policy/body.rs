//! The body of a request.

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::parse_size;

pub const TOPIC: Topic = Topic {
    title: "Bodies of requests",
    own: &[OwnAnnotation {
        name: "max-body-size",
        objects: Objects::ServicesAndIngresses,
        value: "a size, see below: the largest request body; `0` is without limit",
        default: "`--max-body-bytes`, without limit",
        example: "10m",
        unusable: UnusableValue::Ignored,
    }],
    ingress_nginx: &[IngressNginxAnnotation::same(
        "proxy-body-size",
        Scope::Rule,
        "The largest request body; `0` is without limit. Without it there is no limit here, and 1 MiB there",
    )],
};

/// Reads it.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    annotations.policy.max_body_bytes =
        reader.either_of(("max-body-size", parse_size), ("proxy-body-size", |text| parse_size(text.trim())));
}
