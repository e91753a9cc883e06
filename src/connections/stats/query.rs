//! The question of a statistics request.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use jiff::Timestamp;
use jiff::civil::Date;

use super::compare::{Alignment, Comparison};
use super::sift::Sift;
use crate::input::InputCode;
use crate::platforms::calendar::{DateRange, Preset, Zone};
use crate::platforms::catalogue::ConnectionTypeEntry;
use crate::platforms::stats::{Dimension, DimensionValue, Filters, Metric, StatsQuery};
use crate::platforms::{Pair, assemble};
use crate::problem::{Code, FieldProblem, Problem};

/// A column to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The connection that a row is of, where rows of several are in one table.
    Connection,
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
    /// Only rows that are so.
    pub sift: Sift,
    /// What to compare with.
    pub compare: Option<Comparison>,
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
    /// The local day on which it is asked.
    pub today: Date,
}

impl Question {
    /// The question at this moment.
    pub fn at(self, now: Timestamp) -> Asked {
        let today = self.zone.date_at(now);
        let range = match self.period {
            Period::Days(range) => range,
            Period::Preset(preset) => preset.range(today),
        };
        Asked { question: self, range, today }
    }
}

impl Asked {
    /// What the platform's client is asked: filtered dimensions that are not grouped by are read along, and days in the
    /// place of weeks and months.
    ///
    /// # Errors
    /// A question that the platform, or the service's own limits, rule out: all that is wrong with it, and what is
    /// possible.
    pub fn for_client(&self, pair: Pair, max_range_days: u32) -> Result<StatsQuery, Problem> {
        let entry = pair.entry();
        let mut wrong = self.unknown_dimensions(pair);
        wrong.extend(self.wrong_combination(pair));
        wrong.extend(self.wrong_comparison());
        let longest = max_range_days.min(entry.max_range_days);
        if self.range.len_days() > longest {
            let days = self.range.len_days();
            let detail = format!("The range has {days} days; the longest range that works is {longest} days.");
            wrong.push(FieldProblem::at("", "from", InputCode::OutOfRange, detail));
        }
        if !wrong.is_empty() {
            return Err(unsupported(wrong));
        }
        let mut filters = self.question.filters.clone();
        for (dimension, ids) in &mut filters {
            // Rows without an entity stand under an id of ours, where the platform has none for them.
            if ids.contains("") && !dimension.is_time() && !dimension.is_sub_id() {
                ids.insert(CompactString::const_new(DimensionValue::UNKNOWN_ID));
            }
        }
        Ok(StatsQuery {
            dimensions: assemble::read_along(&self.question.group_by, &filters, entry.undivided),
            range: self.range,
            zone: self.question.zone.clone(),
            filters,
        })
    }

    fn unknown_dimensions(&self, pair: Pair) -> Vec<FieldProblem> {
        let question = &self.question;
        let grouped = question.group_by.iter().map(|dimension| ("group_by".to_owned(), *dimension));
        let filtered = question.filters.keys().map(|dimension| (format!("filter[{dimension}]"), *dimension));
        grouped
            .chain(filtered)
            .filter(|(_, dimension)| !has(pair.entry(), *dimension))
            .map(|(parameter, dimension)| {
                FieldProblem::at("", &parameter, InputCode::UnknownValue, lacks(pair, dimension))
            })
            .collect()
    }

    fn wrong_combination(&self, pair: Pair) -> Option<FieldProblem> {
        let only = pair.entry().combinations.only.as_ref()?;
        let sources = |set: &[Dimension]| set.iter().map(|dimension| dimension.source()).collect::<BTreeSet<_>>();
        let wanted = sources(&self.question.group_by);
        let is_known = self.question.group_by.iter().all(|dimension| has(pair.entry(), *dimension));
        if wanted.is_empty() || !is_known || only.iter().any(|set| sources(set) == wanted) {
            return None;
        }
        let sets: Vec<String> =
            only.iter().map(|set| set.iter().map(|dimension| dimension.key()).collect::<Vec<_>>().join("+")).collect();
        let detail = format!("{} cannot group so; possible are {}.", title(pair), sets.join(", "));
        Some(FieldProblem::at("", "group_by", InputCode::Conflict, detail))
    }

