//! Doing the work of an operation, on a thread of its own.

use std::time::{Duration, Instant};

use ceph::{Access, CopyKind, Errno, Image, ImageRef, ImageSpec, IoContext, OmapChange};
use rbd_format::directory::{DIRECTORY_OBJECT, ID_OBJECT_PREFIX, ID_PREFIX, decode_id_object};
use rbd_format::{DirectoryEntry, ImageHeader, TrashEntry, TrashSource, is_id};
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;
use rbd_model::obstacle::Act;
use rbd_model::operation::Work;

use super::signals::{READ, Signals, ignore_missing};
use super::snapshot_purge;
use super::trash_purge::{self, ExpiredImages};
use crate::ceph_link::Connection;
use crate::layout::image_size;
use crate::{group, obstacles, trash};

/// How long a watch of a client that died lasts (`osd_client_watch_timeout`, 30 s), and some more.
const WATCH_EXPIRY: Duration = Duration::from_secs(45);

/// More than any id takes in the object that holds it.
const MOST_ID_BYTES: usize = 4096;

/// How long an image without a header may be one that is being made. librbd takes some 10 ms for it.
const CREATION_WAIT: Duration = Duration::from_secs(3);

/// For how long after its header was made other parts of an image may still be.
const RECENT: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// Does the work. Blocks for as long as it takes.
///
/// # Errors
/// Why it failed; `ECANCELED` when it was asked to end early.
pub fn run(connection: &Connection, place: &Place, work: &Work, signals: &Signals) -> Result<(), Fault> {
    let io = connection.context(&place.pool, &place.namespace)?;
    let progress = |done, total| signals.report_progress(done, total);
    match work {
        Work::RemoveImage { image, image_id, .. } if !is_id(image_id.as_bytes()) => {
            let Some(id) = free_name(&io, image)? else { return Ok(()) };
            let target = OperationTarget { io: &io, name: image, id: &id };
            retry_while_busy(signals, || remove_image(&io, image, &id, signals))
                .map_err(|error| explain_removal(target, error))
        }
        Work::RemoveImage { image, image_id, delete_snapshots } => {
            let target = OperationTarget { io: &io, name: image, id: image_id };
            target.check_act(Act::Remove { force: true })?;
            delete_snapshots_if_asked(&io, (image, image_id), *delete_snapshots, signals)?;
            target.leave_missing_group()?;
            retry_while_busy(signals, || remove_image(&io, image, image_id, signals))
                .map_err(|error| explain_removal(target, error))
        }
        Work::RemoveTrash { image, image_id, delete_snapshots } => {
            trash::repair_entry(&io, image_id, Instant::now() + READ)?;
            if !is_id(image_id.as_bytes()) {
                return Ok(());
            }
            let target = OperationTarget { io: &io, name: image, id: image_id };
            target.check_act(Act::Remove { force: true })?;
            delete_snapshots_if_asked(&io, (image, image_id), *delete_snapshots, signals)?;
            target.leave_missing_group()?;
            retry_while_busy(signals, || ignore_missing(io.trash_remove(image_id, true, &progress)))
                .map_err(|error| explain_removal(target, error))
        }
        Work::PurgeTrash { expired_before, deleted_before } => {
            let expired = ExpiredImages { before: *expired_before, deleted_before: *deleted_before };
            trash_purge::run(&io, expired, signals)
        }
        Work::PurgeSnapshots { image, image_id, through, unprotect } => {
            snapshot_purge::run(&io, (image, image_id), *through, *unprotect, signals)
        }
        Work::Flatten { image, image_id } => {
            OperationTarget { io: &io, name: image, id: image_id }.change(Act::Rewrite, |image| {
                match image.flatten(&progress) {
                    // Flattened already, by the replica that began it.
                    Err(error) if error.is(Errno::EINVAL) => Ok(()),
                    flattened => flattened,
                }
            })
        }
        Work::Shrink { image, image_id, to_bytes, force, .. } => {
            let size = image_size("toBytes", *to_bytes)?;
            OperationTarget { io: &io, name: image, id: image_id }
                .change(Act::Shrink { force: *force }, |image| image.resize(size, true, &progress))
        }
        Work::Sparsify { image, image_id, run_bytes } => {
            let run_bytes = usize::try_from(*run_bytes).unwrap_or(4096);
            OperationTarget { io: &io, name: image, id: image_id }
                .change(Act::Rewrite, |image| image.sparsify(run_bytes, &progress))
        }
        Work::RebuildObjectMap { image, image_id } => OperationTarget { io: &io, name: image, id: image_id }
            .change(Act::Rewrite, |image| image.rebuild_object_map(&progress)),
        Work::Rollback { image, image_id, snapshot, force } => OperationTarget { io: &io, name: image, id: image_id }
            .change(Act::Overwrite { force: *force }, |image| {
                image.rollback(snapshot, &|done, total| signals.note_progress(done, total))
            }),
        Work::RollbackGroup { group, snapshot, force } => {
            group::check_rollback(&io, group, snapshot, *force, Instant::now() + READ)?;
            let rolled_back = io.rollback_group(group, snapshot, &|done, total| signals.note_progress(done, total));
            rolled_back.map_err(|error| group::explain(&io, group, error, Instant::now() + READ))
        }
        Work::Copy { image, source, source_image, source_id, source_snapshot, deep, flatten, data_pool } => {
            let from = connection.context(&source.pool, &source.namespace)?;
            let target = OperationTarget { io: &from, name: source_image, id: source_id };
            target.check_act(Act::Read)?;
            let opened = from
                .open_image(ImageRef::Id(source_id), source_snapshot.as_deref(), Access::ReadOnly)
                .map_err(|error| target.explain(error))?;
            let spec = ImageSpec { flatten: *flatten, data_pool: data_pool.clone(), ..ImageSpec::default() };
            let kind = if *deep { CopyKind::Deep } else { CopyKind::Data };
            let copied = opened.copy_to(&io, image, kind, &spec, &progress);
            opened.close().map_err(|error| target.explain(error))?;
            copied.map_err(|error| {
                if error.is(Errno::EEXIST) {
                    return Fault::new(Kind::Exists, format!("There is an image {image:?} already."))
                        .correction("Choose another name for the copy.")
                        .errno(Errno::EEXIST);
                }
                target.explain(error)
            })
        }
        Work::Import { .. } => Err(Fault::new(Kind::Internal, "An import runs with its request only.")),
    }
}

