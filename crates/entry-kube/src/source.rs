//! An API server as a source of objects.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use entry_model::{BackendMode, Kind, Object, ObjectRef, Snapshot};
use futures_util::future::{self, BoxFuture};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::api_error::with_causes;
use crate::error::{Error, Result};
use crate::host_record;
use crate::kinds::{self, KINDS, KindVisitor, ReadKind, kinds_at_start};
use crate::list::{ReadObject, list};
use crate::named_config_maps::read_named_config_maps;
use crate::named_secrets::{fetch_secrets, named_secrets};
use crate::options::SourceOptions;
use crate::watch::{self, KubeWatch};

/// How long the API server may be silent on a connection. Watches end by themselves before.
const SILENCE: Duration = Duration::from_secs(75);

/// The source that reads an API server.
#[derive(Debug, Clone, Copy)]
pub struct KubeSource;

/// A client for the API server that a kubeconfig names; without one, for that of the cluster this runs in, else for that
/// of the user's own kubeconfig.
///
/// # Errors
/// [`Error::Client`]: there is none of these, or it makes no sense. Nothing is sent yet.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client> {
    let wrong = |error: &dyn std::error::Error| Error::Client(with_causes(error));
    let mut config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| wrong(&error))?
        }
        None => match Config::incluster() {
            Ok(config) => config,
            Err(_) => Config::infer().await.map_err(|error| wrong(&error))?,
        },
    };
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(SILENCE);
    config.write_timeout = Some(Duration::from_secs(30));
    Client::try_from(config).map_err(|error| wrong(&error))
}

impl KubeSource {
    /// Reads all objects once, in pages.
    ///
    /// # Errors
    /// [`Error::List`]: a kind cannot be listed; nothing less than all is an answer.
    pub async fn read(client: Client, options: &SourceOptions) -> Result<Snapshot> {
        let watched = KINDS.iter().filter(|info| info.is_watched(options) && !info.is_on_demand(options));
        let lists = watched.filter_map(|info| kinds::visit(info.kind, ListKind { client: &client, options }));
        let mut snapshot = Snapshot::default();
        let mut wants_endpoints = false;
        for (reference, object) in future::try_join_all(lists).await?.into_iter().flatten() {
            if let Ok(object) = &object {
                wants_endpoints |= BackendMode::of_object(object) == Some(BackendMode::Endpoints);
            }
            put(&mut snapshot, reference, object);
        }
        if wants_endpoints && options.backends == BackendMode::ClusterIp {
            match list::<EndpointSlice>(&client, options).await {
                Ok(slices) => {
                    for (reference, object) in slices {
                        put(&mut snapshot, reference, object);
                    }
                }
                // Who asks for what this account has no right to read must not keep all others from being served.
                Err(error @ Error::List { forbidden: true, .. }) => tracing::error!("{error}"),
                Err(error) => return Err(error),
            }
        }
        if kinds_at_start(options).contains(&Kind::ConfigMap) {
            let put_read = |snapshot: &mut Snapshot, (reference, object)| put(snapshot, reference, object);
            read_named_config_maps(&client, options, &mut snapshot, put_read).await?;
        }
        if let Some(namespace) = &options.record {
            snapshot.host_owners = host_record::read(&client, namespace).await?;
        }
        if kinds_at_start(options).contains(&Kind::Secret) {
            let mut named = named_secrets(&snapshot, options);
            named.retain(|key| !snapshot.secrets.contains_key(key));
            for (key, found) in fetch_secrets(&client, options.secrets(), named).await {
                match found {
                    Ok(Some(object)) => drop(snapshot.put(object)),
                    Ok(None) => {}
                    // One that cannot be had is told like one that is not there: the others count.
                    Err(message) => tracing::error!("cannot read Secret {}/{}: {message}", key.namespace, key.name),
                }
            }
        }
        Ok(snapshot)
    }

    /// Reads all objects and follows their changes, until the receiver is dropped. It holds `None` until all kinds were
    /// listed once.
    pub fn watch(client: Client, options: SourceOptions) -> tokio::sync::watch::Receiver<Option<Arc<Snapshot>>> {
        KubeSource::start(client, options).snapshots
    }

    /// As [`KubeSource::watch`], and reports what does not work.
    pub fn start(client: Client, options: SourceOptions) -> KubeWatch {
        watch::start(client, options)
    }
}

fn put(snapshot: &mut Snapshot, reference: ObjectRef, object: Result<Object, String>) {
    match object {
        Ok(object) => drop(snapshot.put(object)),
        Err(message) => drop(snapshot.unreadable.insert(reference, message)),
    }
}

/// Lists the objects of a kind.
struct ListKind<'a> {
    client: &'a Client,
    options: &'a SourceOptions,
}

impl<'a> KindVisitor for ListKind<'a> {
    type Output = BoxFuture<'a, Result<Vec<ReadObject>>>;

    fn visit<K: ReadKind>(self) -> Self::Output {
        Box::pin(list::<K>(self.client, self.options))
    }
}
