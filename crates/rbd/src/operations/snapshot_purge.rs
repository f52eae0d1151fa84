//! Deleting all snapshots of an image, also of one in the trash.

use std::time::Instant;

use ceph::{Access, Errno, IoContext};
use rbd_format::{Protection, Snapshot as RawSnapshot, SnapshotNamespace};
use rbd_model::child::Child;
use rbd_model::fault::{Fault, Kind, members};
use rbd_model::obstacle::Act;
use rbd_model::snapshot::Snapshot;
use serde::Serialize;

use super::signals::{READ, Signals};
use crate::children::clones;
use crate::found_image::FoundImage;
use crate::{group, obstacles};

/// A snapshot that cannot be deleted as things are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptSnapshot {
    snapshot: String,
    id: u64,
    reason: KeptReason,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Child>,
}

/// Why a snapshot cannot be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum KeptReason {
    /// Clones need it.
    Cloned,
    /// It is protected.
    Protected,
    /// It is part of a group's snapshot.
    Group,
    /// It is mirroring's.
    Mirroring,
    /// It is of a kind that is not known.
    Unknown,
}

impl KeptSnapshot {
    /// In words, such as `"a" is protected`.
    fn text(&self) -> String {
        let name = &self.snapshot;
        match self.reason {
            KeptReason::Cloned => {
                let clones: Vec<String> = self.children.iter().map(named).collect();
                format!("{name:?} is needed by {}", clones.join(", "))
            }
            KeptReason::Protected => format!("{name:?} is protected"),
            KeptReason::Group => format!("{name:?} is part of a group's snapshot"),
            KeptReason::Mirroring => format!("{name:?} belongs to mirroring"),
            KeptReason::Unknown => format!("{name:?} is of an unknown kind"),
        }
    }
}

