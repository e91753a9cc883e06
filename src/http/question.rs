//! The question of a statistics request, read from its query string.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::listing::direction;
use super::negotiation::{MERGE, Media, Offer, Table};
use super::query::{Parameters, date};
use super::shape::{self, Shape};
use crate::connections::stats::compare::Comparison;
use crate::connections::stats::query::{Column, Period, Question, Sort};
use crate::connections::stats::sift::{Search, Sift};
use crate::connections::stats::values::Wanted;
use crate::input::InputCode;
use crate::platforms::calendar::{DateRange, Preset, Zone};
use crate::platforms::stats::{Dimension, Filters, Metric};
use crate::problem::Problem;

/// The most dimensions of one question.
const MAX_DIMENSIONS: usize = 3;
/// The most ids of one filter.
const MAX_FILTER_IDS: usize = 500;
/// Rows of one page by default, and at most.
pub(super) const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;
/// Values of one list, by default and at most.
pub(super) const DEFAULT_VALUES: usize = 25;
pub(super) const MAX_VALUES: usize = 100;
/// The longest text that is searched for, in characters.
pub(super) const MAX_SEARCH: usize = 200;
/// The most digits before and behind the point of a bound.
const MAX_DIGITS: (usize, usize) = (20, 8);

/// Parameters that stand there once, beside those of the answer's shape.
const ONCE: [&str; 10] =
    ["preset", "from", "to", "timezone", "sort", "limit", "search", "compare", "min[<metric>]", "max[<metric>]"];
const CURSOR: &str = "cursor";
const ALLOW_PARTIAL: &str = "allow_partial";
/// Parameters that are lists.
const LISTS: [&str; 3] = ["group_by", "metrics", "filter[<dimension>]"];

/// Reads the parameters. `cursor_allowed` is off where there is no single table to page through.
///
/// # Errors
/// All wrong parameters at once.
pub fn read(pairs: &[(String, String)], cursor_allowed: bool) -> Result<Question, Problem> {
    let mut parameters = Parameters::of(pairs, &once(cursor_allowed), &LISTS);
    let question = of(&mut parameters, false);
    parameters.finish(question)
}

/// The same with the shape of the answer, which may take so long.
///
/// # Errors
/// All wrong parameters at once.
pub(super) fn read_shaped(
    pairs: &[(String, String)],
    cursor_allowed: bool,
    longest: Duration,
) -> Result<(Question, Shape), Problem> {
    let mut parameters = Parameters::of(pairs, &once(cursor_allowed), &LISTS);
    let question = of(&mut parameters, false);
    let shape = shape::read(&mut parameters, Table::MEDIA, longest);
    parameters.finish(question.map(|question| (question, shape)))
}

fn once(cursor_allowed: bool) -> Vec<&'static str> {
    ONCE.into_iter().chain(shape::KEYS).chain(cursor_allowed.then_some(CURSOR)).collect()
}

/// A question to several connections.
pub(super) struct OfMany {
    pub(super) question: Question,
    /// The connections; all of the organisation's if there is none.
    pub(super) ids: Vec<uuid::Uuid>,
    pub(super) shape: Shape,
    /// Whether the answer is one table.
    pub(super) is_merged: bool,
    /// Whether a file may lack connections.
    pub(super) is_partial_allowed: bool,
}

/// The same where the connections are parameters too, and the answer is of this media type, of those that there are.
///
/// # Errors
/// All wrong parameters at once.
pub(super) fn read_of_many(
    pairs: &[(String, String)],
    (media, offered): (Media, &[Media]),
    most: usize,
    longest: Duration,
) -> Result<OfMany, Problem> {
    const CONNECTIONS: &str = "connection_id";
    let lists: Vec<&str> = LISTS.into_iter().chain([CONNECTIONS]).collect();
    let is_merged = pairs.iter().any(|(key, value)| key == MERGE && value == "true");
    let known: Vec<&str> = once(is_merged && media == Media::Json).into_iter().chain([MERGE, ALLOW_PARTIAL]).collect();
    let mut parameters = Parameters::of(pairs, &known, &lists);
    shape::flag(&mut parameters, MERGE, false);
    let is_partial_allowed = shape::flag(&mut parameters, ALLOW_PARTIAL, false);
    let ids = parameters.connections(CONNECTIONS);
    if ids.len() > most {
        parameters.add_problem(CONNECTIONS, InputCode::TooMany, format!("Name at most {most} connections."));
    }
    let question = of(&mut parameters, is_merged);
    let shape = shape::read(&mut parameters, offered, longest);
    parameters.finish(question.map(|question| OfMany { question, ids, shape, is_merged, is_partial_allowed }))
}

