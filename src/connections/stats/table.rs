//! A pulled table, and the three forms it is written in.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::{Asked, Column, Sort};
use crate::platforms::calendar::Preset;
use crate::platforms::stats::{
    Batch, Check, Currency, Dimension, DimensionValue, Metric, MetricType, MetricValue, Metrics, Perspective, Row,
    Warning,
};
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

/// What a column is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// A dimension.
    Dimension,
    /// A metric.
    Metric,
}

/// A column of the table.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ColumnInfo {
    /// The key in rows.
    #[schema(example = "clicks")]
    pub key: &'static str,
    /// Dimension or metric.
    pub kind: ColumnKind,
    /// How a metric is written.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub metric_type: Option<MetricType>,
    /// The heading.
    #[schema(example = "Clicks")]
    pub label: &'static str,
}

/// What the platform's own totals and counts say of the rows.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Integrity {
    /// Whether there was anything to hold the rows against.
    pub checked: bool,
    /// Whether it agreed; `null` if nothing was checked.
    #[schema(required)]
    pub matches: Option<bool>,
    /// What differs.
    #[schema(required)]
    pub detail: Option<String>,
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

/// What everything in the table adds up to, gathered row by row.
#[derive(Debug, Default)]
pub struct Tally {
    totals: BTreeMap<Option<Currency>, Metrics>,
    row_count: usize,
    checks: Vec<Check>,
    warnings: Vec<Warning>,
}

