//! Voluum: sessions, both readings of its clock, spellings, paging, archived entities, and exact numbers throughout.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use affzero_connections::outbound::Purpose;
use affzero_connections::outbound::error::{ErrorKind, PlatformError};
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{
    DayOfConversion, Dimension, DimensionValue, Metric, MetricValue, Perspective, StatsQuery,
};
use affzero_connections::platforms::verification::{FailureCode, StageStatus, Verification, VerificationStatus};
use affzero_connections::platforms::{Gateways, Pair, Platform, Platforms, Settings, entry, origin};
use futures_util::future::join_all;
use jiff::civil::date;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::road::{Road, Table, platforms, query, range};
use crate::support::tracker::{Fault, Reply, Request, Simulator};
use crate::support::voluum::{ACCESS_ID, ACCESS_KEY, Clock, Hit, HourForm, Readings, TOKEN_PREFIX, Voluum, refusal};

/// A simulated Voluum, and a process that connects to it.
struct Simulated {
    tracker: Voluum,
    simulator: Simulator,
    process: Platforms,
}

impl Simulated {
    fn of(hits: Vec<Hit>, readings: Readings) -> Self {
        let tracker = Voluum::new(hits, readings);
        let simulator = Simulator::start(tracker.clone());
        let gateways = Gateways { voluum: simulator.url.clone(), ..Gateways::default() };
        Self { tracker, simulator, process: platforms(gateways, Duration::from_secs(10)) }
    }

    /// Without a currency.
    fn road(&self, key: &str) -> Road {
        let road = Road::new(Pair::VoluumAdmin).in_process(&self.process);
        road.with_credential("access_key_id", &format!(" {ACCESS_ID} ")).with_credential("access_key", key)
    }

    fn road_in_euros(&self) -> Road {
        self.road(ACCESS_KEY).with_setting("currency", "EUR")
    }

    async fn verify(&self, key: &str) -> Verification {
        self.road(key).verify().await
    }

    async fn pull(&self, group_by: &[Dimension], range: DateRange, zone: &str) -> Result<Table, PlatformError> {
        self.road_in_euros().pull(&query(group_by, range, zone)).await
    }

    fn reports(&self) -> Vec<Request> {
        self.simulator.requests().into_iter().filter(|request| request.path == "/report").collect()
    }

    /// Report calls that do not ask what the time is.
    fn tables(&self) -> Vec<Request> {
        self.reports().into_iter().filter(|request| request.param("tz") != Some("Etc/GMT-12")).collect()
    }
}

/// What adds up: impressions, visits, conversions, revenue and cost.
type Numbers = (i64, i64, i64, Decimal, Decimal);

/// What the hits come to, computed here from the definition of days and hours.
fn expected(hits: &[Hit], group_by: &[Dimension], range: DateRange, zone: &str) -> BTreeMap<Vec<String>, Numbers> {
    let zone = Zone::find(zone).expect("a zone");
    let named = |id: &str| if id.is_empty() { DimensionValue::UNKNOWN_ID.to_owned() } else { id.to_owned() };
    let mut sums = BTreeMap::<Vec<String>, Numbers>::new();
    for hit in hits.iter().filter(|hit| range.contains(zone.date_at(hit.at))) {
        let key = group_by
            .iter()
            .map(|dimension| match dimension {
                Dimension::Date => zone.date_at(hit.at).to_string(),
                Dimension::Hour => format!("{:02}", zone.rules().to_datetime(hit.at).hour()),
                Dimension::Campaign => named(&hit.campaign),
                Dimension::Offer => named(&hit.offer),
                Dimension::AffiliateNetwork => named(&hit.network),
                Dimension::TrafficSource => named(&hit.source),
                Dimension::Country => named(&hit.country),
                Dimension::Affiliate
                | Dimension::Advertiser
                | Dimension::Week
                | Dimension::Month
                | Dimension::Sub(_) => unreachable!("nothing that is asked of Voluum here"),
            })
            .collect();
        let sum = sums.entry(key).or_default();
        sum.0 += hit.impressions;
        sum.1 += hit.visits;
        sum.2 += hit.conversions;
        sum.3 += hit.revenue;
        sum.4 += hit.cost;
    }
    sums
}

/// The rows of a table by their ids; a key must not come twice.
fn found(table: &Table) -> BTreeMap<Vec<String>, Numbers> {
    let mut found = BTreeMap::new();
    for row in &table.rows {
        let key: Vec<String> = row.key.iter().map(|value| value.id.to_string()).collect();
        let metrics = &row.metrics;
        let numbers = (
            metrics.impressions.expect("impressions"),
            metrics.clicks.expect("clicks"),
            metrics.conversions.expect("conversions"),
            metrics.revenue.expect("revenue"),
            metrics.cost.expect("cost"),
        );
        assert!(found.insert(key.clone(), numbers).is_none(), "{key:?} came twice");
    }
    found
}

/// Two days of traffic in September around UTC's midnights, one hour in every three.
fn september() -> Vec<Hit> {
    let first: jiff::Timestamp = "2026-08-31T00:00:00Z".parse().expect("an instant");
    (0..32)
        .map(|place: i64| {
            let at = first + jiff::SignedDuration::from_hours(3 * place);
            let mut hit = Hit::new(&at.to_string(), &format!("{}", place % 4), place + 1);
            hit.country = if place % 3 == 0 { "DE".to_owned() } else { "US".to_owned() };
            hit
        })
        .collect()
}

