//! Where objects come from: an API server or a directory. What follows is the same for both.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use entry_kube::{DirectorySource, KubeSource};
use entry_model::{Kind, Snapshot};
use kube::Client;
use tokio::sync::watch;

use crate::flags::{ObjectFlags, ObjectSource};

/// What is followed.
pub struct Source {
    /// The newest snapshot; `None` until all objects were read once.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// What cannot be read now, by kind. What was read before stays in force.
    pub errors: watch::Receiver<BTreeMap<Kind, String>>,
    /// The cluster, if there is one.
    pub client: Option<Client>,
}

/// The client of the API server that flags name.
///
/// # Errors
/// None is known.
pub async fn client(flags: &ObjectFlags) -> anyhow::Result<Client> {
    entry_kube::client(flags.kubeconfig.as_deref()).await.context(
        "no API server is known: run this in a pod with a service account, name a kubeconfig with --kubeconfig, or name a \
         directory of manifests with --from",
    )
}

/// What is read, with the record of hosts.
fn options(flags: &ObjectFlags, client: &Client) -> entry_kube::SourceOptions {
    let options = flags.source_options();
    let record = options.ownership.then(|| flags.lease_namespace_or_own(client));
    entry_kube::SourceOptions { record, ..options }
}

/// Reads all objects once.
///
/// # Errors
/// They cannot all be read.
pub async fn read(flags: &ObjectFlags) -> anyhow::Result<Snapshot> {
    match &flags.from {
        ObjectSource::Directory(dir) => Ok(DirectorySource::read(dir)?),
        ObjectSource::Kubernetes => {
            let client = client(flags).await?;
            let options = options(flags, &client);
            Ok(KubeSource::read(client, &options).await?)
        }
    }
}

/// Reads all objects and follows their changes.
///
/// # Errors
/// A directory that cannot be read, or no API server to ask. One that does not answer is waited for.
pub async fn follow(flags: &ObjectFlags) -> anyhow::Result<Source> {
    match &flags.from {
        ObjectSource::Directory(dir) => {
            let mut read = DirectorySource::watch(dir).await?;
            let (sender, snapshots) = watch::channel(Some(read.borrow_and_update().clone()));
            tokio::spawn(async move {
                while read.changed().await.is_ok() {
                    let snapshot = read.borrow_and_update().clone();
                    if sender.send(Some(snapshot)).is_err() {
                        break;
                    }
                }
                // The last snapshot stays in force.
                sender.closed().await;
            });
            Ok(Source { snapshots, errors: watch::channel(BTreeMap::new()).1, client: None })
        }
        ObjectSource::Kubernetes => {
            let client = client(flags).await?;
            let watching = KubeSource::start(client.clone(), options(flags, &client));
            Ok(Source { snapshots: watching.snapshots, errors: watching.errors, client: Some(client) })
        }
    }
}
