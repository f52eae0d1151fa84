//! `rbd_header.<image id>`: everything that describes an image of format 2, as omap entries of one object.
//!
//! Images of format 1 have another header, [`crate::format1`].
//!
//! Source: `create`, `image::parent`, `metadata_set`, `image_group_add`, `set_migration` and their kin in Ceph's
//! `src/cls/rbd/cls_rbd.cc`; `cls_rbd_parent` in `cls_rbd.h`; feature and flag bits in `src/include/rbd/features.h`.

use std::collections::BTreeMap;

use crate::children::decode_snap_children;
use crate::decode::{Cursor, DecodeError, Result, Timestamp, hex_id};
use crate::snapshot::decode_snapshot;
use crate::{ChildImage, Name, Snapshot};

/// Ceph's `CEPH_NOSNAP`: no snapshot, which in a parent means that there is no parent.
pub(crate) const NO_SNAPSHOT: u64 = u64::MAX - 1;
/// The id that stands for no pool.
const NO_POOL: i64 = -1;
const SNAPSHOT_PREFIX: &[u8] = b"snapshot_";
const CHILDREN_PREFIX: &[u8] = b"snap_children_";
const METADATA_PREFIX: &[u8] = b"metadata_";

/// The name of the object that describes the image with this id.
pub fn header_object(image_id: &str) -> String {
    format!("rbd_header.{image_id}")
}

/// An image, as its header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageHeader {
    /// The image's size.
    pub size_bytes: u64,
    /// The data objects' size is two to the power of this; always less than 64.
    pub order: u8,
    /// What the image uses.
    pub features: Features,
    /// What is wrong with its object map.
    pub flags: Flags,
    /// What kinds of operation have left traces in it.
    pub op_features: OpFeatures,
    /// What the names of its data objects begin with.
    pub object_prefix: String,
    /// The pool of its data objects, when it is not the image's own.
    pub data_pool_id: Option<i64>,
    /// Striping, when it is not the default of one object after the other.
    pub striping: Option<Striping>,
    /// The newest snapshot id that the image has used.
    pub snap_seq: u64,
    /// How many snapshots it may have, when that is limited.
    pub snapshot_limit: Option<u64>,
    /// When it was created; recorded since Mimic, as the other two since Nautilus.
    pub created: Option<Timestamp>,
    /// When it was last read, to the granularity of `rbd_atime_update_interval`.
    pub accessed: Option<Timestamp>,
    /// When it was last written, to the granularity of `rbd_mtime_update_interval`.
    pub modified: Option<Timestamp>,
    /// What it was cloned from.
    pub parent: Option<Parent>,
    /// Its snapshots, by id, which is by age.
    pub snapshots: Vec<Snapshot>,
    /// Its clones of format 2, by the snapshot that they were cloned from.
    pub children: BTreeMap<u64, Vec<ChildImage>>,
    /// Metadata of the image, including what librbd and its clients keep there (`conf_...`, `.rbd...`).
    pub metadata: BTreeMap<Name, Vec<u8>>,
    /// The group that it is in.
    pub group: Option<GroupMembership>,
    /// The migration that it is part of.
    pub migration: Option<Migration>,
}

impl ImageHeader {
    /// The size of one data object.
    pub fn object_size_bytes(&self) -> u64 {
        1u64.checked_shl(u32::from(self.order)).unwrap_or(u64::MAX)
    }
}

/// How data is spread over objects when it is not one object after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Striping {
    /// How much goes to one object before the next is used.
    pub unit_bytes: u64,
    /// How many objects are used in turn.
    pub count: u64,
}

/// The snapshot that an image was cloned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The pool that the parent is in.
    pub pool_id: i64,
    /// The namespace in that pool; empty for the default one.
    pub namespace: Name,
    /// The parent's image id. It may be in the trash.
    pub image_id: String,
    /// The snapshot of the parent.
    pub snap_id: u64,
    /// How much of the parent is visible through the image, from its start. `None` when the image was flattened but
    /// snapshots of it still need the parent ([`Snapshot::parent_overlap_bytes`]).
    pub overlap_bytes: Option<u64>,
}

