//! The columns that a question shows, and how rows and totals are written in them: as JSON and as CSV.

use std::io::Write;

use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Asked;
use super::tally::{Integrity, Tally};
use crate::platforms::stats::{
    Currency, Dimension, DimensionValue, Metric, MetricType, MetricValue, Metrics, Perspective, Row, Warning,
};

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

    pub(super) fn columns(&self) -> Vec<ColumnInfo> {
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

    pub(super) fn totals(&self, tally: &Tally) -> Box<serde_json::value::RawValue> {
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
            Some(MetricValue::Decimal(number)) => evenly_written(number, metric.metric_type()),
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
                row_count: tally.row_count(),
                integrity: tally.integrity(),
                warnings: tally.warnings(),
            },
        };
        serde_json::to_vec(&line).unwrap_or_default()
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

    fn row(id: usize) -> Row {
        Row {
            key: std::iter::once(DimensionValue::plain(id.to_string())).collect(),
            currency: "USD".parse().ok(),
            metrics: Metrics { clicks: Some(1), ..Metrics::default() },
        }
    }
}
