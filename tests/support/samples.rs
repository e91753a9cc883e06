//! A simulated account of every kind: one table for the conformance suite and for people who try the service out.
//!
//! [`of`] has an arm for each [`Pair`] and no wildcard, so a further pair does not compile without a simulator. A pair
//! has one sample for each generation or reading of its tracker that takes a different road through our code; all of
//! them have traffic on the five days up to the day asked for, in every time zone.

use affzero_connections::platforms::{ConnectionType, Gateways, Pair};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::tracker::Tracker;
use super::{affise, binom, cake, everflow, keitaro, tune, voluum};

/// Named texts, as they are posted.
pub type Texts = Vec<(&'static str, String)>;

/// Where a connection learns its tracker's address from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// From this field of its settings, followed by a path.
    Setting(&'static str, &'static str),
    /// From the service's configuration, under this variable.
    Gateway(&'static str),
    /// From nowhere: nothing is called.
    Nowhere,
}

/// A simulated account.
pub struct Sample {
    pub pair: Pair,
    /// Which generation or reading of the tracker this is; blank where there is one.
    pub variant: &'static str,
    /// `None` where nothing is called.
    pub tracker: Option<Box<dyn Tracker>>,
    pub address: Address,
    /// Settings beside the address.
    pub settings: Texts,
    /// Credentials that work.
    pub credentials: Texts,
    /// Credentials that nobody has.
    pub wrong: Texts,
    /// Credentials that work for the other connection type, where the platform tells the portals apart.
    pub other_portal: Option<Texts>,
    /// Whether combinations that the catalogue allows may still be refused, by name.
    pub refuses_combinations: bool,
    /// Odd bodies that are this tracker's own way of saying that there is nothing.
    pub says_nothing: &'static [&'static str],
}

impl Sample {
    /// The settings of a connection to the simulator at `url`.
    pub fn settings_at(&self, url: &str) -> Texts {
        let address = match self.address {
            Address::Setting(field, path) => Some((field, format!("{url}{path}"))),
            Address::Gateway(_) | Address::Nowhere => None,
        };
        address.into_iter().chain(self.settings.iter().cloned()).collect()
    }

    /// The pair and variant in words.
    pub fn name(&self) -> String {
        if self.variant.is_empty() { self.pair.to_string() } else { format!("{}, {}", self.pair, self.variant) }
    }
}

/// Fixed addresses, all of them the simulator's.
pub fn gateways(url: &str) -> Gateways {
    Gateways {
        voluum: url.to_owned(),
        everflow_us: url.to_owned(),
        everflow_eu: url.to_owned(),
        cake_domain: "cakemarketing.com".to_owned(),
        tune: format!("{url}/{{network_id}}"),
    }
}