const SEPTEMBER: (i16, i8) = (2026, 9);

fn first_two() -> DateRange {
    range(date(SEPTEMBER.0, SEPTEMBER.1, 1), date(SEPTEMBER.0, SEPTEMBER.1, 2))
}

const EVERY_DIMENSION: [Dimension; 7] = [
    Dimension::Date,
    Dimension::Hour,
    Dimension::Campaign,
    Dimension::Offer,
    Dimension::AffiliateNetwork,
    Dimension::TrafficSource,
    Dimension::Country,
];

fn nothing_leaks(text: &str) {
    let escaped = serde_json::to_string(ACCESS_KEY).expect("json");
    for secret in [ACCESS_ID, ACCESS_KEY, escaped.trim_matches('"'), TOKEN_PREFIX] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn a_good_key_is_verified_with_one_login_and_one_small_report() {
    let voluum = Simulated::of(september(), Readings::default());
    let verification = voluum.verify(ACCESS_KEY).await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert!(verification.stages.iter().all(|stage| stage.status != StageStatus::Failed));
    let requests = voluum.simulator.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/auth/access/session", "/report"]);
    let login: serde_json::Value = serde_json::from_slice(&requests[0].body).expect("json");
    assert_eq!(login, serde_json::json!({ "accessId": ACCESS_ID, "accessKey": ACCESS_KEY }));
    assert_eq!(requests[0].header("cwauth-token"), None);
    assert_eq!(requests[1].header("cwauth-token"), Some("canary-token-1"));
    assert_eq!(requests[1].header("authorization"), None);
    assert_eq!((requests[1].param("groupBy"), requests[1].param("limit")), (Some("campaign"), Some("1")));
}

#[tokio::test]
async fn a_verification_logs_in_anew_so_that_a_revoked_key_is_not_good_for_hours() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    voluum.verify(ACCESS_KEY).await;
    assert_eq!(voluum.tracker.logins(), 2);
    voluum.tracker.revoke_key();
    let failure = voluum.verify(ACCESS_KEY).await.failure.expect("a failure");
    assert_eq!(failure.code, FailureCode::CredentialsRejected);
}

#[tokio::test]
async fn a_wrong_key_is_rejected_with_a_pointer_to_it_and_without_being_quoted() {
    let voluum = Simulated::of(september(), Readings::default());
    let verification = voluum.verify("canary-access-key-/wrong").await;
    let failure = verification.failure.as_ref().expect("a failure");
    assert_eq!((verification.status, failure.code), (VerificationStatus::Failed, FailureCode::CredentialsRejected));
    assert_eq!(failure.pointer.as_deref(), Some("/credentials/access_key"));
    assert!(failure.detail.contains("BAD_CREDENTIALS"), "{}", failure.detail);
    assert!(failure.hint.contains("Access keys"), "{}", failure.hint);
    let everything = serde_json::to_string(&verification).expect("json");
    nothing_leaks(&everything);
    assert!(!everything.contains("canary"), "{everything}");
}

#[tokio::test]
async fn a_key_without_the_right_to_report_is_told_apart_and_its_token_is_not_quoted() {
    let voluum = Simulated::of(september(), Readings { may_report: false, ..Readings::default() });
    let verification = voluum.verify(ACCESS_KEY).await;
    let failure = verification.failure.as_ref().expect("a failure");
    assert_eq!(failure.code, FailureCode::InsufficientPermissions);
    assert!(failure.detail.contains("not with [secret]"), "{}", failure.detail);
    nothing_leaks(&serde_json::to_string(&verification).expect("json"));
}

#[tokio::test]
async fn throttling_is_known_by_its_code_whatever_the_status() {
    for status in [200, 400, 401, 403, 404] {
        let reply = refusal(status, "NUMBER_OF_REQUEST_FOR_IP_EXCEEDED", "slow down");
        let voluum = Simulated::of(september(), Readings { instead: Some(reply.clone()), ..Readings::default() });
        let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::RateLimited, "{status}");
        let verification = voluum.verify(ACCESS_KEY).await;
        assert_eq!(verification.status, VerificationStatus::Inconclusive);
        assert_eq!(verification.failure.map(|failure| failure.code), Some(FailureCode::RateLimited));

        let voluum = Simulated::of(september(), Readings::default());
        voluum.simulator.inject([Fault::Instead(reply)]);
        let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::RateLimited, "login, {status}");
    }
}

#[tokio::test]
async fn something_else_that_answers_is_not_voluum() {
    for reply in [
        Reply::html(200),
        Reply::html(404),
        Reply::text(200, "text/plain", "hello"),
        Reply::text(404, "text/plain", ""),
    ] {
        let voluum = Simulated::of(september(), Readings { instead: Some(reply.clone()), ..Readings::default() });
        let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::NotThisPlatform, "{reply:?}");
        let voluum = Simulated::of(september(), Readings::default());
        voluum.simulator.always(Some(Fault::Instead(reply)));
        let failure = voluum.verify(ACCESS_KEY).await.failure.expect("a failure");
        assert_eq!(failure.code, FailureCode::NotThisPlatform);
        assert_eq!(failure.pointer, None, "nobody enters Voluum's address");
    }
}

