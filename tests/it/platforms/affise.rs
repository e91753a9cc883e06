//! Affise: both portals against a simulated network, what is sent and what comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use affzero_connections::outbound::Purpose;
use affzero_connections::outbound::error::{ErrorKind, Stage};
use affzero_connections::platforms::assemble::assemble;
use affzero_connections::platforms::stats::{Dimension, Metrics, Row, StatsQuery};
use affzero_connections::platforms::verification::{
    Detected, FailureCode, StageStatus, Verification, VerificationStatus,
};
use affzero_connections::platforms::{ConnectionType, Pair};
use futures_util::StreamExt;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::road::{Road, Table, code, ids, query, range};
use crate::support::affise::{ADMIN_KEY, ADVERTISER_KEY, AFFILIATE_KEY, Affise, NetworkMoney, Numbers, Owner};
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

const FROM: Date = date(2026, 9, 7);
const TO: Date = date(2026, 9, 13);

fn admin(simulator: &Simulator) -> Road {
    Road::to(Pair::AffiseAdmin, &simulator.url, ADMIN_KEY)
}

fn affiliate(simulator: &Simulator) -> Road {
    Road::to(Pair::AffiseAffiliate, &simulator.url, AFFILIATE_KEY)
}

/// A question without filters.
fn ask(dimensions: &[&str], from: Date, to: Date, zone: &str) -> StatsQuery {
    let dimensions: Vec<Dimension> = dimensions.iter().map(|key| key.parse().expect("a dimension")).collect();
    query(&dimensions, range(from, to), zone)
}

/// A network whose answers are changed on their way.
struct Twisted<F>(Affise, F);

impl<F: Fn(&Request, Reply) -> Reply + Send + Sync + 'static> Tracker for Twisted<F> {
    fn answer(&self, request: &Request) -> Reply {
        (self.1)(request, self.0.answer(request))
    }
}

/// Changes the JSON of statistics.
fn twist(change: impl Fn(&Request, &mut Value) + Send + Sync + 'static) -> Simulator {
    twist_network(Affise::default(), change)
}

fn twist_network(network: Affise, change: impl Fn(&Request, &mut Value) + Send + Sync + 'static) -> Simulator {
    Simulator::start(Twisted(network, move |request: &Request, mut reply: Reply| {
        if request.path == "/3.0/stats/custom" {
            let mut body = serde_json::from_slice(&reply.body).expect("JSON");
            change(request, &mut body);
            reply.body = body.to_string().into_bytes();
        }
        reply
    }))
}

fn statistics(simulator: &Simulator) -> Vec<Request> {
    simulator.requests().into_iter().filter(|request| request.path == "/3.0/stats/custom").collect()
}

/// What a row says of numbers that add up. Unique clicks do not.
fn additive(metrics: Metrics) -> Metrics {
    Metrics { unique_clicks: None, ..metrics }
}

/// What a row must say, computed from the traffic itself.
fn metrics(owner: Owner, numbers: &Numbers) -> Metrics {
    let money = |amount| Some(Decimal::new(amount, 4));
    let (revenue, payout) = match owner {
        Owner::Affiliate => (money(numbers.confirmed.revenue), None),
        _ => (money(numbers.confirmed.charge), money(numbers.confirmed.revenue)),
    };
    Metrics {
        impressions: Some(numbers.views),
        clicks: Some(numbers.clicks),
        unique_clicks: None,
        conversions: Some(numbers.conversions()),
        approved: Some(numbers.confirmed.count),
        pending: Some(numbers.pending.count),
        rejected: Some(numbers.declined.count),
        hold: Some(numbers.hold.count),
        revenue,
        payout,
        cost: None,
    }
}

fn expected(
    network: &Affise,
    owner: Owner,
    dimensions: &[&str],
    from: Date,
    to: Date,
    zone: &str,
) -> BTreeMap<Vec<String>, Metrics> {
    let sums = network.expected(owner, dimensions, from, to, zone);
    sums.into_iter().map(|(key, numbers)| (key, metrics(owner, &numbers))).collect()
}

