//! Prometheus metrics. Labels are few and bounded: never an id, a host or an organisation.
//!
//! What happens is counted here as it happens. A state, such as that of the pool, is looked at when somebody
//! asks: see [`Sample`].

mod process;
mod redis;
mod sample;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use self::redis::RedisOperation;
pub use self::sample::{Checks, Deferred, KeyAges, Pool, Sample, Undelivered};

struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    requests_in_flight: IntGauge,
    upstream_calls: IntCounterVec,
    upstream_seconds: HistogramVec,
    upstream_retries: IntCounterVec,
    upstream_waiting: IntGauge,
    upstream_accounts: IntGaugeVec,
    upstream_places: IntGaugeVec,
    breaker_opens: IntCounter,
    breakers_open: IntGauge,
    cache: IntCounterVec,
    streams: IntCounterVec,
    db_acquire_seconds: Histogram,
    db_unavailable: IntCounter,
    background_success: IntGaugeVec,
    background_restarts: IntCounterVec,
    shared_cache: IntCounterVec,
    redis_up: IntGauge,
    redis_errors: IntCounterVec,
    webhook_deliveries: IntCounterVec,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| match Metrics::new() {
    Ok(metrics) => metrics,
    Err(error) => unreachable!("the metrics below have valid and distinct names: {error}"),
});

impl Metrics {
    /// Makes and registers all metrics.
    fn new() -> prometheus::Result<Self> {
        let registry = Registering(Registry::new());
        let metrics = Self {
            requests: registry.counters(
                "affzero_requests_total",
                "Requests by route and status; 499 for a caller that left.",
                &["method", "route", "status"],
            )?,
            request_seconds: registry.histograms(
                "affzero_request_seconds",
                "Time until the answer begins, by route.",
                &["route"],
            )?,
            requests_in_flight: registry.gauge("affzero_requests_in_flight", "Requests without an answer yet.")?,
            upstream_calls: registry.counters(
                "affzero_upstream_calls_total",
                "Calls to trackers by platform and outcome, repetitions not counted.",
                &["platform", "outcome"],
            )?,
            upstream_seconds: registry.histograms(
                "affzero_upstream_seconds",
                "Time of a tracker's answer.",
                &["platform"],
            )?,
            upstream_retries: registry.counters(
                "affzero_upstream_retries_total",
                "Repetitions of calls to trackers, by platform.",
                &["platform"],
            )?,
            upstream_waiting: registry
                .gauge("affzero_upstream_waiting", "Calls that wait for their turn at a tracker.")?,
            upstream_accounts: registry.gauges(
                "affzero_upstream_accounts",
                "Accounts at trackers that were called lately, by platform.",
                &["platform"],
            )?,
            upstream_places: registry.gauges(
                "affzero_upstream_places",
                "How many calls at the same time those accounts take in all, as their answers have shown.",
                &["platform"],
            )?,
            breaker_opens: registry.counter(
                "affzero_breaker_opens_total",
                "How often a tracker that kept failing was cut off, for everyone or for some.",
            )?,
            breakers_open: registry
                .gauge("affzero_breakers_open", "Trackers that are cut off right now, for everyone or for some.")?,
            cache: registry.counters(
                "affzero_stats_cache_total",
                "Statistics answers by cache outcome.",
                &["outcome"],
            )?,
            streams: registry.counters(
                "affzero_streams_total",
                "Streamed tables by form and how they ended.",
                &["form", "outcome"],
            )?,
            db_acquire_seconds: registry.histogram(
                "affzero_db_acquire_seconds",
                "Wait for a database connection.",
                vec![0.0001, 0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0],
            )?,
            db_unavailable: registry
                .counter("affzero_db_unavailable_total", "Times that no database connection could be had.")?,
            background_success: registry.gauges(
                "affzero_background_last_success_timestamp_seconds",
                "When each kind of background work last went well.",
                &["work"],
            )?,
            background_restarts: registry.counters(
                "affzero_background_restarts_total",
                "How often a part of the background panicked and was started again.",
                &["task"],
            )?,
            shared_cache: registry.counters(
                "affzero_shared_cache_total",
                "Tables looked for, and put, where replicas share them, by outcome.",
                &["outcome"],
            )?,
            redis_up: registry.gauge("affzero_redis_up", "Whether Redis is there; 0 also where none is used.")?,
            redis_errors: registry.counters(
                "affzero_redis_errors_total",
                "Failures of Redis by operation.",
                &["operation"],
            )?,
            webhook_deliveries: registry.counters(
                "affzero_webhook_deliveries_total",
                "Attempts to deliver an event to a webhook, by outcome.",
                &["outcome"],
            )?,
            registry: registry.0,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// Series that are there from the start, so that the first event already is an increase.
    fn start_at_zero(&self) {
        for outcome in ["hit", "miss", "shared"] {
            self.cache.with_label_values(&[outcome]);
        }
        for form in ["ndjson", "csv"] {
            for outcome in ["whole", "failed", "abandoned"] {
                self.streams.with_label_values(&[form, outcome]);
            }
        }
        for outcome in ["hit", "miss", "stored", "outdated", "too_large", "failed"] {
            self.shared_cache.with_label_values(&[outcome]);
        }
        for outcome in ["delivered", "retrying", "failed"] {
            self.webhook_deliveries.with_label_values(&[outcome]);
        }
        for operation in RedisOperation::ALL {
            self.redis_errors.with_label_values(&[operation.key()]);
        }
    }
}

/// Makes metrics and registers each at once, so that none is counted and never shown.
struct Registering(Registry);

impl Registering {
    fn add<M: Collector + Clone + 'static>(&self, metric: M) -> prometheus::Result<M> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
        let buckets = vec![0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)?)
    }
}

