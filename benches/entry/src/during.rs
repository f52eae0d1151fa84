//! What other routes feel while routes change.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_figures::figure::{Figure, Pairs, Samples, time};
use tokio::time::sleep_until;

use crate::backend::Backend;
use crate::http::{Load, Traffic, request};
use crate::objects;
use crate::stage::Stage;

/// Between two changes.
const EVERY: Duration = Duration::from_millis(20);
/// How many times as long others may take then.
const LIMIT: f64 = 1.1;
const PUBLICATIONS: &str = "sparrow_entry_table_publications_total";
const CLIENTS: usize = 16;
/// The longest pause of a client: far from what the machine can do, so that waiting is nginx's doing.
const PAUSE: Duration = Duration::from_millis(10);

/// The p99 of other routes while routes change fifty times a second, beside the same while as many files are written that nobody reads.
///
/// # Errors
/// A part fails, or nginx is reloaded.
pub fn during(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async { Ok(vec![measure(stage).await?]) })
}

async fn measure(stage: &Stage) -> Result<Figure> {
    let (one, other) = (Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?);
    let probe = [&one, &other].map(|backend| objects::service("probe", Some("127.0.0.1"), backend.address.port()));
    let directory = stage.directory()?;
    let unread = stage.directory()?;
    let write_to = |directory: &Path, to: usize| objects::write(directory, "probe", &probe[to % 2]);
    objects::write_hosts(directory.path(), stage.either(5000, 100), one.address)?;
    objects::write(directory.path(), "steady", &objects::service("steady", Some("127.0.0.1"), one.address.port()))?;
    write_to(directory.path(), 0)?;
    let entry = stage.run_from(directory.path()).await?;
    let (before, published) = (entry.reloads().await?, entry.metric(PUBLICATIONS).await?);
    let (rounds, changes) = (stage.either(27, 2), stage.either(100, 50));
    let (mut pairs, mut idle_times, mut sent, mut lost) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..rounds {
        let ours = under_load(entry.http, changes, |number| write_to(directory.path(), number + 1)).await?;
        // What the writing itself costs is not the entry's doing.
        let quiet = under_load(entry.http, changes, |number| write_to(unread.path(), number + 1)).await?;
        let idle = under_load(entry.http, changes, |_| Ok(())).await?;
        sent += ours.sent;
        lost += ours.lost;
        idle_times.push(Samples::new(idle.times).quantile(0.99));
        pairs.push((Samples::new(ours.times).quantile(0.99), Samples::new(quiet.times).quantile(0.99)));
    }
    ensure!(entry.reloads().await? == before, "nginx was reloaded");
    let published = entry.metric(PUBLICATIONS).await? - published;
    let mut figure = Pairs::new(&pairs).at_most("during-p99-table", LIMIT, "without changes");
    let idle = time(Samples::new(idle_times).median());
    let _ = write!(
        figure.detail,
        "; {idle} where nothing is written; {published} publications of {} changes; lost: {lost} of {sent}",
        rounds * changes
    );
    Ok(figure)
}

/// Makes changes under load on another route.
async fn under_load(
    address: std::net::SocketAddr,
    changes: usize,
    change: impl Fn(usize) -> Result<()>,
) -> Result<Traffic> {
    let requests = vec![request("GET", "/steady/a", "")];
    let running = Load { address, clients: CLIENTS, requests, status: 200, pause: PAUSE }.start();
    let began = Instant::now();
    for number in 0..changes {
        sleep_until((began + EVERY * u32::try_from(number)?).into()).await;
        change(number)?;
    }
    sleep_until((began + EVERY * u32::try_from(changes)?).into()).await;
    running.stop().await
}
