//! nginx's processes: the one that tests, the one that serves.

use std::io::{ErrorKind, PipeReader, Read as _, pipe};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::priority::{spawn_first, start_first};
use crate::proc::{Process, ProcessGroup};
use crate::unloadable_module::explain_unloadable_module;
use crate::{Error, Result, SupervisorSettings};

/// nginx's words in an outcome, in a log line: a configuration can make them long.
const LONGEST: usize = 4096;
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// What `nginx -V` prints: the version, and how it was built.
///
/// # Errors
/// It cannot be run, does not end within 10 s, or fails.
pub async fn nginx_version(nginx: &Path) -> Result<String> {
    let failed = |reason: String| Error::Program { program: nginx.to_owned(), reason };
    let output = Command::new(nginx).arg("-V").stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(VERSION_TIMEOUT, output)
        .await
        .map_err(|_| failed(format!("`-V` did not end within {VERSION_TIMEOUT:?}")))?
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(failed(format!("{}: {}", output.status, shorten(&text)))) }
}

/// Why a revision is not live.
#[derive(Debug)]
pub(crate) enum RevisionError {
    /// nginx rejects it.
    Rejected(String),
    /// nginx would not take it, though it passed the test.
    NotApplied(String),
    /// Nothing is known about it: no room, no process, no time. Worth another try.
    Unknown(String),
}

impl RevisionError {
    pub(crate) fn message(&self) -> &str {
        match self {
            RevisionError::Rejected(message) | RevisionError::NotApplied(message) | RevisionError::Unknown(message) => {
                message
            }
        }
    }

    pub(crate) fn into_message(self) -> String {
        match self {
            RevisionError::Rejected(message) | RevisionError::NotApplied(message) | RevisionError::Unknown(message) => {
                message
            }
        }
    }
}

/// Runs `nginx -t` on a main file. It binds only what nothing else has bound, and lets it go again.
pub(crate) async fn test(settings: &SupervisorSettings, main: &Path) -> std::result::Result<(), RevisionError> {
    let mut command = command(settings, main);
    command.arg("-t").stdout(Stdio::null()).kill_on_drop(true);
    let mut child = start_first(command)
        .map_err(|error| RevisionError::Unknown(format!("cannot run {}: {error}", settings.nginx.display())))?;
    let stderr = child.stderr.take();
    let run = async {
        let text = match stderr {
            Some(stderr) => read(stderr).await,
            None => String::new(),
        };
        (child.wait().await, text)
    };
    let Ok((status, text)) = tokio::time::timeout(settings.test_timeout, run).await else {
        let _ = child.kill().await;
        return Err(RevisionError::Unknown(format!("`nginx -t` did not end within {:?}", settings.test_timeout)));
    };
    match status {
        Ok(status) if status.success() => {
            for line in text.lines().filter(|line| line.contains("[warn]")) {
                tracing::warn!(target: "nginx", "{}", shorten(line));
            }
            Ok(())
        }
        // Ended by a signal: by the system, for want of memory, not by what it read. An end by itself says what is wrong.
        Ok(status) if status.code().is_none() => {
            Err(RevisionError::Unknown(format!("`nginx -t`: {status}: {}", shorten(&text))))
        }
        Ok(_) => Err(RevisionError::Rejected(explain_unloadable_module(reason(&text)))),
        Err(error) => Err(RevisionError::Unknown(format!("`nginx -t`: {error}"))),
    }
}

