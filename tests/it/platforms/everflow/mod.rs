//! Everflow, from opened connection to assembled table, against a simulator that plays every contested reading.

mod currency;
mod filters;
mod honesty;
mod row_cap;
mod stats;
mod verification;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use affzero_connections::outbound::error::{ErrorKind, PlatformError, Stage};
use affzero_connections::platforms::calendar::Zone;
use affzero_connections::platforms::stats::{Against, Check, Dimension, Metrics, StatsQuery};
use affzero_connections::platforms::verification::{
    Detected, FailureCode, Owner, StageStatus, Verification, VerificationStatus,
};
use affzero_connections::platforms::{ConnectionType, Gateways, Pair, Platforms};
use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::road::{Road, Table, platforms, range};
use crate::support::everflow::{
    ADVERTISER_KEY, AFFILIATE, AFFILIATE_KEY, DateIds, Everflow, Fact, Flag, HourIds, NETWORK_KEY,
    NETWORK_KEY_OF_REPORTS_ONLY, NETWORK_KEY_WITHOUT_REPORTS, Quirk, Reading, sample,
};
use crate::support::tracker::{Fault, Reply, Request, Simulator, carried};

/// The gateways of both regions, and a process that connects to them.
struct Regions {
    us: Simulator,
    eu: Simulator,
    process: Platforms,
    max_calls: u32,
}

impl Regions {
    fn of(us: Everflow) -> Self {
        let (us, eu) = (Simulator::start(us), Simulator::start(Everflow::default()));
        let gateways =
            Gateways { everflow_us: us.url.clone(), everflow_eu: format!("{}/", eu.url), ..Gateways::default() };
        Self { us, eu, process: platforms(gateways, Duration::from_secs(20)), max_calls: 2_000 }
    }

    fn road(&self, pair: Pair, key: &str) -> Road {
        let road = Road { max_calls: self.max_calls, ..Road::new(pair) };
        road.in_process(&self.process).with_credential("api_key", key)
    }

    async fn verify(&self, pair: Pair, key: &str) -> Verification {
        self.road(pair, key).verify().await
    }

    /// A report through a connection that a verification has found to be in dollars.
    async fn pull(&self, pair: Pair, query: &StatsQuery) -> Result<Table, PlatformError> {
        self.pull_by(pair, query, &query.dimensions).await
    }

    async fn pull_by(&self, pair: Pair, query: &StatsQuery, group_by: &[Dimension]) -> Result<Table, PlatformError> {
        let detected = Detected { currency: Some("USD".to_owned()), ..Detected::default() };
        Road { detected, ..self.road(pair, key_of(pair)) }.pull_by(query, group_by).await
    }

    /// The bodies of all reports asked so far.
    fn reports(&self) -> Vec<Value> {
        let reports = self.us.requests().into_iter().filter(|request| request.path.ends_with("/entity/table"));
        reports.map(|request| serde_json::from_slice(&request.body).expect("JSON")).collect()
    }

