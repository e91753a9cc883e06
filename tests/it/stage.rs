//! A simulated account on the road that the service takes: opened, verified, asked, assembled.
//!
//! Everything that comes out of it is searched for the account's secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::outbound::error::PlatformError;
use affzero_connections::outbound::{CallScope, Purpose, Transport, TransportConfig};
use affzero_connections::platforms::assemble::{assemble, read_along};
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{
    Against, Batch, Currency, Dimension, Filters, Metrics, Row, StatsQuery, Warning,
};
use affzero_connections::platforms::verification::{Detected, Verification};
use affzero_connections::platforms::{Account, Client, Platforms, normalise, open, verify};
use futures_util::TryStreamExt;
use jiff::civil::Date;
use uuid::Uuid;

use crate::support::samples::{self, Sample, Texts};
use crate::support::tracker::{Simulator, Tracker};

/// Longer than anything takes here.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A sample whose simulator is running.
pub(crate) struct Stage {
    pub(crate) sample: Sample,
    pub(crate) simulator: Option<Simulator>,
    platforms: Platforms,
}

/// A report as a caller sees it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    pub(crate) mismatches: Vec<String>,
    /// What the rows were held against, at best.
    pub(crate) against: Option<Against>,
    pub(crate) warnings: Vec<Warning>,
}

impl Stage {
    pub(crate) fn set(mut sample: Sample) -> Self {
        let tracker = sample.tracker.take();
        Self::play(sample, tracker, TIMEOUT)
    }

    pub(crate) fn play(sample: Sample, tracker: Option<impl Tracker>, timeout: Duration) -> Self {
        crate::watch::listen();
        let simulator = tracker.map(Simulator::start);
        let transport = Transport::new(TransportConfig {
            egress: EgressPolicy {
                allow: vec!["127.0.0.0/8".parse().expect("a network")],
                allow_http: false,
                ..EgressPolicy::default()
            },
            timeout: timeout,
            connect_timeout: TIMEOUT,
        });
        let url = simulator.as_ref().map(|simulator| simulator.url.as_str()).unwrap_or_default();
        let platforms = Platforms::new(transport.expect("TLS"), samples::gateways(url));
        Self { sample, simulator, platforms }
    }

    /// The simulator; only asked for where a tracker is called.
    pub(crate) fn simulator(&self) -> &Simulator {
        self.simulator.as_ref().expect("a tracker that is called")
    }

    pub(crate) fn open(&self, purpose: Purpose, credentials: &Texts) -> Client {
        let url = self.simulator.as_ref().map(|simulator| simulator.url.as_str()).unwrap_or_default();
        let mut settings =
            self.sample.settings_at(url).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        normalise(self.sample.pair, &mut settings).expect("good settings");
        let account = Account {
            connection: Uuid::from_u128(7),
            settings,
            credentials: credentials.iter().map(|(key, value)| ((*key).to_owned(), value.clone().into())).collect(),
            detected: Detected::default(),
        };
        let scope = CallScope { purpose, deadline: Instant::now() + TIMEOUT, max_calls: 2_000 };
        open(self.sample.pair, account, &self.platforms, scope).expect("an account that opens")
    }

    pub(crate) async fn verify_with(&self, credentials: &Texts) -> Verification {
        let verification = verify(&self.open(Purpose::Verify, credentials)).await;
        self.assert_discreet(&format!("{verification:?}"));
        verification
    }

    pub(crate) async fn verify(&self) -> Verification {
        self.verify_with(&self.sample.credentials).await
    }

    /// Reads a report keyed by `group_by`; `filters` may be on other dimensions too.
    pub(crate) async fn filtered(
        &self,
        group_by: &[Dimension],
        filters: Filters,
        range: DateRange,
        zone: &str,
    ) -> Result<Table, PlatformError> {
        let client = self.open(Purpose::Pull, &self.sample.credentials);
        let dimensions = read_along(group_by, &filters, self.sample.pair.entry().undivided);
        let query = StatsQuery { dimensions, range, zone: Zone::find(zone).expect("a zone"), filters };
        let outcome = read(&client, &query, group_by).await;
        self.assert_discreet(&format!("{outcome:?}"));
        outcome
    }

