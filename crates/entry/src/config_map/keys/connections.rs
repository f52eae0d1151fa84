//! Connections and times.

use super::{ConfigKey, not_followed_unless, read, unchanged};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{number, seconds, small_number, switch, time};

/// What a key does that is one field.
macro_rules! set {
    ($read:expr, |$settings:ident, $value:ident| $assign:expr) => {
        |$settings: &mut SharedSettings, context: &KeyContext<'_>| {
            let $value = $read(context.value)?;
            $assign;
            Ok(Remark::None)
        }
    };
}
pub(super) use set;

pub const KEYS: &[ConfigKey] = &[
    read(
        "proxy-connect-timeout",
        set!(seconds, |s, time| {
            s.nginx.timeouts.connect = time;
            s.defaults.timeouts.connect = Some(time);
        }),
        "Time to connect to a backend, where no annotation says another. As `--connect-timeout`",
    ),
    read(
        "proxy-read-timeout",
        set!(seconds, |s, time| {
            s.nginx.timeouts.read = time;
            s.defaults.timeouts.read = Some(time);
        }),
        "Time between two reads of a backend's answer, where no annotation says another. As `--read-timeout`",
    ),
    read(
        "proxy-send-timeout",
        set!(seconds, |s, time| {
            s.nginx.timeouts.send = time;
            s.defaults.timeouts.send = Some(time);
        }),
        "Time between two writes of a request, where no annotation says another. As `--send-timeout`",
    ),
    read(
        "client-header-timeout",
        set!(seconds, |s, time| s.nginx.client.head_timeout = Some(time)),
        "Time for the head of a request, in seconds",
    ),
    read(
        "client-body-timeout",
        set!(seconds, |s, time| s.nginx.client.body_timeout = Some(time)),
        "Time between two pieces of a request's body, in seconds",
    ),
    read(
        "keep-alive",
        set!(|text| number(text, 0, 86_400), |s, seconds| {
            s.nginx.keepalive_timeout = std::time::Duration::from_secs(seconds);
        }),
        "How long an idle connection of a client is kept, in seconds; `0` closes it after each answer. As `--keepalive-timeout`",
    ),
    read(
        "keep-alive-requests",
        set!(|text| small_number(text, 1, 1_000_000), |s, requests| s.nginx.client.requests = requests),
        "How many requests come by one connection",
    ),
    read(
        "upstream-keepalive-connections",
        set!(|text| small_number(text, 0, 10_000), |s, most| s.nginx.kept_connections.most = Some(most)),
        "Most idle connections that a worker keeps to all backends of one protocol. `0` keeps none",
    ),
    read(
        "upstream-keepalive-timeout",
        set!(seconds, |s, time| s.nginx.kept_connections.idle = time),
        "How long an idle connection to a backend is kept, in seconds; 4 without this key, since many servers close theirs after 5",
    ),
    read(
        "upstream-keepalive-requests",
        set!(|text| small_number(text, 1, 1_000_000), |s, requests| s.nginx.kept_connections.requests = requests),
        "For how many requests a connection to a backend is used",
    ),
    read(
        "upstream-keepalive-time",
        set!(time, |s, time| s.nginx.kept_connections.age = Some(time)),
        "For how long a connection to a backend is used, such as `1h`",
    ),
    read("use-http2", set!(switch, |s, on| s.nginx.http2 = on), "Whether clients that come by TLS may speak HTTP/2"),
    read(
        "http2-max-concurrent-streams",
        set!(|text| small_number(text, 1, 10_000), |s, streams| s.nginx.client.http2_streams = Some(streams)),
        "How many requests may be under way on a connection of HTTP/2",
    ),
    read(
        "worker-shutdown-timeout",
        set!(time, |s, time| s.nginx.worker_shutdown_timeout = time),
        "How long workers of an earlier configuration go on with what they have. As `--worker-shutdown-timeout`",
    ),
    unchanged(
        "http2-max-field-size",
        "nginx has no such setting any more: `large-client-header-buffers` is for HTTP/2 too",
    ),
    unchanged(
        "http2-max-header-size",
        "nginx has no such setting any more: `large-client-header-buffers` is for HTTP/2 too",
    ),
    unchanged("http2-max-requests", "nginx has no such setting any more: `keep-alive-requests` is for HTTP/2 too"),
    not_followed_unless(
        "proxy-http-version",
        &["1.1"],
        "HTTP/1.1 is spoken with backends, and HTTP/2 where `backend-protocol` says so",
    ),
    not_followed_unless(
        "proxy-next-upstream",
        &["error timeout"],
        "another endpoint is tried where one cannot be reached, and an annotation can say more",
    ),
    not_followed_unless("proxy-next-upstream-timeout", &["15"], "it is 15 s"),
    not_followed_unless("proxy-next-upstream-tries", &["3"], "it is 3"),
    not_followed_unless("retry-non-idempotent", &["false"], "a request that changes something is not sent twice"),
];
