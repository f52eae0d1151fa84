//! `migrate`, of an installation in a cluster.

use serde_json::json;

use crate::common::debian;
use crate::support::Tenant;

#[test]
fn installation_in_a_cluster_is_reported() {
    let tenant = Tenant::shared();
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": tenant.namespace }, "spec": { "controller": "k8s.io/ingress-nginx" },
    });
    tenant.server.apply(&class.to_string()).unwrap();
    tenant.service("cart", 80);
    tenant.ingress("web", "a.example", "cart", 80);
    tenant.ingress("away", "b.example", "missing", 80);
    let bench = tenant.bench(&debian());
    // The account may read what the entry reads, and no Deployments: the report goes without.
    let (out, said) = bench.ends(1, &["migrate"]);
    assert!(out.contains("Ingress NS/away: served in part".replace("NS", &tenant.namespace).as_str()), "{out}");
    assert!(
        out.ends_with(
            "2 Ingresses of ingress-nginx: 1 served the same, 0 with something worth knowing, 1 in part, 0 not served; \
                           0 of other classes\n"
        ),
        "{out}"
    );
    assert!(said.contains("Deployments cannot be read, so the report goes without: "), "{said}");
}
