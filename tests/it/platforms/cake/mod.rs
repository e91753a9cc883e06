//! CAKE: generations that stand in for each other, two formats, contested ends of ranges, refusals inside of 200.

mod recorded;
mod reports;
mod verification;

use std::collections::BTreeMap;

use affzero_connections::outbound::error::ErrorKind;
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{Against, Check, Dimension, Metrics, StatsQuery, WarningCode};
use affzero_connections::platforms::verification::{Detected, FailureCode, VerificationStatus};
use affzero_connections::platforms::{ConnectionType, Gateways, Pair};
use jiff::civil::{Date, date};
use proptest::prelude::*;

use crate::road::{Road, Table, range};
use crate::support::cake::{
    ADMIN_KEY, AFFILIATE_ID, AFFILIATE_KEY, Cake, Campaign, Format, HourLabel, Numbers, Readings, Refusal, RowCount,
    truth,
};
use crate::support::tracker::{Fault, Reply, Request, Simulator};

fn affiliate(simulator: &Simulator) -> Road {
    portal(Pair::CakeAffiliate, simulator, AFFILIATE_KEY).with_setting("affiliate_id", AFFILIATE_ID)
}

fn admin(simulator: &Simulator) -> Road {
    portal(Pair::CakeAdmin, simulator, ADMIN_KEY)
}

fn portal(pair: Pair, simulator: &Simulator, key: &str) -> Road {
    let gateways = Gateways { cake_domain: "cakemarketing.com".to_owned(), ..Gateways::default() };
    let road = Road::new(pair).through(gateways);
    road.with_setting("domain", &simulator.url).with_credential("api_key", key)
}

async fn failure_code(road: &Road) -> FailureCode {
    let failure = road.verify().await.failure.expect("a failure");
    assert!(road.credentials.iter().all(|(_, key)| !failure.detail.contains(key)));
    failure.code
}

fn september() -> DateRange {
    range(date(2026, 9, 1), date(2026, 9, 30))
}

fn query(dimensions: &[Dimension], range: DateRange) -> StatsQuery {
    crate::road::query(dimensions, range, "UTC")
}

fn as_affiliate(numbers: Numbers) -> Metrics {
    Metrics {
        impressions: Some(numbers.impressions),
        clicks: Some(numbers.clicks),
        conversions: Some(numbers.conversions),
        revenue: Some(numbers.revenue),
        ..Metrics::default()
    }
}

fn as_network(numbers: Numbers) -> Metrics {
    Metrics {
        approved: Some(numbers.approved),
        pending: Some(numbers.pending),
        rejected: Some(numbers.rejected + numbers.returned),
        payout: Some(numbers.cost),
        ..as_affiliate(numbers)
    }
}

fn is_own(campaign: Campaign) -> bool {
    campaign.affiliate.0 == 42
}

/// The metrics of the keys that `key` gives to traffic, summed independently; keys without traffic are left out.
fn expected(
    range: DateRange,
    metrics: fn(Numbers) -> Metrics,
    key: impl Fn(Date, i8, Campaign) -> Option<Vec<String>>,
) -> BTreeMap<Vec<String>, Metrics> {
    let mut sums: BTreeMap<Vec<String>, Numbers> = BTreeMap::new();
    for day in range.days() {
        for hour in 0..24 {
            for campaign in crate::support::cake::CAMPAIGNS {
                if let Some(key) = key(day, hour, campaign) {
                    sums.entry(key).or_default().add(crate::support::cake::traffic(day, hour, campaign));
                }
            }
        }
    }
    let busy = sums.into_iter().filter(|(_, numbers)| *numbers != Numbers::default());
    busy.map(|(key, numbers)| (key, metrics(numbers))).collect()
}

/// The rows of a table that have traffic: whether idle keys have a row of zeros is up to the platform.
fn busy(table: &Table) -> BTreeMap<Vec<String>, Metrics> {
    table.by_key().into_iter().filter(|(_, metrics)| metrics.clicks != Some(0)).collect()
}

fn dimension_id(dimension: Dimension, day: Date, hour: i8, campaign: Campaign) -> String {
    match dimension {
        Dimension::Date => day.to_string(),
        Dimension::Hour => format!("{hour:02}"),
        Dimension::Affiliate => campaign.affiliate.0.to_string(),
        Dimension::Offer => campaign.offer.0.to_string(),
        Dimension::Advertiser => campaign.advertiser.0.to_string(),
        Dimension::Campaign => campaign.id.to_string(),
        other => panic!("{other} is no dimension of CAKE"),
    }
}

const AFFILIATE_COMBINATIONS: &[&[Dimension]] = &[
    &[Dimension::Date],
    &[Dimension::Hour],
    &[Dimension::Offer],
    &[Dimension::Campaign],
    &[Dimension::Hour, Dimension::Date],
    &[Dimension::Date, Dimension::Offer],
    &[Dimension::Campaign, Dimension::Date],
    &[Dimension::Offer, Dimension::Campaign],
    &[Dimension::Date, Dimension::Offer, Dimension::Campaign],
];

const ADMIN_COMBINATIONS: &[&[Dimension]] = &[
    &[Dimension::Date],
    &[Dimension::Affiliate],
    &[Dimension::Offer],
    &[Dimension::Advertiser],
    &[Dimension::Campaign],
    &[Dimension::Date, Dimension::Affiliate],
    &[Dimension::Date, Dimension::Advertiser],
    &[Dimension::Affiliate, Dimension::Offer],
    &[Dimension::Advertiser, Dimension::Affiliate, Dimension::Date],
    &[Dimension::Affiliate, Dimension::Offer, Dimension::Advertiser],
    &[Dimension::Campaign, Dimension::Affiliate, Dimension::Offer],
];

async fn assert_affiliate_is_exact(change: impl FnOnce(&mut Readings)) {
    let cake = Cake::with(change);
    let readings = cake.readings.clone();
    let simulator = Simulator::start(cake);
    let connection = affiliate(&simulator);
    let days = range(date(2026, 9, 10), date(2026, 9, 14));
    for dimensions in AFFILIATE_COMBINATIONS {
        let table = connection.pull(&query(dimensions, days)).await.unwrap_or_else(|error| {
            panic!("{dimensions:?} with {readings:?}: {error}");
        });
        let expected = expected(days, as_affiliate, |day, hour, campaign| {
            is_own(campaign)
                .then(|| dimensions.iter().map(|dimension| dimension_id(*dimension, day, hour, campaign)).collect())
        });
        assert_eq!(busy(&table), expected, "{dimensions:?} with {readings:?}");
        assert!(table.mismatches.is_empty(), "{:?}", table.checks);
    }
}

async fn assert_admin_is_exact(change: impl FnOnce(&mut Readings)) {
    let simulator = Simulator::start(Cake::with(change));
    let connection = admin(&simulator);
    let days = range(date(2026, 9, 11), date(2026, 9, 14));
    for dimensions in ADMIN_COMBINATIONS {
        let table = connection.pull(&query(dimensions, days)).await.expect("a table");
        let expected = expected(days, as_network, |day, hour, campaign| {
            Some(dimensions.iter().map(|dimension| dimension_id(*dimension, day, hour, campaign)).collect())
        });
        assert_eq!(busy(&table), expected, "{dimensions:?}");
        assert!(!table.checks.is_empty() && table.mismatches.is_empty(), "{:?}", table.checks);
    }
}
