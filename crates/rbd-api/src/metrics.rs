//! What is counted, in the Prometheus text format.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

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

/// Labels of a refused authentication.
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

/// All metrics.
pub struct Metrics {
    registry: Registry,
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// How long they took, in seconds.
    pub request_seconds: Family<CallLabels, Histogram>,
    /// How long calls to Ceph took, in seconds.
    pub ceph_seconds: Family<CallLabels, Histogram>,
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
}

fn buckets() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sparrow_rbd");
        let requests = Family::default();
        registry.register("requests", "Requests answered", requests.clone());
        let request_seconds = Family::new_with_constructor(buckets as fn() -> Histogram);
        registry.register("request_seconds", "Time to answer a request", request_seconds.clone());
        let ceph_seconds = Family::new_with_constructor(buckets as fn() -> Histogram);
        registry.register("ceph_call_seconds", "Time in calls to Ceph", ceph_seconds.clone());
        let in_flight = Gauge::default();
        registry.register("requests_in_flight", "Requests in work", in_flight.clone());
        let authentication_failures = Family::default();
        registry.register(
            "authentication_failures",
            "Requests whose caller is not known",
            authentication_failures.clone(),
        );
        let reviews = Family::default();
        registry.register("kubernetes_reviews", "Reviews by the Kubernetes API", reviews.clone());
        let reload_failures = Family::default();
        registry.register("reload_failures", "Changed files that could not be used", reload_failures.clone());
        let file_broken = Family::default();
        registry.register("file_broken", "1 while an older content of a file is in force", file_broken.clone());
        let tls_failures = Counter::default();
        registry.register("tls_handshake_failures", "Failed TLS handshakes", tls_failures.clone());
        let audit_lines_lost = Counter::default();
        registry.register("audit_lines_lost", "Audit lines that could not be written", audit_lines_lost.clone());
        Self {
            registry,
            requests,
            request_seconds,
            ceph_seconds,
            in_flight,
            authentication_failures,
            reviews,
            reload_failures,
            file_broken,
            tls_failures,
            audit_lines_lost,
        }
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
