//! How a backend is known, and what it is shown.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "TLS to backends",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("proxy-ssl-ciphers", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-ssl-name", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-ssl-protocols", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-ssl-secret", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-ssl-server-name", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-ssl-verify", Scope::Backend, super::NO_EQUAL).unchanged_by(&["off"]),
        IngressNginxAnnotation::never("proxy-ssl-verify-depth", Scope::Backend, super::NO_EQUAL),
    ],
};
