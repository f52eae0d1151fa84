//! Annotations that say something only beside another one of their topic.

/// Annotations that say something only beside one of their principals.
#[derive(Debug, Clone, Copy)]
pub struct Companions {
    /// Ours.
    pub own_principals: &'static [&'static str],
    /// Those of ingress-nginx that do not count beside a principal of ours: what it asks for must not be made weaker by what was written for
    /// another.
    pub ingress_nginx: &'static [&'static str],
}

/// All of them.
pub const COMPANIONS: &[Companions] = &[
    Companions {
        own_principals: &["client-certificate-secret"],
        ingress_nginx: &[
            "auth-tls-error-page",
            "auth-tls-match-cn",
            "auth-tls-pass-certificate-to-upstream",
            "auth-tls-verify-client",
            "auth-tls-verify-depth",
        ],
    },
    Companions { own_principals: &["basic-auth-secret"], ingress_nginx: &["auth-realm", "auth-secret-type"] },
    Companions {
        own_principals: &["allow-source-ranges", "auth-url", "basic-auth-secret", "deny-source-ranges"],
        ingress_nginx: &["satisfy"],
    },
    Companions {
        own_principals: &["auth-url"],
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
        ingress_nginx: &[
            "proxy-ssl-ciphers",
            "proxy-ssl-name",
            "proxy-ssl-protocols",
            "proxy-ssl-server-name",
            "proxy-ssl-verify",
            "proxy-ssl-verify-depth",
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
            for name in companions.own_principals {
                assert!(find_own_annotation(name).is_some(), "{name}");
            }
            for name in companions.ingress_nginx {
                assert!(find_ingress_nginx_annotation(name).is_some(), "{name}");
            }
        }
    }
}
