//! What both generations' reports have in common: from the parts that calls give to the report as it is read.

use std::future::Future;

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use smallvec::SmallVec;

use super::super::stats::{
    Batch, Check, Currency, Dimension, DimensionValue, Metrics, Report, Row, StatsQuery, Warning, WarningCode,
};
use super::limits::LIMITS;
use super::wire::Nested;
use crate::outbound::Upstream;
use crate::outbound::error::PlatformError;

/// Values by dimension, in no particular order.
pub(super) type Values = SmallVec<[(Dimension, DimensionValue); 4]>;

/// One row before its key is put together.
pub(super) struct Line {
    pub(super) values: Values,
    pub(super) metrics: Metrics,
}

/// What one request to the tracker gives.
#[derive(Default)]
pub(super) struct Part {
    pub(super) lines: Vec<Line>,
    pub(super) checks: Vec<Check>,
}

/// Holds the sum of a report's rows against another figure, if that can be had.
pub(super) type Control<'a> = Box<dyn FnOnce(Metrics) -> BoxFuture<'a, Option<Check>> + Send + 'a>;

/// A report made of the parts that `requests` give, a few of them under way at once and all in order, whose sum is held
/// against another figure in the end.
pub(super) fn assemble<'a, F>(
    query: &'a StatsQuery,
    currency: Option<Currency>,
    unique_keys: bool,
    requests: impl Stream<Item = F> + Send + 'a,
    control: Option<Control<'a>>,
) -> Report<'a>
where
    F: Future<Output = Result<Part, PlatformError>> + Send + 'a,
{
    let batches = Box::pin(async_stream::try_stream! {
        let mut columns = Columns::default();
        let mut sum = Metrics::ZERO;
        let mut parts = Box::pin(requests.buffered(LIMITS.most_at_once()));
        while let Some(part) = parts.next().await {
            let part = part?;
            columns.see(&part.lines);
            sum = part.lines.iter().fold(sum, |sum, line| sum.add(&line.metrics));
            yield batch(query, currency, part)?;
        }
        if let Some(control) = control
            && let Some(check) = control(sum).await
        {
            yield Batch { checks: vec![check], ..Batch::default() };
        }
        if let Some(warning) = columns.warning() {
            yield Batch { warnings: vec![warning], ..Batch::default() };
        }
    });
    Report { unique_keys, batches }
}

fn batch(query: &StatsQuery, currency: Option<Currency>, part: Part) -> Result<Batch, PlatformError> {
    let mut rows = Vec::with_capacity(part.lines.len());
    for line in part.lines {
        // Binom lists entities without traffic too.
        if !is_idle(&line.metrics) {
            let key = query
                .dimensions
                .iter()
                .map(|dimension| value(&line.values, *dimension))
                .collect::<Option<_>>()
                .ok_or_else(|| PlatformError::unsupported("Binom cannot group like that."))?;
            rows.push(Row { key, currency, metrics: line.metrics });
        }
    }
    // What Binom counts includes entities without traffic: it says nothing of how many rows are still to come.
    Ok(Batch { rows, checks: part.checks, ..Batch::default() })
}

fn value(values: &Values, dimension: Dimension) -> Option<DimensionValue> {
    values.iter().find(|(known, _)| *known == dimension).map(|(_, value)| value.clone())
}

/// Whether a row is known to say nothing but zeroes.
pub(super) fn is_idle(metrics: &Metrics) -> bool {
    let Metrics { impressions, clicks, unique_clicks, conversions, approved, pending, rejected, hold, .. } = *metrics;
    let Metrics { revenue, payout, cost, .. } = *metrics;
    let counts = [impressions, clicks, unique_clicks, conversions, approved, pending, rejected, hold];
    clicks.is_some()
        && counts.into_iter().flatten().all(|count| count == 0)
        && [revenue, payout, cost].into_iter().flatten().all(|amount| amount.is_zero())
}

/// Which of the columns that every Binom has were there at all.
#[derive(Default)]
struct Columns {
    any_row: bool,
    seen: [bool; Self::NAMES.len()],
}

