//! What is written back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use entry_kube::lease::{Lease, LeaseTerms};
use entry_kube::status::{ClusterWriter, JudgedSnapshot, WriteCounters};
use entry_kube::{KubeSource, SourceOptions};
use entry_model::{Acceptance, Finding, Key, Kind, ObjectRef, Reason, Snapshot, Verdict, Verdicts};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::{PATIENCE, Tenant, eventually, service};

fn verdict(acceptance: Acceptance, message: &str) -> Verdict {
    let field = "spec.rules[0].host".to_owned();
    let finding = Finding { field, reason: Reason::Invalid, message: message.to_owned(), is_loss: true };
    let findings = if acceptance == Acceptance::Accepted { Vec::new() } else { vec![finding] };
    Verdict::new(1, acceptance, findings)
}

/// What a test says of the Ingresses; those it says nothing of are accepted.
type Say = Arc<dyn Fn(&ObjectRef) -> Option<Verdict> + Send + Sync>;

fn accept() -> Say {
    Arc::new(|_| Some(verdict(Acceptance::Accepted, "")))
}

fn judge(snapshot: &Arc<Snapshot>, say: &Say) -> JudgedSnapshot {
    let objects = snapshot.ingresses.values().map(|ingress| ingress.meta.object(Kind::Ingress));
    let verdicts: Verdicts = objects.filter_map(|object| Some((object.clone(), say(&object)?))).collect();
    JudgedSnapshot { snapshot: Arc::clone(snapshot), verdicts: Arc::new(verdicts), host_owners: Arc::default() }
}

/// A replica: source, lease, writer, with the rights that are shipped.
struct Replica {
    say: watch::Sender<Say>,
    counters: Arc<WriteCounters>,
    tasks: [JoinHandle<()>; 2],
}

impl Replica {
    async fn start(tenant: &Tenant, name: &str, say: Say) -> Self {
        Self::start_publishing(tenant, name, say, None).await
    }

    async fn start_publishing(tenant: &Tenant, name: &str, say: Say, service: Option<Key>) -> Self {
        let options: SourceOptions = tenant.options();
        let client = tenant.account(name, &options).await;
        let mut snapshots = KubeSource::watch(client.clone(), options);
        let terms = LeaseTerms {
            duration: Duration::from_secs(3),
            renew: Duration::from_millis(300),
            ..LeaseTerms::new(&tenant.namespace, name)
        };
        let lease = Lease::start(client.clone(), terms);
        let writer = ClusterWriter::new(client, lease, service);
        let counters = writer.counters();
        let (judged, receiver) = watch::channel(None);
        let (say, mut said) = watch::channel(say);
        let judging = tokio::spawn(async move {
            loop {
                let snapshot = snapshots.borrow_and_update().clone();
                let say = said.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    judged.send_replace(Some(judge(&snapshot, &say)));
                }
                tokio::select! {
                    changed = snapshots.changed() => if changed.is_err() { return },
                    changed = said.changed() => if changed.is_err() { return },
                }
            }
        });
        let tasks = [judging, tokio::spawn(writer.run(receiver))];
        Self { say, counters, tasks }
    }

    /// In good order, as by SIGTERM.
    async fn stop(self) {
        drop(self.say);
        for task in self.tasks {
            timeout(PATIENCE, task).await.unwrap().unwrap();
        }
    }

    fn written(&self) -> u64 {
        self.counters.written.load(Ordering::Relaxed)
    }
}

fn put_status(tenant: &Tenant, name: &str, entries: &Value) {
    put_status_at(
        tenant,
        &format!("apis/networking.k8s.io/v1/namespaces/{}/ingresses/{name}", tenant.namespace),
        entries,
    );
}

fn put_status_at(tenant: &Tenant, object: &str, entries: &Value) {
    let status = json!({ "status": { "loadBalancer": { "ingress": entries } } });
    let path = format!("/{object}/status");
    let (code, body) = tenant.server.request("PATCH", &path, Some(&status.to_string())).unwrap();
    assert_eq!(code, 200, "{body}");
}

