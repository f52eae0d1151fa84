//! What the object of a rule is called, worked out once for all of its requests.

use entry_model::{Kind, ObjectRef};

/// What an object is called, as access logs have it: `Ingress shop/web`. Names of Kubernetes are plain; others, from a file, are made so.
pub fn origin_name(origin: &ObjectRef) -> String {
    let kind = match origin.kind {
        Kind::Service => "Service ",
        Kind::Ingress => "Ingress ",
        _ => "",
    };
    [kind, &plain(&origin.key.namespace), "/", &plain(&origin.key.name)].concat()
}

/// A text with `_` for what is not plain.
fn plain(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.chars().map(|c| if is_plain(&c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use entry_model::Key;

    use super::*;

    #[test]
    fn object_is_named_by_its_kind_and_what_is_not_plain_in_it_is_made_so() {
        for (kind, namespace, name, expected) in [
            (Kind::Ingress, "shop", "a-Z_0.9", "Ingress shop/a-Z_0.9"),
            (Kind::Service, "a b", "/\"\n", "Service a_b/___"),
            (Kind::Manifest, "麻é", "", "__/"),
        ] {
            let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
            assert_eq!(origin_name(&ObjectRef::new(kind, key)), expected);
        }
    }
}
