//! Whether what a service says of itself is true: every answer is compared with its API description.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::http::Answer;

/// A request, as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct SentRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path with its query.
    pub target: &'a str,
    /// The headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// An API description of OpenAPI 3.1, read once for all that comes from the service it is of.
#[derive(Debug)]
pub struct Description {
    document: Value,
    /// By the schema's place in the document.
    validators: Mutex<HashMap<String, &'static Validator>>,
}

impl Description {
    /// From its text.
    ///
    /// # Errors
    /// What is no JSON.
    pub fn new(text: &[u8]) -> Result<Self> {
        let mut document: Value = serde_json::from_slice(text).context("the API description")?;
        // A field that is not described is as wrong as one that is missing.
        for schema in document["components"]["schemas"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            let closed = schema.get("additionalProperties").is_some() || schema.get("properties").is_none();
            if !closed {
                schema["additionalProperties"] = false.into();
            }
        }
        Ok(Self { document, validators: Mutex::default() })
    }

    /// The document, as it came.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Compares an answer with its description and, if the request succeeded, the body that was sent with the one that is declared.
    ///
    /// # Errors
    /// What is not as it is described.
    pub fn check(&self, request: SentRequest<'_>, answer: &Answer) -> Result<()> {
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        if !path.starts_with("/api/") {
            return Ok(());
        }
        if answer.status >= 400 {
            return self.check_problem(request, answer);
        }
        let (at, operation) = self.operation(request.method, path)?;
        self.check_answer(&at, operation, request.method, answer)?;
        self.check_query(&at, operation, query)?;
        self.check_body(&at, operation, request)
    }

    fn check_problem(&self, request: SentRequest<'_>, answer: &Answer) -> Result<()> {
        let media_type = essence(answer.header("content-type"));
        ensure!(media_type == "application/problem+json", "it is {media_type:?} and no problem document");
        if request.method != "HEAD" {
            self.validate("/components/responses/Problem/content/application~1problem+json/schema", &answer.json())?;
            ensure!(answer.json()["status"] == answer.status, "the document has another status");
        }
        if answer.status == 405 {
            ensure!(!answer.header("allow").is_empty(), "it does not say which methods are allowed");
        }
        Ok(())
    }

    /// The operation of a path, and its place in the document. A literal part of a path goes before a parameter.
    fn operation(&self, method: &str, path: &str) -> Result<(String, &Value)> {
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let templates = self.document["paths"].as_object().context("the description has paths")?;
        let fits = |template: &&String| {
            let known: Vec<&str> = template.split('/').collect();
            known.len() == parts.len()
                && known.iter().zip(&parts).all(|(known, part)| known.starts_with('{') || known == part)
        };
        let template = templates.keys().filter(fits).min_by_key(|template| template.matches('{').count());
        let template = template.with_context(|| format!("the description has no path {path}"))?;
        let operations = &templates[template];
        let declared = method.to_lowercase();
        // Whatever can be got can be asked for its head.
        let declared = if declared == "head" && operations.get("head").is_none() { "get".to_owned() } else { declared };
        let operation =
            operations.get(&declared).with_context(|| format!("{template} is not described with {method}"))?;
        Ok((format!("/paths/{}/{declared}", escaped(template)), operation))
    }

    fn check_answer(&self, at: &str, operation: &Value, method: &str, answer: &Answer) -> Result<()> {
        let status = answer.status.to_string();
        let Some(declared) = operation["responses"].get(&status) else { bail!("the status {status} is not described") };
        if method == "HEAD" || status == "304" {
            return Ok(());
        }
        let Some(content) = declared.get("content") else {
            ensure!(answer.body.is_empty(), "it has a body, and none is described");
            return Ok(());
        };
        let media_type = essence(answer.header("content-type"));
        ensure!(content.get(&media_type).is_some(), "it is {media_type:?}, which is not described");
        if media_type != "application/json" {
            return Ok(());
        }
        let schema = format!("{at}/responses/{status}/content/{}/schema", escaped(&media_type));
        self.validate(&schema, &serde_json::from_slice(&answer.body).context("the body")?)
    }

    fn check_query(&self, at: &str, operation: &Value, query: &str) -> Result<()> {
        for (name, text) in pairs(query) {
            let parameters = operation["parameters"].as_array().context("parameters")?;
            let known = parameters.iter().position(|known| known["in"] == "query" && known["name"] == name);
            let index = known.with_context(|| format!("the parameter {name} is not described"))?;
            let schema = &parameters[index]["schema"];
            let value = match schema["type"].as_str() {
                Some("integer" | "boolean") => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                _ => Value::String(text),
            };
            self.validate(&format!("{at}/parameters/{index}/schema"), &value)
                .with_context(|| format!("the parameter {name}"))?;
        }
        Ok(())
    }

