//! Who may write.

use std::time::{Duration, Instant};

use entry_kube::SourceOptions;
use entry_kube::lease::{Lease, LeaseTerms};
use serde_json::Value;
use testbed::daemon::Daemons as _;
use testbed::kube::{ApiServer, Daemon};
use tokio::time::timeout;

use crate::support::{PATIENCE, Tenant, with_kubeconfig};

fn terms(namespace: &str, name: &str) -> LeaseTerms {
    LeaseTerms {
        duration: Duration::from_secs(3),
        renew: Duration::from_millis(300),
        ..LeaseTerms::new(namespace, name)
    }
}

fn holder(tenant: &Tenant) -> Value {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/sparrow-entry", tenant.namespace);
    let (_, body) = tenant.server.request("GET", &path, None).unwrap();
    serde_json::from_str::<Value>(&body).unwrap()["spec"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lease_moves_to_second_replica() {
    let tenant = Tenant::new();
    let client = tenant.account("entry", &SourceOptions::default()).await;
    let a = Lease::start(client.clone(), terms(&tenant.namespace, "a"));
    timeout(PATIENCE, a.until(true)).await.unwrap();
    let b = Lease::start(client.clone(), terms(&tenant.namespace, "b"));
    // As long as one renews it, no other gets it.
    assert!(timeout(Duration::from_secs(5), b.until(true)).await.is_err());
    assert!(a.held());
    assert!(holder(&tenant)["holderIdentity"].as_str().unwrap().starts_with("a_"));
    // Given back: the other has it before it could have run out.
    let begun = Instant::now();
    a.release().await;
    timeout(PATIENCE, b.until(true)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(2900), "{:?}", begun.elapsed());
    let spec = holder(&tenant);
    assert!(spec["holderIdentity"].as_str().unwrap().starts_with("b_"));
    assert_eq!(spec["leaseTransitions"], 2);
    // One that dies gives nothing back.
    let (sender, receiver) = std::sync::mpsc::channel();
    b.release().await;
    let kubeconfig = tenant.server.admin_kubeconfig();
    let namespace = tenant.namespace.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let lease = Lease::start(with_kubeconfig(kubeconfig).await, terms(&namespace, "dies"));
                timeout(PATIENCE, lease.until(true)).await.unwrap();
                sender.send(()).unwrap();
                std::mem::forget(lease);
            });
            runtime.shutdown_background();
        });
    });
    receiver.recv().unwrap();
    let c = Lease::start(client, terms(&tenant.namespace, "c"));
    let begun = Instant::now();
    timeout(PATIENCE, c.until(true)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(2900), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holder_without_api_server_stops_before_the_lease_ends() {
    let server = ApiServer::start().unwrap();
    let client = with_kubeconfig(server.admin_kubeconfig()).await;
    let lease = Lease::start(client, terms("default", "a"));
    timeout(PATIENCE, lease.until(true)).await.unwrap();
    {
        let frozen = server.frozen(Daemon::ApiServer).unwrap();
        let begun = Instant::now();
        timeout(PATIENCE, lease.until(false)).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(3), "another could have it: {:?}", begun.elapsed());
        drop(frozen);
    }
    timeout(PATIENCE, lease.until(true)).await.unwrap();
}
