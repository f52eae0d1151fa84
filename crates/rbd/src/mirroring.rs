//! How images are mirrored to other clusters, read from RADOS without opening them.

use std::collections::HashMap;
use std::time::Instant;

use ceph::{Errno, IoContext, OmapRange, omap_values};
use rbd_format::mirror::{IMAGE_PREFIX, MIRRORING_OBJECT, TAG_PREFIX, journal_object};
use rbd_format::{
    ImageHeader, MirrorImage, MirrorMode, MirrorRole, MirrorState, SnapshotNamespace, decode_journal_tag,
};
use rbd_model::fault::{Fault, Kind};
use rbd_model::mirroring::Mirroring;

/// RADOS reads in flight.
const IN_FLIGHT: usize = 256;

/// What is known of the mirroring of some images, by their ids. Those that are not mirrored are not in it.
#[derive(Debug, Default)]
pub struct MirroringByImage {
    /// How images are mirrored.
    pub mirrored: HashMap<String, Mirroring>,
    /// What is wrong with the entries of images that cannot be read.
    pub damaged: HashMap<String, String>,
}

/// How those of some images are mirrored that are.
///
/// # Errors
/// What reading gives; a list that is missing is an empty one.
pub fn read<'a>(
    io: &IoContext,
    images: impl Iterator<Item = (&'a str, &'a ImageHeader)> + Clone,
    deadline: Instant,
) -> Result<MirroringByImage, Fault> {
    let keys: Vec<Vec<u8>> = images.clone().map(|(id, _)| key(id)).collect();
    if keys.is_empty() {
        return Ok(MirroringByImage::default());
    }
    let read = omap_values(std::slice::from_ref(io), MIRRORING_OBJECT, &keys, Some(deadline)).pop();
    let entries = match read.unwrap_or_else(|| Ok(Vec::new())) {
        Err(error) if error.is(Errno::ENOENT) => return Ok(MirroringByImage::default()),
        entries => entries?,
    };
    let mut mirrored: HashMap<String, MirrorImage> = HashMap::new();
    let mut damaged = HashMap::new();
    for (key, value) in &entries {
        match MirrorImage::decode(key, value) {
            Ok(image) => mirrored.extend(image.map(|image| (image.image_id.clone(), image))),
            Err(error) => {
                let id = key.strip_prefix(IMAGE_PREFIX.as_bytes()).unwrap_or(key);
                let reason = format!("Its entry in {MIRRORING_OBJECT} is damaged: {error}.");
                damaged.insert(String::from_utf8_lossy(id).into_owned(), reason);
            }
        }
    }
    let journaled: Vec<&str> = mirrored
        .values()
        .filter(|image| image.mode == MirrorMode::Journal)
        .map(|image| image.image_id.as_str())
        .collect();
    let owners = journal_roles(io, &journaled, deadline)?;
    let headers: HashMap<&str, &ImageHeader> = images.collect();
    let shown = |(id, image): (&String, &MirrorImage)| {
        let role = match image.mode {
            MirrorMode::Journal => owners.get(id.as_str()).copied(),
            _ => headers.get(id.as_str()).and_then(|header| snapshot_role(header)),
        };
        (id.clone(), shown(image, role))
    };
    Ok(MirroringByImage { mirrored: mirrored.iter().map(shown).collect(), damaged })
}

fn key(image_id: &str) -> Vec<u8> {
    format!("{IMAGE_PREFIX}{image_id}").into_bytes()
}

/// Rejects an image whose entry in the list of mirrored ones cannot be read: librbd reads it before it removes one.
///
/// # Errors
/// `damaged`.
pub fn reject_damaged(pool: &str, name: &str, id: &str, damage: Option<&String>) -> Result<(), Fault> {
    let Some(damage) = damage else { return Ok(()) };
    Err(Fault::new(Kind::Damaged, format!("Whether image {name:?} is mirrored cannot be told."))
        .cause(damage)
        .correction(format!(
            "Take the entry away with `rados -p {pool} rmomapkey {MIRRORING_OBJECT} {IMAGE_PREFIX}{id}` (and `-N` for a \
             namespace); then the image counts as one that is not mirrored."
        )))
}

/// The roles that images have by the newest tags of their journals.
fn journal_roles<'a>(
    io: &IoContext,
    ids: &[&'a str],
    deadline: Instant,
) -> Result<HashMap<&'a str, MirrorRole>, Fault> {
    let ranges: Vec<OmapRange> = ids
        .iter()
        .map(|id| OmapRange { object: journal_object(id), prefix: TAG_PREFIX.to_owned(), ..OmapRange::default() })
        .collect();
    let mut roles = HashMap::new();
    io.omaps(&ranges, IN_FLIGHT, Some(deadline), |index, result| {
        let newest = result.unwrap_or_default().pop();
        if let Some(role) = newest.and_then(|(_, value)| decode_journal_tag(&value).ok()) {
            roles.insert(ids[index], role);
        }
    })?;
    Ok(roles)
}

/// The role that an image has by the newest of its mirror snapshots.
fn snapshot_role(header: &ImageHeader) -> Option<MirrorRole> {
    header.snapshots.iter().rev().find_map(|raw| match &raw.namespace {
        SnapshotNamespace::Mirror(mirror) => match mirror.state {
            0 => Some(MirrorRole::Primary),
            1 => Some(MirrorRole::Demoted),
            2 | 3 => Some(MirrorRole::NonPrimary),
            _ => None,
        },
        _ => None,
    })
}

fn shown(image: &MirrorImage, role: Option<MirrorRole>) -> Mirroring {
    Mirroring {
        mode: match image.mode {
            MirrorMode::Journal => "journal",
            MirrorMode::Snapshot => "snapshot",
            MirrorMode::Unknown(_) => "unknown",
        },
        state: match image.state {
            MirrorState::Enabled => "enabled",
            MirrorState::Creating => "creating",
            MirrorState::Disabling => "disabling",
            MirrorState::Disabled => "disabled",
            MirrorState::Unknown(_) => "unknown",
        },
        role: role.map(|role| match role {
            MirrorRole::Primary => "primary",
            MirrorRole::Demoted => "demoted",
            MirrorRole::NonPrimary => "nonPrimary",
        }),
        global_id: image.global_id.clone(),
    }
}

/// Refuses to delete the primary of a mirrored image: librbd ends its mirroring first, and rbd-mirror then deletes the copies.
///
/// # Errors
/// `in-use` with how it is mirrored.
pub fn reject_primary(name: &str, mirroring: Option<&Mirroring>) -> Result<(), Fault> {
    let Some(mirroring) = mirroring.filter(|mirroring| mirroring.has_followers()) else { return Ok(()) };
    Err(Fault::new(Kind::InUse, format!("Image {name:?} is mirrored to other clusters, and is the primary."))
        .cause("Deleting it, also into the trash, ends its mirroring, and the copies in the other clusters are deleted.")
        .correction(
            "Repeat with ?force=true if they shall go with it. To keep one, promote it in its cluster first, with `rbd mirror \
             image promote`.",
        )
        .with("mirroring", serde_json::to_value(mirroring).unwrap_or_default()))
}
