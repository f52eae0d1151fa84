//! How large an image may be, and how its data may be spread, for librbd to work with it.
//!
//! librbd takes sizes up to 2^64 - 1 and any number of objects in a stripe, and stores both. Its later arithmetic does not:
//! the number of objects of an image whose size is within one stripe of 2^64 wraps around to 0 (`Striper::get_num_objects`),
//! which ends the process in `DiffIterate` and `ObjectMap`; a stripe of a multiple of 2^32 objects ends it by a division by
//! zero. So the sizes of new images are an [`ImageSize`], and images that others made are looked at before they are walked.

use std::fmt;

use thiserror::Error;

use crate::{ImageHeader, Name};

/// The exponents of the size of an object that librbd takes for a new image: 4 KiB to 32 MiB.
const ORDERS: std::ops::RangeInclusive<u8> = 12..=25;
/// The order of an image that is made without one, unless the cluster is configured otherwise.
const DEFAULT_ORDER: u8 = 22;
/// The smallest striping unit, in bytes.
const MIN_UNIT_BYTES: u64 = 512;
/// The most units in a stripe. librbd keeps 16 bytes for each while it looks at the stripe.
pub const MAX_STRIPE_UNITS: u64 = 1 << 22;

/// The size of an image in bytes, at most [`ImageSize::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageSize(u64);

impl ImageSize {
    /// The largest size: 1 EiB. Far enough from 2^63, where offsets become negative in places, that no sum of a size, a
    /// stripe and an offset reaches it.
    pub const MAX: Self = Self(1 << 60);

    /// A size; `None` above [`ImageSize::MAX`].
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes <= Self::MAX.0 { Some(Self(bytes)) } else { None }
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for ImageSize {
    type Error = Unbounded;

    fn try_from(bytes: u64) -> Result<Self, Unbounded> {
        Self::new(bytes).ok_or(Unbounded::Size { bytes })
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What of an image is beyond what librbd can work with. Completes a sentence that begins with the image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unbounded {
    /// Its size.
    #[error("has a size of {bytes} bytes, more than the {max} (1 EiB) that librbd can walk", max = ImageSize::MAX)]
    Size {
        /// That size.
        bytes: u64,
    },
    /// The size of one of its snapshots.
    #[error(
        "has a snapshot {name:?} of {bytes} bytes, more than the {max} (1 EiB) that librbd can walk",
        name = snapshot.to_string(), max = ImageSize::MAX
    )]
    Snapshot {
        /// The snapshot.
        snapshot: Name,
        /// Its size.
        bytes: u64,
    },
    /// What it, or one of its snapshots, takes from its parent.
    #[error("takes {bytes} bytes from its parent, more than the {max} (1 EiB) that librbd can walk", max = ImageSize::MAX)]
    Overlap {
        /// How much that is.
        bytes: u64,
    },
    /// The size of its objects.
    #[error("has objects of 2^{order} bytes; librbd works with 2^12 (4 KiB) to 2^25 (32 MiB)")]
    ObjectSize {
        /// Its exponent.
        order: u8,
    },
    /// Its striping.
    #[error(
        "is striped in units of {unit_bytes} bytes over {count} objects of 2^{order} bytes; a unit must be 512 bytes or \
         more and divide an object, and a stripe may have 1 to 4194304 units"
    )]
    Striping {
        /// The unit.
        unit_bytes: u64,
        /// The number of objects.
        count: u64,
        /// The exponent of the size of an object.
        order: u8,
    },
}

