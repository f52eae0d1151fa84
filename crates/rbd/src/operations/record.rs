//! What is written of an operation, and what clients see of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::Place;
use crate::problem_document::ProblemDocument;

/// The state of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "OperationState")]
pub enum State {
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

impl State {
    /// Whether it will not change any more.
    pub fn finished(self) -> bool {
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
    pub fn cancellable(&self) -> bool {
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
    pub fn resumable(&self) -> bool {
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
    pub fn fills(&self) -> Option<&str> {
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
    pub state: State,
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

/// An operation, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What clients see.
    #[serde(flatten)]
    pub operation: Operation,
    /// The replica that runs it; empty when it was handed over.
    pub owner: String,
    /// Counts up while it runs. A replica that sees it stand still for the length of a lease takes the operation over:
    /// that needs no clock that two machines agree on.
    pub beat: u64,
    /// How many replicas have ended, without handing it over, while they ran it.
    #[serde(default)]
    pub deaths: u32,
}

/// An operation's id: where its record is kept, and its key there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// The pool's id.
    pub pool_id: i64,
    /// The record's key, a UUID of version 7, so that keys sort by time.
    pub key: String,
    /// The namespace, of a record that is kept in it rather than for the whole pool.
    pub namespace: Option<String>,
}

impl Id {
    /// A new one.
    pub fn new(pool_id: i64, namespace: Option<String>) -> Self {
        Self { pool_id, key: uuid::Uuid::now_v7().to_string(), namespace }
    }

    /// From its text; `None` for what never was one.
    pub fn parse(text: &str) -> Option<Self> {
        let (pool_id, rest) = text.split_once('.')?;
        let (key, namespace) = match rest.split_once('.') {
            None => (rest, None),
            Some((key, namespace)) => {
                let namespace = String::from_utf8(URL_SAFE_NO_PAD.decode(namespace).ok()?).ok()?;
                (key, Some(namespace).filter(|name| !name.is_empty() && !name.contains('\0')))
            }
        };
        if rest.contains('.') && namespace.is_none() {
            return None;
        }
        let uuid: uuid::Uuid = key.parse().ok()?;
        Some(Self { pool_id: pool_id.parse().ok().filter(|id| *id >= 0)?, key: uuid.to_string(), namespace })
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.pool_id, self.key)?;
        match &self.namespace {
            Some(namespace) => write!(f, ".{}", URL_SAFE_NO_PAD.encode(namespace)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_their_bytes() {
        let id = Id::new(3, None);
        assert_eq!(Id::parse(&id.to_string()), Some(id.clone()));
        let within = Id::new(3, Some("team/ä.".into()));
        assert_eq!(Id::parse(&within.to_string()), Some(within.clone()));
        let (empty, odd) = (format!("{id}."), format!("{id}.!"));
        for wrong in ["", "3", "3.", "x.y", "-1.0198c5a0-0000-7000-8000-000000000000", "3.1", &empty, &odd] {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
        let now = Timestamp::UNIX_EPOCH;
        let record = Record {
            operation: Operation {
                id: id.to_string(),
                work: Work::Shrink {
                    image: "a".into(),
                    image_id: "1f".into(),
                    from_bytes: 2,
                    to_bytes: 1,
                    force: true,
                },
                place: Place { pool: "p".into(), namespace: String::new() },
                state: State::Running,
                progress: Progress { done: 1, total: 2 },
                waiting_for: None,
                cancel_requested: false,
                cancellable: true,
                requested_by: "x".into(),
                request_id: "r".into(),
                created_at: now,
                updated_at: now,
                finished_at: None,
                resumed: 0,
                problem: None,
            },
            owner: "o".into(),
            beat: 7,
            deaths: 0,
        };
        let bytes = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<Record>(&bytes).unwrap(), record);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(r#""kind":"shrink","image":"a","imageId":"1f","fromBytes":2"#), "{text}");
    }
}
