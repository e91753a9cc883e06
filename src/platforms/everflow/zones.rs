//! Everflow's numbers for time zones, and which of them stands for the zone that is asked for.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moka::sync::Cache;

use super::super::calendar::{DateRange, Zone};
use super::super::stats::{Warning, WarningCode};
use super::api::Api;
use crate::outbound::error::PlatformError;

/// The zones with a number, in the order of their numbers, from 1 on.
///
/// The list does not change often, but it is the vendor's to change: this copy only serves while the vendor's own
/// cannot be read.
pub(super) const BUILT_IN: [&str; 99] = [
    "Pacific/Kiritimati",
    "Pacific/Enderbury",
    "Pacific/Tongatapu",
    "Pacific/Chatham",
    "Pacific/Auckland",
    "Pacific/Fiji",
    "Asia/Kamchatka",
    "Pacific/Norfolk",
    "Australia/Lord_Howe",
    "Pacific/Guadalcanal",
    "Australia/Adelaide",
    "Australia/Sydney",
    "Australia/Brisbane",
    "Australia/Darwin",
    "Asia/Seoul",
    "Asia/Tokyo",
    "Asia/Hong_Kong",
    "Asia/Kuala_Lumpur",
    "Asia/Manila",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Taipei",
    "Australia/Perth",
    "Asia/Bangkok",
    "Asia/Ho_Chi_Minh",
    "Asia/Jakarta",
    "Asia/Rangoon",
    "Asia/Dhaka",
    "Asia/Kathmandu",
    "Asia/Colombo",
    "Asia/Kolkata",
    "Asia/Karachi",
    "Asia/Tashkent",
    "Asia/Yekaterinburg",
    "Asia/Kabul",
    "Asia/Baku",
    "Asia/Dubai",
    "Asia/Tbilisi",
    "Asia/Yerevan",
    "Asia/Tehran",
    "Africa/Nairobi",
    "Asia/Baghdad",
    "Asia/Kuwait",
    "Asia/Riyadh",
    "Europe/Minsk",
    "Europe/Moscow",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Europe/Athens",
    "Europe/Bucharest",
    "Europe/Helsinki",
    "Europe/Istanbul",
    "Africa/Johannesburg",
    "Europe/Amsterdam",
    "Europe/Berlin",
    "Europe/Brussels",
    "Europe/Paris",
    "Europe/Prague",
    "Europe/Rome",
    "Europe/Lisbon",
    "Africa/Algiers",
    "Europe/London",
    "Atlantic/Cape_Verde",
    "Africa/Casablanca",
    "Europe/Dublin",
    "UTC",
    "America/Scoresbysund",
    "Atlantic/Azores",
    "Atlantic/South_Georgia",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Argentina/Buenos_Aires",
    "America/Santiago",
    "America/Halifax",
    "America/Puerto_Rico",
    "Atlantic/Bermuda",
    "America/Caracas",
    "America/Indiana/Indianapolis",
    "America/New_York",
    "America/Bogota",
    "America/Lima",
    "America/Panama",
    "America/Mexico_City",
    "America/Chicago",
    "America/El_Salvador",
    "America/Denver",
    "America/Mazatlan",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Tijuana",
    "Pacific/Pitcairn",
    "America/Anchorage",
    "Pacific/Gambier",
    "America/Adak",
    "Pacific/Marquesas",
    "Pacific/Honolulu",
    "Pacific/Niue",
    "Pacific/Pago_Pago",
];

/// Of several zones with the same clocks, one of these is used: what people know best.
const WELL_KNOWN: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "America/Chicago", "America/Los_Angeles"];

/// The lists of zones already read, by gateway; shared by all connections of a process.
#[derive(Clone)]
pub(super) struct Zones {
    lists: Cache<String, Arc<[Listed]>>,
}

impl Default for Zones {
    fn default() -> Self {
        Self { lists: Cache::builder().max_capacity(16).time_to_live(Duration::from_secs(6 * 60 * 60)).build() }
    }
}

/// A zone with a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: i64,
    pub(super) zone: Zone,
}

