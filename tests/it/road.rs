//! From a running simulator to rows, on the road that the service takes: open, verify, ask, assemble.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::outbound::error::PlatformError;
use affzero_connections::outbound::{CallScope, Purpose, Transport, TransportConfig};
use affzero_connections::platforms::assemble::assemble;
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{
    Against, Batch, Check, Currency, Dimension, Filters, Metrics, Row, StatsQuery, Warning,
};
use affzero_connections::platforms::verification::{Detected, FailureCode, Verification};
use affzero_connections::platforms::{Account, Client, Gateways, Pair, Platforms, normalise, open, verify};
use futures_util::TryStreamExt;
use jiff::civil::Date;
use uuid::Uuid;

use crate::support::samples::Texts;

/// Longer than anything takes here.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that one call may take, where a test does not say otherwise.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// More rows than any report has here.
const MOST_ROWS: usize = 1_000_000;

/// The platforms of a new process. It may call loopback addresses, and nothing else that is not public.
pub(crate) fn platforms(gateways: Gateways, timeout: Duration) -> Platforms {
    crate::watch::listen();
    let egress = EgressPolicy {
        allow: vec!["127.0.0.0/8".parse().expect("a network")],
        allow_http: false,
        ..EgressPolicy::default()
    };
    let transport = Transport::new(TransportConfig { egress, timeout, connect_timeout: TIMEOUT });
    Platforms::new(transport.expect("TLS"), gateways)
}

/// An account to be opened.
#[derive(Clone)]
pub(crate) struct Road {
    pub(crate) pair: Pair,
    pub(crate) settings: Texts,
    pub(crate) credentials: Texts,
    pub(crate) detected: Detected,
    pub(crate) max_calls: u32,
    /// How long a verification or a report may take.
    pub(crate) deadline: Duration,
    pub(crate) gateways: Gateways,
    /// The process that opens it; where there is none, each time a new one.
    pub(crate) process: Option<Platforms>,
}

impl Road {
    /// A road without settings and credentials.
    pub(crate) fn new(pair: Pair) -> Self {
        Self {
            pair,
            settings: Texts::new(),
            credentials: Texts::new(),
            detected: Detected::default(),
            max_calls: 2_000,
            deadline: TIMEOUT,
            gateways: Gateways::default(),
            process: None,
        }
    }

    /// A road to a tracker whose address stands in `base_url` and whose key is `api_key`.
    pub(crate) fn to(pair: Pair, url: &str, key: &str) -> Self {
        Self::new(pair).with_setting("base_url", url).with_credential("api_key", key)
    }

    /// With this setting, in the place of the one of this name.
    pub(crate) fn with_setting(mut self, field: &'static str, value: &str) -> Self {
        replace(&mut self.settings, field, value);
        self
    }

    pub(crate) fn without_setting(mut self, field: &str) -> Self {
        self.settings.retain(|(known, _)| *known != field);
        self
    }

    /// With this credential, in the place of the one of this name.
    pub(crate) fn with_credential(mut self, field: &'static str, secret: &str) -> Self {
        replace(&mut self.credentials, field, secret);
        self
    }

    /// With platforms at these addresses.
    pub(crate) fn through(mut self, gateways: Gateways) -> Self {
        self.gateways = gateways;
        self
    }

    /// From one process, which remembers what it has learned of the account.
    pub(crate) fn in_process(mut self, process: &Platforms) -> Self {
        self.process = Some(process.clone());
        self
    }

    /// The opened client.
    pub(crate) fn open(&self, purpose: Purpose) -> Client {
        let mut settings = self.settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        normalise(self.pair, &mut settings).expect("good settings");
        let credentials = self.credentials.iter();
        let account = Account {
            connection: Uuid::from_u128(7),
            settings,
            credentials: credentials.map(|(key, value)| ((*key).to_owned(), value.clone().into())).collect(),
            detected: self.detected.clone(),
        };
        let process = self.process.clone().unwrap_or_else(|| platforms(self.gateways.clone(), CALL_TIMEOUT));
        let scope = CallScope { purpose, deadline: Instant::now() + self.deadline, max_calls: self.max_calls };
        open(self.pair, account, &process, scope).expect("an account that opens")
    }

