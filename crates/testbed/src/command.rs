//! Programs that run once and answer, under a deadline.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a program left behind.
pub struct ProgramOutput {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `command` to its end and returns what it left behind; kills it when `timeout` has passed.
///
/// # Errors
/// The program is missing, cannot be started, or did not end in time. A failing status is not an error here.
pub fn run_to_end(command: &mut Command, timeout: Duration) -> Result<ProgramOutput> {
    let shown = show(command);
    // Files rather than pipes: nobody has to drain them while we watch the clock.
    let mut stdout = tempfile::tempfile().context("create a temporary file")?;
    let mut stderr = tempfile::tempfile().context("create a temporary file")?;
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().context("share a temporary file")?)
        .stderr(stderr.try_clone().context("share a temporary file")?)
        .spawn()
        .map_err(|error| cannot_start(command, error))?;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("wait for `{shown}`"))? {
            break status;
        }
        if started.elapsed() >= timeout {
            // It can only fail if the program ended this very moment.
            let _ = child.kill();
            let _ = child.wait();
            bail!(
                "`{shown}` did not end within {timeout:?}; on standard error: {}",
                or_nothing(&read_again(&mut stderr)?)
            );
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    Ok(ProgramOutput { status, stdout: read_again(&mut stdout)?, stderr: read_again(&mut stderr)? })
}

/// Runs `command` and returns its standard output.
///
/// # Errors
/// As [`run_to_end`], and a status other than success; the error carries the standard error of the program.
pub fn output(command: &mut Command, timeout: Duration) -> Result<String> {
    let ProgramOutput { status, stdout, stderr } = run_to_end(command, timeout)?;
    if !status.success() {
        bail!("`{}` failed ({status}): {}", show(command), or_nothing(&stderr));
    }
    Ok(stdout)
}

/// The error of a program that did not start, with the operator's next step when it is missing.
pub fn cannot_start(command: &Command, error: std::io::Error) -> anyhow::Error {
    let program = command.get_program().display();
    let context = if error.kind() == ErrorKind::NotFound {
        format!("{program} is not installed, or not on PATH: run scripts/install-deps")
    } else {
        format!("cannot start {program}")
    };
    anyhow::Error::new(error).context(context)
}

fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn or_nothing(text: &str) -> &str {
    if text.trim().is_empty() { "(nothing)" } else { text.trim() }
}

fn read_again(file: &mut File) -> Result<String> {
    file.rewind().context("rewind a program's output")?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).context("read a program's output")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
