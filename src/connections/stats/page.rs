//! Pages of sorted tables, as JSON.

use std::time::Instant;

use serde::Serialize;

use super::echo::QueryEcho;
use super::layout::{Layout, write_text};
use super::order::{RowPosition, is_not_after, sorted};
use super::query::Asked;
use super::sheet::{Part, Sheet};
use super::table::{Source, Table};
use super::tally::Integrity;
use crate::platforms::stats::{Warning, WarningCode};

/// A page of a sorted table as a response body.
pub struct Written {
    /// The JSON.
    pub body: Vec<u8>,
    /// How many of its bytes are the data: what follows only says when and how it was fetched.
    pub data_length: usize,
}

/// Writes the page after `after` of a table that is shown as it is.
pub fn of_table(
    table: &Table,
    asked: &Asked,
    after: Option<&RowPosition>,
    encode: impl Fn(&RowPosition) -> Option<String>,
) -> Written {
    let layout = Layout::of(asked, table.perspective);
    let order = table.order(asked.question.sort, &layout);
    let sheet = Sheet::plain(table, &layout);
    let mut body = Vec::new();
    member(&mut body, b'{', "connection", &table.connection);
    member(&mut body, b',', "query", &QueryEcho::of(asked, &table.terms));
    body.push(b',');
    rows(&sheet, &order, &layout, asked, after, encode, &mut body);
    member(&mut body, b',', "integrity", &table.tally.integrity());
    member(&mut body, b',', "warnings", &table.tally.warnings());
    let data_length = body.len();
    member(&mut body, b',', "fetched_at", &table.fetched_at);
    member(&mut body, b',', "source", &table.source);
    body.push(b'}');
    Written { body, data_length }
}

/// Writes the page after `after` of what is kept of one connection's rows, beside what they were before.
pub(super) fn of_part(
    part: &Part,
    asked: &Asked,
    after: Option<&RowPosition>,
    encode: impl Fn(&RowPosition) -> Option<String>,
) -> Written {
    let layout = Layout::of(asked, part.now.perspective);
    let sheet = Sheet::of(std::slice::from_ref(part), asked, false);
    let order = sorted(&sheet.rows, asked.question.sort, &layout);
    let mut body = Vec::new();
    member(&mut body, b'{', "connection", &part.now.connection);
    member(&mut body, b',', "query", &QueryEcho::of(asked, &part.now.terms));
    body.push(b',');
    rows(&sheet, &order, &layout, asked, after, encode, &mut body);
    member(&mut body, b',', "integrity", &integrity(part));
    member(&mut body, b',', "warnings", &warnings(part));
    let data_length = body.len();
    member(&mut body, b',', "fetched_at", &part.fetched_at());
    member(&mut body, b',', "source", &source(part));
    body.push(b'}');
    Written { body, data_length }
}

/// Writes `columns`, `rows`, `totals`, `row_count` and `next_cursor` of a page.
pub(super) fn rows(
    sheet: &Sheet<'_>,
    order: &[usize],
    layout: &Layout,
    asked: &Asked,
    after: Option<&RowPosition>,
    encode: impl Fn(&RowPosition) -> Option<String>,
    body: &mut Vec<u8>,
) {
    let row_at = |at: usize| sheet.rows.get(at);
    let start = match after {
        None => 0,
        Some(after) => order
            .partition_point(|at| row_at(*at).is_some_and(|row| is_not_after(row, after, asked.question.sort, layout))),
    };
    let end = start.saturating_add(asked.question.limit).min(order.len());
    let page = order.get(start..end).unwrap_or_default();
    let next = (end < order.len()).then(|| page.last().copied().and_then(row_at)).flatten();
    let next_cursor = next.and_then(|row| encode(&RowPosition::of(row, asked, layout)));
    body.reserve(1_024 + page.len() * 400);
    write_member("columns", &layout.columns(), body);
    body.extend_from_slice(b",\"rows\":[");
    for (place, at) in page.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        if let Some(row) = row_at(*at) {
            layout.write_json(row, sheet.before(*at), body);
        }
    }
    body.push(b']');
    member(body, b',', "totals", &layout.totals(&sheet.totals));
    member(body, b',', "row_count", &sheet.rows.len());
    member(body, b',', "next_cursor", &next_cursor);
}

