//! How a new image is laid out: what a request may ask for, and what of it can be.
//!
//! The limits are those of librbd, `validate_layout`, `validate_features` and `validate_striping` in Ceph's
//! `src/librbd/image/CreateRequest.cc`, and of the object map, `src/cls/rbd/cls_rbd.cc`.

use ceph::{Cluster, ImageSize, ImageSpec};
use rbd_format::bounds::{MAX_STRIPE_UNITS, check_striping};
use rbd_model::fault::Fault;
use rbd_model::features::{FEATURES, MIN_IMAGE_SIZE_BYTES, OBJECT_MAP, feature_bits, unmet_need};
use rbd_model::layout::Layout;

use crate::pool_applications::reject_foreign_data_pool;

/// The largest stripe, in objects. librbd sets no limit; this one only stops mistakes of unit.
const MAX_STRIPE_COUNT: u64 = 4096;
/// How many objects an object map can describe (`MAX_OBJECT_MAP_OBJECT_COUNT` in Ceph's `src/include/rbd_types.h`).
const MAX_MAPPED_OBJECTS: u64 = 256_000_000;
const MIN_ORDER: u8 = 12;
const MAX_ORDER: u8 = 25;

/// The size that an image shall have.
///
/// # Errors
/// `invalid-field`.
pub fn image_size(field: &str, size_bytes: u64) -> Result<ImageSize, Fault> {
    image_size_from(MIN_IMAGE_SIZE_BYTES, field, size_bytes)
}

/// The same for an image made of bytes that come, which may be none.
///
/// # Errors
/// `invalid-field`.
pub fn image_size_or_empty(field: &str, size_bytes: u64) -> Result<ImageSize, Fault> {
    image_size_from(0, field, size_bytes)
}

fn image_size_from(least: u64, field: &str, size_bytes: u64) -> Result<ImageSize, Fault> {
    ImageSize::new(size_bytes).filter(|size| size.bytes() >= least).ok_or_else(|| {
        let allowed = format!("a number of bytes from {least} to {} (1 EiB)", ImageSize::MAX);
        Fault::field(field, format!("is {size_bytes}"), allowed)
    })
}

/// As librbd takes it, checked as far as that goes without the cluster.
///
/// # Errors
/// `invalid-field` with the field and what is allowed.
pub fn spec(layout: &Layout) -> Result<ImageSpec, Fault> {
    let features = match &layout.features {
        None => None,
        Some(names) => {
            let bits = feature_bits("features", names)?;
            if let Some((feature, needed)) = unmet_need(bits) {
                let allowed = format!("{needed:?} too, or not {feature:?}");
                return Err(Fault::field_conflict("features", format!("{feature:?} needs {needed:?}"), allowed));
            }
            Some(bits)
        }
    };
    let order = match layout.object_size_bytes {
        None => None,
        Some(size) => Some(order("objectSizeBytes", size)?),
    };
    Ok(ImageSpec {
        features,
        order,
        striping: striping(layout)?,
        data_pool: layout.data_pool.clone(),
        ..ImageSpec::default()
    })
}

fn striping(layout: &Layout) -> Result<Option<(u64, u64)>, Fault> {
    let (unit, count) = match (layout.stripe_unit_bytes, layout.stripe_count) {
        (None, None) => return Ok(None),
        (Some(unit), Some(count)) => (unit, count),
        (Some(_), None) => {
            return Err(Fault::field_conflict("stripeCount", "is missing", "stripeUnitBytes and stripeCount together"));
        }
        (None, Some(_)) => {
            return Err(Fault::field_conflict(
                "stripeUnitBytes",
                "is missing",
                "stripeUnitBytes and stripeCount together",
            ));
        }
    };
    let most = layout.object_size_bytes.unwrap_or(1 << MAX_ORDER);
    let allowed = format!("a power of two from 512 to the object size, at most {most}");
    if !unit.is_power_of_two() || !(512..=1 << MAX_ORDER).contains(&unit) {
        return Err(Fault::field("stripeUnitBytes", format!("is {unit}"), allowed));
    }
    if unit > most {
        return Err(Fault::field_conflict("stripeUnitBytes", format!("is {unit}"), allowed));
    }
    if !(1..=MAX_STRIPE_COUNT).contains(&count) {
        return Err(Fault::field(
            "stripeCount",
            format!("is {count}"),
            format!("a number from 1 to {MAX_STRIPE_COUNT}"),
        ));
    }
    Ok(Some((unit, count)))
}