#[tokio::test]
async fn twenty_pulls_that_find_the_session_dead_at_once_cause_one_login() {
    let voluum = Simulated::of(september(), Readings::default());
    let all = || join_all((0..20).map(|_| voluum.pull(&[Dimension::Offer], first_two(), "UTC")));
    assert!(all().await.iter().all(Result::is_ok));
    assert_eq!(voluum.tracker.logins(), 1, "one session for all of the account's calls");
    voluum.tracker.kill_sessions();
    assert!(all().await.iter().all(Result::is_ok));
    assert_eq!(voluum.tracker.logins(), 2, "one more after its death");
}

#[tokio::test]
async fn twenty_pulls_that_find_the_key_revoked_at_once_ask_once_and_all_hear_the_answer() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    voluum.tracker.revoke_key();
    for outcome in join_all((0..20).map(|_| voluum.pull(&[Dimension::Offer], first_two(), "UTC"))).await {
        let error = outcome.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::CredentialsRejected);
        nothing_leaks(&format!("{error:?}"));
    }
    assert_eq!(voluum.tracker.logins(), 2);
}

#[tokio::test]
async fn a_session_refused_twice_in_a_row_is_the_keys_fault() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.tracker.distrust(1);
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("the second session is good");
    assert_eq!(voluum.tracker.logins(), 2);
    voluum.tracker.distrust(2);
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::CredentialsRejected);
    assert_eq!(voluum.tracker.logins(), 3);
    nothing_leaks(&format!("{error:?}"));
}

#[tokio::test]
async fn a_session_is_used_until_it_is_refused_where_its_end_is_not_known() {
    // Nothing said, or an end that is past already because clocks differ.
    for lifetime in [None, Some(-1)] {
        let voluum = Simulated::of(september(), Readings { lifetime, ..Readings::default() });
        for _ in 0..3 {
            voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
        }
        assert_eq!(voluum.tracker.logins(), 1, "{lifetime:?}");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_in_the_middle_of_a_login_holds_nobody_up() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.simulator.inject([Fault::Stall(Duration::from_secs(600))]);
    let asked = async {
        while voluum.simulator.requests().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = voluum.pull(&[Dimension::Offer], first_two(), "UTC") => panic!("the login does not come back"),
        () = asked => {}
    }
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
}

#[tokio::test]
async fn a_token_somebody_else_fetched_is_not_quoted_either() {
    let voluum = Simulated::of(september(), Readings { may_report: false, ..Readings::default() });
    for _ in 0..2 {
        let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::InsufficientPermissions);
        assert!(error.detail.contains("[secret]"), "{}", error.detail);
        nothing_leaks(&format!("{error:?}"));
    }
    assert_eq!(voluum.tracker.logins(), 1);
}

#[tokio::test]
async fn sessions_of_different_keys_are_kept_apart() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let stranger = voluum.road("another key");
    let error = stranger.pull(&query(&[Dimension::Offer], first_two(), "UTC")).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::CredentialsRejected, "a known ID alone opens nothing");
}

#[tokio::test]
async fn what_is_sent_names_everything_that_has_a_doubtful_default() {
    let voluum = Simulated::of(september(), Readings::default());
    voluum.pull(&[Dimension::Date, Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let reports = voluum.reports();
    let [request] = reports.as_slice() else { panic!("one call is enough: {reports:?}") };
    for (name, value) in [
        ("from", "2026-09-01T00:00:00Z"),
        ("to", "2026-09-03T00:00:00Z"),
        ("tz", "Etc/GMT"),
        ("include", "ALL"),
        ("conversionTimeMode", "VISIT"),
        ("sort", "offerId"),
        ("direction", "asc"),
        ("limit", "1000"),
        ("offset", "0"),
        ("currency", "EUR"),
    ] {
        assert_eq!(request.params(name), [value], "{name}");
    }
    assert_eq!(request.params("groupBy"), ["day", "offer"]);
    assert_eq!(
        request.params("column"),
        ["day", "offerId", "offerName", "impressions", "visits", "uniqueVisits", "conversions", "revenue", "cost"]
    );
}

#[tokio::test]
async fn every_dimension_alone_and_every_pair_is_exact_in_utc() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings::default());
    for (place, one) in EVERY_DIMENSION.into_iter().enumerate() {
        let mut groups = vec![vec![one]];
        groups.extend(EVERY_DIMENSION[place + 1..].iter().map(|other| vec![*other, one]));
        for group_by in groups {
            let table = voluum.pull(&group_by, first_two(), "UTC").await.expect("a table");
            assert_eq!(found(&table), expected(&hits, &group_by, first_two(), "UTC"), "{group_by:?}");
            assert_eq!((table.checks.len(), table.codes(), table.mismatches), (1, vec![], vec![]), "{group_by:?}");
        }
    }
}

#[tokio::test]
async fn visits_are_the_clicks_and_profit_is_a_media_buyers() {
    let voluum = Simulated::of(vec![Hit::new("2026-09-01T10:00:00Z", "a", 100)], Readings::default());
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let row = &table.rows[0];
    assert_eq!(row.key[0], DimensionValue::new("offer-a", "The offer-a"));
    let get = |metric| row.metrics.get(metric, Perspective::MediaBuyer);
    let decimal = |text: &str| Some(MetricValue::Decimal(text.parse().expect("a decimal")));
    assert_eq!(get(Metric::Clicks), Some(MetricValue::Integer(300)));
    assert_eq!(get(Metric::Revenue), decimal("1234.567"));
    assert_eq!(get(Metric::Profit), decimal("1201.267"));
    assert_eq!(get(Metric::Cr), decimal("0.166667"));
    for unknown in [Metric::Approved, Metric::Pending, Metric::Rejected, Metric::Hold, Metric::Payout] {
        assert_eq!(get(unknown), None, "{unknown}");
    }
}

