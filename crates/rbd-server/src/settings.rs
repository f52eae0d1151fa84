//! Flags and environment, and what they mean together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use rbd_api::duration::parse_duration;
use rbd_api::role::Role;
use rbd_model::names::Place;

use crate::auth;
use crate::auth::tokens::ScopeEntry;
use crate::hosts::{AllowedHost, HostGuard};
use crate::streams::StreamLimits;
use crate::tls;

/// Ceph RBD pools, images, snapshots, clones and trash over REST.
#[derive(Debug, Parser)]
#[command(name = "sparrow-rbd", version, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API.
    Serve(Box<ServeArgs>),
    /// Say what of configuration, keyring, monitors and capabilities is wrong, and what to do.
    Check(CheckArgs),
    /// Print the API description (OpenAPI 3.1).
    Openapi,
    /// Make a token for `--auth tokens`: prints its secret, which is kept nowhere else, and its entry for the file.
    Token(TokenArgs),
}

/// Flags of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// How to reach Ceph.
    #[command(flatten)]
    pub ceph: CephArgs,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How to reach Ceph.
#[derive(Debug, Clone, Args)]
pub struct CephArgs {
    /// Ceph's configuration file. Without it Ceph's own places are searched, `CEPH_CONF` first.
    #[arg(long, value_name = "FILE", env = "SPARROW_RBD_CEPH_CONF")]
    pub ceph_conf: Option<PathBuf>,
    /// The entity to authenticate as, with or without `client.` before it.
    #[arg(long, value_name = "NAME", env = "SPARROW_RBD_ID", default_value = "client.admin")]
    pub id: String,
    /// The keyring. Without it the `keyring` option of Ceph's configuration decides.
    #[arg(long, value_name = "FILE", env = "SPARROW_RBD_KEYRING")]
    pub keyring: Option<PathBuf>,
    /// How long connecting to the monitors may take.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_CONNECT_TIMEOUT", default_value = "5s", value_parser = parse_duration)]
    pub connect_timeout: Duration,
    /// A namespace that the entity has rights for, where it has none for the whole pool. May be repeated. `check` tries these
    /// instead of whole pools, and the service looks after them from its start instead of from their first use.
    #[arg(
        long = "namespace",
        value_name = "POOL/NAMESPACE",
        env = "SPARROW_RBD_NAMESPACES",
        value_delimiter = ',',
        value_parser = namespace
    )]
    pub namespaces: Vec<Place>,
}

/// Flags of `token`.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// Whose it is, for the audit log.
    #[arg(long)]
    pub name: String,
    /// What its bearer may do.
    #[arg(long, value_parser = role())]
    pub role: Role,
    /// Where: a pool, a namespace of it, or `POOL/` for its default namespace. May be repeated; without it, everywhere.
    #[arg(long, value_name = "POOL[/NAMESPACE]")]
    pub scope: Vec<ScopeEntry>,
    /// Until when, e.g. `2031-01-01T00:00:00Z`. Without it, for ever.
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<jiff::Timestamp>,
    /// Add the entry to this file, and print the secret alone. A running service sees it within two seconds.
    #[arg(long, value_name = "FILE")]
    pub append: Option<PathBuf>,
}

