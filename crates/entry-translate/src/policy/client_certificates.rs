//! Who may connect, by a certificate; and with which ciphers.

use super::table::{IngressNginxAnnotation, Scope, Topic};

pub const TOPIC: Topic = Topic {
    title: "Client certificates",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::never("auth-tls-secret", Scope::Host, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-tls-verify-client", Scope::Host, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-tls-verify-depth", Scope::Host, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-tls-error-page", Scope::Host, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-tls-match-cn", Scope::Host, super::NO_EQUAL),
        IngressNginxAnnotation::never("auth-tls-pass-certificate-to-upstream", Scope::Host, super::NO_EQUAL)
            .unchanged_by(&["false"]),
        IngressNginxAnnotation::never("ssl-ciphers", Scope::Host, super::NO_EQUAL),
        IngressNginxAnnotation::never("ssl-prefer-server-ciphers", Scope::Host, super::NO_EQUAL)
            .unchanged_by(&["false"]),
    ],
};
