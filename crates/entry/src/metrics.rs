//! What is counted, in the `OpenMetrics` text format. Everything is read when it is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use entry_model::Acceptance;
use nginx_process::ConnectionCounts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use route_table::{BUCKET_MS, RouteTotals, STATUS_CLASSES};

use crate::admin_state::AdminState;

/// How long nginx may take to report its counters.
const LIMIT: Duration = Duration::from_secs(1);
/// The class of statuses from 200 on, among all.
const OK: usize = 2;

/// All metrics.
pub async fn render_metrics(state: &AdminState) -> String {
    let counts = match &state.control {
        Some(control) => control.connection_counts(LIMIT).await.ok().flatten(),
        None => None,
    };
    let routes = route_totals(state).await;
    let mut registry = Registry::with_prefix("sparrow_entry");
    registry.register_collector(Box::new(Metrics { state: state.clone(), counts }));
    registry.register_collector(Box::new(RouteMetrics(routes)));
    let mut page = String::new();
    // Writing into a string does not fail.
    let _ = text::encode(&mut page, &registry);
    page
}

/// What nginx's workers have counted by route; none where nginx is not run.
async fn route_totals(state: &AdminState) -> Vec<RouteTotals> {
    let Some(nginx) = &state.nginx else { return Vec::new() };
    let Some(counter) = nginx.route_counter.clone() else { return Vec::new() };
    // It may read the whole table.
    tokio::task::spawn_blocking(move || counter.totals()).await.unwrap_or_default()
}

#[derive(Debug)]
struct Metrics {
    state: AdminState,
    counts: Option<ConnectionCounts>,
}

/// What was counted by route.
#[derive(Debug)]
struct RouteMetrics(Vec<RouteTotals>);

/// The durations of requests.
#[derive(Debug)]
struct Durations<'a>(&'a RouteTotals);

#[expect(clippy::cast_precision_loss, reason = "a histogram's sum and bounds are floats")]
impl EncodeMetric for Durations<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result {
        let RouteTotals { duration_ms, by_bucket, .. } = self.0;
        let bounds = BUCKET_MS.iter().map(|ms| *ms as f64 / 1000.0).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(by_bucket.iter().copied()).collect();
        encoder.encode_histogram::<NoLabelSet>(*duration_ms as f64 / 1000.0, by_bucket.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// A count of each route.
fn route_counters(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    routes: &[RouteTotals],
    count: impl Fn(&RouteTotals) -> u64,
) -> Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for totals in routes {
        ConstCounter::new(count(totals)).encode(family.encode_family(&[("route", &*totals.route)])?)?;
    }
    Ok(())
}

impl Collector for RouteMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result {
        let (encoder, routes) = (&mut encoder, &*self.0);
        if routes.is_empty() {
            return Ok(());
        }
        let help = "Requests by route (the object as access logs name it) and class of the status";
        let mut family = encoder.encode_descriptor("nginx_route_requests", help, None, MetricType::Counter)?;
        for totals in routes {
            let counted = STATUS_CLASSES.iter().zip(totals.by_class).filter(|(_, count)| *count > 0);
            // One that is there from the beginning is one whose first request is seen to be added.
            let counted = counted.chain((totals.by_class[OK] == 0).then_some((&STATUS_CLASSES[OK], 0)));
            for (class, count) in counted {
                let labels = [("route", &*totals.route), ("status", class)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "From the first byte of a request to the last one of its answer, by route";
        let mut family =
            encoder.encode_descriptor("nginx_route_duration_seconds", help, None, MetricType::Histogram)?;
        for totals in routes {
            Durations(totals).encode(family.encode_family(&[("route", &*totals.route)])?)?;
        }
        let sent = ("nginx_route_sent_bytes", "Bytes sent to clients, by route");
        route_counters(encoder, sent, routes, |totals| totals.sent_bytes)?;
        let received = ("nginx_route_received_bytes", "Bytes received from clients, by route");
        route_counters(encoder, received, routes, |totals| totals.received_bytes)?;
        let retries = ("nginx_route_retries", "How often requests were sent to another endpoint, by route");
        route_counters(encoder, retries, routes, |totals| totals.retries)?;
        let aborted = ("nginx_route_aborted", "Requests whose client went away before it had an answer, by route");
        route_counters(encoder, aborted, routes, |totals| totals.aborted)
    }
}

type Result = std::result::Result<(), std::fmt::Error>;

/// A value without labels.
fn value(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, metric: &impl EncodeMetric) -> Result {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, n: u64) -> Result {
    value(encoder, name, help, &ConstCounter::new(n))
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of Prometheus is a float")]
fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, n: u64) -> Result {
    value(encoder, name, help, &ConstGauge::new(n as f64))
}

/// A value for each of a label's.
#[expect(clippy::cast_precision_loss, reason = "a gauge of Prometheus is a float")]
fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, label): (&str, &str, &str),
    values: impl Iterator<Item = (&'a str, usize)>,
) -> Result {
    let metric = ConstGauge::new(0.0_f64);
    let mut family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    for (key, n) in values {
        ConstGauge::new(n as f64).encode(family.encode_family(&[(label, key)])?)?;
    }
    Ok(())
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result {
        let encoder = &mut encoder;
        gauge(encoder, "ready", "Whether it is ready", u64::from(self.state.why_not_ready().is_none()))?;
        self.configurations(encoder)?;
        self.status_writes(encoder)?;
        self.nginx(encoder)?;
        self.connections(encoder)
    }
}

impl Metrics {
    /// What nginx counts, by name.
    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let Some(counts) = self.counts else { return Ok(()) };
        for (name, is_total, n) in [
            ("accepted", true, counts.accepted),
            ("active", false, counts.active),
            ("handled", true, counts.handled),
            ("reading", false, counts.reading),
            ("requests", true, counts.requests),
            ("waiting", false, counts.waiting),
            ("writing", false, counts.writing),
        ] {
            let help = format!("Connections or requests of nginx: {name}");
            if is_total {
                counter(encoder, &format!("nginx_{name}"), &help, n)?;
            } else {
                gauge(encoder, &format!("nginx_connections_{name}"), &help, n)?;
            }
        }
        Ok(())
    }

