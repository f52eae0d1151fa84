//! Whether the lines of ancestors of images come to an end: librbd follows them without a bound when it opens an image.
//!
//! ```text
//! headers of a listing ─► what was read of their parents anyhow ─► headers of further ancestors, up to MOST_READ
//! ```

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use ceph::{Cluster, IoContext, MOST_ANCESTORS, OmapRange};
use rbd_format::header::header_object;
use rbd_format::{ImageHeader, Unopenable, decode_header};

use crate::image_names::{ImageKey, NamesByKey, by_place, origin_of};
use crate::many_pools::{deadline_for_other_pools, read_at_once};

/// RADOS reads in flight.
const IN_FLIGHT: usize = 256;

/// How many headers of ancestors are read for one page of a listing, beyond those of parents, whose names are shown. A line that
/// is longer is taken for one that ends.
const MOST_READ: usize = 1024;

/// From which image each of some images takes data.
#[derive(Debug, Default)]
pub struct Ancestors {
    origins: HashMap<ImageKey, Option<ImageKey>>,
}

impl Ancestors {
    /// Takes what is known of an image.
    pub fn insert(&mut self, image: ImageKey, header: &ImageHeader) {
        self.origins.insert(image, origin_of(header));
    }

    /// Takes what was read together with the names of parents.
    pub fn insert_named(&mut self, parents: &NamesByKey) {
        for (key, names) in parents {
            self.origins.entry(key.clone()).or_insert_with(|| names.origin.clone());
        }
    }

    /// Reads the headers of ancestors that are not known yet, generation after generation, in all their pools at once. What
    /// cannot be read in time is taken for the end of a line.
    pub fn read_missing(&mut self, cluster: &Cluster, deadline: Instant) {
        let until = deadline_for_other_pools(deadline);
        let mut left = MOST_READ;
        for _ in 0..MOST_ANCESTORS {
            let mut missing = self.missing();
            missing.truncate(left);
            if missing.is_empty() {
                return;
            }
            left -= missing.len();
            self.origins.extend(missing.iter().map(|key| (key.clone(), None)));
            self.origins.extend(read(cluster, missing, until));
        }
    }

    fn missing(&self) -> Vec<ImageKey> {
        let named: HashSet<&ImageKey> = self.origins.values().flatten().collect();
        named.into_iter().filter(|key| !self.origins.contains_key(*key)).cloned().collect()
    }

    /// Follows the line of an image as far as it is known.
    ///
    /// # Errors
    /// [`Unopenable::AncestorLoop`], [`Unopenable::Ancestors`].
    pub fn check(&self, image: &ImageKey) -> Result<(), Unopenable> {
        let mut seen = HashSet::new();
        let mut at = image;
        while seen.insert(at) {
            if seen.len() > MOST_ANCESTORS + 1 {
                return Err(Unopenable::Ancestors { most: MOST_ANCESTORS });
            }
            match self.origins.get(at).and_then(Option::as_ref) {
                Some(origin) => at = origin,
                None => return Ok(()),
            }
        }
        Err(Unopenable::AncestorLoop { image_id: at.2.clone() })
    }
}

/// From which image each of these takes data, as far as their headers can be read.
fn read(cluster: &Cluster, images: Vec<ImageKey>, until: Instant) -> Vec<(ImageKey, Option<ImageKey>)> {
    read_at_once(&by_place(cluster, images), |(io, ids)| read_place(io, ids, until)).into_iter().flatten().collect()
}

fn read_place(io: &IoContext, ids: &[String], until: Instant) -> Vec<(ImageKey, Option<ImageKey>)> {
    let ranges: Vec<OmapRange> =
        ids.iter().map(|id| OmapRange { object: header_object(id), ..OmapRange::default() }).collect();
    let mut read = Vec::new();
    // Those that came in time count.
    let _ = io.omaps(&ranges, IN_FLIGHT, Some(until), |index, result| {
        let entries = result.unwrap_or_default();
        let header = decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())));
        let key = (io.pool_id(), io.namespace().to_owned(), ids[index].clone());
        read.extend(header.ok().map(|header| (key, origin_of(&header))));
    });
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: usize) -> ImageKey {
        (1, String::new(), id.to_string())
    }

    fn line(origins: impl IntoIterator<Item = (usize, Option<usize>)>) -> Ancestors {
        Ancestors { origins: origins.into_iter().map(|(id, origin)| (key(id), origin.map(key))).collect() }
    }

    #[test]
    fn ancestor_loop_is_rejected_wherever_it_is_entered() {
        let circle = line([(0, Some(1)), (1, Some(2)), (2, Some(1)), (3, Some(3)), (4, Some(5))]);
        for (image, twice) in [(0, "1"), (1, "1"), (2, "2"), (3, "3")] {
            let rejected = Err(Unopenable::AncestorLoop { image_id: twice.to_owned() });
            assert_eq!(circle.check(&key(image)), rejected, "{image}");
        }
        assert_eq!(circle.check(&key(4)), Ok(()));
        assert_eq!(circle.missing(), [key(5)]);
    }

    #[test]
    fn ancestors_are_followed_as_far_as_librbd_may_follow_them() {
        let of = |ancestors: usize| line((0..=ancestors).map(|id| (id, (id < ancestors).then_some(id + 1))));
        assert_eq!(of(MOST_ANCESTORS).check(&key(0)), Ok(()));
        let rejected = Err(Unopenable::Ancestors { most: MOST_ANCESTORS });
        assert_eq!(of(MOST_ANCESTORS + 1).check(&key(0)), rejected);
    }
}
