//! What is counted, in the Prometheus text format.

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The method.
    pub method: String,
    /// The path with its parameters' names, so that their number is bounded.
    pub path: String,
    /// The status.
    pub status: u16,
}

/// Labels of a call to Ceph.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The endpoint's id.
    pub endpoint: String,
}

/// What a metric is, for the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name as Prometheus shows it; of a histogram, what comes before `_bucket`, `_count` and `_sum`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

/// The metrics and what they are.
struct List {
    registry: Registry,
    described: Vec<Described>,
}

impl List {
    /// Adds a metric, and gives a handle on it.
    fn add<M: Metric + EncodeMetric + Clone>(
        &mut self,
        name: &str,
        labels: &'static [&'static str],
        help: &'static str,
        metric: M,
    ) -> M {
        let (kind, suffix) = match metric.metric_type() {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Histogram => ("histogram", ""),
            _ => ("gauge", ""),
        };
        self.described.push(Described { name: format!("{PREFIX}_{name}{suffix}"), kind, labels, help });
        self.registry.register(name, help, metric.clone());
        metric
    }
}

/// All metrics.
pub struct Metrics {
    list: List,
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// How long they took, in seconds.
    pub request_seconds: Family<CallLabels, Histogram>,
    /// How long calls to Ceph took, in seconds.
    pub ceph_seconds: Family<CallLabels, Histogram>,
    /// Requests in work.
    pub in_flight: Gauge,
}

const PREFIX: &str = "sparrow_rbd";

fn buckets() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut list = List { registry: Registry::with_prefix(PREFIX), described: Vec::new() };
        let timed = || Family::new_with_constructor(buckets as fn() -> Histogram);
        Self {
            requests: list.add("requests", &["method", "path", "status"], "Requests answered", Family::default()),
            request_seconds: list.add("request_seconds", &["endpoint"], "Time to answer a request", timed()),
            ceph_seconds: list.add("ceph_call_seconds", &["endpoint"], "Time in calls to Ceph", timed()),
            in_flight: list.add("requests_in_flight", &[], "Requests in work", Gauge::default()),
            list,
        }
    }

    /// What all of them are, whether or not they have a value yet.
    pub fn described(&self) -> &[Described] {
        &self.list.described
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.list.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
