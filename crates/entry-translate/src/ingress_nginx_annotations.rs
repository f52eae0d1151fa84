//! Annotations of ingress-nginx, which this entry does not follow: which of them change nothing, and what there is instead of the
//! others.

use entry_model::{BackendMode, Protocol};

use crate::PolicyDefaults;
use crate::annotation_value::{parse_boolean, parse_size};

/// Those of ingress-nginx begin with it.
pub const FOREIGN_PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// What a foreign annotation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationEffect {
    /// None: what it asks for is what happens.
    Unchanged,
    /// None, as long as this is spoken: it is the default, which the port's `appProtocol` may change.
    SameProtocol(Protocol),
    /// None, here as there: ingress-nginx knows no such name.
    Unknown,
    /// What it asks for does not happen; what does the same.
    Unsupported(&'static str),
}

/// What is known beside the annotation.
#[derive(Debug, Clone, Copy)]
pub struct AnnotationContext<'a> {
    /// What listeners do where no annotation says otherwise.
    pub defaults: &'a PolicyDefaults,
    /// The paths of the Ingress.
    pub paths: &'a [&'a str],
    /// Whether a host of the Ingress may have a certificate.
    pub tls: bool,
}

/// What does the same here as one of theirs.
const EQUIVALENTS: [(&str, &str); 8] = [
    ("backend-protocol", "`sparrow/backend-protocol` does the same"),
    ("proxy-body-size", "`sparrow/max-body-size` does the same"),
    ("proxy-connect-timeout", "`sparrow/connect-timeout` does the same, with a unit, such as `5s`"),
    ("proxy-read-timeout", "`sparrow/read-timeout` does the same, with a unit, such as `60s`"),
    ("proxy-send-timeout", "`sparrow/send-timeout` does the same, with a unit, such as `60s`"),
    ("rewrite-target", "`sparrow/strip-prefix: \"true\"` takes the path of the rule off; there is no other rewriting"),
    ("service-upstream", "`sparrow/backends` chooses between `cluster-ip` and `endpoints`"),
    ("ssl-redirect", "`sparrow/ssl-redirect` does the same"),
];

/// Values that ask for what happens here anyway.
const UNCHANGED_VALUES: [(&str, &str); 30] = [
    ("canary", "false"),
    ("enable-access-log", "true"),
    ("enable-cors", "false"),
    ("enable-global-auth", "true"),
    ("enable-modsecurity", "false"),
    ("enable-opentelemetry", "false"),
    ("enable-owasp-core-rules", "false"),
    ("enable-rewrite-log", "false"),
    ("force-ssl-redirect", "false"),
    ("from-to-www-redirect", "false"),
    ("http2-push-preload", "false"),
    ("limit-connections", "0"),
    ("limit-rate", "0"),
    ("limit-rate-after", "0"),
    ("limit-rpm", "0"),
    ("limit-rps", "0"),
    ("load-balance", "round_robin"),
    ("preserve-trailing-slash", "false"),
    ("proxy-buffering", "off"),
    ("proxy-http-version", "1.1"),
    ("proxy-max-temp-file-size", "0"),
    ("proxy-redirect-from", "off"),
    ("proxy-redirect-to", "off"),
    ("proxy-request-buffering", "off"),
    ("proxy-ssl-verify", "off"),
    ("satisfy", "all"),
    ("ssl-passthrough", "false"),
    ("ssl-prefer-server-ciphers", "false"),
    ("ssl-redirect", "true"),
    ("use-regex", "false"),
];

