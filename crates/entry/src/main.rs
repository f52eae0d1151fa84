//! `sparrow-entry`: flags and signals.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use entry::commands;
use entry::settings::Cli;

/// What is logged. The client and its watchers say at each of their tries what the source of objects says once, in better words.
const FILTER: &str = "info,kube_client=off,kube_runtime=off";

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Everything that is told, but for what a command is asked to print, goes to standard error.
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SPARROW_ENTRY_LOG").unwrap_or_else(|_| FILTER.into()),
        )
        .init();
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
