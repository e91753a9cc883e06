//! Demo: a made-up network to try everything on, without an account and without a call to anybody.
//!
//! The numbers behave like a tracker's: they follow the visitors' day and week, the funnel narrows as it should, some
//! money is in another currency, the running day has only its past. They depend on the connection's id and on time
//! alone, so the same question always has the same answer and a day that is over never changes.
//!
//! The setting `scenario` makes a connection fail on purpose. Verification ignores it: a connection has to be saved
//! before its pulls can fail.
//!
//! From the inside out: `dice` is repeatable chance, `world` the cast, `facts` what happened in each quarter of an
//! hour, `report` the rows of a query.

mod catalogue;
pub(super) mod descriptor;
mod dice;
mod facts;
mod report;
mod world;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use jiff::{Timestamp, ToSpan};

use super::calendar::{DateRange, Zone};
use super::client::{Account, PlatformClient};
use super::kind::{ConnectionType, FieldError, Settings};
use super::stats::{Batch, Dimension, Filters, Report, StatsQuery};
use super::verification::Detected;
use crate::outbound::error::{ErrorKind, PlatformError, Stage};
use crate::outbound::{Allowance, Dialect, Limits, Upstream};

/// How its own answers are told from those of something in front of it.
const DIALECT: Dialect = Dialect { is_own_refusal: |_| true, knows_wrong_keys: true, is_gateway: false };

/// Never reached: nothing is called.
const LIMITS: Limits = Limits { origin: Allowance::of(1), account: Allowance::of(1) };

/// How long the scenario of throttling asks to be left alone.
const THROTTLED_FOR: Duration = Duration::from_secs(30);

/// What happens when statistics are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Healthy,
    RejectedKey,
    RateLimited,
    Slow,
    Down,
}

impl Scenario {
    const FIELD: &'static str = "scenario";

    const ALL: [Self; 5] = [Self::Healthy, Self::RejectedKey, Self::RateLimited, Self::Slow, Self::Down];

    /// The keys of [`Scenario::ALL`].
    const KEYS: [&'static str; 5] =
        [Self::Healthy.key(), Self::RejectedKey.key(), Self::RateLimited.key(), Self::Slow.key(), Self::Down.key()];

    const fn key(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::RejectedKey => "rejected_key",
            Self::RateLimited => "rate_limited",
            Self::Slow => "slow",
            Self::Down => "down",
        }
    }

    /// The scenario that was chosen; the schema lets no unknown one in.
    fn of(settings: &Settings) -> Self {
        let chosen = settings.get(Self::FIELD);
        Self::ALL.into_iter().find(|scenario| chosen.is_some_and(|key| key == scenario.key())).unwrap_or(Self::Healthy)
    }

    /// Lets a pull run into what the scenario has for it.
    async fn play(self, upstream: &Upstream) -> Result<(), PlatformError> {
        let error = match self {
            Self::Healthy => return Ok(()),
            Self::RejectedKey => PlatformError::new(
                ErrorKind::CredentialsRejected,
                "The demo network does not accept the key: that is this connection's scenario.",
            ),
            Self::RateLimited => PlatformError::new(
                ErrorKind::RateLimited,
                "The demo network asks to be called less often: that is this connection's scenario.",
            )
            .retry_after(Some(THROTTLED_FOR)),
            Self::Slow => {
                tokio::time::sleep_until(upstream.deadline().into()).await;
                PlatformError::new(
                    ErrorKind::Timeout,
                    "The demo network did not answer in time: that is this connection's scenario.",
                )
            }
            Self::Down => PlatformError::new(
                ErrorKind::ConnectFailed,
                "The demo network does not accept connections: that is this connection's scenario.",
            ),
        };
        Err(error.hint("Choose the scenario healthy to see numbers."))
    }
}

/// Writes down the scenario that stands where none was chosen.
fn normalise(settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    settings.entry(Scenario::FIELD.to_owned()).or_insert_with(|| Scenario::Healthy.key().to_owned());
    Ok(())
}

/// A made-up account.
struct DemoClient {
    account: facts::Account,
    scenario: Scenario,
    upstream: Upstream,
}

impl DemoClient {
    fn open(connection_type: ConnectionType, account: &Account, upstream: Upstream) -> Self {
        Self {
            account: facts::Account::new(account.connection, connection_type),
            scenario: Scenario::of(&account.settings),
            upstream,
        }
    }
}

#[async_trait]
impl PlatformClient for DemoClient {
    /// Reads yesterday in one row a currency, whatever the scenario.
    async fn verify(&self) -> Result<Detected, PlatformError> {
        let now = Timestamp::now();
        let zone = Zone::utc();
        let yesterday = zone.date_at(now).saturating_sub(1.day());
        let query = StatsQuery {
            dimensions: vec![Dimension::Date],
            range: DateRange::day(yesterday),
            zone,
            filters: Filters::new(),
        };
        let batches: Vec<Batch> = report::read(&self.account, &query, now).batches.try_collect().await?;
        if let Some(mismatch) = batches.iter().flat_map(|batch| &batch.checks).find_map(|check| check.mismatch.as_ref())
        {
            return Err(PlatformError::bad_response(mismatch).at(Stage::Authorize));
        }
        Ok(Detected {
            connection_type: Some(self.account.connection_type),
            account: Some(self.account.name().to_owned()),
            ..Detected::default()
        })
    }

    /// Its days are counted here.
    fn counts_days_in<'a>(&'a self, _: &'a StatsQuery) -> Option<&'a Zone> {
        None
    }

    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        self.scenario.play(&self.upstream).await?;
        Ok(report::read(&self.account, query, Timestamp::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_left_out_is_written_down_as_healthy_and_a_chosen_one_stays() {
        let mut settings = Settings::new();
        normalise(&mut settings).expect("settings");
        assert_eq!(settings.get("scenario").map(String::as_str), Some("healthy"));
        let mut settings = Settings::from([("scenario".to_owned(), "down".to_owned())]);
        normalise(&mut settings).expect("settings");
        assert_eq!(Scenario::of(&settings), Scenario::Down);
    }

    #[test]
    fn every_key_leads_back_to_its_scenario() {
        for (scenario, key) in Scenario::ALL.into_iter().zip(Scenario::KEYS) {
            let settings = Settings::from([("scenario".to_owned(), key.to_owned())]);
            assert_eq!(Scenario::of(&settings), scenario);
        }
    }
}