/// What the platform says of the rows, and of those of before.
pub(super) fn integrity(part: &Part) -> Integrity {
    let previous = part.then.as_ref().map(|(_, then)| Box::new(then.tally.integrity()));
    Integrity { previous, ..part.now.tally.integrity() }
}

/// What should be known of both.
pub(super) fn warnings(part: &Part) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    for warning in part.tables().flat_map(|table| table.tally.warnings()) {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    let running = part.then.as_ref().filter(|(alignment, _)| alignment.is_running).map(|(alignment, _)| Warning {
        code: WarningCode::PeriodRunning,
        detail: format!(
            "The period is not over, so it is compared up to the same day: with {} to {}. The numbers of its last day are \
             those so far.",
            alignment.then.from(),
            alignment.then.to()
        ),
    });
    warnings.extend(running);
    warnings
}

/// What it took.
pub(super) fn source(part: &Part) -> Source {
    let calls = part.tables().map(|table| table.source.upstream_calls).fold(0, u32::saturating_add);
    let duration_ms = part.tables().map(|table| table.source.duration_ms).max().unwrap_or_default();
    Source { upstream_calls: calls, duration_ms }
}

impl Part {
    /// When the older of its tables was whole.
    pub(super) fn fetched_at(&self) -> jiff::Timestamp {
        self.tables().map(|table| table.fetched_at).min().unwrap_or(self.now.fetched_at)
    }

    /// The same moment on the clock that ages are measured by.
    pub(super) fn whole_at(&self) -> Instant {
        self.tables().map(|table| table.whole_at).min().unwrap_or(self.now.whole_at)
    }

    /// The version of the connection that the older of its tables was pulled through.
    pub(super) fn version(&self) -> i64 {
        self.tables().map(|table| table.version).min().unwrap_or(self.now.version)
    }

    /// How many rows there are in all.
    pub(super) fn row_count(&self) -> usize {
        self.tables().map(|table| table.rows.len()).sum()
    }
}

pub(super) fn member<T: Serialize>(out: &mut Vec<u8>, before: u8, key: &str, value: &T) {
    out.push(before);
    write_member(key, value, out);
}

fn write_member<T: Serialize>(key: &str, value: &T, out: &mut Vec<u8>) {
    write_text(key, out);
    out.push(b':');
    if serde_json::to_writer(&mut *out, value).is_err() {
        unreachable!("these values have a JSON form");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::table::MAX_ORDERS;
    use super::super::table::tests::table;
    use super::*;
    use crate::connections::cursor;
    use crate::connections::stats::query::tests::asked;
    use crate::platforms::stats::{DimensionValue, Metrics, Perspective, Row};

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
            let mut after: Option<RowPosition> = None;
            loop {
                let written = of_table(&table, &asked, after.as_ref(), |position| cursor::encode("x", position));
                let page: serde_json::Value = serde_json::from_slice(&written.body).expect("JSON");
                seen.extend(ids(&page));
                prop_assert!(seen.len() <= count);
                match page["next_cursor"].as_str() {
                    Some(next) => after = Some(cursor::decode("x", next).expect("a position")),
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
        assert_eq!(table.orders.len(), MAX_ORDERS);
    }

    #[test]
    fn currencies_are_never_added_together() {
        let table = table(vec![row(1, Some(2), "USD"), row(1, Some(3), "EUR"), row(2, Some(4), "USD")]);
        let asked = asked("&metrics=clicks");
        let written = of_table(&table, &asked, None, |_| None);
        let page: serde_json::Value = serde_json::from_slice(&written.body).expect("JSON");
        assert_eq!(
            page["totals"],
            serde_json::json!([{"clicks": 3, "currency": "EUR"}, {"clicks": 6, "currency": "USD"}])
        );
    }
}
