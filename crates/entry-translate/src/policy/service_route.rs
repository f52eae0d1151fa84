//! What a Service says of its route, for which an Ingress has fields.

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{Objects, OwnAnnotation, Topic, UnusableValue};

pub const TOPIC: Topic = Topic {
    title: "The route of a Service",
    own: &[
        OwnAnnotation {
            name: "path",
            objects: Objects::Services,
            value: "a path, see [below](#paths); a final slash means nothing",
            default: "`/` and the Service's name",
            example: "/volume",
            unusable: UnusableValue::Narrows("the Service is not served"),
        },
        OwnAnnotation {
            name: "host",
            objects: Objects::Services,
            value: "a host, see [below](#hosts); empty means every host",
            default: "every host",
            example: "shop.example.com",
            unusable: UnusableValue::Narrows("the Service is not served"),
        },
        OwnAnnotation {
            name: "port",
            objects: Objects::Services,
            value: "a port of the Service, by number or by name",
            default: "the TCP port called `http`, else the first TCP port; if there are several of those, a finding says which it is",
            example: "8080",
            unusable: UnusableValue::Narrows("requests for it are answered 503, or the Service is not served"),
        },
    ],
    ingress_nginx: &[],
};

/// Reads them.
pub fn read<'a>(reader: &mut AnnotationReader<'a, '_>, annotations: &mut Annotations<'a>) {
    if reader.kind() == entry_model::Kind::Service {
        annotations.path = reader.own("path", Ok);
        annotations.host = reader.own("host", Ok);
        annotations.port = reader.own("port", Ok);
    }
}