impl Tally {
    /// Takes a batch in.
    pub fn add(&mut self, batch: &mut Batch) {
        for row in &batch.rows {
            let sum = self.totals.entry(row.currency).or_insert(Metrics::ZERO);
            *sum = sum.add(&row.metrics);
        }
        self.row_count += batch.rows.len();
        self.checks.append(&mut batch.checks);
        for warning in batch.warnings.drain(..) {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// The checks so far.
    pub(super) fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The warnings so far.
    pub(super) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn integrity(&self) -> Integrity {
        let mismatches: Vec<&str> = self.checks.iter().filter_map(|check| check.mismatch.as_deref()).collect();
        Integrity {
            checked: !self.checks.is_empty(),
            matches: (!self.checks.is_empty()).then_some(mismatches.is_empty()),
            detail: (!mismatches.is_empty()).then(|| mismatches.join(" ")),
        }
    }
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

/// A place in a sorted table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
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

impl Place {
    /// The days the table covers.
    #[must_use]
    pub fn days(&self) -> Option<crate::platforms::calendar::DateRange> {
        crate::platforms::calendar::DateRange::new(self.from.parse().ok()?, self.to.parse().ok()?)
    }
}

/// The columns a question shows, and how.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Dimensions first.
    pub dimensions: Vec<Dimension>,
    /// Then metrics.
    pub metrics: Vec<Metric>,
    /// Whose point of view the money has.
    pub perspective: Perspective,
}

impl Layout {
    /// The layout of a question.
    #[must_use]
    pub fn of(asked: &Asked, perspective: Perspective) -> Self {
        let metrics = asked.question.metrics.clone().unwrap_or_else(|| Metric::ALL.to_vec());
        Self { dimensions: asked.question.group_by.clone(), metrics, perspective }
    }

    fn columns(&self) -> Vec<ColumnInfo> {
        let dimensions = self.dimensions.iter().map(|dimension| ColumnInfo {
            key: dimension.key(),
            kind: ColumnKind::Dimension,
            metric_type: None,
            label: dimension.label(),
        });
        let metrics = self.metrics.iter().map(|metric| ColumnInfo {
            key: metric.key(),
            kind: ColumnKind::Metric,
            metric_type: Some(metric.metric_type()),
            label: metric.label(),
        });
        dimensions.chain(metrics).collect()
    }

    /// Writes a row as one JSON object.
    pub fn write_json(&self, row: &Row, out: &mut Vec<u8>) {
        out.push(b'{');
        for (dimension, value) in self.dimensions.iter().zip(&row.key) {
            write_key(dimension.key(), out);
            out.extend_from_slice(b"{\"id\":");
            write_text(&value.id, out);
            out.extend_from_slice(b",\"name\":");
            write_text(&value.name, out);
            out.extend_from_slice(b"},");
        }
        self.write_metrics(&row.metrics, row.currency, out);
        out.push(b'}');
    }

    fn write_metrics(&self, metrics: &Metrics, currency: Option<Currency>, out: &mut Vec<u8>) {
        for metric in &self.metrics {
            write_key(metric.key(), out);
            match metrics.get(*metric, self.perspective) {
                None => out.extend_from_slice(b"null"),
                Some(MetricValue::Integer(count)) => write_integer(count, out),
                Some(MetricValue::Decimal(number)) => {
                    out.push(b'"');
                    write_decimal(number, out);
                    out.push(b'"');
                }
            }
            out.push(b',');
        }
        out.extend_from_slice(b"\"currency\":");
        match currency {
            None => out.extend_from_slice(b"null"),
            Some(code) => write_text(code.as_str(), out),
        }
    }

    fn totals(&self, tally: &Tally) -> Box<serde_json::value::RawValue> {
        let mut out = b"[".to_vec();
        for (place, (currency, metrics)) in tally.totals.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.push(b'{');
            self.write_metrics(metrics, *currency, &mut out);
            out.push(b'}');
        }
        out.push(b']');
        raw(out)
    }

    /// The header line of a CSV file.
    #[must_use]
    pub fn csv_header(&self) -> Vec<String> {
        let dimensions =
            self.dimensions.iter().flat_map(|dimension| [format!("{dimension}_id"), format!("{dimension}_name")]);
        let metrics = self.metrics.iter().map(|metric| metric.key().to_owned());
        dimensions.chain(metrics).chain(["currency".to_owned()]).collect()
    }

    /// The fields of a row in a CSV file; what is not known is empty.
    #[must_use]
    pub fn csv_fields(&self, row: &Row) -> Vec<String> {
        let dimensions = row
            .key
            .iter()
            .take(self.dimensions.len())
            .flat_map(|DimensionValue { id, name }| [formula_safe(id), formula_safe(name)]);
        let metrics = self.metrics.iter().map(|metric| match row.metrics.get(*metric, self.perspective) {
            None => String::new(),
            Some(MetricValue::Integer(count)) => count.to_string(),
            Some(MetricValue::Decimal(number)) => number.to_string(),
        });
        let currency = row.currency.map(|code| code.as_str().to_owned()).unwrap_or_default();
        dimensions.chain(metrics).chain([currency]).collect()
    }

    /// The last line of an NDJSON stream.
    #[must_use]
    pub fn summary(&self, tally: &Tally) -> Vec<u8> {
        #[derive(Serialize)]
        struct Line<'a> {
            summary: Summary<'a>,
        }
        #[derive(Serialize)]
        struct Summary<'a> {
            totals: Box<serde_json::value::RawValue>,
            row_count: usize,
            integrity: Integrity,
            warnings: &'a [Warning],
        }
        let line = Line {
            summary: Summary {
                totals: self.totals(tally),
                row_count: tally.row_count,
                integrity: tally.integrity(),
                warnings: &tally.warnings,
            },
        };
        serde_json::to_vec(&line).unwrap_or_default()
    }
}

/// What a spreadsheet takes for a formula is defused with an apostrophe: some skip blanks before it, and some take
/// full-width signs for plain ones.
fn formula_safe(text: &str) -> String {
    let shown =
        text.trim_start_matches(|letter: char| letter.is_whitespace() || letter.is_control() || letter == '\u{feff}');
    let is_formula =
        shown.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) || text.starts_with(['\t', '\r', '\n']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, and a string has a JSON form.
    let _ = serde_json::to_writer(out, text);
}

/// A key of ours, which has nothing to escape, and the colon.
fn write_key(key: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_integer(number: i64, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, &number);
}

