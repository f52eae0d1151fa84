//! Many changes at once.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
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
pub const CHANGES: u32 = 500;
/// In which they are made.
const WITHIN: Duration = Duration::from_millis(950);
/// Reloads at most, for each second in which a storm is made.
const RELOADS: f64 = 8.0;
/// Until the last change is all that new connections see.
const LIVE: Duration = Duration::from_secs(1);
/// Between two storms.
const REST: Duration = Duration::from_secs(1);
/// Requests to the API server at a time.
const AT_A_TIME: usize = 32;
const NAMESPACE: &str = "storm";

/// What storms did.
#[derive(Debug, Default)]
struct Storms {
    reloads: Vec<u64>,
    live: Vec<Duration>,
    made_in: Vec<Duration>,
}

/// 500 changes within a second, of manifests and in the API server.
///
/// # Errors
/// A part fails.
pub fn storm(stage: &Stage) -> Result<Vec<Figure>> {
    let others = stage.either(1000, 500);
    stage.runtime.block_on(async {
        let mut figures = from_directory(stage, others).await?;
        figures.extend(from_server(stage, others).await?);
        Ok(figures)
    })
}

/// When a change is due.
fn due(began: Instant, number: u32) -> tokio::time::Instant {
    (began + WITHIN * number / CHANGES).into()
}

/// Where Services lead in a storm of this number.
fn port(round: usize) -> u16 {
    if round.is_multiple_of(2) { 81 } else { 80 }
}

async fn from_directory(stage: &Stage, others: u16) -> Result<Vec<Figure>> {
    let (one, other) = (Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?);
    let ports = [one.address.port(), other.address.port()];
    let probe = |to: usize| objects::service("probe", Some("127.0.0.1"), ports[to]);
    let directory = stage.directory()?;
    objects::write_others(directory.path(), others)?;
    objects::write(directory.path(), "probe", &probe(0))?;
    let entry = stage.run_from(directory.path(), &stage.newest).await?;
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
    Ok(measure(stage, &entry, storm).await?.figures(["storm-reloads-dir", "storm-live-dir"]))
}

fn change_other(directory: &Path, number: u16, port: u16) -> Result<()> {
    let [high, low] = number.to_be_bytes();
    let name = format!("other-{number}");
    objects::write(directory, &name, &objects::service(&name, Some(&format!("127.65.{high}.{low}")), port))
}

async fn from_server(stage: &Stage, others: u16) -> Result<Vec<Figure>> {
    let (one, other) = (Backend::start(STORM_PROBE, "one").await?, Backend::start(STORM_PROBE, "other").await?);
    let ports = [one.address.port(), other.address.port()];
    let client = stage.client(NAMESPACE).await?;
    let services = (0..others).map(|number| objects::service(&format!("other-{number}"), None, 80));
    let services = services.chain([objects::service("probe", Some(STORM_PROBE), ports[0])]);
    create::<Service>(&client, NAMESPACE, services).await?;
    let entry = stage.run(stage.server_flags(NAMESPACE)?, &stage.newest).await?;
    let api = Api::<Service>::namespaced(client, NAMESPACE);
    let storm = async |round: usize, began: Instant| {
        make_changes(began, async |number| lead(&api, &format!("other-{number}"), port(round)).await).await?;
        let last = Instant::now();
        lead(&api, "probe", ports[1 - round % 2]).await?;
        Ok(last)
    };
    Ok(measure(stage, &entry, storm).await?.figures(["storm-reloads-api", "storm-live-api"]))
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
    storm: impl AsyncFn(usize, Instant) -> Result<Instant>,
) -> Result<Storms> {
    let mut storms = Storms::default();
    for round in 0..stage.either(6, 2) {
        let before = entry.reloads().await?;
        let began = Instant::now();
        let mut made_in = Duration::ZERO;
        let all = async {
            let last = storm(round, began).await?;
            made_in = began.elapsed();
            Ok(last)
        };
        storms.live.push(settle(entry.http, answers(round % 2), all).await.with_context(|| entry.said())?);
        sleep(REST).await;
        storms.made_in.push(made_in);
        storms.reloads.push(entry.reloads().await? - before);
    }
    Ok(storms)
}

impl Storms {
    fn figures(self, [reloads, live]: [&'static str; 2]) -> Vec<Figure> {
        let rate = |(reloads, made_in): (&u64, &Duration)| {
            f64::from(u32::try_from(*reloads).unwrap_or(u32::MAX)) / made_in.as_secs_f64().max(1.0)
        };
        let most = self.reloads.iter().zip(&self.made_in).map(rate).fold(0.0, f64::max);
        let each: Vec<String> = self.reloads.iter().map(u64::to_string).collect();
        let (settled, made_in) = (Samples::new(self.live), Samples::new(self.made_in));
        vec![
            Figure {
                name: reloads,
                measured: format!("{most:.1} /s"),
                limit: format!("<= {RELOADS:.1} /s"),
                reached: most <= RELOADS,
                noisy: false,
                detail: format!(
                    "the most of {} storms of {CHANGES} changes in {made_in}: {}",
                    each.len(),
                    each.join(" ")
                ),
            },
            Figure {
                name: live,
                measured: time(settled.median()),
                limit: format!("<= {}", time(LIVE)),
                reached: settled.median() <= LIVE,
                noisy: settled.noisy(),
                detail: format!("from the last change to the last old answer: {settled}"),
            },
        ]
    }
}
