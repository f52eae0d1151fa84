//! The memory of nginx's workers that find routes in a table.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::Figure;
use bench_figures::process::mib;

use crate::backend::Backend;
use crate::cpu::workers;
use crate::objects;
use crate::requests::{BODY, ask, every_request};
use crate::stage::Stage;

/// So many clients each ask for every host, so that each worker has looked up nearly all of them.
const CLIENTS: usize = 8;

/// The memory of a worker.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    /// Of its mappings that are not shared: the pages that no other process has. Those that it still shares with the master, from which it
    /// was forked, are not counted.
    private: u64,
    /// Of all its mappings: each page in equal parts for all that have it.
    proportional: u64,
    /// Of its mappings that are shared, whoever else has their pages: the table, what is counted, and nginx's own zones.
    shared: u64,
}

/// The memory of a worker with many and very many routes, after requests for all of them.
///
/// # Errors
/// A part fails, or an answer is wrong.
pub fn memory(stage: &Stage) -> Result<Vec<Figure>> {
    let sizes = [("worker-memory-5000", (5000, 500), 12), ("worker-memory-50000", (50_000, 5000), 40)];
    stage.runtime.block_on(async {
        let one = measure(stage, 1).await?;
        let mut figures = Vec::new();
        for (name, (full, quick), limit) in sizes {
            let routes = stage.either(full, quick);
            let many = measure(stage, routes).await?;
            figures.push(Figure {
                name,
                measured: mib(many.private),
                limit: format!("<= {limit} MiB"),
                reached: many.private <= limit << 20,
                noisy: false,
                detail: format!(
                    "private to the worker that has more, after {CLIENTS} requests for each of {routes} hosts; Pss {}, shared mappings \
                     {}; with one host {}, {}, {}",
                    mib(many.proportional),
                    mib(many.shared),
                    mib(one.private),
                    mib(one.proportional),
                    mib(one.shared)
                ),
            });
        }
        Ok(figures)
    })
}

/// That of the worker which has more of its own.
async fn measure(stage: &Stage, routes: u16) -> Result<Memory> {
    let backend = Backend::start("127.0.0.1", &"x".repeat(BODY)).await?;
    let directory = stage.directory()?;
    objects::write_hosts(directory.path(), routes, backend.address)?;
    let entry = stage.run_from(directory.path()).await?;
    ask(entry.http, CLIENTS, usize::from(routes), &every_request(routes)).await?;
    let workers = workers(entry.nginx_pid()?)?.into_iter().map(memory_of).collect::<Result<Vec<_>>>()?;
    workers.into_iter().max_by_key(|memory| memory.private).context("nginx has no worker")
}

/// As the kernel tells it: `proc_pid_smaps(5)`.
fn memory_of(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let memory = parse(&text)?;
    ensure!(memory.private > 0 && memory.shared > 0, "{path} tells of no memory: {memory:?}");
    Ok(memory)
}

fn parse(smaps: &str) -> Result<Memory> {
    let (mut memory, mut is_shared) = (Memory::default(), false);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        let size = || second.parse::<u64>().map(|kib| kib * 1024).with_context(|| line.to_owned());
        match first {
            "Pss:" => memory.proportional += size()?,
            "Rss:" if is_shared => memory.shared += size()?,
            "Private_Clean:" | "Private_Dirty:" if !is_shared => memory.private += size()?,
            // The line with which a mapping begins: its addresses, then what may be done with it, and whether it is shared.
            _ if !first.ends_with(':') => is_shared = second.ends_with('s'),
            _ => {}
        }
    }
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn pages_of_shared_mappings_are_not_private() {
        let smaps = "5581-5582 rw-p 00000000 00:00 0    [heap]\nRss: 12 kB\nPss: 10 kB\nPss_Dirty: 9 kB\nShared_Clean: 1 kB\n\
                     Private_Clean: 3 kB\nPrivate_Dirty: 5 kB\nVmFlags: rd wr\n7f00-7f01 r--s 00000000 00:01 9   /memfd:table (deleted)\n\
                     Rss: 64 kB\nPss: 32 kB\nPrivate_Clean: 7 kB\nPrivate_Dirty: 0 kB\n";
        let memory = parse(smaps).unwrap();
        assert_eq!((memory.private, memory.proportional, memory.shared), (8 << 10, 42 << 10, 64 << 10));
    }
}