/// Frees a name whose entry in the directory is damaged. librbd is not asked: it ends the process over an empty id, and removes
/// another's image where the id is that one's. Where all else says which image has the name, the entry is mended, and the image's
/// id is the result. A name that leads to an image by now is left alone.
fn free_name(io: &IoContext, name: &str) -> Result<Option<String>, Fault> {
    let deadline = Instant::now() + READ;
    let Some((key, value)) = crate::directory::damaged(io, name, deadline)? else { return Ok(None) };
    let guards = vec![(key.clone(), value)];
    let object = format!("{ID_OBJECT_PREFIX}{name}");
    let data = match io.read_data(&object, MOST_ID_BYTES, Some(deadline)) {
        Err(error) if error.is(Errno::ENOENT) => Vec::new(),
        data => data?,
    };
    if let Ok(id) = decode_id_object(&data)
        && crate::directory::owner(io, &id, deadline)?.is_some_and(|owner| owner == *name)
    {
        // That object and the entry hold the same bytes.
        let change = OmapChange { guards, set: vec![(key, data)], remove: Vec::new() };
        io.omap_change(DIRECTORY_OBJECT, &change)?;
        return Ok(Some(id));
    }
    // A new image of the name would find this one's place taken.
    io.remove_object(&object)?;
    io.omap_change(DIRECTORY_OBJECT, &OmapChange { guards, set: Vec::new(), remove: vec![key] })?;
    Ok(None)
}

/// Deletes the snapshots of an image that is about to be removed, if that was asked for.
fn delete_snapshots_if_asked(io: &IoContext, image: (&str, &str), asked: bool, signals: &Signals) -> Result<(), Fault> {
    if asked { snapshot_purge::run(io, image, snapshot_purge::ALL_FOR_REMOVAL, false, signals) } else { Ok(()) }
}

/// An image that an operation works on: whoever has its name by now, it is the one with the id.
#[derive(Clone, Copy)]
struct OperationTarget<'a> {
    io: &'a IoContext,
    name: &'a str,
    id: &'a str,
}

impl OperationTarget<'_> {
    /// Rejects when something stands in the way now: that was asked before the operation was accepted, and it may have waited.
    fn check_act(self, act: Act) -> Result<(), Fault> {
        obstacles::check_act(self.io, self.name, self.id, act, Instant::now() + READ)
    }

    /// Takes it out of a group that is gone with its pool.
    fn leave_missing_group(self) -> Result<(), Fault> {
        match crate::header::read_header(self.io, self.id, Instant::now() + READ) {
            Ok(Some(header)) => Ok(group::leave_missing_group(self.io, self.id, &header)?),
            // What cannot be read is removed by what librbd reads of it.
            _ => Ok(()),
        }
    }

    fn explain(self, error: ceph::Error) -> Fault {
        obstacles::explain_error(self.io, self.name, self.id, error, Instant::now() + READ)
    }

    /// Opens it, changes it, and closes it again.
    fn change(self, act: Act, change: impl FnOnce(&Image) -> ceph::Result<()>) -> Result<(), Fault> {
        self.check_act(act)?;
        let opened = self.io.open_image(ImageRef::Id(self.id), None, Access::ReadWrite);
        let changed = opened.and_then(|image| {
            let changed = change(&image);
            let closed = image.close();
            changed.and(closed)
        });
        changed.map_err(|error| self.explain(error))
    }
}