#[tokio::test]
async fn archived_entities_keep_their_traffic_and_idle_ones_make_no_rows() {
    let mut archived = Hit::new("2026-09-01T10:00:00Z", "archived", 5);
    archived.archived = true;
    let idle = Hit::new("2026-01-01T10:00:00Z", "idle", 5);
    let hits = vec![archived, idle, Hit::new("2026-09-02T10:00:00Z", "active", 7)];
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let table = voluum.pull(&[Dimension::Campaign], first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table).into_keys().flatten().collect::<Vec<_>>(), ["campaign-active", "campaign-archived"]);
    assert_eq!(table.mismatches, Vec::<String>::new());
}

#[tokio::test]
async fn traffic_of_no_entity_stays_as_unknown() {
    let mut direct = Hit::new("2026-09-01T10:00:00Z", "a", 5);
    direct.network = String::new();
    let hits = vec![direct, Hit::new("2026-09-02T10:00:00Z", "b", 7)];
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let group_by = [Dimension::AffiliateNetwork];
    let table = voluum.pull(&group_by, first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &group_by, first_two(), "UTC"));
    assert!(table.rows.iter().any(|row| row.key[0] == DimensionValue::unknown()));
}

/// A page of rows by offer, each with one visit; `null` is an id like any other.
fn page(total: usize, offers: &[&str]) -> Reply {
    let row = |offer: &&str| {
        format!(
            r#"{{"offerId": {offer}, "visits": 1, "uniqueVisits": 1, "conversions": 0, "impressions": 0, "revenue": 0, "cost": 0}}"#
        )
    };
    let rows = offers.iter().map(row).collect::<Vec<_>>().join(",");
    Reply::text(200, "application/json", format!(r#"{{"totalRows": {total}, "rows": [{rows}]}}"#))
}

#[tokio::test]
async fn several_kinds_of_nothing_are_one_unknown_row() {
    let voluum = Simulated::of(Vec::new(), Readings::default());
    let pages = [page(5, &[r#""""#, r#""a""#]), page(5, &["null", r#"" ""#]), page(5, &[r#""b""#])];
    voluum.simulator.inject([Fault::None].into_iter().chain(pages.map(Fault::Instead)));
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let clicks: BTreeMap<String, i64> =
        found(&table).into_iter().map(|(key, numbers)| (key.concat(), numbers.1)).collect();
    assert_eq!(clicks, [("a", 1), ("b", 1), ("unknown", 3)].map(|(id, count)| (id.to_owned(), count)).into());
}

#[tokio::test]
async fn rows_that_all_lack_their_ids_are_refused_rather_than_merged() {
    let voluum =
        Simulated::of(Vec::new(), Readings { instead: Some(page(2, &["null", "null"])), ..Readings::default() });
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::BadResponse);
    assert_eq!(voluum.reports().len(), 2, "once with a list of columns, once without");
}

#[tokio::test]
async fn rows_of_one_key_on_one_page_are_added_up() {
    let voluum = Simulated::of(Vec::new(), Readings::default());
    voluum.simulator.inject([Fault::None, Fault::Instead(page(3, &[r#""a""#, r#""b""#, r#""a""#]))]);
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let clicks: Vec<i64> = found(&table).into_values().map(|numbers| numbers.1).collect();
    assert_eq!(clicks, [2, 1]);
}

#[tokio::test]
async fn the_fixtures_are_read_as_they_say() {
    let fixture =
        |status: u16, text: &str| Fault::Instead(Reply::text(status, "application/json; charset=utf-8", text));
    let voluum = Simulated::of(Vec::new(), Readings::default());
    voluum.simulator.inject([
        fixture(200, include_str!("../../fixtures/voluum/admin/session.json")),
        fixture(200, include_str!("../../fixtures/voluum/admin/stats_ok.json")),
        fixture(200, include_str!("../../fixtures/voluum/admin/stats_page_2.json")),
        fixture(200, include_str!("../../fixtures/voluum/admin/stats_empty.json")),
        fixture(400, include_str!("../../fixtures/voluum/admin/rate_limited.json")),
    ]);
    let group_by = [Dimension::Date, Dimension::Offer];
    let table = voluum.pull(&group_by, first_two(), "UTC").await.expect("a table");
    let read: Vec<String> = table
        .rows
        .iter()
        .map(|row| {
            let [day, offer] = row.key.as_slice() else { panic!("{row:?}") };
            let metrics = &row.metrics;
            let money = |amount: Option<Decimal>| amount.expect("an amount").normalize();
            format!(
                "{} {} {:?} {:?} {:?} {} {}",
                day.id,
                offer.name,
                metrics.impressions,
                metrics.clicks,
                metrics.unique_clicks,
                money(metrics.revenue),
                money(metrics.cost)
            )
        })
        .collect();
    assert_eq!(
        read,
        [
            "2026-09-01 Global – Sweepstake – DE Some(0) Some(200) Some(180) 36 10",
            "2026-09-02 Global – Sweepstake – DE Some(0) Some(121) Some(99) 25.705 9.89",
            "2026-09-01 Unknown None Some(12) Some(11) 0 0.36",
        ]
    );
    assert_eq!((table.checks.len(), table.mismatches), (1, vec![]));
    let empty = voluum.pull(&group_by, first_two(), "UTC").await.expect("a table");
    assert_eq!((empty.rows.len(), empty.checks.len()), (0, 1));
    let error = voluum.pull(&group_by, first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::RateLimited);

    let voluum = Simulated::of(Vec::new(), Readings::default());
    voluum.simulator.inject([fixture(401, include_str!("../../fixtures/voluum/admin/rejected.json"))]);
    let failure = voluum.verify(ACCESS_KEY).await.failure.expect("a failure");
    assert_eq!(failure.code, FailureCode::CredentialsRejected);
}

#[tokio::test]
async fn days_and_hours_of_any_zone_are_exact_under_both_readings_of_the_clock() {
    let hits = september();
    for clock in [Clock::Local, Clock::Utc] {
        let voluum = Simulated::of(hits.clone(), Readings { clock, ..Readings::default() });
        for zone in ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC", "Etc/GMT"] {
            for group_by in
                [&[Dimension::Date][..], &[Dimension::Hour], &[Dimension::Offer], &[Dimension::Hour, Dimension::Date]]
            {
                let table = voluum.pull(group_by, first_two(), zone).await.expect("a table");
                assert_eq!(
                    found(&table),
                    expected(&hits, group_by, first_two(), zone),
                    "{clock:?} {zone} {group_by:?}"
                );
                assert_eq!(table.codes(), Vec::<&str>::new());
            }
        }
        let asked_the_time = voluum.reports().len() - voluum.tables().len();
        assert_eq!(asked_the_time, 1, "the clock is asked for once");
    }
}

#[tokio::test]
async fn a_year_whose_ends_stand_on_utc_but_not_its_middle_is_exact_under_both_readings() {
    let first: jiff::Timestamp = "2025-01-01T00:00:00Z".parse().expect("an instant");
    let hits: Vec<Hit> = (0..1_500)
        .map(|place: i64| {
            Hit::new(&(first + jiff::SignedDuration::from_hours(6 * place)).to_string(), "a", place % 50 + 1)
        })
        .chain((0..300).map(|place: i64| {
            Hit::new(&(first + jiff::SignedDuration::from_hours(24 * place + 23)).to_string(), "a", place % 50 + 1)
        }))
        .collect();
    let range = range(date(2025, 1, 1), date(2025, 12, 31));
    for clock in [Clock::Local, Clock::Utc] {
        let voluum = Simulated::of(hits.clone(), Readings { clock, ..Readings::default() });
        for group_by in [&[Dimension::Date][..], &[Dimension::Offer]] {
            let table = voluum.pull(group_by, range, "Europe/London").await.expect("a table");
            assert_eq!(found(&table), expected(&hits, group_by, range, "Europe/London"), "{clock:?}");
        }
    }
}

#[tokio::test]
async fn half_hour_zones_are_exact_on_their_own_clock_and_refused_on_that_of_utc() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings::default());
    for zone in ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"] {
        let table = voluum.pull(&[Dimension::Date], first_two(), zone).await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &[Dimension::Date], first_two(), zone), "{zone}");
    }
    let voluum = Simulated::of(hits, Readings { clock: Clock::Utc, ..Readings::default() });
    let error = voluum.pull(&[Dimension::Date], first_two(), "Asia/Kolkata").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(voluum.tables().len(), 0);
}

#[tokio::test]
async fn days_on_which_the_clocks_change_are_exact() {
    for (zone, day) in [
        ("Europe/Berlin", date(2026, 3, 29)),
        ("Europe/Berlin", date(2026, 10, 25)),
        ("America/Santiago", date(2026, 9, 6)),
        ("America/Havana", date(2025, 11, 2)),
        ("Australia/Lord_Howe", date(2026, 4, 5)),
    ] {
        let start = Zone::find(zone).expect("a zone").start_of(day).expect("a start");
        let before = jiff::Timestamp::from_second(start.as_second() / 3600 * 3600).expect("an hour")
            - jiff::SignedDuration::from_hours(5);
        let hits: Vec<Hit> = (0..40)
            .map(|hour: i64| Hit::new(&(before + jiff::SignedDuration::from_hours(hour)).to_string(), "a", hour + 1))
            .collect();
        let range = DateRange::day(day);
        for clock in [Clock::Local, Clock::Utc] {
            let voluum = Simulated::of(hits.clone(), Readings { clock, ..Readings::default() });
            for group_by in [&[Dimension::Date][..], &[Dimension::Date, Dimension::Hour]] {
                match voluum.pull(group_by, range, zone).await {
                    Ok(table) => assert_eq!(found(&table), expected(&hits, group_by, range, zone), "{zone} {clock:?}"),
                    Err(error) => {
                        assert_eq!(
                            (error.kind, clock, zone),
                            (ErrorKind::Unsupported, Clock::Utc, "Australia/Lord_Howe")
                        );
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_clock_that_no_traffic_shows_is_stated() {
    let hits = vec![Hit::new("2026-09-15T11:00:00Z", "a", 3)];
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let range = range(date(2026, 9, 1), date(2026, 9, 30));
    let table = voluum.pull(&[Dimension::Date], range, "Europe/Berlin").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &[Dimension::Date], range, "Europe/Berlin"));
    assert_eq!(table.codes(), ["timezone_unproven"]);
}

#[tokio::test]
async fn a_day_that_was_not_asked_for_fails_the_report() {
    let body = r#"{"totalRows": 1, "rows": [{"day": "2026-09-03", "visits": 1, "uniqueVisits": 1, "conversions": 0, "impressions": 0, "revenue": 0, "cost": 0}]}"#;
    let reply = Reply::text(200, "application/json", body);
    let voluum = Simulated::of(Vec::new(), Readings { instead: Some(reply), ..Readings::default() });
    let error = voluum.pull(&[Dimension::Date], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::BadResponse);
    assert!(error.detail.contains("2026-09-03"), "{}", error.detail);
}

#[tokio::test]
async fn hours_are_read_in_every_form() {
    let hits = september();
    for hours in [HourForm::Number, HourForm::Digits, HourForm::Padded, HourForm::Time, HourForm::Span] {
        let voluum = Simulated::of(hits.clone(), Readings { hours, ..Readings::default() });
        let group_by = [Dimension::Hour];
        let table = voluum.pull(&group_by, first_two(), "Europe/Berlin").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &group_by, first_two(), "Europe/Berlin"), "{hours:?}");
    }
}

#[tokio::test]
async fn days_and_hours_that_do_not_group_together_are_asked_day_by_day() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings { hours_of_days: false, ..Readings::default() });
    let group_by = [Dimension::Hour, Dimension::Campaign, Dimension::Date];
    for _ in 0..2 {
        voluum.simulator.forget();
        let table = voluum.pull(&group_by, first_two(), "Europe/Berlin").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &group_by, first_two(), "Europe/Berlin"));
    }
    let asked: BTreeSet<String> =
        voluum.tables().iter().map(|request| request.param("from").unwrap_or_default().to_owned()).collect();
    assert_eq!(asked, ["2026-09-01T00:00:00Z", "2026-09-02T00:00:00Z"].map(str::to_owned).into());
    assert_eq!(voluum.tables().len(), 2, "the pair is not tried again");
}

#[tokio::test]
async fn other_spellings_are_found_out_once_for_each_account() {
    let hits = september();
    let unheard_of = ["campaign", "country-code", "trafficSourceId", "affiliateNetworkId", "hour-of-day", "offer"];
    let voluum = Simulated::of(hits.clone(), Readings { unheard_of: unheard_of.into(), ..Readings::default() });
    for group_by in [
        &[Dimension::Country, Dimension::Date, Dimension::Campaign][..],
        &[Dimension::TrafficSource, Dimension::AffiliateNetwork],
        &[Dimension::Hour, Dimension::Offer],
    ] {
        let table = voluum.pull(group_by, first_two(), "UTC").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, group_by, first_two(), "UTC"), "{group_by:?}");
        voluum.simulator.forget();
        voluum.pull(group_by, first_two(), "UTC").await.expect("a table");
        assert_eq!(voluum.reports().len(), 1, "{group_by:?} is remembered");
    }
}