fn table(rows: Vec<Row>) -> BTreeMap<Vec<String>, Metrics> {
    let count = rows.len();
    let table: BTreeMap<_, _> = rows.into_iter().map(|row| (ids(&row), additive(row.metrics))).collect();
    assert_eq!(table.len(), count, "every key comes once");
    table
}

fn stage(verification: &Verification, name: Stage) -> StageStatus {
    verification.stages.iter().find(|stage| stage.name == name).expect("a stage").status
}

// Statistics.

#[tokio::test]
async fn every_grouping_of_the_network_adds_up_in_any_zone() {
    let network = Affise::default();
    let simulator = Simulator::start(network.clone());
    for dimensions in [
        &["date"][..],
        &["hour"],
        &["date", "affiliate"],
        &["date", "offer"],
        &["advertiser", "date"],
        &["country"],
        &["hour", "country", "affiliate"],
        &["date", "hour", "affiliate", "offer"],
    ] {
        for zone in ["UTC", "Pacific/Kiritimati", "America/St_Johns", "Pacific/Pago_Pago"] {
            let rows = admin(&simulator).pull(&ask(dimensions, FROM, TO, zone)).await.expect("a report").rows;
            assert_eq!(
                table(rows),
                expected(&network, Owner::Network, dimensions, FROM, TO, zone),
                "{dimensions:?} {zone}"
            );
        }
    }
}

#[tokio::test]
async fn an_affiliate_sees_its_own_earnings_whatever_stands_in_the_networks_fields() {
    for network_money in [NetworkMoney::Zero, NetworkMoney::Absent, NetworkMoney::SameAsRevenue] {
        let network = Affise { network_money, ..Affise::default() };
        let simulator = Simulator::start(network.clone());
        for dimensions in [&["date"][..], &["offer", "date"], &["hour"], &["country"]] {
            let rows =
                affiliate(&simulator).pull(&ask(dimensions, FROM, TO, "Asia/Kathmandu")).await.expect("a report").rows;
            assert_eq!(table(rows), expected(&network, Owner::Affiliate, dimensions, FROM, TO, "Asia/Kathmandu"));
        }
    }
}

#[tokio::test]
async fn only_documented_parameters_are_sent_and_the_key_stands_in_the_header_alone() {
    let simulator = Simulator::start(Affise::default());
    admin(&simulator).pull(&ask(&["affiliate", "date", "hour"], FROM, FROM, "Europe/Berlin")).await.expect("a report");
    let requests = simulator.requests();
    let [request] = requests.as_slice() else { panic!("one page is one call: {requests:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/3.0/stats/custom"));
    assert_eq!(request.header("api-key"), Some(ADMIN_KEY));
    let query: Vec<(&str, &str)> = request.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        query,
        [
            ("slice[]", "affiliate"),
            ("slice[]", "year"),
            ("slice[]", "month"),
            ("slice[]", "day"),
            ("slice[]", "hour"),
            ("order[]", "year"),
            ("order[]", "month"),
            ("order[]", "day"),
            ("order[]", "hour"),
            ("filter[date_from]", "2026-09-07"),
            ("filter[date_to]", "2026-09-07"),
            ("timezone", "Europe/Berlin"),
            ("page", "1"),
            ("limit", "500"),
        ]
    );
}

#[tokio::test]
async fn an_affiliates_key_never_asks_for_the_networks_slices() {
    let simulator = Simulator::start(Affise::default());
    for dimension in ["affiliate", "advertiser", "campaign"] {
        let error = affiliate(&simulator).pull(&ask(&[dimension], FROM, TO, "UTC")).await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::Unsupported, "{dimension}");
    }
    assert!(simulator.requests().is_empty());
}

#[tokio::test]
async fn a_year_is_asked_in_windows_of_ninety_days_and_adds_up() {
    let network = Affise::default();
    let simulator = Simulator::start(network.clone());
    let (from, to) = (date(2026, 1, 1), date(2026, 12, 31));
    for dimensions in [&["date", "affiliate"][..], &["affiliate"], &["hour"]] {
        simulator.forget();
        let rows = admin(&simulator).pull(&ask(dimensions, from, to, "UTC")).await.expect("a report").rows;
        assert_eq!(table(rows), expected(&network, Owner::Network, dimensions, from, to, "UTC"), "{dimensions:?}");
        let mut starts: Vec<String> = statistics(&simulator)
            .iter()
            .filter_map(|request| request.param("filter[date_from]").map(str::to_owned))
            .collect();
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts, ["2026-01-01", "2026-04-01", "2026-06-30", "2026-09-28", "2026-12-27"]);
    }
}

