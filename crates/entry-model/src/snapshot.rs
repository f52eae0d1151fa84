//! What is known of a cluster at a moment: its objects, by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ConfigMap, EndpointSlice, HostOwners, Ingress, IngressClass, Key, Meta, Namespace, Node, ObjectRef, Secret,
    Service, SortedMap,
};

/// Makes all that there is one of for each kind, of a row for each. The name of a kind is that of its type.
macro_rules! kinds {
    ($($(#[$documentation:meta])* $kind:ident in $field:ident;)+) => {
        /// The kinds of objects that matter here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$documentation])* $kind,)+
            /// No object: a file of a directory, or a part of one, that cannot be read as any. Its name is `FILE` or
            /// `FILE:LINE`.
            Manifest,
        }

        impl Kind {
            /// The kinds of which there are objects.
            pub const ALL: &[Self] = &[$(Self::$kind),+];
        }

        /// An object of a snapshot.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Object {
            $($(#[$documentation])* $kind(Arc<$kind>),)+
        }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)+
                }
            }

            /// What all objects have.
            pub fn meta(&self) -> &Meta {
                match self {
                    $(Self::$kind(object) => &object.meta,)+
                }
            }
        }

        $(
            impl From<$kind> for Object {
                fn from(object: $kind) -> Self {
                    Self::$kind(Arc::new(object))
                }
            }
        )+

        /// All objects known at a moment. Cheap to clone, and to compare with one that it was cloned of.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$documentation])* pub $field: SortedMap<Arc<Key>, Arc<$kind>>,)+
            /// Which namespace holds what since earlier, as the source has it written down.
            pub host_owners: Arc<HostOwners>,
            /// Objects that could not be read, and why. One whose last good version is still in force is named as `Manifest`.
            pub unreadable: BTreeMap<ObjectRef, String>,
        }

        impl Snapshot {
            /// The object of this kind and name.
            pub fn get(&self, object: &ObjectRef) -> Option<Object> {
                match object.kind {
                    $(Kind::$kind => self.$field.get(&*object.key).cloned().map(Object::$kind),)+
                    Kind::Manifest => None,
                }
            }

            /// Puts an object in, in place of one of its name; whether that changes anything.
            pub fn put(&mut self, object: impl Into<Object>) -> bool {
                match object.into() {
                    $(Object::$kind(object) => {
                        let key = Arc::new(object.meta.key());
                        if self.$field.get(&*key) == Some(&object) {
                            return false;
                        }
                        self.$field.insert(key, object);
                    })+
                }
                true
            }

            /// Takes an object out; whether it was there.
            pub fn remove(&mut self, object: &ObjectRef) -> bool {
                match object.kind {
                    $(Kind::$kind => self.$field.remove(&*object.key).is_some(),)+
                    Kind::Manifest => false,
                }
            }

            /// The names of all objects of a kind, in their order.
            pub fn keys(&self, kind: Kind) -> Box<dyn Iterator<Item = &Arc<Key>> + '_> {
                match kind {
                    $(Kind::$kind => Box::new(self.$field.keys()),)+
                    Kind::Manifest => Box::new(std::iter::empty()),
                }
            }
        }
    };
}

kinds! {
    /// `v1` Service.
    Service in services;
    /// `networking.k8s.io/v1` Ingress.
    Ingress in ingresses;
    /// `networking.k8s.io/v1` `IngressClass`.
    IngressClass in classes;
    /// `v1` Secret of the type `kubernetes.io/tls`, or one that annotations may name.
    Secret in secrets;
    /// `v1` `ConfigMap` that something names. From a directory, all are here.
    ConfigMap in config_maps;
    /// `discovery.k8s.io/v1` `EndpointSlice`.
    EndpointSlice in endpoint_slices;
    /// `v1` Node.
    Node in nodes;
    /// `v1` Namespace that has something to say.
    Namespace in namespaces;
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Object {
    /// Its kind and name.
    pub fn reference(&self) -> ObjectRef {
        self.meta().object(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_that_is_put_twice_changes_nothing() {
        let meta = |namespace: &str| Meta { namespace: namespace.to_owned(), name: "a".to_owned(), ..Meta::default() };
        let class =
            |controller: &str| IngressClass { meta: meta(""), controller: controller.to_owned(), default: false };
        let mut snapshot = Snapshot::default();
        assert!(snapshot.put(class("x")) && !snapshot.put(class("x")));
        let before = snapshot.clone();
        assert!(snapshot.put(class("y")));
        let object = Object::from(class("y"));
        assert_eq!(snapshot.get(&object.reference()), Some(object.clone()));
        assert_eq!(snapshot.keys(Kind::IngressClass).map(|key| key.name.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_ne!(snapshot, before);
        assert!(snapshot.remove(&object.reference()) && !snapshot.remove(&object.reference()));
        assert_eq!((snapshot.keys(Kind::IngressClass).count(), snapshot.get(&object.reference())), (0, None));
        assert_eq!(before.get(&object.reference()), Some(class("x").into()));
    }
}
