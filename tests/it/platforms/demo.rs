//! Demo: the same numbers for the same question, money that is never mixed, and failures on request.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use affzero_connections::outbound::egress::EgressPolicy;
use affzero_connections::outbound::error::{ErrorKind, PlatformError};
use affzero_connections::outbound::{CallScope, Purpose, Transport, TransportConfig};
use affzero_connections::platforms::assemble::assemble;
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{
    Dimension, Filters, Metric, MetricValue, Metrics, Perspective, Row, StatsQuery,
};
use affzero_connections::platforms::verification::{Detected, StageStatus, VerificationStatus};
use affzero_connections::platforms::{
    Account, Client, ConnectionType, Credentials, Gateways, Pair, Platform, Platforms, Settings, normalise, open,
    origin, verify,
};
use futures_util::TryStreamExt;
use jiff::ToSpan;
use jiff::civil::{Date, date};
use uuid::Uuid;

const CONNECTION: u128 = 0x0199_0000_0000_7000_8000_0000_0000_0001;

fn gateways() -> Gateways {
    Gateways::default()
}

/// Opens a Demo connection whose requests end after `timeout`.
fn client(connection: u128, pair: Pair, scenario: Option<&str>, timeout: Duration) -> Client {
    let transport = Transport::new(TransportConfig {
        egress: EgressPolicy::default(),
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
    })
    .expect("a transport");
    let mut settings: Settings = scenario.map(|key| ("scenario".to_owned(), key.to_owned())).into_iter().collect();
    normalise(pair, &mut settings).expect("good settings");
    let account = Account {
        connection: Uuid::from_u128(connection),
        settings,
        credentials: Credentials::new(),
        detected: Detected::default(),
    };
    let scope = CallScope { purpose: Purpose::Pull, deadline: Instant::now() + timeout, max_calls: 0 };
    open(pair, account, &Platforms::new(transport, gateways()), scope).expect("a client")
}

fn healthy(connection: u128, pair: Pair) -> Client {
    client(connection, pair, None, Duration::from_secs(60))
}

fn query(dimensions: &[Dimension], from: Date, to: Date) -> StatsQuery {
    StatsQuery {
        dimensions: dimensions.to_vec(),
        range: DateRange::new(from, to).expect("a range"),
        zone: Zone::utc(),
        filters: Filters::new(),
    }
}

async fn pull(client: &Client, query: &StatsQuery, group_by: &[Dimension]) -> Result<Vec<Row>, PlatformError> {
    let report = client.stats(query).await?;
    let batches: Vec<_> = assemble(query, group_by, report, 100_000).try_collect().await?;
    let checks: Vec<_> = batches.iter().flat_map(|batch| &batch.checks).collect();
    assert!(!checks.is_empty() && checks.iter().all(|check| check.mismatch.is_none()), "{checks:?}");
    Ok(batches.into_iter().flat_map(|batch| batch.rows).collect())
}

async fn rows(client: &Client, query: &StatsQuery) -> Vec<Row> {
    pull(client, query, &query.dimensions).await.expect("rows")
}

