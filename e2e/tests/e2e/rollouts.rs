//! Nothing is lost while parts come and go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use e2e::{NODE_PORT, PATIENCE, Site, site, wait};
use testbed::daemon::Daemons as _;
use testbed::kube::Daemon;

const CLIENTS: usize = 4;

#[test]
fn a_rolling_update_loses_nothing() {
    let site = site();
    let site = site.as_ref().unwrap();
    under_load(site, || {
        site.kubectl_here(&["rollout", "restart", "deployment/rbd-rest-api", "deployment/nginx-kit"]).unwrap();
        site.wait_rollouts().unwrap();
    });
}

#[test]
fn deleted_pods_lose_nothing() {
    let site = site();
    let site = site.as_ref().unwrap();
    under_load(site, || {
        for deployment in ["nginx-kit", "rbd-rest-api"] {
            let pods = site.pods(deployment).unwrap();
            let name = pods[0]["metadata"]["name"].as_str().unwrap();
            site.kubectl_here(&["delete", "pod", name, "--wait=false"]).unwrap();
        }
        site.wait_rollouts().unwrap();
    });
}

#[test]
fn a_restart_of_the_api_server_loses_nothing() {
    let site = site();
    let site = site.as_ref().unwrap();
    under_load(site, || {
        site.cluster.api_server().restart_daemon(Daemon::ApiServer).unwrap();
        site.wait_rollouts().unwrap();
    });
}

/// Does something while clients with kept connections ask, each as soon as it has an answer; all must be 200.
fn under_load(site: &Site, work: impl FnOnce()) {
    let token = &site.token("load", "sparrow-rbd-viewer").unwrap();
    // Every replica must know the new token; the API server, which another test may just have restarted, tells it.
    let known = || -> anyhow::Result<bool> {
        Ok(site.client(NODE_PORT).with_token(token).get("/volume/api/v1/pools/")?.status == 200)
    };
    wait("every replica to know the token", || Ok((0..40).all(|_| matches!(known(), Ok(true))))).unwrap();
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    let lost: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (stop, asked) = (&stop, &asked);
                scope.spawn(move || {
                    let client = site.client(NODE_PORT).with_token(token);
                    let mut lost = Vec::new();
                    while !stop.load(Ordering::Relaxed) && started.elapsed() < PATIENCE * 2 {
                        asked.fetch_add(1, Ordering::Relaxed);
                        let at = started.elapsed();
                        match client.get("/volume/api/v1/pools/") {
                            Ok(answer) if answer.status == 200 => {}
                            Ok(answer) => {
                                lost.push(format!("client {number} at {at:?}: {} {}", answer.status, answer.text()));
                            }
                            Err(error) => lost.push(format!("client {number} at {at:?}: {error:#}")),
                        }
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    lost
                })
            })
            .collect();
        // A failure of the work must not leave the clients running.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            std::thread::sleep(Duration::from_millis(500));
            work();
            std::thread::sleep(Duration::from_millis(500));
        }));
        stop.store(true, Ordering::Relaxed);
        let lost = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
        lost
    });
    let asked = asked.into_inner();
    assert!(asked > 100, "only {asked} requests were made");
    assert!(lost.is_empty(), "{} of {asked} requests were lost:\n{}", lost.len(), lost.join("\n"));
}
