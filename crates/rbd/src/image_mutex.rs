//! Turns: what this process does with one image at a time.
//!
//! librbd hands a change to the client that holds the image's lock, and hides from all who asked for the same that only the first
//! of them made it. So whoever wants to know whether it was its own looks first, and nobody comes between.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use rbd_model::fault::{Fault, Kind};

static HELD_IMAGES: Mutex<Option<HashSet<(i64, String)>>> = Mutex::new(None);
static RELEASED: Condvar = Condvar::new();

/// The turn at an image, until it is dropped.
#[derive(Debug)]
pub struct ImageMutexGuard {
    key: (i64, String),
}

impl ImageMutexGuard {
    /// Waits for the turn at the image of an id. Blocks.
    ///
    /// # Errors
    /// `busy` when it did not come in time.
    pub fn acquire(pool_id: i64, image_id: &str, deadline: Instant) -> Result<Self, Fault> {
        let key = (pool_id, image_id.to_owned());
        let mut taken = HELD_IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
        while !taken.get_or_insert_default().insert(key.clone()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::new(Kind::Busy, "Other requests for the same image took all the time.")
                    .correction("Repeat the call.")
                    .retry_after(1));
            }
            taken = RELEASED.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(Self { key })
    }
}

impl Drop for ImageMutexGuard {
    fn drop(&mut self) {
        HELD_IMAGES.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().remove(&self.key);
        RELEASED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn image_is_held_by_one_and_others_are_free() {
        let (within, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let deadline = Instant::now() + Duration::from_secs(30);
        let other = ImageMutexGuard::acquire(1, "b", deadline).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _guard = ImageMutexGuard::acquire(1, "a", deadline).unwrap();
                    assert_eq!(within.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    within.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.into_inner(), 8);
        assert_eq!(ImageMutexGuard::acquire(1, "b", Instant::now()).unwrap_err().kind(), Kind::Busy);
        drop(other);
        ImageMutexGuard::acquire(1, "b", Instant::now()).unwrap();
    }
}
