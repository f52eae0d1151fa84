//! Another server is asked whether a request may pass.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "External authentication",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("auth-url", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-signin", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-signin-redirect-param", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-method", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-response-headers", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-request-redirect", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-always-set-cookie", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("auth-cache-key", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-cache-duration", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-keepalive", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-keepalive-requests", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-keepalive-share-vars", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-keepalive-timeout", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-proxy-set-headers", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-snippet", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("enable-global-auth", Scope::Rule, super::NO_EQUAL).unchanged_by(&["true"]),
    ],
};
