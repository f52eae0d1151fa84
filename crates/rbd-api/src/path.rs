//! What the parameters of paths name.

use rbd_model::names::Place;

/// The parameters of a path, as a type.
pub trait Path: Sized + Send + 'static {
    /// The names of the parameters, `pool` and `namespace` of the place among them where it reads these.
    const NAMES: &'static [&'static str];

    /// Reads them; `parameter` returns one by its name, percent-decoded.
    fn read(parameter: &dyn Fn(&str) -> String) -> Self;
}

/// Defines the parameters of paths: below a place, or of no place.
macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* };)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $name {
                /// The pool and namespace.
                pub place: Place,
                $($(#[$field_doc])* pub $field: String,)*
            }

            impl Path for $name {
                const NAMES: &'static [&'static str] = &["pool", "namespace", $(stringify!($field),)*];

                fn read(parameter: &dyn Fn(&str) -> String) -> Self {
                    let place = Place { pool: parameter("pool"), namespace: parameter("namespace") };
                    Self { place, $($field: parameter(stringify!($field)),)* }
                }
            }
        )*
    };
}

paths! {
    /// A pool and a namespace of it.
    PlacePath {};
    /// An image.
    ImagePath {
        /// Its name.
        image,
    };
    /// A snapshot of an image.
    SnapshotPath {
        /// The image's name.
        image,
        /// The snapshot's name.
        snapshot,
    };
    /// A metadata entry of an image.
    MetadataPath {
        /// The image's name.
        image,
        /// The entry's key.
        key,
    };
    /// A group.
    GroupPath {
        /// Its name.
        group,
    };
    /// An image of a group.
    GroupImagePath {
        /// The group's name.
        group,
        /// The image's name.
        image,
    };
    /// A snapshot of a group.
    GroupSnapshotPath {
        /// The group's name.
        group,
        /// The snapshot's name.
        snapshot,
    };
    /// An image in the trash.
    TrashPath {
        /// Its id.
        id,
    };
}

/// No parameters.
#[derive(Debug, Clone, Copy)]
pub struct NoPath;

impl Path for NoPath {
    const NAMES: &'static [&'static str] = &[];

    fn read(_: &dyn Fn(&str) -> String) -> Self {
        Self
    }
}

/// A pool as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolPath {
    /// Its name.
    pub pool: String,
}

impl Path for PoolPath {
    const NAMES: &'static [&'static str] = &["pool"];

    fn read(parameter: &dyn Fn(&str) -> String) -> Self {
        Self { pool: parameter("pool") }
    }
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationPath {
    /// Its id.
    pub operation: String,
}

impl Path for OperationPath {
    const NAMES: &'static [&'static str] = &["operation"];

    fn read(parameter: &dyn Fn(&str) -> String) -> Self {
        Self { operation: parameter("operation") }
    }
}