#[tokio::test]
async fn a_network_that_answers_shorter_ranges_only_is_asked_for_half() {
    let network = Affise { longest_range: 45, ..Affise::default() };
    let simulator = Simulator::start(network.clone());
    let (from, to) = (date(2026, 8, 1), date(2026, 10, 29));
    let query = ask(&["affiliate"], from, to, "UTC");
    let rows = admin(&simulator).pull(&query).await.expect("a report").rows;
    assert_eq!(table(rows), expected(&network, Owner::Network, &["affiliate"], from, to, "UTC"));
    assert_eq!(statistics(&simulator).len(), 3);

    let simulator = Simulator::start(Affise { longest_range: 7, ..Affise::default() });
    let error = admin(&simulator).pull(&query).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("the range of dates is not valid"), "{error}");
}

#[tokio::test]
async fn the_first_page_is_out_before_the_last_one_is_asked_for() {
    let simulator = Simulator::start(Affise { rows_per_page: 10, ..Affise::default() });
    let client = admin(&simulator).open(Purpose::Pull);
    let query = ask(&["date", "hour", "affiliate"], FROM, TO, "UTC");
    let report = client.stats(&query).await.expect("a report");
    assert!(report.unique_keys);
    let mut batches = assemble(&query, &query.dimensions, report, 1);
    let first = batches.next().await.expect("a batch").expect("rows");
    assert!(!first.rows.is_empty());
    assert_eq!(statistics(&simulator).len(), 1);
}

#[tokio::test]
async fn the_first_window_is_out_while_the_others_are_being_opened() {
    let simulator = Simulator::start(Affise::default());
    let client = admin(&simulator).open(Purpose::Pull);
    let query = ask(&["affiliate"], date(2026, 1, 1), date(2026, 12, 31), "UTC");
    // The first call is answered, the others are not for as long as this test runs.
    simulator.inject([Fault::None]);
    simulator.always(Some(Fault::Stall(Duration::from_secs(3_600))));
    let first = async {
        let mut report = client.stats(&query).await.expect("a report");
        assert!(!report.unique_keys, "an affiliate has a row in every window");
        report.batches.next().await.expect("a batch").expect("rows")
    };
    tokio::time::timeout(Duration::from_secs(10), first).await.expect("nobody waits for the other windows");
}

#[tokio::test]
async fn windows_that_turn_out_too_long_after_a_short_first_one_end_in_an_error() {
    let simulator = Simulator::start(Affise { rows_per_page: 10, ..Affise::default() });
    let mut road = admin(&simulator);
    // The first window has no traffic, and therefore one page.
    road.max_calls = 20;
    let query = ask(&["date", "hour", "affiliate"], date(2026, 4, 1), date(2026, 12, 1), "UTC");
    let error = road.pull(&query).await.expect_err("not a part of the report");
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert!(statistics(&simulator).len() <= 20);
}

#[tokio::test]
async fn a_report_that_nobody_reads_on_keeps_no_place_at_the_tracker() {
    let simulator = Simulator::start(Affise { rows_per_page: 2, ..Affise::default() });
    simulator.always(Some(Fault::Stall(Duration::from_millis(20))));
    let client = admin(&simulator).open(Purpose::Pull);
    let query = ask(&["date", "hour", "affiliate"], FROM, TO, "UTC");
    let mut slow = client.stats(&query).await.expect("a report");
    for _ in 0..2 {
        slow.batches.next().await.expect("a page").expect("rows");
    }
    // Further pages are fetched ahead by now, and nobody looks at them.
    let others = tokio::time::timeout(Duration::from_secs(10), client.stats(&query));
    let mut other = others.await.expect("a place").expect("a report");
    other.batches.next().await.expect("a page").expect("rows");
}

