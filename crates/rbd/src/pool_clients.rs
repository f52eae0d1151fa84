//! The images of a pool that clients have open: whoever deletes the pool takes their data.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ceph::{Access, Errno, ImageRef, IoContext};
use rbd_model::clients::OpenImage;
use rbd_model::fault::{Fault, Kind, members};
use rbd_model::image::NamedImage;
use rbd_model::obstacle::Obstacle;

use crate::obstacles;
use crate::pool_users::{images, namespaces};

/// Images opened at once.
const OPENED_AT_ONCE: usize = 16;
/// How many images a fault names in its text, and in its list.
const MAX_NAMED: usize = 5;
const MAX_LISTED: usize = 1000;
const FORCE_HINT: &str =
    "Unmap or close the images there; or repeat with force=true to take their data from those clients.";

/// Refuses to delete a pool with images that clients have open. Every image is opened, many at once.
///
/// # Errors
/// `in-use` with those images; `ceph-unavailable` when not all could be looked at in time; what reading gives.
pub fn reject_open(io: &IoContext, deadline: Instant) -> Result<(), Fault> {
    let now = Instant::now();
    let until = now + deadline.saturating_duration_since(now) * 3 / 4;
    let mut all = Vec::new();
    for namespace in without_omaps(namespaces(io, until))? {
        let place = io.in_namespace(&namespace)?;
        all.extend(without_omaps(images(&place, until))?.into_iter().map(|named| (place.clone(), named)));
    }
    let (open, unseen) = find_open_images(&all, until);
    if !open.is_empty() {
        return Err(open_images_fault(io.pool(), &open));
    }
    if unseen == 0 {
        return Ok(());
    }
    let detail =
        format!("Whether clients have {unseen} image(s) of pool {:?} open was not answered in time.", io.pool());
    Err(Fault::new(Kind::CephUnavailable, detail).correction(FORCE_HINT).retry_after(5))
}

/// A pool without omaps, as erasure-coded ones are, holds no images.
fn without_omaps<T>(read: Result<Vec<T>, Fault>) -> Result<Vec<T>, Fault> {
    match read {
        Err(fault) if fault.ceph_errno() == Some(Errno::EOPNOTSUPP) => Ok(Vec::new()),
        read => read,
    }
}

fn open_images_fault(pool: &str, open: &[OpenImage]) -> Fault {
    let names: Vec<&str> = open.iter().take(MAX_NAMED).map(|image| image.text.as_str()).collect();
    let more = if open.len() > MAX_NAMED { format!("; and {} more", open.len() - MAX_NAMED) } else { String::new() };
    let detail = format!("Clients have {} image(s) of pool {pool:?} open: {}{more}.", open.len(), names.join("; "));
    Fault::new(Kind::InUse, detail)
        .cause("A watch ends when its client closes the image, or about 31 s after it died.")
        .correction(FORCE_HINT)
        .with("images", members(&open[..open.len().min(MAX_LISTED)]))
}

/// What was not answered in time.
struct UnansweredImage;

/// Those of some images that clients have open, and how many were not looked at in time.
fn find_open_images(all: &[(IoContext, NamedImage)], until: Instant) -> (Vec<OpenImage>, usize) {
    let (next, unseen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let open = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..OPENED_AT_ONCE.min(all.len()) {
            scope.spawn(|| {
                while let Some((io, named)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match clients(io, named, until) {
                        Ok(found) => open.lock().unwrap_or_else(PoisonError::into_inner).extend(found),
                        Err(UnansweredImage) => drop(unseen.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
    });
    let mut open = open.into_inner().unwrap_or_else(PoisonError::into_inner);
    open.sort_by(|a: &OpenImage, b| (&a.namespace, &a.image).cmp(&(&b.namespace, &b.image)));
    (open, unseen.into_inner())
}

/// The image if clients have it open. One that cannot be opened is open
/// nowhere. Its header is read first, with a deadline, which opening has not.
fn clients(io: &IoContext, named: &NamedImage, until: Instant) -> Result<Option<OpenImage>, UnansweredImage> {
    match crate::header::read_header(io, &named.id, until) {
        Ok(Some(_)) => {}
        Err(fault) if fault.kind() == Kind::CephUnavailable => return Err(UnansweredImage),
        Ok(None) | Err(_) => return Ok(None),
    }
    let opened = io.open_image(ImageRef::Id(&named.id), None, Access::ReadOnly).ok();
    let reason = opened.and_then(|image| obstacles::client_obstacle(&image).ok().flatten());
    Ok(reason.map(|reason| {
        let text = format!("{} {}", io.subject(&named.name), reason.text());
        let (watchers, locks) = match reason {
            Obstacle::Open { watchers, locks } => (watchers, locks),
            Obstacle::Locked { locks } => (Vec::new(), locks),
            _ => (Vec::new(), Vec::new()),
        };
        OpenImage { namespace: io.namespace().to_owned(), image: named.name.clone(), watchers, locks, text }
    }))
}
