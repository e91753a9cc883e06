//! The question of a statistics request.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use jiff::Timestamp;

use crate::platforms::Pair;
use crate::platforms::calendar::{DateRange, Preset, Zone};
use crate::platforms::stats::{Dimension, Filters, Metric, StatsQuery};
use crate::problem::{Code, Problem};

/// A column to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// A dimension, by id.
    Dimension(Dimension),
    /// A metric.
    Metric(Metric),
}

/// An order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By which column.
    pub column: Column,
    /// Whether reversed.
    pub descending: bool,
}

/// Which days are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A named range, computed in the question's zone when it is answered.
    Preset(Preset),
    /// These days.
    Days(DateRange),
}

/// The question.
#[derive(Debug, Clone)]
pub struct Question {
    /// What rows are grouped by.
    pub group_by: Vec<Dimension>,
    /// Which days.
    pub period: Period,
    /// In which zone.
    pub zone: Zone,
    /// Only these ids.
    pub filters: Filters,
    /// Only these metrics, in this order; `None` for all.
    pub metrics: Option<Vec<Metric>>,
    /// The order of rows.
    pub sort: Option<Sort>,
    /// Rows of one page.
    pub limit: usize,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// A question over a known range.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// The days, the preset resolved.
    pub range: DateRange,
}

impl Question {
    /// The question at this moment.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Asked {
        let range = match self.period {
            Period::Days(range) => range,
            Period::Preset(preset) => preset.range(self.zone.date_at(now)),
        };
        Asked { question: self, range }
    }
}

impl Asked {
    /// What the platform's client is asked: filtered dimensions that are not grouped by are read along.
    ///
    /// # Errors
    /// A question that the platform, or the service's own limits, rule out; the detail names what is possible.
    pub fn for_client(&self, pair: Pair, max_range_days: u32) -> Result<StatsQuery, Problem> {
        let entry = pair.entry();
        let listed = entry.dimensions.iter().map(|dimension| dimension.key.key()).collect::<Vec<_>>().join(", ");
        let known = |wanted: &Dimension| entry.dimensions.iter().any(|dimension| dimension.key == *wanted);
        let title = format!("{} ({})", pair.platform().title(), pair.connection_type());
        for dimension in self.question.group_by.iter().chain(self.question.filters.keys()) {
            if !known(dimension) {
                return Err(Problem::new(
                    Code::UnsupportedQuery,
                    format!("{title} has no dimension {dimension}; it has {listed}."),
                ));
            }
        }
        if let Some(only) = &entry.combinations.only {
            let wanted: BTreeSet<Dimension> = self.question.group_by.iter().copied().collect();
            if !only.iter().any(|set| set.iter().copied().collect::<BTreeSet<_>>() == wanted) {
                let sets: Vec<String> = only
                    .iter()
                    .map(|set| set.iter().map(|dimension| dimension.key()).collect::<Vec<_>>().join("+"))
                    .collect();
                return Err(Problem::new(
                    Code::UnsupportedQuery,
                    format!("{title} cannot group so; possible are {}.", sets.join(", ")),
                ));
            }
        }
        let longest = max_range_days.min(entry.max_range_days);
        if self.range.len_days() > longest {
            return Err(Problem::new(
                Code::UnsupportedQuery,
                format!(
                    "The range has {} days; the longest range that works is {longest} days.",
                    self.range.len_days()
                ),
            ));
        }
        let mut dimensions = self.question.group_by.clone();
        dimensions.extend(self.question.filters.keys().filter(|key| !self.question.group_by.contains(key)));
        Ok(StatsQuery {
            dimensions,
            range: self.range,
            zone: self.question.zone.clone(),
            filters: self.question.filters.clone(),
        })
    }

    /// What makes two pulls the same: everything but how the table is sorted, cut and shown.
    pub(super) fn pull_key(&self) -> String {
        let filters: BTreeMap<&str, &BTreeSet<CompactString>> =
            self.question.filters.iter().map(|(dimension, ids)| (dimension.key(), ids)).collect();
        format!(
            "{:?} {} {} {} {filters:?}",
            self.question.group_by,
            self.range.from(),
            self.range.to(),
            self.question.zone.name()
        )
    }

    /// What makes two tables the same for a cursor: the pull, the order and the columns.
    pub(super) fn table_key(&self) -> String {
        format!("{} {:?} {:?}", self.pull_key(), self.question.sort, self.question.metrics)
    }

    /// What a cursor of this question is bound to: the same, but for the days that a preset stands for today.
    pub(super) fn cursor_key(&self) -> String {
        let filters: BTreeMap<&str, &BTreeSet<CompactString>> =
            self.question.filters.iter().map(|(dimension, ids)| (dimension.key(), ids)).collect();
        format!(
            "{:?} {:?} {} {filters:?} {:?} {:?}",
            self.question.group_by,
            self.question.period,
            self.question.zone.name(),
            self.question.sort,
            self.question.metrics
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::civil::Date;

    use super::*;

    /// Two days by affiliate, with the `sort`, `limit` and one metric that `query` names.
    pub(in super::super) fn asked(query: &str) -> Asked {
        let text =
            |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, text)| text);
        let sort = text("sort").map(|sort| {
            let (descending, key) = sort.strip_prefix('-').map_or((false, &*sort), |key| (true, key));
            let column = key.parse().map_or(Column::Dimension(Dimension::Affiliate), Column::Metric);
            Sort { column, descending }
        });
        let days = DateRange::new(Date::constant(2026, 1, 1), Date::constant(2026, 1, 2)).expect("days");
        let question = Question {
            group_by: vec![Dimension::Affiliate],
            period: Period::Days(days),
            zone: Zone::utc(),
            filters: Filters::new(),
            metrics: text("metrics").map(|metric| vec![metric.parse().expect("a metric")]),
            sort,
            limit: text("limit").map_or(100, |limit| limit.parse().expect("a number")),
            cursor: None,
        };
        question.at(Timestamp::UNIX_EPOCH)
    }
}
