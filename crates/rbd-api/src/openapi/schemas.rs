//! The schemas of bodies and answers, in the form that generators of clients and checkers of answers understand.
//!
//! What is sent and what is answered are described apart: a field that a request may leave out is in every answer. Where a
//! type comes out the same in both, the two share its description.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::input::SchemaOf;

/// Where the schemas of the document are.
const SHARED: &str = "#/components/schemas/";
/// Where those of requests are, until both are brought together.
const REQUESTS: &str = "#/requests/";

/// Collects the schemas of a document.
pub struct Schemas {
    answers: SchemaGenerator,
    requests: SchemaGenerator,
}

impl Schemas {
    /// None yet.
    pub fn new() -> Self {
        let settings = |path: &str| {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = path.to_owned().into();
                settings.meta_schema = None;
            })
        };
        Self {
            answers: settings("/components/schemas").for_serialize().into_generator(),
            requests: settings("/requests").for_deserialize().into_generator(),
        }
    }

    /// The schema of something that is answered.
    pub fn answer(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.answers).to_value()
    }

    /// The schema of something that is sent.
    pub fn request(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.requests).to_value()
    }

    /// The properties of the object that stands for a query: name, schema, and whether it must be there. In a query nothing
    /// is null.
    pub fn query(&mut self, schema: SchemaOf) -> Vec<(String, Value, bool)> {
        let schema = self.request(schema);
        let resolved = match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(REQUESTS)) {
            Some(name) => self.requests.definitions().get(name).cloned().unwrap_or_default(),
            None => schema,
        };
        let required: Vec<&str> =
            resolved["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = resolved["properties"].as_object().into_iter().flatten();
        properties
            .map(|(name, schema)| {
                let mut schema = schema.clone();
                drop_null(&mut schema);
                bound_integers(&mut schema);
                (name.clone(), schema, required.contains(&name.as_str()))
            })
            .collect()
    }

    /// Puts the schemas into the document, and lets it refer to them.
    pub fn finish(mut self, document: &mut Value) {
        let mut shared = self.answers.take_definitions(true);
        let mut requests = self.requests.take_definitions(true);
        requests.values_mut().for_each(bound_integers);
        let apart = differing(&shared, &requests);
        let name = |of: &str| if apart.contains(of) { format!("{of}Request") } else { of.to_owned() };
        for (old, mut schema) in requests {
            redirect(&mut schema, &name);
            shared.entry(name(&old)).or_insert(schema);
        }
        redirect(document, &name);
        shared.values_mut().for_each(plain);
        plain(document);
        document["components"]["schemas"] = shared.into();
        drop_unused(document);
    }
}

/// The names that stand for one thing in requests and for another in answers, with those that refer to such.
fn differing(answers: &Map<String, Value>, requests: &Map<String, Value>) -> BTreeSet<String> {
    let mut apart = BTreeSet::new();
    loop {
        let before = apart.len();
        for (name, schema) in requests {
            let Some(answer) = answers.get(name) else { continue };
            let mut used = BTreeSet::new();
            references(schema, &mut used);
            let refers = used.iter().any(|target| apart.contains(target.trim_start_matches(REQUESTS)));
            let mut as_answer = schema.clone();
            redirect(&mut as_answer, &str::to_owned);
            if refers || as_answer != *answer {
                apart.insert(name.clone());
            }
        }
        if apart.len() == before {
            return apart;
        }
    }
}

/// Lets references to the schemas of requests lead to the shared ones.
fn redirect(value: &mut Value, name: &impl Fn(&str) -> String) {
    each_object(value, &mut |object| {
        if let Some(Value::String(target)) = object.get_mut("$ref")
            && let Some(old) = target.strip_prefix(REQUESTS)
        {
            *target = format!("{SHARED}{}", name(old));
        }
    });
}

/// Applies a change to every object below a value, the inner ones first.
fn each_object(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| each_object(value, change));
            change(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_object(item, change)),
        _ => {}
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

/// Drops the schemas that nothing refers to: those of queries, whose properties have become parameters.
fn drop_unused(document: &mut Value) {
    loop {
        let mut used = BTreeSet::new();
        references(document, &mut used);
        let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(&format!("{SHARED}{name}")));
        if schemas.len() == before {
            return;
        }
    }
}

/// Takes `null` out of what a value may be.
fn drop_null(schema: &mut Value) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = types.as_slice() {
            schema["type"] = one.clone();
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(options)) = schema.get_mut("anyOf") {
        options.retain(|option| option["type"] != "null");
        if let [Value::Object(one)] = options.as_slice() {
            let one = one.clone();
            if let Value::Object(fields) = schema {
                fields.shift_remove("anyOf");
                for (name, value) in one {
                    fields.entry(name).or_insert(value);
                }
            }
        }
    }
    if schema.get("default") == Some(&Value::Null)
        && let Value::Object(fields) = schema
    {
        fields.shift_remove("default");
    }
}

/// Says what the largest number is where only the type bounds it: JSON's numbers have no bound.
fn bound_integers(schema: &mut Value) {
    each_object(schema, &mut |object| {
        let most = match object.get("format").and_then(Value::as_str) {
            Some("uint64" | "uint") => u64::MAX,
            Some("int64") => i64::MAX.unsigned_abs(),
            Some("uint32") => u64::from(u32::MAX),
            _ => return,
        };
        object.entry("maximum").or_insert(most.into());
    });
}

