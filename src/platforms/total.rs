//! A platform's own total of a report, held against its rows.
//!
//! A day that is not over goes on while its rows are read. Where the total was asked for before and after them, whatever
//! lies between the two agrees.

use std::fmt::Display;

use rust_decimal::Decimal;

use super::stats::{Against, Check, Metrics};

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

    /// Where the total of this platform differs.
    pub(super) fn compare(&self, platform: &str, total: &Metrics) -> Check {
        self.compare_between(platform, total, total)
    }

    /// Where the total of this platform differs, before and after the rows were read. Counts must be the same; amounts may
    /// differ by what rounding each row to cents can do.
    pub(super) fn compare_between(&self, platform: &str, before: &Metrics, after: &Metrics) -> Check {
        let rows = &self.metrics;
        let tolerance = Decimal::from(self.rows + 1) * Decimal::new(5, 3);
        let count = |rows: i64, low: i64, high: i64| low <= rows && rows <= high;
        let money = |rows: Decimal, low: Decimal, high: Decimal| {
            let bounds = || Some((low.checked_sub(tolerance)?, high.checked_add(tolerance)?));
            bounds().is_some_and(|(low, high)| low <= rows && rows <= high)
        };
        let differences: Vec<String> = [
            outside(platform, "impressions", rows.impressions, before.impressions, after.impressions, count),
            outside(platform, "clicks", rows.clicks, before.clicks, after.clicks, count),
            outside(platform, "conversions", rows.conversions, before.conversions, after.conversions, count),
            outside(platform, "revenue", rows.revenue, before.revenue, after.revenue, money),
            outside(platform, "payout", rows.payout, before.payout, after.payout, money),
        ]
        .into_iter()
        .flatten()
        .collect();
        Check { against: Against::Independent, mismatch: (!differences.is_empty()).then(|| differences.join("; ")) }
    }
}

/// Where rows differ from a total that was asked for before and after them, of a platform that adds up in binary floats.
pub(super) fn differences(platform: &str, rows: &Metrics, before: &Metrics, after: &Metrics) -> Vec<String> {
    let counts = [
        ("clicks", rows.clicks, before.clicks, after.clicks),
        ("conversions", rows.conversions, before.conversions, after.conversions),
        ("approved", rows.approved, before.approved, after.approved),
        ("pending", rows.pending, before.pending, after.pending),
        ("rejected", rows.rejected, before.rejected, after.rejected),
    ];
    let amounts =
        [("revenue", rows.revenue, before.revenue, after.revenue), ("cost", rows.cost, before.cost, after.cost)];
    let counts = counts.into_iter().filter_map(|(name, rows, before, after)| {
        outside(platform, name, rows, before, after, |rows, low, high| low <= rows && rows <= high)
    });
    let amounts = amounts
        .into_iter()
        .filter_map(|(name, rows, before, after)| outside(platform, name, rows, before, after, is_between));
    counts.chain(amounts).collect()
}

/// What to say of a number that lies outside of what it should be, where it is known on all sides.
fn outside<T: Copy + Ord + Display>(
    platform: &str,
    name: &str,
    rows: Option<T>,
    before: Option<T>,
    after: Option<T>,
    is_between: impl Fn(T, T, T) -> bool,
) -> Option<String> {
    let (rows, before, after) = (rows?, before?, after?);
    let agrees = is_between(rows, before.min(after), before.max(after));
    (!agrees).then(|| format!("{name}: the rows add up to {rows}, {platform}'s own sum is {after}"))
}

/// Half a cent is no difference in a sum of binary floats, nor is one part in a billion.
fn is_between(rows: Decimal, low: Decimal, high: Decimal) -> bool {
    let (half_a_cent, one_in_a_billion) = (Decimal::new(5, 3), Decimal::new(1, 9));
    let noise = low.abs().max(high.abs()).checked_mul(one_in_a_billion).unwrap_or_default().max(half_a_cent);
    let bounds = || Some((low.checked_sub(noise)?, high.checked_add(noise)?));
    bounds().is_some_and(|(low, high)| low < rows && rows < high)
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
                "clicks: the rows add up to 6, Everflow's own sum is 7; \
                 revenue: the rows add up to 0.99, Everflow's own sum is 1.02"
            )
        );
    }

    #[test]
    fn what_goes_on_while_rows_are_read_lies_between() {
        let (before, after) = (of(10, "5"), of(14, "9"));
        for (clicks, revenue, agrees) in [(12, "7", true), (10, "9.01", true), (15, "7", false), (12, "4.5", false)] {
            let rows = sum(&[of(clicks, revenue)]);
            assert_eq!(
                rows.compare_between("Everflow", &before, &after).mismatch.is_none(),
                agrees,
                "{clicks} {revenue}"
            );
        }
    }

    #[test]
    fn float_noise_is_no_difference_and_a_cent_is_one() {
        let total = of(10, "100.000000001");
        assert_eq!(differences("Keitaro", &of(10, "100"), &total, &total), Vec::<String>::new());
        assert_eq!(
            differences("Keitaro", &of(9, "99.99"), &total, &total),
            [
                "clicks: the rows add up to 9, Keitaro's own sum is 10",
                "revenue: the rows add up to 99.99, Keitaro's own sum is 100.000000001"
            ]
        );
        assert_eq!(differences("Keitaro", &of(12, "7"), &of(10, "5"), &of(14, "9")), Vec::<String>::new());
        assert_eq!(differences("Keitaro", &Metrics::default(), &total, &total), Vec::<String>::new());
    }

    #[test]
    fn what_either_side_does_not_know_is_not_compared() {
        assert_eq!(sum(&[Metrics::default()]).compare("Everflow", &of(7, "1")).mismatch, None);
        assert_eq!(sum(&[of(7, "1")]).compare("Everflow", &Metrics::default()).mismatch, None);
        assert_eq!(sum(&[]).compare("Everflow", &of(0, "0")).mismatch, None);
        assert!(sum(&[]).compare("Everflow", &of(1, "0")).mismatch.is_some());
    }
}
