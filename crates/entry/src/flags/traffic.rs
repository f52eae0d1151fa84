//! How traffic is served: addresses, proxies in front, times and sizes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use entry_model::Listener;
use ipnet::IpNet;
use nginx_conf::LogField;

use super::resolver;
use super::time::parse_nonzero_time;

/// The flags of traffic.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Traffic")]
pub struct TrafficFlags {
    /// Serve HTTP here; may be repeated
    #[arg(long, value_name = "ADDR", value_delimiter = ',', default_value = "0.0.0.0:80")]
    pub http: Vec<SocketAddr>,
    /// Serve HTTPS here; may be repeated; without it there is no HTTPS, and nothing is redirected to it
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub https: Vec<SocketAddr>,
    /// The port of HTTPS as clients see it
    #[arg(long, value_name = "PORT", default_value_t = 443, value_parser = clap::value_parser!(u16).range(1..))]
    pub public_https_port: u16,
    /// Proxies in front whose X-Forwarded-* headers are believed; may be repeated
    #[arg(long, value_name = "NET", value_delimiter = ',')]
    pub trusted: Vec<IpNet>,
    /// Headers about the client that the trusted proxies write, such as X-Forwarded-Client-Cert; may be repeated. From others,
    /// and without this from everybody, such headers are dropped
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub trusted_headers: Vec<String>,
    /// Connections begin with the PROXY protocol, which the trusted proxies speak
    #[arg(long)]
    pub proxy_protocol: bool,
    /// Time to connect to a backend, where no annotation says another
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_nonzero_time)]
    pub connect_timeout: Duration,
    /// Time between two reads of a backend's answer, where no annotation says another
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_nonzero_time)]
    pub read_timeout: Duration,
    /// Time between two writes of a request, where no annotation says another
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_nonzero_time)]
    pub send_timeout: Duration,
    /// Largest request body in bytes, where no annotation says another; 0 is without limit
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub max_body_bytes: u64,
    /// Longest request line, and longest line of a request's header, in bytes; a head has at most four times as many
    #[arg(long, value_name = "BYTES", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1024..=1_048_576))]
    pub max_header_bytes: u32,
    /// How long an idle connection of a client is kept
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = parse_nonzero_time)]
    pub keepalive_timeout: Duration,
    /// DNS servers, as an address with or without a port, that are asked for names in annotations which are no Services; may be
    /// repeated. Without it those of /etc/resolv.conf
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = resolver::parse_address)]
    pub resolver: Vec<SocketAddr>,
    /// Private addresses, as ranges, to which names in DNS of Services of the type `ExternalName` may lead; may be repeated. Without it, public ones alone.
    /// Addresses of the entry itself, of its machine's network and of the API server are reached in no case
    #[arg(long, value_name = "RANGE", value_delimiter = ',')]
    pub external_name_ranges: Vec<IpNet>,
    /// A setting by its key in a `ConfigMap` of settings, such as `use-gzip=true`; may be repeated, in the variable a line each. The `ConfigMap` that
    /// --config names goes over it
    #[arg(long = "set", value_name = "KEY=VALUE", value_delimiter = '\n', value_parser = parse_setting, conflicts_with = "template")]
    pub set: Vec<(String, String)>,
    /// The fields of a line of the access log, which is a JSON object; all of them without this
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub access_log_fields: Vec<LogField>,
    /// Where requests are logged; `off` for nowhere
    #[arg(long, value_name = "FILE", default_value = "/dev/stdout")]
    pub access_log: PathBuf,
    /// A template (minijinja) of `nginx.conf`, in place of what this program writes: prefixes alone, each change by a reload, on any nginx
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// The stream module of an nginx that has it as a file (`ngx_stream_module.so`), for TLS passthrough; without it, where this
    /// nginx looks for it
    #[arg(long, value_name = "FILE")]
    pub stream_module: Option<PathBuf>,
    /// The module for Brotli of an nginx that has it as a file (`ngx_http_brotli_filter_module.so`), for the key enable-brotli; without it, where
    /// this nginx looks for it
    #[arg(long, value_name = "FILE", conflicts_with = "template")]
    pub brotli_module: Option<PathBuf>,
    /// The module of nginx (`libngx_http_sparrow_module.so`) that routes by a table in memory, where nginx finds it
    #[arg(long, value_name = "FILE", default_value = nginx_conf::MODULE, conflicts_with = "template")]
    pub nginx_module: PathBuf,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as use-gzip=true".to_owned()),
    }
}

impl TrafficFlags {
    /// The DNS servers.
    pub(super) fn resolvers(&self) -> Vec<SocketAddr> {
        if self.resolver.is_empty() { resolver::of_system() } else { self.resolver.clone() }
    }

    /// The listeners of HTTP and HTTPS.
    pub(super) fn listeners(&self) -> Vec<Listener> {
        Listener::built_in(&self.http, &self.https)
    }
}
