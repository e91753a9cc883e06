//! From what a client reads to what the caller asked for: filters applied exactly, weeks and months put together from
//! days, the extra columns taken out again, and rows of the same key added up.

use std::collections::HashMap;

use compact_str::CompactString;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use smallvec::SmallVec;

use super::cycle::Cycle;
use super::stats::{Batch, Currency, Dimension, Filters, Key, Report, Row, StatsQuery};
use crate::outbound::error::PlatformError;

/// The dimensions that a client has to read, so that rows by `group_by` can be made of its answer: days in the place of
/// weeks and months, then what is filtered. Where that is nothing at all, `undivided` is what the platform is asked by.
#[must_use]
pub fn read_along(group_by: &[Dimension], filters: &Filters, undivided: &[Dimension]) -> Vec<Dimension> {
    let mut dimensions = Vec::new();
    for dimension in group_by.iter().chain(filters.keys()).map(|dimension| dimension.source()) {
        if !dimensions.contains(&dimension) {
            dimensions.push(dimension);
        }
    }
    if dimensions.is_empty() { undivided.to_vec() } else { dimensions }
}

/// The rows of `report`, keyed by `group_by` alone and unique.
///
/// Streams through where the report allows it. Where rows must be added up they are held in memory, at most
/// `max_rows` of them; one more and the report is refused.
pub fn assemble<'a>(
    query: &'a StatsQuery,
    group_by: &'a [Dimension],
    report: Report<'a>,
    max_rows: usize,
) -> BoxStream<'a, Result<Batch, PlatformError>> {
    let exact_keys = report.unique_keys && query.dimensions == group_by;
    let filtered = report.batches.map(move |batch| {
        batch.map(|mut batch| {
            if !query.filters.is_empty() {
                batch.rows.retain(|row| passes(row, &query.dimensions, &query.filters));
            }
            batch
        })
    });
    if exact_keys {
        return filtered.boxed();
    }
    let projection = Projection::of(&query.dimensions, group_by);
    let columns = group_by.len();
    Box::pin(async_stream::try_stream! {
        let mut filtered = filtered;
        let mut sums = Sums::default();
        while let Some(batch) = filtered.next().await {
            let mut batch = batch?;
            for mut row in batch.rows.drain(..) {
                row.key = projection.key(row.key);
                sums.add(row, columns);
            }
            if sums.rows.len() > max_rows {
                Err(too_many_rows(max_rows))?;
            }
            if !batch.checks.is_empty() || !batch.warnings.is_empty() {
                yield batch;
            }
        }
        yield Batch::of(sums.rows);
    })
}

/// The refusal of a table that would have to be held in memory and is too long for it.
#[must_use]
pub fn too_many_rows(max_rows: usize) -> PlatformError {
    PlatformError::unsupported(format!(
        "The table has more than {max_rows} rows, which is more than is held in memory at once."
    ))
    .hint("Ask for a shorter range, fewer dimensions or a filter, or stream the rows unsorted as NDJSON or CSV.")
}

fn passes(row: &Row, dimensions: &[Dimension], filters: &Filters) -> bool {
    filters.iter().all(|(dimension, ids)| {
        let place = dimensions.iter().position(|known| *known == dimension.source());
        let value = place.and_then(|place| row.key.get(place));
        value.is_none_or(|value| match Cycle::of(*dimension) {
            None => ids.contains(&value.id),
            Some(cycle) => value.id.parse().is_ok_and(|day| ids.contains(&cycle.id(day))),
        })
    })
}

/// How the key that was asked for is made of the key that was read: from which place, and whether that is a day to be
/// turned into its week or month.
struct Projection(SmallVec<[(usize, Option<Cycle>); 3]>);

impl Projection {
    fn of(dimensions: &[Dimension], group_by: &[Dimension]) -> Self {
        let source = |dimension: &Dimension| {
            let place = dimensions.iter().position(|known| *known == dimension.source())?;
            Some((place, Cycle::of(*dimension)))
        };
        Self(group_by.iter().filter_map(source).collect())
    }

    fn key(&self, mut key: Key) -> Key {
        if self.0.iter().enumerate().all(|(place, source)| *source == (place, None)) {
            key.truncate(self.0.len());
            return key;
        }
        let value = |(place, cycle): &(usize, Option<Cycle>)| {
            let value = key.get(*place)?;
            // Whoever wrote the day wrote it as one.
            let whole = cycle.and_then(|cycle| value.id.parse().ok().map(|day| cycle.value(day)));
            Some(whole.unwrap_or_else(|| value.clone()))
        };
        self.0.iter().filter_map(value).collect()
    }
}

/// Adds rows up by key and currency, in the order of first appearance.
#[derive(Default)]
pub(super) struct Sums {
    places: HashMap<(SmallVec<[CompactString; 3]>, Option<Currency>), usize>,
    /// The sums so far.
    pub(super) rows: Vec<Row>,
}

