//! `sparrow-rbd`: flags, wiring, signals.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser as _;
use rbd_api::app::App;
use rbd_api::auth::Authenticator;
use rbd_api::link::Link;
use rbd_api::metrics::Metrics;
use rbd_api::server::Server;
use rbd_api::settings::{AuthMethod, Cli, Command, Serve};
use rbd_api::streams::Streams;
use rbd_api::workers::{Limits, Workers};
use rbd_api::{check, openapi};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => run(&serve),
        Command::Check(ceph) => check::connect(&ceph.settings()).map(drop).map_err(anyhow::Error::msg),
        Command::Openapi => print(&openapi::text()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sparrow-rbd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn run(serve: &Serve) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SPARROW_RBD_LOG").unwrap_or_else(|_| "info".into()),
        )
        .init();
    if serve.auth == AuthMethod::None && !serve.listen.ip().is_loopback() && !serve.anyone_may_delete_everything {
        anyhow::bail!(
            "--listen {} is open to the network, and --auth none lets everybody do everything: choose --auth tokens or \
             --auth kubernetes, listen on a loopback address, or accept it with --anyone-may-delete-everything",
            serve.listen
        );
    }
    let limits = Limits::default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(limits.threads + 16)
        .thread_keep_alive(std::time::Duration::from_secs(5))
        .build()?;
    let result = runtime.block_on(async {
        let app = Arc::new(App {
            link: Link::start(serve.ceph.settings()),
            workers: Workers::new(limits),
            auth: Authenticator::None,
            metrics: Metrics::new(),
            streams: Streams::new(serve.stream_limits()),
            deadline: serve.deadline,
            ending: AtomicBool::new(false),
            openapi: openapi::text().into_bytes(),
        });
        let server = Server::bind(Arc::clone(&app), serve.listen, serve.admin).await?;
        let (api, admin) = server.addresses()?;
        tracing::info!(%api, %admin, "serving");
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let end = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        server.run(end, serve.drain_delay, serve.grace).await;
        app.link.stop();
        Ok(())
    });
    // A thread may be stuck in a call to a Ceph that is gone; the process ends all the same.
    runtime.shutdown_background();
    result
}
