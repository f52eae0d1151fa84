//! The flags. They are the same in all commands, so that the containers of a pod share one list of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use entry_model::{Key, Listener};
use ipnet::IpNet;
use nginx_conf::SettingsError;

use crate::bounds::BoundFlags;

/// nginx as the way into a cluster, generated from its Services and Ingresses.
#[derive(Debug, Parser)]
#[command(name = "sparrow-entry", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The flags of all commands.
    #[command(flatten)]
    pub settings: Settings,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Read the objects once, write the configuration to the volume, and end: an init container
    Generate,
    /// Keep the configuration on the volume true while objects change: a sidecar
    Watch,
    /// Run nginx with what comes to the volume: reload, confirm, drain
    Nginx,
    /// `watch` and `nginx` in one process
    Run,
    /// Print the configuration that the objects give, and the verdicts on standard error
    Render(Render),
    /// Say what is wrong with the objects; ends with 1 if one is not served as asked for
    Check(Check),
}

/// Flags of `render`.
#[derive(Debug, Clone, Args)]
pub struct Render {
    /// Print how it differs from the configuration that is live on the volume; ends with 1 if it does
    #[arg(long)]
    pub diff: bool,
    /// Print the routes, a line each, instead of the configuration
    #[arg(long, conflicts_with = "diff")]
    pub routes: bool,
    /// Print DNS records of the hosts, a line each as in a zone file, with the addresses that clients reach
    #[arg(long, conflicts_with_all = ["diff", "routes"])]
    pub zone: bool,
}

/// Flags of `check`.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// Print the verdicts as JSON
    #[arg(long)]
    pub json: bool,
    /// End with 1 also for what is only worth knowing: something to say of an object of which all is served, and Ingresses that
    /// no class gives to this entry
    #[arg(long)]
    pub strict: bool,
}

/// Where objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// An API server.
    Kubernetes,
    /// A directory of manifests.
    Directory(PathBuf),
}

/// How Secrets with certificates are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsSecrets {
    /// All of the type kubernetes.io/tls are watched
    Watched,
    /// Those that Ingresses name are fetched one by one, under Roles that name them
    Named,
}

/// Whose hosts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HostOwnership {
    /// Each host belongs to one namespace: to that whose annotation `sparrow/hosts` names it, else to the first that claims it
    Namespace,
    /// Each path of a host belongs to the first object that claims it, of any namespace
    None,
}

