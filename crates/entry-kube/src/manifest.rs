//! The text of a manifest becomes objects. The text may be anything.

use std::collections::BTreeMap;

use entry_model::{Key, Kind, Object, ObjectRef};
use serde_json::Value;

use self::json::StrictValue;
use crate::kinds::{self, KINDS, KindInfo, KindVisitor, ReadKind, VERSION};
use crate::read_bounds::ReadBounds;

/// How deep lists and maps may be in each other.
const MAX_DEPTH: usize = 64;
/// How long a message may be, in characters: it may quote the text.
const MAX_MESSAGE: usize = 500;

/// What a text holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The objects, each with the line where its document begins. Of two with the same name the first.
    pub(crate) objects: BTreeMap<ObjectRef, (usize, Object)>,
    /// What cannot be read.
    pub(crate) faults: Vec<ManifestFault>,
}

/// A part that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestFault {
    /// The line, from 1; 0 for the file as a whole.
    pub(crate) line: usize,
    /// The object, if the text says which it is.
    pub(crate) object: Option<ObjectRef>,
    /// What is wrong.
    pub(crate) message: String,
}

impl ManifestFault {
    pub(crate) fn new(line: usize, object: Option<ObjectRef>, message: &str) -> Self {
        // Of one line, whatever it quotes.
        let message = message.chars().map(|char| if char.is_control() { ' ' } else { char });
        Self { line, object, message: message.take(MAX_MESSAGE).collect() }
    }
}

/// Reads a text of JSON values.
pub(crate) fn read_json(text: &str) -> Manifest {
    let mut manifest = Manifest::default();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<StrictValue>();
    loop {
        let line = text[..values.byte_offset()].lines().count().max(1);
        match values.next() {
            None => return manifest,
            Some(Ok(StrictValue(value))) => manifest.take(line, value, true),
            // There is no telling where the next one begins.
            Some(Err(error)) => {
                manifest.faults.push(ManifestFault::new(error.line(), None, &field_errors::of_json(&error)));
                return manifest;
            }
        }
    }
}

/// Reads a text of YAML documents.
pub(crate) fn read(text: &str, bounds: &ReadBounds) -> Manifest {
    let mut manifest = Manifest::default();
    for (index, (line, document)) in split_documents(text).into_iter().enumerate() {
        if index == bounds.documents {
            let message = format!("only the first {} documents are read", bounds.documents);
            manifest.faults.push(ManifestFault::new(line, None, &message));
            break;
        }
        match parse(document, bounds) {
            Ok(Value::Null) => {}
            Ok(value) => manifest.take(line, value, true),
            Err((offset, message)) => manifest.faults.push(ManifestFault::new(line + offset, None, message)),
        }
    }
    manifest
}

/// The values of a text of JSON, up to the first that cannot be read.
pub(crate) fn json_values(text: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<StrictValue>();
    values.map_while(Result::ok).map(|StrictValue(value)| value).collect()
}

/// The documents of a text of YAML that can be read.
pub(crate) fn yaml_values(text: &str, bounds: &ReadBounds) -> Vec<Value> {
    let documents = split_documents(text).into_iter().take(bounds.documents);
    documents.filter_map(|(_, document)| parse(document, bounds).ok()).filter(|value| !value.is_null()).collect()
}

/// The documents of a text, each with its first line. A document that is broken then spoils no other.
///
/// By the specification a line that starts with `---` or `...` is a marker wherever it stands, also within a block of text.
fn split_documents(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut position) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let marker = |marker: &str| {
            line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        };
        if marker("---") || marker("...") {
            documents.push((start_line, &text[start..position]));
            // What follows on the line of `---` is part of the document.
            start = if marker("---") { position } else { position + line.len() };
            start_line = if marker("---") { index + 1 } else { index + 2 };
        }
        position += line.len();
    }
    documents.push((start_line, &text[start..]));
    documents.retain(|(_, document)| {
        let meaning = |line: &str| !(line.trim().is_empty() || line.trim_start().starts_with('#'));
        // Directives stand before the marker of the document they are for.
        document.lines().any(|line| meaning(line) && !line.starts_with('%') && line.trim() != "---")
    });
    documents
}

/// Errors are the line within the document, from 0, and a message that does not show the text: it may be a key.
fn parse(document: &str, bounds: &ReadBounds) -> Result<Value, (usize, &'static str)> {
    let budget = serde_saphyr::budget! {
        max_depth: MAX_DEPTH,
        max_nodes: bounds.values,
        max_events: 4 * bounds.values,
        flow_nesting_limit: MAX_DEPTH,
    };
    let mut options = serde_saphyr::options! { budget: budget, with_snippet: false };
    options.alias_limits.max_total_replayed_events = bounds.values;
    serde_saphyr::from_str_with_options(document, options).map_err(|error| {
        let line = error.location().map_or(0, |location| usize::try_from(location.line()).unwrap_or(0));
        // It counts from the document's first line.
        (line.saturating_sub(1), field_errors::of_yaml(&error))
    })
}

