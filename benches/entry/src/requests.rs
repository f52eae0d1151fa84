//! What a request costs nginx that finds its route in a table: of 5,000, beside the same nginx with one location by hand; and where there
//! are many backends, or many hosts with `*`, beside one without.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use bench_figures::figure::Figure;
use futures_util::future::try_join_all;
use testbed::ports::free_address;

use crate::backend::Backend;
use crate::by_hand::{ByHand, arguments, modules, serves};
use crate::cpu::{CLIENTS, LIMIT, Served, compare};
use crate::entry::{Entry, flag};
use crate::guard::Guarded;
use crate::http::Connection;
use crate::objects;
use crate::plain::{Treatment, configuration, steady};
use crate::stage::Stage;

/// How many more instructions a request may take.
const INSTRUCTIONS: f64 = 1.12;
/// How much more a request may cost where there are many backends.
const BACKENDS: f64 = 1.3;
/// Hosts with a route each.
const ROUTES: u16 = 5000;
/// Requests of each client before those that are counted: each worker has looked each route up then.
const WARM: usize = 200;
/// The body of an answer, in bytes.
pub const BODY: usize = 1024;

/// Processor time and instructions of a request.
///
/// # Errors
/// A part fails, or an answer is wrong.
pub fn requests(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async {
        let backend = Backend::start("127.0.0.1", &"x".repeat(BODY)).await?;
        let directory = stage.directory()?;
        objects::write_hosts(directory.path(), ROUTES, backend.address)?;
        let entry = stage.run_from(directory.path()).await?;
        let location = Treatment::default();
        let by_hand = |address: SocketAddr| steady(address, backend.address, &location);
        let figures = vec![cpu(stage, &entry, by_hand).await?, instructions(stage, &entry, by_hand).await?];
        drop(entry);
        Ok(figures.into_iter().chain([backends(stage).await?, unknown(stage).await?]).collect())
    })
}

/// Requests for many hosts, each with a backend of its own, beside the same with one backend for all.
async fn backends(stage: &Stage) -> Result<Figure> {
    // At each of the addresses.
    let backend = Backend::start("0.0.0.0", &"x".repeat(BODY)).await?;
    let (port, count) = (backend.address.port(), stage.either(1000, 100));
    let (many, one) = (stage.directory()?, stage.directory()?);
    objects::write_backends(many.path(), count, port)?;
    objects::write_hosts(one.path(), count, SocketAddr::from(([127, 66, 0, 0], port)))?;
    let many = stage.run_from(many.path()).await?;
    let one = stage.run_from(one.path()).await?;
    let ours = Served::asked(many.http, many.nginx_pid()?, every_request(count));
    let theirs = Served::asked(one.http, one.nginx_pid()?, every_request(count));
    compare(stage, "cpu-backends", (&ours, &theirs), (BACKENDS, "one backend")).await
}

/// Requests for hosts that nobody has, where very many have hosts with `*`, beside the same where nobody has.
async fn unknown(stage: &Stage) -> Result<Figure> {
    let backend = Backend::start("127.0.0.1", "").await?;
    let (many, none) = (stage.directory()?, stage.directory()?);
    objects::write_wildcards(many.path(), stage.either(5000, 500), backend.address)?;
    objects::write_hosts(none.path(), 1, backend.address)?;
    let many = stage.run_from(many.path()).await?;
    let none = stage.run_from(none.path()).await?;
    let request = |number: u16| {
        format!("GET /some/thing HTTP/1.1\r\nHost: a.unknown-{number}.example.com\r\nAccept: */*\r\n\r\n").into_bytes()
    };
    let requests: Vec<_> = (0..ROUTES).map(request).collect();
    let known = b"GET / HTTP/1.1\r\nHost: a.host-7.example.com\r\n\r\n";
    let status = Connection::open(many.http).await?.exchange(known).await?.status;
    ensure!(status == 200, "a host below one with `*` is answered {status}");
    let ours = Served::answering(404, many.http, many.nginx_pid()?, requests.clone());
    let theirs = Served::answering(404, none.http, none.nginx_pid()?, requests);
    compare(stage, "cpu-unknown", (&ours, &theirs), (LIMIT, "without")).await
}

/// A request for each of so many hosts.
pub fn every_request(hosts: u16) -> Vec<Vec<u8>> {
    let request = |number: u16| {
        // Neighbours are far apart.
        let host = u32::from(number) * 7919 % u32::from(hosts);
        format!("GET /steady/some/thing?of=interest HTTP/1.1\r\nHost: host-{host}.example.com\r\nAccept: */*\r\n\r\n")
    };
    (0..hosts).map(|number| request(number).into_bytes()).collect()
}

