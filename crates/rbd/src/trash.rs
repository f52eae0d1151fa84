//! Images in the trash, and what keeps each from being removed for good; read from RADOS without opening them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ceph::{Access, Errno, ImageRef, IoContext, OmapChange, OmapRange, omap_values};
use jiff::Timestamp;
use rbd_format::directory::ID_PREFIX;
use rbd_format::header::header_object;
use rbd_format::trash::TRASH_OBJECT;
use rbd_format::{
    ImageHeader, SnapshotNamespace, TrashEntry, TrashSource as RawSource, TrashState as RawState, decode_header, is_id,
};
use rbd_model::fault::{Fault, Kind};
use rbd_model::obstacle::{Act, MigrationPeer, Obstacle};
use rbd_model::time::timestamp;
use rbd_model::trash::{TrashItem, TrashSource, TrashState};

use crate::clients::watchers;
use crate::found_image::FoundImage;
use crate::trash_directory::DamagedTrash;
use crate::{obstacles, unread};

/// RADOS reads in flight.
const IN_FLIGHT: usize = 256;

/// What images in the trash are there for, in the end. What `force` passes over is looked at apart.
const REMOVAL: Act = Act::Remove { force: true };

/// How long the name of a group is waited for; after that its id stands for it.
const GROUP_NAME_WAIT: Duration = Duration::from_secs(2);

/// Images opened at once, to see who else has them open.
const OPENED_AT_ONCE: usize = 16;

/// An image in the trash as RADOS has it.
#[derive(Debug, Clone)]
pub struct RawTrashImage {
    /// Its entry in the list.
    pub entry: TrashEntry,
    /// What its header says; nothing when it cannot be read.
    pub header: Option<ImageHeader>,
}

impl RawTrashImage {
    /// What is being done to it.
    pub fn state(&self) -> TrashState {
        match (self.entry.source, self.entry.state) {
            (RawSource::Removing, _) | (_, RawState::Removing) => TrashState::Removing,
            (_, RawState::Normal) => TrashState::Trashed,
            (_, RawState::Moving) => TrashState::Moving,
            (_, RawState::Restoring) => TrashState::Restoring,
            (_, RawState::Unknown(_)) => TrashState::Unknown,
        }
    }

    /// The image as those who work on its snapshots want it.
    ///
    /// # Errors
    /// `removing` for one without a header.
    pub fn found(self) -> Result<FoundImage, Fault> {
        let (name, id) = (self.entry.name.to_string(), self.entry.image_id);
        match self.header {
            Some(header) => Ok(FoundImage { name, id, header }),
            None => Err(Fault::new(Kind::Removing, format!("Image {name:?} in the trash has no header any more."))
                .cause("Its removal was begun and has not finished.")
                .correction("DELETE it from the trash to finish that.")),
        }
    }

    /// What keeps it from being removed for good, as far as its entry and its header tell.
    pub fn obstacle(&self, io: &IoContext, now: Timestamp) -> Option<Obstacle> {
        let removing = self.state() == TrashState::Removing;
        let standing = self.header.as_ref().map(|header| obstacles::header_obstacles(io, header)).unwrap_or_default();
        let keeps = |reason: &Obstacle| {
            // What was begun is finished, but where that ends the process.
            reason.blocks(REMOVAL) && (!removing || matches!(reason, Obstacle::Unbounded(_) | Obstacle::Unopenable(_)))
        };
        if let (Some(reason), Some(header)) = (standing.into_iter().find(keeps), &self.header) {
            return Some(obstacles::with_group_name(io, header, reason, Instant::now() + GROUP_NAME_WAIT));
        }
        if removing {
            return None;
        }
        let snapshots = self.header.as_ref().map_or(&[][..], |header| &header.snapshots);
        let clones: u32 = snapshots.iter().map(|raw| raw.child_count).sum();
        if self.entry.source == RawSource::Migration {
            Some(Obstacle::MigrationSource(MigrationPeer { subject: "another image".to_owned(), state: "under way" }))
        } else if clones > 0 {
            Some(Obstacle::Clones(clones))
        } else if !snapshots.is_empty() {
            Some(Obstacle::Snapshots(snapshots.len()))
        } else if self.state() != TrashState::Trashed {
            Some(Obstacle::Moving)
        } else {
            self.retained(now)
        }
    }

