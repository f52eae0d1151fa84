//! What a backend is told beside what the client sent.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Headers of requests",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("upstream-vhost", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("connection-proxy-header", Scope::Rule, super::NO_EQUAL),
    ],
};
