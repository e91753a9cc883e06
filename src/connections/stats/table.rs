//! A pulled table, and the pages that it is answered in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::layout::{Layout, write_text};
use super::order::{Place, compare, compare_keys, compare_values, is_not_after};
use super::query::{Asked, Column, Period, Sort};
use super::tally::Tally;
use crate::platforms::calendar::Preset;
use crate::platforms::stats::{Dimension, MetricValue, Perspective, Row};
use crate::platforms::{ConnectionType, Platform};

/// Which connection a table is of.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConnectionRef {
    /// The id.
    pub id: Uuid,
    /// The name.
    #[schema(example = "Brand A")]
    pub name: String,
    /// The platform.
    pub platform: Platform,
    /// The connection type.
    pub connection_type: ConnectionType,
}

/// The question as it was answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QueryEcho {
    /// The dimensions.
    pub group_by: Vec<Dimension>,
    /// The first local day.
    #[schema(example = "2026-11-16")]
    pub from: String,
    /// The last local day.
    #[schema(example = "2026-11-22")]
    pub to: String,
    /// The zone of the days.
    #[schema(example = "Europe/Berlin")]
    pub timezone: String,
    /// The preset the days came from.
    #[schema(required)]
    pub preset: Option<Preset>,
    /// The filters: ids by dimension.
    pub filters: BTreeMap<&'static str, Vec<String>>,
}

/// Where numbers came from.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Source {
    /// Calls to the platform.
    #[schema(example = 3)]
    pub upstream_calls: u32,
    /// Milliseconds until the table was whole.
    #[schema(example = 120)]
    pub duration_ms: u64,
}

/// A whole table.
#[derive(Debug)]
pub struct Table {
    /// Of which connection.
    pub connection: ConnectionRef,
    /// Unsorted, in the tracker's order.
    pub rows: Vec<Row>,
    /// What they add up to.
    pub tally: Tally,
    /// When the last row came in.
    pub fetched_at: Timestamp,
    /// The same moment on the clock that ages are measured by.
    pub whole_at: Instant,
    /// Where it came from.
    pub source: Source,
    /// Whose point of view the money has.
    pub perspective: Perspective,
    /// Before the connection it was pulled through was read, in microseconds.
    pub pulled_at_micros: i64,
    /// The version of the connection it was pulled through.
    pub version: i64,
    /// The orders it has been asked for in.
    pub orders: Orders,
}

/// Orders of a table's rows, each sorted once and kept with the table, the latest few of them.
#[derive(Debug, Default)]
pub struct Orders(Mutex<Vec<(Option<Sort>, Order)>>);

/// The places of rows, sorted.
type Order = Arc<[usize]>;

/// How many orders of a table are kept.
const MAX_ORDERS: usize = 4;

impl Orders {
    fn find(&self, sort: Option<Sort>) -> Option<Order> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(by, _)| *by == sort).map(|(_, order)| Arc::clone(order))
    }

    fn keep(&self, sort: Option<Sort>, order: &Order) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_ORDERS {
            known.remove(0);
        }
        known.push((sort, Arc::clone(order)));
    }
}

/// A page of a sorted table as a response body.
pub struct Written {
    /// The JSON.
    pub body: Vec<u8>,
    /// How many of its bytes are the data: what follows only says when and how it was fetched.
    pub data_length: usize,
}

impl Table {
    /// The places of the rows in the order asked for.
    fn order(&self, sort: Option<Sort>, layout: &Layout) -> Order {
        if let Some(order) = self.orders.find(sort) {
            return order;
        }
        let value = |row: &Row| match sort {
            Some(Sort { column: Column::Metric(metric), .. }) => row.metrics.get(metric, layout.perspective),
            Some(Sort { column: Column::Dimension(_), .. }) | None => None,
        };
        // Derived values are worked out once for each row, not for each comparison.
        let mut rows: Vec<(usize, Option<MetricValue>, &Row)> =
            self.rows.iter().enumerate().map(|(place, row)| (place, value(row), row)).collect();
        match sort {
            Some(Sort { column: Column::Metric(_), descending }) => rows.sort_by(|(_, a, one), (_, b, other)| {
                compare_values(*a, *b, descending).then_with(|| compare_keys(one, other))
            }),
            sort => rows.sort_by(|(_, _, one), (_, _, other)| compare(one, other, sort, layout)),
        }
        let order = rows.into_iter().map(|(place, _, _)| place).collect();
        self.orders.keep(sort, &order);
        order
    }

    /// Writes the page after `after`, as JSON.
    pub fn page(&self, asked: &Asked, after: Option<&Place>, encode: impl Fn(&Place) -> Option<String>) -> Written {
        let layout = Layout::of(asked, self.perspective);
        let order = self.order(asked.question.sort, &layout);
        let sorted = |place: usize| order.get(place).and_then(|at| self.rows.get(*at));
        let start = match after {
            None => 0,
            Some(after) => order.partition_point(|at| {
                self.rows.get(*at).is_some_and(|row| is_not_after(row, after, asked.question.sort, &layout))
            }),
        };
        let end = start.saturating_add(asked.question.limit).min(order.len());
        let next = (end < order.len()).then(|| sorted(end.saturating_sub(1))).flatten();
        let next_cursor = next.and_then(|row| encode(&Place::of(row, asked, &layout)));

        let mut body = Vec::with_capacity(1_024 + (end - start) * 400);
        let filters = asked
            .question
            .filters
            .iter()
            .map(|(dimension, ids)| (dimension.key(), ids.iter().map(ToString::to_string).collect()))
            .collect();
        let preset = match asked.question.period {
            Period::Preset(preset) => Some(preset),
            Period::Days(_) => None,
        };
        let echo = QueryEcho {
            group_by: asked.question.group_by.clone(),
            from: asked.range.from().to_string(),
            to: asked.range.to().to_string(),
            timezone: asked.question.zone.name().to_owned(),
            preset,
            filters,
        };
        member(&mut body, b'{', "connection", &self.connection);
        member(&mut body, b',', "query", &echo);
        member(&mut body, b',', "columns", &layout.columns());
        body.extend_from_slice(b",\"rows\":[");
        for place in start..end {
            if place > start {
                body.push(b',');
            }
            if let Some(row) = sorted(place) {
                layout.write_json(row, &mut body);
            }
        }
        body.push(b']');
        member(&mut body, b',', "totals", &layout.totals(&self.tally));
        member(&mut body, b',', "row_count", &self.tally.row_count());
        member(&mut body, b',', "next_cursor", &next_cursor);
        member(&mut body, b',', "integrity", &self.tally.integrity());
        member(&mut body, b',', "warnings", &self.tally.warnings());
        let data_length = body.len();
        member(&mut body, b',', "fetched_at", &self.fetched_at);
        member(&mut body, b',', "source", &self.source);
        body.push(b'}');
        Written { body, data_length }
    }

