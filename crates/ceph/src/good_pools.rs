//! Which pools of a connection were found to be able to hold images.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::handle::Handle;

/// The option by which librbd asks.
const OPTION: &str = "rbd_validate_pool";

/// The pools of a connection that may hold images, by their ids. One that was found good stays so: its id is never used again.
#[derive(Debug)]
pub(crate) struct GoodPools {
    good: Mutex<HashSet<i64>>,
}

impl GoodPools {
    /// Has librbd ask no more on a connection on which nothing was done yet; none if nobody is to ask.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn take_over(handle: &mut Handle) -> Result<Option<Self>> {
        let wanted = handle.option(OPTION)? != "false";
        handle.set_option(OPTION, "false")?;
        Ok(wanted.then(|| Self { good: Mutex::default() }))
    }

    /// Whether a pool was found good.
    pub(crate) fn has(&self, id: i64) -> bool {
        self.good().contains(&id)
    }

    /// Notes that a pool is good.
    pub(crate) fn add(&self, id: i64) {
        self.good().insert(id);
    }

    fn good(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
