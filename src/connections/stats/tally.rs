//! What everything in a table adds up to, and what the platform's own totals say of it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::platforms::stats::{Batch, Check, Currency, Metrics, Warning};

/// What the platform's own totals and counts say of the rows.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Integrity {
    /// Whether there was anything to hold the rows against.
    pub checked: bool,
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

/// What everything in the table adds up to, gathered row by row.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) totals: BTreeMap<Option<Currency>, Metrics>,
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
        }
        self.row_count += batch.rows.len();
        self.checks.append(&mut batch.checks);
        for warning in batch.warnings.drain(..) {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    /// The checks so far.
    pub(super) fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The warnings so far.
    pub(super) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    pub(super) fn integrity(&self) -> Integrity {
        let mismatches: Vec<&str> = self.checks.iter().filter_map(|check| check.mismatch.as_deref()).collect();
        Integrity {
            checked: !self.checks.is_empty(),
            matches: (!self.checks.is_empty()).then_some(mismatches.is_empty()),
            detail: (!mismatches.is_empty()).then(|| mismatches.join(" ")),
            previous: None,
        }
    }
}
