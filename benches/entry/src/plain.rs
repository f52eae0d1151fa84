//! Configurations as a person writes them for nginx alone: a server for each host, a location for each path, and an upstream with
//! connections that are kept for each backend.

use std::net::SocketAddr;
use std::path::Path;

use nginx_conf::Modules;

/// What is sent on, and how: upgrades, streams that are not held back, and the headers that tell the backend about the client.
const PROXY: &str = "
    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_request_buffering off;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Request-ID $request_id;
";

/// A whole file, with what is asked for inside `http`.
pub fn configuration(runtime: &Path, modules: Modules, http: &str) -> String {
    let runtime = runtime.display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = [("fastcgi", modules.fastcgi), ("uwsgi", modules.uwsgi), ("scgi", modules.scgi)]
        .iter()
        .filter(|(_, present)| *present)
        .map(|(name, _)| format!("{name}_temp_path {runtime}/{name};\n"))
        .collect();
    format!(
        "{user}
        worker_processes 2;
        worker_rlimit_nofile 16896;
        pid {runtime}/nginx.pid;
        error_log stderr warn;
        events {{ worker_connections 8192; }}
        http {{
            access_log off;
            server_tokens off;
            tcp_nodelay on;
            keepalive_timeout 75s;
            keepalive_requests 10000;
            client_max_body_size 0;
            client_body_temp_path {runtime}/body;
            proxy_temp_path {runtime}/proxy;
            {temporary}
            server_names_hash_max_size 32768;
            server_names_hash_bucket_size 128;
            map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
            {PROXY}
            {http}
        }}"
    )
}

/// A backend.
pub fn upstream(name: &str, backend: SocketAddr) -> String {
    format!(
        "upstream {name} {{
            server {backend};
            keepalive 32;
            keepalive_timeout 4s;
            keepalive_requests 10000;
        }}\n"
    )
}

/// A server: where it listens and what else is said of it, and its locations, each with where its requests are sent.
pub fn server<'a>(head: &str, locations: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let location = |(path, to): (&str, &str)| format!("    location {path} {{ proxy_pass {to}; }}\n");
    let locations: String = locations.into_iter().map(location).collect();
    format!("server {{\n    {head}\n{locations}}}\n")
}

/// What a person adds to a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Treatment<'a> {
    /// At the level of `http`.
    pub http: &'a str,
    /// At that of the server.
    pub server: &'a str,
    /// The location's name.
    pub path: &'a str,
    /// In it, with where requests are sent.
    pub location: &'a str,
}

impl Default for Treatment<'_> {
    fn default() -> Self {
        Self { http: "", server: "", path: "/steady/", location: "proxy_pass http://steady;" }
    }
}

/// A single location with a treatment, where a backend is told its prefix too.
pub fn steady(address: SocketAddr, backend: SocketAddr, treatment: &Treatment<'_>) -> String {
    let Treatment { http, server, path, location } = treatment;
    format!(
        "{http}
        {}
        server {{
            listen {address} default_server;
            {server}
            location = /steady {{ return 301 /steady/; }}
            location {path} {{
                {location}
                {PROXY}
                proxy_set_header X-Forwarded-Prefix /steady;
            }}
            location / {{ return 404; }}
        }}",
        upstream("steady", backend)
    )
}

/// A location of all hosts for each of the paths, below which everything goes to the upstream of that name.
pub fn services<'a>(address: SocketAddr, names: impl IntoIterator<Item = &'a str>) -> String {
    let locations: Vec<_> = names.into_iter().map(|name| (format!("/{name}/"), format!("http://{name}/"))).collect();
    let locations = locations.iter().map(|(path, to)| (path.as_str(), to.as_str()));
    server(&format!("listen {address} default_server;"), locations)
}
