//! From a running simulator to rows, on the road the service takes: open, ask, assemble.

use std::time::{Duration, Instant};

use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::outbound::error::PlatformError;
use affzero_connections::outbound::{CallScope, Purpose, Transport, TransportConfig};
use affzero_connections::platforms::assemble::assemble;
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{Dimension, Filters, Row, StatsQuery};
use affzero_connections::platforms::verification::{Detected, Verification};
use affzero_connections::platforms::{Account, Client, Gateways, Pair, Platforms, open, verify};
use futures_util::StreamExt;
use jiff::civil::Date;
use uuid::Uuid;

use crate::stage::Table;

/// An account to be opened. The transport may call loopback addresses and nothing else that is not public.
pub(super) struct Road {
    pub(super) pair: Pair,
    pub(super) settings: Vec<(&'static str, String)>,
    pub(super) credentials: Vec<(&'static str, String)>,
    pub(super) detected: Detected,
    pub(super) max_calls: u32,
    pub(super) deadline: Duration,
}

impl Road {
    /// A road to a tracker whose address stands in `base_url` and whose key is `api_key`.
    pub(super) fn to(pair: Pair, url: &str, key: &str) -> Self {
        Self {
            pair,
            settings: vec![("base_url", url.to_owned())],
            credentials: vec![("api_key", key.to_owned())],
            detected: Detected::default(),
            max_calls: 2_000,
            deadline: Duration::from_secs(20),
        }
    }

    /// The opened client.
    pub(super) fn open(&self, purpose: Purpose) -> Client {
        crate::watch::listen();
        let transport = Transport::new(TransportConfig {
            egress: EgressPolicy {
                allow: vec!["127.0.0.0/8".parse().expect("a network")],
                allow_http: false,
                ..EgressPolicy::default()
            },
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
        });
        let gateways = Gateways::default();
        let platforms = Platforms::new(transport.expect("TLS"), gateways);
        let account = Account {
            connection: Uuid::now_v7(),
            settings: self.settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            credentials: self
                .credentials
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone().into()))
                .collect(),
            detected: self.detected.clone(),
        };
        let scope = CallScope { purpose, deadline: Instant::now() + self.deadline, max_calls: self.max_calls };
        open(self.pair, account, &platforms, scope).expect("an account that opens")
    }

    /// Verifies.
    pub(super) async fn verify(&self) -> Verification {
        verify(&self.open(Purpose::Verify)).await
    }

    /// Reads a whole report.
    pub(super) async fn pull(&self, query: &StatsQuery) -> Result<Vec<Row>, PlatformError> {
        self.read(query, &query.dimensions).await.map(|table| table.rows)
    }

    /// Reads a whole report, with what is said of it.
    pub(super) async fn read(&self, query: &StatsQuery, group_by: &[Dimension]) -> Result<Table, PlatformError> {
        let client = self.open(Purpose::Pull);
        let report = client.stats(query).await?;
        let mut batches = assemble(query, group_by, report, 1_000_000);
        let mut table = Table::default();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            table.rows.extend(batch.rows);
            table.mismatches.extend(batch.checks.into_iter().filter_map(|check| check.mismatch));
            table.warnings.extend(batch.warnings);
        }
        Ok(table)
    }
}

/// A question without filters.
pub(super) fn ask(dimensions: &[&str], from: Date, to: Date, zone: &str) -> StatsQuery {
    StatsQuery {
        dimensions: dimensions.iter().map(|key| key.parse::<Dimension>().expect("a dimension")).collect(),
        range: DateRange::new(from, to).expect("a range"),
        zone: Zone::find(zone).expect("a zone"),
        filters: Filters::new(),
    }
}
