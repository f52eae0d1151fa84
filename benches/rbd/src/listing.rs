//! All images of a pool: in full, and their names.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ceph::{IoContext, OmapRange};
use rbd_format::decode_header;
use rbd_format::directory::{DIRECTORY_OBJECT, DirectoryEntry, NAME_PREFIX};
use rbd_format::header::header_object;
use serde_json::Value;

use crate::stage::{Filled, Stage};
use bench_figures::figure::{Figure, Pairs, timed};

/// RADOS reads in flight, as many as the service allows itself.
const IN_FLIGHT: usize = 256;

/// Full details of 1,000 images.
///
/// # Errors
/// Ceph or the service fails, or answers wrongly.
pub fn details(stage: &Stage) -> Result<Vec<Figure>> {
    let thousand = stage.thousand()?;
    let path = format!("{}?view=full", thousand.images());
    check_details(thousand, &path)?;
    let over_http = || get(thousand, &path);
    // Each warms the OSD's caches for itself before it counts.
    over_http()?;
    read_headers(&thousand.io)?;
    let tool = Pairs::measure(stage.either(7, 3), over_http, || {
        let (time, lines) = timed(|| thousand_lines(stage, &thousand.pool))?;
        // A heading, and a line for each image and each snapshot.
        ensure!(lines > thousand.names.len(), "rbd ls -l shows {lines} lines");
        Ok(time)
    })?;
    let headers = Pairs::measure(stage.either(31, 11), over_http, || {
        let (time, count) = timed(|| read_headers(&thousand.io))?;
        ensure!(count == thousand.names.len(), "{count} headers were read");
        Ok(time)
    })?;
    Ok(vec![
        tool.faster("details-vs-rbd-ls-l", 25.0, "`rbd ls -l`"),
        headers.at_most("details-vs-headers", 2.0, "header reads"),
    ])
}

fn thousand_lines(stage: &Stage, pool: &str) -> Result<usize> {
    Ok(stage.ceph.rbd(&["ls", "-l", pool])?.lines().count())
}

fn get(filled: &Filled, path: &str) -> Result<Duration> {
    let (time, answer) = timed(|| filled.service.client.get(path))?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(time)
}

/// The list has every image, in full, with what belongs to it.
fn check_details(thousand: &Filled, path: &str) -> Result<()> {
    let list = thousand.service.client.get(path)?.json();
    let items = list["Items"].as_array().with_context(|| list.to_string())?;
    let names = items.iter().map(|item| item["name"].as_str());
    ensure!(names.eq(thousand.names.iter().map(|name| Some(name.as_str()))), "the list has other images");
    let whole = |item: &Value| item["state"] == "ready" && item["sizeBytes"].is_u64();
    ensure!(items.iter().all(whole), "some images are not whole");
    let with = |field: &str, has: fn(&Value) -> bool| items.iter().filter(|item| has(&item[field])).count();
    let snapshots = with("snapshots", |list| list.as_array().is_some_and(|list| !list.is_empty()));
    let parents = with("parent", |parent| parent["snapshot"] == "daily-0" && parent["image"].is_string());
    let tenth = thousand.names.len() / 10;
    ensure!((snapshots, parents) == (2 * tenth, tenth), "{snapshots} with snapshots, {parents} with parents");
    Ok(())
}

/// The directory and every header, read with librados and decoded; how many.
fn read_headers(io: &IoContext) -> Result<usize> {
    let deadline = Some(Instant::now() + Duration::from_secs(30));
    let mut ranges = Vec::new();
    for (key, value) in io.omap_all(DIRECTORY_OBJECT, NAME_PREFIX, deadline)? {
        if let Some(DirectoryEntry::Name { id, .. }) = DirectoryEntry::decode(&key, &value)? {
            ranges.push(OmapRange { object: header_object(&id), ..OmapRange::default() });
        }
    }
    let mut decoded = Vec::with_capacity(ranges.len());
    io.omaps(&ranges, IN_FLIGHT, deadline, |_, entries| {
        let header = entries.ok().and_then(|entries| {
            decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))).ok()
        });
        decoded.extend(header);
    })?;
    Ok(decoded.len())
}

/// The names of 1,000 images.
///
/// # Errors
/// Ceph or the service fails, or answers wrongly.
pub fn names(stage: &Stage) -> Result<Vec<Figure>> {
    let thousand = stage.thousand()?;
    let path = thousand.images();
    let list = thousand.service.client.get(&path)?.json();
    ensure!(list["Items"].as_array().map(Vec::len) == Some(thousand.names.len()), "the list is not whole");
    thousand.io.list_images()?;
    let pairs = Pairs::measure(
        stage.either(101, 31),
        || get(thousand, &path),
        || {
            let (time, images) = timed(|| Ok(thousand.io.list_images()?))?;
            ensure!(images.len() == thousand.names.len(), "rbd_list2 gives {} images", images.len());
            Ok(time)
        },
    )?;
    Ok(vec![pairs.at_most("names-vs-rbd_list2", 1.5, "`rbd_list2`")])
}
