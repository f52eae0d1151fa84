//! How a new image is laid out: what a request may ask for, and what of it can be.
//!
//! The limits are those of librbd, `validate_layout`, `validate_features` and `validate_striping` in Ceph's
//! `src/librbd/image/CreateRequest.cc`, and of the object map, `src/cls/rbd/cls_rbd.cc`.

use ceph::{Cluster, ImageSize, ImageSpec};
use rbd_format::bounds::{MAX_STRIPE_UNITS, check_striping};

use crate::fault::Fault as Problem;
use crate::pool_use::refuse_foreign_data_pool;

/// The smallest image, in bytes. librbd takes 0 too, but such an image can hold nothing and most clients fail on it.
pub const MIN_SIZE_BYTES: u64 = 1;
/// The largest stripe, in objects. librbd sets no limit; this one only stops mistakes of unit.
const MAX_STRIPE_COUNT: u64 = 4096;
/// How many objects an object map can describe (`MAX_OBJECT_MAP_OBJECT_COUNT` in Ceph's `src/include/rbd_types.h`).
const MAX_MAPPED_OBJECTS: u64 = 256_000_000;
const MIN_ORDER: u8 = 12;
const MAX_ORDER: u8 = 25;

/// Bit of the feature `layering`.
pub const LAYERING: u64 = 1;
/// Bit of the feature `striping`, which follows from the layout.
pub const STRIPING: u64 = 1 << 1;
/// Bit of the feature `exclusive-lock`.
pub const EXCLUSIVE_LOCK: u64 = 1 << 2;
/// Bit of the feature `object-map`.
pub const OBJECT_MAP: u64 = 1 << 3;
/// Bit of the feature `fast-diff`.
pub const FAST_DIFF: u64 = 1 << 4;
/// Bit of the feature `deep-flatten`.
pub const DEEP_FLATTEN: u64 = 1 << 5;
/// Bit of the feature `journaling`.
pub const JOURNALING: u64 = 1 << 6;

/// The features a new image may be given, by name. The others follow from the rest of its layout and from its use.
pub const FEATURES: [(&str, u64); 6] = [
    ("layering", LAYERING),
    ("exclusive-lock", EXCLUSIVE_LOCK),
    ("object-map", OBJECT_MAP),
    ("fast-diff", FAST_DIFF),
    ("deep-flatten", DEEP_FLATTEN),
    ("journaling", JOURNALING),
];

/// What each feature needs another for.
pub const NEEDS: [(u64, u64); 3] =
    [(OBJECT_MAP, EXCLUSIVE_LOCK), (FAST_DIFF, OBJECT_MAP), (JOURNALING, EXCLUSIVE_LOCK)];

/// What a request asks for. What is `None` is the cluster's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Names of features, exactly these.
    pub features: Option<Vec<String>>,
    /// Size of the objects, in bytes.
    pub object_size_bytes: Option<u64>,
    /// Striping unit, in bytes.
    pub stripe_unit_bytes: Option<u64>,
    /// Objects a stripe goes over.
    pub stripe_count: Option<u64>,
    /// The pool of the data objects.
    pub data_pool: Option<String>,
}

/// The size that an image shall have.
///
/// # Errors
/// `invalid-field`.
pub fn image_size(field: &str, size_bytes: u64) -> Result<ImageSize, Problem> {
    image_size_from(MIN_SIZE_BYTES, field, size_bytes)
}

/// The same for an image made of bytes that come, which may be none.
///
/// # Errors
/// `invalid-field`.
pub fn image_size_or_empty(field: &str, size_bytes: u64) -> Result<ImageSize, Problem> {
    image_size_from(0, field, size_bytes)
}

fn image_size_from(least: u64, field: &str, size_bytes: u64) -> Result<ImageSize, Problem> {
    ImageSize::new(size_bytes).filter(|size| size.bytes() >= least).ok_or_else(|| {
        let allowed = format!("a number of bytes from {least} to {} (1 EiB)", ImageSize::MAX);
        Problem::field(field, format!("is {size_bytes}"), allowed)
    })
}

/// Features by name, as bits.
///
/// # Errors
/// `invalid-field` for one that is not among [`FEATURES`].
pub fn feature_bits(field: &str, names: &[String]) -> Result<u64, Problem> {
    names.iter().try_fold(0, |bits, name| match FEATURES.iter().find(|(known, _)| known == name) {
        Some((_, bit)) => Ok(bits | bit),
        None => {
            let follows = match name.as_str() {
                "striping" => " follows from stripeUnitBytes and stripeCount",
                "data-pool" => " follows from dataPool",
                "operations" | "migrating" | "non-primary" | "dirty-cache" => " follows from how the image is used",
                _ => " is not a feature",
            };
            Err(Problem::field(field, format!("{name:?}{follows}"), allowed_features()))
        }
    })
}

