//! How images are mirrored to other clusters, read from RADOS without opening them.

use std::collections::HashMap;
use std::time::Instant;

use ceph::{Errno, IoContext, OmapRange, omap_values};
use rbd_format::mirror::{IMAGE_PREFIX, MIRRORING_OBJECT, TAG_PREFIX, journal_object};
use rbd_format::{
    ImageHeader, MirrorImage, MirrorMode, MirrorRole, MirrorState, SnapshotNamespace, decode_journal_tag,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::fault::{Fault as Problem, Kind};
use crate::layout::JOURNALING;

/// Bit of the feature `non-primary`.
const NON_PRIMARY: u64 = 1 << 10;

/// RADOS reads in flight.
const IN_FLIGHT: usize = 256;

/// How an image is mirrored to other clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mirroring {
    /// `journal`, `snapshot` or `unknown`: how changes get there.
    pub mode: &'static str,
    /// `enabled`, `creating`, `disabling`, `disabled` or `unknown`.
    pub state: &'static str,
    /// `primary` for the one that is written to, `demoted` for one that was, `nonPrimary` for a copy of one in another cluster;
    /// null when it cannot be read.
    pub role: Option<&'static str>,
    /// Its id in all clusters that it is mirrored to.
    pub global_id: String,
}

impl Mirroring {
    /// Whether its copies in other clusters follow it.
    pub fn has_followers(&self) -> bool {
        self.role == Some("primary") && self.state != "disabled"
    }
}

/// How those of some images are mirrored that are, by their ids.
///
/// # Errors
/// What reading gives; a list that is missing is an empty one.
pub fn read<'a>(
    io: &IoContext,
    images: impl Iterator<Item = (&'a str, &'a ImageHeader)> + Clone,
    deadline: Instant,
) -> Result<HashMap<String, Mirroring>, Problem> {
    let wanted = images.clone().filter(|(_, header)| may_be_mirrored(header));
    let keys: Vec<Vec<u8>> = wanted.map(|(id, _)| format!("{IMAGE_PREFIX}{id}").into_bytes()).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let read = omap_values(std::slice::from_ref(io), MIRRORING_OBJECT, &keys, Some(deadline)).pop();
    let entries = match read.unwrap_or_else(|| Ok(Vec::new())) {
        Err(error) if error.is(Errno::ENOENT) => return Ok(HashMap::new()),
        entries => entries?,
    };
    let mirrored: HashMap<String, MirrorImage> = entries
        .iter()
        .filter_map(|(key, value)| match MirrorImage::decode(key, value) {
            Ok(image) => image,
            Err(error) => {
                tracing::warn!(pool = io.pool(), %error, "an entry of rbd_mirroring cannot be read");
                None
            }
        })
        .map(|image| (image.image_id.clone(), image))
        .collect();
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
    Ok(mirrored.iter().map(shown).collect())
}

/// Whether an image has what mirroring takes: a journal, or snapshots of mirroring's own. Most have neither, and need no read.
fn may_be_mirrored(header: &ImageHeader) -> bool {
    header.features.0 & (JOURNALING | NON_PRIMARY) != 0
        || header.snapshots.iter().any(|raw| matches!(raw.namespace, SnapshotNamespace::Mirror(_)))
}

/// The roles that images have by the newest tags of their journals.
fn journal_roles<'a>(
    io: &IoContext,
    ids: &[&'a str],
    deadline: Instant,
) -> Result<HashMap<&'a str, MirrorRole>, Problem> {
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
pub fn refuse_primary(name: &str, mirroring: Option<&Mirroring>) -> Result<(), Problem> {
    let Some(mirroring) = mirroring.filter(|mirroring| mirroring.has_followers()) else { return Ok(()) };
    Err(Problem::new(Kind::InUse, format!("Image {name:?} is mirrored to other clusters, and is the primary."))
        .cause("Deleting it, also into the trash, ends its mirroring, and the copies in the other clusters are deleted.")
        .correction(
            "Repeat with ?force=true if they shall go with it. To keep one, promote it in its cluster first, with `rbd mirror \
             image promote`.",
        )
        .with("mirroring", serde_json::to_value(mirroring).unwrap_or_default()))
}
