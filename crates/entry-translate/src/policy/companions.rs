//! Annotations that say something only beside another one of their topic.
//!
//! Which dialect counts is decided once for a topic, by its principal: beside one of ours those of ingress-nginx that say how do not count, as what
//! it asks for must not become another thing by what was written for another. Beside one of ingress-nginx ours count, each before that of
//! ingress-nginx that says the same.

use super::canary_request::DETAILS;

/// Annotations that say something only beside one of their principals.
#[derive(Debug, Clone, Copy)]
pub struct Companions {
    /// Ours beside one of which they say something.
    pub own_principals: &'static [&'static str],
    /// Those of ours.
    pub own: &'static [&'static str],
    /// Those of ingress-nginx beside one of which they say something.
    pub ingress_nginx_principals: &'static [&'static str],
    /// Those of ingress-nginx.
    pub ingress_nginx: &'static [&'static str],
}

/// All of them.
pub const COMPANIONS: &[Companions] = &[
    Companions {
        own_principals: &["canary"],
        own: DETAILS,
        ingress_nginx_principals: &["canary"],
        ingress_nginx: DETAILS,
    },
    Companions {
        own_principals: &["client-certificate-secret"],
        own: &["client-certificate-depth", "client-certificate-error-page", "client-certificate-pass"],
        ingress_nginx_principals: &["auth-tls-secret"],
        ingress_nginx: &[
            "auth-tls-error-page",
            "auth-tls-match-cn",
            "auth-tls-pass-certificate-to-upstream",
            "auth-tls-verify-client",
            "auth-tls-verify-depth",
        ],
    },
    Companions {
        own_principals: &["basic-auth-secret"],
        own: &["basic-auth-format", "basic-auth-realm"],
        ingress_nginx_principals: &["auth-type", "auth-secret"],
        ingress_nginx: &["auth-realm", "auth-secret-type"],
    },
    Companions {
        own_principals: &["allow-source-ranges", "auth-url", "basic-auth-secret", "deny-source-ranges"],
        own: &["satisfy"],
        ingress_nginx_principals: &[
            "allowlist-source-range",
            "auth-secret",
            "auth-type",
            "auth-url",
            "denylist-source-range",
            "whitelist-source-range",
        ],
        ingress_nginx: &["satisfy"],
    },
    Companions {
        own_principals: &["auth-url"],
        own: &[
            "auth-always-set-cookie",
            "auth-method",
            "auth-proxy-set-headers",
            "auth-request-redirect",
            "auth-response-headers",
            "auth-signin",
            "auth-signin-redirect-param",
        ],
        ingress_nginx_principals: &["auth-url"],
        ingress_nginx: &[
            "auth-always-set-cookie",
            "auth-cache-duration",
            "auth-cache-key",
            "auth-keepalive",
            "auth-keepalive-requests",
            "auth-keepalive-share-vars",
            "auth-keepalive-timeout",
            "auth-method",
            "auth-proxy-set-headers",
            "auth-request-redirect",
            "auth-response-headers",
            "auth-signin",
            "auth-signin-redirect-param",
        ],
    },
    Companions {
        own_principals: &["backend-tls-secret"],
        own: &["backend-tls-name", "backend-tls-verify"],
        ingress_nginx_principals: &["proxy-ssl-secret"],
        ingress_nginx: &[
            "proxy-ssl-ciphers",
            "proxy-ssl-name",
            "proxy-ssl-protocols",
            "proxy-ssl-server-name",
            "proxy-ssl-verify",
            "proxy-ssl-verify-depth",
        ],
    },
    Companions {
        own_principals: &["limit-rpm", "limit-rps"],
        own: &["limit-burst-multiplier"],
        ingress_nginx_principals: &["limit-rpm", "limit-rps"],
        ingress_nginx: &["limit-burst-multiplier"],
    },
    Companions {
        own_principals: &["limit-connections", "limit-rpm", "limit-rps"],
        own: &["limit-exempt-ranges", "limit-status"],
        ingress_nginx_principals: &["limit-connections", "limit-rpm", "limit-rps"],
        ingress_nginx: &["limit-allowlist", "limit-whitelist"],
    },
    Companions {
        own_principals: &["limit-rate"],
        own: &["limit-rate-after"],
        ingress_nginx_principals: &["limit-rate"],
        ingress_nginx: &["limit-rate-after"],
    },
    Companions {
        own_principals: &["redirect"],
        own: &["redirect-status"],
        ingress_nginx_principals: &["permanent-redirect"],
        ingress_nginx: &["permanent-redirect-code"],
    },
    Companions {
        own_principals: &[],
        own: &[],
        ingress_nginx_principals: &["temporal-redirect"],
        ingress_nginx: &["temporal-redirect-code"],
    },
    Companions {
        own_principals: &[],
        own: &[],
        ingress_nginx_principals: &["proxy-redirect-from"],
        ingress_nginx: &["proxy-redirect-to"],
    },
    Companions {
        own_principals: &["affinity"],
        own: &[
            "session-cookie-conditional-samesite-none",
            "session-cookie-domain",
            "session-cookie-max-age",
            "session-cookie-name",
            "session-cookie-path",
            "session-cookie-samesite",
            "session-cookie-secure",
        ],
        ingress_nginx_principals: &["affinity"],
        ingress_nginx: &[
            "affinity-mode",
            "session-cookie-change-on-failure",
            "session-cookie-conditional-samesite-none",
            "session-cookie-domain",
            "session-cookie-expires",
            "session-cookie-max-age",
            "session-cookie-name",
            "session-cookie-path",
            "session-cookie-samesite",
            "session-cookie-secure",
        ],
    },
    Companions {
        own_principals: &["cors"],
        own: &[
            "cors-allow-credentials",
            "cors-allow-headers",
            "cors-allow-methods",
            "cors-allow-origin",
            "cors-expose-headers",
            "cors-max-age",
        ],
        ingress_nginx_principals: &["enable-cors"],
        ingress_nginx: &[
            "cors-allow-credentials",
            "cors-allow-headers",
            "cors-allow-methods",
            "cors-allow-origin",
            "cors-expose-headers",
            "cors-max-age",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{find_ingress_nginx_annotation, find_own_annotation};

    #[test]
    fn companions_and_their_principals_have_rows() {
        for companions in COMPANIONS {
            for name in companions.own_principals.iter().chain(companions.own) {
                assert!(find_own_annotation(name).is_some(), "{name}");
            }
            for name in companions.ingress_nginx_principals.iter().chain(companions.ingress_nginx) {
                assert!(find_ingress_nginx_annotation(name).is_some(), "{name}");
            }
        }
    }
}