/// Flags of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Where to serve the API.
    #[arg(long, value_name = "ADDR", env = "SPARROW_RBD_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where to serve health and metrics.
    #[arg(long, value_name = "ADDR", env = "SPARROW_RBD_ADMIN", default_value = "127.0.0.1:8081")]
    pub admin: SocketAddr,
    /// How to reach Ceph.
    #[command(flatten)]
    pub ceph: CephArgs,
    /// How callers are known.
    #[arg(long, value_name = "METHOD", env = "SPARROW_RBD_AUTH", default_value = "none")]
    pub auth: AuthMethod,
    /// Let everybody who reaches the address do everything, pools' deletion included.
    #[arg(long, env = "SPARROW_RBD_ANYONE_MAY_DELETE_EVERYTHING")]
    pub anyone_may_delete_everything: bool,
    /// With `--auth none`: a further name that requests may be for, `*.NAME` for all below it, or `*` for all. Without it they
    /// must be for an address or `localhost`, so that no web page can reach the service by a name of its own. May be repeated;
    /// the variable takes commas.
    #[arg(long, value_name = "HOST", env = "SPARROW_RBD_ALLOWED_HOST", value_delimiter = ',')]
    pub allowed_host: Vec<AllowedHost>,
    /// With `--auth tokens`: the file of the tokens' hashes, read anew when it changes.
    #[arg(long, value_name = "FILE", env = "SPARROW_RBD_TOKENS_FILE", required_if_eq("auth", "tokens"))]
    pub tokens_file: Option<PathBuf>,
    /// With `--auth kubernetes`: how to reach the API server. Without it, as the service account of the pod.
    #[arg(long, value_name = "FILE", env = "SPARROW_RBD_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// With `--auth kubernetes`: the audience that tokens must be made for.
    #[arg(long, value_name = "NAME", env = "SPARROW_RBD_AUDIENCE", default_value = "sparrow-rbd")]
    pub audience: String,
    /// With `--auth kubernetes`: how long a caller is still allowed what they were allowed before, while the API server does not
    /// answer. A restart of it then loses nobody's requests. Never less than 10 seconds.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_AUTH_OUTAGE", default_value = "1m", value_parser = parse_duration)]
    pub auth_outage: Duration,
    /// Serve the API with TLS and this certificate (PEM, with its chain), read anew when it changes.
    #[arg(long, value_name = "FILE", env = "SPARROW_RBD_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[arg(long, value_name = "FILE", env = "SPARROW_RBD_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Let only those connect who have a certificate signed by one of these authorities (PEM).
    #[arg(long, value_name = "FILE", env = "SPARROW_RBD_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Append the audit log to this file. Without it, it goes to standard output.
    #[arg(long, value_name = "FILE", env = "SPARROW_RBD_AUDIT_LOG")]
    pub audit_log: Option<PathBuf>,
    /// How long a request may wait for Ceph.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_DEADLINE", default_value = "30s", value_parser = parse_duration)]
    pub deadline: Duration,
    /// How long the trash keeps a deleted image when the request does not say.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_TRASH_RETENTION", default_value = "7d", value_parser = parse_duration)]
    pub trash_retention: Duration,
    /// How long finished operations are remembered.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_OPERATION_RETENTION", default_value = "24h", value_parser = parse_duration)]
    pub operation_retention: Duration,
    /// How many exports, imports and diffs may run at once, per pool; more are answered 503.
    #[arg(long, value_name = "NUMBER", env = "SPARROW_RBD_STREAMS_PER_POOL", default_value_t = 32)]
    pub streams_per_pool: usize,
    /// Memory for reading ahead and writing behind, of all exports, imports and diffs together, in MiB. One chunk each, at most
    /// 4 MiB, comes on top.
    #[arg(long, value_name = "MIB", env = "SPARROW_RBD_STREAM_MEMORY_MIB", default_value_t = 256)]
    pub stream_memory_mib: usize,
    /// How long a client may take or send nothing in the middle of a body before it is cut off.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_CLIENT_IDLE", default_value = "60s", value_parser = parse_duration)]
    pub client_idle: Duration,
    /// How long a connection is kept for its next request. Longer than what is before the service keeps its own, such as
    /// nginx's 60 s, so that no request is sent just when the service closes. A request's head must still come within 10 s.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_KEEP_ALIVE", default_value = "75s", value_parser = parse_duration)]
    pub keep_alive: Duration,
    /// After SIGTERM: how long to go on serving, so that whoever balances the load can see that it is not ready.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_DRAIN_DELAY", default_value = "5s", value_parser = parse_duration)]
    pub drain_delay: Duration,
    /// After SIGTERM: when to end at the latest, whatever is in flight.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_GRACE", default_value = "25s", value_parser = parse_duration)]
    pub grace: Duration,
}

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMethod {
    /// Not at all: only on a loopback address, unless the flag that names the risk is given.
    None,
    /// By bearer tokens whose hashes are in a file.
    Tokens,
    /// By bearer tokens that the Kubernetes API reviews.
    Kubernetes,
}

