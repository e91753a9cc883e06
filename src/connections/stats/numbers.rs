//! Numbers as they are shown: of a row or a total, beside what they were before.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::tally::Tally;
use crate::platforms::stats::{Currency, Metric, MetricValue, Metrics, Perspective, Row, change};

/// What rows add up to. Profit is added up as it is: the rows of several connections see it from different sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    metrics: Metrics,
    profit: Option<Decimal>,
}

impl Sum {
    const ZERO: Self = Self { metrics: Metrics::ZERO, profit: Some(Decimal::ZERO) };

    fn add(&mut self, metrics: &Metrics, perspective: Perspective) {
        let profit = metrics.profit(perspective);
        self.profit = self.profit.zip(profit).and_then(|(sum, profit)| sum.checked_add(profit));
        self.metrics = self.metrics.add(metrics);
    }

    fn absorb(&mut self, other: &Self) {
        self.profit = self.profit.zip(other.profit).and_then(|(sum, profit)| sum.checked_add(profit));
        self.metrics = self.metrics.add(&other.metrics);
    }
}

/// Numbers to be shown: of a row, or of a total.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numbers<'a> {
    Of(&'a Metrics, Perspective),
    Sum(&'a Sum),
}

impl Numbers<'_> {
    /// A metric, derived ones included.
    pub(super) fn get(&self, metric: Metric) -> Option<MetricValue> {
        match self {
            Self::Of(metrics, perspective) => metrics.get(metric, *perspective),
            Self::Sum(sum) if metric == Metric::Profit => {
                sum.profit.map(|profit| MetricValue::Decimal(profit.normalize()))
            }
            // The point of view decides on nothing but the profit.
            Self::Sum(sum) => sum.metrics.get(metric, Perspective::Network),
        }
    }

    /// How far a metric is from what it was, from exact values.
    pub(super) fn change(&self, then: &Self, metric: Metric) -> Option<Decimal> {
        let exact = |numbers: &Self| match numbers {
            Self::Of(metrics, perspective) => metrics.exact(metric, *perspective),
            Self::Sum(sum) if metric == Metric::Profit => sum.profit.map(|profit| (profit, Decimal::ONE)),
            Self::Sum(sum) => sum.metrics.exact(metric, Perspective::Network),
        };
        change(exact(self)?, exact(then)?)
    }
}

/// A total of one currency, beside what it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Total {
    pub(super) now: Sum,
    pub(super) then: Option<Sum>,
}

/// Totals by currency.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals(pub(super) BTreeMap<Option<Currency>, Total>);

impl Totals {
    /// Those of a table that is shown as it is.
    pub(super) fn of(tally: &Tally, perspective: Perspective) -> Self {
        let total = |metrics: &Metrics| {
            let now = Sum { metrics: *metrics, profit: metrics.profit(perspective) };
            Total { now, then: None }
        };
        Self(tally.totals.iter().map(|(currency, metrics)| (*currency, total(metrics))).collect())
    }

    /// Adds a row that `then` is compared with, if anything is.
    pub(super) fn add(&mut self, row: &Row, then: Option<&Before>, perspective: Perspective) {
        let empty = Total { now: Sum::ZERO, then: then.map(|_| Sum::ZERO) };
        let total = self.0.entry(row.currency).or_insert(empty);
        total.now.add(&row.metrics, perspective);
        if let (Some(sum), Some(Before::Was(then))) = (&mut total.then, then) {
            sum.add(then, perspective);
        }
    }

    /// Adds what other rows add up to.
    pub(super) fn absorb(&mut self, others: &Self) {
        for (currency, other) in &others.0 {
            let empty = Total { now: Sum::ZERO, then: other.then.map(|_| Sum::ZERO) };
            let total = self.0.entry(*currency).or_insert(empty);
            total.now.absorb(&other.now);
            if let (Some(sum), Some(then)) = (&mut total.then, &other.then) {
                sum.absorb(then);
            }
        }
    }
}

/// What a row was before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Before {
    /// This.
    Was(Metrics),
    /// There is nothing to compare it with.
    Nothing,
}

impl Before {
    /// As it is shown: nothing is known of what never was.
    pub(super) fn shown(&self) -> &Metrics {
        static UNKNOWN: Metrics = Metrics::UNKNOWN;
        match self {
            Self::Was(metrics) => metrics,
            Self::Nothing => &UNKNOWN,
        }
    }
}
