//! The space that an image takes.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ceph::{Access, IoContext};
use rbd::found_image::FoundImage;
use rbd_api::answer::Content;
use rbd_api::endpoints::image_usage as declared;
use rbd_api::endpoints::image_usage::{ImageUsage, UsageQuery, UsedSpace};
use rbd_api::input::Input;
use rbd_api::path::ImagePath;
use rbd_api::problem::Problem;
use rbd_format::SnapshotNamespace;
use rbd_model::fault::{Fault, Kind};
use rbd_model::obstacle::Act;

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![bind(&declared::GET_USAGE, usage)]
}

async fn usage(
    call: Call,
    Input { path, query: UsageQuery { exact }, .. }: Input<ImagePath, UsageQuery>,
) -> Result<Content<ImageUsage>, Problem> {
    let (name, deadline) = (path.image, call.deadline);
    let usage = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &name, deadline)?;
            measure(io, &found, exact, deadline)
        })
        .await?;
    Ok(Content::of(usage))
}

fn measure(io: &IoContext, found: &FoundImage, exact: bool, deadline: Instant) -> Result<ImageUsage, Fault> {
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
    found.check_ready(io, Act::Read, deadline)?;
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
        spaces.push(UsedSpace { snapshot: name, provisioned_bytes: size, used_bytes: used });
    }
    let total: Option<u64> = spaces.iter().map(|space| space.used_bytes).sum();
    let reason = total.is_none().then(|| {
        "The time of the request ran out; a valid object map (feature fast-diff) would make it quick.".to_owned()
    });
    let Some(head) = spaces.pop() else {
        return Err(Fault::new(Kind::Internal, "The space of the image was not counted."));
    };
    Ok(ImageUsage { provisioned_bytes: header.size_bytes, used_bytes: total, exact, reason, head, snapshots: spaces })
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
