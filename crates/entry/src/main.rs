//! `sparrow-entry`: flags and signals.

use std::io::Write as _;
use std::process::ExitCode;

use entry::commands;
use entry::flags;
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;

/// What is freed goes back to the system within seconds: reading all objects of a cluster takes twice the memory that is needed
/// afterwards, and glibc would keep it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What is logged unless `SPARROW_ENTRY_LOG` says otherwise.
const FILTER: &str = "info";
/// Never logged, whatever is asked for: the Kubernetes client and its watchers print whole answers of the API server when they
/// cannot read them, and Secrets are in these. What they have to say the source of objects says once, in better words.
const SILENT: [&str; 2] = ["kube_client", "kube_runtime"];

fn main() -> ExitCode {
    let cli = flags::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    // Everything that is told, but for what a command is asked to print, goes to standard error.
    let level = EnvFilter::try_from_env("SPARROW_ENTRY_LOG").unwrap_or_else(|_| FILTER.into());
    let told = filter_fn(|metadata| !SILENT.iter().any(|silent| metadata.target().starts_with(silent)));
    let log = tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(log.with_filter(level).with_filter(told)).init();
    if cli.command.stays()
        && let Err(error) = nginx_process::yield_to_nginx()
    {
        tracing::warn!(%error, "requests may wait for what makes the configuration: its priority cannot be lowered");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(commands::run(cli));
        // A call that hangs keeps nobody.
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        result
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sparrow-entry: {error:#}");
            ExitCode::from(2)
        }
    }
}
