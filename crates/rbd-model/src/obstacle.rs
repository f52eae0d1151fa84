//! One state of an image that stands in the way, in words.

use ceph_error::Error;
use jiff::Timestamp;
use rbd_format::{ImageSize, Unbounded, Unopenable};
use serde_json::json;

use crate::clients::{Lock, Watcher};
use crate::fault::{Fault, Kind, members};

/// What is to be done with an image. `force` goes on although clients have it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Its data is read: exported, compared, counted, copied.
    Read,
    /// Its data is written anew without a change of what it holds, or it grows.
    Rewrite,
    /// Data that it holds is replaced.
    Overwrite {
        /// Whether clients are passed over.
        force: bool,
    },
    /// Data beyond a smaller size is deleted.
    Shrink {
        /// Whether clients are passed over.
        force: bool,
    },
    /// One of its snapshots is removed.
    DropSnapshot,
    /// It is moved to the trash.
    Trash {
        /// Whether clients are passed over.
        force: bool,
    },
    /// It is removed for good.
    Remove {
        /// Whether clients are passed over.
        force: bool,
    },
}

impl Act {
    /// Whether librbd walks over its objects, and over those of its ancestors.
    pub fn walks(self) -> bool {
        matches!(self, Self::Read | Self::Rewrite | Self::Overwrite { .. })
    }

    /// Whether clients that have it open stand in the way.
    pub fn needs_no_clients(self) -> bool {
        match self {
            Self::Read | Self::Rewrite | Self::DropSnapshot => false,
            Self::Overwrite { force } | Self::Shrink { force } | Self::Trash { force } | Self::Remove { force } => {
                !force
            }
        }
    }

    /// Whether librbd needs the image's lock for it, which a client with the feature exclusive-lock hands over, but not one that
    /// has locked the image on purpose.
    pub fn needs_lock(self) -> bool {
        matches!(self, Self::Rewrite | Self::DropSnapshot)
    }

    /// Whether it is removed, for good or into the trash.
    pub fn removes(self) -> bool {
        matches!(self, Self::Trash { .. } | Self::Remove { .. })
    }
}

/// A pool that an image needs and that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPool {
    /// Its id.
    pub id: i64,
    /// The name that it had, if this process has seen it.
    pub name: Option<String>,
    /// What of the image it held: `its data`, `its parent`, `the source of its migration`.
    pub held: &'static str,
}

/// The image at the other end of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationPeer {
    /// As `pool/namespace/image`, or what is known of it.
    pub subject: String,
    /// How far the migration is.
    pub state: &'static str,
}

/// A state of an image that stands in the way of something.
#[derive(Debug, Clone)]
pub enum Obstacle {
    /// librbd cannot work with its size or layout.
    Unbounded(Unbounded),
    /// A pool that it needs is gone.
    PoolGone(MissingPool),
    /// librbd must not open it.
    Unopenable(Unopenable),
    /// The image that it is a clone of is gone, or that image's snapshot is.
    ParentGone {
        /// Its pool.
        pool: String,
        /// Its id.
        image_id: String,
        /// The id of the snapshot, where only that is gone.
        snapshot_id: Option<u64>,
    },
    /// It is mirrored from another cluster, where it is changed.
    NonPrimary,
    /// Data is copied from it by a migration.
    MigrationSource(MigrationPeer),
    /// Data is copied to it by a migration.
    MigrationDestination(MigrationPeer),
    /// It is in a group.
    GroupMember {
        /// The group's pool; `None` when that is gone.
        pool: Option<String>,
        /// The group's name, or its id where the name cannot be read.
        group: String,
    },
    /// Clients have it open for writing.
    Open {
        /// Those clients.
        watchers: Vec<Watcher>,
        /// Who of them, or of others, holds its lock.
        locks: Vec<Lock>,
    },
    /// A client holds its lock.
    Locked {
        /// Who.
        locks: Vec<Lock>,
    },
    /// Ceph did not say in time whether clients have it open.
    ClientsUnknown,
    /// So many clones of its snapshots need it.
    Clones(u32),
    /// It has so many snapshots.
    Snapshots(usize),
    /// It is being moved into the trash or out of it, or that was cut off.
    Moving,
    /// The trash keeps it until its retention ends, at this moment.
    Retained(Timestamp),
}

