//! An image's bytes: export, import, differences. Always streams: nothing is kept but what is on its way.

use http::Method;
use rbd_format::ImageSize;
use rbd_model::image::Image;
use rbd_model::layout::Layout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Content, Created, Either, HeadersOnly, Media, RangeContent, StreamedJson};
use crate::endpoint::Endpoint;
use crate::input::{Bytes, NoBody, NoQuery};
use crate::list::List;
use crate::media::{Raw, RbdDiff};
use crate::path::ImagePath;
use crate::role::Role;
use crate::schema;

const TAG: &str = "data";
const EXPORT: &str = "The same bytes as `rbd export` writes, streamed. Parts without data are not read from \
Ceph. Takes one `Range` of bytes (RFC 9110, section 14). A snapshot never changes: its answer has an `ETag`, which \
`If-Range` and `If-None-Match` compare, so a download that broke off can go on. What is written to an image during its \
export may be in it or not: export a snapshot where that matters. A body that ends early was cut off: by a Ceph that does \
not deliver in time, or because the client took nothing for too long.";
const IMPORT: &str = "Makes an image of the body's bytes, as `rbd import` does; it must not exist. The size is \
the Content-Length, or `sizeBytes` for a body sent in chunks, which must then have exactly so many bytes. Blocks of 4 KiB \
of zeros are not written; to send none either, make the image and apply a diff from nothing to it. Until the last byte is \
safe the image is `state: incomplete`; so it stays when the client breaks off, sends less or more than it said, or Ceph fails. \
It can be deleted like any other; an import does not go on where it was cut off.";
const DIFF: &str = "The parts of an image that changed between two snapshots, by offset: `exists` false means that a part \
reads as zeros now. Without `from`, all parts that hold data. With `Accept: application/vnd.ceph.rbd-diff` or `format=stream` the \
same with data, as `rbd export-diff` writes it and `rbd import-diff` reads it.";
const APPLY: &str = "Applies what `rbd export-diff` or the diff of another image gave, as `rbd import-diff` does: the image \
must have the snapshot the diff starts from and not the one it leads to, which is made at the end. Its size becomes that of the \
diff. Meanwhile, and when it was cut off, the image is `state: incomplete`: applying the same diff again finishes it, and so does \
a rollback to the snapshot. Rejected while another client has the image open.";

endpoints! {
    /// Read an image's bytes.
    EXPORT_IMAGE: Endpoint<ImagePath, ExportQuery, NoBody, RangeContent<Raw>> =
        Endpoint::new(Method::GET, "{scope}/images/{image}/data", TAG, "exportImage", "Read an image's bytes")
            .describe(EXPORT)
            .role(Role::Operator)
            .answers(&[
                "All bytes.",
                "The bytes of the range asked for.",
                "The bytes are those of the ETag in If-None-Match.",
            ]);

    /// See how many bytes an export has.
    EXPORT_IMAGE_HEAD: Endpoint<ImagePath, ExportQuery, NoBody, HeadersOnly<Raw>> =
        Endpoint::new(
            Method::HEAD,
            "{scope}/images/{image}/data",
            TAG,
            "exportImageHead",
            "See how many bytes an export has",
        )
            .role(Role::Operator)
            .answers(&["The headers of the export."]);

    /// Make an image from bytes.
    IMPORT_IMAGE: Endpoint<ImagePath, ImportQuery, Bytes<Raw>, Created<Image>> =
        Endpoint::new(Method::PUT, "{scope}/images/{image}/data", TAG, "importImage", "Make an image from bytes")
            .describe(IMPORT)
            .names("image")
            .answers(&["The image was made and has all bytes."]);

    /// See what changed between snapshots.
    DIFF_IMAGE: Endpoint<ImagePath, DiffQuery, NoBody, DiffAnswer> =
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/diff",
            TAG,
            "diffImage",
            "See what changed between snapshots",
        )
            .describe(DIFF)
            .role(Role::Operator)
            .answers(&["The parts, by offset.", "The same with data, for `rbd import-diff`."]);

    /// Apply a diff to an image.
    APPLY_DIFF: Endpoint<ImagePath, NoQuery, Bytes<RbdDiff>, Content<Image>> =
        Endpoint::new(Method::POST, "{scope}/images/{image}/diff", TAG, "applyDiff", "Apply a diff to an image")
            .describe(APPLY)
            .answers(&["The image has the state the diff leads to."]);
}

/// What a diff is answered as: its parts, or the stream of `rbd export-diff`.
pub type DiffAnswer = Either<StreamedJson<List<ChangedExtent>>, Media<RbdDiff>>;

/// Which state of an image is read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportQuery {
    /// The snapshot; without one the image as it is now.
    pub snapshot: Option<String>,
}

/// How the image is made that takes the bytes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportQuery {
    /// The number of bytes that come, for a body without a Content-Length.
    #[schemars(range(max = ImageSize::MAX.bytes()))]
    pub size_bytes: Option<u64>,
    /// Its features, exactly these, with commas between: `layering`, `exclusive-lock`, `object-map`, `fast-diff`,
    /// `deep-flatten`, `journaling`. Default: the cluster's (`rbd_default_features`).
    #[schemars(with = "Option<schema::FeatureList>")]
    pub features: Option<String>,
    /// The size of its objects, in bytes: a power of two from 4096 (4 KiB) to 33554432 (32 MiB). Default: the cluster's.
    #[schemars(with = "Option<schema::ObjectSize>")]
    pub object_size_bytes: Option<u64>,
    /// How much goes to one object before the next, in bytes: a power of two from 512 up to the object size. Together with
    /// `stripeCount`. Default: the object size.
    #[schemars(with = "Option<schema::StripeUnit>")]
    pub stripe_unit_bytes: Option<u64>,
    /// How many objects a stripe goes over, 1 to 4096. Together with `stripeUnitBytes`. Default: 1.
    #[schemars(with = "Option<schema::StripeCount>")]
    pub stripe_count: Option<u64>,
    /// The pool of its data objects, which may be an erasure-coded one. Default: the image's own pool.
    #[schemars(with = "Option<schema::Name>")]
    pub data_pool: Option<String>,
}

impl ImportQuery {
    /// The layout the image gets.
    pub fn layout(&self) -> Layout {
        let names = |text: &String| match text.as_str() {
            "" => Vec::new(),
            names => names.split(',').map(str::to_owned).collect(),
        };
        Layout {
            features: self.features.as_ref().map(names),
            object_size_bytes: self.object_size_bytes,
            stripe_unit_bytes: self.stripe_unit_bytes,
            stripe_count: self.stripe_count,
            data_pool: self.data_pool.clone(),
        }
    }
}

/// What a diff is answered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiffFormat {
    /// A list of parts.
    Json,
    /// The stream of `rbd export-diff`.
    Stream,
}

/// What is compared, and how it is answered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiffQuery {
    /// The snapshot to start from; without one, from nothing.
    pub from: Option<String>,
    /// The snapshot that it leads to; without one, the image as it is now.
    pub to: Option<String>,
    /// Whether whole objects will do, changed or not: quick where the object map can be trusted.
    #[serde(default)]
    pub whole_objects: bool,
    /// A list or a stream; without it the `Accept` header decides.
    pub format: Option<DiffFormat>,
}

/// A part of an image that changed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedExtent {
    /// Where it begins, in bytes.
    pub offset_bytes: u64,
    /// Its length, in bytes.
    pub length_bytes: u64,
    /// Whether it holds data; else it reads as zeros.
    pub exists: bool,
}
