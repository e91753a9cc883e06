//! The columns that a question shows, and how rows and totals are written in them: as JSON and as CSV.

use std::collections::BTreeMap;
use std::io::Write;

use compact_str::CompactString;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use super::echo::QueryEcho;
use super::numbers::{Numbers, Totals};
use super::query::{Asked, Column};
use super::tally::{Integrity, Tally};
use crate::platforms::calendar::DateRange;
use crate::platforms::cycle::Cycle;
use crate::platforms::stats::{
    Currency, Dimension, DimensionValue, Metric, MetricType, MetricValue, Metrics, Perspective, Row, Warning,
};

/// The key of the column that says which connection a row is of.
pub const CONNECTION: &str = "connection";
const PREVIOUS: &str = "previous";
const CHANGE: &str = "change";

/// What a column is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// A dimension.
    Dimension,
    /// A metric.
    Metric,
    /// All metrics of the period compared with, or how far those of now are from them.
    Comparison,
    /// The currency of the row's money.
    Currency,
}

/// A column of the table.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ColumnInfo {
    /// The key in rows.
    #[schema(example = "clicks")]
    pub key: &'static str,
    /// What it is.
    pub kind: ColumnKind,
    /// How a metric is written.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub metric_type: Option<MetricType>,
    /// The heading.
    #[schema(example = "Clicks")]
    pub label: &'static str,
}

/// The columns a question shows, and how.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Dimensions first, after the connection where rows are of several.
    pub dimensions: Vec<Dimension>,
    /// Then metrics.
    pub metrics: Vec<Metric>,
    /// The names of those as they stand in each row.
    names: Vec<String>,
    /// Whose point of view the money has.
    perspective: Perspective,
    /// The same of each connection, where rows are of several.
    perspectives: Option<BTreeMap<CompactString, Perspective>>,
    /// Whether each row stands beside what it was before.
    compares: bool,
    /// The days asked about, and the one on which they are.
    range: DateRange,
    today: Date,
}

impl Layout {
    /// The layout of a question.
    pub fn of(asked: &Asked, perspective: Perspective) -> Self {
        let metrics = asked.question.metrics.clone().unwrap_or_else(|| Metric::ALL.to_vec());
        let names = metrics.iter().map(|metric| format!("\"{metric}\":")).collect();
        Self {
            dimensions: asked.question.group_by.clone(),
            metrics,
            names,
            perspective,
            perspectives: None,
            compares: asked.question.compare.is_some(),
            range: asked.range,
            today: asked.today,
        }
    }

    /// The layout of a question to several connections, by their ids.
    pub(super) fn of_several(asked: &Asked, perspectives: BTreeMap<CompactString, Perspective>) -> Self {
        Self { perspectives: Some(perspectives), ..Self::of(asked, Perspective::Network) }
    }

    /// Whether rows are of several connections.
    pub(super) fn is_of_several(&self) -> bool {
        self.perspectives.is_some()
    }

    /// Whose point of view the money of a row has.
    pub(super) fn perspective(&self, row: &Row) -> Perspective {
        let known = self.perspectives.as_ref().zip(row.key.first());
        known.and_then(|(known, connection)| known.get(&connection.id)).copied().unwrap_or(self.perspective)
    }

    /// A metric of a row.
    pub(super) fn get(&self, row: &Row, metric: Metric) -> Option<MetricValue> {
        row.metrics.get(metric, self.perspective(row))
    }

    /// The place in a row's key of a column.
    pub(super) fn place(&self, column: Column) -> Option<usize> {
        match column {
            Column::Connection => self.perspectives.as_ref().map(|_| 0),
            Column::Dimension(dimension) => {
                let place = self.dimensions.iter().position(|known| *known == dimension)?;
                Some(place + usize::from(self.perspectives.is_some()))
            }
            Column::Metric(_) => None,
        }
    }

    /// The keys of the columns of a row's key, each with its weeks or months.
    fn headings(&self) -> impl Iterator<Item = (&'static str, Option<Cycle>)> {
        let connection = self.perspectives.as_ref().map(|_| (CONNECTION, None));
        connection.into_iter().chain(self.dimensions.iter().map(|dimension| (dimension.key(), Cycle::of(*dimension))))
    }

