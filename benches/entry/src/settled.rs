//! From a change to the last old answer.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bench_figures::figure::{Figure, Pairs, Samples, time};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::backend::Backend;
use crate::by_hand::ByHand;
use crate::entry::Entry;
use crate::http;
use crate::objects;
use crate::plain::{services, upstream};
use crate::stage::{SETTLED_PROBE, Stage, create};

/// How often a pair of p50 may be as slow, and a p99.
const LIMIT: f64 = 1.5;
/// Without an old answer for so long, it is settled.
const QUIET: Duration = Duration::from_millis(300);
/// Longest wait for that.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between a settled change and the next one, so that none is held back because of the one before.
const REST: Duration = Duration::from_millis(300);
/// Clients that look; each waits this long between two looks.
const LOOKERS: usize = 2;
const LOOK: Duration = Duration::from_micros(500);
const NAMESPACE: &str = "settled";

/// What new connections are answered.
#[derive(Debug, Default)]
struct Seen {
    last_old: Option<Instant>,
    first_new: Option<Instant>,
    wrong: Option<String>,
}

impl Seen {
    fn note(&mut self, answer: std::io::Result<(u16, String)>, [old, new]: [&str; 2], now: Instant) {
        match answer {
            Ok((200, body)) if body == old => self.last_old = Some(now),
            Ok((200, body)) if body == new => drop(self.first_new.get_or_insert(now)),
            other => drop(self.wrong.get_or_insert_with(|| format!("{other:?}"))),
        }
    }
}

/// Makes a change, which tells when it was made, and tells how long after that the last old answer came on a new
/// connection.
///
/// # Errors
/// The change fails, an answer is neither old nor new, or old answers do not end.
pub async fn settle(
    address: SocketAddr,
    names: [&'static str; 2],
    change: impl Future<Output = Result<Instant>>,
) -> Result<Duration> {
    settle_by(Probe(address), names, change).await
}

/// What looks on a new connection.
pub trait Look: Clone + Send + Sync + 'static {
    /// The status and the answer.
    fn look(&self) -> impl Future<Output = io::Result<(u16, String)>> + Send;
}

/// Asks for the Service `probe` at an address.
#[derive(Debug, Clone, Copy)]
pub struct Probe(pub SocketAddr);

impl Look for Probe {
    async fn look(&self) -> io::Result<(u16, String)> {
        http::get(self.0, "/probe/").await
    }
}

/// [`settle`] by another look.
///
/// # Errors
/// As [`settle`].
pub async fn settle_by(
    look: impl Look,
    [old, new]: [&'static str; 2],
    change: impl Future<Output = Result<Instant>>,
) -> Result<Duration> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut lookers = JoinSet::new();
    for _ in 0..LOOKERS {
        let (seen, look) = (Arc::clone(&seen), look.clone());
        lookers.spawn(async move {
            loop {
                let answer = look.look().await;
                let now = Instant::now();
                seen.lock().unwrap_or_else(PoisonError::into_inner).note(answer, [old, new], now);
                sleep(LOOK).await;
            }
        });
    }
    // The first looks are over, and one has found what is to change: on a busy machine that may take a while.
    let looking = Instant::now();
    loop {
        sleep(Duration::from_millis(20)).await;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.last_old.is_some() || seen.first_new.is_some() || seen.wrong.is_some() {
            break;
        }
        ensure!(looking.elapsed() < PATIENCE, "nothing is answered");
    }
    let began = change.await?;
    loop {
        sleep(Duration::from_millis(20)).await;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wrong) = &seen.wrong {
            bail!("answered {wrong}");
        }
        let last = seen.last_old.context("the old answer was never seen")?;
        if seen.first_new.is_some() && last.elapsed() > QUIET {
            return Ok(last.saturating_duration_since(began));
        }
        ensure!(began.elapsed() < PATIENCE, "old answers do not end: {seen:?}, now {:?}", Instant::now());
    }
}

/// Both names of the answers, in the order of a change from state `from`.
pub fn answers(from: usize) -> [&'static str; 2] {
    if from == 0 { ["one", "other"] } else { ["other", "one"] }
}

/// Changes of a manifest, and of a Service in the API server, beside the same by hand.
///
/// # Errors
/// A part fails.
pub fn settled(stage: &Stage) -> Result<Vec<Figure>> {
    let others = stage.either(1000, 100);
    stage.runtime.block_on(async {
        let mut figures = from_directory(stage, others).await?;
        figures.extend(from_server(stage, others).await?);
        Ok(figures)
    })
}

