//! Which rows of a table are answered: those whose metrics and names are as asked for.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::platforms::stats::{Metric, MetricValue, Metrics, Row};

/// What rows must be like. Everything is looked at as it is shown: ratios at six places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sift {
    /// The least values.
    pub min: BTreeMap<Metric, Decimal>,
    /// The greatest.
    pub max: BTreeMap<Metric, Decimal>,
    /// What a name or an id must contain.
    pub search: Option<Search>,
}

/// A text that is looked for, whatever the letter case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    text: String,
    folded: String,
}

impl Search {
    /// A search for this text.
    pub fn of(text: &str) -> Self {
        Self { text: text.to_owned(), folded: text.to_lowercase() }
    }

    /// The text as it was asked for.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this is found in a text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.folded)
    }
}

impl Sift {
    /// Whether every row passes.
    pub fn is_open(&self) -> bool {
        self.min.is_empty() && self.max.is_empty() && self.search.is_none()
    }

    /// Whether a row passes whose metrics are read by `get`.
    pub fn keeps(&self, row: &Row, get: impl Fn(&Metrics, Metric) -> Option<MetricValue>) -> bool {
        let value = |metric: Metric| {
            get(&row.metrics, metric).map(|value| match value {
                MetricValue::Integer(count) => count.into(),
                MetricValue::Decimal(number) => number,
            })
        };
        let is_found =
            |search: &Search| row.key.iter().any(|value| search.is_in(&value.id) || search.is_in(&value.name));
        self.min.iter().all(|(metric, least)| value(*metric).is_some_and(|value: Decimal| value >= *least))
            && self.max.iter().all(|(metric, most)| value(*metric).is_some_and(|value| value <= *most))
            && self.search.as_ref().is_none_or(is_found)
    }
}
