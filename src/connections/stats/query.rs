//! The question of a statistics request, read from its query string.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::platforms::Pair;
use crate::platforms::calendar::{DateRange, Preset, Zone};
use crate::platforms::stats::{Dimension, Filters, Metric, StatsQuery};
use crate::problem::{Code, FieldProblem, Problem};

/// The most dimensions of one question.
const MAX_DIMENSIONS: usize = 3;
/// The most ids of one filter.
const MAX_FILTER_IDS: usize = 500;
/// The most rows of one page, and how many come unasked.
const MAX_LIMIT: usize = 1_000;
const DEFAULT_LIMIT: usize = 100;

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
    /// Reads the parameters. `cursor_allowed` is off where there is no single table to page through.
    ///
    /// # Errors
    /// All wrong parameters at once.
    pub fn read(pairs: &[(String, String)], cursor_allowed: bool) -> Result<Self, Problem> {
        let mut reader = Reader::new(pairs, cursor_allowed);
        let group_by = reader.group_by();
        let zone = reader.zone();
        let period = reader.period();
        let filters = reader.filters();
        let metrics = reader.metrics();
        let sort = reader.sort(&group_by);
        let limit = reader.limit();
        let cursor = reader.one("cursor").map(str::to_owned);
        match period {
            Some(period) if reader.errors.is_empty() => {
                Ok(Self { group_by, period, zone, filters, metrics, sort, limit, cursor })
            }
            _ => Err(Problem::validation(reader.errors)),
        }
    }

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

/// Takes parameters out of the query string and collects what is wrong with them.
struct Reader<'a> {
    single: BTreeMap<&'a str, &'a str>,
    filters: BTreeMap<&'a str, &'a str>,
    errors: Vec<FieldProblem>,
}

impl<'a> Reader<'a> {
    const KNOWN: [&'static str; 9] =
        ["group_by", "preset", "from", "to", "timezone", "metrics", "sort", "limit", "cursor"];

    fn new(pairs: &'a [(String, String)], cursor_allowed: bool) -> Self {
        let mut reader = Self { single: BTreeMap::new(), filters: BTreeMap::new(), errors: Vec::new() };
        for (key, value) in pairs {
            let known = Self::KNOWN.contains(&key.as_str()) && (cursor_allowed || key != "cursor");
            let filtered = key.strip_prefix("filter[").and_then(|rest| rest.strip_suffix(']'));
            let repeated = match (known, filtered) {
                (true, _) => reader.single.insert(key, value).is_some(),
                (false, Some(dimension)) => reader.filters.insert(dimension, value).is_some(),
                (false, None) => {
                    let detail = format!("Known parameters are {} and filter[<dimension>].", Self::KNOWN.join(", "));
                    reader.wrong(key, "unknown_parameter", detail);
                    false
                }
            };
            if repeated {
                reader.wrong(key, "repeated", "Give this parameter once.");
            }
        }
        reader
    }

    fn one(&self, key: &str) -> Option<&'a str> {
        self.single.get(key).copied()
    }

    fn wrong(&mut self, parameter: &str, code: &'static str, detail: impl Into<String>) {
        let parameter: String = parameter.chars().take(100).collect();
        let pointer = format!("/{}", parameter.replace('~', "~0").replace('/', "~1"));
        self.errors.push(FieldProblem::new(pointer, code, detail));
    }

