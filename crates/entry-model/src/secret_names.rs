//! Which Secrets annotations name.

use crate::{Key, Meta};

/// The annotations of Ingresses and Services that name a Secret, which may be of any type.
pub const SECRET_ANNOTATIONS: [&str; 6] = [
    "sparrow/backend-tls-secret",
    "sparrow/basic-auth-secret",
    "sparrow/client-certificate-secret",
    "nginx.ingress.kubernetes.io/auth-secret",
    "nginx.ingress.kubernetes.io/auth-tls-secret",
    "nginx.ingress.kubernetes.io/proxy-ssl-secret",
];

/// The name of the Secret or the `ConfigMap` that an annotation of an object of a namespace names, as `NAME` or `NAMESPACE/NAME`. None of another
/// namespace: who may write an Ingress there may not read those here.
pub fn own_object_name<'a>(text: &'a str, namespace: &str) -> Option<&'a str> {
    let text = text.trim();
    let name = match text.split_once('/') {
        Some((of, name)) if of == namespace => name,
        Some(_) => return None,
        None => text,
    };
    // RFC 1123, as Kubernetes has it: so it is a part of a path of the API and nothing else.
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let is_name = (1..=253).contains(&name.len())
        && name.bytes().all(is_plain)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.']);
    is_name.then_some(name)
}

/// The Secrets that the annotations of an object name.
pub fn annotated_secrets(meta: &Meta) -> impl Iterator<Item = Key> {
    let texts = SECRET_ANNOTATIONS.iter().filter_map(|name| meta.annotations.get(*name));
    let names = texts.filter_map(|text| own_object_name(text, &meta.namespace));
    names.map(|name| Key { namespace: meta.namespace.clone(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2025_24513_name_of_a_secret_is_no_path() {
        assert_eq!(own_object_name("users", "shop"), Some("users"));
        assert_eq!(own_object_name(" shop/users ", "shop"), Some("users"));
        for text in [
            "",
            "other/users",
            "shop/",
            "/users",
            "shop/a/b",
            "../users",
            "..",
            "a/../b",
            "Users",
            "a%2fb",
            "a?b",
            "-a",
        ] {
            assert_eq!(own_object_name(text, "shop"), None, "{text}");
        }
    }
}
