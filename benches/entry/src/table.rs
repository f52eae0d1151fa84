//! From a change of a route to the last old answer, where a module of nginx routes by a table: beside the same nginx with all
//! routes in a file, which is written and reloaded by hand.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bench_figures::figure::{Figure, Pairs, Samples, time};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Client;
use kube::api::Api;
use serde_json::Value;
use tempfile::TempDir;

use crate::backend::Backend;
use crate::by_hand::ByHand;
use crate::entry::Entry;
use crate::envoy::{self, Envoy};
use crate::objects;
use crate::plain::{server, upstream};
use crate::settled::{Limit, Probe, Turns, answers, figures, lead, settle, take_turns};
use crate::stage::{Stage, TABLE_PROBE, create};
use crate::watch::Watch;

/// How many times as fast a change must be as by hand: of the medians, and of the p99.
pub const LIMITS: [f64; 2] = [40.0, 15.0];
/// How many times as long a change may take as a client of the API server takes to see it.
const WATCH: f64 = 3.0;
/// How much longer it may take with so many more routes.
const FLAT: f64 = 1.5;
/// Between a settled change and the next one.
pub const REST: Duration = Duration::from_millis(50);
/// A reload takes so long that it has part in few turns: four in a batch.
pub const BY_HAND_EVERY: usize = 5;
const NAMESPACE: &str = "table";
/// Where nobody listens.
pub const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 65, 0, 1)), 80);

/// Changes of a manifest with many and very many routes present, and of a Service in the API server.
///
/// # Errors
/// A part fails.
pub fn table(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(async {
        let (many, more) = (stage.either(10_000, 1000), stage.either(50_000, 5000));
        let manifests =
            [many, more].map(|count| Manifests::new(stage, move |path| objects::write_hosts(path, count, NOBODY)));
        let [manifests, more_manifests] = manifests;
        let manifests = [manifests.await?, more_manifests.await?];
        let by_hand = by_hand(stage, many, &manifests[0]).await?;
        let entries = [stage.run_from(manifests[0].path()).await?, stage.run_from(manifests[1].path()).await?];
        let (reloads, more_reloads) = (entries[0].reloads().await?, entries[1].reloads().await?);
        let mut figures = changes(stage, (&manifests, &entries), by_hand).await?;
        figures.push(added(stage, "table-added", &manifests, &entries).await?);
        ensure!(entries[0].reloads().await? == reloads, "nginx was reloaded");
        ensure!(entries[1].reloads().await? == more_reloads, "nginx with more routes was reloaded");
        drop(entries);
        figures.extend(on_one_host(stage, [many, more]).await?);
        Ok(figures)
    })
}

/// A directory with many Ingresses, and the Service `probe`, which is at the first of two backends. All other paths go to the Service
/// `rest`, whose backend is the first one.
struct Manifests {
    directory: TempDir,
    backends: [Backend; 2],
}

