//! Lines of nginx's language.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Snippets",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("configuration-snippet", Scope::Rule, super::NO_EQUAL),
        IngressNginxAnnotation::never("server-snippet", Scope::Host, super::NO_EQUAL),
        IngressNginxAnnotation::never("stream-snippet", Scope::Host, super::NO_EQUAL),
    ],
};
