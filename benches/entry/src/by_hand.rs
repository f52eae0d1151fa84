//! The reference: the same nginx with a file that a person writes, tests with `nginx -t`, and puts in force with HUP.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nginx_conf::Modules;
use rustix::process::{Pid, Signal, kill_process};
use testbed::ports::free_address;
use tokio::time::sleep;

use crate::entry::pid_in;
use crate::guard::Guarded;
use crate::http;
use crate::plain::configuration;

/// How long nginx may take to serve.
const READY: Duration = Duration::from_mins(1);

/// An nginx that is driven by hand.
#[derive(Debug)]
pub struct ByHand {
    process: Guarded,
    nginx: PathBuf,
    modules: Modules,
    /// Where it serves.
    pub http: SocketAddr,
}

impl ByHand {
    /// Starts nginx with what `http` says for an address inside `http`, and waits until it serves.
    ///
    /// # Errors
    /// nginx does not serve; what it said is in the error.
    pub async fn start(nginx: &Path, http: impl FnOnce(SocketAddr) -> String) -> Result<Self> {
        let (address, modules) = (free_address()?, modules(nginx)?);
        let process = Guarded::start(|directory| {
            let runtime = runtime(directory);
            fs::create_dir(&runtime)?;
            fs::write(directory.join("nginx.conf"), configuration(&runtime, modules, &http(address)))?;
            let mut command = vec![nginx.display().to_string()];
            command.extend(arguments(directory));
            command.extend(["-g".to_owned(), "daemon off;".to_owned()]);
            Ok(command)
        })?;
        let by_hand = Self { process, nginx: nginx.to_owned(), modules, http: address };
        serves(&by_hand.process, address).await?;
        Ok(by_hand)
    }

    /// nginx's process id.
    ///
    /// # Errors
    /// It does not run.
    pub fn nginx_pid(&self) -> Result<u32> {
        pid_in(&runtime(self.process.directory()).join("nginx.pid"))
    }

    /// Writes the file with something else inside `http` and sends HUP, without a test. When the file was there.
    ///
    /// # Errors
    /// The file cannot be written, or nginx does not run.
    pub fn reload(&self, http: &str) -> Result<Instant> {
        self.write(http)?;
        let written = Instant::now();
        self.hup()?;
        Ok(written)
    }

    /// What an operator does: writes the file, tests it, and sends HUP. Blocks.
    ///
    /// # Errors
    /// nginx refuses the file.
    pub fn change(&self, http: &str) -> Result<()> {
        self.write(http)?;
        let directory = self.process.directory();
        let test = Command::new(&self.nginx)
            .args(["-t", "-q"])
            .args(arguments(directory))
            .stdin(Stdio::null())
            .output()
            .context("run nginx -t")?;
        ensure!(test.status.success(), "nginx -t: {}", String::from_utf8_lossy(&test.stderr));
        self.hup()
    }

    fn write(&self, http: &str) -> Result<()> {
        let directory = self.process.directory();
        let draft = directory.join("draft");
        fs::write(&draft, configuration(&runtime(directory), self.modules, http))?;
        Ok(fs::rename(draft, directory.join("nginx.conf"))?)
    }

    /// Has nginx read its files again.
    ///
    /// # Errors
    /// It does not run.
    pub fn hup(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.nginx_pid()?)?).context("nginx's process id")?;
        kill_process(pid, Signal::HUP).context("signal nginx")
    }
}

/// The modules that an nginx has.
///
/// # Errors
/// It does not tell.
pub fn modules(nginx: &Path) -> Result<Modules> {
    let said = Command::new(nginx).arg("-V").output().context("run nginx -V")?;
    Ok(Modules::parse(&String::from_utf8_lossy(&said.stderr)))
}

fn runtime(directory: &Path) -> PathBuf {
    directory.join("runtime")
}

/// Waits until an nginx serves.
///
/// # Errors
/// It does not in a minute; what it said is in the error.
pub async fn serves(process: &Guarded, address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    while http::get(address, "/").await.is_err() {
        ensure!(process.runs(), "nginx has ended; it said:\n{}", process.said());
        ensure!(began.elapsed() < READY, "nginx does not serve; it said:\n{}", process.said());
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The arguments of an nginx whose configuration is in a directory.
pub fn arguments(directory: &Path) -> Vec<String> {
    let directory = directory.display();
    let arguments = ["-p".to_owned(), format!("{directory}/"), "-e".to_owned(), "stderr".to_owned()];
    arguments.into_iter().chain(["-c".to_owned(), format!("{directory}/nginx.conf")]).collect()
}
