//! Who uses an image: parent, children, watchers, locks, space.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use ceph::{Access, Errno, IoContext};
use rbd::children::{Clones, clones};
use rbd::found::Found;
use rbd::link::Connection;
use rbd_format::{Name, SnapshotNamespace};
use rbd_model::child::Child;
use rbd_model::clients::{Lock, Watcher};
use rbd_model::fault::{Fault, Kind, members};
use rbd_model::image::{Named, Parent};
use rbd_model::reason::Act;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::{Call, json, nothing};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::{List, PartialList};

const TAG: &str = "images";

/// The longest chain of clones that the kernel's client can follow
/// (`RBD_MAX_PARENT_CHAIN_LEN` in Linux' `drivers/block/rbd.c`).
pub(super) const KRBD_CHAIN: usize = 15;

/// How many ancestors are followed: far more than anything can work with.
const MOST_ANCESTORS: usize = 64;

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "{scope}/images/{image}/parent", TAG, "getParent", "What an image is a clone of", parent)
            .answers::<Ancestry>(StatusCode::OK, "The snapshot it is a clone of, and what that is a clone of, and so on."),
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/children",
            TAG,
            "listChildren",
            "List the clones of an image",
            children,
        )
        .describe("Those of all its snapshots, of both formats, also those in the trash.")
        .answers::<PartialList<Child>>(StatusCode::OK, "The clones, and the pools that could not be read."),
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/watchers",
            TAG,
            "listWatchers",
            "List who has an image open for writing",
            watchers,
        )
        .describe(
            "Reading adds no watcher. Of a client that died the watch ends by itself after about 30 s \
             (`osd_client_watch_timeout`).",
        )
        .answers::<List<Watcher>>(StatusCode::OK, "The clients."),
        Endpoint::new(Method::GET, "{scope}/images/{image}/locks", TAG, "listLocks", "List who holds the lock of an image", locks)
            .answers::<List<Lock>>(StatusCode::OK, "The holders; none when it is free."),
        Endpoint::new(
            Method::DELETE,
            "{scope}/images/{image}/locks",
            TAG,
            "breakLock",
            "Take the lock of an image away from a client",
            break_lock,
        )
        .describe(
            "The client is blocklisted first, unless the cluster says otherwise (`rbd_blocklist_on_break_lock`): for an \
             hour (`rbd_blocklist_expire_seconds`) it cannot write to any image of the cluster, and what it had not \
             written is lost. Only for a client that has died or cannot be reached.",
        )
        .query::<LockHolder>()
        .answers_nothing(StatusCode::NO_CONTENT, "The lock is free."),
        Endpoint::new(Method::GET, "{scope}/images/{image}/usage", TAG, "getUsage", "Get the space an image takes", usage)
            .describe(
                "Of the image and of each of its snapshots, without what a clone takes from its parent, as `rbd du` counts: \
                 with a valid fast-diff in whole objects, which is quick; else, or with `exact=true`, in bytes, for \
                 which every object is looked at. What could not be counted within the request's time is null.",
            )
            .query::<UsageQuery>()
            .answers::<Usage>(StatusCode::OK, "The space."),
    ]
}

/// Where an image comes from.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Ancestry {
    /// The snapshot it is a clone of; null when it is none.
    parent: Option<Parent>,
    /// The parent, the parent's parent and so on; the chain ends where one cannot be read.
    ancestors: Vec<Parent>,
    /// What will give trouble, and with what.
    warnings: Vec<String>,
}

async fn parent(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let deadline = call.deadline;
    let ancestry = call
        .placed(move |connection, io| {
            let found = rbd::found::find(io, &name, deadline)?;
            let ancestors = ancestors(connection, io, Named::new(&Name::from(&*found.name), found.id), deadline)?;
            let warnings = chain_warning(ancestors.len()).into_iter().collect();
            Ok(Ancestry { parent: ancestors.first().cloned(), ancestors, warnings })
        })
        .await?;
    json(StatusCode::OK, &ancestry)
}

/// The parents of an image, nearest first: three RADOS reads each, at once.
///
/// # Errors
/// What reading gives.
pub(super) fn ancestors(
    connection: &Connection,
    io: &IoContext,
    image: Named,
    deadline: Instant,
) -> Result<Vec<Parent>, Fault> {
    let mut ancestors = Vec::new();
    let (mut io, mut image) = (io.clone(), image);
    while ancestors.len() < MOST_ANCESTORS {
        let Some(header) = rbd::header::read_header(&io, &image.id, deadline)? else { break };
        let Some(parent) = rbd::image_names::parent(connection.cluster(), &header, deadline)? else { break };
        let place = parent.pool.as_deref().map(|pool| connection.cluster().io_context(pool, &parent.namespace));
        image = Named::new(&Name::from(parent.image.as_deref().unwrap_or_default()), parent.image_id.clone());
        ancestors.push(parent);
        match place {
            Some(Ok(place)) => io = place,
            _ => break,
        }
    }
    Ok(ancestors)
}