impl Zones {
    /// The platform's list: read once in some hours.
    async fn list(&self, api: &Api) -> Result<Arc<[Listed]>, PlatformError> {
        if let Some(list) = self.lists.get(api.base()) {
            return Ok(list);
        }
        let list: Arc<[Listed]> = api
            .timezones()
            .await?
            .into_iter()
            .filter_map(|entry| Some(Listed { id: entry.timezone_id, zone: Zone::find(&entry.timezone)? }))
            .collect();
        if list.is_empty() {
            return Err(PlatformError::bad_response("Everflow's list of time zones has no zone in it."));
        }
        self.lists.insert(api.base().to_owned(), Arc::clone(&list));
        Ok(list)
    }

    /// The platform's list, or this service's own copy while that cannot be read.
    pub(super) async fn list_or_built_in(&self, api: &Api) -> (Arc<[Listed]>, Option<Warning>) {
        match self.list(api).await {
            Ok(list) => (list, None),
            Err(error) => {
                let detail = format!(
                    "Everflow's list of time zones could not be read, so this service's own copy of it was used: {error}"
                );
                (built_in(), Some(Warning { code: WarningCode::TimezoneListUnavailable, detail }))
            }
        }
    }
}

/// The zone's name that has this number.
pub(super) fn name(list: &[Listed], id: i64) -> Option<String> {
    list.iter().find(|listed| listed.id == id).map(|listed| listed.zone.name().to_owned())
}

fn built_in() -> Arc<[Listed]> {
    (1..).zip(BUILT_IN).filter_map(|(id, name)| Some(Listed { id, zone: Zone::find(name)? })).collect()
}

/// The number to ask `range` in `zone` with: the zone's own, a link's, or that of a zone whose clocks show the same
/// throughout the range.
///
/// # Errors
/// There is none. A zone that is merely near is named, never used.
pub(super) fn find(list: &[Listed], zone: &Zone, range: DateRange) -> Result<i64, PlatformError> {
    let exact = list.iter().find(|listed| listed.zone.name() == zone.name());
    let link = || list.iter().find(|listed| listed.zone.canonical_name() == zone.canonical_name());
    let moments = Moments::of(zone, range);
    let same = || {
        let twins = || list.iter().filter(|listed| moments.apart(&listed.zone) == 0);
        twins().find(|listed| WELL_KNOWN.contains(&listed.zone.name())).or_else(|| twins().next())
    };
    exact.or_else(link).or_else(same).map(|listed| listed.id).ok_or_else(|| {
        let nearest = list.iter().min_by_key(|listed| moments.apart(&listed.zone));
        let name = nearest.map_or("UTC", |listed| listed.zone.name());
        PlatformError::unsupported(format!(
            "Everflow has no time zone that shows the same time as {} throughout the range; the nearest is {name}.",
            zone.name()
        ))
        .hint(format!("Ask with timezone={name}, or with another zone that Everflow has."))
    })
}

/// How far around a range clocks must agree too: one put back across a midnight there would move the range's ends.
const MARGIN: SignedDuration = SignedDuration::from_hours(2);

/// Where a zone's clocks have to be compared: at a range's first instant and whenever they move inside of it.
struct Moments<'a> {
    zone: &'a Zone,
    span: Option<(Timestamp, Timestamp)>,
}

impl<'a> Moments<'a> {
    fn of(zone: &'a Zone, range: DateRange) -> Self {
        let start = zone.start_of(range.from()).and_then(|start| start.checked_sub(MARGIN).ok());
        let end = range.to().tomorrow().ok().and_then(|day| zone.start_of(day));
        Self { zone, span: start.zip(end.and_then(|end| end.checked_add(MARGIN).ok())) }
    }

