//! What is counted, in the `OpenMetrics` text format. Everything is read when it is asked for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use entry_model::Outcome;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::admin::Parts;

/// How long nginx may take to tell its counters.
const LIMIT: Duration = Duration::from_secs(1);
/// Longer answers are not nginx's.
const LONGEST: u64 = 64 << 10;

/// All metrics.
pub async fn text(parts: &Parts) -> String {
    let nginx = match &parts.control {
        Some(control) => tokio::time::timeout(LIMIT, counters(control)).await.ok().flatten(),
        None => None,
    };
    let mut registry = Registry::with_prefix("sparrow_entry");
    registry.register_collector(Box::new(Metrics { parts: parts.clone(), nginx: nginx.unwrap_or_default() }));
    let mut page = String::new();
    // Writing into a string does not fail.
    let _ = text::encode(&mut page, &registry);
    page
}

/// Asks nginx for its own counters (`ngx_http_stub_status_module`); none if it is not running or has no such module.
async fn counters(control: &Path) -> Option<BTreeMap<&'static str, u64>> {
    let mut stream = UnixStream::connect(control).await.ok()?;
    stream.write_all(b"GET /status HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer).await.ok()?;
    status(&answer)
}

/// Reads `Active connections: 2 \nserver accepts handled requests\n 5 5 9 \nReading: 0 Writing: 1 Waiting: 1`.
fn status(answer: &str) -> Option<BTreeMap<&'static str, u64>> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.split_whitespace().nth(1)? != "200" {
        return None;
    }
    let numbers: Vec<u64> = body.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let names = ["active", "accepted", "handled", "requests", "reading", "writing", "waiting"];
    (numbers.len() == names.len()).then(|| names.into_iter().zip(numbers).collect())
}

#[derive(Debug)]
struct Metrics {
    parts: Parts,
    nginx: BTreeMap<&'static str, u64>,
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
        gauge(encoder, "ready", "Whether it is ready", u64::from(self.parts.unready().is_none()))?;
        self.made(encoder)?;
        self.written(encoder)?;
        self.served(encoder)?;
        for (name, n) in &self.nginx {
            let help = format!("Connections or requests of nginx: {name}");
            match *name {
                "accepted" | "handled" | "requests" => counter(encoder, &format!("nginx_{name}"), &help, *n)?,
                _ => gauge(encoder, &format!("nginx_connections_{name}"), &help, *n)?,
            }
        }
        Ok(())
    }
}

impl Metrics {
    fn made(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let Some(told) = &self.parts.told else { return Ok(()) };
        let progress = told.progress.borrow().clone();
        // One without rules is only kept for its owner.
        let hosts = progress.routes.hosts.values().filter(|host| !host.rules.is_empty());
        let rules = hosts.clone().map(|host| host.rules.len() as u64).sum::<u64>();
        gauge(encoder, "routes", "Rules that are served", rules + u64::from(progress.routes.default.is_some()))?;
        gauge(encoder, "hosts", "Hosts that are served", hosts.count() as u64)?;
        gauge(encoder, "certificates", "Certificates in use", progress.routes.certificates.len() as u64)?;
        let verdicts = told.judged.borrow().as_ref().map(|judged| Arc::clone(&judged.verdicts)).unwrap_or_default();
        let count = |outcome| verdicts.values().filter(|verdict| verdict.outcome == outcome).count();
        let outcomes = [
            ("accepted", count(Outcome::Accepted)),
            ("partial", count(Outcome::Partial)),
            ("refused", count(Outcome::Refused)),
        ];
        gauges(encoder, ("objects", "Objects by how much of them is served", "outcome"), outcomes.into_iter())?;
        let mut reasons = BTreeMap::<String, usize>::new();
        for finding in verdicts.values().flat_map(|verdict| &verdict.findings) {
            *reasons.entry(finding.reason.to_string()).or_default() += 1;
        }
        let reasons = reasons.iter().map(|(reason, n)| (reason.as_str(), *n));
        gauges(encoder, ("findings", "What is wrong with objects, by reason", "reason"), reasons)?;
        counter(encoder, "generations", "Configurations offered to nginx", progress.generations)?;
        gauge(
            encoder,
            "offer_failing",
            "Whether a configuration could not be offered",
            u64::from(progress.trouble.is_some()),
        )?;
        let lag = progress.pending_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        value(
            encoder,
            "generation_lag_seconds",
            "For how long the newest configuration is not served yet; 0 when it is",
            &ConstGauge::new(lag),
        )?;
        let troubles = self.parts.troubles.as_ref().map(|troubles| troubles.borrow().clone()).unwrap_or_default();
        let kinds: Vec<String> = troubles.keys().map(ToString::to_string).collect();
        let kinds = kinds.iter().map(|kind| (kind.as_str(), 1));
        gauges(encoder, ("source_failing", "Kinds of objects that cannot be read now", "kind"), kinds)
    }

    fn written(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let Some(counters) = &self.parts.written else { return Ok(()) };
        let get = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        counter(encoder, "statuses_written", "Statuses of Ingresses written", get(&counters.written))?;
        counter(encoder, "statuses_unchanged", "Statuses found to be right", get(&counters.unchanged))?;
        counter(encoder, "events_written", "Events written", get(&counters.events))?;
        counter(encoder, "writes_failed", "Writes into the cluster that failed", get(&counters.failed))
    }

    fn served(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let Some(nginx) = &self.parts.nginx else { return Ok(()) };
        let status = nginx.status();
        counter(encoder, "nginx_reloads", "Reloads asked of nginx", status.reloads)?;
        counter(encoder, "nginx_refused", "Configurations that nginx refused", status.refused)?;
        counter(encoder, "nginx_failed", "Configurations that could not be put in force", status.failed)?;
        counter(encoder, "nginx_restarts", "How often nginx ended by itself", status.restarts)?;
        counter(encoder, "nginx_ended_workers", "Old workers that were ended", status.ended_workers)?;
        gauge(encoder, "nginx_old_workers", "Workers of earlier configurations", status.old_workers as u64)?;
        let took = status.last_reload.unwrap_or_default().as_secs_f64();
        value(encoder, "nginx_last_reload_seconds", "From the signal to the confirmation", &ConstGauge::new(took))
    }
}
