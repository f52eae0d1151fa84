//! The fields of bodies that say how an image is laid out.

/// A request's body with the fields of a [`Layout`](rbd_model::layout::Layout) after its own. (`serde` cannot both flatten and reject fields that
/// it does not know.)
macro_rules! with_layout {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[schemars(extend("dependentRequired" = { "stripeUnitBytes": ["stripeCount"], "stripeCount": ["stripeUnitBytes"] }))]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
            /// Its features, exactly these: `layering`, `exclusive-lock`, `object-map`, `fast-diff`, `deep-flatten`,
            /// `journaling`. `object-map` and `journaling` need `exclusive-lock`, `fast-diff` needs `object-map` and comes with
            /// it. Default: the cluster's (`rbd_default_features`); of a clone or a copy, those of its source.
            #[schemars(with = "Option<Vec<crate::schema::Feature>>")]
            pub features: Option<Vec<String>>,
            /// The size of its objects, in bytes: a power of two from 4096 (4 KiB) to 33554432 (32 MiB). Default: the
            /// cluster's, usually 4194304; of a clone or a copy, that of its source.
            #[schemars(with = "Option<crate::schema::ObjectSize>")]
            pub object_size_bytes: Option<u64>,
            /// How much goes to one object before the next, in bytes: a power of two from 512 up to the object size.
            /// Together with `stripeCount`. Default: the object size.
            #[schemars(with = "Option<crate::schema::StripeUnit>")]
            pub stripe_unit_bytes: Option<u64>,
            /// How many objects a stripe goes over, 1 to 4096. Together with `stripeUnitBytes`. Default: 1.
            #[schemars(with = "Option<crate::schema::StripeCount>")]
            pub stripe_count: Option<u64>,
            /// The pool of its data objects, which may be an erasure-coded one. Default: the image's own pool.
            #[schemars(with = "Option<crate::schema::Name>")]
            pub data_pool: Option<String>,
        }

        impl $name {
            /// How the image is to be laid out.
            pub fn layout(&self) -> rbd_model::layout::Layout {
                rbd_model::layout::Layout {
                    features: self.features.clone(),
                    object_size_bytes: self.object_size_bytes,
                    stripe_unit_bytes: self.stripe_unit_bytes,
                    stripe_count: self.stripe_count,
                    data_pool: self.data_pool.clone(),
                }
            }
        }
    };
}

pub(super) use with_layout;
