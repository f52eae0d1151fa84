//! Resident memory.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::stage::{Stage, fill, images_path};
use bench_figures::figure::Figure;
use bench_figures::process::{mib, peak_bytes, resident_bytes};

const MIB: u64 = 1 << 20;
/// Connected, and nobody asks for anything.
const IDLE_BYTES: u64 = 64 * MIB;
/// After 10,000 images were listed.
const LISTED_BYTES: u64 = 112 * MIB;

/// Resident memory of a fresh service: connected and idle, and after full lists of 10,000 images.
///
/// # Errors
/// Ceph or the service fails, or answers wrongly.
pub fn memory(stage: &Stage) -> Result<Vec<Figure>> {
    let count = stage.either(10_000, 2_000);
    let io = stage.pool("many")?;
    let names = fill(&io, count)?;
    let service = stage.service()?;
    // It looks through all pools for operations every two seconds: that is idle too.
    std::thread::sleep(Duration::from_secs(5));
    let idle = resident_bytes(service.pid())?;
    let idle_peak = peak_bytes(service.pid())?;
    for path in [format!("{}?view=full", images_path("many")), images_path("many")] {
        for _ in 0..3 {
            let list = service.client.get(&path)?;
            ensure!(list.status == 200, "{}", list.text());
            ensure!(list.json()["Items"].as_array().map(Vec::len) == Some(names.len()), "the list is not whole");
        }
    }
    let listed = resident_bytes(service.pid())?;
    let peak = peak_bytes(service.pid())?;
    stage.ceph.delete_pool("many")?;
    let figure = |name, measured, limit, detail| Figure {
        name,
        measured: mib(measured),
        limit: format!("<= {} MiB", limit / MIB),
        reached: measured <= limit,
        noisy: false,
        detail,
    };
    Ok(vec![
        figure("memory-idle", idle, IDLE_BYTES, format!("most so far {}", mib(idle_peak))),
        figure(
            "memory-listed",
            listed,
            LISTED_BYTES,
            format!("after 3 full lists of {count} images and 3 of their names; most {}", mib(peak)),
        ),
    ])
}
