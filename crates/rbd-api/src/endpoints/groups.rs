//! Groups of images and their snapshots.

use http::Method;
use rbd_model::names::Place;
use rbd_model::unread::UnreadPool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Content, Created, FoundOrCreated, NoContent};
use crate::endpoint::Endpoint;
use crate::input::{Json, NoBody, NoQuery};
use crate::list::List;
use crate::names::{encode_segment, place_path};
use crate::path::{GroupImagePath, GroupPath, GroupSnapshotPath, PlacePath};
use crate::schema;

const TAG: &str = "groups";

endpoints! {
    /// List the groups.
    LIST_GROUPS: Endpoint<PlacePath, NoQuery, NoBody, Content<List<GroupName>>> =
        Endpoint::new(Method::GET, "{scope}/groups", TAG, "listGroups", "List the groups")
            .answers(&["The groups, by name."]);

    /// Make a group.
    CREATE_GROUP: Endpoint<PlacePath, NoQuery, Json<GroupOrSnapshotName>, Created<Group>> =
        Endpoint::new(Method::POST, "{scope}/groups", TAG, "createGroup", "Make a group")
            .answers(&["The group was made."]);

    /// Get a group.
    GET_GROUP: Endpoint<GroupPath, NoQuery, NoBody, Content<Group>> =
        Endpoint::new(Method::GET, "{scope}/groups/{group}", TAG, "getGroup", "Get a group")
            .describe("With its images and its snapshots.")
            .answers(&["The group."]);

    /// Make a group unless it is there.
    PUT_GROUP: Endpoint<GroupPath, NoQuery, NoBody, FoundOrCreated<Group>> =
        Endpoint::new(Method::PUT, "{scope}/groups/{group}", TAG, "putGroup", "Make a group unless it is there")
            .names("group")
            .answers(&["The group was there.", "The group was made."]);

    /// Rename a group.
    RENAME_GROUP: Endpoint<GroupPath, NoQuery, Json<GroupOrSnapshotName>, Content<Group>> =
        Endpoint::new(Method::PATCH, "{scope}/groups/{group}", TAG, "renameGroup", "Rename a group")
            .answers(&["The group, under its new name."]);

    /// Delete a group.
    DELETE_GROUP: Endpoint<GroupPath, DeleteGroup, NoBody, NoContent> =
        Endpoint::new(Method::DELETE, "{scope}/groups/{group}", TAG, "deleteGroup", "Delete a group")
            .describe(
                "Its images stay. Its snapshots go with it, so that a group with snapshots is rejected unless asked \
                 for.",
            )
            .answers(&["The group is gone."]);

    /// List a group's images.
    LIST_GROUP_IMAGES: Endpoint<GroupPath, NoQuery, NoBody, Content<List<GroupImage>>> =
        Endpoint::new(Method::GET, "{scope}/groups/{group}/images", TAG, "listGroupImages", "List a group's images")
            .answers(&["The images."]);

    /// Add an image to a group.
    ADD_GROUP_IMAGE: Endpoint<GroupPath, NoQuery, Json<AddGroupImage>, Content<Group>> =
        Endpoint::new(Method::POST, "{scope}/groups/{group}/images", TAG, "addGroupImage", "Add an image to a group")
            .describe("An image is in one group at most, and in a namespace of the group's name.")
            .answers(&["The group, with the image."]);

    /// Take an image out of a group.
    REMOVE_GROUP_IMAGE: Endpoint<GroupImagePath, GroupImageQuery, NoBody, NoContent> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/groups/{group}/images/{image}",
            TAG,
            "removeGroupImage",
            "Take an image out of a group",
        )
            .describe("The image stays. One that is in the trash is named by its id.")
            .answers(&["The image is not in the group any more."]);

    /// List a group's snapshots.
    LIST_GROUP_SNAPSHOTS: Endpoint<GroupPath, NoQuery, NoBody, Content<List<GroupSnapshot>>> =
        Endpoint::new(
            Method::GET,
            "{scope}/groups/{group}/snapshots",
            TAG,
            "listGroupSnapshots",
            "List a group's snapshots",
        )
            .answers(&["The snapshots, by name."]);

    /// Take a snapshot of all images of a group at one moment.
    CREATE_GROUP_SNAPSHOT: Endpoint<GroupPath, NoQuery, Json<GroupOrSnapshotName>, Created<GroupSnapshot>> =
        Endpoint::new(
            Method::POST,
            "{scope}/groups/{group}/snapshots",
            TAG,
            "createGroupSnapshot",
            "Take a snapshot of all images of a group at one moment",
        )
            .answers(&["The snapshot was taken."]);

    /// Get a group's snapshot.
    GET_GROUP_SNAPSHOT: Endpoint<GroupSnapshotPath, NoQuery, NoBody, Content<GroupSnapshot>> =
        Endpoint::new(
            Method::GET,
            "{scope}/groups/{group}/snapshots/{snapshot}",
            TAG,
            "getGroupSnapshot",
            "Get a group's snapshot",
        )
            .answers(&["The snapshot."]);

    /// Rename a group's snapshot.
    RENAME_GROUP_SNAPSHOT: Endpoint<GroupSnapshotPath, NoQuery, Json<GroupOrSnapshotName>, Content<GroupSnapshot>> =
        Endpoint::new(
            Method::PATCH,
            "{scope}/groups/{group}/snapshots/{snapshot}",
            TAG,
            "renameGroupSnapshot",
            "Rename a group's snapshot",
        )
            .answers(&["The snapshot, under its new name."]);

    /// Delete a group's snapshot.
    DELETE_GROUP_SNAPSHOT: Endpoint<GroupSnapshotPath, NoQuery, NoBody, NoContent> =
        Endpoint::new(
            Method::DELETE,
            "{scope}/groups/{group}/snapshots/{snapshot}",
            TAG,
            "deleteGroupSnapshot",
            "Delete a group's snapshot",
        )
            .answers(&["The snapshot is gone."]);
}

