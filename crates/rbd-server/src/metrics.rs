//! What is counted.

use std::sync::atomic::Ordering;

use exposition::Form;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use rbd::ceph_link::CephLink;
use rbd::operations::Operations;
use rbd::workers::Workers;

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

/// Labels of an error of Ceph's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrnoLabels {
    /// Its errno, such as `ENOENT`.
    pub errno: String,
}

/// Labels of the bytes of images.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StreamLabels {
    /// `in` for what clients send, `out` for what they get.
    pub direction: &'static str,
}

/// Labels of a rejected authentication.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// The problem's kind.
    pub reason: String,
}

/// Labels of a review by the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReviewLabels {
    /// `token` or `access`.
    pub review: String,
    /// `allowed`, `denied` or `error`.
    pub outcome: String,
}

/// Labels of files that are read anew when they change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FileLabels {
    /// `tokens` or `tls`.
    pub file: String,
}

/// What a metric is, for the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricDescription {
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
struct MetricList {
    registry: Registry,
    descriptions: Vec<MetricDescription>,
}

impl MetricList {
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
        self.descriptions.push(MetricDescription { name: format!("{PREFIX}_{name}{suffix}"), kind, labels, help });
        self.registry.register(name, help, metric.clone());
        metric
    }
}

/// All metrics.
pub struct Metrics {
    list: MetricList,
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// How long they took, in seconds.
    pub request_seconds: Family<CallLabels, Histogram>,
    /// How long calls to Ceph took, in seconds.
    pub ceph_seconds: Family<CallLabels, Histogram>,
    /// Errors that Ceph gave.
    pub ceph_errors: Family<ErrnoLabels, Counter>,
    /// Bytes of exports and diffs that clients took.
    pub bytes_out: Counter,
    /// Bytes of imports and diffs that clients sent.
    pub bytes_in: Counter,
    /// Requests in work.
    pub in_flight: Gauge,
    /// Requests whose caller is not known.
    pub authentication_failures: Family<ReasonLabels, Counter>,
    /// Reviews by the Kubernetes API; answers that are still believed are not among them.
    pub reviews: Family<ReviewLabels, Counter>,
    /// Changed files that could not be used.
    pub reload_failures: Family<FileLabels, Counter>,
    /// 1 while a file cannot be used and its last good content is in force.
    pub file_broken: Family<FileLabels, Gauge>,
    /// Connections whose TLS handshake failed.
    pub tls_failures: Counter,
    /// Lines of the audit log that could not be written.
    pub audit_lines_lost: Counter,
    observed: ObservedMetrics,
}

/// What others count, read when Prometheus asks.
struct ObservedMetrics {
    workers_running: Gauge,
    workers_stuck: Gauge,
    workers_waiting: Gauge,
    workers_rejected: Counter,
    connected: Gauge,
    connects: Counter,
    failed_connects: Counter,
    monitors_silent: Gauge,
    operations_running: Gauge,
    operations_begun: Counter,
    operations_taken_over: Counter,
    operations_interrupted: Counter,
    operations_succeeded: Counter,
    operations_failed: Counter,
}

impl ObservedMetrics {
    fn new(list: &mut MetricList) -> Self {
        let gauge = |list: &mut MetricList, name, help| list.add(name, &[], help, Gauge::default());
        let counter = |list: &mut MetricList, name, help| list.add(name, &[], help, Counter::default());
        Self {
            workers_running: gauge(list, "workers_running", "Threads in a call to Ceph"),
            workers_stuck: gauge(list, "workers_stuck", "Of these, those whose caller has stopped waiting"),
            workers_waiting: gauge(list, "workers_waiting", "Calls that wait for a worker"),
            workers_rejected: counter(list, "workers_rejected", "Calls turned away for want of a worker"),
            connected: gauge(list, "ceph_connected", "1 while there is a connection to Ceph"),
            connects: counter(list, "ceph_connects", "Connections made to Ceph"),
            failed_connects: counter(list, "ceph_failed_connects", "Failed attempts to connect to Ceph"),
            monitors_silent: gauge(list, "ceph_monitors_silent_seconds", "For how long the monitors have not answered"),
            operations_running: gauge(list, "operations_running", "Operations that this replica runs"),
            operations_begun: counter(list, "operations_begun", "Operations begun by this replica"),
            operations_taken_over: counter(list, "operations_taken_over", "Operations taken over from another replica"),
            operations_interrupted: counter(list, "operations_interrupted", "Operations found interrupted"),
            operations_succeeded: counter(list, "operations_succeeded", "Operations that ended well here"),
            operations_failed: counter(list, "operations_failed", "Operations that failed here"),
        }
    }

