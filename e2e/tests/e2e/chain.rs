//! client → node port → nginx → Service → sparrow-rbd → Ceph.

use std::collections::BTreeSet;

use e2e::{NODE_PORT, POOLS, Site, pool_names, site, wait};

const PATH: &str = "/volume/api/v1/pools/";

#[test]
fn pools_through_all_parts() {
    let site = site();
    let site = site.as_ref().unwrap();
    let token = site.token("chain", "sparrow-rbd-viewer").unwrap();
    wait("the node port to answer", || Ok(site.client(NODE_PORT).get(PATH)?.status == 401)).unwrap();

    let answer = site.client(NODE_PORT).with_token(&token).get(PATH).unwrap().expect(200);
    let mut names = pool_names(&answer.json()).unwrap();
    names.sort();
    let mut expected = POOLS.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(answer.json()["APIVersion"], "v1");

    // Every node answers, also the one without nginx.
    for address in site.cluster.node_addresses() {
        let client = testbed::service::ApiClient::new(&format!("http://{address}:{NODE_PORT}")).with_token(&token);
        client.get(PATH).unwrap().expect(200);
    }

    let mut nginx = BTreeSet::new();
    let mut rbd = BTreeSet::new();
    wait("both replicas of both to receive traffic", || {
        // At once and on a connection each: the kernel chooses a pod per connection, and an nginx that is
        // asked again only after it has answered goes on with the connection that it kept.
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| site.client(NODE_PORT).with_token(&token).get(PATH).unwrap().expect(200));
            }
        });
        nginx.extend(served(site, "nginx-kit", "nginx", "\"uri\":\"/volume/api/v1/pools/\""));
        rbd.extend(answered(site));
        Ok(nginx.len() == 2 && rbd.len() == 2)
    })
    .unwrap();
}

/// The pods whose log has a line with this.
fn served(site: &Site, deployment: &str, container: &str, line: &str) -> Vec<String> {
    let pods = site.pods(deployment).unwrap();
    let names = pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned());
    names.filter(|name| site.kubectl_here(&["logs", name, "--container", container]).unwrap().contains(line)).collect()
}

/// The pods of the block storage API whose metrics count lists of pools.
fn answered(site: &Site) -> Vec<String> {
    let pods = site.pods("rbd-rest-api").unwrap();
    let addresses = pods.iter().map(|pod| pod["status"]["podIP"].as_str().unwrap().to_owned());
    addresses
        .filter(|address| {
            let metrics =
                testbed::service::ApiClient::new(&format!("http://{address}:8081")).get("/metrics").unwrap().text();
            metrics.lines().any(|line| line.starts_with("sparrow_rbd_requests_total{") && line.contains("\"/pools\""))
        })
        .collect()
}
