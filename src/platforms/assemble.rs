//! From what a client reads to what the caller asked for: filters applied exactly, weeks and months put together from
//! days, the extra columns taken out again, and rows of the same key added up.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use hashbrown::HashTable;
use smallvec::SmallVec;
use tokio::sync::Mutex;

use super::cycle::Cycle;
use super::stats::{Batch, Dimension, Filters, Key, Report, Row, StatsQuery};
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::shares::{Exhausted, Owner, Pool, Share};

/// Where rows are held.
pub struct Room {
    /// The most of them that are added up.
    pub max_rows: usize,
    /// The memory of all rows that come out: it is taken here, and belongs to who takes them.
    pub share: Arc<Mutex<Share>>,
    /// How long they wait for it.
    pub deadline: Instant,
}

impl From<usize> for Room {
    /// So many rows, in as much memory as there is.
    fn from(max_rows: usize) -> Self {
        let share = Pool::new(usize::MAX, usize::MAX).share_of(Owner::of(()));
        Self { max_rows, share: Arc::new(Mutex::new(share)), deadline: Instant::now() }
    }
}

/// The dimensions that a client has to read, so that rows by `group_by` can be made of its answer: days in the place of
/// weeks and months, then what is filtered. Where that is nothing at all, `undivided` is what the platform is asked by.
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
/// Streams through where the report allows it. Where rows must be added up they are held in memory, at most as many as
/// there is `room` for; one more and the report is refused.
pub fn assemble<'a>(
    query: &'a StatsQuery,
    group_by: &'a [Dimension],
    report: Report<'a>,
    room: impl Into<Room>,
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
    let Room { max_rows, share, deadline } = room.into();
    if exact_keys {
        return Box::pin(async_stream::try_stream! {
            for await batch in filtered {
                let mut batch = batch?;
                if !query.filters.is_empty() {
                    // What is still to come may be left out.
                    batch.still_to_come = 0;
                }
                share.lock().await.grow(batch.weight(), deadline).await?;
                yield batch;
            }
        });
    }
    let projection = Projection::of(&query.dimensions, group_by);
    let columns = group_by.len();
    Box::pin(async_stream::try_stream! {
        let mut filtered = filtered;
        let mut sums = Sums::default();
        while let Some(batch) = filtered.next().await {
            let mut batch = batch?;
            // Rows that are added up may become fewer.
            batch.still_to_come = 0;
            for mut row in batch.rows.drain(..) {
                row.key = projection.key(row.key);
                sums.add(row, columns);
            }
            if sums.rows.len() > max_rows {
                Err(too_many_rows(max_rows))?;
            }
            share.lock().await.grow(std::mem::take(&mut sums.bytes), deadline).await?;
            if !batch.checks.is_empty() || !batch.warnings.is_empty() {
                yield batch;
            }
        }
        yield Batch::of(sums.rows);
    })
}

impl From<Exhausted> for PlatformError {
    fn from(Exhausted: Exhausted) -> Self {
        Self::new(ErrorKind::Overloaded, "There is no memory left for so many rows.")
            .hint("Wait until other reports are done, or ask for a shorter range, fewer dimensions or a filter.")
            .retry_after(Some(Duration::from_secs(5)))
    }
}

/// The refusal of a table that would have to be held in memory and is too long for it.
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
            // The plan wrote the day as one.
            let whole = cycle.and_then(|cycle| value.id.parse().ok().map(|day| cycle.value(day)));
            Some(whole.unwrap_or_else(|| value.clone()))
        };
        self.0.iter().filter_map(value).collect()
    }
}

/// Adds rows up by key and currency, in the order of first appearance.
#[derive(Default)]
pub(super) struct Sums {
    /// Where each key stands among the rows.
    places: HashTable<usize>,
    hasher: RandomState,
    /// The sums so far.
    pub(super) rows: Vec<Row>,
    /// The memory that the new ones take.
    bytes: usize,
}

