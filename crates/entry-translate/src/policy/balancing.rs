//! Which of its endpoints a request gets.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Affinity and balancing",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("affinity", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("affinity-mode", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("session-cookie-change-on-failure", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("session-cookie-conditional-samesite-none", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("session-cookie-domain", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("session-cookie-expires", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("session-cookie-max-age", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("session-cookie-name", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("session-cookie-path", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("session-cookie-samesite", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("session-cookie-secure", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("load-balance", Scope::Backend, super::NO_EQUAL).unchanged_by(&["round_robin"]),
        IngressNginxAnnotation::never("upstream-hash-by", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("upstream-hash-by-subset", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("upstream-hash-by-subset-size", Scope::Backend, super::NO_EQUAL),
    ],
};
