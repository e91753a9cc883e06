//! A range of local days cut along the clock of its zone, and how a piece is put to a tracker.
//!
//! v2 has no proven grouping by day or hour, so a day or an hour is asked for as a window of its own. Windows are
//! stretches of real time: a day of a clock change has 23 or 25 hours, and the hour that happens twice is one window
//! of two hours. v1 only knows whole days at a fixed offset, so there a range falls into stretches of one offset.

use std::ops::Range;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::super::calendar::{DateRange, Zone};
use super::super::stats::{Dimension, StatsQuery};
use crate::outbound::error::PlatformError;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// How finely time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    Whole,
    Day,
    Hour,
}

impl Grain {
    /// The grain a query needs.
    pub(super) fn of(query: &StatsQuery) -> Self {
        match (query.has(Dimension::Date), query.has(Dimension::Hour)) {
            (_, true) => Self::Hour,
            (true, false) => Self::Day,
            (false, false) => Self::Whole,
        }
    }

    const fn seconds(self) -> i64 {
        match self {
            Self::Whole | Self::Day => DAY,
            Self::Hour => HOUR,
        }
    }
}

/// A stretch of time that lies in one local day (and hour), or spans the whole range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The first instant.
    from: Timestamp,
    /// The first instant after it.
    until: Timestamp,
    /// The local day it starts on.
    pub(super) date: Date,
    /// The local hour it starts in.
    pub(super) hour: u8,
}

/// A window in the words of v2: times of the clock, both inclusive to the second, and the zone they are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wording {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) timezone: String,
}

impl Wording {
    /// Whole days of a zone, as an installation that knows the zone counts them.
    pub(super) fn local(zone: &Zone, range: DateRange) -> Self {
        let is_utc = *zone.rules() == TimeZone::UTC || zone.canonical_name() == "Etc/UTC";
        Self {
            from: format!("{} 00:00:00", range.from()),
            to: format!("{} 23:59:59", range.to()),
            timezone: if is_utc { "UTC" } else { zone.canonical_name() }.to_owned(),
        }
    }
}

/// Cuts a range into windows, in order. Together they cover every instant of its days exactly once.
pub(super) fn cut(zone: &Zone, range: DateRange, grain: Grain) -> Result<Vec<Window>, PlatformError> {
    let (start, end) = bounds(zone, range).ok_or_else(|| beyond_the_calendar(range))?;
    let rules = zone.rules();
    let mut windows: Vec<Window> = Vec::new();
    let mut from = start;
    while from < end {
        let until = next_tick(rules, from, grain.seconds()).ok_or_else(|| beyond_the_calendar(range))?;
        let local = rules.to_datetime(from);
        let window = Window { from, until, date: local.date(), hour: local.hour().unsigned_abs() };
        if range.contains(window.date) {
            match windows.last_mut().filter(|last| last.until == from && same_piece(last, &window, grain)) {
                Some(last) => last.until = until,
                None => windows.push(window),
            }
        }
        from = until;
    }
    Ok(windows)
}

/// From the first instant of the range to a day after its last: where clocks go back over midnight, a moment of the
/// last day comes after the next day has begun.
fn bounds(zone: &Zone, range: DateRange) -> Option<(Timestamp, Timestamp)> {
    let end = zone.start_of(range.to().tomorrow().ok()?)?;
    Some((zone.start_of(range.from())?, end.checked_add(SignedDuration::from_secs(DAY)).ok()?))
}

fn same_piece(last: &Window, next: &Window, grain: Grain) -> bool {
    match grain {
        Grain::Whole => true,
        Grain::Day => last.date == next.date,
        Grain::Hour => (last.date, last.hour) == (next.date, next.hour),
    }
}

/// The next instant at which the local clock strikes a multiple of `step` or is changed.
fn next_tick(rules: &TimeZone, from: Timestamp, step: i64) -> Option<Timestamp> {
    let second = from.as_second();
    let local = second.checked_add(i64::from(rules.to_offset(from).seconds()))?;
    let struck = Timestamp::from_second(second - local.rem_euclid(step) + step).ok()?;
    let changed = rules.following(from).next().map(|change| change.timestamp());
    Some(changed.map_or(struck, |changed| changed.min(struck)))
}

fn beyond_the_calendar(range: DateRange) -> PlatformError {
    PlatformError::unsupported(format!("The range {} to {} is beyond the calendar.", range.from(), range.to()))
}

