//! Redirects of clients.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Redirects",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("permanent-redirect", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("permanent-redirect-code", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("temporal-redirect", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("temporal-redirect-code", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("app-root", Scope::Host, super::NO_EQUAL),
        IngressNginxAnnotation::never("from-to-www-redirect", Scope::Host, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("relative-redirects", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("use-port-in-redirects", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
    ],
};
