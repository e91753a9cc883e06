//! The rows of an answer: those that are kept, beside what they were before, of one connection or of several.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use compact_str::CompactString;
use smallvec::SmallVec;

use super::compare::Alignment;
use super::layout::Layout;
use super::numbers::{Before, Totals};
use super::query::Asked;
use super::table::Table;
use crate::platforms::Pair;
use crate::platforms::stats::{Currency, DimensionValue, Key, Metric, Metrics, Row};

/// The tables of one connection that an answer is made of.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) now: Arc<Table>,
    /// With the days compared with, where the question compares.
    pub(super) then: Option<(Alignment, Arc<Table>)>,
}

impl Part {
    /// All tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        std::iter::once(&self.now).chain(self.then.iter().map(|(_, then)| then))
    }
}

/// The rows that are answered, in the tracker's order.
pub(super) struct Sheet<'a> {
    pub(super) rows: Cow<'a, [Row]>,
    /// What each of them was before, where the question compares.
    pub(super) before: Option<Vec<Before>>,
    pub(super) totals: Totals,
}

impl<'a> Sheet<'a> {
    /// A table as it is.
    pub(super) fn plain(table: &'a Table, layout: &Layout) -> Self {
        Self { rows: Cow::Borrowed(&table.rows), before: None, totals: layout.plain_totals(&table.tally) }
    }

    /// What is kept of the rows of some connections, each beside what it was before. `by_connection` puts the connection
    /// first in each key.
    pub(super) fn of(parts: &[Part], asked: &Asked, by_connection: bool) -> Self {
        let compares = asked.question.compare.is_some();
        let (mut rows, mut before) = (Vec::new(), Vec::new());
        let mut totals = Totals::default();
        for part in parts {
            let perspective = part.now.perspective;
            let mut take = |mut row: Row, then: Option<Before>| {
                if !asked.question.sift.keeps(&row, |metrics, metric| metrics.get(metric, perspective)) {
                    return;
                }
                totals.add(&row, then.as_ref(), perspective);
                if by_connection {
                    row.key.insert(0, connection_value(&part.now));
                }
                rows.push(row);
                before.extend(then);
            };
            match &part.then {
                None => part.now.rows.iter().for_each(|row| take(row.clone(), None)),
                Some((alignment, then)) => side_by_side(asked, &part.now, then, alignment, &mut take),
            }
        }
        Self { rows: Cow::Owned(rows), before: compares.then_some(before), totals }
    }

    /// What the row at a place was before.
    pub(super) fn before(&self, place: usize) -> Option<&Metrics> {
        self.before.as_ref()?.get(place).map(Before::shown)
    }
}

/// The connection of a table as a dimension's value.
pub(super) fn connection_value(table: &Table) -> DimensionValue {
    DimensionValue::new(table.connection.id.to_string(), &table.connection.name)
}

/// What tells rows apart.
type Identity = (SmallVec<[CompactString; 3]>, Option<Currency>);

fn identity(key: &Key, currency: Option<Currency>) -> Identity {
    (key.iter().map(|value| value.id.clone()).collect(), currency)
}

/// Hands on each row of now with what it was then, and after them what was only then, with nothing now.
fn side_by_side(
    asked: &Asked,
    now: &Table,
    then: &Table,
    alignment: &Alignment,
    take: &mut impl FnMut(Row, Option<Before>),
) {
    let group_by = &asked.question.group_by;
    let is_had = had_by(now);
    // A row that is not there is a zero, of what the platform has and of what rows say at all.
    let nothing_of = |row: &Row| {
        Metrics::zero_where(|metric| {
            is_had(metric) && (metric == Metric::UniqueClicks || row.metrics.get(metric, now.perspective).is_some())
        })
    };
    let mut places: HashMap<Identity, usize> = HashMap::with_capacity(then.rows.len());
    let mut earlier: Vec<Option<Row>> = Vec::with_capacity(then.rows.len());
    for row in &then.rows {
        let mut row = row.clone();
        if alignment.move_key(group_by, &mut row.key) {
            places.insert(identity(&row.key, row.currency), earlier.len());
            earlier.push(Some(row));
        }
    }
    for row in &now.rows {
        let place = places.get(&identity(&row.key, row.currency)).copied();
        let was = place.and_then(|place| earlier.get_mut(place)).and_then(Option::take);
        let before = match was {
            Some(was) => Before::Was(was.metrics),
            None if alignment.has_then(group_by, &row.key) => Before::Was(nothing_of(row)),
            None => Before::Nothing,
        };
        take(row.clone(), Some(before));
    }
    for row in earlier.into_iter().flatten() {
        let metrics = nothing_of(&row);
        take(Row { metrics, ..row.clone() }, Some(Before::Was(row.metrics)));
    }
}

