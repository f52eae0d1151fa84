//! What a client is told beside what the backend sent.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Headers of answers",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("custom-headers", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-cookie-domain", Scope::Rule, super::NO_EQUAL).unchanged_by(&["off"]),
        IngressNginxAnnotation::never("proxy-cookie-path", Scope::Rule, super::NO_EQUAL).unchanged_by(&["off"]),
        IngressNginxAnnotation::never("proxy-redirect-from", Scope::Rule, super::NO_EQUAL).unchanged_by(&["off"]),
        IngressNginxAnnotation::never("proxy-redirect-to", Scope::Rule, super::NO_EQUAL).unchanged_by(&["off"]),
        IngressNginxAnnotation::never("http2-push-preload", Scope::Host, super::NO_EQUAL).unchanged_by(&["false"]),
    ],
};
