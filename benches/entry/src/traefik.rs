//! Another way into a cluster, beside the entry on the same objects: Traefik.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_figures::figure::{Figure, Samples};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::ports::free_address;
use tokio::time::sleep;

use crate::backend::Backend;
use crate::guard::{Guarded, Held};
use crate::http;
use crate::objects;
use crate::settled::{Limit, Turns, answers, figures, settle};
use crate::stage::{Stage, TRAEFIK_PROBES, create};

/// The version that `scripts/install-from-pypi traefik` makes available.
const VERSION: &str = "3.7.15";
/// How many times as fast a change must be.
const AHEAD: f64 = 20.0;
/// The only controller of an `IngressClass` that it follows; so the entry is told to follow it too.
const CONTROLLER: &str = "traefik.io/ingress-controller";
const CLASS: &str = "both";
const NAMESPACE: &str = "beside";
/// Before each change. Traefik puts off one that comes within 2 s of the one before.
const REST: Duration = Duration::from_secs(3);
/// How long it may take to serve, or to follow.
const READY: Duration = Duration::from_mins(2);

/// What a variable names, else the program of a name and a version that `scripts/install-from-pypi` has made available.
pub fn cached(variable: &str, name: &str, version: &str) -> PathBuf {
    let set = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(variable).unwrap_or_else(|| {
        let cache = set("SPARROW_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("sparrow")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/sparrow")))
            .unwrap_or_default();
        cache.join(format!("{name}-{version}")).join(name)
    })
}

/// Starts it on a namespace of the API server, and waits until it serves the Ingress `probe`. As it comes, but that it sends
/// requests to Services, not to pods: there are none.
async fn start(binary: &Path, kubeconfig: &Path) -> Result<(Guarded, SocketAddr)> {
    let address = free_address()?;
    let process = Guarded::start(|_| {
        let mut command = vec!["env".to_owned(), format!("KUBECONFIG={}", kubeconfig.display())];
        command.push(binary.display().to_string());
        command.extend([
            format!("--entrypoints.web.address={address}"),
            "--providers.kubernetesingress=true".to_owned(),
            format!("--providers.kubernetesingress.namespaces={NAMESPACE}"),
            format!("--providers.kubernetesingress.ingressclass={CLASS}"),
            "--providers.kubernetesingress.nativelbbydefault=true".to_owned(),
            "--global.checknewversion=false".to_owned(),
            "--global.sendanonymoususage=false".to_owned(),
        ]);
        Ok(command)
    })?;
    let began = Instant::now();
    while !http::get(address, "/probe/").await.is_ok_and(|(status, _)| status == 200) {
        ensure!(process.runs(), "Traefik has ended; it said:\n{}", process.said());
        ensure!(began.elapsed() < READY, "Traefik does not serve; it said:\n{}", process.said());
        sleep(Duration::from_millis(20)).await;
    }
    Ok((process, address))
}

/// An Ingress of the class that both follow: everything below `/NAME` to the Service.
fn ingress(name: &str, service: &str, port: u16) -> Value {
    let mut ingress = objects::ingress(name, service);
    ingress["spec"] = json!({ "ingressClassName": CLASS, "rules": [rule(name, service, port)] });
    ingress
}

fn rule(name: &str, service: &str, port: u16) -> Value {
    json!({ "http": { "paths": [{
        "path": format!("/{name}"),
        "pathType": "Prefix",
        "backend": { "service": { "name": service, "port": { "number": port } } },
    }] } })
}

/// Changes of an Ingress in the API server, in turns with Traefik on the same objects.
///
/// # Errors
/// A part fails.
pub fn traefik(stage: &Stage) -> Result<Vec<Figure>> {
    stage.runtime.block_on(beside(stage, stage.either(1000, 100)))
}

