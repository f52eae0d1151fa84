//! Who may ask: by address, by password, or by both.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Access",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("allowlist-source-range", Scope::Rule, super::NO_EQUAL)
            .unchanged_by(&["0.0.0.0/0,::/0", "0.0.0.0/0"]),
        IngressNginxAnnotation::never("whitelist-source-range", Scope::Rule, super::NO_EQUAL)
            .unchanged_by(&["0.0.0.0/0,::/0", "0.0.0.0/0"]),
        IngressNginxAnnotation::never("denylist-source-range", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-type", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-secret", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-secret-type", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-realm", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("satisfy", Scope::Rule, super::NO_EQUAL).unchanged_by(&["all"]),
    ],
};
