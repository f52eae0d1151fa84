//! What is done with an image that was found: it is opened, changed, and what keeps that is explained.

use std::time::Instant;

use ceph::{Access, Image, ImageRef, IoContext};
use rbd_model::fault::Fault;
use rbd_model::obstacle::Act;

use crate::found_image::FoundImage;
use crate::obstacles;

impl FoundImage {
    /// Opens it, by its id. Only [`Access::ReadWrite`] adds a watcher, which keeps others from removing the image.
    ///
    /// # Errors
    /// `removing` or `image-not-found` when it went meanwhile, and as [`FoundImage::explain`].
    pub fn open(&self, io: &IoContext, access: Access, deadline: Instant) -> Result<Image, Fault> {
        io.open_image(ImageRef::Id(&self.id), None, access).map_err(|error| self.explain(io, error, deadline))
    }

    /// Opens it, changes it, and closes it again, so that this service itself is not among those who stand in the way
    /// of what comes next. The inner result is that of the change; give what is not expected to [`FoundImage::explain`].
    ///
    /// # Errors
    /// As [`FoundImage::open`].
    pub fn change<T>(
        &self,
        io: &IoContext,
        deadline: Instant,
        change: impl FnOnce(&Image) -> ceph::Result<T>,
    ) -> Result<ceph::Result<T>, Fault> {
        let image = self.open(io, Access::ReadWrite, deadline)?;
        Ok(change(&image))
    }

    /// What an error from a call on this image means, see [`obstacles::explain_error`].
    pub fn explain(&self, io: &IoContext, error: ceph::Error, deadline: Instant) -> Fault {
        obstacles::explain_error(io, &self.name, &self.id, error, deadline)
    }

    /// Rejects an act that something stands in the way of, see [`obstacles::check_act`].
    ///
    /// # Errors
    /// As there.
    pub fn check_ready(&self, io: &IoContext, act: Act, deadline: Instant) -> Result<(), Fault> {
        obstacles::check_act(io, &self.name, &self.id, act, deadline)
    }
}
