//! What figures are measured on: a Ceph with an OSD on disk, a connection to it from this process, and services.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ceph::{Access, Cluster, ImageRef, ImageSize, ImageSpec, IoContext};
use testbed::ceph::{Ceph, CephOptions, Store};
use testbed::service::{RbdService, RbdServiceOptions};

/// The size of the images that hold no data.
pub const IMAGE_BYTES: u64 = 1 << 30;

/// Threads that make images.
const MAKERS: usize = 16;

/// What figures are measured on.
pub struct Stage {
    /// The cluster.
    pub ceph: Ceph,
    /// This process's own connection, with which librbd and librados are called directly.
    pub cluster: Cluster,
    /// Whether everything is to be short.
    pub quick: bool,
    binary: PathBuf,
    thousand: OnceCell<Filled>,
}

/// A pool of images, and a service for the figures that share one.
pub struct Filled {
    /// The pool.
    pub pool: String,
    /// It in this process.
    pub io: IoContext,
    /// The images' names, in order.
    pub names: Vec<String>,
    /// A service on the cluster.
    pub service: RbdService,
}

impl Filled {
    /// The path of the pool's images.
    pub fn images(&self) -> String {
        images_path(&self.pool)
    }
}

/// The path of a pool's images.
pub fn images_path(pool: &str) -> String {
    format!("/api/v1/pools/{pool}/images")
}

impl Stage {
    /// Starts the cluster.
    ///
    /// # Errors
    /// It does not start, or does not let this process connect.
    pub fn start(binary: PathBuf, quick: bool) -> Result<Self> {
        let ceph = Ceph::start(CephOptions { store: Store::BLUESTORE, mgr: false })?;
        let cluster = settings(&ceph).configure()?.connect()?;
        Ok(Self { ceph, cluster, quick, binary, thousand: OnceCell::new() })
    }

    /// A service of its own, connected.
    ///
    /// # Errors
    /// It does not start; its log is in the error.
    pub fn service(&self) -> Result<RbdService> {
        self.options().start()
    }

    /// How services are started here.
    pub fn options(&self) -> RbdServiceOptions {
        RbdServiceOptions::new(&self.binary, &self.ceph).without_checks()
    }

    /// How services are started here with another keyring.
    pub fn options_with_keyring(&self, keyring: &std::path::Path) -> RbdServiceOptions {
        RbdServiceOptions::with_files(&self.binary, self.ceph.conf(), keyring).without_checks()
    }

    /// How this process connects.
    pub fn settings(&self) -> ceph::Settings {
        settings(&self.ceph)
    }

    /// An empty pool for RBD, and it in this process.
    ///
    /// # Errors
    /// As Ceph's.
    pub fn pool(&self, name: &str) -> Result<IoContext> {
        self.ceph.create_pool(name)?;
        self.cluster.refresh()?;
        Ok(self.cluster.io_context(name, "")?)
    }

    /// The pool of a thousand images that most figures are measured on: of ten, seven are plain, two have one to three
    /// snapshots, and one is a clone. Made on first use.
    ///
    /// # Errors
    /// As Ceph's.
    pub fn thousand(&self) -> Result<&Filled> {
        if let Some(filled) = self.thousand.get() {
            return Ok(filled);
        }
        let io = self.pool("thousand")?;
        let names = fill(&io, 1000)?;
        ensure!(io.list_images()?.len() == names.len(), "not all images were made");
        let filled = Filled { pool: "thousand".into(), io, names, service: self.service()? };
        Ok(self.thousand.get_or_init(|| filled))
    }

    /// The number in a full run, or the one in a quick run.
    pub fn either<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn settings(ceph: &Ceph) -> ceph::Settings {
    ceph::Settings {
        conf_file: Some(ceph.conf().to_owned()),
        keyring: Some(ceph.keyring().to_owned()),
        ..ceph::Settings::new("client.admin")
    }
}

/// Makes images, of which some have snapshots and some are clones, and gives their names in order.
///
/// # Errors
/// As librbd's.
pub fn fill(io: &IoContext, count: usize) -> Result<Vec<String>> {
    let names: Vec<String> = (0..count).map(|number| format!("volume-{number:05}")).collect();
    let next = AtomicUsize::new(0);
    let tens: Vec<&[String]> = names.chunks(10).collect();
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some(ten) = tens.get(next.fetch_add(1, Ordering::Relaxed)) {
                        fill_ten(io, ten)?;
                    }
                    Ok(())
                })
            })
            .collect();
        makers
            .into_iter()
            .try_for_each(|maker| maker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a maker panicked"))))
    })?;
    Ok(names)
}

fn fill_ten(io: &IoContext, names: &[String]) -> Result<()> {
    let spec = ImageSpec::default();
    // Clones of a kind that needs no protected snapshot.
    let clone = ImageSpec { clone_format: Some(2), ..ImageSpec::default() };
    for (number, name) in names.iter().enumerate() {
        if number == 9 {
            io.clone_image(io, &names[8], "daily-0", name, &clone)?;
            continue;
        }
        io.create_image(name, ImageSize::try_from(IMAGE_BYTES)?, &spec)?;
        if number >= 7 {
            let image = io.open_image(ImageRef::Name(name), None, Access::ReadWrite)?;
            // The number of the ten decides, so that each run has the same images.
            let snapshots = 1 + name.bytes().map(usize::from).sum::<usize>() % 3;
            for snapshot in 0..snapshots {
                image.create_snapshot(&format!("daily-{snapshot}"))?;
            }
            image.close()?;
        }
    }
    Ok(())
}

/// Waits until something holds.
///
/// # Errors
/// It does not within the time, or asking fails.
pub fn wait_until(what: &str, within: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !holds()? {
        ensure!(began.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A file's text.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