    /// Verifies.
    pub(crate) async fn verify(&self) -> Verification {
        verify(&self.open(Purpose::Verify)).await
    }

    /// Reads a whole report.
    pub(crate) async fn pull(&self, query: &StatsQuery) -> Result<Table, PlatformError> {
        self.pull_by(query, &query.dimensions).await
    }

    /// Reads a whole report, its rows keyed by `group_by` alone.
    pub(crate) async fn pull_by(&self, query: &StatsQuery, group_by: &[Dimension]) -> Result<Table, PlatformError> {
        read(&self.open(Purpose::Pull), query, group_by).await
    }
}

fn replace(texts: &mut Texts, field: &'static str, value: &str) {
    texts.retain(|(known, _)| *known != field);
    texts.push((field, value.to_owned()));
}

/// Reads a whole report.
pub(crate) async fn read(client: &Client, query: &StatsQuery, group_by: &[Dimension]) -> Result<Table, PlatformError> {
    let report = client.stats(query).await?;
    let batches: Vec<Batch> = assemble(query, group_by, report, MOST_ROWS).try_collect().await?;
    let mut table = Table::default();
    for batch in batches {
        table.rows.extend(batch.rows);
        table.against = table.against.max(batch.checks.iter().map(|check| check.against).max());
        table.mismatches.extend(batch.checks.iter().filter_map(|check| check.mismatch.clone()));
        table.checks.extend(batch.checks);
        table.warnings.extend(batch.warnings);
    }
    Ok(table)
}

/// A report as a caller sees it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    pub(crate) checks: Vec<Check>,
    pub(crate) mismatches: Vec<String>,
    /// What the rows were held against, at best.
    pub(crate) against: Option<Against>,
    pub(crate) warnings: Vec<Warning>,
}

/// A row's ids and currency.
pub(crate) type Ids = (Vec<String>, Option<Currency>);

impl Table {
    pub(crate) fn by_ids(&self) -> BTreeMap<Ids, Metrics> {
        let rows: BTreeMap<_, _> = self.rows.iter().map(|row| ((ids(row), row.currency), row.metrics)).collect();
        assert_eq!(rows.len(), self.rows.len(), "rows are unique by their ids and currency");
        rows
    }

    /// The same of a report in one currency.
    pub(crate) fn by_key(&self) -> BTreeMap<Vec<String>, Metrics> {
        let rows: BTreeMap<_, _> = self.rows.iter().map(|row| (ids(row), row.metrics)).collect();
        assert_eq!(rows.len(), self.rows.len(), "rows are unique by their ids");
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

    /// The sum of all rows.
    pub(crate) fn sum(&self) -> Metrics {
        self.rows.iter().fold(Metrics::ZERO, |sum, row| sum.add(&row.metrics))
    }

    pub(crate) fn has_traffic(&self) -> bool {
        self.rows.iter().any(|row| row.metrics.clicks > Some(0))
    }

    /// The codes of its warnings.
    pub(crate) fn codes(&self) -> Vec<&'static str> {
        self.warnings.iter().map(|warning| warning.code.key()).collect()
    }
}

/// The ids of a row's key.
pub(crate) fn ids(row: &Row) -> Vec<String> {
    row.key.iter().map(|value| value.id.to_string()).collect()
}

/// Days from `from` to `to`, both included.
pub(crate) fn range(from: Date, to: Date) -> DateRange {
    DateRange::new(from, to).expect("a range")
}

/// A question without filters.
pub(crate) fn query(dimensions: &[Dimension], range: DateRange, zone: &str) -> StatsQuery {
    let zone = Zone::find(zone).expect("a zone");
    StatsQuery { dimensions: dimensions.to_vec(), range, zone, filters: Filters::new() }
}

/// Why a verification failed.
pub(crate) fn code(verification: &Verification) -> Option<FailureCode> {
    verification.failure.as_ref().map(|failure| failure.code)
}

/// What to do about it.
pub(crate) fn hint(verification: &Verification) -> &str {
    verification.failure.as_ref().map(|failure| failure.hint.as_str()).unwrap_or_default()
}
