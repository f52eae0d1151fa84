//! Removing for good what the trash need not keep any more.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use ceph::{Errno, IoContext};
use jiff::Timestamp;
use rbd_format::TrashSource;
use rbd_model::fault::{Fault, Kind, members};
use rbd_model::trash::TrashState;
use serde::Serialize;

use super::signals::{READ, Signals, ignore_missing};
use crate::group;
use crate::trash::{self, RawTrashImage};

/// How many failures a fault names in full; its text has their number.
const MAX_NAMED: usize = 100;

/// Which images of a trash a purge removes.
#[derive(Debug, Clone, Copy)]
pub struct ExpiredImages {
    /// Their retention had ended at this moment.
    pub before: Timestamp,
    /// They were put there at this moment or before; whenever, without it.
    pub deleted_before: Option<Timestamp>,
}

impl ExpiredImages {
    fn covers(self, image: &RawTrashImage) -> bool {
        let seconds = |at: Timestamp| u64::try_from(at.as_second()).unwrap_or(0);
        let entry = &image.entry;
        matches!(entry.source, TrashSource::User | TrashSource::UserParent | TrashSource::Removing)
            && u64::from(entry.deferment_end.seconds) <= seconds(self.before)
            && self.deleted_before.is_none_or(|before| u64::from(entry.deleted.seconds) <= seconds(before))
    }
}

/// An image that could not be removed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedImage {
    id: String,
    name: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceph_errno: Option<&'static str>,
}

/// How far a purge is.
#[derive(Debug, Default)]
struct Purge {
    removed: u64,
    /// By the images' ids. What goes in a later pass leaves it again.
    failures: BTreeMap<String, FailedImage>,
}

/// Removes what has expired, pass after pass until nothing changes: a clone that goes frees its parent for the next pass. What
/// is small goes first, and what was half removed last of all, so that one huge image keeps none waiting.
///
/// # Errors
/// `in-use` with every image that could not be removed, and why; `ECANCELED` when asked to end early.
pub fn run(io: &IoContext, expired: ExpiredImages, signals: &Signals) -> Result<(), Fault> {
    trash::drop_impossible_entries(io, Instant::now() + READ)?;
    let mut purge = Purge::default();
    for half_removed_too in [false, true] {
        while purge.pass(io, expired, half_removed_too, signals)? {}
    }
    purge.end(io, signals)
}

impl Purge {
    /// One pass; whether it removed anything.
    fn pass(
        &mut self,
        io: &IoContext,
        expired: ExpiredImages,
        half_removed_too: bool,
        signals: &Signals,
    ) -> Result<bool, Fault> {
        let mut images = trash::read(io, Instant::now() + READ)?;
        images.retain(|image| expired.covers(image));
        let total = self.removed + images.len() as u64;
        images.retain(|image| half_removed_too || image.state() != TrashState::Removing);
        images.sort_by_key(|image| {
            (image.state() == TrashState::Removing, image.header.as_ref().map_or(0, |header| header.size_bytes))
        });
        let before = self.removed;
        for image in &images {
            if signals.report_progress(self.removed, total).is_break() {
                return Err(cancelled());
            }
            self.remove(io, image, signals)?;
        }
        Ok(self.removed > before)
    }

    fn remove(&mut self, io: &IoContext, image: &RawTrashImage, signals: &Signals) -> Result<(), Fault> {
        let id = &image.entry.image_id;
        let failure = |reason: String, errno: Option<Errno>| FailedImage {
            id: id.clone(),
            name: image.entry.name.to_string(),
            reason,
            ceph_errno: errno.map(Errno::name),
        };
        // What its header tells need not be found out by librbd, which would open it and ask for its lock.
        if let Some(obstacle) = image.obstacle(io, Timestamp::now()) {
            self.failures.insert(id.clone(), failure(trash::describe_obstacle(&obstacle), None));
            return Ok(());
        }
        let until_cancelled =
            |_, _| if signals.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let left = image.header.as_ref().map_or(Ok(()), |header| group::leave_missing_group(io, id, header));
        match left.and_then(|()| ignore_missing(io.trash_remove(id, false, &until_cancelled))) {
            Ok(()) => {
                self.removed += 1;
                self.failures.remove(id);
            }
            Err(error) if error.is(Errno::ECANCELED) => return Err(error.into()),
            Err(error) => {
                self.failures.insert(id.clone(), failure(reason(io, image, &error), error.errno()));
            }
        }
        Ok(())
    }

    fn end(self, io: &IoContext, signals: &Signals) -> Result<(), Fault> {
        let kept = self.failures.len();
        signals.note_progress(self.removed, self.removed + kept as u64);
        if kept == 0 {
            return Ok(());
        }
        let named: Vec<&FailedImage> = self.failures.values().take(MAX_NAMED).collect();
        let texts: Vec<String> = named.iter().map(|one| format!("{:?} ({})", one.name, one.reason)).collect();
        let more = if kept > named.len() { "; and more" } else { "" };
        let detail = format!(
            "{kept} of {} expired images in the trash of {} could not be removed: {}{more}",
            self.removed + kept as u64,
            io.subject(""),
            texts.join("; ")
        );
        // One image that cannot go does not keep the others.
        Err(Fault::new(Kind::InUse, detail)
            .correction("Do what each of `failures` says, and purge again.")
            .with("failures", members(&named))
            .with("removed", self.removed))
    }
}

/// Why librbd refused to remove an image that its header lets go.
fn reason(io: &IoContext, image: &RawTrashImage, error: &ceph::Error) -> String {
    let open = if error.is(Errno::EBUSY) { trash::client_obstacle(io, &image.entry.image_id) } else { Ok(None) };
    open.ok().flatten().map_or_else(|| error.to_string(), |open| trash::describe_obstacle(&open))
}

fn cancelled() -> Fault {
    Fault::new(Kind::Conflict, "The purge was cancelled.").errno(Errno::ECANCELED)
}
