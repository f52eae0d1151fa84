//! Whether a pool may hold images: asked once, not for every image.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::handle::Handle;

/// The option by which librbd reads `rbd_info` of the pool before it makes an image, to see that somebody has tried whether
/// the pool can take snapshots of images. See `ValidatePoolRequest` in Ceph's `src/librbd/image`.
const OPTION: &str = "rbd_validate_pool";

/// Where an image's data goes: the pool's id, and the name of the pool for data if another is asked for.
type Target = (i64, Option<String>);

/// What librbd has looked at on a connection. A pool that was found good stays so: its id is never used again.
#[derive(Debug, Default)]
pub(crate) struct Validation(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether librbd shall look at all, by the configuration; asked for once.
    wanted: Option<bool>,
    good: HashSet<Target>,
    /// Calls that go on with the option on. It is for the whole connection.
    looking: usize,
}

impl Validation {
    /// Runs `make`, during which librbd looks at the target if it has not before.
    pub(crate) fn once<T>(
        &self,
        handle: &Handle,
        target: (i64, Option<&str>),
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let target = (target.0, target.1.map(str::to_owned));
        {
            let mut state = self.state();
            let wanted = *state.wanted.get_or_insert_with(|| handle.option(OPTION).is_ok_and(|value| value != "false"));
            if !wanted || state.good.contains(&target) {
                drop(state);
                return make();
            }
            handle.set_option(OPTION, "true")?;
            state.looking += 1;
        }
        let result = make();
        let mut state = self.state();
        state.looking -= 1;
        if result.is_ok() {
            state.good.insert(target);
        }
        if state.looking == 0 {
            // If not, more is looked at than need be.
            let _ = handle.set_option(OPTION, "false");
        }
        result
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