impl Sums {
    /// Adds a row, keyed by its first `columns` dimensions.
    pub(super) fn add(&mut self, mut row: Row, columns: usize) {
        row.key.truncate(columns);
        let ids = row.key.iter().map(|value| value.id.clone()).collect();
        let place = *self.places.entry((ids, row.currency)).or_insert(self.rows.len());
        match self.rows.get_mut(place) {
            Some(sum) => {
                sum.metrics = sum.metrics.add(&row.metrics);
                // The last label that says more than the id wins: entities are renamed, not re-numbered.
                for (known, new) in sum.key.iter_mut().zip(row.key) {
                    if new.name != new.id {
                        known.name = new.name;
                    }
                }
            }
            None => self.rows.push(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::TryStreamExt;
    use jiff::ToSpan;
    use jiff::civil::{Date, date};
    use proptest::prelude::*;

    use super::super::calendar::{DateRange, Zone};
    use super::super::stats::{DimensionValue, Metrics};
    use super::*;

    fn query(dimensions: Vec<Dimension>, range: DateRange, filters: Filters) -> StatsQuery {
        StatsQuery { dimensions, range, zone: Zone::utc(), filters }
    }

    fn assembled(query: &StatsQuery, group_by: &[Dimension], rows: Vec<Row>) -> Vec<Row> {
        let batches = futures_util::stream::iter([Ok(Batch::of(rows))]).boxed();
        let report = Report { unique_keys: true, batches };
        let reading = assemble(query, group_by, report, 1_000).try_collect::<Vec<_>>();
        let batches = futures_util::FutureExt::now_or_never(reading).expect("nothing to wait for").expect("rows");
        batches.into_iter().flat_map(|batch| batch.rows).collect()
    }

    #[test]
    fn days_are_read_once_for_all_that_is_made_of_them() {
        let filters =
            Filters::from([(Dimension::Week, ["2026-W47".into()].into()), (Dimension::Offer, ["7".into()].into())]);
        let group_by = [Dimension::Month, Dimension::Country, Dimension::Week];
        assert_eq!(read_along(&group_by, &filters, &[]), [Dimension::Date, Dimension::Country, Dimension::Offer]);
        assert_eq!(read_along(&[], &filters, &[Dimension::Date]), [Dimension::Date, Dimension::Offer]);
        assert_eq!(read_along(&[], &Filters::new(), &[Dimension::Campaign]), [Dimension::Campaign]);
    }

    proptest! {
        #[test]
        fn weeks_and_months_are_what_their_days_add_up_to(
            start in 0i64..3_000,
            days in proptest::collection::vec((0i64..120, 0usize..3, 0i64..1_000), 0..60),
            chosen in proptest::option::of(0i64..120),
        ) {
            let from = date(2024, 1, 1).saturating_add(start.days());
            let range = DateRange::new(from, from.saturating_add(120.days())).expect("a range");
            let day = |offset: i64| from.saturating_add(offset.days());
            let mut filters = Filters::new();
            if let Some(chosen) = chosen {
                filters.insert(Dimension::Week, [Cycle::Week.id(day(chosen))].into());
            }
            let group_by = [Dimension::Offer, Dimension::Month, Dimension::Week];
            let query = query(read_along(&group_by, &filters, &[]), range, filters);
            prop_assert_eq!(&query.dimensions, &[Dimension::Offer, Dimension::Date]);
            let by_key: BTreeMap<(i64, usize), i64> = days.iter().map(|(offset, offer, clicks)| ((*offset, *offer), *clicks)).collect();
            let rows = by_key.iter().map(|((offset, offer), clicks)| Row {
                key: Key::from_iter([DimensionValue::plain(offer.to_string()), DimensionValue::date(day(*offset))]),
                currency: None,
                metrics: Metrics { clicks: Some(*clicks), ..Metrics::ZERO },
            });
            let sums: BTreeMap<Vec<String>, i64> = assembled(&query, &group_by, rows.collect())
                .into_iter()
                .map(|row| (row.key.iter().map(|value| value.id.to_string()).collect(), row.metrics.clicks.expect("clicks")))
                .collect();
            let mut expected: BTreeMap<Vec<String>, i64> = BTreeMap::new();
            for ((offset, offer), clicks) in by_key {
                let date: Date = day(offset);
                let week = date.iso_week_date();
                let week = format!("{}-W{:02}", week.year(), week.week());
                let same = chosen.is_none_or(|chosen| day(chosen).iso_week_date().week() == date.iso_week_date().week());
                if same {
                    let month = date.to_string().chars().take(7).collect();
                    *expected.entry(vec![offer.to_string(), month, week]).or_default() += clicks;
                }
            }
            prop_assert_eq!(sums, expected);
        }
    }
}
