//! What a request costs nginx.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::{Figure, Pairs, Samples, time};
use tokio::time::sleep;

use crate::backend::Backend;
use crate::by_hand::ByHand;
use crate::http::{Load, Running, request};
use crate::objects;
use crate::plain::{Treatment, steady};
use crate::stage::Stage;

/// How much more a request may cost.
pub const LIMIT: f64 = 1.05;
/// How many ask at a time.
pub const CLIENTS: usize = 32;
/// Before a turn counts: connections are open then.
const WARM: Duration = Duration::from_millis(500);
/// The body of an answer, in bytes.
const BODY: usize = 1024;

/// A turn.
#[derive(Debug)]
pub struct Turn {
    /// Of the workers, for a request.
    pub cpu: Duration,
    p99: Duration,
    per_second: f64,
}

/// The processor time that nginx's workers spend on a request, beside the same nginx with a configuration that a person
/// would write for the same.
///
/// # Errors
/// A part fails, or an answer is wrong.
pub fn cpu(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async {
        let backend = Backend::start("127.0.0.1", &"x".repeat(BODY)).await?;
        let directory = stage.directory()?;
        objects::write_others(directory.path(), 20)?;
        let service = objects::service("steady", Some("127.0.0.1"), backend.address.port());
        objects::write(directory.path(), "steady", &service)?;
        let entry = stage.run_from(directory.path()).await?;
        // Requests are sent on without the prefix.
        let stripped = Treatment { location: "proxy_pass http://steady/;", ..Treatment::default() };
        let by_hand = ByHand::start(&stage.debian, |address| steady(address, backend.address, &stripped)).await?;
        let sent = request("GET", "/steady/some/thing?of=interest", "");
        let ours = Served::asked(entry.http, entry.nginx_pid()?, vec![sent.clone()]);
        let theirs = Served::asked(by_hand.http, by_hand.nginx_pid()?, vec![sent]);
        Ok(vec![compare(stage, "cpu-debian", (&ours, &theirs), (LIMIT, "by hand")).await?])
    })
}

/// An nginx that serves clients.
pub struct Served {
    /// The process id of its master.
    pub master: u32,
    /// Starts its clients.
    pub clients: Box<dyn Fn() -> Running>,
}

impl Served {
    /// An nginx at an address, with its master, whose clients send these requests in turns, which are answered with 200.
    pub fn asked(address: SocketAddr, master: u32, requests: Vec<Vec<u8>>) -> Self {
        Self::answering(200, address, master, requests)
    }

    /// The same with another status.
    pub fn answering(status: u16, address: SocketAddr, master: u32, requests: Vec<Vec<u8>>) -> Self {
        let load = Load { address, clients: CLIENTS, requests, status, pause: Duration::ZERO };
        Self { master, clients: Box::new(move || load.clone().start()) }
    }
}

/// The processor time of a request of the first, beside that of the second, in turns.
///
/// # Errors
/// A part fails, or an answer is wrong.
pub async fn compare(
    stage: &Stage,
    name: &'static str,
    (ours, theirs): (&Served, &Served),
    (most, reference): (f64, &str),
) -> Result<Figure> {
    let length = Duration::from_secs(stage.either(2, 1));
    let mut turns: [Vec<Turn>; 2] = Default::default();
    for _ in 0..stage.either(15, 2) {
        turns[0].push(turn(ours, length).await?);
        turns[1].push(turn(theirs, length).await?);
    }
    let pairs: Vec<_> = turns[0].iter().zip(&turns[1]).map(|(our, their)| (our.cpu, their.cpu)).collect();
    let mut figure = Pairs::new(&pairs).at_most(name, most, reference);
    let of = |turns: &[Turn]| {
        let mut rates: Vec<f64> = turns.iter().map(|turn| turn.per_second).collect();
        rates.sort_by(f64::total_cmp);
        let p99 = Samples::new(turns.iter().map(|turn| turn.p99).collect()).median();
        format!("{:.0}/s p99 {}", rates[rates.len() / 2], time(p99))
    };
    let _ = write!(figure.detail, "; service {}, {reference} {}", of(&turns[0]), of(&turns[1]));
    Ok(figure)
}

async fn turn(served: &Served, length: Duration) -> Result<Turn> {
    let master = served.master;
    let running = (served.clients)();
    sleep(WARM).await;
    let (began, cpu, answered) = (Instant::now(), workers_cpu(master)?, running.answered());
    sleep(length).await;
    let (took, cpu, answered) =
        (began.elapsed(), workers_cpu(master)?.saturating_sub(cpu), running.answered() - answered);
    let traffic = running.stop().await?;
    ensure!(traffic.lost == 0, "{} requests were not answered: {:?}", traffic.lost, traffic.why);
    let count = u32::try_from(answered).unwrap_or(u32::MAX).max(1);
    Ok(Turn {
        cpu: cpu / count,
        p99: Samples::new(traffic.times()).quantile(0.99),
        per_second: f64::from(count) / took.as_secs_f64(),
    })
}

/// The processor time of the workers of a master, in user and system mode.
fn workers_cpu(master: u32) -> Result<Duration> {
    let ticks = workers(master)?.into_iter().map(|pid| {
        let stat = stat(pid).context("a worker has ended")?;
        Ok(field(&stat, 14).unwrap_or(0) + field(&stat, 15).unwrap_or(0))
    });
    let ticks: u64 = ticks.sum::<Result<u64>>()?;
    Ok(Duration::from_nanos(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

/// The process ids of the two workers of a master.
///
/// # Errors
/// It has another number of them.
pub fn workers(master: u32) -> Result<Vec<u32>> {
    let mut workers = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One may have ended since.
        if stat(pid).is_some_and(|stat| field(&stat, 4) == Some(u64::from(master))) {
            workers.push(pid);
        }
    }
    ensure!(workers.len() == 2, "nginx has {} workers, not 2", workers.len());
    Ok(workers)
}

/// What the kernel tells of a process, behind its name: `proc_pid_stat(5)`.
fn stat(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}

/// A field by its number on that page, of which the third is the first here.
fn field(stat: &str, number: usize) -> Option<u64> {
    stat.split(' ').nth(number - 3)?.parse().ok()
}