/// Rejects striping that librbd cannot work with. Without an `order`, for objects of the usual size, or of the largest where
/// a unit is larger than that.
///
/// # Errors
/// [`Unbounded::Striping`], [`Unbounded::ObjectSize`].
pub fn check_striping(order: Option<u8>, unit_bytes: u64, count: u64) -> Result<(), Unbounded> {
    let usual = if unit_bytes <= 1 << DEFAULT_ORDER { DEFAULT_ORDER } else { *ORDERS.end() };
    let order = order.unwrap_or(usual);
    if !ORDERS.contains(&order) {
        return Err(Unbounded::ObjectSize { order });
    }
    let object_bytes = 1_u64 << order;
    let whole = unit_bytes >= MIN_UNIT_BYTES && object_bytes.is_multiple_of(unit_bytes);
    let units = |unit_bytes| count.saturating_mul(object_bytes / unit_bytes);
    if whole && (1..=MAX_STRIPE_UNITS).contains(&units(unit_bytes)) {
        return Ok(());
    }
    Err(Unbounded::Striping { unit_bytes, count, order })
}

impl ImageHeader {
    /// Whether the image itself takes data from its parent. Once it was flattened, or shrunk to nothing, only its snapshots may.
    pub fn takes_from_parent(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| parent.overlap_bytes.is_some_and(|bytes| bytes > 0))
    }

    /// Rejects a layout with which librbd fails even to remove the image.
    ///
    /// # Errors
    /// [`Unbounded::Striping`], [`Unbounded::ObjectSize`].
    pub fn check_layout(&self) -> Result<(), Unbounded> {
        let (unit_bytes, count) =
            self.striping.map_or((self.object_size_bytes(), 1), |striping| (striping.unit_bytes, striping.count));
        check_striping(Some(self.order), unit_bytes, count)
    }

    /// Rejects an image whose objects librbd cannot walk over: with such a layout, or too large, itself or in a snapshot.
    ///
    /// # Errors
    /// What is beyond the bounds.
    pub fn check_bounds(&self) -> Result<(), Unbounded> {
        self.check_layout()?;
        ImageSize::try_from(self.size_bytes)?;
        let too_large = |bytes: &u64| *bytes > ImageSize::MAX.bytes();
        if let Some(snapshot) = self.snapshots.iter().find(|snapshot| too_large(&snapshot.size_bytes)) {
            return Err(Unbounded::Snapshot { snapshot: snapshot.name.clone(), bytes: snapshot.size_bytes });
        }
        let own = self.parent.as_ref().and_then(|parent| parent.overlap_bytes);
        let overlaps = self.snapshots.iter().filter_map(|snapshot| snapshot.parent_overlap_bytes).chain(own);
        match overlaps.max().filter(too_large) {
            Some(bytes) => Err(Unbounded::Overlap { bytes }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_end_at_the_bound() {
        let max = ImageSize::MAX.bytes();
        for bytes in [0, 1, max - 1, max] {
            assert_eq!(ImageSize::try_from(bytes).map(ImageSize::bytes), Ok(bytes));
        }
        for bytes in [max + 1, 1 << 63, u64::MAX] {
            assert_eq!(ImageSize::new(bytes), None);
            assert_eq!(ImageSize::try_from(bytes), Err(Unbounded::Size { bytes }));
        }
    }

    #[test]
    fn stripes_that_librbd_divides_by_zero_on_or_cannot_keep_are_rejected() {
        for (order, unit_bytes, count) in [(22, 1 << 22, 1), (12, 512, 1 << 19), (25, 1 << 25, 1 << 22), (22, 4096, 16)]
        {
            assert_eq!(check_striping(Some(order), unit_bytes, count), Ok(()), "{order} {unit_bytes} {count}");
        }
        for (order, unit_bytes, count) in [
            (25, 1 << 25, 1 << 32),
            (22, 1 << 22, u64::MAX),
            (22, 1 << 22, 0),
            (22, 0, 1),
            (22, 256, 1),
            (22, 3000, 1),
            (22, 1 << 23, 1),
            (25, 512, 4096),
            (11, 512, 1),
            (63, 512, 1),
        ] {
            assert!(check_striping(Some(order), unit_bytes, count).is_err(), "{order} {unit_bytes} {count}");
        }
    }
}
