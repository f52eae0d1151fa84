//! The media types of bodies that are not described by a schema.

/// What the header Content-Type says of JSON.
pub const JSON: &str = "application/json; charset=utf-8";

/// A media type.
pub trait MediaType: Send + 'static {
    /// Its name.
    const NAME: &'static str;
    /// What the header Content-Type says.
    const HEADER: &'static str = Self::NAME;
}

/// Defines media types.
macro_rules! media {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl MediaType for $name {
                const NAME: &'static str = $text;
            }
        )*
    };
}

media! {
    /// An image's bytes.
    Raw "application/octet-stream";
    /// What `rbd export-diff` writes. Not registered; `format=stream` asks for the same.
    RbdDiff "application/vnd.ceph.rbd-diff";
    /// Server-Sent Events.
    EventStream "text/event-stream";
    /// YAML (RFC 9512).
    Yaml "application/yaml";
}

/// JSON without a schema of its own.
#[derive(Debug, Clone, Copy)]
pub struct AnyJson;

impl MediaType for AnyJson {
    const NAME: &'static str = "application/json";
    const HEADER: &'static str = JSON;
}
