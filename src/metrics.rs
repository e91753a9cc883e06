//! Prometheus metrics. Labels are few and bounded: never an id, a host or an organisation.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    upstream_calls: IntCounterVec,
    upstream_seconds: HistogramVec,
    upstream_waiting: IntGauge,
    breaker_opens: IntCounter,
    breakers_open: IntGauge,
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
            upstream_waiting: IntGauge::new(
                "affzero_upstream_waiting",
                "Calls that wait for their turn at a tracker.",
            )?,
            breaker_opens: IntCounter::new(
                "affzero_breaker_opens_total",
                "How often a tracker that kept failing was cut off.",
            )?,
            breakers_open: IntGauge::new("affzero_breakers_open", "Trackers that are cut off right now.")?,
            cache: counter("affzero_stats_cache_total", "Statistics answers by cache outcome.", &["outcome"])?,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.request_seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.upstream_calls.clone()))?;
        metrics.registry.register(Box::new(metrics.upstream_seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.upstream_waiting.clone()))?;
        metrics.registry.register(Box::new(metrics.breaker_opens.clone()))?;
        metrics.registry.register(Box::new(metrics.breakers_open.clone()))?;
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

/// Counts a call that waits for its turn, until the guard is dropped.
#[must_use]
pub fn upstream_waiting() -> Waiting {
    METRICS.upstream_waiting.inc();
    Waiting
}

/// A call that waits for its turn at a tracker.
#[derive(Debug)]
pub struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        METRICS.upstream_waiting.dec();
    }
}

/// Counts a tracker that is cut off from now on.
pub fn breaker_opened() {
    METRICS.breaker_opens.inc();
    METRICS.breakers_open.inc();
}

/// Counts a tracker that is called again.
pub fn breaker_closed() {
    METRICS.breakers_open.dec();
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
