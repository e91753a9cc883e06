//! What a period is compared with, and which day of it stands beside which.

use std::str::FromStr;

use compact_str::CompactString;
use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use crate::platforms::calendar::DateRange;
use crate::platforms::cycle::Cycle;
use crate::platforms::stats::{Dimension, DimensionValue, Key};

/// What a period is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// As many days, just before.
    PreviousPeriod,
    /// Seven days back.
    PreviousWeek,
    /// The same days of the month before.
    PreviousMonth,
    /// 364 days back, so that the weekdays match; by month, the same months of the year before.
    PreviousYear,
}

impl Comparison {
    /// Every comparison.
    pub const ALL: [Self; 4] = [Self::PreviousPeriod, Self::PreviousWeek, Self::PreviousMonth, Self::PreviousYear];

    /// The key in URLs and JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::PreviousPeriod => "previous_period",
            Self::PreviousWeek => "previous_week",
            Self::PreviousMonth => "previous_month",
            Self::PreviousYear => "previous_year",
        }
    }

    /// Whether rows by this dimension have something that they can be compared with.
    pub(crate) const fn goes_with(self, dimension: Dimension) -> bool {
        match dimension {
            Dimension::Week => !matches!(self, Self::PreviousMonth),
            Dimension::Month => matches!(self, Self::PreviousMonth | Self::PreviousYear),
            _ => true,
        }
    }

    /// Those that go with this dimension.
    pub fn possible(dimension: Dimension) -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|comparison| comparison.goes_with(dimension)).map(Self::key).collect()
    }

    fn step(self, range: DateRange, by_month: bool) -> Step {
        match self {
            Self::PreviousPeriod => Step::Days(range.len_days().into()),
            Self::PreviousWeek => Step::Days(7),
            Self::PreviousMonth => Step::Months(1),
            Self::PreviousYear if by_month => Step::Months(12),
            Self::PreviousYear => Step::Days(364),
        }
    }
}

impl FromStr for Comparison {
    type Err = ();

    fn from_str(key: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|comparison| comparison.key() == key).ok_or(())
    }
}

/// How far a day lies from the one that it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Days(i64),
    Months(i64),
}

impl Step {
    /// The day before `day`, where there is one.
    fn back(self, day: Date) -> Option<Date> {
        match self {
            Self::Days(days) => day.checked_sub(days.days()).ok(),
            Self::Months(months) => same_day(day, -months),
        }
    }

    /// The day after `day` that is compared with it, where there is one.
    fn forth(self, day: Date) -> Option<Date> {
        match self {
            Self::Days(days) => day.checked_add(days.days()).ok(),
            Self::Months(months) => same_day(day, months),
        }
    }
}

/// The day of the same number in another month; `None` where that month is too short.
fn same_day(day: Date, months: i64) -> Option<Date> {
    let moved = day.checked_add(months.months()).ok()?;
    (moved.day() == day.day()).then_some(moved)
}

/// Two ranges side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alignment {
    /// The range that is asked about.
    now: DateRange,
    /// The range that it is compared with.
    pub then: DateRange,
    step: Step,
    /// Whether it includes days that are not over.
    pub is_running: bool,
}

impl Alignment {
    /// The days to compare `range` with. One that is not over is compared up to the same day, `today`. `None` where none
    /// of its days has a counterpart.
    pub fn of(comparison: Comparison, range: DateRange, today: Date, group_by: &[Dimension]) -> Option<Self> {
        let step = comparison.step(range, group_by.contains(&Dimension::Month));
        let last = if range.contains(today) { today } else { range.to() };
        let compared = DateRange::new(range.from(), last)?;
        let from = compared.days().find_map(|day| step.back(day))?;
        let to = compared.days().filter_map(|day| step.back(day)).last()?;
        Some(Self { now: range, then: DateRange::new(from, to)?, step, is_running: range.to() >= today })
    }

    /// Turns the key of a row of then into that of the row of now that it stands beside. Says whether there is one: the
    /// days of a month may have no counterpart in the next.
    pub(crate) fn move_key(&self, group_by: &[Dimension], key: &mut Key) -> bool {
        let mut day = None;
        for (dimension, value) in group_by.iter().zip(key.iter_mut()).filter(|(one, _)| **one == Dimension::Date) {
            debug_assert_eq!(*dimension, Dimension::Date);
            day = value.id.parse().ok().and_then(|day| self.step.forth(day));
            match day {
                Some(day) => *value = DimensionValue::date(day),
                None => return false,
            }
        }
        for (dimension, value) in group_by.iter().zip(key.iter_mut()) {
            let Some(cycle) = Cycle::of(*dimension) else { continue };
            // Beside a day, its own week and month; else those in the same place of the range.
            let moved = day.or_else(|| {
                let first = cycle.days(&value.id)?.from();
                Some(cycle.later(self.now.from(), cycle.between(self.then.from(), first)))
            });
            if let Some(moved) = moved {
                *value = cycle.value(moved);
            }
        }
        true
    }