/// The group that an image is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMembership {
    /// The group's pool.
    pub pool_id: i64,
    /// The group's id, as in `rbd_group_header.<id>`.
    pub group_id: String,
}

/// A live migration that an image is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Which end of it.
    pub role: MigrationRole,
    /// The other image's pool, or -1 when data comes from outside RBD.
    pub pool_id: i64,
    /// The other image's namespace.
    pub namespace: Name,
    /// The other image's name.
    pub image_name: Name,
    /// The other image's id; empty for an image of format 1.
    pub image_id: String,
    /// How far it is.
    pub state: MigrationState,
    /// What librbd says of its state.
    pub state_description: String,
    /// Of an import from outside RBD: where from, in JSON. May hold credentials.
    pub source_spec: Option<String>,
}

/// Which end of a migration an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationRole {
    /// Data is copied from it.
    Source,
    /// Data is copied to it.
    Destination,
    /// A role that newer releases may add.
    Unknown(u8),
}

/// How far a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationState {
    /// It failed.
    Error,
    /// It is being prepared.
    Preparing,
    /// It is prepared: the target may be used, data is not copied yet.
    Prepared,
    /// Data is being copied.
    Executing,
    /// All data is copied; it waits for commit.
    Executed,
    /// It is being undone.
    Aborting,
    /// A state that newer releases may add.
    Unknown(u8),
}

