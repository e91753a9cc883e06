//! Variables, read one by one; what is wrong with them is collected instead of ending the reading.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::input::Collector;

/// Reads variables and remembers every problem.
///
/// A bad variable reads as if it were unset, so that the next ones are looked at too; the caller asks for the
/// problems at the end. A problem repeats a value only where `parse` puts it there, never that of a secret.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Collector<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Collector::default() }
    }

    /// What was read, if nothing was wrong.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Vec<String>> {
        self.problems.finish(read)
    }

    /// Adds a problem with a variable.
    pub(super) fn add_problem(&mut self, name: &str, problem: impl Display) {
        self.problems.note(format!("{name}: {problem}"));
    }

    /// A variable without the blanks around it. An empty one counts as unset.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A variable in its own form; `None` if it is unset or bad.
    pub(super) fn read<T, E: Display>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.text(name)?;
        self.problems.take(parse(&text).map_err(|problem| format!("{name}: {problem}")))
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&mut self, name: &str, default: T, bounds: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        self.read(name, |text| {
            let number = text.parse().ok().filter(|number| bounds.contains(number));
            number.ok_or_else(|| format!("must be a whole number from {} to {}", bounds.start(), bounds.end()))
        })
        .unwrap_or(default)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str, default: bool) -> bool {
        self.read(name, |text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("must be true or false"),
        })
        .unwrap_or(default)
    }

    /// A comma-separated list, empty by default. Every bad entry is reported.
    pub(super) fn list<T, E: Display>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        let Some(text) = self.text(name) else { return Vec::new() };
        let mut entries = Vec::new();
        for entry in text.split(',').map(str::trim) {
            match parse(entry) {
                Ok(entry) => entries.push(entry),
                Err(problem) => self.add_problem(name, problem),
            }
        }
        entries
    }
}