impl Manifest {
    /// Takes a document. `lists`: whether it may be a list of objects.
    fn take(&mut self, line: usize, value: Value, lists: bool) {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let (Some(api_version), Some(kind)) = (text("/apiVersion"), text("/kind")) else {
            let message = "this is no object of Kubernetes: apiVersion or kind is missing";
            return self.faults.push(ManifestFault::new(line, None, message));
        };
        if let Some(base) = kind.strip_suffix("List")
            && (base.is_empty() || KINDS.iter().any(|info| info.name() == base))
        {
            return self.take_list(line, value, lists);
        }
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let ours = |info: &&KindInfo| {
            info.name() == kind && (info.group == group || (info.kind == Kind::Ingress && group == "extensions"))
        };
        let Some(info) = KINDS.iter().find(ours) else { return };
        let object = reference(info, &value);
        if version != VERSION || info.group != group {
            let message = format!("{kind} is read in the version {} only", info.api_version());
            return self.faults.push(ManifestFault::new(line, object, &message));
        }
        match read_object(info, value) {
            Ok(None) => {}
            Ok(Some(new)) => match self.objects.get(&new.reference()) {
                None => drop(self.objects.insert(new.reference(), (line, new))),
                Some((first, _)) => {
                    let message = format!("{} is already on line {first}: this one is not used", new.reference());
                    self.faults.push(ManifestFault::new(line, object, &message));
                }
            },
            Err(message) => self.faults.push(ManifestFault::new(line, object, &message)),
        }
    }

    fn take_list(&mut self, line: usize, mut value: Value, lists: bool) {
        let items = match value.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if lists => items,
            Some(Value::Array(_)) => {
                return self.faults.push(ManifestFault::new(line, None, "a list within a list is not read"));
            }
            None | Some(Value::Null) => return,
            Some(_) => return self.faults.push(ManifestFault::new(line, None, "items is not a list")),
        };
        for item in items {
            self.take(line, item, false);
        }
    }
}

/// The first field that was given and is not known: mistyped, it would change the meaning without a word.
fn unknown_field(given: &Value, known: &Value) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| match known.get(name) {
            // What others write there is not asked.
            _ if name == "status" || name == "managedFields" || value.is_null() => None,
            None => Some(name.clone()),
            Some(known) => {
                let field = unknown_field(value, known)?;
                let dot = if field.starts_with('[') { "" } else { "." };
                Some(format!("{name}{dot}{field}"))
            }
        }),
        (Value::Array(given), Value::Array(known)) => {
            given.iter().zip(known).enumerate().find_map(|(index, (given, known))| {
                let field = unknown_field(given, known)?;
                Some(format!("[{index}].{field}"))
            })
        }
        _ => None,
    }
}

/// Which object it is, as far as can be told.
fn reference(info: &KindInfo, value: &Value) -> Option<ObjectRef> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").filter(|name| is_name(name))?.to_owned();
    let namespace = if info.namespaced { text("/metadata/namespace").unwrap_or("default") } else { "" };
    (namespace.is_empty() || is_name(namespace))
        .then(|| ObjectRef::new(info.kind, Key { namespace: namespace.to_owned(), name }))
}

/// Whether an API server would take it as a name: at most 253 of lower-case letters, digits, `-` and `.`.
fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=253).contains(&name.len())
        && name.bytes().all(|byte| inner(byte) || byte == b'-' || byte == b'.')
        && name.bytes().next().is_some_and(inner)
        && name.bytes().last().is_some_and(inner)
}

fn read_object(info: &KindInfo, mut value: Value) -> Result<Option<Object>, String> {
    let metadata = value.get_mut("metadata").and_then(Value::as_object_mut).ok_or("metadata is missing")?;
    if info.namespaced {
        let namespace = metadata.entry("namespace").or_insert(Value::Null);
        if namespace.is_null() || namespace == "" {
            *namespace = "default".into();
        }
        if !namespace.as_str().is_some_and(|name| is_name(name) && name.len() <= 63 && !name.contains('.')) {
            return Err("metadata.namespace: it must be up to 63 lower-case letters, digits and `-`".to_owned());
        }
    }
    if !metadata.get("name").and_then(Value::as_str).is_some_and(is_name) {
        return Err("metadata.name: it must be up to 253 lower-case letters, digits, `-` and `.`".to_owned());
    }
    if info.kind == Kind::Secret {
        value = without_line_breaks(value);
    }
    kinds::visit(info.kind, ParseObject { value: &value }).unwrap_or(Ok(None))
}

/// Reads a value as the API's type of a kind.
struct ParseObject<'a> {
    value: &'a Value,
}

impl KindVisitor for ParseObject<'_> {
    type Output = Result<Option<Object>, String>;

    fn visit<K: ReadKind>(self) -> Self::Output {
        // Nothing of a Secret is quoted.
        read_typed::<K>(self.value, K::KIND != Kind::Secret)
    }
}

/// A Secret whose base64 is without the line breaks and spaces that programs put into it, as `kubectl kustomize` does.
fn without_line_breaks(mut secret: Value) -> Value {
    let data = secret.get_mut("data").and_then(Value::as_object_mut);
    for value in data.into_iter().flat_map(|data| data.values_mut()) {
        if let Value::String(text) = value {
            text.retain(|c| !c.is_ascii_whitespace());
        }
    }
    secret
}

fn read_typed<T: ReadKind>(value: &Value, quote: bool) -> Result<Option<Object>, String> {
    let field = |path: String| if quote { path } else { field_errors::field_of_secret(&path) };
    let object: T = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = field(error.path().to_string());
        if quote {
            format!("{path}: {}", field_errors::of_type(error.inner()))
        } else {
            format!("{path}: it cannot be read")
        }
    })?;
    let known = serde_json::to_value(&object).map_err(|_| "it cannot be read".to_owned())?;
    if let Some(unknown) = unknown_field(value, &known) {
        let place = field(unknown.clone());
        let which = if place == unknown { "there is no such field" } else { "it has a field that is not known" };
        return Err(format!("{place}: {which}"));
    }
    object.convert().map_err(|error| error.to_string())
}

mod field_errors;
mod json;

#[cfg(test)]
mod tests;