impl Window {
    /// The window in UTC, whatever the zone of its days: an installation's own tables of zones may be older than these, and
    /// then the same wall-clock times would be other instants there.
    pub(super) fn wording(&self) -> Wording {
        let clock = |instant: Timestamp| TimeZone::UTC.to_datetime(instant).strftime("%Y-%m-%d %H:%M:%S").to_string();
        Wording { from: clock(self.from), to: clock(self.until - SECOND), timezone: "UTC".to_owned() }
    }

    /// The stretch that windows make which follow each other.
    pub(super) fn joined(windows: &[Self]) -> Option<Self> {
        let follow = windows.iter().zip(windows.iter().skip(1)).all(|(one, next)| one.until == next.from);
        let (first, last) = (windows.first()?, windows.last()?);
        follow.then_some(Self { until: last.until, ..*first })
    }
}

/// Consecutive days at one whole-hour offset from UTC, as v1 counts them, or a part of one such day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) days: DateRange,
    pub(super) offset_hours: i64,
    /// The hours of the day that belong to it, where not all do: the clocks change on that day.
    pub(super) hours: Option<Range<u8>>,
}

/// Cuts a range into stretches of one offset. On the day of a clock change the hours before it are one and the hours
/// after it another. What v1 cannot count so is refused.
pub(super) fn stretches(zone: &Zone, range: DateRange) -> Result<Vec<Stretch>, PlatformError> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for day in range.days() {
        for next in stretches_of(zone, day)? {
            match stretches.last_mut().filter(|last| last.is_continued_by(&next)) {
                Some(last) => last.days = DateRange::new(last.days.from(), day).unwrap_or(last.days),
                None => stretches.push(next),
            }
        }
    }
    Ok(stretches)
}

impl Stretch {
    fn is_continued_by(&self, next: &Self) -> bool {
        self.hours.is_none() && next.hours.is_none() && self.offset_hours == next.offset_hours
    }
}

fn stretches_of(zone: &Zone, day: Date) -> Result<Vec<Stretch>, PlatformError> {
    let days = DateRange::day(day);
    let bounds = || Some((Zone::utc().start_of(day)?, zone.start_of(day)?, zone.start_of(day.tomorrow().ok()?)?));
    let (midnight, start, end) = bounds().ok_or_else(|| beyond_the_calendar(days))?;
    let mut stretches = Vec::new();
    let mut from = start;
    while from < end {
        let offset = zone.rules().to_offset(from).seconds();
        let changed = zone
            .rules()
            .following(from)
            .map(|change| change.timestamp())
            .take_while(|change| *change < end)
            .find(|change| zone.rules().to_offset(*change).seconds() != offset);
        let until = changed.unwrap_or(end);
        let hour = |instant: Timestamp| {
            let second = instant.as_second() + i64::from(offset) - midnight.as_second();
            (second % HOUR == 0).then(|| u8::try_from(second / HOUR).ok()).flatten().filter(|hour| *hour <= 24)
        };
        let offset_hours = whole_hours(i64::from(offset)).ok_or_else(|| between_hours(zone, day))?;
        let hours =
            hour(from).zip(hour(until)).map(|(from, until)| from..until).ok_or_else(|| clocks_change(zone, day))?;
        stretches.push(Stretch { days, offset_hours, hours: (hours != (0..24)).then_some(hours) });
        from = until;
    }
    Ok(stretches)
}

/// The offset in hours, if it is one that v1 offers.
fn whole_hours(seconds: i64) -> Option<i64> {
    (seconds % HOUR == 0 && seconds.abs() <= 12 * HOUR).then_some(seconds / HOUR)
}

fn between_hours(zone: &Zone, day: Date) -> PlatformError {
    PlatformError::unsupported(format!(
        "Binom v1 counts days at whole hours from UTC only, from -12 to +12, and {} is at none of these on {day}.",
        zone.name()
    ))
    .hint("Ask in a zone at whole hours from UTC, such as UTC itself.")
}

