//! Queries, read strictly.

use rbd_model::fault::{Fault, Kind};
use serde::de::DeserializeOwned;

use crate::names;

/// A query's parameters.
///
/// # Errors
/// `invalid-field` with the parameter's name.
pub fn read<T: DeserializeOwned>(query: &str) -> Result<T, Fault> {
    names::check_utf8(query, "query")?;
    let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "query".to_owned() } else { path };
        Fault::new(Kind::InvalidField, format!("{field}: {}", error.inner()))
            .correction("See the endpoint's parameters in /openapi.json.")
            .with("field", field)
    })
}
