//! From the network's clock to the days and hours that are asked for.
//!
//! TUNE counts by the network's clock and can move that by whole hours; it knows of no clock changes. So:
//!
//! 1. A day is *moved* where the network's clock, moved by so many hours, shows its date during the day and at no other
//!    time. Days in a row that are moved alike are one request.
//! 2. Any other day is *put together*: the network's hours are asked for unmoved, and each is counted to the day, and to
//!    the hour, that it lies in.
//! 3. An hour of the network's that lies in two days (or in two hours, where these are asked for), because its clocks
//!    went back or the clocks are not whole hours apart, cannot be divided: then the request is refused.

use std::collections::{BTreeSet, HashMap};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::super::calendar::{DateRange, Zone};
use crate::outbound::error::PlatformError;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Further than any two clocks are apart.
const MARGIN: i64 = 28 * HOUR;

/// An hour of a day.
pub(super) type Hour = (Date, u8);

/// Days that are asked for with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) days: DateRange,
    pub(super) way: Way,
}

/// How they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// By the network's clock, moved by so many hours.
    Moved(i64),
    /// Put together from the network's hours.
    ByHours(Hours),
}

/// The network's hours that days are put together from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hours {
    /// The network's days that they are in.
    pub(super) days: DateRange,
    /// Where each hour that there is belongs; `None` where it belongs to no day that is asked for.
    places: HashMap<Hour, Option<Hour>>,
}

impl Hours {
    /// Where an hour belongs. The outer `None` is an hour that the network's clock never shows.
    pub(super) fn place(&self, hour: Hour) -> Option<Option<Hour>> {
        self.places.get(&hour).copied()
    }
}

impl Part {
    /// The network's days, moved or not, that the request names.
    pub(super) fn asked_days(&self) -> DateRange {
        match &self.way {
            Way::Moved(_) => self.days,
            Way::ByHours(hours) => hours.days,
        }
    }
}

/// The two clocks of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks<'a> {
    pub(super) wanted: &'a Zone,
    pub(super) network: &'a Zone,
    /// Whether hours of the day are asked for, and not days alone.
    pub(super) by_hour: bool,
    /// Whether the platform is known to leave its days where they are, whatever it is asked.
    pub(super) never_moves: bool,
}