/// All that ingress-nginx 1.15 reads.
const KNOWN_ANNOTATIONS: &[&str] = &[
    "affinity",
    "affinity-canary-behavior",
    "affinity-mode",
    "allowlist-source-range",
    "app-root",
    "auth-always-set-cookie",
    "auth-cache-duration",
    "auth-cache-key",
    "auth-keepalive",
    "auth-keepalive-requests",
    "auth-keepalive-share-vars",
    "auth-keepalive-timeout",
    "auth-method",
    "auth-proxy-set-headers",
    "auth-realm",
    "auth-request-redirect",
    "auth-response-headers",
    "auth-secret",
    "auth-secret-type",
    "auth-signin",
    "auth-signin-redirect-param",
    "auth-snippet",
    "auth-tls-error-page",
    "auth-tls-match-cn",
    "auth-tls-pass-certificate-to-upstream",
    "auth-tls-secret",
    "auth-tls-verify-client",
    "auth-tls-verify-depth",
    "auth-type",
    "auth-url",
    "backend-protocol",
    "canary",
    "canary-by-cookie",
    "canary-by-header",
    "canary-by-header-pattern",
    "canary-by-header-value",
    "canary-weight",
    "canary-weight-total",
    "client-body-buffer-size",
    "configuration-snippet",
    "connection-proxy-header",
    "cors-allow-credentials",
    "cors-allow-headers",
    "cors-allow-methods",
    "cors-allow-origin",
    "cors-expose-headers",
    "cors-max-age",
    "custom-headers",
    "custom-http-errors",
    "default-backend",
    "denylist-source-range",
    "disable-proxy-intercept-errors",
    "enable-access-log",
    "enable-cors",
    "enable-global-auth",
    "enable-modsecurity",
    "enable-opentelemetry",
    "enable-owasp-core-rules",
    "enable-rewrite-log",
    "fastcgi-index",
    "fastcgi-params-configmap",
    "force-ssl-redirect",
    "from-to-www-redirect",
    "http2-push-preload",
    "limit-allowlist",
    "limit-burst-multiplier",
    "limit-connections",
    "limit-rate",
    "limit-rate-after",
    "limit-rpm",
    "limit-rps",
    "limit-whitelist",
    "load-balance",
    "mirror-host",
    "mirror-request-body",
    "mirror-target",
    "modsecurity-snippet",
    "modsecurity-transaction-id",
    "opentelemetry-operation-name",
    "opentelemetry-trust-incoming-span",
    "permanent-redirect",
    "permanent-redirect-code",
    "preserve-trailing-slash",
    "proxy-body-size",
    "proxy-buffer-size",
    "proxy-buffering",
    "proxy-buffers-number",
    "proxy-busy-buffers-size",
    "proxy-connect-timeout",
    "proxy-cookie-domain",
    "proxy-cookie-path",
    "proxy-http-version",
    "proxy-max-temp-file-size",
    "proxy-next-upstream",
    "proxy-next-upstream-timeout",
    "proxy-next-upstream-tries",
    "proxy-read-timeout",
    "proxy-redirect-from",
    "proxy-redirect-to",
    "proxy-request-buffering",
    "proxy-send-timeout",
    "proxy-ssl-ciphers",
    "proxy-ssl-name",
    "proxy-ssl-protocols",
    "proxy-ssl-secret",
    "proxy-ssl-server-name",
    "proxy-ssl-verify",
    "proxy-ssl-verify-depth",
    "relative-redirects",
    "rewrite-target",
    "satisfy",
    "server-alias",
    "server-snippet",
    "service-upstream",
    "session-cookie-change-on-failure",
    "session-cookie-conditional-samesite-none",
    "session-cookie-domain",
    "session-cookie-expires",
    "session-cookie-max-age",
    "session-cookie-name",
    "session-cookie-path",
    "session-cookie-samesite",
    "session-cookie-secure",
    "ssl-ciphers",
    "ssl-passthrough",
    "ssl-prefer-server-ciphers",
    "ssl-redirect",
    "stream-snippet",
    "temporal-redirect",
    "temporal-redirect-code",
    "upstream-hash-by",
    "upstream-hash-by-subset",
    "upstream-hash-by-subset-size",
    "upstream-vhost",
    "use-regex",
    "whitelist-source-range",
    "x-forwarded-prefix",
];

