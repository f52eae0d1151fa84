//! Whether an image is encrypted by librbd: it then begins with a LUKS header.

use std::collections::HashMap;
use std::time::Instant;

use ceph::{Errno, IoContext};
use rbd_model::encryption::Encryption;
use rbd_model::image::Image;

use crate::many_pools::read_at_once;
use crate::unread;

/// What a LUKS header begins with; the version comes after, as a big-endian number of two bytes. See the LUKS2 On-Disk Format
/// Specification, section 2.1.
const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// RADOS reads in flight.
const IN_FLIGHT: usize = 256;
/// The length of both.
const BYTES: usize = MAGIC.len() + 2;

/// What the first bytes of an image say.
fn from_first_bytes(bytes: &[u8]) -> Encryption {
    match bytes.strip_prefix(MAGIC) {
        Some([0, 1, ..]) => Encryption::Luks1,
        Some([0, 2, ..]) => Encryption::Luks2,
        Some(_) => Encryption::Luks,
        None => Encryption::None,
    }
}

/// What was found of an image's first object.
type FirstBytes = Result<Vec<u8>, Errno>;

/// Notes of images of one place whether they are encrypted, or why that is not known: one read of each one's first object, all
/// at once. Pools that do not answer fail nothing.
pub fn read_encryption(io: &IoContext, images: &mut [Image], deadline: Instant) {
    let mut pools: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, image) in images.iter().enumerate() {
        let pool = image.data_pool.clone().unwrap_or_else(|| io.pool().to_owned());
        pools.entry(pool).or_default().push(index);
    }
    let until = unread::deadline_per_pool(deadline);
    let pools: Vec<(String, Vec<usize>)> = pools.into_iter().collect();
    let found = read_at_once(&pools, |(pool, indexes)| first_bytes(io, pool, indexes, images, until));
    for ((_, indexes), mut found) in pools.iter().zip(found) {
        for index in indexes {
            record_encryption(&mut images[*index], found.remove(index));
        }
    }
}

/// The first bytes of images whose data is in one pool, by their indexes, as far as they came in time.
fn first_bytes(
    io: &IoContext,
    pool: &str,
    indexes: &[usize],
    images: &[Image],
    until: Instant,
) -> HashMap<usize, FirstBytes> {
    let mut seen = HashMap::new();
    let Ok(data) = io.cluster().io_context(pool, io.namespace()) else { return seen };
    let known = indexes.iter().filter_map(|index| Some((*index, images[*index].first_object.as_deref()?)));
    let (indexes, objects): (Vec<usize>, Vec<&str>) = known.unzip();
    // What came before the time was over counts.
    let _ = data.read_data_of(&objects, BYTES, IN_FLIGHT, Some(until), |at, read| {
        seen.insert(indexes[at], read);
    });
    seen
}

fn record_encryption(image: &mut Image, seen: Option<FirstBytes>) {
    match encryption_of(image, seen) {
        Ok(encryption) => image.encryption = Some(encryption),
        Err(reason) => {
            image.unknown.insert("encryption".to_owned(), reason);
        }
    }
}

fn encryption_of(image: &Image, seen: Option<FirstBytes>) -> Result<Encryption, String> {
    match seen {
        Some(Ok(bytes)) => Ok(from_first_bytes(&bytes)),
        Some(Err(errno)) if errno != Errno::ENOENT => Err(format!("Its first bytes cannot be read: {errno}.")),
        None if image.first_object.is_none() => Err("Its header cannot be read.".to_owned()),
        None => Err("The pool of its data did not answer in time, or does not exist.".to_owned()),
        Some(Err(_)) if image.parent.as_ref().is_some_and(|parent| parent.overlap_bytes != Some(0)) => {
            Err("Its first bytes are still those of its parent.".to_owned())
        }
        Some(Err(_)) if image.migration.is_some() => Err("Its first bytes have not been migrated yet.".to_owned()),
        // Nothing was written there.
        Some(Err(_)) => Ok(Encryption::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luks_header_is_known_by_its_first_bytes() {
        assert_eq!(from_first_bytes(b"LUKS\xba\xbe\x00\x01"), Encryption::Luks1);
        assert_eq!(from_first_bytes(b"LUKS\xba\xbe\x00\x02"), Encryption::Luks2);
        assert_eq!(from_first_bytes(b"LUKS\xba\xbe\x00\x03"), Encryption::Luks);
        for other in [&b""[..], b"LUKS", b"SKUL\xba\xbe\x00\x02", b"LUKS\xba\x00\x00\x02"] {
            assert_eq!(from_first_bytes(other), Encryption::None, "{other:?}");
        }
    }
}