    fn asked(&self) -> Vec<String> {
        self.us.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

fn key_of(pair: Pair) -> &'static str {
    if pair == Pair::EverflowAdmin { NETWORK_KEY } else { AFFILIATE_KEY }
}

fn playing(reading: Reading) -> Everflow {
    Everflow { reading, ..Everflow::default() }
}

fn quirky(quirk: Quirk, reading: Reading) -> Everflow {
    Everflow { quirk, reading, ..Everflow::default() }
}

fn query(dimensions: &[Dimension], from: Date, to: Date, zone: &str) -> StatsQuery {
    crate::road::query(dimensions, range(from, to), zone)
}

fn filtered(mut query: StatsQuery, filters: &[(Dimension, &[&str])]) -> StatsQuery {
    for (dimension, ids) in filters {
        query.filters.insert(*dimension, ids.iter().map(|id| (*id).into()).collect());
        if !query.has(*dimension) {
            query.dimensions.push(*dimension);
        }
    }
    query
}

type Numbers = (i64, i64, i64, i64, Decimal, Option<Decimal>, Option<Decimal>);

/// What the table must be, from the facts alone.
fn expected(facts: &[Fact], pair: Pair, query: &StatsQuery, group_by: &[Dimension]) -> BTreeMap<Vec<String>, Numbers> {
    let mut table: BTreeMap<Vec<String>, Numbers> = BTreeMap::new();
    let admin = pair == Pair::EverflowAdmin;
    for fact in facts.iter().filter(|fact| admin || fact.affiliate == AFFILIATE) {
        let local = query.zone.rules().to_datetime(fact.at);
        let value = |dimension: &Dimension| match dimension {
            Dimension::Date => local.date().to_string(),
            Dimension::Hour => format!("{:02}", local.hour()),
            Dimension::Affiliate => fact.affiliate.to_string(),
            Dimension::Offer => fact.offer.to_string(),
            Dimension::Advertiser => fact.advertiser.to_string(),
            Dimension::Campaign => fact.campaign.map_or("unknown".to_owned(), |id| id.to_string()),
            Dimension::Country if fact.country.is_empty() => "unknown".to_owned(),
            Dimension::Country => fact.country.to_owned(),
            Dimension::Sub(number) => carried(number.number().into(), fact.country, fact.offer),
            Dimension::TrafficSource | Dimension::AffiliateNetwork | Dimension::Week | Dimension::Month => {
                panic!("not on Everflow")
            }
        };
        let passes = query.filters.iter().all(|(dimension, ids)| ids.contains(value(dimension).as_str()));
        if !passes || !query.range.contains(local.date()) {
            continue;
        }
        let cents = |cents: i64| Decimal::new(cents, 2);
        let of_network = |amount: i64| admin.then(|| cents(amount));
        let revenue = if admin { fact.revenue } else { fact.payout };
        let key = group_by.iter().map(value).collect();
        let zero = (0, 0, 0, 0, Decimal::ZERO, of_network(0), of_network(0));
        let sum = table.entry(key).or_insert(zero);
        *sum = (
            sum.0 + fact.impressions,
            sum.1 + fact.clicks,
            sum.2 + fact.conversions,
            sum.3 + fact.on_hold,
            sum.4 + cents(revenue),
            sum.5.map(|payout| payout + cents(fact.payout)),
            sum.6.map(|cost| cost + cents(fact.cost)),
        );
    }
    table
}

/// What the table is. A key that comes twice is an error of its own.
fn table(pulled: &Table) -> BTreeMap<Vec<String>, Numbers> {
    let mut table = BTreeMap::new();
    for row in &pulled.rows {
        let key: Vec<String> = row.key.iter().map(|value| value.id.to_string()).collect();
        let Metrics { impressions, clicks, unique_clicks, conversions, approved, pending, rejected, hold, .. } =
            row.metrics;
        assert_eq!((pending, rejected), (None, None), "never guessed");
        assert_eq!(conversions, approved);
        assert!(unique_clicks.is_none() || unique_clicks == clicks);
        let known = |count: Option<i64>| count.expect("a known count");
        let numbers = (
            known(impressions),
            known(clicks),
            known(conversions),
            known(hold),
            row.metrics.revenue.expect("known revenue"),
            row.metrics.payout,
            row.metrics.cost,
        );
        assert_eq!(table.insert(key, numbers), None, "each key once");
    }
    table
}

const OCTOBER_19: Date = date(2026, 10, 19);
const NOVEMBER_4: Date = date(2026, 11, 4);

async fn assert_exact(regions: &Regions, facts: &[Fact], pair: Pair, query: &StatsQuery) -> Table {
    let pulled = regions.pull(pair, query).await.unwrap_or_else(|error| panic!("{query:?}: {error:?}"));
    assert_eq!(table(&pulled), expected(facts, pair, query, &query.dimensions), "{query:?}");
    assert!(pulled.rows.iter().all(|row| row.currency.is_some_and(|currency| currency.as_str() == "USD")));
    pulled
}