impl ServeArgs {
    /// How callers are to be known.
    ///
    /// # Errors
    /// Flags that do not go together: what the operator wrote would be without effect.
    pub fn auth_settings(&self) -> anyhow::Result<auth::Settings> {
        anyhow::ensure!(
            self.auth == AuthMethod::Tokens || self.tokens_file.is_none(),
            "--tokens-file is for --auth tokens"
        );
        anyhow::ensure!(
            self.auth == AuthMethod::Kubernetes || self.kubeconfig.is_none(),
            "--kubeconfig is for --auth kubernetes"
        );
        anyhow::ensure!(
            self.auth == AuthMethod::None || self.allowed_host.is_empty(),
            "--allowed-host is for --auth none: where callers are known, any name will do"
        );
        let open = !self.listen.ip().is_loopback() && !self.anyone_may_delete_everything;
        Ok(match (self.auth, &self.tokens_file) {
            (AuthMethod::None, _) => {
                anyhow::ensure!(
                    !open,
                    "--listen {} is open to the network, and --auth none lets everybody do everything: choose --auth \
                     tokens or --auth kubernetes, listen on a loopback address, or accept it with \
                     --anyone-may-delete-everything",
                    self.listen
                );
                auth::Settings::None
            }
            (AuthMethod::Tokens, Some(file)) => auth::Settings::Tokens { file: file.clone() },
            (AuthMethod::Tokens, None) => anyhow::bail!("--auth tokens takes --tokens-file FILE"),
            (AuthMethod::Kubernetes, _) => auth::Settings::Kubernetes(auth::kubernetes::Settings {
                kubeconfig: self.kubeconfig.clone(),
                audience: self.audience.clone(),
                outage: self.auth_outage,
            }),
        })
    }

    /// What keeps pages of other sites out. A token is nothing that a browser sends by itself.
    pub fn guard(&self) -> Option<HostGuard> {
        (self.auth == AuthMethod::None).then(|| HostGuard::new(self.allowed_host.clone()))
    }

    /// With which files TLS is spoken, if it is.
    pub fn tls_settings(&self) -> Option<tls::Settings> {
        let (cert, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(tls::Settings { cert, key, client_ca: self.tls_client_ca.clone() })
    }
}

/// The roles by their names.
fn role() -> impl TypedValueParser<Value = Role> {
    let values = Role::ALL.map(|role| PossibleValue::new(role.name()).help(role.description()));
    PossibleValuesParser::new(values).try_map(|name| Role::parse(&name).ok_or("is no role"))
}

/// A namespace as `POOL/NAMESPACE`.
///
/// # Errors
/// What is wrong with it.
fn namespace(text: &str) -> Result<Place, String> {
    match text.split_once('/') {
        Some((pool, namespace)) if !pool.is_empty() && !namespace.is_empty() && !namespace.contains('/') => {
            Ok(Place { pool: pool.to_owned(), namespace: namespace.to_owned() })
        }
        _ => Err("a namespace is given as POOL/NAMESPACE".to_owned()),
    }
}

impl ServeArgs {
    /// What streams of image data may use.
    pub fn stream_limits(&self) -> StreamLimits {
        StreamLimits {
            per_pool: self.streams_per_pool.max(1),
            memory_bytes: self.stream_memory_mib.saturating_mul(1 << 20),
            idle: self.client_idle,
        }
    }
}

/// What this client does otherwise than by Ceph's defaults.
const OPTIONS: [(&str, &str); 3] = [
    // Monitors that were away are found again within three seconds. By default a client tries ever less often, in the end
    // every half minute.
    ("mon_client_hunt_interval_max_multiple", "1"),
    // Streams write large parts once, and flush at the end. What is written is not changed until it lies in Ceph, so librbd
    // need not copy it.
    ("rbd_cache", "false"),
    ("rbd_disable_zero_copy_writes", "false"),
];

impl CephArgs {
    /// As the `ceph` crate takes them. `CEPH_CONF` is honoured as Ceph's own tools do.
    pub fn settings(&self) -> ceph::Settings {
        let entity = if self.id.contains('.') { self.id.clone() } else { format!("client.{}", self.id) };
        let conf = self.ceph_conf.clone().or_else(|| std::env::var_os("CEPH_CONF").map(PathBuf::from));
        ceph::Settings {
            conf_file: conf,
            keyring: self.keyring.clone(),
            connect_timeout: self.connect_timeout,
            options: OPTIONS.map(|(name, value)| (name.into(), value.into())).to_vec(),
            validate_once: true,
            ..ceph::Settings::new(entity)
        }
    }
}