impl Clocks<'_> {
    /// The parts of a range, in order.
    ///
    /// # Errors
    /// A range with an hour that cannot be divided.
    pub(super) fn plan(&self, range: DateRange) -> Result<Vec<Part>, PlatformError> {
        if self.wanted.canonical_name() == self.network.canonical_name() {
            return Ok(vec![Part { days: range, way: Way::Moved(0) }]);
        }
        let mut runs: Vec<(DateRange, Option<i64>)> = Vec::new();
        for day in range.days() {
            let moved = self.hours_apart(day)?.filter(|hours| *hours == 0 || !self.never_moves);
            match runs.last_mut() {
                Some((days, last)) if *last == moved => *days = DateRange::new(days.from(), day).unwrap_or(*days),
                _ => runs.push((DateRange::day(day), moved)),
            }
        }
        let part = |(days, moved)| match moved {
            Some(hours) => Ok(Part { days, way: Way::Moved(hours) }),
            None => self.put_together(days),
        };
        runs.into_iter().map(part).collect()
    }

    /// The two halves of a part that is too much for one request; `None` where it is a single day.
    pub(super) fn halves(&self, part: &Part) -> Option<Result<Vec<Part>, PlatformError>> {
        let days = part.days.len_days();
        let half = |days| match part.way {
            Way::Moved(hours) => Ok(Part { days, way: Way::Moved(hours) }),
            Way::ByHours(_) => self.put_together(days),
        };
        (days > 1).then(|| part.days.windows(days.div_ceil(2)).into_iter().map(half).collect())
    }

    /// The hours by which the network's clock has to be moved for one day, `None` where no number does for all of it.
    fn hours_apart(&self, day: Date) -> Result<Option<i64>, PlatformError> {
        let (start, end) = self.bounds(DateRange::day(day))?;
        let midnight = midnight(day);
        let apart = |at: i64| offset(self.wanted, at) - offset(self.network, at);
        let seconds = apart(start);
        let mut moments: BTreeSet<i64> = [start - MARGIN, start, end].into();
        for zone in [self.wanted, self.network] {
            moments.extend(transitions(zone, start - MARGIN, end + MARGIN));
        }
        let ends = moments.iter().copied().skip(1).chain([end + MARGIN]);
        let mut fits = true;
        for (from, to) in moments.iter().copied().zip(ends) {
            if (start..end).contains(&from) {
                if apart(from) % HOUR != 0 {
                    return Err(self.not_whole_hours());
                }
                fits &= apart(from) == seconds;
            } else {
                // What the moved clock shows then must not be this day.
                let shown = offset(self.network, from) + seconds;
                fits &= to + shown <= midnight || from + shown >= midnight + DAY;
            }
        }
        Ok(fits.then_some(seconds / HOUR))
    }

    fn put_together(&self, days: DateRange) -> Result<Part, PlatformError> {
        let (start, end) = self.bounds(days)?;
        let own = DateRange::new(self.network.date_at(instant(start)?), self.network.date_at(instant(end - 1)?))
            .ok_or_else(too_far)?;
        let mut places = HashMap::new();
        for (date, hour) in own.days().flat_map(|date| (0..24).map(move |hour| (date, hour))) {
            let cells = self.cells((date, hour))?;
            let Some(first) = cells.first() else { continue };
            let inside = cells.iter().any(|(day, _)| days.contains(*day));
            let divided = cells.iter().any(|(day, hour)| *day != first.0 || (self.by_hour && *hour != first.1));
            if inside && divided {
                return Err(self.indivisible((date, hour)));
            }
            places.insert((date, hour), inside.then_some(*first));
        }
        Ok(Part { days, way: Way::ByHours(Hours { days: own, places }) })
    }

    /// The days and hours that an hour of the network's clock lies in: none where the clock skips it.
    fn cells(&self, (date, hour): Hour) -> Result<BTreeSet<Hour>, PlatformError> {
        let shown = midnight(date) + i64::from(hour) * HOUR;
        let mut cells = BTreeSet::new();
        for (from, to) in pieces(self.network, shown - MARGIN, shown + MARGIN) {
            let shift = offset(self.network, from);
            let (from, to) = (from.max(shown - shift), to.min(shown + HOUR - shift));
            for (from, to) in pieces(self.wanted, from, to) {
                for at in [from, to - 1] {
                    let local = self.wanted.rules().to_datetime(instant(at)?);
                    cells.insert((local.date(), u8::try_from(local.hour()).unwrap_or_default()));
                }
            }
        }
        Ok(cells)
    }

    /// The first second of the first day, and the one after the last.
    fn bounds(&self, days: DateRange) -> Result<(i64, i64), PlatformError> {
        let start = self.wanted.start_of(days.from());
        let end = days.to().tomorrow().ok().and_then(|day| self.wanted.start_of(day));
        start.zip(end).map(|(start, end)| (start.as_second(), end.as_second())).ok_or_else(too_far)
    }

    fn not_whole_hours(&self) -> PlatformError {
        let (wanted, network) = (self.wanted.name(), self.network.name());
        PlatformError::unsupported(format!(
            "TUNE moves its days by whole hours only, and the clocks of {wanted} and of the network's {network} are not \
             whole hours apart."
        ))
        .hint(self.own_zone())
    }

    fn indivisible(&self, (date, hour): Hour) -> PlatformError {
        let (wanted, network) = (self.wanted.name(), self.network.name());
        let what = if self.by_hour { "hours" } else { "days" };
        PlatformError::unsupported(format!(
            "On {date} the hour from {hour:02}:00 on the clock of the network's {network} lies in two {what} of {wanted}, \
             and TUNE cannot tell its parts from each other."
        ))
        .hint(format!("{} Or ask for a range without that day.", self.own_zone()))
    }

    fn own_zone(&self) -> String {
        format!("Ask with timezone={}.", self.network.name())
    }
}

fn too_far() -> PlatformError {
    PlatformError::unsupported("The range lies too far away.")
}

