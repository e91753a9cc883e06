//! Binom v1: one PHP file that answers JSON when the key stands in the query.
//!
//! List pages (`Campaigns`, `Offers`, …) have ids but one row per entity; the `Stats` page groups by up to three codes
//! but names everything, with an id in campaigns' names only. So campaigns go with anything, traffic sources too
//! (through their campaigns), and offers and networks only with days, one list per day. Days are counted at fixed
//! whole-hour offsets from UTC: the day of a clock change is put together from its hours at either offset, or refused
//! where there are none to be had.
//!
//! What rows are held against, beside the sums of their own groups: `Stats` against the list of campaigns, that list against
//! `Stats` by day, and traffic sources against the campaigns. Offers and networks have nothing of the kind, since clicks
//! that never reached one are in other reports. Days put together from hours have neither.
//!
//! Its words for no data, for a wrong key and for nothing at all are all answers with status 200.

mod plan;

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil::Date;
use secrecy::SecretString;
use url::Url;

use super::super::calendar::{DateRange, Zone};
use super::super::stats::{Against, Dimension, DimensionValue, SubId};
use super::super::words::speaks_of_addresses;
use super::countries;
use super::report::{Line, Outline, Part};
use super::windows::Stretch;
use super::wire::{self, Entity, Nested, Odd, PanelAnswer};
use crate::outbound::Upstream;
use crate::outbound::error::{ErrorKind, PlatformError};

pub(super) use plan::report;

pub(super) const ADDRESS_HINT: &str = "Binom v1: enter the full address of the panel as the browser shows it, with its \
     .php file. Binom v2: enter the tracker's domain alone.";

const KEY_HINT: &str = "In Binom, open Settings; the key stands at the bottom of the page, block API. Copy it again, and \
     check that the address names the panel's own .php file.";

/// Page sizes that Binom may fall back to are multiples of these.
const USUAL_SIZES: [usize; 2] = [10, 25];

/// Stands where `Stats` expects a grouping and there is none.
const NO_GROUPING: &str = "1";

/// Asks a list page for all there is. The page's own choice of entities "with traffic" leaves out those with fewer clicks
/// than a setting of the key's user says, and with them their traffic.
const ALL: &str = "all";

/// The panel of one installation.
#[derive(Clone)]
pub(super) struct Panel {
    upstream: Upstream,
    address: String,
    /// Whether the address names the panel's file; else it is a guess, and silence may be anybody's.
    named: bool,
    key: SecretString,
}

impl Panel {
    pub(super) fn new(upstream: Upstream, address: String, named: bool, key: SecretString) -> Self {
        Self { upstream, address, named, key }
    }

    /// Finds out whether this is Binom v1's panel, and whether it accepts the key.
    pub(super) async fn greet(&self) -> Result<(), PlatformError> {
        // Many a server answers an empty list to anything, so a guess has to find a campaign.
        match self.first_row().await?.as_slice() {
            [] if !self.named => Err(self.stranger("answers an empty list")),
            _ => Ok(()),
        }
    }

    /// Reads the smallest report there is. A list of all campaigns, since a day without traffic proves less.
    pub(super) async fn prove_reporting(&self) -> Result<(), PlatformError> {
        self.first_row().await.map(drop)
    }

    async fn first_row(&self) -> Result<Vec<Entity>, PlatformError> {
        let today = DateRange::day(Zone::utc().date_at(Timestamp::now()));
        let days = Stretch { days: today, offset_hours: 0, hours: None };
        self.read(&list_parameters("Campaigns", &days, "1", 1), wire::list_page).await
    }