    /// Whether a week or month is cut by the range, or is not over.
    fn is_partial(&self, cycle: Cycle, id: &str) -> bool {
        cycle.days(id).is_some_and(|days| {
            !(self.range.contains(days.from()) && self.range.contains(days.to())) || days.to() >= self.today
        })
    }

    pub(super) fn columns(&self) -> Vec<ColumnInfo> {
        let plain = |key, kind, label| ColumnInfo { key, kind, metric_type: None, label };
        let connection = self.perspectives.as_ref().map(|_| plain(CONNECTION, ColumnKind::Dimension, "Connection"));
        let dimensions =
            self.dimensions.iter().map(|dimension| plain(dimension.key(), ColumnKind::Dimension, dimension.label()));
        let metrics = self.metrics.iter().map(|metric| ColumnInfo {
            key: metric.key(),
            kind: ColumnKind::Metric,
            metric_type: Some(metric.metric_type()),
            label: metric.label(),
        });
        let compared = [(PREVIOUS, "Previous"), (CHANGE, "Change")].into_iter().filter(|_| self.compares);
        let compared = compared.map(|(key, label)| plain(key, ColumnKind::Comparison, label));
        let currency = plain("currency", ColumnKind::Currency, "Currency");
        connection.into_iter().chain(dimensions).chain(metrics).chain(compared).chain([currency]).collect()
    }

    /// Writes a row as one JSON object, beside what it was before.
    pub fn write_json(&self, row: &Row, then: Option<&Metrics>, out: &mut Vec<u8>) {
        self.write_key(row, out);
        let (now, then) = self.numbers(row, then);
        self.write_metrics(now, row.currency, out);
        if let Some(then) = then {
            self.write_comparison(now, then, out);
        }
        out.push(b'}');
    }

    /// Writes a row as one JSON object with no metric deeper than its top.
    pub fn write_line(&self, row: &Row, then: Option<&Metrics>, out: &mut Vec<u8>) {
        self.write_key(row, out);
        let (now, then) = self.numbers(row, then);
        self.write_metrics(now, row.currency, out);
        if let Some(then) = then {
            for metric in &self.metrics {
                out.extend_from_slice(b",\"previous_");
                out.extend_from_slice(metric.key().as_bytes());
                out.extend_from_slice(b"\":");
                write_value(then.get(*metric), out);
                out.extend_from_slice(b",\"change_");
                out.extend_from_slice(metric.key().as_bytes());
                out.extend_from_slice(b"\":");
                write_value(now.change(&then, *metric).map(MetricValue::Decimal), out);
            }
        }
        out.push(b'}');
    }

