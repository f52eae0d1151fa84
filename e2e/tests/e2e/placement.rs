//! Which nodes pods are on, and which addresses Ingresses have.

use e2e::{Site, site, wait};
use serde_json::Value;
use testbed::service::ApiClient;

const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: placed, namespace: sparrow}
spec:
  ingressClassName: sparrow
  defaultBackend: {service: {name: rbd-rest-api, port: {name: http}}}
  rules: [{host: placed.example}]
";

#[test]
fn follow_labels() {
    let site = site();
    let site = site.as_ref().unwrap();
    let [first, second] = site.cluster.node_addresses()[..] else { panic!("two nodes") };
    assert_eq!(nodes(site, "nginx-kit"), ["node-1", "node-1"]);
    assert_eq!(nodes(site, "rbd-rest-api"), ["node-1", "node-2"]);

    site.apply_yaml(INGRESS).unwrap();
    has_addresses(site, &[first.to_string()]);
    site.kubectl(&["label", "node/node-2", "role=entry"]).unwrap();
    has_addresses(site, &[first.to_string(), second.to_string()]);
    site.kubectl(&["label", "node/node-1", "role-"]).unwrap();
    has_addresses(site, &[second.to_string()]);

    // Running pods stay, new ones go where the label is.
    assert_eq!(nodes(site, "nginx-kit"), ["node-1", "node-1"]);
    site.kubectl_here(&["rollout", "restart", "deployment/nginx-kit"]).unwrap();
    site.wait_rollouts().unwrap();
    assert_eq!(nodes(site, "nginx-kit"), ["node-2", "node-2"]);

    // With the label on no node a pod has no place.
    site.kubectl(&["label", "node/node-2", "role-"]).unwrap();
    site.kubectl_here(&["scale", "deployment/nginx-kit", "--replicas=3"]).unwrap();
    wait("a pod without a place", || {
        let pods = site.pods("nginx-kit")?;
        Ok(pods.iter().any(|pod| pod["status"]["conditions"][0]["reason"] == "Unschedulable"))
    })
    .unwrap();
    site.kubectl(&["label", "node/node-1", "role=entry"]).unwrap();
    site.kubectl_here(&["scale", "deployment/nginx-kit", "--replicas=2"]).unwrap();
    site.kubectl_here(&["rollout", "restart", "deployment/nginx-kit"]).unwrap();
    site.wait_rollouts().unwrap();
    assert_eq!(nodes(site, "nginx-kit"), ["node-1", "node-1"]);
    has_addresses(site, &[first.to_string()]);
    site.kubectl_here(&["delete", "ingress/placed"]).unwrap();
}

/// The test plays the part of the cloud: it gives the Service an address, from a range for documentation.
#[test]
fn a_load_balancer_is_where_ingresses_are() {
    const BALANCER: &str = "203.0.113.80";
    let site = site();
    let site = site.as_ref().unwrap();
    let first = site.cluster.node_addresses()[0].to_string();
    site.apply_yaml(INGRESS).unwrap();
    has_addresses(site, std::slice::from_ref(&first));
    site.apply("overlays/load-balancer").unwrap();
    site.wait_rollouts().unwrap();
    // Nothing is taken out of DNS before there is something to put in.
    has_addresses(site, std::slice::from_ref(&first));
    let status = format!(r#"{{"status":{{"loadBalancer":{{"ingress":[{{"ip":"{BALANCER}"}}]}}}}}}"#);
    site.kubectl_here(&["patch", "service/nginx-kit", "--subresource=status", "--type=merge", "--patch", &status])
        .unwrap();
    has_addresses(site, &[BALANCER.to_owned()]);

    // What goes to that address comes to nginx, at the ports that clients know.
    let output = site.cluster.command("ip").args(["route", "add", BALANCER, "dev", "node0"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let client = ApiClient::new(&format!("http://{BALANCER}"));
    wait("the balancer to lead to nginx", || Ok(client.get("/volume/api/v1/pools/")?.status == 401)).unwrap();

    site.restore().unwrap();
    has_addresses(site, &[first]);
    site.kubectl_here(&["delete", "ingress/placed"]).unwrap();
}

fn has_addresses(site: &Site, expected: &[String]) {
    wait(&format!("the addresses {expected:?}"), || {
        let ingress = site.json(&["get", "ingress/placed"])?;
        let mut addresses: Vec<String> = ingress["status"]["loadBalancer"]["ingress"]
            .as_array()
            .map(|all| all.iter().filter_map(|one| one["ip"].as_str().map(str::to_owned)).collect())
            .unwrap_or_default();
        addresses.sort();
        Ok(addresses == expected)
    })
    .unwrap();
}

fn nodes(site: &Site, deployment: &str) -> Vec<String> {
    let name = |pod: &Value| pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
    let mut nodes: Vec<String> = site.pods(deployment).unwrap().iter().map(name).collect();
    nodes.sort();
    nodes
}
