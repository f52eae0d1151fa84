//! What values of fields may be, for the API description: types that stand for a field's own in its schema.
//!
//! `#[schemars(with = "schema::NewName")]` says of a `String` what only its check knows otherwise.

use std::borrow::Cow;

use rbd_format::ImageSize;
use rbd_model::features::{FEATURES, MIN_IMAGE_SIZE_BYTES};
use rbd_model::names::{NAME_LIMIT, NEW_NAME_PATTERN};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Defines types that stand for schemas: name, what it is, and the schema.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident $schema:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    $schema
                }
            }
        )*
    };
}

shapes! {
    /// The name of a new thing.
    NewName json_schema!({ "type": "string", "minLength": 1, "maxLength": NAME_LIMIT, "pattern": NEW_NAME_PATTERN });
    /// The name of something that is there.
    Name json_schema!({ "type": "string", "minLength": 1 });
    /// The size of an image, in bytes.
    Size json_schema!({ "type": "integer", "format": "uint64", "minimum": MIN_IMAGE_SIZE_BYTES, "maximum": ImageSize::MAX.bytes() });
    /// A feature that a new image may have.
    Feature json_schema!({ "type": "string", "enum": FEATURES.map(|(name, _)| name) });
    /// Features with commas between; none at all is an empty text.
    FeatureList json_schema!({ "type": "string", "pattern": feature_list() });
    /// The size of objects, in bytes.
    ObjectSize json_schema!({ "type": "integer", "enum": powers(12) });
    /// The unit of striping, in bytes.
    StripeUnit json_schema!({ "type": "integer", "enum": powers(9) });
    /// The number of objects of a stripe.
    StripeCount json_schema!({ "type": "integer", "format": "uint64", "minimum": 1, "maximum": 4096 });
    /// A time such as `12h` or `30d`.
    Retention json_schema!({
        "type": "string",
        "pattern": "^(?:[0-9]{1,4}d|[0-9]{1,5}h|[0-9]{1,6}m|[0-9]{1,8}s|[0-9]{1,9}ms)$",
    });
    /// A time such as `12h`, from a minute to 366 days.
    Interval json_schema!({
        "type": "string",
        "pattern": format!("^(?:[1-9][0-9]?|[12][0-9]{{2}}|{UP_TO_366})d$|^[1-9][0-9]{{0,2}}h$|^[1-9][0-9]{{0,4}}m$|^[1-9][0-9]{{2,6}}s$"),
    });
    /// A time such as `30d`, up to 366 days.
    Age json_schema!({
        "type": "string",
        "pattern": format!("^(?:[0-9]{{1,2}}|[12][0-9]{{2}}|{UP_TO_366})d$|^[0-9]{{1,3}}h$|^[0-9]{{1,5}}m$|^[0-9]{{1,7}}s$"),
    });
    /// A point in time (RFC 3339).
    Instant json_schema!({ "type": "string", "format": "date-time" });
    /// A time such as `10s`, 60 s at most.
    Wait json_schema!({ "type": "string", "pattern": "^(?:[0-9]{1,4}ms|[0-5]?[0-9]s|60s|[01]m)$" });
    /// Where a list goes on: a base64url text, the first byte of which is `d`, `f` or `t`.
    Continue json_schema!({
        "type": "string",
        "pattern": "^(?:[Zd]A|Zg|(?:[Zd][A-P]|Z[g-v])(?:[AEIMQUYcgkosw048]|[\\w-]{2}(?:[\\w-]{4})*(?:[\\w-][AQgw]|[\\w-]{2}[AEIMQUYcgkosw048])?))$"
            .replace("\\w", "A-Za-z0-9_"),
    });
    /// The key of a metadata entry that clients may set.
    MetadataKey json_schema!({
        "type": "string", "minLength": 1, "maxLength": 256,
        "pattern": r"^(?!sparrow\.|conf_)[^.\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$",
    });
    /// The key of a metadata entry that clients may remove.
    RemovableKey json_schema!({ "type": "string", "minLength": 1, "pattern": r"^(?!sparrow\.|\.)" });
    /// The value of a metadata entry.
    MetadataValue json_schema!({ "type": "string", "maxLength": 16384, "pattern": r"^[^\u0000]*$" });
    /// Metadata entries.
    Entries json_schema!({
        "type": "object",
        "propertyNames": inline::<MetadataKey>(),
        "additionalProperties": inline::<MetadataValue>(),
    });
    /// A DNS label.
    Label json_schema!({ "type": "string", "maxLength": 63, "pattern": "^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$" });
    /// A DNS name.
    Subdomain json_schema!({ "type": "string", "maxLength": 253, "pattern": SUBDOMAIN });
    /// The name of a CSI driver.
    Driver json_schema!({ "type": "string", "maxLength": 63, "pattern": SUBDOMAIN });
}

/// The days from 300 to 366.
const UP_TO_366: &str = "3[0-5][0-9]|36[0-6]";

const SUBDOMAIN: &str = r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$";

/// The schema that a type stands for.
pub fn inline<T: JsonSchema>() -> Schema {
    T::json_schema(&mut SchemaGenerator::default())
}

/// The powers of two from this one to that of the largest object.
fn powers(first: u32) -> Vec<u64> {
    (first..=25).map(|power| 1 << power).collect()
}

fn feature_list() -> String {
    let name = format!("(?:{})", FEATURES.map(|(name, _)| name).join("|"));
    format!("^(?:{name}(?:,{name})*)?$")
}