/// Whether the platform of a table has a metric at all.
fn had_by(table: &Table) -> impl Fn(Metric) -> bool + use<> {
    let pair = Pair::find(table.connection.platform, table.connection.connection_type);
    move |metric| pair.is_some_and(|pair| pair.entry().metrics.iter().any(|entry| entry.key == metric))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::ToSpan;
    use jiff::civil::{Date, date};
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::super::compare::Comparison;
    use super::super::numbers::{Numbers, Sum};
    use super::super::query::tests::asked;
    use super::super::sift::Sift;
    use super::super::table::tests::table;
    use super::*;
    use crate::platforms::calendar::DateRange;
    use crate::platforms::stats::{Dimension, MetricValue};

    /// Clicks by the day's place in the range and the offer.
    type Clicks = BTreeMap<(i64, u8), i64>;

    fn rows(first: Date, clicks: &Clicks) -> Vec<Row> {
        let row = |((place, offer), clicks): (&(i64, u8), &i64)| Row {
            key: Key::from_iter([
                DimensionValue::date(first.saturating_add((*place).days())),
                DimensionValue::plain(offer.to_string()),
            ]),
            currency: None,
            metrics: Metrics { clicks: Some(*clicks), ..Metrics::ZERO },
        };
        clicks.iter().map(row).collect()
    }

    fn clicks() -> impl Strategy<Value = Clicks> {
        proptest::collection::btree_map((0i64..14, 0u8..3), 1i64..9, 0..30)
    }

    proptest! {
        #[test]
        fn rows_stand_beside_what_they_were_and_only_those_within_the_bounds_are_kept(
            now in clicks(), then in clicks(), least in proptest::option::of(0i64..9), most in proptest::option::of(0i64..9),
        ) {
            let first = date(2026, 10, 19);
            let mut asked = asked("");
            asked.question.group_by = vec![Dimension::Date, Dimension::Offer];
            asked.question.compare = Some(Comparison::PreviousPeriod);
            let bound = |bound: Option<i64>| bound.map(|bound| (Metric::Clicks, Decimal::from(bound))).into_iter().collect();
            asked.question.sift = Sift { min: bound(least), max: bound(most), search: None };
            asked.range = DateRange::new(first, first.saturating_add(13.days())).expect("a range");
            asked.today = date(2027, 1, 1);
            let alignment = asked.alignment().expect("days").expect("a comparison");
            prop_assert_eq!(alignment.then.from(), first.saturating_sub(14.days()));
            let then_table = table(rows(alignment.then.from(), &then));
            let part = Part { now: Arc::new(table(rows(first, &now))), then: Some((alignment, Arc::new(then_table))) };
            let sheet = Sheet::of(&[part], &asked, false);

            let either: BTreeSet<_> = now.keys().chain(then.keys()).copied().collect();
            let of = |side: &Clicks, key: &(i64, u8)| side.get(key).copied().unwrap_or_default();
            let within = |clicks: i64| least.is_none_or(|least| clicks >= least) && most.is_none_or(|most| clicks <= most);
            let expected: BTreeMap<(i64, u8), (i64, i64)> = either
                .iter()
                .map(|key| (*key, (of(&now, key), of(&then, key))))
                .filter(|(_, (clicks, _))| within(*clicks))
                .collect();
            let found: BTreeMap<(i64, u8), (i64, i64)> = sheet
                .rows
                .iter()
                .enumerate()
                .map(|(place, row)| {
                    let day: Date = row.key[0].id.parse().expect("a day");
                    let offset = i64::from((day - first).get_days());
                    let before = sheet.before(place).and_then(|before| before.clicks).expect("clicks");
                    ((offset, row.key[1].id.parse().expect("an offer")), (row.metrics.clicks.expect("clicks"), before))
                })
                .collect();
            prop_assert_eq!(sheet.rows.len(), expected.len());
            prop_assert_eq!(&found, &expected);
            let sum = |side: fn(&(i64, i64)) -> i64| expected.values().map(side).sum::<i64>();
            match sheet.totals.0.values().next() {
                Some(total) => {
                    let shown = |sum: &Sum| Numbers::Sum(sum).get(Metric::Clicks);
                    prop_assert_eq!(shown(&total.now), Some(MetricValue::Integer(sum(|both| both.0))));
                    prop_assert_eq!(total.then.as_ref().and_then(shown), Some(MetricValue::Integer(sum(|both| both.1))));
                }
                None => prop_assert!(expected.is_empty()),
            }
        }
    }
}