/// Counts a request that has come in, until the guard is dropped.
#[must_use]
pub fn request_in_flight() -> InFlight {
    METRICS.requests_in_flight.inc();
    InFlight
}

/// A request without an answer yet.
#[derive(Debug)]
pub struct InFlight;

impl Drop for InFlight {
    fn drop(&mut self) {
        METRICS.requests_in_flight.dec();
    }
}

/// Counts an answered request.
pub fn request(method: &str, route: &str, status: &str, time: Duration) {
    METRICS.requests.with_label_values(&[known_method(method), route, status]).inc();
    METRICS.request_seconds.with_label_values(&[route]).observe(time.as_secs_f64());
}

/// The methods that are told apart: a caller that invents others must not make a series of each, nor write into the log.
pub fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PATCH" | "PUT" | "DELETE" | "OPTIONS" => method,
        _ => "other",
    }
}

/// Starts the series of a platform at zero, so that its first call already is an increase.
pub fn upstream(platform: &str) {
    METRICS.upstream_calls.with_label_values(&[platform, "answered"]);
    METRICS.upstream_seconds.with_label_values(&[platform]);
    METRICS.upstream_retries.with_label_values(&[platform]);
    METRICS.upstream_accounts.with_label_values(&[platform]);
    METRICS.upstream_places.with_label_values(&[platform]);
}

/// Counts a call to a tracker, and how often it was repeated.
pub(crate) fn upstream_call(platform: &str, outcome: &str, retries: u32, time: Duration) {
    METRICS.upstream_calls.with_label_values(&[platform, outcome]).inc();
    METRICS.upstream_seconds.with_label_values(&[platform]).observe(time.as_secs_f64());
    METRICS.upstream_retries.with_label_values(&[platform]).inc_by(retries.into());
}

