//! When a request goes to another endpoint.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Retries",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("proxy-next-upstream", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-next-upstream-timeout", Scope::Backend, super::NO_EQUAL),
        IngressNginxAnnotation::never("proxy-next-upstream-tries", Scope::Backend, super::NO_EQUAL),
    ],
};
