//! The features of images.

use crate::fault::Fault;

/// The smallest image, in bytes. librbd takes 0 too, but such an image can hold nothing and most clients fail on it.
pub const MIN_IMAGE_SIZE_BYTES: u64 = 1;

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
pub const FEATURE_NEEDS: [(u64, u64); 3] =
    [(OBJECT_MAP, EXCLUSIVE_LOCK), (FAST_DIFF, OBJECT_MAP), (JOURNALING, EXCLUSIVE_LOCK)];

/// Features by name, as bits.
///
/// # Errors
/// `invalid-field` for one that is not among [`FEATURES`].
pub fn feature_bits(field: &str, names: &[String]) -> Result<u64, Fault> {
    names.iter().try_fold(0, |bits, name| match FEATURES.iter().find(|(known, _)| known == name) {
        Some((_, bit)) => Ok(bits | bit),
        None => {
            let follows = match name.as_str() {
                "striping" => " follows from stripeUnitBytes and stripeCount",
                "data-pool" => " follows from dataPool",
                "operations" | "migrating" | "non-primary" | "dirty-cache" => " follows from how the image is used",
                _ => " is not a feature",
            };
            Err(Fault::field(field, format!("{name:?}{follows}"), allowed_features()))
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
    FEATURE_NEEDS
        .iter()
        .find(|(feature, needed)| features & feature != 0 && features & needed == 0)
        .map(|(feature, needed)| (feature_name(*feature), feature_name(*needed)))
}
