//! Days that are over, taken from tables that are kept: a question about more days asks only for those that it lacks.
//!
//! Only tables by date are put together so, and only of rows that the platform itself says no other of: the days are those
//! of the question's own zone, and what the platform's totals said of them agreed. What is taken counts no longer than the
//! table that it is from, and is as old as that.

use std::sync::Arc;
use std::time::Instant;

use jiff::ToSpan;
use jiff::civil::Date;
use uuid::Uuid;

use super::cache::PullKey;
use super::query::Asked;
use super::table::{Memory, Orders, Table};
use super::tally::Tally;
use super::{Manner, Origin};
use crate::clock::time;
use crate::connections::Actor;
use crate::connections::service::Connections;
use crate::outbound::error::PlatformError;
use crate::platforms::assemble;
use crate::platforms::calendar::DateRange;
use crate::platforms::stats::{Batch, Dimension, Row, WarningCode};
use crate::problem::Problem;
use crate::shares::Owner;

/// Tables of one question, for other ranges, that are looked through.
const MOST_RANGES: usize = 8;

/// A table of which some days are in the question.
pub(super) struct Known {
    table: Arc<Table>,
    until: Instant,
    /// The days that are taken from it.
    days: DateRange,
    /// The days that it lacks.
    missing: Option<DateRange>,
}

/// The days of `asked` that a table of `kept` has, of which those up to `over` were over when it was pulled, and the rest,
/// if that is one stretch.
fn split(kept: DateRange, over: Date, asked: DateRange) -> Option<(DateRange, Option<DateRange>)> {
    let days = DateRange::new(kept.from().max(asked.from()), kept.to().min(over).min(asked.to()))?;
    let before = days.from().yesterday().ok().and_then(|last| DateRange::new(asked.from(), last));
    let after = days.to().tomorrow().ok().and_then(|first| DateRange::new(first, asked.to()));
    match (before, after) {
        (Some(_), Some(_)) => None,
        (missing, None) | (None, missing) => Some((days, missing)),
    }
}

impl Connections {
    /// The kept table that has most of the days that are asked for.
    pub(super) fn known_days(&self, actor: &Actor, id: Uuid, asked: &Asked) -> Option<Known> {
        let is_long = asked.range.len_days() > self.inner.options.stats.max_range_days;
        if is_long || !asked.question.group_by.contains(&Dimension::Date) || !self.inner.stats.is_watched() {
            return None;
        }
        let series = self.inner.stats.series.get(&series_of(actor, id, asked))?;
        let known = series.iter().filter_map(|(range, key)| {
            let (table, until) = self.inner.stats.tables.get(key)?;
            let is_fresh = until > Instant::now() && self.inner.stats.is_current(id, table.version);
            if !is_fresh || !is_divisible(&table, asked) {
                return None;
            }
            let today = asked.question.zone.date_at(time(table.pulled_at_micros));
            let (days, missing) = split(*range, today.saturating_sub(1.day()), asked.range)?;
            Some(Known { table, until, days, missing })
        });
        known.max_by_key(|known| known.days.len_days())
    }

    /// Remembers that a table is kept, for questions about other ranges.
    pub(super) fn note_days(&self, actor: &Actor, id: Uuid, asked: &Asked, key: PullKey) {
        if asked.question.group_by.contains(&Dimension::Date) {
            let of = series_of(actor, id, asked);
            let known = self.inner.stats.series.get(&of);
            let others = known.iter().flat_map(|known| known.iter()).filter(|(range, _)| *range != asked.range);
            let ranges = std::iter::once((asked.range, key)).chain(others.copied()).take(MOST_RANGES);
            self.inner.stats.series.insert(of, ranges.collect());
        }
    }

    /// The table of a question, made of the days that are known and a pull of the others. `None` if the connection was
    /// changed in between.
    pub(super) async fn complete(
        &self,
        actor: &Actor,
        id: Uuid,
        asked: &Asked,
        manner: &Manner,
        known: Known,
    ) -> Result<Option<((Arc<Table>, Instant), Origin)>, Problem> {
        let Known { table, until, days, missing } = known;
        let (rest, until, origin) = match missing {
            None => (None, until, Origin::Hit),
            Some(range) => {
                let asked = Asked { question: asked.question.clone(), range, today: asked.today };
                let key = PullKey::of(id, &[actor.organisation.as_str(), &asked.pull_key()]);
                let ((rest, until_rest), origin) = Box::pin(self.table(actor, id, &asked, key, manner)).await?;
                if rest.version != table.version || !is_divisible(&rest, &asked) {
                    return Ok(None);
                }
                (Some(rest), until.min(until_rest), origin)
            }
        };
        let is_first = missing.is_none_or(|missing| days.from() < missing.from());
        let place = asked.question.group_by.iter().position(|dimension| *dimension == Dimension::Date);
        let taken = table.rows.iter().filter(|row| place.is_some_and(|place| is_within(row, place, days))).cloned();
        let mut rows: Vec<Row> = taken.collect();
        if let Some(rest) = &rest {
            rows.splice(if is_first { rows.len()..rows.len() } else { 0..0 }, rest.rows.iter().cloned());
        }
        let most = self.inner.options.stats.max_rows_in_memory;
        if rows.len() > most {
            return Err(PlatformError::into(assemble::too_many_rows(most)));
        }
        let deadline = self.pull_scope(manner.deadline).deadline;
        let table = self.put_together(actor, &table, rest.as_deref(), rows, deadline).await?;
        Ok(Some(((Arc::new(table), until), origin)))
    }