    pub(crate) async fn pull(
        &self,
        group_by: &[Dimension],
        range: DateRange,
        zone: &str,
    ) -> Result<Table, PlatformError> {
        self.filtered(group_by, Filters::new(), range, zone).await
    }

    /// Reads a report that must be there, and agree with whatever the platform says of its totals.
    pub(crate) async fn table(&self, group_by: &[Dimension], range: DateRange, zone: &str) -> Table {
        let name = self.sample.name();
        let table = self.pull(group_by, range, zone).await;
        let table = table.unwrap_or_else(|error| panic!("{name} by {group_by:?} in {zone}: {error:?}"));
        assert!(table.mismatches.is_empty(), "{name} by {group_by:?}: {:?}", table.mismatches);
        assert!(table.warnings.iter().all(|warning| !warning.detail.is_empty()), "{name}: {:?}", table.warnings);
        table
    }

    /// Fails if `text` has a secret in it.
    #[track_caller]
    pub(crate) fn assert_discreet(&self, text: &str) {
        let all = [Some(&self.sample.credentials), Some(&self.sample.wrong), self.sample.other_portal.as_ref()];
        for (field, secret) in all.into_iter().flatten().flatten() {
            assert!(!text.contains(secret.as_str()), "{}: {field} shows in {text}", self.sample.name());
        }
    }

    /// The dimensions of the catalogue.
    pub(crate) fn dimensions(&self) -> Vec<Dimension> {
        self.sample.pair.entry().dimensions.iter().map(|dimension| dimension.key).collect()
    }

    /// Whether the catalogue says that these go together.
    pub(crate) fn allows(&self, group_by: &[Dimension]) -> bool {
        let known = self.dimensions();
        let sources = |set: &[Dimension]| set.iter().map(|dimension| dimension.source()).collect::<BTreeSet<_>>();
        let wanted = sources(group_by);
        let combinations = &self.sample.pair.entry().combinations;
        let goes_together = combinations
            .only
            .as_ref()
            .is_none_or(|only| wanted.is_empty() || only.iter().any(|possible| sources(possible) == wanted));
        goes_together && group_by.iter().all(|dimension| known.contains(dimension))
    }
}

async fn read(client: &Client, query: &StatsQuery, group_by: &[Dimension]) -> Result<Table, PlatformError> {
    let report = client.stats(query).await?;
    let batches: Vec<Batch> = assemble(query, group_by, report, 1_000_000).try_collect().await?;
    let mut table = Table::default();
    for batch in batches {
        table.rows.extend(batch.rows);
        table.against = table.against.max(batch.checks.iter().map(|check| check.against).max());
        table.mismatches.extend(batch.checks.into_iter().filter_map(|check| check.mismatch));
        table.warnings.extend(batch.warnings);
    }
    Ok(table)
}

/// A row's ids and currency.
pub(crate) type Ids = (Vec<String>, Option<Currency>);

impl Table {
    pub(crate) fn by_ids(&self) -> BTreeMap<Ids, Metrics> {
        let key = |row: &Row| (row.key.iter().map(|value| value.id.to_string()).collect(), row.currency);
        let rows: BTreeMap<_, _> = self.rows.iter().map(|row| (key(row), row.metrics)).collect();
        assert_eq!(rows.len(), self.rows.len(), "rows are unique by their ids and currency");
        rows
    }

    /// The sums by currency, of what each row knows.
    pub(crate) fn sums(&self) -> BTreeMap<Option<Currency>, Metrics> {
        let mut sums = BTreeMap::new();
        for row in &self.rows {
            let sum = sums.entry(row.currency).or_insert(Metrics::ZERO);
            *sum = sum.add(&Metrics { unique_clicks: None, ..row.metrics });
        }
        sums
    }

    pub(crate) fn has_traffic(&self) -> bool {
        self.rows.iter().any(|row| row.metrics.clicks > Some(0))
    }
}

/// Days from `from` to `to`, both included.
pub(crate) fn range(from: Date, to: Date) -> DateRange {
    DateRange::new(from, to).expect("a range")
}
