//! Zones whose rules changed so lately that a tracker may still count their days by the old ones.
//!
//! Where this service names instants, a tracker's own tables do not matter. Where it can only name a zone, they decide
//! when a day begins, and nearly no tracker says how old they are: many machines still have the release [`OLD`].

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use super::calendar::{DateRange, Zone};

/// The release of the old rules.
pub(super) const OLD: &str = "2025b";

/// A change of rules.
struct Change {
    /// The zones, by their canonical names.
    zones: &'static [&'static str],
    /// The rules before, as a POSIX time zone.
    before: &'static str,
    /// The first day that differs; until then both have the same.
    since: Date,
}

/// What changed from that release to the one that is compiled in.
const CHANGES: [Change; 5] = [
    Change { zones: &["Africa/Casablanca", "Africa/El_Aaiun"], before: "<+01>-1", since: date(2026, 9, 20) },
    Change {
        zones: &["America/Edmonton", "America/Inuvik", "America/Yellowknife"],
        before: "MST7MDT,M3.2.0,M11.1.0",
        since: date(2026, 11, 1),
    },
    Change { zones: &["America/Havana"], before: "CST5CDT,M3.2.0/0,M11.1.0/1", since: date(2026, 11, 1) },
    Change { zones: &["America/Vancouver"], before: "PST8PDT,M3.2.0,M11.1.0", since: date(2026, 11, 1) },
    Change {
        zones: &["America/Winnipeg", "America/Rainy_River"],
        before: "CST6CDT,M3.2.0,M11.1.0",
        since: date(2026, 11, 1),
    },
];

/// The days of a range that begin or end at another moment by the old rules, from the first of them to the last.
pub(super) fn days_concerned(zone: &Zone, range: DateRange) -> Option<DateRange> {
    let change = CHANGES.iter().find(|change| change.zones.contains(&zone.canonical_name()))?;
    let before = TimeZone::posix(change.before).ok()?;
    let is_moved = |day: Date| {
        let old = before.to_ambiguous_timestamp(day.at(0, 0, 0, 0)).compatible().ok();
        old != zone.start_of(day)
    };
    let differs = |day: &Date| *day >= change.since && (is_moved(*day) || day.tomorrow().is_ok_and(is_moved));
    let mut days = range.days().filter(differs);
    let first = days.next()?;
    DateRange::new(first, days.last().unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concerned(name: &str, from: Date, to: Date) -> Option<(Date, Date)> {
        let zone = Zone::find(name).expect("a zone");
        days_concerned(&zone, DateRange::new(from, to).expect("a range")).map(|days| (days.from(), days.to()))
    }

    #[test]
    fn only_days_that_differ_are_concerned() {
        let (summer, winter) = (date(2026, 7, 1), date(2026, 12, 31));
        for (name, first) in [
            ("Africa/Casablanca", date(2026, 9, 20)),
            ("America/Vancouver", date(2026, 11, 1)),
            ("Canada/Pacific", date(2026, 11, 1)),
            ("America/Edmonton", date(2026, 11, 1)),
            ("America/Winnipeg", date(2026, 11, 1)),
            ("America/Havana", date(2026, 11, 1)),
        ] {
            assert_eq!(concerned(name, summer, winter), Some((first, winter)), "{name}");
            assert_eq!(concerned(name, summer, date(2026, 9, 19)), None, "{name}");
        }
        // Clocks that had gone back in November go forward again in March.
        assert_eq!(concerned("America/Vancouver", winter, date(2027, 6, 1)), Some((winter, date(2027, 3, 14))));
        for name in ["Europe/Berlin", "America/New_York", "UTC"] {
            assert_eq!(concerned(name, summer, winter), None, "{name}");
        }
    }
}
