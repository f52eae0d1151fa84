//! Which `ConfigMaps` annotations name.

use crate::{Key, Meta, own_object_name};

/// The annotations of Ingresses and Services that name a `ConfigMap`.
pub const CONFIG_MAP_ANNOTATIONS: [&str; 3] = [
    "sparrow/auth-proxy-set-headers",
    "nginx.ingress.kubernetes.io/auth-proxy-set-headers",
    "nginx.ingress.kubernetes.io/custom-headers",
];

/// The `ConfigMaps` of its own namespace that the annotations of an object name.
pub fn annotated_config_maps(meta: &Meta) -> impl Iterator<Item = Key> {
    let texts = CONFIG_MAP_ANNOTATIONS.iter().filter_map(|name| meta.annotations.get(*name));
    let names = texts.filter_map(|text| own_object_name(text, &meta.namespace));
    names.map(|name| Key { namespace: meta.namespace.clone(), name: name.to_owned() })
}