impl Obstacle {
    /// The obstacle that an error of Ceph is, where it says one.
    pub fn from_error(error: &Error) -> Option<Self> {
        match error {
            Error::Unbounded { source, .. } => Some(Self::Unbounded(source.clone())),
            Error::Unopenable { source, .. } => Some(Self::Unopenable(source.clone())),
            Error::PoolGone { pool_id, holds, .. } => {
                Some(Self::PoolGone(MissingPool { id: *pool_id, name: None, held: holds }))
            }
            _ => None,
        }
    }

    /// Whether it makes the image one that nothing but removing it can be done with.
    pub fn makes_unusable(&self) -> bool {
        matches!(self, Self::Unbounded(_) | Self::Unopenable(_) | Self::PoolGone(_) | Self::ParentGone { .. })
    }

    /// Whether it stands in the way of an act.
    pub fn blocks(&self, act: Act) -> bool {
        match self {
            // librbd divides by its parts whenever it opens the image to change it, also to move it to the trash.
            Self::Unbounded(Unbounded::Striping { .. } | Unbounded::ObjectSize { .. }) => true,
            // librbd opens an image without its ancestors when it removes it.
            Self::Unopenable(Unopenable::AncestorLoop { .. } | Unopenable::Ancestors { .. }) => !act.removes(),
            Self::Unopenable(_) => true,
            Self::Unbounded(_) => !act.removes() && !matches!(act, Act::Shrink { .. } | Act::DropSnapshot),
            Self::PoolGone(_) | Self::ParentGone { .. } => !act.removes() && act != Act::DropSnapshot,
            Self::NonPrimary | Self::MigrationSource(_) => act != Act::Read,
            // Without a snapshot that its source has, librbd ends the process that executes the migration.
            Self::MigrationDestination(_) => act.removes() || act == Act::DropSnapshot,
            // A group that is gone with its pool keeps nothing: the image leaves it when it is removed.
            Self::GroupMember { pool, .. } => pool.is_some() && matches!(act, Act::Remove { .. }),
            Self::Open { .. } | Self::ClientsUnknown => act.needs_no_clients(),
            Self::Clones(_) | Self::Snapshots(_) => matches!(act, Act::Remove { .. }),
            Self::Moving => act.removes(),
            Self::Retained(_) => act == Act::Remove { force: false },
            Self::Locked { .. } => act.needs_no_clients() || act.needs_lock(),
        }
    }