async fn cpu(stage: &Stage, entry: &Entry, by_hand: impl FnOnce(SocketAddr) -> String) -> Result<Figure> {
    let by_hand = ByHand::start(&stage.debian, by_hand).await?;
    let ours = Served::asked(entry.http, entry.nginx_pid()?, every_request(ROUTES));
    let theirs = Served::asked(by_hand.http, by_hand.nginx_pid()?, every_request(ROUTES));
    compare(stage, "cpu-table", (&ours, &theirs), (LIMIT, "by hand")).await
}

/// The instructions that nginx itself executes for a request, without those of the kernel, as valgrind counts them.
async fn instructions(stage: &Stage, entry: &Entry, by_hand: impl Fn(SocketAddr) -> String) -> Result<Figure> {
    let limit = format!("<= {INSTRUCTIONS:.2} x");
    let has_valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !has_valgrind.is_ok_and(|status| status.success()) {
        let why = "valgrind is not there: apt-get install valgrind";
        return Ok(Figure { reached: true, ..Figure::missing("instructions-table", &limit, why) });
    }
    let live = entry.live()?;
    let frame = |address: SocketAddr, runtime: &Path| {
        let table = |runtime: &Path| format!("sparrow_table \"{}/table\";", runtime.display());
        let moved = live.replace(&entry.runtime().display().to_string(), &runtime.display().to_string());
        // The memory is the entry's.
        moved.replace(&entry.http.to_string(), &address.to_string()).replace(&table(runtime), &table(&entry.runtime()))
    };
    let modules = modules(&stage.debian)?;
    let by_hand = |address: SocketAddr, runtime: &Path| configuration(runtime, modules, &by_hand(address));
    let (ours, theirs) = (a_request(stage, frame).await?, a_request(stage, by_hand).await?);
    let ratio = ours / theirs;
    Ok(Figure {
        name: "instructions-table",
        measured: format!("{ratio:.2} x"),
        limit,
        reached: ratio <= INSTRUCTIONS,
        noisy: false,
        detail: format!(
            "instructions of user space a request, {ROUTES} routes: service {ours:.0}, by hand {theirs:.0}"
        ),
    })
}

/// The instructions of a request: what so many more take, which is without those of the start and of the first requests.
async fn a_request(stage: &Stage, text: impl Fn(SocketAddr, &Path) -> String) -> Result<f64> {
    let more = stage.either(400, 50);
    let [few, many] = [count(stage, &text, WARM).await?, count(stage, &text, WARM + more).await?];
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(many.saturating_sub(few) as f64 / (more * CLIENTS) as f64)
}

/// The instructions that an nginx of one process executes, from its start to its end, for so many requests of each client.
async fn count(stage: &Stage, text: impl Fn(SocketAddr, &Path) -> String, each: usize) -> Result<u64> {
    let (result, address) = (stage.directory()?, free_address()?);
    let counted = result.path().join("counted");
    let process = Guarded::start(|directory| {
        let runtime = directory.join("runtime");
        fs::create_dir(&runtime)?;
        fs::write(directory.join("nginx.conf"), text(address, &runtime))?;
        let valgrind = ["valgrind".to_owned(), "--tool=callgrind".to_owned(), flag("callgrind-out-file", &counted)];
        let nginx = [stage.debian.display().to_string()].into_iter().chain(arguments(directory));
        let alone = ["-g".to_owned(), "daemon off; master_process off;".to_owned()];
        Ok(valgrind.into_iter().chain(nginx).chain(alone).collect())
    })?;
    serves(&process, address).await?;
    ask(address, CLIENTS, each, &every_request(ROUTES)).await?;
    // It writes what it counted when it ends.
    drop(process);
    let told = fs::read_to_string(&counted).context("valgrind has not told what it counted")?;
    let total = told.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.context("valgrind tells no sum")?.trim().parse()?)
}

/// Clients that send so many of the requests each, every one on a connection that it keeps.
///
/// # Errors
/// An answer is wrong.
pub async fn ask(address: SocketAddr, clients: usize, each: usize, requests: &[Vec<u8>]) -> Result<()> {
    let client = async |number: usize| {
        let mut connection = Connection::open(address).await?;
        for request in requests.iter().cycle().skip(number * requests.len() / clients).take(each) {
            let answer = connection.exchange(request).await?;
            ensure!(answer.status == 200 && answer.body.len() == BODY, "{answer:?}");
            if !answer.keep {
                connection = Connection::open(address).await?;
            }
        }
        Ok(())
    };
    try_join_all((0..clients).map(client)).await.map(drop)
}
