//! A report being read page by page, and held against what Voluum says of it.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::super::stats::{Against, Batch, Check, Currency, Dimension, DimensionValue, Key, Metrics, Row};
use super::request::{Habits, ReportRequest};
use super::wire::{Line, Page};
use crate::outbound::error::{ErrorKind, PlatformError};

/// Tables up to this many rows are read whole before any of it is handed on, so that they can be read again.
const SHORT: u64 = 20_000;

/// One request's table, as far as it has been read.
pub(super) struct Reading<'a> {
    pub(super) request: &'a ReportRequest,
    dimensions: &'a [Dimension],
    currency: Option<Currency>,
    /// How the request was put; all pages must be asked for alike.
    pub(super) habits: Habits,
    received: u64,
    total_rows: u64,
    totals: Option<Line>,
    truncated: bool,
    /// Digests of the rows of earlier pages. A row that comes again has moved, and another was skipped for it.
    seen: HashSet<u64>,
    hasher: RandomState,
    tally: Tally,
    rows: Vec<Row>,
    /// Rows of unknown entities. Voluum may have several kinds of nothing, which are one to us.
    unknown: BTreeMap<Vec<CompactString>, Row>,
    checks: Vec<Check>,
}

impl<'a> Reading<'a> {
    /// Begins with the first page.
    ///
    /// # Errors
    /// Like [`take`](Self::take).
    pub(super) fn begin(
        request: &'a ReportRequest,
        dimensions: &'a [Dimension],
        currency: Option<Currency>,
        habits: Habits,
        first: Page,
    ) -> Result<Self, PlatformError> {
        let mut reading = Self {
            request,
            dimensions,
            currency,
            habits,
            received: 0,
            total_rows: first.total_rows,
            totals: None,
            truncated: false,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            tally: Tally::default(),
            rows: Vec::new(),
            unknown: BTreeMap::new(),
            checks: Vec::new(),
        };
        reading.take(first)?;
        Ok(reading)
    }

    /// How many rows have come, which is where the next page begins.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// How many rows there are in all.
    pub(super) fn total_rows(&self) -> u64 {
        self.total_rows
    }

    /// Whether all rows have come.
    pub(super) fn is_complete(&self) -> bool {
        self.received >= self.total_rows
    }

    /// Whether the table is short enough to be read whole first.
    pub(super) fn is_short(&self) -> bool {
        self.total_rows <= SHORT
    }

    /// Adds the next page.
    ///
    /// # Errors
    /// Pages that do not fit together, rows that cannot be read or were not asked for, and a table cut short.
    pub(super) fn take(&mut self, page: Page) -> Result<(), PlatformError> {
        if page.total_rows != self.total_rows {
            return Err(moved(&format!("the table went from {} rows to {}", self.total_rows, page.total_rows)));
        }
        if page.rows.is_empty() && !self.is_complete() {
            return Err(moved(&format!("only {} of {} rows came", self.received, self.total_rows)));
        }
        self.received += u64::try_from(page.rows.len()).unwrap_or(u64::MAX);
        if self.received > self.total_rows {
            return Err(moved(&format!("more rows came than the {} there should be", self.total_rows)));
        }
        self.truncated = page.truncated;
        if page.totals.is_some() {
            self.totals = page.totals;
        }
        self.take_rows(&page.rows)?;
        if self.is_complete() { self.conclude() } else { Ok(()) }
    }

    /// Hands on what has been read since the last time.
    pub(super) fn batch(&mut self) -> Batch {
        let mut rows = std::mem::take(&mut self.rows);
        if self.is_complete() {
            rows.extend(std::mem::take(&mut self.unknown).into_values());
        }
        let still_to_come = usize::try_from(self.total_rows.saturating_sub(self.received)).unwrap_or(usize::MAX);
        Batch { rows, still_to_come, checks: std::mem::take(&mut self.checks), ..Batch::default() }
    }

