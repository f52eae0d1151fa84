//! From ingress-nginx to this entry: the class changes its controller, and no Ingress is touched.

use e2e::{NODE_PORT, Site, site, wait};
use serde_json::Value;

/// What a user of ingress-nginx has. Nobody serves it as long as the class is that of ingress-nginx.
const INSTALLATION: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: sparrow
  annotations:
    nginx.ingress.kubernetes.io/rewrite-target: /$2
    nginx.ingress.kubernetes.io/proxy-read-timeout: '30'
    nginx.ingress.kubernetes.io/proxy-body-size: 8m
spec:
  ingressClassName: nginx
  rules:
    - host: nginx.example
      http:
        paths:
          - path: /storage(/|$)(.*)
            pathType: ImplementationSpecific
            backend: {service: {name: rbd-rest-api, port: {name: http}}}
";

/// The same class, of this entry.
const OURS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: sparrow/entry}
";

#[test]
fn ingresses_change_hands_with_their_class() {
    let site = site();
    let site = site.as_ref().unwrap();
    site.apply_yaml(INSTALLATION).unwrap();
    let before = ingress(site);
    assert_eq!(status(site), 404, "the class is not ours");

    // The controller of a class cannot be changed, so the class is made anew.
    site.kubectl(&["delete", "ingressclass/nginx"]).unwrap();
    site.apply_yaml(OURS).unwrap();
    wait("the Ingress to be served", || Ok((0..20).all(|_| status(site) == 200))).unwrap();
    assert_eq!(ingress(site), before, "the Ingress was changed");
    let events = ["get", "events", "--field-selector", "involvedObject.name=shop,type=Warning", "--output", "name"];
    assert_eq!(site.kubectl_here(&events).unwrap().trim(), "", "something is not served as it was asked for");

    site.kubectl(&["delete", "ingressclass/nginx"]).unwrap();
    site.kubectl_here(&["delete", "ingress/shop"]).unwrap();
    wait("the Ingress to be gone", || Ok((0..20).all(|_| status(site) == 404))).unwrap();
}

fn status(site: &Site) -> u16 {
    site.client(NODE_PORT).send("GET", "/storage/openapi.json", &[("host", "nginx.example")], b"").unwrap().status
}

/// What its owner wrote.
fn ingress(site: &Site) -> (Value, Value, Value) {
    let text = site.kubectl_here(&["get", "ingress/shop", "--output", "json"]).unwrap();
    let ingress: Value = serde_json::from_str(&text).unwrap();
    let metadata = &ingress["metadata"];
    (ingress["spec"].clone(), metadata["generation"].clone(), metadata["annotations"].clone())
}