/// Which values of a dimension are wanted, and how.
///
/// # Errors
/// All wrong parameters at once.
pub(super) fn read_values(pairs: &[(String, String)], longest: Duration) -> Result<(Wanted, Shape), Problem> {
    let known = ["q", "limit", "timezone", "fresh", "deadline_ms"];
    let mut parameters = Parameters::of(pairs, &known, &[]);
    let search = search(&mut parameters, "q");
    let limit = parameters.number("limit", DEFAULT_VALUES, 1..=MAX_VALUES);
    let zone = zone(&mut parameters);
    let shape = shape::read(&mut parameters, &[Media::Json], longest);
    parameters.finish(Some((Wanted { search, limit, zone }, shape)))
}

fn of(parameters: &mut Parameters<'_>, is_merged: bool) -> Option<Question> {
    let group_by = group_by(parameters);
    let zone = zone(parameters);
    let period = period(parameters);
    let filters = filters(parameters);
    let sift =
        Sift { min: bounds(parameters, "min"), max: bounds(parameters, "max"), search: search(parameters, "search") };
    let compare = parameters.choice("compare", &Comparison::ALL.map(Comparison::key));
    let metrics = metrics(parameters);
    let sort = parameters.read("sort", |text| order(text, &group_by, is_merged));
    let limit = parameters.number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT);
    let cursor = parameters.text(CURSOR).map(str::to_owned);
    Some(Question { group_by, period: period?, zone, filters, sift, compare, metrics, sort, limit, cursor })
}

fn group_by(parameters: &mut Parameters<'_>) -> Vec<Dimension> {
    let items = parameters.list("group_by").unwrap_or_default();
    let known = Dimension::ALL.map(Dimension::key);
    let dimensions = named(parameters, "group_by", &items, &known);
    if dimensions.len() > MAX_DIMENSIONS {
        parameters.add_problem("group_by", InputCode::TooMany, format!("Name at most {MAX_DIMENSIONS} dimensions."));
    }
    dimensions
}

fn metrics(parameters: &mut Parameters<'_>) -> Option<Vec<Metric>> {
    let items = parameters.list("metrics")?;
    if items.is_empty() {
        let detail = "Name at least one metric, or leave the parameter out.";
        parameters.add_problem("metrics", InputCode::Required, detail);
    }
    Some(named(parameters, "metrics", &items, &Metric::ALL.map(Metric::key)))
}