/// The samples of a pair, with traffic up to `last`; the plainest one first.
pub fn of(pair: Pair, last: Date) -> Vec<Sample> {
    match pair {
        Pair::AffiseAdmin => vec![affise(pair, affise::ADMIN_KEY, affise::AFFILIATE_KEY, last)],
        Pair::AffiseAffiliate => vec![affise(pair, affise::AFFILIATE_KEY, affise::ADMIN_KEY, last)],
        Pair::BinomAdmin => vec![
            binom("v2", &["[]"], "", binom::Binom::v2("", binom_events(last))),
            binom(
                "v2 that groups by day and hour",
                &["[]"],
                "",
                binom::Binom::v2("", binom_events(last)).reading(|readings| readings.times = Some(("day", "hour"))),
            ),
            binom("v1", &["null", "[]"], "/panel.php", binom::Binom::v1("/panel.php", binom_events(last))),
            binom(
                "v1 with a threshold and empty cells",
                &["null", "[]"],
                "/panel.php",
                binom::Binom::v1("/panel.php", binom_events(last)).reading(|readings| {
                    readings.least_clicks = 1_000_000;
                    readings.empty_zeros = true;
                }),
            ),
        ],
        Pair::CakeAffiliate => vec![
            cake(pair, "", |_| {}),
            cake(pair, "XML", |readings| readings.format = cake::Format::Xml),
            cake(pair, "classic", |readings| readings.newer = false),
        ],
        Pair::CakeAdmin => vec![cake(pair, "", |_| {})],
        Pair::VoluumAdmin => vec![
            voluum("", last, voluum::Readings::default()),
            voluum("UTC clock", last, voluum::Readings { clock: voluum::Clock::Utc, ..Default::default() }),
            voluum(
                "small pieces",
                last,
                voluum::Readings { largest_limit: 60, most_days_by_hour: 7, ..Default::default() },
            ),
        ],
        Pair::EverflowAdmin | Pair::EverflowAffiliate => vec![
            everflow(pair, "", last, everflow::Reading::default()),
            everflow(
                pair,
                "hours of the day",
                last,
                everflow::Reading {
                    dates: everflow::DateIds::UtcMidnight,
                    hours: everflow::HourIds::OfDay,
                    ..Default::default()
                },
            ),
        ],
        Pair::KeitaroAdmin => vec![
            keitaro("", last, |_| {}),
            keitaro("dimensions", last, |readings| {
                readings.dialect = keitaro::Dialect::DimensionsIgnoringOthers;
                readings.numbers = keitaro::Numbers::Texts;
                readings.wrapping = keitaro::Wrapping::Positions;
                readings.days = keitaro::Days::Midnight;
                readings.hours = keitaro::Hours::TwoDigits;
                readings.blank = keitaro::Blank::Dash;
            }),
            keitaro("each day by itself", last, |readings| {
                readings.days = keitaro::Days::Odd;
                readings.total = keitaro::Total::Text;
                readings.page_cap = Some(40);
            }),
        ],
        Pair::TuneAdmin => vec![
            tune(pair, "", last, tune::Reading::default()),
            tune(
                pair,
                "one currency",
                last,
                tune::Reading {
                    hidden: &["Stat.currency", "Offer.name"],
                    lists: tune::Lists::Numbered,
                    pages: false,
                    totals: tune::Totals::Nowhere,
                    ..Default::default()
                },
            ),
        ],
        Pair::TuneAffiliate => vec![
            tune(pair, "", last, tune::Reading::default()),
            tune(pair, "small pieces", last, tune::Reading { largest_limit: 300, widest: 2, ..Default::default() }),
        ],
        Pair::DemoAdmin | Pair::DemoAffiliate => vec![demo(pair)],
    }
}

const WRONG_KEY: &str = "canary-nobody-has-this-key-0123456789";

fn api_key(key: &str) -> Texts {
    vec![("api_key", key.to_owned())]
}

/// The sample of a tracker whose only secret is an `api_key`.
fn keyed(pair: Pair, variant: &'static str, tracker: impl Tracker, address: Address, key: &str) -> Sample {
    Sample {
        pair,
        variant,
        tracker: Some(Box::new(tracker)),
        address,
        settings: Vec::new(),
        credentials: api_key(key),
        wrong: api_key(WRONG_KEY),
        other_portal: None,
        refuses_combinations: false,
        says_nothing: &[],
    }
}

fn affise(pair: Pair, key: &str, other: &str, last: Date) -> Sample {
    let mut network = affise::Affise::default();
    let later = (last - affise::LAST_DAY).get_days() + 1;
    for hour in &mut network.traffic {
        hour.at += i64::from(24 * later).hours();
    }
    let sample = keyed(pair, "", network, Address::Setting("base_url", ""), key);
    Sample { other_portal: Some(api_key(other)), ..sample }
}

/// Events that reached an offer of a network: what reached none is in no list of offers, so lists would not add up.
fn binom_events(last: Date) -> Vec<binom::Event> {
    let mut events = binom::sample(midnight(last) - (24 * 34).hours(), 24 * 36);
    events.retain(|event| event.network().is_some());
    events
}

fn binom(
    variant: &'static str,
    says_nothing: &'static [&'static str],
    path: &'static str,
    installation: binom::Binom,
) -> Sample {
    let sample = keyed(Pair::BinomAdmin, variant, installation, Address::Setting("base_url", path), binom::KEY);
    Sample { refuses_combinations: true, says_nothing, ..sample }
}