fn ips(addresses: &[&str]) -> Value {
    addresses.iter().map(|address| json!({ "ip": address })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingress_status_follows_node_addresses() {
    let tenant = Tenant::new();
    tenant.node("1", "192.0.2.1", true);
    tenant.node("2", "192.0.2.2", true);
    tenant.node("3", "192.0.2.3", false);
    tenant.ingress("web");
    let a = Replica::start(&tenant, "a", accept()).await;
    eventually("written", || tenant.status("web") == ips(&["192.0.2.1", "192.0.2.2"])).await;
    let b = Replica::start(&tenant, "b", accept()).await;
    // Another controller adds an entry of its own.
    let foreign = json!({ "hostname": "lb.example", "ports": [{ "port": 443, "protocol": "TCP" }] });
    let mut entries = vec![foreign.clone()];
    entries.extend(ips(&["192.0.2.1", "192.0.2.2"]).as_array().unwrap().clone());
    put_status(&tenant, "web", &json!(entries));
    tenant.node("3", "192.0.2.3", true);
    tenant.delete(&format!("/api/v1/nodes/{}-1", tenant.namespace));
    let wanted = json!([foreign, { "ip": "192.0.2.2" }, { "ip": "192.0.2.3" }]);
    eventually("followed", || tenant.status("web") == wanted).await;
    // Nothing is written without need.
    sleep(Duration::from_secs(3)).await;
    let before = a.written();
    sleep(Duration::from_secs(7)).await;
    assert_eq!((a.written(), b.written()), (before, 0));
    // The holder stops and a node leaves: the next one knows what the first has written.
    a.stop().await;
    assert_eq!(tenant.status("web"), wanted, "a restart empties nothing");
    tenant.delete(&format!("/api/v1/nodes/{}-2", tenant.namespace));
    let wanted = json!([foreign, { "ip": "192.0.2.3" }]);
    eventually("the next", || tenant.status("web") == wanted).await;
    eventually("counted", || b.written() > 0).await;
    // No node is ready: what is there stays, and nothing is emptied for a bad minute.
    tenant.node("3", "192.0.2.3", false);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(tenant.status("web"), wanted);
    // It leads where it may lead somewhere, also for one that is new to it.
    tenant.node("4", "192.0.2.4", false);
    let wanted = json!([foreign, { "ip": "192.0.2.3" }, { "ip": "192.0.2.4" }]);
    eventually("all of them", || tenant.status("web") == wanted).await;
    // It goes to another controller: only that one's entry stays.
    b.say.send_replace(Arc::new(|_| None));
    eventually("given away", || tenant.status("web") == json!([foreign])).await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingress_status_has_addresses_of_the_published_service() {
    let tenant = Tenant::new();
    tenant.node("1", "192.0.2.1", true);
    tenant.ingress("web");
    let nodes = Replica::start(&tenant, "a", accept()).await;
    eventually("the node's", || tenant.status("web") == ips(&["192.0.2.1"])).await;
    nodes.stop().await;
    // The entry is given a balancer, which takes a while to come.
    let mut service = service("lb", 80);
    service["spec"]["type"] = json!("LoadBalancer");
    service["spec"].as_object_mut().unwrap().remove("clusterIP");
    tenant.apply(service);
    let object = format!("api/v1/namespaces/{}/services/lb", tenant.namespace);
    let replica = Replica::start_publishing(&tenant, "b", accept(), Some(tenant.key("lb"))).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(tenant.status("web"), ips(&["192.0.2.1"]), "nothing is taken out of DNS for nothing");
    let both = json!([{ "ip": "198.51.100.7" }, { "hostname": "lb.example" }]);
    put_status_at(&tenant, &object, &both);
    eventually("the balancer's", || tenant.status("web") == both).await;
    put_status_at(&tenant, &object, &ips(&["198.51.100.8"]));
    eventually("followed", || tenant.status("web") == ips(&["198.51.100.8"])).await;
    // Nodes are no concern of it any more, nor is the end of the Service.
    tenant.node("2", "192.0.2.2", true);
    tenant.delete(&format!("/{object}"));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(tenant.status("web"), ips(&["198.51.100.8"]));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_served_ingresses_get_an_address() {
    let tenant = Tenant::new();
    tenant.node("1", "192.0.2.1", true);
    for name in ["good", "half", "bad", "foreign", "right"] {
        tenant.ingress(name);
    }
    put_status(&tenant, "right", &ips(&["192.0.2.1"]));
    put_status(&tenant, "foreign", &ips(&["192.0.2.1", "192.0.2.99"]));
    let say: Say = Arc::new(|object| match object.key.name.as_str() {
        "half" => Some(verdict(Acceptance::Partial, "x")),
        "bad" => Some(verdict(Acceptance::Rejected, "x")),
        "foreign" => None,
        _ => Some(verdict(Acceptance::Accepted, "")),
    });
    let replica = Replica::start(&tenant, "a", say).await;
    for name in ["good", "half"] {
        eventually(name, || tenant.status(name) == ips(&["192.0.2.1"])).await;
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(tenant.status("bad"), json!([]));
    assert_eq!(tenant.status("foreign"), ips(&["192.0.2.1", "192.0.2.99"]));
    assert_eq!(replica.written(), 2);
    // What had an address and is rejected from now on keeps it, and follows the nodes.
    replica.say.send_replace(Arc::new(|_| Some(verdict(Acceptance::Rejected, "y"))));
    tenant.node("2", "192.0.2.2", true);
    eventually("rejected", || tenant.status("good") == ips(&["192.0.2.1", "192.0.2.2"])).await;
    assert_eq!(tenant.status("bad"), json!([]));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_writes_are_retried() {
    let tenant = Tenant::new();
    tenant.node("1", "192.0.2.1", true);
    tenant.ingress("web");
    let replica = Replica::start(&tenant, "a", accept()).await;
    eventually("written", || tenant.status("web") == ips(&["192.0.2.1"])).await;
    // The rights to write are taken away.
    let mut role = entry_kube::roles(&format!("{}-a", tenant.namespace), &tenant.namespace, &tenant.options());
    let role = role.namespaced.first_mut().unwrap();
    role.rules.as_mut().unwrap().retain(|rule| !rule.verbs.iter().any(|verb| verb == "patch"));
    tenant.server.apply(&serde_json::to_string(&role).unwrap()).unwrap();
    sleep(Duration::from_secs(2)).await;
    tenant.node("1", "192.0.2.7", true);
    eventually("failed", || replica.counters.failed.load(Ordering::Relaxed) > 0).await;
    assert_eq!(tenant.status("web"), ips(&["192.0.2.1"]));
    tenant.account("a", &tenant.options()).await;
    eventually("tried again", || tenant.status("web") == ips(&["192.0.2.7"])).await;
    replica.stop().await;
}

/// All events of the namespace: the object's name, type, reason and note.
fn events(tenant: &Tenant) -> Vec<(String, String, String, String)> {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", tenant.namespace);
    let (_, body) = tenant.server.request("GET", &path, None).unwrap();
    let list: Value = serde_json::from_str(&body).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut events: Vec<_> = list["items"].as_array().unwrap().iter().collect();
    events.sort_by_key(|event| text(&event["eventTime"]));
    for event in &events {
        assert_eq!(event["regarding"]["kind"], "Ingress");
        assert_eq!(event["regarding"]["apiVersion"], "networking.k8s.io/v1");
        assert_eq!(text(&event["regarding"]["uid"]).len(), 36);
        assert_eq!(event["reportingController"], "sparrow/entry");
    }
    let row = |event: &&Value| {
        (text(&event["regarding"]["name"]), text(&event["type"]), text(&event["reason"]), text(&event["note"]))
    };
    events.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_is_written_when_a_verdict_changes() {
    let tenant = Tenant::new();
    for name in ["good", "bad"] {
        tenant.ingress(name);
    }
    let long = "é".repeat(2000);
    let said = |name: &'static str, acceptance: Acceptance, message: String| -> Say {
        Arc::new(move |object| {
            let told = object.key.name == name;
            Some(if told { verdict(acceptance, &message) } else { verdict(Acceptance::Accepted, "") })
        })
    };
    let replica = Replica::start(&tenant, "a", said("bad", Acceptance::Rejected, "no \"good\"".into())).await;
    eventually("rejected", || events(&tenant).len() == 1).await;
    let event = |name: &str, reason: &str, note: &str| {
        let type_ = if reason == "Accepted" { "Normal" } else { "Warning" };
        (name.to_owned(), type_.to_owned(), reason.to_owned(), note.to_owned())
    };
    let first = event("bad", "Rejected", "spec.rules[0].host: no \"good\" (Invalid)");
    assert_eq!(events(&tenant), std::slice::from_ref(&first), "what was served before is no news");
    replica.say.send_replace(said("bad", Acceptance::Partial, long));
    eventually("partly", || events(&tenant).len() == 2).await;
    let note = events(&tenant)[1].3.clone();
    assert!(note.len() <= 1024 && note.len() > 1000 && note.ends_with('é'), "{}", note.len());
    replica.say.send_replace(accept());
    eventually("accepted", || events(&tenant).len() == 3).await;
    assert_eq!(events(&tenant)[2], event("bad", "Accepted", "All of it is served."));
    // A name as long as names can be.
    let name = format!("{}.{}", "n".repeat(63), ["m"; 3].map(|part| part.repeat(62)).join("."));
    tenant.ingress(&name);
    eventually("a new one", || events(&tenant).len() == 4).await;
    assert_eq!(events(&tenant)[3], event(&name, "Accepted", "All of it is served."));
    // A new generation with the same verdict is no news.
    let again: Say = Arc::new(|_| Some(Verdict { observed_generation: 9, ..verdict(Acceptance::Accepted, "") }));
    replica.say.send_replace(again);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(events(&tenant).len(), 4);
    let count: BTreeMap<&str, u64> = [
        ("events", replica.counters.events.load(Ordering::Relaxed)),
        ("failed", replica.counters.failed.load(Ordering::Relaxed)),
    ]
    .into();
    assert_eq!(count, BTreeMap::from([("events", 4), ("failed", 0)]));
    replica.stop().await;
}