    /// Whether a row of now has a place in then that it can be compared with: a day may have none.
    pub(crate) fn has_then(&self, group_by: &[Dimension], key: &Key) -> bool {
        let mut days = group_by.iter().zip(key).filter(|(dimension, _)| **dimension == Dimension::Date);
        days.all(|(_, value)| {
            let day = value.id.parse().ok().and_then(|day| self.step.back(day));
            day.is_some_and(|day| self.then.contains(day))
        })
    }

    /// The id of then that a filter's id of now means; `None` where then has none.
    pub(crate) fn id_then(&self, dimension: Dimension, id: &CompactString) -> Option<CompactString> {
        match (dimension, Cycle::of(dimension)) {
            (Dimension::Date, _) => {
                let day = self.step.back(id.parse().ok()?)?;
                Some(DimensionValue::date(day).id)
            }
            (_, Some(cycle)) => {
                let first = cycle.days(id)?.from();
                Some(cycle.id(cycle.later(self.then.from(), cycle.between(self.now.from(), first))))
            }
            (_, None) => Some(id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn range(from: Date, to: Date) -> DateRange {
        DateRange::new(from, to).expect("a range")
    }

    fn then(comparison: Comparison, from: Date, to: Date, group_by: &[Dimension]) -> Option<(Date, Date)> {
        let alignment = Alignment::of(comparison, range(from, to), date(2030, 1, 1), group_by)?;
        Some((alignment.then.from(), alignment.then.to()))
    }

    #[test]
    fn each_comparison_has_its_days() {
        let (from, to) = (date(2026, 11, 16), date(2026, 11, 22));
        for (comparison, expected) in [
            (Comparison::PreviousPeriod, (date(2026, 11, 9), date(2026, 11, 15))),
            (Comparison::PreviousWeek, (date(2026, 11, 9), date(2026, 11, 15))),
            (Comparison::PreviousMonth, (date(2026, 10, 16), date(2026, 10, 22))),
            (Comparison::PreviousYear, (date(2025, 11, 17), date(2025, 11, 23))),
        ] {
            assert_eq!(then(comparison, from, to, &[Dimension::Date]), Some(expected), "{comparison:?}");
        }
        let by_month = then(Comparison::PreviousYear, from, to, &[Dimension::Month]);
        assert_eq!(by_month, Some((date(2025, 11, 16), date(2025, 11, 22))));
    }

    #[test]
    fn a_day_that_the_month_before_lacks_has_no_counterpart() {
        let march = then(Comparison::PreviousMonth, date(2026, 3, 1), date(2026, 3, 31), &[]);
        assert_eq!(march, Some((date(2026, 2, 1), date(2026, 2, 28))));
        assert_eq!(then(Comparison::PreviousMonth, date(2026, 3, 29), date(2026, 3, 31), &[]), None);
        let leap = then(Comparison::PreviousYear, date(2024, 2, 29), date(2024, 2, 29), &[Dimension::Month]);
        assert_eq!(leap, None);
    }

    #[test]
    fn a_period_that_is_not_over_is_compared_up_to_the_same_day() {
        let today = date(2026, 11, 18);
        let week = range(date(2026, 11, 16), date(2026, 11, 22));
        let alignment = Alignment::of(Comparison::PreviousPeriod, week, today, &[]).expect("an alignment");
        assert_eq!((alignment.then.from(), alignment.then.to()), (date(2026, 11, 9), date(2026, 11, 11)));
        assert!(alignment.is_running);
        let over = Alignment::of(Comparison::PreviousPeriod, week, date(2026, 11, 23), &[]).expect("an alignment");
        assert!(!over.is_running && over.then.len_days() == 7);
    }

    proptest! {
        #[test]
        fn days_stand_beside_days_of_the_same_place_and_weekday(start in 0i64..3_000, length in 1i64..60) {
            let from = date(2020, 1, 1).saturating_add(start.days());
            let now = range(from, from.saturating_add((length - 1).days()));
            for comparison in [Comparison::PreviousPeriod, Comparison::PreviousWeek, Comparison::PreviousYear] {
                let group_by = [Dimension::Date, Dimension::Week];
                let alignment = Alignment::of(comparison, now, date(2040, 1, 1), &group_by).expect("an alignment");
                prop_assert_eq!(alignment.then.len_days(), now.len_days());
                for (one, other) in now.days().zip(alignment.then.days()) {
                    let mut key = Key::from_iter([DimensionValue::date(other), Cycle::Week.value(other)]);
                    prop_assert!(alignment.move_key(&group_by, &mut key));
                    prop_assert_eq!(&key[0], &DimensionValue::date(one));
                    prop_assert_eq!(&key[1], &Cycle::Week.value(one));
                    prop_assert_eq!(alignment.id_then(Dimension::Date, &key[0].id), Some(DimensionValue::date(other).id));
                    if comparison != Comparison::PreviousPeriod {
                        prop_assert_eq!(one.weekday(), other.weekday());
                        let mut week = Key::from_iter([Cycle::Week.value(other)]);
                        prop_assert!(alignment.move_key(&[Dimension::Week], &mut week));
                        prop_assert_eq!(&week[0], &Cycle::Week.value(one));
                        prop_assert_eq!(alignment.id_then(Dimension::Week, &week[0].id), Some(Cycle::Week.id(other)));
                    }
                }
            }
        }
    }
}
