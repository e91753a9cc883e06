//! Everflow, from opened connection to assembled table, against a simulator that plays every contested reading.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use affzero_connections::outbound::error::{ErrorKind, PlatformError, Stage};
use affzero_connections::platforms::calendar::Zone;
use affzero_connections::platforms::stats::{Against, Check, Dimension, Metrics, StatsQuery};
use affzero_connections::platforms::verification::{
    Detected, FailureCode, Owner, StageStatus, Verification, VerificationStatus,
};
use affzero_connections::platforms::{ConnectionType, Gateways, Pair, Platforms};
use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::road::{Road, Table, platforms, range};
use crate::support::everflow::{
    ADVERTISER_KEY, AFFILIATE, AFFILIATE_KEY, DateIds, Everflow, Fact, Flag, HourIds, NETWORK_KEY,
    NETWORK_KEY_OF_REPORTS_ONLY, NETWORK_KEY_WITHOUT_REPORTS, Quirk, Reading, sample,
};
use crate::support::tracker::{Fault, Reply, Request, Simulator, carried};

/// The gateways of both regions, and a process that connects to them.
struct Regions {
    us: Simulator,
    eu: Simulator,
    process: Platforms,
    max_calls: u32,
}

impl Regions {
    fn of(us: Everflow) -> Self {
        let (us, eu) = (Simulator::start(us), Simulator::start(Everflow::default()));
        let gateways =
            Gateways { everflow_us: us.url.clone(), everflow_eu: format!("{}/", eu.url), ..Gateways::default() };
        Self { us, eu, process: platforms(gateways, Duration::from_secs(20)), max_calls: 2_000 }
    }

    fn road(&self, pair: Pair, key: &str) -> Road {
        let road = Road { max_calls: self.max_calls, ..Road::new(pair) };
        road.in_process(&self.process).with_credential("api_key", key)
    }

    async fn verify(&self, pair: Pair, key: &str) -> Verification {
        self.road(pair, key).verify().await
    }

    /// A report through a connection that a verification has found to be in dollars.
    async fn pull(&self, pair: Pair, query: &StatsQuery) -> Result<Table, PlatformError> {
        self.pull_by(pair, query, &query.dimensions).await
    }

    async fn pull_by(&self, pair: Pair, query: &StatsQuery, group_by: &[Dimension]) -> Result<Table, PlatformError> {
        let detected = Detected { currency: Some("USD".to_owned()), ..Detected::default() };
        Road { detected, ..self.road(pair, key_of(pair)) }.pull_by(query, group_by).await
    }

    /// The bodies of all reports asked so far.
    fn reports(&self) -> Vec<Value> {
        let reports = self.us.requests().into_iter().filter(|request| request.path.ends_with("/entity/table"));
        reports.map(|request| serde_json::from_slice(&request.body).expect("JSON")).collect()
    }

