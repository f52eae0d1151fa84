//! One kind, read from an API server.

use entry_model::{Key, Object, ObjectRef};
use kube::api::ListParams;
use kube::{Client, ResourceExt as _};

use crate::api_error::explain_read_error;
use crate::error::{Error, Result};
use crate::kinds::{KindInfo, ReadKind};
use crate::options::SourceOptions;

/// How many objects are asked for at once.
pub(crate) const PAGE: u32 = 500;
/// How often a list that was too slow for the API server is begun again.
const ATTEMPTS: usize = 3;

/// An object, or what is wrong with it.
pub(crate) type ReadObject = (ObjectRef, Result<Object, String>);

/// Reduces an object to what matters; `None` if nothing of it does.
pub(crate) fn reduce<K: ReadKind>(object: K) -> Option<ReadObject> {
    let reference = reference(&object);
    match object.convert() {
        Ok(None) => None,
        Ok(Some(object)) => Some((reference, Ok(object))),
        Err(error) => Some((reference, Err(error.to_string()))),
    }
}

pub(crate) fn reference<K: ReadKind>(object: &K) -> ObjectRef {
    let namespaced = KindInfo::of(K::KIND).is_some_and(|info| info.namespaced);
    let namespace = object.namespace().filter(|_| namespaced).unwrap_or_default();
    ObjectRef::new(K::KIND, Key { namespace, name: object.name_any() })
}

/// Lists all objects of a kind, in pages.
///
/// # Errors
/// [`Error::List`]: nothing less than all is an answer.
pub(crate) async fn list<K: ReadKind>(client: &Client, options: &SourceOptions) -> Result<Vec<ReadObject>> {
    let api = K::api(client, options);
    let selectors = KindInfo::of(K::KIND).map(|info| info.selectors(options)).unwrap_or_default();
    let first = ListParams {
        label_selector: selectors.labels,
        field_selector: selectors.fields,
        limit: Some(PAGE),
        ..ListParams::default()
    };
    let mut objects = Vec::new();
    let mut params = first.clone();
    let mut attempt = 1;
    loop {
        match api.list(&params).await {
            Ok(page) => {
                objects.extend(page.items.into_iter().filter_map(reduce));
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => return Ok(objects),
                }
            }
            // etcd was compacted between two pages.
            Err(kube::Error::Api(status)) if status.code == 410 && attempt < ATTEMPTS => {
                attempt += 1;
                objects.clear();
                params = first.clone();
            }
            Err(error) => {
                let message = explain_read_error(K::KIND, r#""list""#, &error);
                let forbidden = matches!(&error, kube::Error::Api(status) if status.code == 403);
                return Err(Error::List { kind: K::KIND, message, forbidden });
            }
        }
    }
}
