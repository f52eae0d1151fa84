//! Which objects name a Service.

use std::collections::BTreeSet;
use std::sync::Arc;

use entry_model::{Key, Kind, ObjectRef};

/// The objects that name a Service, as backends or in annotations: pairs of both, in their order, since there are as many as objects,
/// and few have more than one.
#[derive(Debug, Default)]
pub struct ServiceUsers(BTreeSet<(Arc<Key>, ObjectRef)>);

impl ServiceUsers {
    /// The objects that name this Service.
    pub fn of<'a>(&'a self, service: &'a Arc<Key>) -> impl Iterator<Item = &'a ObjectRef> {
        let least = Key { namespace: String::new(), name: String::new() };
        let from = self.0.range((Arc::clone(service), ObjectRef::new(Kind::ALL[0], least))..);
        from.take_while(move |(named, _)| named == service).map(|(_, object)| object)
    }

    /// Notes that an object names a Service.
    pub fn insert(&mut self, service: Arc<Key>, object: ObjectRef) {
        self.0.insert((service, object));
    }

    /// Notes that an object names a Service no more.
    pub fn remove(&mut self, service: Arc<Key>, object: ObjectRef) {
        self.0.remove(&(service, object));
    }
}

impl FromIterator<(Arc<Key>, ObjectRef)> for ServiceUsers {
    /// Of pairs of a Service and an object that names it.
    fn from_iter<I: IntoIterator<Item = (Arc<Key>, ObjectRef)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_a_service_are_those_that_name_it_and_no_others() {
        let key = |name: &str| Key { namespace: "shop".to_owned(), name: name.to_owned() };
        let object = |kind, name: &str| ObjectRef::new(kind, key(name));
        let pairs = [
            ("b", Kind::Ingress, "two"),
            ("a", Kind::Ingress, "one"),
            ("b", Kind::Ingress, "one"),
            ("bb", Kind::Ingress, "one"),
            ("b", Kind::Service, "b"),
        ];
        let mut users: ServiceUsers =
            pairs.map(|(service, kind, name)| (key(service).into(), object(kind, name))).into_iter().collect();
        let of =
            |users: &ServiceUsers, service| users.of(&key(service).into()).map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of(&users, "b"), ["Service shop/b", "Ingress shop/one", "Ingress shop/two"]);
        users.remove(key("b").into(), object(Kind::Ingress, "one"));
        users.insert(key("c").into(), object(Kind::Ingress, "one"));
        assert_eq!(of(&users, "b"), ["Service shop/b", "Ingress shop/two"]);
        for (service, expected) in [("a", 1), ("bb", 1), ("c", 1), ("d", 0)] {
            assert_eq!(of(&users, service), vec!["Ingress shop/one"; expected]);
        }
    }
}
