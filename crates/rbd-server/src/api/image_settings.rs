//! What an image is set to: name, features, metadata, `QoS`.

use std::collections::BTreeMap;

use ceph::{Access, Errno};
use rbd::found_image::FoundImage;
use rbd_api::answer::{Content, NoContent};
use rbd_api::endpoints::image_settings as declared;
use rbd_api::endpoints::image_settings::{
    FeatureChange, ImageNewName, MetadataEntries, MetadataEntry, MetadataValue, Qos,
};
use rbd_api::input::{Input, Json, NoQuery};
use rbd_api::path::{ImagePath, MetadataPath};
use rbd_api::problem::Problem;
use rbd_model::fault::{Fault, Kind};
use rbd_model::features::{
    DEEP_FLATTEN, EXCLUSIVE_LOCK, FAST_DIFF, FEATURE_NEEDS, JOURNALING, LAYERING, OBJECT_MAP, feature_bits,
    feature_name, unmet_need,
};
use rbd_model::image::Image;
use rbd_model::metadata::check_metadata;
use rbd_model::names::check_new_name;

use super::image_creation::name_taken;
use super::images::read_image;
use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::RENAME_IMAGE, rename),
        bind(&declared::CHANGE_FEATURES, features),
        bind(&declared::GET_METADATA, metadata),
        bind(&declared::GET_METADATA_ENTRY, metadata_entry),
        bind(&declared::PUT_METADATA_ENTRY, put_metadata_entry),
        bind(&declared::DELETE_METADATA_ENTRY, delete_metadata_entry),
        bind(&declared::GET_QOS, qos),
        bind(&declared::PUT_QOS, put_qos),
    ]
}

async fn rename(
    call: Call,
    Input { path, body: Json(ImageNewName { name: to }), .. }: Input<ImagePath, NoQuery, Json<ImageNewName>>,
) -> Result<Content<Image>, Problem> {
    let from = path.image;
    check_new_name("name", &to)?;
    let deadline = call.deadline;
    let image = call
        .in_place_lane(move |connection, io| {
            let found = rbd::found_image::find(io, &from, deadline)?;
            if from != to {
                io.rename_image(&from, &to).map_err(|error| {
                    if error.is(Errno::EEXIST) {
                        name_taken(io, &to, deadline)
                    } else {
                        found.explain(io, error, deadline)
                    }
                })?;
            }
            read_image(connection, io, &to, deadline)
        })
        .await?;
    Ok(Content::of(image))
}

async fn features(
    call: Call,
    Input { path, body: Json(change), .. }: Input<ImagePath, NoQuery, Json<FeatureChange>>,
) -> Result<Content<Image>, Problem> {
    let name = path.image;
    let enable = feature_bits("enable", &change.enable)?;
    let disable = feature_bits("disable", &change.disable)?;
    if enable & disable != 0 {
        let both = feature_name(lowest(enable & disable));
        return Err(Fault::field_conflict(
            "disable",
            format!("{both:?} is in enable too"),
            "each feature in one of them",
        )
        .into());
    }
    let deadline = call.deadline;
    let image = call
        .in_place_lane(move |connection, io| {
            let found = rbd::found_image::find(io, &name, deadline)?;
            let (enable, disable) = plan(&found, enable, disable)?;
            if enable | disable != 0 {
                let changed = found.change(io, deadline, |image| {
                    // Off first: what is turned on never needs what is turned off.
                    if disable != 0 {
                        image.update_features(disable, false)?;
                    }
                    if enable != 0 { image.update_features(enable, true) } else { Ok(()) }
                })?;
                changed.map_err(|error| match error.errno() {
                    Some(Errno::EINVAL) => Fault::new(Kind::Conflict, format!("librbd rejects the change: {error}."))
                        .cause("A feature is in use, such as journaling by mirroring.")
                        .errno(Errno::EINVAL),
                    _ => found.explain(io, error, deadline),
                })?;
            }
            read_image(connection, io, &name, deadline)
        })
        .await?;
    Ok(Content::of(image))
}

/// What of the asked change is left to do.
fn plan(found: &FoundImage, enable: u64, disable: u64) -> Result<(u64, u64), Fault> {
    const MUTABLE: u64 = EXCLUSIVE_LOCK | OBJECT_MAP | FAST_DIFF | JOURNALING;
    // librbd keeps these two together.
    const PAIR: u64 = OBJECT_MAP | FAST_DIFF;
    let now = found.header.features.0;
    let (mut enable, mut disable) = (enable & !now, disable & now);
    let conflict = |detail: String| Fault::new(Kind::Conflict, detail);
    if let Some(fixed) = set_bit(enable & !MUTABLE) {
        let name = feature_name(fixed);
        return Err(conflict(format!("{name:?} cannot be turned on: an image has it from its making or not at all."))
            .correction("Copy the image to one that is made with the feature."));
    }
    if disable & LAYERING != 0 {
        return Err(conflict("\"layering\" cannot be turned off.".into())
            .correction("Copy the image to one that is made without it; nothing is gained by that, though."));
    }
    debug_assert_eq!(disable & !(MUTABLE | DEEP_FLATTEN), 0, "every other feature is rejected by name");
    if enable & PAIR != 0 && disable & PAIR != 0 {
        return Err(
            conflict("\"object-map\" and \"fast-diff\" go together.".into()).correction("Turn both on or both off.")
        );
    }
    if enable & PAIR != 0 {
        enable |= PAIR & !now;
    }
    if disable & PAIR != 0 {
        disable |= PAIR & now;
    }
    let then = (now | enable) & !disable;
    if let Some((feature, needed)) = unmet_need(then) {
        let correction = format!("Enable {needed:?} too, or disable {feature:?} too.");
        return Err(conflict(format!("{feature:?} needs {needed:?}.")).correction(correction));
    }
    debug_assert!(FEATURE_NEEDS.iter().all(|(feature, needed)| then & feature == 0 || then & needed != 0));
    Ok((enable, disable))
}

