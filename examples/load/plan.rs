//! How much is measured.

use std::path::PathBuf;
use std::time::Duration;

/// Sizes and repetitions, and what to compare with.
pub(crate) struct Plan {
    /// Rows of the stream that is compared with others.
    pub(crate) rows: usize,
    /// Rows of the stream whose memory is looked at.
    pub(crate) many_rows: usize,
    /// How often each side of a comparison has its turn.
    pub(crate) rounds: usize,
    /// How long wrk asks in one turn, in seconds.
    pub(crate) seconds: usize,
    /// Answers of one turn, where there is no wrk.
    pub(crate) hits: usize,
    /// Live pulls and verifications.
    pub(crate) calls: usize,
    /// Connections in the database, beside the organisation's own.
    pub(crate) stored: usize,
    /// Connections that are due to be checked.
    pub(crate) checked: usize,
    /// How long pulls are watched beside checks.
    pub(crate) watched: Duration,
    /// How long the slow trackers take for a call.
    pub(crate) delay: Duration,
    /// Another build of the service.
    pub(crate) service: Option<PathBuf>,
    /// An interpreter with `orjson`.
    pub(crate) orjson: Option<PathBuf>,
    /// An interpreter with `duckdb`.
    pub(crate) duckdb: Option<PathBuf>,
    /// An interpreter with `dlt`.
    pub(crate) dlt: Option<PathBuf>,
    /// An interpreter with `airbyte_cdk`.
    pub(crate) airbyte: Option<PathBuf>,
    /// Only the measurements with this in their name.
    pub(crate) only: Option<String>,
}

impl Plan {
    pub(crate) fn read(arguments: &[String]) -> Result<Self, String> {
        let mut plan = Self {
            rows: 100_000,
            many_rows: 1_000_000,
            rounds: 5,
            seconds: 5,
            hits: 60_000,
            calls: 400,
            stored: 1_000_000,
            checked: 100_000,
            watched: Duration::from_secs(60),
            delay: Duration::from_millis(500),
            service: None,
            orjson: None,
            duckdb: None,
            dlt: None,
            airbyte: None,
            only: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--smoke" => plan.shrink(),
                "--service" => plan.service = Some(value()?.into()),
                "--python-orjson" => plan.orjson = Some(value()?.into()),
                "--python-duckdb" => plan.duckdb = Some(value()?.into()),
                "--python-dlt" => plan.dlt = Some(value()?.into()),
                "--python-airbyte" => plan.airbyte = Some(value()?.into()),
                "--delay" => {
                    plan.delay = Duration::from_millis(value()?.parse().map_err(|_| "--delay is milliseconds")?)
                }
                "--only" => plan.only = Some(value()?),
                other => return Err(format!("there is no {other}; see the head of examples/load/main.rs")),
            }
        }
        Ok(plan)
    }

    fn shrink(&mut self) {
        (self.rows, self.many_rows, self.rounds) = (2_000, 4_000, 1);
        (self.seconds, self.hits, self.calls, self.stored) = (1, 200, 10, 1_000);
        (self.checked, self.watched) = (20, Duration::from_secs(1));
        self.delay = Duration::from_millis(10);
    }
}
