//! Which objects name another one.

use std::collections::BTreeSet;

use entry_model::{Key, Kind, ObjectRef};

/// The objects that name a Service or a Secret, as backends, for certificates or in annotations: pairs of both, in their order, since
/// there are as many as objects, and few have more than one.
#[derive(Debug, Default)]
pub struct ObjectUsers(BTreeSet<(ObjectRef, ObjectRef)>);

impl ObjectUsers {
    /// The objects that name this one.
    pub fn of<'a>(&'a self, named: &'a ObjectRef) -> impl Iterator<Item = &'a ObjectRef> {
        let least = Key { namespace: String::new(), name: String::new() };
        let from = self.0.range((named.clone(), ObjectRef::new(Kind::ALL[0], least))..);
        from.take_while(move |(of, _)| of == named).map(|(_, user)| user)
    }

    /// Notes that one names the other.
    pub fn insert(&mut self, named: ObjectRef, user: ObjectRef) {
        self.0.insert((named, user));
    }

    /// Notes that one names the other no more.
    pub fn remove(&mut self, named: ObjectRef, user: ObjectRef) {
        self.0.remove(&(named, user));
    }
}

impl FromIterator<(ObjectRef, ObjectRef)> for ObjectUsers {
    /// Of pairs of an object and one that names it.
    fn from_iter<I: IntoIterator<Item = (ObjectRef, ObjectRef)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_an_object_are_those_that_name_it_and_no_others() {
        let object =
            |kind, name: &str| ObjectRef::new(kind, Key { namespace: "shop".to_owned(), name: name.to_owned() });
        let pairs = [
            (Kind::Service, "b", Kind::Ingress, "two"),
            (Kind::Service, "a", Kind::Ingress, "one"),
            (Kind::Service, "b", Kind::Ingress, "one"),
            (Kind::Service, "bb", Kind::Ingress, "one"),
            (Kind::Service, "b", Kind::Service, "b"),
            (Kind::Secret, "b", Kind::Ingress, "three"),
        ];
        let pair = |(of, named, kind, name)| (object(of, named), object(kind, name));
        let mut users: ObjectUsers = pairs.into_iter().map(pair).collect();
        let of = |users: &ObjectUsers, kind, name| {
            users.of(&object(kind, name)).map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(&users, Kind::Service, "b"), ["Service shop/b", "Ingress shop/one", "Ingress shop/two"]);
        assert_eq!(of(&users, Kind::Secret, "b"), ["Ingress shop/three"]);
        users.remove(object(Kind::Service, "b"), object(Kind::Ingress, "one"));
        users.insert(object(Kind::Service, "c"), object(Kind::Ingress, "one"));
        assert_eq!(of(&users, Kind::Service, "b"), ["Service shop/b", "Ingress shop/two"]);
        for (service, expected) in [("a", 1), ("bb", 1), ("c", 1), ("d", 0)] {
            assert_eq!(of(&users, Kind::Service, service), vec!["Ingress shop/one"; expected]);
        }
    }
}
