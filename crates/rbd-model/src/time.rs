//! Times.

use jiff::Timestamp;

/// A time as librbd keeps it; nothing for one that is none.
pub fn timestamp(at: rbd_format::Timestamp) -> Option<Timestamp> {
    Timestamp::new(i64::from(at.seconds), i32::try_from(at.nanoseconds).ok()?).ok()
}
