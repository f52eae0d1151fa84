//! One image's details.

use anyhow::{Result, ensure};
use ceph::{Access, ImageRef, IoContext};

use crate::stage::{IMAGE_BYTES, Stage};
use bench_figures::figure::{Figure, Pairs, Samples, timed};

/// Details of one image, against opening it, asking for its size and closing it. Each pair is of the medians of many
/// requests and many opens in turns, over images of every kind.
///
/// # Errors
/// Ceph or the service fails, or answers wrongly.
pub fn image(stage: &Stage) -> Result<Vec<Figure>> {
    let thousand = stage.thousand()?;
    let (batches, batch) = stage.either((11, 100), (5, 40));
    // With a step that is prime to 10, all kinds come.
    let mut names = thousand.names.iter().cycle().step_by(7);
    let mut pairs = Vec::new();
    open(&thousand.io, &thousand.names[0])?;
    for _ in 0..batches {
        let (mut service, mut reference) = (Vec::new(), Vec::new());
        for name in names.by_ref().take(batch) {
            let path = format!("{}/{name}", thousand.images());
            let (time, answer) = timed(|| thousand.service.client.get(&path))?;
            ensure!(answer.status == 200, "{}", answer.text());
            service.push(time);
            let (time, size_bytes) = timed(|| open(&thousand.io, name))?;
            ensure!(size_bytes == IMAGE_BYTES, "{name} has {size_bytes} bytes");
            reference.push(time);
        }
        pairs.push((Samples::new(service).median(), Samples::new(reference).median()));
    }
    Ok(vec![Pairs::new(&pairs).at_most("image-p50-vs-open", 0.5, "librbd open+stat+close")])
}

fn open(io: &IoContext, name: &str) -> Result<u64> {
    let image = io.open_image(ImageRef::Name(name), None, Access::ReadOnly)?;
    let size_bytes = image.stat()?.size_bytes;
    image.close()?;
    Ok(size_bytes)
}
