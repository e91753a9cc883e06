//! TUNE, from opened connection to assembled table, against a simulator that plays every contested reading.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use affzero_connections::outbound::error::{ErrorKind, PlatformError};
use affzero_connections::platforms::stats::{Dimension, StatsQuery, WarningCode};
use affzero_connections::platforms::verification::{FailureCode, Verification, VerificationStatus};
use affzero_connections::platforms::{ConnectionType, Gateways, Pair, Platforms, Settings, normalise};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::road::{Road, TIMEOUT, Table, platforms, range};
use crate::support::tracker::{Fault, Reply, Request, Simulator};
use crate::support::tune::{
    AFFILIATE, AFFILIATE_KEY, Errors, Fact, Lists, NETWORK_ID, NETWORK_KEY, NETWORK_KEY_OF_OTHER_ADDRESSES,
    NETWORK_KEY_WITHOUT_REPORTS, Quirk, Reading, Shift, Totals, Tune, sample,
};

/// A network, and a process that connects to it.
struct Network {
    tracker: Simulator,
    process: Platforms,
    settings: Vec<(&'static str, &'static str)>,
    deadline: Duration,
}

impl Network {
    /// A network whose zone the connection knows.
    fn of(tune: Tune) -> Self {
        let zone = tune.zone;
        Self::with(tune, &[("timezone", zone)])
    }

    fn with(tune: Tune, settings: &[(&'static str, &'static str)]) -> Self {
        let tracker = Simulator::start(tune);
        let gateways = Gateways { tune: format!("{}/{{network_id}}", tracker.url), ..Gateways::default() };
        let settings = [("network_id", NETWORK_ID)].into_iter().chain(settings.iter().copied()).collect();
        Self { tracker, process: platforms(gateways, TIMEOUT), settings, deadline: TIMEOUT }
    }

    fn road(&self, pair: Pair, key: &str) -> Road {
        let road = Road { deadline: self.deadline, ..Road::new(pair) }.in_process(&self.process);
        let settings = self.settings.iter();
        settings.fold(road, |road, (field, value)| road.with_setting(field, value)).with_credential("api_key", key)
    }

    async fn verify(&self, pair: Pair, key: &str) -> Verification {
        let verification = self.road(pair, key).verify().await;
        let text = format!("{verification:?}");
        assert!(!text.contains(key), "{text}");
        verification
    }

    async fn failure(&self, pair: Pair, key: &str) -> (FailureCode, Option<String>) {
        let failure = self.verify(pair, key).await.failure.expect("a failure");
        (failure.code, failure.pointer)
    }

    async fn pull(&self, pair: Pair, query: &StatsQuery) -> Result<Table, PlatformError> {
        self.road(pair, key_of(pair)).pull(query).await
    }

    /// The forms of all reports asked so far, without those that prove how days are moved.
    fn reports(&self) -> Vec<Vec<(String, String)>> {
        let forms = self.tracker.requests().into_iter().map(|request| form(&request));
        forms.filter(|form| form.iter().any(|(_, value)| value == "Stat.impressions")).collect()
    }

    /// The days and the shift of all reports asked so far.
    fn asked(&self) -> Vec<String> {
        let days = |form: &Vec<(String, String)>| {
            let values = form.iter().filter(|(name, _)| name == "filters[Stat.date][values][]");
            let hours = form.iter().find(|(name, _)| name == "hour_offset").map(|(_, value)| value.as_str());
            let by_hour = form.iter().any(|(name, value)| name == "groups[]" && value == "Stat.hour");
            let days: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
            format!("{} {}{}", days.join(" "), hours.unwrap_or("0"), if by_hour { " by hour" } else { "" })
        };
        self.reports().iter().map(days).collect()
    }
}

fn form(request: &Request) -> Vec<(String, String)> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

fn key_of(pair: Pair) -> &'static str {
    if pair == Pair::TuneAdmin { NETWORK_KEY } else { AFFILIATE_KEY }
}

fn playing(reading: Reading) -> Tune {
    Tune { reading, ..Tune::default() }
}

fn query(dimensions: &[Dimension], from: Date, to: Date, zone: &str) -> StatsQuery {
    crate::road::query(dimensions, range(from, to), zone)
}

/// Ids and currency.
type Key = (Vec<String>, String);
/// Impressions, clicks, conversions, revenue and payout.
type Numbers = (i64, i64, i64, Decimal, Option<Decimal>);

