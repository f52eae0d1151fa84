//! Names: where things are, and which names new things may have.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rbd_format::Name;
use serde::{Deserialize, Serialize};

use crate::problem::{Kind, Problem};

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

/// The longest name of a new thing, in characters, as JSON Schema counts them. RBD object names carry it, which may have 2048
/// bytes.
pub const NAME_LIMIT: usize = 128;

/// The names that new things may have, as a regular expression (ECMA-262), but for their length. White space is what Unicode
/// has as such.
pub const PATTERN: &str =
    r"^[^\s./@\u0000-\u001F\u007F-\u009F](?:[^/@\u0000-\u001F\u007F-\u009F]*[^\s/@\u0000-\u001F\u007F-\u009F])?$";

/// Says of a name whether it is text, and how it is changed if it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotText(Name);

impl NotText {
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

/// Whether percent-encoded text stands for UTF-8. In a name of Ceph's any bytes can be, but paths and queries of this API
/// hold text.
///
/// # Errors
/// `bad-request`.
pub fn utf8(encoded: &str, what: &str) -> Result<(), Problem> {
    match percent_decode_str(encoded).decode_utf8() {
        Ok(_) => Ok(()),
        Err(_) => Err(Problem::new(Kind::BadRequest, format!("The {what} holds bytes that are not UTF-8."))
            .cause("Names that are not UTF-8 have a slash before them and `\\xNN` for such a byte in lists.")
            .correction(
                "Rename it to a name of UTF-8 with Ceph's own tools, such as `rbd rename`, and use that name.",
            )),
    }
}

/// Whether a new thing may have this name. Things that others named otherwise can still be read and removed.
///
/// # Errors
/// `invalid-field` with the field and what is allowed.
pub fn check_new(field: &str, name: &str) -> Result<(), Problem> {
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
    Err(Problem::field(
        field,
        wrong,
        format!(
            "1 to {NAME_LIMIT} characters without '/', '@' and control characters, not beginning with a dot or a space"
        ),
    ))
}