    fn asked(&self) -> Vec<String> {
        self.us.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

fn key_of(pair: Pair) -> &'static str {
    if pair == Pair::EverflowAdmin { NETWORK_KEY } else { AFFILIATE_KEY }
}

fn playing(reading: Reading) -> Everflow {
    Everflow { reading, ..Everflow::default() }
}

fn quirky(quirk: Quirk, reading: Reading) -> Everflow {
    Everflow { quirk, reading, ..Everflow::default() }
}

fn query(dimensions: &[Dimension], from: Date, to: Date, zone: &str) -> StatsQuery {
    crate::road::query(dimensions, range(from, to), zone)
}

fn filtered(mut query: StatsQuery, filters: &[(Dimension, &[&str])]) -> StatsQuery {
    for (dimension, ids) in filters {
        query.filters.insert(*dimension, ids.iter().map(|id| (*id).into()).collect());
        if !query.has(*dimension) {
            query.dimensions.push(*dimension);
        }
    }
    query
}

type Numbers = (i64, i64, i64, i64, Decimal, Option<Decimal>, Option<Decimal>);

/// What the table must be, from the facts alone.
fn expected(facts: &[Fact], pair: Pair, query: &StatsQuery, group_by: &[Dimension]) -> BTreeMap<Vec<String>, Numbers> {
    let mut table: BTreeMap<Vec<String>, Numbers> = BTreeMap::new();
    let admin = pair == Pair::EverflowAdmin;
    for fact in facts.iter().filter(|fact| admin || fact.affiliate == AFFILIATE) {
        let local = query.zone.rules().to_datetime(fact.at);
        let value = |dimension: &Dimension| match dimension {
            Dimension::Date => local.date().to_string(),
            Dimension::Hour => format!("{:02}", local.hour()),
            Dimension::Affiliate => fact.affiliate.to_string(),
            Dimension::Offer => fact.offer.to_string(),
            Dimension::Advertiser => fact.advertiser.to_string(),
            Dimension::Campaign => fact.campaign.map_or("unknown".to_owned(), |id| id.to_string()),
            Dimension::Country if fact.country.is_empty() => "unknown".to_owned(),
            Dimension::Country => fact.country.to_owned(),
            Dimension::Sub(number) => carried(number.number().into(), fact.country, fact.offer),
            Dimension::TrafficSource | Dimension::AffiliateNetwork | Dimension::Week | Dimension::Month => {
                panic!("not on Everflow")
            }
        };
        let passes = query.filters.iter().all(|(dimension, ids)| ids.contains(value(dimension).as_str()));
        if !passes || !query.range.contains(local.date()) {
            continue;
        }
        let cents = |cents: i64| Decimal::new(cents, 2);
        let of_network = |amount: i64| admin.then(|| cents(amount));
        let revenue = if admin { fact.revenue } else { fact.payout };
        let key = group_by.iter().map(value).collect();
        let zero = (0, 0, 0, 0, Decimal::ZERO, of_network(0), of_network(0));
        let sum = table.entry(key).or_insert(zero);
        *sum = (
            sum.0 + fact.impressions,
            sum.1 + fact.clicks,
            sum.2 + fact.conversions,
            sum.3 + fact.on_hold,
            sum.4 + cents(revenue),
            sum.5.map(|payout| payout + cents(fact.payout)),
            sum.6.map(|cost| cost + cents(fact.cost)),
        );
    }
    table
}

/// What the table is. A key that comes twice is an error of its own.
fn table(pulled: &Table) -> BTreeMap<Vec<String>, Numbers> {
    let mut table = BTreeMap::new();
    for row in &pulled.rows {
        let key: Vec<String> = row.key.iter().map(|value| value.id.to_string()).collect();
        let Metrics { impressions, clicks, unique_clicks, conversions, approved, pending, rejected, hold, .. } =
            row.metrics;
        assert_eq!((pending, rejected), (None, None), "never guessed");
        assert_eq!(conversions, approved);
        assert!(unique_clicks.is_none() || unique_clicks == clicks);
        let known = |count: Option<i64>| count.expect("a known count");
        let numbers = (
            known(impressions),
            known(clicks),
            known(conversions),
            known(hold),
            row.metrics.revenue.expect("known revenue"),
            row.metrics.payout,
            row.metrics.cost,
        );
        assert_eq!(table.insert(key, numbers), None, "each key once");
    }
    table
}

const OCTOBER_19: Date = date(2026, 10, 19);
const NOVEMBER_4: Date = date(2026, 11, 4);

async fn assert_exact(regions: &Regions, facts: &[Fact], pair: Pair, query: &StatsQuery) -> Table {
    let pulled = regions.pull(pair, query).await.unwrap_or_else(|error| panic!("{query:?}: {error:?}"));
    assert_eq!(table(&pulled), expected(facts, pair, query, &query.dimensions), "{query:?}");
    assert!(pulled.rows.iter().all(|row| row.currency.is_some_and(|currency| currency.as_str() == "USD")));
    pulled
}

mod verification {
    use super::*;

    #[tokio::test]
    async fn a_network_key_is_proven_by_a_report_and_tells_the_account() {
        let regions = Regions::of(Everflow::default());
        let verification = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
        assert_eq!(
            verification.detected,
            Detected {
                connection_type: Some(ConnectionType::Admin),
                platform_version: None,
                account: Some("Sample Network".to_owned()),
                currency: Some("USD".to_owned()),
                timezone: Some("Europe/Berlin".to_owned()),
            }
        );
        assert_eq!(
            regions.asked(),
            ["GET /v1/networks", "GET /v1/meta/timezones", "POST /v1/networks/reporting/entity/table"]
        );
        let report = &regions.reports()[0];
        assert_eq!(report["columns"], json!([{ "column": "offer" }]));
        assert_eq!((&report["from"], &report["timezone_id"]), (&report["to"], &json!(67)));
        for request in regions.us.requests() {
            let expected = (request.path != "/v1/meta/timezones").then_some(NETWORK_KEY);
            assert_eq!(request.header("x-eflow-api-key"), expected, "{}", request.path);
        }
    }

    #[tokio::test]
    async fn an_affiliate_key_is_proven_by_a_report_of_its_own() {
        let regions = Regions::of(Everflow { default_currency: Some("EUR"), ..Everflow::default() });
        let verification = regions.verify(Pair::EverflowAffiliate, AFFILIATE_KEY).await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
        assert_eq!(
            verification.detected,
            Detected {
                connection_type: Some(ConnectionType::Affiliate),
                platform_version: None,
                account: Some("Sample Affiliate".to_owned()),
                currency: Some("EUR".to_owned()),
                timezone: Some("America/New_York".to_owned()),
            }
        );
        assert!(regions.us.requests().iter().all(|request| !request.path.starts_with("/v1/networks")));
        assert_eq!(regions.reports()[0]["currency_id"], "EUR");
    }