/// The flags of all commands.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// `kubernetes`, or a directory of manifests of the same kinds, which is followed as it changes
    #[arg(long, global = true, value_name = "kubernetes|DIR", env = "SPARROW_ENTRY_FROM", default_value = "kubernetes",
        value_parser = from, help_heading = "Objects")]
    pub from: From,
    /// A kubeconfig; without it that of the pod, else the user's own
    #[arg(long, global = true, value_name = "FILE", env = "SPARROW_ENTRY_KUBECONFIG", help_heading = "Objects")]
    pub kubeconfig: Option<PathBuf>,
    /// Look at this namespace only
    #[arg(long, global = true, value_name = "NAME", env = "SPARROW_ENTRY_NAMESPACE", help_heading = "Objects")]
    pub namespace: Option<String>,
    /// The label of Services that are exposed by their annotations
    #[arg(long, global = true, value_name = "LABEL=VALUE", env = "SPARROW_ENTRY_SERVICE_SELECTOR",
        default_value = "sparrow/expose=true", value_parser = label, help_heading = "Objects")]
    pub service_selector: (String, String),
    /// The label of the Nodes that clients reach
    #[arg(long, global = true, value_name = "LABEL=VALUE", env = "SPARROW_ENTRY_NODE_SELECTOR",
        default_value = "role=entry", value_parser = label, help_heading = "Objects")]
    pub node_selector: (String, String),
    /// A Service whose load balancer clients reach instead of the Nodes: its addresses go into the status of Ingresses
    #[arg(long, global = true, value_name = "NAMESPACE/NAME", env = "SPARROW_ENTRY_PUBLISH_SERVICE",
        value_parser = object_key, help_heading = "Objects")]
    pub publish_service: Option<Key>,
    /// The controller that `IngressClasses` name for this entry
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "SPARROW_ENTRY_CONTROLLER",
        default_value = "sparrow/entry",
        help_heading = "Objects"
    )]
    pub controller: String,
    /// Leave Ingresses, `IngressClasses` and Secrets alone: Services only
    #[arg(long, global = true, env = "SPARROW_ENTRY_NO_INGRESSES", help_heading = "Objects")]
    pub no_ingresses: bool,
    /// Whose hosts are
    #[arg(
        long,
        global = true,
        value_name = "RULE",
        env = "SPARROW_ENTRY_HOST_OWNERSHIP",
        default_value = "namespace",
        help_heading = "Objects"
    )]
    pub host_ownership: HostOwnership,
    /// A file in which it is kept, over restarts, which namespace holds which hosts; for manifests of a directory, since a
    /// cluster keeps it itself. Not on the volume, which nginx can write to
    #[arg(long, global = true, value_name = "FILE", env = "SPARROW_ENTRY_HOST_RECORD", help_heading = "Objects")]
    pub host_record: Option<PathBuf>,
    /// The limits on what is served.
    #[command(flatten)]
    pub bounds: BoundFlags,
    /// How Secrets with certificates are read
    #[arg(
        long,
        global = true,
        value_name = "HOW",
        env = "SPARROW_ENTRY_TLS_SECRETS",
        default_value = "watched",
        help_heading = "Objects"
    )]
    pub tls_secrets: TlsSecrets,
    /// The Secret with the certificate for entries of `spec.tls` that name none; it serves hosts that it is for
    #[arg(long, global = true, value_name = "NAMESPACE/NAME", env = "SPARROW_ENTRY_DEFAULT_CERTIFICATE",
        value_parser = object_key, help_heading = "Objects")]
    pub default_certificate: Option<Key>,
    /// Write nothing into the cluster: neither addresses into the status of Ingresses, nor Events
    #[arg(long, global = true, env = "SPARROW_ENTRY_NO_STATUS", help_heading = "Objects")]
    pub no_status: bool,
    /// The namespace of the lease whose holder writes them; the pod's own without it
    #[arg(long, global = true, value_name = "NAME", env = "SPARROW_ENTRY_LEASE_NAMESPACE", help_heading = "Objects")]
    pub lease_namespace: Option<String>,
    /// The name of this replica, by which the holder of the lease is known
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "SPARROW_ENTRY_IDENTITY",
        default_value = "sparrow-entry",
        help_heading = "Objects"
    )]
    pub identity: String,

    /// Serve HTTP here; may be repeated
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        env = "SPARROW_ENTRY_HTTP",
        value_delimiter = ',',
        default_value = "0.0.0.0:80",
        help_heading = "Traffic"
    )]
    pub http: Vec<SocketAddr>,
    /// Serve HTTPS here; may be repeated; without it there is no HTTPS, and nothing is redirected to it
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        env = "SPARROW_ENTRY_HTTPS",
        value_delimiter = ',',
        help_heading = "Traffic"
    )]
    pub https: Vec<SocketAddr>,
    /// The port of HTTPS as clients see it
    #[arg(
        long,
        global = true,
        value_name = "PORT",
        env = "SPARROW_ENTRY_PUBLIC_HTTPS_PORT",
        default_value_t = 443,
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Traffic"
    )]
    pub public_https_port: u16,
    /// Proxies in front whose X-Forwarded-* headers are believed; may be repeated
    #[arg(
        long,
        global = true,
        value_name = "NET",
        env = "SPARROW_ENTRY_TRUSTED",
        value_delimiter = ',',
        help_heading = "Traffic"
    )]
    pub trusted: Vec<IpNet>,
    /// Headers about the client that the trusted proxies write, such as X-Forwarded-Client-Cert; may be repeated. From others,
    /// and without this from everybody, such headers are dropped
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "SPARROW_ENTRY_TRUSTED_HEADERS",
        value_delimiter = ',',
        help_heading = "Traffic"
    )]
    pub trusted_headers: Vec<String>,
    /// Connections begin with the PROXY protocol, which the trusted proxies speak
    #[arg(long, global = true, env = "SPARROW_ENTRY_PROXY_PROTOCOL", help_heading = "Traffic")]
    pub proxy_protocol: bool,
    /// Time to connect to a backend, where no annotation says another
    #[arg(long, global = true, value_name = "TIME", env = "SPARROW_ENTRY_CONNECT_TIMEOUT", default_value = "5s",
        value_parser = some_time, help_heading = "Traffic")]
    pub connect_timeout: Duration,
    /// Time between two reads of a backend's answer, where no annotation says another
    #[arg(long, global = true, value_name = "TIME", env = "SPARROW_ENTRY_READ_TIMEOUT", default_value = "60s",
        value_parser = some_time, help_heading = "Traffic")]
    pub read_timeout: Duration,
    /// Time between two writes of a request, where no annotation says another
    #[arg(long, global = true, value_name = "TIME", env = "SPARROW_ENTRY_SEND_TIMEOUT", default_value = "60s",
        value_parser = some_time, help_heading = "Traffic")]
    pub send_timeout: Duration,
    /// Largest request body in bytes, where no annotation says another; 0 is without limit
    #[arg(
        long,
        global = true,
        value_name = "BYTES",
        env = "SPARROW_ENTRY_MAX_BODY_BYTES",
        default_value_t = 0,
        help_heading = "Traffic"
    )]
    pub max_body_bytes: u64,
    /// Longest request line, and longest line of a request's header, in bytes; a head has at most four times as many
    #[arg(
        long,
        global = true,
        value_name = "BYTES",
        env = "SPARROW_ENTRY_MAX_HEADER_BYTES",
        default_value_t = 8192,
        value_parser = clap::value_parser!(u32).range(1024..=1_048_576),
        help_heading = "Traffic"
    )]
    pub max_header_bytes: u32,
    /// How long an idle connection of a client is kept
    #[arg(long, global = true, value_name = "TIME", env = "SPARROW_ENTRY_KEEPALIVE_TIMEOUT", default_value = "75s",
        value_parser = some_time, help_heading = "Traffic")]
    pub keepalive_timeout: Duration,
    /// Where requests are logged, a JSON object a line; `off` for nowhere
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SPARROW_ENTRY_ACCESS_LOG",
        default_value = "/dev/stdout",
        help_heading = "Traffic"
    )]
    pub access_log: PathBuf,
    /// A template (minijinja) that is used instead of the built-in layout
    #[arg(long, global = true, value_name = "FILE", env = "SPARROW_ENTRY_TEMPLATE", help_heading = "Traffic")]
    pub template: Option<PathBuf>,

    /// The program nginx
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "SPARROW_ENTRY_NGINX",
        default_value = "nginx",
        help_heading = "nginx"
    )]
    pub nginx: PathBuf,
    /// The directory through which configurations are handed over
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SPARROW_ENTRY_VOLUME",
        default_value = "/var/lib/sparrow-entry",
        help_heading = "nginx"
    )]
    pub volume: PathBuf,
    /// The directory of nginx's pid file, its socket and its temporary files
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SPARROW_ENTRY_RUNTIME",
        default_value = "/run/sparrow-entry",
        help_heading = "nginx"
    )]
    pub runtime: PathBuf,
    /// The user that workers run as when nginx is started by root
    #[arg(long, global = true, value_name = "NAME", env = "SPARROW_ENTRY_USER", help_heading = "nginx")]
    pub user: Option<String>,
    /// Number of workers; one per core without it
    #[arg(long, global = true, value_name = "N", env = "SPARROW_ENTRY_WORKERS",
        value_parser = clap::value_parser!(u16).range(1..), help_heading = "nginx")]
    pub workers: Option<u16>,
    /// Connections of a worker, those to backends included
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "SPARROW_ENTRY_WORKER_CONNECTIONS",
        default_value_t = 8192,
        value_parser = clap::value_parser!(u32).range(16..=1_000_000),
        help_heading = "nginx"
    )]
    pub worker_connections: u32,
    /// How long workers of an earlier configuration may go on with what they have, such as `WebSockets`
    #[arg(long, global = true, value_name = "TIME", env = "SPARROW_ENTRY_WORKER_SHUTDOWN_TIMEOUT",
        default_value = "10s", value_parser = some_time, help_heading = "nginx")]
    pub worker_shutdown_timeout: Duration,
    /// Before a stop: how long everything is still served, so that the balancers in front learn of it
    #[arg(long, global = true, value_name = "TIME", env = "SPARROW_ENTRY_DRAIN_DELAY", default_value = "0s",
        value_parser = duration, help_heading = "nginx")]
    pub drain_delay: Duration,
    /// At a stop: how long connections may take to end by themselves
    #[arg(long, global = true, value_name = "TIME", env = "SPARROW_ENTRY_STOP_TIMEOUT", default_value = "30s",
        value_parser = duration, help_heading = "nginx")]
    pub stop_timeout: Duration,

    /// Where /healthz, /readyz, /metrics and the list of routes are served
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        env = "SPARROW_ENTRY_ADMIN",
        default_value = "127.0.0.1:9145",
        help_heading = "Administration"
    )]
    pub admin: SocketAddr,
}

