//! The API description, OpenAPI 3.1, made from the list of endpoints. See <https://spec.openapis.org/oas/v3.1.1>.

use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::auth::Role;
use crate::endpoint::{BodyKind, Endpoint, all};
use crate::problem::ProblemDocument;

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemDocument>();
    let mut paths: Map<String, Value> = Map::new();
    let mut tags: Vec<Value> = Vec::new();
    for endpoint in all() {
        let operation = operation(&endpoint, &mut generator);
        let path = paths.entry(format!("/api/v1{}", endpoint.path)).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation;
        let tag = json!({ "name": endpoint.tag });
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let mut document = json!({
        "openapi": "3.1.1",
        "info": {
            "title": "sparrow-rbd",
            "version": "v1",
            "summary": "Ceph RBD pools, images, snapshots, clones and trash over REST",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, {}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "responses": {
                "Problem": {
                    "description": "What went wrong, why, and what to do (RFC 9457).",
                    "content": { "application/problem+json": { "schema": problem } },
                }
            },
        },
    });
    drop_unused_schemas(&mut document);
    document
}

/// Drops the schemas that nothing refers to: those of queries, whose properties have become parameters.
fn drop_unused_schemas(document: &mut Value) {
    loop {
        let mut used = BTreeSet::new();
        references(document, &mut used);
        let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(&format!("#/components/schemas/{name}")));
        if schemas.len() == before {
            return;
        }
    }
}

/// All `$ref` below a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => drop(found.insert(target.clone())),
                    other => references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// The document as it is checked in and served: indented, with a line's end.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// What the parameters of paths stand for. Names are percent-encoded in paths.
const IN_PATHS: [(&str, &str); 8] = [
    ("pool", "The pool's name."),
    ("namespace", "The name of the pool's namespace."),
    ("image", "The image's name."),
    ("snapshot", "The snapshot's name."),
    ("group", "The group's name."),
    ("id", "The id, as the list shows it."),
    ("key", "The metadata's key."),
    ("operation", "The operation's id."),
];

fn operation(endpoint: &Endpoint, generator: &mut schemars::SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = endpoint
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let mut parameter = json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
            if let Some((_, description)) = IN_PATHS.iter().find(|(known, _)| *known == name) {
                parameter["description"] = (*description).into();
            }
            parameter
        })
        .collect();
    if let Some(query) = endpoint.query {
        parameters.extend(query_parameters(query(generator).to_value(), generator));
    }
    let mut responses = Map::new();
    for outcome in &endpoint.outcomes {
        // An outcome may be given once for each media type.
        let response = responses
            .entry(outcome.status.as_u16().to_string())
            .or_insert_with(|| json!({ "description": outcome.description }));
        if let Some((media_type, schema)) = outcome.body {
            let content = match schema {
                Some(schema) => json!({ "schema": schema(generator) }),
                None => json!({}),
            };
            response["content"][media_type] = content;
        }
    }
    responses.insert("default".into(), json!({ "$ref": "#/components/responses/Problem" }));
    let role = match endpoint.role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    };
    let mut operation = json!({
        "operationId": endpoint.id,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "x-sparrow-role": role,
        "parameters": parameters,
        "responses": responses,
    });
    if !endpoint.description.is_empty() {
        operation["description"] = endpoint.description.into();
    }
    match endpoint.body {
        BodyKind::None => {}
        BodyKind::Json(schema) => {
            let content = json!({ "application/json": { "schema": schema(generator) } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        BodyKind::Stream(media_type) => {
            operation["requestBody"] = json!({ "required": true, "content": { media_type: {} } });
        }
    }
    operation
}

/// An object's properties as parameters of the query.
fn query_parameters(schema: Value, generator: &schemars::SchemaGenerator) -> Vec<Value> {
    let resolved = match schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next()) {
        Some(name) => generator.definitions().get(name).cloned().unwrap_or(Value::Null),
        None => schema,
    };
    let required: Vec<&str> = resolved["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = resolved["properties"].as_object() else { return Vec::new() };
    properties
        .iter()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let mut parameter = json!({
                "name": name,
                "in": "query",
                "required": required.contains(&name.as_str()),
                "schema": schema,
            });
            if let Some(description) = description {
                parameter["description"] = description;
            }
            parameter
        })
        .collect()
}
