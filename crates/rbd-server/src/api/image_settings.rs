//! What an image is set to: name, features, metadata, `QoS`.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use ceph::{Access, Errno};
use rbd::found::Found;
use rbd_model::fault::{Fault, Kind};
use rbd_model::features::{
    DEEP_FLATTEN, EXCLUSIVE_LOCK, FAST_DIFF, JOURNALING, LAYERING, NEEDS, OBJECT_MAP, feature_bits, feature_name,
    unmet_need,
};
use rbd_model::image::Image;
use rbd_model::names::check_new;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image_new::taken;
use super::images::read_image;
use crate::call::{Call, json, nothing};
use crate::endpoint::{Answer, Endpoint};
use crate::schema;

const TAG: &str = "images";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::POST, "{scope}/images/{image}/rename", TAG, "renameImage", "Rename an image", rename)
            .describe("Its id stays, and clients that have it open are not disturbed.")
            .takes::<NewName>()
            .answers::<Image>(StatusCode::OK, "The image, under its new name."),
        Endpoint::new(
            Method::POST,
            "{scope}/images/{image}/features",
            TAG,
            "changeFeatures",
            "Turn features of an image on and off",
            features,
        )
        .describe(
            "`exclusive-lock`, `object-map`, `fast-diff` and `journaling` can be turned on and off, `deep-flatten` only \
             off; `object-map` and `fast-diff` go together. What is so already is passed over. An object map that was \
             turned on is invalid until it is rebuilt.",
        )
        .takes::<FeatureChange>()
        .answers::<Image>(StatusCode::OK, "The image."),
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/metadata",
            TAG,
            "getMetadata",
            "Get the metadata of an image",
            metadata,
        )
        .describe("All of it, with what Ceph's clients and this service keep there.")
        .answers::<Metadata>(StatusCode::OK, "The metadata."),
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/metadata/{key}",
            TAG,
            "getMetadataEntry",
            "Get one metadata entry",
            metadata_entry,
        )
        .answers::<MetadataEntry>(StatusCode::OK, "The entry."),
        Endpoint::new(
            Method::PUT,
            "{scope}/images/{image}/metadata/{key}",
            TAG,
            "putMetadataEntry",
            "Set one metadata entry",
            put_metadata_entry,
        )
        .describe(
            "Keys have 1 to 256 characters, values up to 16384. Keys that begin with `sparrow.` or a dot belong to this \
             service and to Ceph. Those that begin with `conf_` change how every client that uses librbd treats the \
             image, this service too, and can only be set as QoS.",
        )
        .names("key")
        .takes::<MetadataValue>()
        .answers::<MetadataEntry>(StatusCode::OK, "The entry."),
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/metadata/{key}",
            TAG,
            "deleteMetadataEntry",
            "Delete one metadata entry",
            delete_metadata_entry,
        )
        .answers_nothing(StatusCode::NO_CONTENT, "The entry is gone."),
        Endpoint::new(Method::GET, "{scope}/images/{image}/qos", TAG, "getQos", "Get the QoS limits of an image", qos)
            .answers::<Qos>(StatusCode::OK, "The limits that are set on the image itself."),
        Endpoint::new(Method::PUT, "{scope}/images/{image}/qos", TAG, "putQos", "Set the QoS limits of an image", put_qos)
            .describe(
                "Replaces all limits: what is null or absent is removed, and then the pool's or the cluster's setting \
                 counts. Kept as metadata (`conf_rbd_qos_…`) and honoured by clients that use librbd, such as QEMU and \
                 rbd-nbd, each for itself and from when they open or refresh the image. The Linux kernel's client (krbd) \
                 does not honour them.",
            )
            .takes::<Qos>()
            .answers::<Qos>(StatusCode::OK, "The limits."),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ImageNewName")]
struct NewName {
    /// The new name: 1 to 128 characters without `/`, `@` and control characters, not beginning with a dot.
    #[schemars(with = "schema::NewName")]
    name: String,
}