#[tokio::test]
async fn a_removed_affiliate_is_kept_as_unknown_and_several_of_them_are_one_row() {
    let network = Affise::default();
    let simulator = Simulator::start(network.clone());
    let rows = admin(&simulator).pull(&ask(&["affiliate"], FROM, TO, "UTC")).await.expect("a report").rows;
    let unknown = rows.iter().find(|row| ids(row) == ["unknown"]).expect("the removed ones");
    let sums = network.expected(Owner::Network, &["affiliate"], FROM, TO, "UTC");
    assert_eq!(unknown.metrics, metrics(Owner::Network, &sums[&vec!["unknown".to_owned()]]));
    assert_eq!(unknown.key[0].name, "Unknown");
    let named = rows.iter().find(|row| ids(row) == ["71"]).expect("affiliate 71");
    assert_eq!(named.key[0].name, "Affiliate 71");
}

#[tokio::test]
async fn impressions_that_are_switched_off_are_unknown_and_rows_without_conversions_are_zero() {
    let mut network = Affise { impressions: false, empty_actions: true, totals: false, ..Affise::default() };
    for hour in network.traffic.iter_mut().filter(|hour| hour.offer == 907) {
        hour.numbers = Numbers { clicks: 5, hosts: 4, ..Numbers::default() };
    }
    let simulator = Simulator::start(network.clone());
    let rows = admin(&simulator).pull(&ask(&["offer"], FROM, TO, "UTC")).await.expect("a report").rows;
    let mut sums = expected(&network, Owner::Network, &["offer"], FROM, TO, "UTC");
    sums.values_mut().for_each(|metrics| metrics.impressions = None);
    assert_eq!(table(rows), sums);
}

#[tokio::test]
async fn rows_are_labelled_with_the_chosen_currency_else_the_detected_one_else_none() {
    let simulator = Simulator::start(Affise::default());
    let query = ask(&["date"], FROM, FROM, "UTC");
    let mut road = admin(&simulator);
    let currency = |table: Table| table.rows[0].currency.map(|currency| currency.as_str().to_owned());
    assert_eq!(currency(road.pull(&query).await.expect("a report")), None);
    road.detected = Detected { currency: Some("EUR".to_owned()), ..Detected::default() };
    assert_eq!(currency(road.pull(&query).await.expect("a report")).as_deref(), Some("EUR"));
    road.settings.push(("currency", "BRL".to_owned()));
    assert_eq!(currency(road.pull(&query).await.expect("a report")).as_deref(), Some("BRL"));
}

#[tokio::test]
async fn a_report_of_too_many_calls_is_refused_before_they_are_made() {
    let simulator = Simulator::start(Affise { rows_per_page: 10, ..Affise::default() });
    let mut road = admin(&simulator);
    road.max_calls = 5;
    let error = road.pull(&ask(&["date", "hour", "affiliate"], FROM, TO, "UTC")).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("even one day") || error.detail.contains("days work"), "{error}");
    assert_eq!(statistics(&simulator).len(), 1);

    let error = road.pull(&ask(&["date", "affiliate"], FROM, date(2026, 10, 3), "UTC")).await.expect_err("a refusal");
    let days =
        error.detail.split_once("up to ").and_then(|(_, rest)| rest.split_once(' ')).expect("the longest range").0;
    let days: i64 = days.parse().expect("a number of days");
    let last = FROM.saturating_add(jiff::Span::new().days(days - 1));
    road.pull(&ask(&["date", "affiliate"], FROM, last, "UTC")).await.expect("the range named works");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn paging_at_any_size_loses_and_doubles_nothing(rows_per_page in 1usize..40, days in 0i32..4, totals: bool) {
        let network = Affise { rows_per_page, totals, ..Affise::default() };
        let simulator = Simulator::start(network.clone());
        let to = FROM.saturating_add(jiff::Span::new().days(days));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dimensions = ["date", "affiliate", "offer", "country"];
        let rows = runtime.block_on(admin(&simulator).pull(&ask(&dimensions, FROM, to, "Asia/Kolkata"))).expect("a report").rows;
        prop_assert_eq!(table(rows), expected(&network, Owner::Network, &dimensions, FROM, to, "Asia/Kolkata"));
    }
}

