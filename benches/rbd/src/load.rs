//! Many clients at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testbed::service::ApiClient;

use crate::stage::Stage;
use bench_figures::figure::{Figure, Samples, time};
use bench_figures::process::{mib, resident_bytes};

const CLIENTS: usize = 64;

/// How much more memory, relative to what it is in the second third of the time, may be resident in the last third.
const GROWTH: f64 = 0.03;

/// 64 clients that list and read; of ten requests, seven get an image, two list names and one lists 100 images in full.
///
/// # Errors
/// The service ended.
pub fn load(stage: &Stage) -> Result<Vec<Figure>> {
    let thousand = stage.thousand()?;
    let service = stage.service()?;
    // Threads and what is allocated for each come with the first requests, one after the other.
    let warm = Duration::from_secs(stage.either(60, 5));
    let duration = Duration::from_secs(stage.either(60, 10));
    let paths: Vec<String> = (0..thousand.names.len())
        .map(|number| match number % 10 {
            0 => format!("{}?view=full&limit=100", thousand.images()),
            1 | 2 => thousand.images(),
            _ => format!("{}/{}", thousand.images(), thousand.names[number]),
        })
        .collect();
    let end = AtomicBool::new(false);
    let errors = AtomicUsize::new(0);
    let base = format!("http://{}", service.api());
    let client = |number: usize| -> (Vec<Duration>, Option<String>) {
        let client = ApiClient::new(&base);
        let (mut times, mut first_error) = (Vec::new(), None);
        // Each begins elsewhere.
        let mine = paths.iter().cycle().skip(number * paths.len() / CLIENTS);
        for path in mine {
            if end.load(Ordering::Relaxed) {
                break;
            }
            let began = Instant::now();
            let wrong = match client.get(path) {
                Ok(answer) if answer.status == 200 => None,
                Ok(answer) => Some(answer.text()),
                Err(error) => Some(format!("{error:#}")),
            };
            times.push(began.elapsed());
            if wrong.is_some() {
                errors.fetch_add(1, Ordering::Relaxed);
                first_error = first_error.or(wrong);
            }
        }
        (times, first_error)
    };
    let (clients, resident) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        std::thread::sleep(warm);
        let resident = watch(service.pid(), duration);
        end.store(true, Ordering::Relaxed);
        (clients.into_iter().map(|client| client.join()).collect::<Vec<_>>(), resident)
    });
    let resident = resident?;
    let (mut times, mut first_error) = (Vec::new(), None);
    for client in clients {
        let (its, error) = client.ok().context("a client panicked")?;
        times.extend(its);
        first_error = first_error.or(error);
    }
    let (requests, errors) = (times.len(), errors.into_inner());
    ensure!(requests > 0, "no request was answered");
    let times = Samples::new(times);
    let third = resident.len() / 3;
    let (before, after) = (median(&resident[third..2 * third]), median(&resident[2 * third..]));
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let growth = after as f64 / before as f64 - 1.0;
    let seconds = (warm + duration).as_secs();
    Ok(vec![
        Figure {
            name: "load-64-errors",
            measured: errors.to_string(),
            limit: "0".into(),
            reached: errors == 0,
            noisy: false,
            detail: first_error.unwrap_or_else(|| format!("of {requests} requests in {seconds} s")),
        },
        Figure {
            name: "load-64-p99",
            measured: time(times.quantile(0.99)),
            limit: "reported".into(),
            reached: true,
            noisy: false,
            detail: format!("p50 {}, most {}", time(times.median()), time(times.quantile(1.0))),
        },
        Figure {
            name: "load-64-memory-growth",
            measured: format!("{:+.1} %", growth * 100.0),
            limit: format!("<= {:.1} %", GROWTH * 100.0),
            reached: growth <= GROWTH,
            noisy: false,
            detail: format!(
                "median of the second third {}, of the last third {}, most {}",
                mib(before),
                mib(after),
                mib(resident.iter().copied().max().unwrap_or_default())
            ),
        },
    ])
}

/// Resident memory, in bytes, a few times a second.
fn watch(pid: u32, duration: Duration) -> Result<Vec<u64>> {
    let began = Instant::now();
    let mut resident = Vec::new();
    while began.elapsed() < duration {
        resident.push(resident_bytes(pid)?);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(resident)
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
