//! Thousands of objects in the API server.

use std::collections::HashSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::{Figure, Samples, time, timed};
use bench_figures::process::mib;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::sleep;

use crate::backend::Backend;
use crate::entry::metric;
use crate::objects;
use crate::pod::Pod;
use crate::settled::{answers, lead, settle};
use crate::stage::{MANY_PROBE, Stage, create};
use crate::storm::{figure, make_changes};

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
/// Begins the names of Services, which a number ends.
const NAMED: &[u8] = b"service-";

/// `generate` with 5,000 Services, and a pod with as many Ingresses besides: the memory of its `watch`, and storms.
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
        Ok([generate].into_iter().chain(storms(stage, &client, count).await?).collect())
    })
}

/// Storms of Ingresses that are led to other Services, with all these objects: until the last change is live, and the memory of `watch`
/// before them and after them.
async fn storms(stage: &Stage, client: &Client, count: usize) -> Result<[Figure; 3]> {
    let backends = [Backend::start(MANY_PROBE, "one").await?, Backend::start(MANY_PROBE, "other").await?];
    let ports = [backends[0].address.port(), backends[1].address.port()];
    create::<Service>(client, NAMESPACE, [objects::service("probe", Some(MANY_PROBE), ports[0])]).await?;
    let pod = Pod::start(stage, &stage.server_flags(NAMESPACE)?).await?;
    let hosts = metric(pod.watch_admin, "sparrow_entry_hosts").await?;
    // And the host of all Services.
    ensure!(format!("{hosts}") == (count + 1).to_string(), "{hosts} hosts of {count}");
    sleep(REST).await;
    let at_rest = pod.watch_bytes()?;
    let api = Api::<Service>::namespaced(client.clone(), NAMESPACE);
    let ingresses = Api::<Ingress>::namespaced(client.clone(), NAMESPACE);
    let reloads = metric(pod.nginx_admin, RELOADS).await?;
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
    ensure!(format!("{reloads}") == format!("{}", metric(pod.nginx_admin, RELOADS).await?), "nginx was reloaded");
    sleep(REST).await;
    let objects = format!("`watch` of a pod with {} Services and {count} Ingresses, at rest", count + 1);
    Ok([
        of_memory("watch-memory", at_rest, objects.clone()),
        figure("storm-live-table", LIVE, live, made_in),
        of_memory("watch-memory-table", pod.watch_bytes()?, format!("{objects} after the storms")),
    ])
}

fn of_memory(name: &'static str, resident: u64, detail: String) -> Figure {
    Figure {
        name,
        measured: mib(resident),
        limit: format!("<= {} MiB", RESIDENT >> 20),
        reached: resident <= RESIDENT,
        noisy: false,
        detail,
    }
}

/// The numbers of the Services that a record of a table names.
fn names(record: &[u8]) -> HashSet<Vec<u8>> {
    let digits = |text: &[u8]| text.iter().copied().take_while(u8::is_ascii_digit).collect();
    let named = record.windows(NAMED.len()).enumerate().filter(|(_, text)| *text == NAMED);
    named.map(|(at, _)| digits(&record[at + NAMED.len()..])).collect()
}

fn generate(stage: &Stage, count: usize) -> Result<Figure> {
    let from = stage.server_flags(NAMESPACE)?;
    let mut times = Vec::new();
    for _ in 0..stage.either(7, 3) {
        let directory = stage.directory()?;
        let mut command = Command::new(&stage.binary);
        command.arg("generate").args(stage.flags(directory.path())).args(&from).stdin(Stdio::null());
        let (took, output) = timed(|| command.output().context("run sparrow-entry generate"))?;
        ensure!(output.status.success(), "generate: {}", String::from_utf8_lossy(&output.stderr));
        let volume = directory.path().join("volume");
        let frame = fs::read_to_string(volume.join("offered"))?;
        let mut routes = HashSet::new();
        for record in fs::read_dir(volume.join("tables").join(frame.trim()))? {
            routes.extend(names(&fs::read(record?.path())?));
        }
        ensure!(routes.len() >= count, "{} routes of {count} were written", routes.len());
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