    /// The retention, while it lasts.
    fn retained(&self, now: Timestamp) -> Option<Obstacle> {
        timestamp(self.entry.deferment_end).filter(|until| *until > now).map(Obstacle::Retained)
    }

    /// The image as the API shows it.
    fn shown(&self, io: &IoContext, obstacle: Option<&Obstacle>) -> TrashItem {
        let entry = &self.entry;
        TrashItem {
            id: entry.image_id.clone(),
            name: entry.name.to_string(),
            pool: io.pool().to_owned(),
            namespace: io.namespace().to_owned(),
            source: match entry.source {
                RawSource::User => TrashSource::User,
                RawSource::Mirroring => TrashSource::Mirroring,
                RawSource::Migration => TrashSource::Migration,
                RawSource::Removing => TrashSource::Removing,
                RawSource::UserParent => TrashSource::UserParent,
                RawSource::Unknown(_) => TrashSource::Unknown,
            },
            state: self.state(),
            state_reason: None,
            size_bytes: self.header.as_ref().map(|header| header.size_bytes),
            snapshots: self.snapshot_names(),
            deleted_at: timestamp(entry.deleted),
            expires_at: timestamp(entry.deferment_end),
            removable: obstacle.is_none(),
            not_removable_reason: obstacle.map(describe_obstacle),
        }
    }

    /// The names of its snapshots. Those of an image that clones hold are in its own trash, under names that mean nothing.
    fn snapshot_names(&self) -> Option<Vec<String>> {
        let name = |snapshot: &rbd_format::Snapshot| match &snapshot.namespace {
            SnapshotNamespace::Trash { original_name, .. } => original_name.to_string(),
            _ => snapshot.name.to_string(),
        };
        self.header.as_ref().map(|header| header.snapshots.iter().map(name).collect())
    }
}

/// An entry that cannot be read, as the API shows it.
fn shown_damaged(io: &IoContext, entry: &DamagedTrash) -> TrashItem {
    TrashItem {
        id: entry.id.to_string(),
        name: String::new(),
        pool: io.pool().to_owned(),
        namespace: io.namespace().to_owned(),
        source: TrashSource::Unknown,
        state: TrashState::Damaged,
        state_reason: Some(entry.reason.clone()),
        size_bytes: None,
        snapshots: None,
        deleted_at: None,
        expires_at: None,
        removable: true,
        not_removable_reason: None,
    }
}

/// What keeps an image in the trash, and what to do about it.
pub fn describe_obstacle(obstacle: &Obstacle) -> String {
    let advice = match obstacle {
        // To insist does not help there.
        Obstacle::Open { .. } => {
            "Close the image there; the watch of a client that died ends after about 31 s.".to_owned()
        }
        obstacle => obstacle.correction(),
    };
    format!("The image {}. {advice}", obstacle.text())
}

/// Who has an image open for writing; nobody when it is gone.
///
/// # Errors
/// What librbd gives.
pub fn client_obstacle(io: &IoContext, image_id: &str) -> Result<Option<Obstacle>, Fault> {
    let watchers = match io.open_image(ImageRef::Id(image_id), None, Access::ReadOnly) {
        Err(error) if error.is(Errno::ENOENT) => return Ok(None),
        image => watchers(&image?)?,
    };
    Ok((!watchers.is_empty()).then(|| Obstacle::Open { watchers, locks: Vec::new() }))
}

/// What keeps an image, clients that have it open among it.
fn any_obstacle(io: &IoContext, image: &RawTrashImage, now: Timestamp) -> Option<Obstacle> {
    let known = image.obstacle(io, now);
    if known.is_some() || image.state() == TrashState::Removing {
        return known;
    }
    // One that cannot be opened has nobody who could have it open.
    client_obstacle(io, &image.entry.image_id).ok().flatten()
}

