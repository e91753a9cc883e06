//! A report's request: the parameters Voluum is asked with, and what an account has been seen to accept.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use url::Url;

use super::super::calendar::{DateRange, Zone};
use super::super::stats::{Currency, Dimension, SubId};
use crate::outbound::error::PlatformError;

/// The page size asked for, and what is tried where that is refused. Voluum may give less, so pages are counted by the rows
/// that came; its own default is a hundred.
const PAGES: [u32; 5] = [1_000, 500, 100, 50, 10];

/// The longest window asked for at once, and what is tried where that is refused. No limit is published; clients stay
/// within a month.
pub(super) const WINDOWS: [u32; 3] = [31, 7, 1];

/// The metrics that are read.
const METRICS: [&str; 6] = ["impressions", "visits", "uniqueVisits", "conversions", "revenue", "cost"];

/// How Voluum groups by one dimension.
struct Grouping {
    dimension: Dimension,
    /// The values of `groupBy`: the usual one, then the other one that is seen.
    spellings: [&'static str; 2],
    /// The columns that state the value in a row, the identifying one first.
    columns: &'static [&'static str],
}

const fn variable(number: u8, spellings: [&'static str; 2], columns: &'static [&'static str]) -> Grouping {
    Grouping { dimension: Dimension::Sub(SubId::nth(number)), spellings, columns }
}

const GROUPINGS: [Grouping; 17] = [
    Grouping { dimension: Dimension::Date, spellings: ["day", "day"], columns: &["day"] },
    Grouping { dimension: Dimension::Hour, spellings: ["hour-of-day", "hourOfDay"], columns: &["hourOfDay"] },
    Grouping {
        dimension: Dimension::Campaign,
        spellings: ["campaign", "campaignId"],
        columns: &["campaignId", "campaignName"],
    },
    Grouping { dimension: Dimension::Offer, spellings: ["offer", "offerId"], columns: &["offerId", "offerName"] },
    Grouping {
        dimension: Dimension::AffiliateNetwork,
        spellings: ["affiliateNetworkId", "affiliate-network"],
        columns: &["affiliateNetworkId", "affiliateNetworkName"],
    },
    Grouping {
        dimension: Dimension::TrafficSource,
        spellings: ["trafficSourceId", "traffic-source"],
        columns: &["trafficSourceId", "trafficSourceName"],
    },
    Grouping {
        dimension: Dimension::Country,
        spellings: ["country-code", "countryCode"],
        columns: &["countryCode", "countryName"],
    },
    variable(1, ["custom-variable-1", "customVariable1"], &["customVariable1"]),
    variable(2, ["custom-variable-2", "customVariable2"], &["customVariable2"]),
    variable(3, ["custom-variable-3", "customVariable3"], &["customVariable3"]),
    variable(4, ["custom-variable-4", "customVariable4"], &["customVariable4"]),
    variable(5, ["custom-variable-5", "customVariable5"], &["customVariable5"]),
    variable(6, ["custom-variable-6", "customVariable6"], &["customVariable6"]),
    variable(7, ["custom-variable-7", "customVariable7"], &["customVariable7"]),
    variable(8, ["custom-variable-8", "customVariable8"], &["customVariable8"]),
    variable(9, ["custom-variable-9", "customVariable9"], &["customVariable9"]),
    variable(10, ["custom-variable-10", "customVariable10"], &["customVariable10"]),
];

fn grouping(dimension: Dimension) -> Result<&'static Grouping, PlatformError> {
    GROUPINGS
        .iter()
        .find(|grouping| grouping.dimension == dimension)
        .ok_or_else(|| PlatformError::unsupported(format!("Voluum does not group by {dimension}.")))
}

/// # Errors
/// A dimension that Voluum does not have.
pub(super) fn supported(dimensions: &[Dimension]) -> Result<(), PlatformError> {
    dimensions.iter().try_for_each(|dimension| grouping(*dimension).map(|_| ()))
}

/// In which zone Voluum reads the times it is asked with. Both are written with a `Z` at their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// As wall-clock time of the report's zone.
    Local,
    /// As UTC.
    Utc,
}

/// On which day a conversion counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ConversionTime {
    /// On that of its visit.
    #[default]
    Visit,
    /// On that of its postback.
    Postback,
}

