//! Policies, each value once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::Policy;

/// Names a policy among those of the same [`Policies`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(pub u32);

/// Policies, each value once. The number of one stays the same as long as it is there, whatever comes and goes beside it; what
/// a number stands for is known here only, so two sets that hold the same may number it differently.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// By number; none where a policy is gone.
    slots: Vec<Option<Arc<Policy>>>,
    ids: HashMap<Arc<Policy>, PolicyId>,
    /// Numbers of policies that are gone.
    free: Vec<PolicyId>,
}

impl Policies {
    /// The number of a policy, which is added if it is not there.
    ///
    /// # Panics
    /// There are more than 2^32.
    pub fn intern(&mut self, policy: &Policy) -> PolicyId {
        if let Some(id) = self.ids.get(policy) {
            return *id;
        }
        let policy = Arc::new(policy.clone());
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            PolicyId(u32::try_from(self.slots.len() - 1).expect("each has more than one byte, so memory ends before"))
        });
        self.slots[id.0 as usize] = Some(Arc::clone(&policy));
        self.ids.insert(policy, id);
        id
    }

    /// The policy of a number.
    pub fn get(&self, id: PolicyId) -> Option<&Arc<Policy>> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    /// Takes out those that are not in use any more.
    pub fn retain(&mut self, mut used: impl FnMut(PolicyId) -> bool) {
        for (slot, number) in self.slots.iter_mut().zip(0..) {
            let id = PolicyId(number);
            if let Some(policy) = slot.take_if(|_| !used(id)) {
                self.ids.remove(&policy);
                self.free.push(id);
            }
        }
    }

    /// Takes out one.
    pub fn remove(&mut self, id: PolicyId) {
        if let Some(policy) = self.slots.get_mut(id.0 as usize).and_then(Option::take) {
            self.ids.remove(&policy);
            self.free.push(id);
        }
    }

    /// All of them, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (PolicyId, &Arc<Policy>)> {
        let numbered = self.slots.iter().zip(0..);
        numbered.filter_map(|(policy, number)| Some((PolicyId(number), policy.as_ref()?)))
    }

    /// How many numbers there are, those of policies that are gone among them: all are below this.
    pub fn id_count(&self) -> usize {
        self.slots.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl std::ops::Index<PolicyId> for Policies {
    type Output = Policy;

    /// The policy of a number; one that asks for nothing if there is none of this number.
    fn index(&self, id: PolicyId) -> &Policy {
        static NONE: LazyLock<Policy> = LazyLock::new(Policy::default);
        self.get(id).map_or(&NONE, |policy| policy)
    }
}
