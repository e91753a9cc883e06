//! Voluum: sessions, both readings of its clock, spellings, paging, archived entities, and exact numbers throughout.

mod clocks;
mod habits;
mod paging;
mod reports;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use affzero_connections::outbound::Purpose;
use affzero_connections::outbound::error::{ErrorKind, PlatformError};
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{
    DayOfConversion, Dimension, DimensionValue, Metric, MetricValue, Perspective, StatsQuery,
};
use affzero_connections::platforms::verification::{FailureCode, StageStatus, Verification, VerificationStatus};
use affzero_connections::platforms::{Gateways, Pair, Platform, Platforms, Settings, entry, origin};
use futures_util::future::join_all;
use jiff::civil::date;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::road::{Road, Table, platforms, query, range};
use crate::support::tracker::{Fault, Reply, Request, Simulator};
use crate::support::voluum::{ACCESS_ID, ACCESS_KEY, Clock, Hit, HourForm, Readings, TOKEN_PREFIX, Voluum, refusal};

/// A simulated Voluum, and a process that connects to it.
struct Simulated {
    tracker: Voluum,
    simulator: Simulator,
    process: Platforms,
}

impl Simulated {
    fn of(hits: Vec<Hit>, readings: Readings) -> Self {
        let tracker = Voluum::new(hits, readings);
        let simulator = Simulator::start(tracker.clone());
        let gateways = Gateways { voluum: simulator.url.clone(), ..Gateways::default() };
        Self { tracker, simulator, process: platforms(gateways, Duration::from_secs(10)) }
    }

    /// Without a currency.
    fn road(&self, key: &str) -> Road {
        let road = Road::new(Pair::VoluumAdmin).in_process(&self.process);
        road.with_credential("access_key_id", &format!(" {ACCESS_ID} ")).with_credential("access_key", key)
    }

    fn road_in_euros(&self) -> Road {
        self.road(ACCESS_KEY).with_setting("currency", "EUR")
    }

    async fn verify(&self, key: &str) -> Verification {
        self.road(key).verify().await
    }

    async fn pull(&self, group_by: &[Dimension], range: DateRange, zone: &str) -> Result<Table, PlatformError> {
        self.road_in_euros().pull(&query(group_by, range, zone)).await
    }

    fn reports(&self) -> Vec<Request> {
        self.simulator.requests().into_iter().filter(|request| request.path == "/report").collect()
    }

    /// Report calls that do not ask what the time is.
    fn tables(&self) -> Vec<Request> {
        self.reports().into_iter().filter(|request| request.param("tz") != Some("Etc/GMT-12")).collect()
    }
}

/// What adds up: impressions, visits, conversions, revenue and cost.
type Numbers = (i64, i64, i64, Decimal, Decimal);

/// What the hits come to, computed here from the definition of days and hours.
fn expected(hits: &[Hit], group_by: &[Dimension], range: DateRange, zone: &str) -> BTreeMap<Vec<String>, Numbers> {
    let zone = Zone::find(zone).expect("a zone");
    let named = |id: &str| if id.is_empty() { DimensionValue::UNKNOWN_ID.to_owned() } else { id.to_owned() };
    let mut sums = BTreeMap::<Vec<String>, Numbers>::new();
    for hit in hits.iter().filter(|hit| range.contains(zone.date_at(hit.at))) {
        let key = group_by
            .iter()
            .map(|dimension| match dimension {
                Dimension::Date => zone.date_at(hit.at).to_string(),
                Dimension::Hour => format!("{:02}", zone.rules().to_datetime(hit.at).hour()),
                Dimension::Campaign => named(&hit.campaign),
                Dimension::Offer => named(&hit.offer),
                Dimension::AffiliateNetwork => named(&hit.network),
                Dimension::TrafficSource => named(&hit.source),
                Dimension::Country => named(&hit.country),
                Dimension::Affiliate
                | Dimension::Advertiser
                | Dimension::Week
                | Dimension::Month
                | Dimension::Sub(_) => unreachable!("nothing that is asked of Voluum here"),
            })
            .collect();
        let sum = sums.entry(key).or_default();
        sum.0 += hit.impressions;
        sum.1 += hit.visits;
        sum.2 += hit.conversions;
        sum.3 += hit.revenue;
        sum.4 += hit.cost;
    }
    sums
}

/// The rows of a table by their ids; a key must not come twice.
fn found(table: &Table) -> BTreeMap<Vec<String>, Numbers> {
    let mut found = BTreeMap::new();
    for row in &table.rows {
        let key: Vec<String> = row.key.iter().map(|value| value.id.to_string()).collect();
        let metrics = &row.metrics;
        let numbers = (
            metrics.impressions.expect("impressions"),
            metrics.clicks.expect("clicks"),
            metrics.conversions.expect("conversions"),
            metrics.revenue.expect("revenue"),
            metrics.cost.expect("cost"),
        );
        assert!(found.insert(key.clone(), numbers).is_none(), "{key:?} came twice");
    }
    found
}

/// Two days of traffic in September around UTC's midnights, one hour in every three.
fn september() -> Vec<Hit> {
    let first: jiff::Timestamp = "2026-08-31T00:00:00Z".parse().expect("an instant");
    (0..32)
        .map(|place: i64| {
            let at = first + jiff::SignedDuration::from_hours(3 * place);
            let mut hit = Hit::new(&at.to_string(), &format!("{}", place % 4), place + 1);
            hit.country = if place % 3 == 0 { "DE".to_owned() } else { "US".to_owned() };
            hit
        })
        .collect()
}

const SEPTEMBER: (i16, i8) = (2026, 9);

fn first_two() -> DateRange {
    range(date(SEPTEMBER.0, SEPTEMBER.1, 1), date(SEPTEMBER.0, SEPTEMBER.1, 2))
}

const EVERY_DIMENSION: [Dimension; 7] = [
    Dimension::Date,
    Dimension::Hour,
    Dimension::Campaign,
    Dimension::Offer,
    Dimension::AffiliateNetwork,
    Dimension::TrafficSource,
    Dimension::Country,
];

fn nothing_leaks(text: &str) {
    let escaped = serde_json::to_string(ACCESS_KEY).expect("json");
    for secret in [ACCESS_ID, ACCESS_KEY, escaped.trim_matches('"'), TOKEN_PREFIX] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// A page of rows by offer, each with one visit; `null` is an id like any other.
fn page(total: usize, offers: &[&str]) -> Reply {
    let row = |offer: &&str| {
        format!(
            r#"{{"offerId": {offer}, "visits": 1, "uniqueVisits": 1, "conversions": 0, "impressions": 0, "revenue": 0, "cost": 0}}"#
        )
    };
    let rows = offers.iter().map(row).collect::<Vec<_>>().join(",");
    Reply::text(200, "application/json", format!(r#"{{"totalRows": {total}, "rows": [{rows}]}}"#))
}
