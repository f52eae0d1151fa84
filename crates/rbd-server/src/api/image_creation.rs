//! Making images.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ceph::{Access, Errno, ImageRef, ImageSize, ImageSpec, IoContext};
use rbd::ceph_link::Connection;
use rbd::layout::{check_with_cluster, image_size, spec};
use rbd::{format_1, listing, pool_applications};
use rbd_api::answer::{Content, Created, CreatedOrFound, Either};
use rbd_api::endpoints::image_creation as declared;
use rbd_api::endpoints::image_creation::{NewImage, WantedImage};
use rbd_api::input::{Input, Json, NoQuery};
use rbd_api::names::{encode_segment, place_path};
use rbd_api::path::{ImagePath, PlacePath};
use rbd_api::problem::Problem;
use rbd_model::encryption::Encryption;
use rbd_model::fault::{Fault, Kind, members};
use rbd_model::features::{FAST_DIFF, OBJECT_MAP, STRIPING};
use rbd_model::image::Image;
use rbd_model::layout::Layout;
use rbd_model::metadata::check_metadata;
use rbd_model::names::{Place, check_new_name};
use serde::Serialize;
use serde_json::{Value, json as value};

use super::images::read_image;
use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![bind(&declared::CREATE_IMAGE, create), bind(&declared::PUT_IMAGE, put)]
}

/// How long an image that another client is just making is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request that was checked.
struct CheckedImage {
    name: String,
    size: ImageSize,
    spec: ImageSpec,
    metadata: BTreeMap<String, String>,
}

impl CheckedImage {
    fn new(name: String, size_bytes: u64, layout: &Layout, metadata: BTreeMap<String, String>) -> Result<Self, Fault> {
        check_new_name("name", &name)?;
        let size = image_size("sizeBytes", size_bytes)?;
        for (key, value) in &metadata {
            check_metadata("metadata", key, value)?;
        }
        Ok(Self { name, size, spec: spec(layout)?, metadata })
    }
}

async fn create(
    call: Call,
    Input { path: PlacePath { place }, body: Json(body), .. }: Input<PlacePath, NoQuery, Json<NewImage>>,
) -> Result<Created<Image>, Problem> {
    let layout = body.layout();
    call.authorize_data_pool(layout.data_pool.as_deref(), &place).await?;
    let wanted = CheckedImage::new(body.name, body.size_bytes, &layout, body.metadata)?;
    let location = location(&call, &place, &wanted.name);
    let deadline = call.deadline;
    let image = call
        .in_place_lane(move |connection, io| {
            if !make(io, &wanted)? {
                return Err(name_taken(io, &wanted.name, deadline));
            }
            read_new_image(connection, io, &wanted.name, deadline)
        })
        .await?;
    Ok(Created { location, value: image })
}

async fn put(
    call: Call,
    Input { path, body: Json(body), .. }: Input<ImagePath, NoQuery, Json<WantedImage>>,
) -> Result<CreatedOrFound<Image>, Problem> {
    let ImagePath { place, image: name } = path;
    let layout = body.layout();
    call.authorize_data_pool(layout.data_pool.as_deref(), &place).await?;
    let wanted = CheckedImage::new(name, body.size_bytes, &layout, body.metadata)?;
    let location = location(&call, &place, &wanted.name);
    let deadline = call.deadline;
    let (made, image) = call
        .in_place_lane(move |connection, io| {
            retry_put(|| {
                if make(io, &wanted)? {
                    return Ok((true, read_new_image(connection, io, &wanted.name, deadline)?));
                }
                Ok((false, compare(connection, io, &wanted, deadline)?))
            })
        })
        .await?;
    Ok(if made { Either::First(Created { location, value: image }) } else { Either::Second(Content::of(image)) })
}

/// How often a PUT begins anew.
pub(super) const PUT_TRIES: usize = 3;

