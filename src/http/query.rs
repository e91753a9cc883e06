//! Query strings: strictly what is known, and all that is wrong at once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use jiff::civil::Date;
use uuid::Uuid;

use super::edge::ApiError;
use crate::input::{Collector, InputCode, did_you_mean};
use crate::problem::{FieldProblem, Problem};

/// A day as it is written in a query.
pub(super) fn date(text: &str) -> Result<Date, (InputCode, String)> {
    let date = (text.len() == 10).then(|| text.parse().ok()).flatten();
    date.ok_or_else(|| (InputCode::Format, "Write the date as YYYY-MM-DD.".to_owned()))
}

/// The decoded pairs of the query string.
pub(super) struct Query(pub(super) Vec<(String, String)>);

impl FromRequest for Query {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs = form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
        std::future::ready(Ok(Self(pairs)))
    }
}

/// That the call, which takes no parameters, has none.
pub(super) struct NoParameters;

impl FromRequest for NoParameters {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs: Vec<_> = form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
        let none = Parameters::of(&pairs, &[], &[]).finish(Some(Self));
        std::future::ready(none.map_err(ApiError::from))
    }
}

/// Parameters that are read one by one. A wrong one reads as if it were left out, so that the next ones are looked at too.
pub(super) struct Parameters<'a> {
    given: BTreeMap<&'a str, Vec<&'a str>>,
    wrong: Collector<FieldProblem>,
}

impl<'a> Parameters<'a> {
    /// Notes what is unknown, and which of those that may stand `once` are repeated; `lists` may be. A name such as
    /// `filter[<dimension>]` stands for a whole family.
    pub(super) fn of(pairs: &'a [(String, String)], once: &[&str], lists: &[&str]) -> Self {
        let mut parameters = Self { given: BTreeMap::new(), wrong: Collector::default() };
        for (key, value) in pairs {
            let is_list = lists.iter().any(|known| is_named(known, key));
            if is_list || once.iter().any(|known| is_named(known, key)) {
                let values = parameters.given.entry(key).or_default();
                values.push(value);
                if values.len() == 2 && !is_list {
                    parameters.add_problem(key, InputCode::Repeated, "Give this parameter once.");
                }
            } else {
                let known: Vec<&str> = once.iter().chain(lists).copied().collect();
                parameters.add_problem(key, InputCode::UnknownParameter, unknown(key, &known));
            }
        }
        parameters
    }

    /// Notes that something is wrong with a parameter.
    pub(super) fn add_problem(&mut self, parameter: &str, code: InputCode, detail: impl Into<String>) {
        self.wrong.note(FieldProblem::at("", parameter, code, detail));
    }

    /// A parameter as it was sent.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.given.get(key)?.first().copied()
    }

    /// A parameter in its own form.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&'a str) -> Result<T, (InputCode, String)>,
    ) -> Option<T> {
        let read = read(self.text(key)?);
        self.wrong.take(read.map_err(|(code, detail)| FieldProblem::at("", key, code, detail)))
    }

    /// One of a few values.
    pub(super) fn choice<T: FromStr>(&mut self, key: &str, known: &[&str]) -> Option<T> {
        self.read(key, |text| text.parse().map_err(|_| (InputCode::UnknownValue, possible(text, known))))
    }

    /// A whole number within bounds.
    pub(super) fn number<T: FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        key: &str,
        default: T,
        bounds: RangeInclusive<T>,
    ) -> T {
        self.read(key, |text| {
            let number = text.parse().ok().filter(|number| bounds.contains(number));
            let detail = || format!("The {key} is a number from {} to {}.", bounds.start(), bounds.end());
            number.ok_or_else(|| (InputCode::OutOfRange, detail()))
        })
        .unwrap_or(default)
    }

    /// Every value of a parameter, as it was sent.
    pub(super) fn texts(&self, key: &str) -> Vec<&'a str> {
        self.given.get(key).cloned().unwrap_or_default()
    }

    /// All items of a list: comma-separated, or the parameter repeated, or both. `None` where it is left out.
    pub(super) fn list(&self, key: &str) -> Option<Vec<&'a str>> {
        let values = self.given.get(key)?.iter();
        Some(values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty()).collect())
    }

    /// Connections, each once.
    pub(super) fn connections(&mut self, key: &str) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for text in self.given.get(key).cloned().unwrap_or_default() {
            match text.parse() {
                Ok(id) if ids.contains(&id) => {}
                Ok(id) => ids.push(id),
                Err(_) => self.add_problem(key, InputCode::Format, "This is not a connection's id."),
            }
        }
        ids
    }

    /// The members of a family, such as `filter[…]`: what stands between the brackets.
    pub(super) fn family(&self, name: &str) -> Vec<&'a str> {
        let inner = |key: &'a str| key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']');
        self.given.keys().filter_map(|key| inner(key)).collect()
    }

    /// What was read, if nothing is wrong.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Problem> {
        self.wrong.finish(read).map_err(Problem::validation)
    }
}

/// Whether a parameter has this name, or is of this family.
fn is_named(known: &str, key: &str) -> bool {
    match known.split_once('<').and_then(|(start, rest)| Some((start, rest.split_once('>')?.1))) {
        Some((start, end)) => key.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
        None => known == key,
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    match (did_you_mean(key, known.iter().copied()), known) {
        (_, []) => "This call takes no parameters.".to_owned(),
        (Some(meant), _) => format!("There is no such parameter; did you mean {meant}?"),
        (None, known) => format!("There is no such parameter; there are {}.", known.join(", ")),
    }
}

/// What a value can be.
pub(super) fn possible(typed: &str, known: &[&str]) -> String {
    let meant = did_you_mean(typed, known.iter().copied()).map(|meant| format!(" Did you mean {meant}?"));
    format!("Known values are {}.{}", known.join(", "), meant.unwrap_or_default())
}
