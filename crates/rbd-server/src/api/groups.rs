//! Groups of images and their snapshots.

use std::collections::HashMap;
use std::time::Instant;

use axum::http::{Method, StatusCode};
use ceph::{Errno, IoContext};
use rbd::group::{self, RawGroup, group_id, group_not_found, snapshot_not_found};
use rbd::image_names::ImageNames;
use rbd::link::Connection;
use rbd::{pool_use, why};
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::{Place, check_new};
use rbd_model::unread::Unread;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image_new::PUT_TRIES;
use super::images::image_not_found;
use crate::auth::Role;
use crate::call::{Call, json, located, nothing};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::List;
use crate::names::{path_of, segment};
use crate::schema;

const TAG: &str = "groups";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        Endpoint::new(Method::GET, "{scope}/groups", TAG, "listGroups", "List the groups", list)
            .answers::<List<GroupName>>(StatusCode::OK, "The groups, by name."),
        Endpoint::new(Method::POST, "{scope}/groups", TAG, "createGroup", "Make a group", create)
            .takes::<NewName>()
            .answers::<Group>(StatusCode::CREATED, "The group was made."),
        Endpoint::new(Method::GET, "{scope}/groups/{group}", TAG, "getGroup", "Get a group", get)
            .describe("With its images and its snapshots.")
            .answers::<Group>(StatusCode::OK, "The group."),
        Endpoint::new(Method::PUT, "{scope}/groups/{group}", TAG, "putGroup", "Make a group unless it is there", put)
            .names("group")
            .answers::<Group>(StatusCode::OK, "The group was there.")
            .answers::<Group>(StatusCode::CREATED, "The group was made."),
        Endpoint::new(Method::PATCH, "{scope}/groups/{group}", TAG, "renameGroup", "Rename a group", rename)
            .takes::<NewName>()
            .answers::<Group>(StatusCode::OK, "The group, under its new name."),
        Endpoint::new(Method::DELETE, "{scope}/groups/{group}", TAG, "deleteGroup", "Delete a group", delete)
            .describe("Its images stay. Its snapshots go with it, so that a group with snapshots is refused unless asked for.")
            .query::<DeleteGroup>()
            .answers_nothing(StatusCode::NO_CONTENT, "The group is gone."),
    ];
    endpoints.extend(of_images());
    endpoints.extend(of_snapshots());
    endpoints
}

fn of_images() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "{scope}/groups/{group}/images",
            TAG,
            "listGroupImages",
            "List a group's images",
            images,
        )
        .answers::<List<Member>>(StatusCode::OK, "The images."),
        Endpoint::new(
            Method::POST,
            "{scope}/groups/{group}/images",
            TAG,
            "addGroupImage",
            "Add an image to a group",
            add,
        )
        .describe("An image is in one group at most, and in a namespace of the group's name.")
        .takes::<ImageOf>()
        .answers::<Group>(StatusCode::OK, "The group, with the image."),
        Endpoint::new(
            Method::DELETE,
            "{scope}/groups/{group}/images/{image}",
            TAG,
            "removeGroupImage",
            "Take an image out of a group",
            remove,
        )
        .describe("The image stays. One that is in the trash is named by its id.")
        .query::<PoolOf>()
        .answers_nothing(StatusCode::NO_CONTENT, "The image is not in the group any more."),
    ]
}

fn of_snapshots() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "{scope}/groups/{group}/snapshots",
            TAG,
            "listGroupSnapshots",
            "List a group's snapshots",
            snapshots,
        )
        .answers::<List<GroupSnapshot>>(StatusCode::OK, "The snapshots, by name."),
        Endpoint::new(
            Method::POST,
            "{scope}/groups/{group}/snapshots",
            TAG,
            "createGroupSnapshot",
            "Take a snapshot of all images of a group at one moment",
            create_snapshot,
        )
        .takes::<NewName>()
        .answers::<GroupSnapshot>(StatusCode::CREATED, "The snapshot was taken."),
        Endpoint::new(
            Method::GET,
            "{scope}/groups/{group}/snapshots/{snapshot}",
            TAG,
            "getGroupSnapshot",
            "Get a group's snapshot",
            get_snapshot,
        )
        .answers::<GroupSnapshot>(StatusCode::OK, "The snapshot."),
        Endpoint::new(
            Method::PATCH,
            "{scope}/groups/{group}/snapshots/{snapshot}",
            TAG,
            "renameGroupSnapshot",
            "Rename a group's snapshot",
            rename_snapshot,
        )
        .takes::<NewName>()
        .answers::<GroupSnapshot>(StatusCode::OK, "The snapshot, under its new name."),
        Endpoint::new(
            Method::DELETE,
            "{scope}/groups/{group}/snapshots/{snapshot}",
            TAG,
            "deleteGroupSnapshot",
            "Delete a group's snapshot",
            delete_snapshot,
        )
        .answers_nothing(StatusCode::NO_CONTENT, "The snapshot is gone."),
    ]
}

