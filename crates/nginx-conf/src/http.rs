//! The main file: what all servers share, then the servers.

use std::time::Duration;

use entry_model::HostName;

use crate::brotli::{Brotli, load_module};
use crate::frame_needs::FrameNeeds;
use crate::header::Header;
use crate::inexpressible::is_branching;
use crate::location_headers::connection_headers;
use crate::policy::{PolicySet, balancing};
use crate::proxy_module::ProxyModule;
use crate::revision::HASH_PLACE;
use crate::server::Servers;
use crate::stream::Streams;
use crate::tls;
use crate::token::{Token, duration, path_token, size};
use crate::upstream::Upstreams;
use crate::writer::{Directive, Writer, case, directive, map};
use crate::{
    Gzip, RenderNote, Settings, Version, access_log, chosen, error_page, forwarded_headers, frame, policy, redirect,
    rewritten_path, server, x_accel_headers,
};

/// From here on a connection is not closed right after its last answer when workers change: no request is lost.
const KEEPALIVE_MIN_TIMEOUT: Version = Version::new(1, 27, 4);

/// A dot segment in the path as it was sent, in any form that some server takes for one: encoded dots, encoded or reversed
/// slashes, and parameters after the dots. And a `#`, at which nginx ends the path and others do not.
const DOT_SEGMENTS: &str = r#""~*^[^?]*(?:[/\\\\]|%2f|%5c)(?:\\.|%2e){1,2}(?:[/\\\\;?]|%2f|%5c|%3b|$)""#;

/// A request whose target is no path: it names its host.
const ABSOLUTE: &str = r#""~^[^ ]+ +[^/ ]""#;

/// A request whose path, with its query, is the same as nginx understands it: nothing encoded, no doubled slash, no dot
/// segment. What begins with a dot is left to the rest, so that this is told in one look. And one that has a host in its
/// header, and none in its target.
const PLAIN: &str = concat!(
    r#""~^[A-Z]++ (?:/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*+)*+/?(?:\\?[^ #]++)?"#,
    r#" HTTP/(?:1\\.1|[23]\\.0)$""#
);

/// A path, and one that was sent which begins with it. The rest needs no closer look: nginx matched it, without dot segments.
const BEGINS_ALIKE: &str = r#""~^(?<sparrow_matched>[^ ]*) (?=/)\\k<sparrow_matched>(?:[/?]|$)""#;

/// The root, and a target without a path, which stands for it: `http://any.example?x=1`.
const NO_PATH: &str = r#""~^/? \\?""#;

/// A client that reads trailers, among what else it says (RFC 9110, 10.1.4).
const TRAILERS: &str = r#""~*(?:^|,)[ \t]*trailers[ \t]*(?:,|$)""#;

/// A request in the clear that may be sent to HTTPS: not an ACME challenge, which follows no redirect to
/// another port (see `ACME_CHALLENGE` of `entry_model`).
const IN_CLEAR: &str = r#""~^http:(?!/\.well-known/acme-challenge/)""#;

