//! Binom: two generations behind one connection type, asked by windows of real time.

mod invariants;
mod times;
mod v1;
mod v2;
mod verification;

use std::collections::{BTreeMap, BTreeSet};

use affzero_connections::outbound::error::{ErrorKind, PlatformError};
use affzero_connections::platforms::Pair;
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{Against, Check, Dimension, Filters, StatsQuery, WarningCode};
use affzero_connections::platforms::verification::{Detected, FailureCode, VerificationStatus};
use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;

use crate::road::{Road, Table, code, hint, query, range};
use crate::support::binom::{
    Ambiguity, Binom, CAMPAIGNS, COUNTRIES, CountryStyle, Event, HourStyle, KEY, NETWORKS, NoData, OFFERS, SOURCES,
    Sum, Wrapping, WrongKey, sample,
};
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

use Dimension::{AffiliateNetwork, Campaign, Country, Hour, Offer, TrafficSource};

const DAY: Dimension = Dimension::Date;

fn at(address: impl AsRef<str>) -> Road {
    Road::to(Pair::BinomAdmin, address.as_ref(), KEY)
}

/// A connection whose last verification found this generation.
fn remembering(generation: &str, address: impl AsRef<str>) -> Road {
    Road { detected: Detected { platform_version: Some(generation.to_owned()), ..Detected::default() }, ..at(address) }
}

fn v2(simulator: &Simulator) -> Road {
    remembering("v2", &simulator.url)
}

fn v1(simulator: &Simulator) -> Road {
    remembering("v1", format!("{}{PANEL}", simulator.url))
}

#[derive(Debug, Clone)]
struct ReportCase {
    group_by: Vec<Dimension>,
    range: DateRange,
    zone: &'static str,
    filters: Filters,
}

impl ReportCase {
    fn by(group_by: &[Dimension], from: Date, to: Date, zone: &'static str) -> Self {
        Self { group_by: group_by.to_vec(), range: range(from, to), zone, filters: Filters::new() }
    }

    fn only(mut self, dimension: Dimension, ids: &[&str]) -> Self {
        self.filters.insert(dimension, ids.iter().map(|id| (*id).into()).collect());
        self
    }

    fn query(&self) -> StatsQuery {
        let mut dimensions = self.group_by.clone();
        dimensions.extend(self.filters.keys().filter(|dimension| !self.group_by.contains(dimension)));
        StatsQuery { filters: self.filters.clone(), ..query(&dimensions, self.range, self.zone) }
    }

    async fn ask(&self, road: &Road) -> Result<Table, PlatformError> {
        let table = road.pull_by(&self.query(), &self.group_by).await?;
        // It fails where a key comes twice.
        table.by_key();
        Ok(table)
    }

    /// What the answer has to be, from the events alone.
    ///
    /// Clicks that reached no offer are in no list of offers or networks; in a nested report they are unknown.
    fn truth(&self, events: &[Event]) -> BTreeMap<Vec<String>, Sum> {
        let rules = Zone::find(self.zone).expect("a zone").rules().clone();
        let query = self.query();
        let entities: Vec<Dimension> =
            query.dimensions.iter().copied().filter(|dimension| !dimension.is_time()).collect();
        let mut groups: BTreeMap<Vec<String>, Vec<&Event>> = BTreeMap::new();
        for event in events {
            let local = rules.to_datetime(event.at);
            let id = |dimension: Dimension| -> Option<String> {
                Some(match dimension {
                    Dimension::Date => local.date().to_string(),
                    Dimension::Hour => format!("{:02}", local.hour()),
                    Dimension::Campaign => event.campaign.to_string(),
                    Dimension::Offer => event.offer?.to_string(),
                    Dimension::AffiliateNetwork => event.network()?.to_string(),
                    Dimension::TrafficSource => event.source().to_string(),
                    _ => event.country.to_owned(),
                })
            };
            let listed = entities.len() != 1 || entities.iter().all(|dimension| id(*dimension).is_some());
            let passes = self
                .filters
                .iter()
                .all(|(dimension, ids)| ids.contains(id(*dimension).unwrap_or_else(|| "unknown".to_owned()).as_str()));
            if self.range.contains(local.date()) && listed && passes {
                let key = self.group_by.iter().map(|dimension| id(*dimension).unwrap_or_else(|| "unknown".to_owned()));
                groups.entry(key.collect()).or_default().push(event);
            }
        }
        groups.into_iter().map(|(key, events)| (key, Sum::of(events))).collect()
    }
}

/// What its rows call each id.
fn names(table: &Table) -> BTreeMap<String, String> {
    let values = table.rows.iter().flat_map(|row| &row.key);
    values.map(|value| (value.id.to_string(), value.name.to_string())).collect()
}

fn currencies(table: &Table) -> BTreeSet<Option<String>> {
    table.rows.iter().map(|row| row.currency.map(|currency| currency.as_str().to_owned())).collect()
}

/// Holds a pull against the truth, number by number.
fn assert_true(pulled: &Table, question: &ReportCase, events: &[Event]) {
    let truth = question.truth(events);
    let rows = pulled.by_key();
    let keys: Vec<&Vec<String>> = rows.keys().collect();
    assert_eq!(keys, truth.keys().collect::<Vec<_>>(), "{question:?}");
    for (key, sum) in &truth {
        let got = &rows[key];
        // Visitors of several parts are not told apart.
        assert!(got.unique_clicks.is_none_or(|unique| unique == sum.unique), "{key:?} of {question:?}");
        let expected = (Some(sum.clicks), Some(sum.leads), Some(sum.revenue), Some(sum.cost));
        assert_eq!((got.clicks, got.conversions, got.revenue, got.cost), expected, "{key:?} of {question:?}");
    }
    assert!(pulled.checks.iter().all(|check| check.mismatch.is_none()), "{:?} of {question:?}", pulled.checks);
}

const PANEL: &str = "/jl8sn.php";

/// Five days around the end of summer time in Europe, and the night before them.
fn autumn() -> Vec<Event> {
    sample("2026-10-22T20:00:00Z".parse().expect("an instant"), 5 * 24)
}

fn day(number: i8) -> Date {
    date(2026, 10, number)
}

/// Events from before the first of these days begins anywhere until after the last has ended nearly everywhere.
fn around(from: Date, more_days: i64) -> Vec<Event> {
    let midnight = Zone::utc().start_of(from).expect("a midnight");
    sample(midnight - jiff::SignedDuration::from_hours(15), 24 * (more_days + 2))
}
