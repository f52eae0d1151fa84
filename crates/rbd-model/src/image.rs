//! Images, as others see them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rbd_format::Name;
use schemars::JsonSchema;
use serde::Serialize;

use crate::encryption::Encryption;
use crate::fault::{Fault, Kind};
use crate::mirroring::Mirroring;
use crate::names::{NonUtf8Name, Place};
use crate::obstacle::Obstacle;
use crate::snapshot::Snapshot;

/// The metadata key that marks an image whose data has not all arrived.
pub const INCOMPLETE_KEY: &str = "sparrow.incomplete";

/// Whether an image is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageState {
    /// It can be used.
    Ready,
    /// Its removal was begun and not finished; it can only be removed again.
    Removing,
    /// Its import or copy was begun and not finished; it can be deleted.
    Incomplete,
    /// What Ceph holds of it cannot be read.
    Damaged,
    /// It cannot be worked with: a pool that it needs is gone, it is too large, or its name is not UTF-8. The reason says more.
    Unusable,
}

/// An image in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedImage {
    /// Its name.
    pub name: String,
    /// What is known of a name that is no text.
    pub not_text: Option<NonUtf8Name>,
    /// Its id; empty when its entry is damaged.
    pub id: String,
    /// What is wrong with its entry, so that the name leads to no image.
    pub damage: Option<String>,
}

impl NamedImage {
    /// An image by its name as stored.
    pub fn new(name: &Name, id: String) -> Self {
        Self { name: name.to_string(), not_text: NonUtf8Name::of(name), id, damage: None }
    }

    /// The name as stored.
    pub fn stored_name(&self) -> &[u8] {
        self.not_text.as_ref().map_or(self.name.as_bytes(), NonUtf8Name::as_bytes)
    }

    /// The same name, whose entry is damaged.
    #[must_use]
    pub fn damaged(self, damage: String) -> Self {
        Self { id: String::new(), damage: Some(damage), ..self }
    }

    /// Itself, unless its entry is damaged.
    ///
    /// # Errors
    /// `damaged`.
    pub fn into_sound(self) -> Result<Self, Fault> {
        match &self.damage {
            None => Ok(self),
            Some(damage) => Err(damaged_entry(&self.name).cause(damage)),
        }
    }
}

/// An image. What is null is not known, for the reason in `stateReason`, or does not apply.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its name. One that is not UTF-8 is only shown, with a slash before it and `\xNN` for such bytes.
    pub name: String,
    /// The bytes of a name that is not UTF-8, in base64; absent when the name is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_base64: Option<String>,
    /// Its id, which stays through renames; empty for an image of format 1, which has none, and where the directory has none that
    /// could be its own.
    pub id: String,
    /// Its format: 2, or 1, which is deprecated and only shown.
    pub format: u8,
    /// The pool.
    pub pool: String,
    /// The namespace; empty for the default one.
    pub namespace: String,
    /// Whether it is whole.
    pub state: ImageState,
    /// Why it is not.
    pub state_reason: Option<String>,
    /// Its size, in bytes.
    pub size_bytes: Option<u64>,
    /// The size of its objects, in bytes.
    pub object_size_bytes: Option<u64>,
    /// Its features, as `rbd info` names them.
    pub features: Vec<&'static str>,
    /// What is wrong with its object map, as `rbd info` names it.
    pub flags: Vec<&'static str>,
    /// The striping unit, in bytes; null for the default, one object.
    pub stripe_unit_bytes: Option<u64>,
    /// The number of objects a stripe goes over; null for the default, 1.
    pub stripe_count: Option<u64>,
    /// The pool of its data objects; null when they are in the image's own.
    pub data_pool: Option<String>,
    /// The snapshot it is a clone of.
    pub parent: Option<Parent>,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// How many snapshots it may have; null for no limit.
    pub snapshot_limit: Option<u64>,
    /// The group it is in.
    pub group: Option<GroupOfImage>,
    /// The live migration it is part of.
    pub migration: Option<Migration>,
    /// How it is mirrored to other clusters; null when it is not.
    pub mirroring: Option<Mirroring>,
    /// How its data is encrypted by librbd; null when that is not known, for the reason in `unknown`.
    pub encryption: Option<Encryption>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was last read, to the cluster's granularity.
    pub accessed_at: Option<Timestamp>,
    /// When it was last written, to the cluster's granularity.
    pub modified_at: Option<Timestamp>,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// Why a field is null that could have a value, by the field's name.
    pub unknown: BTreeMap<String, String>,
    /// The object that its first bytes are in.
    #[serde(skip)]
    pub first_object: Option<String>,
    /// What will give trouble, and with what; absent when nothing will.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What its header says that stands in the way of something.
    #[serde(skip)]
    pub reasons: Vec<Obstacle>,
}

