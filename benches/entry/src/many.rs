//! Thousands of objects in the API server.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::{Figure, Samples, time, timed};
use bench_figures::process::{mib, peak_bytes, resident_bytes};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use tokio::time::sleep;

use crate::entry::{Entry, Start, common};
use crate::objects;
use crate::stage::{Stage, create};

/// For `generate`, from its start to its end.
const GENERATE: Duration = Duration::from_millis(1500);
/// For `watch`.
const RESIDENT: u64 = 64 << 20;
/// After it is ready: what it needed for the beginning is given back by then.
const REST: Duration = Duration::from_secs(10);
const NAMESPACE: &str = "many";

/// `generate` with 5,000 Services, and the memory of `watch` with as many Ingresses besides.
///
/// # Errors
/// A part fails.
pub fn many(stage: &Stage) -> Result<Vec<Figure>> {
    let count = stage.either(5000, 500);
    stage.runtime.block_on(async {
        let client = stage.client(NAMESPACE).await?;
        let services = (0..count).map(|number| objects::service(&format!("service-{number}"), None, 80));
        create::<Service>(&client, NAMESPACE, services).await?;
        let generate = generate(stage, count)?;
        let ingresses =
            (0..count).map(|number| objects::ingress(&format!("host-{number}"), &format!("service-{number}")));
        create::<Ingress>(&client, NAMESPACE, ingresses).await?;
        Ok(vec![generate, memory(stage, count).await?])
    })
}

/// All objects are in one namespace, which may have more than one usually may.
fn flags(stage: &Stage) -> Result<Vec<String>> {
    let mut flags = stage.server_flags(NAMESPACE)?;
    flags.extend(["--max-hosts-per-namespace=5000", "--max-rules-per-namespace=10000"].map(str::to_owned));
    Ok(flags)
}

fn generate(stage: &Stage, count: usize) -> Result<Figure> {
    let from = flags(stage)?;
    let mut times = Vec::new();
    for _ in 0..stage.either(7, 3) {
        let directory = stage.directory()?;
        let mut command = Command::new(&stage.binary);
        command.arg("generate").args(common(directory.path(), &stage.newest)).args(&from).stdin(Stdio::null());
        let (took, output) = timed(|| command.output().context("run sparrow-entry generate"))?;
        ensure!(output.status.success(), "generate: {}", String::from_utf8_lossy(&output.stderr));
        let volume = directory.path().join("volume");
        let offered = fs::read_to_string(volume.join("offered"))?;
        let written = fs::read_to_string(volume.join("generations").join(offered.trim()).join("nginx.conf"))?;
        let upstreams = written.matches("upstream ").count();
        ensure!(upstreams >= count, "{upstreams} backends of {count} were written");
        times.push(took);
    }
    let times = Samples::new(times);
    Ok(Figure {
        name: "generate-5000",
        measured: time(times.median()),
        limit: format!("<= {}", time(GENERATE)),
        reached: times.median() <= GENERATE,
        noisy: times.noisy(),
        detail: format!("the whole process with {count} Services from the API server: {times}"),
    })
}

async fn memory(stage: &Stage, count: usize) -> Result<Figure> {
    let arguments = flags(stage)?;
    let entry =
        Entry::start(Start { binary: &stage.binary, command: "watch", nginx: &stage.newest, arguments }).await?;
    let hosts = entry.metric("sparrow_entry_hosts").await?;
    // And the host of all Services.
    ensure!(format!("{hosts}") == (count + 1).to_string(), "{hosts} hosts of {count}");
    sleep(REST).await;
    let resident = resident_bytes(entry.pid())?;
    Ok(Figure {
        name: "watch-memory",
        measured: mib(resident),
        limit: format!("<= {} MiB", RESIDENT >> 20),
        reached: resident <= RESIDENT,
        noisy: false,
        detail: format!(
            "`watch` with {count} Services and {count} Ingresses, at rest; most {}",
            mib(peak_bytes(entry.pid())?)
        ),
    })
}