/// Writes all of it. With what the routes of a table need, it is the frame of that table, and the servers are for what the table
/// does not carry.
pub fn write<'a>(
    writer: &mut Writer<'a>,
    servers: &Servers<'a>,
    streams: &Streams<'a>,
    needs: Option<&'a FrameNeeds>,
    notes: &mut Vec<RenderNote>,
) {
    let settings = servers.settings;
    let modules = streams.load_module().into_iter().chain(frame::load_module(settings).filter(|_| needs.is_some()));
    let brotli = settings.brotli.as_ref().and(settings.brotli_module.as_deref()).and_then(load_module);
    let modules = modules.chain(brotli);
    for directive in modules.chain(main(settings)) {
        writer.write(&directive);
    }
    writer.open(&directive("http"));
    let policies = PolicySet::of(servers.routes, servers.routes.rules(), needs);
    let has_variables =
        servers.routes.rules().any(redirect::has_variables) || needs.is_some_and(FrameNeeds::have_variables_in_texts);
    // First the control server, so that the place of the hash is before any text of an object.
    let shared = server::control_server(settings, Token::word(HASH_PLACE), needs.map(|_| frame::table_location()))
        .into_iter()
        .chain(needs.map(|_| frame::http(settings, streams.own_address())).unwrap_or_default())
        .chain(basics(servers, needs))
        .chain(streams.real_addresses())
        .chain(access_log::http(settings))
        .chain(forwarded_headers::variables(settings, needs.is_some()))
        .chain(if needs.is_none() { location_variables() } else { Vec::new() })
        .chain(servers.routes.rules().any(is_branching).then(chosen::variable))
        .chain(balancing::variables(&policies, &servers.upstreams.persistent_endpoints(), needs.is_some(), settings))
        .chain(rewritten_path::maps(DOT_SEGMENTS))
        .chain(streams.own_address_variable())
        .chain(maps())
        .chain(if needs.is_none() { client_maps(streams.own_address()) } else { Vec::new() })
        .chain(in_clear(settings))
        .chain(forwarding(settings, servers.upstreams))
        .chain(x_accel_headers::ignore_headers(settings))
        .chain(error_page::http())
        .chain(policy::http(&policies, has_variables, settings, needs.is_some()))
        .chain(settings.headers.directives(settings, servers.upstreams.has_grpc(settings)))
        .chain(settings.gzip.iter().flat_map(Gzip::directives))
        .chain(settings.brotli.iter().flat_map(Brotli::directives))
        .chain((settings.gzip.is_some() || settings.brotli.is_some()).then(|| directive("gzip_vary").words(["on"])))
        .chain(settings.filter.directives())
        .chain(if tls::has_https(servers.routes, settings) { settings.tls.directives() } else { Vec::new() });
    for directive in shared {
        writer.write(&directive);
    }
    policy::write_shared(writer, &policies, settings);
    servers.upstreams.write(writer);
    match needs {
        None => servers.write(writer, notes),
        Some(needs) => {
            frame::write_upstreams(writer, needs, settings);
            frame::write_servers(servers, needs, writer, notes);
        }
    }
    writer.close();
    // Behind all, so that no text of an object stands before the place of the hash.
    streams.write(writer);
}

fn main(settings: &Settings) -> Vec<Directive<'static>> {
    let mut all = Vec::new();
    if let Some(user) = settings.user.as_deref().and_then(Token::constant) {
        all.push(directive("user").token(user));
    }
    all.push(match settings.worker_processes {
        Some(number) => directive("worker_processes").token(Token::number(number.max(1))),
        None => directive("worker_processes").words(["auto"]),
    });
    // Where its library cannot, nginx warns, and goes on without.
    all.push(directive("pcre_jit").words(["on"]));
    all.push(directive("worker_shutdown_timeout").token(duration(settings.worker_shutdown_timeout)));
    // Each connection may have one to a backend; the rest is for files and sockets.
    let files = u64::from(settings.worker_connections) * 2 + 512;
    all.push(directive("worker_rlimit_nofile").token(Token::number(files)));
    if let Some(path) = path_token(&settings.error_log) {
        all.push(directive("error_log").token(path).words(["warn"]));
    }
    if let Some(path) = path_token(&settings.runtime.join("nginx.pid")) {
        all.push(directive("pid").token(path));
    }
    let connections = Token::number(settings.worker_connections.max(16));
    all.push(directive("events").block(vec![directive("worker_connections").token(connections)]));
    all
}