impl Manifests {
    /// With routes to nobody that are written beside.
    async fn new(stage: &Stage, write_routes: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let backends = [Backend::start("127.0.0.1", "one").await?, Backend::start("127.0.0.1", "other").await?];
        let manifests = Self { directory: stage.directory()?, backends };
        write_routes(manifests.path())?;
        let mut rest = manifests.service("rest", 0);
        rest["metadata"]["annotations"]["sparrow/path"] = "/".into();
        objects::write(manifests.path(), "rest", &rest)?;
        manifests.lead(0)?;
        Ok(manifests)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn service(&self, name: &str, backend: usize) -> Value {
        objects::service(name, Some("127.0.0.1"), self.backends[backend].address.port())
    }

    /// Leads the Service to one of its backends. When that began.
    fn lead(&self, to: usize) -> Result<Instant> {
        let began = Instant::now();
        objects::write(self.path(), "probe", &self.service("probe", to))?;
        Ok(began)
    }

    /// Adds the Service with the second backend, or takes it away.
    fn add(&self, to: usize) -> Result<Instant> {
        let began = Instant::now();
        match to {
            0 => objects::remove(self.path(), "probe").map(|()| began),
            _ => self.lead(to),
        }
    }
}

/// What a person writes for the same as manifests, with so many hosts, in which the location `probe` leads to one of its backends.
fn same_by_hand(address: SocketAddr, hosts: u16, manifests: &Manifests, to: usize) -> String {
    let [first, led] = [0, to].map(|at| manifests.backends[at].address);
    let upstreams = [upstream("other", NOBODY), upstream("rest", first), upstream("probe", led)].concat();
    let head = format!("listen {address} default_server;");
    let default = server(&head, [("/", "http://rest"), ("/probe/", "http://probe/")]);
    let host = |number| format!("listen {address}; server_name host-{number}.example.com;");
    let hosts = (0..hosts).map(|number| server(&host(number), [("/", "http://other")]));
    [upstreams, default].into_iter().chain(hosts).collect()
}

/// An nginx that is driven by hand with these files, for both backends.
async fn by_hand(stage: &Stage, hosts: u16, manifests: &Manifests) -> Result<(ByHand, [String; 2])> {
    let by_hand = ByHand::start(&stage.debian, |address| same_by_hand(address, hosts, manifests, 0)).await?;
    let files = [0, 1].map(|to| same_by_hand(by_hand.http, hosts, manifests, to));
    settle(by_hand.http, answers(0), async { by_hand.reload(&files[1]) }).await?;
    settle(by_hand.http, answers(1), async { by_hand.reload(&files[0]) }).await?;
    Ok((by_hand, files))
}

/// Many Ingresses in a namespace of the API server, each with a host of its own.
pub struct HostsInServer {
    client: Client,
    /// How many.
    pub count: u16,
    /// The flags with which an entry follows them.
    pub source: Vec<String>,
}

/// The API server with 10,000 hosts, all of which lead to where nobody listens.
///
/// # Errors
/// They cannot be created.
pub async fn hosts_in_server(stage: &Stage) -> Result<HostsInServer> {
    let (client, count) = (stage.client(NAMESPACE).await?, stage.either(10_000, 1000));
    if stage.is_to_fill(NAMESPACE) {
        create::<Service>(&client, NAMESPACE, [objects::service("other", None, 80)]).await?;
        let ingresses = (0..count).map(|number| objects::ingress(&format!("host-{number}"), "other"));
        create::<Ingress>(&client, NAMESPACE, ingresses).await?;
    }
    Ok(HostsInServer { client, count, source: stage.server_flags(NAMESPACE)? })
}

/// The Service `probe` in the API server, and a client that sees its changes.
struct ProbeInServer {
    api: Api<Service>,
    ports: [u16; 2],
    watch: Watch,
    entry: Entry,
    // They end with this.
    _backends: [Backend; 2],
    /// When each change was sent, and when it was answered.
    written: RefCell<Vec<(Instant, Instant)>>,
}

impl ProbeInServer {
    async fn new(stage: &Stage) -> Result<Self> {
        let backends = [Backend::start(TABLE_PROBE, "one").await?, Backend::start(TABLE_PROBE, "other").await?];
        let ports = [backends[0].address.port(), backends[1].address.port()];
        let hosts = hosts_in_server(stage).await?;
        let services = [objects::service("probe", Some(TABLE_PROBE), ports[0])];
        create::<Service>(&hosts.client, NAMESPACE, services).await?;
        let api = Api::<Service>::namespaced(hosts.client, NAMESPACE);
        let entry = stage.run(&hosts.source).await?;
        let watch = Watch::start(api.clone(), "probe");
        Ok(Self { api, ports, watch, entry, _backends: backends, written: RefCell::default() })
    }

    /// Leads the Service to one of its backends: when the API server had answered.
    async fn lead(&self, to: usize) -> Result<Instant> {
        let sent = Instant::now();
        lead(&self.api, "probe", self.ports[to]).await?;
        let answered = Instant::now();
        self.written.borrow_mut().push((sent, answered));
        Ok(answered)
    }

    /// From the sending of each change to the last old answer, beside the time until the client saw it.
    fn beside_watch(&self, turns: &Turns) -> Result<Figure> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for (took, (sent, answered)) in turns.times.iter().zip(self.written.borrow().iter()) {
            ours.push(*took + (*answered - *sent));
            theirs.push(self.watch.first_after(*sent).context("the client of the API server saw no change")? - *sent);
        }
        let each = ours.len() / turns.medians.len();
        let median = |batch: &[Duration]| Samples::new(batch.to_vec()).median();
        let batches = ours.chunks(each).zip(theirs.chunks(each));
        let pairs: Vec<_> = batches.map(|(ours, theirs)| (median(ours), median(theirs))).collect();
        let mut figure = Pairs::new(&pairs).at_most("table-p50-watch", WATCH, "the client");
        let p99 = |times| time(Samples::new(times).quantile(0.99));
        figure.detail = format!("{}; p99 {} and {}", figure.detail, p99(ours), p99(theirs));
        Ok(figure)
    }
}