impl ConversionTime {
    /// What the connection's settings say.
    pub(super) fn of(setting: Option<&str>) -> Self {
        match setting {
            Some("postback") => Self::Postback,
            _ => Self::Visit,
        }
    }

    /// Its name for Voluum.
    const fn key(self) -> &'static str {
        match self {
            Self::Visit => "VISIT",
            Self::Postback => "CONVERSION",
        }
    }
}

/// What every request of a connection is asked in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    pub(super) currency: Option<Currency>,
    pub(super) conversion_time: ConversionTime,
}

/// What an account has been seen to accept, so that nothing is tried twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Habits {
    /// Dimensions that want their other spelling.
    pub(super) respelled: BTreeSet<Dimension>,
    /// Whether a list of columns does harm.
    pub(super) all_columns: bool,
    /// Whether nothing but a metric may be sorted by.
    pub(super) by_visits: bool,
    /// Which of the page sizes is taken.
    page: usize,
    /// The longest window that is taken where hours are asked for, and where they are not.
    windows: [Option<u32>; 2],
    /// How times are read, once traffic has shown it.
    pub(super) clock: Option<Clock>,
    /// Whether days and hours group together, once that was asked.
    pub(super) hours_of_days: Option<bool>,
}

impl Habits {
    /// Takes over how a request must be put from `other`, which worked.
    pub(super) fn adopt(&mut self, other: Self) {
        self.respelled = other.respelled;
        self.all_columns = other.all_columns;
        self.by_visits = other.by_visits;
        self.page = other.page;
    }

    /// The longest window to ask for.
    pub(super) fn window_days(&self, by_hour: bool) -> u32 {
        self.windows.get(usize::from(by_hour)).copied().flatten().unwrap_or(WINDOWS[0])
    }

    /// Remembers the longest window that is taken.
    pub(super) fn shorten_windows(&mut self, by_hour: bool, days: u32) {
        if let Some(window) = self.windows.get_mut(usize::from(by_hour)) {
            *window = Some(days);
        }
    }

    /// How many rows to ask for.
    fn page_rows(&self) -> u32 {
        PAGES.get(self.page).copied().unwrap_or(PAGES[0])
    }

    /// What else may work for a request by `groups` that was refused as a query, likeliest first.
    pub(super) fn other_words(&self, groups: &[Dimension]) -> Vec<Self> {
        let spelled_twice: Vec<Dimension> = groups.iter().copied().filter(|group| has_two_spellings(*group)).collect();
        let mut subsets: Vec<BTreeSet<Dimension>> = (1..1_u32 << spelled_twice.len())
            .map(|bits| {
                let chosen = spelled_twice.iter().enumerate().filter(|(place, _)| bits & (1 << place) != 0);
                chosen.map(|(_, dimension)| *dimension).collect()
            })
            .collect();
        subsets.sort_by_key(BTreeSet::len);
        let respelled = subsets.into_iter().map(|subset| Self {
            respelled: self.respelled.symmetric_difference(&subset).copied().collect(),
            ..self.clone()
        });
        let sorted = (!self.by_visits).then(|| Self { by_visits: true, ..self.clone() });
        let bare = Self { all_columns: true, by_visits: true, ..self.clone() };
        let others = sorted.into_iter().chain(self.without_columns()).chain([bare]).chain(self.smaller());
        respelled.chain(others.filter(|other| other != self)).collect()
    }

    /// The same without a list of columns, unless that is so already.
    pub(super) fn without_columns(&self) -> Option<Self> {
        (!self.all_columns).then(|| Self { all_columns: true, ..self.clone() })
    }

    /// The same with smaller and smaller pages.
    pub(super) fn smaller(&self) -> impl Iterator<Item = Self> {
        (self.page + 1..PAGES.len()).map(|page| Self { page, ..self.clone() })
    }
}

fn has_two_spellings(dimension: Dimension) -> bool {
    GROUPINGS.iter().any(|grouping| grouping.dimension == dimension && grouping.spellings[0] != grouping.spellings[1])
}

/// One table to be read: a grouping over a stretch of time.
#[derive(Debug, Clone)]
pub(super) struct ReportRequest {
    /// What Voluum groups by.
    pub(super) groups: Vec<Dimension>,
    /// The local days covered.
    pub(super) range: DateRange,
    /// The most rows wanted in all, where that is fewer than there are.
    pub(super) at_most: Option<u32>,
    zone: String,
    from: String,
    to: String,
}

