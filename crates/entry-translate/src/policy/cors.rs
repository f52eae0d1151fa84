//! Which pages of other origins may ask.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "CORS",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("enable-cors", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("cors-allow-credentials", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("cors-allow-headers", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("cors-allow-methods", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("cors-allow-origin", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("cors-expose-headers", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("cors-max-age", Scope::Rule, super::NO_EQUAL),
    ],
};
