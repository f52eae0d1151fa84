//! nginx itself: where it and its files are, its workers, and its end.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::time::{parse_nonzero_time, parse_time};

/// The flags of nginx's program and directories.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "nginx")]
pub struct ProgramFlags {
    /// The program nginx
    #[arg(long, value_name = "PATH", default_value = "nginx")]
    pub nginx: PathBuf,
    /// The directory through which configurations are handed over
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sparrow-entry")]
    pub volume: PathBuf,
    /// The directory of nginx's pid file, its socket and its temporary files
    #[arg(long, value_name = "DIR", default_value = "/run/sparrow-entry")]
    pub runtime: PathBuf,
}

/// The flags of nginx's workers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workers")]
pub struct WorkerFlags {
    /// The user that workers run as when nginx is started by root
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Number of workers; one per core without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub workers: Option<u16>,
    /// Connections of a worker, those to backends included
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub worker_connections: u32,
    /// How long workers of an earlier configuration may go on with what they have, such as `WebSockets`
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_nonzero_time)]
    pub worker_shutdown_timeout: Duration,
}

/// The flags of nginx's end.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Stop")]
pub struct StopFlags {
    /// Before a stop: how long everything is still served, so that the balancers in front learn of it
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_time)]
    pub drain_delay: Duration,
    /// At a stop: how long connections may take to end by themselves
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    pub stop_timeout: Duration,
}

/// The flags of what is counted.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Counts")]
pub struct CountFlags {
    /// Of so many Ingresses and Services metrics say each for itself what was requested; all others are counted together. With a
    /// template nothing is counted
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub max_counted_routes: u32,
}

impl ProgramFlags {
    /// The control socket of nginx.
    pub fn control_socket(&self) -> PathBuf {
        self.runtime.join("control.sock")
    }

    /// How nginx is run.
    pub fn supervisor_settings(&self, stop: &StopFlags, counts: &CountFlags) -> nginx_process::SupervisorSettings {
        nginx_process::SupervisorSettings {
            drain_delay: stop.drain_delay,
            stop_timeout: stop.stop_timeout,
            most_counted_routes: counts.max_counted_routes,
            ..nginx_process::SupervisorSettings::new(&self.nginx, &self.volume, &self.runtime, self.control_socket())
        }
    }
}
