//! What belongs to no other topic.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Other",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("enable-modsecurity", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("enable-owasp-core-rules", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("modsecurity-snippet", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("modsecurity-transaction-id", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("fastcgi-index", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("fastcgi-params-configmap", Scope::Backend, super::NO_EQUAL),
    ],
};