/// A clone as `pool/namespace/image`, by its id where it has no name.
fn named(child: &Child) -> String {
    let parts = [child.pool.as_deref().unwrap_or("?"), &child.namespace, child.image.as_deref().unwrap_or(&child.id)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// Through here go the snapshots of an image that is about to be removed: all but those of mirroring, which librbd removes
/// with the image.
pub const ALL_FOR_REMOVAL: u64 = u64::MAX;

/// The snapshots that a purge is about: those that were there when it was asked for.
fn snapshots_to_delete(found: &FoundImage, through: u64) -> impl Iterator<Item = &RawSnapshot> {
    let left =
        move |raw: &RawSnapshot| through == ALL_FOR_REMOVAL && matches!(raw.namespace, SnapshotNamespace::Mirror(_));
    found.header.snapshots.iter().filter(move |raw| raw.id <= through && !left(raw))
}

/// The id of the newest snapshot; those taken later are not meant by who asks now.
pub fn newest_snapshot_id(found: &FoundImage) -> u64 {
    found.header.snapshots.iter().map(|raw| raw.id).max().unwrap_or(0)
}

/// Rejects when some of the snapshots cannot be deleted; then none is. With `unprotect`, protection keeps only those that have
/// clones.
///
/// # Errors
/// `in-use` with every such snapshot, and its clones; `ceph-unavailable` when pools that may hold clones do not answer.
pub fn reject_kept(
    io: &IoContext,
    found: &FoundImage,
    through: u64,
    unprotect: bool,
    deadline: Instant,
) -> Result<(), Fault> {
    if snapshots_to_delete(found, through).next().is_none() {
        return Ok(());
    }
    // What librbd fails on, or rejects, whichever of the snapshots it is.
    obstacles::check_act(io, &found.name, &found.id, Act::DropSnapshot, deadline)?;
    let children = clones(io, found, None, deadline)?.all()?;
    let kept: Vec<KeptSnapshot> =
        snapshots_to_delete(found, through).filter_map(|raw| why_kept(io, raw, &children, unprotect)).collect();
    if kept.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = kept.iter().map(KeptSnapshot::text).collect();
    let total = snapshots_to_delete(found, through).count();
    let detail = format!(
        "{} of {total} snapshot(s) of image {:?} cannot be deleted: {}. None was deleted.",
        kept.len(),
        found.name,
        texts.join("; ")
    );
    Err(Fault::new(Kind::InUse, detail).correction(advice(&kept)).with("snapshots", members(&kept)))
}

fn why_kept(io: &IoContext, raw: &RawSnapshot, children: &[Child], unprotect: bool) -> Option<KeptSnapshot> {
    let shown = Snapshot::from(raw);
    let children: Vec<Child> = children.iter().filter(|child| child.snapshot == shown.name).cloned().collect();
    let reason = match &raw.namespace {
        // Where the group is gone with its pool, nobody else deletes it.
        SnapshotNamespace::Group { pool_id, .. } if !group::pool_is_gone(io, *pool_id) => KeptReason::Group,
        SnapshotNamespace::Mirror(_) => KeptReason::Mirroring,
        SnapshotNamespace::Unknown(_) => KeptReason::Unknown,
        _ if !children.is_empty() || raw.child_count > 0 => KeptReason::Cloned,
        _ if raw.protection != Protection::Unprotected && !unprotect => KeptReason::Protected,
        // One in the trash of snapshots without clones is about to go by itself.
        SnapshotNamespace::User | SnapshotNamespace::Trash { .. } | SnapshotNamespace::Group { .. } => return None,
    };
    Some(KeptSnapshot { snapshot: shown.name, id: raw.id, reason, children })
}

fn advice(kept: &[KeptSnapshot]) -> String {
    let hints = [
        (KeptReason::Cloned, "Flatten or delete the clones, those in the trash too."),
        (KeptReason::Protected, "Lift the protection: DELETE …/snapshots?unprotect=true does that with deleting."),
        (KeptReason::Group, "Delete the snapshot of the group."),
        (KeptReason::Mirroring, "Disable mirroring of the image with `rbd mirror image disable`."),
        (KeptReason::Unknown, "Delete it with the `rbd` of the release that made it."),
    ];
    let wanted = |(reason, _): &&(KeptReason, &str)| kept.iter().any(|kept| kept.reason == *reason);
    hints.iter().filter(wanted).map(|(_, advice)| *advice).collect::<Vec<_>>().join(" ")
}

/// A snapshot that could not be deleted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedSnapshot {
    snapshot: String,
    id: u64,
    reason: String,
}

/// Deletes the snapshots of an image up to an id. An image that is gone has none.
///
/// # Errors
/// As [`reject_kept`]; `conflict` with every snapshot that could not be deleted; `ECANCELED` when asked to end early.
pub fn run(
    io: &IoContext,
    (name, image_id): (&str, &str),
    through: u64,
    unprotect: bool,
    signals: &Signals,
) -> Result<(), Fault> {
    let deadline = Instant::now() + READ;
    let Some(header) = crate::header::read_header(io, image_id, deadline)? else { return Ok(()) };
    let found = FoundImage { name: name.to_owned(), id: image_id.to_owned(), header };
    reject_kept(io, &found, through, unprotect, deadline)?;
    let all: Vec<&RawSnapshot> = snapshots_to_delete(&found, through).collect();
    if all.is_empty() {
        return Ok(());
    }
    let opened = found.open(io, Access::ReadWrite, deadline)?;
    let mut failures = Vec::new();
    for (index, raw) in all.iter().enumerate() {
        if signals.report_progress(index as u64, all.len() as u64).is_break() {
            return Err(Fault::new(Kind::Conflict, "Deleting the snapshots was cancelled.").errno(Errno::ECANCELED));
        }
        if let Err(error) = delete(&opened, raw) {
            failures.push((raw, error));
        }
    }
    opened.close()?;
    // Only now: among the clients that have it open would be this service.
    let failures: Vec<FailedSnapshot> = failures
        .into_iter()
        .map(|(raw, error)| {
            let fault = found.explain(io, error, Instant::now() + READ);
            FailedSnapshot { snapshot: raw.name.to_string(), id: raw.id, reason: fault.detail().to_owned() }
        })
        .collect();
    signals.note_progress(all.len() as u64, all.len() as u64);
    if failures.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = failures.iter().map(|one| format!("{:?} ({})", one.snapshot, one.reason)).collect();
    let detail = format!(
        "{} of {} snapshot(s) of image {name:?} could not be deleted: {}.",
        failures.len(),
        all.len(),
        names.join("; ")
    );
    Err(Fault::new(Kind::Conflict, detail)
        .correction("GET the snapshots to see what is left, and repeat.")
        .with("failures", members(&failures)))
}

fn delete(image: &ceph::Image, raw: &RawSnapshot) -> ceph::Result<()> {
    if raw.protection != Protection::Unprotected
        && let Some(name) = raw.name.as_str()
    {
        match image.unprotect_snapshot(name) {
            // Another did it meanwhile.
            Err(error) if error.is(Errno::EINVAL) => {}
            other => other?,
        }
    }
    match image.remove_snapshot_by_id(raw.id) {
        Err(error) if error.is(Errno::ENOENT) => Ok(()),
        other => other,
    }
}