/// What the items of a list are called, each of them once.
fn named<T>(parameters: &mut Parameters<'_>, list: &str, items: &[&str], known: &[&str]) -> Vec<T>
where
    T: std::str::FromStr + PartialEq,
{
    let mut found = Vec::new();
    for item in items {
        match item.parse() {
            Ok(one) if found.contains(&one) => {
                parameters.add_problem(list, InputCode::Repeated, format!("{item} is named twice."));
            }
            Ok(one) => found.push(one),
            Err(_) => parameters.add_problem(list, InputCode::UnknownValue, super::query::possible(item, known)),
        }
    }
    found
}

fn zone(parameters: &mut Parameters<'_>) -> Zone {
    let detail = "This is not an IANA time zone such as Europe/Berlin.";
    let zone = parameters
        .read("timezone", |name| Zone::find(name).ok_or_else(|| (InputCode::UnknownValue, detail.to_owned())));
    zone.unwrap_or_else(Zone::utc)
}

fn period(parameters: &mut Parameters<'_>) -> Option<Period> {
    let days = parameters.text("from").is_some() || parameters.text("to").is_some();
    match (parameters.text("preset"), days) {
        (Some(_), true) => {
            parameters.add_problem("preset", InputCode::Conflict, "Give either preset, or from and to.");
            None
        }
        (Some(_), false) => parameters.read("preset", |key| {
            let known = Preset::ALL.map(Preset::key);
            let preset = Preset::find(key).map(Period::Preset);
            preset.ok_or_else(|| (InputCode::UnknownValue, super::query::possible(key, &known)))
        }),
        (None, _) => self::days(parameters),
    }
}

fn days(parameters: &mut Parameters<'_>) -> Option<Period> {
    for key in ["from", "to"] {
        if parameters.text(key).is_none() {
            parameters.add_problem(key, InputCode::Required, "Give from and to, or a preset.");
        }
    }
    let (from, to) = (parameters.read("from", date), parameters.read("to", date));
    let (from, to) = from.zip(to)?;
    let range = DateRange::new(from, to);
    if range.is_none() {
        parameters.add_problem("to", InputCode::Conflict, "The range ends before it starts.");
    }
    range.map(Period::Days)
}

fn filters(parameters: &mut Parameters<'_>) -> Filters {
    let mut filters = Filters::new();
    for key in parameters.family("filter") {
        let parameter = format!("filter[{key}]");
        let Ok(dimension) = key.parse::<Dimension>() else {
            let known = Dimension::ALL.map(Dimension::key).join(", ");
            parameters.add_problem(&parameter, InputCode::UnknownParameter, format!("Dimensions are {known}."));
            continue;
        };
        let mut ids = BTreeSet::new();
        for text in parameters.texts(&parameter) {
            match filtered(text, dimension) {
                Ok(items) => ids.extend(items),
                Err(detail) => parameters.add_problem(&parameter, InputCode::Format, detail),
            }
        }
        if ids.len() > MAX_FILTER_IDS {
            parameters.add_problem(&parameter, InputCode::TooMany, format!("Name at most {MAX_FILTER_IDS} ids."));
        }
        filters.insert(dimension, ids);
    }
    filters
}

/// The ids of one value: a comma in an id is written `\,`, a backslash `\\`. A value without any is the blank id, of the
/// rows that have none.
fn filtered(text: &str, dimension: Dimension) -> Result<Vec<CompactString>, String> {
    let mut items = vec![CompactString::default()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let letter = match letter {
            ',' => {
                items.push(CompactString::default());
                continue;
            }
            '\\' => match letters.next() {
                Some(escaped @ (',' | '\\')) => escaped,
                _ => return Err("Write a backslash in an id as \\\\, and a comma as \\,.".to_owned()),
            },
            other => other,
        };
        if let Some(item) = items.last_mut() {
            item.push(letter);
        }
    }
    // Of what the links of affiliates carry, every blank counts.
    if !dimension.is_sub_id() {
        for item in &mut items {
            let trimmed = item.trim();
            if !trimmed.is_empty() && trimmed.len() < item.len() {
                *item = trimmed.into();
            }
        }
    }
    match items.as_slice() {
        [_] => Ok(items),
        many if many.iter().any(|item| item.is_empty()) => Err(
            "An id of the list is empty. The rows without an id are a value of their own: repeat the parameter, with \
                 nothing behind the equals sign."
                .to_owned(),
        ),
        _ => Ok(items),
    }
}

/// The bounds of metrics: `min[clicks]=10`.
fn bounds(parameters: &mut Parameters<'_>, name: &str) -> BTreeMap<Metric, Decimal> {
    let mut bounds = BTreeMap::new();
    for key in parameters.family(name) {
        let parameter = format!("{name}[{key}]");
        let Ok(metric) = key.parse::<Metric>() else {
            let known = Metric::ALL.map(Metric::key).join(", ");
            parameters.add_problem(&parameter, InputCode::UnknownParameter, format!("Metrics are {known}."));
            continue;
        };
        if let Some(bound) = parameters.read(&parameter, bound) {
            bounds.insert(metric, bound);
        }
    }
    bounds
}

fn bound(text: &str) -> Result<Decimal, (InputCode, String)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits =
        |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = are_digits(whole, MAX_DIGITS.0) && are_digits(fraction, MAX_DIGITS.1);
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| (InputCode::Format, "Write a number such as 10 or -0.25.".to_owned()))
}

fn search(parameters: &mut Parameters<'_>, key: &str) -> Option<Search> {
    let text = parameters.read(key, |text| match text.chars().count() {
        0..=MAX_SEARCH => Ok(text),
        _ => Err((InputCode::TooLong, format!("Search for at most {MAX_SEARCH} characters."))),
    });
    text.filter(|text| !text.is_empty()).map(Search::of)
}