    fn numbers<'a>(&self, row: &'a Row, then: Option<&'a Metrics>) -> (Numbers<'a>, Option<Numbers<'a>>) {
        let perspective = self.perspective(row);
        let numbers = |metrics| Numbers::Of(metrics, perspective);
        (numbers(&row.metrics), then.map(numbers))
    }

    fn write_key(&self, row: &Row, out: &mut Vec<u8>) {
        out.push(b'{');
        for ((key, cycle), value) in self.headings().zip(&row.key) {
            write_key(key, out);
            out.extend_from_slice(b"{\"id\":");
            write_text(&value.id, out);
            out.extend_from_slice(b",\"name\":");
            write_text(&value.name, out);
            if let Some(cycle) = cycle {
                let partial: &[u8] = if self.is_partial(cycle, &value.id) { b"true" } else { b"false" };
                out.extend_from_slice(b",\"partial\":");
                out.extend_from_slice(partial);
            }
            out.extend_from_slice(b"},");
        }
    }

    fn write_metrics(&self, numbers: Numbers<'_>, currency: Option<Currency>, out: &mut Vec<u8>) {
        for (metric, name) in self.metrics.iter().zip(&self.names) {
            out.extend_from_slice(name.as_bytes());
            write_value(numbers.get(*metric), out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"currency\":");
        match currency {
            None => out.extend_from_slice(b"null"),
            Some(code) => write_text(code.as_str(), out),
        }
    }

    fn write_comparison(&self, now: Numbers<'_>, then: Numbers<'_>, out: &mut Vec<u8>) {
        let write = |key: &str, value: &dyn Fn(Metric) -> Option<MetricValue>, out: &mut Vec<u8>| {
            out.push(b',');
            write_key(key, out);
            for (place, metric) in self.metrics.iter().enumerate() {
                out.push(if place == 0 { b'{' } else { b',' });
                write_key(metric.key(), out);
                write_value(value(*metric), out);
            }
            out.push(b'}');
        };
        write(PREVIOUS, &|metric| then.get(metric), out);
        write(CHANGE, &|metric| now.change(&then, metric).map(MetricValue::Decimal), out);
    }

    pub(super) fn totals(&self, totals: &Totals) -> Box<serde_json::value::RawValue> {
        let mut out = b"[".to_vec();
        for (place, (currency, total)) in totals.0.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.push(b'{');
            let now = Numbers::Sum(&total.now);
            self.write_metrics(now, *currency, &mut out);
            if let Some(then) = &total.then {
                self.write_comparison(now, Numbers::Sum(then), &mut out);
            }
            out.push(b'}');
        }
        out.push(b']');
        raw(out)
    }

    /// The totals of a table that is shown as it is.
    pub(super) fn plain_totals(&self, tally: &Tally) -> Totals {
        Totals::of(tally, self.perspective)
    }

    /// The header line of a CSV file.
    pub fn csv_header(&self) -> Vec<String> {
        let dimensions = self.headings().flat_map(|(key, cycle)| {
            let partial = cycle.map(|_| format!("{key}_partial"));
            [format!("{key}_id"), format!("{key}_name")].into_iter().chain(partial)
        });
        let metrics = self.metrics.iter().flat_map(|metric| {
            let compared = ["previous_", "change_"].into_iter().filter(|_| self.compares);
            let compared = compared.map(|prefix| format!("{prefix}{metric}"));
            std::iter::once(metric.key().to_owned()).chain(compared).collect::<Vec<_>>()
        });
        dimensions.chain(metrics).chain(["currency".to_owned()]).collect()
    }

    /// The fields of a row in a CSV file; what is not known is empty.
    pub fn csv_fields(&self, row: &Row, then: Option<&Metrics>) -> Vec<String> {
        let mut fields = Vec::with_capacity(2 * row.key.len() + 3 * self.metrics.len() + 1);
        for ((_, cycle), DimensionValue { id, name }) in self.headings().zip(&row.key) {
            fields.extend([formula_safe(id), formula_safe(name)]);
            fields.extend(cycle.map(|cycle| self.is_partial(cycle, id).to_string()));
        }
        let (now, then) = self.numbers(row, then);
        for metric in &self.metrics {
            fields.push(field(now.get(*metric), metric.metric_type()));
            if let Some(then) = &then {
                let change = now.change(then, *metric).map(MetricValue::Decimal);
                fields.extend([field(then.get(*metric), metric.metric_type()), field(change, MetricType::Ratio)]);
            }
        }
        fields.push(row.currency.map(|code| code.as_str().to_owned()).unwrap_or_default());
        fields
    }

    /// The last line of an NDJSON stream of a table that is shown as it is.
    pub fn plain_summary(&self, query: &QueryEcho, tally: &Tally) -> Vec<u8> {
        self.summary(&Summary::of(query, tally), &self.plain_totals(tally))
    }

    /// The last line of an NDJSON stream, with what further members it has.
    pub(super) fn summary(&self, summary: &Summary<'_>, totals: &Totals) -> Vec<u8> {
        #[derive(Serialize)]
        struct Line<'a> {
            summary: Written<'a>,
        }
        #[derive(Serialize)]
        struct Written<'a> {
            totals: Box<serde_json::value::RawValue>,
            #[serde(flatten)]
            summary: &'a Summary<'a>,
        }
        let line = Line { summary: Written { totals: self.totals(totals), summary } };
        serde_json::to_vec(&line).unwrap_or_default()
    }
}

