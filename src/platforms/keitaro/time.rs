//! How days and hours are asked for, and how their values are written.
//!
//! No recorded answer of the key's API shows the spelling of `day`, `hour` and `day_hour`, so every likely one is read.
//! Where a panel refuses a column or writes it in some other way, the next form is asked for; the last one for days
//! asks for each day by itself and needs no column at all.

use std::borrow::Cow;

use jiff::civil::Date;

use super::super::calendar::DateRange;
use super::super::stats::{Dimension, StatsQuery};
use super::wire::Cell;

/// The columns that cut time, and how many requests they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The range as one.
    Whole,
    /// By `day`.
    Days,
    /// By `day` and `hour`.
    DaysAndHours,
    /// By `hour`.
    Hours,
    /// By `day_hour`.
    HoursOfDays,
    /// A request for each day.
    EachDay,
    /// A request for each day, by `hour`.
    EachDayByHours,
}

impl Form {
    /// The forms that answer a query, the likeliest first.
    pub(super) fn of(query: &StatsQuery) -> &'static [Self] {
        match (query.has(Dimension::Date), query.has(Dimension::Hour)) {
            (false, false) => &[Self::Whole],
            (true, false) => &[Self::Days, Self::EachDay],
            (true, true) => &[Self::DaysAndHours, Self::HoursOfDays, Self::EachDayByHours],
            (false, true) => &[Self::Hours, Self::HoursOfDays],
        }
    }

    pub(super) const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Whole | Self::EachDay => &[],
            Self::Days => &["day"],
            Self::DaysAndHours => &["day", "hour"],
            Self::Hours | Self::EachDayByHours => &["hour"],
            Self::HoursOfDays => &["day_hour"],
        }
    }

    /// The ranges to ask for.
    pub(super) fn windows(self, range: DateRange) -> Vec<DateRange> {
        match self {
            Self::EachDay | Self::EachDayByHours => range.days().map(DateRange::day).collect(),
            Self::Whole | Self::Days | Self::DaysAndHours | Self::Hours | Self::HoursOfDays => vec![range],
        }
    }
}

/// When a row's numbers are from, as far as the row or its request says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) date: Option<Date>,
    pub(super) hour: Option<u8>,
}

/// Why a row's time is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strange {
    /// Another spelling than those that are read, in this column.
    Spelling(&'static str),
    /// The day lies outside of what was asked for.
    Outside,
    /// Day and hour are of different days.
    Apart,
}

/// Reads when a row's numbers are from; `cells` are those of the form's columns.
pub(super) fn read(form: Form, window: DateRange, cells: &[Cell<'_>]) -> Result<Moment, Strange> {
    let asked = (window.len_days() == 1).then_some(window.from());
    let moment = match (form, cells) {
        (Form::Days, [day]) => {
            let date = text(day).and_then(|text| date(&text)).ok_or(Strange::Spelling("day"))?;
            Moment { date: Some(date), hour: None }
        }
        (Form::DaysAndHours, [day, hour]) => {
            let date = text(day).and_then(|text| date(&text)).ok_or(Strange::Spelling("day"))?;
            let hour = text(hour).and_then(|text| hour_of_day(&text)).ok_or(Strange::Spelling("hour"))?;
            if hour.date.is_some_and(|other| other != date) {
                return Err(Strange::Apart);
            }
            Moment { date: Some(date), ..hour }
        }
        (Form::Hours | Form::EachDayByHours, [hour]) => {
            let hour = text(hour).and_then(|text| hour_of_day(&text)).ok_or(Strange::Spelling("hour"))?;
            Moment { date: hour.date.or(asked), ..hour }
        }
        (Form::HoursOfDays, [hour]) => {
            let hour = text(hour).and_then(|text| hour_of_day(&text)).filter(|hour| hour.date.is_some());
            hour.ok_or(Strange::Spelling("day_hour"))?
        }
        _ => Moment { date: asked, hour: None },
    };
    match moment.date {
        Some(date) if !window.contains(date) => Err(Strange::Outside),
        _ => Ok(moment),
    }
}

fn text<'a>(cell: &Cell<'a>) -> Option<Cow<'a, str>> {
    cell.text().ok().flatten()
}

/// `2026-11-16`, perhaps with a midnight after it.
fn date(text: &str) -> Option<Date> {
    let (day, clock) = split(text);
    civil(day).filter(|_| clock.is_none_or(|clock| full_hour(clock) == Some(0)))
}

/// `7`, `07`, `07:00` or `07:00:00`, perhaps with a day before it.
fn hour_of_day(text: &str) -> Option<Moment> {
    match split(text) {
        (day, Some(clock)) => Some(Moment { date: Some(civil(day)?), hour: Some(full_hour(clock)?) }),
        (clock, None) => Some(Moment { date: None, hour: Some(full_hour(clock)?) }),
    }
}

/// A day in the one spelling that says which number is which.
fn civil(day: &str) -> Option<Date> {
    let dashes = day.match_indices('-').map(|(place, _)| place);
    (day.len() == 10 && dashes.eq([4, 7])).then(|| day.parse().ok()).flatten()
}

/// A day and what stands behind it.
fn split(text: &str) -> (&str, Option<&str>) {
    let text = text.trim();
    match text.split_once([' ', 'T']) {
        Some((day, clock)) => (day, Some(clock.trim())),
        None => (text, None),
    }
}

/// An hour without minutes.
fn full_hour(clock: &str) -> Option<u8> {
    let (hour, rest) = clock.split_once(':').unwrap_or((clock, "00"));
    let is_digits = (1..=2).contains(&hour.len()) && hour.bytes().all(|byte| byte.is_ascii_digit());
    let is_full = matches!(rest, "00" | "00:00" | "00:00Z");
    hour.parse().ok().filter(|hour| is_digits && is_full && *hour < 24)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date as day;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_and_hours_are_read_in_every_likely_spelling() {
        let monday = day(2026, 11, 16);
        for text in ["2026-11-16", "2026-11-16 00:00:00", "2026-11-16T00:00:00", " 2026-11-16 "] {
            assert_eq!(date(text), Some(monday), "{text}");
        }
        for text in ["7", "07", "07:00", "07:00:00"] {
            assert_eq!(hour_of_day(text), Some(Moment { date: None, hour: Some(7) }), "{text}");
        }
        for text in ["2026-11-16 07", "2026-11-16 07:00", "2026-11-16 7:00:00", "2026-11-16T07:00:00"] {
            assert_eq!(hour_of_day(text), Some(Moment { date: Some(monday), hour: Some(7) }), "{text}");
        }
    }

    #[test]
    fn what_could_mean_something_else_is_read_as_nothing() {
        for text in ["16.11.2026", "2026-11-16 07:00:00", "20261116", "11/16/2026", "1", "", "2026-13-01"] {
            assert_eq!(date(text), None, "{text}");
        }
        for text in ["24", "-1", "07:30", "7 AM", "007", "2026-11-16", "+7", ""] {
            assert_eq!(hour_of_day(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC*") {
            let _ = (date(&text), hour_of_day(&text));
        }

        #[test]
        fn an_hour_is_one_of_a_day(text in "[0-9: T-]{0,20}") {
            prop_assert!(hour_of_day(&text).is_none_or(|moment| moment.hour < Some(24)));
        }
    }
}
