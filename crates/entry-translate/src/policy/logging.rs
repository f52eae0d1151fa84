//! What is written down of requests.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Logs and traces",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("enable-access-log", Scope::Rule, super::NO_EQUAL).unchanged_by(&["true"]),
        IngressNginxAnnotation::never("enable-rewrite-log", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("enable-opentelemetry", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("opentelemetry-operation-name", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("opentelemetry-trust-incoming-span", Scope::Rule, super::NO_EQUAL),
    ],
};