fn instant(second: i64) -> Result<Timestamp, PlatformError> {
    Timestamp::from_second(second).map_err(|_| too_far())
}

/// What a clock shows at a day's midnight, in seconds.
fn midnight(day: Date) -> i64 {
    let days = day.duration_since(jiff::civil::date(1970, 1, 1)).as_hours() / 24;
    days * DAY
}

/// How far a clock is ahead of UTC at a second.
fn offset(zone: &Zone, at: i64) -> i64 {
    let at = Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH);
    zone.rules().to_offset(at).seconds().into()
}

/// When a zone's clocks are changed after `from` and before `to`.
fn transitions(zone: &Zone, from: i64, to: i64) -> Vec<i64> {
    let Ok(start) = Timestamp::from_second(from) else { return Vec::new() };
    let changes = zone.rules().following(start).map(|change| change.timestamp().as_second());
    changes.take_while(|at| *at < to).collect()
}

/// The seconds from `from` to `to`, cut where the zone's clocks are changed; nothing where there are none.
fn pieces(zone: &Zone, from: i64, to: i64) -> Vec<(i64, i64)> {
    if from >= to {
        return Vec::new();
    }
    let changes = transitions(zone, from, to);
    let starts = [from].into_iter().chain(changes.iter().copied());
    starts.zip(changes.iter().copied().chain([to])).collect()
}