impl ReportRequest {
    /// The request for whole local days.
    ///
    /// # Errors
    /// Days that do not begin at a full hour of the clock Voluum reads.
    pub(super) fn days(
        groups: &[Dimension],
        range: DateRange,
        zone: &Zone,
        clock: Clock,
    ) -> Result<Self, PlatformError> {
        let after =
            range.to().tomorrow().map_err(|_| PlatformError::unsupported("The range ends too far in the future."))?;
        Ok(Self {
            groups: groups.to_vec(),
            range,
            at_most: None,
            zone: zone_name(zone).to_owned(),
            from: edge(zone, range.from(), clock)?,
            to: edge(zone, after, clock)?,
        })
    }

    /// The request for a stretch of wall-clock time in one zone.
    pub(super) fn hours(groups: &[Dimension], zone: &str, from: DateTime, to: DateTime) -> Self {
        Self {
            groups: groups.to_vec(),
            range: DateRange::day(from.date()),
            at_most: None,
            zone: zone.to_owned(),
            from: hour(from),
            to: hour(to),
        }
    }

    /// The same request for a first page of `rows` rows.
    pub(super) fn at_most(mut self, rows: u32) -> Self {
        self.at_most = Some(rows);
        self
    }

    /// The day all rows belong to, where the request does not group by day but covers only one.
    pub(super) fn only_day(&self) -> Option<Date> {
        (self.range.from() == self.range.to()).then(|| self.range.from())
    }

    /// The address to ask, for the page that begins after `offset` rows.
    ///
    /// # Errors
    /// A dimension Voluum does not have.
    pub(super) fn url(&self, report: &Url, habits: &Habits, terms: Terms, offset: u64) -> Result<Url, PlatformError> {
        let mut url = report.clone();
        let limit = self.at_most.unwrap_or(habits.page_rows());
        {
            let mut pairs = url.query_pairs_mut();
            pairs.append_pair("from", &self.from).append_pair("to", &self.to).append_pair("tz", &self.zone);
            for dimension in &self.groups {
                let [usual, other] = grouping(*dimension)?.spellings;
                pairs.append_pair("groupBy", if habits.respelled.contains(dimension) { other } else { usual });
            }
            if !habits.all_columns {
                for column in self.columns()? {
                    pairs.append_pair("column", column);
                }
            }
            pairs
                .append_pair("include", "ALL")
                .append_pair("conversionTimeMode", terms.conversion_time.key())
                .append_pair("sort", self.sort(habits)?)
                .append_pair("direction", "asc")
                .append_pair("limit", &limit.to_string())
                .append_pair("offset", &offset.to_string());
            if let Some(currency) = terms.currency {
                pairs.append_pair("currency", currency.as_str());
            }
        }
        Ok(url)
    }

    fn columns(&self) -> Result<Vec<&'static str>, PlatformError> {
        let mut columns = Vec::new();
        for dimension in &self.groups {
            columns.extend_from_slice(grouping(*dimension)?.columns);
        }
        columns.extend(METRICS);
        Ok(columns)
    }

    /// The column pages are ordered by: of the entity with the most values, as metrics have ties and may move.
    fn sort(&self, habits: &Habits) -> Result<&'static str, PlatformError> {
        if habits.by_visits {
            return Ok("visits");
        }
        let widest = self.groups.iter().find(|dimension| !dimension.is_time()).or(self.groups.first());
        let columns = widest.map(|dimension| grouping(*dimension)).transpose()?.map(|grouping| grouping.columns);
        Ok(columns.and_then(|columns| columns.first()).copied().unwrap_or("visits"))
    }
}

/// The zone's name for Voluum. UTC goes by the name that its own panel uses.
pub(super) fn zone_name(zone: &Zone) -> &str {
    match zone.canonical_name() {
        "UTC" | "Etc/UTC" | "Etc/GMT" | "GMT" => "Etc/GMT",
        _ => zone.name(),
    }
}

/// Whether both readings of the times mean the same instants, wherever the range may be cut.
pub(super) fn clock_is_irrelevant(zone: &Zone, range: DateRange) -> bool {
    let after = range.to().tomorrow().unwrap_or(range.to());
    range
        .days()
        .chain([after])
        .all(|day| zone.start_of(day).is_some_and(|start| zone.rules().to_offset(start).is_zero()))
}

