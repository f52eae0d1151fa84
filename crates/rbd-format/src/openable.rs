//! Whether librbd may be given an image to open.
//!
//! Opening follows what the header says without a bound: it waits for ever for a migration that never ends, opens parents in a
//! circle until memory is gone, and reads files and addresses that an import names, as the process that opens the image. Whoever
//! may write in one pool writes these headers. So they are looked at first, the image's own and those of its ancestors.
//!
//! Source: `RefreshRequest` and `OpenRequest` in Ceph's `src/librbd/image/`, `migration/` beside it.

use thiserror::Error;

use crate::header::{Migration, MigrationRole, MigrationState, NO_SNAPSHOT};
use crate::{ImageHeader, Name};

/// Bit of the feature `migrating`. Without it librbd looks at no record of a migration.
const MIGRATING: u64 = 1 << 9;

/// Why librbd must not be given an image to open. Completes a sentence that begins with the image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unopenable {
    /// It has the feature `migrating`, and no record of a migration.
    #[error("is marked as migrating, and has no record of a migration")]
    NoMigration,
    /// The record of its migration names a role or a state that librbd does not know or does not open.
    #[error("has the record of a migration that cannot go on (its role or its state is not one that librbd opens)")]
    MigrationNotKnown,
    /// It is the destination of a migration whose preparation was cut off: librbd waits for its end.
    #[error("is the destination of a migration whose preparation was cut off")]
    MigrationNotPrepared,
    /// Its data comes from a file or an address outside RBD.
    #[error("is imported by a migration from outside RBD, a file or an address, which this service does not open")]
    OutsideSource,
    /// It is its own ancestor.
    #[error("is its own ancestor: the image with the id {image_id} stands twice in its line of parents")]
    AncestorLoop {
        /// The id that occurs twice.
        image_id: String,
    },
    /// It has more ancestors than librbd should open.
    #[error("has more than {most} ancestors")]
    Ancestors {
        /// The most that are followed.
        most: usize,
    },
    /// Two of its snapshots have one name.
    #[error("has two snapshots of the name {name:?}", name = name.to_string())]
    SnapshotTwice {
        /// That name.
        name: Name,
    },
    /// A snapshot has an id that the image has not given yet.
    #[error("has a snapshot with the id {id}, beyond the newest that it has given")]
    SnapshotId {
        /// That id.
        id: u64,
    },
}

/// The image that another takes data from: its parent, or the source of its migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The id of its pool.
    pub pool_id: i64,
    /// Its namespace.
    pub namespace: &'a Name,
    /// Its id.
    pub image_id: &'a str,
    /// Whether it is the source of a migration.
    pub is_migration: bool,
}

impl ImageHeader {
    /// The migration that librbd goes by when it opens the image.
    pub fn migration_in_force(&self) -> Option<&Migration> {
        self.migration.as_ref().filter(|_| self.features.0 & MIGRATING != 0)
    }

    /// The image that librbd opens together with this one, since it takes data from it. Without an id, that is one of format 1 or
    /// none at all, which takes from nobody in turn.
    pub fn origin(&self) -> Option<Origin<'_>> {
        let source = self.migration_in_force().filter(|migration| migration.role == MigrationRole::Destination);
        let origin = match (source, &self.parent) {
            (Some(source), _) => Origin {
                pool_id: source.pool_id,
                namespace: &source.namespace,
                image_id: &source.image_id,
                is_migration: true,
            },
            (None, Some(parent)) => Origin {
                pool_id: parent.pool_id,
                namespace: &parent.namespace,
                image_id: &parent.image_id,
                is_migration: false,
            },
            (None, None) => return None,
        };
        (origin.pool_id >= 0 && !origin.image_id.is_empty()).then_some(origin)
    }

    /// Rejects a header with which librbd would not open the image, or not only that.
    ///
    /// # Errors
    /// All of [`Unopenable`] but what only the ancestors say.
    pub fn check_openable(&self) -> Result<(), Unopenable> {
        if self.features.0 & MIGRATING != 0 {
            check_migration(self.migration.as_ref())?;
        }
        if let Some(snapshot) = self.snapshots.iter().find(|snapshot| snapshot.id > self.snap_seq.min(NO_SNAPSHOT - 1))
        {
            return Err(Unopenable::SnapshotId { id: snapshot.id });
        }
        let mut names: Vec<_> = self.snapshots.iter().map(|snapshot| (&snapshot.namespace, &snapshot.name)).collect();
        names.sort_by(|a, b| a.1.cmp(b.1));
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Unopenable::SnapshotTwice { name: pair[0].1.clone() }),
            None => Ok(()),
        }
    }
}

fn check_migration(migration: Option<&Migration>) -> Result<(), Unopenable> {
    let Some(migration) = migration else { return Err(Unopenable::NoMigration) };
    match (migration.role, migration.state) {
        (MigrationRole::Unknown(_), _) => Err(Unopenable::MigrationNotKnown),
        (MigrationRole::Source, _) => Ok(()),
        (MigrationRole::Destination, _) if migration.source_spec.is_some() || migration.pool_id < 0 => {
            Err(Unopenable::OutsideSource)
        }
        (MigrationRole::Destination, MigrationState::Preparing) => Err(Unopenable::MigrationNotPrepared),
        (
            MigrationRole::Destination,
            MigrationState::Prepared | MigrationState::Executing | MigrationState::Executed,
        ) => Ok(()),
        (MigrationRole::Destination, _) => Err(Unopenable::MigrationNotKnown),
    }
}
