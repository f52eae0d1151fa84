//! A copy of each request for another server.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Mirror",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("mirror-target", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("mirror-host", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("mirror-request-body", Scope::Rule, super::NO_EQUAL),
    ],
};