/// Writes what `Display` does, but the usual numbers without its detour over single digits.
fn write_decimal(number: Decimal, out: &mut Vec<u8>) {
    let scale = number.scale() as usize;
    let Some(digits) = u64::try_from(number.mantissa().unsigned_abs()).ok().filter(|digits| *digits > 0) else {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{number}");
        return;
    };
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let start = out.len();
    let _ = serde_json::to_writer(&mut *out, &digits);
    if scale > 0 {
        let missing = (start + scale + 1).saturating_sub(out.len());
        out.splice(start..start, std::iter::repeat_n(b'0', missing));
        out.insert(out.len() - scale, b'.');
    }
}

fn raw(json: Vec<u8>) -> Box<serde_json::value::RawValue> {
    String::from_utf8(json)
        .ok()
        .and_then(|text| serde_json::value::RawValue::from_string(text).ok())
        .unwrap_or_else(|| unreachable!("only JSON is written here"))
}

/// The order of two rows: by the sorted column (unknown values last), then by the group key and currency.
#[must_use]
pub fn compare(a: &Row, b: &Row, sort: Option<Sort>, layout: &Layout) -> Ordering {
    let by_column = match sort {
        None => Ordering::Equal,
        Some(Sort { column: Column::Metric(metric), descending }) => compare_values(
            a.metrics.get(metric, layout.perspective),
            b.metrics.get(metric, layout.perspective),
            descending,
        ),
        Some(Sort { column: Column::Dimension(dimension), descending }) => {
            let id = |row: &Row| {
                let place = layout.dimensions.iter().position(|known| *known == dimension)?;
                row.key.get(place).map(|value| value.id.clone())
            };
            let order = compare_ids(&id(a).unwrap_or_default(), &id(b).unwrap_or_default());
            if descending { order.reverse() } else { order }
        }
    };
    by_column.then_with(|| compare_keys(a, b))
}

