//! CAKE's days: always those of the account's own zone, which nothing in the API names.

use super::super::calendar::{DateRange, Zone};
use super::super::stats::{StatsQuery, Warning, WarningCode};

/// What a caller must know about the days of a report; nothing where they are the days that were asked for.
pub(super) fn warning(account: Option<&Zone>, query: &StatsQuery) -> Option<Warning> {
    let asked = query.zone.name();
    let detail = match account {
        None => format!(
            "CAKE reports in the account's own time zone and does not say which one that is. Days and hours are in that zone, not in {asked}; fill in the connection's time zone to have it checked."
        ),
        Some(zone) if same_days(zone, &query.zone, query.range) => return None,
        Some(zone) => {
            format!(
                "CAKE reports in the account's own time zone only. Days and hours are in {}, not in {asked}.",
                zone.name()
            )
        }
    };
    Some(Warning { code: WarningCode::TimezoneFixedByPlatform, detail })
}

/// The zone that the days of a report are in; `None` where nobody has said which one is the account's.
pub(super) fn of<'a>(account: Option<&'a Zone>, query: &'a StatsQuery) -> Option<&'a Zone> {
    let account = account?;
    Some(if same_days(account, &query.zone, query.range) { &query.zone } else { account })
}

/// Whether two zones have the same clock throughout a range: offsets only change at transitions, so it is enough to
/// compare them at its start and right after each transition of either zone.
fn same_days(a: &Zone, b: &Zone, range: DateRange) -> bool {
    if a.canonical_name() == b.canonical_name() {
        return true;
    }
    let after = range.to().tomorrow().unwrap_or(range.to());
    let (Some(start), Some(end)) = (a.start_of(range.from()), a.start_of(after)) else { return false };
    let same_at = |instant| a.rules().to_offset(instant) == b.rules().to_offset(instant);
    let transitions = |zone: &Zone| {
        zone.rules().following(start).map(|change| change.timestamp()).take_while(|at| *at < end).collect::<Vec<_>>()
    };
    same_at(start) && transitions(a).into_iter().chain(transitions(b)).all(same_at)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn same(a: &str, b: &str, from: jiff::civil::Date, to: jiff::civil::Date) -> bool {
        let zone = |name| Zone::find(name).expect("a zone");
        same_days(&zone(a), &zone(b), DateRange::new(from, to).expect("a range"))
    }

    #[test]
    fn zones_agree_by_name_or_by_the_clock_throughout_the_range() {
        let (summer, winter) = (date(2026, 7, 1), date(2026, 12, 1));
        assert!(same("US/Eastern", "America/New_York", summer, winter));
        assert!(same("America/Toronto", "America/New_York", summer, winter));
        assert!(same("Europe/London", "UTC", winter, winter));
        assert!(!same("Europe/London", "UTC", summer, summer));
        assert!(!same("America/Phoenix", "America/Denver", date(2026, 10, 31), date(2026, 11, 1)));
        assert!(same("America/Phoenix", "America/Denver", winter, winter));
        assert!(!same("America/Phoenix", "America/Denver", winter, date(2027, 4, 1)));
    }
}
