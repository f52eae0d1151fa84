//! `sparrow-rbd`: flags, wiring, signals.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser as _;
use rbd::ceph_link::CephLink;
use rbd::check::{self, Severity};
use rbd::operations::Operations;
use rbd::workers::{WorkerLimits, Workers};
use rbd_api::{openapi, problem};
use rbd_server::app::App;
use rbd_server::audit::Audit;
use rbd_server::auth::{Authenticator, tokens};
use rbd_server::metrics::{ErrnoLabels, Metrics};
use rbd_server::server::Server;
use rbd_server::settings::{CheckArgs, Cli, Command, ServeArgs, TokenArgs};
use rbd_server::streams::Streams;
use rbd_server::tls::Tls;
use tokio::signal::unix::{SignalKind, signal};

fn main() {
    let result = match Cli::parse().command {
        Command::Serve(serve) => run(&serve).map(|()| 0),
        Command::Check(arguments) => examine(&arguments),
        Command::Openapi => print(&openapi::text()).map(|()| 0),
        Command::Token(token) => make_token(token).map(|()| 0),
    };
    let code = result.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "sparrow-rbd: {error:#}");
        1
    });
    let _ = std::io::stdout().flush();
    // Connections may be closing, or stuck, on threads of their own.
    ceph::end_process(code)
}

/// Prints what `check` finds; 1 if there is an error among it.
fn examine(arguments: &CheckArgs) -> anyhow::Result<u8> {
    let settings = arguments.ceph.settings();
    let attempt = check::try_connect(&settings);
    let mut report = attempt.report;
    if let Some(cluster) = &attempt.cluster {
        report.findings.extend(check::capabilities(cluster, &arguments.ceph.namespaces, settings.connect_timeout));
    }
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        print(&report.to_string())?;
    }
    Ok(u8::from(report.state() == Severity::Error))
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn make_token(args: TokenArgs) -> anyhow::Result<()> {
    let TokenArgs { name, role, scope, expires_at, append } = args;
    let (secret, token) = tokens::make(name, role, scope, expires_at)?;
    match append {
        Some(file) => {
            tokens::append(&file, token)?;
            print(&format!("{secret}\n"))
        }
        None => {
            let both = serde_json::json!({ "secret": secret, "entry": token });
            print(&format!("{both:#}\n"))
        }
    }
}

fn run(serve: &ServeArgs) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SPARROW_RBD_LOG").unwrap_or_else(|_| "info".into()),
        )
        .init();
    let auth = serve.auth_settings()?;
    let tls = serve.tls_settings();
    if tls.is_none() && !serve.listen.ip().is_loopback() {
        tracing::warn!("tokens and data travel in the clear unless something before --listen speaks TLS");
    }
    let limits = WorkerLimits::default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(limits.threads + 16)
        // Short: each call wakes another of the idle threads, so that a few calls a second would keep them all.
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build()?;
    let result = runtime.block_on(async {
        let metrics = Metrics::new();
        let auth = Authenticator::start(&auth, &metrics).await?;
        let tls = tls.map(|settings| Tls::start(&settings, &metrics)).transpose()?;
        let audit = Audit::start(serve.audit_log.as_deref(), &metrics)?;
        let namespaces = serve.ceph.namespaces.clone();
        let errors = metrics.ceph_errors.clone();
        let count = move |errno: ceph::Errno| {
            errors.get_or_create(&ErrnoLabels { errno: errno.name().to_owned() }).inc();
        };
        let link = CephLink::start(serve.ceph.settings(), namespaces, Box::new(count));
        let workers = Workers::new(limits);
        let operations =
            Operations::new(link.clone(), workers.clone(), serve.operation_retention, problem::of_operation);
        tokio::spawn(Arc::clone(&operations).sweep());
        let app = Arc::new(App {
            link,
            workers,
            operations,
            trash_retention: serve.trash_retention,
            auth,
            guard: serve.guard(),
            audit,
            metrics,
            streams: Streams::new(serve.stream_limits()),
            keep_alive: serve.keep_alive,
            deadline: serve.deadline,
            ending: AtomicBool::new(false),
            openapi: openapi::text().into_bytes(),
        });
        let server = Server::bind(Arc::clone(&app), tls, serve.listen, serve.admin).await?;
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
