//! What other routes feel while routes change.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bench_figures::figure::{Figure, Pairs, Samples, time};
use rustix::process::nice;

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

/// The p99 of other routes while routes change fifty times a second, beside the same while nothing changes.
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
    let writing = |directory: &Path| {
        let (directory, probe) = (PathBuf::from(directory), probe.clone());
        move |number: usize| objects::write(&directory, "probe", &probe[number % 2])
    };
    objects::write_hosts(directory.path(), stage.either(5000, 100), one.address)?;
    objects::write(directory.path(), "steady", &objects::service("steady", Some("127.0.0.1"), one.address.port()))?;
    writing(directory.path())(1)?;
    let entry = stage.run_from(directory.path()).await?;
    let (before, published) = (entry.reloads().await?, entry.metric(PUBLICATIONS).await?);
    let (rounds, changes) = (stage.either(27, 2), stage.either(100, 50));
    let (mut pairs, mut unread_times, mut sent, mut lost) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..rounds {
        let ours = under_load(entry.http, changes, writing(directory.path())).await?;
        let idle = under_load(entry.http, changes, |_| Ok(())).await?;
        // What the writing itself costs is not the entry's doing.
        let written = under_load(entry.http, changes, writing(unread.path())).await?;
        sent += ours.sent;
        lost += ours.lost;
        unread_times.push(Samples::new(written.times).quantile(0.99));
        pairs.push((Samples::new(ours.times).quantile(0.99), Samples::new(idle.times).quantile(0.99)));
    }
    ensure!(entry.reloads().await? == before, "nginx was reloaded");
    let published = entry.metric(PUBLICATIONS).await? - published;
    // Changes that come too close to each other are published together.
    let made = f64::from(u32::try_from(rounds * changes)?);
    ensure!(
        published >= 0.75 * made,
        "{published} publications of {made} changes: they did not come at fifty a second"
    );
    let mut figure = Pairs::new(&pairs).at_most("during-p99-table", LIMIT, "without changes");
    let unread = time(Samples::new(unread_times).median());
    let _ = write!(
        figure.detail,
        "; {unread} where as many files are written that nobody reads; {published} publications of {made} changes; lost: {lost} of {sent}"
    );
    Ok(figure)
}

/// Makes changes under load on another route.
async fn under_load(
    address: std::net::SocketAddr,
    changes: usize,
    change: impl Fn(usize) -> Result<()> + Send + 'static,
) -> Result<Traffic> {
    let requests = vec![request("GET", "/steady/a", "")];
    let running = Load { address, clients: CLIENTS, requests, status: 200, pause: PAUSE }.start();
    let began = Instant::now();
    // Whoever makes changes is mostly on another machine: it is in nobody's way here.
    let changing = thread::spawn(move || {
        nice(19)?;
        for number in 0..changes {
            sleep((began + EVERY * u32::try_from(number)?).saturating_duration_since(Instant::now()));
            change(number)?;
        }
        sleep((began + EVERY * u32::try_from(changes)?).saturating_duration_since(Instant::now()));
        anyhow::Ok(())
    });
    tokio::task::spawn_blocking(|| changing.join()).await?.map_err(|_| anyhow!("what makes changes has ended"))??;
    running.stop().await
}
