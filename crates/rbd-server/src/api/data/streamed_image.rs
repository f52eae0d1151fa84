//! The image that a stream reads or writes.

use std::sync::Arc;
use std::time::Instant;

use ceph::{Errno, Image};
use rbd::obstacles;
use rbd::workers::deadline_in;
use rbd_model::fault::Fault;
use rbd_model::names::Place;

use super::lane;
use crate::app::SharedApp;

/// Where the image of a stream is and by what it is known: an open image alone cannot say why a call on it failed.
pub struct StreamedImage {
    /// What all requests share.
    pub app: SharedApp,
    /// The lane of the workers for blocking calls on it.
    pub lane: String,
    place: Place,
    name: String,
    /// Empty for an image of format 1.
    id: String,
}

impl StreamedImage {
    /// An open image by the name under which it was opened. Blocks.
    pub fn of(app: SharedApp, place: Place, name: String, image: &Image) -> Arc<Self> {
        Arc::new(Self { app, lane: lane(&place), place, name, id: image.id().unwrap_or_default() })
    }

    /// What a failed call on it means; whoever keeps the connection is told.
    pub async fn explain(self: &Arc<Self>, error: ceph::Error) -> Fault {
        let (this, deadline) = (Arc::clone(self), deadline_in(self.app.deadline));
        let plain = Fault::from(error.clone());
        let asked = self.app.workers.run(&self.lane, deadline, move || Ok(this.explain_blocking(error, deadline)));
        asked.await.unwrap_or(plain)
    }

    /// As [`StreamedImage::explain`]. Blocks.
    pub fn explain_blocking(&self, error: ceph::Error, deadline: Instant) -> Fault {
        if let Some(errno) = error.errno() {
            self.app.link.report_errno(errno);
            // Who does not answer, or was cut off, cannot be asked.
            if matches!(errno, Errno::ETIMEDOUT | Errno::ESHUTDOWN | Errno::ENOTCONN) {
                return error.into();
            }
        }
        let context = self.app.link.connection().and_then(|kept| kept.context(&self.place.pool, &self.place.namespace));
        match context {
            Ok(io) => obstacles::explain_error(&io, &self.name, &self.id, error, deadline),
            Err(_) => error.into(),
        }
    }
}
