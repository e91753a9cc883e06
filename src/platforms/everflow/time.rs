//! The ids of time columns.
//!
//! They are texts, mostly unix seconds, and it is documented nowhere which instant of a day or hour they name. Each
//! plausible reading is recognised by what it must look like; an id that fits none is refused, never guessed.

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp};

use super::super::calendar::Zone;

/// What an id of the `hour` column says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HourId {
    /// An hour of a certain day.
    Of(Date, u8),
    /// An hour of the day, whichever day that was.
    OfAnyDay(u8),
}

/// The local day that an id of the `date` column names: `YYYY-MM-DD`, or an instant in seconds or milliseconds that is
/// the day's first (or its midnight) in `zone`, or else midnight in UTC.
///
/// The last two readings only meet where the zone is at UTC, and agree there.
pub(super) fn day(id: &str, zone: &Zone) -> Option<Date> {
    if let Ok(day) = id.parse::<Date>()
        && id.len() == "2026-01-31".len()
    {
        return Some(day);
    }
    let instant = instant(id)?;
    let local = zone.rules().to_datetime(instant);
    if local.time() == Time::midnight() || zone.start_of(local.date()) == Some(instant) {
        return Some(local.date());
    }
    let utc = jiff::tz::TimeZone::UTC.to_datetime(instant);
    (utc.time() == Time::midnight()).then(|| utc.date())
}

/// The local hour that an id of the `hour` column names: 0 to 23, or an instant in seconds or milliseconds that is the
/// first of an hour in `zone`.
pub(super) fn hour(id: &str, zone: &Zone) -> Option<HourId> {
    let digits = id.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(hour) = id.parse::<u8>().ok().filter(|hour| digits && *hour < 24) {
        return Some(HourId::OfAnyDay(hour));
    }
    let instant = instant(id)?;
    let local = zone.rules().to_datetime(instant);
    let on_the_hour = local.minute() == 0 && local.second() == 0;
    (on_the_hour || is_transition(instant, zone))
        .then(|| u8::try_from(local.hour()).ok())
        .flatten()
        .map(|hour| HourId::Of(local.date(), hour))
}

/// Whether an id of the `hour` column can stand in two rows of one day: an hour of the day can, as the clocks go back.
pub(super) fn may_recur(id: &str) -> bool {
    matches!(id.len(), 1..=2)
}

/// Whole seconds since 1970; 13 digits are milliseconds.
fn instant(id: &str) -> Option<Timestamp> {
    let number: i64 = id.parse().ok()?;
    match id.len() {
        13 if number % 1_000 == 0 => Timestamp::from_second(number / 1_000).ok(),
        13 => None,
        _ => Timestamp::from_second(number).ok(),
    }
}

/// Where clocks move by half an hour, an hour can begin at half past.
fn is_transition(instant: Timestamp, zone: &Zone) -> bool {
    instant
        .checked_sub(SignedDuration::from_secs(1))
        .ok()
        .and_then(|before| zone.rules().following(before).next())
        .is_some_and(|transition| transition.timestamp() == instant)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::super::zones::BUILT_IN;
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::find(name).expect("a zone")
    }

    #[test]
    fn all_readings_of_a_date_id_name_the_same_day() {
        let new_york = zone("America/New_York");
        let expected = Some(date(2026, 11, 16));
        assert_eq!(day("1794805200", &new_york), expected, "local midnight");
        assert_eq!(day("1794787200", &new_york), expected, "midnight in UTC");
        assert_eq!(day("1794805200000", &new_york), expected, "milliseconds");
        assert_eq!(day("2026-11-16", &new_york), expected, "written out");
    }

    #[test]
    fn an_instant_that_begins_no_day_is_refused() {
        let new_york = zone("America/New_York");
        for id in
            ["1794808800", "1794805201", "1794805200001", "", "yesterday", "2026-11", "-1", "99999999999999999999"]
        {
            assert_eq!(day(id, &new_york), None, "{id}");
        }
    }

    #[test]
    fn both_readings_of_an_hour_id_are_understood() {
        let kolkata = zone("Asia/Kolkata");
        assert_eq!(hour("7", &kolkata), Some(HourId::OfAnyDay(7)));
        assert_eq!(hour("07", &kolkata), Some(HourId::OfAnyDay(7)));
        assert_eq!(hour("1794796200", &kolkata), Some(HourId::Of(date(2026, 11, 16), 8)));
        assert_eq!(hour("1794796200000", &kolkata), Some(HourId::Of(date(2026, 11, 16), 8)));
        for id in ["24", "+7", "-7", "1794798000", "", "noon"] {
            assert_eq!(hour(id, &kolkata), None, "{id}");
        }
    }

    #[test]
    fn a_repeated_hour_is_one_hour_twice() {
        let berlin = zone("Europe/Berlin");
        let expected = Some(HourId::Of(date(2026, 10, 25), 2));
        assert_eq!(hour("1792886400", &berlin), expected);
        assert_eq!(hour("1792890000", &berlin), expected);
    }

    proptest! {
        #[test]
        fn ids_come_back_as_their_day_and_hour_in_every_listed_zone(place in 0..BUILT_IN.len(), offset in 0i64..2_200) {
            let zone = zone(BUILT_IN[place]);
            let local_day = date(2022, 1, 1).saturating_add(offset.days());
            let start = zone.start_of(local_day).expect("a start");
            let end = zone.start_of(local_day.tomorrow().expect("a day")).expect("a start");
            prop_assert_eq!(day(&start.as_second().to_string(), &zone), Some(local_day));
            prop_assert_eq!(day(&start.as_millisecond().to_string(), &zone), Some(local_day));
            let utc_midnight = Zone::utc().start_of(local_day).expect("a start");
            prop_assert_eq!(day(&utc_midnight.as_second().to_string(), &zone), Some(local_day));
            let mut instant = start;
            while instant < end {
                let local = zone.rules().to_datetime(instant);
                if local.minute() == 0 {
                    let hour_of_day = u8::try_from(local.hour()).expect("an hour");
                    prop_assert_eq!(
                        hour(&instant.as_second().to_string(), &zone),
                        Some(HourId::Of(local_day, hour_of_day))
                    );
                }
                instant += SignedDuration::from_mins(30);
            }
        }

        #[test]
        fn no_id_makes_it_panic(id in "\\PC{0,24}", number in any::<i64>()) {
            let zone = zone("Australia/Lord_Howe");
            for id in [id, number.to_string()] {
                let _ = (day(&id, &zone), hour(&id, &zone));
            }
        }
    }
}
