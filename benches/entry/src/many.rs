//! Thousands of objects in the API server.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::{Figure, Samples, time, timed};
use bench_figures::process::{mib, peak_bytes, resident_bytes};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::sleep;

use crate::backend::Backend;
use crate::entry::{Entry, Start, common};
use crate::objects;
use crate::pod::Pod;
use crate::settled::{answers, lead, settle};
use crate::stage::{MANY_PROBE, Stage, create};
use crate::storm::{CHANGES, make_changes};

/// For `generate`, from its start to its end.
const GENERATE: Duration = Duration::from_millis(1500);
/// For `watch`.
const RESIDENT: u64 = 64 << 20;
/// Until the last change of a storm is live.
const LIVE: Duration = Duration::from_millis(50);
const RELOADS: &str = "sparrow_entry_nginx_reloads_total";
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
        let memory = memory(stage, count).await?;
        let [live, memory_of_table] = storm_of_table(stage, &client, count).await?;
        Ok(vec![generate, memory, live, memory_of_table])
    })
}

/// Storms of Ingresses that are led to other Services, with all these objects, and a pod with the module: until the last change is live, and the memory of `watch`.
async fn storm_of_table(stage: &Stage, client: &Client, count: usize) -> Result<[Figure; 2]> {
    let backends = [Backend::start(MANY_PROBE, "one").await?, Backend::start(MANY_PROBE, "other").await?];
    let ports = [backends[0].address.port(), backends[1].address.port()];
    create::<Service>(client, NAMESPACE, [objects::service("probe", Some(MANY_PROBE), ports[0])]).await?;
    let pod = Pod::start(stage, &stage.server_flags(NAMESPACE)?).await?;
    sleep(REST).await;
    let at_rest = pod.watch_bytes()?;
    let api = Api::<Service>::namespaced(client.clone(), NAMESPACE);
    let ingresses = Api::<Ingress>::namespaced(client.clone(), NAMESPACE);
    let reloads = pod.metric(RELOADS).await?;
    let (mut live, mut made_in) = (Vec::new(), Vec::new());
    for round in 0..stage.either(6, 2) {
        let began = Instant::now();
        let storm = async {
            make_changes(began, async |number| {
                let (name, to) = (format!("host-{number}"), (number as usize + round + 1) % count);
                let ingress = objects::ingress(&name, &format!("service-{to}"));
                let patch = Patch::Merge(json!({ "spec": ingress["spec"] }));
                ingresses.patch(&name, &PatchParams::default(), &patch).await?;
                Ok(())
            })
            .await?;
            lead(&api, "probe", ports[1 - round % 2]).await?;
            made_in.push(began.elapsed());
            // From the API server's answer on.
            Ok(Instant::now())
        };
        live.push(settle(pod.http, answers(round % 2), storm).await.with_context(|| pod.said())?);
    }
    ensure!(format!("{reloads}") == format!("{}", pod.metric(RELOADS).await?), "nginx was reloaded");
    let (live, made_in) = (Samples::new(live), Samples::new(made_in));
    sleep(REST).await;
    let resident = pod.watch_bytes()?;
    Ok([
        Figure {
            name: "storm-live-table",
            measured: time(live.median()),
            limit: format!("<= {}", time(LIVE)),
            reached: live.median() <= LIVE,
            noisy: live.noisy(),
            detail: format!(
                "from the last of {CHANGES} changes to the last old answer, {} storms: {live}; made in {made_in}",
                live.len()
            ),
        },
        Figure {
            name: "watch-memory-table",
            measured: mib(resident),
            limit: format!("<= {} MiB", RESIDENT >> 20),
            reached: resident <= RESIDENT,
            noisy: false,
            detail: format!("`watch` of a pod with the module, at rest after the storms; before them {}", mib(at_rest)),
        },
    ])
}

/// All objects are in one namespace, which may have more than one usually may.
fn flags(stage: &Stage) -> Result<Vec<String>> {
    stage.many_flags(&stage.server_flags(NAMESPACE)?, false)
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