/// Logs, limits, times and sizes.
fn basics(servers: &Servers<'_>, needs: Option<&FrameNeeds>) -> Vec<Directive<'static>> {
    let (routes, settings) = (servers.routes, servers.settings);
    let modules = &settings.modules;
    let mut all = vec![
        directive("default_type").words(["text/html"]),
        directive("server_tokens").words([if settings.headers.server_tokens { "on" } else { "off" }]),
        directive("absolute_redirect").words(["off"]),
        directive("tcp_nodelay").words(["on"]),
        directive("reset_timedout_connection").words(["on"]),
        directive("keepalive_timeout").token(match settings.keepalive_timeout {
            Duration::ZERO => Token::word("0"),
            timeout => duration(timeout),
        }),
        directive("keepalive_requests").token(Token::number(settings.client.requests)),
        directive("client_max_body_size").token(size(settings.max_body_bytes)),
        // The longest request line, and the longest line of a header; so many of them in all.
        directive("large_client_header_buffers")
            .token(Token::number(settings.max_header_lines.max(1)))
            .token(size(settings.max_header_bytes.into())),
    ];
    for (name, timeout) in
        [("client_header_timeout", settings.client.head_timeout), ("client_body_timeout", settings.client.body_timeout)]
    {
        all.extend(timeout.map(|timeout| directive(name).token(duration(timeout))));
    }
    if let Some(streams) = settings.client.http2_streams.filter(|_| settings.modules.http_v2) {
        all.push(directive("http2_max_concurrent_streams").token(Token::number(streams)));
    }
    if settings.version >= KEEPALIVE_MIN_TIMEOUT {
        all.push(directive("keepalive_min_timeout").words(["5s"]));
    }
    for (name, present, path) in [
        ("client_body_temp_path", true, "client_body"),
        ("proxy_temp_path", true, "proxy"),
        ("fastcgi_temp_path", modules.fastcgi, "fastcgi"),
        ("uwsgi_temp_path", modules.uwsgi, "uwsgi"),
        ("scgi_temp_path", modules.scgi, "scgi"),
    ] {
        if let Some(path) = path_token(&settings.runtime.join(path)).filter(|_| present) {
            all.push(directive(name).token(path));
        }
    }
    // Hash tables for as many names as there are: the default is too small from some hundred hosts on. The buckets must
    // hold the longest name.
    let exact = || {
        let own = routes.hosts.keys().chain(needs.iter().flat_map(|needs| needs.tls.keys()));
        let own = own.filter_map(|name| if let HostName::Exact(name) = name { Some(&**name) } else { None });
        own.chain(servers.below_wildcards.iter().copied())
    };
    let longest = exact().map(str::len).max().unwrap_or(0).min(253);
    let power = |number: usize, least: usize| Token::number(number.max(least).next_power_of_two() as u64);
    all.push(directive("server_names_hash_max_size").token(power(exact().count() * 2, 1024)));
    all.push(directive("server_names_hash_bucket_size").token(power(longest + 32, 128)));
    all.push(directive("map_hash_bucket_size").words(["128"]));
    all.push(directive("variables_hash_max_size").words(["2048"]));
    all.push(directive("variables_hash_bucket_size").words(["128"]));
    all
}

/// Whether a request came in the clear and may be sent to HTTPS; and whether it names no host to which it could be sent.
fn in_clear(settings: &Settings) -> [Directive<'static>; 2] {
    let source = if settings.scheme_variable() == "$scheme" { "$scheme:$uri" } else { "$sparrow_scheme:$uri" };
    [
        map(source, "$sparrow_is_plain_http", vec![case("default", "0"), case(IN_CLEAR, "1")]),
        map(
            "\"$sparrow_is_plain_http:$host\"",
            "$sparrow_is_plain_http_without_host",
            vec![case("default", "0"), case("1:", "1")],
        ),
    ]
}

/// What locations set, where no module does; empty where none did.
fn location_variables() -> Vec<Directive<'static>> {
    ["$sparrow_route", "$sparrow_prefix"].map(|name| map("\"\"", name, vec![case("default", "\"\"")])).into()
}

/// Variables that all servers share.
fn maps() -> Vec<Directive<'static>> {
    vec![
        // What locations set; empty where none did.
        map("\"\"", "$sparrow_path", vec![case("default", "\"\"")]),
        map("$request", "$sparrow_uri_not_plain", vec![case("default", "1"), case(PLAIN, "0")]),
        map(
            "$request_uri",
            "$sparrow_has_dot_segment",
            vec![case("default", "0"), case(DOT_SEGMENTS, "1"), case("~#", "1")],
        ),
        // Two paths in one text, so that they can be compared: the one that a location stands for, and the one that was sent.
        map(
            "\"$sparrow_path $request_uri\"",
            "$sparrow_prefix_mismatch",
            vec![
                case("default", "1"),
                case(BEGINS_ALIKE, "$sparrow_has_dot_segment"),
                case(NO_PATH, "$sparrow_has_dot_segment"),
            ],
        ),
        // The most expensive questions are asked last.
        map(
            "$sparrow_uri_not_plain",
            "$sparrow_uri_rejected",
            vec![case("default", "$sparrow_prefix_mismatch"), case("0", "0")],
        ),
    ]
}

