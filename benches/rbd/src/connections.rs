//! Threads and file descriptors: what was opened is closed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testbed::service::{ApiClient, RbdService};

use crate::stage::{IMAGE_BYTES, Stage, images_path, read, wait_until};
use bench_figures::figure::Figure;
use bench_figures::process::{Handles, resting_handles};

/// How long the service may take to see a changed keyring and to connect with it.
const NOTICE: Duration = Duration::from_secs(30);

/// Threads and descriptors of the service after many requests and connections, and of this process after as many
/// connections without the service.
///
/// # Errors
/// Ceph or the service fails, or answers wrongly.
pub fn connections(stage: &Stage) -> Result<Vec<Figure>> {
    let (requests, connects) = stage.either((10_000, 100), (1_000, 5));
    let directory = tempfile::tempdir()?;
    let keyring = directory.path().join("keyring");
    let good = read(stage.ceph.keyring())?;
    let bad = with_wrong_key(&good)?;
    std::fs::write(&keyring, &good)?;

    stage.pool("mixed")?;
    let service = stage.options_with_keyring(&keyring).start()?;
    // Connections make threads when they are first used, so both counts come after the same use.
    mixed(&service, requests / 10, "before")?;
    let before = resting_handles(service.pid())?;
    mixed(&service, requests, "all")?;
    for number in 0..connects {
        replace(&keyring, &bad)?;
        wait_until("the wrong key is refused", NOTICE, || Ok(trouble(&service)?.contains("but: ")))?;
        // Another content every time, or there is no reason to connect anew.
        replace(&keyring, &format!("{good}# {number}\n"))?;
        wait_until("the right key is taken", NOTICE, || Ok(!trouble(&service)?.contains("but: ")))?;
    }
    mixed(&service, requests / 10, "after")?;
    let after = resting_handles(service.pid())?;
    drop(service);
    stage.ceph.delete_pool("mixed")?;

    let own = std::process::id();
    connect(stage, &keyring, (&good, &bad), 1)?;
    let own_before = resting_handles(own)?;
    connect(stage, &keyring, (&good, &bad), connects)?;
    let own_after = resting_handles(own)?;

    let what = format!("{requests} requests, {connects} failed and {connects} successful connections");
    let raw = format!("{connects} failed and {connects} successful connections of this process");
    let mut all = figures(["service-threads", "service-descriptors"], before, after, &what);
    all.extend(figures(["library-threads", "library-descriptors"], own_before, own_after, &raw));
    Ok(all)
}

fn figures(names: [&'static str; 2], before: Handles, after: Handles, what: &str) -> Vec<Figure> {
    let counts = [(before.threads, after.threads), (before.descriptors, after.descriptors)];
    names
        .into_iter()
        .zip(counts)
        .map(|(name, (before, after))| Figure {
            name,
            measured: after.to_string(),
            limit: format!("<= {before}"),
            reached: after <= before,
            noisy: false,
            detail: format!("{before} before {what}"),
        })
        .collect()
}

/// What the admin port says of the connection.
fn trouble(service: &RbdService) -> Result<String> {
    Ok(service.admin_client().get("/readyz")?.text())
}

/// Replaces a file at once, so that no half of it is read.
fn replace(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    Ok(std::fs::rename(&beside, path)?)
}

/// The keyring with another key of the same form.
fn with_wrong_key(keyring: &str) -> Result<String> {
    let key = keyring.lines().find_map(|line| line.trim().strip_prefix("key = ")).context("a key in the keyring")?;
    let place = key.len() - 8;
    let other = if key.as_bytes()[place] == b'A' { "B" } else { "A" };
    let wrong = format!("{}{other}{}", &key[..place], &key[place + 1..]);
    Ok(keyring.replace(key, &wrong))
}

/// Requests of all kinds by 16 clients: some find nothing, some make images and delete them.
fn mixed(service: &RbdService, requests: usize, name: &str) -> Result<()> {
    const CLIENTS: usize = 16;
    let base = format!("http://{}", service.api());
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let base = base.clone();
                scope.spawn(move || {
                    let own = ApiClient::new(&base);
                    (0..requests / CLIENTS).try_for_each(|number| one(&own, number, &format!("{name}-{client}")))
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().ok().context("a client panicked")?)
    })
}

fn one(client: &ApiClient, number: usize, name: &str) -> Result<()> {
    let images = images_path("mixed");
    // An image lives for ten requests.
    let image = format!("{name}-{}", number / 10);
    let (expected, answer) = match number % 10 {
        0 => (201, client.post(&images, &json!({ "name": image, "sizeBytes": IMAGE_BYTES }))?),
        1 | 2 => (200, client.get(&format!("{images}/{image}"))?),
        3 => (200, client.get(&images)?),
        4 => (200, client.get(&format!("{images}?view=full&limit=100"))?),
        5 => (404, client.get(&format!("{images}/none"))?),
        6 => (404, client.get(&images_path("none"))?),
        7 => (200, client.get("/api/v1/pools")?),
        8 => (400, client.post(&images, &json!({ "name": "a/b", "sizeBytes": 0 }))?),
        _ => (200, client.delete(&format!("{images}/{image}"))?),
    };
    ensure!(answer.status == expected, "request {number} was answered {}: {}", answer.status, answer.text());
    Ok(())
}

/// Connections of this process: one that fails, one that does not, and so on.
fn connect(stage: &Stage, keyring: &Path, (good, bad): (&str, &str), times: usize) -> Result<()> {
    let settings = ceph::Settings { keyring: Some(keyring.to_owned()), ..stage.settings() };
    for _ in 0..times {
        replace(keyring, bad)?;
        ensure!(settings.configure()?.connect().is_err(), "a wrong key was taken");
        replace(keyring, good)?;
        settings.configure()?.connect()?.fsid()?;
    }
    Ok(())
}
