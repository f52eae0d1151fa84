//! A small process that ends nginx when its supervisor is gone without having ended it (SIGKILL, out of memory).

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::proc::ProcessGroup;

/// Reads which nginx there is (pid and start time, or nothing), and waits for the end of its input. An orderly stop has said
/// "nothing" before. The start time tells that the pid is not another process's by now.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
last=
while read -r line; do last=$line; done
pid=${last% *}
start=${last#* }
[ -n "$pid" ] || exit 0
running() {
    read -r stat 2>/dev/null <"/proc/$pid/stat" || return 1
    set -- ${stat##*) }
    [ "${20}" = "$start" ] && [ "$1" != Z ]
}
running && kill -TERM "$pid"
round=0
while running; do
    round=$((round + 1))
    [ "$round" -ge 50 ] && kill -KILL -- "-$pid" && exit 0
    sleep 0.1
done
"#;

/// The reaper, if there is use for one, and this system has a shell.
#[derive(Debug)]
pub(crate) struct NginxReaper(Option<Child>);

impl NginxReaper {
    pub(crate) fn start() -> NginxReaper {
        // The first process of a container takes all others with it, and its image needs no shell.
        if std::process::id() == 1 {
            return NginxReaper(None);
        }
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sparrow-nginx-reaper"])
            // Only this process holds the other end (it is close-on-exec): however this process ends, the reaper knows.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to the supervisor's group is not for it.
            .process_group(0)
            .spawn()
            .inspect_err(|error| {
                tracing::warn!(%error, "no /bin/sh: if this process is killed, its nginx stays until the next one starts");
            });
        NginxReaper(child.ok())
    }

    /// Says which nginx there is now.
    pub(crate) async fn watch_over(&mut self, group: Option<ProcessGroup>) {
        let Some(stdin) = self.0.as_mut().and_then(|child| child.stdin.as_mut()) else { return };
        let line = group.map_or_else(String::new, |group| format!("{} {}", group.0.pid, group.0.start));
        if let Err(error) = stdin.write_all(format!("{line}\n").as_bytes()).await {
            tracing::warn!(%error, "the process that ends nginx after this one is gone: if this process is killed, its nginx stays");
            self.0 = None;
        }
    }

    /// Ends the reaper after an orderly stop.
    pub(crate) async fn end(mut self) {
        self.watch_over(None).await;
        if let Some(mut child) = self.0.take() {
            drop(child.stdin.take());
            let _ = child.wait().await;
        }
    }
}