/// The binary logarithm of a size of objects.
///
/// # Errors
/// `invalid-field`.
pub fn order(field: &str, size_bytes: u64) -> Result<u8, Fault> {
    let order = u8::try_from(size_bytes.trailing_zeros()).unwrap_or(0);
    if size_bytes.is_power_of_two() && (MIN_ORDER..=MAX_ORDER).contains(&order) {
        return Ok(order);
    }
    let allowed = format!("a power of two from {} (4 KiB) to {} (32 MiB)", 1 << MIN_ORDER, 1 << MAX_ORDER);
    Err(Fault::field(field, format!("is {size_bytes}"), allowed))
}

/// What of a layout only the cluster can say: whether the data pool exists, and whether size and striping go with the
/// cluster's defaults. Asks nothing over the network unless the pool is unknown.
///
/// # Errors
/// `invalid-field`; `foreign-pool` for a data pool of another application.
pub fn check_with_cluster(cluster: &Cluster, size: ImageSize, spec: &ImageSpec) -> Result<(), Fault> {
    if let Some(pool) = &spec.data_pool
        && cluster.pool_id(pool).is_err()
    {
        // Maybe made by another client a moment ago.
        cluster.refresh()?;
        if cluster.pool_id(pool).is_err() {
            let wrong = format!("there is no pool {pool:?}");
            return Err(Fault::field_conflict("dataPool", wrong, "the name of a pool that GET /api/v1/pools lists"));
        }
    }
    reject_foreign_data_pool(cluster, spec.data_pool.as_deref())?;
    let order = spec.order.or_else(|| default_order(cluster)).unwrap_or(22);
    if let Some((unit, count)) = spec.striping
        && check_striping(Some(order), unit, count).is_err()
    {
        let allowed = format!(
            "a power of two from 512 to the object size, {}, of which a stripe has at most {MAX_STRIPE_UNITS}",
            1_u64 << order
        );
        return Err(Fault::field_conflict(
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
pub fn check_object_map(size: ImageSize, features: u64, order: u8) -> Result<(), Fault> {
    if features & OBJECT_MAP == 0 || size.bytes().div_ceil(1 << order) <= MAX_MAPPED_OBJECTS {
        return Ok(());
    }
    let most = MAX_MAPPED_OBJECTS << order;
    let allowed = format!(
        "at most {most} bytes with the feature object-map and objects of {} bytes, larger objects, or features \
         without object-map",
        1_u64 << order
    );
    Err(Fault::field_conflict("sizeBytes", format!("is {size}"), allowed))
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

    fn rejected(layout: &Layout) -> String {
        let fault = spec(layout).unwrap_err();
        fault.member("field").unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn layouts_are_checked_field_by_field() {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let with = |features| Layout { features, ..Layout::default() };
        assert_eq!(spec(&Layout::default()).unwrap(), ImageSpec::default());
        assert_eq!(spec(&with(names(&[]))).unwrap().features, Some(0));
        assert_eq!(spec(&with(names(&["layering", "exclusive-lock"]))).unwrap().features, Some(5));
        for wrong in [&["object-map"][..], &["exclusive-lock", "fast-diff"], &["journaling"], &["striping"], &["x"]] {
            assert_eq!(rejected(&with(names(wrong))), "features", "{wrong:?}");
        }
        for wrong in [0, 1, 2048, 5000, 1 << 26, u64::MAX] {
            let layout = Layout { object_size_bytes: Some(wrong), ..Layout::default() };
            assert_eq!(rejected(&layout), "objectSizeBytes", "{wrong}");
        }
        let striped = |size, unit, count| Layout {
            object_size_bytes: size,
            stripe_unit_bytes: unit,
            stripe_count: count,
            ..Layout::default()
        };
        assert_eq!(spec(&striped(None, Some(65536), Some(8))).unwrap().striping, Some((65536, 8)));
        assert_eq!(rejected(&striped(None, Some(65536), None)), "stripeCount");
        assert_eq!(rejected(&striped(None, None, Some(2))), "stripeUnitBytes");
        assert_eq!(rejected(&striped(Some(4096), Some(8192), Some(2))), "stripeUnitBytes");
        assert_eq!(rejected(&striped(None, Some(3000), Some(2))), "stripeUnitBytes");
        assert_eq!(rejected(&striped(None, Some(4096), Some(0))), "stripeCount");
        let max = ImageSize::MAX.bytes();
        for wrong in [0, max + 1, 1 << 63, u64::MAX] {
            assert!(image_size("sizeBytes", wrong).is_err());
        }
        assert!(image_size("sizeBytes", max).is_ok());
        assert!(image_size_or_empty("sizeBytes", 0).is_ok());
    }
}
