//! What stays: `watch`, `nginx`, and both in one process.

use std::process::ExitCode;

use anyhow::Context as _;
use entry_kube::lease::{Lease, Terms};
use entry_kube::status::Writer;
use nginx_process::Supervisor;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::{self, Admin, Parts};
use crate::pipeline::Pipeline;
use crate::settings::{HostOwnership, Settings};
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
struct Following {
    parts: Parts,
    pipeline: JoinHandle<()>,
    writer: Option<JoinHandle<()>>,
}

async fn follow(settings: &Settings) -> anyhow::Result<Following> {
    let (pipeline, told) = Pipeline::new(super::maker(settings).await?, super::volume(settings)?);
    let source = source::follow(settings).await?;
    let pipeline = tokio::spawn(pipeline.run(source.snapshots));
    let judged = told.judged.clone();
    let mut parts = Parts { told: Some(told), troubles: Some(source.troubles), ..Parts::default() };
    let mut writer = None;
    if let Some(client) = source.client.filter(|_| !settings.no_status) {
        let namespace = source::own_namespace(settings, &client);
        let record = (settings.host_ownership == HostOwnership::Namespace).then(|| namespace.clone());
        let lease = Lease::start(client.clone(), Terms::new(&namespace, &settings.identity));
        let status = Writer::new(client, lease, settings.publish_service.clone()).recording(record);
        parts.written = Some(status.counters());
        writer = Some(tokio::spawn(status.run(judged)));
    }
    Ok(Following { parts, pipeline, writer })
}

impl Following {
    /// Ends what writes into the cluster, so that another replica does it at once.
    async fn end(self) {
        // The writer ends, and gives the lease back, when nothing is told any more.
        self.pipeline.abort();
        if let Some(writer) = self.writer {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(2), writer).await;
        }
    }
}

/// Follows objects until it is told to end.
pub async fn watch(settings: &Settings) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown()?;
    let listener = admin::listen(settings.admin).await?;
    let following = follow(settings).await?;
    let admin = Admin::start(listener, following.parts.clone());
    until(shutdown).await;
    following.end().await;
    admin.end();
    Ok(ExitCode::SUCCESS)
}

/// Runs nginx until it is told to end.
pub async fn nginx(settings: &Settings) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown()?;
    let listener = admin::listen(settings.admin).await?;
    let (supervisor, handle) = Supervisor::start(settings.process()).await.context("nginx")?;
    let parts = Parts { nginx: Some(handle), control: Some(settings.control()), ..Parts::default() };
    let admin = Admin::start(listener, parts);
    supervisor.run(until(shutdown)).await?;
    admin.end();
    Ok(ExitCode::SUCCESS)
}

/// Both.
pub async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown()?;
    let listener = admin::listen(settings.admin).await?;
    let following = follow(settings).await?;
    let (supervisor, handle) = match Supervisor::start(settings.process()).await.context("nginx") {
        Ok(started) => started,
        Err(error) => {
            // In good order: what is under way would be told as a failure of its own.
            following.end().await;
            return Err(error);
        }
    };
    let parts = Parts { nginx: Some(handle), control: Some(settings.control()), ..following.parts.clone() };
    let admin = Admin::start(listener, parts);
    supervisor.run(until(shutdown)).await?;
    following.end().await;
    admin.end();
    Ok(ExitCode::SUCCESS)
}