/// What the table must be, from the facts alone.
fn expected(facts: &[Fact], pair: Pair, query: &StatsQuery) -> BTreeMap<Key, Numbers> {
    let mut table: BTreeMap<Key, Numbers> = BTreeMap::new();
    let admin = pair == Pair::TuneAdmin;
    for fact in facts.iter().filter(|fact| admin || fact.affiliate == AFFILIATE) {
        let local = query.zone.rules().to_datetime(fact.at);
        let value = |dimension: &Dimension| match dimension {
            Dimension::Date => local.date().to_string(),
            Dimension::Hour => format!("{:02}", local.hour()),
            Dimension::Affiliate => fact.affiliate.to_string(),
            Dimension::Offer => fact.offer.to_string(),
            Dimension::Advertiser => fact.advertiser.to_string(),
            Dimension::Country if fact.country.is_empty() => "unknown".to_owned(),
            Dimension::Country => fact.country.to_owned(),
            _ => panic!("not on TUNE"),
        };
        let passes = query.filters.iter().all(|(dimension, ids)| ids.contains(value(dimension).as_str()));
        if !passes || !query.range.contains(local.date()) {
            continue;
        }
        let money = |amount: i64| Decimal::new(amount, 4);
        let revenue = if admin { fact.revenue } else { fact.payout };
        let key = (query.dimensions.iter().map(value).collect(), fact.currency.to_owned());
        let zero = (0, 0, 0, Decimal::ZERO, admin.then_some(Decimal::ZERO));
        let sum = table.entry(key).or_insert(zero);
        *sum = (
            sum.0 + fact.impressions,
            sum.1 + fact.clicks,
            sum.2 + fact.conversions,
            sum.3 + money(revenue),
            sum.4.map(|payout| payout + money(fact.payout)),
        );
    }
    table
}

/// What the table is. A key that comes twice is an error of its own.
fn table(pulled: &Table) -> BTreeMap<Key, Numbers> {
    let mut table = BTreeMap::new();
    for row in &pulled.rows {
        let metrics = row.metrics;
        assert_eq!((metrics.approved, metrics.pending, metrics.rejected, metrics.hold), (None, None, None, None));
        let currency = row.currency.map(|currency| currency.as_str().to_owned()).unwrap_or_default();
        let key = (row.key.iter().map(|value| value.id.to_string()).collect(), currency);
        let numbers = (
            metrics.impressions.expect("a count"),
            metrics.clicks.expect("a count"),
            metrics.conversions.expect("a count"),
            metrics.revenue.expect("an amount"),
            metrics.payout,
        );
        assert_eq!(table.insert(key, numbers), None, "each key once");
    }
    table
}

async fn assert_exact(network: &Network, facts: &[Fact], pair: Pair, query: &StatsQuery) -> Table {
    let pulled = network.pull(pair, query).await.unwrap_or_else(|error| panic!("{query:?}: {error:?}"));
    assert_eq!(table(&pulled), expected(facts, pair, query), "{query:?}");
    assert!(pulled.mismatches.is_empty(), "{query:?}: {:?}", pulled.checks);
    pulled
}

const OCTOBER_20: Date = date(2026, 10, 20);
const NOVEMBER_3: Date = date(2026, 11, 3);
const HOME: &str = "America/New_York";
const BOTH: [Pair; 2] = [Pair::TuneAdmin, Pair::TuneAffiliate];

mod verification {
    use super::*;

