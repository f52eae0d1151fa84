//! The command line: each command has the groups of flags that concern it.
//!
//! A flag of a group is written once, as a field. Its environment variable follows from its name, `SPARROW_ENTRY_` and the name in
//! capitals; the page of flags and the commands' help follow from the groups. A command does not look at variables of others, so
//! that the containers of a pod can share one list of variables.

use std::ffi::OsString;
use std::net::SocketAddr;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

mod bounds;
mod configuration;
mod nginx;
mod objects;
mod resolver;
mod time;
mod traffic;

pub use bounds::BoundFlags;
pub use configuration::ConfigurationFlags;
pub use nginx::{CountFlags, ProgramFlags, StopFlags, WorkerFlags};
pub use objects::{
    Backends, HostOwnership, IngressNginxAnnotations, ObjectFlags, ObjectSource, TlsPassthrough, TlsSecrets,
};
pub use traffic::TrafficFlags;

/// What the names of all environment variables begin with.
const VARIABLE_PREFIX: &str = "SPARROW_ENTRY_";

/// nginx as the way into a cluster, generated from its Services and Ingresses.
#[derive(Debug, Parser)]
#[command(name = "sparrow-entry", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Read the objects once, write the configuration to the volume, and end: an init container
    Generate(ConfigurationFlags),
    /// Keep the configuration on the volume true while objects change: a sidecar
    Watch(WatchFlags),
    /// Run nginx with what comes to the volume: reload, confirm, drain
    Nginx(NginxFlags),
    /// `watch` and `nginx` in one process
    Run(RunFlags),
    /// Print the configuration that the objects give, and the verdicts on standard error
    Render(RenderFlags),
    /// Say what is wrong with the objects; ends with 1 if one is not served as asked for
    Check(CheckFlags),
    /// Say what becomes of an installation of ingress-nginx here; ends with 1 if something is not served as it was asked for, with 2
    /// if something cannot be read
    Migrate(MigrateFlags),
}

impl Command {
    /// Whether it runs until it is told to end.
    pub fn stays(&self) -> bool {
        matches!(self, Command::Watch(_) | Command::Nginx(_) | Command::Run(_))
    }
}

/// The flags of `watch`.
#[derive(Debug, Clone, Args)]
pub struct WatchFlags {
    /// What configurations are made of.
    #[command(flatten)]
    pub configuration: ConfigurationFlags,
    /// What is written into the cluster.
    #[command(flatten)]
    pub status: StatusFlags,
    /// The admin port.
    #[command(flatten)]
    pub admin: AdminFlags,
}

/// The flags of `nginx`.
#[derive(Debug, Clone, Args)]
pub struct NginxFlags {
    /// Which nginx is run, and where.
    #[command(flatten)]
    pub program: ProgramFlags,
    /// How it ends.
    #[command(flatten)]
    pub stop: StopFlags,
    /// What is counted.
    #[command(flatten)]
    pub counts: CountFlags,
    /// The admin port.
    #[command(flatten)]
    pub admin: AdminFlags,
}

/// The flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunFlags {
    /// What configurations are made of.
    #[command(flatten)]
    pub configuration: ConfigurationFlags,
    /// What is written into the cluster.
    #[command(flatten)]
    pub status: StatusFlags,
    /// How nginx ends.
    #[command(flatten)]
    pub stop: StopFlags,
    /// What is counted.
    #[command(flatten)]
    pub counts: CountFlags,
    /// The admin port.
    #[command(flatten)]
    pub admin: AdminFlags,
}

/// The flags of `render`.
#[derive(Debug, Clone, Args)]
pub struct RenderFlags {
    /// Print how it differs from the configuration that is live on the volume; ends with 1 if it does, which is a reload. Routes are not part of it
    #[arg(long)]
    pub diff: bool,
    /// Print the routes, a line each, instead of the configuration
    #[arg(long, conflicts_with = "diff")]
    pub routes: bool,
    /// Print DNS records of the hosts, a line each as in a zone file, with the addresses that clients reach
    #[arg(long, conflicts_with_all = ["diff", "routes"])]
    pub zone: bool,
    /// What the configuration is made of.
    #[command(flatten)]
    pub configuration: ConfigurationFlags,
}

/// The flags of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckFlags {
    /// Print the verdicts as JSON
    #[arg(long)]
    pub json: bool,
    /// End with 1 also for what is only worth knowing: something to say of an object of which all is served, and Ingresses that
    /// no class gives to this entry
    #[arg(long)]
    pub strict: bool,
    /// What the configuration is made of.
    #[command(flatten)]
    pub configuration: ConfigurationFlags,
}

/// The flags of `migrate`.
#[derive(Debug, Clone, Args)]
pub struct MigrateFlags {
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Print, instead of the report, a list of the Ingresses as they would be here, and of their class, for `kubectl apply`
    #[arg(long, conflicts_with = "json")]
    pub objects: bool,
    /// The class of the Ingresses that are printed
    #[arg(long, value_name = "NAME", default_value = "sparrow")]
    pub class: String,
    /// What is put behind the names of the Ingresses that are printed, so that they stand beside the others
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    pub suffix: String,
    /// What the configuration is made of.
    #[command(flatten)]
    pub configuration: ConfigurationFlags,
}

/// The flags of what is written into the cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Status")]
pub struct StatusFlags {
    /// Write nothing into the cluster: neither addresses into the status of Ingresses, nor Events
    #[arg(long)]
    pub no_status: bool,
    /// The name of this replica, by which the holder of the lease is known
    #[arg(long, value_name = "NAME", default_value = "sparrow-entry")]
    pub identity: String,
}

/// The flags of the admin port.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Administration")]
pub struct AdminFlags {
    /// Where /healthz, /readyz, /metrics and the list of routes are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9145")]
    pub admin: SocketAddr,
}

/// The command line, in which each flag of a group has its environment variable.
pub fn command() -> clap::Command {
    Cli::command().mut_subcommands(|command| command.mut_args(with_variable))
}

fn with_variable(flag: clap::Arg) -> clap::Arg {
    // What only one command knows has no heading, and no variable: it says what to print now.
    match (flag.get_long(), flag.get_help_heading()) {
        (Some(name), Some(_)) => {
            let variable = format!("{VARIABLE_PREFIX}{}", name.replace('-', "_").to_ascii_uppercase());
            // A few dozen, once: clap holds borrowed names only.
            flag.env(&*variable.leak())
        }
        _ => flag,
    }
}

/// Reads a command line, whose first word is the program's name, and the environment.
///
/// # Errors
/// A flag is not known, is missing, or has a value that cannot be; so is the wish for help.
pub fn parse(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(line)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}