#[tokio::test]
async fn a_grouping_refused_in_every_spelling_is_unsupported_in_voluums_words() {
    let unheard_of = ["offer", "offerId"];
    let voluum = Simulated::of(september(), Readings { unheard_of: unheard_of.into(), ..Readings::default() });
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("INVALID_QUERY"), "{}", error.detail);
    nothing_leaks(&format!("{error:?}"));
}

#[tokio::test]
async fn columns_that_a_list_of_columns_loses_are_fetched_without_one() {
    let hits = september();
    for lost in ["cost", "offerId", "uniqueVisits"] {
        let voluum = Simulated::of(hits.clone(), Readings { lost_columns: [lost].into(), ..Readings::default() });
        let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"), "{lost}");
        assert_eq!(voluum.reports().last().map(|request| request.params("column").len()), Some(0));
    }
}

#[tokio::test]
async fn a_sort_key_that_is_refused_gives_way_to_visits() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings { sorts_by_metrics_only: true, ..Readings::default() });
    for _ in 0..2 {
        voluum.simulator.forget();
        let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
    }
    let reports = voluum.reports();
    assert_eq!(reports.iter().map(|request| request.param("sort")).collect::<Vec<_>>(), [Some("visits")]);
    assert!(reports[0].params("column").contains(&"offerId"), "the list of columns does no harm");
}

