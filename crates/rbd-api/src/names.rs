//! Names: where things are, and which names new things may have.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

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

impl Place {
    /// Its path below `/api/v1`.
    pub fn path(&self) -> String {
        let pool = segment(&self.pool);
        if self.namespace.is_empty() {
            format!("/pools/{pool}")
        } else {
            format!("/pools/{pool}/namespaces/{}", segment(&self.namespace))
        }
    }
}

/// The bytes that a segment of a path may hold as they are (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as one segment of a path.
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// The longest name of a new thing, in bytes. RBD object names carry it, and Kubernetes' volume handles.
pub const NAME_LIMIT_BYTES: usize = 128;

/// Whether a new thing may have this name. Things that others named otherwise can still be read and removed.
///
/// # Errors
/// `invalid-field` with the field and what is allowed.
pub fn check_new(field: &str, name: &str) -> Result<(), Problem> {
    let wrong = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > NAME_LIMIT_BYTES {
        format!("has {} bytes", name.len())
    } else if let Some(bad) = name.chars().find(|c| matches!(c, '/' | '@') || c.is_control()) {
        format!("holds {bad:?}")
    } else if name.starts_with('.') {
        "begins with a dot".to_owned()
    } else if name.trim() != name {
        "begins or ends with a space".to_owned()
    } else {
        return Ok(());
    };
    Err(Problem::field(
        field,
        wrong,
        format!(
            "1 to {NAME_LIMIT_BYTES} bytes of UTF-8 without '/', '@' and control characters, not beginning with a dot or a space"
        ),
    ))
}