/// What the last line of an NDJSON stream says beside the totals.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    /// The question as it was answered.
    pub(super) query: &'a QueryEcho,
    pub(super) row_count: usize,
    /// Of a single connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) integrity: Option<Integrity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) warnings: Option<Vec<Warning>>,
    /// Of several: each with its own, and those that could not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connections: Option<&'a [serde_json::Value]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failures: Option<&'a [serde_json::Value]>,
}

impl<'a> Summary<'a> {
    /// That of one connection's table.
    pub(super) fn of(query: &'a QueryEcho, tally: &Tally) -> Self {
        Self {
            query,
            row_count: tally.row_count(),
            integrity: Some(tally.integrity()),
            warnings: Some(tally.warnings()),
            connections: None,
            failures: None,
        }
    }
}

fn field(value: Option<MetricValue>, metric_type: MetricType) -> String {
    match value {
        None => String::new(),
        Some(MetricValue::Integer(count)) => count.to_string(),
        Some(MetricValue::Decimal(number)) => evenly_written(number, metric_type),
    }
}

fn write_value(value: Option<MetricValue>, out: &mut Vec<u8>) {
    match value {
        None => out.extend_from_slice(b"null"),
        Some(MetricValue::Integer(count)) => write_integer(count, out),
        Some(MetricValue::Decimal(number)) => {
            out.push(b'"');
            write_decimal(number, out);
            out.push(b'"');
        }
    }
}

/// A number with as many decimals in every cell of its column. Spreadsheets take a point before three digits for a
/// thousands mark in some languages, and readers that guess a column's type by its first rows guess wrong.
fn evenly_written(mut number: Decimal, metric_type: MetricType) -> String {
    let decimals = match metric_type {
        MetricType::Integer => 0,
        MetricType::Money => 4,
        MetricType::Ratio => 6,
    };
    if number.scale() < decimals {
        number.rescale(decimals);
    }
    number.to_string()
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

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
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
    let length = digits.ilog10() as usize + 1;
    if length > scale {
        let _ = serde_json::to_writer(&mut *out, &digits);
        if scale > 0 {
            out.insert(out.len() - scale, b'.');
        }
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', scale - length));
        let _ = serde_json::to_writer(&mut *out, &digits);
    }
}

fn raw(json: Vec<u8>) -> Box<serde_json::value::RawValue> {
    String::from_utf8(json)
        .ok()
        .and_then(|text| serde_json::value::RawValue::from_string(text).ok())
        .unwrap_or_else(|| unreachable!("only JSON is written here"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::connections::stats::query::tests::asked;

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

    #[test]
    fn a_column_of_money_or_ratios_has_decimals_that_nobody_takes_for_thousands() {
        for (number, money, ratio) in [
            ("360", "360.0000", "360.000000"),
            ("152.5", "152.5000", "152.500000"),
            ("-104.975", "-104.9750", "-104.975000"),
            ("0", "0.0000", "0.000000"),
            ("0.1234567", "0.1234567", "0.1234567"),
            ("79228162514264337593543950335", "79228162514264337593543950335", "79228162514264337593543950335"),
        ] {
            let number: Decimal = number.parse().expect("a number");
            assert_eq!(evenly_written(number, MetricType::Money), money);
            assert_eq!(evenly_written(number, MetricType::Ratio), ratio);
        }
    }

    proptest! {
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
            let asked = asked("metrics=clicks");
            let layout = Layout::of(&asked, Perspective::Network);
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(layout.csv_header()).expect("a header");
            for (id, name) in names.iter().enumerate() {
                let mut row = row(id);
                row.key[0].name = name.as_str().into();
                writer.write_record(layout.csv_fields(&row, None)).expect("a record");
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

    fn row(id: usize) -> Row {
        Row {
            key: std::iter::once(DimensionValue::plain(id.to_string())).collect(),
            currency: "USD".parse().ok(),
            metrics: Metrics { clicks: Some(1), ..Metrics::default() },
        }
    }
}
