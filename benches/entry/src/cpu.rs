//! What a request costs nginx.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::{Figure, Pairs, Samples, time};
use nginx_conf::Modules;
use tokio::time::sleep;

use crate::backend::Backend;
use crate::by_hand::ByHand;
use crate::http::{Load, request};
use crate::objects;
use crate::stage::Stage;

/// How much more a request may cost.
const LIMIT: f64 = 1.05;
const CLIENTS: usize = 32;
/// Before a turn counts: connections are open then.
const WARM: Duration = Duration::from_millis(500);
/// The body of an answer, in bytes.
const BODY: usize = 1024;

/// A turn.
#[derive(Debug)]
struct Turn {
    /// Of the workers, for a request.
    cpu: Duration,
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
        let mut figures = Vec::new();
        for (nginx, name) in [(&stage.debian, "cpu-debian"), (&stage.newest, "cpu-newest")] {
            figures.push(measure(stage, nginx, name).await?);
        }
        Ok(figures)
    })
}

async fn measure(stage: &Stage, nginx: &Path, name: &'static str) -> Result<Figure> {
    let backend = Backend::start("127.0.0.1", &"x".repeat(BODY)).await?;
    let directory = stage.directory()?;
    objects::write_others(directory.path(), 20)?;
    let steady = objects::service("steady", Some("127.0.0.1"), backend.address.port());
    objects::write(directory.path(), "steady", &steady)?;
    let entry = stage.run_from(directory.path(), nginx).await?;
    let said = Command::new(nginx).arg("-V").output().context("run nginx -V")?;
    let modules = Modules::parse(&String::from_utf8_lossy(&said.stderr));
    let by_hand = ByHand::start(nginx, |address, runtime| plain(address, runtime, backend.address, modules)).await?;
    let masters = [entry.nginx_pid()?, by_hand.nginx_pid()?];
    let length = Duration::from_secs(stage.either(4, 1));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..stage.either(7, 2) {
        ours.push(turn(entry.http, masters[0], length).await?);
        theirs.push(turn(by_hand.http, masters[1], length).await?);
    }
    let pairs: Vec<_> = ours.iter().zip(&theirs).map(|(our, their)| (our.cpu, their.cpu)).collect();
    let mut figure = Pairs::new(&pairs).at_most(name, LIMIT, "by hand");
    let of = |turns: &[Turn]| {
        let mut rates: Vec<f64> = turns.iter().map(|turn| turn.per_second).collect();
        rates.sort_by(f64::total_cmp);
        let p99 = Samples::new(turns.iter().map(|turn| turn.p99).collect()).median();
        format!("{:.0}/s p99 {}", rates[rates.len() / 2], time(p99))
    };
    let _ = write!(figure.detail, "; service {}, by hand {}", of(&ours), of(&theirs));
    Ok(figure)
}

async fn turn(address: SocketAddr, master: u32, length: Duration) -> Result<Turn> {
    let requests = vec![request("GET", "/steady/some/thing?of=interest", "")];
    let running = Load { address, clients: CLIENTS, requests, pause: Duration::ZERO }.start();
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
        p99: Samples::new(traffic.times).quantile(0.99),
        per_second: f64::from(count) / took.as_secs_f64(),
    })
}

/// The processor time of the children of a process, in user and system mode.
fn workers_cpu(master: u32) -> Result<Duration> {
    let mut ticks = 0;
    let mut workers = 0;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path().join("stat");
        // Not a process, or one that has ended since.
        let Ok(stat) = fs::read_to_string(&path) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        // The third field of proc_pid_stat(5) is the first here.
        let field = |number: usize| rest.split(' ').nth(number - 3).and_then(|field| field.parse::<u64>().ok());
        if field(4) == Some(u64::from(master)) {
            workers += 1;
            ticks += field(14).unwrap_or(0) + field(15).unwrap_or(0);
        }
    }
    ensure!(workers == 2, "nginx has {workers} workers, not 2");
    Ok(Duration::from_nanos(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

/// What a person writes to have the same: the prefix stripped, upgrades, streams that are not held back, connections to
/// the backend that are kept, and the headers that tell the backend about the client.
fn plain(address: SocketAddr, runtime: &Path, backend: SocketAddr, modules: Modules) -> String {
    let runtime = runtime.display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = [("fastcgi", modules.fastcgi), ("uwsgi", modules.uwsgi), ("scgi", modules.scgi)]
        .iter()
        .filter(|(_, present)| *present)
        .map(|(name, _)| format!("{name}_temp_path {runtime}/{name};\n"))
        .collect();
    format!(
        "{user}
        worker_processes 2;
        worker_rlimit_nofile 16896;
        pid {runtime}/nginx.pid;
        error_log stderr warn;
        events {{ worker_connections 8192; }}
        http {{
            access_log off;
            server_tokens off;
            tcp_nodelay on;
            keepalive_timeout 75s;
            keepalive_requests 10000;
            client_max_body_size 0;
            client_body_temp_path {runtime}/body;
            proxy_temp_path {runtime}/proxy;
            {temporary}
            map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
            upstream steady {{
                server {backend};
                keepalive 32;
                keepalive_timeout 4s;
                keepalive_requests 10000;
            }}
            server {{
                listen {address} default_server;
                location = /steady {{ return 301 /steady/; }}
                location /steady/ {{
                    proxy_pass http://steady/;
                    proxy_http_version 1.1;
                    proxy_buffering off;
                    proxy_request_buffering off;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_set_header Host $http_host;
                    proxy_set_header X-Real-IP $remote_addr;
                    proxy_set_header X-Forwarded-For $remote_addr;
                    proxy_set_header X-Forwarded-Host $http_host;
                    proxy_set_header X-Forwarded-Port $server_port;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_set_header X-Forwarded-Prefix /steady;
                    proxy_set_header X-Request-ID $request_id;
                }}
                location / {{ return 404; }}
            }}
        }}"
    )
}
