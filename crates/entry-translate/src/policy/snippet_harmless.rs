//! Lines of snippets that keep nobody out, and what to write instead of those that may.

/// Lines that say how something is done, and not for whom: without them everybody gets what everybody got. What is not here may keep
/// someone out.
const HARMLESS: &[&str] = &[
    "absolute_redirect",
    "access_log",
    "add_header",
    "add_trailer",
    "auth_request_set",
    "break",
    "client_body_buffer_size",
    "client_body_in_file_only",
    "client_body_in_single_buffer",
    "client_body_temp_path",
    "client_body_timeout",
    "client_header_timeout",
    "client_max_body_size",
    "default_type",
    "error_log",
    "error_page",
    "etag",
    "expires",
    "if_modified_since",
    "limit_conn_log_level",
    "limit_conn_status",
    "limit_rate",
    "limit_rate_after",
    "limit_req_log_level",
    "limit_req_status",
    "log_not_found",
    "log_subrequest",
    "max_ranges",
    "merge_slashes",
    "mirror",
    "mirror_request_body",
    "more_clear_headers",
    "more_set_headers",
    "output_buffers",
    "port_in_redirect",
    "postpone_output",
    "proxy_bind",
    "proxy_connect_timeout",
    "proxy_force_ranges",
    "proxy_hide_header",
    "proxy_http_version",
    "proxy_ignore_client_abort",
    "proxy_ignore_headers",
    "proxy_intercept_errors",
    "proxy_limit_rate",
    "proxy_max_temp_file_size",
    "proxy_no_cache",
    "proxy_pass_header",
    "proxy_pass_trailers",
    "proxy_read_timeout",
    "proxy_redirect",
    "proxy_request_buffering",
    "proxy_send_lowat",
    "proxy_send_timeout",
    "proxy_socket_keepalive",
    "proxy_ssl_ciphers",
    "proxy_ssl_conf_command",
    "proxy_ssl_name",
    "proxy_ssl_protocols",
    "proxy_ssl_server_name",
    "proxy_ssl_session_reuse",
    "read_ahead",
    "recursive_error_pages",
    "request_pool_size",
    "reset_timedout_connection",
    "rewrite_log",
    "server_name_in_redirect",
    "server_tokens",
    "set",
    "source_charset",
    "ssl_buffer_size",
    "ssl_conf_command",
    "ssl_dhparam",
    "ssl_early_data",
    "ssl_ecdh_curve",
    "subrequest_output_buffer_size",
    "uninitialized_variable_warn",
];

/// The same, by what their names begin with.
const HARMLESS_BEGINNINGS: &[&str] = &[
    "aio",
    "brotli",
    "charset",
    "directio",
    "grpc_buffer_size",
    "grpc_connect_timeout",
    "grpc_next_upstream",
    "grpc_read_timeout",
    "grpc_send_timeout",
    "gunzip",
    "gzip",
    "http2_",
    "http3",
    "keepalive_",
    "lingering_",
    "msie_",
    "open_file_cache",
    "opentelemetry",
    "opentracing",
    "otel_",
    "proxy_buffer",
    "proxy_busy_buffers_size",
    "proxy_cache",
    "proxy_cookie_",
    "proxy_next_upstream",
    "proxy_temp_",
    "resolver",
    "send_",
    "sendfile",
    "ssi",
    "ssl_session_",
    "sub_filter",
    "tcp_",
    "types_hash_",
    "userid",
    "variables_hash_",
    "zipkin",
];

/// Whether nobody gets more where a line has no effect.
pub fn is_harmless(name: &str, arguments: &[&str]) -> bool {
    let asks_for_less = matches!(
        (name, arguments),
        ("auth_basic" | "auth_request" | "modsecurity" | "limit_conn_dry_run" | "limit_req_dry_run", ["off"])
            | ("allow" | "satisfy", ["all"])
    );
    asks_for_less || HARMLESS.contains(&name) || HARMLESS_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// What does the same as a line that may keep someone out: annotations, or another object.
pub fn instead_of(name: &str) -> Option<&'static str> {
    let annotations = match name {
        "allow" | "deny" => "`whitelist-source-range` or `denylist-source-range`",
        "auth_basic" | "auth_basic_user_file" => "`auth-type` and `auth-secret`",
        "auth_request" => "`auth-url`",
        "if" | "location" => "an Ingress of its own for those requests",
        "limit_conn" => "`limit-connections`",
        "limit_req" => "`limit-rps` or `limit-rpm`",
        "proxy_pass" => "a backend of a path",
        "proxy_ssl_crl" | "proxy_ssl_trusted_certificate" | "proxy_ssl_verify" => {
            "`proxy-ssl-secret` and `proxy-ssl-verify`"
        }
        "proxy_ssl_certificate" | "proxy_ssl_certificate_key" => "`proxy-ssl-secret`",
        "return" => {
            "`permanent-redirect`, `temporal-redirect`, or a text without cookies, passwords and variables of other lists"
        }
        "rewrite" => "`rewrite-target`, `app-root` or `permanent-redirect`",
        "satisfy" => "`satisfy`",
        "ssl_client_certificate" | "ssl_verify_client" | "ssl_verify_depth" => "`auth-tls-secret`",
        _ => return None,
    };
    Some(annotations)
}
