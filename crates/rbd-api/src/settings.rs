//! Flags and environment, and what they mean together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::streams::StreamLimits;

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
    Serve(Box<Serve>),
    /// Say what of configuration, keyring, monitors and capabilities is wrong, and what to do.
    Check(CephArgs),
    /// Print the API description (OpenAPI 3.1).
    Openapi,
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
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_CONNECT_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub connect_timeout: Duration,
}

/// Flags of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
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
    /// How long a request may wait for Ceph.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_DEADLINE", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
    /// How many exports, imports and diffs may run at once, per pool; more are answered 503.
    #[arg(long, value_name = "NUMBER", env = "SPARROW_RBD_STREAMS_PER_POOL", default_value_t = 32)]
    pub streams_per_pool: usize,
    /// Memory for reading ahead and writing behind, of all exports, imports and diffs together, in MiB. One chunk each, at most
    /// 4 MiB, comes on top.
    #[arg(long, value_name = "MIB", env = "SPARROW_RBD_STREAM_MEMORY_MIB", default_value_t = 256)]
    pub stream_memory_mib: usize,
    /// How long a client may take or send nothing in the middle of a body before it is cut off.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_CLIENT_IDLE", default_value = "60s", value_parser = duration)]
    pub client_idle: Duration,
    /// After SIGTERM: how long to go on serving, so that whoever balances the load can see that it is not ready.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_DRAIN_DELAY", default_value = "5s", value_parser = duration)]
    pub drain_delay: Duration,
    /// After SIGTERM: when to end at the latest, whatever is in flight.
    #[arg(long, value_name = "TIME", env = "SPARROW_RBD_GRACE", default_value = "25s", value_parser = duration)]
    pub grace: Duration,
}

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMethod {
    /// Not at all: only on a loopback address, unless the flag that names the risk is given.
    None,
}

/// A time such as `30s`, `2m`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(signed).map_err(|_| "must not be negative".to_owned())
}

impl Serve {
    /// What streams of image data may use.
    pub fn stream_limits(&self) -> StreamLimits {
        StreamLimits {
            per_pool: self.streams_per_pool.max(1),
            memory_bytes: self.stream_memory_mib.saturating_mul(1 << 20),
            idle: self.client_idle,
        }
    }
}

impl CephArgs {
    /// As the `ceph` crate takes them. `CEPH_CONF` is honoured as Ceph's own tools do.
    pub fn settings(&self) -> ceph::Settings {
        let entity = if self.id.contains('.') { self.id.clone() } else { format!("client.{}", self.id) };
        let conf = self.ceph_conf.clone().or_else(|| std::env::var_os("CEPH_CONF").map(PathBuf::from));
        ceph::Settings {
            conf_file: conf,
            keyring: self.keyring.clone(),
            connect_timeout: self.connect_timeout,
            ..ceph::Settings::new(entity)
        }
    }
}
