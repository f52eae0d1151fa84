//! The API description, OpenAPI 3.1, made from the list of endpoints. See <https://spec.openapis.org/oas/v3.1.1>.

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
    for endpoint in all() {
        let operation = operation(&endpoint, &mut generator);
        let path = paths.entry(format!("/api/v1{}", endpoint.path)).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "sparrow-rbd",
            "version": "v1",
            "summary": "Ceph RBD pools, images, snapshots, clones and trash over REST",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, {}],
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
    })
}

/// The document as it is checked in and served: indented, with a line's end.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

fn operation(endpoint: &Endpoint, generator: &mut schemars::SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = endpoint
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if let Some(query) = endpoint.query {
        parameters.extend(query_parameters(query(generator).to_value(), generator));
    }
    let mut responses = Map::new();
    for outcome in &endpoint.outcomes {
        let mut response = json!({ "description": outcome.description });
        if let Some((media_type, schema)) = outcome.body {
            let content = match schema {
                Some(schema) => json!({ "schema": schema(generator) }),
                None => json!({}),
            };
            response["content"] = json!({ media_type: content });
        }
        responses.insert(outcome.status.as_u16().to_string(), response);
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
            json!({
                "name": name,
                "in": "query",
                "required": required.contains(&name.as_str()),
                "description": description,
                "schema": schema,
            })
        })
        .collect()
}