/// Repeats what fails with `EBUSY` until the watch of a client that died must have ended.
fn retry_while_busy(signals: &Signals, mut attempt: impl FnMut() -> ceph::Result<()>) -> ceph::Result<()> {
    let until = Instant::now() + WATCH_EXPIRY;
    loop {
        match attempt() {
            Err(error) if error.is(Errno::EBUSY) && Instant::now() < until && !signals.is_cancelled() => {
                signals.wait_for(Some(
                    "the end of a client's watch; that of a client that died lasts about 31 s".to_owned(),
                ));
                std::thread::sleep(Duration::from_secs(1));
            }
            other => {
                signals.wait_for(None);
                return other;
            }
        }
    }
}

/// Removes the image of an id, wherever an earlier attempt has left it.
fn remove_image(io: &IoContext, name: &str, image_id: &str, signals: &Signals) -> ceph::Result<()> {
    let progress = |done, total| signals.report_progress(done, total);
    let deadline = Some(Instant::now() + READ);
    let read = |object: &str| match io.omap_all(object, &format!("{ID_PREFIX}{image_id}"), deadline) {
        Err(error) if error.is(Errno::ENOENT) => Ok(Vec::new()),
        other => other,
    };
    let in_trash = read(rbd_format::trash::TRASH_OBJECT)?
        .iter()
        .filter_map(|(key, value)| TrashEntry::decode(key, value).ok().flatten())
        .any(|entry| entry.image_id == image_id && entry.source == TrashSource::Removing);
    if in_trash {
        return ignore_missing(io.trash_remove(image_id, true, &progress));
    }
    let now_named = read(DIRECTORY_OBJECT)?.iter().find_map(|(key, value)| {
        match DirectoryEntry::decode(key, value).ok().flatten() {
            Some(DirectoryEntry::Id { id, name: now }) if id == image_id => Some(now.to_string()),
            _ => None,
        }
    });
    match now_named {
        Some(now) => {
            wait_for_creation(io, image_id, signals);
            ignore_missing(check_no_watchers(io, image_id))?;
            ignore_missing(io.remove_image(&now, &progress))
        }
        // Only the other half of the directory entry is left: librbd finishes by name, unless another image has it.
        None => match crate::directory::find(io, name, Instant::now() + READ) {
            Ok(Some(found)) if found.id == image_id => ignore_missing(io.remove_image(name, &progress)),
            _ => Ok(()),
        },
    }
}

/// Waits a moment for an image that another client may be making just now: librbd lists it first, then makes its header,
/// then its object map. Removed in between, the rest of that would leave objects that nothing lists.
fn wait_for_creation(io: &IoContext, image_id: &str, signals: &Signals) {
    let until = Instant::now() + CREATION_WAIT;
    while Instant::now() < until && !signals.is_cancelled() {
        match crate::header::read_header(io, image_id, Instant::now() + READ) {
            Ok(Some(header)) if is_recent(&header) => {}
            // No header: at the beginning of its making, or near the end of its removal.
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn is_recent(header: &ImageHeader) -> bool {
    let created = header
        .created
        .and_then(|at| jiff::Timestamp::new(i64::from(at.seconds), i32::try_from(at.nanoseconds).ok()?).ok());
    // In the future: the OSD's clock goes before this one, and nothing is known.
    created.is_some_and(|created| created.duration_until(jiff::Timestamp::now()) < RECENT)
}

/// `EBUSY` while a client has the image open. librbd would find out too, after waiting for its lock without a word.
fn check_no_watchers(io: &IoContext, image_id: &str) -> ceph::Result<()> {
    let image = match io.open_image(ImageRef::Id(image_id), None, Access::ReadOnly) {
        Err(error) if error.is(Errno::ENOENT) => return Ok(()),
        // No client can open it either.
        Err(ceph::Error::PoolGone { .. } | ceph::Error::Unopenable { .. }) => return Ok(()),
        other => other?,
    };
    if image.watchers()?.is_empty() {
        return image.close();
    }
    Err(ceph::Error::Call { operation: "rbd_remove", subject: io.subject(image_id), errno: Errno::EBUSY })
}

/// Why a removal failed.
fn explain_removal(target: OperationTarget<'_>, error: ceph::Error) -> Fault {
    if error.is(Errno::ENOTEMPTY) {
        return Fault::new(Kind::InUse, format!("Image {:?} has snapshots: {error}.", target.name))
            .correction("Delete its snapshots first.")
            .errno(Errno::ENOTEMPTY);
    }
    target.explain(error)
}