    fn take_rows(&mut self, lines: &[Line]) -> Result<(), PlatformError> {
        let mut places: HashMap<u64, Option<usize>> = HashMap::with_capacity(lines.len());
        for line in lines {
            let ids: Vec<_> = self.request.groups.iter().map(|group| line.id(*group)).collect();
            let digest = self.hasher.hash_one(&ids);
            if self.seen.contains(&digest) {
                return Err(moved("a row came twice"));
            }
            if ids.contains(&None) && places.contains_key(&digest) {
                return Err(PlatformError::bad_response(
                    "Voluum sent rows that nothing tells apart: they lack their ids.",
                ));
            }
            self.tally.add(line);
            let earlier = places.get(&digest).copied().flatten();
            let place = if line.is_idle() { earlier } else { self.keep(line, earlier)? };
            places.insert(digest, place);
        }
        self.seen.extend(places.into_keys());
        Ok(())
    }

    /// Keeps a row and says where; one that stands on the page already is added to.
    fn keep(&mut self, line: &Line, earlier: Option<usize>) -> Result<Option<usize>, PlatformError> {
        let row = Row { key: self.key(line)?, currency: self.currency, metrics: line.metrics() };
        if let Some(known) = earlier.and_then(|place| self.rows.get_mut(place)) {
            known.metrics = known.metrics.add(&row.metrics);
            return Ok(earlier);
        }
        if row.key.iter().any(|value| value.id == DimensionValue::UNKNOWN_ID) {
            let ids = row.key.iter().map(|value| value.id.clone()).collect();
            self.unknown.entry(ids).and_modify(|known| known.metrics = known.metrics.add(&row.metrics)).or_insert(row);
            return Ok(None);
        }
        self.rows.push(row);
        Ok(Some(self.rows.len() - 1))
    }

    fn key(&self, line: &Line) -> Result<Key, PlatformError> {
        self.dimensions.iter().map(|dimension| self.value(line, *dimension)).collect()
    }

    fn value(&self, line: &Line, dimension: Dimension) -> Result<DimensionValue, PlatformError> {
        if dimension != Dimension::Date {
            return line.value(dimension);
        }
        if !self.request.groups.contains(&Dimension::Date)
            && let Some(day) = self.request.only_day()
        {
            return Ok(DimensionValue::date(day));
        }
        match line.day() {
            Some(day) if !self.request.range.contains(day) => Err(PlatformError::bad_response(format!(
                "Voluum reports {day}, which was not asked for: it does not read the time zone as expected."
            ))),
            _ => line.value(dimension),
        }
    }

    fn conclude(&mut self) -> Result<(), PlatformError> {
        let mismatch = self.totals.as_ref().and_then(|totals| self.tally.mismatch(totals));
        let confirmed =
            mismatch.is_none() && self.totals.as_ref().is_some_and(|totals| totals.metrics().clicks.is_some());
        if self.truncated && !confirmed {
            return Err(PlatformError::unsupported(format!(
                "Voluum cut the table short after {} rows.",
                self.received
            ))
            .hint("Ask for a shorter range or fewer dimensions."));
        }
        let range = self.request.range;
        let mismatch = mismatch.map(|what| format!("{} to {}: {what}", range.from(), range.to()));
        let against = match self.totals {
            Some(_) => Against::Independent,
            None => Against::SameSource,
        };
        self.checks.push(Check { against, mismatch });
        Ok(())
    }
}

/// The rows changed between two pages.
fn moved(what: &str) -> PlatformError {
    PlatformError::new(ErrorKind::Inconsistent, format!("Voluum's table changed while it was read: {what}."))
        .hint("Ask again; a table that keeps changing is read more safely once its days are over.")
}

/// The sums of all rows that came.
struct Tally {
    sums: Metrics,
    rows: u64,
    /// The most places an amount came with.
    places: u32,
}

impl Default for Tally {
    fn default() -> Self {
        Self { sums: Metrics::ZERO, rows: 0, places: 0 }
    }
}

impl Tally {
    fn add(&mut self, line: &Line) {
        let metrics = line.metrics();
        self.rows += 1;
        self.places = self.places.max(places(&metrics));
        self.sums = self.sums.add(&metrics);
    }

