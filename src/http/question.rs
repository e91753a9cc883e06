//! The question of a statistics request, read from its query string.

use std::collections::BTreeSet;
use std::time::Duration;

use compact_str::CompactString;
use jiff::civil::Date;

use super::listing::direction;
use super::negotiation::{Offer, Table, Tables};
use super::query::Parameters;
use super::shape::{self, Shape};
use crate::connections::stats::query::{Column, Period, Question, Sort};
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

/// Parameters that stand there once, beside those of the answer's shape.
const ONCE: [&str; 6] = ["preset", "from", "to", "timezone", "sort", "limit"];
const CURSOR: &str = "cursor";
/// Parameters that are lists.
const LISTS: [&str; 3] = ["group_by", "metrics", "filter[<dimension>]"];

/// Reads the parameters. `cursor_allowed` is off where there is no single table to page through.
///
/// # Errors
/// All wrong parameters at once.
pub fn read(pairs: &[(String, String)], cursor_allowed: bool) -> Result<Question, Problem> {
    let mut parameters = Parameters::of(pairs, &once(cursor_allowed), &LISTS);
    let question = of(&mut parameters);
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
    let question = of(&mut parameters);
    let shape = shape::read(&mut parameters, Table::MEDIA, longest);
    parameters.finish(question.map(|question| (question, shape)))
}

fn once(cursor_allowed: bool) -> Vec<&'static str> {
    ONCE.into_iter().chain(shape::KEYS).chain(cursor_allowed.then_some(CURSOR)).collect()
}

/// The same where the connections are parameters too.
///
/// # Errors
/// All wrong parameters at once.
pub(super) fn read_of_many(
    pairs: &[(String, String)],
    most: usize,
    longest: Duration,
) -> Result<(Question, Vec<uuid::Uuid>, Shape), Problem> {
    const CONNECTIONS: &str = "connection_id";
    let lists: Vec<&str> = LISTS.into_iter().chain([CONNECTIONS]).collect();
    let mut parameters = Parameters::of(pairs, &once(false), &lists);
    let ids = parameters.connections(CONNECTIONS);
    if ids.len() > most {
        parameters.wrong(CONNECTIONS, InputCode::TooMany, format!("Name at most {most} connections."));
    }
    let question = of(&mut parameters);
    let shape = shape::read(&mut parameters, Tables::MEDIA, longest);
    parameters.finish(question.map(|question| (question, ids, shape)))
}

fn of(parameters: &mut Parameters<'_>) -> Option<Question> {
    let group_by = group_by(parameters);
    let zone = zone(parameters);
    let period = period(parameters);
    let filters = filters(parameters);
    let metrics = metrics(parameters);
    let sort = parameters.read("sort", |text| order(text, &group_by));
    let limit = parameters.number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT);
    let cursor = parameters.text(CURSOR).map(str::to_owned);
    Some(Question { group_by, period: period?, zone, filters, metrics, sort, limit, cursor })
}

fn group_by(parameters: &mut Parameters<'_>) -> Vec<Dimension> {
    let items = parameters.list("group_by").unwrap_or_default();
    if items.is_empty() {
        parameters.wrong("group_by", InputCode::Required, "Name 1 to 3 dimensions, such as affiliate,date.");
    }
    let known = Dimension::ALL.map(Dimension::key);
    let dimensions = named(parameters, "group_by", &items, &known);
    if dimensions.len() > MAX_DIMENSIONS {
        parameters.wrong("group_by", InputCode::TooMany, format!("Name at most {MAX_DIMENSIONS} dimensions."));
    }
    dimensions
}

fn metrics(parameters: &mut Parameters<'_>) -> Option<Vec<Metric>> {
    let items = parameters.list("metrics")?;
    if items.is_empty() {
        let detail = "Name at least one metric, or leave the parameter out.";
        parameters.wrong("metrics", InputCode::Required, detail);
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
                parameters.wrong(list, InputCode::Repeated, format!("{item} is named twice."));
            }
            Ok(one) => found.push(one),
            Err(_) => parameters.wrong(list, InputCode::UnknownValue, super::query::possible(item, known)),
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
            parameters.wrong("preset", InputCode::Conflict, "Give either preset, or from and to.");
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
            parameters.wrong(key, InputCode::Required, "Give from and to, or a preset.");
        }
    }
    let (from, to) = (parameters.read("from", date), parameters.read("to", date));
    let (from, to) = from.zip(to)?;
    let range = DateRange::new(from, to);
    if range.is_none() {
        parameters.wrong("to", InputCode::Conflict, "The range ends before it starts.");
    }
    range.map(Period::Days)
}

fn date(text: &str) -> Result<Date, (InputCode, String)> {
    let date = (text.len() == 10).then(|| text.parse().ok()).flatten();
    date.ok_or_else(|| (InputCode::Format, "Write the date as YYYY-MM-DD.".to_owned()))
}

fn filters(parameters: &mut Parameters<'_>) -> Filters {
    let mut filters = Filters::new();
    for key in parameters.family("filter") {
        let parameter = format!("filter[{key}]");
        let Ok(dimension) = key.parse::<Dimension>() else {
            let known = Dimension::ALL.map(Dimension::key).join(", ");
            parameters.wrong(&parameter, InputCode::UnknownParameter, format!("Dimensions are {known}."));
            continue;
        };
        let ids: BTreeSet<CompactString> =
            parameters.list(&parameter).unwrap_or_default().into_iter().map(CompactString::from).collect();
        if ids.is_empty() {
            parameters.wrong(&parameter, InputCode::Required, "Name at least one id.");
        } else if ids.len() > MAX_FILTER_IDS {
            parameters.wrong(&parameter, InputCode::TooMany, format!("Name at most {MAX_FILTER_IDS} ids."));
        }
        filters.insert(dimension, ids);
    }
    filters
}

fn order(text: &str, group_by: &[Dimension]) -> Result<Sort, (InputCode, String)> {
    let (descending, key) = direction(text);
    let column = match (key.parse::<Dimension>(), key.parse::<Metric>()) {
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
            if let Err(problem) = asked(&query) {
                prop_assert!(!problem.errors.is_empty());
            }
        }
    }
}
