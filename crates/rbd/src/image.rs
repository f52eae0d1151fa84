//! What is done with an image that was found: it is opened, changed, and what keeps that is explained.

use std::time::Instant;

use ceph::{Access, Image, ImageRef, IoContext};
use rbd_model::fault::Fault;
use rbd_model::obstacle::Act;

use crate::found::Found;
use crate::why;

impl Found {
    /// Opens it, by its id. Only [`Access::ReadWrite`] adds a watcher, which keeps others from removing the image.
    ///
    /// # Errors
    /// `removing` or `image-not-found` when it went meanwhile, and as [`Found::explain`].
    pub fn open(&self, io: &IoContext, access: Access, deadline: Instant) -> Result<Image, Fault> {
        io.open_image(ImageRef::Id(&self.id), None, access).map_err(|error| self.explain(io, error, deadline))
    }

    /// Opens it, changes it, and closes it again, so that this service itself is not among those who stand in the way
    /// of what comes next. The inner result is that of the change; give what is not expected to [`Found::explain`].
    ///
    /// # Errors
    /// As [`Found::open`].
    pub fn change<T>(
        &self,
        io: &IoContext,
        deadline: Instant,
        change: impl FnOnce(&Image) -> ceph::Result<T>,
    ) -> Result<ceph::Result<T>, Fault> {
        let image = self.open(io, Access::ReadWrite, deadline)?;
        Ok(change(&image))
    }

    /// What an error from a call on this image means, see [`why::explain`].
    pub fn explain(&self, io: &IoContext, error: ceph::Error, deadline: Instant) -> Fault {
        why::explain(io, &self.name, &self.id, error, deadline)
    }

    /// Refuses an act that something stands in the way of, see [`why::before`].
    ///
    /// # Errors
    /// As there.
    pub fn ready_for(&self, io: &IoContext, act: Act, deadline: Instant) -> Result<(), Fault> {
        why::before(io, &self.name, &self.id, act, deadline)
    }
}
