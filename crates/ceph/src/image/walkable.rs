//! Whether librbd can open an image and come back, and walk over it without ending this process: another client may have made it its
//! own ancestor, or too large, or a pool that it needs may be gone (`ceph_assert(m_ictx->data_ctx.is_valid())` in `ObjectRequest`).

use std::collections::HashSet;

use rbd_format::header::header_object;
use rbd_format::{DecodeError, DirectoryEntry, ImageHeader, ImageSize, Unopenable, decode_header, is_id};

use super::{Image, ImageRef};
use crate::error::{Errno, Error, Result};
use crate::ioctx::IoContext;
use crate::omap::Entry;

/// How many ancestors of an image are followed, and librbd is let follow: far more than anything can work with.
pub const MOST_ANCESTORS: usize = 64;

impl IoContext {
    /// The header of an image, read from RADOS without opening the image.
    ///
    /// # Errors
    /// `ENOENT` when there is none, as for an image of format 1; [`Error::Decode`].
    pub(crate) fn header(&self, id: &str) -> Result<ImageHeader> {
        let object = header_object(id);
        let entries = self.omap_all(&object, "", None)?;
        decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())))
            .map_err(|source| Error::Decode { subject: self.subject(&object), source })
    }

    /// The id that the directory of images has for a name.
    pub(crate) fn image_id(&self, name: &str) -> Result<Option<String>> {
        self.directory_id(rbd_format::directory::DIRECTORY_OBJECT, name)
    }

    /// The id that a directory, of images or of groups, has for a name.
    pub(crate) fn directory_id(&self, directory: &str, name: &str) -> Result<Option<String>> {
        use rbd_format::directory::NAME_PREFIX;
        let key = format!("{NAME_PREFIX}{name}").into_bytes();
        let read = crate::omap::omap_values(std::slice::from_ref(self), directory, &[key], None).pop();
        let entries = match read {
            Some(Err(error)) if error.is(Errno::ENOENT) => return Ok(None),
            read => read.transpose()?.unwrap_or_default(),
        };
        // An entry that is damaged is not one that is missing: librbd would go by it.
        let decode = |(key, value): &Entry| {
            DirectoryEntry::decode(key, value)
                .map_err(|source| Error::Decode { subject: self.subject(directory), source })
        };
        let decoded: Vec<_> = entries.iter().map(decode).collect::<Result<_>>()?;
        Ok(decoded.into_iter().flatten().find_map(|entry| match entry {
            DirectoryEntry::Name { id, .. } => Some(id),
            _ => None,
        }))
    }

    /// As [`Image::check_walkable`], of an image that is not open.
    ///
    /// # Errors
    /// As there; `ENOENT` for an image without a header.
    pub fn check_walkable(&self, name: &str, id: &str) -> Result<()> {
        check(self, name, id)
    }

    /// The id of an image that librbd may open: it is opened by that, so that it is the one that was looked at.
    pub(crate) fn openable_id(&self, image: ImageRef<'_>) -> Result<String> {
        let id = match image {
            ImageRef::Id(id) => id.to_owned(),
            ImageRef::Name(name) => match self.image_id(name)? {
                Some(id) => id,
                None => self.check("rbd_open", name, -libc::ENOENT).map(|_| String::new())?,
            },
        };
        check_openable(self, &image.to_string(), &id)?;
        Ok(id)
    }

    /// Rejects an image that librbd must not open.
    pub(crate) fn check_openable(&self, id: &str) -> Result<()> {
        check_openable(self, &format!("id {id}"), id)
    }

    /// As [`IoContext::openable_id`], where librbd opens the image without its ancestors.
    pub(crate) fn check_openable_alone(&self, name: &str) -> Result<()> {
        let Some(id) = self.image_id(name)? else { return Ok(()) };
        self.header(&id).map_or(Ok(()), |header| check_header(self, name, &header))
    }

    /// Refuses to have librbd remove the objects of an image that it must not open, or whose layout would end this process. An
    /// image without a header that can be read is left to librbd.
    pub(crate) fn check_removable(&self, id: &str) -> Result<()> {
        if !is_id(id.as_bytes()) {
            let source = DecodeError::Invalid { what: "image id", reason: "is none" };
            return Err(Error::Decode { subject: self.subject(&format!("id {id:?}")), source });
        }
        self.header(id).map_or(Ok(()), |header| check_header(self, &format!("id {id}"), &header))
    }
}

/// Rejects an image that librbd cannot walk over, or one with such an ancestor.
pub(crate) fn check(io: &IoContext, name: &str, id: &str) -> Result<()> {
    with_ancestors(io, name, id, check_one)
}

