//! The namespaces of a pool as RADOS has them: a list in the default one, and in each an object that says that it may be used.

use std::time::Instant;

use ceph::{Errno, IoContext, OmapChange, omap_values};
use rbd_format::directory::{DIRECTORY_OBJECT, NAME_PREFIX, NAMESPACE_OBJECT, namespace_from_key};
use rbd_format::{DirectoryEntry, Name};
use rbd_model::fault::Fault;
use rbd_model::namespace::NamespaceState;

/// The key of the directory of images that says whether images may be added, and its value when they may.
const STATE_KEY: &[u8] = b"state";
const READY: &[u8] = &[0];

/// A namespace in the list of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedNamespace {
    /// Its name.
    pub name: Name,
    /// Whether it can be used.
    pub state: NamespaceState,
    /// Why it cannot.
    pub reason: Option<String>,
}

/// The namespaces of a pool, by name, without the default one.
///
/// # Errors
/// What reading the list gives; a list that is missing is an empty one.
pub fn list(whole: &IoContext, deadline: Instant) -> Result<Vec<ListedNamespace>, Fault> {
    let entries = match whole.omap_all(NAMESPACE_OBJECT, NAME_PREFIX, Some(deadline)) {
        Err(error) if error.is(Errno::ENOENT) => Vec::new(),
        entries => entries?,
    };
    let names: Vec<Name> = entries.iter().filter_map(|(key, _)| namespace_from_key(key)).collect();
    let places: Vec<IoContext> =
        names.iter().filter_map(usable_name).map(|name| whole.in_namespace(name)).collect::<ceph::Result<_>>()?;
    let mut read = omap_values(&places, DIRECTORY_OBJECT, &[STATE_KEY.to_vec()], Some(deadline)).into_iter();
    let listed = names.into_iter().map(|name| {
        let (state, reason) = match usable_name(&name).and_then(|_| read.next()) {
            Some(read) => state(read),
            None => (NamespaceState::Unusable, Some("Its name is empty, not UTF-8, or holds a NUL byte.".to_owned())),
        };
        ListedNamespace { name, state, reason }
    });
    Ok(listed.collect())
}

/// The name that calls of librados can be given.
fn usable_name(name: &Name) -> Option<&str> {
    name.as_str().filter(|name| !name.is_empty() && !name.contains('\0'))
}

/// What the directory of images in a namespace says of it.
fn state(read: ceph::Result<Vec<ceph::Entry>>) -> (NamespaceState, Option<String>) {
    let entries = match read {
        Ok(entries) => entries,
        Err(error) if error.is(Errno::ENOENT) => return (NamespaceState::Incomplete, Some(incomplete_reason())),
        Err(error) => return (NamespaceState::Unknown, Some(format!("It cannot be read: {error}."))),
    };
    let closed = entries.iter().any(|(key, value)| {
        matches!(DirectoryEntry::decode(key, value), Ok(Some(DirectoryEntry::State { ready: false })) | Err(_))
    });
    if closed { (NamespaceState::Incomplete, Some(incomplete_reason())) } else { (NamespaceState::Ready, None) }
}

fn incomplete_reason() -> String {
    "Its making or its removal was cut off; PUT it to finish it, or DELETE it.".to_owned()
}

/// A namespace of the list, by its name.
///
/// # Errors
/// As [`list`].
pub fn find(whole: &IoContext, name: &str, deadline: Instant) -> Result<Option<ListedNamespace>, Fault> {
    Ok(list(whole, deadline)?.into_iter().find(|listed| listed.name == *name))
}

/// Finishes a namespace whose making or removal was cut off; whether there was one. Blocks.
///
/// # Errors
/// What Ceph gives.
pub fn complete(whole: &IoContext, name: &str, deadline: Instant) -> Result<bool, Fault> {
    if !find(whole, name, deadline)?.is_some_and(|listed| listed.state == NamespaceState::Incomplete) {
        return Ok(false);
    }
    let set = vec![(STATE_KEY.to_vec(), READY.to_vec())];
    whole.in_namespace(name)?.omap_change(DIRECTORY_OBJECT, &OmapChange { set, ..OmapChange::default() })?;
    Ok(true)
}