/// What to say of a chain of this many ancestors.
pub(super) fn chain_warning(ancestors: usize) -> Option<String> {
    (ancestors > KRBD_CHAIN).then(|| {
        format!(
            "It has a chain of {ancestors} ancestors; the Linux kernel maps images with up to {KRBD_CHAIN}. Flatten it, \
             or one of them."
        )
    })
}

async fn children(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let deadline = call.deadline;
    let Clones { children, unread } = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &name, deadline)?;
            clones(io, &found, None, deadline)
        })
        .await?;
    json(StatusCode::OK, &PartialList { list: List::new("ChildList", children), unread })
}

async fn watchers(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let deadline = call.deadline;
    let watchers = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &name, deadline)?;
            rbd::clients::watchers(&found.open(io, Access::ReadOnly, deadline)?)
        })
        .await?;
    json(StatusCode::OK, &List::new("WatcherList", watchers))
}

async fn locks(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let deadline = call.deadline;
    let locks = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &name, deadline)?;
            rbd::clients::locks(&found.open(io, Access::ReadOnly, deadline)?)
        })
        .await?;
    json(StatusCode::OK, &List::new("LockList", locks))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LockHolder {
    /// The client that holds the lock, such as `client.4123`.
    client: String,
    /// The cookie it holds it with.
    cookie: String,
}

async fn break_lock(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let LockHolder { client, cookie } = call.query()?;
    let deadline = call.deadline;
    call.ceph(move |io| {
        let found = rbd::found::find(io, &name, deadline)?;
        // Read-only: opening for writing would add a watcher, and breaking a lock does not need it.
        let image = found.open(io, Access::ReadOnly, deadline)?;
        let locks = rbd::clients::locks(&image)?;
        let Some(lock) = locks.iter().find(|lock| lock.client == client && lock.cookie == cookie) else {
            return Err(lock_not_found(&name, &client, &cookie, &locks));
        };
        if lock.this_service {
            // It would cut this service off from the whole cluster.
            return Err(Fault::new(
                Kind::Conflict,
                format!("The lock of image {name:?} is held by this service itself."),
            )
            .cause("A request or an operation on the image is running.")
            .correction("Wait for it to end, or cancel the operation.")
            .with("locks", members(&locks)));
        }
        image.break_lock(&client, &cookie).map_err(|error| {
            if error.is(Errno::ENOENT) {
                return lock_not_found(&name, &client, &cookie, &[]);
            }
            found.explain(io, error, deadline)
        })
    })
    .await?;
    nothing()
}

fn lock_not_found(image: &str, client: &str, cookie: &str, locks: &[Lock]) -> Fault {
    Fault::new(
        Kind::LockNotFound,
        format!("The lock of image {image:?} is not held by {client:?} with the cookie {cookie:?}."),
    )
    .correction("GET the locks of the image, and give client and cookie as they are there.")
    .with("locks", members(locks))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UsageQuery {
    /// Counts bytes even where whole objects would be quicker.
    #[serde(default)]
    exact: bool,
}

/// The space an image takes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Usage {
    /// The image's size, in bytes: what it may come to take.
    provisioned_bytes: u64,
    /// What it takes with all its snapshots, in bytes; null when not all was counted.
    used_bytes: Option<u64>,
    /// Whether bytes were counted; else whole objects.
    exact: bool,
    /// Why something is null.
    reason: Option<String>,
    /// The image itself: what was written since its newest snapshot.
    head: Space,
    /// Its snapshots, oldest first; only those that users took. What others hold is counted with the next.
    snapshots: Vec<Space>,
}

/// The space that a snapshot, or the image since the last of them, takes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UsedSpace")]
struct Space {
    /// The snapshot; null for the image itself.
    snapshot: Option<String>,
    /// Its size, in bytes.
    provisioned_bytes: u64,
    /// What was written since the snapshot before, in bytes; null when it was not counted.
    used_bytes: Option<u64>,
}

async fn usage(call: Call) -> Answer {
    let name = call.param("image").to_owned();
    let UsageQuery { exact } = call.query()?;
    let deadline = call.deadline;
    let usage = call
        .ceph(move |io| {
            let found = rbd::found::find(io, &name, deadline)?;
            measure(io, &found, exact, deadline)
        })
        .await?;
    json(StatusCode::OK, &usage)
}