impl Sums {
    /// Adds a row, keyed by its first `columns` dimensions.
    pub(super) fn add(&mut self, mut row: Row, columns: usize) {
        row.key.truncate(columns);
        let Self { places, hasher, rows, bytes } = self;
        let hash_of = |row: &Row| {
            let mut state = hasher.build_hasher();
            row.key.iter().for_each(|value| value.id.hash(&mut state));
            row.currency.hash(&mut state);
            state.finish()
        };
        let is_same = |known: &Row| {
            known.currency == row.currency
                && known.key.iter().map(|value| &value.id).eq(row.key.iter().map(|value| &value.id))
        };
        let hash = hash_of(&row);
        let known = places.find(hash, |place| rows.get(*place).is_some_and(is_same)).copied();
        match known.and_then(|place| rows.get_mut(place)) {
            Some(sum) => {
                sum.metrics = sum.metrics.add(&row.metrics);
                // The last label that says more than the id wins: entities are renamed, not re-numbered.
                for (known, new) in sum.key.iter_mut().zip(row.key) {
                    if new.name != new.id {
                        known.name = new.name;
                    }
                }
            }
            None => {
                places.insert_unique(hash, rows.len(), |place| rows.get(*place).map_or(0, hash_of));
                *bytes += row.weight();
                rows.push(row);
            }
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

    fn hourly(offer: usize, hour: u8) -> Row {
        let key = [DimensionValue::plain(offer.to_string()), DimensionValue::hour(hour)];
        Row {
            key: key.into_iter().collect(),
            currency: "USD".parse().ok(),
            metrics: Metrics { clicks: Some(1), ..Metrics::default() },
        }
    }

    /// So many offers by the hour, added up by `group_by` in memory for so many rows of them.
    async fn read(group_by: &[Dimension], offers: usize, room_for: usize) -> (Result<Vec<Row>, ErrorKind>, Pool) {
        let pool = Pool::new(room_for * hourly(0, 0).weight(), usize::MAX);
        let day = DateRange::day(date(2026, 3, 2));
        let query = query(vec![Dimension::Offer, Dimension::Hour], day, Filters::new());
        let batches = (0..24).map(move |hour| Ok(Batch::of((0..offers).map(|offer| hourly(offer, hour)).collect())));
        let report = Report { unique_keys: true, batches: futures_util::stream::iter(batches).boxed() };
        let share = Arc::new(Mutex::new(pool.share_of(Owner::of("acme"))));
        let room = Room { max_rows: 1_000, share, deadline: Instant::now() };
        let read: Result<Vec<Batch>, PlatformError> = assemble(&query, group_by, report, room).try_collect().await;
        let rows = read.map(|batches| batches.into_iter().flat_map(|batch| batch.rows).collect());
        (rows.map_err(|error| error.kind), pool)
    }

    #[tokio::test]
    async fn rows_are_added_up_by_the_key_that_is_asked_for() {
        let (rows, pool) = read(&[Dimension::Offer], 10, 10).await;
        let rows = rows.expect("rows");
        assert_eq!(rows.len(), 10);
        for (offer, row) in rows.iter().enumerate() {
            assert_eq!((row.key.len(), row.key[0].id.as_str()), (1, offer.to_string().as_str()));
            assert_eq!(row.metrics.clicks, Some(24));
        }
        assert_eq!(pool.held(), 0, "the taker of the rows keeps their memory, and there is none here");
    }

    #[tokio::test]
    async fn rows_for_which_there_is_no_memory_are_refused_and_not_waited_for() {
        let both = [Dimension::Offer, Dimension::Hour];
        assert_eq!(read(&[Dimension::Offer], 11, 10).await.0, Err(ErrorKind::Overloaded));
        assert_eq!(read(&both, 10, 239).await.0, Err(ErrorKind::Overloaded));
        assert_eq!(read(&both, 10, 240).await.0.map(|rows| rows.len()), Ok(240));
    }
}