/// Brings what generators misread into a plain form.
fn plain(value: &mut Value) {
    each_object(value, &mut |object| {
        plain_enumeration(object);
        plain_union(object);
    });
}

/// The strings that an alternative of an enumeration stands for, and what is said of them.
fn strings(option: &Value) -> Option<(Vec<Value>, &str)> {
    let values = match (option.get("const"), option.get("enum")) {
        (Some(value), None) => vec![value.clone()],
        (None, Some(Value::Array(values))) => values.clone(),
        _ => return None,
    };
    let said = option["description"].as_str().unwrap_or_default();
    values.iter().all(Value::is_string).then_some((values, said))
}

/// `oneOf` of constants is `enum`; what each of them means moves into the description.
fn plain_enumeration(object: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = object.get("oneOf") else { return };
    let Some(options) = options.iter().map(strings).collect::<Option<Vec<_>>>() else { return };
    let mut said = object.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut values = Vec::new();
    for (names, meaning) in options {
        if let ([name], false) = (names.as_slice(), meaning.is_empty()) {
            let _ = write!(said, "\n- `{}`: {meaning}", name.as_str().unwrap_or_default());
        }
        values.extend(names);
    }
    object.shift_remove("oneOf");
    object.insert("type".into(), "string".into());
    object.insert("enum".into(), values.into());
    object.insert("description".into(), said.trim().into());
}

/// An object that goes on in one of several ways, told apart by a constant, is one object: which fields there are then is
/// for the constant to say. Generators make no type of the other form.
fn plain_union(object: &mut Map<String, Value>) {
    if !object.contains_key("properties") {
        return;
    }
    let Some(Value::Array(ways)) = object.get("oneOf").cloned() else { return };
    let mut tags: Map<String, Value> = Map::new();
    let mut fields: Map<String, Value> = Map::new();
    let mut always: Option<Vec<Value>> = None;
    for way in &ways {
        let Some(properties) = way["properties"].as_object() else { return };
        for (name, schema) in properties {
            match schema.get("const") {
                Some(value) => {
                    let tag = tags.entry(name.clone()).or_insert_with(|| json!({ "type": "string", "enum": [] }));
                    if let Some(values) = tag["enum"].as_array_mut() {
                        values.push(value.clone());
                    }
                    let meaning = way["description"].as_str().unwrap_or_default();
                    let said =
                        tag["description"].as_str().unwrap_or("Which of these it is, and so which fields it has.");
                    tag["description"] =
                        format!("{said}\n- `{}`: {meaning}", value.as_str().unwrap_or_default()).into();
                }
                None => drop(fields.entry(name.clone()).or_insert_with(|| schema.clone())),
            }
        }
        let required = way["required"].as_array().cloned().unwrap_or_default();
        always = Some(match always {
            None => required,
            Some(before) => before.into_iter().filter(|name| required.contains(name)).collect(),
        });
    }
    object.shift_remove("oneOf");
    if let Some(Value::Array(required)) = object.get_mut("required") {
        required.extend(always.unwrap_or_default());
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.extend(tags);
        properties.extend(fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_become_an_enumeration_that_keeps_their_meaning() {
        let mut schema = json!({
            "description": "A state.",
            "oneOf": [
                { "type": "string", "const": "on", "description": "It is." },
                { "type": "string", "enum": ["off", "gone"] },
            ],
        });
        plain(&mut schema);
        assert_eq!(
            schema,
            json!({ "type": "string", "enum": ["on", "off", "gone"], "description": "A state.\n- `on`: It is." })
        );
    }

    #[test]
    fn ways_of_an_object_become_one_object() {
        let way = |kind: &str, fields: &[&str]| {
            let mut properties = json!({ "kind": { "type": "string", "const": kind } });
            for field in fields {
                properties[field] = json!({ "type": "string" });
            }
            let required: Vec<&str> = ["kind"].into_iter().chain(fields.iter().copied()).collect();
            json!({ "type": "object", "properties": properties, "required": required, "description": "D." })
        };
        let mut schema = json!({
            "type": "object",
            "properties": { "id": { "type": "string" } },
            "required": ["id"],
            "oneOf": [way("a", &["x", "y"]), way("b", &["x"])],
        });
        plain(&mut schema);
        assert_eq!(schema["required"], json!(["id", "kind", "x"]));
        assert_eq!(schema["properties"]["kind"]["enum"], json!(["a", "b"]));
        assert!(schema["properties"]["y"].is_object() && schema.get("oneOf").is_none(), "{schema}");
    }

    #[test]
    fn parameter_is_never_null() {
        let mut schema = json!({ "anyOf": [{ "$ref": "#/x" }, { "type": "null" }], "default": null });
        drop_null(&mut schema);
        assert_eq!(schema, json!({ "$ref": "#/x" }));
        let mut schema = json!({ "type": ["integer", "null"], "format": "uint64" });
        drop_null(&mut schema);
        bound_integers(&mut schema);
        assert_eq!(schema, json!({ "type": "integer", "format": "uint64", "maximum": u64::MAX }));
    }
}