    async fn put_together(
        &self,
        actor: &Actor,
        known: &Table,
        rest: Option<&Table>,
        rows: Vec<Row>,
        deadline: Instant,
    ) -> Result<Table, Problem> {
        let both = || std::iter::once(known).chain(rest);
        let mut batch = Batch::of(rows);
        batch.checks = both().flat_map(|table| table.tally.checks()).cloned().collect();
        batch.warnings = both().flat_map(|table| table.tally.given_warnings()).cloned().collect();
        let mut share = self.inner.rows.share_of(Owner::of(actor.organisation.as_str()));
        share.grow(batch.weight(), deadline).await.map_err(PlatformError::from)?;
        let mut tally = Tally::default();
        tally.add(&mut batch);
        // The label is that of now; everything else is as old as its oldest part.
        let latest = rest.unwrap_or(known);
        let oldest = rest.map_or(known, |rest| if rest.whole_at < known.whole_at { rest } else { known });
        Ok(Table {
            connection: latest.connection.clone(),
            rows: batch.rows,
            tally,
            fetched_at: oldest.fetched_at,
            whole_at: oldest.whole_at,
            source: latest.source,
            perspective: latest.perspective,
            terms: latest.terms.clone(),
            pulled_at_micros: oldest.pulled_at_micros.min(latest.pulled_at_micros),
            version: latest.version,
            orders: Orders::default(),
            memory: Memory::of(share.detach()),
        })
    }
}

/// Questions that differ in their range alone are of one series.
fn series_of(actor: &Actor, id: Uuid, asked: &Asked) -> PullKey {
    PullKey::of(id, &["days", actor.organisation.as_str(), &asked.series_key()])
}

/// Whether some days of a table say the same as if they had been asked for alone.
fn is_divisible(table: &Table, asked: &Asked) -> bool {
    let agrees = table.tally.checks().iter().all(|check| check.mismatch.is_none());
    // What is said of certain days is not said of others.
    let is_of_all = table.tally.given_warnings().iter().all(|warning| warning.code != WarningCode::ZoneTablesDiffer);
    agrees && is_of_all && table.terms.zone.as_ref() == Some(&asked.question.zone)
}

fn is_within(row: &Row, place: usize, days: DateRange) -> bool {
    let day = row.key.get(place).and_then(|value| value.id.parse().ok());
    day.is_some_and(|day| days.contains(day))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn days(from: i8, to: i8) -> DateRange {
        DateRange::new(date(2026, 10, from), date(2026, 10, to)).expect("a range")
    }

    #[test]
    fn one_stretch_of_days_is_asked_for_before_or_after_those_that_are_known() {
        let over = date(2026, 10, 31);
        assert_eq!(split(days(1, 10), over, days(1, 11)), Some((days(1, 10), Some(days(11, 11)))));
        assert_eq!(split(days(5, 10), over, days(3, 7)), Some((days(5, 7), Some(days(3, 4)))));
        assert_eq!(split(days(1, 10), over, days(2, 9)), Some((days(2, 9), None)));
        assert_eq!(split(days(4, 6), over, days(1, 10)), None, "two stretches are no fewer calls than one");
        assert_eq!(split(days(1, 10), over, days(11, 12)), None);
    }

    #[test]
    fn a_day_that_was_not_over_is_asked_for_again() {
        let over = date(2026, 10, 9);
        assert_eq!(split(days(1, 10), over, days(1, 10)), Some((days(1, 9), Some(days(10, 10)))));
        assert_eq!(split(days(10, 10), over, days(10, 10)), None);
    }

    proptest! {
        #[test]
        fn what_is_known_and_what_is_missing_are_what_is_asked_for(
            kept in (1i8..31, 0i8..10), asked in (1i8..31, 0i8..10), over in 1i8..32,
        ) {
            let of = |(from, length): (i8, i8)| days(from, (from + length).min(31));
            let (kept, asked, over) = (of(kept), of(asked), date(2026, 10, over));
            if let Some((known, missing)) = split(kept, over, asked) {
                let mut all: Vec<Date> = known.days().chain(missing.iter().flat_map(DateRange::days)).collect();
                all.sort_unstable();
                prop_assert_eq!(all, asked.days().collect::<Vec<_>>());
                prop_assert!(known.days().all(|day| kept.contains(day) && day <= over));
            }
        }
    }
}