    fn wrong_comparison(&self) -> Vec<FieldProblem> {
        let Some(comparison) = self.question.compare else { return Vec::new() };
        let grouped = self.question.group_by.iter().filter(|dimension| !comparison.goes_with(**dimension));
        grouped
            .map(|dimension| {
                let possible = Comparison::possible(*dimension).join(", ");
                let detail = format!("{} does not go with {dimension}; possible are {possible}.", comparison.key());
                FieldProblem::at("", "compare", InputCode::Conflict, detail)
            })
            .collect()
    }

    /// The days to compare with, if the question compares.
    ///
    /// # Errors
    /// Days that have nothing to be compared with.
    pub(crate) fn alignment(&self) -> Result<Option<Alignment>, Problem> {
        let Some(comparison) = self.question.compare else { return Ok(None) };
        let alignment = Alignment::of(comparison, self.range, self.today, &self.question.group_by);
        let nothing = || {
            let detail = format!("None of these days has one that {} compares with.", comparison.key());
            unsupported(vec![FieldProblem::at("", "compare", InputCode::Conflict, detail)])
        };
        alignment.map(Some).ok_or_else(nothing)
    }

    /// The same question, as plainly as can be, about the days that this one is compared with.
    pub fn then(&self, alignment: &Alignment) -> Self {
        let filters = self.question.filters.iter().map(|(dimension, ids)| {
            (*dimension, ids.iter().filter_map(|id| alignment.id_then(*dimension, id)).collect())
        });
        let question = Question {
            period: Period::Days(alignment.then),
            filters: filters.collect(),
            sift: Sift::default(),
            compare: None,
            sort: None,
            cursor: None,
            ..self.question.clone()
        };
        Self { question, range: alignment.then, today: self.today }
    }

    /// Whether the answer shows a pulled table as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.question.compare.is_none() && self.question.sift.is_open()
    }

    /// What makes two pulls the same: everything but how the table is sorted, cut and shown.
    pub(super) fn pull_key(&self) -> String {
        format!("{} {} {}", self.range.from(), self.range.to(), self.series_key())
    }

    /// What makes two pulls the same, but for the days that are asked for.
    pub(super) fn series_key(&self) -> String {
        let filters: BTreeMap<&str, &BTreeSet<CompactString>> =
            self.question.filters.iter().map(|(dimension, ids)| (dimension.key(), ids)).collect();
        format!("{:?} {} {filters:?}", self.question.group_by, self.question.zone.name())
    }

    /// What makes two answers the same, but for the page: the pull, which rows are kept, what they are compared with, the
    /// order and the columns. What is running, and what is cut, changes with the day.
    pub(super) fn table_key(&self) -> String {
        let Question { sort, metrics, sift, compare, .. } = &self.question;
        format!("{} {sort:?} {metrics:?} {sift:?} {compare:?} {}", self.pull_key(), self.today)
    }

    /// What a cursor of this question is bound to: the same, but for the days that a preset stands for today.
    pub(super) fn cursor_key(&self) -> String {
        let filters: BTreeMap<&str, &BTreeSet<CompactString>> =
            self.question.filters.iter().map(|(dimension, ids)| (dimension.key(), ids)).collect();
        let Question { group_by, period, zone, sort, metrics, sift, compare, .. } = &self.question;
        format!("{group_by:?} {period:?} {} {filters:?} {sort:?} {metrics:?} {sift:?} {compare:?}", zone.name())
    }
}

fn title(pair: Pair) -> String {
    format!("{} ({})", pair.platform().title(), pair.connection_type())
}

fn has(entry: &ConnectionTypeEntry, dimension: Dimension) -> bool {
    entry.dimensions.iter().any(|known| known.key == dimension)
}

/// What to say where a platform does not have a dimension.
pub(super) fn lacks(pair: Pair, dimension: impl std::fmt::Display) -> String {
    let listed = pair.entry().dimensions.iter().map(|known| known.key.key()).collect::<Vec<_>>().join(", ");
    format!("{} has no dimension {dimension}; it has {listed}.", title(pair))
}

/// All that rules a question out.
pub(super) fn unsupported(wrong: Vec<FieldProblem>) -> Problem {
    let detail = wrong.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join(" ");
    Problem { errors: wrong, ..Problem::new(Code::UnsupportedQuery, detail) }
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
            sift: Sift::default(),
            compare: None,
            metrics: text("metrics").map(|metric| vec![metric.parse().expect("a metric")]),
            sort,
            limit: text("limit").map_or(100, |limit| limit.parse().expect("a number")),
            cursor: None,
        };
        question.at(Timestamp::UNIX_EPOCH)
    }
}