/// Changes of a Service in a manifest, in the API server, by hand, in a manifest among more, and of Envoy's file, in turns.
async fn changes(
    stage: &Stage,
    (manifests, entries): (&[Manifests; 2], &[Entry; 2]),
    (by_hand, files): (ByHand, [String; 2]),
) -> Result<Vec<Figure>> {
    let served = ProbeInServer::new(stage).await?;
    let reloads = served.entry.reloads().await?;
    let envoy = match envoy::binary() {
        binary if binary.is_file() => {
            let backends = [&manifests[0].backends[0], &manifests[0].backends[1]].map(|backend| backend.address);
            Some(Envoy::start(&binary, stage.either(10_000, 1000), backends, NOBODY).await?)
        }
        _ => None,
    };
    let by_hand_every = stage.either(BY_HAND_EVERY, 2);
    let mut parts =
        vec![(entries[0].http, 1), (served.entry.http, 1), (by_hand.http, by_hand_every), (entries[1].http, 2)];
    parts.extend(envoy.as_ref().map(|envoy| (envoy.http, 2)));
    let parts: Vec<_> = parts.into_iter().map(|(address, every)| (Probe(address), every)).collect();
    let turns = take_turns(stage, &parts, REST, async |part, to| match (part, &envoy) {
        (0, _) => manifests[0].lead(to),
        (1, _) => served.lead(to).await,
        (2, _) => by_hand.reload(&files[to]),
        (4, Some(envoy)) => envoy.change(to),
        _ => manifests[1].lead(to),
    });
    let turns = turns.await?;
    let [directory, server, reloaded, more, of_envoy @ ..] = &turns[..] else { bail!("not all parts were measured") };
    ensure!(served.entry.reloads().await? == reloads, "nginx of the API server's entry was reloaded");
    let limit = Limit::Faster(LIMITS);
    let mut all = figures(["table-p50-dir", "table-p99-dir"], (directory, reloaded), limit, "by hand");
    all.extend(figures(["table-p50-api", "table-p99-api"], (server, reloaded), limit, "by hand"));
    all.push(served.beside_watch(server)?);
    all.push(flat("table-flat", more, directory));
    let names = ["table-p50-envoy", "table-p99-envoy"];
    all.extend(match of_envoy.first() {
        Some(turns) => figures(names, (directory, turns), Limit::Nothing, &format!("Envoy {}", envoy::VERSION)),
        None => names.map(|name| Figure { reached: true, ..Figure::missing(name, "-", envoy::MISSING) }).into(),
    });
    Ok(all)
}

/// Changes with more routes beside those with fewer.
fn flat(name: &'static str, more: &Turns, fewer: &Turns) -> Figure {
    let pairs: Vec<_> = more.medians.iter().copied().zip(fewer.medians.iter().copied()).collect();
    let mut figure = Pairs::new(&pairs).at_most(name, FLAT, "a fifth of the routes");
    let p99 = |turns: &Turns| time(Samples::new(turns.times.clone()).quantile(0.99));
    figure.detail = format!("{}; p99 {} and {}", figure.detail, p99(more), p99(fewer));
    figure
}

/// The same of the Service that is added and taken away.
async fn added(stage: &Stage, name: &'static str, manifests: &[Manifests; 2], entries: &[Entry; 2]) -> Result<Figure> {
    for manifests in manifests {
        // The same answer comes from the Service `rest` then.
        manifests.add(0)?;
    }
    let parts = [&entries[0], &entries[1]].map(|entry| (Probe(entry.http), 2));
    let turns = take_turns(stage, &parts, REST, async |part, to| manifests[part].add(to)).await?;
    let [fewer, more] = &turns[..] else { bail!("not both were measured") };
    Ok(flat(name, more, fewer))
}

/// Changes of a path with many others on the same host, and with very many; and the same of one that comes and goes.
async fn on_one_host(stage: &Stage, counts: [u16; 2]) -> Result<[Figure; 2]> {
    let [fewer, more] =
        counts.map(|count| Manifests::new(stage, move |path| objects::write_paths(path, count, NOBODY)));
    let manifests = [fewer.await?, more.await?];
    let entries = [stage.run_from(manifests[0].path()).await?, stage.run_from(manifests[1].path()).await?];
    let parts = [&entries[0], &entries[1]].map(|entry| (Probe(entry.http), 1));
    let turns = take_turns(stage, &parts, REST, async |part, to| manifests[part].lead(to)).await?;
    let [fewer, more] = &turns[..] else { bail!("not both were measured") };
    let changed = flat("table-one-host", more, fewer);
    Ok([changed, added(stage, "table-one-host-added", &manifests, &entries).await?])
}
