//! Long work, as others see it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::Place;
use crate::problem_document::ProblemDocument;

/// The state of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// Waits for a replica to run it.
    Queued,
    /// Runs.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with the problem in `problem`.
    Failed,
    /// Was cancelled; what it had done stays done.
    Cancelled,
    /// The replica that ran it is gone, and it is not of a kind that can be resumed; `problem` says what to do.
    Interrupted,
}

impl OperationState {
    /// Whether it will not change any more.
    pub fn is_finished(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What an operation does. Images are known by their id, so that one that took the name meanwhile is never touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Work {
    /// Removes an image for good.
    RemoveImage {
        /// Its name.
        image: String,
        /// Its id.
        image_id: String,
        /// Whether its snapshots are deleted first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        delete_snapshots: bool,
    },
    /// Removes an image in the trash for good.
    RemoveTrash {
        /// The name it had.
        image: String,
        /// Its id.
        image_id: String,
        /// Whether its snapshots are deleted first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        delete_snapshots: bool,
    },
    /// Removes all images in the trash whose time was over at a moment.
    PurgeTrash {
        /// That moment.
        expired_before: Timestamp,
        /// Only those that were put there by this moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deleted_before: Option<Timestamp>,
    },
    /// Deletes the snapshots of an image, also of one in the trash.
    PurgeSnapshots {
        /// Its name; of one in the trash, the name it had.
        image: String,
        /// Its id.
        image_id: String,
        /// The id of the newest snapshot when it was asked for: those taken since stay.
        through: u64,
        /// Whether protection is lifted where no clone needs it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unprotect: bool,
    },
    /// Copies what a clone takes from its parent.
    Flatten {
        /// Its name.
        image: String,
        /// Its id.
        image_id: String,
    },
    /// Shrinks an image.
    Shrink {
        /// Its name.
        image: String,
        /// Its id.
        image_id: String,
        /// Its size before, in bytes.
        from_bytes: u64,
        /// Its size after, in bytes.
        to_bytes: u64,
        /// Whether clients that have it open are passed over.
        #[serde(default)]
        force: bool,
    },
    /// Gives back space that holds only zeros.
    Sparsify {
        /// Its name.
        image: String,
        /// Its id.
        image_id: String,
        /// The length of the runs of zeros looked for, in bytes.
        run_bytes: u64,
    },
    /// Makes the object map anew.
    RebuildObjectMap {
        /// Its name.
        image: String,
        /// Its id.
        image_id: String,
    },
    /// Sets an image back to a snapshot.
    Rollback {
        /// Its name.
        image: String,
        /// Its id.
        image_id: String,
        /// The snapshot.
        snapshot: String,
        /// Whether clients that have it open are passed over.
        #[serde(default)]
        force: bool,
    },
    /// Sets all images of a group back to a snapshot of it.
    RollbackGroup {
        /// The group.
        group: String,
        /// Its snapshot.
        snapshot: String,
        /// Whether clients that have its images open are passed over.
        #[serde(default)]
        force: bool,
    },
    /// Copies an image into this place.
    Copy {
        /// The name of the copy.
        image: String,
        /// Where the source is.
        source: Place,
        /// Its name.
        source_image: String,
        /// Its id.
        source_id: String,
        /// The snapshot copied; absent for the head.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_snapshot: Option<String>,
        /// Whether snapshots and the link to the parent go along.
        deep: bool,
        /// Whether the copy is made independent of the parent.
        flatten: bool,
        /// The pool of the copy's data objects.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_pool: Option<String>,
    },
    /// Fills an image with the bytes that a client sends. Runs with its request, never by itself.
    Import {
        /// Its name.
        image: String,
    },
}

impl Work {
    /// Whether librbd ends it when asked to.
    pub fn is_cancellable(&self) -> bool {
        match self {
            Self::RemoveImage { .. }
            | Self::RemoveTrash { .. }
            | Self::PurgeTrash { .. }
            | Self::PurgeSnapshots { .. }
            | Self::Flatten { .. }
            | Self::Shrink { .. }
            | Self::Sparsify { .. }
            | Self::RebuildObjectMap { .. } => true,
            Self::Rollback { .. } | Self::RollbackGroup { .. } | Self::Copy { .. } | Self::Import { .. } => false,
        }
    }

    /// Whether another replica may do it again from the start after the first is gone.
    ///
    /// Not what would destroy data that was written since it ended unseen (shrinking, rolling back), nor what would
    /// find its own half-made target in the way (copying), nor what needs the client's bytes.
    pub fn is_resumable(&self) -> bool {
        match self {
            Self::RemoveImage { .. }
            | Self::RemoveTrash { .. }
            | Self::PurgeTrash { .. }
            | Self::PurgeSnapshots { .. }
            | Self::Flatten { .. }
            | Self::Sparsify { .. }
            | Self::RebuildObjectMap { .. } => true,
            Self::Shrink { .. }
            | Self::Rollback { .. }
            | Self::RollbackGroup { .. }
            | Self::Copy { .. }
            | Self::Import { .. } => false,
        }
    }

    /// The id of the image it works on, where it is one that exists already. A name that leads to no image has none.
    pub fn image_id(&self) -> Option<&str> {
        match self {
            Self::RemoveImage { image_id, .. }
            | Self::RemoveTrash { image_id, .. }
            | Self::PurgeSnapshots { image_id, .. }
            | Self::Flatten { image_id, .. }
            | Self::Shrink { image_id, .. }
            | Self::Sparsify { image_id, .. }
            | Self::RebuildObjectMap { image_id, .. }
            | Self::Rollback { image_id, .. } => Some(image_id.as_str()).filter(|id| !id.is_empty()),
            Self::PurgeTrash { .. } | Self::RollbackGroup { .. } | Self::Copy { .. } | Self::Import { .. } => None,
        }
    }

    /// The name of the image that it fills, which is incomplete until then.
    pub fn filled_image(&self) -> Option<&str> {
        match self {
            Self::Copy { image, .. } | Self::Import { image } => Some(image),
            _ => None,
        }
    }

    /// What to do after it was interrupted.
    pub fn after_interruption(&self) -> &'static str {
        match self {
            Self::Shrink { .. } => "Read the image's size, and shrink it again if it is still the old one.",
            Self::Rollback { .. } | Self::RollbackGroup { .. } => {
                "The data may be a mix of both states: roll back again before using it."
            }
            Self::Copy { .. } => "The copy may be incomplete: delete it, and copy again.",
            Self::Import { .. } => "The image is incomplete: delete it, and import again.",
            _ => "Start it again.",
        }
    }
}

/// How far an operation is, in units of its own (objects, mostly).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// All there is to do; 0 while that is not known.
    pub total: u64,
}

/// An operation, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// What it does.
    #[serde(flatten)]
    pub work: Work,
    /// The pool and namespace it works in.
    pub place: Place,
    /// Its state.
    pub state: OperationState,
    /// How far it is.
    pub progress: Progress,
    /// What it waits for, such as the end of a dead client's watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Whether it was asked to end early.
    #[serde(default)]
    pub cancel_requested: bool,
    /// Whether it can be asked to.
    pub cancellable: bool,
    /// Who asked for it.
    pub requested_by: String,
    /// The request that asked for it.
    pub request_id: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When this was last written.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How often another replica has taken it over.
    #[serde(default)]
    pub resumed: u32,
    /// Why it failed, as a problem document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ProblemDocument>")]
    pub problem: Option<Value>,
}