/// A group in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GroupName {
    /// Its name.
    name: String,
    /// What is wrong with it, so that nothing but deleting it can be done; absent when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<String>,
}

/// A group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Group {
    /// Its name.
    name: String,
    /// Its id, which stays through renames.
    id: String,
    /// The pool.
    pool: String,
    /// The namespace; empty for the default one.
    namespace: String,
    /// Its images.
    images: Vec<Member>,
    /// Its snapshots, by name.
    snapshots: Vec<GroupSnapshot>,
    /// The pools that could not be read, whose images have no names here; empty when all could.
    unread: Vec<Unread>,
    /// What is wrong with entries of it that cannot be read; absent when all can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<String>,
}

/// An image of a group.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GroupImage")]
struct Member {
    /// Its name; for one in the trash, the name that it had; null when it cannot be read.
    image: Option<String>,
    /// Its id.
    image_id: String,
    /// Its pool; null when the pool is gone.
    pool: Option<String>,
    /// Whether it is in the trash.
    in_trash: bool,
    /// Whether it is in the group, or is being added or removed, or that was cut off: removing it again finishes it.
    attached: bool,
}

/// A snapshot of a group.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GroupSnapshot {
    /// Its name.
    name: String,
    /// Its id.
    id: String,
    /// `complete`, or `incomplete` for one that is being taken or was cut off, which can only be deleted.
    state: SnapshotState,
    /// The images' snapshots that it is made of.
    images: Vec<SnapshotPart>,
}

/// Whether a group's snapshot is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "GroupSnapshotState")]
enum SnapshotState {
    /// It is.
    Complete,
    /// It is being taken, or that was cut off.
    Incomplete,
}

/// The snapshot of one image, a part of its group's.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GroupSnapshotImage")]
struct SnapshotPart {
    /// The image's name, as in the group.
    image: Option<String>,
    /// The image's id.
    image_id: String,
    /// The image's pool; null when the pool is gone.
    pool: Option<String>,
    /// The id of the image's snapshot; null before it is taken.
    snapshot_id: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "GroupOrSnapshotName")]
struct NewName {
    /// The name.
    #[schemars(with = "schema::NewName")]
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeleteGroup {
    /// Delete its snapshots too.
    #[serde(default)]
    delete_snapshots: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "AddGroupImage")]