#[tokio::test]
async fn a_large_limit_that_is_refused_becomes_a_small_one() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings { largest_limit: 500, ..Readings::default() });
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
    voluum.simulator.forget();
    voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    assert_eq!(voluum.reports().iter().map(|request| request.param("limit")).collect::<Vec<_>>(), [Some("500")]);
}

/// So many offers, each with one hour's traffic.
fn offers(count: usize) -> Vec<Hit> {
    (0..count)
        .map(|place| {
            Hit::new("2026-09-01T10:00:00Z", &format!("{place:05}"), i64::try_from(place % 97).expect("small") + 1)
        })
        .collect()
}

#[tokio::test]
async fn a_long_table_streams_through_and_is_whole() {
    let hits = offers(20_500);
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
    assert_eq!((table.checks.len(), table.mismatches), (1, vec![]));
    assert_eq!(voluum.reports().len(), 21);
}

#[tokio::test]
async fn a_long_table_that_moves_fails_rather_than_lose_a_row() {
    let voluum = Simulated::of(offers(20_500), Readings::default());
    voluum.tracker.arrives_before(5, Hit::new("2026-09-01T10:00:00Z", "00000-new", 1));
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Inconsistent);
}

#[tokio::test]
async fn a_short_table_that_moves_is_read_once_more() {
    let hits = offers(50);
    let new = |place: usize| Hit::new("2026-09-01T10:00:00Z", &format!("00000-{place}"), 1);
    let readings = Readings { most_rows: 20, ..Readings::default() };
    let voluum = Simulated::of(hits.clone(), readings.clone());
    voluum.tracker.arrives_before(2, new(1));
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let all: Vec<Hit> = hits.iter().cloned().chain([new(1)]).collect();
    assert_eq!(found(&table), expected(&all, &[Dimension::Offer], first_two(), "UTC"));

    let voluum = Simulated::of(hits, readings);
    // Two of three pages are asked for ahead, so the second reading begins with the fourth call.
    for call in [2, 5] {
        voluum.tracker.arrives_before(call, new(call));
    }
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Inconsistent);
}

