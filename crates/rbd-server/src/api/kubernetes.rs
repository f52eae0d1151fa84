//! An image as a volume of Kubernetes.

mod manifest;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use rbd_api::answer::{Either, Media};
use rbd_api::endpoints::kubernetes as declared;
use rbd_api::endpoints::kubernetes::{AccessMode, FsType, Mounter, VolumeMode, VolumeQuery};
use rbd_api::input::Input;
use rbd_api::media::{AnyJson, Yaml};
use rbd_api::path::ImagePath;
use rbd_api::problem::Problem;
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::Image;

use self::manifest::{Volume, dns_label, quantity};
use super::images::read_image;
use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![bind(&declared::GET_PERSISTENT_VOLUME, get)]
}

/// The longest handle of a volume, which for a static one is the image's name
/// (<https://github.com/container-storage-interface/spec/blob/master/spec.md#size-limits>).
const HANDLE_LIMIT_BYTES: usize = 128;

fn check(query: &VolumeQuery, namespace: &str) -> Result<(), Fault> {
    if query.cluster_id.is_empty()
        || query.cluster_id.chars().count() > 253
        || query.cluster_id.chars().any(char::is_control)
    {
        return Err(Fault::field(
            "clusterID",
            "is not an id of ceph-csi's configuration",
            "1 to 253 characters, no control characters: the clusterID of an entry of ceph-csi's config.json",
        ));
    }
    manifest::check_subdomain("secretName", &query.secret_name)?;
    manifest::check_label("secretNamespace", &query.secret_namespace)?;
    manifest::check_label("claimNamespace", &query.claim_namespace)?;
    manifest::check_driver("driver", &query.driver)?;
    for (field, name) in [("claimName", &query.claim_name), ("volumeName", &query.volume_name)] {
        if let Some(name) = name {
            manifest::check_subdomain(field, name)?;
        }
    }
    if query.access_mode == AccessMode::ReadWriteMany && query.volume_mode == VolumeMode::Filesystem {
        return Err(Fault::field_conflict(
            "accessMode",
            "is ReadWriteMany for a file system, which several nodes would destroy",
            "ReadWriteMany only with volumeMode=Block",
        ));
    }
    if query.fs_type.is_some() && query.volume_mode == VolumeMode::Block {
        return Err(Fault::field_conflict(
            "fsType",
            "is given for a block device",
            "it only with volumeMode=Filesystem",
        ));
    }
    if query.rados_namespace.as_deref().unwrap_or("") != namespace {
        let (wrong, allowed) = if namespace.is_empty() {
            ("is given for an image that is in none", "it only for an image in a namespace".to_owned())
        } else {
            (
                "is not the image's namespace",
                format!(
                    "radosNamespace={namespace}, once the entry of clusterID {:?} in ceph-csi's config.json has \
                     \"rbd\": {{\"radosNamespace\": {namespace:?}}}; a manifest cannot name it, and without it \
                     ceph-csi looks in the default namespace",
                    query.cluster_id
                ),
            )
        };
        return Err(Fault::field_conflict("radosNamespace", wrong, allowed));
    }
    Ok(())
}

/// The volume that an image makes.
fn volume(query: &VolumeQuery, image: &Image) -> Result<Volume, Fault> {
    let reject = |detail: String| Fault::new(Kind::Conflict, detail);
    image.check_whole()?;
    let Some(size_bytes) = image.size_bytes.filter(|size| *size > 0) else {
        return Err(reject(format!("Image {:?} has no size, and Kubernetes takes no volume of none.", image.name))
            .correction("Resize it first."));
    };
    // ceph-csi makes a path of the volume handle, which is the image's name.
    if image.name.chars().any(|c| matches!(c, '/' | '@') || c.is_control()) || matches!(image.name.as_str(), "." | "..")
    {
        return Err(reject(format!("The name {:?} cannot be ceph-csi's handle of a volume.", image.name))
            .correction("Rename the image first."));
    }
    if image.name.len() > HANDLE_LIMIT_BYTES {
        return Err(reject(format!(
            "The name of image {:?} has {} bytes, and the handle of a volume at most {HANDLE_LIMIT_BYTES}.",
            image.name,
            image.name.len()
        ))
        .correction("Rename the image first."));
    }
    let journaling = image.features.contains(&"journaling");
    if journaling && query.mounter == Mounter::Rbd {
        return Err(reject(format!("Image {:?} is journaled, which the kernel's client does not know.", image.name))
            .correction("Ask with mounter=rbd-nbd, or disable the feature journaling."));
    }
    let unique = [image.pool.as_str(), &image.namespace, &image.name];
    Ok(Volume {
        name: query.volume_name.clone().unwrap_or_else(|| manifest::unique_name(&image.name, &unique)),
        claim: query
            .claim_name
            .clone()
            .unwrap_or_else(|| dns_label(&image.name).unwrap_or_else(|| manifest::unique_name(&image.name, &unique))),
        claim_namespace: query.claim_namespace.clone(),
        driver: query.driver.clone(),
        cluster_id: query.cluster_id.clone(),
        pool: image.pool.clone(),
        rados_namespace: image.namespace.clone(),
        image: image.name.clone(),
        // Which features an image has is read from it when it is mapped. This attribute is only checked, against
        // lists that differ by release; these two values are in all of them.
        image_features: if journaling { "layering,exclusive-lock,journaling" } else { "layering" },
        mounter: (query.mounter == Mounter::RbdNbd).then_some("rbd-nbd"),
        capacity: quantity(size_bytes),
        mode: match query.volume_mode {
            VolumeMode::Filesystem => "Filesystem",
            VolumeMode::Block => "Block",
        },
        access_mode: match query.access_mode {
            AccessMode::ReadWriteOnce => "ReadWriteOnce",
            AccessMode::ReadOnlyMany => "ReadOnlyMany",
            AccessMode::ReadWriteMany => "ReadWriteMany",
            AccessMode::ReadWriteOncePod => "ReadWriteOncePod",
        },
        fs_type: match (query.volume_mode, query.fs_type) {
            (VolumeMode::Block, _) => None,
            (VolumeMode::Filesystem, Some(FsType::Xfs)) => Some("xfs"),
            (VolumeMode::Filesystem, _) => Some("ext4"),
        },
        secret_name: query.secret_name.clone(),
        secret_namespace: query.secret_namespace.clone(),
    })
}

async fn get(
    call: Call,
    Input { path, query, .. }: Input<ImagePath, VolumeQuery>,
) -> Result<Either<Media<Yaml>, Media<AnyJson>>, Problem> {
    let ImagePath { place, image: name } = path;
    let deadline = call.deadline;
    check(&query, &place.namespace)?;
    let image = call
        .in_lane(&format!("pool {}", place.pool), move |connection| {
            read_image(connection, &connection.context(&place.pool, &place.namespace)?, &name, deadline)
        })
        .await?;
    let volume = volume(&query, &image)?;
    Ok(if prefers_json(&call) {
        Either::Second(Media::of(Body::from(volume.list().to_string()), HeaderMap::new()))
    } else {
        Either::First(Media::of(Body::from(volume.yaml()), HeaderMap::new()))
    })
}

/// Whether `Accept` names JSON and no YAML before it. What weighs more than the order (`q`) is not looked at.
fn prefers_json(call: &Call) -> bool {
    let accept = call.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let types = accept.split(',').map(|part| part.split(';').next().unwrap_or("").trim().to_ascii_lowercase());
    let known = |name: &String| name == "application/json" || name.contains("yaml");
    types.into_iter().find(known).is_some_and(|name| name == "application/json")
}