    fn read(&self, link: &CephLink, workers: &Workers, operations: &Operations) {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let load = workers.load();
        self.workers_running.set(whole(load.running));
        self.workers_stuck.set(whole(load.stuck));
        self.workers_waiting.set(whole(load.waiting));
        self.workers_rejected.inner().store(load.rejected, Ordering::Relaxed);
        let link = link.state();
        self.connected.set(i64::from(link.connected));
        self.connects.inner().store(link.connects, Ordering::Relaxed);
        self.failed_connects.inner().store(link.failed_connects, Ordering::Relaxed);
        let silent = link.monitors_silent.map_or(0, |silent| silent.as_secs());
        self.monitors_silent.set(i64::try_from(silent).unwrap_or(i64::MAX));
        self.operations_running.set(whole(operations.running_now()));
        let counts = &operations.counts;
        for (counter, count) in [
            (&self.operations_begun, &counts.begun),
            (&self.operations_taken_over, &counts.taken_over),
            (&self.operations_interrupted, &counts.interrupted),
            (&self.operations_succeeded, &counts.succeeded),
            (&self.operations_failed, &counts.failed),
        ] {
            counter.inner().store(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

const PREFIX: &str = "sparrow_rbd";

fn buckets() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut list = MetricList { registry: Registry::with_prefix(PREFIX), descriptions: Vec::new() };
        let timed = || Family::new_with_constructor(buckets as fn() -> Histogram);
        let bytes: Family<StreamLabels, Counter> =
            list.add("stream_bytes", &["direction"], "Bytes of exports, imports and diffs", Family::default());
        let bytes = |direction| bytes.get_or_create_owned(&StreamLabels { direction });
        let (bytes_in, bytes_out) = (bytes("in"), bytes("out"));
        Self {
            bytes_in,
            bytes_out,
            ceph_errors: list.add(
                "ceph_errors",
                &["errno"],
                "Errors that Ceph gave, the expected ones too",
                Family::default(),
            ),
            requests: list.add("requests", &["method", "path", "status"], "Requests answered", Family::default()),
            request_seconds: list.add("request_seconds", &["endpoint"], "Time to answer a request", timed()),
            ceph_seconds: list.add("ceph_call_seconds", &["endpoint"], "Time in calls to Ceph", timed()),
            in_flight: list.add("requests_in_flight", &[], "Requests in work", Gauge::default()),
            authentication_failures: list.add(
                "authentication_failures",
                &["reason"],
                "Requests whose caller is not known",
                Family::default(),
            ),
            reviews: list.add(
                "kubernetes_reviews",
                &["review", "outcome"],
                "Reviews by the Kubernetes API",
                Family::default(),
            ),
            reload_failures: list.add(
                "reload_failures",
                &["file"],
                "Changed files that could not be used",
                Family::default(),
            ),
            file_broken: list.add(
                "file_broken",
                &["file"],
                "1 while an older content of a file is in force",
                Family::default(),
            ),
            tls_failures: list.add("tls_handshake_failures", &[], "Failed TLS handshakes", Counter::default()),
            audit_lines_lost: list.add(
                "audit_lines_lost",
                &[],
                "Audit lines that could not be written",
                Counter::default(),
            ),
            observed: ObservedMetrics::new(&mut list),
            list,
        }
    }

    /// What all of them are, whether or not they have a value yet.
    pub fn descriptions(&self) -> &[MetricDescription] {
        &self.list.descriptions
    }

    /// The text that Prometheus reads, with what is true of the service now.
    pub fn text(&self, link: &CephLink, workers: &Workers, operations: &Operations, form: Form) -> String {
        self.observed.read(link, workers, operations);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.list.registry);
        form.render(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
