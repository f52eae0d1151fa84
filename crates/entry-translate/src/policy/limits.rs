//! How much a client may ask for.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Limits",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("limit-connections", Scope::Rule, super::NO_EQUAL).unchanged_by(&["0"]),
        IngressNginxAnnotation::never("limit-rps", Scope::Rule, super::NO_EQUAL).unchanged_by(&["0"]),
        IngressNginxAnnotation::never("limit-rpm", Scope::Rule, super::NO_EQUAL).unchanged_by(&["0"]),
        IngressNginxAnnotation::never("limit-burst-multiplier", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("limit-allowlist", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("limit-whitelist", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("limit-rate", Scope::Rule, super::NO_EQUAL).unchanged_by(&["0"]),
        IngressNginxAnnotation::never("limit-rate-after", Scope::Rule, super::NO_EQUAL).unchanged_by(&["0"]),
    ],
};