fn allowed_features() -> String {
    let names: Vec<&str> = FEATURES.iter().map(|(name, _)| *name).collect();
    format!("any of {}", names.join(", "))
}

/// The name of a feature bit.
pub fn feature_name(bit: u64) -> &'static str {
    FEATURES.iter().find(|(_, known)| *known == bit).map_or("unknown", |(name, _)| name)
}

/// A feature that is set without the one it needs.
pub fn unmet_need(features: u64) -> Option<(&'static str, &'static str)> {
    NEEDS
        .iter()
        .find(|(feature, needed)| features & feature != 0 && features & needed == 0)
        .map(|(feature, needed)| (feature_name(*feature), feature_name(*needed)))
}

impl Layout {
    /// As librbd takes it, checked as far as that goes without the cluster.
    ///
    /// # Errors
    /// `invalid-field` with the field and what is allowed.
    pub fn spec(&self) -> Result<ImageSpec, Problem> {
        let features = match &self.features {
            None => None,
            Some(names) => {
                let bits = feature_bits("features", names)?;
                if let Some((feature, needed)) = unmet_need(bits) {
                    let allowed = format!("{needed:?} too, or not {feature:?}");
                    return Err(Problem::field_conflict("features", format!("{feature:?} needs {needed:?}"), allowed));
                }
                Some(bits)
            }
        };
        let order = match self.object_size_bytes {
            None => None,
            Some(size) => Some(order("objectSizeBytes", size)?),
        };
        Ok(ImageSpec {
            features,
            order,
            striping: self.striping()?,
            data_pool: self.data_pool.clone(),
            ..ImageSpec::default()
        })
    }

    fn striping(&self) -> Result<Option<(u64, u64)>, Problem> {
        let (unit, count) = match (self.stripe_unit_bytes, self.stripe_count) {
            (None, None) => return Ok(None),
            (Some(unit), Some(count)) => (unit, count),
            (Some(_), None) => {
                return Err(Problem::field_conflict(
                    "stripeCount",
                    "is missing",
                    "stripeUnitBytes and stripeCount together",
                ));
            }
            (None, Some(_)) => {
                return Err(Problem::field_conflict(
                    "stripeUnitBytes",
                    "is missing",
                    "stripeUnitBytes and stripeCount together",
                ));
            }
        };
        let most = self.object_size_bytes.unwrap_or(1 << MAX_ORDER);
        let allowed = format!("a power of two from 512 to the object size, at most {most}");
        if !unit.is_power_of_two() || !(512..=1 << MAX_ORDER).contains(&unit) {
            return Err(Problem::field("stripeUnitBytes", format!("is {unit}"), allowed));
        }
        if unit > most {
            return Err(Problem::field_conflict("stripeUnitBytes", format!("is {unit}"), allowed));
        }
        if !(1..=MAX_STRIPE_COUNT).contains(&count) {
            return Err(Problem::field(
                "stripeCount",
                format!("is {count}"),
                format!("a number from 1 to {MAX_STRIPE_COUNT}"),
            ));
        }
        Ok(Some((unit, count)))
    }
}

/// The binary logarithm of a size of objects.
///
/// # Errors
/// `invalid-field`.
pub fn order(field: &str, size_bytes: u64) -> Result<u8, Problem> {
    let order = u8::try_from(size_bytes.trailing_zeros()).unwrap_or(0);
    if size_bytes.is_power_of_two() && (MIN_ORDER..=MAX_ORDER).contains(&order) {
        return Ok(order);
    }
    let allowed = format!("a power of two from {} (4 KiB) to {} (32 MiB)", 1 << MIN_ORDER, 1 << MAX_ORDER);
    Err(Problem::field(field, format!("is {size_bytes}"), allowed))
}