    #[tokio::test]
    async fn a_key_is_proven_by_one_small_report_that_is_posted() {
        let network = Network::of(Tune::default());
        for pair in BOTH {
            network.tracker.forget();
            let verification = network.verify(pair, key_of(pair)).await;
            assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
            assert_eq!(verification.detected.connection_type, Some(pair.connection_type()));
            let [request] = &network.tracker.requests()[..] else { panic!("one call") };
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/acme/Apiv3/json"));
            assert!(request.query.is_empty(), "nothing stands in the address: {:?}", request.query);
            let form = form(request);
            let has = |name: &str, value: &str| form.iter().any(|pair| pair == &(name.to_owned(), value.to_owned()));
            assert!(
                has("limit", "1") && has("groups[]", "Stat.offer_id") && has("groups[]", "Stat.currency"),
                "{form:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_a_refusal_means_is_named_in_every_shape_of_errors() {
        for errors in [Errors::List, Errors::Object, Errors::Text] {
            let network = Network::of(playing(Reading { errors, ..Reading::default() }));
            for (pair, key, code, pointer) in [
                (
                    Pair::TuneAdmin,
                    "canary-of-nobody-000",
                    FailureCode::CredentialsRejected,
                    Some("/credentials/api_key"),
                ),
                (
                    Pair::TuneAffiliate,
                    "canary-of-nobody-000",
                    FailureCode::CredentialsRejected,
                    Some("/credentials/api_key"),
                ),
                (Pair::TuneAdmin, AFFILIATE_KEY, FailureCode::WrongPortal, Some("/connection_type")),
                (Pair::TuneAffiliate, NETWORK_KEY, FailureCode::WrongPortal, Some("/connection_type")),
                (Pair::TuneAffiliate, NETWORK_KEY_WITHOUT_REPORTS, FailureCode::WrongPortal, Some("/connection_type")),
                (Pair::TuneAdmin, NETWORK_KEY_WITHOUT_REPORTS, FailureCode::InsufficientPermissions, None),
                (Pair::TuneAdmin, NETWORK_KEY_OF_OTHER_ADDRESSES, FailureCode::IpNotAllowed, None),
            ] {
                let failure = network.failure(pair, key).await;
                assert_eq!(failure, (code, pointer.map(str::to_owned)), "{errors:?} {pair:?} {key}");
            }
        }
    }

    #[tokio::test]
    async fn a_key_of_the_other_kind_is_tried_once_and_at_the_same_host() {
        let network = Network::of(Tune::default());
        network.verify(Pair::TuneAdmin, AFFILIATE_KEY).await;
        let targets: Vec<String> =
            network.tracker.requests().iter().map(|request| form(request)[0].1.clone()).collect();
        assert_eq!(targets, ["Report", "Affiliate_Report"]);
    }

    #[tokio::test]
    async fn an_unknown_network_is_reported_at_its_field() {
        let network = Network::with(Tune::default(), &[("network_id", "nobody")]);
        let verification = network.verify(Pair::TuneAdmin, NETWORK_KEY).await;
        let failure = verification.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::NotThisPlatform);
        assert_eq!(failure.pointer.as_deref(), Some("/settings/network_id"));
        assert!(failure.detail.contains("Network id is not valid"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_rate_limit_says_nothing_of_the_key_in_both_of_its_texts() {
        for newer_rate_text in [true, false] {
            let network = Network::of(playing(Reading { calls: 0, newer_rate_text, ..Reading::default() }));
            let verification = network.verify(Pair::TuneAdmin, NETWORK_KEY).await;
            assert_eq!(verification.status, VerificationStatus::Inconclusive, "{verification:?}");
            assert_eq!(verification.failure.map(|failure| failure.code), Some(FailureCode::RateLimited));
        }
    }

    #[tokio::test]
    async fn an_account_without_a_currency_column_is_verified_and_not_asked_for_it_again() {
        let network = Network::of(playing(Reading { hidden: &["Stat.currency"], ..Reading::default() }));
        for _ in 0..2 {
            let verification = network.verify(Pair::TuneAdmin, NETWORK_KEY).await;
            assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
        }
        assert_eq!(network.tracker.requests().len(), 3);
    }

    #[test]
    fn a_pasted_address_comes_down_to_the_networks_id() {
        let mut settings = Settings::from([
            ("network_id".to_owned(), "https://Acme.api.hasoffers.com/Apiv3/json?NetworkToken=canary".to_owned()),
            ("timezone".to_owned(), "america/new_york".to_owned()),
        ]);
        normalise(Pair::TuneAdmin, &mut settings).expect("good settings");
        assert_eq!(settings["network_id"], "acme");
        assert_eq!(settings["timezone"], HOME);
        let mut settings = Settings::from([
            ("network_id".to_owned(), "https://portal.acme.com".to_owned()),
            ("timezone".to_owned(), "EST5".to_owned()),
        ]);
        let errors = normalise(Pair::TuneAdmin, &mut settings).expect_err("both are wrong");
        assert_eq!(errors.iter().map(|error| error.field).collect::<Vec<_>>(), ["network_id", "timezone"]);
    }
}

mod reports {
    use super::*;

    #[tokio::test]
    async fn every_reading_gives_the_same_table() {
        let readings = [
            Reading::default(),
            Reading { lists: Lists::Numbered, page_as_text: true, ..Reading::default() },
            Reading { pages: false, totals: Totals::InResponse, ..Reading::default() },
            Reading {
                pages: false,
                lists: Lists::Numbered,
                totals: Totals::Nowhere,
                twins: false,
                ..Reading::default()
            },
            Reading { plain: false, ..Reading::default() },
        ];
        for reading in readings {
            let totals = reading.totals;
            let network = Network::of(playing(reading.clone()));
            for pair in BOTH {
                let query = query(&[Dimension::Date, Dimension::Offer], OCTOBER_20, NOVEMBER_3, HOME);
                let pulled = assert_exact(&network, &Tune::default().facts, pair, &query).await;
                assert_eq!(pulled.checks.len(), usize::from(totals != Totals::Nowhere), "{reading:?}");
                let codes: Vec<_> = pulled.warnings.iter().map(|warning| warning.code.key()).collect();
                let expected: &[&str] = if totals == Totals::Nowhere { &["total_unknown"] } else { &[] };
                assert_eq!(codes, expected, "{reading:?}");
                let names: BTreeSet<&str> = pulled.rows.iter().map(|row| row.key[1].name.as_str()).collect();
                assert!(names.contains("Offer 11"), "{names:?}");
                assert!(pulled.rows.iter().all(|row| row.metrics.unique_clicks.is_some()));
            }
        }
    }

    #[tokio::test]
    async fn nothing_of_a_key_stands_in_an_address() {
        let network = Network::of(Tune::default());
        let query = query(&[Dimension::Offer], OCTOBER_20, NOVEMBER_3, "UTC");
        network.pull(Pair::TuneAffiliate, &query).await.expect("a table");
        for request in network.tracker.requests() {
            assert_eq!((request.method.as_str(), request.query.len()), ("POST", 0));
            assert!(form(&request).contains(&("api_key".to_owned(), AFFILIATE_KEY.to_owned())));
            let headers = format!("{:?}", request.headers);
            assert!(!headers.contains("canary"), "{headers}");
        }
    }

    #[tokio::test]
    async fn columns_that_an_account_lacks_are_done_without_or_named() {
        let hidden = &["Stat.currency", "Stat.unique_clicks", "Offer.name"];
        let tune = playing(Reading { hidden, ..Reading::default() });
        let network = Network::with(tune, &[("timezone", HOME), ("currency", "usd")]);
        let query = query(&[Dimension::Offer], OCTOBER_20, NOVEMBER_3, HOME);
        let pulled = network.pull(Pair::TuneAdmin, &query).await.expect("a table");
        assert!(pulled.rows.iter().all(|row| row.currency.is_some_and(|currency| currency.as_str() == "USD")));
        assert!(pulled.rows.iter().all(|row| row.metrics.unique_clicks.is_none() && row.key[0].id == row.key[0].name));
        let [warning] = &pulled.warnings[..] else { panic!("one warning: {:?}", pulled.warnings) };
        assert_eq!(warning.code, WarningCode::ColumnsHidden);
        assert!(
            warning.detail.contains("Stat.unique_clicks") && !warning.detail.contains("Stat.currency"),
            "{warning:?}"
        );
        assert_eq!(network.tracker.requests().len(), 4, "each column is refused once");
        network.pull(Pair::TuneAdmin, &query).await.expect("a table");
        assert_eq!(network.tracker.requests().len(), 5, "and remembered");

        let network = Network::of(playing(Reading { hidden: &["Stat.country_code"], ..Reading::default() }));
        let query = StatsQuery { dimensions: vec![Dimension::Country], ..query };
        let refused = network.pull(Pair::TuneAdmin, &query).await.expect_err("what rows are told apart by");
        assert!(refused.detail.contains("Stat.country_code"), "{refused:?}");
    }

    #[tokio::test]
    async fn a_long_report_is_read_page_by_page() {
        let start: Timestamp = "2026-03-01T05:00:00Z".parse().expect("an instant");
        let facts = sample(start, 200, 16_000, 3);
        let query =
            query(&[Dimension::Date, Dimension::Offer, Dimension::Hour], date(2026, 3, 1), date(2026, 9, 30), HOME);
        let network = Network::of(Tune {
            reading: Reading { page_as_text: true, ..Reading::default() },
            ..Tune::of(facts.clone())
        });
        assert_exact(&network, &facts, Pair::TuneAdmin, &query).await;
        assert!(network.reports().len() > 1 && network.tracker.most_at_once() <= 3);

        let unnamed = Reading { pages: false, ..Reading::default() };
        let network = Network::of(Tune { reading: unnamed, ..Tune::of(facts.clone()) });
        assert_exact(&network, &facts, Pair::TuneAdmin, &query).await;

        let network = Network::of(Tune { quirk: Quirk::RepeatsItself, ..Tune::of(facts) });
        let refused = network.pull(Pair::TuneAdmin, &query).await.expect_err("the first page again");
        assert_eq!(refused.kind, ErrorKind::Inconsistent, "{refused:?}");
    }

    #[tokio::test]
    async fn rows_that_are_missing_and_totals_that_differ_are_noticed() {
        let query = query(&[Dimension::Offer], OCTOBER_20, NOVEMBER_3, HOME);
        let network = Network::of(Tune { quirk: Quirk::LosesARow, ..Tune::default() });
        let refused = network.pull(Pair::TuneAdmin, &query).await.expect_err("a row is missing");
        assert_eq!(refused.kind, ErrorKind::Inconsistent, "{refused:?}");

        let network = Network::of(Tune { quirk: Quirk::LyingTotals, ..Tune::default() });
        let pulled = network.pull(Pair::TuneAdmin, &query).await.expect("a table");
        let mismatches = pulled.mismatches;
        assert!(mismatches.len() == 1 && mismatches[0].contains("TUNE's own sum"), "{mismatches:?}");
    }

    #[tokio::test]
    async fn a_range_that_is_too_wide_is_halved() {
        let network = Network::of(playing(Reading { widest: 4, ..Reading::default() }));
        let facts = Tune::default().facts;
        for dimensions in [vec![Dimension::Date, Dimension::Offer], vec![Dimension::Offer]] {
            let query = query(&dimensions, OCTOBER_20, NOVEMBER_3, HOME);
            let pulled = assert_exact(&network, &facts, Pair::TuneAdmin, &query).await;
            let whole = dimensions.contains(&Dimension::Date);
            assert!(pulled.rows.iter().all(|row| row.metrics.unique_clicks.is_some() == whole));
        }
    }

    #[tokio::test]
    async fn filters_by_number_are_handed_on_and_applied_again() {
        let facts = Tune::default().facts;
        for quirk in [Quirk::None, Quirk::DeafToFilters] {
            let network = Network::of(Tune { quirk, ..Tune::default() });
            let mut query =
                query(&[Dimension::Date, Dimension::Offer, Dimension::Country], OCTOBER_20, NOVEMBER_3, HOME);
            query.filters.insert(Dimension::Offer, ["11".into(), "15".into()].into());
            query.filters.insert(Dimension::Country, ["unknown".into()].into());
            assert_exact(&network, &facts, Pair::TuneAdmin, &query).await;
            let form = &network.reports()[0];
            let named = |name: &str| form.iter().filter(|(known, _)| known == name).count();
            assert_eq!(named("filters[Stat.offer_id][values][]"), 2);
            assert_eq!(named("filters[Stat.country_code][values][]"), 0);
        }
    }

    #[tokio::test]
    async fn a_rate_limit_is_waited_out_or_reported_with_its_time() {
        let network = Network::of(Tune::default());
        let said = include_str!("../../fixtures/tune/admin/rate_limited.json");
        network.tracker.inject([Fault::Instead(Reply::text(200, "application/json", said))]);
        let started = Instant::now();
        let query = query(&[Dimension::Offer], OCTOBER_20, NOVEMBER_3, HOME);
        network.pull(Pair::TuneAdmin, &query).await.expect("a table");
        assert!(started.elapsed() >= Duration::from_secs(10), "that is how long calls are counted");

        let hurried = Network { deadline: Duration::from_secs(5), ..Network::of(Tune::default()) };
        let said = include_str!("../../fixtures/tune/affiliate/rate_limited.json");
        hurried.tracker.always(Some(Fault::Instead(Reply::text(200, "application/json", said))));
        let refused = hurried.pull(Pair::TuneAffiliate, &query).await.expect_err("no time to wait");
        assert_eq!((refused.kind, refused.retry_after), (ErrorKind::RateLimited, Some(Duration::from_secs(10))));
        assert_eq!(hurried.tracker.requests().len(), 1);
    }
}

mod zones {
    use super::*;

    fn facts() -> Vec<Fact> {
        Tune::default().facts
    }

    #[tokio::test]
    async fn one_report_does_where_the_clocks_stay_as_far_apart() {
        let network = Network::of(Tune::default());
        for (zone, asked) in [
            (HOME, "2026-10-26 2026-10-30 0"),
            ("America/Toronto", "2026-10-26 2026-10-30 0"),
            ("UTC", "2026-10-26 2026-10-30 4"),
            ("Europe/Berlin", "2026-10-26 2026-10-30 5"),
            ("America/Los_Angeles", "2026-10-26 2026-10-30 -3"),
        ] {
            network.tracker.forget();
            let query = query(&[Dimension::Date, Dimension::Hour], date(2026, 10, 26), date(2026, 10, 30), zone);
            assert_exact(&network, &facts(), Pair::TuneAdmin, &query).await;
            assert_eq!(network.asked(), [format!("{asked} by hour")], "{zone}");
        }
    }

    #[tokio::test]
    async fn days_with_a_clock_change_are_put_together_from_hours() {
        let network = Network::of(Tune::default());
        let query = query(&[Dimension::Date, Dimension::Offer], OCTOBER_20, NOVEMBER_3, "Europe/Berlin");
        let pulled = assert_exact(&network, &facts(), Pair::TuneAdmin, &query).await;
        assert_eq!(
            network.asked(),
            [
                "2026-10-20 2026-10-24 6",
                "2026-10-24 2026-10-25 0 by hour",
                "2026-10-26 2026-10-31 5",
                "2026-10-31 2026-11-01 0 by hour",
                "2026-11-02 2026-11-03 6",
            ]
        );
        for row in &pulled.rows {
            let is_whole = !["2026-10-25", "2026-11-01"].contains(&row.key[0].id.as_str());
            assert_eq!(row.metrics.unique_clicks.is_some(), is_whole, "{row:?}");
        }
    }

    #[tokio::test]
    async fn hours_that_cannot_be_divided_are_refused_before_anything_is_read() {
        let network = Network::of(Tune::default());
        for (dimensions, zone, from, to) in [
            (vec![Dimension::Date], "Asia/Kolkata", OCTOBER_20, OCTOBER_20),
            (vec![Dimension::Hour], "UTC", date(2026, 11, 1), date(2026, 11, 1)),
        ] {
            let refused = network.pull(Pair::TuneAdmin, &query(&dimensions, from, to, zone)).await.expect_err(zone);
            assert_eq!(refused.kind, ErrorKind::Unsupported, "{refused:?}");
            assert!(refused.hint.is_some_and(|hint| hint.contains("timezone=America/New_York")));
        }
        assert!(network.tracker.requests().is_empty());
        // By day nothing has to be divided.
        let query = query(&[Dimension::Date], date(2026, 11, 1), date(2026, 11, 1), "UTC");
        assert_exact(&network, &facts(), Pair::TuneAdmin, &query).await;
    }

    #[tokio::test]
    async fn without_the_networks_zone_days_are_its_own_and_a_warning_says_so() {
        let network = Network::with(Tune::default(), &[]);
        let query_in = |zone| query(&[Dimension::Date, Dimension::Hour], OCTOBER_20, NOVEMBER_3, zone);
        let pulled = network.pull(Pair::TuneAdmin, &query_in("Asia/Kolkata")).await.expect("a table");
        assert_eq!(table(&pulled), expected(&facts(), Pair::TuneAdmin, &query_in(HOME)));
        let codes: Vec<WarningCode> = pulled.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, [WarningCode::TimezoneFixedByPlatform]);
        assert_eq!(network.asked(), ["2026-10-20 2026-11-03 0 by hour"]);
    }

    /// A network with traffic up to now, seen by its busy weeks.
    fn busy(shift: Shift) -> Tune {
        let facts = sample(Timestamp::now() - (24 * 40).hours(), 39, 4_000, 11);
        let facts = facts.into_iter().map(|fact| Fact { at: whole_hour(fact.at), ..fact }).collect();
        Tune { zone: "Asia/Tokyo", reading: Reading { shift, ..Reading::default() }, ..Tune::of(facts) }
    }

    fn whole_hour(at: Timestamp) -> Timestamp {
        Timestamp::from_second(at.as_second() / 3_600 * 3_600).expect("an instant")
    }

    #[tokio::test]
    async fn it_is_seen_whether_and_which_way_days_are_moved_and_the_table_is_right_in_any_case() {
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        let (from, to) = (today.saturating_sub(6.days()), today.saturating_sub(3.days()));
        for shift in [Shift::Forward, Shift::Back, Shift::Never] {
            let tune = busy(shift);
            let facts = tune.facts.clone();
            let network = Network::of(tune);
            for dimensions in [vec![Dimension::Date, Dimension::Hour], vec![Dimension::Date, Dimension::Offer]] {
                let query = query(&dimensions, from, to, "UTC");
                let pulled = assert_exact(&network, &facts, Pair::TuneAdmin, &query).await;
                assert_eq!(pulled.warnings, [], "{shift:?}");
            }
            let calls = network.tracker.requests().len();
            assert_eq!(calls, 4, "{shift:?}: two calls show it, and it is remembered");
        }
    }

    #[tokio::test]
    async fn where_it_cannot_be_seen_a_warning_says_so() {
        let network = Network::of(Tune { zone: "Asia/Tokyo", ..Tune::default() });
        let query = query(&[Dimension::Date], OCTOBER_20, NOVEMBER_3, "UTC");
        let pulled = assert_exact(&network, &facts(), Pair::TuneAdmin, &query).await;
        let codes: Vec<WarningCode> = pulled.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, [WarningCode::TimezoneUnproven]);
    }

    #[tokio::test]
    async fn traffic_at_an_hour_that_the_zone_skips_is_no_table() {
        // The network is in Berlin, and the connection says that it is in New York.
        let start: Timestamp = "2026-03-07T00:00:00Z".parse().expect("an instant");
        let facts = sample(start, 4, 2_000, 5);
        let network = Network::with(Tune { zone: "Europe/Berlin", ..Tune::of(facts) }, &[("timezone", HOME)]);
        let query = query(&[Dimension::Date], date(2026, 3, 8), date(2026, 3, 8), "UTC");
        let refused = network.pull(Pair::TuneAdmin, &query).await.expect_err("02:00 is skipped in New York");
        assert_eq!(refused.kind, ErrorKind::BadResponse, "{refused:?}");
        assert!(refused.hint.is_some_and(|hint| hint.contains("time zone")));
    }
}

#[test]
fn the_portals_differ_in_what_they_can_be_asked() {
    for pair in BOTH {
        let known = pair.entry().dimensions.iter().map(|dimension| dimension.key);
        let dimensions: Vec<&str> = known.filter(|dimension| !dimension.is_sub_id()).map(Dimension::key).collect();
        match pair.connection_type() {
            ConnectionType::Admin => {
                assert_eq!(
                    dimensions,
                    ["date", "week", "month", "hour", "affiliate", "offer", "advertiser", "country"]
                );
            }
            ConnectionType::Affiliate => {
                assert_eq!(dimensions, ["date", "week", "month", "hour", "offer", "country"]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_question_is_answered_from_the_facts_alone_or_refused(
        wanted in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Tokyo",
            "Asia/Kolkata", "Australia/Sydney", "America/Santiago"]),
        home in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Asia/Kolkata"]),
        dimensions in prop::sample::subsequence(
            vec![Dimension::Date, Dimension::Hour, Dimension::Offer, Dimension::Country], 1..4),
        first in 0i64..14, days in 1i64..15, affiliate in any::<bool>(), seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let facts = sample("2026-10-19T00:00:00Z".parse().expect("an instant"), 17, 400, seed);
            let network = Network::of(Tune { zone: home, ..Tune::of(facts.clone()) });
            let pair = BOTH[usize::from(affiliate)];
            let from = OCTOBER_20.saturating_add(first.days());
            let to = from.saturating_add((days - 1).days()).min(NOVEMBER_3);
            let query = query(&dimensions, from, to, wanted);
            match network.pull(pair, &query).await {
                Ok(pulled) => {
                    assert_eq!(table(&pulled), expected(&facts, pair, &query), "{query:?} at {home}");
                    assert!(pulled.mismatches.is_empty(), "{:?}", pulled.checks);
                }
                Err(refused) => assert_eq!(refused.kind, ErrorKind::Unsupported, "{refused:?}"),
            }
        });
    }
}
