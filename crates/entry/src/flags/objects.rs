//! Which objects are read, from where, and how much of them is served.

use std::path::PathBuf;
use std::str::FromStr as _;

use clap::{Args, ValueEnum};
use entry_model::{BackendMode, Key};
use entry_translate::{DefaultBackend, StreamServices, TlsPassthroughAnnotations};
use kube::Client;

use super::BoundFlags;

/// Where objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectSource {
    /// An API server.
    Kubernetes,
    /// A directory of manifests.
    Directory(PathBuf),
}

/// How Secrets with certificates are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsSecrets {
    /// All of the type kubernetes.io/tls are watched
    Watched,
    /// Those that Ingresses name are fetched one by one, under Roles that name them
    Named,
}

/// Whether annotations of ingress-nginx are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IngressNginxAnnotations {
    /// As the page on them says of each
    On,
    /// None of them; a finding names each
    Off,
}

/// Whose hosts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HostOwnership {
    /// Each host belongs to one namespace: to that whose annotation `sparrow/hosts` names it, else to the first that claims it
    Namespace,
    /// Each path of a host belongs to the first object that claims it, of any namespace
    None,
}

/// To what of Services requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backends {
    /// To their cluster IPs, behind which the cluster chooses a pod for each connection: pods come and go without a change here
    ClusterIp,
    /// To their endpoints, of which one is chosen for each request; another one is tried where the first cannot be reached
    Endpoints,
}

/// Which annotations have TLS connections for a host go to the backend as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsPassthrough {
    /// None
    None,
    /// `sparrow/tls-passthrough`; that of ingress-nginx has no effect, as it has none there without `--enable-ssl-passthrough`
    Own,
    /// That of ingress-nginx too, `nginx.ingress.kubernetes.io/ssl-passthrough`, as there with `--enable-ssl-passthrough`
    All,
}

/// The flags of what is read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Objects")]
pub struct ObjectFlags {
    /// `kubernetes`, or a directory of manifests of the same kinds, which is followed as it changes
    #[arg(long, value_name = "kubernetes|DIR", default_value = "kubernetes", value_parser = parse_source)]
    pub from: ObjectSource,
    /// A kubeconfig; without it that of the pod, else the user's own
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Look at this namespace only
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The label of Services that are exposed by their annotations
    #[arg(long, value_name = "LABEL=VALUE", default_value = "sparrow/expose=true", value_parser = parse_label)]
    pub service_selector: (String, String),
    /// The label of the Nodes that clients reach
    #[arg(long, value_name = "LABEL=VALUE", default_value = "role=entry", value_parser = parse_label)]
    pub node_selector: (String, String),
    /// A Service whose load balancer clients reach instead of the Nodes: its addresses go into the status of Ingresses
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_key)]
    pub publish_service: Option<Key>,
    /// The controller that `IngressClasses` name for this entry
    #[arg(long, value_name = "NAME", default_value = "sparrow/entry")]
    pub controller: String,
    /// Leave Ingresses, `IngressClasses` and certificates alone: Services only. Secrets that their annotations name are fetched one by one, under
    /// Roles that name them
    #[arg(long)]
    pub no_ingresses: bool,
    /// To what of Services requests are sent, where no annotation sparrow/backends says otherwise
    #[arg(long, value_name = "WHAT", default_value = "cluster-ip")]
    pub backends: Backends,
    /// Whose hosts are
    #[arg(long, value_name = "RULE", default_value = "namespace")]
    pub host_ownership: HostOwnership,
    /// Whether annotations of ingress-nginx are followed on Ingresses
    #[arg(long, value_name = "SWITCH", default_value = "on")]
    pub ingress_nginx_annotations: IngressNginxAnnotations,
    /// Which annotations have TLS connections for a host go to the backend as they come, TLS not ended here
    #[arg(long, value_name = "WHICH", default_value = "own")]
    pub tls_passthrough: TlsPassthrough,
    /// The `ConfigMap` of TCP services: for each port of this entry, as ingress-nginx has it, `NAMESPACE/SERVICE:PORT`
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_key)]
    pub tcp_services_configmap: Option<Key>,
    /// The same of UDP services
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_key)]
    pub udp_services_configmap: Option<Key>,
    /// A file in which it is kept, over restarts, which namespace holds which hosts; for manifests of a directory, since a
    /// cluster keeps it itself. Not on the volume, which nginx can write to
    #[arg(long, value_name = "FILE")]
    pub host_record: Option<PathBuf>,
    /// How Secrets with certificates are read
    #[arg(long, value_name = "HOW", default_value = "watched")]
    pub tls_secrets: TlsSecrets,
    /// The Secret with the certificate for entries of `spec.tls` that name none; it serves hosts that it is for
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_key)]
    pub default_certificate: Option<Key>,
    /// The Service to which requests go that no rule takes, and which makes the pages of errors (`custom-http-errors`) of those that name
    /// no other; without a port, that called `http`, else its first
    #[arg(long, value_name = "NAMESPACE/SERVICE[:PORT]", value_parser = DefaultBackend::from_str)]
    pub default_backend: Option<DefaultBackend>,
    /// A `ConfigMap` whose data are settings, with the keys of ingress-nginx; it is followed as it changes, and goes over the flags
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_key, conflicts_with = "template")]
    pub config: Option<Key>,
    /// The namespace of the lease, whose holder writes into the cluster, and of the record of hosts; the pod's own without it
    #[arg(long, value_name = "NAME")]
    pub lease_namespace: Option<String>,
    /// The limits on what is served.
    #[command(flatten)]
    pub bounds: BoundFlags,
}

