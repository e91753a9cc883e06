//! A platform's own total of a report, held against its rows.

use std::fmt::Display;

use rust_decimal::Decimal;

use super::stats::{Check, Metrics};

/// What rows add up to, for a platform's own total to be held against.
#[derive(Debug, Clone, Copy)]
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
    /// Adds the numbers of a row.
    pub(super) fn add(&mut self, row: &Metrics) {
        self.merge(&Self { metrics: *row, rows: 1 });
    }

    /// Adds what other rows add up to.
    pub(super) fn merge(&mut self, other: &Self) {
        self.metrics = self.metrics.add(&other.metrics);
        self.rows += other.rows;
    }

    /// Where the total of this platform differs. Counts must be the same; amounts may differ by what rounding each row to
    /// cents can do.
    pub(super) fn compare(&self, platform: &str, total: &Metrics) -> Check {
        let rows = &self.metrics;
        let tolerance = Decimal::from(self.rows + 1) * Decimal::new(5, 3);
        let close = |one: Decimal, other: Decimal| one.checked_sub(other).is_some_and(|off| off.abs() <= tolerance);
        let differences: Vec<String> = [
            difference(platform, "impressions", rows.impressions, total.impressions, |one, other| one == other),
            difference(platform, "clicks", rows.clicks, total.clicks, |one, other| one == other),
            difference(platform, "conversions", rows.conversions, total.conversions, |one, other| one == other),
            difference(platform, "revenue", rows.revenue, total.revenue, close),
            difference(platform, "payout", rows.payout, total.payout, close),
        ]
        .into_iter()
        .flatten()
        .collect();
        Check { mismatch: (!differences.is_empty()).then(|| differences.join("; ")) }
    }
}

/// What to say of two numbers that should be the same, if both are known and are not.
fn difference<T: Copy + Display>(
    platform: &str,
    name: &str,
    rows: Option<T>,
    total: Option<T>,
    same: impl Fn(T, T) -> bool,
) -> Option<String> {
    let (rows, total) = (rows?, total?);
    (!same(rows, total)).then(|| format!("{name}: the rows add up to {rows}, {platform}'s total is {total}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(clicks: i64, revenue: &str) -> Metrics {
        Metrics { clicks: Some(clicks), revenue: revenue.parse().ok(), ..Metrics::default() }
    }

    fn sum(rows: &[Metrics]) -> Sum {
        let mut sum = Sum::default();
        rows.iter().for_each(|row| sum.add(row));
        sum
    }

    #[test]
    fn counts_must_agree_and_amounts_up_to_rounding() {
        let rows = sum(&[of(1, "0.33"), of(2, "0.33"), of(3, "0.33")]);
        assert_eq!(rows.compare("Everflow", &of(6, "1.00")).mismatch, None);
        assert_eq!(rows.compare("Everflow", &of(6, "0.97")).mismatch, None);
        assert_eq!(
            rows.compare("Everflow", &of(7, "1.02")).mismatch.as_deref(),
            Some(
                "clicks: the rows add up to 6, Everflow's total is 7; \
                 revenue: the rows add up to 0.99, Everflow's total is 1.02"
            )
        );
    }

    #[test]
    fn what_either_side_does_not_know_is_not_compared() {
        assert_eq!(sum(&[Metrics::default()]).compare("Everflow", &of(7, "1")).mismatch, None);
        assert_eq!(sum(&[of(7, "1")]).compare("Everflow", &Metrics::default()).mismatch, None);
        assert_eq!(sum(&[]).compare("Everflow", &of(0, "0")).mismatch, None);
        assert!(sum(&[]).compare("Everflow", &of(1, "0")).mismatch.is_some());
    }
}
