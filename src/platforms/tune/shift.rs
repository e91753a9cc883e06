//! Whether TUNE moves its days as it is asked to, and which way.
//!
//! That the hours are those of the wanted clock less those of the network's is attested, but not documented. A busy
//! week of the past, asked for by hour as it is and moved by one, shows it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::super::calendar::{DateRange, Zone};
use super::api::Api;
use super::clock::is_changed_around;
use super::columns::{CLICKS, DATE, HOUR};
use super::request::ReportRequest;
use super::trouble::Trouble;
use super::wire::Stat;

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its clock is put forward by the hours that are asked for.
    Forward,
    /// Its clock is put back by them.
    Back,
    /// It leaves its days where they are.
    Never,
    /// There was too little traffic to see it, or it changed meanwhile.
    Unproven,
}

/// Days that are looked at, and days that are left for late changes to come in.
const DAYS: i64 = 7;
const SETTLING: i64 = 2;

/// How many weeks may be passed over because clocks were changed in them.
const WEEKS: i64 = 4;

/// Clicks by hour, counted from the first hour of the days.
type Series = BTreeMap<i64, i64>;

/// More hours than a week has, and fewer rows than any network takes for a page.
const ROWS: usize = 200;

/// Looks at the last week that is settled and whole.
pub(super) async fn look(api: &Api, network: &Zone) -> Result<Proof, Trouble> {
    let today = network.date_at(Timestamp::now());
    let weeks = (0..=WEEKS).filter_map(|back| {
        let last = today.saturating_sub((SETTLING + DAYS * back).days());
        DateRange::new(last.saturating_sub((DAYS - 1).days()), last)
    });
    let Some(days) = weeks.into_iter().find(|days| !is_changed_around(network, *days)) else {
        return Ok(Proof::Unproven);
    };
    let (as_it_is, moved) = (series(api, days, 0).await?, series(api, days, 1).await?);
    Ok(compare(&as_it_is, &moved))
}

async fn series(api: &Api, days: DateRange, hour_offset: i64) -> Result<Series, Trouble> {
    let request = ReportRequest {
        ids: vec![DATE, HOUR],
        names: Vec::new(),
        metrics: vec![CLICKS],
        days,
        hour_offset,
        filters: &[],
        limit: ROWS,
        page: 1,
    };
    let answer = api.ask(&request, false).await?;
    let table = api.judge(&answer)?.table().map_err(|_| api.odd("sent hours that cannot be read"))?;
    let hours = table.rows.iter().filter_map(|row| Some((hour_of(&row.stat, days.from())?, row.stat.clicks?)));
    Ok(hours.filter(|(_, clicks)| *clicks != 0).collect())
}

fn hour_of(stat: &Stat<'_>, first: Date) -> Option<i64> {
    let date: Date = stat.date.as_deref()?.trim().parse().ok()?;
    let hour: i64 = stat.hour.as_deref()?.trim().parse().ok()?;
    Some(date.duration_since(first).as_hours() + hour)
}

/// Which of the three explains what came. What more than one does says nothing.
fn compare(as_it_is: &Series, moved: &Series) -> Proof {
    let at = |series: &Series, hour: i64| series.get(&hour).copied().unwrap_or_default();
    // What lies before the first hour and after the last is not known.
    let explains = |by: i64| (1..DAYS * 24 - 1).all(|hour| at(moved, hour) == at(as_it_is, hour - by));
    match (explains(1), explains(-1), explains(0)) {
        (true, false, false) => Proof::Forward,
        (false, true, false) => Proof::Back,
        (false, false, true) => Proof::Never,
        _ => Proof::Unproven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(series: &Series, by: i64) -> Series {
        series.iter().map(|(hour, clicks)| (hour + by, *clicks)).collect()
    }

    #[test]
    fn traffic_shows_which_way_days_are_moved() {
        let busy: Series = (0..DAYS * 24).map(|hour| (hour, 1 + hour * hour % 17)).collect();
        for (by, proof) in [(1, Proof::Forward), (-1, Proof::Back), (0, Proof::Never), (2, Proof::Unproven)] {
            assert_eq!(compare(&busy, &moved(&busy, by)), proof, "{by}");
        }
    }

    #[test]
    fn what_looks_the_same_from_everywhere_proves_nothing() {
        let flat: Series = (-1..=DAYS * 24).map(|hour| (hour, 5)).collect();
        assert_eq!(compare(&flat, &moved(&flat, 1)), Proof::Unproven);
        assert_eq!(compare(&Series::new(), &Series::new()), Proof::Unproven);
        let edge = Series::from([(0, 7)]);
        assert_eq!(compare(&edge, &moved(&edge, 1)), Proof::Forward);
    }
}