    fn check_body(&self, at: &str, operation: &Value, request: SentRequest<'_>) -> Result<()> {
        if request.body.is_empty() {
            let needed = operation["requestBody"]["required"] == true;
            let stream = operation["requestBody"]["content"].get("application/json").is_none();
            ensure!(!needed || stream, "it was accepted without the body that is declared as required");
            return Ok(());
        }
        // A body that an endpoint has no use for is passed over.
        let Some(content) = operation.pointer("/requestBody/content") else { return Ok(()) };
        let sent = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if sent.is_some_and(|(_, value)| essence(value) == "application/json") {
            ensure!(content.get("application/json").is_some(), "it was taken as JSON, which is not described");
            let schema = format!("{at}/requestBody/content/application~1json/schema");
            return self.validate(&schema, &serde_json::from_slice(request.body)?).context("what was sent");
        }
        Ok(())
    }

    /// Compares a value with the schema at a place of the document.
    fn validate(&self, schema: &str, value: &Value) -> Result<()> {
        let errors: Vec<String> = self
            .validator(schema)?
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        ensure!(errors.is_empty(), "{}\nin {value}", errors.join("\n"));
        Ok(())
    }

    fn validator(&self, schema: &str) -> Result<&'static Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = validators.get(schema) {
            return Ok(validator);
        }
        let content = self.document.pointer(schema).with_context(|| format!("{schema} is described"))?;
        let whole = json!({ "allOf": [content], "components": self.document["components"] });
        let built = jsonschema::options().should_validate_formats(true).build(&whole);
        let validator = built.map_err(|error| anyhow::anyhow!("{schema}: {error}"))?;
        // One for each schema, for as long as the tests run.
        let validator: &'static Validator = Box::leak(Box::new(validator));
        validators.insert(schema.to_owned(), validator);
        Ok(validator)
    }
}

/// The description of the service whose answers are compared, read with the first of them.
pub type SharedDescription = std::sync::Arc<OnceLock<Description>>;

/// A media type without its parameters.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A key as a part of a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The parameters of a query, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 2;
            }
            (b'+', _) => plain.push(b' '),
            (byte, _) => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        let thing = json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
        let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } });
        let problem =
            json!({ "type": "object", "properties": { "status": { "type": "integer" } }, "required": ["status"] });
        let document = json!({
            "paths": { "/api/v1/things/{name}": {
                "get": {
                    "parameters": [{ "name": "limit", "in": "query", "schema": { "type": "integer", "minimum": 1 } }],
                    "responses": { "200": { "content": content } },
                },
                "put": {
                    "parameters": [],
                    "requestBody": { "required": true, "content": content },
                    "responses": { "204": {} },
                },
            } },
            "components": {
                "schemas": { "Thing": thing },
                "responses": { "Problem": { "content": { "application/problem+json": { "schema": problem } } } },
            },
        });
        Description::new(document.to_string().as_bytes()).expect("a document")
    }

    fn answer(status: u16, media_type: &str, body: &Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Answer { status, headers: vec![("content-type".into(), media_type.into())], body }
    }

    fn get(target: &str, answer: &Answer) -> Result<()> {
        description().check(SentRequest { method: "GET", target, headers: &[], body: b"" }, answer)
    }

    #[test]
    fn described_answer_passes_the_check() {
        let json = "application/json; charset=utf-8";
        get("/api/v1/things/a?limit=5", &answer(200, json, &json!({ "name": "a" }))).expect("true");
        get("/docs", &answer(200, "text/html", &Value::Null)).expect("not of the API");
        let problem = json!({ "status": 404 });
        get("/api/v1/nothing", &answer(404, "application/problem+json", &problem)).expect("a problem");
    }

    #[test]
    fn undescribed_answer_fails_the_check() {
        let good = json!({ "name": "a" });
        let json = "application/json";
        for (target, wrong) in [
            ("/api/v1/things/a", answer(201, json, &good)),
            ("/api/v1/things/a", answer(200, "text/plain", &good)),
            ("/api/v1/things/a", answer(200, json, &json!({}))),
            ("/api/v1/things/a", answer(200, json, &json!({ "name": "a", "more": 1 }))),
            ("/api/v1/things/a", answer(200, json, &json!({ "name": 5 }))),
            ("/api/v1/things/a?limit=0", answer(200, json, &good)),
            ("/api/v1/things/a?other=1", answer(200, json, &good)),
            ("/api/v1/other", answer(200, json, &good)),
            ("/api/v1/things/a", answer(404, "text/plain", &json!({ "status": 404 }))),
            ("/api/v1/things/a", answer(404, "application/problem+json", &json!({ "status": 400 }))),
            ("/api/v1/things/a", answer(405, "application/problem+json", &json!({ "status": 405 }))),
        ] {
            assert!(get(target, &wrong).is_err(), "{target} {wrong:?}");
        }
    }

    #[test]
    fn accepted_request_must_match_its_schema() {
        let put = |body: &[u8]| {
            let headers = &[("content-type", "application/json")];
            let request = SentRequest { method: "PUT", target: "/api/v1/things/a", headers, body };
            description().check(request, &answer(204, "", &Value::Null))
        };
        put(br#"{"name":"a"}"#).expect("true");
        for wrong in [&b""[..], b"{}", br#"["a"]"#, br#"{"name":"a","more":1}"#] {
            assert!(put(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
