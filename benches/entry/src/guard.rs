//! Processes that are not left behind, however this one ends.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use rustix::fs::statvfs;
use rustix::process::{Pid, Signal, kill_process};

/// Starts a command, tells its pid, and ends it with its directory when the standard input ends. Its children are of the
/// same process group, so that none outlives it: nginx's workers would.
const SCRIPT: &str = r#"
trap : HUP INT TERM
directory=$1
shift
"$@" </dev/null >"$directory/log" 2>&1 &
child=$!
echo "$child"
while read -r _; do :; done
kill -TERM "$child" 2>/dev/null
(sleep 5; kill -KILL "$child" 2>/dev/null) &
wait "$child"
rm -rf -- "$directory"
kill -KILL 0
"#;

/// Where files are in memory, as they are in a pod, if there is room.
const MEMORY: &str = "/dev/shm";
/// What no group fills.
const ROOM: u64 = 2 << 30;

/// Where directories are made: where `TMPDIR` says, else in memory. All of one run are in the same.
fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    let has_room = || statvfs(MEMORY).is_ok_and(|found| found.f_bavail * found.f_frsize >= ROOM);
    let is_in_memory = || std::env::var_os("TMPDIR").is_none() && has_room();
    SCRATCH.get_or_init(|| if is_in_memory() { MEMORY.into() } else { std::env::temp_dir() })
}

/// A process with a directory of its own. Dropping it ends both.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    directory: PathBuf,
    /// Its process id.
    pub pid: u32,
}

impl Guarded {
    /// Makes a directory, then starts the command that `command` makes for it: the program and its arguments.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: impl FnOnce(&Path) -> Result<Vec<String>>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("sparrow-bench-").tempdir_in(scratch())?;
        let command = command(directory.path())?;
        let mut guard = Command::new("sh")
            .args(["-c", SCRIPT, "sparrow-bench-guard"])
            .arg(directory.path())
            .args(&command)
            // Only this process holds the other end, so however this process ends, the guard knows.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Where it would say that it killed what had to be killed.
            .stderr(Stdio::null())
            // Out of reach of the terminal's Ctrl-C.
            .process_group(0)
            .spawn()
            .context("start sh")?;
        // From here on the guard removes it.
        let directory = directory.keep();
        let mut line = String::new();
        let output = guard.stdout.take().context("the guard's standard output")?;
        BufReader::new(output).read_line(&mut line)?;
        let pid = line.trim().parse().with_context(|| format!("start {command:?}"))?;
        Ok(Self { guard, directory, pid })
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The end of what it has said.
    pub fn said(&self) -> String {
        let text = std::fs::read(self.directory.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    /// Stops it, not its children, until what this gives is dropped.
    ///
    /// # Errors
    /// It does not run.
    pub fn hold(&self) -> Result<Held> {
        let pid = Pid::from_raw(i32::try_from(self.pid)?).context("a process id")?;
        kill_process(pid, Signal::STOP).context("stop a process")?;
        Ok(Held(pid))
    }
}

/// A process that is stopped. Dropping this has it go on.
#[derive(Debug)]
pub struct Held(Pid);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Closes its standard input, then waits: the script is bounded.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_ends_with_its_children_and_its_directory() {
        let script = "trap '' TERM; sleep 1000 & echo $!; wait";
        let guarded = Guarded::start(|_| Ok(["sh", "-c", script].map(str::to_owned).to_vec())).unwrap();
        let (pid, directory) = (guarded.pid, guarded.directory().to_owned());
        while guarded.said().is_empty() {
            assert!(guarded.runs());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let child: u32 = guarded.said().trim().parse().unwrap();
        let runs = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        assert!(runs(pid) && runs(child));
        drop(guarded);
        // The kernel needs a moment for those that the guard does not wait for.
        let began = std::time::Instant::now();
        while runs(pid) || runs(child) {
            assert!(began.elapsed() < std::time::Duration::from_secs(10));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(!directory.exists());
    }
}
