//! Objects that are put aside until they change: nginx rejects them, a template cannot take them, or there is no room for them.

use std::collections::BTreeMap;

use entry_model::{Object, ObjectRef, Reason, Snapshot};

/// The objects that are put aside.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    objects: BTreeMap<ObjectRef, QuarantinedObject>,
}

#[derive(Debug)]
struct QuarantinedObject {
    /// As it was then: another version of it is not put aside.
    object: Object,
    reason: Reason,
    message: String,
}

impl Quarantine {
    /// Puts an object aside; false if it is not in the snapshot, or is put aside already.
    pub(crate) fn put(&mut self, snapshot: &Snapshot, name: &ObjectRef, reason: Reason, message: String) -> bool {
        let Some(object) = snapshot.get(name) else { return false };
        self.objects.insert(name.clone(), QuarantinedObject { object, reason, message }).is_none()
    }

    /// Lets objects go that have changed.
    pub(crate) fn release_changed(&mut self, snapshot: &Snapshot) {
        self.objects.retain(|name, held| snapshot.get(name).as_ref() == Some(&held.object));
    }

    /// Lets objects go that were put aside for this reason.
    pub(crate) fn release(&mut self, reason: Reason) {
        self.objects.retain(|_, held| held.reason != reason);
    }

    /// Why each object is put aside.
    pub(crate) fn reasons(&self) -> BTreeMap<ObjectRef, (Reason, String)> {
        self.objects.iter().map(|(name, held)| (name.clone(), (held.reason, held.message.clone()))).collect()
    }
}
