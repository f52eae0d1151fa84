//! Where an image comes from: its parent and its clones.

use std::time::Instant;

use ceph::IoContext;
use rbd::ceph_link::Connection;
use rbd::children::{Clones, clones};
use rbd_api::answer::Content;
use rbd_api::endpoints::image_lineage as declared;
use rbd_api::endpoints::image_lineage::Ancestry;
use rbd_api::input::Input;
use rbd_api::list::{List, PartialList};
use rbd_api::path::ImagePath;
use rbd_api::problem::Problem;
use rbd_format::Name;
use rbd_model::child::Child;
use rbd_model::fault::Fault;
use rbd_model::image::{NamedImage, Parent};

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![bind(&declared::GET_PARENT, parent), bind(&declared::LIST_CHILDREN, children)]
}

/// The longest chain of clones that the kernel's client can follow
/// (`RBD_MAX_PARENT_CHAIN_LEN` in Linux' `drivers/block/rbd.c`).
pub(super) const KRBD_CHAIN: usize = 15;

/// How many ancestors are followed: far more than anything can work with.
const MOST_ANCESTORS: usize = 64;

async fn parent(call: Call, Input { path, .. }: Input<ImagePath>) -> Result<Content<Ancestry>, Problem> {
    let (name, deadline) = (path.image, call.deadline);
    let ancestry = call
        .in_place_lane(move |connection, io| {
            let found = rbd::found_image::find(io, &name, deadline)?;
            let ancestors = ancestors(connection, io, NamedImage::new(&Name::from(&*found.name), found.id), deadline)?;
            let warnings = chain_warning(ancestors.len()).into_iter().collect();
            Ok(Ancestry { parent: ancestors.first().cloned(), ancestors, warnings })
        })
        .await?;
    Ok(Content::of(ancestry))
}

/// The parents of an image, nearest first: three RADOS reads each, at once.
///
/// # Errors
/// What reading gives.
pub(super) fn ancestors(
    connection: &Connection,
    io: &IoContext,
    image: NamedImage,
    deadline: Instant,
) -> Result<Vec<Parent>, Fault> {
    let mut ancestors = Vec::new();
    let (mut io, mut image) = (io.clone(), image);
    while ancestors.len() < MOST_ANCESTORS {
        let Some(header) = rbd::header::read_header(&io, &image.id, deadline)? else { break };
        let Some(parent) = rbd::image_names::parent(connection.cluster(), &header, deadline)? else { break };
        let place = parent.pool.as_deref().map(|pool| connection.cluster().io_context(pool, &parent.namespace));
        image = NamedImage::new(&Name::from(parent.image.as_deref().unwrap_or_default()), parent.image_id.clone());
        ancestors.push(parent);
        match place {
            Some(Ok(place)) => io = place,
            _ => break,
        }
    }
    Ok(ancestors)
}

/// What to say of a chain of this many ancestors.
pub(super) fn chain_warning(ancestors: usize) -> Option<String> {
    (ancestors > KRBD_CHAIN).then(|| {
        format!(
            "It has a chain of {ancestors} ancestors; the Linux kernel maps images with up to {KRBD_CHAIN}. Flatten it, \
             or one of them."
        )
    })
}

async fn children(call: Call, Input { path, .. }: Input<ImagePath>) -> Result<Content<PartialList<Child>>, Problem> {
    let (name, deadline) = (path.image, call.deadline);
    let Clones { children, unread } = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &name, deadline)?;
            clones(io, &found, None, deadline)
        })
        .await?;
    Ok(Content::of(PartialList { list: List::new("ChildList", children), unread }))
}
