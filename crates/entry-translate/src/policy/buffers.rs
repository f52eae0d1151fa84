//! How bodies and headers are buffered.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Buffers",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("client-body-buffer-size", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-buffer-size", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-buffering", Scope::Rule, super::NO_EQUAL).unchanged_by(&["off"]),
        IngressNginxAnnotation::never("proxy-buffers-number", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-busy-buffers-size", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-max-temp-file-size", Scope::Rule, super::NO_EQUAL).unchanged_by(&["0"]),
        IngressNginxAnnotation::never("proxy-request-buffering", Scope::Rule, super::NO_EQUAL).unchanged_by(&["off"]),
        IngressNginxAnnotation::never("proxy-http-version", Scope::Backend, super::NO_EQUAL).unchanged_by(&["1.1"]),
    ],
};
