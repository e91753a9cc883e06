//! What the panel itself adds up over the range, and the rows held against it.
//!
//! The figure is independent: it is a question without any grouping. It shows rows that a grouped report leaves out,
//! such as those without a value, and pages that were cut.

use std::fmt::Display;

use rust_decimal::Decimal;

use super::super::stats::{Check, Dimension, Metrics, StatsQuery};
use super::panel::{Panel, Refused};
use super::question::Question;
use crate::outbound::error::PlatformError;

/// The panel's own sum; `None` where it does not say. A refused key is an error here as everywhere.
pub(super) async fn ask(panel: &Panel, query: &StatsQuery) -> Result<Option<Metrics>, PlatformError> {
    let question = Question::total_of(query);
    let answer = panel.ask(&question, |page, asked| {
        let mut lines = page.lines(&asked.columns);
        let Some(line) = lines.next() else { return Ok(Some(Metrics::ZERO)) };
        let line = line.map_err(|odd| panel.odd(&odd))?;
        let mut metrics = Metrics::default();
        for (figure, cell) in asked.figures.iter().zip(line) {
            figure.read(cell, &mut metrics).map_err(|odd| panel.odd(&odd))?;
        }
        // Several rows are no sum.
        Ok(lines.next().is_none().then_some(metrics))
    });
    match answer.await {
        Ok(total) => Ok(total),
        Err(Refused::Other(error)) if error.kind.is_refusal() => Err(error),
        Err(Refused::Other(_) | Refused::Column(_)) => Ok(None),
    }
}

/// Holds the sum of the rows against the panel's own, as it was before and after they were read.
pub(super) fn check(rows: &Metrics, before: &Metrics, after: &Metrics, query: &StatsQuery) -> Check {
    let counts = [
        ("clicks", rows.clicks, before.clicks, after.clicks),
        ("conversions", rows.conversions, before.conversions, after.conversions),
        ("sales", rows.approved, before.approved, after.approved),
        ("leads", rows.pending, before.pending, after.pending),
        ("rejected conversions", rows.rejected, before.rejected, after.rejected),
    ];
    let amounts =
        [("revenue", rows.revenue, before.revenue, after.revenue), ("cost", rows.cost, before.cost, after.cost)];
    let counts = counts.into_iter().filter_map(|(name, rows, before, after)| {
        difference(name, rows, before, after, |rows, low, high| low <= rows && rows <= high)
    });
    let amounts =
        amounts.into_iter().filter_map(|(name, rows, before, after)| difference(name, rows, before, after, is_between));
    let mut differences: Vec<String> = counts.chain(amounts).collect();
    let reaches_offers = query.has(Dimension::Offer) || query.has(Dimension::AffiliateNetwork);
    if reaches_offers && differences.iter().any(|difference| difference.starts_with("cost")) {
        differences.push("older versions leave out what clicks cost that reached no offer".to_owned());
    }
    Check { mismatch: (!differences.is_empty()).then(|| format!("{}.", differences.join("; "))) }
}

/// What to say of a number that differs, where it is known on all sides.
fn difference<T: Copy + Ord + Display>(
    name: &str,
    rows: Option<T>,
    before: Option<T>,
    after: Option<T>,
    is_between: impl Fn(T, T, T) -> bool,
) -> Option<String> {
    let (rows, before, after) = (rows?, before?, after?);
    let agrees = is_between(rows, before.min(after), before.max(after));
    (!agrees).then(|| format!("{name}: the rows add up to {rows}, Keitaro's own sum is {after}"))
}

/// The panel adds up in binary floats, so half a cent is no difference, nor is one part in a billion.
fn is_between(rows: Decimal, low: Decimal, high: Decimal) -> bool {
    let (half_a_cent, one_in_a_billion) = (Decimal::new(5, 3), Decimal::new(1, 9));
    let noise = low.abs().max(high.abs()).checked_mul(one_in_a_billion).unwrap_or_default().max(half_a_cent);
    let bounds = || Some((low.checked_sub(noise)?, high.checked_add(noise)?));
    bounds().is_some_and(|(low, high)| low < rows && rows < high)
}

#[cfg(test)]
mod tests {
    use super::super::super::calendar::{DateRange, Zone};
    use super::super::super::stats::Filters;
    use super::*;

    fn of(clicks: i64, revenue: &str, cost: &str) -> Metrics {
        Metrics { clicks: Some(clicks), revenue: revenue.parse().ok(), cost: cost.parse().ok(), ..Metrics::default() }
    }

    fn mismatch(rows: &Metrics, before: &Metrics, after: &Metrics) -> Option<String> {
        let query = StatsQuery {
            dimensions: vec![Dimension::Offer],
            range: DateRange::day(jiff::civil::date(2026, 11, 16)),
            zone: Zone::utc(),
            filters: Filters::new(),
        };
        check(rows, before, after, &query).mismatch
    }

    #[test]
    fn float_noise_is_no_difference_and_a_cent_is_one() {
        let sum = of(10, "100.000000001", "0.1");
        assert_eq!(mismatch(&of(10, "100", "0.1"), &sum, &sum), None);
        assert_eq!(
            mismatch(&of(9, "99.99", "0.1"), &sum, &sum).as_deref(),
            Some(
                "clicks: the rows add up to 9, Keitaro's own sum is 10; \
                 revenue: the rows add up to 99.99, Keitaro's own sum is 100.000000001."
            )
        );
    }

    #[test]
    fn numbers_that_moved_while_rows_were_read_agree_in_between() {
        let (before, after) = (of(10, "5", "1"), of(14, "9", "1"));
        assert_eq!(mismatch(&of(12, "7", "1"), &before, &after), None);
        assert!(mismatch(&of(15, "7", "1"), &before, &after).is_some());
    }

    #[test]
    fn what_is_not_known_is_not_compared_and_a_cost_by_offer_is_explained() {
        assert_eq!(mismatch(&Metrics::default(), &of(1, "1", "1"), &of(1, "1", "1")), None);
        let told = mismatch(&of(1, "1", "0.4"), &of(1, "1", "1"), &of(1, "1", "1")).expect("a mismatch");
        assert!(told.contains("reached no offer"), "{told}");
    }
}
