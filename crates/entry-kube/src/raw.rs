//! Objects as they are written, of whatever kind: for whoever has to show them again.

use std::path::Path;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

use crate::api_error::describe_error;
use crate::directory;
use crate::error::Result;
use crate::list::PAGE;
use crate::read_bounds::ReadBounds;

/// The objects of the manifests of an export, those of lists among them, in the order of files and documents. What cannot be read is left
/// out: [`crate::DirectorySource::read_export`] names it.
///
/// # Errors
/// [`crate::Error::Directory`]: it is not there, or cannot be listed.
pub fn read_values(dir: &Path) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for mut value in directory::read_documents(dir, &ReadBounds::EXPORT)? {
        let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match value.get_mut("items").filter(|_| is_list).map(Value::take) {
            Some(Value::Array(items)) => all.extend(items),
            _ => all.push(value),
        }
    }
    Ok(all)
}

/// All objects of a kind of the API, of one namespace or of all.
///
/// # Errors
/// The API server does not give them: why, in a sentence.
pub async fn list_values(
    client: &Client,
    [group, version, kind]: [&str; 3],
    namespace: Option<&str>,
) -> Result<Vec<Value>, String> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(|error| describe_error(&error))?;
        for mut object in page.items {
            // A list does not repeat it.
            object.types =
                Some(kube::core::TypeMeta { api_version: resource.api_version.clone(), kind: kind.to_owned() });
            all.push(serde_json::to_value(object).map_err(|error| error.to_string())?);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}