#[tokio::test]
async fn a_row_that_comes_on_two_pages_is_noticed_even_if_the_count_is_right() {
    let voluum = Simulated::of(Vec::new(), Readings::default());
    let twice = || Fault::Instead(page(2, &[r#""a""#]));
    voluum.simulator.inject([Fault::None, twice(), twice(), twice(), twice()]);
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Inconsistent);
    assert!(error.detail.contains("twice"), "{}", error.detail);
}

#[tokio::test]
async fn totals_that_disagree_are_reported_and_not_hidden() {
    let voluum = Simulated::of(september(), Readings { wrong_totals: true, ..Readings::default() });
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    let [mismatch] = table.mismatches.as_slice() else { panic!("{:?}", table.mismatches) };
    assert!(mismatch.starts_with("2026-09-01 to 2026-09-02: visits of the rows add up to "), "{mismatch}");
}

#[tokio::test]
async fn a_table_said_to_be_cut_is_believed_only_if_its_totals_agree() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings { claims_truncation: true, ..Readings::default() });
    let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
    let voluum = Simulated::of(hits, Readings { claims_truncation: true, wrong_totals: true, ..Readings::default() });
    let error = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
}

#[tokio::test]
async fn long_ranges_are_cut_into_months_and_put_together_exactly() {
    let first: jiff::Timestamp = "2025-09-01T05:00:00Z".parse().expect("an instant");
    let hits: Vec<Hit> = (0..366)
        .map(|day: i64| {
            Hit::new(
                &(first + jiff::SignedDuration::from_hours(24 * day)).to_string(),
                &format!("{}", day % 5),
                day + 1,
            )
        })
        .collect();
    let range = range(date(2025, 9, 1), date(2026, 9, 1));
    let voluum = Simulated::of(hits.clone(), Readings::default());
    for group_by in [&[Dimension::Offer][..], &[Dimension::Date], &[Dimension::Hour]] {
        voluum.simulator.forget();
        let table = voluum.pull(group_by, range, "America/New_York").await.expect("a table");
        assert_eq!(found(&table), expected(&hits, group_by, range, "America/New_York"), "{group_by:?}");
        assert_eq!((voluum.tables().len(), table.checks.len()), (12, 12));
    }
}

#[tokio::test]
async fn a_failed_window_fails_the_whole_report() {
    let voluum = Simulated::of(september(), Readings::default());
    let range = range(date(2026, 8, 1), date(2026, 9, 30));
    voluum.simulator.inject([Fault::None, Fault::None, Fault::Instead(refusal(418, "TEAPOT", "no"))]);
    let error = voluum.pull(&[Dimension::Offer], range, "UTC").await.expect_err("a refusal");
    assert!(error.detail.contains("TEAPOT"), "{}", error.detail);
}

#[tokio::test]
async fn a_report_of_too_many_calls_is_refused_with_the_longest_that_works() {
    let voluum = Simulated::of(september(), Readings::default());
    let few = Road { max_calls: 3, ..voluum.road(ACCESS_KEY) };
    let range = range(date(2026, 1, 1), date(2026, 9, 30));
    let error = few.pull(&query(&[Dimension::Offer], range, "UTC")).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("at most 62 days")), "{:?}", error.hint);
    assert_eq!(voluum.simulator.requests().len(), 0, "nothing is read in vain");
}

#[tokio::test]
async fn the_currency_is_asked_for_and_stated_or_said_to_be_unknown() {
    let voluum = Simulated::of(vec![Hit::new("2026-09-01T10:00:00Z", "a", 100)], Readings::default());
    let revenue_in = async |currency: Option<&str>| {
        let plain = voluum.road(ACCESS_KEY);
        let asked = currency.into_iter().fold(plain, |road, code| road.with_setting("currency", code));
        let table = asked.pull(&query(&[Dimension::Offer], first_two(), "UTC")).await.expect("a table");
        let row = &table.rows[0];
        (
            row.metrics.revenue.expect("revenue").normalize().to_string(),
            row.currency.map(|code| code.as_str().to_owned()),
            table.codes(),
        )
    };
    assert_eq!(revenue_in(Some("USD")).await, ("1543.20875".to_owned(), Some("USD".to_owned()), vec![]));
    assert_eq!(revenue_in(None).await, ("1234.567".to_owned(), None, vec!["currency_unknown"]));
    assert_eq!(voluum.reports().last().map(|request| request.params("currency").len()), Some(0));
}