    async fn read<T>(
        &self,
        parameters: &[(&str, String)],
        parse: fn(&[u8]) -> Result<PanelAnswer<T>, Odd>,
    ) -> Result<Vec<T>, PlatformError> {
        let mut url = Url::parse(&self.address)
            .map_err(|_| PlatformError::new(ErrorKind::InvalidUrl, "The connection's address cannot be read."))?;
        url.query_pairs_mut().extend_pairs(parameters);
        let answer = self.upstream.get(url).secret_query("api_key", &self.key).send().await?;
        let host = self.upstream.host();
        match answer.status.as_u16() {
            // In front of the parser: only Binom's own words get this far with such a status.
            401 | 403 => {}
            500 => return Err(answer.failing(&host)),
            status if !answer.status.is_success() => return Err(self.stranger(&format!("answers {status}"))),
            _ if wire::is_page(&answer.body) => return Err(self.stranger("answers with a web page")),
            _ => {}
        }
        match parse(&answer.body) {
            Ok(PanelAnswer::Rows(rows)) => Ok(rows),
            Ok(PanelAnswer::Refused(words)) => Err(self.rejected(&words)),
            Ok(PanelAnswer::Silence) if self.named => Err(self.rejected("")),
            Ok(PanelAnswer::Silence) => Err(self.stranger("answers nothing")),
            Err(odd) => {
                Err(PlatformError::bad_response(format!("The answer of Binom at {host} is not understood: {odd}."))
                    .hint(ADDRESS_HINT))
            }
        }
    }

    /// Reads a page of a report. Binom words every refusal alike, so whether one is about the key is found out by
    /// asking for the page that proves it.
    async fn pull<T>(
        &self,
        parameters: &[(&str, String)],
        parse: fn(&[u8]) -> Result<PanelAnswer<T>, Odd>,
    ) -> Result<Vec<T>, PlatformError> {
        match self.read(parameters, parse).await {
            Err(refusal) if refusal.kind == ErrorKind::CredentialsRejected => {
                self.greet().await?;
                Err(PlatformError::bad_response(format!("{} It accepts the key elsewhere.", refusal.detail)))
            }
            outcome => outcome,
        }
    }

    fn rejected(&self, words: &str) -> PlatformError {
        let host = self.upstream.host();
        let words = self.upstream.quote(words);
        let said = if words.is_empty() { ".".to_owned() } else { format!(": {words}") };
        if speaks_of_addresses(&words) {
            return self
                .upstream
                .ip_not_allowed(format!("Binom at {host} does not let this service's address in{said}"));
        }
        PlatformError::new(ErrorKind::CredentialsRejected, format!("Binom at {host} refuses the request{said}"))
            .hint(KEY_HINT)
    }

    fn stranger(&self, does: &str) -> PlatformError {
        PlatformError::new(
            ErrorKind::NotThisPlatform,
            format!("{} {does} where the panel of Binom v1 would answer with data.", self.upstream.host()),
        )
        .hint(ADDRESS_HINT)
    }

    /// All entities of a list page, with their numbers in these days, if any.
    async fn list(&self, page: &str, days: &Stretch) -> Result<Vec<Entity>, PlatformError> {
        let mut rows: Vec<Entity> = Vec::new();
        let mut known: HashSet<String> = HashSet::new();
        for number in 1.. {
            let parameters = list_parameters(page, days, ALL, number);
            let read = self.pull(&parameters, wire::list_page).await?;
            let received = read.len();
            let before = rows.len();
            rows.extend(read.into_iter().filter(|row| known.insert(row.id.clone())));
            if !may_be_cut(received) || rows.len() == before {
                break;
            }
        }
        Ok(rows)
    }