/// The rows as a person would note them down.
fn lines(rows: &[Row], metrics: &[Metric]) -> Vec<String> {
    rows.iter()
        .map(|row| {
            let keys = row.key.iter().map(|value| value.id.to_string());
            let currency = row.currency.map(|currency| currency.as_str().to_owned());
            let numbers = metrics.iter().map(|metric| match row.metrics.get(*metric, Perspective::Network) {
                Some(MetricValue::Integer(count)) => count.to_string(),
                Some(MetricValue::Decimal(amount)) => amount.to_string(),
                None => "null".to_owned(),
            });
            keys.chain(currency).chain(numbers).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

#[actix_web::test]
async fn the_numbers_of_a_past_day_are_the_same_for_ever() {
    let day = query(&[Dimension::Date], date(2026, 3, 2), date(2026, 3, 3));
    let rows = rows(&healthy(CONNECTION, Pair::DemoAdmin), &day).await;
    let metrics = [
        Metric::Impressions,
        Metric::Clicks,
        Metric::Conversions,
        Metric::Approved,
        Metric::Revenue,
        Metric::Payout,
        Metric::Cost,
    ];
    assert_eq!(
        lines(&rows, &metrics),
        [
            "2026-03-02 EUR 42852 1902 60 44 671 461.89 375.28",
            "2026-03-02 USD 347342 11913 531 412 4636.75 3408.075 1411.181",
            "2026-03-03 EUR 44185 1976 69 49 747.25 514.3775 390.2335",
            "2026-03-03 USD 388753 13374 604 457 4821.375 3513.7125 1592.4205"
        ]
    );
}

#[actix_web::test]
async fn asking_twice_gives_the_same_and_another_connection_something_else() {
    let week = query(&[Dimension::Date, Dimension::Hour, Dimension::Affiliate], date(2026, 3, 2), date(2026, 3, 8));
    let first = rows(&healthy(CONNECTION, Pair::DemoAdmin), &week).await;
    assert_eq!(first, rows(&healthy(CONNECTION, Pair::DemoAdmin), &week).await);
    assert_ne!(first, rows(&healthy(CONNECTION + 1, Pair::DemoAdmin), &week).await);
}

#[actix_web::test]
async fn every_listed_dimension_can_be_asked_of_both_types() {
    for pair in [Pair::DemoAdmin, Pair::DemoAffiliate] {
        let client = healthy(CONNECTION, pair);
        let listed: Vec<Dimension> = pair.entry().dimensions.iter().map(|entry| entry.key).collect();
        assert_eq!(listed, Dimension::ALL);
        for dimension in listed {
            let rows = rows(&client, &query(&[dimension], date(2026, 3, 2), date(2026, 3, 2))).await;
            assert!(!rows.is_empty(), "{dimension}");
            assert!(rows.iter().all(|row| row.currency.is_some()), "{dimension}");
        }
    }
}

#[actix_web::test]
async fn the_catalogue_says_which_metrics_are_null() {
    for pair in [Pair::DemoAdmin, Pair::DemoAffiliate] {
        let entry = pair.entry();
        let offers = query(&[Dimension::Offer], date(2026, 3, 2), date(2026, 3, 8));
        for row in rows(&healthy(CONNECTION, pair), &offers).await {
            for metric in &entry.metrics {
                assert!(row.metrics.get(metric.key, entry.perspective).is_some(), "{}", metric.key);
            }
            for metric in &entry.unavailable_metrics {
                assert_eq!(row.metrics.get(*metric, entry.perspective), None, "{metric}");
            }
        }
    }
}

#[actix_web::test]
async fn money_in_two_currencies_stands_in_two_rows() {
    let day = query(&[Dimension::Date], date(2026, 3, 2), date(2026, 3, 2));
    let rows = rows(&healthy(CONNECTION, Pair::DemoAdmin), &day).await;
    let currencies: Vec<_> = rows.iter().filter_map(|row| row.currency).map(|code| code.as_str().to_owned()).collect();
    assert_eq!(currencies, ["EUR", "USD"]);
}

#[actix_web::test]
async fn a_filter_keeps_exactly_the_rows_of_its_ids() {
    let client = healthy(CONNECTION, Pair::DemoAdmin);
    let (from, to) = (date(2026, 3, 2), date(2026, 3, 8));
    let by_both = rows(&client, &query(&[Dimension::Country, Dimension::Offer], from, to)).await;
    let expected =
        by_both.iter().filter(|row| row.key[1].id == "702").fold(Metrics::ZERO, |sum, row| sum.add(&row.metrics));
    let mut filtered = query(&[Dimension::Country, Dimension::Offer], from, to);
    filtered.filters.insert(Dimension::Offer, BTreeSet::from(["702".into()]));
    let rows = pull(&client, &filtered, &[Dimension::Country]).await.expect("rows");
    assert!(rows.len() > 1 && rows.iter().all(|row| row.key.len() == 1));
    assert_eq!(rows.iter().fold(Metrics::ZERO, |sum, row| sum.add(&row.metrics)), expected);
}

#[actix_web::test]
async fn tomorrow_has_no_rows_yet() {
    let tomorrow = Zone::utc().date_at(jiff::Timestamp::now()).saturating_add(2.days());
    let rows = rows(&healthy(CONNECTION, Pair::DemoAdmin), &query(&[Dimension::Offer], tomorrow, tomorrow)).await;
    assert_eq!(rows, []);
}

#[actix_web::test]
async fn an_affiliate_connection_sees_itself_alone() {
    let client = healthy(CONNECTION, Pair::DemoAffiliate);
    let rows =
        rows(&client, &query(&[Dimension::Affiliate, Dimension::Offer], date(2026, 3, 2), date(2026, 3, 8))).await;
    let seen: BTreeSet<_> = rows.iter().map(|row| row.key[0].name.to_string()).collect();
    let itself = verify(&client).await.detected.account.expect("a name");
    assert_eq!(seen, BTreeSet::from([itself]));
}

#[actix_web::test]
async fn every_scenario_is_verified_without_calling_anybody() {
    for pair in [Pair::DemoAdmin, Pair::DemoAffiliate] {
        for scenario in ["healthy", "rejected_key", "rate_limited", "slow", "down"] {
            let client = client(CONNECTION, pair, Some(scenario), Duration::from_secs(60));
            let verification = verify(&client).await;
            assert_eq!(verification.status, VerificationStatus::Ok, "{scenario}: {:?}", verification.failure);
            assert_eq!(verification.detected.connection_type, Some(pair.connection_type()));
            let network = &verification.stages[..4];
            assert!(network.iter().all(|stage| stage.status == StageStatus::Skipped && stage.duration_ms.is_none()));
            assert_eq!(client.upstream().calls(), 0);
        }
    }
    assert_eq!(origin(Pair::DemoAdmin, &Settings::new(), &gateways()), None);
}

#[actix_web::test]
async fn scenarios_fail_the_pull_each_in_its_own_way() {
    let day = query(&[Dimension::Date], date(2026, 3, 2), date(2026, 3, 2));
    for (scenario, kind, retry_after) in [
        ("rejected_key", ErrorKind::CredentialsRejected, None),
        ("rate_limited", ErrorKind::RateLimited, Some(Duration::from_secs(30))),
        ("down", ErrorKind::ConnectFailed, None),
        ("slow", ErrorKind::Timeout, None),
    ] {
        let client = client(CONNECTION, Pair::DemoAdmin, Some(scenario), Duration::ZERO);
        let error = pull(&client, &day, &day.dimensions).await.expect_err("a failure");
        assert_eq!((error.kind, error.retry_after), (kind, retry_after), "{scenario}");
    }
}

#[actix_web::test]
async fn the_slow_scenario_lasts_until_the_deadline() {
    let day = query(&[Dimension::Date], date(2026, 3, 2), date(2026, 3, 2));
    let client = client(CONNECTION, Pair::DemoAdmin, Some("slow"), Duration::from_secs(3600));
    assert!(futures_util::FutureExt::now_or_never(client.stats(&day)).is_none(), "it is still waiting");
}

#[test]
fn the_form_offers_the_scenarios_and_asks_for_no_secret() {
    for connection_type in ConnectionType::ALL {
        let pair = Pair::find(Platform::Demo, connection_type).expect("both exist");
        let entry = pair.entry();
        let scenario = &entry.settings_schema["properties"]["scenario"];
        assert_eq!(scenario["default"], "healthy");
        assert_eq!(scenario["enum"], serde_json::json!(["healthy", "rejected_key", "rate_limited", "slow", "down"]));
        assert_eq!(entry.settings_schema["required"], serde_json::json!([]));
        assert_eq!(entry.settings_schema["properties"].as_object().map(serde_json::Map::len), Some(1));
        assert_eq!(entry.credentials_schema["properties"], serde_json::json!({}));
    }
}
