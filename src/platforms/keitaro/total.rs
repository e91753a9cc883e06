//! What the panel itself adds up over the range, and the rows held against it.
//!
//! The figure is independent: it is a request without any grouping. It shows rows that a grouped report leaves out,
//! such as those without a value, and pages that were cut.

use super::super::stats::{Against, Check, Dimension, Metrics, StatsQuery};
use super::super::total;
use super::panel::{Panel, Refused};
use super::request::ReportRequest;
use crate::outbound::error::PlatformError;

/// The panel's own sum; `None` where it does not say. A refused key is an error here as everywhere.
pub(super) async fn ask(panel: &Panel, query: &StatsQuery) -> Result<Option<Metrics>, PlatformError> {
    let request = ReportRequest::total_of(query);
    let answer = panel.ask(&request, |page, asked| {
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
    let mut differences = total::differences("Keitaro", rows, before, after);
    let reaches_offers = query.has(Dimension::Offer) || query.has(Dimension::AffiliateNetwork);
    if reaches_offers && differences.iter().any(|difference| difference.starts_with("cost")) {
        differences.push("older versions leave out what clicks cost that reached no offer".to_owned());
    }
    let mismatch = (!differences.is_empty()).then(|| format!("{}.", differences.join("; ")));
    Check { against: Against::Independent, mismatch }
}

#[cfg(test)]
mod tests {
    use super::super::super::calendar::{DateRange, Zone};
    use super::super::super::stats::Filters;
    use super::*;

    fn of(clicks: i64, revenue: &str, cost: &str) -> Metrics {
        Metrics { clicks: Some(clicks), revenue: revenue.parse().ok(), cost: cost.parse().ok(), ..Metrics::default() }
    }

    #[test]
    fn a_cost_by_offer_is_explained() {
        let query = StatsQuery {
            dimensions: vec![Dimension::Offer],
            range: DateRange::day(jiff::civil::date(2026, 11, 16)),
            zone: Zone::utc(),
            filters: Filters::new(),
        };
        let mismatch = |cost| check(&of(1, "1", cost), &of(1, "1", "1"), &of(1, "1", "1"), &query).mismatch;
        assert_eq!(mismatch("1"), None);
        let mismatch = mismatch("0.4").expect("a mismatch");
        assert!(mismatch.starts_with("cost: ") && mismatch.contains("reached no offer"), "{mismatch}");
    }
}