impl ObjectFlags {
    /// The namespace of the lease and of the record of hosts.
    pub fn lease_namespace_or_own(&self, client: &Client) -> String {
        self.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned())
    }

    /// Whether hosts have owners.
    pub fn has_host_owners(&self) -> bool {
        self.host_ownership == HostOwnership::Namespace
    }

    /// To what of Services requests are sent, where no annotation says otherwise.
    pub fn backend_mode(&self) -> BackendMode {
        match self.backends {
            Backends::ClusterIp => BackendMode::ClusterIp,
            Backends::Endpoints => BackendMode::Endpoints,
        }
    }

    /// Which annotations have TLS connections go to backends as they come.
    pub fn tls_passthrough_annotations(&self) -> TlsPassthroughAnnotations {
        match self.tls_passthrough {
            TlsPassthrough::None => TlsPassthroughAnnotations::None,
            TlsPassthrough::Own => TlsPassthroughAnnotations::Own,
            TlsPassthrough::All => TlsPassthroughAnnotations::All,
        }
    }

    /// The `ConfigMaps` of TCP and UDP services.
    pub fn stream_services(&self) -> StreamServices {
        let (tcp, udp) = (self.tcp_services_configmap.clone(), self.udp_services_configmap.clone());
        StreamServices { tcp, udp, ..StreamServices::default() }
    }

    /// What is read from an API server.
    pub fn source_options(&self) -> entry_kube::SourceOptions {
        let selector = |(name, value): &(String, String)| format!("{name}={value}");
        entry_kube::SourceOptions {
            service_selector: selector(&self.service_selector),
            node_selector: selector(&self.node_selector),
            tls_secrets: match self.tls_secrets {
                TlsSecrets::Watched => entry_kube::TlsSecrets::Watched,
                TlsSecrets::Named => entry_kube::TlsSecrets::Named,
            },
            default_certificate: self.default_certificate.clone(),
            config_maps: [&self.config, &self.tcp_services_configmap, &self.udp_services_configmap]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            namespace: self.namespace.clone(),
            ingresses: !self.no_ingresses,
            backends: self.backend_mode(),
            ownership: self.has_host_owners(),
            // Its namespace may be that of the client.
            record: None,
            // Serving without a kind that may not be read would take away what is served: rather not ready.
            go_without: false,
        }
    }
}

fn parse_source(text: &str) -> Result<ObjectSource, String> {
    match text {
        "" => Err("expected `kubernetes` or a directory".to_owned()),
        "kubernetes" => Ok(ObjectSource::Kubernetes),
        directory => Ok(ObjectSource::Directory(directory.into())),
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && format!("{name}{value}").chars().all(legal) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected one label as NAME=VALUE, such as role=entry".to_owned()),
    }
}

fn parse_key(text: &str) -> Result<Key, String> {
    Key::parse(text).ok_or_else(|| "expected NAMESPACE/NAME, such as sparrow/nginx-kit".to_owned())
}