fn compare_values(a: Option<MetricValue>, b: Option<MetricValue>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

fn compare_keys(a: &Row, b: &Row) -> Ordering {
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
                self.rows.get(*at).is_some_and(|row| self.is_not_after(row, after, asked, &layout))
            }),
        };
        let end = start.saturating_add(asked.question.limit).min(order.len());
        let next = (end < order.len()).then(|| sorted(end.saturating_sub(1))).flatten();
        let next_cursor = next.and_then(|row| encode(&self.place_of(row, asked, &layout)));

        let mut body = Vec::with_capacity(1_024 + (end - start) * 400);
        let filters = asked
            .question
            .filters
            .iter()
            .map(|(dimension, ids)| (dimension.key(), ids.iter().map(ToString::to_string).collect()))
            .collect();
        let preset = match asked.question.period {
            super::query::Period::Preset(preset) => Some(preset),
            super::query::Period::Days(_) => None,
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
        member(&mut body, b',', "row_count", &self.tally.row_count);
        member(&mut body, b',', "next_cursor", &next_cursor);
        member(&mut body, b',', "integrity", &self.tally.integrity());
        member(&mut body, b',', "warnings", &self.tally.warnings);
        let data_length = body.len();
        member(&mut body, b',', "fetched_at", &self.fetched_at);
        member(&mut body, b',', "source", &self.source);
        body.push(b'}');
        Written { body, data_length }
    }

    fn place_of(&self, row: &Row, asked: &Asked, layout: &Layout) -> Place {
        let value = match asked.question.sort {
            Some(Sort { column: Column::Metric(metric), .. }) => row.metrics.get(metric, layout.perspective),
            _ => None,
        };
        Place {
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

    /// Whether a row stands at or before a place. The row of the place itself may be gone: the table may have been
    /// pulled again since.
    fn is_not_after(&self, row: &Row, place: &Place, asked: &Asked, layout: &Layout) -> bool {
        let by_column = match asked.question.sort {
            Some(Sort { column: Column::Metric(metric), descending }) => {
                let value = place.v.as_deref().and_then(|text| match metric.metric_type() {
                    MetricType::Integer => text.parse().ok().map(MetricValue::Integer),
                    MetricType::Money | MetricType::Ratio => text.parse().ok().map(MetricValue::Decimal),
                });
                compare_values(row.metrics.get(metric, layout.perspective), value, descending)
            }
            Some(Sort { column: Column::Dimension(dimension), descending }) => {
                let at = layout.dimensions.iter().position(|known| *known == dimension).unwrap_or_default();
                let (own, other) = (row.key.get(at), place.k.get(at));
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
                .zip(&place.k)
                .map(|(own, other)| compare_ids(&own.id, other))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        let by_currency = || {
            let currency = place.c.as_deref().and_then(|code| code.parse::<Currency>().ok());
            row.currency.cmp(&currency)
        };
        by_column.then_with(by_key).then_with(by_currency).is_le()
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
    use crate::connections::stats::query::Question;

    #[test]
    fn nothing_that_a_spreadsheet_would_run_is_written_plain() {
        for formula in
            ["=1", "+1", "-1", "@x", "\t1", "\r=1", "\n1", " =1", "\u{a0}@x", "\u{feff}=1", "＝1", "＋1", "－1", "＠x"]
        {
            assert_eq!(formula_safe(formula), format!("'{formula}"));
        }
        for plain in ["", "1", "Offer = 1", "x\t=1", "№ 5", " offer"] {
            assert_eq!(formula_safe(plain), plain);
        }
    }

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

    fn asked(query: &str) -> Asked {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Question::read(&pairs, true).expect("a question").at(Timestamp::UNIX_EPOCH)
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
            let asked = asked(&format!("group_by=affiliate&from=2026-01-01&to=2026-01-02&limit={limit}{sort}"));
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

        #[test]
        fn decimals_are_written_as_they_are_displayed(mantissa in any::<i128>(), size in 0u32..128, scale in 0u32..=28) {
            if let Ok(number) = Decimal::try_from_i128_with_scale(mantissa >> size, scale) {
                let mut out = Vec::new();
                write_decimal(number, &mut out);
                prop_assert_eq!(String::from_utf8_lossy(&out), number.to_string());
            }
        }

        #[test]
        fn csv_comes_back_as_it_was_but_for_the_apostrophe(names in proptest::collection::vec("\\PC{0,20}", 1..6)) {
            let asked = asked("group_by=affiliate&from=2026-01-01&to=2026-01-02&metrics=clicks");
            let layout = Layout::of(&asked, Perspective::Network);
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(layout.csv_header()).expect("a header");
            for (id, name) in names.iter().enumerate() {
                let mut row = row(u16::try_from(id).expect("few"), Some(1), "USD");
                row.key[0].name = name.as_str().into();
                writer.write_record(layout.csv_fields(&row)).expect("a record");
            }
            let text = writer.into_inner().expect("bytes");
            let mut reader = csv::Reader::from_reader(text.as_slice());
            for (record, name) in reader.records().zip(&names) {
                let record = record.expect("a record");
                let field = &record[1];
                prop_assert!(!field.starts_with(['=', '+', '-', '@']));
                prop_assert_eq!(field.strip_prefix('\'').filter(|_| !name.starts_with('\'')).unwrap_or(field), name);
            }
        }
    }

    #[test]
    fn an_order_is_sorted_once_and_the_latest_few_are_kept() {
        let table = table((0..9).map(|id| row(id, Some(i64::from(id % 3)), "USD")).collect());
        let order = |query: &str| {
            let asked = asked(&format!("group_by=affiliate&from=2026-01-01&to=2026-01-02{query}"));
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
        let asked = asked("group_by=affiliate&from=2026-01-01&to=2026-01-02&metrics=clicks");
        let written = table.page(&asked, None, |_| None);
        let page: serde_json::Value = serde_json::from_slice(&written.body).expect("JSON");
        assert_eq!(
            page["totals"],
            serde_json::json!([{"clicks": 3, "currency": "EUR"}, {"clicks": 6, "currency": "USD"}])
        );
    }
}
