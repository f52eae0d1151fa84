//! An API server as a source of objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use entry_model::{Key, Kind, Object, ObjectRef, Snapshot};
use futures_util::{StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::convert::{Convert, TLS_SECRET};
use crate::error::{Error, Result};
use crate::kinds::KindInfo;
use crate::record;

/// How many objects are asked for at once.
pub(crate) const PAGE: u32 = 500;
/// How long the API server may be silent on a connection. Watches end by themselves before.
const SILENCE: Duration = Duration::from_secs(75);
/// How many Secrets are asked for at the same time.
const PARALLEL: usize = 8;
/// How often a list that was too slow for the API server is begun again.
const ATTEMPTS: usize = 3;

/// The source that reads an API server.
#[derive(Debug, Clone, Copy)]
pub struct KubeSource;

/// What is read from an API server. Follows the roles of [`crate::roles()`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A label selector, such as `sparrow/expose=true`: which Services are exposed by annotations. It is sent to the API
    /// server if `ingresses` is false. Otherwise all Services are read, because an Ingress can name any.
    pub service_selector: String,
    /// A label selector, such as `role=entry`: which Nodes are read.
    pub node_selector: String,
    /// How Secrets are read.
    pub tls_secrets: TlsSecrets,
    /// The Secret for entries of `spec.tls` that name none, which [`TlsSecrets::Named`] has to fetch too.
    pub default_certificate: Option<Key>,
    /// The only namespace to look at; all if there is none.
    pub namespace: Option<String>,
    /// Whether Ingresses are read, and with them `IngressClasses` and Secrets.
    pub ingresses: bool,
    /// Whether hosts have owners, for which Namespaces are read.
    pub ownership: bool,
    /// The namespace of the record of which namespace holds what; it is read if there is one.
    pub record: Option<String>,
    /// Whether a kind that the API server refuses to list counts as one without objects after five seconds. Otherwise
    /// there is no first snapshot until the right is given. What was listed once always stays.
    pub go_without: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            service_selector: "sparrow/expose=true".into(),
            node_selector: "role=entry".into(),
            tls_secrets: TlsSecrets::Watched,
            default_certificate: None,
            namespace: None,
            ingresses: true,
            ownership: true,
            record: None,
            go_without: true,
        }
    }
}

/// How Secrets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsSecrets {
    /// All of the type `kubernetes.io/tls` are watched.
    Watched,
    /// Those that Ingresses name are fetched one by one, and again every minute. Needs rights for those only.
    Named,
}

impl Options {
    /// The kinds that are read.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        let kinds = crate::KINDS.iter().map(|info| info.kind);
        let wanted = |kind: &Kind| match kind {
            Kind::Service | Kind::Node => true,
            Kind::Namespace => self.ownership,
            _ => self.ingresses,
        };
        kinds.filter(wanted).collect()
    }

    /// The label and the field selector with which a kind is asked for.
    pub(crate) fn selectors(&self, kind: Kind) -> (Option<&str>, Option<String>) {
        match kind {
            Kind::Service if !self.ingresses => (Some(&self.service_selector), None),
            Kind::Node => (Some(&self.node_selector), None),
            Kind::Secret => (None, Some(format!("type={TLS_SECRET}"))),
            _ => (None, None),
        }
    }
}

/// A client for the API server that a kubeconfig names; without one, for that of the cluster this runs in, else for that
/// of the user's own kubeconfig.
///
/// # Errors
/// [`Error::Client`]: there is none of these, or it makes no sense. Nothing is sent yet.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client> {
    let wrong = |error: &dyn std::error::Error| Error::Client(chain(error));
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

/// An error with its causes, of which kube's name little by themselves.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What an error means for the reading of a kind: for a missing right, which rule is missing.
pub(crate) fn explain(kind: Kind, verbs: &str, error: &kube::Error) -> String {
    match (error, KindInfo::of(kind)) {
        (kube::Error::Api(status), Some(info)) if status.code == 403 => {
            let (group, resource) = (info.group, info.resource);
            format!(
                "the API server refuses it (403): its role needs the rule apiGroups [{group:?}], \
                 resources [{resource:?}], verbs [{verbs}]"
            )
        }
        _ => reason(error),
    }
}

/// What went wrong when the API server was asked. An answer that cannot be read is not quoted: Secrets may be in it.
pub(crate) fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::SerdeError(error) => {
            format!("its answer cannot be read, from line {}, column {} of it on", error.line(), error.column())
        }
        kube::Error::FromUtf8(_) => "its answer is no UTF-8".to_owned(),
        error => chain(error),
    }
}

/// The API of a kind that has namespaces.
pub(crate) fn namespaced<K>(client: &Client, options: &Options) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match &options.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