async fn rename(mut call: Call) -> Answer {
    let from = call.param("image").to_owned();
    let NewName { name: to } = call.json().await?;
    check_new("name", &to)?;
    let deadline = call.deadline;
    let image = call
        .placed(move |connection, io| {
            let found = rbd::found::find(io, &from, deadline)?;
            if from != to {
                io.rename_image(&from, &to).map_err(|error| {
                    if error.is(Errno::EEXIST) { taken(io, &to, deadline) } else { found.explain(io, error, deadline) }
                })?;
            }
            read_image(connection, io, &to, deadline)
        })
        .await?;
    json(StatusCode::OK, &image)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FeatureChange {
    /// Features to turn on.
    #[serde(default)]
    #[schemars(with = "Vec<schema::Feature>")]
    enable: Vec<String>,
    /// Features to turn off.
    #[serde(default)]
    #[schemars(with = "Vec<schema::Feature>")]
    disable: Vec<String>,
}

async fn features(mut call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let change: FeatureChange = call.json().await?;
    let enable = feature_bits("enable", &change.enable)?;
    let disable = feature_bits("disable", &change.disable)?;
    if enable & disable != 0 {
        let both = feature_name(lowest(enable & disable));
        return Err(Fault::field_conflict(
            "disable",
            format!("{both:?} is in enable too"),
            "each feature in one of them",
        )
        .into());
    }
    let deadline = call.deadline;
    let image = call
        .placed(move |connection, io| {
            let found = rbd::found::find(io, &name, deadline)?;
            let (enable, disable) = plan(&found, enable, disable)?;
            if enable | disable != 0 {
                let changed = found.change(io, deadline, |image| {
                    // Off first: what is turned on never needs what is turned off.
                    if disable != 0 {
                        image.update_features(disable, false)?;
                    }
                    if enable != 0 { image.update_features(enable, true) } else { Ok(()) }
                })?;
                changed.map_err(|error| match error.errno() {
                    Some(Errno::EINVAL) => Fault::new(Kind::Conflict, format!("librbd refuses the change: {error}."))
                        .cause("A feature is in use, such as journaling by mirroring.")
                        .errno(Errno::EINVAL),
                    _ => found.explain(io, error, deadline),
                })?;
            }
            read_image(connection, io, &name, deadline)
        })
        .await?;
    json(StatusCode::OK, &image)
}

/// What of the asked change is left to do.
fn plan(found: &Found, enable: u64, disable: u64) -> Result<(u64, u64), Fault> {
    const MUTABLE: u64 = EXCLUSIVE_LOCK | OBJECT_MAP | FAST_DIFF | JOURNALING;
    // librbd keeps these two together.
    const PAIR: u64 = OBJECT_MAP | FAST_DIFF;
    let now = found.header.features.0;
    let (mut enable, mut disable) = (enable & !now, disable & now);
    let conflict = |detail: String| Fault::new(Kind::Conflict, detail);
    if let Some(fixed) = set_bit(enable & !MUTABLE) {
        let name = feature_name(fixed);
        return Err(conflict(format!("{name:?} cannot be turned on: an image has it from its making or not at all."))
            .correction("Copy the image to one that is made with the feature."));
    }
    if disable & LAYERING != 0 {
        return Err(conflict("\"layering\" cannot be turned off.".into())
            .correction("Copy the image to one that is made without it; nothing is gained by that, though."));
    }
    debug_assert_eq!(disable & !(MUTABLE | DEEP_FLATTEN), 0, "every other feature is refused by name");
    if enable & PAIR != 0 && disable & PAIR != 0 {
        return Err(
            conflict("\"object-map\" and \"fast-diff\" go together.".into()).correction("Turn both on or both off.")
        );
    }
    if enable & PAIR != 0 {
        enable |= PAIR & !now;
    }
    if disable & PAIR != 0 {
        disable |= PAIR & now;
    }
    let then = (now | enable) & !disable;
    if let Some((feature, needed)) = unmet_need(then) {
        let correction = format!("Enable {needed:?} too, or disable {feature:?} too.");
        return Err(conflict(format!("{feature:?} needs {needed:?}.")).correction(correction));
    }
    debug_assert!(NEEDS.iter().all(|(feature, needed)| then & feature == 0 || then & needed != 0));
    Ok((enable, disable))
}

fn set_bit(bits: u64) -> Option<u64> {
    (bits != 0).then(|| lowest(bits))
}

fn lowest(bits: u64) -> u64 {
    bits & bits.wrapping_neg()
}

/// Metadata of an image.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    /// Its entries. Bytes that are not UTF-8 are shown as U+FFFD.
    metadata: BTreeMap<String, String>,
}

/// A metadata entry.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MetadataEntry {
    /// Its key.
    key: String,
    /// Its value.
    value: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MetadataValue {
    /// The value, up to 16384 characters.
    #[schemars(with = "schema::MetadataValue")]
    value: String,
}

const KEY_LIMIT: usize = 256;
const VALUE_LIMIT: usize = 16 << 10;