// Faults of statistics.

#[tokio::test]
async fn passing_faults_are_ridden_out() {
    let network = Affise::default();
    let simulator = Simulator::start(network.clone());
    for fault in [
        Fault::Instead(Reply::text(429, "text/plain", "slow down").with_header("retry-after", "0")),
        Fault::Instead(Reply::json(500, &json!({"status": 2, "message": "Server error"}))),
        Fault::Instead(Reply::html(502)),
        Fault::Cut,
    ] {
        simulator.forget();
        simulator.inject([fault]);
        let rows = admin(&simulator).pull(&ask(&["date"], FROM, TO, "UTC")).await.expect("a report").rows;
        assert_eq!(table(rows), expected(&network, Owner::Network, &["date"], FROM, TO, "UTC"));
        assert_eq!(simulator.requests().len(), 2);
    }
}

#[tokio::test]
async fn lasting_faults_are_named_by_their_cause_and_never_with_the_key() {
    let says = |status, text: &str| Reply::json(status, &json!({"status": 2, "error": text}));
    let echo = format!("no access for {ADMIN_KEY}");
    for (reply, kind) in [
        (says(401, "Token is necessary"), ErrorKind::CredentialsRejected),
        (says(200, "Token is necessary"), ErrorKind::CredentialsRejected),
        (says(403, &echo), ErrorKind::InsufficientPermissions),
        (says(200, "Auth Denied"), ErrorKind::InsufficientPermissions),
        (says(403, "IP is not allowed"), ErrorKind::IpNotAllowed),
        (says(404, "Resource Not Found"), ErrorKind::NotThisPlatform),
        (says(400, &echo), ErrorKind::Unsupported),
        (says(200, &echo), ErrorKind::BadResponse),
        (says(500, &echo), ErrorKind::Failing),
        (Reply::json(200, &json!({"status": 2, "message": {"key": ADMIN_KEY}})), ErrorKind::BadResponse),
        (Reply::html(200), ErrorKind::NotThisPlatform),
        (Reply::text(200, "application/json", "{"), ErrorKind::NotThisPlatform),
        (Reply::json(200, &json!({"stats": []})), ErrorKind::NotThisPlatform),
        (Reply::json(200, &json!({"status": 1})), ErrorKind::BadResponse),
        (Reply::json(200, &json!({"status": 1, "stats": {}})), ErrorKind::BadResponse),
        (Reply::json(200, &json!({"status": 1, "stats": []})), ErrorKind::BadResponse),
        (
            Reply::text(302, "text/html", "").with_header("location", "https://panel.example/login"),
            ErrorKind::Redirected,
        ),
        (Reply::text(429, "text/plain", "").with_header("retry-after", "3600"), ErrorKind::RateLimited),
        (Reply::text(502, "text/plain", "").with_header("retry-after", "3600"), ErrorKind::Failing),
    ] {
        let simulator = Simulator::start(Affise::default());
        simulator.always(Some(Fault::Instead(reply.clone())));
        let error = admin(&simulator).pull(&ask(&["date"], FROM, TO, "UTC")).await.expect_err("a failure");
        assert_eq!(error.kind, kind, "{reply:?}: {error}");
        assert!(!format!("{error:?} {error}").contains(ADMIN_KEY), "{error:?}");
    }
}

#[tokio::test]
async fn a_failing_page_in_the_middle_fails_the_report() {
    let simulator = Simulator::start(Affise { rows_per_page: 10, ..Affise::default() });
    let refused = Reply::json(403, &json!({"status": 2, "message": "Auth Denied"}));
    simulator.inject([Fault::None, Fault::None, Fault::None, Fault::Instead(refused)]);
    let error = admin(&simulator).pull(&ask(&["date", "hour"], FROM, TO, "UTC")).await.expect_err("a failure");
    assert_eq!(error.kind, ErrorKind::InsufficientPermissions);
}

