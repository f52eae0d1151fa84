//! From a change of a route to the last old answer, where a module of nginx routes by a table: beside the same nginx with all
//! routes in a file, which is written and reloaded by hand.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_figures::figure::{Figure, Pairs, Samples, time};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::Api;
use serde_json::Value;
use tokio::time::sleep;

use crate::backend::Backend;
use crate::by_hand::ByHand;
use crate::entry::{Entry, flag};
use crate::objects;
use crate::settled::{answers, lead, settle, take_turns};
use crate::stage::{Stage, TABLE_PROBE, create};

/// The most time of a change, in parts of the time by hand: of the medians, and of the p99.
const LIMITS: [f64; 2] = [1.0 / 40.0, 1.0 / 15.0];
/// How much longer it may take with so many more routes.
const FLAT: f64 = 1.5;
const REST: Duration = Duration::from_millis(50);
const NAMESPACE: &str = "table";
/// Where nobody listens.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 65, 0, 1)), 80);

/// Changes of a manifest with few, many and very many routes present, and of a Service in the API server.
///
/// # Errors
/// A part fails.
pub fn table(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async {
        let many = stage.either(10_000, 1000);
        let (mut figures, many_took) = from_directory(stage, many, ["table-p50-dir", "table-p99-dir"]).await?;
        figures.extend(flat(stage, many_took).await?);
        figures.extend(from_server(stage, many).await?);
        Ok(figures)
    })
}

/// An entry whose nginx routes by a table, and one with all routes in a file.
async fn both(stage: &Stage, source: &[String]) -> Result<[Entry; 2]> {
    Ok([stage.run_many(source, true).await?, stage.run_many(source, false).await?])
}