    /// What differs from Voluum's own totals. Unique visits are left out: they do not add up by their nature.
    fn mismatch(&self, totals: &Line) -> Option<String> {
        let totals = totals.metrics();
        let tolerance = self.tolerance(places(&totals));
        let counts = [
            ("impressions", self.sums.impressions, totals.impressions),
            ("visits", self.sums.clicks, totals.clicks),
            ("conversions", self.sums.conversions, totals.conversions),
        ];
        let money = [("revenue", self.sums.revenue, totals.revenue), ("cost", self.sums.cost, totals.cost)];
        let counts = counts.into_iter().filter_map(|(name, sum, total)| {
            let (sum, total) = sum.zip(total)?;
            (sum != total).then(|| differs(name, &sum, &total))
        });
        let money = money.into_iter().filter_map(|(name, sum, total)| {
            let (sum, total) = sum.zip(total)?;
            let apart = sum.checked_sub(total).is_none_or(|difference| difference.abs() > tolerance);
            apart.then(|| differs(name, &sum.normalize(), &total.normalize()))
        });
        let all: Vec<String> = counts.chain(money).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Half a unit of the last place for each number that may have been rounded. Fewer places than two may be a whole
    /// amount, and more than six are the noise of binary fractions on Voluum's side.
    fn tolerance(&self, places_of_totals: u32) -> Decimal {
        let places = self.places.max(places_of_totals).clamp(2, 6);
        Decimal::new(5, places + 1).checked_mul(Decimal::from(self.rows + 1)).unwrap_or(Decimal::MAX)
    }
}

fn places(metrics: &Metrics) -> u32 {
    [metrics.revenue, metrics.cost].iter().flatten().map(Decimal::scale).max().unwrap_or_default()
}

fn differs(name: &str, sum: &dyn std::fmt::Display, total: &dyn std::fmt::Display) -> String {
    format!("{name} of the rows add up to {sum}, Voluum's own total is {total}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(visits: i64, revenue: Decimal) -> Line {
        let json =
            format!(r#"{{"visits": {visits}, "conversions": 0, "impressions": 0, "revenue": {revenue}, "cost": 0}}"#);
        serde_json::from_str(&json).expect("a line")
    }

    fn mismatch(rows: &[Line], totals: &Line) -> Option<String> {
        let mut tally = Tally::default();
        rows.iter().for_each(|row| tally.add(row));
        tally.mismatch(totals)
    }

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    #[test]
    fn a_cent_that_no_rounding_explains_is_a_mismatch() {
        let rows = [line(200, decimal("36")), line(210, decimal("27.1"))];
        assert_eq!(mismatch(&rows, &line(410, decimal("63.1"))), None);
        assert_eq!(mismatch(&rows, &line(410, decimal("63.100000000000001"))), None);
        let text = mismatch(&rows, &line(411, decimal("64.1"))).expect("a mismatch");
        assert_eq!(
            text,
            "visits of the rows add up to 410, Voluum's own total is 411; revenue of the rows add up to 63.1, Voluum's own total is 64.1"
        );
    }

    #[test]
    fn what_one_side_does_not_report_is_not_compared() {
        let rows: [Line; 1] = [serde_json::from_str(r#"{"visits": 5}"#).expect("a line")];
        assert_eq!(mismatch(&rows, &line(5, decimal("9.99"))), None);
        let totals: Line = serde_json::from_str(r#"{"revenue": 1}"#).expect("a line");
        assert_eq!(mismatch(&[line(5, decimal("1"))], &totals), None);
    }

    proptest! {
        #[test]
        fn rounding_is_never_taken_for_a_mismatch(amounts in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 0..60), places in 2u32..7) {
            let exact: Vec<Decimal> = amounts.iter().map(|amount| Decimal::new(*amount, 7)).collect();
            let rows: Vec<Line> = exact.iter().map(|amount| line(1, amount.round_dp(places))).collect();
            let total = exact.iter().sum::<Decimal>().round_dp(places);
            let count = i64::try_from(rows.len()).expect("few");
            // Rows that all happen to end in zeros do not show their places, so one is made to.
            let shown = [rows, vec![line(0, Decimal::new(1, places)), line(0, -Decimal::new(1, places))]].concat();
            prop_assert_eq!(mismatch(&shown, &line(count, total)), None);
        }
    }
}
