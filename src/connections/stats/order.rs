//! The order of a table's rows, and places in it that a cursor names.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::query::{Asked, Column, Sort};
use crate::platforms::calendar::DateRange;
use crate::platforms::stats::{Currency, MetricType, MetricValue, Row};

/// A position in a sorted table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPosition {
    /// The sorted column's value, if it is a metric.
    v: Option<String>,
    /// The ids of the group key.
    k: Vec<String>,
    /// The currency.
    c: Option<String>,
    /// The days that the table covers: a preset means the same days on every page.
    from: String,
    to: String,
}

impl RowPosition {
    /// The position of a row.
    pub(super) fn of(row: &Row, asked: &Asked, layout: &Layout) -> Self {
        let value = match asked.question.sort {
            Some(Sort { column: Column::Metric(metric), .. }) => layout.get(row, metric),
            _ => None,
        };
        Self {
            v: value.map(|value| match value {
                MetricValue::Integer(count) => count.to_string(),
                MetricValue::Decimal(number) => number.to_string(),
            }),
            k: row.key.iter().map(|value| value.id.to_string()).collect(),
            c: row.currency.map(|code| code.as_str().to_owned()),
            from: asked.range.from().to_string(),
            to: asked.range.to().to_string(),
        }
    }

    /// The days the table covers.
    pub fn days(&self) -> Option<DateRange> {
        DateRange::new(self.from.parse().ok()?, self.to.parse().ok()?)
    }
}

/// The places of rows, sorted.
pub(super) type Order = Arc<[usize]>;

/// The places of rows in the order asked for.
pub(super) fn sorted(rows: &[Row], sort: Option<Sort>, layout: &Layout) -> Order {
    let value = |row: &Row| match sort {
        Some(Sort { column: Column::Metric(metric), .. }) => layout.get(row, metric),
        Some(Sort { column: Column::Dimension(_) | Column::Connection, .. }) | None => None,
    };
    // Derived values are worked out once for each row, not for each comparison.
    let mut places: Vec<(usize, Option<MetricValue>, &Row)> =
        rows.iter().enumerate().map(|(place, row)| (place, value(row), row)).collect();
    match sort {
        Some(Sort { column: Column::Metric(_), descending }) => places.sort_by(|(_, a, one), (_, b, other)| {
            compare_values(*a, *b, descending).then_with(|| compare_keys(one, other))
        }),
        sort => places.sort_by(|(_, _, one), (_, _, other)| compare(one, other, sort, layout)),
    }
    places.into_iter().map(|(place, _, _)| place).collect()
}

/// The order of two rows: by the sorted column (unknown values last), then by the group key and currency.
pub fn compare(a: &Row, b: &Row, sort: Option<Sort>, layout: &Layout) -> Ordering {
    let by_column = match sort {
        None => Ordering::Equal,
        Some(Sort { column: Column::Metric(metric), descending }) => {
            compare_values(layout.get(a, metric), layout.get(b, metric), descending)
        }
        Some(Sort { column: column @ (Column::Dimension(_) | Column::Connection), descending }) => {
            let place = layout.place(column);
            let id = |row: &Row| place.and_then(|place| row.key.get(place)).map(|value| value.id.clone());
            let order = compare_ids(&id(a).unwrap_or_default(), &id(b).unwrap_or_default());
            if descending { order.reverse() } else { order }
        }
    };
    by_column.then_with(|| compare_keys(a, b))
}

pub(super) fn compare_values(a: Option<MetricValue>, b: Option<MetricValue>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

pub(super) fn compare_keys(a: &Row, b: &Row) -> Ordering {
    let by_ids = a
        .key
        .iter()
        .zip(&b.key)
        .map(|(a, b)| compare_ids(&a.id, &b.id))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal);
    by_ids.then_with(|| a.currency.cmp(&b.currency))
}

/// Ids that are numbers compare as numbers, before all others; the rest as text.
fn compare_ids(a: &str, b: &str) -> Ordering {
    let number = |id: &str| !id.is_empty() && id.len() <= 30 && id.bytes().all(|byte| byte.is_ascii_digit());
    match (number(a), number(b)) {
        (true, true) => {
            let (plain_a, plain_b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            plain_a.len().cmp(&plain_b.len()).then_with(|| plain_a.cmp(plain_b)).then_with(|| a.cmp(b))
        }
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

/// Whether a row stands at or before a position. The row of the position itself may be gone: the table may have been
/// pulled again since.
pub(super) fn is_not_after(row: &Row, position: &RowPosition, sort: Option<Sort>, layout: &Layout) -> bool {
    let by_column = match sort {
        Some(Sort { column: Column::Metric(metric), descending }) => {
            let value = position.v.as_deref().and_then(|text| match metric.metric_type() {
                MetricType::Integer => text.parse().ok().map(MetricValue::Integer),
                MetricType::Money | MetricType::Ratio => text.parse().ok().map(MetricValue::Decimal),
            });
            compare_values(layout.get(row, metric), value, descending)
        }
        Some(Sort { column: column @ (Column::Dimension(_) | Column::Connection), descending }) => {
            let at = layout.place(column).unwrap_or_default();
            let (own, other) = (row.key.get(at), position.k.get(at));
            let order = match own.zip(other) {
                Some((own, other)) => compare_ids(&own.id, other),
                None => Ordering::Equal,
            };
            if descending { order.reverse() } else { order }
        }
        None => Ordering::Equal,
    };
    let by_key = || {
        row.key
            .iter()
            .zip(&position.k)
            .map(|(own, other)| compare_ids(&own.id, other))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    let by_currency = || {
        let currency = position.c.as_deref().and_then(|code| code.parse::<Currency>().ok());
        row.currency.cmp(&currency)
    };
    by_column.then_with(by_key).then_with(by_currency).is_le()
}
