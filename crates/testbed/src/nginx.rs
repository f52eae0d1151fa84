//! The nginx binaries that tests run, those that the module is built for and the newest, and one that runs on a configuration of a test.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fs, io};

/// Runs its arguments until its standard input ends: however the test ends, nginx does too.
const KEEPER: &str = r#""$@" & pid=$!; trap '' INT TERM; while read -r _; do :; done; kill -TERM "$pid"; wait "$pid""#;

/// What the file of the module of nginx that routes by a table is called.
const MODULE_FILE: &str = "libngx_http_sparrow_module.so";

/// Where the nginx from its source is, and what is built for it, as in `scripts/install-nginx`.
const FROM_SOURCE: &str = "nginx-1.28.3";

/// Debian 12's nginx: `SPARROW_NGINX_DEBIAN`, else what `scripts/install-nginx` has made available.
///
/// # Panics
/// If it is not there: a test without its nginx has not passed.
pub fn debian() -> PathBuf {
    find("SPARROW_NGINX_DEBIAN", "nginx-debian")
}

/// The newest nginx: `SPARROW_NGINX_NEWEST`, else what `scripts/install-nginx` has made available.
///
/// # Panics
/// If it is not there: a test without its nginx has not passed.
pub fn newest() -> PathBuf {
    find("SPARROW_NGINX_NEWEST", "nginx-1.31.3")
}

/// An nginx, and the module that is built for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The binary.
    pub nginx: PathBuf,
    /// The module that routes by a table.
    pub module: PathBuf,
}

impl Program {
    /// Its stream module, a file beside it, as `scripts/install-nginx` has put it there.
    ///
    /// # Panics
    /// If it is not there: a test without it has not passed.
    pub fn stream_module(&self) -> PathBuf {
        stream_module(&self.nginx).unwrap_or_else(|| {
            panic!("{} has no stream module beside it: run scripts/install-nginx", self.nginx.display())
        })
    }
}

/// The stream module of an nginx, if that is a file: one that is built in is none.
pub fn stream_module(nginx: &Path) -> Option<PathBuf> {
    Some(nginx.with_file_name("ngx_stream_module.so")).filter(|path| path.is_file())
}

/// Debian 12's nginx with its module.
///
/// # Panics
/// As [`debian`] and [`module`].
pub fn debian_program() -> Program {
    Program { nginx: debian(), module: module() }
}

/// All that the module is built for: Debian's, and one from its source, whose module is in a target directory of its own; or that of
/// `scripts/build-nginx` alone, if `SPARROW_NGINX_MODULE` names it.
///
/// # Panics
/// If one is not there: a test without its nginx has not passed.
pub fn programs() -> Vec<Program> {
    let mut programs = vec![debian_program()];
    if set("SPARROW_NGINX_MODULE").is_none() {
        programs.push(from_source());
    }
    programs
}

/// The nginx that `scripts/install-nginx source` has built, with what `scripts/build-second-module` has built for it.
fn from_source() -> Program {
    let nginx = cached(FROM_SOURCE);
    assert!(nginx.is_file(), "{} is not there: run scripts/install-nginx source", nginx.display());
    let program = std::env::current_exe().unwrap_or_default();
    let module = Path::new(FROM_SOURCE).join("debug").join(MODULE_FILE);
    let found = program.ancestors().map(|directory| directory.join(&module)).find(|path| path.is_file());
    let module = found.unwrap_or_else(|| panic!("{} is not there: run scripts/build-second-module", module.display()));
    Program { nginx, module }
}

/// The module for Brotli of Debian 12's nginx, a file beside it, as `scripts/install-nginx` has put it there; the newest has none.
///
/// # Panics
/// If it is not there: a test without it has not passed.
pub fn debian_brotli_module() -> PathBuf {
    let path = debian().with_file_name("ngx_http_brotli_filter_module.so");
    assert!(path.is_file(), "{} is not there: run scripts/install-nginx", path.display());
    path
}

/// The module of nginx that routes by a table: `SPARROW_NGINX_MODULE`, which `scripts/build-nginx` has built, else the one that is built
/// beside what runs this: `cargo build -p nginx-module`.
///
/// # Panics
/// If it is not there: a test without it has not passed.
pub fn module() -> PathBuf {
    if let Some(path) = set("SPARROW_NGINX_MODULE") {
        assert!(path.is_file(), "{} is not there: run scripts/build-nginx", path.display());
        return path;
    }
    let name = MODULE_FILE;
    let program = std::env::current_exe().unwrap_or_default();
    let found = program.ancestors().skip(1).take(2).map(|directory| directory.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not beside {}: run cargo build -p nginx-module", program.display()))
}

/// The oldest nginx and the newest, for what needs no module.
///
/// # Panics
/// As [`debian`] and [`newest`].
pub fn both() -> [PathBuf; 2] {
    [debian(), newest()]
}

/// An nginx that runs on a configuration of a test. It ends when this is dropped, and with the test, however that ends.
#[derive(Debug)]
pub struct RunningNginx {
    keeper: Child,
}

impl RunningNginx {
    /// Starts a binary on the file `nginx.conf` of a directory, which is also its prefix. It inherits this process's descriptors
    /// that are not close-on-exec.
    ///
    /// # Errors
    /// There is no shell.
    pub fn start(binary: &Path, directory: &Path) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(binary).args(["-e", "stderr", "-g", "daemon off;", "-p"]);
        command.arg(directory).arg("-c").arg(directory.join("nginx.conf")).stdin(Stdio::piped()).process_group(0);
        Ok(Self { keeper: command.spawn()? })
    }
}

impl Drop for RunningNginx {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn find(variable: &str, directory: &str) -> PathBuf {
    let path = set(variable).unwrap_or_else(|| cached(directory));
    assert!(path.is_file(), "{} is not there: run scripts/install-nginx, or set {variable}", path.display());
    path
}

/// The binary in a directory of what `scripts/install-nginx` has made available.
fn cached(directory: &str) -> PathBuf {
    let cache = set("SPARROW_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("sparrow")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/sparrow")))
        .unwrap_or_default();
    cache.join(directory).join("nginx")
}

fn set(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The workers of a master that take new connections, by their pids, as the kernel has them: asking nginx finds only those that happen to answer.
pub fn workers(master: i32) -> BTreeSet<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_worker(*pid, master).unwrap_or(false)).collect()
}

fn is_worker(pid: i32, master: i32) -> Option<bool> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may have anything in it: the state, and the parent.
    let parent: i32 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let title = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let title = String::from_utf8_lossy(&title);
    Some(parent == master && title.starts_with("nginx: worker process") && !title.contains("is shutting down"))
}
