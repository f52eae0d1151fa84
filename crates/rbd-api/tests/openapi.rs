//! The API description holds together. That the one that is checked in is current: see `reference.rs`.

use std::collections::BTreeSet;

use rbd_api::{endpoints, openapi};
use serde_json::Value;

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

#[test]
fn every_operation_is_whole() {
    let document = openapi::document();
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}: its operationId is another's");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at}");
        assert!(tags.contains(&&operation["tags"][0]), "{at}");
        let parameters = operation["parameters"].as_array().unwrap();
        let declared: Vec<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let in_path: Vec<&str> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(declared, in_path, "{at}");
        let mut names = BTreeSet::new();
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap();
            assert!(names.insert((name, parameter["in"].as_str())), "{at}: {name} twice");
            assert!(parameter["schema"].is_object(), "{at}: {name}");
            let described = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{at}: {name} says nothing");
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{at}: it cannot go well");
        assert!(responses.contains_key("default"), "{at}: it cannot go wrong");
    }
    assert!(ids.len() > 20);
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value, count: &mut usize) {
        match value {
            Value::Object(fields) => {
                if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = target.strip_prefix('#').expect("a reference within the document");
                    assert!(document.pointer(pointer).is_some(), "{target} is missing");
                    *count += 1;
                }
                fields.values().for_each(|value| walk(value, document, count));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, document, count)),
            _ => {}
        }
    }
    let document = openapi::document();
    let mut count = 0;
    walk(&document, &document, &mut count);
    assert!(count > 20);
}

#[test]
fn every_field_is_described() {
    let document = openapi::document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}.{field}");
        }
    }
}

#[test]
fn handlers_are_given_each_parameter_of_their_path() {
    for endpoint in endpoints::all() {
        let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        // The default namespace is in no path.
        let expected: BTreeSet<&str> = in_path.chain(endpoint.in_namespace.then_some("namespace")).collect();
        let given: BTreeSet<&str> = endpoint.parameters.iter().copied().collect();
        assert_eq!(given, expected, "{} {}", endpoint.method, endpoint.path);
    }
}

#[test]
fn every_answer_is_described() {
    for endpoint in endpoints::declarations() {
        assert!(endpoint.described, "{}: its descriptions are not as many as its type has answers", endpoint.id);
    }
}
