//! The headers that say who or where a client is.

/// Those that backends get from this entry, whatever a client sent.
pub(crate) const OWN_HEADERS: [&str; 9] = [
    "Host",
    "X-Real-IP",
    "X-Request-ID",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-Prefix",
    "Forwarded",
];

/// Headers that clients may not send: what they say is believed by applications, frameworks or servers, and this entry says
/// it in others. nginx drops spellings with an underscore by itself.
pub const CLIENT_HEADERS: [&str; 66] = [
    // How the client came.
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Forwarded-Protocol",
    "X-Scheme",
    "X-Url-Scheme",
    "Front-End-Https",
    // From where.
    "X-Original-Forwarded-For",
    "X-Forwarded",
    "Forwarded-For",
    "X-Forwarded-By",
    "X-Forwarded-Server",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Remote-IP",
    "X-Remote-Addr",
    "X-Originating-IP",
    "Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "Proxy-Client-IP",
    "WL-Proxy-Client-IP",
    "X-Envoy-External-Address",
    // What it asked for.
    "X-Original-Host",
    "X-Host",
    "X-Forwarded-Uri",
    "X-Forwarded-Path",
    "X-Forwarded-Method",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-Script-Name",
    // Who it is.
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Request-Groups",
    "X-Remote-User",
    "X-Remote-Group",
    "X-Remote-Groups",
    "Remote-User",
    "Remote-Name",
    "Remote-Email",
    "Remote-Groups",
    "X-Authenticated-User",
    "X-WebAuth-User",
    // Its certificate.
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Client-Cert",
    "X-Client-Verify",
    "X-Client-DN",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-SSL-Client-Cert",
    "X-SSL-Client-Verify",
    "X-SSL-Client-DN",
    "X-SSL-Client-S-DN",
    "X-SSL-Client-CN",
    "Ssl-Client-Cert",
    "Ssl-Client-Verify",
    "Ssl-Client-Subject-DN",
    "Ssl-Client-S-DN",
    "Ssl-Client-Issuer-DN",
    // Which programs of the CGI kind take for the variable HTTP_PROXY.
    "Proxy",
];

/// Headers of a request that are of the connection, or of how its body is sent.
pub(crate) const OF_CONNECTION: [&str; 10] = [
    "Connection",
    "Content-Length",
    "Expect",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// Whether a header is one that backends get from this entry.
pub(crate) fn is_own_header(name: &str) -> bool {
    OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Whether a header can be left to trusted proxies: it is none that is written here, and none of the connection's.
pub(crate) fn can_be_kept(name: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // Longer ones do not fit into nginx's table of headers.
    name.len() <= 40
        && is_name(name)
        && !OWN_HEADERS.iter().chain(&OF_CONNECTION).any(|other| other.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_lists_every_header_that_is_dropped() {
        let page = include_str!("../../../docs/reference/entry-paths.md");
        let missing: Vec<_> = CLIENT_HEADERS.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn own_headers_cannot_be_trusted_from_proxies() {
        for name in
            ["X-Forwarded-For", "host", "Forwarded", "transfer-encoding", "Proxy", "", "a b", "a_b", "x: y", "é"]
        {
            assert!(!can_be_kept(name), "{name}");
        }
        assert!(can_be_kept("X-Remote-User") && can_be_kept("x-own") && !can_be_kept(&"x".repeat(41)));
    }
}