/// Makes a thing or finds the one that is there; anew when another client removes it between the two.
pub(super) fn retry_put<T>(mut put: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    for _ in 1..PUT_TRIES {
        match put() {
            Err(problem) if problem.kind().is_missing() => {}
            outcome => return outcome,
        }
    }
    put()
}

pub(super) fn location(call: &Call, place: &Place, name: &str) -> String {
    call.url(&format!("{}/images/{}", place_path(place), encode_segment(name)))
}

/// Makes the image; false when the name is taken. Costs what `rbd_create` costs: the image is opened only to be given
/// metadata.
fn make(io: &IoContext, wanted: &CheckedImage) -> Result<bool, Fault> {
    pool_applications::reject_foreign(io)?;
    check_with_cluster(io.cluster(), wanted.size, &wanted.spec)?;
    match io.create_image(&wanted.name, wanted.size, &wanted.spec) {
        Ok(()) => {}
        Err(error) if error.is(Errno::EEXIST) => return Ok(false),
        Err(error) => return Err(explain_creation(error)),
    }
    set_metadata(io, ImageRef::Name(&wanted.name), wanted.metadata.iter())?;
    Ok(true)
}

/// The image that was just made. No operation fills it, so the records of operations need not be read.
fn read_new_image(connection: &Connection, io: &IoContext, name: &str, deadline: Instant) -> Result<Image, Fault> {
    let named = rbd::directory::entry(io, name, deadline)?.into_iter().collect();
    // Nothing was written yet, so there is no LUKS header to look for.
    let made = listing::headers(connection, io, named, deadline)?.pop();
    made.map(|image| Image { encryption: Some(Encryption::None), ..image }).ok_or_else(|| {
        Fault::new(Kind::Conflict, format!("Image {name:?} was made, and is gone again."))
            .cause("Another client removed, renamed or trashed it at once.")
            .correction("Make it again if it is still wanted.")
    })
}

fn set_metadata<'a>(
    io: &IoContext,
    image: ImageRef<'_>,
    metadata: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) -> Result<(), Fault> {
    if metadata.len() == 0 {
        return Ok(());
    }
    let set = || -> ceph::Result<()> {
        let image = io.open_image(image, None, Access::ReadWrite)?;
        for (key, value) in metadata {
            image.set_metadata(key, value)?;
        }
        image.close()
    };
    set().map_err(|error| {
        Fault::from(error)
            .cause("The image is there; setting its metadata failed.")
            .correction("PUT the image with the same body to add what is missing, or DELETE it.")
    })
}

/// What librbd's refusal to make an image means.
pub(super) fn explain_creation(error: ceph::Error) -> Fault {
    if error.is(Errno::EINVAL) || error.is(Errno::ENOSYS) || error.is(Errno::EDOM) {
        return Fault::new(Kind::FieldConflict, format!("The cluster rejects this layout: {error}."))
            .cause(
                "Size, object size, striping, features and data pool do not go together; an erasure-coded data pool, \
                 for instance, must allow overwrites.",
            )
            .correction("Leave out what may be the cluster's default. `rbd create` with the same settings prints librbd's own words.")
            .errno(error.errno().unwrap_or(Errno::EINVAL));
    }
    error.into()
}

/// The name of a new image is taken: by an image, or by what a cut-off removal left.
pub(super) fn name_taken(io: &IoContext, name: &str, deadline: Instant) -> Fault {
    match rbd::found_image::find(io, name, deadline) {
        Err(problem) if matches!(problem.kind(), Kind::Removing | Kind::Damaged) => problem,
        Err(problem) if problem.has("format") => format_1::name_taken(name),
        _ => Fault::new(Kind::Exists, format!("There is an image {name:?} already."))
            .correction("Choose another name, or PUT the image to accept one that is as asked for.")
            .errno(Errno::EEXIST),
    }
}

/// One property in which an image is not as asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    field: String,
    wanted: Value,
    existing: Value,
}