fn order(text: &str, group_by: &[Dimension], is_merged: bool) -> Result<Sort, (InputCode, String)> {
    let (descending, key) = direction(text);
    let column = match (key.parse::<Dimension>(), key.parse::<Metric>()) {
        _ if is_merged && key == "connection" => Column::Connection,
        (Ok(dimension), _) if group_by.contains(&dimension) => Column::Dimension(dimension),
        (_, Ok(metric)) => Column::Metric(metric),
        _ => {
            let detail = "Sort by a grouped dimension or a metric, with a leading - for descending.";
            return Err((InputCode::UnknownValue, detail.to_owned()));
        }
    };
    Ok(Sort { column, descending })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(query: &str) -> Result<Question, Problem> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        read(&pairs, true)
    }

    fn complaints(query: &str) -> Vec<String> {
        let problem = asked(query).expect_err("a problem");
        problem.errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect()
    }

    #[test]
    fn a_whole_question_is_read() {
        let question = asked(
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
    fn a_list_is_comma_separated_or_repeated() {
        let question = asked("group_by=affiliate&group_by=date&preset=today&metrics=clicks,cost&metrics=revenue&filter[offer]=1&filter[offer]=2,3")
            .expect("a question");
        assert_eq!(question.group_by, [Dimension::Affiliate, Dimension::Date]);
        assert_eq!(question.metrics, Some(vec![Metric::Clicks, Metric::Cost, Metric::Revenue]));
        assert_eq!(question.filters.get(&Dimension::Offer).map(BTreeSet::len), Some(3));
        assert_eq!(complaints("group_by=date&group_by=date&preset=today"), ["/group_by repeated"]);
    }

    #[test]
    fn a_question_may_group_by_nothing_and_sift_and_compare() {
        for query in ["preset=today", "group_by=&preset=today"] {
            assert_eq!(asked(query).expect("a question").group_by, [], "{query}");
        }
        let question =
            asked("preset=today&min[clicks]=10&max[cr]=0.5&min[profit]=-2.25&search=Brand&compare=previous_week")
                .expect("a question");
        let bounds = |bounds: &BTreeMap<Metric, Decimal>| {
            bounds.iter().map(|(metric, bound)| format!("{metric} {bound}")).collect::<Vec<_>>()
        };
        assert_eq!(bounds(&question.sift.min), ["clicks 10", "profit -2.25"]);
        assert_eq!(bounds(&question.sift.max), ["cr 0.5"]);
        assert_eq!(question.sift.search, Some(Search::of("Brand")));
        assert_eq!(question.compare, Some(Comparison::PreviousWeek));
        let found =
            complaints("preset=today&min[clicks]=ten&max[age]=1&min[cr]=1e3&compare=yesterday&min[roi]=1&min[roi]=2");
        for expected in [
            "/min[roi] repeated",
            "/min[clicks] format",
            "/min[cr] format",
            "/max[age] unknown_parameter",
            "/compare unknown_value",
        ] {
            assert!(found.iter().any(|complaint| complaint == expected), "{expected} in {found:?}");
        }
    }

    #[test]
    fn the_ids_of_a_filter_can_hold_whatever_a_link_can() {
        let ids = |query: &str| -> Vec<String> {
            let question = asked(&format!("preset=today&{query}")).expect("a question");
            question.filters.values().flatten().map(ToString::to_string).collect()
        };
        assert_eq!(ids("filter[sub1]=a%5C,b,c%5C%5Cd"), ["a,b", "c\\d"]);
        assert_eq!(ids("filter[sub1]="), [""]);
        assert_eq!(ids("filter[sub1]=&filter[sub1]=a"), ["", "a"]);
        assert_eq!(ids("filter[sub1]=%20a%20,b"), [" a ", "b"]);
        assert_eq!(ids("filter[offer]=%201%20,%202"), ["1", "2"]);
        for wrong in
            ["filter[sub1]=a,,b", "filter[sub1]=,", "filter[sub1]=a%5Cb", "filter[sub1]=a%5C", "filter[offer]=1,"]
        {
            assert_eq!(complaints(&format!("preset=today&{wrong}")).len(), 1, "{wrong}");
        }
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
        assert_eq!(complaints(""), ["/from required", "/to required"]);
        assert_eq!(complaints("group_by=date&from=2026-02-30&to=2026-03-01"), ["/from format"]);
        assert_eq!(complaints("group_by=date&from=2026-03-02&to=2026-03-01"), ["/to conflict"]);
        assert_eq!(complaints("group_by=date&preset=today&preset=today"), ["/preset repeated"]);
    }

    proptest! {
        #[test]
        fn any_query_string_is_a_question_or_a_complaint(query in "\\PC{0,120}") {
            if let Err(problem) = asked(&query) {
                prop_assert!(!problem.errors.is_empty());
            }
        }
    }
}
