//! An image's bytes: export and import.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ceph::unwatched;
use testbed::service::Service;

use crate::stage::{Stage, images_path};
use bench_figures::figure::{Figure, Pairs, timed};

const IMAGE_BYTES: u64 = 1 << 30;
/// Every other object of 4 MiB holds data.
const OBJECT_BYTES: usize = 4 << 20;
/// What a client reads at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// Runs of zeros of this length become holes in the file, as the `rbd` tool does it.
const HOLE_BYTES: usize = 4096;

const EXPORT: &str = "export-vs-rbd-export";
const IMPORT: &str = "import-vs-rbd-import";

/// Export of an image of 1 GiB, half empty, to a file, and its import from that file; against the `rbd` tool with the
/// same files.
///
/// # Errors
/// Ceph or the service fails, or the bytes differ.
pub fn data(stage: &Stage) -> Result<Vec<Figure>> {
    let io = stage.pool("data")?;
    let service = stage.service()?;
    if service.client.get(&data_path("none"))?.problem() != "image-not-found" {
        let why = "the service has no endpoints for data";
        return Ok(vec![Figure::missing(EXPORT, ">= 0.95 x", why), Figure::missing(IMPORT, ">= 0.95 x", why)]);
    }
    let directory = tempfile::tempdir()?;
    let file = |name: &str| directory.path().join(name);
    let (source, ours, theirs) = (file("source"), file("ours"), file("theirs"));
    write_half(&source)?;
    stage.ceph.rbd(&["import", "--no-progress", &text(&source), "data/half"])?;
    let pairs = stage.either(7, 3);
    let agent = agent();
    let export = Pairs::measure(
        pairs,
        || {
            remove(&ours)?;
            Ok(timed(|| export_to(&agent, &service, &ours))?.0)
        },
        || {
            remove(&theirs)?;
            Ok(timed(|| stage.ceph.rbd(&["export", "--no-progress", "data/half", &text(&theirs)]))?.0)
        },
    )?;
    ensure_same(&ours, &source)?;
    ensure_same(&theirs, &source)?;
    remove(&theirs)?;
    let import = Pairs::measure(
        pairs,
        || {
            let (time, ()) = timed(|| import_from(&agent, &service, &source, "ours"))?;
            io.remove_image("ours", &unwatched)?;
            Ok(time)
        },
        || {
            let (time, _) = timed(|| stage.ceph.rbd(&["import", "--no-progress", &text(&source), "data/theirs"]))?;
            io.remove_image("theirs", &unwatched)?;
            Ok(time)
        },
    )?;
    import_from(&agent, &service, &source, "ours")?;
    remove(&ours)?;
    stage.ceph.rbd(&["export", "--no-progress", "data/ours", &text(&ours)])?;
    ensure_same(&ours, &source)?;
    stage.ceph.delete_pool("data")?;
    Ok(vec![export.faster(EXPORT, 0.95, "`rbd export`"), import.faster(IMPORT, 0.95, "`rbd import`")])
}

fn data_path(image: &str) -> String {
    format!("{}/{image}/data", images_path("data"))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_mins(2)))
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .build()
        .into()
}

/// Makes a file of which every other object is a hole, and the rest bytes that do not repeat.
fn write_half(path: &Path) -> Result<()> {
    let mut file = File::create_new(path)?;
    let mut random = File::open("/dev/urandom")?;
    let mut bytes = vec![0; OBJECT_BYTES];
    for offset in (0..IMAGE_BYTES).step_by(2 * OBJECT_BYTES) {
        random.read_exact(&mut bytes)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(&bytes)?;
    }
    Ok(file.set_len(IMAGE_BYTES)?)
}

fn export_to(agent: &ureq::Agent, service: &Service, path: &Path) -> Result<()> {
    let url = format!("http://{}{}", service.api(), data_path("half"));
    let mut response = agent.get(&url).call()?;
    let mut body = response.body_mut().as_reader();
    let mut file = File::create_new(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut length = 0;
    loop {
        let read = fill(&mut body, &mut buffer)?;
        if read == 0 {
            break;
        }
        write_sparsely(&mut file, &buffer[..read])?;
        length += read as u64;
    }
    // The end may be a hole.
    file.set_len(length)?;
    ensure!(length == IMAGE_BYTES, "{length} bytes came");
    Ok(())
}

fn import_from(agent: &ureq::Agent, service: &Service, path: &Path, image: &str) -> Result<()> {
    let url = format!("http://{}{}", service.api(), data_path(image));
    let file = File::open(path)?;
    let response = agent.put(&url).header("content-type", "application/octet-stream").send(&file)?;
    ensure!(response.status().is_success(), "import was answered {}", response.status());
    Ok(())
}

/// Reads until the buffer is full or nothing follows.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// Writes bytes, and leaves holes where blocks of them are zeros.
fn write_sparsely(file: &mut File, bytes: &[u8]) -> Result<()> {
    let is_hole = |block: &[u8]| block == &[0; HOLE_BYTES][..block.len()];
    let mut rest = bytes;
    while !rest.is_empty() {
        let hole = is_hole(&rest[..rest.len().min(HOLE_BYTES)]);
        let length: usize = rest.chunks(HOLE_BYTES).take_while(|block| is_hole(block) == hole).map(<[u8]>::len).sum();
        if hole {
            file.seek(SeekFrom::Current(i64::try_from(length)?))?;
        } else {
            file.write_all(&rest[..length])?;
        }
        rest = &rest[length..];
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("remove a file"),
        _ => Ok(()),
    }
}

fn ensure_same(one: &Path, other: &Path) -> Result<()> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut a, mut b) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        let (x, y) = (fill(&mut one, &mut a)?, fill(&mut other, &mut b)?);
        ensure!(a[..x] == b[..y], "the bytes differ");
        if x == 0 {
            return Ok(());
        }
    }
}
