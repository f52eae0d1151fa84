//! What the kernel says of a process.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Resident memory, in bytes.
///
/// # Errors
/// It has ended.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// The most that resident memory ever was, in bytes.
///
/// # Errors
/// It has ended.
pub fn peak_bytes(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("{field} in {path}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{field}{line}"))?;
    Ok(kib * 1024)
}

/// Threads and open file descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handles {
    /// Threads.
    pub threads: usize,
    /// Open file descriptors.
    pub descriptors: usize,
}

/// What a process has open now.
///
/// # Errors
/// It has ended.
pub fn handles(pid: u32) -> Result<Handles> {
    let count = |what: &str| -> Result<usize> {
        let path = format!("/proc/{pid}/{what}");
        Ok(fs::read_dir(&path).with_context(|| format!("read {path}"))?.count())
    };
    Ok(Handles { threads: count("task")?, descriptors: count("fd")? })
}

/// What a process has open at rest: idle threads have ended, and passing ones do not count.
///
/// # Errors
/// It has ended.
pub fn resting_handles(pid: u32) -> Result<Handles> {
    // Idle worker threads live for five seconds.
    std::thread::sleep(Duration::from_secs(8));
    let began = Instant::now();
    let mut least = handles(pid)?;
    while began.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(20));
        let now = handles(pid)?;
        least.threads = least.threads.min(now.threads);
        least.descriptors = least.descriptors.min(now.descriptors);
    }
    Ok(least)
}

/// The processor time of the calling thread so far: what else the machine does is not in it.
///
/// # Errors
/// The kernel does not count it (`CONFIG_SCHED_INFO`).
pub fn thread_time() -> Result<Duration> {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let nanos = text.split(' ').next().context("an empty file")?;
    Ok(Duration::from_nanos(nanos.parse().with_context(|| format!("{nanos:?} in {path}"))?))
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB")
}
