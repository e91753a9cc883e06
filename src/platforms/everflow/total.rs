//! The platform's own total of a report, held against its rows.

use std::fmt::Display;

use rust_decimal::Decimal;

use super::super::stats::{Check, Metrics, Row};

/// What the rows add up to, for the platform's own total to be held against.
pub(super) struct Sum {
    metrics: Metrics,
    rows: usize,
}

impl Default for Sum {
    fn default() -> Self {
        Self { metrics: Metrics::ZERO, rows: 0 }
    }
}

impl Sum {
    /// Adds rows.
    pub(super) fn add(&mut self, rows: &[Row]) {
        self.metrics = rows.iter().fold(self.metrics, |sum, row| sum.add(&row.metrics));
        self.rows += rows.len();
    }

    /// Where the platform's total differs. Counts must be the same; amounts may differ by what rounding each row to
    /// cents can do.
    pub(super) fn compare(&self, total: &Metrics) -> Check {
        let rows = &self.metrics;
        let tolerance = Decimal::from(self.rows + 1) * Decimal::new(5, 3);
        let close = |one: Decimal, other: Decimal| one.checked_sub(other).is_some_and(|off| off.abs() <= tolerance);
        let differences: Vec<String> = [
            difference("impressions", rows.impressions, total.impressions, |one, other| one == other),
            difference("clicks", rows.clicks, total.clicks, |one, other| one == other),
            difference("conversions", rows.conversions, total.conversions, |one, other| one == other),
            difference("revenue", rows.revenue, total.revenue, close),
            difference("payout", rows.payout, total.payout, close),
        ]
        .into_iter()
        .flatten()
        .collect();
        Check { mismatch: (!differences.is_empty()).then(|| differences.join("; ")) }
    }
}

/// What to say of two numbers that should be the same, if both are known and are not.
fn difference<T: Copy + Display>(
    name: &str,
    rows: Option<T>,
    total: Option<T>,
    same: impl Fn(T, T) -> bool,
) -> Option<String> {
    let (rows, total) = (rows?, total?);
    (!same(rows, total)).then(|| format!("{name}: the rows add up to {rows}, Everflow's total is {total}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(clicks: i64, revenue: &str) -> Metrics {
        Metrics { clicks: Some(clicks), revenue: revenue.parse().ok(), ..Metrics::default() }
    }

    fn sum(rows: &[Metrics]) -> Sum {
        let mut sum = Sum::default();
        let rows: Vec<Row> =
            rows.iter().map(|metrics| Row { key: Default::default(), currency: None, metrics: *metrics }).collect();
        sum.add(&rows);
        sum
    }

    #[test]
    fn counts_must_agree_and_amounts_up_to_rounding() {
        let rows = sum(&[of(1, "0.33"), of(2, "0.33"), of(3, "0.33")]);
        assert_eq!(rows.compare(&of(6, "1.00")).mismatch, None);
        assert_eq!(rows.compare(&of(6, "0.97")).mismatch, None);
        assert_eq!(
            rows.compare(&of(7, "1.02")).mismatch.as_deref(),
            Some(
                "clicks: the rows add up to 6, Everflow's total is 7; \
                 revenue: the rows add up to 0.99, Everflow's total is 1.02"
            )
        );
    }

    #[test]
    fn what_either_side_does_not_know_is_not_compared() {
        assert_eq!(sum(&[Metrics::default()]).compare(&of(7, "1")).mismatch, None);
        assert_eq!(sum(&[of(7, "1")]).compare(&Metrics::default()).mismatch, None);
        assert_eq!(sum(&[]).compare(&of(0, "0")).mismatch, None);
        assert!(sum(&[]).compare(&of(1, "0")).mismatch.is_some());
    }
}
