//! The state of things, looked at when somebody asks.

use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

/// The state of things at one moment. What the database reports is `None` while it does not answer.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The pool of database connections.
    pub pool: Pool,
    /// How many keys the ring has.
    pub keys: usize,
    /// What is known of the active key.
    pub key_ages: Option<KeyAges>,
    /// Deferred verifications.
    pub deferred: Option<Deferred>,
    /// Checks in the background.
    pub checks: Option<Checks>,
    /// Events that are still to be delivered.
    pub undelivered: Option<Undelivered>,
    /// Bytes of statistics in memory.
    pub cache_bytes: u64,
    /// What the program is, by names that become labels.
    pub build: Vec<(&'static str, &'static str)>,
}

/// Database connections of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pool {
    /// How many there may be.
    pub max: u32,
    /// How many do nothing.
    pub idle: u32,
    /// How many are at work.
    pub in_use: u32,
    /// Queries that wait for one.
    pub waiting: u32,
}

/// When the active key came into use, and when everything was last found sealed under it; in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyAges {
    /// When a process first sealed with it.
    pub active_since: Option<i64>,
    /// When `rotate-keys` last left nothing under another key.
    pub rotated_at: Option<i64>,
}

/// Verifications that were put off when their connection was saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deferred {
    /// Those whose time has come.
    pub due: i64,
    /// Those that a process is at.
    pub leased: i64,
    /// Those whose time is yet to come.
    pub later: i64,
}

/// Checks whose time has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checks {
    /// How many.
    pub due: i64,
    /// How long ago that of the oldest was, in microseconds.
    pub late: i64,
}

/// Events that are still to be delivered to webhooks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// How many, counted for each webhook.
    pub events: i64,
    /// How long ago the oldest of them happened, or was first tried, in microseconds.
    pub oldest: i64,
}

fn seconds(micros: Option<i64>) -> i64 {
    micros.unwrap_or_default() / 1_000_000
}

/// The sample as metrics.
pub(super) fn gather(sample: &Sample) -> Vec<MetricFamily> {
    let gauges = Gauges { registry: Registry::new() };
    // Names and labels are fixed, so that nothing here can fail; a metric that did would be missed by a test.
    let _ = gauges.set(sample);
    gauges.registry.gather()
}

struct Gauges {
    registry: Registry,
}

impl Gauges {
    fn set(&self, sample: &Sample) -> prometheus::Result<()> {
        self.build_info(&sample.build)?;
        let Pool { max, idle, in_use, waiting } = sample.pool;
        let states: &[(&str, i64)] = &[("idle", idle.into()), ("in_use", in_use.into())];
        self.labelled("affzero_db_connections", "Open database connections by state.", "state", states)?;
        self.plain("affzero_db_connections_max", "The most database connections.", max.into())?;
        self.plain("affzero_db_waiting", "Queries that wait for a database connection.", waiting.into())?;
        self.plain("affzero_db_up", "Whether the database answered this scrape.", sample.deferred.is_some().into())?;
        let bytes = i64::try_from(sample.cache_bytes).unwrap_or(i64::MAX);
        self.plain("affzero_stats_cache_bytes", "Memory that kept statistics take.", bytes)?;
        let keys = i64::try_from(sample.keys).unwrap_or(i64::MAX);
        self.plain("affzero_key_ring_keys", "Keys in the ring.", keys)?;
        if let Some(KeyAges { active_since, rotated_at }) = sample.key_ages {
            let help = "When the active key was first used; 0 if it is not known.";
            self.plain("affzero_key_ring_active_since_timestamp_seconds", help, seconds(active_since))?;
            let help = "When rotate-keys last left nothing under another key than the active one; 0 if never.";
            self.plain("affzero_key_ring_rotated_timestamp_seconds", help, seconds(rotated_at))?;
        }
        if let Some(Deferred { due, leased, later }) = sample.deferred {
            let states: &[(&str, i64)] = &[("due", due), ("leased", leased), ("later", later)];
            let help = "Deferred verifications of all replicas, by state.";
            self.labelled("affzero_deferred_verifications", help, "state", states)?;
        }
        if let Some(Checks { due, late }) = sample.checks {
            self.plain("affzero_checks_due", "Connections of all replicas that are due to be checked.", due)?;
            let help = "How long the connection has been due to be checked that has been for longest.";
            self.plain("affzero_check_lateness_seconds", help, late / 1_000_000)?;
        }
        if let Some(Undelivered { events, oldest }) = sample.undelivered {
            let help = "Events still to be delivered to webhooks of all replicas, those that are tried again too.";
            self.plain("affzero_events_undelivered", help, events)?;
            let help = "How long the oldest event that is still to be delivered has waited.";
            self.plain("affzero_event_oldest_undelivered_seconds", help, oldest / 1_000_000)?;
        }
        Ok(())
    }

    fn build_info(&self, parts: &[(&'static str, &'static str)]) -> prometheus::Result<()> {
        let help = "The version that runs, the commit it was built from, and what is built into it.";
        let (labels, values): (Vec<&str>, Vec<&str>) = parts.iter().copied().unzip();
        let gauges = IntGaugeVec::new(Opts::new("affzero_build_info", help), &labels)?;
        gauges.with_label_values(&values).set(1);
        self.registry.register(Box::new(gauges))
    }

    fn plain(&self, name: &str, help: &str, value: i64) -> prometheus::Result<()> {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(value);
        self.registry.register(Box::new(gauge))
    }

    fn labelled(&self, name: &str, help: &str, label: &str, values: &[(&str, i64)]) -> prometheus::Result<()> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), &[label])?;
        for (of, value) in values {
            gauges.with_label_values(&[of]).set(*value);
        }
        self.registry.register(Box::new(gauges))
    }
}
