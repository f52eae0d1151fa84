//! The main file: what all servers share, then the servers.

use std::time::Duration;

use crate::backend_protocols::BackendProtocols;
use crate::brotli::{Brotli, load_module};
use crate::context::Context;
use crate::control_server::control_server;
use crate::frame::FrameServers;
use crate::header::Header;
use crate::location_headers::connection_headers;
use crate::policy::balancing;
use crate::proxy_module::ProxyModule;
use crate::revision::HASH_PLACE;
use crate::stream::Streams;
use crate::tls;
use crate::token::{Token, duration, path_token, size};
use crate::writer::{Directive, Writer, case, directive, map};
use crate::{
    Gzip, RenderNote, Settings, Version, access_log, error_page, forwarded_headers, frame, policy, x_accel_headers,
};

/// From here on a connection is not closed right after its last answer when workers change: no request is lost.
const KEEPALIVE_MIN_TIMEOUT: Version = Version::new(1, 27, 4);

/// A client that reads trailers, among what else it says (RFC 9110, 10.1.4).
const TRAILERS: &str = r#""~*(?:^|,)[ \t]*trailers[ \t]*(?:,|$)""#;

/// Writes all of it.
pub fn write<'a>(
    writer: &mut Writer<'a>,
    servers: &FrameServers<'a>,
    streams: &Streams<'a>,
    notes: &mut Vec<RenderNote>,
) {
    let FrameServers { routes, needs, context: Context { settings, protocols }, policies, .. } = *servers;
    let modules = streams.load_module().into_iter().chain(frame::load_module(settings));
    let brotli = settings.brotli.as_ref().and(settings.brotli_module.as_deref()).and_then(load_module);
    let modules = modules.chain(brotli);
    for directive in modules.chain(main(settings)) {
        writer.write(&directive);
    }
    writer.open(&directive("http"));
    // First the control server, so that the place of the hash is before any text of an object.
    let shared = control_server(settings, Token::word(HASH_PLACE), Some(frame::table_location()))
        .into_iter()
        .chain(frame::http(settings, streams.own_address()))
        .chain(basics(servers))
        .chain(streams.real_addresses())
        .chain(access_log::http(settings))
        .chain(forwarded_headers::variables(settings))
        .chain(balancing::variables(policies, settings))
        .chain(streams.own_address_variable())
        .chain(forwarding(settings, protocols))
        .chain(x_accel_headers::ignore_headers(settings))
        .chain(error_page::http())
        .chain(policy::http(policies, needs.have_variables_in_texts(), settings))
        .chain(settings.headers.directives(settings, protocols.have_grpc(settings)))
        .chain(settings.gzip.iter().flat_map(Gzip::directives))
        .chain(settings.brotli.iter().flat_map(Brotli::directives))
        .chain((settings.gzip.is_some() || settings.brotli.is_some()).then(|| directive("gzip_vary").words(["on"])))
        .chain(settings.filter.directives())
        .chain(if tls::has_https(routes, settings) { settings.tls.directives() } else { Vec::new() });
    for directive in shared {
        writer.write(&directive);
    }
    policy::write_shared(writer, policies, settings);
    frame::write_upstreams(writer, needs, settings);
    servers.write(writer, notes);
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
fn basics(servers: &FrameServers<'_>) -> Vec<Directive<'static>> {
    let settings = servers.context.settings;
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
    let (count, longest) =
        servers.exact_names().fold((0_usize, 0), |(count, longest), name| (count + 1, longest.max(name.len())));
    let power = |number: usize, least: usize| Token::number(number.max(least).next_power_of_two() as u64);
    all.push(directive("server_names_hash_max_size").token(power(count * 2, 1024)));
    all.push(directive("server_names_hash_bucket_size").token(power(longest.min(253) + 32, 128)));
    all.push(directive("map_hash_bucket_size").words(["128"]));
    all.push(directive("variables_hash_max_size").words(["2048"]));
    all.push(directive("variables_hash_bucket_size").words(["128"]));
    all
}

/// How requests are sent on, and with which headers.
fn forwarding(settings: &Settings, protocols: &BackendProtocols) -> Vec<Directive<'static>> {
    let times = settings.timeouts;
    let mut all = vec![
        directive("proxy_http_version").words(["1.1"]),
        // What a backend says of its own address is passed on as it is.
        directive("proxy_redirect").words(["off"]),
    ];
    let grpc = protocols.have_grpc(settings);
    all.extend(settings.buffering.directives(grpc));
    all.extend([
        directive("proxy_connect_timeout").token(duration(times.connect)),
        directive("proxy_read_timeout").token(duration(times.read)),
        directive("proxy_send_timeout").token(duration(times.send)),
        directive("proxy_headers_hash_max_size").words(["1024"]),
        directive("proxy_headers_hash_bucket_size").words(["128"]),
    ]);
    if protocols.have_proxy_http2(settings) {
        all.push(map("\"\"", "$sparrow_te", vec![case("default", "\"\"")]));
        all.push(map("$http_te", "$sparrow_trailers", vec![case("default", "\"\""), case(TRAILERS, "trailers")]));
    }
    let set = |module: ProxyModule, headers: Vec<Header>| {
        headers.into_iter().map(move |(name, value)| directive(module.set_header()).token(name).token(value))
    };
    all.extend(set(ProxyModule::Proxy, connection_headers(ProxyModule::Proxy, settings, protocols)));
    if grpc {
        all.push(directive("grpc_connect_timeout").token(duration(times.connect)));
        all.push(directive("grpc_read_timeout").token(duration(times.read)));
        all.push(directive("grpc_send_timeout").token(duration(times.send)));
    }
    if !protocols.0.is_empty() {
        // A request is sent to another endpoint if one cannot be reached, or if nothing changes by sending it twice. It has less time
        // for that than for an answer: one that is slow is not asked for again.
        let names = [("proxy_next_upstream_tries", "proxy_next_upstream_timeout")].into_iter();
        for (tries, time) in names.chain(grpc.then_some(("grpc_next_upstream_tries", "grpc_next_upstream_timeout"))) {
            all.push(directive(tries).words(["3"]));
            all.push(directive(time).words(["15s"]));
        }
    }
    if protocols.have_tls() {
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
