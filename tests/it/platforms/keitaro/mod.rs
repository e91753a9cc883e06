//! Keitaro: one report in two dialects, on panels of which nobody knows beforehand what they have.

mod recorded;
mod reports;
mod verification;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use affzero_connections::outbound::error::{ErrorKind, PlatformError};
use affzero_connections::platforms::Pair;
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{Dimension, Filters, Metrics, StatsQuery};
use affzero_connections::platforms::verification::{Detected, FailureCode, VerificationStatus};
use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::road::{Road, Table, code, hint, query, range};
use crate::stage::Stage;
use crate::support::keitaro::{
    Blank, COUNTRIES, CountedOn, Days, Dialect, Event, Front, Hours, KEY, Keitaro, Numbers, OLD_NAME, Objection,
    Readings, Sum, Total, Wrapping, parts, sample,
};
use crate::support::samples;
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

use Dimension::{AffiliateNetwork, Campaign, Country, Hour, Offer, TrafficSource};

const DAY: Dimension = Dimension::Date;
const PAIR: Pair = Pair::KeitaroAdmin;

/// Five days around the end of summer time in Europe, and the night before them.
fn autumn() -> Vec<Event> {
    sample("2026-10-22T20:00:00Z".parse().expect("an instant"), 5 * 24)
}

fn day(number: i8) -> Date {
    date(2026, 10, number)
}

fn panel(change: impl FnOnce(&mut Readings)) -> Simulator {
    Simulator::start(Keitaro::new(autumn()).reading(change))
}

/// A connection whose last verification found this out.
fn remembering(simulator: &Simulator, dialect: Option<&str>, account: Option<&str>) -> Road {
    let [platform_version, account] = [dialect, account].map(|text| text.map(str::to_owned));
    Road {
        detected: Detected { platform_version, account, ..Detected::default() },
        ..Road::to(PAIR, &simulator.url, KEY)
    }
}

fn road(simulator: &Simulator) -> Road {
    remembering(simulator, None, None)
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

#[derive(Debug, Clone)]
struct ReportCase {
    group_by: Vec<Dimension>,
    range: DateRange,
    zone: String,
    filters: Filters,
    counted_on: CountedOn,
    is_matured: bool,
}

impl ReportCase {
    fn by(group_by: &[Dimension], from: Date, to: Date, zone: &str) -> Self {
        Self {
            group_by: group_by.to_vec(),
            range: range(from, to),
            zone: zone.to_owned(),
            filters: Filters::new(),
            counted_on: CountedOn::Click,
            is_matured: false,
        }
    }

    fn only(mut self, dimension: Dimension, ids: &[&str]) -> Self {
        self.filters.insert(dimension, ids.iter().map(|id| (*id).into()).collect());
        self
    }

    fn query(&self) -> StatsQuery {
        let mut dimensions = self.group_by.clone();
        dimensions.extend(self.filters.keys().filter(|dimension| !self.group_by.contains(dimension)));
        StatsQuery { filters: self.filters.clone(), ..query(&dimensions, self.range, &self.zone) }
    }

    async fn ask(&self, road: &Road) -> Result<Table, PlatformError> {
        road.pull_by(&self.query(), &self.group_by).await
    }

    /// What the answer has to be, from the events alone.
    fn truth(&self, events: &[Event]) -> BTreeMap<Vec<String>, Sum> {
        let rules = Zone::find(&self.zone).expect("a zone").rules().clone();
        let mut groups: BTreeMap<Vec<String>, Vec<_>> = BTreeMap::new();
        for part in parts(events, self.counted_on) {
            let local = rules.to_datetime(part.at);
            let event = part.event;
            let id = |dimension: Dimension| -> String {
                match dimension {
                    Dimension::Date => local.date().to_string(),
                    Dimension::Hour => format!("{:02}", local.hour()),
                    Dimension::Campaign => event.campaign.to_string(),
                    Dimension::Offer => event.offer.map(|id| id.to_string()).unwrap_or_default(),
                    Dimension::AffiliateNetwork => event.network().unwrap_or_default().to_owned(),
                    Dimension::TrafficSource => event.source().to_string(),
                    _ => event.country.to_owned(),
                }
            };
            let passes = self.filters.iter().all(|(dimension, ids)| ids.contains(id(*dimension).as_str()));
            if self.range.contains(local.date()) && passes {
                groups.entry(self.group_by.iter().map(|dimension| id(*dimension)).collect()).or_default().push(part);
            }
        }
        groups.into_iter().map(|(key, parts)| (key, Sum::of(parts, self.is_matured))).collect()
    }
}

/// Holds a table against the truth, number by number. Unique clicks are only compared where they are known.
fn assert_true(table: &Table, question: &ReportCase, events: &[Event]) {
    let truth = question.truth(events);
    let rows: BTreeMap<Vec<String>, Metrics> =
        table.by_ids().into_iter().map(|((ids, _), metrics)| (ids, metrics)).collect();
    assert_eq!(rows.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>(), "{question:?}");
    for (key, sum) in &truth {
        let got = &rows[key];
        let counts = [got.clicks, got.conversions, got.approved, got.pending, got.rejected];
        let expected = [sum.clicks, sum.conversions, sum.sales, sum.leads, sum.rejected].map(Some);
        assert_eq!(counts, expected, "{key:?} of {question:?}");
        assert_eq!((got.revenue, got.cost), (Some(sum.revenue), Some(sum.cost)), "{key:?} of {question:?}");
        assert!(got.unique_clicks.is_none_or(|unique| unique == sum.unique), "{key:?} of {question:?}");
    }
    assert_eq!(table.mismatches, Vec::<String>::new(), "{question:?}");
}

async fn assert_asked(question: &ReportCase, road: &Road, events: &[Event]) -> Table {
    let table = question.ask(road).await.unwrap_or_else(|error| panic!("{question:?}: {error}"));
    assert_true(&table, question, events);
    table
}

const GROUPINGS: [&[Dimension]; 14] = [
    &[DAY],
    &[Hour],
    &[Campaign],
    &[Offer],
    &[AffiliateNetwork],
    &[TrafficSource],
    &[Country],
    &[DAY, Hour],
    &[Campaign, DAY],
    &[Hour, Offer],
    &[DAY, AffiliateNetwork, Country],
    &[TrafficSource, Campaign, Offer],
    &[DAY, Hour, Campaign],
    &[],
];