#[tokio::test]
async fn a_sub_id_that_a_network_denies_its_affiliates_says_nothing_of_their_key() {
    let simulator = Simulator::start(Affise { denied_slices: vec!["sub1"], ..Affise::default() });
    let error = affiliate(&simulator).pull(&ask(&["sub1"], FROM, TO, "UTC")).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error:?}");
    assert!(error.detail.contains("sub1") && !error.kind.is_refusal(), "{error:?}");
    affiliate(&simulator).pull(&ask(&["sub2"], FROM, TO, "UTC")).await.expect("another sub-id");
}

#[tokio::test]
async fn rows_that_move_while_they_are_read_are_noticed() {
    let network = || Affise { rows_per_page: 10, ..Affise::default() };
    let query = ask(&["date", "offer"], FROM, TO, "UTC");
    let page_of = |request: &Request| request.param("page").map(str::to_owned);
    // The second page starts with the last row of the first: one was inserted before.
    let shifting = twist_network(network(), move |request, body| {
        if page_of(request).as_deref() == Some("2") {
            body["stats"][0]["slice"] = json!({"year": 2026, "month": 9, "day": 7, "offer": {"id": 906, "title": "x"}});
            body["pagination"]["total_count"] = json!(22);
        }
    });
    let missing = twist_network(network(), |_, body| body["pagination"]["total_count"] = json!(22));
    let short = twist_network(network(), |_, body| drop(body["stats"].as_array_mut().and_then(Vec::pop)));
    for simulator in [shifting, missing, short] {
        let error = admin(&simulator).pull(&query).await.expect_err("a failure");
        assert_eq!(error.kind, ErrorKind::Inconsistent, "{error}");
    }
}

#[tokio::test]
async fn rows_added_at_the_end_while_reading_are_read_too() {
    let network = Affise { rows_per_page: 10, ..Affise::default() };
    let simulator = twist_network(network.clone(), |request, body| {
        if request.param("page") == Some("1") {
            body["pagination"]["total_count"] = json!(15);
        }
    });
    let rows = admin(&simulator).pull(&ask(&["date", "offer"], FROM, TO, "UTC")).await.expect("a report").rows;
    assert_eq!(table(rows), expected(&network, Owner::Network, &["date", "offer"], FROM, TO, "UTC"));
}