    /// In words, as the end of a sentence that begins with the image.
    pub fn text(&self) -> String {
        match self {
            Self::Unbounded(what) => what.to_string(),
            Self::Unopenable(what) => what.to_string(),
            Self::PoolGone(MissingPool { id, name: Some(name), held }) => {
                format!("needs the pool {name:?} (id {id}), which held {held} and is gone")
            }
            Self::PoolGone(MissingPool { id, name: None, held }) => {
                format!("needs the pool with the id {id}, which held {held} and is gone")
            }
            Self::ParentGone { pool, image_id, snapshot_id: None } => {
                format!("needs its parent, the image with the id {image_id} in pool {pool:?}, which is gone")
            }
            Self::ParentGone { pool, image_id, snapshot_id: Some(id) } => {
                format!(
                    "needs the snapshot with the id {id} of its parent, the image with the id {image_id} in pool {pool:?}, \
                     which is gone"
                )
            }
            Self::NonPrimary => "is mirrored from another cluster, and not primary in this one".to_owned(),
            Self::MigrationSource(MigrationPeer { subject, state }) => {
                format!("is the source of a migration to {subject}, which is {state}")
            }
            Self::MigrationDestination(MigrationPeer { subject, state }) => {
                format!("is the destination of a migration from {subject}, which is {state}")
            }
            Self::GroupMember { pool: Some(pool), group } => format!("is in the group {group:?} of pool {pool:?}"),
            Self::GroupMember { pool: None, group } => format!("is in the group {group:?} of a pool that is gone"),
            Self::Open { watchers, .. } => {
                let clients: Vec<String> =
                    watchers.iter().map(|watcher| format!("{} at {}", watcher.client, watcher.address)).collect();
                format!("is open in {} client(s): {}", clients.len(), clients.join(", "))
            }
            Self::Locked { locks } => {
                let holders: Vec<String> =
                    locks.iter().map(|lock| format!("{} at {}", lock.client, lock.address)).collect();
                format!("is locked by {}", holders.join(", "))
            }
            Self::ClientsUnknown => "may be open in a client: Ceph did not say in time".to_owned(),
            Self::Clones(count) => format!("is needed by {count} clone(s) of its snapshots"),
            Self::Snapshots(count) => format!("has {count} snapshot(s)"),
            Self::Moving => "is being moved into the trash or out of it, or that was cut off".to_owned(),
            Self::Retained(until) => format!("has a retention that ends at {until}"),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Unopenable(
                Unopenable::NoMigration
                | Unopenable::MigrationNotKnown
                | Unopenable::MigrationNotPrepared
                | Unopenable::OutsideSource,
            ) => Kind::Migrating,
            Self::Unbounded(_) | Self::Unopenable(_) | Self::ParentGone { .. } => Kind::ImageUnusable,
            Self::PoolGone(_) => Kind::PoolMissing,
            Self::NonPrimary => Kind::NotPrimary,
            Self::MigrationSource(_) | Self::MigrationDestination(_) => Kind::Migrating,
            Self::Retained(_) => Kind::Conflict,
            Self::GroupMember { .. }
            | Self::Open { .. }
            | Self::Locked { .. }
            | Self::ClientsUnknown
            | Self::Clones(_)
            | Self::Snapshots(_)
            | Self::Moving => Kind::InUse,
        }
    }

    /// What to do about it.
    pub fn correction(&self) -> String {
        match self {
            Self::Unbounded(Unbounded::Size { .. }) => {
                format!("Resize it to at most {} bytes with allowShrink, or delete it.", ImageSize::MAX)
            }
            Self::Unbounded(Unbounded::Snapshot { .. }) => "Delete that snapshot, or the image.".to_owned(),
            Self::Unbounded(_) => {
                "Copy its data and remove it with the client that made it.".to_owned()
            }
            Self::PoolGone(_) | Self::ParentGone { .. } => {
                "What was there is lost. DELETE the image, and restore it from a backup.".to_owned()
            }
            Self::Unopenable(Unopenable::OutsideSource) => {
                "Finish the import with `rbd migration execute` and `commit`, or undo it with `rbd migration abort`.".to_owned()
            }
            Self::Unopenable(
                Unopenable::NoMigration | Unopenable::MigrationNotKnown | Unopenable::MigrationNotPrepared,
            ) => "Undo the migration with `rbd migration abort`.".to_owned(),
            Self::Unopenable(Unopenable::AncestorLoop { .. } | Unopenable::Ancestors { .. }) => {
                "Another client has damaged the record of its parent. DELETE the image, and restore it from a backup.".to_owned()
            }
            Self::Unopenable(_) => {
                "Another client has damaged its header. Mend that with `rados setomapval`, or restore the image from a backup."
                    .to_owned()
            }
            Self::NonPrimary => {
                "Change it in the cluster where it is primary, or promote it here with `rbd mirror image promote`."
                    .to_owned()
            }
            Self::MigrationSource(_) | Self::MigrationDestination(_) => {
                "Finish the migration with `rbd migration execute` and `commit`, or undo it with `rbd migration abort`."
                    .to_owned()
            }
            Self::GroupMember { group, .. } => format!("Take it out of the group {group:?} first."),
            Self::Open { .. } => {
                "Unmap or close the image there; or repeat the call with force=true: what those clients have \
                                  in their caches and what they write later is then mixed with, or lost to, the change."
                    .to_owned()
            }
            Self::Locked { .. } => {
                "Release the lock there. One that is left of a client that has died can be taken away \
                                    with DELETE on the image's locks."
                    .to_owned()
            }
            Self::ClientsUnknown => "GET this image alone: then there is more time to ask.".to_owned(),
            Self::Clones(_) => "Flatten or delete the clones first.".to_owned(),
            Self::Snapshots(_) => {
                "Delete the snapshots first, or delete the image with ?deleteSnapshots=true.".to_owned()
            }
            Self::Moving => "Wait, or restore the image.".to_owned(),
            Self::Retained(_) => "Wait, restore the image, or delete it with ?force=true.".to_owned(),
        }
    }

    fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Open { .. } => Some("A watch ends when its client closes the image, or about 31 s after it died."),
            _ => None,
        }
    }

    /// The answer to who asked for what it stands in the way of.
    pub fn fault(&self, image: &str) -> Fault {
        self.fault_of(&format!("Image {image:?}"))
    }

    /// The same about a subject in other words, such as `pool/image`.
    pub fn fault_of(&self, subject: &str) -> Fault {
        let fault = Fault::new(self.kind(), format!("{subject} {}.", self.text())).correction(self.correction());
        let fault = match self.cause() {
            Some(cause) => fault.cause(cause),
            None => fault,
        };
        match self {
            Self::PoolGone(pool) => fault.with("missingPool", json!({ "id": pool.id, "name": pool.name })),
            Self::GroupMember { pool, group } => fault.with("group", json!({ "pool": pool, "name": group })),
            Self::MigrationSource(other) | Self::MigrationDestination(other) => {
                fault.with("migration", json!({ "with": other.subject, "state": other.state }))
            }
            Self::Open { watchers, locks } => fault.with("watchers", members(watchers)).with("locks", members(locks)),
            Self::Locked { locks } => fault.with("locks", members(locks)),
            Self::Retained(until) => fault.with("expiresAt", until.to_string()),
            _ => fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Obstacle {
        let watcher =
            Watcher { client: "client.7".into(), address: "10.0.0.7:0/1".into(), cookie: 1, this_service: false };
        Obstacle::Open { watchers: vec![watcher], locks: Vec::new() }
    }

    #[test]
    fn clients_block_only_destructive_acts_without_force() {
        for act in [Act::Overwrite { force: false }, Act::Shrink { force: false }, Act::Remove { force: false }] {
            assert!(open().blocks(act), "{act:?}");
        }
        for act in [Act::Read, Act::Rewrite, Act::Overwrite { force: true }, Act::Trash { force: true }] {
            assert!(!open().blocks(act), "{act:?}");
        }
    }

    #[test]
    fn too_large_image_can_only_be_shrunk_or_removed() {
        let large = Obstacle::Unbounded(Unbounded::Size { bytes: u64::MAX });
        for act in [Act::Shrink { force: false }, Act::Trash { force: false }, Act::Remove { force: false }] {
            assert!(!large.blocks(act), "{act:?}");
        }
        for act in [Act::Read, Act::Rewrite, Act::Overwrite { force: true }] {
            assert!(large.blocks(act), "{act:?}");
        }
        let striped = Obstacle::Unbounded(Unbounded::Striping { unit_bytes: 1 << 22, count: 1 << 32, order: 22 });
        assert!(striped.blocks(Act::Remove { force: true }) && striped.blocks(Act::Shrink { force: true }));
    }

    #[test]
    fn pool_that_is_gone_is_named_by_what_is_known_of_it() {
        let gone = |name: Option<&str>| {
            Obstacle::PoolGone(MissingPool { id: 7, name: name.map(str::to_owned), held: "its parent" }).fault("a")
        };
        assert_eq!(gone(None).detail(), "Image \"a\" needs the pool with the id 7, which held its parent and is gone.");
        assert_eq!(
            gone(Some("gold")).detail(),
            "Image \"a\" needs the pool \"gold\" (id 7), which held its parent and is gone."
        );
    }
}
