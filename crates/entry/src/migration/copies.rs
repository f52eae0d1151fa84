//! Ingresses of ingress-nginx as they would be for this entry.

use entry_model::{Key, Kind, ObjectRef, Verdicts};
use entry_translate::{INGRESS_NGINX_PREFIX, Meaning, find_ingress_nginx_annotation};
use serde_json::{Map, Value, json};

/// What of an object's metadata belongs to whoever writes it.
const KEPT: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// An annotation that names a class.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// A list of the class and of copies of the Ingresses on which there are verdicts: of this class, with this behind their names, and
/// without the annotations that mean nothing here.
pub fn copies(objects: &[Value], verdicts: &Verdicts, controller: &str, class: &str, suffix: &str) -> Value {
    let is_judged = |object: &&Value| {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let namespace = Some(text("namespace")).filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
        let key = Key { namespace, name: text("name") };
        object["kind"] == "Ingress" && verdicts.contains_key(&ObjectRef::new(Kind::Ingress, key))
    };
    let class_object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": class}, "spec": {"controller": controller},
    });
    let copies = objects.iter().filter(is_judged).map(|object| copy(object, class, suffix));
    let items: Vec<_> = [class_object].into_iter().chain(copies).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn copy(object: &Value, class: &str, suffix: &str) -> Value {
    let mut metadata = Map::new();
    for field in KEPT {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(Value::String(name)) = metadata.get_mut("name") {
        name.push_str(suffix);
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.retain(|name, _| has_meaning(name));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    let mut spec = object["spec"].clone();
    spec["ingressClassName"] = class.into();
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec})
}

/// Whether an annotation belongs on a copy: not the class, what `kubectl apply` leaves, or one of ingress-nginx without meaning.
fn has_meaning(name: &str) -> bool {
    match name.strip_prefix(INGRESS_NGINX_PREFIX) {
        Some(name) => find_ingress_nginx_annotation(name)
            .is_some_and(|known| matches!(known.meaning, Meaning::Same(_) | Meaning::Differs(_))),
        None => ![CLASS_ANNOTATION, "kubectl.kubernetes.io/last-applied-configuration"].contains(&name),
    }
}