    fn list(&self, key: &str) -> Vec<&'a str> {
        self.one(key).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
    }

    fn group_by(&mut self) -> Vec<Dimension> {
        let mut dimensions = Vec::new();
        for key in self.list("group_by") {
            match key.parse() {
                Ok(dimension) if dimensions.contains(&dimension) => {
                    self.wrong("group_by", "repeated", format!("{dimension} is named twice."));
                }
                Ok(dimension) => dimensions.push(dimension),
                Err(()) => {
                    let known = Dimension::ALL.map(Dimension::key).join(", ");
                    self.wrong("group_by", "unknown_value", format!("Dimensions are {known}."));
                }
            }
        }
        if dimensions.is_empty() && self.errors.is_empty() {
            self.wrong("group_by", "required", "Name 1 to 3 dimensions, such as affiliate,date.");
        }
        if dimensions.len() > MAX_DIMENSIONS {
            self.wrong("group_by", "too_many", "Name at most 3 dimensions.");
        }
        dimensions
    }

    fn zone(&mut self) -> Zone {
        match self.one("timezone") {
            None => Zone::utc(),
            Some(name) => Zone::find(name).unwrap_or_else(|| {
                self.wrong("timezone", "unknown_value", "This is not an IANA time zone such as Europe/Berlin.");
                Zone::utc()
            }),
        }
    }

    fn date(&mut self, key: &str) -> Option<Date> {
        let text = self.one(key)?;
        let date = (text.len() == 10).then(|| text.parse().ok()).flatten();
        if date.is_none() {
            self.wrong(key, "format", "Write the date as YYYY-MM-DD.");
        }
        date
    }

    fn period(&mut self) -> Option<Period> {
        let days = self.one("from").is_some() || self.one("to").is_some();
        match (self.one("preset"), days) {
            (Some(_), true) => {
                self.wrong("preset", "conflict", "Give either preset, or from and to.");
                None
            }
            (Some(key), false) => {
                let preset = Preset::find(key);
                if preset.is_none() {
                    let known = Preset::ALL.map(Preset::key).join(", ");
                    self.wrong("preset", "unknown_value", format!("Presets are {known}."));
                }
                preset.map(Period::Preset)
            }
            (None, _) => self.days(),
        }
    }

    fn days(&mut self) -> Option<Period> {
        for key in ["from", "to"] {
            if self.one(key).is_none() {
                self.wrong(key, "required", "Give from and to, or a preset.");
            }
        }
        let (from, to) = (self.date("from"), self.date("to"));
        let (from, to) = from.zip(to)?;
        let range = DateRange::new(from, to);
        if range.is_none() {
            self.wrong("to", "conflict", "The range ends before it starts.");
        }
        range.map(Period::Days)
    }

    fn filters(&mut self) -> Filters {
        let mut filters = Filters::new();
        for (key, ids) in std::mem::take(&mut self.filters) {
            let parameter = format!("filter[{key}]");
            let Ok(dimension) = key.parse::<Dimension>() else {
                let known = Dimension::ALL.map(Dimension::key).join(", ");
                self.wrong(&parameter, "unknown_parameter", format!("Dimensions are {known}."));
                continue;
            };
            let ids: BTreeSet<CompactString> =
                ids.split(',').map(str::trim).filter(|id| !id.is_empty()).map(CompactString::from).collect();
            if ids.is_empty() {
                self.wrong(&parameter, "required", "Name at least one id.");
            } else if ids.len() > MAX_FILTER_IDS {
                self.wrong(&parameter, "too_many", format!("Name at most {MAX_FILTER_IDS} ids."));
            }
            filters.insert(dimension, ids);
        }
        filters
    }

    fn metrics(&mut self) -> Option<Vec<Metric>> {
        self.one("metrics")?;
        let mut metrics = Vec::new();
        for key in self.list("metrics") {
            match key.parse() {
                Ok(metric) if metrics.contains(&metric) => {
                    self.wrong("metrics", "repeated", format!("{metric} is named twice."));
                }
                Ok(metric) => metrics.push(metric),
                Err(()) => {
                    let known = Metric::ALL.map(Metric::key).join(", ");
                    self.wrong("metrics", "unknown_value", format!("Metrics are {known}."));
                }
            }
        }
        if metrics.is_empty() && self.errors.is_empty() {
            self.wrong("metrics", "required", "Name at least one metric, or leave the parameter out.");
        }
        Some(metrics)
    }

    fn sort(&mut self, group_by: &[Dimension]) -> Option<Sort> {
        let text = self.one("sort")?;
        let (descending, key) = match text.strip_prefix('-') {
            Some(key) => (true, key),
            None => (false, text),
        };
        let column = match (key.parse::<Dimension>(), key.parse::<Metric>()) {
            (Ok(dimension), _) if group_by.contains(&dimension) => Some(Column::Dimension(dimension)),
            (_, Ok(metric)) => Some(Column::Metric(metric)),
            _ => None,
        };
        if column.is_none() {
            self.wrong(
                "sort",
                "unknown_value",
                "Sort by a grouped dimension or a metric, with a leading - for descending.",
            );
        }
        column.map(|column| Sort { column, descending })
    }

    fn limit(&mut self) -> usize {
        match self.one("limit").map(str::parse::<usize>) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => {
                self.wrong("limit", "out_of_range", format!("The limit is a number from 1 to {MAX_LIMIT}."));
                DEFAULT_LIMIT
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<Question, Problem> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Question::read(&pairs, true)
    }

    fn complaints(query: &str) -> Vec<String> {
        let problem = read(query).expect_err("a problem");
        problem.errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect()
    }

    #[test]
    fn a_whole_question_is_read() {
        let question = read(
            "group_by=affiliate,date&preset=last_7_days&timezone=europe/berlin&filter[offer]=1,2&metrics=clicks&sort=-clicks&limit=5",
        )
        .expect("a question");
        assert_eq!(question.group_by, [Dimension::Affiliate, Dimension::Date]);
        assert_eq!(question.zone.name(), "Europe/Berlin");
        assert_eq!(question.filters.get(&Dimension::Offer).map(BTreeSet::len), Some(2));
        let asked = question.at("2026-11-24T12:00:00Z".parse().expect("an instant"));
        assert_eq!(asked.range.from().to_string(), "2026-11-17");
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let found = complaints("group_by=x&preset=soon&timezone=Mars&limit=0&sort=age&filter[y]=1&color=red&metrics=z");
        for expected in [
            "/group_by unknown_value",
            "/preset unknown_value",
            "/timezone unknown_value",
            "/limit out_of_range",
            "/sort unknown_value",
            "/filter[y] unknown_parameter",
            "/color unknown_parameter",
            "/metrics unknown_value",
        ] {
            assert!(found.iter().any(|complaint| complaint == expected), "{expected} in {found:?}");
        }
        assert_eq!(complaints("group_by=date"), ["/from required", "/to required"]);
        assert_eq!(complaints("group_by=date&from=2026-02-30&to=2026-03-01"), ["/from format"]);
        assert_eq!(complaints("group_by=date&from=2026-03-02&to=2026-03-01"), ["/to conflict"]);
        assert_eq!(complaints("group_by=date&preset=today&preset=today"), ["/preset repeated"]);
    }

    proptest! {
        #[test]
        fn any_query_string_is_a_question_or_a_complaint(query in "\\PC{0,120}") {
            if let Err(problem) = read(&query) {
                prop_assert!(!problem.errors.is_empty());
            }
        }
    }
}