fn command(settings: &SupervisorSettings, main: &Path) -> Command {
    let mut command = Command::new(&settings.nginx);
    command
        // The prefix is what relative paths of logs and temporary files are relative to; `include` and certificates are
        // relative to the main file.
        .arg("-p")
        .arg(&settings.runtime)
        .args(["-e", "stderr", "-c"])
        .arg(main)
        .args(["-g", "daemon off;"])
        // By this variable nginx inherits sockets.
        .env_remove("NGINX")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// All of a short text, the beginning of a long one. Reads to the end, so that the writer is never stuck.
async fn read(mut from: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    let _ = (&mut from).take(64 * 1024).read_to_end(&mut text).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Of what a failed test prints: why, without the warnings before and "test failed" after it.
fn reason(text: &str) -> String {
    let grave = ["[emerg]", "[alert]", "[crit]", "[error]"];
    let lines: Vec<&str> = text.lines().filter(|line| grave.iter().any(|level| line.contains(level))).collect();
    shorten(&if lines.is_empty() { text.trim().to_owned() } else { lines.join("\n") })
}

/// As much of a text as an outcome has room for.
fn shorten(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

/// The nginx that serves. Dropping it ends it without grace.
#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    pub(crate) group: ProcessGroup,
    emergencies: mpsc::Receiver<String>,
    ended: Option<ExitStatus>,
}

impl Nginx {
    /// Starts it on a main file.
    pub(crate) fn start(settings: &SupervisorSettings, main: &Path) -> std::io::Result<Nginx> {
        // nginx' workers wait for whoever reads what they log.
        let (stderr, writer) = pipe()?;
        let mut command = command(settings, main);
        command.stderr(writer);
        let child = start_first(command)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        // Not waited for yet, so it is there, dead or alive.
        let process = pid.and_then(Process::find).ok_or_else(|| std::io::Error::other("/proc is not mounted"))?;
        let (sender, emergencies) = mpsc::channel(64);
        let nginx = Nginx { child, group: ProcessGroup(process), emergencies, ended: None };
        spawn_first("nginx-stderr", move || pass_on(stderr, process.pid, &sender))?;
        Ok(nginx)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.group.0.pid
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.group.0.signal(signal);
    }

    /// Waits for the master's end. Cancelling loses nothing.
    pub(crate) async fn wait(&mut self) -> String {
        let status = match self.ended {
            Some(status) => Ok(status),
            None => self.child.wait().await,
        };
        match status {
            Ok(status) => {
                self.ended = Some(status);
                status.to_string()
            }
            Err(error) => error.to_string(),
        }
    }

    /// How the master ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<String> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.map(|status| status.to_string())
    }

    /// Adds what the master called an emergency since this was last asked; whether it has given up by that. It tries again
    /// to bind an address in use, and says when it stops trying.
    pub(crate) fn read_emergencies(&mut self, nginx_stderr: &mut String) -> bool {
        let mut gave_up = false;
        while let Ok(line) = self.emergencies.try_recv() {
            gave_up |= !(line.contains(" bind() to ") && line.contains("(98:"));
            if nginx_stderr.len() + line.len() < LONGEST {
                nginx_stderr.push_str(&line);
                nginx_stderr.push('\n');
            }
        }
        gave_up
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
        }
    }
}

/// Passes nginx's lines on as events, and the master's emergencies to the supervisor, until nginx has ended.
fn pass_on(mut stderr: PipeReader, master: i32, emergencies: &mpsc::Sender<String>) {
    let mut line = Vec::new();
    let mut chunk = vec![0; 8192];
    loop {
        let length = match stderr.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(length @ 1..) => length,
            Ok(0) | Err(_) => return,
        };
        for &byte in &chunk[..length] {
            if byte == b'\n' {
                pass_line(&String::from_utf8_lossy(&line), master, emergencies);
                line.clear();
            } else if line.len() < LONGEST {
                line.push(byte);
            }
        }
    }
}

fn pass_line(line: &str, master: i32, emergencies: &mpsc::Sender<String>) {
    let level = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(level, _)| level);
    match level {
        "emerg" | "alert" | "crit" | "error" => tracing::error!(target: "nginx", "{line}"),
        "warn" => tracing::warn!(target: "nginx", "{line}"),
        "debug" => tracing::debug!(target: "nginx", "{line}"),
        _ => tracing::info!(target: "nginx", "{line}"),
    }
    if level == "emerg" {
        // `2026/01/02 03:04:05 [emerg] PID#THREAD: words`, or `nginx: [emerg] words` before the log is open.
        let rest = line.split_once("[emerg] ").map_or("", |(_, rest)| rest);
        let by = rest.split_once('#').and_then(|(pid, _)| pid.parse::<i32>().ok());
        if by.is_none_or(|pid| pid == master) {
            let _ = emergencies.try_send(line.to_owned());
        }
    }
}
