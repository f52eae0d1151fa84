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
        Self { registry, requests, request_seconds, ceph_seconds, in_flight }
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