struct ImageOf {
    /// Its name.
    #[schemars(with = "schema::Name")]
    image: String,
    /// Its pool; without it, the group's. Its namespace is the group's.
    #[schemars(with = "Option<schema::Name>")]
    pool: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PoolOf {
    /// The image's pool; without it, the group's.
    pool: Option<String>,
}

/// A group with all that belongs to it.
fn read(connection: &Connection, io: &IoContext, group: &str, deadline: Instant) -> Result<Group, Fault> {
    let RawGroup { id, images: members, snapshots: parts, damaged } = group::read(io, group, deadline)?;
    let known = members
        .iter()
        .map(|member| (member.pool_id, &member.image_id))
        .chain(parts.iter().flat_map(|part| part.images.iter().map(|image| (image.pool_id, &image.image_id))));
    // Images of a pool that is gone, that does not answer, or that this entity may not read, stay without names.
    let key = |pool_id: i64, image_id: &str| (pool_id, io.namespace().to_owned(), image_id.to_owned());
    let mut names: HashMap<_, _> =
        known.map(|(pool_id, image_id)| (key(pool_id, image_id), ImageNames::default())).collect();
    let silent = rbd::image_names::read_names(io.cluster(), io.pool_id(), &mut names, deadline)?;
    let pool = |id: i64| connection.cluster().pool_name(id).ok();
    let name = |pool_id: i64, image_id: &str| names.get(&key(pool_id, image_id));
    let images = members
        .into_iter()
        .map(|member| Member {
            image: name(member.pool_id, &member.image_id).and_then(|named| named.image.clone()),
            in_trash: name(member.pool_id, &member.image_id).is_some_and(|named| named.in_trash),
            pool: pool(member.pool_id),
            image_id: member.image_id,
            attached: member.attached,
        })
        .collect();
    let mut snapshots: Vec<GroupSnapshot> = parts
        .into_iter()
        .map(|snapshot| GroupSnapshot {
            name: snapshot.name.to_string(),
            id: snapshot.id,
            state: if snapshot.complete { SnapshotState::Complete } else { SnapshotState::Incomplete },
            images: snapshot
                .images
                .into_iter()
                .map(|part| SnapshotPart {
                    image: name(part.pool_id, &part.image_id).and_then(|named| named.image.clone()),
                    pool: pool(part.pool_id),
                    image_id: part.image_id,
                    // `CEPH_NOSNAP` and `CEPH_SNAPDIR`.
                    snapshot_id: Some(part.snap_id).filter(|id| *id < u64::MAX - 1),
                })
                .collect(),
        })
        .collect();
    snapshots.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Group {
        name: group.to_owned(),
        id,
        pool: io.pool().to_owned(),
        namespace: io.namespace().to_owned(),
        images,
        snapshots,
        unread: silent.iter().map(|pool| Unread::silent(pool)).collect(),
        damaged,
    })
}

impl Group {
    fn snapshot(&self, name: &str) -> Option<&GroupSnapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.name == name)
    }

    fn path(&self) -> String {
        let place = Place { pool: self.pool.clone(), namespace: self.namespace.clone() };
        format!("{}/groups/{}", path_of(&place), segment(&self.name))
    }
}

impl Call {
    /// Works on a context of the path's place, and then reads a group.
    async fn group<T: Send + 'static>(
        &self,
        group: String,
        work: impl FnOnce(&Connection, &IoContext) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(T, Group), Fault> {
        let (place, deadline) = (self.place(), self.deadline);
        self.in_lane(&format!("pool {}", place.pool), move |connection| {
            let io = connection.context(&place.pool, &place.namespace)?;
            let result = work(connection, &io)?;
            Ok((result, read(connection, &io, &group, deadline)?))
        })
        .await
    }
}

async fn list(call: Call) -> Answer {
    let deadline = call.deadline;
    let groups = call.ceph(move |io| group::list(io, deadline)).await?;
    let items = groups
        .into_iter()
        .map(|group| GroupName { name: group.name.to_string(), state_reason: group.id.err() })
        .collect();
    json(StatusCode::OK, &List::new("GroupList", items))
}

async fn get(call: Call) -> Answer {
    let ((), group) = call.group(call.param("group").to_owned(), |_, _| Ok(())).await?;
    json(StatusCode::OK, &group)
}

