//! From objects to a configuration, in this process.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_figures::figure::{Figure, Samples, time};
use bench_figures::process::thread_time;
use entry::table_plan::TablePlan;
use entry_model::{
    Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IpFamily, Meta, PathType, PortRef, Service,
    ServiceKind, ServicePort, Snapshot,
};
use entry_translate::{TranslateSettings, translate};

use crate::stage::Stage;

/// For 10,000 routes.
const LIMIT: Duration = Duration::from_millis(60);
/// How much longer a route may take among 50,000 than among 1,000. What is sorted takes 1.6 times as many comparisons, and
/// no longer fits a processor's cache; what is not linear takes up to 50 times as long.
const LINEAR: f64 = 2.0;

/// Half of the routes are of Services with the label, all on one host; half of Ingresses with a host each.
fn snapshot(routes: u32) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let class = Meta { name: "sparrow".to_owned(), ..Meta::default() };
    let class = IngressClass { meta: class, controller: "sparrow/entry".to_owned(), default: true };
    snapshot.put(class);
    for number in 0..routes / 2 {
        let mut meta = Meta {
            namespace: format!("team-{}", number % 50),
            name: format!("service-{number}"),
            created: i64::from(number % 1000),
            ..Meta::default()
        };
        let backend = IngressBackend::Service { name: meta.name.clone(), port: PortRef::Name("http".to_owned()) };
        let path = IngressPath { path: Some("/".to_owned()), path_type: PathType::Prefix, backend };
        let ingress = Ingress {
            meta: meta.clone(),
            class: None,
            default_backend: None,
            rules: vec![IngressRule { host: Some(format!("host-{number}.example.com")), paths: vec![path] }],
            tls: Vec::new(),
            addresses: Vec::new(),
        };
        snapshot.put(ingress);
        meta.labels.insert("sparrow/expose".to_owned(), "true".to_owned());
        let port = ServicePort { name: "http".to_owned(), port: 80, protocol: "TCP".to_owned(), app_protocol: None };
        let [_, b, c, d] = number.to_be_bytes();
        let service = Service {
            kind: ServiceKind::ClusterIp,
            cluster_ips: vec![IpAddr::from([10, b, c, d])],
            family: IpFamily::V4,
            ports: vec![port],
            addresses: Vec::new(),
            meta,
        };
        snapshot.put(service);
    }
    snapshot
}

/// The time that passed, and the processor time.
fn once(snapshot: &Snapshot, routes: u32) -> Result<(Duration, Duration)> {
    let (translate_settings, conf) = (TranslateSettings::default(), nginx_conf::Settings::default());
    let (began, before) = (Instant::now(), thread_time()?);
    let built = translate(snapshot, &translate_settings);
    let mut plan = TablePlan::default();
    plan.plan(&built.routes, &conf);
    let (frame, table) = (nginx_conf::render(&built.routes, plan.needs(), &conf), plan.whole());
    let bytes = table.encode().len();
    let took = (began.elapsed(), thread_time()?.saturating_sub(before));
    let count: usize = built.routes.hosts.values().map(|host| host.rules.len()).sum();
    ensure!(count == routes as usize, "{count} routes of {routes}");
    ensure!(bytes > 0, "there is no table");
    ensure!(frame.notes.is_empty(), "not all was written: {:?}", frame.notes.first());
    Ok(took)
}

/// Build and render of 10,000 routes, and how its time grows.
///
/// # Errors
/// A route is missing.
pub fn render(stage: &Stage) -> Result<Vec<Figure>> {
    let rounds = stage.either(15, 5);
    let sizes = [1000, 10_000, 50_000].map(|routes| (routes, snapshot(routes)));
    let mut times = [const { Vec::new() }; 3];
    for (_, snapshot) in &sizes {
        drop(translate(snapshot, &TranslateSettings::default()));
    }
    // In turns, so that what slows the machine slows all sizes.
    for _ in 0..rounds {
        for ((routes, snapshot), times) in sizes.iter().zip(&mut times) {
            times.push(once(snapshot, *routes)?);
        }
    }
    let ratio = |few: Duration, many: Duration| many.as_secs_f64() / 50.0 / few.as_secs_f64();
    let mut ratios: Vec<f64> = times[0].iter().zip(&times[2]).map(|(few, many)| ratio(few.1, many.1)).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    let wall = Samples::new(times[1].iter().map(|(wall, _)| *wall).collect());
    let [few, middle, many] = times.map(|times| Samples::new(times.into_iter().map(|(_, cpu)| cpu).collect()));
    Ok(vec![
        Figure {
            name: "render-10000",
            measured: time(wall.median()),
            limit: format!("<= {}", time(LIMIT)),
            reached: wall.median() <= LIMIT,
            noisy: wall.noisy(),
            detail: format!("build + render, {wall}, {rounds} rounds; processor time {middle}"),
        },
        Figure {
            name: "render-linear",
            measured: format!("{ratio:.2} x"),
            limit: format!("<= {LINEAR:.2} x"),
            reached: ratio <= LINEAR,
            noisy: few.noisy(),
            detail: format!(
                "processor time of a route of 50,000 to one of 1,000, ratio {:.2}-{:.2}; 1,000 {few}, 50,000 {many}",
                ratios[0],
                ratios[ratios.len() - 1]
            ),
        },
    ])
}