#[tokio::test]
async fn filters_are_applied_exactly_to_what_comes() {
    let hits = september();
    let voluum = Simulated::of(hits.clone(), Readings::default());
    let query = StatsQuery {
        filters: [(Dimension::Country, ["DE".into()].into())].into(),
        ..query(&[Dimension::Offer, Dimension::Country], first_two(), "UTC")
    };
    let table = voluum.road_in_euros().pull_by(&query, &[Dimension::Offer]).await.expect("a table");
    let german: Vec<Hit> = hits.into_iter().filter(|hit| hit.country == "DE").collect();
    assert_eq!(found(&table), expected(&german, &[Dimension::Offer], first_two(), "UTC"));
}

#[test]
fn the_catalogue_tells_what_voluum_can() {
    let voluum = entry(Platform::Voluum).expect("an entry");
    let [admin] = voluum.connection_types.as_slice() else { panic!("Voluum has one connection type") };
    let listed = admin.dimensions.iter().map(|dimension| dimension.key);
    let native = listed.filter(|dimension| dimension.source() == *dimension && !dimension.is_sub_id());
    let dimensions: Vec<Dimension> = native.collect();
    assert_eq!(dimensions.iter().copied().collect::<BTreeSet<_>>(), EVERY_DIMENSION.into());
    let clicks = admin.metrics.iter().find(|metric| metric.key == Metric::Clicks).expect("clicks");
    assert_eq!(clicks.native, "visits");
    for unavailable in [Metric::Approved, Metric::Pending, Metric::Rejected, Metric::Hold, Metric::Payout] {
        assert!(admin.unavailable_metrics.contains(&unavailable), "{unavailable}");
    }
    assert_eq!(admin.credentials_schema["required"], serde_json::json!(["access_key_id", "access_key"]));
    assert_eq!(admin.settings_schema["required"], serde_json::json!([]));
    let gateways = Gateways { voluum: "https://api.voluum.com".to_owned(), ..Gateways::default() };
    let origin = origin(Pair::VoluumAdmin, &Settings::new(), &gateways);
    assert_eq!(origin.as_deref(), Some("https://api.voluum.com"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn paging_loses_and_doubles_nothing_whatever_the_page_size(rows in 0usize..90, page in 1usize..40, unknown in 0usize..3) {
        let mut hits = offers(rows);
        for hit in hits.iter_mut().take(unknown) {
            hit.offer = String::new();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (table, calls) = runtime.block_on(async {
            let voluum = Simulated::of(hits.clone(), Readings { most_rows: page, ..Readings::default() });
            let table = voluum.pull(&[Dimension::Offer], first_two(), "UTC").await.expect("a table");
            (table, voluum.reports().len())
        });
        prop_assert_eq!(found(&table), expected(&hits, &[Dimension::Offer], first_two(), "UTC"));
        let distinct = hits.iter().map(|hit| &hit.offer).collect::<BTreeSet<_>>().len();
        prop_assert_eq!(calls, distinct.div_ceil(page).max(1));
        prop_assert_eq!(table.mismatches, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_conversion_counts_on_the_day_that_the_settings_choose_and_the_answer_says_which() {
    let late = Hit { matures_after: 48, ..Hit::new("2026-09-01T10:00:00Z", "a", 3) };
    let voluum = Simulated::of(vec![late.clone()], Readings::default());
    let days = range(date(2026, 9, 1), date(2026, 9, 3));
    for (time, day, counts_on) in [
        (None, "2026-09-01", DayOfConversion::Click),
        (Some("visit"), "2026-09-01", DayOfConversion::Click),
        (Some("postback"), "2026-09-03", DayOfConversion::Conversion),
    ] {
        let plain = voluum.road(ACCESS_KEY);
        let asked = time.into_iter().fold(plain, |road, time| road.with_setting("conversion_time", time));
        let query = query(&[Dimension::Date], days, "UTC");
        let table = asked.pull(&query).await.expect("a table");
        let converted = table.rows.iter().filter(|row| row.metrics.conversions > Some(0));
        let converted: Vec<&str> = converted.map(|row| row.key[0].id.as_str()).collect();
        assert_eq!(converted, [day], "{time:?}");
        assert_eq!(table.mismatches, Vec::<String>::new());
        assert_eq!(asked.open(Purpose::Pull).terms(&query).day_of_conversion, counts_on);
    }
}

#[tokio::test]
async fn what_is_refused_as_too_much_is_asked_for_in_smaller_pieces_from_then_on() {
    let hits: Vec<Hit> = (0..20 * 24)
        .map(|hour| {
            let at = "2026-09-01T00:00:00Z".parse::<Timestamp>().expect("an instant") + hour.hours();
            Hit::new(&at.to_string(), if hour % 2 == 0 { "a" } else { "b" }, hour % 9 + 1)
        })
        .collect();
    let readings = Readings { largest_limit: 60, most_days_by_hour: 7, ..Readings::default() };
    let voluum = Simulated::of(hits.clone(), readings);
    let (group_by, days) = ([Dimension::Date, Dimension::Hour], range(date(2026, 9, 1), date(2026, 9, 20)));
    let table = voluum.pull(&group_by, days, "UTC").await.expect("a table");
    assert_eq!(found(&table), expected(&hits, &group_by, days, "UTC"));
    // Now that it is known, nothing is refused any more.
    let before = voluum.tables().len();
    voluum.pull(&group_by, days, "UTC").await.expect("a table");
    let limits: Vec<String> =
        voluum.tables()[before..].iter().map(|request| request.param("limit").unwrap_or_default().to_owned()).collect();
    assert!(!limits.is_empty() && limits.iter().all(|limit| limit == "50"), "{limits:?}");
}
