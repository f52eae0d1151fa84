//! The API description, OpenAPI 3.1, made from the list of endpoints. See <https://spec.openapis.org/oas/v3.1.1>.

mod schemas;

use http::{Method, StatusCode};
use rbd_model::problem_document::ProblemDocument;
use serde_json::{Map, Value, json};

use self::schemas::Schemas;
use crate::answer::AnswerBody;
use crate::endpoint::{Declaration, DeclaredAnswer};
use crate::endpoints::all;
use crate::input::BodyKind;
use crate::media::{MediaType as _, Raw};
use crate::schema;

/// The document.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let problem = schemas.answer(|generator| generator.subschema_for::<ProblemDocument>());
    let mut paths: Map<String, Value> = Map::new();
    let mut tags: Vec<Value> = Vec::new();
    for endpoint in all() {
        let operation = operation(&endpoint, &mut schemas);
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
            "schemas": {},
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "responses": {
                "Problem": {
                    "description": "What went wrong, why, and what to do (RFC 9457).",
                    "content": { "application/problem+json": { "schema": problem } },
                }
            },
        },
    });
    schemas.finish(&mut document);
    document
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

fn operation(endpoint: &Declaration, schemas: &mut Schemas) -> Value {
    let mut parameters = path_parameters(endpoint);
    if let Some(query) = endpoint.query {
        parameters.extend(schemas.query(query).into_iter().map(query_parameter));
    }
    let mut responses = Map::new();
    for outcome in &endpoint.answers {
        // An outcome may be given once for each media type.
        let response = responses.entry(outcome.status.as_u16().to_string()).or_insert_with(|| response(outcome));
        match &outcome.body {
            AnswerBody::Nothing => {}
            AnswerBody::Json(schema) => {
                response["content"]["application/json"] = json!({ "schema": schemas.answer(*schema) });
            }
            AnswerBody::Media(media_type) => response["content"][media_type] = json!({ "schema": media(media_type) }),
        }
    }
    responses.insert("default".into(), json!({ "$ref": "#/components/responses/Problem" }));
    let mut operation = json!({
        "operationId": endpoint.id,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "x-sparrow-role": endpoint.role.name(),
        "parameters": parameters,
        "responses": responses,
    });
    if !endpoint.description.is_empty() {
        operation["description"] = endpoint.description.into();
    }
    match endpoint.body {
        BodyKind::None => {}
        BodyKind::Json { schema, required } => {
            let content = json!({ "application/json": { "schema": schemas.request(schema) } });
            operation["requestBody"] = json!({ "required": required, "content": content });
        }
        BodyKind::Bytes => {
            // Generators know no other type of bytes. A body's own type is taken, too.
            let content = json!({ Raw::NAME: { "schema": media(Raw::NAME) } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
    }
    operation
}

/// What is said of an answer before its body.
fn response(outcome: &DeclaredAnswer) -> Value {
    let mut response = json!({ "description": outcome.description });
    if matches!(outcome.status, StatusCode::CREATED | StatusCode::ACCEPTED) {
        response["headers"] = json!({
            "Location": { "description": "Where it is.", "schema": { "type": "string", "format": "uri-reference" } },
        });
    }
    response
}

/// The schema of a body that is no JSON: generators drop one that has none.
fn media(media_type: &str) -> Value {
    if media_type.starts_with("text/") || media_type.ends_with("yaml") {
        // To some tools it is the text, to others what the text stands for: an event, a document of YAML.
        json!({})
    } else if media_type.ends_with("json") {
        json!({ "type": "object" })
    } else {
        json!({ "type": "string", "format": "binary" })
    }
}

/// The parameters of an endpoint's path. That of a new thing must be a name that one may have.
fn path_parameters(endpoint: &Declaration) -> Vec<Value> {
    let names = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let schema = match (endpoint.names == Some(name), name) {
                (true, "key") => schema::inline::<schema::MetadataKey>(),
                (true, _) => schema::inline::<schema::NewName>(),
                (false, "key") if endpoint.method == Method::DELETE => schema::inline::<schema::RemovableKey>(),
                (false, _) => schema::inline::<schema::Name>(),
            };
            let description = IN_PATHS.iter().find(|(known, _)| *known == name).map(|(_, description)| description);
            json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": description })
        })
        .collect()
}

/// A property of a query as a parameter.
fn query_parameter((name, mut schema, required): (String, Value, bool)) -> Value {
    let description = schema.as_object_mut().and_then(|schema| schema.shift_remove("description"));
    let mut parameter = json!({ "name": name, "in": "query", "required": required, "schema": schema });
    if let Some(description) = description {
        parameter["description"] = description;
    }
    parameter
}