async fn from_directory(stage: &Stage, others: u16) -> Result<Vec<Figure>> {
    let (one, other) = (Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?);
    let probe = [&one, &other].map(|backend| objects::service("probe", Some("127.0.0.1"), backend.address.port()));
    let directory = stage.directory()?;
    objects::write_others(directory.path(), others)?;
    objects::write(directory.path(), "probe", &probe[0])?;
    let entry = stage.run_from(directory.path()).await?;
    let change = async |to: usize| {
        let began = Instant::now();
        objects::write(directory.path(), "probe", &probe[to])?;
        Ok(began)
    };
    let backends = [one.address, other.address];
    both(stage, (&entry, others, backends), ["settled-p50-dir", "settled-p99-dir"], change).await
}

/// Leads a Service to another port.
///
/// # Errors
/// The API server refuses.
pub async fn lead(api: &Api<Service>, name: &str, port: u16) -> Result<()> {
    let patch = json!({ "spec": { "ports": [{ "port": port }] } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

async fn from_server(stage: &Stage, others: u16) -> Result<Vec<Figure>> {
    let (one, other) = (Backend::start(SETTLED_PROBE, "one").await?, Backend::start(SETTLED_PROBE, "other").await?);
    let ports = [one.address.port(), other.address.port()];
    let client = stage.client(NAMESPACE).await?;
    let services = (0..others).map(|number| objects::service(&format!("other-{number}"), None, 80));
    let services = services.chain([objects::service("probe", Some(SETTLED_PROBE), ports[0])]);
    create::<Service>(&client, NAMESPACE, services).await?;
    let entry = stage.run(&stage.server_flags(NAMESPACE)?).await?;
    let api = Api::<Service>::namespaced(client, NAMESPACE);
    let change = async |to: usize| {
        let began = Instant::now();
        lead(&api, "probe", ports[to]).await?;
        Ok(began)
    };
    let backends = [one.address, other.address];
    both(stage, (&entry, others, backends), ["settled-p50-api", "settled-p99-api"], change).await
}

/// What a person writes for so many Services with a path each, and the Service `probe`.
fn same_by_hand(address: SocketAddr, others: u16, probe: SocketAddr) -> String {
    let names: Vec<_> = (0..others).map(|number| format!("other-{number}")).collect();
    let other = |(number, name): (u16, &String)| {
        let [high, low] = number.to_be_bytes();
        upstream(name, SocketAddr::from(([127, 65, high, low], 80)))
    };
    let upstreams: String = (0..others).zip(&names).map(other).collect();
    let services = services(address, names.iter().map(String::as_str).chain(["probe"]));
    [upstreams, upstream("probe", probe), services].concat()
}

/// Changes to and fro, in turns with the same by hand. `change` leads the Service `probe` to one of its two backends; it is
/// at the first.
async fn both(
    stage: &Stage,
    (entry, others, backends): (&Entry, u16, [SocketAddr; 2]),
    names: [&'static str; 2],
    change: impl AsyncFn(usize) -> Result<Instant>,
) -> Result<Vec<Figure>> {
    let by_hand = ByHand::start(&stage.debian, |address| same_by_hand(address, others, backends[0])).await?;
    let files = backends.map(|backend| same_by_hand(by_hand.http, others, backend));
    let reloads = entry.reloads().await?;
    let change_by_hand = async |to: usize| {
        let began = Instant::now();
        by_hand.change(&files[to])?;
        Ok(began)
    };
    let parts = [(Probe(entry.http), 1), (Probe(by_hand.http), 1)];
    let turns = take_turns(stage, &parts, REST, async |part, to| match part {
        0 => change(to).await,
        _ => change_by_hand(to).await,
    });
    let [ours, theirs] = &turns.await?[..] else { bail!("not both were measured") };
    ensure!(entry.reloads().await? == reloads, "nginx was reloaded");
    Ok(figures(names, (ours, theirs), Limit::AtMost(LIMIT), "by hand"))
}

/// How long changes of one part took to settle.
#[derive(Debug, Default)]
pub struct Turns {
    /// The medians of batches.
    pub medians: Vec<Duration>,
    /// All of them.
    pub times: Vec<Duration>,
}

/// Changes to and fro of several parts, in turns. Each has its look, and takes part in each turn, or in each second one and so on: an even
/// number of times in a batch. All are at the first backend; `change` leads one of them, by its number, to one of its backends.
///
/// # Errors
/// A change fails, or does not settle.
pub async fn take_turns<L: Look>(
    stage: &Stage,
    parts: &[(L, usize)],
    rest: Duration,
    change: impl AsyncFn(usize, usize) -> Result<Instant>,
) -> Result<Vec<Turns>> {
    let (batches, turns) = stage.either((5, 20), (3, 4));
    let mut all: Vec<Turns> = parts.iter().map(|_| Turns::default()).collect();
    for _ in 0..batches {
        let mut batch = vec![Vec::new(); parts.len()];
        for turn in 1..=turns {
            for (part, (look, _)) in parts.iter().enumerate().filter(|(_, (_, every))| turn % every == 0) {
                let made: &mut Vec<Duration> = &mut batch[part];
                let (from, to) = (made.len() % 2, 1 - made.len() % 2);
                made.push(settle_by(look.clone(), answers(from), change(part, to)).await?);
                sleep(rest).await;
            }
        }
        for (turns, times) in all.iter_mut().zip(batch) {
            turns.times.extend_from_slice(&times);
            turns.medians.push(Samples::new(times).median());
        }
    }
    Ok(all)
}

/// What two figures must reach.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// Nothing: they are reported.
    Nothing,
    /// The most times that the service may take as long, each.
    AtMost(f64),
    /// How many times as fast the service must be, of the medians and of the p99.
    Faster([f64; 2]),
}

impl Limit {
    fn judge(self, number: usize, name: &'static str, pairs: &Pairs, reference: &str) -> Figure {
        match self {
            Self::Nothing => pairs.reported(name, reference),
            Self::AtMost(most) => pairs.at_most(name, most, reference),
            Self::Faster(least) => pairs.faster(name, least[number], reference),
        }
    }
}

/// The two figures: of the medians of batches, in pairs with those of a reference, and of the p99 of all changes.
pub fn figures(
    names: [&'static str; 2],
    (ours, theirs): (&Turns, &Turns),
    limit: Limit,
    reference: &str,
) -> Vec<Figure> {
    let pairs: Vec<_> = ours.medians.iter().copied().zip(theirs.medians.iter().copied()).collect();
    let p50 = limit.judge(0, names[0], &Pairs::new(&pairs), reference);
    let (ours, theirs) = (Samples::new(ours.times.clone()), Samples::new(theirs.times.clone()));
    let (our, their) = (ours.quantile(0.99), theirs.quantile(0.99));
    let p99 = Figure {
        noisy: p50.noisy,
        detail: format!(
            "p99 of {} and {} changes: service {}, {reference} {}",
            ours.len(),
            theirs.len(),
            time(our),
            time(their)
        ),
        ..limit.judge(1, names[1], &Pairs::new(&[(our, their)]), reference)
    };
    vec![p50, p99]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Answers in turns after a change, as nginx does while old workers leave, and settles 200 ms after it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn last_old_answer_counts() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let changed: &'static Mutex<Option<Instant>> = Box::leak(Box::default());
        tokio::spawn(async move {
            let number = AtomicU64::new(0);
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                let since = changed.lock().unwrap().map(|at| at.elapsed());
                let turn = number.fetch_add(1, Ordering::Relaxed);
                let old = match since {
                    None => true,
                    Some(since) => since < Duration::from_millis(200) && turn.is_multiple_of(2),
                };
                let body = if old { "one" } else { "other" };
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let change = async {
            let now = Instant::now();
            *changed.lock().unwrap() = Some(now);
            Ok(now)
        };
        let settled = settle(address, answers(0), change).await.unwrap();
        // From the first new answer on it would be no time at all; much later, and it were not the last old one.
        assert!(settled > Duration::from_millis(100), "{settled:?}");
        assert!(settled < Duration::from_secs(5), "{settled:?}");
    }

    #[tokio::test]
    async fn foreign_answer_ends_the_measurement() {
        let backend = Backend::start("127.0.0.1", "third").await.unwrap();
        assert!(settle(backend.address, answers(0), async { Ok(Instant::now()) }).await.is_err());
    }
}
