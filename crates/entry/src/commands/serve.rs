//! What stays: `watch`, `nginx`, and both in one process.

use std::process::ExitCode;

use anyhow::Context as _;
use entry_kube::lease::{Lease, LeaseTerms};
use entry_kube::status::ClusterWriter;
use entry_model::AddressRange;
use nginx_process::Supervisor;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::{self, Admin};
use crate::admin_state::AdminState;
use crate::external_names;
use crate::flags::{ConfigurationFlags, NginxFlags, RunFlags, StatusFlags, WatchFlags};
use crate::pipeline::Pipeline;
use crate::source;

/// Becomes true at SIGTERM or SIGINT.
fn shutdown() -> anyhow::Result<watch::Receiver<bool>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        let _ = sender.send(true);
        sender.closed().await;
    });
    Ok(receiver)
}

async fn until(mut shutdown: watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|ends| *ends).await;
}

/// The half that follows objects.
struct Generating {
    state: AdminState,
    pipeline: JoinHandle<()>,
    writer: Option<JoinHandle<()>>,
}

impl Generating {
    async fn start(flags: &ConfigurationFlags, status: &StatusFlags) -> anyhow::Result<Generating> {
        let volume = super::volume(&flags.program)?;
        let (pipeline, pipeline_status) = Pipeline::new(super::generator(flags).await?, volume);
        let source = source::follow(&flags.objects).await?;
        let ranges = flags.traffic.external_name_ranges.iter();
        let ranges = ranges.filter_map(|range| AddressRange::new(range.addr(), range.prefix_len())).collect();
        let pipeline = tokio::spawn(pipeline.run(external_names::follow(source.snapshots, ranges)));
        let judged = pipeline_status.judged.clone();
        let mut state =
            AdminState { pipeline: Some(pipeline_status), source_errors: Some(source.errors), ..AdminState::default() };
        let mut writer = None;
        if let Some(client) = source.client.filter(|_| !status.no_status) {
            let namespace = flags.objects.lease_namespace_or_own(&client);
            let record = flags.objects.has_host_owners().then(|| namespace.clone());
            let lease = Lease::start(client.clone(), LeaseTerms::new(&namespace, &status.identity));
            let status =
                ClusterWriter::new(client, lease, flags.objects.publish_service.clone()).with_host_record(record);
            state.status_writes = Some(status.counters());
            writer = Some(tokio::spawn(status.run(judged)));
        }
        Ok(Generating { state, pipeline, writer })
    }

    /// Ends what writes into the cluster, so that another replica does it at once.
    async fn end(self) {
        // The writer ends, and gives the lease back, when the sender of what it writes is gone.
        self.pipeline.abort();
        if let Some(writer) = self.writer {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(2), writer).await;
        }
    }
}

/// Follows objects until it is told to end.
pub async fn watch(flags: &WatchFlags) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown()?;
    let listener = admin::listen(flags.admin.admin).await?;
    let generating = Generating::start(&flags.configuration, &flags.status).await?;
    let admin = Admin::start(listener, generating.state.clone());
    until(shutdown).await;
    generating.end().await;
    admin.stop();
    Ok(ExitCode::SUCCESS)
}

/// Runs nginx until it is told to end.
pub async fn nginx(flags: &NginxFlags) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown()?;
    let listener = admin::listen(flags.admin.admin).await?;
    let (supervisor, handle) =
        Supervisor::start(flags.program.supervisor_settings(&flags.stop, &flags.counts)).await.context("nginx")?;
    let admin = Admin::start(listener, AdminState::default().with_nginx(handle, flags.program.control_socket()));
    supervisor.run(until(shutdown)).await?;
    admin.stop();
    Ok(ExitCode::SUCCESS)
}

/// Both.
pub async fn run(flags: &RunFlags) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown()?;
    let listener = admin::listen(flags.admin.admin).await?;
    let program = &flags.configuration.program;
    let generating = Generating::start(&flags.configuration, &flags.status).await?;
    let (supervisor, handle) =
        match Supervisor::start(program.supervisor_settings(&flags.stop, &flags.counts)).await.context("nginx") {
            Ok(started) => started,
            Err(error) => {
                // In good order: what is under way would be reported as a failure of its own.
                generating.end().await;
                return Err(error);
            }
        };
    let admin = Admin::start(listener, generating.state.clone().with_nginx(handle, program.control_socket()));
    supervisor.run(until(shutdown)).await?;
    generating.end().await;
    admin.stop();
    Ok(ExitCode::SUCCESS)
}