fn set_bit(bits: u64) -> Option<u64> {
    (bits != 0).then(|| lowest(bits))
}

fn lowest(bits: u64) -> u64 {
    bits & bits.wrapping_neg()
}

fn entries(found: &FoundImage) -> BTreeMap<String, String> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    found.header.metadata.iter().map(|(key, value)| (key.to_string(), text(value))).collect()
}

async fn metadata(call: Call, Input { path, .. }: Input<ImagePath>) -> Result<Content<MetadataEntries>, Problem> {
    let (name, deadline) = (path.image, call.deadline);
    let metadata = call.ceph(move |io| Ok(entries(&rbd::found_image::find(io, &name, deadline)?))).await?;
    Ok(Content::of(MetadataEntries { metadata }))
}

fn metadata_not_found(image: &str, key: &str) -> Fault {
    Fault::new(Kind::MetadataNotFound, format!("Image {image:?} has no metadata {key:?}."))
        .correction("GET the metadata of the image.")
}

async fn metadata_entry(
    call: Call,
    Input { path: MetadataPath { image: name, key, .. }, .. }: Input<MetadataPath>,
) -> Result<Content<MetadataEntry>, Problem> {
    let deadline = call.deadline;
    let entry = call
        .ceph(move |io| {
            let value = entries(&rbd::found_image::find(io, &name, deadline)?).remove(&key);
            Ok(MetadataEntry { value: value.ok_or_else(|| metadata_not_found(&name, &key))?, key })
        })
        .await?;
    Ok(Content::of(entry))
}

async fn put_metadata_entry(
    call: Call,
    Input { path, body: Json(MetadataValue { value }), .. }: Input<MetadataPath, NoQuery, Json<MetadataValue>>,
) -> Result<Content<MetadataEntry>, Problem> {
    let MetadataPath { image: name, key, .. } = path;
    check_metadata("key", &key, &value)?;
    let deadline = call.deadline;
    let entry = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &name, deadline)?;
            found
                .change(io, deadline, |image| image.set_metadata(&key, &value))?
                .map_err(|error| found.explain(io, error, deadline))?;
            Ok(MetadataEntry { key, value })
        })
        .await?;
    Ok(Content::of(entry))
}

async fn delete_metadata_entry(
    call: Call,
    Input { path: MetadataPath { image: name, key, .. }, .. }: Input<MetadataPath>,
) -> Result<NoContent, Problem> {
    // Other keys, those of `conf_` too, may go: that gives back the default.
    if key.starts_with("sparrow.") || key.starts_with('.') {
        return Err(Fault::field(
            "key",
            format!("{key:?} is reserved"),
            "a key that does not begin with 'sparrow.' or '.'",
        )
        .into());
    }
    let deadline = call.deadline;
    call.ceph(move |io| {
        let found = rbd::found_image::find(io, &name, deadline)?;
        if !found.header.metadata.contains_key(key.as_bytes()) {
            return Err(metadata_not_found(&name, &key));
        }
        found.change(io, deadline, |image| image.remove_metadata(&key))?.map_err(|error| {
            if error.is(Errno::ENOENT) { metadata_not_found(&name, &key) } else { found.explain(io, error, deadline) }
        })
    })
    .await?;
    Ok(NoContent)
}

fn limits_of(found: &FoundImage) -> Result<Qos, Fault> {
    let entries = entries(found);
    let qos = Qos::from_entries(|key| entries.get(key)?.trim().parse().ok());
    for (key, value) in qos.entries() {
        if let (None, Some(text)) = (value, entries.get(&key)) {
            return Err(Fault::new(Kind::Damaged, format!("The metadata {key:?} is {text:?}, not a number."))
                .correction("DELETE that metadata entry, or PUT the QoS limits anew."));
        }
    }
    Ok(qos)
}

async fn qos(call: Call, Input { path, .. }: Input<ImagePath>) -> Result<Content<Qos>, Problem> {
    let (name, deadline) = (path.image, call.deadline);
    let qos = call.ceph(move |io| limits_of(&rbd::found_image::find(io, &name, deadline)?)).await?;
    Ok(Content::of(qos))
}

async fn put_qos(
    call: Call,
    Input { path, body: Json(wanted), .. }: Input<ImagePath, NoQuery, Json<Qos>>,
) -> Result<Content<Qos>, Problem> {
    let name = path.image;
    wanted.check()?;
    let deadline = call.deadline;
    let qos = call
        .ceph(move |io| {
            let found = rbd::found_image::find(io, &name, deadline)?;
            let now = entries(&found);
            let changes: Vec<(String, Option<String>)> = wanted
                .entries()
                .into_iter()
                .map(|(key, value)| (key, value.map(|value| value.to_string())))
                .filter(|(key, value)| now.get(key) != value.as_ref())
                .collect();
            if !changes.is_empty() {
                let image = found.open(io, Access::ReadWrite, deadline)?;
                let change = || -> ceph::Result<()> {
                    for (key, value) in &changes {
                        match value {
                            Some(value) => image.set_metadata(key, value)?,
                            None => match image.remove_metadata(key) {
                                Err(error) if !error.is(Errno::ENOENT) => return Err(error),
                                _ => {}
                            },
                        }
                    }
                    Ok(())
                };
                let outcome = change();
                drop(image);
                outcome.map_err(|error| {
                    found.explain(io, error, deadline).cause("Some limits may have been set; PUT them again.")
                })?;
            }
            Ok(wanted)
        })
        .await?;
    Ok(Content::of(qos))
}