/// What backends are told of what the client said. The module has these itself.
fn client_maps(own_address: &'static str) -> Vec<Directive<'static>> {
    vec![
        // The host that routes: of a target that names one, and only then, it is not that of the header (RFC 9112, 3.2.2).
        map(
            "$sparrow_uri_not_plain",
            "$sparrow_host",
            vec![case("default", "$sparrow_host_absolute"), case("0", "$http_host")],
        ),
        map(
            "$request",
            "$sparrow_host_absolute",
            vec![case("default", "$sparrow_host_or_addr"), case(ABSOLUTE, "$host")],
        ),
        // Only HTTP/1.0 comes without a host.
        map("$http_host", "$sparrow_host_or_addr", vec![case("default", "$http_host"), case("\"\"", own_address)]),
        // WebSocket and its like go through. Not h2c: inside it requests would pass unseen.
        map(
            "$http_upgrade",
            "$sparrow_upgrade",
            vec![case("default", "$http_upgrade"), case("\"\"", "\"\""), case("~*h2c", "\"\"")],
        ),
        map("$sparrow_upgrade", "$sparrow_connection", vec![case("default", "upgrade"), case("\"\"", "\"\"")]),
    ]
}

/// How requests are sent on, and with which headers.
fn forwarding(settings: &Settings, upstreams: &Upstreams<'_>) -> Vec<Directive<'static>> {
    let times = settings.timeouts;
    let mut all = vec![
        directive("proxy_http_version").words(["1.1"]),
        // What a backend says of its own address is passed on as it is.
        directive("proxy_redirect").words(["off"]),
    ];
    let grpc = upstreams.has_grpc(settings);
    all.extend(settings.buffering.directives(grpc));
    all.extend([
        directive("proxy_connect_timeout").token(duration(times.connect)),
        directive("proxy_read_timeout").token(duration(times.read)),
        directive("proxy_send_timeout").token(duration(times.send)),
        directive("proxy_headers_hash_max_size").words(["1024"]),
        directive("proxy_headers_hash_bucket_size").words(["128"]),
    ]);
    if upstreams.has_proxy_http2(settings) {
        all.push(map("\"\"", "$sparrow_te", vec![case("default", "\"\"")]));
        all.push(map("$http_te", "$sparrow_trailers", vec![case("default", "\"\""), case(TRAILERS, "trailers")]));
    }
    let set = |module: ProxyModule, headers: Vec<Header>| {
        headers.into_iter().map(move |(name, value)| directive(module.set_header()).token(name).token(value))
    };
    all.extend(set(ProxyModule::Proxy, connection_headers(ProxyModule::Proxy, settings, upstreams)));
    if grpc {
        all.push(directive("grpc_connect_timeout").token(duration(times.connect)));
        all.push(directive("grpc_read_timeout").token(duration(times.read)));
        all.push(directive("grpc_send_timeout").token(duration(times.send)));
    }
    if upstreams.has_several_endpoints() {
        // A request is sent to another endpoint if one cannot be reached, or if nothing changes by sending it twice. It has less time
        // for that than for an answer: one that is slow is not asked for again.
        let names = [("proxy_next_upstream_tries", "proxy_next_upstream_timeout")].into_iter();
        for (tries, time) in names.chain(grpc.then_some(("grpc_next_upstream_tries", "grpc_next_upstream_timeout"))) {
            all.push(directive(tries).words(["3"]));
            all.push(directive(time).words(["15s"]));
        }
    }
    if upstreams.has_tls() {
        // The name that the client asked for: it is in the `Host` that the backend gets, too.
        all.push(directive("proxy_ssl_server_name").words(["on"]));
        all.push(directive("proxy_ssl_name").words(["$host"]));
        // A session that is taken up again is one of the host that it was made for.
        all.push(directive("proxy_ssl_session_reuse").words(["off"]));
        if grpc {
            all.push(directive("grpc_ssl_server_name").words(["on"]));
            all.push(directive("grpc_ssl_name").words(["$host"]));
            all.push(directive("grpc_ssl_session_reuse").words(["off"]));
        }
    }
    for module in [ProxyModule::Proxy].into_iter().chain(grpc.then_some(ProxyModule::Grpc)) {
        all.extend(set(module, forwarded_headers::headers(settings)));
    }
    all
}
