//! Annotations that say something only beside another one of their topic.

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
    /// Whether those of ingress-nginx do not count beside a principal of ours: what it asks for must not be made weaker by what was written
    /// for another.
    pub are_apart: bool,
}

/// All of them.
pub const COMPANIONS: &[Companions] = &[
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
        are_apart: true,
    },
    Companions {
        own_principals: &["basic-auth-secret"],
        own: &["basic-auth-format", "basic-auth-realm"],
        ingress_nginx_principals: &["auth-type", "auth-secret"],
        ingress_nginx: &["auth-realm", "auth-secret-type"],
        are_apart: true,
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
        are_apart: true,
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
        are_apart: true,
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
        are_apart: true,
    },
    Companions {
        own_principals: &["limit-rpm", "limit-rps"],
        own: &["limit-burst-multiplier"],
        ingress_nginx_principals: &["limit-rpm", "limit-rps"],
        ingress_nginx: &["limit-burst-multiplier"],
        are_apart: false,
    },
    Companions {
        own_principals: &["limit-connections", "limit-rpm", "limit-rps"],
        own: &["limit-exempt-ranges", "limit-status"],
        ingress_nginx_principals: &["limit-connections", "limit-rpm", "limit-rps"],
        ingress_nginx: &["limit-allowlist", "limit-whitelist"],
        are_apart: false,
    },
    Companions {
        own_principals: &["limit-rate"],
        own: &["limit-rate-after"],
        ingress_nginx_principals: &["limit-rate"],
        ingress_nginx: &["limit-rate-after"],
        are_apart: false,
    },
    Companions {
        own_principals: &["redirect"],
        own: &["redirect-status"],
        ingress_nginx_principals: &["permanent-redirect"],
        ingress_nginx: &["permanent-redirect-code"],
        are_apart: false,
    },
    Companions {
        own_principals: &[],
        own: &[],
        ingress_nginx_principals: &["temporal-redirect"],
        ingress_nginx: &["temporal-redirect-code"],
        are_apart: false,
    },
    Companions {
        own_principals: &[],
        own: &[],
        ingress_nginx_principals: &["proxy-redirect-from"],
        ingress_nginx: &["proxy-redirect-to"],
        are_apart: false,
    },
    Companions {
        own_principals: &["affinity"],
        own: &[
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
        are_apart: false,
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
        are_apart: false,
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
