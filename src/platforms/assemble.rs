//! From what a client reads to what the caller asked for: filters applied exactly, the extra columns they needed
//! taken out again, and rows of the same key added up.

use std::collections::HashMap;

use compact_str::CompactString;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use smallvec::SmallVec;

use super::stats::{Batch, Currency, Dimension, Filters, Report, Row, StatsQuery};
use crate::outbound::error::PlatformError;

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
    let columns = group_by.len();
    Box::pin(async_stream::try_stream! {
        let mut filtered = filtered;
        let mut sums = Sums::default();
        while let Some(batch) = filtered.next().await {
            let mut batch = batch?;
            for row in batch.rows.drain(..) {
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
    dimensions
        .iter()
        .zip(&row.key)
        .all(|(dimension, value)| filters.get(dimension).is_none_or(|ids| ids.contains(&value.id)))
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
