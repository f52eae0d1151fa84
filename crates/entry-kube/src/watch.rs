//! Follows an API server: a watch for each kind, whose changes go into one store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use entry_model::{Kind, Snapshot};
use futures_util::future::{self, BoxFuture};
use kube::Client;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::follow::{WatchScope, follow};
use crate::host_record;
use crate::kinds::{self, KINDS, KindInfo, KindVisitor, ReadKind, kinds_at_start};
use crate::named_config_maps::follow_named_config_maps;
use crate::named_secrets::follow_named_secrets;
use crate::options::SourceOptions;
use crate::store::{SILENCE, Store};

/// How often it is asked whether the API server is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// What follows an API server. It ends when `snapshots` is dropped.
#[derive(Debug, Clone)]
pub struct KubeWatch {
    /// The newest snapshot; `None` until all kinds were listed once.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Why a kind cannot be read now. What was read before stays in force.
    pub errors: watch::Receiver<BTreeMap<Kind, String>>,
}

/// Starts to follow an API server.
pub(crate) fn start(client: Client, options: SourceOptions) -> KubeWatch {
    let (sender, snapshots) = watch::channel(None);
    let (store, errors) = Store::new(kinds_at_start(&options), options.record.is_some());
    tokio::spawn(async move {
        let (client, options, store) = (&client, &options, &store);
        let watched = KINDS.iter().filter(|info| info.is_watched(options));
        let watches = watched.filter_map(|info| kinds::visit(info.kind, FollowKind { client, options, store }));
        let named_secrets = async {
            if kinds_at_start(options).contains(&Kind::Secret) {
                follow_named_secrets(client, options, store).await;
            }
        };
        let config_maps = async {
            if kinds_at_start(options).contains(&Kind::ConfigMap) {
                follow_named_config_maps(client, options, store).await;
            }
        };
        let record = async {
            if let Some(namespace) = &options.record {
                host_record::follow(client, namespace, |held| store.set_host_owners(held)).await;
            }
        };
        let all = future::join_all(watches);
        tokio::select! {
            () = sender.closed() => {}
            _ = async { tokio::join!(all, named_secrets, config_maps, record, listen(client, options, store), store.publish(&sender)) } => {}
        }
    });
    KubeWatch { snapshots, errors }
}

/// Follows a kind.
struct FollowKind<'a> {
    client: &'a Client,
    options: &'a SourceOptions,
    store: &'a Store,
}

impl<'a> KindVisitor for FollowKind<'a> {
    type Output = BoxFuture<'a, ()>;

    fn visit<K: ReadKind>(self) -> Self::Output {
        let on_demand = KindInfo::of(K::KIND).is_some_and(|info| info.is_on_demand(self.options));
        Box::pin(async move {
            if on_demand {
                self.store.endpoints_wanted().await;
            }
            // Who asks for a kind that this account has no right to read must not keep all others waiting.
            let go_without = self.options.go_without || on_demand;
            let api = K::api(self.client, self.options);
            let selectors = KindInfo::of(K::KIND).map(|info| info.selectors(self.options)).unwrap_or_default();
            follow(WatchScope { api, selectors, go_without, only: None }, self.store).await;
        })
    }
}

/// Asks the API server now and then whether it is there: a watch says nothing as long as nothing changes, so that a server
/// that hangs would be noticed only when the watch should have ended.
async fn listen(client: &Client, options: &SourceOptions, store: &Store) {
    loop {
        sleep(PROBE_INTERVAL).await;
        // Every account may ask for the version; a rejection is an answer too.
        let asked = timeout(SILENCE, client.apiserver_version()).await;
        let silent = matches!(asked, Err(_) | Ok(Err(kube::Error::Service(_) | kube::Error::HyperError(_))));
        let mut kinds = kinds_at_start(options);
        kinds.extend(store.state().wants_endpoints.then_some(Kind::EndpointSlice));
        store.set_silent(&kinds, silent);
    }
}