macro_rules! bits {
    ($(#[$doc:meta])* $type:ident, $names:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $type(pub u64);

        impl $type {
            const NAMES: &[(u64, &'static str)] = $names;

            /// The names of the bits that are set, lowest first, as the `rbd` command line spells them. A bit that
            /// this table does not know has no name: see `unknown`.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::NAMES.iter().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, name)| *name)
            }

            /// The bits that are set and have no name here.
            pub fn unknown(self) -> u64 {
                Self::NAMES.iter().fold(self.0, |left, (bit, _)| left & !bit)
            }
        }
    };
}

bits!(
    /// Image features (`RBD_FEATURE_*`).
    Features,
    &[
        (1 << 0, "layering"),
        (1 << 1, "striping"),
        (1 << 2, "exclusive-lock"),
        (1 << 3, "object-map"),
        (1 << 4, "fast-diff"),
        (1 << 5, "deep-flatten"),
        (1 << 6, "journaling"),
        (1 << 7, "data-pool"),
        (1 << 8, "operations"),
        (1 << 9, "migrating"),
        (1 << 10, "non-primary"),
        (1 << 11, "dirty-cache"),
    ]
);
bits!(
    /// Image flags (`RBD_FLAG_*`): set while the object map cannot be trusted; `rbd object-map rebuild` mends it.
    Flags,
    &[(1 << 0, "object map invalid"), (1 << 1, "fast diff invalid")]
);
bits!(
    /// Operation features (`RBD_OPERATION_FEATURE_*`).
    OpFeatures,
    &[(1 << 0, "clone-parent"), (1 << 1, "clone-child"), (1 << 2, "group"), (1 << 3, "snap-trash")]
);

/// Decodes a whole header, from all its omap entries.
///
/// # Errors
/// As [`HeaderBuilder::entry`] and [`HeaderBuilder::finish`].
pub fn decode_header<'a>(entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<ImageHeader, DecodeError> {
    let mut builder = HeaderBuilder::default();
    for (key, value) in entries {
        builder.entry(key, value)?;
    }
    builder.finish()
}

/// Takes a header's omap entries in any order, as they come in pages.
#[derive(Debug, Clone, Default)]
pub struct HeaderBuilder {
    size_bytes: Option<u64>,
    order: Option<u8>,
    features: Option<u64>,
    flags: u64,
    op_features: u64,
    object_prefix: Option<String>,
    data_pool_id: Option<i64>,
    stripe_unit: Option<u64>,
    stripe_count: Option<u64>,
    snap_seq: Option<u64>,
    snapshot_limit: Option<u64>,
    created: Option<Timestamp>,
    accessed: Option<Timestamp>,
    modified: Option<Timestamp>,
    parent: Option<Parent>,
    snapshots: BTreeMap<u64, (Snapshot, Option<Parent>)>,
    children: BTreeMap<u64, Vec<ChildImage>>,
    metadata: BTreeMap<Name, Vec<u8>>,
    group: Option<GroupMembership>,
    migration: Option<Migration>,
}

impl HeaderBuilder {
    /// Takes one entry. Keys that are not known are passed over, since newer releases add some. An entry given twice
    /// counts as given last.
    ///
    /// # Errors
    /// When the value is damaged or of an unsupported version; the error names the key.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        self.take(key, value).map_err(|error| error.at_key(key))
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut cursor = Cursor::new(value);
        match key {
            b"size" => self.size_bytes = Some(cursor.u64("size")?),
            b"order" => {
                let order = cursor.u8("order")?;
                if order >= 64 {
                    return Err(DecodeError::Invalid { what: "order", reason: "is 64 or more" });
                }
                self.order = Some(order);
            }
            b"features" => self.features = Some(cursor.u64("features")?),
            b"flags" => self.flags = cursor.u64("flags")?,
            b"op_features" => self.op_features = cursor.u64("operation features")?,
            b"object_prefix" => {
                let prefix = cursor.text("object prefix")?;
                if prefix.contains('\0') {
                    return Err(DecodeError::Invalid { what: "object prefix", reason: "holds a NUL byte" });
                }
                self.object_prefix = Some(prefix);
            }
            b"data_pool_id" => {
                let id = cursor.i64("data pool id")?;
                if id < NO_POOL {
                    return Err(DecodeError::Invalid { what: "data pool id", reason: "is below -1" });
                }
                self.data_pool_id = Some(id).filter(|id| *id != NO_POOL);
            }
            b"stripe_unit" => self.stripe_unit = Some(cursor.u64("stripe unit")?),
            b"stripe_count" => self.stripe_count = Some(cursor.u64("stripe count")?),
            b"snap_seq" => self.snap_seq = Some(cursor.u64("newest snapshot id")?),
            b"snap_limit" => self.snapshot_limit = Some(cursor.u64("snapshot limit")?),
            b"create_timestamp" => self.created = cursor.timestamp("creation time")?.recorded(),
            b"access_timestamp" => self.accessed = cursor.timestamp("access time")?.recorded(),
            b"modify_timestamp" => self.modified = cursor.timestamp("modification time")?.recorded(),
            b"parent" => self.parent = decode_parent(&mut cursor)?,
            b"rbd_group_ref" => self.group = decode_group_membership(&mut cursor)?,
            b"migration" => self.migration = Some(decode_migration(&mut cursor)?),
            _ => {
                if let Some(id) = key.strip_prefix(SNAPSHOT_PREFIX) {
                    let id = hex_id(id, "snapshot key")?;
                    let (snapshot, parent) = decode_snapshot(value)?;
                    if snapshot.id != id {
                        return Err(DecodeError::Invalid { what: "snapshot id", reason: "is not that of its key" });
                    }
                    self.snapshots.insert(id, (snapshot, parent));
                } else if let Some(id) = key.strip_prefix(CHILDREN_PREFIX) {
                    self.children.insert(hex_id(id, "snapshot key")?, decode_snap_children(value)?);
                } else if let Some(name) = key.strip_prefix(METADATA_PREFIX) {
                    self.metadata.insert(Name::from(name), value.to_vec());
                }
            }
        }
        Ok(())
    }

    /// The header, after the last entry.
    ///
    /// # Errors
    /// [`DecodeError::Missing`] when there was no `size`, `order`, `features`, `object_prefix` or `snap_seq`, which
    /// every image is created with.
    pub fn finish(self) -> Result<ImageHeader, DecodeError> {
        let mut parent = self.parent;
        let mut snapshots = Vec::with_capacity(self.snapshots.len());
        for (snapshot, repeated) in self.snapshots.into_values() {
            // Before Nautilus the image's own record went when it was flattened, while the oldest snapshot kept its
            // copy. Newer releases have one record, without an overlap of its own: so it is read here.
            if parent.is_none() {
                parent = repeated.map(|parent| Parent { overlap_bytes: None, ..parent });
            }
            snapshots.push(snapshot);
        }
        let striping = match (self.stripe_unit, self.stripe_count) {
            (Some(unit_bytes), Some(count)) => Some(Striping { unit_bytes, count }),
            _ => None,
        };
        Ok(ImageHeader {
            size_bytes: self.size_bytes.ok_or(DecodeError::Missing("size"))?,
            order: self.order.ok_or(DecodeError::Missing("order"))?,
            features: Features(self.features.ok_or(DecodeError::Missing("features"))?),
            flags: Flags(self.flags),
            op_features: OpFeatures(self.op_features),
            object_prefix: self.object_prefix.ok_or(DecodeError::Missing("object_prefix"))?,
            data_pool_id: self.data_pool_id,
            striping,
            snap_seq: self.snap_seq.ok_or(DecodeError::Missing("snap_seq"))?,
            snapshot_limit: self.snapshot_limit,
            created: self.created,
            accessed: self.accessed,
            modified: self.modified,
            parent,
            snapshots,
            children: self.children,
            metadata: self.metadata,
            group: self.group,
            migration: self.migration,
        })
    }
}