/// The image that has the name, if it is as asked for.
fn compare(connection: &Connection, io: &IoContext, wanted: &CheckedImage, deadline: Instant) -> Result<Image, Fault> {
    let found = find_settled_image(io, &wanted.name, deadline)?;
    let mut image = read_image(connection, io, &wanted.name, deadline)?;
    let differences = differences(&image, &found.header, wanted);
    if !differences.is_empty() {
        let fields: Vec<String> = differences
            .iter()
            .map(|difference| format!("{} is {}, not {}", difference.field, difference.existing, difference.wanted))
            .collect();
        return Err(Fault::new(
            Kind::Exists,
            format!("There is another image {:?}: {}.", wanted.name, fields.join("; ")),
        )
        .correction("Choose another name, send what the image has, or change the image.")
        .errno(Errno::EEXIST)
        .with("differences", members(&differences)));
    }
    let lacks: BTreeMap<&String, &String> =
        wanted.metadata.iter().filter(|(key, _)| !image.metadata.contains_key(*key)).collect();
    if !lacks.is_empty() {
        set_metadata(io, ImageRef::Id(&found.id), lacks.into_iter())?;
        image = read_image(connection, io, &wanted.name, deadline)?;
    }
    Ok(image)
}

/// The image, once the client that is making it has come so far that it can be compared. librbd takes the name first,
/// then writes the header, and the striping last.
fn find_settled_image(io: &IoContext, name: &str, deadline: Instant) -> Result<rbd::found_image::FoundImage, Fault> {
    let until = deadline.min(Instant::now() + PATIENCE);
    loop {
        let found = rbd::found_image::find(io, name, deadline);
        let done = match &found {
            Ok(found) => found.header.features.0 & STRIPING == 0 || found.header.striping.is_some(),
            Err(problem) => !matches!(problem.kind(), Kind::ImageNotFound | Kind::Removing),
        };
        if done {
            return found.map_err(|problem| if problem.has("format") { format_1::name_taken(name) } else { problem });
        }
        if Instant::now() >= until {
            return found.map_err(|problem| match problem.kind() {
                Kind::ImageNotFound => Fault::new(
                    Kind::Removing,
                    format!(
                        "The name {name:?} is taken, but there is no image: its making or its removal was cut off."
                    ),
                )
                .correction("DELETE the image with ?permanent=true to free the name, then make it again.")
                .errno(Errno::EEXIST),
                _ => problem,
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn differences(image: &Image, header: &rbd_format::ImageHeader, wanted: &CheckedImage) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |field: &str, wanted: Value, existing: Value| {
        if wanted != existing {
            differences.push(Difference { field: field.to_owned(), wanted, existing });
        }
    };
    differ("sizeBytes", value!(wanted.size.bytes()), value!(image.size_bytes));
    if let Some(order) = wanted.spec.order {
        differ("objectSizeBytes", value!(1_u64 << order), value!(image.object_size_bytes));
    }
    if let Some(features) = wanted.spec.features {
        // librbd sets and clears these two together.
        let features = if features & OBJECT_MAP == 0 { features } else { features | FAST_DIFF };
        differ("features", feature_names(features), feature_names(header.features.0));
    }
    if let Some((unit, count)) = wanted.spec.striping {
        // The default is not recorded.
        let existing =
            header.striping.map_or((header.object_size_bytes(), 1), |striping| (striping.unit_bytes, striping.count));
        differ("stripeUnitBytes", value!(unit), value!(existing.0));
        differ("stripeCount", value!(count), value!(existing.1));
    }
    if let Some(pool) = &wanted.spec.data_pool {
        differ("dataPool", value!(pool), value!(image.data_pool.as_ref().unwrap_or(&image.pool)));
    }
    for (key, wanted) in &wanted.metadata {
        if let Some(existing) = image.metadata.get(key) {
            differ(&format!("metadata.{key}"), value!(wanted), value!(existing));
        }
    }
    differences
}

/// The names of those features that can be asked for.
fn feature_names(features: u64) -> Value {
    rbd_model::features::FEATURES.iter().filter(|(_, bit)| features & bit != 0).map(|(name, _)| *name).collect()
}
