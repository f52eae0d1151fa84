//! What the images and the trash of a pool add up to, read from their headers: librbd opens each of them for it, and tells nothing
//! when one cannot be opened.

use std::time::Instant;

use ceph::{IoContext, OmapRange};
use rbd_format::decode_header;
use rbd_format::header::header_object;
use rbd_model::fault::Fault;
use rbd_model::image::NamedImage;
use rbd_model::pool::ImageTotals;
use rbd_model::unread::UnreadImage;

use crate::pool_users;

/// Headers read at once, and images per page.
const IN_FLIGHT: usize = 256;
const PAGE: usize = 1024;
/// How many images are named that could not be read.
const MAX_NAMED: usize = 1000;

/// What a pool holds.
#[derive(Debug, Default)]
pub struct PoolTotals {
    /// Its images.
    pub images: ImageTotals,
    /// What is in its trash.
    pub trash: ImageTotals,
    /// The number of its namespaces, without the default one.
    pub namespaces: u64,
    /// What could not be read, at most 1,000 of it.
    pub unread: Vec<UnreadImage>,
}

/// Adds up a pool, all its namespaces.
///
/// # Errors
/// What reading gives as a whole: `EOPNOTSUPP` on an erasure-coded pool, which holds no headers.
pub fn read_totals(whole: &IoContext, deadline: Instant) -> Result<PoolTotals, Fault> {
    let mut totals = PoolTotals::default();
    let namespaces = pool_users::namespaces(whole, deadline)?;
    totals.namespaces = namespaces.len() as u64 - 1;
    for namespace in namespaces {
        let io = whole.in_namespace(&namespace)?;
        let images = pool_users::images(&io, deadline)?;
        let trash = crate::trash_directory::entries(&io, deadline)?;
        let trashed: Vec<NamedImage> =
            trash.entries.into_iter().map(|entry| NamedImage::new(&entry.name, entry.image_id)).collect();
        totals.trash.count += trash.damaged.len() as u64;
        let unread = &mut totals.unread;
        add(&io, &images, &mut totals.images, unread, deadline)?;
        add(&io, &trashed, &mut totals.trash, unread, deadline)?;
    }
    totals.unread.truncate(MAX_NAMED);
    Ok(totals)
}

fn add(
    io: &IoContext,
    images: &[NamedImage],
    totals: &mut ImageTotals,
    unread: &mut Vec<UnreadImage>,
    deadline: Instant,
) -> Result<(), Fault> {
    let mut skip = |named: &NamedImage, reason: String| {
        unread.push(UnreadImage { namespace: io.namespace().to_owned(), image: named.name.clone(), reason });
    };
    totals.count += images.len() as u64;
    for page in images.chunks(PAGE) {
        let (sound, damaged): (Vec<&NamedImage>, Vec<&NamedImage>) =
            page.iter().partition(|named| named.damage.is_none());
        for named in damaged {
            skip(named, named.damage.clone().unwrap_or_default());
        }
        let ranges: Vec<OmapRange> =
            sound.iter().map(|named| OmapRange { object: header_object(&named.id), ..OmapRange::default() }).collect();
        io.omaps(&ranges, IN_FLIGHT, Some(deadline), |index, result| {
            let header = result.map_err(|errno| format!("Its header cannot be read: {errno}.")).and_then(|entries| {
                let entries = entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
                decode_header(entries).map_err(|error| format!("Its header is damaged: {error}."))
            });
            match header {
                Ok(header) => {
                    totals.provisioned_bytes = totals.provisioned_bytes.saturating_add(header.size_bytes);
                    totals.snapshots += header.snapshots.len() as u64;
                }
                Err(reason) => skip(sound[index], reason),
            }
        })?;
    }
    Ok(())
}
