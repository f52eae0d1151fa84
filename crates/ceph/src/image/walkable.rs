//! Whether librbd can walk over an image without ending this process: another client may have made it too large, or a pool
//! that it needs may be gone (`ceph_assert(m_ictx->data_ctx.is_valid())` in `ObjectRequest`).

use rbd_format::header::{MigrationRole, header_object};
use rbd_format::{DirectoryEntry, ImageHeader, ImageSize, decode_header};

use super::Image;
use crate::error::{Errno, Error, Result};
use crate::ioctx::IoContext;

/// How many ancestors are followed: far more than anything can work with.
const MOST_ANCESTORS: usize = 64;

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

    /// The id that the directory has for a name.
    pub(crate) fn image_id(&self, name: &str) -> Result<Option<String>> {
        use rbd_format::directory::{DIRECTORY_OBJECT, NAME_PREFIX};
        let key = format!("{NAME_PREFIX}{name}").into_bytes();
        let read = crate::omap::omap_values(std::slice::from_ref(self), DIRECTORY_OBJECT, &[key], None).pop();
        let entries = match read {
            Some(Err(error)) if error.is(Errno::ENOENT) => return Ok(None),
            read => read.transpose()?.unwrap_or_default(),
        };
        Ok(entries.iter().find_map(|(key, value)| match DirectoryEntry::decode(key, value) {
            Ok(Some(DirectoryEntry::Name { id, .. })) => Some(id),
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

    /// Refuses to have librbd remove the objects of an image whose layout would end this process. An image without a header
    /// that can be read is left to librbd.
    pub(crate) fn check_removable(&self, id: &str) -> Result<()> {
        let Ok(header) = self.header(id) else { return Ok(()) };
        header.check_layout().map_err(|source| Error::Unbounded { subject: self.subject(&format!("id {id}")), source })
    }
}

/// Refuses an image that librbd cannot walk over, or one with such an ancestor.
pub(crate) fn check(io: &IoContext, name: &str, id: &str) -> Result<()> {
    let mut header = io.header(id)?;
    check_one(io, name, &header)?;
    for _ in 0..MOST_ANCESTORS {
        let Some((ancestor, id)) = origin(io, name, &header)? else { return Ok(()) };
        header = match ancestor.header(&id) {
            Ok(header) => header,
            // Without it librbd does not open the image either, unless it is of format 1.
            Err(error) if error.is(Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        check_one(&ancestor, &format!("id {id}"), &header)?;
    }
    Ok(())
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
    let migration = header.migration.as_ref().filter(|migration| migration.role == MigrationRole::Destination);
    let (pool_id, namespace, id, holds) = match (migration, &header.parent) {
        (Some(source), _) => (source.pool_id, &source.namespace, &source.image_id, "the source of its migration"),
        (None, Some(parent)) => (parent.pool_id, &parent.namespace, &parent.image_id, "its parent"),
        (None, None) => return Ok(None),
    };
    // From outside RBD, or of format 1.
    if pool_id < 0 || id.is_empty() {
        return Ok(None);
    }
    let pool = match pool(io, name, pool_id, holds) {
        // Only snapshots need it any more; librbd says so when one is opened.
        Err(Error::PoolGone { .. }) if migration.is_none() && !header.takes_from_parent() => return Ok(None),
        pool => pool?,
    };
    Ok(Some((io.cluster().io_context(&pool, &namespace.to_string())?, id.clone())))
}

impl Image {
    /// Refuses an image, or one with an ancestor, that librbd cannot walk over: it would end this process. What reads,
    /// writes or copies data asks first.
    ///
    /// # Errors
    /// [`Error::Unbounded`], [`Error::PoolGone`]; what reading the headers gives.
    pub fn check_walkable(&self) -> Result<()> {
        self.walkable.get_or_init(|| self.read_walkable()).clone()?;
        // It may have grown since.
        self.check_size()
    }

    /// Refuses a layout with which librbd fails even to shrink the image.
    pub(crate) fn check_layout(&self) -> Result<()> {
        self.io.check_removable(&self.id().unwrap_or_default())
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
