//! Metadata of images: text by keys, which clients and this service keep with an image.

use crate::fault::Fault;

/// The longest key, in characters.
const KEY_LIMIT: usize = 256;
/// The longest value, in characters.
const VALUE_LIMIT: usize = 16 << 10;

/// Whether clients may set this metadata entry. Larger values would make every listing slow.
///
/// # Errors
/// `invalid-field`.
pub fn check_metadata(field: &str, key: &str, value: &str) -> Result<(), Fault> {
    let wrong = if key.is_empty() {
        "a key is empty".to_owned()
    } else if key.chars().count() > KEY_LIMIT {
        format!("a key has {} characters", key.chars().count())
    } else if let Some(bad) = key.chars().find(|c| c.is_control()) {
        format!("the key {key:?} holds {bad:?}")
    } else if key.starts_with("sparrow.") || key.starts_with('.') {
        format!("the key {key:?} is reserved")
    } else if key.starts_with("conf_") {
        format!("the key {key:?} changes how clients treat the image")
    } else if value.chars().count() > VALUE_LIMIT {
        format!("the value of {key:?} has {} characters", value.chars().count())
    } else if value.contains('\0') {
        format!("the value of {key:?} holds a NUL byte")
    } else {
        return Ok(());
    };
    let allowed = format!(
        "keys of 1 to {KEY_LIMIT} characters without control characters, not beginning with 'sparrow.', '.' or \
         'conf_' (limits are set with PUT …/qos), and values of up to {VALUE_LIMIT} characters"
    );
    Err(Fault::field(field, wrong, allowed))
}