impl KubeSource {
    /// Reads all objects once, in pages.
    ///
    /// # Errors
    /// [`Error::List`]: a kind cannot be listed; nothing less than all is an answer.
    pub async fn read(client: Client, options: &Options) -> Result<Snapshot> {
        let kinds = options.kinds();
        let named = options.tls_secrets == TlsSecrets::Named;
        let has = |kind: Kind| kinds.contains(&kind) && !(named && kind == Kind::Secret);
        let (services, ingresses, classes, secrets, nodes, namespaces) = tokio::try_join!(
            list::<core::Service>(namespaced(&client, options), Kind::Service, options, has(Kind::Service)),
            list::<networking::Ingress>(namespaced(&client, options), Kind::Ingress, options, has(Kind::Ingress)),
            list::<networking::IngressClass>(
                Api::all(client.clone()),
                Kind::IngressClass,
                options,
                has(Kind::IngressClass)
            ),
            list::<core::Secret>(namespaced(&client, options), Kind::Secret, options, has(Kind::Secret)),
            list::<core::Node>(Api::all(client.clone()), Kind::Node, options, has(Kind::Node)),
            list::<core::Namespace>(Api::all(client.clone()), Kind::Namespace, options, has(Kind::Namespace)),
        )?;
        let mut snapshot = Snapshot::default();
        for part in [services, ingresses, classes, secrets, nodes, namespaces] {
            for (reference, object) in part {
                match object {
                    Ok(object) => drop(snapshot.put(object)),
                    Err(message) => drop(snapshot.unreadable.insert(reference, message)),
                }
            }
        }
        if let Some(namespace) = &options.record {
            snapshot.held = record::read(&client, namespace).await?;
        }
        if named && kinds.contains(&Kind::Secret) {
            for (key, found) in
                fetch_secrets(&client, named_secrets(&snapshot, options.default_certificate.as_ref())).await
            {
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
    pub fn watch(client: Client, options: Options) -> watch::Receiver<Option<Arc<Snapshot>>> {
        KubeSource::start(client, options).snapshots
    }

    /// As [`KubeSource::watch`], and tells what does not work.
    pub fn start(client: Client, options: Options) -> Watching {
        crate::store::start(client, options)
    }
}

/// What follows an API server. It ends when `snapshots` is dropped.
#[derive(Debug, Clone)]
pub struct Watching {
    /// The newest snapshot; `None` until all kinds were listed once.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// What does not work now, by kind. What was read before stays in force.
    pub troubles: watch::Receiver<BTreeMap<Kind, String>>,
}

/// An object, or what is wrong with it.
pub(crate) type Read = (ObjectRef, Result<Object, String>);

/// Reduces an object to what matters; `None` if nothing of it does.
pub(crate) fn reduce<K: Convert + ResourceExt>(kind: Kind, object: K) -> Option<Read> {
    let reference = reference(kind, &object);
    match object.convert() {
        Ok(None) => None,
        Ok(Some(object)) => Some((reference, Ok(object))),
        Err(error) => Some((reference, Err(error.to_string()))),
    }
}

pub(crate) fn reference<K: ResourceExt>(kind: Kind, object: &K) -> ObjectRef {
    let namespaced = KindInfo::of(kind).is_some_and(|info| info.namespaced);
    let namespace = object.namespace().filter(|_| namespaced).unwrap_or_default();
    ObjectRef::new(kind, Key { namespace, name: object.name_any() })
}

async fn list<K>(api: Api<K>, kind: Kind, options: &Options, wanted: bool) -> Result<Vec<Read>>
where
    K: Convert + Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut objects = Vec::new();
    if !wanted {
        return Ok(objects);
    }
    let (labels, fields) = options.selectors(kind);
    let first = ListParams {
        label_selector: labels.map(str::to_owned),
        field_selector: fields,
        limit: Some(PAGE),
        ..ListParams::default()
    };
    let mut params = first.clone();
    let mut attempt = 1;
    loop {
        match api.list(&params).await {
            Ok(page) => {
                objects.extend(page.items.into_iter().filter_map(|object| reduce(kind, object)));
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => return Ok(objects),
                }
            }
            // etcd was compacted between two pages.
            Err(kube::Error::Api(status)) if status.code == 410 && attempt < ATTEMPTS => {
                attempt += 1;
                objects.clear();
                params = first.clone();
            }
            Err(error) => return Err(Error::List { kind, message: explain(kind, r#""list""#, &error) }),
        }
    }
}

/// The Secrets that Ingresses name, and the default one if there are entries that name none.
pub(crate) fn named_secrets(snapshot: &Snapshot, default: Option<&Key>) -> BTreeSet<Key> {
    let of = |ingress: &entry_model::Ingress| {
        let own = |name: &String| Key { namespace: ingress.meta.namespace.clone(), name: name.clone() };
        let keys = ingress.tls.iter().filter_map(|tls| tls.secret.as_ref().map(own).or_else(|| default.cloned()));
        keys.collect::<Vec<_>>()
    };
    snapshot.ingresses.values().flat_map(|ingress| of(ingress)).collect()
}

/// Fetches Secrets one by one: `None` for one that is not there or has no certificate, an error for one that may be there.
pub(crate) async fn fetch_secrets(client: &Client, keys: BTreeSet<Key>) -> Vec<(Key, Result<Option<Object>, String>)> {
    let fetch = async |key: Key| {
        let api = Api::<core::Secret>::namespaced(client.clone(), &key.namespace);
        let found = match api.get_opt(&key.name).await {
            Ok(secret) => Ok(secret.and_then(|secret| secret.convert().ok().flatten())),
            Err(kube::Error::Api(status)) if status.code == 403 => Err(format!(
                "the API server refuses it (403): a role in the namespace {} needs the rule apiGroups [\"\"], \
                 resources [\"secrets\"], verbs [\"get\"], resourceNames [{:?}]",
                key.namespace, key.name
            )),
            Err(error) => Err(reason(&error)),
        };
        (key, found)
    };
    stream::iter(keys).map(fetch).buffer_unordered(PARALLEL).collect().await
}
