//! The keeper: a small process that ends a group of daemons when their owner is gone.
//!
//! Control groups that have the name of the daemons' directory are removed too, with all below them.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::command::cannot_start;

/// Waits for the end of its standard input, then kills whatever runs with one of the marks and removes the directory.
/// `$1` is the directory, the rest are the marks: arguments by which the daemons are known.
///
/// A process is known by its command line, not by a pid file: no pid is ever stale, no other owner's daemon is ever hit,
/// and a process that ended but was not waited for has an empty command line. SIGKILL also ends frozen processes.
/// The second round catches what was being started during the first.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
while read -r _; do :; done
directory=$1
shift
round=0
while [ "$round" -lt 200 ]; do
    found=
    for mark; do
        # An argument ends with a zero byte: -z -x matches whole arguments only.
        for file in $(grep -lzxF -e "$mark" /proc/[0-9]*/cmdline 2>/dev/null); do
            pid=${file#/proc/}
            pid=${pid%/cmdline}
            # This shell carries the marks too.
            [ "$pid" != "$$" ] && kill -KILL "$pid" && found=yes
        done
    done
    [ -z "$found" ] && [ "$round" -gt 0 ] && break
    round=$((round + 1))
    sleep 0.05
done
# A control group can be removed once the last process in it is gone, which is also when nothing writes to the directory.
round=0
while [ "$round" -lt 200 ]; do
    groups=$(find /sys/fs/cgroup -depth -type d \( -path "*/${directory##*/}/*" -o -name "${directory##*/}" \) 2>/dev/null)
    [ -z "$groups" ] && break
    # Names of control groups have no spaces.
    rmdir $groups 2>/dev/null || sleep 0.05
    round=$((round + 1))
done
rm -rf -- "$directory"
"#;

/// The keeper's process. Dropping it ends the daemons, removes the directory, and waits until that is done.
#[derive(Debug)]
pub struct Keeper {
    child: Child,
}

impl Keeper {
    /// Starts the keeper of `dir`, whose daemons each carry one of the arguments `marks`.
    pub fn start(dir: &Path, marks: &[&str]) -> Result<Keeper> {
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT, "sparrow-testbed-keeper"])
            .arg(dir)
            .args(marks)
            // Only this process holds the other end (it is close-on-exec), so however this process ends, the keeper knows.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of the terminal's Ctrl-C.
            .process_group(0);
        let child = command.spawn().map_err(|error| cannot_start(&command, error)).context("start the keeper")?;
        Ok(Keeper { child })
    }

    /// The keeper's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Closes its standard input, then waits: the script is bounded.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
