//! What other routes feel while routes change.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bench_figures::figure::{Figure, Pairs, Samples, time};
use rustix::process::nice;
use serde_json::Value;
use tokio::task;

use crate::backend::Backend;
use crate::http::{Load, request};
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

/// How long a spell takes. It is short, so that all kinds feel alike what else goes on in the machine.
const SPELL: Duration = Duration::from_millis(500);
/// What clients sent this long after a spell began is not counted: what the spell before it left behind is done by then.
const CHANGEOVER: Duration = Duration::from_millis(100);

/// What happens while clients are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spell {
    /// A route changes.
    Changes,
    /// Nothing.
    Idle,
    /// As many files are written that nobody reads: what the writing itself costs is not the entry's doing.
    Unread,
}

/// Each kind comes first, second and third equally often: a machine that grows slower or faster does so for all.
const TURNS: [[Spell; 3]; 3] = [
    [Spell::Changes, Spell::Idle, Spell::Unread],
    [Spell::Unread, Spell::Changes, Spell::Idle],
    [Spell::Idle, Spell::Unread, Spell::Changes],
];

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
    objects::write_hosts(directory.path(), stage.either(5000, 100), one.address)?;
    objects::write(directory.path(), "steady", &objects::service("steady", Some("127.0.0.1"), one.address.port()))?;
    objects::write(directory.path(), "probe", &probe[0])?;
    let entry = stage.run_from(directory.path()).await?;
    let (before, published) = (entry.reloads().await?, entry.metric(PUBLICATIONS).await?);
    let (pairs, rounds) = stage.either((9, 8), (1, 2));
    // One set of clients for all spells: connecting is no part of any of them.
    let requests = vec![request("GET", "/steady/a", "")];
    let running = Load { address: entry.http, clients: CLIENTS, requests, status: 200, pause: PAUSE }.start();
    let spells = task::spawn_blocking({
        let directories = [directory.path().to_owned(), unread.path().to_owned()];
        move || {
            // Whoever makes changes is mostly on another machine: it is in nobody's way here.
            thread::spawn(move || make_changes(pairs, rounds, &directories, &probe)).join()
        }
    });
    let spells = spells.await?.map_err(|_| anyhow!("what makes changes has ended"))??;
    let traffic = running.stop().await?;
    ensure!(entry.reloads().await? == before, "nginx was reloaded");
    let published = entry.metric(PUBLICATIONS).await? - published;
    // Changes that come too close to each other are published together.
    let made = pairs * rounds * TURNS.len() * usize::try_from(SPELL.as_millis() / EVERY.as_millis())?;
    ensure!(
        published >= 0.75 * f64::from(u32::try_from(made)?),
        "{published} publications of {made} changes: they did not come at fifty a second"
    );
    let p99 = |pair, wanted| {
        let of_pair = spells.iter().filter(|(of, spell, _)| (*of, *spell) == (pair, wanted));
        let began: Vec<Instant> = of_pair.map(|(_, _, began)| *began).collect();
        let counts = |at: Instant| began.iter().any(|began| (*began + CHANGEOVER..*began + SPELL).contains(&at));
        Samples::new(traffic.answers.iter().filter(|answer| counts(answer.began)).map(|answer| answer.took).collect())
            .quantile(0.99)
    };
    let both: Vec<_> = (0..pairs).map(|pair| (p99(pair, Spell::Changes), p99(pair, Spell::Idle))).collect();
    let mut figure = Pairs::new(&both).at_most("during-p99-table", LIMIT, "without changes");
    let unread = time(Samples::new((0..pairs).map(|pair| p99(pair, Spell::Unread)).collect()).median());
    let _ = write!(
        figure.detail,
        "; {unread} where as many files are written that nobody reads; {published} publications of {made} changes; lost: {} of {}",
        traffic.lost, traffic.sent
    );
    Ok(figure)
}

/// Makes what happens in all spells of so many pairs, each of so many rounds of turns: the pair and the kind of each, and when it began.
fn make_changes(
    pairs: usize,
    rounds: usize,
    [read, unread]: &[PathBuf; 2],
    probe: &[Value; 2],
) -> Result<Vec<(usize, Spell, Instant)>> {
    nice(19)?;
    sleep(CHANGEOVER);
    let mut spells = Vec::new();
    for pair in 0..pairs {
        for spell in std::iter::repeat_n(TURNS, rounds).flatten().flatten() {
            let began = Instant::now();
            spells.push((pair, spell, began));
            for (number, due) in (1..).map(|number| (number, EVERY * number)).take_while(|(_, due)| *due <= SPELL) {
                let value = &probe[usize::try_from(number % 2)?];
                match spell {
                    Spell::Changes => objects::write(read, "probe", value)?,
                    Spell::Unread => objects::write(unread, "probe", value)?,
                    Spell::Idle => {}
                }
                sleep((began + due).saturating_duration_since(Instant::now()));
            }
        }
    }
    Ok(spells)
}
