//! Listing and watching.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use entry_kube::{KubeSource, SourceOptions};
use entry_model::{BackendMode, Kind, LoadBalancerAddress, ServiceKind, Snapshot};
use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use testbed::daemon::Daemons as _;
use testbed::kube::{ApiServer, Daemon};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::support::{PATIENCE, Tenant, eventually, ingress, service, until, with_kubeconfig};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_follows_the_api_server() {
    let tenant = Tenant::new();
    tenant.service("a", 80);
    tenant.apply(json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": "cert" }, "stringData": { "tls.crt": "x", "tls.key": "y" } }));
    tenant.apply(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "other" } }));
    tenant.node("1", "192.0.2.1", true);
    let class = format!("{}-class", tenant.namespace);
    let class_object = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": class }, "spec": { "controller": "sparrow/entry" } });
    tenant.server.apply(&class_object.to_string()).unwrap();
    let client = tenant.admin().await;
    let once = KubeSource::read(client.clone(), &tenant.options()).await.unwrap();
    let mut receiver = KubeSource::watch(client, tenant.options());
    let first = until(&mut receiver, "the first", |_| true).await;
    // Other tests have classes of their own.
    assert_eq!((&first.services, &first.secrets, &first.nodes), (&once.services, &once.secrets, &once.nodes));
    let a = &first.services[&tenant.key("a")];
    assert_eq!((&a.kind, a.ports[0].port, a.meta.uid.len()), (&ServiceKind::Headless, 80, 36));
    assert!(a.meta.created > 1_600_000_000);
    assert_eq!(first.secrets.keys().map(|key| &**key).collect::<Vec<_>>(), [&tenant.key("cert")]);
    assert_eq!(first.secrets[&tenant.key("cert")].certificate, b"x");
    assert!(first.nodes.values().next().unwrap().ready);
    assert!(first.classes.keys().any(|key| key.name == class && key.namespace.is_empty()));
    // Change, creation, deletion.
    tenant.service("a", 81);
    until(&mut receiver, "a change", |new| new.services[&tenant.key("a")].ports[0].port == 81).await;
    tenant.ingress("web");
    let new = until(&mut receiver, "a creation", |new| new.ingresses.len() == 1).await;
    let web = &new.ingresses[&tenant.key("web")];
    assert_eq!((web.meta.generation, web.class.as_deref()), (1, Some("sparrow")));
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }, { "hostname": "h" }] } } });
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{}/ingresses/web/status", tenant.namespace);
    assert_eq!(tenant.server.request("PATCH", &path, Some(&status.to_string())).unwrap().0, 200);
    let wanted = [LoadBalancerAddress::Ip("192.0.2.7".parse().unwrap()), LoadBalancerAddress::Hostname("h".to_owned())];
    until(&mut receiver, "a status", |new| new.ingresses[&tenant.key("web")].addresses == wanted).await;
    tenant.delete("/api/v1/namespaces/NS/services/a");
    until(&mut receiver, "a deletion", |new| new.services.is_empty()).await;
    tenant.delete("/api/v1/namespaces/NS/secrets/cert");
    until(&mut receiver, "a deletion", |new| new.secrets.is_empty()).await;
    tenant.delete(&format!("/api/v1/nodes/{}-1", tenant.namespace));
    until(&mut receiver, "a deletion", |new| new.nodes.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_are_selected_by_label_without_ingresses() {
    let tenant = Tenant::new();
    tenant.service("a", 80);
    let mut plain = service("b", 80);
    plain["metadata"].as_object_mut().unwrap().remove("labels");
    tenant.apply(plain);
    tenant.ingress("web");
    let options = SourceOptions { ingresses: false, ..tenant.options() };
    let client = tenant.admin().await;
    let once = KubeSource::read(client.clone(), &options).await.unwrap();
    assert_eq!(once.services.keys().map(|key| &**key).collect::<Vec<_>>(), [&tenant.key("a")]);
    assert!(once.ingresses.is_empty() && once.classes.is_empty());
    let mut receiver = KubeSource::watch(client, options);
    assert_eq!(*until(&mut receiver, "the first", |_| true).await, once);
    // The label is taken off.
    let path = format!("/api/v1/namespaces/{}/services/a", tenant.namespace);
    let body = json!({ "metadata": { "labels": { "sparrow/expose": null } } }).to_string();
    assert_eq!(tenant.server.request("PATCH", &path, Some(&body)).unwrap().0, 200);
    until(&mut receiver, "not exposed", |new| new.services.is_empty()).await;
}

/// A slice of the Service `a` with a ready endpoint.
fn slice(address: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "a-1", "labels": { "kubernetes.io/service-name": "a" } },
        "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }],
        "ports": [{ "port": 8080 }],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoint_slices_are_read_when_the_first_object_asks_for_them() {
    let tenant = Tenant::new();
    tenant.service("a", 80);
    tenant.apply(slice("10.1.0.1"));
    let client = tenant.account("some", &tenant.options()).await;
    let once = KubeSource::read(client.clone(), &tenant.options()).await.unwrap();
    assert!(once.endpoint_slices.is_empty(), "nobody asks for them");
    let mut receiver = KubeSource::watch(client.clone(), tenant.options());
    assert_eq!(*until(&mut receiver, "the first", |_| true).await, once);
    // All snapshots in which one asks for them have them.
    let mut asking = service("a", 80);
    asking["metadata"]["annotations"] = json!({ "sparrow/backends": "endpoints" });
    tenant.apply(asking);
    let asks = |new: &Snapshot| !new.services[&tenant.key("a")].meta.annotations.is_empty();
    let new = until(&mut receiver, "a Service that asks", asks).await;
    let address = |snapshot: &Snapshot| snapshot.endpoint_slices[&tenant.key("a-1")].endpoints[0].address.to_string();
    assert_eq!(address(&new), "10.1.0.1");
    assert_eq!(*new, KubeSource::read(client, &tenant.options()).await.unwrap());
    tenant.apply(slice("10.1.0.2"));
    until(&mut receiver, "a change", |new| address(new) == "10.1.0.2").await;
    tenant.delete("/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices/a-1");
    until(&mut receiver, "a deletion", |new| new.endpoint_slices.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoint_slices_are_read_from_the_beginning_for_endpoints() {
    let tenant = Tenant::new();
    tenant.apply(slice("10.1.0.1"));
    let options = SourceOptions { backends: BackendMode::Endpoints, ..tenant.options() };
    let client = tenant.account("some", &options).await;
    let once = KubeSource::read(client.clone(), &options).await.unwrap();
    assert_eq!(once.endpoint_slices.len(), 1);
    let mut receiver = KubeSource::watch(client, options);
    assert_eq!(*until(&mut receiver, "the first", |_| true).await, once);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_when_endpoint_slices_may_not_be_read() {
    let tenant = Tenant::new();
    let options = SourceOptions { go_without: false, ..tenant.options() };
    let client = tenant.account("some", &options).await;
    // A role of an earlier version.
    let role = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles/{}-some", tenant.namespace);
    let (_, body) = tenant.server.request("GET", &role.replace("NS", &tenant.namespace), None).unwrap();
    let mut body: Value = serde_json::from_str(&body).unwrap();
    body["rules"].as_array_mut().unwrap().retain(|rule| rule["resources"] != json!(["endpointslices"]));
    let change = json!({ "rules": body["rules"] }).to_string();
    let path = role.replace("NS", &tenant.namespace);
    assert_eq!(tenant.server.request("PATCH", &path, Some(&change)).unwrap().0, 200);
    let mut asking = service("a", 80);
    asking["metadata"]["annotations"] = json!({ "sparrow/backends": "endpoints" });
    tenant.apply(asking);
    let watching = KubeSource::start(client.clone(), options.clone());
    let (mut receiver, mut errors) = (watching.snapshots, watching.errors);
    until(&mut receiver, "without slices", |new| new.services.len() == 1).await;
    let told = timeout(PATIENCE, errors.wait_for(|errors| errors.contains_key(&Kind::EndpointSlice)));
    let told = told.await.unwrap().unwrap()[&Kind::EndpointSlice].clone();
    assert!(told.contains(r#"resources ["endpointslices"], verbs ["list", "watch"]"#), "{told}");
    let once = KubeSource::read(client, &options).await.unwrap();
    assert_eq!((once.services.len(), once.endpoint_slices.len()), (1, 0));
    tenant.service("b", 80);
    until(&mut receiver, "another Service", |new| new.services.len() == 2).await;
}

/// Creates objects, many at a time.
async fn create<K>(api: Api<K>, objects: Vec<K>)
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let done = stream::iter(objects).map(async |object| api.create(&PostParams::default(), &object).await.unwrap());
    done.buffer_unordered(16).for_each(|_| async {}).await;
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_objects_of_a_kind_are_read() {
    // The others are not slowed down by it.
    let server = ApiServer::start().unwrap();
    let client = with_kubeconfig(server.admin_kubeconfig()).await;
    let count = 5000;
    let services = (0..count).map(|number| serde_json::from_value(service(&format!("s{number}"), 80)).unwrap());
    create(Api::<Service>::namespaced(client.clone(), "default"), services.collect()).await;
    let ingresses = (0..count).map(|number| serde_json::from_value(ingress(&format!("i{number}"))).unwrap());
    let api = Api::<k8s_openapi::api::networking::v1::Ingress>::namespaced(client.clone(), "default");
    create(api, ingresses.collect()).await;
    let before = resident();
    let options = SourceOptions::default();
    let begun = Instant::now();
    let mut receiver = KubeSource::watch(client.clone(), options.clone());
    let all = until(&mut receiver, "all", |new| new.ingresses.len() == count).await;
    let more = resident().saturating_sub(before);
    eprintln!("followed after {:?}, {} KiB more", begun.elapsed(), more >> 10);
    assert!(more < 64 << 20, "{more} bytes");
    assert_eq!(all.services.len(), count + 1, "with the Service `kubernetes`");
    let begun = Instant::now();
    let once = KubeSource::read(client.clone(), &options).await.unwrap();
    eprintln!("read after {:?}", begun.elapsed());
    assert_eq!(*all, once);
    // A burst is folded, and its end arrives.
    let api = Api::<Service>::namespaced(client, "default");
    let more = (0..500).map(|number| serde_json::from_value(service(&format!("t{number}"), 80)).unwrap());
    receiver.mark_unchanged();
    let mut counting = receiver.clone();
    let counter = tokio::spawn(async move {
        let mut seen = 0;
        while counting.changed().await.is_ok() {
            seen += 1;
            if counting.borrow_and_update().as_ref().is_some_and(|new| new.services.len() == count + 501) {
                return seen;
            }
        }
        seen
    });
    create(api, more.collect()).await;
    let seen = timeout(Duration::from_secs(20), counter).await.unwrap().unwrap();
    assert!(seen < 500, "{seen} snapshots");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_stays_while_the_api_server_is_gone() {
    let server = ApiServer::start().unwrap();
    server.apply(&service("a", 80).to_string()).unwrap();
    let watching = KubeSource::start(with_kubeconfig(server.admin_kubeconfig()).await, SourceOptions::default());
    let mut receiver = watching.snapshots.clone();
    let mut errors = watching.errors.clone();
    until(&mut receiver, "the first", |new| new.services.len() == 2).await;
    let before = receiver.borrow().clone();
    for crash in [false, true] {
        if crash {
            server.kill_daemon(Daemon::ApiServer).unwrap();
        } else {
            server.stop_daemon(Daemon::ApiServer).unwrap();
        }
        let told = errors.wait_for(|errors| errors.contains_key(&Kind::Service));
        drop(timeout(Duration::from_secs(60), told).await.unwrap().unwrap());
        sleep(Duration::from_secs(2)).await;
        assert_eq!(*receiver.borrow(), before, "what was known is kept");
        server.start_daemon(Daemon::ApiServer).unwrap();
        let over = errors.wait_for(|errors| errors.is_empty());
        drop(timeout(Duration::from_secs(60), over).await.unwrap().unwrap());
    }
    server.apply(&service("b", 80).to_string()).unwrap();
    until(&mut receiver, "after it", |new| new.services.len() == 3).await;
    // etcd alone.
    server.restart_daemon(Daemon::Etcd).unwrap();
    server.apply(&service("c", 80).to_string()).unwrap();
    until(&mut receiver, "after etcd", |new| new.services.len() == 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_api_server_is_reported() {
    let server = ApiServer::start().unwrap();
    let watching = KubeSource::start(with_kubeconfig(server.admin_kubeconfig()).await, SourceOptions::default());
    let (mut receiver, mut errors) = (watching.snapshots, watching.errors);
    until(&mut receiver, "the first", |new| new.services.len() == 1).await;
    {
        // Connections stay open: only the silence shows it. Long before a watch should have ended, which is after a minute.
        let frozen = server.frozen(Daemon::ApiServer).unwrap();
        let told = errors.wait_for(|errors| errors.contains_key(&Kind::Service));
        drop(timeout(Duration::from_secs(40), told).await.unwrap().unwrap());
        drop(frozen);
    }
    server.apply(&service("a", 80).to_string()).unwrap();
    until(&mut receiver, "after it", |new| new.services.len() == 2).await;
    drop(timeout(Duration::from_secs(60), errors.wait_for(|errors| errors.is_empty())).await.unwrap().unwrap());
}

/// Passes connections on to an address as long as it is open; closing it cuts them.
struct Pass {
    address: SocketAddr,
    open: Arc<AtomicBool>,
    /// How many connections there are.
    count: Arc<AtomicUsize>,
}

impl Pass {
    async fn start(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let open = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&open);
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut inner, _)) = listener.accept().await {
                let (flag, counter) = (Arc::clone(&flag), Arc::clone(&counter));
                tokio::spawn(async move {
                    counter.fetch_add(1, Ordering::Relaxed);
                    let closed = async {
                        while flag.load(Ordering::Relaxed) {
                            sleep(Duration::from_millis(20)).await;
                        }
                    };
                    let pass = async {
                        let mut outer = TcpStream::connect(to).await?;
                        tokio::io::copy_bidirectional(&mut inner, &mut outer).await
                    };
                    tokio::select! {
                        () = closed => {}
                        _ = pass => {}
                    }
                    counter.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Ok(Self { address, open, count })
    }
}

/// Asks etcd by its JSON gateway.
fn etcd(server: &ApiServer, path: &str, body: &Value) -> Value {
    let output = Command::new("curl")
        .args(["-q", "--silent", "--show-error", "--max-time", "10", "--unix-socket"])
        .arg(server.dir().join("etcd.sock:1"))
        .args(["--data", &body.to_string(), &format!("http://localhost{path}")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)))
}

fn kubeconfig_through(server: &ApiServer, pass: &Pass, path: &Path) {
    let text = fs::read_to_string(server.admin_kubeconfig()).unwrap();
    fs::write(path, text.replace(server.url(), &format!("https://{}", pass.address))).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compacted_history_is_listed_anew() {
    let server = ApiServer::start().unwrap();
    for name in ["a", "b"] {
        server.apply(&service(name, 80).to_string()).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kubeconfig");
    let pass = Pass::start(server.url().trim_start_matches("https://").parse().unwrap()).await.unwrap();
    kubeconfig_through(&server, &pass, &file);
    let mut receiver = KubeSource::watch(with_kubeconfig(&file).await, SourceOptions::default());
    until(&mut receiver, "the first", |new| new.services.len() == 3).await;
    pass.open.store(false, Ordering::Relaxed);
    sleep(Duration::from_millis(200)).await;
    // While it is cut off: a deletion, a creation, and all history is thrown away.
    let (_, list) = server.request("GET", "/api/v1/services?limit=1", None).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    assert_eq!(server.request("DELETE", "/api/v1/namespaces/default/services/a", None).unwrap().0, 200);
    server.apply(&service("c", 81).to_string()).unwrap();
    let revision = etcd(&server, "/v3/kv/range", &json!({ "key": "AA==" }))["header"]["revision"].clone();
    let answer = etcd(&server, "/v3/kv/compaction", &json!({ "revision": revision, "physical": true }));
    assert!(answer["header"].is_object(), "{answer}");
    server.restart_daemon(Daemon::ApiServer).unwrap();
    let watch = format!("/api/v1/services?watch=1&resourceVersion={version}&timeoutSeconds=2");
    let (status, answer) = server.request("GET", &watch, None).unwrap();
    assert!(status == 410 || answer.contains("410"), "its history is still there: {status} {answer}");
    pass.open.store(true, Ordering::Relaxed);
    let key = |name: &str| entry_model::Key { namespace: "default".into(), name: name.into() };
    let new = until(&mut receiver, "listed anew", |new| new.services.contains_key(&key("c"))).await;
    assert!(!new.services.contains_key(&key("a")) && new.services.contains_key(&key("b")));
    // And it is followed again.
    server.apply(&service("d", 81).to_string()).unwrap();
    until(&mut receiver, "followed", |new| new.services.contains_key(&key("d"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_ends_when_the_receiver_is_dropped() {
    let tenant = Tenant::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kubeconfig");
    let pass = Pass::start(tenant.server.url().trim_start_matches("https://").parse().unwrap()).await.unwrap();
    kubeconfig_through(tenant.server, &pass, &file);
    let mut receiver = KubeSource::watch(with_kubeconfig(&file).await, tenant.options());
    until(&mut receiver, "the first", |_| true).await;
    assert!(pass.count.load(Ordering::Relaxed) > 0);
    drop(receiver);
    eventually("no connection is left", || pass.count.load(Ordering::Relaxed) == 0).await;
}
