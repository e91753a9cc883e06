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
    // A row that is not there is a zero, of what the platform has and of what rows tell at all.
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