/// `None` for a record that says that there is no parent.
pub(crate) fn decode_parent(outer: &mut Cursor<'_>) -> Result<Option<Parent>> {
    let (version, mut value) = outer.structure("cls_rbd_parent", 2)?;
    let pool_id = value.i64("parent pool id")?;
    let namespace = if version.written >= 2 { value.name("parent namespace")? } else { Name::default() };
    let image_id = value.optional_id("parent image id")?;
    let snap_id = value.u64("parent snapshot id")?;
    let overlap_bytes =
        if version.written >= 2 { value.optional_u64("parent overlap")? } else { Some(value.u64("parent overlap")?) };
    let exists = pool_id >= 0 && !image_id.is_empty() && snap_id != NO_SNAPSHOT;
    Ok(exists.then_some(Parent { pool_id, namespace, image_id, snap_id, overlap_bytes }))
}

/// `None` for a record that says that the image is in no group.
fn decode_group_membership(outer: &mut Cursor<'_>) -> Result<Option<GroupMembership>> {
    let (_, mut value) = outer.structure("GroupSpec", 1)?;
    let pool_id = value.i64("group pool id")?;
    let group_id = value.optional_id("group id")?;
    Ok((pool_id != -1 && !group_id.is_empty()).then_some(GroupMembership { pool_id, group_id }))
}

fn decode_migration(outer: &mut Cursor<'_>) -> Result<Migration> {
    let (version, mut value) = outer.structure("MigrationSpec", 3)?;
    let role = match value.u8("migration role")? {
        1 => MigrationRole::Source,
        2 => MigrationRole::Destination,
        other => MigrationRole::Unknown(other),
    };
    let pool_id = value.i64("migration pool id")?;
    let namespace = value.name("migration namespace")?;
    let image_name = value.name("migration image name")?;
    let image_id = value.optional_id("migration image id")?;
    value.list("migration snapshot ids", 16, |item| item.take(16, "migration snapshot ids").map(|_| ()))?;
    value.u64("migration overlap")?;
    value.bool("migration flatten")?;
    value.bool("migration mirroring")?;
    let state = match value.u8("migration state")? {
        0 => MigrationState::Error,
        1 => MigrationState::Preparing,
        2 => MigrationState::Prepared,
        3 => MigrationState::Executing,
        4 => MigrationState::Executed,
        5 => MigrationState::Aborting,
        other => MigrationState::Unknown(other),
    };
    let state_description = value.text("migration state description")?;
    if version.written >= 2 {
        value.u8("migration mirror mode")?;
    }
    let source_spec = if version.written >= 3 { value.text("migration source")? } else { String::new() };
    Ok(Migration {
        role,
        pool_id,
        namespace,
        image_name,
        image_id,
        state,
        state_description,
        source_spec: Some(source_spec).filter(|spec| !spec.is_empty()),
    })
}
