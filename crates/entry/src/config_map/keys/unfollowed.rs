//! What is not followed, and what has no meaning here.

use entry_translate::SnippetPlace;

use super::{ConfigKey, SNIPPET, not_followed, not_followed_unless, snippet, unchanged};

const MODSECURITY: &str = "there is no firewall for applications in this entry";
const TELEMETRY: &str = "traces are not sent; each request has an id in `X-Request-ID` and in the log";
const GEOIP: &str = "places of clients are not looked up";
const STREAM: &str = "it is for streams of TCP and UDP";
const LUA: &str = "There is no Lua in this entry";

pub const KEYS: &[ConfigKey] = &[
    not_followed("main-snippet", SNIPPET),
    snippet("http-snippet", SnippetPlace::Http),
    snippet("server-snippet", SnippetPlace::Server),
    snippet("location-snippet", SnippetPlace::Server),
    not_followed("stream-snippet", SNIPPET),
    unchanged(
        "allow-snippet-annotations",
        "Of snippets in annotations, only directives of a short list are read, and as values",
    ),
    unchanged("annotations-risk-level", "Each annotation is read as a value, and none can do harm as a text"),
    unchanged("annotation-value-word-blocklist", "Each annotation is read as a value, and none can do harm as a text"),
    not_followed_unless("allow-cross-namespace-resources", &["false"], "an Ingress names objects of its own namespace"),
    not_followed_unless("enable-modsecurity", &["false"], MODSECURITY),
    not_followed_unless("enable-owasp-modsecurity-crs", &["false"], MODSECURITY),
    not_followed("modsecurity-snippet", MODSECURITY),
    not_followed_unless("enable-opentelemetry", &["false"], TELEMETRY),
    unchanged("opentelemetry-config", TELEMETRY),
    unchanged("opentelemetry-operation-name", TELEMETRY),
    unchanged("opentelemetry-trust-incoming-span", TELEMETRY),
    unchanged("otel-max-export-batch-size", TELEMETRY),
    unchanged("otel-max-queuesize", TELEMETRY),
    unchanged("otel-sampler", TELEMETRY),
    unchanged("otel-sampler-parent-based", TELEMETRY),
    unchanged("otel-sampler-ratio", TELEMETRY),
    unchanged("otel-schedule-delay-millis", TELEMETRY),
    unchanged("otel-service-name", TELEMETRY),
    unchanged("otlp-collector-host", TELEMETRY),
    unchanged("otlp-collector-port", TELEMETRY),
    not_followed_unless("use-geoip", &["false"], GEOIP),
    not_followed_unless("use-geoip2", &["false"], GEOIP),
    unchanged("geoip2-autoreload-in-minutes", GEOIP),
    not_followed("bind-address", "`--http` and `--https` say where is listened"),
    not_followed("bind-address-ipv4", "`--http` and `--https` say where is listened"),
    not_followed("bind-address-ipv6", "`--http` and `--https` say where is listened"),
    not_followed_unless("disable-ipv6", &["false"], "`--http` and `--https` say where is listened"),
    unchanged("disable-ipv6-dns", "No names are looked up"),
    not_followed("debug-connections", "nginx is not built for it"),
    unchanged("nginx-status-ipv4-whitelist", "nginx's counters are on a socket, and in the metrics"),
    unchanged("nginx-status-ipv6-whitelist", "nginx's counters are on a socket, and in the metrics"),
    unchanged("lua-shared-dicts", LUA),
    not_followed("plugins", LUA),
    unchanged("proxy-stream-timeout", STREAM),
    unchanged("proxy-stream-next-upstream", STREAM),
    unchanged("proxy-stream-next-upstream-timeout", STREAM),
    unchanged("proxy-stream-next-upstream-tries", STREAM),
    unchanged("proxy-stream-responses", STREAM),
];