/// Whether clients may set this metadata entry. Larger values would make every listing slow.
///
/// # Errors
/// `invalid-field`.
pub(super) fn check_metadata(field: &str, key: &str, value: &str) -> Result<(), Fault> {
    let wrong = if key.is_empty() {
        "a key is empty".to_owned()
    } else if key.chars().count() > KEY_LIMIT {
        format!("a key has {} characters", key.chars().count())
    } else if let Some(bad) = key.chars().find(|c| c.is_control()) {
        format!("the key {key:?} holds {bad:?}")
    } else if key.starts_with("sparrow.") || key.starts_with('.') {
        format!("the key {key:?} is reserved")
    } else if key.starts_with("conf_") {
        format!("the key {key:?} changes how clients treat the image")
    } else if value.chars().count() > VALUE_LIMIT {
        format!("the value of {key:?} has {} characters", value.chars().count())
    } else if value.contains('\0') {
        format!("the value of {key:?} holds a NUL byte")
    } else {
        return Ok(());
    };
    let allowed = format!(
        "keys of 1 to {KEY_LIMIT} characters without control characters, not beginning with 'sparrow.', '.' or \
         'conf_' (limits are set with PUT …/qos), and values of up to {VALUE_LIMIT} characters"
    );
    Err(Fault::field(field, wrong, allowed))
}

fn entries(found: &Found) -> BTreeMap<String, String> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    found.header.metadata.iter().map(|(key, value)| (key.to_string(), text(value))).collect()
}

async fn metadata(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let deadline = call.deadline;
    let metadata = call.ceph(move |io| Ok(entries(&rbd::found::find(io, &name, deadline)?))).await?;
    json(StatusCode::OK, &Metadata { metadata })
}

fn metadata_not_found(image: &str, key: &str) -> Fault {
    Fault::new(Kind::MetadataNotFound, format!("Image {image:?} has no metadata {key:?}."))
        .correction("GET the metadata of the image.")
}

async fn metadata_entry(call: Call) -> Answer {
    let (name, key) = (call.param("image").to_owned(), call.param("key").to_owned());
    let deadline = call.deadline;
    let entry = call
        .ceph(move |io| {
            let value = entries(&rbd::found::find(io, &name, deadline)?).remove(&key);
            Ok(MetadataEntry { value: value.ok_or_else(|| metadata_not_found(&name, &key))?, key })
        })
        .await?;
    json(StatusCode::OK, &entry)
}

async fn put_metadata_entry(mut call: Call) -> Answer {
    let (name, key) = (call.param("image").to_owned(), call.param("key").to_owned());
    let MetadataValue { value } = call.json().await?;
    check_metadata("key", &key, &value)?;
    let deadline = call.deadline;
    let entry = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &name, deadline)?;
            found
                .change(io, deadline, |image| image.set_metadata(&key, &value))?
                .map_err(|error| found.explain(io, error, deadline))?;
            Ok(MetadataEntry { key, value })
        })
        .await?;
    json(StatusCode::OK, &entry)
}

async fn delete_metadata_entry(call: Call) -> Answer {
    let (name, key) = (call.param("image").to_owned(), call.param("key").to_owned());
    // Other keys, those of `conf_` too, may go: that gives back the default.
    if key.starts_with("sparrow.") || key.starts_with('.') {
        return Err(Fault::field(
            "key",
            format!("{key:?} is reserved"),
            "a key that does not begin with 'sparrow.' or '.'",
        )
        .into());
    }
    let deadline = call.deadline;
    call.ceph(move |io| {
        let found = rbd::found::find(io, &name, deadline)?;
        if !found.header.metadata.contains_key(key.as_bytes()) {
            return Err(metadata_not_found(&name, &key));
        }
        found.change(io, deadline, |image| image.remove_metadata(&key))?.map_err(|error| {
            if error.is(Errno::ENOENT) { metadata_not_found(&name, &key) } else { found.explain(io, error, deadline) }
        })
    })
    .await?;
    nothing()
}

