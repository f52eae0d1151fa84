//! Many changes at once.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::{Figure, Samples, time};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use tokio::time::{sleep, sleep_until};

use crate::backend::Backend;
use crate::entry::Entry;
use crate::objects;
use crate::settled::{answers, lead, settle};
use crate::stage::{STORM_PROBE, Stage, create};

/// Changes of a storm, the last of which is looked for.
const CHANGES: u32 = 500;
/// In which they are made.
const WITHIN: Duration = Duration::from_millis(950);
/// Until the last change is all that new connections see.
const LIVE: Duration = Duration::from_secs(1);
/// Between two storms.
const REST: Duration = Duration::from_secs(1);
/// Requests to the API server at a time.
const AT_A_TIME: usize = 32;
const NAMESPACE: &str = "storm";

/// 500 changes within a second, of manifests and in the API server.
///
/// # Errors
/// A part fails.
pub fn storm(stage: &Stage) -> Result<Vec<Figure>> {
    let others = stage.either(1000, 500);
    stage.runtime.block_on(async { Ok(vec![from_directory(stage, others).await?, from_server(stage, others).await?]) })
}

/// When a change is due.
fn due(began: Instant, number: u32) -> tokio::time::Instant {
    (began + WITHIN * number / CHANGES).into()
}

/// Where Services lead in a storm of this number.
fn port(round: usize) -> u16 {
    if round.is_multiple_of(2) { 81 } else { 80 }
}

async fn from_directory(stage: &Stage, others: u16) -> Result<Figure> {
    let (one, other) = (Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?);
    let ports = [one.address.port(), other.address.port()];
    let probe = |to: usize| objects::service("probe", Some("127.0.0.1"), ports[to]);
    let directory = stage.directory()?;
    objects::write_others(directory.path(), others)?;
    objects::write(directory.path(), "probe", &probe(0))?;
    let entry = stage.run_from(directory.path()).await?;
    let storm = async |round: usize, began: Instant| {
        for number in 0..CHANGES - 1 {
            sleep_until(due(began, number)).await;
            change_other(directory.path(), u16::try_from(number)?, port(round))?;
        }
        sleep_until(due(began, CHANGES - 1)).await;
        let last = Instant::now();
        objects::write(directory.path(), "probe", &probe(1 - round % 2))?;
        Ok(last)
    };
    measure(stage, &entry, "storm-live-dir", storm).await
}

fn change_other(directory: &Path, number: u16, port: u16) -> Result<()> {
    let [high, low] = number.to_be_bytes();
    let name = format!("other-{number}");
    objects::write(directory, &name, &objects::service(&name, Some(&format!("127.65.{high}.{low}")), port))
}

async fn from_server(stage: &Stage, others: u16) -> Result<Figure> {
    let (one, other) = (Backend::start(STORM_PROBE, "one").await?, Backend::start(STORM_PROBE, "other").await?);
    let ports = [one.address.port(), other.address.port()];
    let client = stage.client(NAMESPACE).await?;
    let services = (0..others).map(|number| objects::service(&format!("other-{number}"), None, 80));
    let services = services.chain([objects::service("probe", Some(STORM_PROBE), ports[0])]);
    create::<Service>(&client, NAMESPACE, services).await?;
    let entry = stage.run(&stage.server_flags(NAMESPACE)?).await?;
    let api = Api::<Service>::namespaced(client, NAMESPACE);
    let storm = async |round: usize, began: Instant| {
        make_changes(began, async |number| lead(&api, &format!("other-{number}"), port(round)).await).await?;
        let last = Instant::now();
        lead(&api, "probe", ports[1 - round % 2]).await?;
        Ok(last)
    };
    measure(stage, &entry, "storm-live-api", storm).await
}

/// All changes of a storm but the last, each by its number, and waits until the last is due.
///
/// # Errors
/// One cannot be made.
pub async fn make_changes(began: Instant, change: impl AsyncFn(u32) -> Result<()>) -> Result<()> {
    let changes = (0..CHANGES - 1).map(async |number| {
        sleep_until(due(began, number)).await;
        change(number).await
    });
    stream::iter(changes).buffered(AT_A_TIME).try_collect::<()>().await?;
    sleep_until(due(began, CHANGES - 1)).await;
    Ok(())
}

/// Several storms. `storm` makes one, by its number and when it begins, and tells when the last change was made.
async fn measure(
    stage: &Stage,
    entry: &Entry,
    name: &'static str,
    storm: impl AsyncFn(usize, Instant) -> Result<Instant>,
) -> Result<Figure> {
    let reloads = entry.reloads().await?;
    let (mut live, mut made_in) = (Vec::new(), Vec::new());
    for round in 0..stage.either(6, 2) {
        let began = Instant::now();
        let all = async {
            let last = storm(round, began).await?;
            made_in.push(began.elapsed());
            Ok(last)
        };
        live.push(settle(entry.http, answers(round % 2), all).await.with_context(|| entry.said())?);
        sleep(REST).await;
    }
    ensure!(entry.reloads().await? == reloads, "nginx was reloaded");
    Ok(figure(name, LIVE, live, made_in))
}

/// How long after the last change of each storm that was live.
pub fn figure(name: &'static str, most: Duration, live: Vec<Duration>, made_in: Vec<Duration>) -> Figure {
    let (live, made_in) = (Samples::new(live), Samples::new(made_in));
    Figure {
        name,
        measured: time(live.median()),
        limit: format!("<= {}", time(most)),
        reached: live.median() <= most,
        noisy: live.noisy(),
        detail: format!(
            "from the last of {CHANGES} changes to the last old answer, {} storms: {live}; made in {made_in}",
            live.len()
        ),
    }
}
