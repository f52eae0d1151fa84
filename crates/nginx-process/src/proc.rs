//! Which processes are nginx's, and how to signal exactly those.
//!
//! nginx runs in a process group of its own, so its workers are known by it also when their master is dead. A pid can be
//! another process's by the time a signal is sent: a process is known by its pid and the time of its start.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use tokio::time::Instant;

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub pid: i32,
    /// In clock ticks since the system's start.
    pub start: u64,
    parent: i32,
    group: i32,
    zombie: bool,
}

/// What a process of nginx says in its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerRole {
    /// Takes new connections, or will.
    Serving,
    /// Has closed its listening sockets and finishes what it has.
    Leaving,
    /// Is just ending: it has no title any more, and may still have sockets.
    Ending,
    /// Has no title of nginx: not nginx, or not yet.
    Other,
}

impl Process {
    /// The process with this pid, now.
    pub(crate) fn find(pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(Process {
            pid,
            start: fields.get(19)?.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            zombie: matches!(*fields.first()?, "Z" | "X"),
        })
    }

    /// The same process is still running.
    pub(crate) fn alive(self) -> bool {
        Process::find(self.pid).is_some_and(|now| now.start == self.start && !now.zombie)
    }

    pub(crate) fn role(self) -> WorkerRole {
        let title = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        if title.is_empty() {
            WorkerRole::Ending
        } else if !title.starts_with(b"nginx: ") {
            WorkerRole::Other
        } else if title.windows(16).any(|part| part == b"is shutting down") {
            WorkerRole::Leaving
        } else {
            WorkerRole::Serving
        }
    }

    /// Sends a signal to this process, and to no other that has its pid by now.
    pub(crate) fn signal(self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return };
        // The handle is of the process that has the pid now; if that is still this process, it stays so.
        if self.alive() {
            let _ = rustix::process::pidfd_send_signal(&handle, signal);
        }
    }
}

/// The running children of a process.
pub(crate) fn children(parent: i32) -> Vec<Process> {
    let listed = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let processes: Vec<Process> = match listed {
        Ok(pids) => pids.split_ascii_whitespace().filter_map(|pid| Process::find(pid.parse().ok()?)).collect(),
        // A kernel without that file.
        Err(_) => all(),
    };
    processes.into_iter().filter(|process| process.parent == parent && !process.zombie).collect()
}

/// The workers of a master that take new connections, by their pids.
pub(crate) fn workers(master: i32) -> Vec<i32> {
    let is_worker = |process: &Process| {
        let title = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        title.starts_with(b"nginx: worker process") && process.role() == WorkerRole::Serving
    };
    children(master).into_iter().filter(is_worker).map(|process| process.pid).collect()
}

fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Process::find(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// The process group of an nginx: its master is, or was, the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessGroup(pub Process);

impl ProcessGroup {
    /// What is left of it: the master, and workers with or without one.
    pub(crate) fn members(self) -> Vec<Process> {
        if Process::find(self.0.pid).is_some_and(|now| now.start != self.0.start) {
            // The number is another process's: a group that still had members would have kept it.
            return Vec::new();
        }
        let member = |process: &Process| {
            process.group == self.0.pid
                && process.start >= self.0.start
                && (process.pid == self.0.pid || process.role() != WorkerRole::Other)
        };
        let mut members: Vec<Process> = all().into_iter().filter(member).collect();
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        members.retain(|process| {
            // The leader is waited for by who started it.
            if process.zombie && process.parent == own && process.pid != self.0.pid {
                let _ = rustix::process::waitpid(Pid::from_raw(process.pid), WaitOptions::NOHANG);
            }
            !process.zombie
        });
        members
    }

    /// Ends all of it: asks the master for `grace`, then kills.
    pub(crate) async fn end(self, grace: Duration) {
        let asked = Instant::now();
        self.0.signal(Signal::TERM);
        loop {
            let members = self.members();
            if members.is_empty() {
                return;
            }
            if !self.0.alive() || asked.elapsed() >= grace {
                for process in members {
                    process.signal(Signal::KILL);
                }
            }
            if asked.elapsed() >= grace + Duration::from_secs(10) {
                tracing::warn!(group = self.0.pid, "processes of nginx do not end, even when killed");
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Writes down which group this is, for who comes after a supervisor that died.
    pub(crate) fn write(self, path: &Path) -> std::io::Result<()> {
        fs::write(path, format!("{} {} {}\n", self.0.pid, self.0.start, epoch()))
    }

    /// The group that was written down, if it was in this life of the container and the machine.
    pub(crate) fn read(path: &Path) -> Option<ProcessGroup> {
        let text = fs::read_to_string(path).ok()?;
        let mut fields = text.trim_end().splitn(3, ' ');
        let pid = fields.next()?.parse().ok().filter(|pid| *pid > 1)?;
        let start = fields.next()?.parse().ok()?;
        (fields.next()? == epoch()).then_some(ProcessGroup(Process {
            pid,
            start,
            parent: 0,
            group: pid,
            zombie: false,
        }))
    }
}

/// In what a pid and a start time mean something: the system's boot and the pid namespace.
fn epoch() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim_end(), namespace.display())
}
