//! What everything in a table adds up to, and what the platform's own totals say of it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::platforms::stats::{Against, Batch, Check, Currency, Metrics, Warning, WarningCode};

/// What the platform's own totals and counts say of the rows.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Integrity {
    /// Whether there was anything to hold the rows against.
    pub checked: bool,
    /// What that was.
    pub against: Against,
    /// Whether it agreed; `null` if nothing was checked.
    #[schema(required)]
    pub matches: Option<bool>,
    /// What differs.
    #[schema(required)]
    pub detail: Option<String>,
    /// The same of the rows compared with, where the question compares.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, no_recursion, nullable = false)]
    pub previous: Option<Box<Integrity>>,
}

/// The numbers whose totals are expected to be known. Unique clicks do not add up.
const NUMBERS: [&str; 10] =
    ["impressions", "clicks", "conversions", "approved", "pending", "rejected", "hold", "revenue", "payout", "cost"];

/// Which of [`NUMBERS`] are known.
fn known(metrics: &Metrics) -> [bool; NUMBERS.len()] {
    let Metrics { impressions, clicks, unique_clicks: _, conversions, approved, pending, rejected, hold, .. } = metrics;
    let Metrics { revenue, payout, cost, .. } = metrics;
    let counts = [impressions, clicks, conversions, approved, pending, rejected, hold].map(Option::is_some);
    let money = [revenue, payout, cost].map(Option::is_some);
    let mut known = counts.into_iter().chain(money);
    std::array::from_fn(|_| known.next().unwrap_or_default())
}

/// What everything in the table adds up to, gathered row by row.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) totals: BTreeMap<Option<Currency>, Metrics>,
    /// Of which numbers some row of the currency says its own.
    said: BTreeMap<Option<Currency>, [bool; NUMBERS.len()]>,
    row_count: usize,
    checks: Vec<Check>,
    warnings: Vec<Warning>,
}

impl Tally {
    /// Takes a batch in.
    pub fn add(&mut self, batch: &mut Batch) {
        for row in &batch.rows {
            let sum = self.totals.entry(row.currency).or_insert(Metrics::ZERO);
            *sum = sum.add(&row.metrics);
            let said = self.said.entry(row.currency).or_default();
            said.iter_mut().zip(known(&row.metrics)).for_each(|(said, is_known)| *said |= is_known);
        }
        self.row_count += batch.rows.len();
        self.checks.append(&mut batch.checks);
        for warning in batch.warnings.drain(..) {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// About how many bytes it takes beside the rows.
    pub(super) fn weight(&self) -> usize {
        let totals = self.totals.len() * (size_of::<Metrics>() + 64);
        let checks = self.checks.iter().filter_map(|check| check.mismatch.as_ref()).map(String::capacity);
        let warnings = self.warnings.iter().map(|warning| warning.detail.capacity());
        let lists = self.checks.capacity() * size_of::<Check>() + self.warnings.capacity() * size_of::<Warning>();
        totals + lists + checks.chain(warnings).sum::<usize>()
    }

    /// Rows so far.
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// The checks so far.
    pub(super) fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What the platform's client warned of so far.
    pub(super) fn given_warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The same, and what there is to say of the totals.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let lost = |place: usize| {
            self.totals.iter().any(|(currency, sum)| {
                let is_said = self.said.get(currency).and_then(|said| said.get(place)).is_some_and(|is_said| *is_said);
                is_said && !known(sum).get(place).is_some_and(|is_known| *is_known)
            })
        };
        let lost: Vec<&str> =
            NUMBERS.into_iter().enumerate().filter(|(place, _)| lost(*place)).map(|(_, name)| name).collect();
        let warning = (!lost.is_empty()).then(|| Warning {
            code: WarningCode::TotalUnknown,
            detail: format!("Some rows do not say their {}, so the total of it is not known.", lost.join(", ")),
        });
        self.warnings.iter().cloned().chain(warning).collect()
    }

    pub(super) fn integrity(&self) -> Integrity {
        let mismatches: Vec<&str> = self.checks.iter().filter_map(|check| check.mismatch.as_deref()).collect();
        Integrity {
            checked: !self.checks.is_empty(),
            against: self.checks.iter().map(|check| check.against).max().unwrap_or(Against::None),
            matches: (!self.checks.is_empty()).then_some(mismatches.is_empty()),
            detail: (!mismatches.is_empty()).then(|| mismatches.join(" ")),
            previous: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platforms::stats::{Key, Row};

    fn tally(rows: &[(&str, Metrics)]) -> Tally {
        let row =
            |(code, metrics): &(&str, Metrics)| Row { key: Key::new(), currency: code.parse().ok(), metrics: *metrics };
        let mut tally = Tally::default();
        tally.add(&mut Batch::of(rows.iter().map(row).collect()));
        tally
    }

    #[test]
    fn a_total_that_a_silent_row_makes_unknown_is_reported() {
        let silent = Metrics { revenue: None, cost: None, ..Metrics::ZERO };
        let half = tally(&[("USD", Metrics::ZERO), ("USD", silent), ("EUR", Metrics::ZERO)]);
        let [warning] = half.warnings().try_into().expect("one warning");
        assert_eq!(warning.code, WarningCode::TotalUnknown);
        assert_eq!(warning.detail, "Some rows do not say their revenue, cost, so the total of it is not known.");
        // What no row of a currency says is no surprise, and unique clicks never add up.
        let unique = Metrics { unique_clicks: Some(3), ..Metrics::ZERO };
        assert_eq!(tally(&[("USD", Metrics::ZERO), ("EUR", silent), ("USD", unique), ("USD", unique)]).warnings(), []);
    }

    #[test]
    fn integrity_says_what_the_best_of_its_checks_had() {
        let check = |against, mismatch: Option<&str>| Check { against, mismatch: mismatch.map(str::to_owned) };
        let of = |checks: Vec<Check>| {
            let mut tally = Tally::default();
            tally.add(&mut Batch { checks, ..Batch::default() });
            let Integrity { checked, against, matches, .. } = tally.integrity();
            (checked, against, matches)
        };
        assert_eq!(of(vec![]), (false, Against::None, None));
        assert_eq!(of(vec![check(Against::SameSource, None)]), (true, Against::SameSource, Some(true)));
        let both = vec![check(Against::SameSource, None), check(Against::Independent, Some("1 against 2"))];
        assert_eq!(of(both), (true, Against::Independent, Some(false)));
    }
}