/// What an annotation comes to, of which the prefix is taken off.
pub fn annotation_effect(name: &str, value: &str, context: &AnnotationContext<'_>) -> AnnotationEffect {
    if KNOWN_ANNOTATIONS.binary_search(&name).is_err() {
        return AnnotationEffect::Unknown;
    }
    let value = value.trim();
    let timeouts = &context.defaults.timeouts;
    let seconds = |default: Option<std::time::Duration>| {
        default.is_some_and(|default| {
            value.parse().is_ok_and(|seconds| default == std::time::Duration::from_secs(seconds))
        })
    };
    let same = match name {
        "backend-protocol" if value.eq_ignore_ascii_case("http") => {
            return AnnotationEffect::SameProtocol(Protocol::Http);
        }
        // Without a certificate nothing is redirected anyway.
        "ssl-redirect" if value.eq_ignore_ascii_case("false") => !context.tls,
        "proxy-connect-timeout" => seconds(timeouts.connect),
        "proxy-read-timeout" => seconds(timeouts.read),
        "proxy-send-timeout" => seconds(timeouts.send),
        "proxy-body-size" => parse_size(value) == Ok(context.defaults.max_body_bytes),
        "service-upstream" => parse_boolean(&value.to_ascii_lowercase())
            .is_ok_and(|cluster_ip| cluster_ip == (context.defaults.backends == BackendMode::ClusterIp)),
        "rewrite-target" => !context.paths.is_empty() && context.paths.iter().all(|path| *path == value),
        "allowlist-source-range" | "whitelist-source-range" => {
            value.split(',').any(|range| range.trim() == "0.0.0.0/0")
        }
        _ => UNCHANGED_VALUES.iter().any(|(same, of)| *same == name && value.eq_ignore_ascii_case(of)),
    };
    if same {
        return AnnotationEffect::Unchanged;
    }
    let equal = EQUIVALENTS.iter().find(|(theirs, _)| *theirs == name).map(|(_, equal)| *equal);
    AnnotationEffect::Unsupported(equal.unwrap_or("nothing here does the same"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use entry_model::Timeouts;

    #[test]
    fn known_annotations_are_sorted() {
        assert!(KNOWN_ANNOTATIONS.is_sorted());
        for (name, _) in UNCHANGED_VALUES.iter().chain(&EQUIVALENTS) {
            assert!(KNOWN_ANNOTATIONS.binary_search(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn annotation_values_without_effect_are_recognised() {
        let time = |seconds| Some(Duration::from_secs(seconds));
        let timeouts = Timeouts { connect: time(5), read: time(60), send: time(60) };
        let defaults = PolicyDefaults { timeouts, ..PolicyDefaults::default() };
        let of = |name: &str, value: &str, paths: &[&str]| {
            annotation_effect(name, value, &AnnotationContext { defaults: &defaults, paths, tls: true })
        };
        for (name, value) in [
            ("ssl-redirect", "true"),
            ("ssl-redirect", "True"),
            ("proxy-read-timeout", "60"),
            ("proxy-connect-timeout", " 5 "),
            ("proxy-body-size", "0"),
            ("rewrite-target", "/"),
            ("whitelist-source-range", "0.0.0.0/0,::/0"),
            ("allowlist-source-range", "::/0, 0.0.0.0/0"),
            ("use-regex", "false"),
            ("proxy-http-version", "1.1"),
            ("service-upstream", "True"),
        ] {
            assert_eq!(of(name, value, &["/", "/"]), AnnotationEffect::Unchanged, "{name}: {value}");
        }
        for value in ["http", "HTTP"] {
            assert_eq!(of("backend-protocol", value, &[]), AnnotationEffect::SameProtocol(Protocol::Http), "{value}");
        }
        for (name, value) in [
            ("ssl-redirect", "false"),
            ("force-ssl-redirect", "true"),
            ("backend-protocol", "HTTPS"),
            ("proxy-read-timeout", "61"),
            ("proxy-read-timeout", "60s"),
            ("proxy-connect-timeout", "60"),
            ("proxy-body-size", "1m"),
            ("rewrite-target", "/x"),
            ("whitelist-source-range", "10.0.0.0/8"),
            ("whitelist-source-range", ""),
            ("use-regex", "true"),
            ("service-upstream", "false"),
            ("configuration-snippet", ""),
        ] {
            assert!(matches!(of(name, value, &["/", "/"]), AnnotationEffect::Unsupported(_)), "{name}: {value}");
        }
        for paths in [&["/x"][..], &["/", "/x"], &[]] {
            assert!(matches!(of("rewrite-target", "/", paths), AnnotationEffect::Unsupported(_)), "{paths:?}");
        }
        let to_endpoints = PolicyDefaults { backends: BackendMode::Endpoints, ..defaults };
        let context = AnnotationContext { defaults: &to_endpoints, paths: &["/"], tls: true };
        assert_eq!(annotation_effect("service-upstream", "false", &context), AnnotationEffect::Unchanged);
        assert!(matches!(annotation_effect("service-upstream", "true", &context), AnnotationEffect::Unsupported(_)));
        let context = AnnotationContext { defaults: &defaults, paths: &["/"], tls: false };
        assert_eq!(annotation_effect("ssl-redirect", "false", &context), AnnotationEffect::Unchanged);
        for name in ["rate-limit", "hsts", "proxy-buffers", "ssl-protocols", "", "Rewrite-Target"] {
            assert_eq!(of(name, "1", &["/"]), AnnotationEffect::Unknown, "{name}");
        }
    }
}
