//! The cluster's processes, found by their command lines.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;

/// The running process whose program is named `program` and that has the argument `mark`.
pub fn find(program: &str, mark: &str) -> Result<Option<Pid>> {
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let entry = entry.context("read /proc")?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // A process that ended meanwhile cannot be read; one not yet waited for is empty.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let mut arguments = line.split(|byte| *byte == 0);
        let name = arguments.next().and_then(|path| path.rsplit(|byte| *byte == b'/').next());
        if name == Some(program.as_bytes()) && arguments.any(|argument| argument == mark.as_bytes()) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// Asks a daemon over its admin socket and returns the answer, JSON for nearly every command.
///
/// The protocol: a JSON object and a zero byte; the answer is a big-endian 32-bit length and that many bytes.
pub fn ask(socket: &Path, command: &str) -> Result<String> {
    let context = || format!("ask {command} at {}", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(context)?;
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).with_context(context)?;
    stream.set_write_timeout(patience).with_context(context)?;
    let mut request = serde_json::json!({ "prefix": command, "format": "json" }).to_string();
    request.push('\0');
    stream.write_all(request.as_bytes()).with_context(context)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).with_context(context)?;
    let length = u64::from(u32::from_be_bytes(length));
    let mut answer = String::new();
    stream.take(length).read_to_string(&mut answer).with_context(context)?;
    ensure!(answer.len() as u64 == length, "{}: the answer was cut short", context());
    Ok(answer)
}