impl Columns {
    const NAMES: [&'static str; 5] = ["clicks", "unique_clicks", "leads", "revenue", "cost"];

    fn see(&mut self, lines: &[Line]) {
        for Line { metrics, .. } in lines {
            self.any_row = true;
            let there = [
                metrics.clicks.is_some(),
                metrics.unique_clicks.is_some(),
                metrics.conversions.is_some(),
                metrics.revenue.is_some(),
                metrics.cost.is_some(),
            ];
            for (seen, there) in self.seen.iter_mut().zip(there) {
                *seen |= there;
            }
        }
    }

    fn warning(&self) -> Option<Warning> {
        let hidden: Vec<&str> =
            Self::NAMES.into_iter().zip(self.seen).filter(|(_, seen)| !seen).map(|(name, _)| name).collect();
        (self.any_row && !hidden.is_empty()).then(|| Warning {
            code: WarningCode::ColumnsHidden,
            detail: format!(
                "Binom does not show this key's user the columns {}; what depends on them is unknown. Switch them on \
                 in the user's column settings and rights.",
                hidden.join(", ")
            ),
        })
    }
}

/// Refuses a report that needs more calls than are left, and says how much of it would not. `days` is how many days
/// the calls are for, where more days are more calls.
pub(super) fn afford(upstream: &Upstream, calls: usize, days: Option<u32>) -> Result<(), PlatformError> {
    let left = upstream.max_calls().saturating_sub(upstream.calls());
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    if calls <= left {
        return upstream.has_time_for(calls, days);
    }
    let refusal = format!("Binom has to be asked {calls} times for this and may be asked {left} times");
    let days = days.map(|days| usize::try_from(days).unwrap_or(usize::MAX));
    let longest = days.map_or(0, |days| left / calls.div_ceil(days.max(1)));
    Err(match longest {
        0 => PlatformError::unsupported(format!("{refusal}."))
            .hint("Ask for fewer dimensions, or filter by campaign or traffic source."),
        longest => PlatformError::unsupported(format!("{refusal}; the longest range that works is {longest} days."))
            .hint(format!("Ask for at most {longest} days at once, for fewer dimensions, or filter.")),
    })
}

/// A nested report being read: rows come depth first, each followed by its children.
pub(super) struct Outline<'a> {
    groupings: &'a [Dimension],
    name: fn(Dimension, &Nested) -> Option<DimensionValue>,
    path: SmallVec<[DimensionValue; 3]>,
    lines: Vec<Line>,
    roots: Metrics,
    leaves: Metrics,
}

impl<'a> Outline<'a> {
    /// A report by `groupings`, outermost first; `name` reads what a row stands for.
    pub(super) fn new(groupings: &'a [Dimension], name: fn(Dimension, &Nested) -> Option<DimensionValue>) -> Self {
        Self { groupings, name, path: SmallVec::new(), lines: Vec::new(), roots: Metrics::ZERO, leaves: Metrics::ZERO }
    }

    /// Takes the next row; `None` if it cannot stand here.
    pub(super) fn push(&mut self, row: &Nested) -> Option<()> {
        let above = row.level.checked_sub(1).filter(|above| *above <= self.path.len())?;
        let dimension = *self.groupings.get(above)?;
        self.path.truncate(above);
        self.path.push((self.name)(dimension, row)?);
        if row.level == 1 {
            self.roots = self.roots.add(&row.metrics);
        }
        // Only the deepest rows are rows of the report: the others hold their children's sums.
        if row.level == self.groupings.len() {
            self.leaves = self.leaves.add(&row.metrics);
            let values = self.groupings.iter().copied().zip(self.path.iter().cloned()).collect();
            self.lines.push(Line { values, metrics: row.metrics });
        }
        Some(())
    }

    /// The sum of the outermost rows.
    pub(super) fn roots(&self) -> &Metrics {
        &self.roots
    }

    /// The sum of the deepest rows.
    pub(super) fn leaves(&self) -> &Metrics {
        &self.leaves
    }

    /// The deepest rows.
    pub(super) fn into_lines(self) -> Vec<Line> {
        self.lines
    }
}