/// Makes a group; one that is there is accepted if it may be. Whether it was made.
async fn make(call: &Call, field: &str, name: &str, may_be_there: bool) -> Result<(bool, Group), Fault> {
    check_new(field, name)?;
    let owned = name.to_owned();
    call.group(name.to_owned(), move |_, io| {
        pool_use::refuse_foreign(io)?;
        match io.create_group(&owned) {
            Ok(()) => Ok(true),
            Err(error) if error.is(Errno::EEXIST) && may_be_there => Ok(false),
            // Before it is read: another client may be making it just now.
            Err(error) if error.is(Errno::EEXIST) => {
                Err(Fault::new(Kind::Exists, format!("There is a group {owned:?} already."))
                    .correction("Choose another name, or PUT the group to accept the one that is there.")
                    .errno(Errno::EEXIST))
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}

async fn create(mut call: Call) -> Answer {
    let NewName { name } = call.json().await?;
    let (_, group) = make(&call, "name", &name, false).await?;
    let location = call.link(&group.path());
    Ok(located(json(StatusCode::CREATED, &group)?, &location))
}

async fn put(call: Call) -> Answer {
    let mut outcome = make(&call, "group", call.param("group"), true).await;
    for _ in 1..PUT_TRIES {
        // Another client deleted it when it was just there.
        if !outcome.as_ref().is_err_and(|problem| problem.kind() == Kind::GroupNotFound) {
            break;
        }
        outcome = make(&call, "group", call.param("group"), true).await;
    }
    let (made, group) = outcome?;
    if !made {
        return json(StatusCode::OK, &group);
    }
    let location = call.link(&group.path());
    Ok(located(json(StatusCode::CREATED, &group)?, &location))
}

async fn rename(mut call: Call) -> Answer {
    let NewName { name } = call.json().await?;
    check_new("name", &name)?;
    let (from, to) = (call.param("group").to_owned(), name.clone());
    let ((), group) = call
        .group(name, move |_, io| {
            if from == to {
                return Ok(());
            }
            io.rename_group(&from, &to).map_err(|error| match error.errno() {
                Some(Errno::ENOENT) => group_not_found(io, &from),
                Some(Errno::EEXIST) => Fault::new(Kind::Exists, format!("There is a group {to:?} already."))
                    .correction("Choose another name.")
                    .errno(Errno::EEXIST),
                _ => error.into(),
            })
        })
        .await?;
    json(StatusCode::OK, &group)
}

async fn delete(call: Call) -> Answer {
    let query: DeleteGroup = call.query()?;
    let group = call.param("group").to_owned();
    let (place, deadline) = (call.place(), call.deadline);
    call.in_lane(&format!("pool {}", place.pool), move |connection| {
        let io = connection.context(&place.pool, &place.namespace)?;
        if group::drop_damaged(&io, &group, deadline)? {
            return Ok(());
        }
        let found = read(connection, &io, &group, deadline)?;
        if !found.snapshots.is_empty() && !query.delete_snapshots {
            let names: Vec<String> = found.snapshots.into_iter().map(|snapshot| snapshot.name).collect();
            return Err(Fault::new(Kind::InUse, format!("Group {group:?} has {} snapshot(s).", names.len()))
                .correction("Delete them first, or repeat the call with ?deleteSnapshots=true.")
                .with("snapshots", names));
        }
        io.remove_group(&group).map_err(|error| group::explain(&io, &group, error, deadline))
    })
    .await?;
    nothing()
}

async fn images(call: Call) -> Answer {
    let ((), group) = call.group(call.param("group").to_owned(), |_, _| Ok(())).await?;
    json(StatusCode::OK, &List::new("GroupImageList", group.images))
}

async fn add(mut call: Call) -> Answer {
    let ImageOf { image, pool } = call.json().await?;
    let place = call.place();
    let images = Place { pool: pool.unwrap_or_else(|| place.pool.clone()), namespace: place.namespace };
    call.authorize_place(&images, Role::Operator).await?;
    let name = call.param("group").to_owned();
    let (group, deadline) = (name.clone(), call.deadline);
    let ((), group) = call
        .group(name, move |connection, io| {
            group_id(io, &group, deadline)?;
            let other = connection.context(&images.pool, &images.namespace)?;
            let found = rbd::directory::find(&other, &image, deadline)?
                .ok_or_else(|| image_not_found(&images, &image))?
                .sound()?;
            match io.add_to_group(&group, &other, &image) {
                Ok(()) => Ok(()),
                // In a group: in this one already, or in another.
                Err(error) if error.is(Errno::EEXIST) => {
                    let here = read(connection, io, &group, deadline)?;
                    let member = here.images.iter().any(|member| member.image_id == found.id && member.attached);
                    if member {
                        return Ok(());
                    }
                    Err(Fault::new(Kind::Conflict, format!("Image {image:?} is in another group already."))
                        .correction("Take it out of that group first.")
                        .errno(Errno::EEXIST))
                }
                // With `ENOENT` its header is missing, or the pool of its parent.
                Err(error) => Err(why::explain(&other, &found.name, &found.id, error, deadline)),
            }
        })
        .await?;
    json(StatusCode::OK, &group)
}

async fn remove(call: Call) -> Answer {
    let PoolOf { pool } = call.query()?;
    let place = call.place();
    let images = Place { pool: pool.unwrap_or_else(|| place.pool.clone()), namespace: place.namespace.clone() };
    call.authorize_place(&images, Role::Operator).await?;
    let (group, image, deadline) = (call.param("group").to_owned(), call.param("image").to_owned(), call.deadline);
    call.in_lane(&format!("pool {}", place.pool), move |connection| {
        let io = connection.context(&place.pool, &place.namespace)?;
        let found = read(connection, &io, &group, deadline)?;
        let member = found.images.into_iter().find(|member| {
            let same_pool = member.pool.as_deref() == Some(&images.pool);
            let named = member.image.as_deref() == Some(&image) && !member.in_trash;
            same_pool && (named || member.image_id == image)
        });
        let Some(member) = member else {
            let pool = &images.pool;
            return Err(Fault::new(
                Kind::ImageNotFound,
                format!("Group {group:?} has no image {image:?} of pool {pool:?}."),
            )
            .correction(
                "GET the images of the group; ?pool= names the image's pool, and one in the trash goes by its id.",
            ));
        };
        let other = connection.context(&images.pool, &images.namespace)?;
        Ok(io.remove_from_group_by_id(&group, &other, &member.image_id)?)
    })
    .await?;
    nothing()
}

async fn snapshots(call: Call) -> Answer {
    let ((), group) = call.group(call.param("group").to_owned(), |_, _| Ok(())).await?;
    json(StatusCode::OK, &List::new("GroupSnapshotList", group.snapshots))
}

async fn get_snapshot(call: Call) -> Answer {
    let name = call.param("snapshot").to_owned();
    let ((), group) = call.group(call.param("group").to_owned(), |_, _| Ok(())).await?;
    let snapshot = group.snapshot(&name).ok_or_else(|| snapshot_not_found(&group.name, &name))?;
    json(StatusCode::OK, snapshot)
}

async fn create_snapshot(mut call: Call) -> Answer {
    let NewName { name } = call.json().await?;
    check_new("name", &name)?;
    let (owned, group_name, deadline) = (name.clone(), call.param("group").to_owned(), call.deadline);
    let ((), group) = call
        .group(group_name.clone(), move |_, io| {
            io.create_group_snapshot(&group_name, &owned).map_err(|error| match error.errno() {
                Some(Errno::EEXIST) => {
                    Fault::new(Kind::Exists, format!("Group {group_name:?} has a snapshot {owned:?} already."))
                        .correction("Choose another name.")
                        .errno(Errno::EEXIST)
                }
                _ => group::explain(io, &group_name, error, deadline),
            })
        })
        .await?;
    let snapshot = group.snapshot(&name).ok_or_else(|| snapshot_not_found(&group.name, &name))?;
    let location = call.link(&format!("{}/snapshots/{}", group.path(), segment(&name)));
    Ok(located(json(StatusCode::CREATED, snapshot)?, &location))
}

async fn rename_snapshot(mut call: Call) -> Answer {
    let NewName { name } = call.json().await?;
    check_new("name", &name)?;
    let (group_name, from, to) = (call.param("group").to_owned(), call.param("snapshot").to_owned(), name.clone());
    let deadline = call.deadline;
    let ((), group) = call
        .group(group_name.clone(), move |connection, io| {
            let group = read(connection, io, &group_name, deadline)?;
            if group.snapshot(&from).is_none() {
                return Err(snapshot_not_found(&group_name, &from));
            }
            if from == to {
                return Ok(());
            }
            io.rename_group_snapshot(&group_name, &from, &to).map_err(|error| match error.errno() {
                Some(Errno::ENOENT) => snapshot_not_found(&group_name, &from),
                Some(Errno::EEXIST) => {
                    Fault::new(Kind::Exists, format!("Group {group_name:?} has a snapshot {to:?} already."))
                        .correction("Choose another name.")
                        .errno(Errno::EEXIST)
                }
                _ => error.into(),
            })
        })
        .await?;
    let snapshot = group.snapshot(&name).ok_or_else(|| snapshot_not_found(&group.name, &name))?;
    json(StatusCode::OK, snapshot)
}

async fn delete_snapshot(call: Call) -> Answer {
    let (group, snapshot) = (call.param("group").to_owned(), call.param("snapshot").to_owned());
    let deadline = call.deadline;
    call.ceph(move |io| {
        group_id(io, &group, deadline)?;
        io.remove_group_snapshot(&group, &snapshot).map_err(|error| match error.errno() {
            Some(Errno::ENOENT) => snapshot_not_found(&group, &snapshot),
            _ => group::explain(io, &group, error, deadline),
        })
    })
    .await?;
    nothing()
}