fn measure(io: &IoContext, found: &Found, exact: bool, deadline: Instant) -> Result<Usage, Fault> {
    const FAST_DIFF_INVALID: u64 = 1 << 1;
    // Early enough to answer with what was counted until then.
    let left = deadline.saturating_duration_since(Instant::now());
    let until = deadline.checked_sub(left / 10 + Duration::from_millis(100)).unwrap_or(deadline);
    let header = &found.header;
    let taken: Vec<_> =
        header.snapshots.iter().filter(|snapshot| snapshot.namespace == SnapshotNamespace::User).collect();
    let fast = header.features.0 & rbd_model::features::FAST_DIFF != 0
        && header.flags.0 & FAST_DIFF_INVALID == 0
        && taken.iter().all(|snapshot| snapshot.flags & FAST_DIFF_INVALID == 0);
    let exact = exact || !fast;
    found.ready_for(io, Act::Read, deadline)?;
    let mut image = found.open(io, Access::ReadOnly, deadline)?;
    let mut spaces = Vec::with_capacity(taken.len() + 1);
    let mut before: Option<String> = None;
    let points = taken.iter().map(|snapshot| Some(*snapshot)).chain([None]);
    for point in points {
        let name = point.map(|snapshot| snapshot.name.to_string());
        let size = point.map_or(header.size_bytes, |snapshot| snapshot.size_bytes);
        image.set_snapshot(point.map(|snapshot| snapshot.id)).map_err(|error| found.explain(io, error, deadline))?;
        let used = written(&image, before.as_deref(), size, header.object_size_bytes(), exact, until)
            .map_err(|error| found.explain(io, error, deadline))?;
        before.clone_from(&name);
        spaces.push(Space { snapshot: name, provisioned_bytes: size, used_bytes: used });
    }
    let total: Option<u64> = spaces.iter().map(|space| space.used_bytes).sum();
    let reason = total.is_none().then(|| {
        "The time of the request ran out; a valid object map (feature fast-diff) would make it quick.".to_owned()
    });
    let Some(head) = spaces.pop() else {
        return Err(Fault::new(Kind::Internal, "The space of the image was not counted."));
    };
    Ok(Usage { provisioned_bytes: header.size_bytes, used_bytes: total, exact, reason, head, snapshots: spaces })
}

/// How many objects one call of librbd walks over. The clock is looked at between two: a call cannot be ended where there is
/// nothing to tell of. With an object map it looks at that alone and takes as long for one object as for a million; when the map
/// is missing or damaged, whatever the header says, it asks for object after object.
#[derive(Debug, Clone, Copy)]
struct Step(u64);

impl Step {
    const FIRST: Self = Self(256);
    const LEAST: u64 = 32;
    const MOST: u64 = 1 << 22;
    const QUICK: Duration = Duration::from_millis(250);
    const SLOW: Duration = Duration::from_secs(1);

    /// The next one, after one that took so long, when so much time is left: the last must end in time too.
    fn after(self, took: Duration, left: Duration) -> Self {
        if took < Self::QUICK && took * 8 < left {
            Self((self.0 * 2).min(Self::MOST))
        } else if took > Self::SLOW || took * 4 > left {
            Self((self.0 / 2).max(Self::LEAST))
        } else {
            self
        }
    }
}

/// Bytes written since a snapshot, exact or in whole objects; `None` when time ran out.
fn written(
    image: &ceph::Image,
    since: Option<&str>,
    size: u64,
    object_bytes: u64,
    exact: bool,
    until: Instant,
) -> ceph::Result<Option<u64>> {
    let mut step = Step::FIRST;
    let (mut used, mut offset) = (0_u64, 0_u64);
    while offset < size {
        let length = object_bytes.saturating_mul(step.0).min(size - offset);
        let started = Instant::now();
        let mut late = started >= until;
        if !late {
            image.own_extents(since, offset, length, !exact, &mut |extent| {
                if extent.exists {
                    used = used.saturating_add(extent.length);
                }
                late = Instant::now() >= until;
                if late { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        if late {
            return Ok(None);
        }
        offset += length;
        step = step.after(started.elapsed(), until.saturating_duration_since(Instant::now()));
    }
    Ok(Some(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_while_they_are_quick_and_stay_within_bounds() {
        let left = Duration::from_secs(20);
        let many = |took: Duration| (0..64).fold(Step::FIRST, |step, _| step.after(took, left)).0;
        assert_eq!(many(Duration::from_millis(1)), Step::MOST);
        assert_eq!(many(Duration::from_millis(500)), Step::FIRST.0);
        assert_eq!(Step(4096).after(Duration::from_secs(2), left).0, 2048);
        assert_eq!(many(Duration::from_secs(2)), Step::LEAST);
        // At the end of the time they shrink, quick as they are.
        assert_eq!(Step(4096).after(Duration::from_millis(100), Duration::from_millis(300)).0, 2048);
    }
}