/// What is wrong with settings, by the flag that sets them.
fn in_flags(error: &SettingsError) -> anyhow::Error {
    let flag = match error.field() {
        // It is a file in that directory.
        "control" => "--runtime".to_owned(),
        field => format!("--{}", field.replace('_', "-")),
    };
    let hint = if matches!(error, SettingsError::Untrusted { .. }) { ": name them with --trusted" } else { "" };
    anyhow::anyhow!("{flag}: {error}{hint}")
}

fn from(text: &str) -> Result<From, String> {
    match text {
        "" => Err("expected `kubernetes` or a directory".to_owned()),
        "kubernetes" => Ok(From::Kubernetes),
        directory => Ok(From::Directory(directory.into())),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && format!("{name}{value}").chars().all(legal) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected one label as NAME=VALUE, such as role=entry".to_owned()),
    }
}

fn object_key(text: &str) -> Result<Key, String> {
    let part = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    match text.split_once('/') {
        Some((namespace, name)) if part(namespace) && part(name) => {
            Ok(Key { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("expected NAMESPACE/NAME, such as sparrow/nginx-kit".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration =
        text.parse().map_err(|error| format!("{error}; expected a time such as 500ms, 5s or 2m"))?;
    Duration::try_from(time).map_err(|_| "must not be negative".to_owned())
}

/// A time for which nginx has no meaning of zero that would be the one here.
fn some_time(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_millis(1)..=Duration::from_hours(30 * 24);
    duration(text).and_then(|time| {
        allowed.contains(&time).then_some(time).ok_or_else(|| "expected a time from 1ms to 720h".to_owned())
    })
}

impl Settings {
    /// The socket on which nginx tells its generation and its counters.
    pub fn control(&self) -> PathBuf {
        self.runtime.join("control.sock")
    }

    /// What routes are built with.
    pub fn build(&self) -> entry_translate::BuildSettings {
        entry_translate::BuildSettings {
            ownership: match self.host_ownership {
                HostOwnership::Namespace => entry_translate::Ownership::Namespace,
                HostOwnership::None => entry_translate::Ownership::None,
            },
            bounds: self.bounds.bounds(),
            defaults: entry_translate::Defaults {
                timeouts: entry_model::Timeouts {
                    connect: Some(self.connect_timeout),
                    read: Some(self.read_timeout),
                    send: Some(self.send_timeout),
                },
                max_body_bytes: self.max_body_bytes,
            },
            controller: self.controller.clone(),
            service_selector: self.service_selector.clone(),
            listeners: Listener::set(&self.http, &self.https),
            default_certificate: self.default_certificate.clone(),
            ..entry_translate::BuildSettings::default()
        }
    }

    /// What is read from an API server.
    pub fn kube(&self) -> entry_kube::Options {
        let selector = |(name, value): &(String, String)| format!("{name}={value}");
        entry_kube::Options {
            service_selector: selector(&self.service_selector),
            node_selector: selector(&self.node_selector),
            tls_secrets: match self.tls_secrets {
                TlsSecrets::Watched => entry_kube::TlsSecrets::Watched,
                TlsSecrets::Named => entry_kube::TlsSecrets::Named,
            },
            default_certificate: self.default_certificate.clone(),
            namespace: self.namespace.clone(),
            ingresses: !self.no_ingresses,
            ownership: self.host_ownership == HostOwnership::Namespace,
            // Its namespace may be that of the client.
            record: None,
            // Serving without a kind that may not be read would take away what is served: rather not ready.
            go_without: false,
        }
    }

    /// How nginx is run.
    pub fn process(&self) -> nginx_process::Settings {
        nginx_process::Settings {
            drain_delay: self.drain_delay,
            stop_timeout: self.stop_timeout,
            ..nginx_process::Settings::new(&self.nginx, &self.volume, &self.runtime, self.control())
        }
    }

    /// What is written for an nginx that says this of itself (`nginx -V`).
    ///
    /// # Errors
    /// It names no version, or cannot do what is set.
    pub fn conf(&self, said: &str) -> anyhow::Result<nginx_conf::Settings> {
        let settings = nginx_conf::Settings {
            version: said.parse()?,
            modules: nginx_conf::Modules::parse(said),
            public_https_port: self.public_https_port,
            trusted: self.trusted.clone(),
            trusted_headers: self.trusted_headers.clone(),
            proxy_protocol: self.proxy_protocol,
            control: std::path::absolute(self.control())?,
            runtime: std::path::absolute(&self.runtime)?,
            worker_processes: self.workers,
            worker_connections: self.worker_connections,
            worker_shutdown_timeout: self.worker_shutdown_timeout,
            keepalive_timeout: self.keepalive_timeout,
            timeouts: nginx_conf::Timeouts {
                connect: self.connect_timeout,
                read: self.read_timeout,
                send: self.send_timeout,
            },
            max_body_bytes: self.max_body_bytes,
            max_header_bytes: self.max_header_bytes,
            access_log: (self.access_log.as_os_str() != "off").then(|| self.access_log.clone()),
            user: self.user.clone(),
            ..nginx_conf::Settings::default()
        };
        let checked = settings.check().and_then(|()| settings.check_listeners(&Listener::set(&self.http, &self.https)));
        checked.map_err(|error| in_flags(&error))?;
        Ok(settings)
    }
}
