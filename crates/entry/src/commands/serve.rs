//! What stays: `watch`, `nginx`, and both in one process.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use entry_kube::lease::{Lease, Terms};
use entry_kube::status::Writer;
use nginx_process::Supervisor;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::{Admin, Parts};
use crate::pipeline::{Pipeline, Progress};
use crate::settings::Settings;
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
    writer: Option<JoinHandle<()>>,
    relay: JoinHandle<()>,
}

async fn follow(settings: &Settings) -> anyhow::Result<Following> {
    let (pipeline, progress) = Pipeline::new(super::maker(settings).await?, super::volume(settings)?);
    let source = source::follow(settings).await?;
    tokio::spawn(pipeline.run(source.snapshots.clone()));
    let (sender, judged) = watch::channel(None);
    let relay = tokio::spawn(relay(progress.clone(), sender));
    let mut parts = Parts { progress: Some(progress), troubles: Some(source.troubles), ..Parts::default() };
    let mut writer = None;
    if let Some(client) = source.client.filter(|_| !settings.no_status) {
        let namespace = settings.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let lease = Arc::new(Terms::new(&namespace, &settings.identity));
        let status = Writer::new(client.clone(), Lease::start(client, (*lease).clone()));
        parts.written = Some(status.counters());
        writer = Some(tokio::spawn(status.run(judged)));
    }
    Ok(Following { parts, writer, relay })
}

/// Hands on what is known of objects to the one who writes it into the cluster.
async fn relay(mut progress: watch::Receiver<Progress>, judged: watch::Sender<Option<entry_kube::status::Judged>>) {
    loop {
        let now = progress.borrow_and_update().judged.clone();
        let new = |known: &mut Option<entry_kube::status::Judged>| {
            let same = match (&*known, &now) {
                (Some(known), Some(now)) => {
                    Arc::ptr_eq(&known.snapshot, &now.snapshot) && Arc::ptr_eq(&known.verdicts, &now.verdicts)
                }
                (None, None) => true,
                _ => false,
            };
            if !same {
                known.clone_from(&now);
            }
            !same
        };
        judged.send_if_modified(new);
        if progress.changed().await.is_err() {
            return;
        }
    }
}

impl Following {
    /// Ends what writes into the cluster, so that another replica does it at once.
    async fn end(self) {
        self.relay.abort();
        if let Some(writer) = self.writer {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(2), writer).await;
        }
    }
}

/// Follows objects until it is told to end.
pub async fn watch(settings: &Settings) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown()?;
    let following = follow(settings).await?;
    let admin = Admin::start(settings.admin, following.parts.clone()).await?;
    until(shutdown).await;
    following.end().await;
    admin.end();
    Ok(ExitCode::SUCCESS)
}

/// Runs nginx until it is told to end.
pub async fn nginx(settings: &Settings) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown()?;
    let (supervisor, handle) = Supervisor::start(settings.process()).await.context("nginx")?;
    let parts = Parts { nginx: Some(handle), control: Some(settings.control()), ..Parts::default() };
    let admin = Admin::start(settings.admin, parts).await?;
    supervisor.run(until(shutdown)).await?;
    admin.end();
    Ok(ExitCode::SUCCESS)
}

/// Both.
pub async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown()?;
    let following = follow(settings).await?;
    let (supervisor, handle) = Supervisor::start(settings.process()).await.context("nginx")?;
    let parts = Parts { nginx: Some(handle), control: Some(settings.control()), ..following.parts.clone() };
    let admin = Admin::start(settings.admin, parts).await?;
    supervisor.run(until(shutdown)).await?;
    following.end().await;
    admin.end();
    Ok(ExitCode::SUCCESS)
}
