//! What is wrong with a text, in words that do not depend on it. It may be a private key, or hold one where nobody expects it,
//! and libraries quote what they cannot read.

use serde_saphyr::Error;

/// A map has a key twice.
pub(super) const KEY_TWICE: &str = "a key is there twice in one map: remove one of them";

/// The fields of a Secret that a message may name. Others are named by what they are in.
const FIELDS: [&str; 14] = [
    "apiVersion",
    "data",
    "data.tls.crt",
    "data.tls.key",
    "immutable",
    "kind",
    "metadata",
    "metadata.annotations",
    "metadata.labels",
    "stringData",
    "stringData.tls.crt",
    "stringData.tls.key",
    "type",
    "metadata.name",
];

/// What is wrong with a document of YAML.
pub(super) fn of_yaml(error: &Error) -> &'static str {
    match error.without_snippet() {
        Error::DuplicateMappingKey { .. } => KEY_TWICE,
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => "it is too large, or nested too deeply, to be read",
        Error::UnknownAnchor { .. } => "an alias has no anchor: write `\"*…\"` in quotes if it is a text",
        Error::InvalidBinaryBase64 { .. } | Error::BinaryNotUtf8 { .. } => "a `!!binary` is no text in base64",
        Error::Eof { .. } => "it ends too early",
        _ => "this is no YAML: look at the indentation, the quotes, the brackets and the colons here and before",
    }
}

/// What is wrong with a text of JSON.
pub(super) fn of_json(error: &serde_json::Error) -> String {
    let message = error.to_string();
    if error.is_data() {
        let known = if message.starts_with(KEY_TWICE) { KEY_TWICE } else { "a value cannot be read" };
        return known.to_owned();
    }
    // What is said of syntax is one of a few fixed texts, and the place.
    message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_owned()
}

/// What is wrong with a value that is of another type than its field. A text is not shown, a number is.
pub(super) fn of_type(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match (message.find(" \""), message.rfind("\", expected")) {
        (Some(begin), Some(end)) if begin < end => format!("{}{}", &message[..begin], &message[end + 1..]),
        _ => message,
    }
}

/// The longest part of a field's path, in a Secret, that says nothing of its content.
pub(super) fn field_of_secret(path: &str) -> String {
    let begins =
        |field: &&str| path.strip_prefix(*field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    FIELDS.into_iter().filter(begins).max_by_key(|field| field.len()).unwrap_or("the Secret").to_owned()
}
