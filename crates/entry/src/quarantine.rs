//! Objects that are put aside until they change: nginx rejects them, a template cannot take them, or there is no room for them.

use std::collections::BTreeMap;

use entry_model::{Kind, Object, ObjectRef, Reason, Snapshot};

/// The objects that are put aside.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    objects: BTreeMap<ObjectRef, QuarantinedObject>,
}

#[derive(Debug)]
struct QuarantinedObject {
    /// As it was then: another version of it is not put aside.
    object: Object,
    aside: entry_translate::Quarantine,
}

impl Quarantine {
    /// Puts an object aside, and its paths with it if it was put aside already; false if there is nothing more of it to put aside, or
    /// it is not in the snapshot.
    pub(crate) fn put(&mut self, snapshot: &Snapshot, name: &ObjectRef, reason: Reason, message: String) -> bool {
        let Some(object) = snapshot.get(name) else { return false };
        let has_paths = matches!(name.kind, Kind::Service | Kind::Ingress);
        let (is_new, keeps_paths) = match self.objects.get(name) {
            None => (true, has_paths),
            Some(held) => (held.aside.keeps_paths, false),
        };
        let aside = entry_translate::Quarantine { reason, message, keeps_paths };
        self.objects.insert(name.clone(), QuarantinedObject { object, aside });
        is_new
    }

    /// Lets objects go that have changed.
    pub(crate) fn release_changed(&mut self, snapshot: &Snapshot) {
        self.objects.retain(|name, held| snapshot.get(name).as_ref() == Some(&held.object));
    }

    /// Lets objects go that were put aside for this reason.
    pub(crate) fn release(&mut self, reason: Reason) {
        self.objects.retain(|_, held| held.aside.reason != reason);
    }

    /// Why each object is put aside.
    pub(crate) fn reasons(&self) -> BTreeMap<ObjectRef, entry_translate::Quarantine> {
        self.objects.iter().map(|(name, held)| (name.clone(), held.aside.clone())).collect()
    }
}
