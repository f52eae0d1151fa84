//! Services and Ingresses that come and go.

use std::collections::BTreeMap;

use e2e::{NODE_PORT, Site, site, wait};
use serde_json::Value;
use testbed::service::ApiClient;

/// Answered by the block storage API to everybody.
const DOCUMENT: &str = "/openapi.json";

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata:
  name: second
  namespace: sparrow
  labels: {sparrow/expose: 'true'}
  annotations: {sparrow/path: /second}
spec:
  selector: {app.kubernetes.io/name: rbd-rest-api}
  ports: [{name: http, port: 80, targetPort: http}]
";

const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: sparrow}
spec:
  ingressClassName: sparrow
  rules:
    - host: shop.example
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: rbd-rest-api, port: {name: http}}}
";

#[test]
fn come_and_go_without_a_restart() {
    let site = site();
    let site = site.as_ref().unwrap();
    let before = containers(site);
    wait("no /second", || Ok(status(site, "/second/openapi.json", None) == 404)).unwrap();
    assert_eq!(status(site, DOCUMENT, Some("shop.example")), 404);

    site.apply_yaml(SERVICE).unwrap();
    site.apply_yaml(INGRESS).unwrap();
    steady(site, "the Service", || status(site, "/second/openapi.json", None) == 200);
    steady(site, "the Ingress", || status(site, DOCUMENT, Some("shop.example")) == 200);
    // Other hosts have no such route, and the first Service is where it was.
    assert_eq!(status(site, DOCUMENT, Some("other.example")), 404);
    assert_eq!(status(site, "/volume/openapi.json", None), 200);

    site.kubectl_here(&["delete", "service/second", "ingress/shop"]).unwrap();
    steady(site, "the Service to be gone", || status(site, "/second/openapi.json", None) == 404);
    steady(site, "the Ingress to be gone", || status(site, DOCUMENT, Some("shop.example")) == 404);
    assert_eq!(status(site, "/volume/openapi.json", None), 200);
    assert_eq!(containers(site), before, "a container was restarted");
}

#[test]
fn changes_of_routes_reload_no_nginx() {
    let site = site();
    let site = site.as_ref().unwrap();
    // What the first of their kinds ask for may be new to nginx.conf.
    site.apply_yaml(SERVICE).unwrap();
    site.apply_yaml(INGRESS).unwrap();
    steady(site, "the Service", || status(site, "/second/openapi.json", None) == 200);
    steady(site, "the Ingress", || status(site, DOCUMENT, Some("shop.example")) == 200);

    let before = counts(site);
    site.apply_yaml(&SERVICE.replace("second", "third")).unwrap();
    site.apply_yaml(&INGRESS.replace("shop", "store")).unwrap();
    steady(site, "another Service", || status(site, "/third/openapi.json", None) == 200);
    steady(site, "another Ingress", || status(site, DOCUMENT, Some("store.example")) == 200);
    let served = counts(site);
    site.kubectl_here(&["delete", "service/second", "service/third", "ingress/shop", "ingress/store"]).unwrap();
    for path in ["/second/openapi.json", "/third/openapi.json"] {
        steady(site, "the Services to be gone", || status(site, path, None) == 404);
    }
    for host in ["shop.example", "store.example"] {
        steady(site, "the Ingresses to be gone", || status(site, DOCUMENT, Some(host)) == 404);
    }
    let gone = counts(site);

    assert_eq!(before.len(), 2, "{before:?}");
    for (pod, [reloads, publications]) in before {
        assert_eq!((served[&pod][0], gone[&pod][0]), (reloads, reloads), "{pod} was reloaded");
        assert!(served[&pod][1] > publications && gone[&pod][1] > served[&pod][1], "{pod}: {served:?} {gone:?}");
    }
}

/// Of each pod with nginx: how often it was reloaded, and how many changes of routes it took without.
fn counts(site: &Site) -> BTreeMap<String, [u64; 2]> {
    let count = |metrics: &str, name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        line.parse().unwrap()
    };
    let pods = site.pods("nginx-kit").unwrap();
    let addresses = pods.iter().map(|pod| pod["status"]["podIP"].as_str().unwrap().to_owned());
    addresses
        .map(|address| {
            let metrics = ApiClient::new(&format!("http://{address}:9145")).get("/metrics").unwrap().text();
            let names = ["sparrow_entry_frame_reloads_total", "sparrow_entry_table_publications_total"];
            (address, names.map(|name| count(&metrics, name)))
        })
        .collect()
}

/// Waits until it is so twenty times in a row: there are two replicas, each with its own configuration.
fn steady(_: &Site, what: &str, is_so: impl Fn() -> bool) {
    wait(what, || Ok((0..20).all(|_| is_so()))).unwrap();
}

fn status(site: &Site, path: &str, host: Option<&str>) -> u16 {
    let headers: Vec<(&str, &str)> = host.map(|host| ("host", host)).into_iter().collect();
    site.client(NODE_PORT).send("GET", path, &headers, b"").unwrap().status
}

/// All containers with how often each was started.
fn containers(site: &Site) -> Vec<(String, Value)> {
    let pods = [site.pods("nginx-kit").unwrap(), site.pods("rbd-rest-api").unwrap()].concat();
    let mut containers: Vec<(String, Value)> = pods
        .iter()
        .flat_map(|pod| {
            let status = &pod["status"];
            let all = ["initContainerStatuses", "containerStatuses"].into_iter();
            all.filter_map(|kind| status[kind].as_array()).flatten().map(|container| {
                (container["containerID"].as_str().unwrap_or_default().to_owned(), container["restartCount"].clone())
            })
        })
        .collect();
    containers.sort_by(|one, other| one.0.cmp(&other.0));
    containers
}