/// Whether a zone's clocks are changed on one of these days, or on the one before or after.
pub(super) fn is_changed_around(zone: &Zone, days: DateRange) -> bool {
    let first = days.from().saturating_sub(1.day());
    let last = days.to().saturating_add(2.days());
    match (zone.start_of(first), zone.start_of(last)) {
        (Some(first), Some(last)) => !transitions(zone, first.as_second(), last.as_second()).is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::find(name).expect("a zone")
    }

    fn plan(wanted: &str, network: &str, by_hour: bool, from: Date, to: Date) -> Result<Vec<Part>, PlatformError> {
        let (wanted, network) = (zone(wanted), zone(network));
        let clocks = Clocks { wanted: &wanted, network: &network, by_hour, never_moves: false };
        clocks.plan(DateRange::new(from, to).expect("a range"))
    }

    /// The parts in short: their days, and the hours that they are moved by.
    fn short(parts: Vec<Part>) -> Vec<(Date, Date, Option<i64>)> {
        let way = |way| match way {
            Way::Moved(hours) => Some(hours),
            Way::ByHours(_) => None,
        };
        parts.into_iter().map(|part| (part.days.from(), part.days.to(), way(part.way))).collect()
    }

    #[test]
    fn one_request_does_where_the_clocks_stay_as_far_apart() {
        let (from, to) = (date(2026, 1, 1), date(2026, 12, 31));
        for (wanted, network, hours) in [
            ("Europe/Berlin", "Europe/Berlin", 0),
            ("Europe/Paris", "Europe/Berlin", 0),
            ("US/Eastern", "America/New_York", 0),
            ("Europe/Athens", "Europe/Berlin", 1),
            ("Europe/London", "Europe/Berlin", -1),
            ("Asia/Tokyo", "UTC", 9),
            ("Pacific/Kiritimati", "Pacific/Pago_Pago", 25),
        ] {
            let parts = plan(wanted, network, true, from, to).expect(wanted);
            assert_eq!(short(parts), [(from, to, Some(hours))], "{wanted} from {network}");
        }
    }

    #[test]
    fn days_around_a_clock_change_are_put_together() {
        let (from, to) = (date(2026, 10, 20), date(2026, 11, 10));
        let parts = plan("Europe/Berlin", "UTC", false, from, to).expect("a plan");
        assert_eq!(
            short(parts),
            [
                (from, date(2026, 10, 24), Some(2)),
                (date(2026, 10, 25), date(2026, 10, 25), None),
                (date(2026, 10, 26), to, Some(1)),
            ]
        );
        let parts = plan("Europe/Berlin", "America/New_York", false, from, to).expect("a plan");
        assert_eq!(
            short(parts),
            [
                (from, date(2026, 10, 24), Some(6)),
                (date(2026, 10, 25), date(2026, 10, 25), None),
                (date(2026, 10, 26), date(2026, 10, 31), Some(5)),
                (date(2026, 11, 1), date(2026, 11, 1), None),
                (date(2026, 11, 2), to, Some(6)),
            ]
        );
    }

    #[test]
    fn halves_and_quarters_of_hours_are_refused_with_the_networks_zone_named() {
        for wanted in ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"] {
            let refused =
                plan(wanted, "America/New_York", false, date(2026, 11, 3), date(2026, 11, 3)).expect_err(wanted);
            assert_eq!(refused.hint.as_deref(), Some("Ask with timezone=America/New_York."));
        }
        assert!(plan("Asia/Kolkata", "Asia/Colombo", false, date(2026, 11, 3), date(2026, 11, 3)).is_ok());
    }

    #[test]
    fn a_repeated_hour_is_refused_only_where_it_matters() {
        let day = date(2026, 10, 25);
        // Berlin's 02:00 comes twice, at 00:00 and at 01:00 UTC.
        assert!(plan("UTC", "Europe/Berlin", false, day, day).is_ok());
        assert!(plan("UTC", "Europe/Berlin", true, day, day).is_err());
        // In the Azores the first of the two is the day before.
        let refused = plan("Atlantic/Azores", "Europe/Berlin", false, day, day);
        assert!(refused.is_ok(), "the clocks of both go back at the same moment");
        let refused = plan("Etc/GMT+1", "Europe/Berlin", false, day, day).expect_err("a day's border");
        assert!(refused.detail.contains("2026-10-25 the hour from 02:00"), "{}", refused.detail);
    }

    proptest! {
        #[test]
        fn every_hour_is_counted_where_it_lies_and_once(
            wanted in prop::sample::select(vec!["UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Kolkata",
                "America/Santiago", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Auckland", "Etc/GMT+1", "Africa/Casablanca"]),
            network in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "America/Los_Angeles",
                "America/Santiago", "America/Asuncion", "Asia/Tokyo", "Australia/Sydney", "Asia/Kolkata", "Asia/Beirut"]),
            start in 0i64..1_500, length in 0i64..12, by_hour in any::<bool>(), never_moves in any::<bool>(),
        ) {
            let from = date(2023, 1, 1).saturating_add(start.days());
            let range = DateRange::new(from, from.saturating_add(length.days())).expect("a range");
            let (wanted, network) = (zone(wanted), zone(network));
            let clocks = Clocks { wanted: &wanted, network: &network, by_hour, never_moves };
            if let Ok(parts) = clocks.plan(range) {
                let days: Vec<Date> = parts.iter().flat_map(|part| part.days.days()).collect();
                prop_assert_eq!(days, range.days().collect::<Vec<_>>());
                let first = midnight(range.from()) - MARGIN;
                let last = midnight(range.to()) + DAY + MARGIN;
                for at in (first..last).step_by(1_800) {
                    let at = Timestamp::from_second(at).expect("an instant");
                    let lies = |zone: &Zone, hours: i64| {
                        let local = zone.rules().to_datetime(at).saturating_add(hours.hours());
                        (local.date(), u8::try_from(local.hour()).expect("an hour"))
                    };
                    let expected = lies(&wanted, 0);
                    let mut counted = Vec::new();
                    for part in &parts {
                        match &part.way {
                            Way::Moved(hours) => {
                                let shown = lies(&network, *hours);
                                counted.extend(part.days.contains(shown.0).then_some(shown));
                            }
                            Way::ByHours(hours) => {
                                let shown = lies(&network, 0);
                                if hours.days.contains(shown.0) {
                                    counted.extend(hours.place(shown).expect("an hour that there is"));
                                }
                            }
                        }
                    }
                    let expected = range.contains(expected.0).then_some(expected);
                    if by_hour {
                        prop_assert_eq!(counted, expected.into_iter().collect::<Vec<_>>(), "{}", at);
                    } else {
                        let day = |hour: &Hour| hour.0;
                        let counted: Vec<Date> = counted.iter().map(day).collect();
                        prop_assert_eq!(counted, expected.iter().map(day).collect::<Vec<_>>(), "{}", at);
                    }
                }
            }
        }
    }
}
