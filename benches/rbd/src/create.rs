//! Making an image.

use anyhow::{Result, ensure};
use ceph::{ImageSize, ImageSpec};
use serde_json::json;

use crate::stage::{IMAGE_BYTES, Stage, images_path};
use bench_figures::figure::{Figure, Pairs, Samples, timed};

/// Making images over HTTP and with librbd, in turns, in the same pool. Each pair is of the medians of a batch of each.
///
/// # Errors
/// Ceph or the service fails.
pub fn create(stage: &Stage) -> Result<Vec<Figure>> {
    let io = stage.pool("create")?;
    let service = stage.service()?;
    let path = images_path("create");
    let make = |name: &str| -> Result<()> {
        let answer = service.client.post(&path, &json!({ "name": name, "sizeBytes": IMAGE_BYTES }))?;
        ensure!(answer.status == 201, "{}", answer.text());
        Ok(())
    };
    let spec = ImageSpec::default();
    make("first-a")?;
    let size = ImageSize::try_from(IMAGE_BYTES)?;
    io.create_image("first-b", size, &spec)?;
    let (batches, batch) = stage.either((9, 60), (5, 20));
    let mut pairs = Vec::new();
    for number in 0..batches {
        let (mut over_http, mut reference) = (Vec::new(), Vec::new());
        for image in 0..batch {
            over_http.push(timed(|| make(&format!("a-{number}-{image}")))?.0);
            let name = format!("b-{number}-{image}");
            reference.push(timed(|| Ok(io.create_image(&name, size, &spec)?))?.0);
        }
        pairs.push((Samples::new(over_http).median(), Samples::new(reference).median()));
    }
    let made = io.list_images()?.len();
    ensure!(made == 2 * (batches * batch + 1), "{made} images were made");
    stage.ceph.delete_pool("create")?;
    Ok(vec![Pairs::new(&pairs).at_most("create-p50-vs-librbd", 1.15, "`rbd_create`")])
}
