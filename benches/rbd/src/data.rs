//! An image's bytes: export and import.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Cursor, Read, Seek as _, SeekFrom, Take, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ceph::ignore_progress;
use rbd_format::diff::{DiffRecord, DiffVersion};
use serde_json::json;
use testbed::service::RbdService;

use crate::stage::{Stage, images_path};
use bench_figures::figure::{Figure, Pairs, timed};

const IMAGE_BYTES: u64 = 1 << 30;
/// Every other object of 4 MiB holds data.
const OBJECT_BYTES: usize = 4 << 20;
/// What a client reads or sends at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// How long a client waits.
const PATIENCE: Duration = Duration::from_mins(2);
/// Runs of zeros of this length become holes in the file, as the `rbd` tool does it.
const HOLE_BYTES: usize = 4096;

const EXPORT: &str = "export-vs-rbd-export";
const IMPORT: &str = "import-vs-rbd-import";
const SPARSE: &str = "import-sparse-vs-rbd-import";

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
        return Ok(vec![
            Figure::missing(EXPORT, ">= 0.95 x", why),
            Figure::missing(IMPORT, ">= 0.95 x", why),
            Figure::missing(SPARSE, ">= 0.95 x", why),
        ]);
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
            Ok(timed(|| export_to(&service, &ours))?.0)
        },
        || {
            remove(&theirs)?;
            Ok(timed(|| stage.ceph.rbd(&["export", "--no-progress", "data/half", &text(&theirs)]))?.0)
        },
    )?;
    ensure_same(&ours, &source)?;
    ensure_same(&theirs, &source)?;
    remove(&theirs)?;
    let imports = |import: &dyn Fn() -> Result<()>| -> Result<Pairs> {
        let measured = Pairs::measure(
            pairs,
            || {
                let (time, ()) = timed(import)?;
                io.remove_image("ours", &ignore_progress)?;
                Ok(time)
            },
            || {
                let (time, _) = timed(|| stage.ceph.rbd(&["import", "--no-progress", &text(&source), "data/theirs"]))?;
                io.remove_image("theirs", &ignore_progress)?;
                Ok(time)
            },
        )?;
        import()?;
        remove(&ours)?;
        stage.ceph.rbd(&["export", "--no-progress", "data/ours", &text(&ours)])?;
        ensure_same(&ours, &source)?;
        io.remove_image("ours", &ignore_progress)?;
        Ok(measured)
    };
    let import = imports(&|| import_from(&agent, &service, &source, "ours"))?;
    let sparse = imports(&|| import_sparsely_from(&agent, &service, &source, "ours"))?;
    stage.ceph.delete_pool("data")?;
    Ok(vec![
        export.faster(EXPORT, 0.95, "`rbd export`"),
        import.faster(IMPORT, 0.95, "`rbd import`"),
        sparse.faster(SPARSE, 0.95, "`rbd import`"),
    ])
}

fn data_path(image: &str) -> String {
    format!("{}/{image}/data", images_path("data"))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).output_buffer_size(BUFFER_BYTES).build().into()
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

/// Not with the agent of the imports, which copies what it receives once more than a reader of a socket must.
fn export_to(service: &RbdService, path: &Path) -> Result<()> {
    let mut connection = TcpStream::connect(service.api())?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", data_path("half"), service.api())?;
    // What is read in pieces as large as its buffer goes past it.
    let mut response = BufReader::with_capacity(BUFFER_BYTES, connection);
    let mut line = String::new();
    response.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200 "), "the export was answered {line}");
    while line != "\r\n" {
        line.clear();
        ensure!(response.read_line(&mut line)? > 0, "the export's head broke off");
    }
    let mut body = response.take(IMAGE_BYTES);
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

fn import_from(agent: &ureq::Agent, service: &RbdService, path: &Path, image: &str) -> Result<()> {
    let url = format!("http://{}{}", service.api(), data_path(image));
    let file = File::open(path)?;
    let response = agent.put(&url).header("content-type", "application/octet-stream").send(&file)?;
    ensure!(response.status().is_success(), "import was answered {}", response.status());
    Ok(())
}

/// Makes an image and sends it what the file holds, without the holes, as a diff from nothing.
fn import_sparsely_from(agent: &ureq::Agent, service: &RbdService, path: &Path, image: &str) -> Result<()> {
    let answer = service.client.post(&images_path("data"), &json!({ "name": image, "sizeBytes": IMAGE_BYTES }))?;
    ensure!(answer.status == 201, "{}", answer.text());
    let url = format!("http://{}{}/{image}/diff", service.api(), images_path("data"));
    let mut body = Difference::from_nothing_to(path)?;
    let request = agent
        .post(&url)
        .header("content-type", "application/vnd.ceph.rbd-diff")
        .header("content-length", body.length_bytes().to_string());
    let response = request.send(ureq::SendBody::from_reader(&mut body))?;
    ensure!(response.status().is_success(), "the diff was answered {}", response.status());
    Ok(())
}

/// A file as the stream that `rbd export-diff` writes.
struct Difference {
    parts: VecDeque<(Cursor<Vec<u8>>, Take<File>)>,
}

impl Difference {
    fn from_nothing_to(path: &Path) -> Result<Difference> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut head = DiffVersion::V1.banner().to_vec();
        DiffRecord::Size(size).encode(DiffVersion::V1, &mut head)?;
        let mut parts = VecDeque::new();
        let mut at = 0;
        while let Some(begin) = seek(&file, rustix::fs::SeekFrom::Data(at))? {
            at = seek(&file, rustix::fs::SeekFrom::Hole(begin))?.unwrap_or(size);
            let record = DiffRecord::Data { offset_bytes: begin, length_bytes: at - begin };
            record.encode(DiffVersion::V1, &mut head)?;
            let mut part = File::open(path)?;
            part.seek(SeekFrom::Start(begin))?;
            parts.push_back((Cursor::new(std::mem::take(&mut head)), part.take(at - begin)));
        }
        DiffRecord::End.encode(DiffVersion::V1, &mut head)?;
        parts.push_back((Cursor::new(head), file.take(0)));
        Ok(Difference { parts })
    }

    fn length_bytes(&self) -> u64 {
        self.parts.iter().map(|(head, data)| head.get_ref().len() as u64 + data.limit()).sum()
    }
}

/// Where that is; none behind the last.
fn seek(file: &File, from: rustix::fs::SeekFrom) -> Result<Option<u64>> {
    match rustix::fs::seek(file, from) {
        Ok(at) => Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Read for Difference {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some((head, data)) = self.parts.front_mut() {
            let mut length = head.read(buffer)?;
            if length == 0 {
                length = data.read(buffer)?;
            }
            if length > 0 {
                return Ok(length);
            }
            self.parts.pop_front();
        }
        Ok(0)
    }
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
