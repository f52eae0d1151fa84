//! What the tests share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use entry_kube::{SourceOptions, client};
use entry_model::{Key, Snapshot};
use kube::Client;
use serde_json::{Value, json};
use testbed::kube::ApiServer;
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

/// How long anything may take that has to happen.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The server that tests share.
pub fn shared() -> &'static ApiServer {
    ApiServer::shared().unwrap()
}

/// A namespace of one test.
pub struct Tenant {
    pub server: &'static ApiServer,
    pub namespace: String,
}

impl Tenant {
    pub fn new() -> Self {
        let server = shared();
        Self::on(server)
    }

    fn on(server: &'static ApiServer) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("kube-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        server
            .apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }).to_string())
            .unwrap();
        Self { server, namespace }
    }

    /// Only what is in the namespace, and nodes of this test.
    pub fn options(&self) -> SourceOptions {
        SourceOptions {
            namespace: Some(self.namespace.clone()),
            node_selector: format!("role={}", self.namespace),
            ..SourceOptions::default()
        }
    }

    pub async fn admin(&self) -> Client {
        client(Some(self.server.admin_kubeconfig())).await.unwrap()
    }

    pub fn apply(&self, mut object: Value) {
        object["metadata"]["namespace"] = json!(self.namespace);
        self.server.apply(&object.to_string()).unwrap();
    }

    pub fn delete(&self, path: &str) {
        let (status, body) = self.server.request("DELETE", &path.replace("NS", &self.namespace), None).unwrap();
        assert_eq!(status, 200, "{body}");
    }

    pub fn key(&self, name: &str) -> Key {
        Key { namespace: self.namespace.clone(), name: name.into() }
    }

    pub fn service(&self, name: &str, port: u16) {
        self.apply(service(name, port));
    }

    pub fn ingress(&self, name: &str) {
        self.apply(ingress(name));
    }

    /// The entries of an Ingress's status.
    pub fn status(&self, name: &str) -> Value {
        let path = format!("/apis/networking.k8s.io/v1/namespaces/{}/ingresses/{name}", self.namespace);
        let (status, body) = self.server.request("GET", &path, None).unwrap();
        assert_eq!(status, 200, "{body}");
        let object: Value = serde_json::from_str(&body).unwrap();
        object["status"]["loadBalancer"].get("ingress").cloned().unwrap_or(json!([]))
    }

    /// A node of this test, with an internal address.
    pub fn node(&self, name: &str, address: &str, ready: bool) {
        let name = format!("{}-{name}", self.namespace);
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { "role": self.namespace } },
        });
        self.server.apply(&node.to_string()).unwrap();
        let status = json!({ "status": {
            "addresses": [{ "type": "InternalIP", "address": address }, { "type": "Hostname", "address": name }],
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
        }});
        let path = format!("/api/v1/nodes/{name}/status");
        let (code, body) = self.server.request("PATCH", &path, Some(&status.to_string())).unwrap();
        assert_eq!(code, 200, "{body}");
    }

    /// A service account with these roles, and its client.
    pub async fn account(&self, name: &str, options: &SourceOptions) -> Client {
        let roles = entry_kube::roles(&format!("{}-{name}", self.namespace), &self.namespace, options);
        self.server.create_service_account(&self.namespace, name).unwrap();
        let subject = json!([{ "kind": "ServiceAccount", "name": name, "namespace": self.namespace }]);
        let group = "rbac.authorization.k8s.io";
        let role_name = format!("{}-{name}", self.namespace);
        self.server.apply(&serde_json::to_string(&roles.cluster).unwrap()).unwrap();
        let binding = json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": { "name": role_name },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": role_name }, "subjects": subject,
        });
        self.server.apply(&binding.to_string()).unwrap();
        for role in &roles.namespaced {
            let namespace = role.metadata.namespace.clone().unwrap();
            self.server.apply(&serde_json::to_string(role).unwrap()).unwrap();
            let binding = json!({
                "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
                "metadata": { "name": role_name, "namespace": namespace },
                "roleRef": { "apiGroup": group, "kind": "Role", "name": role_name }, "subjects": subject,
            });
            self.server.apply(&binding.to_string()).unwrap();
        }
        let token = self.server.service_account_token(&self.namespace, name, &[]).unwrap();
        with_kubeconfig(&self.server.kubeconfig_for_token(&token).unwrap()).await
    }
}

pub async fn with_kubeconfig(path: &Path) -> Client {
    client(Some(path)).await.unwrap()
}

pub fn service(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "labels": { "sparrow/expose": "true" } },
        // Headless ones take no address of the few that there are.
        "spec": { "clusterIP": "None", "ports": [{ "port": port }] },
    })
}

pub fn ingress(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": name },
        "spec": {
            "ingressClassName": "sparrow",
            "tls": [{ "secretName": "cert" }],
            "rules": [{ "http": { "paths": [
                { "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "a", "port": { "number": 80 } } } },
            ]}}],
        },
    })
}

/// Waits for a snapshot as wanted, and returns it.
pub async fn until(
    receiver: &mut Receiver<Option<Arc<Snapshot>>>,
    what: &str,
    wanted: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let found = receiver.wait_for(|snapshot| snapshot.as_ref().is_some_and(|snapshot| wanted(snapshot)));
    let found = timeout(PATIENCE, found).await.ok().and_then(|found| found.ok()?.clone());
    found.unwrap_or_else(|| panic!("{what}: {:?}", receiver.borrow()))
}

/// Waits until something is true.
pub async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(100)).await;
    }
}
