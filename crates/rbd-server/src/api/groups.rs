//! Groups of images and their snapshots.

use std::collections::HashMap;
use std::time::Instant;

use ceph::{Errno, IoContext};
use rbd::ceph_link::Connection;
use rbd::group::{self, RawGroup, group_id, group_not_found, snapshot_not_found};
use rbd::image_names::ImageNames;
use rbd::{obstacles, pool_applications};
use rbd_api::answer::{Content, Created, Either, FoundOrCreated, NoContent};
use rbd_api::endpoints::groups as declared;
use rbd_api::endpoints::groups::{
    AddGroupImage, DeleteGroup, Group, GroupImage, GroupImageQuery, GroupName, GroupOrSnapshotName, GroupSnapshot,
    GroupSnapshotImage, GroupSnapshotState,
};
use rbd_api::input::{Input, Json, NoQuery};
use rbd_api::list::List;
use rbd_api::names::encode_segment;
use rbd_api::path::{GroupImagePath, GroupPath, GroupSnapshotPath, PlacePath};
use rbd_api::problem::Problem;
use rbd_api::role::Role;
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::{Place, check_new_name};
use rbd_model::unread::UnreadPool;

use super::image_creation::PUT_TRIES;
use super::images::image_not_found;
use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::LIST_GROUPS, list),
        bind(&declared::CREATE_GROUP, create),
        bind(&declared::GET_GROUP, get),
        bind(&declared::PUT_GROUP, put),
        bind(&declared::RENAME_GROUP, rename),
        bind(&declared::DELETE_GROUP, delete),
        bind(&declared::LIST_GROUP_IMAGES, images),
        bind(&declared::ADD_GROUP_IMAGE, add),
        bind(&declared::REMOVE_GROUP_IMAGE, remove),
        bind(&declared::LIST_GROUP_SNAPSHOTS, snapshots),
        bind(&declared::CREATE_GROUP_SNAPSHOT, create_snapshot),
        bind(&declared::GET_GROUP_SNAPSHOT, get_snapshot),
        bind(&declared::RENAME_GROUP_SNAPSHOT, rename_snapshot),
        bind(&declared::DELETE_GROUP_SNAPSHOT, delete_snapshot),
    ]
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
        .map(|member| GroupImage {
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
            state: if snapshot.complete { GroupSnapshotState::Complete } else { GroupSnapshotState::Incomplete },
            images: snapshot
                .images
                .into_iter()
                .map(|part| GroupSnapshotImage {
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
        unread: silent.iter().map(|pool| UnreadPool::silent(pool)).collect(),
        damaged,
    })
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

async fn list(call: Call, _: Input<PlacePath>) -> Result<Content<List<GroupName>>, Problem> {
    let deadline = call.deadline;
    let groups = call.ceph(move |io| group::list(io, deadline)).await?;
    let items = groups
        .into_iter()
        .map(|group| GroupName { name: group.name.to_string(), state_reason: group.id.err() })
        .collect();
    Ok(Content::of(List::new("GroupList", items)))
}

async fn get(call: Call, Input { path, .. }: Input<GroupPath>) -> Result<Content<Group>, Problem> {
    let ((), group) = call.group(path.group, |_, _| Ok(())).await?;
    Ok(Content::of(group))
}

/// Makes a group; one that is there is accepted if it may be. Whether it was made.
async fn make(call: &Call, field: &str, name: &str, may_be_there: bool) -> Result<(bool, Group), Fault> {
    check_new_name(field, name)?;
    let owned = name.to_owned();
    call.group(name.to_owned(), move |_, io| {
        pool_applications::reject_foreign(io)?;
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

async fn create(
    call: Call,
    Input { body: Json(GroupOrSnapshotName { name }), .. }: Input<PlacePath, NoQuery, Json<GroupOrSnapshotName>>,
) -> Result<Created<Group>, Problem> {
    let (_, group) = make(&call, "name", &name, false).await?;
    let location = call.url(&group.path());
    Ok(Created { location, value: group })
}

async fn put(
    call: Call,
    Input { path: GroupPath { group, .. }, .. }: Input<GroupPath>,
) -> Result<FoundOrCreated<Group>, Problem> {
    let mut outcome = make(&call, "group", &group, true).await;
    for _ in 1..PUT_TRIES {
        // Another client deleted it when it was just there.
        if !outcome.as_ref().is_err_and(|problem| problem.kind() == Kind::GroupNotFound) {
            break;
        }
        outcome = make(&call, "group", &group, true).await;
    }
    let (made, group) = outcome?;
    if !made {
        return Ok(Either::First(Content::of(group)));
    }
    let location = call.url(&group.path());
    Ok(Either::Second(Created { location, value: group }))
}

async fn rename(
    call: Call,
    Input { path, body: Json(GroupOrSnapshotName { name }), .. }: Input<GroupPath, NoQuery, Json<GroupOrSnapshotName>>,
) -> Result<Content<Group>, Problem> {
    check_new_name("name", &name)?;
    let (from, to) = (path.group, name.clone());
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
    Ok(Content::of(group))
}

async fn delete(
    call: Call,
    Input { path: GroupPath { place, group }, query, .. }: Input<GroupPath, DeleteGroup>,
) -> Result<NoContent, Problem> {
    let deadline = call.deadline;
    call.in_lane(&format!("pool {}", place.pool), move |connection| {
        let io = connection.context(&place.pool, &place.namespace)?;
        if group::drop_damaged_entry(&io, &group, deadline)? {
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
    Ok(NoContent)
}

async fn images(call: Call, Input { path, .. }: Input<GroupPath>) -> Result<Content<List<GroupImage>>, Problem> {
    let ((), group) = call.group(path.group, |_, _| Ok(())).await?;
    Ok(Content::of(List::new("GroupImageList", group.images)))
}

async fn add(
    call: Call,
    Input { path, body: Json(AddGroupImage { image, pool }), .. }: Input<GroupPath, NoQuery, Json<AddGroupImage>>,
) -> Result<Content<Group>, Problem> {
    let GroupPath { place, group: name } = path;
    let images = Place { pool: pool.unwrap_or(place.pool), namespace: place.namespace };
    call.authorize_place(&images, Role::Operator).await?;
    let (group, deadline) = (name.clone(), call.deadline);
    let ((), group) = call
        .group(name, move |connection, io| {
            group_id(io, &group, deadline)?;
            let other = connection.context(&images.pool, &images.namespace)?;
            let found = rbd::directory::find(&other, &image, deadline)?
                .ok_or_else(|| image_not_found(&images, &image))?
                .into_sound()?;
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
                Err(error) => Err(obstacles::explain_error(&other, &found.name, &found.id, error, deadline)),
            }
        })
        .await?;
    Ok(Content::of(group))
}

async fn remove(
    call: Call,
    Input { path, query: GroupImageQuery { pool }, .. }: Input<GroupImagePath, GroupImageQuery>,
) -> Result<NoContent, Problem> {
    let GroupImagePath { place, group, image } = path;
    let images = Place { pool: pool.unwrap_or_else(|| place.pool.clone()), namespace: place.namespace.clone() };
    call.authorize_place(&images, Role::Operator).await?;
    let deadline = call.deadline;
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
    Ok(NoContent)
}

async fn snapshots(call: Call, Input { path, .. }: Input<GroupPath>) -> Result<Content<List<GroupSnapshot>>, Problem> {
    let ((), group) = call.group(path.group, |_, _| Ok(())).await?;
    Ok(Content::of(List::new("GroupSnapshotList", group.snapshots)))
}

async fn get_snapshot(
    call: Call,
    Input { path, .. }: Input<GroupSnapshotPath>,
) -> Result<Content<GroupSnapshot>, Problem> {
    let name = path.snapshot;
    let ((), group) = call.group(path.group, |_, _| Ok(())).await?;
    let snapshot = group.snapshot(&name).ok_or_else(|| snapshot_not_found(&group.name, &name))?;
    Ok(Content::of(snapshot.clone()))
}

async fn create_snapshot(
    call: Call,
    Input { path, body: Json(GroupOrSnapshotName { name }), .. }: Input<GroupPath, NoQuery, Json<GroupOrSnapshotName>>,
) -> Result<Created<GroupSnapshot>, Problem> {
    check_new_name("name", &name)?;
    let (owned, group_name, deadline) = (name.clone(), path.group, call.deadline);
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
    let location = call.url(&format!("{}/snapshots/{}", group.path(), encode_segment(&name)));
    Ok(Created { location, value: snapshot.clone() })
}

async fn rename_snapshot(
    call: Call,
    Input { path, body: Json(GroupOrSnapshotName { name }), .. }: Input<
        GroupSnapshotPath,
        NoQuery,
        Json<GroupOrSnapshotName>,
    >,
) -> Result<Content<GroupSnapshot>, Problem> {
    check_new_name("name", &name)?;
    let (group_name, from, to) = (path.group, path.snapshot, name.clone());
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
    Ok(Content::of(snapshot.clone()))
}

async fn delete_snapshot(call: Call, Input { path, .. }: Input<GroupSnapshotPath>) -> Result<NoContent, Problem> {
    let GroupSnapshotPath { group, snapshot, .. } = path;
    let deadline = call.deadline;
    call.ceph(move |io| {
        group_id(io, &group, deadline)?;
        io.remove_group_snapshot(&group, &snapshot).map_err(|error| match error.errno() {
            Some(Errno::ENOENT) => snapshot_not_found(&group, &snapshot),
            _ => group::explain(io, &group, error, deadline),
        })
    })
    .await?;
    Ok(NoContent)
}
