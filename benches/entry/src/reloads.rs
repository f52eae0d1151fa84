//! What is lost while configurations change.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_figures::figure::{Figure, Samples, time};
use tempfile::TempDir;

use crate::backend::Backend;
use crate::by_hand::ByHand;
use crate::entry::{Entry, flag};
use crate::http::{Load, Traffic, request};
use crate::objects;
use crate::stage::Stage;
use crate::websockets::{Told, WebSockets};

/// Clients that keep their connection and never send a request a second time.
const CLIENTS: usize = 32;
/// The longest pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// Clients that keep a WebSocket open.
const WEBSOCKETS: usize = 8;
/// A reload in which no request is under way proves nothing.
const LEAST: u64 = 32;

/// Requests lost over 50 reloads: with the newest nginx none may be; with Debian's they are counted. `WebSockets` apart: each
/// must live as long as workers may that are leaving.
///
/// # Errors
/// A part fails, or there was too little traffic to tell.
pub fn reloads(stage: &Stage) -> Result<Vec<Figure>> {
    let (reloads, leaving) = stage.either((50, Duration::from_secs(10)), (5, Duration::from_secs(3)));
    stage.runtime.block_on(async {
        let objects = stage.directory()?;
        let (one, other) = (Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?);
        objects::write_others(objects.path(), stage.either(100, 10))?;
        let ports = [one.address.port(), other.address.port()];
        let mut figures = Vec::new();
        for (nginx, [name, websockets], limit) in [
            (&stage.newest, ["reloads-lost-newest", "reloads-ws-newest"], Some(0)),
            (&stage.debian, ["reloads-lost-debian", "reloads-ws-debian"], None),
        ] {
            objects::write(objects.path(), "steady", &objects::service("steady", Some("127.0.0.1"), ports[0]))?;
            objects::write(objects.path(), "probe", &objects::service("probe", Some("127.0.0.1"), ports[0]))?;
            let flags = vec![flag("from", objects.path()), format!("--worker-shutdown-timeout={}s", leaving.as_secs())];
            let entry = stage.run(flags, nginx).await?;
            let (ours, told) = change(&entry, &objects, ports, reloads, leaving).await?;
            // The same files, put in force by hand.
            let by_hand = ByHand::copy(&entry, nginx).await?;
            let first = by_hand.file_of(&entry)?;
            let before = entry.reloads().await?;
            objects::write(objects.path(), "probe", &objects::service("probe", Some("127.0.0.1"), ports[1]))?;
            entry.reloaded(before + 1).await?;
            let files = [by_hand.file_of(&entry)?, first];
            ensure!(files[0] != files[1], "the two configurations do not differ");
            let theirs = change_by_hand(&by_hand, &files, reloads).await?;
            figures.push(Figure {
                name,
                measured: format!("{} lost", ours.lost),
                limit: limit.map_or("-".to_owned(), |limit| format!("<= {limit}")),
                reached: limit.is_none_or(|limit| ours.lost <= limit),
                noisy: false,
                detail: format!(
                    "of {} requests by {CLIENTS} clients over {reloads} reloads{}; the same file by hand: {} of {}",
                    ours.sent,
                    ours.why.map_or_else(String::new, |why| format!(" (first: {why})")),
                    theirs.lost,
                    theirs.sent
                ),
            });
            figures.push(websockets_figure(websockets, &told, leaving)?);
        }
        Ok(figures)
    })
}

/// Workers of former configurations must let a WebSocket live until `worker_shutdown_timeout`, which ends it.
fn websockets_figure(name: &'static str, told: &Told, leaving: Duration) -> Result<Figure> {
    let all = told.ended.len() + told.open + told.refused;
    ensure!(told.ended.len() >= WEBSOCKETS, "only {} WebSockets were ended: this proves nothing", told.ended.len());
    let sooner = told.sooner(leaving);
    Ok(Figure {
        name,
        measured: format!("{sooner} sooner"),
        limit: "<= 0".to_owned(),
        reached: sooner == 0,
        noisy: false,
        detail: format!(
            "of {all} WebSockets of {WEBSOCKETS} clients {} were ended by worker_shutdown_timeout ({}), {} sooner, {} stayed \
             open, {} could not be opened{}; those that were ended lived {}",
            told.ended.len() - sooner,
            time(leaving),
            sooner,
            told.open,
            told.refused,
            told.why.as_ref().map_or_else(String::new, |why| format!(" (first: {why})")),
            Samples::new(told.ended.clone())
        ),
    })
}

fn load(address: std::net::SocketAddr) -> Load {
    let requests = vec![request("GET", "/steady/a", ""), request("POST", "/steady/a", "0123456789abcdef")];
    Load { address, clients: CLIENTS, requests, status: 200, pause: PAUSE }
}

fn enough(traffic: Traffic, reloads: u64) -> Result<Traffic> {
    ensure!(traffic.sent >= reloads * LEAST, "only {} requests: this proves nothing", traffic.sent);
    Ok(traffic)
}

/// Leads the Service `probe` to one port and the other in turns, under load on the Service `steady`; begins and ends with
/// the first port if the number is even.
async fn change(
    entry: &Entry,
    objects: &TempDir,
    ports: [u16; 2],
    reloads: u64,
    leaving: Duration,
) -> Result<(Traffic, Told)> {
    let before = entry.reloads().await?;
    let websockets = WebSockets::start(entry.http, "/steady/socket", WEBSOCKETS);
    // All of them are open before the first reload, and so are ended by it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    let running = load(entry.http).start();
    for number in 1..=reloads {
        let port = ports[usize::from(number % 2 == 1)];
        objects::write(objects.path(), "probe", &objects::service("probe", Some("127.0.0.1"), port))?;
        entry.reloaded(before + number).await?;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let traffic = enough(running.stop().await?, reloads)?;
    tokio::time::sleep((leaving + Duration::from_secs(2)).saturating_sub(began.elapsed())).await;
    let told = websockets.stop().await?;
    let counted = entry.reloads().await? - before;
    ensure!(counted == reloads, "{counted} reloads, not {reloads}");
    // As it was before.
    objects::write(objects.path(), "probe", &objects::service("probe", Some("127.0.0.1"), ports[0]))?;
    if reloads % 2 == 1 {
        entry.reloaded(before + reloads + 1).await?;
    }
    Ok((traffic, told))
}

async fn change_by_hand(by_hand: &ByHand, files: &[String; 2], reloads: u64) -> Result<Traffic> {
    let running = load(by_hand.http).start();
    for number in 0..reloads {
        by_hand.change(&files[usize::from(number % 2 == 1)])?;
        // As far apart as the entry's reloads are at least.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    enough(running.stop().await?, reloads)
}
