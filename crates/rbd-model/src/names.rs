//! Names: where things are, and which names new things may have.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rbd_format::Name;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// A pool and one of its namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// The pool.
    pub pool: String,
    /// The namespace; empty for the default one.
    #[serde(default)]
    pub namespace: String,
}

/// The longest name of a new thing, in characters, as JSON Schema counts them. RBD object names carry it, which may have 2048
/// bytes.
pub const NAME_LIMIT: usize = 128;

/// The names that new things may have, as a regular expression (ECMA-262), but for their length. White space is what Unicode
/// has as such.
pub const NEW_NAME_PATTERN: &str =
    r"^[^\s./@\u0000-\u001F\u007F-\u009F](?:[^/@\u0000-\u001F\u007F-\u009F]*[^\s/@\u0000-\u001F\u007F-\u009F])?$";

/// Says of a name whether it is text, and how it is changed if it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonUtf8Name(Name);

impl NonUtf8Name {
    /// What is known of a name that is not UTF-8; nothing of another.
    pub fn of(name: &Name) -> Option<Self> {
        name.as_str().is_none().then(|| Self(name.clone()))
    }

    /// Its bytes, in base64.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.0.as_bytes())
    }

    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Why no request can name the image of this name, and what can be done.
    pub fn reason(&self, pool: &str, namespace: &str) -> String {
        let quoted = |bytes: &[u8]| format!("$'{}'", bytes.escape_ascii());
        let place = if namespace.is_empty() { pool.to_owned() } else { format!("{pool}/{namespace}") };
        let name = quoted(&[place.as_bytes(), b"/", self.0.as_bytes()].concat());
        format!(
            "Its name is not UTF-8, so no request can name it. Rename it with Ceph's own tool; in bash: \
             rbd rename {name} {}",
            quoted(format!("{place}/NEW-NAME").as_bytes())
        )
    }
}

/// Whether a new thing may have this name. Things that others named otherwise can still be read and removed.
///
/// # Errors
/// `invalid-field` with the field and what is allowed.
pub fn check_new_name(field: &str, name: &str) -> Result<(), Fault> {
    let wrong = if name.is_empty() {
        "is empty".to_owned()
    } else if name.chars().count() > NAME_LIMIT {
        format!("has {} characters", name.chars().count())
    } else if let Some(bad) = name.chars().find(|c| matches!(c, '/' | '@') || c.is_control()) {
        format!("holds {bad:?}")
    } else if name.starts_with('.') {
        "begins with a dot".to_owned()
    } else if name.trim() != name {
        "begins or ends with a space".to_owned()
    } else {
        return Ok(());
    };
    Err(Fault::field(
        field,
        wrong,
        format!(
            "1 to {NAME_LIMIT} characters without '/', '@' and control characters, not beginning with a dot or a space"
        ),
    ))
}
