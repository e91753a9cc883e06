//! Prometheus metrics. Labels are few and bounded: never an id, a host or an organisation.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    upstream_calls: IntCounterVec,
    upstream_seconds: HistogramVec,
    cache: IntCounterVec,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
    let histogram = |name: &str, help: &str, labels: &[&str]| {
        let buckets = vec![0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
        HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)
    };
    let build = || -> prometheus::Result<Metrics> {
        let metrics = Metrics {
            registry: Registry::new(),
            requests: counter("affzero_requests_total", "Requests by route and status.", &["route", "status"])?,
            request_seconds: histogram("affzero_request_seconds", "Time to answer, by route.", &["route"])?,
            upstream_calls: counter(
                "affzero_upstream_calls_total",
                "Calls to trackers by platform and outcome.",
                &["platform", "outcome"],
            )?,
            upstream_seconds: histogram("affzero_upstream_seconds", "Time of a tracker's answer.", &["platform"])?,
            cache: counter("affzero_stats_cache_total", "Statistics answers by cache outcome.", &["outcome"])?,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.request_seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.upstream_calls.clone()))?;
        metrics.registry.register(Box::new(metrics.upstream_seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.cache.clone()))?;
        Ok(metrics)
    };
    match build() {
        Ok(metrics) => metrics,
        Err(error) => unreachable!("the metrics above have valid and distinct names: {error}"),
    }
});

/// Counts an answered request.
pub fn request(route: &str, status: u16, time: Duration) {
    METRICS.requests.with_label_values(&[route, &status.to_string()]).inc();
    METRICS.request_seconds.with_label_values(&[route]).observe(time.as_secs_f64());
}

/// Counts a call to a tracker.
pub fn upstream_call(platform: &str, outcome: &str, time: Duration) {
    METRICS.upstream_calls.with_label_values(&[platform, outcome]).inc();
    METRICS.upstream_seconds.with_label_values(&[platform]).observe(time.as_secs_f64());
}

/// Counts a statistics answer by where it came from: `hit`, `miss` or `shared`.
pub fn cache(outcome: &str) {
    METRICS.cache.with_label_values(&[outcome]).inc();
}

/// Everything in the text format.
#[must_use]
pub fn render() -> Vec<u8> {
    let mut text = Vec::new();
    if TextEncoder::new().encode(&METRICS.registry.gather(), &mut text).is_err() {
        text.clear();
    }
    text
}
