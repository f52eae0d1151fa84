//! Further names of a host, and TLS that is not ended here.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Hosts",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("server-alias", Scope::Host, super::NO_EQUAL),
        IngressNginxAnnotation::never("ssl-passthrough", Scope::Host, super::NO_EQUAL).unchanged_by(&["false"]),
    ],
};