/// The obstacles of many images, some opened at once. What is not looked at in time counts as open.
fn obstacles(io: &IoContext, images: &[RawTrashImage], now: Timestamp, until: Instant) -> Vec<Option<Obstacle>> {
    let found = Mutex::new(vec![Some(Obstacle::ClientsUnknown); images.len()]);
    let next = AtomicUsize::new(0);
    let look = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(image) = images.get(index) else { return };
            let settled = image.obstacle(io, now).is_some() || image.state() == TrashState::Removing;
            if settled || Instant::now() < until {
                let obstacle = any_obstacle(io, image, now);
                found.lock().unwrap_or_else(PoisonError::into_inner)[index] = obstacle;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..OPENED_AT_ONCE.min(images.len()) {
            scope.spawn(look);
        }
        look();
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The images in the trash as RADOS has them, in the order of the ids.
///
/// # Errors
/// What reading gives as a whole; an image without a header is in the result.
pub fn read(io: &IoContext, deadline: Instant) -> Result<Vec<RawTrashImage>, Fault> {
    with_headers(io, crate::trash_directory::entries(io, deadline)?.entries, deadline)
}

fn with_headers(io: &IoContext, entries: Vec<TrashEntry>, deadline: Instant) -> Result<Vec<RawTrashImage>, Fault> {
    let ranges: Vec<OmapRange> = entries
        .iter()
        .map(|entry| OmapRange { object: header_object(&entry.image_id), ..OmapRange::default() })
        .collect();
    let mut images: Vec<RawTrashImage> =
        entries.into_iter().map(|entry| RawTrashImage { entry, header: None }).collect();
    io.omaps(&ranges, IN_FLIGHT, Some(deadline), |index, result| {
        let Ok(pairs) = result else { return };
        images[index].header = decode_header(pairs.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))).ok();
    })?;
    Ok(images)
}

/// What is in the trash as the API shows it, the one deleted last first.
///
/// # Errors
/// As [`read`].
pub fn items(io: &IoContext, deadline: Instant) -> Result<Vec<TrashItem>, Fault> {
    let trash = crate::trash_directory::entries(io, deadline)?;
    let images = with_headers(io, trash.entries, deadline)?;
    let obstacles = obstacles(io, &images, Timestamp::now(), unread::deadline_per_pool(deadline));
    let mut items: Vec<TrashItem> =
        images.iter().zip(obstacles).map(|(image, obstacle)| image.shown(io, obstacle.as_ref())).collect();
    items.extend(trash.damaged.iter().map(|entry| shown_damaged(io, entry)));
    items.sort_by(|a, b| b.deleted_at.cmp(&a.deleted_at).then_with(|| a.id.cmp(&b.id)));
    Ok(items)
}

/// The entry of an id: an image's, or one that cannot be read.
fn entry(io: &IoContext, id: &str, deadline: Instant) -> Result<Result<TrashEntry, DamagedTrash>, Fault> {
    let key = format!("{ID_PREFIX}{id}").into_bytes();
    let read = omap_values(std::slice::from_ref(io), TRASH_OBJECT, std::slice::from_ref(&key), Some(deadline)).pop();
    let values = match read.unwrap_or_else(|| Ok(Vec::new())) {
        Err(error) if error.is(Errno::ENOENT) => Vec::new(),
        values => values?,
    };
    let mut trash = crate::trash_directory::entries_of(&values);
    match (trash.entries.pop(), trash.damaged.pop()) {
        (Some(entry), _) => Ok(Ok(entry)),
        (None, Some(damaged)) => Ok(Err(damaged)),
        (None, None) => Err(not_found(io, id)),
    }
}

/// An entry that cannot be read, by its id; `None` when it can be.
///
/// # Errors
/// `trash-not-found`; what reading gives.
pub fn damaged(io: &IoContext, id: &str, deadline: Instant) -> Result<Option<DamagedTrash>, Fault> {
    Ok(entry(io, id, deadline)?.err())
}

/// One image in the trash as RADOS has it: two reads.
///
/// # Errors
/// `trash-not-found`; `damaged` for an entry that cannot be read; what reading gives.
pub fn find(io: &IoContext, id: &str, deadline: Instant) -> Result<RawTrashImage, Fault> {
    let entry = entry(io, id, deadline)?.map_err(|damaged| {
        Fault::new(Kind::Damaged, format!("The entry of {id:?} in the trash cannot be read."))
            .cause(damaged.reason)
            .correction("DELETE it from the trash to remove it for good.")
    })?;
    // A header that is damaged is none here: what is known is shown.
    let header = match crate::header::read_header(io, id, deadline) {
        Err(fault) if fault.kind() == Kind::Damaged => None,
        header => header?,
    };
    Ok(RawTrashImage { entry, header })
}