async fn from_directory(stage: &Stage, others: u16, names: [&'static str; 2]) -> Result<(Vec<Figure>, Samples)> {
    let (one, other) = (Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?);
    let probe = [&one, &other].map(|backend| objects::service("probe", Some("127.0.0.1"), backend.address.port()));
    let directory = stage.directory()?;
    objects::write_hosts(directory.path(), others, NOBODY)?;
    objects::write(directory.path(), "probe", &probe[0])?;
    let change = async |to: usize| {
        let began = Instant::now();
        objects::write(directory.path(), "probe", &probe[to])?;
        Ok(began)
    };
    beside_by_hand(stage, &[flag("from", directory.path())], names, change).await
}

async fn from_server(stage: &Stage, others: u16) -> Result<Vec<Figure>> {
    let (one, other) = (Backend::start(TABLE_PROBE, "one").await?, Backend::start(TABLE_PROBE, "other").await?);
    let ports = [one.address.port(), other.address.port()];
    let client = stage.client(NAMESPACE).await?;
    let services = [objects::service("other", None, 80), objects::service("probe", Some(TABLE_PROBE), ports[0])];
    create::<Service>(&client, NAMESPACE, services).await?;
    let ingresses = (0..others).map(|number| objects::ingress(&format!("host-{number}"), "other"));
    create::<Ingress>(&client, NAMESPACE, ingresses).await?;
    let api = Api::<Service>::namespaced(client, NAMESPACE);
    let change = async |to: usize| {
        lead(&api, "probe", ports[to]).await?;
        // From the API server's answer on.
        Ok(Instant::now())
    };
    let (figures, _) =
        beside_by_hand(stage, &stage.server_flags(NAMESPACE)?, ["table-p50-api", "table-p99-api"], change).await?;
    Ok(figures)
}

/// Changes to and fro, in turns with the same by hand. `change` leads the Service `probe` to one of its two backends; it is at the
/// first.
async fn beside_by_hand(
    stage: &Stage,
    source: &[String],
    names: [&'static str; 2],
    change: impl AsyncFn(usize) -> Result<Instant>,
) -> Result<(Vec<Figure>, Samples)> {
    let [entry, located] = both(stage, source).await?;
    let by_hand = ByHand::copy(&located, &stage.debian).await?;
    let first = by_hand.file_of(&located)?;
    settle(located.http, answers(0), change(1)).await?;
    let files = [first, by_hand.file_of(&located)?];
    ensure!(files[0] != files[1], "the two configurations do not differ");
    settle(located.http, answers(1), change(0)).await?;
    drop(located);
    settle(by_hand.http, answers(0), async { by_hand.reload(&files[1]) }).await?;
    settle(by_hand.http, answers(1), async { by_hand.reload(&files[0]) }).await?;
    let reloads = entry.reloads().await?;
    let reload = async |to: usize| by_hand.reload(&files[to]);
    let turns = take_turns(stage, [entry.http, by_hand.http], REST, change, reload).await?;
    ensure!(entry.reloads().await? == reloads, "nginx was reloaded");
    let p50 = Pairs::new(&turns.medians).at_most(names[0], LIMITS[0], "by hand");
    let [ours, theirs] = turns.times.map(Samples::new);
    let (our, their) = (ours.quantile(0.99), theirs.quantile(0.99));
    let ratio = our.as_secs_f64() / their.as_secs_f64();
    let p99 = Figure {
        name: names[1],
        measured: format!("{ratio:.3} x"),
        limit: format!("<= {:.3} x", LIMITS[1]),
        reached: ratio <= LIMITS[1],
        noisy: p50.noisy,
        detail: format!("p99 of {} changes each: service {}, by hand {}", ours.len(), time(our), time(their)),
    };
    Ok((vec![p50, p99], ours))
}

/// The same changes with five times as many routes, which cost no more; and routes that are added and taken away.
async fn flat(stage: &Stage, many: Samples) -> Result<Vec<Figure>> {
    let [many_routes, more_routes] = [stage.either(10_000, 1000), stage.either(50_000, 5000)];
    let (one, other) = (Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?);
    let probe = [&one, &other].map(|backend| objects::service("probe", Some("127.0.0.1"), backend.address.port()));
    let lead = |directory: &Path, to: usize| objects::write(directory, "probe", &probe[to]);
    let more = changes_of_file(stage, more_routes, &probe[0], lead).await?;
    let mut rest = objects::service("rest", Some("127.0.0.1"), one.address.port());
    rest["metadata"]["annotations"]["sparrow/path"] = "/".into();
    let add = |directory: &Path, to: usize| match to {
        0 => objects::remove(directory, "probe"),
        _ => objects::write(directory, "probe", &probe[1]),
    };
    let added = changes_of_file(stage, many_routes, &rest, add).await?;
    let more_added = changes_of_file(stage, more_routes, &rest, add).await?;
    let figure = |name, many: &Samples, more: &Samples| {
        let ratio = more.median().as_secs_f64() / many.median().as_secs_f64();
        let detail = format!(
            "median with {more_routes} routes {}, p99 {}; with {many_routes} {}, p99 {}",
            time(more.median()),
            time(more.quantile(0.99)),
            time(many.median()),
            time(many.quantile(0.99))
        );
        let (measured, limit) = (format!("{ratio:.2} x"), format!("<= {FLAT:.2} x"));
        Figure { name, measured, limit, reached: ratio <= FLAT, noisy: false, detail }
    };
    Ok(vec![figure("table-flat", &many, &more), figure("table-added", &added, &more_added)])
}

/// The times of changes of the file `probe`, after which requests go to the second of two backends, or to the first as before.
async fn changes_of_file(
    stage: &Stage,
    others: u16,
    first: &Value,
    change: impl Fn(&Path, usize) -> Result<()>,
) -> Result<Samples> {
    let directory = stage.directory()?;
    objects::write_hosts(directory.path(), others, NOBODY)?;
    let name = first["metadata"]["name"].as_str().unwrap_or_default();
    objects::write(directory.path(), name, first)?;
    let entry = stage.run_many(&[flag("from", directory.path())], true).await?;
    let mut times = Vec::new();
    for number in 0..stage.either(40, 8) {
        let (from, to) = (number % 2, 1 - number % 2);
        let change = async {
            let began = Instant::now();
            change(directory.path(), to)?;
            Ok(began)
        };
        times.push(settle(entry.http, answers(from), change).await?);
        sleep(REST).await;
    }
    Ok(Samples::new(times))
}
