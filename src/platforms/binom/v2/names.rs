//! What an installation calls its groupings by day and hour, and how it writes these.

use jiff::civil::Date;

use crate::platforms::learned::Fact;
use crate::platforms::stats::{Dimension, DimensionValue};

/// What may be the name of a grouping, likeliest first.
pub(super) const CANDIDATES: [(Dimension, &str); 8] = [
    (Dimension::Hour, "hour"),
    (Dimension::Date, "day"),
    (Dimension::Date, "date"),
    (Dimension::Hour, "hours"),
    (Dimension::Date, "days"),
    (Dimension::Hour, "dateHour"),
    (Dimension::Date, "dateDay"),
    (Dimension::Hour, "hourOfDay"),
];

/// What an installation calls its groupings by time, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Names {
    date: Name,
    hour: Name,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Name {
    /// Not tried yet.
    #[default]
    Unknown,
    /// None of the candidates is one, or what came of it did not add up.
    None,
    Proven(&'static str),
}

impl Names {
    pub(super) fn of(&mut self, dimension: Dimension) -> &mut Name {
        if dimension == Dimension::Hour { &mut self.hour } else { &mut self.date }
    }

    /// The name of a grouping by day or hour.
    pub(super) fn get(&self, dimension: Dimension) -> Option<&'static str> {
        let name = if dimension == Dimension::Hour { self.hour } else { self.date };
        if let Name::Proven(name) = name { Some(name) } else { None }
    }
}

/// What is remembered of an installation.
pub(in super::super) type Known = Fact<Names>;

/// The day that a row stands for.
pub(super) fn day(name: &str) -> Option<DimensionValue> {
    let (date, rest) = name.trim().split_at_checked(10)?;
    let is_date = rest.is_empty() || rest.starts_with([' ', 'T']);
    date.parse().ok().filter(|_| is_date).map(DimensionValue::date)
}

/// The hour that a row stands for: `5`, `05:00`, `05:00 - 06:00`, or the same after a date.
pub(super) fn hour(name: &str) -> Option<DimensionValue> {
    let name = name.trim();
    let clock = match name.split_at_checked(10) {
        Some((date, rest)) if date.parse::<Date>().is_ok() => rest.trim_start_matches([' ', 'T']),
        _ => name,
    };
    let digits = clock.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(clock.len());
    let (number, rest) = clock.split_at_checked(digits)?;
    let is_clock = number.len() <= 2 && (rest.is_empty() || rest.starts_with([':', ' ', '-']));
    number.parse::<u8>().ok().filter(|hour| is_clock && *hour < 24).map(DimensionValue::hour)
}

/// Reads any text as the name of a day and of an hour.
#[cfg(fuzzing)]
pub(in super::super) fn fuzz(name: &str) {
    let read = (day(name), hour(name));
    for value in [read.0, read.1].into_iter().flatten() {
        assert!(day(&value.id).or_else(|| hour(&value.id)).is_some(), "what was read is no name itself");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_a_day_an_hour_or_neither(name in r"\PC*|[0-9]{1,4}[-:T 0-9]{0,12}") {
            if let Some(read) = day(&name) {
                prop_assert_eq!(day(&read.id).map(|again| again.id), Some(read.id));
            }
            if let Some(read) = hour(&name) {
                prop_assert_eq!(hour(&read.id).map(|again| again.id), Some(read.id));
            }
        }
    }

    #[test]
    fn days_and_hours_are_read_in_every_dress_and_nothing_else_is_one() {
        for (name, expected) in [
            ("5", "05"),
            ("05", "05"),
            (" 23:00", "23"),
            ("05:00 - 06:00", "05"),
            ("2026-09-01 17:00:00", "17"),
            ("0", "00"),
        ] {
            assert_eq!(
                hour(name).expect(name).id,
                DimensionValue::hour(expected.parse().expect("an hour")).id,
                "{name}"
            );
        }
        for name in ["", "24", "100", "noon", "5th", "2026-09-01", "Germany", "-1", "٥"] {
            assert_eq!(hour(name), None, "{name}");
        }
        for name in ["2026-09-01", " 2026-09-01 00:00:00 ", "2026-09-01T00:00:00"] {
            assert_eq!(day(name), Some(DimensionValue::date(jiff::civil::date(2026, 9, 1))), "{name}");
        }
        for name in ["", "2026-09", "2026-13-01", "2026-09-011", "Tuesday", "01.09.2026"] {
            assert_eq!(day(name), None, "{name}");
        }
    }
}