/// One image in the trash as the API shows it.
///
/// # Errors
/// As [`find`].
pub fn item(io: &IoContext, id: &str, deadline: Instant) -> Result<TrashItem, Fault> {
    if let Some(damaged) = damaged(io, id, deadline)? {
        return Ok(shown_damaged(io, &damaged));
    }
    let image = find(io, id, deadline)?;
    let obstacle = any_obstacle(io, &image, Timestamp::now());
    Ok(image.shown(io, obstacle.as_ref()))
}

fn not_found(io: &IoContext, id: &str) -> Fault {
    Fault::new(Kind::TrashNotFound, format!("The trash of {:?} holds no image with the id {id:?}.", io.subject("")))
        .correction("GET the trash: it lists ids and names.")
}

/// Makes an entry that cannot be read one with which its image can be removed: the id stands for the name that is lost. An entry
/// whose key is no id is taken away, since no image can have it. Blocks.
///
/// # Errors
/// What Ceph gives.
pub fn repair_entry(io: &IoContext, id: &str, deadline: Instant) -> Result<(), Fault> {
    match entry(io, id, deadline) {
        Ok(Err(damaged)) => rewrite_entry(io, &damaged),
        Ok(Ok(_)) => Ok(()),
        Err(fault) if fault.kind() == Kind::TrashNotFound => Ok(()),
        Err(fault) => Err(fault),
    }
}

fn rewrite_entry(io: &IoContext, damaged: &DamagedTrash) -> Result<(), Fault> {
    let key = [ID_PREFIX.as_bytes(), damaged.id.as_bytes()].concat();
    let guards = vec![(key.clone(), damaged.value.clone())];
    let change = match damaged.id.as_str().filter(|id| is_id(id.as_bytes())) {
        Some(id) => {
            let repaired = TrashEntry {
                image_id: id.to_owned(),
                source: RawSource::User,
                name: damaged.id.clone(),
                deleted: rbd_format::Timestamp::default(),
                deferment_end: rbd_format::Timestamp::default(),
                state: RawState::Normal,
            };
            OmapChange { guards, set: vec![(key, repaired.value())], remove: Vec::new() }
        }
        None => OmapChange { guards, set: Vec::new(), remove: vec![key] },
    };
    Ok(io.omap_change(TRASH_OBJECT, &change)?)
}

/// Takes away the entries whose keys are no ids: no image can have one. Blocks.
///
/// # Errors
/// What Ceph gives.
pub fn drop_impossible_entries(io: &IoContext, deadline: Instant) -> Result<(), Fault> {
    let damaged = crate::trash_directory::entries(io, deadline)?.damaged;
    damaged.iter().filter(|entry| !is_id(entry.id.as_bytes())).try_for_each(|entry| rewrite_entry(io, entry))
}

/// Refuses to remove an image for good as long as something is in the way that is known beforehand. Clients that have it open
/// are not: their watches may be those of the dead, which the removal outwaits.
///
/// # Errors
/// `conflict` before its retention is over; what keeps it, as [`Obstacle::fault`] says it.
pub fn reject_kept(io: &IoContext, image: &RawTrashImage, force: bool, delete_snapshots: bool) -> Result<(), Fault> {
    let now = Timestamp::now();
    let subject = format!("Image {:?} in the trash", image.entry.name.to_string());
    // Said first: it is what whoever put it there wanted.
    if let Some(retained) = image.retained(now).filter(|_| !force) {
        return Err(retained.fault_of(&subject));
    }
    let Some(obstacle) = image.obstacle(io, now).filter(|obstacle| obstacle.blocks(Act::Remove { force })) else {
        return Ok(());
    };
    if delete_snapshots && matches!(obstacle, Obstacle::Snapshots(_) | Obstacle::Clones(_)) {
        return Ok(());
    }
    Err(obstacle.fault_of(&subject).with("snapshots", image.snapshot_names().unwrap_or_default()))
}
