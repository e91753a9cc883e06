//! Weeks and months, which are put together from days: no platform is asked for them.

use std::fmt::Write;

use compact_str::CompactString;
use jiff::ToSpan;
use jiff::civil::{Date, ISOWeekDate, Weekday};

use super::calendar::DateRange;
use super::columns::Dimension;
use super::stats::DimensionValue;

/// A stretch of the calendar that days belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// Monday to Sunday, numbered as in ISO 8601.
    Week,
    /// A calendar month.
    Month,
}

impl Cycle {
    /// The cycle of a dimension, where it is one.
    pub const fn of(dimension: Dimension) -> Option<Self> {
        match dimension {
            Dimension::Week => Some(Self::Week),
            Dimension::Month => Some(Self::Month),
            _ => None,
        }
    }

    /// The days of the week or month that a day lies in.
    pub fn around(self, day: Date) -> DateRange {
        let (first, last) = match self {
            Self::Week => {
                let monday = day.saturating_sub(i64::from(day.weekday().since(Weekday::Monday)).days());
                (monday, monday.saturating_add(6.days()))
            }
            Self::Month => (day.first_of_month(), day.last_of_month()),
        };
        // The calendar itself may end within a week.
        DateRange::new(first, last).unwrap_or(DateRange::day(day))
    }

    /// The id of the week or month that a day lies in: `2026-W47`, `2026-11`.
    pub fn id(self, day: Date) -> CompactString {
        let mut id = CompactString::default();
        let written = match self {
            Self::Week => {
                let week = day.iso_week_date();
                write!(id, "{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month => write!(id, "{:04}-{:02}", day.year(), day.month()),
        };
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
        id
    }

    /// The week or month that a day lies in, as a row shows it.
    pub fn value(self, day: Date) -> DimensionValue {
        DimensionValue::plain(self.id(day))
    }

    /// The days of a week or month, by its id.
    pub fn days(self, id: &str) -> Option<DateRange> {
        let day = match self {
            Self::Week => {
                let (year, week) = id.split_once("-W")?;
                ISOWeekDate::new(year.parse().ok()?, week.parse().ok()?, Weekday::Monday).ok()?.date()
            }
            Self::Month => {
                let (year, month) = id.split_once('-')?;
                Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?
            }
        };
        (self.id(day) == id).then(|| self.around(day))
    }

    /// How many weeks or months a day lies after another.
    pub fn between(self, from: Date, to: Date) -> i64 {
        match self {
            Self::Week => i64::from((self.around(to).from() - self.around(from).from()).get_days()) / 7,
            Self::Month => {
                let months = |day: Date| i64::from(day.year()) * 12 + i64::from(day.month());
                months(to) - months(from)
            }
        }
    }

    /// A day in the week or month so many later.
    pub fn later(self, day: Date, by: i64) -> Date {
        let first = self.around(day).from();
        match self {
            Self::Week => first.saturating_add(by.weeks()),
            Self::Month => first.saturating_add(by.months()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weeks_are_numbered_as_iso_numbers_them() {
        for (day, week) in [
            (date(2026, 11, 22), "2026-W47"),
            (date(2026, 11, 23), "2026-W48"),
            (date(2027, 1, 3), "2026-W53"),
            (date(2024, 12, 30), "2025-W01"),
        ] {
            assert_eq!(Cycle::Week.id(day), week);
        }
        for wrong in ["2025-W53", "2026-W00", "2026-W1", "2026-47", "W47", "", "2026-W047", "+2026-W47"] {
            assert_eq!(Cycle::Week.days(wrong), None, "{wrong}");
        }
        for wrong in ["2026-13", "2026-1", "2026-W01", "", "26-01", "2026-01-01"] {
            assert_eq!(Cycle::Month.days(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_day_lies_in_its_week_and_month_and_these_are_found_by_their_ids(days in 0i64..40_000, other in -400i64..400) {
            let day = date(1970, 1, 1).saturating_add(days.days());
            let second = day.saturating_add(other.days());
            for cycle in [Cycle::Week, Cycle::Month] {
                let around = cycle.around(day);
                prop_assert!(around.contains(day));
                prop_assert_eq!(cycle.days(&cycle.id(day)), Some(around));
                prop_assert!(around.days().all(|one| cycle.id(one) == cycle.id(day)));
                prop_assert_ne!(cycle.id(around.to().tomorrow()?), cycle.id(day));
                prop_assert_eq!(cycle.later(day, cycle.between(day, second)), cycle.around(second).from());
            }
            prop_assert_eq!(Cycle::Week.around(day).len_days(), 7);
        }
    }
}