/// The refusal of a day that is asked for whole but consists of parts.
pub(super) fn clocks_change(zone: &Zone, day: Date) -> PlatformError {
    PlatformError::unsupported(format!(
        "The clocks change on {day} in {}; Binom v1 counts days at fixed offsets from UTC, and cannot put that day \
         together for these dimensions.",
        zone.name()
    ))
    .hint(
        "Ask for a range without that day, in a zone that never changes its clocks, such as UTC, or by date, hour, \
         campaign, traffic source or country.",
    )
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::find(name).expect("a zone")
    }

    fn day(year: i16, month: i8, day: i8) -> DateRange {
        DateRange::day(date(year, month, day))
    }

    fn worded(name: &str, range: DateRange, grain: Grain) -> Vec<String> {
        let zone = zone(name);
        cut(&zone, range, grain)
            .expect("windows")
            .iter()
            .map(Window::wording)
            .map(|wording| format!("{} … {} {}", wording.from, wording.to, wording.timezone))
            .collect()
    }

    #[test]
    fn windows_are_worded_in_utc() {
        assert_eq!(
            worded("Asia/Calcutta", day(2026, 9, 1), Grain::Day),
            ["2026-08-31 18:30:00 … 2026-09-01 18:29:59 UTC"]
        );
        assert_eq!(worded("Etc/GMT+5", day(2026, 9, 1), Grain::Day), ["2026-09-01 05:00:00 … 2026-09-02 04:59:59 UTC"]);
    }

    #[test]
    fn the_hour_that_happens_twice_is_one_window() {
        let hours = worded("Europe/Berlin", day(2026, 10, 25), Grain::Hour);
        assert_eq!(hours.len(), 24);
        assert_eq!(hours[1], "2026-10-24 23:00:00 … 2026-10-24 23:59:59 UTC");
        assert_eq!(hours[2], "2026-10-25 00:00:00 … 2026-10-25 01:59:59 UTC");
        assert_eq!(worded("Europe/Berlin", day(2026, 3, 29), Grain::Hour).len(), 23);
    }

    #[test]
    fn a_day_without_midnight_starts_after_the_gap_and_one_with_two_has_both() {
        assert_eq!(
            worded("America/Santiago", day(2026, 9, 6), Grain::Day),
            ["2026-09-06 04:00:00 … 2026-09-07 02:59:59 UTC"]
        );
        assert_eq!(
            worded("America/Havana", day(2024, 11, 3), Grain::Day),
            ["2024-11-03 04:00:00 … 2024-11-04 04:59:59 UTC"]
        );
    }

    #[test]
    fn a_day_whose_rules_changed_in_2026_is_a_day_by_the_rules_of_2026() {
        assert_eq!(
            worded("Africa/Casablanca", day(2026, 10, 28), Grain::Day),
            ["2026-10-28 00:00:00 … 2026-10-28 23:59:59 UTC"]
        );
    }

    #[test]
    fn a_range_falls_into_stretches_of_one_offset_and_the_day_of_the_change_into_its_parts() {
        let range = |from: i8, to: i8| DateRange::new(date(2026, 10, from), date(2026, 10, to)).expect("a range");
        let stretch = |days, offset_hours, hours| Stretch { days, offset_hours, hours };
        assert_eq!(
            stretches(&zone("Europe/Berlin"), range(1, 31)).expect("stretches"),
            [
                stretch(range(1, 24), 2, None),
                stretch(range(25, 25), 2, Some(0..3)),
                stretch(range(25, 25), 1, Some(2..24)),
                stretch(range(26, 31), 1, None),
            ]
        );
        let santiago = stretches(&zone("America/Santiago"), day(2026, 9, 6)).expect("stretches");
        assert_eq!(santiago, [stretch(day(2026, 9, 6), -3, Some(1..24))]);
        // A day that never was has no parts.
        assert_eq!(stretches(&zone("Pacific/Apia"), day(2011, 12, 30)).expect("stretches"), []);
    }

    #[test]
    fn offsets_that_v1_does_not_offer_are_refused() {
        for name in ["Asia/Kolkata", "Pacific/Kiritimati", "Australia/Lord_Howe"] {
            let error = stretches(&zone(name), day(2026, 9, 1)).expect_err("a refusal");
            assert!(error.detail.contains(name), "{error}");
        }
    }

    proptest! {
        #[test]
        fn windows_cover_every_instant_of_the_days_exactly_once(offset in 0i64..9_000, length in 0i64..5, probe in 0i64..600_000) {
            let from = date(2008, 1, 1).saturating_add(offset.days());
            let range = DateRange::new(from, from.saturating_add(length.days())).expect("a range");
            for name in ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe",
                         "America/Santiago", "America/Havana", "Pacific/Apia"] {
                let zone = zone(name);
                let start = zone.start_of(from).expect("a start");
                let instant = start + SignedDuration::from_secs(probe - DAY);
                for grain in [Grain::Whole, Grain::Day, Grain::Hour] {
                    let windows = cut(&zone, range, grain).expect("windows");
                    let holding: Vec<&Window> =
                        windows.iter().filter(|window| window.from <= instant && instant < window.until).collect();
                    let local = zone.rules().to_datetime(instant);
                    prop_assert_eq!(holding.len(), usize::from(range.contains(local.date())), "{} {}", name, instant);
                    if let (Some(window), Grain::Hour) = (holding.first(), grain) {
                        prop_assert_eq!((window.date, window.hour), (local.date(), local.hour().unsigned_abs()));
                    }
                }
            }
        }
    }
}