/// Rejects an image that librbd must not open, or one with such an ancestor: librbd opens them with it. What the headers do not
/// say, such as that there is none, librbd says itself.
pub(crate) fn check_openable(io: &IoContext, name: &str, id: &str) -> Result<()> {
    match with_ancestors(io, name, id, |_, _, _| Ok(())) {
        Err(error) if error.is(Errno::ENOENT) => Ok(()),
        checked => checked,
    }
}

/// Looks at the header of an image and at those of its ancestors, each of which can be opened.
fn with_ancestors(
    io: &IoContext,
    name: &str,
    id: &str,
    look: impl Fn(&IoContext, &str, &ImageHeader) -> Result<()>,
) -> Result<()> {
    let (mut io, mut name, mut id) = (io.clone(), name.to_owned(), id.to_owned());
    let mut seen = HashSet::new();
    for _ in 0..=MOST_ANCESTORS {
        let header = match io.header(&id) {
            // Without it librbd does not open the image either, unless it is of format 1.
            Err(error) if error.is(Errno::ENOENT) && !seen.is_empty() => return Ok(()),
            header => header?,
        };
        check_header(&io, &name, &header)?;
        look(&io, &name, &header)?;
        if !seen.insert((io.pool_id(), io.namespace().to_owned(), id.clone())) {
            return Err(unopenable(&io, &name, Unopenable::AncestorLoop { image_id: id }));
        }
        let Some((ancestor, ancestor_id)) = origin(&io, &name, &header)? else { return Ok(()) };
        (io, name, id) = (ancestor, format!("id {ancestor_id}"), ancestor_id);
    }
    Err(unopenable(&io, &name, Unopenable::Ancestors { most: MOST_ANCESTORS }))
}

/// Rejects a header with which librbd would not come back from opening the image, or end this process when it closes it.
fn check_header(io: &IoContext, name: &str, header: &ImageHeader) -> Result<()> {
    header.check_openable().map_err(|source| unopenable(io, name, source))?;
    header.check_layout().map_err(|source| Error::Unbounded { subject: io.subject(name), source })
}

fn unopenable(io: &IoContext, name: &str, source: Unopenable) -> Error {
    Error::Unopenable { subject: io.subject(name), source }
}

fn check_one(io: &IoContext, name: &str, header: &ImageHeader) -> Result<()> {
    header.check_bounds().map_err(|source| Error::Unbounded { subject: io.subject(name), source })?;
    if let Some(pool_id) = header.data_pool_id {
        pool(io, name, pool_id, "its data")?;
    }
    Ok(())
}

/// The name of a pool that an image needs.
fn pool(io: &IoContext, name: &str, pool_id: i64, holds: &'static str) -> Result<String> {
    io.cluster().pool_name(pool_id).map_err(|error| {
        if error.is(Errno::ENOENT) { Error::PoolGone { subject: io.subject(name), pool_id, holds } } else { error }
    })
}

/// Where an image takes data from that it does not have itself: its parent, or the source of its migration.
fn origin(io: &IoContext, name: &str, header: &ImageHeader) -> Result<Option<(IoContext, String)>> {
    let Some(origin) = header.origin() else { return Ok(None) };
    let holds = if origin.is_migration { "the source of its migration" } else { "its parent" };
    let pool = match pool(io, name, origin.pool_id, holds) {
        // Only snapshots need it any more; librbd says so when one is opened.
        Err(Error::PoolGone { .. }) if !origin.is_migration && !header.takes_from_parent() => return Ok(None),
        pool => pool?,
    };
    Ok(Some((io.cluster().io_context(&pool, &origin.namespace.to_string())?, origin.image_id.to_owned())))
}

impl Image {
    /// Rejects an image, or one with an ancestor, that librbd cannot walk over: it would end this process. What reads,
    /// writes or copies data asks first.
    ///
    /// # Errors
    /// [`Error::Unbounded`], [`Error::PoolGone`]; what reading the headers gives.
    pub fn check_walkable(&self) -> Result<()> {
        self.walkable.get_or_init(|| self.read_walkable()).clone()?;
        // It may have grown since.
        self.check_size()
    }

    /// Rejects a layout with which librbd fails even to shrink the image.
    pub(crate) fn check_layout(&self) -> Result<()> {
        // An image of format 1 has no id, and no striping.
        self.id().map_or(Ok(()), |id| self.io.check_removable(&id))
    }

    fn read_walkable(&self) -> Result<()> {
        match self.id() {
            Ok(id) => check(&self.io, &self.name, &id),
            // An image of format 1 has no id, and no striping.
            Err(error) if error.is(Errno::EINVAL) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn check_size(&self) -> Result<()> {
        let bytes = self.size_bytes()?;
        match ImageSize::try_from(bytes) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Unbounded { subject: self.io.subject(&self.name), source }),
        }
    }
}