/// The group of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupOfImage {
    /// Its pool; null when the pool is gone.
    pub pool: Option<String>,
    /// Its namespace, which is the image's; empty for the default one.
    pub namespace: String,
    /// Its name; null when it cannot be read.
    pub name: Option<String>,
    /// Its id.
    pub id: String,
}

/// A live migration of an image. Where one from outside RBD reads from is not shown: that may hold credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// `source`, `destination` or `unknown`: which end of it this image is.
    pub role: &'static str,
    /// `error`, `preparing`, `prepared`, `executing`, `executed`, `aborting` or `unknown`.
    pub state: &'static str,
    /// The pool of the image at the other end; null when data comes from outside RBD or the pool is gone.
    pub pool: Option<String>,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its name.
    pub image: String,
}

/// The parent of a clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its pool; null when the pool is gone.
    pub pool: Option<String>,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its name; null when it cannot be read.
    pub image: Option<String>,
    /// Its id.
    pub image_id: String,
    /// The snapshot's name; null when it cannot be read.
    pub snapshot: Option<String>,
    /// The snapshot's id.
    pub snapshot_id: u64,
    /// How much of the parent the clone still covers, in bytes.
    pub overlap_bytes: Option<u64>,
    /// Whether the parent is in the trash.
    pub in_trash: bool,
}

/// The name of an image is there and leads to none.
fn damaged_entry(name: &str) -> Fault {
    Fault::new(Kind::Damaged, format!("The entry of image {name:?} in the directory of its pool is damaged."))
        .correction("DELETE it with ?permanent=true to free the name; no image is touched by that.")
}

impl Image {
    /// Whether its entry in the directory is damaged, so that its name leads to no image.
    pub fn is_only_a_name(&self) -> bool {
        self.state == ImageState::Damaged && self.id.is_empty()
    }

    /// Rejects when it cannot be used as it is.
    ///
    /// # Errors
    /// `removing`, `conflict` for one that is incomplete, `damaged`, `image-unusable`, `pool-missing`.
    pub fn check_whole(&self) -> Result<(), Fault> {
        let problem = match self.state {
            ImageState::Ready => return Ok(()),
            ImageState::Unusable => match self.reasons.iter().find(|reason| reason.makes_unusable()) {
                Some(reason) => return Err(reason.fault(&self.name)),
                None => return Ok(()),
            },
            ImageState::Removing => {
                Fault::new(Kind::Removing, format!("The removal of image {:?} was begun.", self.name))
                    .correction("It can only be removed: DELETE it with ?permanent=true.")
            }
            ImageState::Damaged if self.is_only_a_name() => damaged_entry(&self.name),
            ImageState::Damaged => Fault::new(Kind::Damaged, format!("Image {:?} cannot be read.", self.name))
                .correction(
                    "Look at its header with `rados listomapvals`, and restore the image from a backup, or remove it.",
                ),
            ImageState::Incomplete => {
                Fault::new(Kind::Conflict, format!("The data of image {:?} has not all arrived.", self.name))
                    .correction("Wait for the import or copy to end; if it was cut off, DELETE the image.")
            }
        };
        Err(problem.cause(self.state_reason.clone().unwrap_or_default()))
    }

    /// One of which nothing but its name is known, with its state and the reason for that.
    pub fn unreadable(place: Place, named: NamedImage, state: ImageState, reason: &str) -> Self {
        Self {
            name_base64: named.not_text.as_ref().map(NonUtf8Name::base64),
            name: named.name,
            id: named.id,
            format: 2,
            pool: place.pool,
            namespace: place.namespace,
            state,
            state_reason: Some(reason.to_owned()),
            size_bytes: None,
            object_size_bytes: None,
            features: Vec::new(),
            flags: Vec::new(),
            stripe_unit_bytes: None,
            stripe_count: None,
            data_pool: None,
            parent: None,
            snapshots: Vec::new(),
            snapshot_limit: None,
            group: None,
            migration: None,
            mirroring: None,
            encryption: None,
            unknown: BTreeMap::new(),
            first_object: None,
            created_at: None,
            accessed_at: None,
            modified_at: None,
            metadata: BTreeMap::new(),
            warnings: Vec::new(),
            reasons: Vec::new(),
        }
    }
}