    fn configurations(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let Some(pipeline) = &self.state.pipeline else { return Ok(()) };
        let progress = pipeline.progress.borrow().clone();
        // One without rules is only kept for its owner.
        let hosts = progress.routes.hosts.values().filter(|host| !host.rules.is_empty());
        let rules = hosts.clone().map(|host| host.rules.len() as u64).sum::<u64>();
        gauge(encoder, "routes", "Rules that are served", rules + u64::from(progress.routes.default.is_some()))?;
        gauge(encoder, "hosts", "Hosts that are served", hosts.count() as u64)?;
        gauge(encoder, "certificates", "Certificates in use", progress.routes.certificates.len() as u64)?;
        let verdicts = pipeline.judged.borrow().as_ref().map(|judged| Arc::clone(&judged.verdicts)).unwrap_or_default();
        let count = |acceptance| verdicts.values().filter(|verdict| verdict.acceptance() == acceptance).count();
        let outcomes = [
            ("accepted", count(Acceptance::Accepted)),
            ("partial", count(Acceptance::Partial)),
            ("rejected", count(Acceptance::Rejected)),
        ];
        gauges(encoder, ("objects", "Objects by how much of them is served", "outcome"), outcomes.into_iter())?;
        let mut reasons = BTreeMap::<String, usize>::new();
        for finding in verdicts.values().flat_map(|verdict| verdict.findings()) {
            *reasons.entry(finding.reason.to_string()).or_default() += 1;
        }
        let reasons = reasons.iter().map(|(reason, n)| (reason.as_str(), *n));
        gauges(encoder, ("findings", "What is wrong with objects, by reason", "reason"), reasons)?;
        counter(encoder, "generations", "Configurations offered to nginx", progress.revisions)?;
        gauge(
            encoder,
            "offer_failing",
            "Whether a configuration could not be offered",
            u64::from(progress.last_error.is_some()),
        )?;
        let lag = progress.pending_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        value(
            encoder,
            "generation_lag_seconds",
            "For how long the newest configuration is not served yet; 0 when it is",
            &ConstGauge::new(lag),
        )?;
        let errors = self.state.source_errors.as_ref().map(|errors| errors.borrow().clone()).unwrap_or_default();
        let kinds: Vec<String> = errors.keys().map(ToString::to_string).collect();
        let kinds = kinds.iter().map(|kind| (kind.as_str(), 1));
        gauges(encoder, ("source_failing", "Kinds of objects that cannot be read now", "kind"), kinds)
    }

    fn status_writes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let Some(counters) = &self.state.status_writes else { return Ok(()) };
        let get = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        counter(encoder, "statuses_written", "Statuses of Ingresses written", get(&counters.written))?;
        counter(encoder, "statuses_unchanged", "Statuses found to be right", get(&counters.unchanged))?;
        counter(encoder, "events_written", "Events written", get(&counters.events))?;
        counter(encoder, "writes_failed", "Writes into the cluster that failed", get(&counters.failed))
    }

    fn nginx(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let Some(nginx) = &self.state.nginx else { return Ok(()) };
        let status = nginx.status();
        counter(encoder, "nginx_reloads", "Reloads asked of nginx", status.frame_reloads)?;
        counter(
            encoder,
            "frame_reloads",
            "The same: routes of a table need none, only its frame does",
            status.frame_reloads,
        )?;
        counter(
            encoder,
            "table_publications",
            "Changes of routes that came into force without a reload",
            status.table_publications,
        )?;
        counter(encoder, "table_failures", "Changes of routes that did not come into force", status.table_failures)?;
        counter(encoder, "nginx_refused", "Configurations that nginx refused", status.refused)?;
        counter(encoder, "nginx_failed", "Configurations that could not be put in force", status.failed)?;
        counter(encoder, "nginx_restarts", "How often nginx ended by itself", status.restarts)?;
        counter(encoder, "nginx_ended_workers", "Old workers that were ended", status.ended_workers)?;
        gauge(encoder, "nginx_old_workers", "Workers of earlier configurations", status.old_workers as u64)?;
        let took = status.last_reload.unwrap_or_default().as_secs_f64();
        value(encoder, "nginx_last_reload_seconds", "From the signal to the confirmation", &ConstGauge::new(took))
    }
}