/// A group in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupName {
    /// Its name.
    pub name: String,
    /// What is wrong with it, so that nothing but deleting it can be done; absent when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
}

/// A group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its id, which stays through renames.
    pub id: String,
    /// The pool.
    pub pool: String,
    /// The namespace; empty for the default one.
    pub namespace: String,
    /// Its images.
    pub images: Vec<GroupImage>,
    /// Its snapshots, by name.
    pub snapshots: Vec<GroupSnapshot>,
    /// The pools that could not be read, whose images have no names here; empty when all could.
    pub unread: Vec<UnreadPool>,
    /// What is wrong with entries of it that cannot be read; absent when all can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
}

impl Group {
    /// The snapshot of a name.
    pub fn snapshot(&self, name: &str) -> Option<&GroupSnapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.name == name)
    }

    /// Its path below `/api/v1`.
    pub fn path(&self) -> String {
        let place = Place { pool: self.pool.clone(), namespace: self.namespace.clone() };
        format!("{}/groups/{}", place_path(&place), encode_segment(&self.name))
    }
}

/// An image of a group.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupImage {
    /// Its name; for one in the trash, the name that it had; null when it cannot be read.
    pub image: Option<String>,
    /// Its id.
    pub image_id: String,
    /// Its pool; null when the pool is gone.
    pub pool: Option<String>,
    /// Whether it is in the trash.
    pub in_trash: bool,
    /// Whether it is in the group, or is being added or removed, or that was cut off: removing it again finishes it.
    pub attached: bool,
}

/// A snapshot of a group.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupSnapshot {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// `complete`, or `incomplete` for one that is being taken or was cut off, which can only be deleted.
    pub state: GroupSnapshotState,
    /// The images' snapshots that it is made of.
    pub images: Vec<GroupSnapshotImage>,
}

/// Whether a group's snapshot is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupSnapshotState {
    /// It is.
    Complete,
    /// It is being taken, or that was cut off.
    Incomplete,
}

/// The snapshot of one image, a part of its group's.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupSnapshotImage {
    /// The image's name, as in the group.
    pub image: Option<String>,
    /// The image's id.
    pub image_id: String,
    /// The image's pool; null when the pool is gone.
    pub pool: Option<String>,
    /// The id of the image's snapshot; null before it is taken.
    pub snapshot_id: Option<u64>,
}

/// A name for a group or a snapshot of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupOrSnapshotName {
    /// The name.
    #[schemars(with = "schema::NewName")]
    pub name: String,
}

/// How a group is deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteGroup {
    /// Delete its snapshots too.
    #[serde(default)]
    pub delete_snapshots: bool,
}

/// An image that is to be in a group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddGroupImage {
    /// Its name.
    #[schemars(with = "schema::Name")]
    pub image: String,
    /// Its pool; without it, the group's. Its namespace is the group's.
    #[schemars(with = "Option<schema::Name>")]
    pub pool: Option<String>,
}

/// Where an image of a group is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupImageQuery {
    /// The image's pool; without it, the group's.
    pub pool: Option<String>,
}