fn cake(pair: Pair, variant: &'static str, change: fn(&mut cake::Readings)) -> Sample {
    let (key, settings) = match pair.connection_type() {
        ConnectionType::Admin => (cake::ADMIN_KEY, Vec::new()),
        ConnectionType::Affiliate => (cake::AFFILIATE_KEY, vec![("affiliate_id", cake::AFFILIATE_ID.to_owned())]),
    };
    let sample = keyed(pair, variant, cake::Cake::with(change), Address::Setting("domain", ""), key);
    Sample { settings, says_nothing: &["[]"], ..sample }
}

fn voluum(variant: &'static str, last: Date, readings: voluum::Readings) -> Sample {
    let first = midnight(last) - (24 * 34).hours();
    let hits = (0..36 * 8).map(|turn: i64| {
        let name = ["a", "b", "c"][usize::try_from(turn % 3).expect("a small number")];
        let at = first + (turn * 3).hours();
        voluum::Hit { archived: name == "c", ..voluum::Hit::new(&at.to_string(), name, turn % 17 + 1) }
    });
    Sample {
        pair: Pair::VoluumAdmin,
        variant,
        tracker: Some(Box::new(voluum::Voluum::new(hits.collect(), readings))),
        address: Address::Gateway("VOLUUM_BASE_URL"),
        settings: Vec::new(),
        credentials: vec![
            ("access_key_id", voluum::ACCESS_ID.to_owned()),
            ("access_key", voluum::ACCESS_KEY.to_owned()),
        ],
        wrong: vec![("access_key_id", voluum::ACCESS_ID.to_owned()), ("access_key", WRONG_KEY.to_owned())],
        other_portal: None,
        refuses_combinations: false,
        says_nothing: &[],
    }
}

fn everflow(pair: Pair, variant: &'static str, last: Date, reading: everflow::Reading) -> Sample {
    let (key, other) = match pair.connection_type() {
        ConnectionType::Admin => (everflow::NETWORK_KEY, everflow::AFFILIATE_KEY),
        ConnectionType::Affiliate => (everflow::AFFILIATE_KEY, everflow::NETWORK_KEY),
    };
    let mut account = everflow::Everflow { facts: everflow::sample(1_200, 7), reading, ..Default::default() };
    let later = (last - date(2026, 11, 4)).get_days() + 1;
    for fact in &mut account.facts {
        fact.at += i64::from(24 * later).hours();
    }
    let sample = keyed(pair, variant, account, Address::Gateway("EVERFLOW_BASE_URL"), key);
    Sample { other_portal: Some(api_key(other)), ..sample }
}

fn keitaro(variant: &'static str, last: Date, change: fn(&mut keitaro::Readings)) -> Sample {
    let panel = keitaro::Keitaro::new(keitaro::sample(midnight(last) - (24 * 34).hours(), 24 * 36)).reading(change);
    keyed(Pair::KeitaroAdmin, variant, panel, Address::Setting("base_url", "/admin/"), keitaro::KEY)
}

/// A network whose zone the connection knows, except where it has but one currency.
fn tune(pair: Pair, variant: &'static str, last: Date, reading: tune::Reading) -> Sample {
    let (key, other) = match pair.connection_type() {
        ConnectionType::Admin => (tune::NETWORK_KEY, tune::AFFILIATE_KEY),
        ConnectionType::Affiliate => (tune::AFFILIATE_KEY, tune::NETWORK_KEY),
    };
    let facts = tune::sample(midnight(last) - (24 * 34).hours(), 36, 3_000, 7);
    let network = tune::Tune { reading, ..tune::Tune::of(facts) };
    let mut settings = vec![("network_id", tune::NETWORK_ID.to_owned())];
    settings.push(if variant.is_empty() {
        ("timezone", network.zone.to_owned())
    } else {
        ("currency", "USD".to_owned())
    });
    let sample = keyed(pair, variant, network, Address::Gateway("TUNE_BASE_URL"), key);
    Sample { settings, other_portal: Some(api_key(other)), ..sample }
}

fn demo(pair: Pair) -> Sample {
    Sample {
        pair,
        variant: "",
        tracker: None,
        address: Address::Nowhere,
        settings: Vec::new(),
        credentials: Vec::new(),
        wrong: Vec::new(),
        other_portal: None,
        refuses_combinations: false,
        says_nothing: &[],
    }
}

fn midnight(day: Date) -> Timestamp {
    day.to_zoned_datetime(TimeZone::UTC).expect("a day").timestamp()
}