    #[tokio::test]
    async fn a_key_of_the_other_portal_is_named_as_such_on_old_and_new_accounts() {
        for (knows_affiliates_network, capital_error) in [(true, true), (false, false)] {
            let reading = Reading { knows_affiliates_network, capital_error, ..Reading::default() };
            let regions = Regions::of(playing(reading));
            for (pair, key) in [(Pair::EverflowAdmin, AFFILIATE_KEY), (Pair::EverflowAffiliate, NETWORK_KEY)] {
                let verification = regions.verify(pair, key).await;
                let failure = verification.failure.expect("a failure");
                assert_eq!(failure.code, FailureCode::WrongPortal);
                assert_eq!(failure.pointer.as_deref(), Some("/connection_type"));
                assert_eq!(verification.detected.connection_type, Some(pair.connection_type().other()));
            }
            assert!(regions.reports().is_empty());
            let good = regions.verify(Pair::EverflowAffiliate, AFFILIATE_KEY).await;
            assert_eq!(good.status, VerificationStatus::Ok, "{good:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_key_is_rejected_and_the_other_region_is_named_but_never_tried() {
        let regions = Regions::of(Everflow::default());
        for pair in [Pair::EverflowAdmin, Pair::EverflowAffiliate] {
            let verification = regions.verify(pair, "someone-elses-key-00000").await;
            let failure = verification.failure.expect("a failure");
            assert_eq!(failure.code, FailureCode::CredentialsRejected);
            assert_eq!(failure.pointer.as_deref(), Some("/credentials/api_key"));
            assert!(failure.hint.contains("set the region to eu"), "{}", failure.hint);
            assert!(failure.detail.contains("Unauthorized"), "{}", failure.detail);
        }
        assert!(regions.eu.requests().is_empty());
    }

    #[tokio::test]
    async fn the_region_decides_the_host() {
        let regions = Regions::of(Everflow::default());
        let good = regions.road(Pair::EverflowAdmin, NETWORK_KEY).with_setting("region", "eu");
        assert_eq!(good.verify().await.status, VerificationStatus::Ok);
        assert!(regions.us.requests().is_empty() && !regions.eu.requests().is_empty());
        let wrong = good.with_credential("api_key", "nonsense");
        let failure = wrong.verify().await.failure.expect("a failure");
        assert!(failure.hint.contains("set the region to us"), "{}", failure.hint);
    }

    #[tokio::test]
    async fn a_key_without_the_right_to_report_is_good_and_not_enough() {
        let regions = Regions::of(Everflow::default());
        for (pair, key) in [
            (Pair::EverflowAdmin, NETWORK_KEY_WITHOUT_REPORTS),
            (Pair::EverflowAdmin, ADVERTISER_KEY),
            (Pair::EverflowAffiliate, ADVERTISER_KEY),
        ] {
            let verification = regions.verify(pair, key).await;
            let failure = verification.failure.expect("a failure");
            assert_eq!(failure.code, FailureCode::InsufficientPermissions);
            let authenticate = verification.stages.iter().find(|stage| stage.name == Stage::Authenticate);
            assert_eq!(authenticate.map(|stage| stage.status), Some(StageStatus::Ok));
        }
    }

    #[tokio::test]
    async fn a_key_that_may_only_read_reports_is_enough() {
        let regions = Regions::of(Everflow::default());
        let verification = regions.verify(Pair::EverflowAdmin, NETWORK_KEY_OF_REPORTS_ONLY).await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
        assert_eq!(verification.detected.currency, None);
    }

    #[tokio::test]
    async fn a_web_page_is_not_everflow_and_an_outage_says_nothing_of_the_key() {
        let regions = Regions::of(Everflow::default());
        for status in [200, 404] {
            regions.us.always(Some(Fault::Instead(Reply::html(status))));
            let failure = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await.failure.expect("a failure");
            assert_eq!(failure.code, FailureCode::NotThisPlatform, "{status}");
            // Nobody entered the gateway's address.
            assert_eq!((failure.pointer, failure.owner), (None, Owner::Platform));
        }
        regions.us.always(Some(Fault::Instead(Reply::json(500, &json!({ "error": "oops" })))));
        let verification = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await;
        assert_eq!(verification.status, VerificationStatus::Inconclusive);
        assert_eq!(verification.failure.map(|failure| failure.code), Some(FailureCode::PlatformError));
    }

    #[tokio::test]
    async fn a_page_instead_of_the_report_never_passes() {
        let regions = Regions::of(Everflow::default());
        let page = || Fault::Instead(Reply::html(200));
        regions.us.inject([Fault::None, Fault::None, page(), page()]);
        let failure = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::NotThisPlatform);
        regions.us.inject([Fault::None, Fault::Instead(Reply::json(200, &json!({ "rows": [] })))]);
        let failure = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::NotThisPlatform, "{}", failure.detail);
    }

    #[tokio::test]
    async fn a_key_echoed_by_the_tracker_is_not_repeated() {
        let regions = Regions::of(Everflow::default());
        let echo = json!({ "Error": format!("{NETWORK_KEY} is revoked\u{7}") });
        regions.us.always(Some(Fault::Instead(Reply::json(401, &echo))));
        let failure = regions.verify(Pair::EverflowAdmin, NETWORK_KEY).await.failure.expect("a failure");
        assert!(failure.detail.contains("[secret] is revoked"), "{}", failure.detail);
        assert!(!format!("{failure:?}").contains(NETWORK_KEY));
    }
}

mod stats {
    use super::*;

    const ADMIN: [Dimension; 7] = [
        Dimension::Date,
        Dimension::Hour,
        Dimension::Affiliate,
        Dimension::Offer,
        Dimension::Advertiser,
        Dimension::Campaign,
        Dimension::Country,
    ];
    const OWN: [Dimension; 4] = [Dimension::Date, Dimension::Hour, Dimension::Offer, Dimension::Country];