/// The beginning of a local day as Voluum wants it written.
fn edge(zone: &Zone, day: Date, clock: Clock) -> Result<String, PlatformError> {
    let start = zone
        .start_of(day)
        .ok_or_else(|| PlatformError::unsupported(format!("{day} is beyond the calendar of {}.", zone.name())))?;
    // Not simply midnight: in some zones the clocks skip it once a year.
    let wall = match clock {
        Clock::Local => zone.rules().to_datetime(start),
        Clock::Utc => TimeZone::UTC.to_datetime(start),
    };
    if wall.minute() != 0 || wall.second() != 0 {
        return Err(PlatformError::unsupported(format!(
            "Voluum reports whole hours of its own clock, and {day} in {} begins between two of them.",
            zone.name()
        ))
        .hint("Ask in a time zone that differs from UTC by full hours."));
    }
    Ok(hour(wall))
}

fn hour(wall: DateTime) -> String {
    format!("{}T{:02}:00:00Z", wall.date(), wall.hour())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::find(name).expect("a zone")
    }

    fn edges(name: &str, day: Date, clock: Clock) -> Option<(String, String)> {
        let request = ReportRequest::days(&[Dimension::Date], DateRange::day(day), &zone(name), clock).ok()?;
        Some((request.from, request.to))
    }

    #[test]
    fn days_begin_at_the_first_instant_there_is() {
        let both = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        let day = date(2026, 9, 6);
        assert_eq!(edges("America/Santiago", day, Clock::Local), both("2026-09-06T01:00:00Z", "2026-09-07T00:00:00Z"));
        assert_eq!(edges("America/Santiago", day, Clock::Utc), both("2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"));
        let day = date(2026, 10, 25);
        assert_eq!(edges("Europe/Berlin", day, Clock::Local), both("2026-10-25T00:00:00Z", "2026-10-26T00:00:00Z"));
        assert_eq!(edges("Europe/Berlin", day, Clock::Utc), both("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"));
    }

    #[test]
    fn half_hour_zones_are_whole_hours_on_their_own_clock_and_refused_on_that_of_utc() {
        let day = date(2026, 9, 1);
        for name in ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Australia/Adelaide"] {
            let (from, _) = edges(name, day, Clock::Local).expect("an edge");
            assert_eq!(from, "2026-09-01T00:00:00Z");
            assert!(edges(name, day, Clock::Utc).is_none(), "{name}");
        }
    }

    #[test]
    fn utc_goes_by_one_name_and_other_zones_by_their_own() {
        for name in ["UTC", "Etc/UTC", "Etc/GMT", "GMT", "Zulu"] {
            assert_eq!(zone_name(&zone(name)), "Etc/GMT");
        }
        assert_eq!(zone_name(&zone("america/new_york")), "America/New_York");
    }

    #[test]
    fn the_clock_matters_unless_every_day_begins_on_utc() {
        let range = |from: Date, to: Date| DateRange::new(from, to).expect("a range");
        let winter = range(date(2026, 1, 1), date(2026, 1, 31));
        let spring = range(date(2026, 1, 1), date(2026, 4, 1));
        assert!(clock_is_irrelevant(&zone("Europe/London"), winter));
        assert!(!clock_is_irrelevant(&zone("Europe/London"), spring));
        assert!(!clock_is_irrelevant(&zone("Europe/London"), range(date(2025, 1, 1), date(2026, 1, 1))));
        assert!(!clock_is_irrelevant(&zone("Europe/Berlin"), winter));
    }

    #[test]
    fn every_way_to_put_a_request_is_tried_once() {
        let groups = [Dimension::Date, Dimension::Campaign, Dimension::Country];
        let tried = Habits::default().other_words(&groups);
        let respelled: Vec<Vec<Dimension>> =
            tried.iter().map(|habits| habits.respelled.iter().copied().collect()).collect();
        assert_eq!(
            respelled[..3],
            [vec![Dimension::Campaign], vec![Dimension::Country], vec![Dimension::Campaign, Dimension::Country]]
        );
        assert!(respelled[3..].iter().all(Vec::is_empty));
        assert_eq!(tried.len(), 10);
        for (place, one) in tried.iter().enumerate() {
            assert!(!tried[..place].contains(one) && *one != Habits::default());
        }
        let last = Habits { all_columns: true, by_visits: true, page: PAGES.len() - 1, ..Habits::default() };
        assert_eq!(last.other_words(&[Dimension::Date]), []);
    }
}