async fn beside(stage: &Stage, others: u16) -> Result<Vec<Figure>> {
    let names = ["settled-p50-traefik", "settled-p99-traefik"];
    let binary = cached("SPARROW_TRAEFIK", "traefik", VERSION);
    if !binary.is_file() {
        let why = format!("{} is not there: run scripts/install-from-pypi traefik", binary.display());
        return Ok(names.map(|name| Figure { reached: true, ..Figure::missing(name, "-", &why) }).into());
    }
    let backends = [Backend::start(TRAEFIK_PROBES[0], "one").await?, Backend::start(TRAEFIK_PROBES[1], "other").await?];
    let ports = [&backends[0], &backends[1]].map(|backend| backend.address.port());
    let client = stage.client(NAMESPACE).await?;
    let server = stage.server()?;
    let mut class = objects::class();
    class["metadata"]["name"] = CLASS.into();
    class["spec"]["controller"] = CONTROLLER.into();
    server.apply(&class.to_string())?;
    // They are of Ingresses only.
    let plain = |name: &str, address: Option<&str>, port| {
        let mut service = objects::service(name, address, port);
        service["metadata"] = json!({ "name": name });
        service
    };
    let services = (0..others).map(|number| plain(&format!("other-{number}"), None, 80));
    let led = [0, 1].map(|at| plain(["one", "other"][at], Some(TRAEFIK_PROBES[at]), ports[at]));
    create::<Service>(&client, NAMESPACE, services.chain(led)).await?;
    let ingresses = (0..others).map(|number| format!("other-{number}")).map(|name| ingress(&name, &name, 80));
    create::<Ingress>(&client, NAMESPACE, ingresses.chain([ingress("probe", "one", ports[0])])).await?;

    let mut flags = stage.server_flags(NAMESPACE)?;
    flags.push(format!("--controller={CONTROLLER}"));
    let entry = stage.run(&flags).await?;
    let reloads = entry.reloads().await?;
    let (traefik, address) = start(&binary, server.admin_kubeconfig()).await?;
    let api = Api::<Ingress>::namespaced(client, NAMESPACE);
    let (batches, each) = stage.either((5, 5), (3, 1));
    let mut turns = [Turns::default(), Turns::default()];
    for _ in 0..batches {
        let (mut our_batch, mut their_batch) = (Vec::new(), Vec::new());
        for _ in 0..each {
            // Both follow each change: one is measured on the way there, the other on the way back.
            let both = [entry.http, address];
            our_batch.push(changed(&api, (entry.http, || traefik.hold()), both, 0, ports).await?);
            their_batch.push(changed(&api, (address, || entry.hold()), both, 1, ports).await?);
        }
        for (turns, batch) in turns.iter_mut().zip([our_batch, their_batch]) {
            turns.times.extend_from_slice(&batch);
            turns.medians.push(Samples::new(batch).median());
        }
    }
    ensure!(entry.reloads().await? == reloads, "nginx was reloaded");
    Ok(figures(names, (&turns[0], &turns[1]), Limit::Faster([AHEAD, AHEAD]), &format!("Traefik {VERSION}")))
}

/// Waits until both answer from one backend and have rested, then leads the Ingress to the other: how long one of them
/// answers from the old one, while the other is held. Nobody runs both on a node, and each would wait for processors that the
/// other takes.
async fn changed(
    api: &Api<Ingress>,
    (measured, hold_other): (SocketAddr, impl Fn() -> Result<Held>),
    both: [SocketAddr; 2],
    from: usize,
    ports: [u16; 2],
) -> Result<Duration> {
    let began = Instant::now();
    for address in both {
        while !http::get(address, "/probe/").await.is_ok_and(|(_, body)| body == answers(from)[0]) {
            ensure!(began.elapsed() < READY, "{address} does not follow");
            sleep(Duration::from_millis(20)).await;
        }
    }
    sleep(REST).await;
    let _held = hold_other()?;
    let change = async {
        let to = 1 - from;
        let patch = json!({ "spec": { "rules": [rule("probe", answers(from)[1], ports[to])] } });
        let began = Instant::now();
        api.patch("probe", &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(began)
    };
    settle(measured, answers(from), change).await
}
