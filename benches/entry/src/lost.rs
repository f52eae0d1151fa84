//! What is lost while routes and endpoints of a table change.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::Figure;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::pod::Pod;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::backend::Backend;
use crate::entry::Entry;
use crate::http::{self, Load, Running, request};
use crate::objects;
use crate::stage::Stage;

/// Clients that keep their connection and never send a request a second time.
const CLIENTS: usize = 32;
/// The longest pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what is not on its way to a client.
const LOOK: Duration = Duration::from_millis(20);

/// Requests lost over changes of a route and of endpoints, and over rolling updates of a backend.
///
/// # Errors
/// A part fails, or a change is not followed.
pub fn lost(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async {
        let said = Command::new(&stage.debian).arg("-v").output().context("run nginx -v")?;
        let version = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        let mut figures = vec![routes(stage).await?, endpoints(stage).await?, updates(stage).await?];
        for figure in &mut figures {
            figure.detail = format!("{}; {version}", figure.detail);
        }
        Ok(figures)
    })
}

/// An entry whose routes change under load.
struct Changing {
    directory: TempDir,
    entry: Entry,
    reloads: u64,
    running: Running,
}

impl Changing {
    /// Starts the entry with hosts that stay, the Service `steady`, and what changes; then clients of both.
    async fn start(stage: &Stage, changes: &[(&str, Value)], path: &str) -> Result<(Self, Backend)> {
        let steady = Backend::start("127.0.0.1", "steady").await?;
        let directory = stage.directory()?;
        objects::write_hosts(directory.path(), 100, steady.address)?;
        let service = objects::service("steady", Some("127.0.0.1"), steady.address.port());
        for (name, object) in
            [("steady", &service)].into_iter().chain(changes.iter().map(|(name, object)| (*name, object)))
        {
            objects::write(directory.path(), name, object)?;
        }
        let entry = stage.run_from(directory.path()).await?;
        let of = |path: &str| [request("GET", path, ""), request("POST", path, "0123456789abcdef")];
        let requests = [of(path), of("/steady/a")].concat();
        let running = Load { address: entry.http, clients: CLIENTS, requests, status: 200, pause: PAUSE }.start();
        let reloads = entry.reloads().await?;
        Ok((Self { directory, entry, reloads, running }, steady))
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until a new connection gets this answer.
    async fn answers(&self, path: &str, body: &str) -> Result<()> {
        let began = Instant::now();
        while !http::get(self.entry.http, path).await.is_ok_and(|(status, answer)| status == 200 && answer == body) {
            ensure!(began.elapsed() < PATIENCE, "{path} is not answered with {body}: {}", self.entry.said());
        }
        Ok(())
    }

    async fn end(self, name: &'static str, changes: usize, of: &str) -> Result<Figure> {
        let traffic = self.running.stop().await?;
        let reloads = self.entry.reloads().await? - self.reloads;
        ensure!(traffic.sent > 2 * changes as u64, "only {} requests: this proves nothing", traffic.sent);
        Ok(Figure {
            name,
            measured: format!("{} lost", traffic.lost),
            limit: "<= 0".to_owned(),
            reached: traffic.lost == 0 && reloads == 0,
            noisy: false,
            detail: format!(
                "of {} requests by {CLIENTS} clients over {changes} {of}{}; {reloads} reloads",
                traffic.sent,
                traffic.why.map_or_else(String::new, |why| format!(" (first: {why})")),
            ),
        })
    }
}

/// A Service is led to one backend and the other in turns.
async fn routes(stage: &Stage) -> Result<Figure> {
    let backends = [Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?];
    let to = |at: usize| objects::service("probe", Some("127.0.0.1"), backends[at].address.port());
    let (changing, _steady) = Changing::start(stage, &[("probe", to(0))], "/probe/a").await?;
    let changes = stage.either(1000, 50);
    for change in 1..=changes {
        objects::write(changing.path(), "probe", &to(change % 2))?;
        changing.answers("/probe/", ["one", "other"][change % 2]).await?;
    }
    changing.end("lost-routes", changes, "changes of a route").await
}

/// A Service below `/shop` that is served at its endpoints, and a list with a slice for each of them: its port, and whether it is ready or
/// ending.
fn shop(endpoints: &[(u16, bool)]) -> Value {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "shop",
            "labels": { "sparrow/expose": "true" },
            "annotations": { "sparrow/backends": "endpoints" },
        },
        "spec": { "clusterIP": "None", "ports": [{ "port": 80 }] },
    });
    let slice = |(port, is_ready): &(u16, bool)| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "name": format!("shop-{port}"), "labels": { "kubernetes.io/service-name": "shop" } },
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["127.0.0.1"],
                "conditions": { "ready": is_ready, "serving": true, "terminating": !is_ready },
            }],
            "ports": [{ "port": port }],
        })
    };
    let items: Vec<_> = [service].into_iter().chain(endpoints.iter().map(slice)).collect();
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

/// Of three endpoints two are there, others with each change.
async fn endpoints(stage: &Stage) -> Result<Figure> {
    let names = ["a", "b", "c"];
    let mut backends = Vec::new();
    for name in names {
        backends.push(Backend::start("127.0.0.1", name).await?);
    }
    let two =
        |change: usize| shop(&[change, change + 1].map(|number| (backends[number % names.len()].address.port(), true)));
    let (changing, _steady) = Changing::start(stage, &[("shop", two(0))], "/shop/a").await?;
    let changes = stage.either(1000, 50);
    for change in 1..=changes {
        objects::write(changing.path(), "shop", &two(change))?;
        // That which was not there before.
        changing.answers("/shop/", names[(change + 1) % names.len()]).await?;
    }
    changing.end("lost-endpoints", changes, "changes of endpoints").await
}

fn pod() -> Result<Pod> {
    Ok(Pod::start(Ipv4Addr::LOCALHOST.into(), "pod")?)
}

/// The endpoints of a Service are replaced by new ones, one after the other, as a Deployment does it: each ends when it gets no more
/// requests.
async fn updates(stage: &Stage) -> Result<Figure> {
    let mut pods = vec![pod()?, pod()?, pod()?];
    let of = |pods: &[Pod], ending: Option<&Pod>| {
        let ready = pods.iter().map(|pod| (pod.address().port(), true));
        shop(&ready.chain(ending.map(|pod| (pod.address().port(), false))).collect::<Vec<_>>())
    };
    let (changing, _steady) = Changing::start(stage, &[("shop", of(&pods, None))], "/shop/a").await?;
    let updates = stage.either(10, 2);
    for _ in 0..updates * pods.len() {
        pods.push(pod()?);
        let old = pods.remove(0);
        objects::write(changing.path(), "shop", &of(&pods, Some(&old)))?;
        until(|| pods.iter().all(|pod| pod.requests() > 20)).await.context("not all pods get requests")?;
        let mut seen = (old.requests(), 0);
        until(|| {
            seen = if seen.0 == old.requests() { (seen.0, seen.1 + 1) } else { (old.requests(), 0) };
            seen.1 > 20
        })
        .await
        .context("a pod that ends gets requests")?;
        spawn_blocking(|| old.end()).await?;
        objects::write(changing.path(), "shop", &of(&pods, None))?;
    }
    changing.end("lost-update", updates, "rolling updates of three endpoints").await
}

/// Waits until something is so.
async fn until(mut is: impl FnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while !is() {
        ensure!(began.elapsed() < PATIENCE, "it takes too long");
        sleep(LOOK).await;
    }
    Ok(())
}