    /// A nested report over the given campaigns.
    async fn nested(&self, camps: &str, groupings: &[Dimension], days: &Stretch) -> Result<Part, PlatformError> {
        let mut outline = Outline::new(groupings, meaning);
        let mut outermost: HashSet<String> = HashSet::new();
        for number in 1.. {
            let parameters = nested_parameters(camps, groupings, days, number);
            let read = self.pull(&parameters, wire::stats_page).await?;
            let mut roots = read.iter().filter(|row| row.level == 1);
            // An outermost row stands on one page only, so this is the first page over again.
            if number > 1 && roots.any(|row| outermost.contains(&row.name)) {
                break;
            }
            for row in &read {
                outline.push(row).ok_or_else(|| self.misplaced())?;
            }
            if !may_be_cut(read.len()) {
                break;
            }
            outermost.extend(read.into_iter().filter(|row| row.level == 1).map(|row| row.name));
        }
        let check = wire::check(outline.leaves(), outline.roots(), "the rows above them say", Against::SameSource);
        let mut lines = outline.into_lines();
        if lines.iter().any(|line| !is_within(line, days.days)) {
            return Err(PlatformError::bad_response(format!(
                "Binom at {} answered for days it was not asked about.",
                self.upstream.host()
            )));
        }
        lines.retain(|line| is_part(line, days));
        Ok(Part { lines, checks: vec![check] })
    }

    fn misplaced(&self) -> PlatformError {
        PlatformError::bad_response(format!(
            "A row in the answer of Binom at {} is not one of the groupings asked for.",
            self.upstream.host()
        ))
    }
}

/// Whether a page may have a successor although all rows were asked for: some build may not know the word.
fn may_be_cut(rows: usize) -> bool {
    rows > 0 && USUAL_SIZES.into_iter().any(|size| rows.is_multiple_of(size))
}

fn is_within(line: &Line, days: DateRange) -> bool {
    line.values
        .iter()
        .filter(|(dimension, _)| *dimension == Dimension::Date)
        .all(|(_, day)| day.id.parse::<Date>().is_ok_and(|day| days.contains(day)))
}

/// Whether a row's hour belongs to the stretch.
fn is_part(line: &Line, days: &Stretch) -> bool {
    let hours = || line.values.iter().filter(|(dimension, _)| *dimension == Dimension::Hour);
    days.hours
        .as_ref()
        .is_none_or(|part| hours().any(|(_, hour)| hour.id.parse().is_ok_and(|hour| part.contains(&hour))))
}

fn period(days: &Stretch) -> [(&'static str, String); 4] {
    let offset = match days.offset_hours {
        0 => "0:00".to_owned(),
        hours => format!("{hours:+}:00"),
    };
    [
        ("date", "12".to_owned()),
        ("date_s", days.days.from().to_string()),
        ("date_e", days.days.to().to_string()),
        ("timezone", offset),
    ]
}

fn list_parameters(page: &str, days: &Stretch, size: &str, number: u32) -> Vec<(&'static str, String)> {
    let mut parameters = vec![("page", page.to_owned()), ("status", ALL.to_owned())];
    let all: &[&'static str] = match page {
        "Campaigns" => &["user_group", "group", "traffic_source"],
        "Offers" => &["user_group", "group", "networks_filter"],
        _ => &["user_group"],
    };
    parameters.extend(all.iter().map(|name| (*name, ALL.to_owned())));
    parameters.extend(period(days));
    parameters.extend([("val_page", size.to_owned()), ("num_page", number.to_string())]);
    parameters
}

fn nested_parameters(camps: &str, groupings: &[Dimension], days: &Stretch, number: u32) -> Vec<(&'static str, String)> {
    let mut codes = groupings.iter().filter_map(|dimension| code(*dimension));
    let mut parameters = vec![("page", "Stats".to_owned()), ("camps", camps.to_owned())];
    for name in ["group1", "group2", "group3"] {
        parameters.push((name, codes.next().unwrap_or(NO_GROUPING).to_owned()));
    }
    parameters.extend(period(days));
    parameters.extend([("val_page", "All".to_owned()), ("num_page", number.to_string())]);
    parameters
}

/// The code of a grouping whose rows can be told apart for certain.
const fn code(dimension: Dimension) -> Option<&'static str> {
    match dimension {
        Dimension::Campaign => Some("33"),
        Dimension::Date => Some("31"),
        Dimension::Hour => Some("26"),
        Dimension::Country => Some("19"),
        Dimension::Offer
        | Dimension::AffiliateNetwork
        | Dimension::TrafficSource
        | Dimension::Affiliate
        | Dimension::Advertiser
        | Dimension::Week
        | Dimension::Month => None,
        Dimension::Sub(number) => Some(token(number)),
    }
}