/// Defines the limits: field, its burst and the burst's length, and the option of Ceph they stand for.
macro_rules! limits {
    ($($(#[$doc:meta])* $limit:ident $burst:ident $seconds:ident $option:literal $field:literal,)*) => {
        /// Limits of what each client may do with an image. 0 is no limit, whatever the pool's or the cluster's
        /// setting; null is not set, so that those count.
        #[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Qos {
            $(
                $(#[$doc])*
                #[serde(default)]
                #[schemars(range(max = MOST))]
                $limit: Option<u64>,
                /// Up to how much for a short time; not less than the limit, which must be set too. 0 is no burst.
                #[serde(default)]
                #[schemars(range(max = MOST))]
                $burst: Option<u64>,
                /// For how many seconds a burst may last; 1 or more. Ceph's default is 1.
                #[serde(default)]
                #[schemars(range(min = 1, max = MOST_SECONDS))]
                $seconds: Option<u64>,
            )*
        }

        impl Qos {
            /// Metadata keys with what they shall hold.
            fn entries(&self) -> Vec<(String, Option<u64>)> {
                vec![$(
                    (concat!("conf_rbd_qos_", $option, "_limit").to_owned(), self.$limit),
                    (concat!("conf_rbd_qos_", $option, "_burst").to_owned(), self.$burst),
                    (concat!("conf_rbd_qos_", $option, "_burst_seconds").to_owned(), self.$seconds),
                )*]
            }

            fn from_entries(value: impl Fn(&str) -> Option<u64>) -> Self {
                Self { $(
                    $limit: value(concat!("conf_rbd_qos_", $option, "_limit")),
                    $burst: value(concat!("conf_rbd_qos_", $option, "_burst")),
                    $seconds: value(concat!("conf_rbd_qos_", $option, "_burst_seconds")),
                )* }
            }

            /// As `TokenBucketThrottle::set_limit` in Ceph's `src/common/Throttle.cc` has it.
            fn check(&self) -> Result<(), Fault> {
                $(check_limit($field, self.$limit, self.$burst, self.$seconds)?;)*
                Ok(())
            }
        }
    };
}

limits! {
    /// Reads and writes per second.
    iops_limit iops_burst iops_burst_seconds "iops" "iops",
    /// Bytes read and written per second.
    bps_limit bps_burst bps_burst_seconds "bps" "bps",
    /// Reads per second.
    read_iops_limit read_iops_burst read_iops_burst_seconds "read_iops" "readIops",
    /// Writes per second.
    write_iops_limit write_iops_burst write_iops_burst_seconds "write_iops" "writeIops",
    /// Bytes read per second.
    read_bps_limit read_bps_burst read_bps_burst_seconds "read_bps" "readBps",
    /// Bytes written per second.
    write_bps_limit write_bps_burst write_bps_burst_seconds "write_bps" "writeBps",
}

/// The largest limit.
const MOST: u64 = 1 << 60;
/// The longest burst.
const MOST_SECONDS: u64 = 86_400;

fn check_limit(field: &str, limit: Option<u64>, burst: Option<u64>, seconds: Option<u64>) -> Result<(), Fault> {
    let limited = limit.unwrap_or(0);
    if let Some(burst) = burst.filter(|burst| *burst != 0)
        && (limited == 0 || burst < limited)
    {
        let allowed = format!("a burst that is at least {field}Limit, which must be set, or 0");
        return Err(Fault::field_conflict(
            &format!("{field}Burst"),
            format!("is {burst} with a limit of {limited}"),
            allowed,
        ));
    }
    for (part, number) in [("Limit", limited), ("Burst", burst.unwrap_or(0))] {
        if number > MOST {
            return Err(Fault::field(&format!("{field}{part}"), format!("is {number}"), format!("at most {MOST}")));
        }
    }
    if let Some(seconds) = seconds
        && !(1..=MOST_SECONDS).contains(&seconds)
    {
        return Err(Fault::field(&format!("{field}BurstSeconds"), format!("is {seconds}"), "1 to 86400"));
    }
    Ok(())
}

fn limits_of(found: &Found) -> Result<Qos, Fault> {
    let entries = entries(found);
    let qos = Qos::from_entries(|key| entries.get(key)?.trim().parse().ok());
    for (key, value) in qos.entries() {
        if let (None, Some(text)) = (value, entries.get(&key)) {
            return Err(Fault::new(Kind::Damaged, format!("The metadata {key:?} is {text:?}, not a number."))
                .correction("DELETE that metadata entry, or PUT the QoS limits anew."));
        }
    }
    Ok(qos)
}

async fn qos(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let deadline = call.deadline;
    let qos = call.ceph(move |io| limits_of(&rbd::found::find(io, &name, deadline)?)).await?;
    json(StatusCode::OK, &qos)
}

async fn put_qos(mut call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let wanted: Qos = call.json().await?;
    wanted.check()?;
    let deadline = call.deadline;
    let qos = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &name, deadline)?;
            let now = entries(&found);
            let changes: Vec<(String, Option<String>)> = wanted
                .entries()
                .into_iter()
                .map(|(key, value)| (key, value.map(|value| value.to_string())))
                .filter(|(key, value)| now.get(key) != value.as_ref())
                .collect();
            if !changes.is_empty() {
                let image = found.open(io, Access::ReadWrite, deadline)?;
                let change = || -> ceph::Result<()> {
                    for (key, value) in &changes {
                        match value {
                            Some(value) => image.set_metadata(key, value)?,
                            None => match image.remove_metadata(key) {
                                Err(error) if !error.is(Errno::ENOENT) => return Err(error),
                                _ => {}
                            },
                        }
                    }
                    Ok(())
                };
                let outcome = change();
                drop(image);
                outcome.map_err(|error| {
                    found.explain(io, error, deadline).cause("Some limits may have been set; PUT them again.")
                })?;
            }
            Ok(wanted)
        })
        .await?;
    json(StatusCode::OK, &qos)
}