/// Counts a call that waits for its turn, until the guard is dropped.
#[must_use]
pub(crate) fn upstream_waiting() -> Waiting {
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

/// Shows how many calls at once an account of a platform takes, until the guard is dropped.
#[must_use]
pub fn places(platform: &str, places: usize) -> PlacesGauge {
    let mut shown = PlacesGauge {
        accounts: METRICS.upstream_accounts.with_label_values(&[platform]),
        places: METRICS.upstream_places.with_label_values(&[platform]),
        number: 0,
    };
    shown.accounts.inc();
    shown.set(places);
    shown
}

/// The places of one account, as they are shown.
#[derive(Debug)]
pub struct PlacesGauge {
    accounts: IntGauge,
    places: IntGauge,
    number: i64,
}

impl PlacesGauge {
    /// Shows another number.
    pub fn set(&mut self, places: usize) {
        let number = i64::try_from(places).unwrap_or(i64::MAX);
        self.places.add(number - self.number);
        self.number = number;
    }
}

impl Drop for PlacesGauge {
    fn drop(&mut self) {
        self.places.sub(self.number);
        self.accounts.dec();
    }
}

/// Counts a tracker that is cut off from now on.
pub(crate) fn breaker_opened() {
    METRICS.breaker_opens.inc();
    METRICS.breakers_open.inc();
}

/// Counts a tracker that is called again.
pub(crate) fn breaker_closed() {
    METRICS.breakers_open.dec();
}

/// Counts a statistics answer by where it came from: `hit`, `miss` or `shared`.
pub fn cache(outcome: &str) {
    METRICS.cache.with_label_values(&[outcome]).inc();
}

/// Counts a streamed table by its form and by how it ended: `whole`, `failed` or `abandoned`.
pub fn stream(form: &str, outcome: &str) {
    METRICS.streams.with_label_values(&[form, outcome]).inc();
}

/// Notes how long a database connection was waited for, and whether there was one.
pub fn db_acquired(time: Duration, is_there: bool) {
    METRICS.db_acquire_seconds.observe(time.as_secs_f64());
    if !is_there {
        METRICS.db_unavailable.inc();
    }
}

/// Notes that background work of this kind has just gone well.
pub fn background_worked(work: &str) {
    METRICS.background_success.with_label_values(&[work]).set(jiff::Timestamp::now().as_second());
}

/// Makes a part of the background known before anything happens to it.
pub fn background_task(task: &str) {
    METRICS.background_restarts.with_label_values(&[task]);
}

/// Counts a part of the background that is started again after a panic.
pub fn background_restart(task: &str) {
    METRICS.background_restarts.with_label_values(&[task]).inc();
}

/// Counts a table that was looked for where replicas share them (`hit`, `miss`), or put there (`stored`, `outdated`,
/// `too_large`, `failed`).
pub fn shared_cache(outcome: &str) {
    METRICS.shared_cache.with_label_values(&[outcome]).inc();
}

/// Says whether Redis is there.
pub fn redis_up(up: bool) {
    METRICS.redis_up.set(i64::from(up));
}

/// Counts a failure of Redis.
pub fn redis_error(operation: RedisOperation) {
    METRICS.redis_errors.with_label_values(&[operation.key()]).inc();
}

/// Counts an attempt to deliver an event: `delivered`, `retrying` or `failed`.
pub fn webhook_delivery(outcome: &str) {
    METRICS.webhook_deliveries.with_label_values(&[outcome]).inc();
}

/// Everything in the text format.
pub fn render(sample: &Sample) -> Vec<u8> {
    let mut families = METRICS.registry.gather();
    families.extend(sample::gather(sample));
    families.extend(process::gather());
    let mut text = Vec::new();
    if TextEncoder::new().encode(&families, &mut text).is_err() {
        text.clear();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_of_redis_is_an_increase_from_the_first_on() {
        let text = String::from_utf8(render(&Sample::default())).expect("text");
        // One that was counted nowhere yet, by whatever test runs beside this one, is there all the same.
        let operations = [
            "announce",
            "back_off",
            "connect",
            "count",
            "end_back_off",
            "give_back",
            "keep",
            "look",
            "ping",
            "renew",
            "resize",
            "take",
            "take_back",
        ];
        let mut shown: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("affzero_redis_errors_total{operation=\"")?.split('"').next())
            .collect();
        shown.sort_unstable();
        assert_eq!(shown, operations);
    }
}
