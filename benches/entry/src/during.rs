//! What other routes feel while routes change.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_figures::figure::{Figure, Pairs, Samples, time};
use tokio::time::sleep_until;

use crate::backend::Backend;
use crate::by_hand::ByHand;
use crate::entry::flag;
use crate::http::{Load, Traffic, request};
use crate::objects;
use crate::stage::Stage;

/// Between two changes.
const EVERY: Duration = Duration::from_millis(500);
/// The same where they are published in a table.
const EVERY_OF_TABLE: Duration = Duration::from_millis(20);
/// How many times as long others may take then.
const LIMIT: f64 = 1.1;
const PUBLICATIONS: &str = "sparrow_entry_table_publications_total";
const CLIENTS: usize = 16;
/// The longest pause of a client: far from what the machine can do, so that waiting is nginx's doing.
const PAUSE: Duration = Duration::from_millis(10);

/// The p99 of other routes while routes change twice a second, beside the same with reloads by hand; and while they change in a table.
///
/// # Errors
/// A part fails.
pub fn during(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async {
        let mut figures = measure(stage).await?;
        figures.push(measure_table(stage).await?);
        Ok(figures)
    })
}

/// The same while routes of a table change fifty times a second, beside the same without changes.
async fn measure_table(stage: &Stage) -> Result<Figure> {
    let (one, other) = (Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?);
    let probe = [&one, &other].map(|backend| objects::service("probe", Some("127.0.0.1"), backend.address.port()));
    let directory = stage.directory()?;
    let write = |to: usize| objects::write(directory.path(), "probe", &probe[to]);
    objects::write_hosts(directory.path(), stage.either(5000, 100), one.address)?;
    objects::write(directory.path(), "steady", &objects::service("steady", Some("127.0.0.1"), one.address.port()))?;
    write(0)?;
    let entry = stage.run_many(&[flag("from", directory.path())], true).await?;
    let (before, published) = (entry.reloads().await?, entry.metric(PUBLICATIONS).await?);
    let (rounds, changes) = (stage.either(9, 2), stage.either(300, 50));
    let (mut pairs, mut sent, mut lost) = (Vec::new(), 0, 0);
    for _ in 0..rounds {
        let ours = under_load(entry.http, changes, EVERY_OF_TABLE, |number| write(1 - number % 2)).await?;
        let quiet = under_load(entry.http, changes, EVERY_OF_TABLE, |_| Ok(())).await?;
        sent += ours.sent;
        lost += ours.lost;
        pairs.push((Samples::new(ours.times).quantile(0.99), Samples::new(quiet.times).quantile(0.99)));
    }
    ensure!(entry.reloads().await? == before, "nginx was reloaded");
    let published = entry.metric(PUBLICATIONS).await? - published;
    let mut figure = Pairs::new(&pairs).at_most("during-p99-table", LIMIT, "without changes");
    let _ = write!(figure.detail, "; {published} publications of {} changes; lost: {lost} of {sent}", rounds * changes);
    Ok(figure)
}

async fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let (one, other) = (Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?);
    let probe = [&one, &other].map(|backend| objects::service("probe", Some("127.0.0.1"), backend.address.port()));
    let directory = stage.directory()?;
    let write = |to: usize| objects::write(directory.path(), "probe", &probe[to]);
    objects::write_others(directory.path(), stage.either(1000, 100))?;
    objects::write(directory.path(), "steady", &objects::service("steady", Some("127.0.0.1"), one.address.port()))?;
    write(0)?;
    let entry = stage.run_from(directory.path(), &stage.newest).await?;
    let by_hand = ByHand::copy(&entry, &stage.newest).await?;
    let first = by_hand.file_of(&entry)?;
    let before = entry.reloads().await?;
    write(1)?;
    entry.reloaded(before + 1).await?;
    let files = [first, by_hand.file_of(&entry)?];
    ensure!(files[0] != files[1], "the two configurations do not differ");

    let (rounds, changes) = (stage.either(5, 2), stage.either(20, 4));
    let (mut pairs, mut lost, mut still) = (Vec::new(), [0, 0], Vec::new());
    for _ in 0..rounds {
        let quiet = under_load(entry.http, changes, EVERY, |_| Ok(())).await?;
        let ours = under_load(entry.http, changes, EVERY, |number| write(number % 2)).await?;
        let theirs = under_load(by_hand.http, changes, EVERY, |number| by_hand.change(&files[number % 2])).await?;
        lost[0] += ours.lost;
        lost[1] += theirs.lost;
        still.push(Samples::new(quiet.times).quantile(0.99));
        pairs.push((Samples::new(ours.times).quantile(0.99), Samples::new(theirs.times).quantile(0.99)));
    }
    let mut figure = Pairs::new(&pairs).reported("during-p99", "by hand");
    let _ = write!(
        figure.detail,
        "; without changes {}; lost: service {}, by hand {}",
        time(Samples::new(still).median()),
        lost[0],
        lost[1]
    );
    Ok(vec![figure])
}

/// Makes changes, with so long between two, under load on another route.
async fn under_load(
    address: std::net::SocketAddr,
    changes: usize,
    every: Duration,
    change: impl Fn(usize) -> Result<()>,
) -> Result<Traffic> {
    let requests = vec![request("GET", "/steady/a", "")];
    let running = Load { address, clients: CLIENTS, requests, status: 200, pause: PAUSE }.start();
    let began = Instant::now();
    for number in 0..changes {
        sleep_until((began + every * u32::try_from(number)?).into()).await;
        change(number)?;
    }
    sleep_until((began + every * u32::try_from(changes)?).into()).await;
    running.stop().await
}
