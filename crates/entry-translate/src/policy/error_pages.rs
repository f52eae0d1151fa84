//! What is answered instead of an error of a backend.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Error pages",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("custom-http-errors", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("default-backend", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("disable-proxy-intercept-errors", Scope::Rule, super::NO_EQUAL)
            .unchanged_by(&["false"]),
    ],
};
