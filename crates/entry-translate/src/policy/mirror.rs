//! A copy of each request for another server.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Mirror",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("mirror-target", Scope::Rule, NO_COPIES),
        IngressNginxAnnotation::never("mirror-host", Scope::Rule, NO_COPIES),
        IngressNginxAnnotation::never("mirror-request-body", Scope::Rule, NO_COPIES),
    ],
};

const NO_COPIES: &str = "requests are not copied: the entry would have to reach addresses that an annotation names, and to hold the body of each \
    request; have the application, or a proxy beside it, send the copies";