    /// About how many bytes the table takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let row = std::mem::size_of::<Row>();
        1_024 + self.rows.len() * (row + 32 + MAX_ORDERS * std::mem::size_of::<usize>())
    }
}

fn member<T: Serialize>(out: &mut Vec<u8>, before: u8, key: &str, value: &T) {
    out.push(before);
    write_text(key, out);
    out.push(b':');
    if serde_json::to_writer(&mut *out, value).is_err() {
        unreachable!("these values have a JSON form");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::connections::cursor;
    use crate::connections::stats::query::tests::asked;
    use crate::platforms::stats::{Batch, DimensionValue, Metrics};

    fn table(rows: Vec<Row>) -> Table {
        let mut batch = Batch::of(rows);
        let mut tally = Tally::default();
        tally.add(&mut batch);
        Table {
            connection: ConnectionRef {
                id: Uuid::nil(),
                name: "Test".to_owned(),
                platform: Platform::Demo,
                connection_type: ConnectionType::Admin,
            },
            rows: batch.rows,
            tally,
            fetched_at: Timestamp::UNIX_EPOCH,
            whole_at: Instant::now(),
            source: Source { upstream_calls: 1, duration_ms: 1 },
            perspective: Perspective::Network,
            pulled_at_micros: 0,
            version: 1,
            orders: Orders::default(),
        }
    }

    fn row(id: u16, clicks: Option<i64>, currency: &str) -> Row {
        Row {
            key: std::iter::once(DimensionValue::plain(id.to_string())).collect(),
            currency: currency.parse().ok(),
            metrics: Metrics { clicks, ..Metrics::default() },
        }
    }

    fn ids(value: &serde_json::Value) -> Vec<String> {
        value["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| format!("{}{}", row["affiliate"]["id"], row["currency"]))
            .collect()
    }

    proptest! {
        #[test]
        fn pages_never_overlap_and_lose_nothing_under_any_sort(
            rows in proptest::collection::btree_map((0u16..60, prop_oneof!["USD", "EUR"]), proptest::option::of(0i64..5), 0..60),
            limit in 1usize..9,
            sort in prop_oneof![Just(""), Just("&sort=clicks"), Just("&sort=-clicks"), Just("&sort=affiliate"), Just("&sort=-affiliate"), Just("&sort=-cr")],
        ) {
            let rows: Vec<Row> = rows.iter().map(|((id, currency), clicks)| row(*id, *clicks, currency)).collect();
            let count = rows.len();
            let asked = asked(&format!("&limit={limit}{sort}"));
            let table = table(rows);
            let mut seen = Vec::new();
            let mut after: Option<Place> = None;
            loop {
                let written = table.page(&asked, after.as_ref(), |place| cursor::encode("x", place));
                let page: serde_json::Value = serde_json::from_slice(&written.body).expect("JSON");
                seen.extend(ids(&page));
                prop_assert!(seen.len() <= count);
                match page["next_cursor"].as_str() {
                    Some(next) => after = Some(cursor::decode("x", next).expect("a place")),
                    None => break,
                }
            }
            prop_assert_eq!(seen.len(), count);
            let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
            prop_assert_eq!(distinct.len(), count);
        }
    }

    #[test]
    fn an_order_is_sorted_once_and_the_latest_few_are_kept() {
        let table = table((0..9).map(|id| row(id, Some(i64::from(id % 3)), "USD")).collect());
        let order = |query: &str| {
            let asked = asked(query);
            table.order(asked.question.sort, &Layout::of(&asked, Perspective::Network))
        };
        let first = order("&sort=-clicks");
        assert_eq!(*first, [2, 5, 8, 1, 4, 7, 0, 3, 6]);
        assert!(Arc::ptr_eq(&first, &order("&sort=-clicks")));
        for sort in ["", "&sort=clicks", "&sort=affiliate", "&sort=-affiliate"] {
            assert_eq!(order(sort).len(), 9);
        }
        assert!(!Arc::ptr_eq(&first, &order("&sort=-clicks")));
        assert_eq!(table.orders.0.lock().expect("orders").len(), MAX_ORDERS);
    }

    #[test]
    fn currencies_are_never_added_together() {
        let table = table(vec![row(1, Some(2), "USD"), row(1, Some(3), "EUR"), row(2, Some(4), "USD")]);
        let asked = asked("&metrics=clicks");
        let written = table.page(&asked, None, |_| None);
        let page: serde_json::Value = serde_json::from_slice(&written.body).expect("JSON");
        assert_eq!(
            page["totals"],
            serde_json::json!([{"clicks": 3, "currency": "EUR"}, {"clicks": 6, "currency": "USD"}])
        );
    }
}
