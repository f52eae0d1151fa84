//! A pod of the entry: the three processes of its containers, one after the other, on one volume.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::{Figure, Samples, time};
use bench_figures::process::resident_bytes;
use tempfile::TempDir;
use testbed::ports::free_address;

use crate::entry::{flag, until_ready};
use crate::guard::Guarded;
use crate::http::Connection;
use crate::stage::Stage;
use crate::table::hosts_in_server;

/// From the start of a pod until it is ready.
const READY: Duration = Duration::from_millis(1500);
/// Between two looks whether it is.
const LOOK: Duration = Duration::from_millis(2);

/// A pod that is ready.
#[derive(Debug)]
pub struct Pod {
    // nginx ends before the one that writes for it.
    nginx: Guarded,
    watch: Guarded,
    // The volume is in it.
    _directory: TempDir,
    /// Where it serves.
    pub http: SocketAddr,
    /// Where what writes for nginx is administered.
    pub watch_admin: SocketAddr,
    /// Where nginx's supervisor is.
    pub nginx_admin: SocketAddr,
    /// How long each of `generate`, `watch` and `nginx` took, which begin when the one before has ended or is ready.
    pub took: [Duration; 3],
}

impl Pod {
    /// Starts Debian's nginx with the module and what writes for it, and waits until it is ready.
    ///
    /// # Errors
    /// One of them ends, or is not ready; what it said is in the error.
    pub async fn start(stage: &Stage, source: &[String]) -> Result<Self> {
        let directory = stage.directory()?;
        let (http, watch_admin, nginx_admin) = (free_address()?, free_address()?, free_address()?);
        let flags = [&stage.flags(directory.path()), source, &[format!("--http={http}")]].concat();
        let binary = stage.binary.display().to_string();
        let began = Instant::now();
        let mut generate = Command::new(&stage.binary);
        let output = generate.arg("generate").args(&flags).stdin(Stdio::null()).output();
        let output = output.context("run sparrow-entry generate")?;
        ensure!(output.status.success(), "generate: {}", String::from_utf8_lossy(&output.stderr));
        let generated = Instant::now();
        let watch = Guarded::start(|_| {
            let command = [binary.clone(), "watch".to_owned(), format!("--admin={watch_admin}")];
            Ok(command.into_iter().chain(flags).collect())
        })?;
        until_ready(&watch, watch_admin, LOOK).await?;
        let watching = Instant::now();
        let nginx = Guarded::start(|_| {
            let [volume, runtime] = ["volume", "runtime"].map(|name| flag(name, directory.path().join(name)));
            let of_nginx = [flag("nginx", &stage.debian), volume, runtime];
            let command =
                [binary, "nginx".to_owned(), format!("--admin={nginx_admin}"), "--stop-timeout=1s".to_owned()];
            Ok(command.into_iter().chain(of_nginx).collect())
        })?;
        until_ready(&nginx, nginx_admin, LOOK).await?;
        let took = [generated - began, watching - generated, watching.elapsed()];
        Ok(Self { nginx, watch, _directory: directory, http, watch_admin, nginx_admin, took })
    }

    /// The resident memory of what writes for nginx.
    ///
    /// # Errors
    /// It has ended.
    pub fn watch_bytes(&self) -> Result<u64> {
        resident_bytes(self.watch.pid)
    }

    /// The end of what both have said.
    pub fn said(&self) -> String {
        format!("watch:\n{}\nnginx:\n{}", self.watch.said(), self.nginx.said())
    }
}

/// The start of a pod with 10,000 routes in the API server.
///
/// # Errors
/// A part fails.
pub fn pod(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async {
        let hosts = hosts_in_server(stage).await?;
        let mut all = Vec::new();
        for _ in 0..stage.either(7, 3) {
            let pod = Pod::start(stage, &hosts.source).await?;
            // It is ready, so all of them are found; where they lead nobody listens.
            for number in [0, hosts.count / 2, hosts.count - 1] {
                let request = format!("GET / HTTP/1.1\r\nHost: host-{number}.example.com\r\n\r\n");
                let status = Connection::open(pod.http).await?.exchange(request.as_bytes()).await?.status;
                ensure!(status == 502, "a ready pod answers {status} for the host {number}");
            }
            all.push(pod.took);
        }
        let whole = Samples::new(all.iter().map(|took| took.iter().sum()).collect());
        let part = |number: usize| Samples::new(all.iter().map(|took| took[number]).collect());
        Ok(vec![Figure {
            name: "pod-ready",
            measured: time(whole.median()),
            limit: format!("<= {}", time(READY)),
            reached: whole.median() <= READY,
            noisy: whole.noisy(),
            detail: format!(
                "with {} routes in the API server: {whole}; of it `generate` {}, then `watch` {}, then `nginx` {}",
                hosts.count,
                part(0),
                part(1),
                part(2)
            ),
        }])
    })
}