/// What of a layout only the cluster can say: whether the data pool exists, and whether size and striping go with the
/// cluster's defaults. Asks nothing over the network unless the pool is unknown.
///
/// # Errors
/// `invalid-field`; `foreign-pool` for a data pool of another application.
pub fn check_with_cluster(cluster: &Cluster, size: ImageSize, spec: &ImageSpec) -> Result<(), Problem> {
    if let Some(pool) = &spec.data_pool
        && cluster.pool_id(pool).is_err()
    {
        // Maybe made by another client a moment ago.
        cluster.refresh()?;
        if cluster.pool_id(pool).is_err() {
            let wrong = format!("there is no pool {pool:?}");
            return Err(Problem::field_conflict("dataPool", wrong, "the name of a pool that GET /api/v1/pools lists"));
        }
    }
    refuse_foreign_data_pool(cluster, spec.data_pool.as_deref())?;
    let order = spec.order.or_else(|| default_order(cluster)).unwrap_or(22);
    if let Some((unit, count)) = spec.striping
        && check_striping(Some(order), unit, count).is_err()
    {
        let allowed = format!(
            "a power of two from 512 to the object size, {}, of which a stripe has at most {MAX_STRIPE_UNITS}",
            1_u64 << order
        );
        return Err(Problem::field_conflict(
            "stripeUnitBytes",
            format!("is {unit} with a stripeCount of {count}"),
            allowed,
        ));
    }
    let features = spec.features.or_else(|| default_features(cluster)).unwrap_or(0);
    check_object_map(size, features, order)
}

/// Whether an object map can describe an image of that size, if it has one.
///
/// # Errors
/// `invalid-field`.
pub fn check_object_map(size: ImageSize, features: u64, order: u8) -> Result<(), Problem> {
    if features & OBJECT_MAP == 0 || size.bytes().div_ceil(1 << order) <= MAX_MAPPED_OBJECTS {
        return Ok(());
    }
    let most = MAX_MAPPED_OBJECTS << order;
    let allowed = format!(
        "at most {most} bytes with the feature object-map and objects of {} bytes, larger objects, or features \
         without object-map",
        1_u64 << order
    );
    Err(Problem::field_conflict("sizeBytes", format!("is {size}"), allowed))
}

fn default_order(cluster: &Cluster) -> Option<u8> {
    cluster.option("rbd_default_order").ok()?.parse().ok()
}

/// The option holds names or, in older configurations, the number.
fn default_features(cluster: &Cluster) -> Option<u64> {
    let text = cluster.option("rbd_default_features").ok()?;
    if let Ok(bits) = text.parse() {
        return Some(bits);
    }
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    Some(FEATURES.iter().filter(|(name, _)| names.contains(name)).fold(0, |bits, (_, bit)| bits | bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(layout: &Layout) -> String {
        let problem = layout.spec().unwrap_err();
        problem.member("field").unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn layouts_are_checked_field_by_field() {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let with = |features| Layout { features, ..Layout::default() };
        assert_eq!(Layout::default().spec().unwrap(), ImageSpec::default());
        assert_eq!(with(names(&[])).spec().unwrap().features, Some(0));
        assert_eq!(with(names(&["layering", "exclusive-lock"])).spec().unwrap().features, Some(5));
        for wrong in [&["object-map"][..], &["exclusive-lock", "fast-diff"], &["journaling"], &["striping"], &["x"]] {
            assert_eq!(refused(&with(names(wrong))), "features", "{wrong:?}");
        }
        for wrong in [0, 1, 2048, 5000, 1 << 26, u64::MAX] {
            let layout = Layout { object_size_bytes: Some(wrong), ..Layout::default() };
            assert_eq!(refused(&layout), "objectSizeBytes", "{wrong}");
        }
        let striped = |size, unit, count| Layout {
            object_size_bytes: size,
            stripe_unit_bytes: unit,
            stripe_count: count,
            ..Layout::default()
        };
        assert_eq!(striped(None, Some(65536), Some(8)).spec().unwrap().striping, Some((65536, 8)));
        assert_eq!(refused(&striped(None, Some(65536), None)), "stripeCount");
        assert_eq!(refused(&striped(None, None, Some(2))), "stripeUnitBytes");
        assert_eq!(refused(&striped(Some(4096), Some(8192), Some(2))), "stripeUnitBytes");
        assert_eq!(refused(&striped(None, Some(3000), Some(2))), "stripeUnitBytes");
        assert_eq!(refused(&striped(None, Some(4096), Some(0))), "stripeCount");
        let max = ImageSize::MAX.bytes();
        for wrong in [0, max + 1, 1 << 63, u64::MAX] {
            assert!(image_size("sizeBytes", wrong).is_err());
        }
        assert!(image_size("sizeBytes", max).is_ok());
        assert!(image_size_or_empty("sizeBytes", 0).is_ok());
    }
}
