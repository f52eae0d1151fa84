//! A part of a cluster for one test: a namespace, an account with the rights that are shipped, objects.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use entry_kube::SourceOptions;
use entry_model::Key;
use serde_json::{Value, json};
use testbed::kube::ApiServer;

use crate::common::{Bench, Program};

/// A namespace with an account in it, on a server.
pub struct Tenant<'a> {
    pub server: &'a ApiServer,
    pub namespace: String,
    options: SourceOptions,
    kubeconfig: PathBuf,
}

impl Tenant<'static> {
    /// A namespace of the server that tests share. What it sees is in this namespace, or carries its name.
    pub fn shared() -> Self {
        Self::shared_with(|_| {})
    }

    /// The same, with a `ConfigMap` of settings, which is called `settings`.
    pub fn with_settings() -> Self {
        Self::shared_with(|options| {
            let namespace = options.namespace.clone().unwrap();
            options.config_maps = [Key { namespace, name: "settings".to_owned() }].into();
        })
    }

    fn shared_with(change: impl FnOnce(&mut SourceOptions)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("entry-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut options = SourceOptions {
            namespace: Some(namespace.clone()),
            node_selector: format!("role={namespace}"),
            ..SourceOptions::default()
        };
        change(&mut options);
        Tenant::new(ApiServer::shared().unwrap(), namespace, options)
    }
}

impl<'a> Tenant<'a> {
    /// With the roles for these options.
    pub fn new(server: &'a ApiServer, namespace: String, options: SourceOptions) -> Self {
        let name = format!("sparrow-entry-{namespace}");
        server.create_service_account(&namespace, &name).unwrap();
        let roles = entry_kube::roles(&name, &namespace, &options);
        let (group, account) = ("rbac.authorization.k8s.io", &namespace);
        let bind = |kind: &str, role: &str, namespace: Option<&str>| {
            let subject = json!([{ "kind": "ServiceAccount", "name": name, "namespace": account }]);
            let binding = json!({
                "apiVersion": format!("{group}/v1"), "kind": kind,
                "metadata": { "name": name, "namespace": namespace },
                "roleRef": { "apiGroup": group, "kind": role, "name": name }, "subjects": subject,
            });
            server.apply(&binding.to_string()).unwrap();
        };
        server.apply(&serde_json::to_string(&roles.cluster).unwrap()).unwrap();
        bind("ClusterRoleBinding", "ClusterRole", None);
        for role in &roles.namespaced {
            server.apply(&serde_json::to_string(role).unwrap()).unwrap();
            bind("RoleBinding", "Role", role.metadata.namespace.as_deref());
        }
        let token = server.service_account_token(&namespace, &name, &[]).unwrap();
        let kubeconfig = server.kubeconfig_for_token(&token).unwrap();
        Self { server, namespace, options, kubeconfig }
    }

    /// Where sparrow-entry is started by this account.
    pub fn bench(&self, program: &Program) -> Bench {
        let mut bench = Bench::without_source(program);
        bench.flag("--kubeconfig", self.kubeconfig.display().to_string());
        bench.flag("--lease-namespace", self.namespace.clone());
        bench.flag("--node-selector", self.options.node_selector.clone());
        for key in &self.options.config_maps {
            bench.flag("--config", format!("{}/{}", key.namespace, key.name));
        }
        if let Some(namespace) = &self.options.namespace {
            bench.flag("--namespace", namespace.clone());
            // Classes are the whole cluster's.
            bench.flag("--controller", format!("sparrow/{namespace}"));
        }
        bench
    }

    /// Makes or changes an object in the namespace.
    pub fn apply(&self, mut object: Value) {
        object["metadata"]["namespace"] = json!(self.namespace);
        self.server.apply(&object.to_string()).unwrap();
    }

    /// Removes an object.
    pub fn delete(&self, path: &str) {
        let path = path.replace("NS", &self.namespace);
        let (status, body) = self.server.request("DELETE", &path, None).unwrap();
        assert_eq!(status, 200, "{body}");
    }

    /// Reads something.
    pub fn read(&self, path: &str) -> Value {
        let path = path.replace("NS", &self.namespace);
        let (status, body) = self.server.request("GET", &path, None).unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// A class of the name of the namespace, whose Ingresses are this one's.
    pub fn class(&self) {
        let controller = match &self.options.namespace {
            Some(namespace) => format!("sparrow/{namespace}"),
            None => "sparrow/entry".to_owned(),
        };
        let class = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": { "name": self.namespace }, "spec": { "controller": controller },
        });
        self.server.apply(&class.to_string()).unwrap();
    }

    /// A Service at `/NAME`.
    pub fn service(&self, name: &str, port: u16) {
        self.apply(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "labels": { "sparrow/expose": "true" } },
            "spec": { "ports": [{ "port": port }] },
        }));
    }

    /// An Ingress for all of a host.
    pub fn ingress(&self, name: &str, host: &str, service: &str, port: u16) {
        self.ingress_with(name, host, service, port, None);
    }

    /// The same with the certificate of a Secret.
    pub fn ingress_with(&self, name: &str, host: &str, service: &str, port: u16, secret: Option<&str>) {
        let tls: Vec<Value> =
            secret.map(|secret| json!({ "hosts": [host], "secretName": secret })).into_iter().collect();
        let backend = json!({ "service": { "name": service, "port": { "number": port } } });
        self.apply(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": name },
            "spec": {
                "ingressClassName": self.namespace,
                "tls": tls,
                "rules": [{ "host": host, "http": { "paths": [
                    { "path": "/", "pathType": "Prefix", "backend": backend },
                ]}}],
            },
        }));
    }

    /// Gives the account the right to read a Secret.
    pub fn may_get_secret(&self, name: &str) {
        let group = "rbac.authorization.k8s.io";
        self.apply(json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": { "name": name },
            "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": [name] }],
        }));
        let account = format!("sparrow-entry-{}", self.namespace);
        self.apply(json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": group, "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": self.namespace }],
        }));
    }

    /// The addresses in an Ingress's status.
    pub fn addresses(&self, name: &str) -> Vec<String> {
        let object = self.read(&format!("/apis/networking.k8s.io/v1/namespaces/NS/ingresses/{name}"));
        let entries = object["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["ip"].as_str().unwrap().to_owned()).collect()
    }

    /// A Node that clients reach, with an external address and an internal one.
    pub fn node(&self, name: &str, address: &str, ready: bool) {
        let name = format!("{}-{name}", self.namespace);
        let (label, value) = self.options.node_selector.split_once('=').unwrap();
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": { label: value } },
        });
        self.server.apply(&node.to_string()).unwrap();
        let status = json!({ "status": {
            "addresses": [{ "type": "InternalIP", "address": "198.51.100.1" }, { "type": "ExternalIP", "address": address }],
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
        }});
        let path = format!("/api/v1/nodes/{name}/status");
        let (code, body) = self.server.request("PATCH", &path, Some(&status.to_string())).unwrap();
        assert_eq!(code, 200, "{body}");
    }

    /// What Events of sparrow-entry say: the name of the object, the reason and the note of each.
    pub fn events(&self) -> Vec<(String, String, String)> {
        let list = self.read("/apis/events.k8s.io/v1/namespaces/NS/events");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // The API server has things to say of Services now and then.
        let items =
            list["items"].as_array().unwrap().iter().filter(|event| event["reportingController"] == "sparrow/entry");
        items.map(|event| (text(&event["regarding"]["name"]), text(&event["reason"]), text(&event["note"]))).collect()
    }
}