    fn combinations(dimensions: &[Dimension]) -> Vec<Vec<Dimension>> {
        let mut combinations = Vec::new();
        for (place, first) in dimensions.iter().enumerate() {
            combinations.push(vec![*first]);
            for (next, second) in dimensions.iter().enumerate().skip(place + 1) {
                combinations.push(vec![*second, *first]);
                combinations.extend(dimensions.iter().skip(next + 1).map(|third| vec![*first, *third, *second]));
            }
        }
        combinations
    }

    #[tokio::test]
    async fn every_combination_is_exact_in_both_portals() {
        let everflow = Everflow::default();
        let regions = Regions::of(everflow.clone());
        for combination in combinations(&ADMIN) {
            let query = query(&combination, date(2026, 10, 24), date(2026, 11, 2), "America/New_York");
            assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
        }
        for combination in combinations(&OWN) {
            let query = query(&combination, date(2026, 10, 24), date(2026, 11, 2), "Europe/Berlin");
            assert_exact(&regions, &everflow.facts, Pair::EverflowAffiliate, &query).await;
        }
    }

    #[tokio::test]
    async fn every_reading_gives_the_same_table_in_every_zone() {
        for dates in [DateIds::LocalMidnight, DateIds::LocalMidnightMillis, DateIds::UtcMidnight, DateIds::Written] {
            for (hours, wrapped, flag) in
                [(HourIds::Instant, false, Flag::Always), (HourIds::OfDay, true, Flag::WhenTrue)]
            {
                let everflow = playing(Reading { dates, hours, wrapped, flag, ..Reading::default() });
                let regions = Regions::of(everflow.clone());
                for zone in [
                    "UTC",
                    "America/New_York",
                    "Asia/Kolkata",
                    "Asia/Kathmandu",
                    "America/St_Johns",
                    "Europe/London",
                    "Pacific/Pago_Pago",
                    "America/Santiago",
                ] {
                    for dimensions in [&[Dimension::Date][..], &[Dimension::Hour], &[Dimension::Hour, Dimension::Date]]
                    {
                        let query = query(dimensions, date(2026, 10, 24), date(2026, 11, 2), zone);
                        assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn one_report_is_one_call_with_everything_it_needs() {
        let regions = Regions::of(Everflow::default());
        let query =
            query(&[Dimension::Country, Dimension::Hour, Dimension::Date], OCTOBER_19, NOVEMBER_4, "US/Eastern");
        regions.pull(Pair::EverflowAffiliate, &query).await.expect("a report");
        assert_eq!(regions.asked(), ["GET /v1/meta/timezones", "POST /v1/affiliates/reporting/entity/table"]);
        assert_eq!(
            regions.reports(),
            [json!({
                "from": "2026-10-19", "to": "2026-11-04", "timezone_id": 80, "currency_id": "USD",
                "columns": [{ "column": "hour" }, { "column": "country_code" }],
                "query": { "filters": [], "exclusions": [] },
            })]
        );
    }

    #[tokio::test]
    async fn an_empty_report_is_empty_however_it_is_written() {
        for (wrapped, null_when_empty) in [(false, false), (true, false), (false, true)] {
            let regions = Regions::of(playing(Reading { wrapped, null_when_empty, ..Reading::default() }));
            let query = query(&[Dimension::Offer], date(2020, 1, 1), date(2020, 1, 2), "UTC");
            assert!(regions.pull(Pair::EverflowAdmin, &query).await.expect("a report").rows.is_empty());
        }
    }

    #[tokio::test]
    async fn an_older_account_does_not_know_what_is_on_hold() {
        let regions = Regions::of(playing(Reading { knows_on_hold: false, ..Reading::default() }));
        let query = query(&[Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC");
        let pulled = regions.pull(Pair::EverflowAdmin, &query).await.expect("a report");
        assert!(!pulled.rows.is_empty() && pulled.rows.iter().all(|row| row.metrics.hold.is_none()));
    }

    #[tokio::test]
    async fn labels_are_names_and_traffic_without_an_entity_is_unknown() {
        let regions = Regions::of(Everflow::default());
        let query = query(&[Dimension::Campaign], OCTOBER_19, NOVEMBER_4, "UTC");
        let pulled = regions.pull(Pair::EverflowAdmin, &query).await.expect("a report");
        let names: BTreeSet<(&str, &str)> =
            pulled.rows.iter().map(|row| (row.key[0].id.as_str(), row.key[0].name.as_str())).collect();
        assert_eq!(names, [("70", "Campaign 70"), ("71", "Campaign 71"), ("unknown", "Unknown")].into());
    }
}

mod zones {
    use super::*;

    #[tokio::test]
    async fn a_zone_without_a_number_borrows_one_that_shows_the_same_time() {
        let everflow = Everflow::default();
        let regions = Regions::of(everflow.clone());
        for (zone, number) in [("Europe/Warsaw", 56), ("Asia/Calcutta", 31), ("America/Toronto", 80), ("Etc/UTC", 67)] {
            regions.us.forget();
            let query = query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, zone);
            assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
            assert_eq!(regions.reports()[0]["timezone_id"], number, "{zone}");
        }
    }

    #[tokio::test]
    async fn a_zone_with_no_twin_is_refused_before_anything_is_read() {
        let regions = Regions::of(Everflow::default());
        let query = query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, "Australia/Eucla");
        let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("no such zone");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.detail.contains("Australia/Eucla") && error.detail.contains("nearest is"), "{}", error.detail);
        assert!(regions.reports().is_empty());
    }

    #[tokio::test]
    async fn the_list_is_read_once_and_replaced_by_the_built_in_one_only_if_it_fails() {
        let everflow = Everflow::default();
        let regions = Regions::of(everflow.clone());
        regions.us.inject([Fault::Instead(Reply::json(404, &json!({ "error": "not here" })))]);
        let query = query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, "America/Chicago");
        let pulled = assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
        assert_eq!(
            pulled.warnings.iter().map(|warning| warning.code.key()).collect::<Vec<_>>(),
            ["timezone_list_unavailable"]
        );
        assert_eq!(regions.reports()[0]["timezone_id"], 85);
        for _ in 0..3 {
            let pulled = assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
            assert!(pulled.warnings.is_empty());
        }
        let lists = regions.asked().iter().filter(|call| call.ends_with("timezones")).count();
        assert_eq!(lists, 2, "the one that failed, and one for all the rest");
    }
}

mod row_cap {
    use super::*;

    #[tokio::test]
    async fn a_cut_report_is_asked_again_in_parts_that_lose_and_double_nothing() {
        for cap in [8, 10, 40, 150] {
            let everflow = playing(Reading { cap, ..Reading::default() });
            let regions = Regions::of(everflow.clone());
            for dimensions in [
                &[Dimension::Date, Dimension::Offer, Dimension::Affiliate][..],
                &[Dimension::Advertiser, Dimension::Offer],
                &[Dimension::Campaign, Dimension::Date, Dimension::Advertiser],
            ] {
                let query = query(dimensions, OCTOBER_19, NOVEMBER_4, "America/New_York");
                let pulled = assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
                assert_eq!(pulled.checks, [Check { against: Against::Independent, mismatch: None }]);
            }
        }
    }

    #[tokio::test]
    async fn a_full_table_is_never_used_even_if_nothing_says_that_it_is_cut() {
        let at: Timestamp = "2026-10-20T12:00:00Z".parse().expect("an instant");
        let mut facts = Vec::new();
        for place in 0..12_000 {
            let (offer, affiliate) = (1_000 + place / 100, 1 + place % 100);
            facts.push(Fact { at, offer, affiliate, campaign: None, country: "US", ..sample(1, 1)[0].clone() });
        }
        let reading = Reading { flag: Flag::Never, ..Reading::default() };
        let everflow = Everflow { facts, reading, ..Everflow::default() };
        let regions = Regions::of(everflow.clone());
        let query = query(&[Dimension::Offer, Dimension::Affiliate], date(2026, 10, 19), date(2026, 10, 20), "UTC");
        assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
        let reports = regions.reports();
        assert_eq!(reports[0]["to"], "2026-10-20");
        let parts: Vec<usize> = reports
            .iter()
            .map(|report| report["query"]["filters"].as_array().map(Vec::len).unwrap_or_default())
            .filter(|ids| *ids > 0)
            .collect();
        assert_eq!(parts, [100, 20, 50, 50], "120 offers, a hundred at a time, halved where still too many");
    }

    #[tokio::test]
    async fn rows_without_an_id_are_asked_for_by_excluding_the_others() {
        let everflow = playing(Reading { cap: 8, ..Reading::default() });
        let regions = Regions::of(everflow.clone());
        let query = query(&[Dimension::Campaign, Dimension::Offer], date(2026, 10, 28), date(2026, 10, 28), "UTC");
        assert_exact(&regions, &everflow.facts, Pair::EverflowAdmin, &query).await;
        let excluding = regions.reports().into_iter().find(|report| report["query"]["exclusions"] != json!([]));
        let exclusions = excluding.expect("such a part")["query"]["exclusions"].clone();
        assert_eq!(
            exclusions,
            json!([{ "resource_type": "campaign", "filter_id_value": "70" },
                   { "resource_type": "campaign", "filter_id_value": "71" }])
        );
    }

    #[tokio::test]
    async fn a_day_that_cannot_be_cut_down_fails_loudly() {
        let regions = Regions::of(playing(Reading { cap: 2, ..Reading::default() }));
        let query = query(&[Dimension::Country, Dimension::Date], OCTOBER_19, NOVEMBER_4, "UTC");
        let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("too many rows");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.detail.contains("more rows than Everflow hands out"), "{}", error.detail);
    }

    #[tokio::test]
    async fn a_part_that_is_not_what_it_was_cut_to_fails_loudly() {
        for (quirk, kind) in [
            (Quirk::DeafToFilters, ErrorKind::BadResponse),
            (Quirk::DeafToExclusions, ErrorKind::BadResponse),
            (Quirk::FirstFilterOnly, ErrorKind::Inconsistent),
        ] {
            let regions = Regions::of(quirky(quirk, Reading { cap: 11, ..Reading::default() }));
            let query = query(&[Dimension::Campaign, Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC");
            let outcome = regions.pull(Pair::EverflowAdmin, &query).await;
            assert_eq!(outcome.expect_err("an odd part").kind, kind, "{quirk:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_the_cap_a_report_is_exact_or_fails(
            seed in any::<u64>(), count in 0usize..500, cap in 1usize..60, length in 0i64..16,
            dimensions in prop::sample::subsequence(vec![Dimension::Date, Dimension::Hour, Dimension::Affiliate,
                Dimension::Offer, Dimension::Campaign, Dimension::Country], 1..=3).prop_shuffle(),
            hours in prop::sample::select(vec![HourIds::Instant, HourIds::OfDay]),
            flag in prop::sample::select(vec![Flag::Always, Flag::WhenTrue]),
            zone in prop::sample::select(vec!["UTC", "America/St_Johns", "Europe/Berlin", "America/Santiago"]),
        ) {
            let facts = sample(count, seed);
            let everflow = Everflow {
                facts: facts.clone(),
                reading: Reading { cap, hours, flag, ..Reading::default() },
                ..Everflow::default()
            };
            let query = query(&dimensions, OCTOBER_19, OCTOBER_19.saturating_add(length.days()), zone);
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let outcome = runtime.block_on(async {
                let regions = Regions::of(everflow);
                regions.pull(Pair::EverflowAdmin, &query).await
            });
            match outcome {
                Ok(pulled) => {
                    prop_assert_eq!(table(&pulled), expected(&facts, Pair::EverflowAdmin, &query, &query.dimensions));
                    prop_assert!(pulled.mismatches.is_empty(), "{:?}", pulled.checks);
                }
                Err(error) => prop_assert_eq!(error.kind, ErrorKind::Unsupported, "{}", error.detail),
            }
        }
    }
}

mod filters {
    use super::*;

    async fn assert_filtered(regions: &Regions, facts: &[Fact], query: &StatsQuery, group_by: &[Dimension]) -> Table {
        let pulled = regions.pull_by(Pair::EverflowAdmin, query, group_by).await.expect("a report");
        assert_eq!(table(&pulled), expected(facts, Pair::EverflowAdmin, query, group_by), "{query:?}");
        pulled
    }

    #[tokio::test]
    async fn one_id_goes_to_the_platform_and_several_are_picked_here() {
        let everflow = Everflow::default();
        let regions = Regions::of(everflow.clone());
        let all = || query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, "UTC");
        let group_by = [Dimension::Date];
        type Case<'a> = (&'a [(Dimension, &'a [&'a str])], Value);
        let cases: [Case<'_>; 7] = [
            (&[(Dimension::Offer, &["303"])], json!([{ "resource_type": "offer", "filter_id_value": "303" }])),
            (
                &[(Dimension::Affiliate, &["11"]), (Dimension::Advertiser, &["51"])],
                json!([{ "resource_type": "affiliate", "filter_id_value": "11" },
                       { "resource_type": "advertiser", "filter_id_value": "51" }]),
            ),
            (&[(Dimension::Offer, &["303", "305"])], json!([])),
            (&[(Dimension::Country, &["DE"])], json!([])),
            (&[(Dimension::Campaign, &["unknown"])], json!([])),
            (&[(Dimension::Offer, &["no-such-offer"])], json!([])),
            (&[(Dimension::Hour, &["07", "08"])], json!([])),
        ];
        for (filters, sent) in cases {
            regions.us.forget();
            assert_filtered(&regions, &everflow.facts, &filtered(all(), filters), &group_by).await;
            assert_eq!(regions.reports()[0]["query"]["filters"], sent, "{filters:?}");
        }
    }

    #[tokio::test]
    async fn a_filter_that_the_platform_ignores_is_kept_to_all_the_same() {
        let everflow = quirky(Quirk::DeafToFilters, Reading::default());
        let regions = Regions::of(everflow.clone());
        let all = query(&[Dimension::Advertiser], OCTOBER_19, NOVEMBER_4, "UTC");
        let one = filtered(all, &[(Dimension::Offer, &["303"])]);
        assert_filtered(&regions, &everflow.facts, &one, &[Dimension::Advertiser]).await;
    }

    #[tokio::test]
    async fn a_day_is_cut_only_by_the_ids_that_the_filter_lets_pass() {
        let everflow = playing(Reading { cap: 11, ..Reading::default() });
        let regions = Regions::of(everflow.clone());
        let day = date(2026, 10, 28);
        let all = query(&[Dimension::Offer, Dimension::Affiliate], day, day, "UTC");
        let some = filtered(all, &[(Dimension::Offer, &["303", "305", "9999"])]);
        let pulled = assert_filtered(&regions, &everflow.facts, &some, &some.dimensions).await;
        assert!(pulled.checks.is_empty(), "rows were left unread, so there is no total to compare with");
        assert!(regions.reports().iter().any(|report| {
            report["query"]["filters"]
                == json!([{ "resource_type": "offer", "filter_id_value": "303" },
                          { "resource_type": "offer", "filter_id_value": "305" }])
        }));
    }
}

mod currency {
    use super::*;

    async fn asked(regions: &Regions, pair: Pair, currency: Option<&str>) -> (String, Vec<&'static str>) {
        let road = regions.road(pair, key_of(pair));
        let with_currency = currency.into_iter().fold(road, |road, code| road.with_setting("currency", code));
        let query = query(&[Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC");
        let pulled = with_currency.pull(&query).await.expect("a report");
        let sent = regions.reports().last().expect("a report")["currency_id"].clone();
        assert!(pulled.rows.iter().all(|row| row.currency.is_some_and(|currency| sent == currency.as_str())));
        (sent.as_str().expect("a code").to_owned(), pulled.codes())
    }

    #[tokio::test]
    async fn amounts_are_asked_in_the_configured_currency_then_in_the_accounts_own() {
        for pair in [Pair::EverflowAdmin, Pair::EverflowAffiliate] {
            let regions = Regions::of(Everflow { default_currency: Some("EUR"), ..Everflow::default() });
            assert_eq!(asked(&regions, pair, Some("USD")).await, ("USD".to_owned(), vec![]));
            assert_eq!(asked(&regions, pair, None).await, ("EUR".to_owned(), vec![]));
            let regions = Regions::of(Everflow { default_currency: None, ..Everflow::default() });
            assert_eq!(asked(&regions, pair, None).await, ("USD".to_owned(), vec!["currency_not_configured"]));
        }
    }

    #[tokio::test]
    async fn a_currency_the_network_does_not_have_is_refused_in_its_own_words() {
        let regions = Regions::of(Everflow::default());
        let in_gold = regions.road(Pair::EverflowAdmin, NETWORK_KEY).with_setting("currency", "XAU");
        let query = query(&[Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC");
        let error = in_gold.pull(&query).await.expect_err("no such currency");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.detail.contains("currency_id is not valid"), "{}", error.detail);
    }
}

mod honesty {
    use super::*;

    fn offers() -> StatsQuery {
        query(&[Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC")
    }

    #[tokio::test]
    async fn the_rows_are_held_against_the_networks_own_total() {
        let regions = Regions::of(Everflow::default());
        let pulled = regions.pull(Pair::EverflowAdmin, &offers()).await.expect("a report");
        assert_eq!(pulled.checks, [Check { against: Against::Independent, mismatch: None }]);
        let regions = Regions::of(quirky(Quirk::LyingSummary, Reading::default()));
        let pulled = regions.pull(Pair::EverflowAdmin, &offers()).await.expect("a report");
        let mismatch = pulled.checks[0].mismatch.as_deref().expect("a mismatch");
        assert!(mismatch.starts_with("clicks: the rows add up to "), "{mismatch}");
    }

    #[tokio::test]
    async fn days_that_are_not_over_are_held_against_a_total_of_before_and_affiliates_against_nothing() {
        let regions = Regions::of(Everflow::default());
        let today = Zone::utc().date_at(Timestamp::now());
        let live = query(&[Dimension::Offer], today.saturating_sub(1.day()), today.saturating_add(1.day()), "UTC");
        let pulled = regions.pull(Pair::EverflowAdmin, &live).await.expect("a report");
        assert_eq!(pulled.checks, [Check { against: Against::Independent, mismatch: None }]);
        assert_eq!(regions.asked().iter().filter(|call| call.ends_with("summary")).count(), 1);
        assert!(regions.pull(Pair::EverflowAffiliate, &offers()).await.expect("a report").checks.is_empty());
        assert_eq!(regions.asked().iter().filter(|call| call.ends_with("summary")).count(), 1);
    }

    #[tokio::test]
    async fn a_total_that_cannot_be_read_leaves_good_rows_unchecked() {
        let regions = Regions::of(Everflow::default());
        regions.us.inject([Fault::None, Fault::None, Fault::Instead(Reply::json(404, &json!({ "error": "gone" })))]);
        let pulled = regions.pull(Pair::EverflowAdmin, &offers()).await.expect("a report");
        assert!(pulled.checks.is_empty() && !pulled.rows.is_empty());
    }

    #[tokio::test]
    async fn an_answer_that_is_not_what_was_asked_for_is_no_report() {
        let row = |columns: Value| json!({ "table": [{ "columns": columns, "reporting": { "cv": 1 } }] });
        let offer = json!({ "column_type": "offer", "id": "1", "label": "One" });
        let date_of = |id: &str| json!({ "column_type": "date", "id": id, "label": id });
        let by_offer = offers();
        let by_date = query(&[Dimension::Date], OCTOBER_19, NOVEMBER_4, "America/New_York");
        for (query, answer) in [
            (&by_offer, json!({ "incomplete_results": false })),
            (&by_offer, json!({ "table": {} })),
            (&by_offer, row(json!([]))),
            (&by_offer, row(json!([{ "column_type": "affiliate", "id": "1", "label": "One" }]))),
            (&by_offer, row(json!([offer, offer]))),
            (&by_offer, json!({ "table": [{ "columns": [offer], "reporting": { "cv": "many" } }] })),
            (&by_date, row(json!([date_of("1793500000")]))),
            (&by_date, row(json!([date_of("2026-11-05")]))),
            (&by_date, row(json!([date_of("1792296000")]))),
            (&by_date, row(json!([date_of("")]))),
        ] {
            let regions = Regions::of(Everflow::default());
            regions.us.inject([Fault::None, Fault::Instead(Reply::json(200, &answer))]);
            let error = regions.pull(Pair::EverflowAdmin, query).await.expect_err("no report");
            assert_eq!(error.kind, ErrorKind::BadResponse, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_row_that_comes_twice_is_refused() {
        let regions = Regions::of(quirky(Quirk::RepeatsItself, Reading::default()));
        for dimensions in [&[Dimension::Date, Dimension::Offer][..], &[Dimension::Offer], &[Dimension::Hour]] {
            let query = query(dimensions, OCTOBER_19, NOVEMBER_4, "UTC");
            let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("a repeated row");
            assert_eq!(
                (error.kind, error.detail.as_str()),
                (ErrorKind::BadResponse, "Everflow gave the same row twice.")
            );
        }
    }

    #[tokio::test]
    async fn a_failed_part_fails_the_report() {
        let regions = Regions::of(playing(Reading { cap: 20, ..Reading::default() }));
        regions.us.inject([
            Fault::None,
            Fault::None,
            Fault::Instead(Reply::json(403, &json!({ "Error": "Forbidden" }))),
        ]);
        let query = query(&[Dimension::Date, Dimension::Offer], OCTOBER_19, NOVEMBER_4, "UTC");
        let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("a failed part");
        assert_eq!(error.kind, ErrorKind::InsufficientPermissions);
    }

    #[tokio::test]
    async fn an_exhaustion_is_asked_again_once_and_then_for_less_at_a_time() {
        let exhausted = || Fault::Instead(Reply::json(400, &json!({ "code": 8, "message": "exhausted" })));
        let everflow = Everflow::default();
        let regions = Regions::of(everflow.clone());
        regions.us.inject([Fault::None, exhausted()]);
        assert_exact(&regions, &everflow.facts, Pair::EverflowAffiliate, &offers()).await;
        assert_eq!(regions.reports().len(), 2);
        // The same code means that the question is too large.
        regions.us.inject([exhausted(), exhausted()]);
        assert_exact(&regions, &everflow.facts, Pair::EverflowAffiliate, &offers()).await;
        assert!(regions.reports().len() > 4, "the halves are asked for");
        regions.us.always(Some(exhausted()));
        let error = regions.pull(Pair::EverflowAffiliate, &offers()).await.expect_err("nothing smaller is left");
        assert_eq!(error.kind, ErrorKind::RateLimited);
    }

    #[tokio::test]
    async fn a_bare_internal_error_blames_neither_the_question_nor_its_currency() {
        let regions = Regions::of(Everflow::default());
        regions.us.always(Some(Fault::Instead(Reply::json(400, &json!({ "Error": "Internal error" })))));
        let error = regions.pull(Pair::EverflowAffiliate, &offers()).await.expect_err("it failed inside");
        assert_eq!(error.kind, ErrorKind::Failing);
        assert!(!error.hint.unwrap_or_default().contains("currency"));
    }

    #[tokio::test]
    async fn throttling_is_waited_out() {
        let everflow = Everflow::default();
        let regions = Regions::of(everflow.clone());
        let throttled = Reply::json(429, &json!({ "Error": "Too Many Requests" })).with_header("retry-after", "0");
        regions.us.inject([Fault::Instead(throttled.clone()), Fault::None, Fault::Instead(throttled)]);
        let pulled = assert_exact(&regions, &everflow.facts, Pair::EverflowAffiliate, &offers()).await;
        assert!(pulled.warnings.is_empty());
    }

    #[tokio::test]
    async fn a_query_beyond_its_calls_is_refused_and_says_how_much_is_possible() {
        let mut regions = Regions::of(playing(Reading { hours: HourIds::OfDay, ..Reading::default() }));
        regions.max_calls = 10;
        let query = query(&[Dimension::Date, Dimension::Hour], OCTOBER_19, NOVEMBER_4, "UTC");
        let error = regions.pull(Pair::EverflowAdmin, &query).await.expect_err("17 days in 10 calls");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("8 days")), "{error:?}");
    }

    #[tokio::test]
    async fn what_the_connection_cannot_see_is_refused_before_any_report() {
        let regions = Regions::of(Everflow::default());
        for (pair, dimension) in [
            (Pair::EverflowAffiliate, Dimension::Affiliate),
            (Pair::EverflowAffiliate, Dimension::Campaign),
            (Pair::EverflowAdmin, Dimension::TrafficSource),
        ] {
            let query = query(&[dimension], OCTOBER_19, NOVEMBER_4, "UTC");
            let error = regions.pull(pair, &query).await.expect_err("no such column");
            assert_eq!(error.kind, ErrorKind::Unsupported);
        }
        let reports: Vec<Request> = regions.us.requests().into_iter().filter(|call| call.method == "POST").collect();
        assert!(reports.is_empty());
    }
}
