//! Which Ingresses name a Service.

use std::collections::BTreeSet;
use std::sync::Arc;

use entry_model::Key;

/// The Ingresses that name a Service: pairs of both, in their order, since there are as many as Ingresses, and few have more
/// than one.
#[derive(Debug, Default)]
pub struct ServiceUsers(BTreeSet<(Arc<Key>, Arc<Key>)>);

impl ServiceUsers {
    /// The Ingresses that name this Service.
    pub fn of<'a>(&'a self, service: &'a Arc<Key>) -> impl Iterator<Item = &'a Arc<Key>> {
        let least = Key { namespace: String::new(), name: String::new() };
        let from = self.0.range((Arc::clone(service), Arc::new(least))..);
        from.take_while(move |(named, _)| named == service).map(|(_, ingress)| ingress)
    }

    /// Notes that an Ingress names a Service.
    pub fn insert(&mut self, service: Arc<Key>, ingress: Arc<Key>) {
        self.0.insert((service, ingress));
    }

    /// Notes that an Ingress names a Service no more.
    pub fn remove(&mut self, service: Arc<Key>, ingress: Arc<Key>) {
        self.0.remove(&(service, ingress));
    }
}

impl FromIterator<(Arc<Key>, Arc<Key>)> for ServiceUsers {
    /// Of pairs of a Service and an Ingress that names it.
    fn from_iter<I: IntoIterator<Item = (Arc<Key>, Arc<Key>)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_a_service_are_those_that_name_it_and_no_others() {
        let key = |name: &str| Arc::new(Key { namespace: "shop".to_owned(), name: name.to_owned() });
        let pairs = [("b", "two"), ("a", "one"), ("b", "one"), ("bb", "one")];
        let mut users: ServiceUsers =
            pairs.map(|(service, ingress)| (key(service), key(ingress))).into_iter().collect();
        let of =
            |users: &ServiceUsers, service| users.of(&key(service)).map(|key| key.name.clone()).collect::<Vec<_>>();
        assert_eq!(of(&users, "b"), ["one", "two"]);
        users.remove(key("b"), key("one"));
        users.insert(key("c"), key("one"));
        let all = ["a", "b", "bb", "c", "d"].map(|service| of(&users, service));
        assert_eq!(all, [vec!["one"], vec!["two"], vec!["one"], vec!["one"], vec![]]);
    }
}
