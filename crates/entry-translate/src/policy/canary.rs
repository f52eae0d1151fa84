//! A share of the requests for another backend.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Canary",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("canary", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("canary-by-cookie", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("canary-by-header", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("canary-by-header-pattern", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("canary-by-header-value", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("canary-weight", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("canary-weight-total", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("affinity-canary-behavior", Scope::Rule, super::NO_EQUAL),
    ],
};