#[tokio::test]
async fn a_page_that_repeats_is_no_answer() {
    let network = Affise { rows_per_page: 10, ..Affise::default() };
    let same = Reply::json(200, &{
        let request = Request {
            method: "GET".to_owned(),
            path: "/3.0/stats/custom".to_owned(),
            query: [
                ("slice[]", "year"),
                ("slice[]", "month"),
                ("slice[]", "day"),
                ("slice[]", "hour"),
                ("filter[date_from]", "2026-09-07"),
                ("filter[date_to]", "2026-09-13"),
                ("timezone", "UTC"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
            headers: vec![("api-key".to_owned(), ADMIN_KEY.to_owned())],
            body: Default::default(),
        };
        serde_json::from_slice::<Value>(&network.answer(&request).body).expect("JSON")
    });
    for number in [json!(1), Value::Null] {
        let mut body: Value = serde_json::from_slice(&same.body).expect("JSON");
        body["pagination"]["page"] = number;
        let simulator = Simulator::start(network.clone());
        simulator.always(Some(Fault::Instead(Reply::json(200, &body))));
        let error = admin(&simulator).pull(&ask(&["date", "hour"], FROM, TO, "UTC")).await.expect_err("a failure");
        assert_eq!(error.kind, ErrorKind::BadResponse, "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_ignores_a_slice_or_the_range_is_refused() {
    let query = ask(&["date", "offer"], FROM, TO, "UTC");
    let ignored: [fn(&Request, &mut Value); 4] = [
        |_, body| drop(body["stats"][3]["slice"].as_object_mut().and_then(|slice| slice.remove("offer"))),
        |_, body| drop(body["stats"][3]["slice"].as_object_mut().and_then(|slice| slice.remove("month"))),
        |_, body| body["stats"][3]["slice"]["year"] = json!(2025),
        |_, body| body["stats"][3]["actions"]["confirmed"]["charge"] = json!("a lot"),
    ];
    for change in ignored {
        let error = admin(&twist(change)).pull(&query).await.expect_err("a failure");
        assert_eq!(error.kind, ErrorKind::BadResponse, "{error}");
    }
}

// Verification.

#[tokio::test]
async fn the_networks_key_is_proven_with_a_report_and_its_currency_found_out() {
    for (returns_role, may_read_currencies) in [(true, true), (false, true), (true, false), (false, false)] {
        let simulator = Simulator::start(Affise { returns_role, may_read_currencies, ..Affise::default() });
        let verification = admin(&simulator).verify().await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
        assert_eq!(verification.detected.connection_type, Some(ConnectionType::Admin));
        assert_eq!(verification.detected.currency.as_deref(), may_read_currencies.then_some("EUR"));
        let account = returns_role.then_some("65aa00112233445566778899");
        assert_eq!(verification.detected.account.as_deref(), account);
        let last = simulator.requests().pop().expect("a request");
        assert_eq!((last.path.as_str(), last.param("limit")), ("/3.0/stats/custom", Some("1")));
        assert_eq!(last.param("filter[date_from]"), last.param("filter[date_to]"));
        let seen = format!("{verification:?}{}", serde_json::to_string(&verification).expect("JSON"));
        assert!(!seen.contains(ADMIN_KEY) && !seen.contains("network.example"));
    }
}

#[tokio::test]
async fn an_affiliates_key_is_proven_and_named_by_its_number() {
    for returns_role in [true, false] {
        let simulator = Simulator::start(Affise { returns_role, ..Affise::default() });
        let verification = affiliate(&simulator).verify().await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
        let Detected { connection_type, account, timezone, .. } = verification.detected;
        assert_eq!(connection_type, Some(ConnectionType::Affiliate));
        assert_eq!((account.as_deref(), timezone.as_deref()), (Some("71"), Some("Europe/Riga")));
        let paths: Vec<String> = simulator.requests().into_iter().map(|request| request.path).collect();
        assert_eq!(paths, ["/3.1/user/me", "/3.1/partner/me", "/3.0/stats/custom"]);
    }
}

#[tokio::test]
async fn a_key_of_the_other_portal_is_named_and_reads_nothing() {
    for returns_role in [true, false] {
        let simulator = Simulator::start(Affise { returns_role, ..Affise::default() });
        let swapped = [
            Road::to(Pair::AffiseAdmin, &simulator.url, AFFILIATE_KEY),
            Road::to(Pair::AffiseAffiliate, &simulator.url, ADMIN_KEY),
        ];
        for road in swapped {
            let verification = road.verify().await;
            assert_eq!(code(&verification), Some(FailureCode::WrongPortal));
            assert_eq!(verification.detected.connection_type, Some(road.pair.connection_type().other()));
        }
        assert!(statistics(&simulator).is_empty());
    }
    let simulator = Simulator::start(Affise::default());
    let verification = Road::to(Pair::AffiseAdmin, &simulator.url, ADVERTISER_KEY).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
}

#[tokio::test]
async fn errors_with_status_200_lead_to_the_same_verdicts() {
    let network = || Affise { errors_in_success: true, error_key: "error", returns_role: false, ..Affise::default() };
    let simulator = Simulator::start(network());
    assert_eq!(admin(&simulator).verify().await.status, VerificationStatus::Ok);
    assert_eq!(affiliate(&simulator).verify().await.status, VerificationStatus::Ok);
    let simulator = Simulator::start(Affise { refuses_address: true, ..network() });
    assert_eq!(code(&admin(&simulator).verify().await), Some(FailureCode::IpNotAllowed));
    let simulator = Simulator::start(Affise { may_read_statistics: false, ..network() });
    assert_eq!(code(&affiliate(&simulator).verify().await), Some(FailureCode::InsufficientPermissions));
}

#[tokio::test]
async fn a_redirect_is_named_and_the_key_does_not_follow_it() {
    let (simulator, elsewhere) = (Simulator::start(Affise::default()), Simulator::start(Affise::default()));
    let target = format!("{}/login", elsewhere.url);
    simulator.always(Some(Fault::Instead(Reply::text(302, "text/html", "").with_header("location", target.as_str()))));
    let verification = admin(&simulator).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::Redirected));
    assert!(verification.failure.is_some_and(|failure| failure.detail.contains(&elsewhere.url)));
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn every_role_of_the_networks_side_is_an_admin() {
    for role in ["common_manager", "affiliate_manager", "account_manager", "client", "root", "something new"] {
        let simulator = Simulator::start(Affise { role, ..Affise::default() });
        assert_eq!(admin(&simulator).verify().await.status, VerificationStatus::Ok, "{role}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_rejected_however_the_network_says_so() {
    for error_key in ["message", "error"] {
        for errors_in_success in [false, true] {
            let simulator = Simulator::start(Affise { error_key, errors_in_success, ..Affise::default() });
            let verification = Road::to(Pair::AffiseAdmin, &simulator.url, "wrong").verify().await;
            assert_eq!(code(&verification), Some(FailureCode::CredentialsRejected));
            assert_eq!(stage(&verification, Stage::Request), StageStatus::Ok);
            assert_eq!(stage(&verification, Stage::Authenticate), StageStatus::Failed);
            let failure = verification.failure.expect("a failure");
            assert_eq!(failure.pointer.as_deref(), Some("/credentials/api_key"));
            assert!(failure.detail.contains("Token is necessary"), "{}", failure.detail);
        }
    }
    let simulator = Simulator::start(Affise::default());
    simulator.always(Some(Fault::Instead(Reply::json(403, &json!({"status": 2, "message": "Auth Denied"})))));
    assert_eq!(code(&admin(&simulator).verify().await), Some(FailureCode::CredentialsRejected));
}

#[tokio::test]
async fn a_good_key_without_the_right_to_statistics_is_told_from_a_refused_address() {
    let simulator = Simulator::start(Affise { may_read_statistics: false, ..Affise::default() });
    for road in [admin(&simulator), affiliate(&simulator)] {
        let verification = road.verify().await;
        assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
        assert_eq!(stage(&verification, Stage::Authenticate), StageStatus::Ok);
        assert_eq!(stage(&verification, Stage::Authorize), StageStatus::Failed);
    }
    let simulator = Simulator::start(Affise { refuses_address: true, ..Affise::default() });
    assert_eq!(code(&admin(&simulator).verify().await), Some(FailureCode::IpNotAllowed));
}

#[tokio::test]
async fn what_is_not_the_api_never_passes() {
    for reply in [
        Reply::html(200),
        Reply::html(404),
        Reply::text(200, "text/plain", "hello"),
        Reply::json(200, &json!({"hello": "world"})),
        Reply::json(200, &json!({"status": 1})),
        Reply::json(200, &json!([1, 2])),
    ] {
        let simulator = Simulator::start(Affise::default());
        simulator.always(Some(Fault::Instead(reply.clone())));
        for road in [admin(&simulator), affiliate(&simulator)] {
            assert_eq!(code(&road.verify().await), Some(FailureCode::NotThisPlatform), "{reply:?}");
        }
    }
    let good_key_bad_report = twist(|_, body| *body = json!({"status": 1, "stats": "none"}));
    let verification = admin(&good_key_bad_report).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::NotThisPlatform));
    assert_eq!(stage(&verification, Stage::Authorize), StageStatus::Failed);
}

#[tokio::test]
async fn an_outage_or_throttling_says_nothing_of_the_key() {
    let wait = |status| Reply::text(status, "text/plain", "").with_header("retry-after", "3600");
    for (reply, expected) in [(wait(429), FailureCode::RateLimited), (wait(503), FailureCode::PlatformError)] {
        let simulator = Simulator::start(Affise::default());
        simulator.always(Some(Fault::Instead(reply)));
        let mut road = admin(&simulator);
        road.deadline = Duration::from_secs(5);
        let verification = road.verify().await;
        assert_eq!((verification.status, code(&verification)), (VerificationStatus::Inconclusive, Some(expected)));
    }
}
