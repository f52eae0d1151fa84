//! What an image is set to: name, features, metadata, `QoS`.

use std::collections::BTreeMap;

use http::Method;
use rbd_model::image::Image;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Content, NoContent};
use crate::endpoint::Endpoint;
use crate::input::{Json, NoBody, NoQuery};
use crate::path::{ImagePath, MetadataPath};
use crate::schema;
use rbd_model::fault::Fault;

const TAG: &str = "images";

endpoints! {
    /// Rename an image.
    RENAME_IMAGE: Endpoint<ImagePath, NoQuery, Json<ImageNewName>, Content<Image>> =
        Endpoint::new(Method::POST, "{scope}/images/{image}/rename", TAG, "renameImage", "Rename an image")
            .describe("Its id stays, and clients that have it open are not disturbed.")
            .answers(&["The image, under its new name."]);

    /// Turn features of an image on and off.
    CHANGE_FEATURES: Endpoint<ImagePath, NoQuery, Json<FeatureChange>, Content<Image>> =
        Endpoint::new(
            Method::POST,
            "{scope}/images/{image}/features",
            TAG,
            "changeFeatures",
            "Turn features of an image on and off",
        )
            .describe(
                "`exclusive-lock`, `object-map`, `fast-diff` and `journaling` can be turned on and off, \
                 `deep-flatten` only off; `object-map` and `fast-diff` go together. What is so already is passed \
                 over. An object map that was turned on is invalid until it is rebuilt.",
            )
            .answers(&["The image."]);

    /// Get the metadata of an image.
    GET_METADATA: Endpoint<ImagePath, NoQuery, NoBody, Content<MetadataEntries>> =
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/metadata",
            TAG,
            "getMetadata",
            "Get the metadata of an image",
        )
            .describe("All of it, with what Ceph's clients and this service keep there.")
            .answers(&["The metadata."]);

    /// Get one metadata entry.
    GET_METADATA_ENTRY: Endpoint<MetadataPath, NoQuery, NoBody, Content<MetadataEntry>> =
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/metadata/{key}",
            TAG,
            "getMetadataEntry",
            "Get one metadata entry",
        )
            .answers(&["The entry."]);

    /// Set one metadata entry.
    PUT_METADATA_ENTRY: Endpoint<MetadataPath, NoQuery, Json<MetadataValue>, Content<MetadataEntry>> =
        Endpoint::new(
            Method::PUT,
            "{scope}/images/{image}/metadata/{key}",
            TAG,
            "putMetadataEntry",
            "Set one metadata entry",
        )
            .describe(
                "Keys have 1 to 256 characters, values up to 16384. Keys that begin with `sparrow.` or a dot belong \
                 to this service and to Ceph. Those that begin with `conf_` change how every client that uses librbd \
                 treats the image, this service too, and can only be set as QoS.",
            )
            .names("key")
            .answers(&["The entry."]);

    /// Delete one metadata entry.
    DELETE_METADATA_ENTRY: Endpoint<MetadataPath, NoQuery, NoBody, NoContent> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/metadata/{key}",
            TAG,
            "deleteMetadataEntry",
            "Delete one metadata entry",
        )
            .answers(&["The entry is gone."]);

    /// Get the `QoS` limits of an image.
    GET_QOS: Endpoint<ImagePath, NoQuery, NoBody, Content<Qos>> =
        Endpoint::new(Method::GET, "{scope}/images/{image}/qos", TAG, "getQos", "Get the QoS limits of an image")
            .answers(&["The limits that are set on the image itself."]);

    /// Set the `QoS` limits of an image.
    PUT_QOS: Endpoint<ImagePath, NoQuery, Json<Qos>, Content<Qos>> =
        Endpoint::new(Method::PUT, "{scope}/images/{image}/qos", TAG, "putQos", "Set the QoS limits of an image")
            .describe(
                "Replaces all limits: what is null or absent is removed, and then the pool's or the cluster's \
                 setting counts. Kept as metadata (`conf_rbd_qos_…`) and honoured by clients that use librbd, such \
                 as QEMU and rbd-nbd, each for itself and from when they open or refresh the image. The Linux \
                 kernel's client (krbd) does not honour them.",
            )
            .answers(&["The limits."]);
}

/// A new name for an image.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageNewName {
    /// The new name: 1 to 128 characters without `/`, `@` and control characters, not beginning with a dot.
    #[schemars(with = "schema::NewName")]
    pub name: String,
}

/// Features to turn on and off.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureChange {
    /// Features to turn on.
    #[serde(default)]
    #[schemars(with = "Vec<schema::Feature>")]
    pub enable: Vec<String>,
    /// Features to turn off.
    #[serde(default)]
    #[schemars(with = "Vec<schema::Feature>")]
    pub disable: Vec<String>,
}

/// Metadata of an image.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataEntries {
    /// Its entries. Bytes that are not UTF-8 are shown as U+FFFD.
    pub metadata: BTreeMap<String, String>,
}

/// A metadata entry.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataEntry {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A value for a metadata entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetadataValue {
    /// The value, up to 16384 characters.
    #[schemars(with = "schema::MetadataValue")]
    pub value: String,
}

/// Defines the limits: field, its burst and the burst's length, and the option of Ceph they stand for.
macro_rules! limits {
    ($($(#[$doc:meta])* $limit:ident $burst:ident $seconds:ident $option:literal $field:literal,)*) => {
        /// Limits of what each client may do with an image. 0 is no limit, whatever the pool's or the cluster's
        /// setting; null is not set, so that those count.
        #[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct Qos {
            $(
                $(#[$doc])*
                #[serde(default)]
                #[schemars(range(max = MOST))]
                pub $limit: Option<u64>,
                /// Up to how much for a short time; not less than the limit, which must be set too. 0 is no burst.
                #[serde(default)]
                #[schemars(range(max = MOST))]
                pub $burst: Option<u64>,
                /// For how many seconds a burst may last; 1 or more. Ceph's default is 1.
                #[serde(default)]
                #[schemars(range(min = 1, max = MOST_SECONDS))]
                pub $seconds: Option<u64>,
            )*
        }

        impl Qos {
            /// Metadata keys with what they shall hold.
            pub fn entries(&self) -> Vec<(String, Option<u64>)> {
                vec![$(
                    (concat!("conf_rbd_qos_", $option, "_limit").to_owned(), self.$limit),
                    (concat!("conf_rbd_qos_", $option, "_burst").to_owned(), self.$burst),
                    (concat!("conf_rbd_qos_", $option, "_burst_seconds").to_owned(), self.$seconds),
                )*]
            }

            /// From metadata: `value` gives what a key holds.
            pub fn from_entries(value: impl Fn(&str) -> Option<u64>) -> Self {
                Self { $(
                    $limit: value(concat!("conf_rbd_qos_", $option, "_limit")),
                    $burst: value(concat!("conf_rbd_qos_", $option, "_burst")),
                    $seconds: value(concat!("conf_rbd_qos_", $option, "_burst_seconds")),
                )* }
            }

            /// Checks them, as `TokenBucketThrottle::set_limit` in Ceph's `src/common/Throttle.cc` has it.
            ///
            /// # Errors
            /// `invalid-field`, `field-conflict`.
            pub fn check(&self) -> Result<(), Fault> {
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
