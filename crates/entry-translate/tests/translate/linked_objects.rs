//! Objects that name others in annotations, and annotations of which paths, hosts and certificates come.

use std::collections::BTreeMap;

use entry_model::{ConfigMap, Ingress, Meta, Secret, Service};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::properties::{any_ingress, any_secret, any_service};
use crate::support::{meta, texts};

/// An annotation, and values of it. Objects have the names `a` to `d`, in the namespaces `shop` and `other`.
type Values = (&'static str, &'static [&'static str]);

const SERVER: &[&str] = &[
    "http://a.shop.svc/verify",
    "http://b.shop.svc.cluster.local:81/verify",
    "http://b.other.svc/verify",
    "http://c.shop.svc",
    "https://auth.example.com/",
];
const NAME: &[&str] = &["a", "b", "c", "d"];
const PATH_NAME: &[&str] = &["a", "shop/a", "shop/b", "other/a"];
const SWITCH: &[&str] = &["true", "true", "false"];

/// Annotations that name objects.
const LINKS: &[Values] = &[
    ("sparrow/auth-url", SERVER),
    ("nginx.ingress.kubernetes.io/auth-url", SERVER),
    ("sparrow/auth-proxy-set-headers", NAME),
    ("nginx.ingress.kubernetes.io/auth-proxy-set-headers", PATH_NAME),
    ("sparrow/default-backend", NAME),
    ("nginx.ingress.kubernetes.io/default-backend", NAME),
    ("sparrow/custom-http-errors", &["404,503"]),
    ("nginx.ingress.kubernetes.io/custom-headers", PATH_NAME),
    ("sparrow/basic-auth-secret", NAME),
    ("nginx.ingress.kubernetes.io/auth-secret", PATH_NAME),
    ("nginx.ingress.kubernetes.io/auth-type", &["basic"]),
    ("sparrow/backend-tls-secret", NAME),
    ("nginx.ingress.kubernetes.io/proxy-ssl-secret", PATH_NAME),
    ("sparrow/client-certificate-secret", NAME),
    ("nginx.ingress.kubernetes.io/auth-tls-secret", PATH_NAME),
];

/// Annotations of which paths, hosts and what becomes of requests come.
const SHAPES: &[Values] = &[
    ("sparrow/path-regex", SWITCH),
    ("nginx.ingress.kubernetes.io/use-regex", SWITCH),
    ("nginx.ingress.kubernetes.io/rewrite-target", &["/$1", "/x"]),
    ("sparrow/aliases", &["b.example.com", "www.a.example.com, b.example.com"]),
    ("nginx.ingress.kubernetes.io/server-alias", &["b.example.com", "~^a"]),
    ("sparrow/www-redirect", SWITCH),
    ("nginx.ingress.kubernetes.io/from-to-www-redirect", SWITCH),
    ("sparrow/app-root", &["/a", "/b"]),
    ("nginx.ingress.kubernetes.io/permanent-redirect", &["https://a.example.com/"]),
    ("sparrow/tls-passthrough", SWITCH),
    ("sparrow/affinity", &["cookie"]),
    ("nginx.ingress.kubernetes.io/affinity", &["cookie"]),
    ("nginx.ingress.kubernetes.io/force-ssl-redirect", SWITCH),
    ("nginx.ingress.kubernetes.io/canary", SWITCH),
    ("nginx.ingress.kubernetes.io/canary-weight", &["10", "50"]),
    ("nginx.ingress.kubernetes.io/limit-rps", &["1", "2"]),
    ("nginx.ingress.kubernetes.io/enable-cors", SWITCH),
];

fn annotation(all: &'static [Values]) -> impl Strategy<Value = (String, String)> {
    select(all).prop_flat_map(|(name, values)| select(values).prop_map(|value| (name.to_owned(), value.to_owned())))
}

fn annotations() -> impl Strategy<Value = BTreeMap<String, String>> {
    (vec(annotation(LINKS), 0..3), vec(annotation(SHAPES), 0..2))
        .prop_map(|(links, shapes)| links.into_iter().chain(shapes).collect())
}

/// Annotations that name objects, and nothing else.
pub fn links() -> impl Strategy<Value = BTreeMap<String, String>> {
    vec(annotation(LINKS), 1..4).prop_map(|links| links.into_iter().collect())
}

/// A Service that may name others.
pub fn linked_service() -> impl Strategy<Value = Service> {
    (any_service(), annotations()).prop_map(|(mut service, more)| {
        service.meta.annotations.extend(more);
        service
    })
}

/// An Ingress that may name others.
pub fn linked_ingress() -> impl Strategy<Value = Ingress> {
    (any_ingress(), annotations()).prop_map(|(mut ingress, more)| {
        ingress.meta.annotations.extend(more);
        ingress
    })
}

/// Headers.
pub fn config_map() -> impl Strategy<Value = ConfigMap> {
    (select(NAME), select(&["gold", "silver", "a\nb"][..])).prop_map(|(name, value)| ConfigMap {
        meta: Meta { generation: 0, ..meta(name) },
        data: texts([("X-Tier", value)]),
    })
}

/// A Secret with passwords or authorities, beside what it has else.
pub fn linked_secret() -> impl Strategy<Value = Secret> {
    let passwords = select(&["", "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "alice"][..]);
    (any_secret(), select(NAME), passwords, any::<[bool; 2]>()).prop_map(
        |(secret, name, passwords, [is_tls, trusts])| {
            let authorities = if trusts { secret.certificate.clone() } else { Vec::new() };
            Secret { meta: meta(name), is_tls, authorities, passwords: passwords.into(), ..secret }
        },
    )
}
