//! A policy that many objects ask for.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use entry_model::Policy;

/// A policy that is shared with all objects that ask for nothing, until this one asks for something.
#[derive(Debug, Clone)]
pub struct SharedPolicy(Arc<Policy>);

static DEFAULT: LazyLock<Arc<Policy>> = LazyLock::new(Arc::default);

impl SharedPolicy {
    /// The policy, shared.
    pub fn share(&self) -> Arc<Policy> {
        Arc::clone(&self.0)
    }
}

/// Whether a policy is the one of all that ask for nothing. One that is equal to it may not be.
pub fn is_shared_default(policy: &Arc<Policy>) -> bool {
    Arc::ptr_eq(policy, &DEFAULT)
}

impl Default for SharedPolicy {
    fn default() -> Self {
        Self(Arc::clone(&DEFAULT))
    }
}

impl Deref for SharedPolicy {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.0
    }
}

impl DerefMut for SharedPolicy {
    fn deref_mut(&mut self) -> &mut Policy {
        Arc::make_mut(&mut self.0)
    }
}