    /// How many seconds the clocks of `other` are off where they are off most; zero means they always agree.
    fn apart(&self, other: &Zone) -> i64 {
        let Some((start, end)) = self.span else { return i64::MAX };
        [self.zone, other]
            .into_iter()
            .flat_map(|zone| {
                let moves = zone.rules().following(start).map(|transition| transition.timestamp());
                moves.take_while(|moment| *moment < end)
            })
            .chain([start])
            .map(|moment| {
                let seconds = |zone: &Zone| i64::from(zone.rules().to_offset(moment).seconds());
                (seconds(self.zone) - seconds(other)).abs()
            })
            .max()
            .unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use jiff::civil::{Date, date};
    use proptest::prelude::*;

    use super::*;

    fn ask(zone: &str, from: Date, to: Date) -> Result<String, PlatformError> {
        let range = DateRange::new(from, to).expect("a range");
        let list = built_in();
        let id = find(&list, &Zone::find(zone).expect("a zone"), range)?;
        Ok(list.iter().find(|listed| listed.id == id).expect("a listed zone").zone.name().to_owned())
    }

    #[test]
    fn every_built_in_zone_is_known_and_documented_numbers_stand() {
        let list = built_in();
        assert_eq!(list.len(), BUILT_IN.len());
        let number = |name: &str| list.iter().find(|listed| listed.zone.name() == name).map(|listed| listed.id);
        for (name, id) in [
            ("Asia/Tokyo", 16),
            ("Europe/Berlin", 56),
            ("UTC", 67),
            ("America/New_York", 80),
            ("America/Chicago", 85),
            ("America/Los_Angeles", 90),
            ("Pacific/Pago_Pago", 99),
        ] {
            assert_eq!(number(name), Some(id), "{name}");
        }
    }

    #[test]
    fn zones_are_found_by_name_by_link_and_by_their_clocks() {
        let (from, to) = (date(2026, 1, 1), date(2026, 12, 31));
        for (asked, used) in [
            ("Europe/Berlin", "Europe/Berlin"),
            ("Asia/Calcutta", "Asia/Kolkata"),
            ("Asia/Yangon", "Asia/Rangoon"),
            ("Etc/UTC", "UTC"),
            ("GMT", "UTC"),
            ("US/Eastern", "America/New_York"),
            ("America/Toronto", "America/New_York"),
            ("Etc/GMT-14", "Pacific/Kiritimati"),
        ] {
            assert_eq!(ask(asked, from, to).ok().as_deref(), Some(used), "{asked}");
        }
        for asked in ["Europe/Warsaw", "Europe/Madrid", "Europe/Vienna", "Europe/Stockholm"] {
            assert_eq!(ask(asked, from, to).ok().as_deref(), Some("Europe/Berlin"), "{asked}");
        }
    }

    #[test]
    fn a_zone_without_a_twin_is_refused_with_the_nearest_named() {
        let error = ask("Australia/Eucla", date(2026, 11, 1), date(2026, 11, 2)).expect_err("no such offset");
        assert!(error.detail.contains("Asia/Seoul"), "{}", error.detail);
    }

    #[test]
    fn a_twin_must_agree_throughout_the_range() {
        let winter = ask("Antarctica/Troll", date(2026, 1, 5), date(2026, 1, 9));
        assert!(winter.is_ok());
        assert!(ask("Antarctica/Troll", date(2026, 1, 5), date(2026, 6, 9)).is_err());
    }

    proptest! {
        #[test]
        fn the_zone_used_shows_the_asked_time_at_every_hour(
            zone in prop::sample::select(vec!["Europe/Warsaw", "America/Toronto", "Africa/Lagos", "Asia/Dili",
                "Antarctica/Troll", "Australia/Eucla", "America/Havana", "Pacific/Easter", "Asia/Pyongyang", "Africa/El_Aaiun"]),
            start in 0i64..2_000, length in 0i64..200,
        ) {
            let from = date(2022, 1, 1).saturating_add(start.days());
            let to = from.saturating_add(length.days());
            if let Ok(used) = ask(zone, from, to) {
                let (asked, used) = (Zone::find(zone).expect("a zone"), Zone::find(&used).expect("a zone"));
                let end = asked.start_of(to.tomorrow().expect("a day")).expect("a start");
                let mut moment = asked.start_of(from).expect("a start");
                while moment < end {
                    prop_assert_eq!(asked.rules().to_datetime(moment), used.rules().to_datetime(moment));
                    moment += SignedDuration::from_mins(30);
                }
            }
        }
    }
}