/// The code of the tokens of that number, whatever a campaign's traffic source calls them.
const fn token(number: SubId) -> &'static str {
    match number.number() {
        1 => "27",
        2 => "282",
        3 => "283",
        4 => "284",
        5 => "285",
        6 => "286",
        7 => "287",
        8 => "288",
        9 => "289",
        _ => "290",
    }
}

/// What a row of `Stats` stands for; `None` if it cannot be of this grouping.
fn meaning(dimension: Dimension, row: &Nested) -> Option<DimensionValue> {
    let name = row.name.trim();
    match dimension {
        Dimension::Campaign => {
            // Titles are free text, so only the last suffix is Binom's own.
            let (title, id) = name.strip_suffix(')')?.rsplit_once("(id:")?;
            let id = id.trim();
            (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then(|| DimensionValue::new(id, title))
        }
        Dimension::Date => name.parse().ok().map(DimensionValue::date),
        Dimension::Hour => {
            // Written as `05`, `5` or `05:00 - 06:00`.
            let digits = name.split(|letter: char| !letter.is_ascii_digit()).next()?;
            digits.parse().ok().filter(|hour| *hour < 24).map(DimensionValue::hour)
        }
        Dimension::Country => Some(countries::read(name)),
        Dimension::Offer
        | Dimension::AffiliateNetwork
        | Dimension::TrafficSource
        | Dimension::Affiliate
        | Dimension::Advertiser
        | Dimension::Week
        | Dimension::Month => None,
        // Every letter of what a link carried counts.
        Dimension::Sub(_) => Some(DimensionValue::plain(row.name.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(dimension: Dimension, name: &str) -> Option<DimensionValue> {
        let metrics = super::super::super::stats::Metrics::default();
        meaning(dimension, &Nested { level: 1, id: None, name: name.to_owned(), metrics })
    }

    #[test]
    fn a_campaigns_id_is_the_last_suffix_of_its_name() {
        assert_eq!(named(Dimension::Campaign, "Loans DE (id:7)"), Some(DimensionValue::new("7", "Loans DE")));
        assert_eq!(
            named(Dimension::Campaign, "A (id:1) copy (id:12)"),
            Some(DimensionValue::new("12", "A (id:1) copy"))
        );
        for name in ["Loans DE", "Loans (id:)", "Loans (id:x)", "Loans (id:7) "] {
            let expected = name.ends_with(' ').then(|| DimensionValue::new("7", "Loans"));
            assert_eq!(named(Dimension::Campaign, name), expected, "{name}");
        }
    }

    #[test]
    fn an_hour_is_read_however_it_is_written() {
        for name in ["05", "5", "05:00 - 06:00", "5:00"] {
            assert_eq!(named(Dimension::Hour, name), Some(DimensionValue::hour(5)), "{name}");
        }
        assert_eq!(named(Dimension::Hour, "24"), None);
        assert_eq!(named(Dimension::Hour, "night"), None);
        assert_eq!(named(Dimension::Date, "01.09.2026"), None);
    }

    #[test]
    fn an_offset_keeps_its_sign() {
        let written = |offset_hours: i64| {
            let [.., (_, offset)] =
                period(&Stretch { days: DateRange::day(jiff::civil::date(2026, 9, 1)), offset_hours, hours: None });
            offset
        };
        assert_eq!((written(0), written(3), written(-5)), ("0:00".to_owned(), "+3:00".to_owned(), "-5:00".to_owned()));
    }

    proptest! {
        #[test]
        fn no_name_makes_the_reading_panic(name in "\\PC*") {
            for dimension in Dimension::ALL {
                let _ = named(dimension, &name);
            }
        }
    }
}
