//! Answers as networks give them.

use super::*;

fn fixture(status: u16, body: &str) -> Reply {
    Reply::text(status, "text/plain", body)
}

fn decimal(text: &str) -> Option<rust_decimal::Decimal> {
    text.parse().ok()
}

#[tokio::test]
async fn an_affiliates_fixtures_are_read_as_they_say() {
    let days = range(date(2026, 9, 1), date(2026, 9, 2));
    let read = async |bodies: &[&str], dimension: Dimension| {
        let simulator = Simulator::start(Cake::default());
        simulator.inject(bodies.iter().map(|body| Fault::Instead(fixture(200, body))));
        affiliate(&simulator).pull(&query(&[dimension], days)).await.expect("a table")
    };

    let daily = read(&[include_str!("../../../fixtures/cake/affiliate/stats_ok.json")], Dimension::Date).await;
    assert_eq!((daily.rows.len(), daily.sum().clicks, daily.sum().revenue), (2, Some(787), decimal("250.125")));
    assert!(daily.rows.iter().all(|row| row.currency.is_some_and(|code| code.as_str() == "GBP")));

    let campaigns = read(&[include_str!("../../../fixtures/cake/affiliate/stats_ok.xml")], Dimension::Campaign).await;
    assert_eq!(campaigns.rows[0].key[0].name, "Solar & Wind US (5120)");
    assert_eq!((campaigns.sum().conversions, campaigns.sum().revenue), (Some(31), decimal("412.5")));
    assert_eq!(campaigns.checks, [Check { against: Against::Independent, mismatch: None }]);

    let pages = [
        include_str!("../../../fixtures/cake/affiliate/stats_page_1.json"),
        include_str!("../../../fixtures/cake/affiliate/stats_page_2.json"),
    ];
    let paged = read(&pages, Dimension::Offer).await;
    assert_eq!((paged.sum().clicks, paged.sum().revenue), (Some(316), decimal("1112.8333")));
    assert_eq!((paged.rows[2].metrics.impressions, paged.rows[2].key[0].name.as_str()), (None, "79"));

    let empty = read(&[include_str!("../../../fixtures/cake/affiliate/stats_empty.json")], Dimension::Hour).await;
    assert_eq!(
        empty.rows.iter().filter(|row| row.key[0].id == "00").count(),
        1,
        "the second day's answer is the simulator's"
    );
}

#[tokio::test]
async fn a_networks_fixtures_are_read_as_they_say() {
    let day = range(date(2026, 9, 1), date(2026, 9, 1));
    let read = async |body: &str, dimension: Dimension| {
        let simulator = Simulator::start(Cake::default());
        simulator.inject([Fault::Instead(fixture(200, body))]);
        admin(&simulator).pull(&query(&[dimension], day)).await.expect("a table")
    };

    let affiliates = read(include_str!("../../../fixtures/cake/admin/stats_ok.xml"), Dimension::Affiliate).await;
    let metrics = affiliates.by_key();
    assert_eq!(
        metrics[&vec!["42".to_owned()]],
        Metrics {
            impressions: Some(2),
            clicks: Some(20),
            conversions: Some(3),
            approved: Some(2),
            pending: Some(1),
            rejected: Some(1),
            revenue: decimal("10"),
            payout: decimal("15"),
            ..Metrics::default()
        }
    );
    // What a row leaves out is unknown, and half a conversion is rounded to even.
    assert_eq!(
        (metrics[&vec!["43".to_owned()]].approved, metrics[&vec!["43".to_owned()]].conversions),
        (None, Some(0))
    );
    assert!(affiliates.warnings.iter().any(|warning| warning.code == WarningCode::CountsRounded));
    assert!(!affiliates.checks.is_empty() && affiliates.mismatches.is_empty());

    let daily = read(include_str!("../../../fixtures/cake/admin/stats_days.xml"), Dimension::Date).await;
    assert_eq!((daily.sum().conversions, daily.sum().payout), (Some(1), decimal("2.5")));
    let empty = read(include_str!("../../../fixtures/cake/admin/stats_empty.xml"), Dimension::Offer).await;
    assert_eq!(empty.rows, []);
}

#[tokio::test]
async fn refusals_in_the_fixtures_are_understood() {
    let affiliate: fn(&Simulator) -> Road = affiliate;
    let admin: fn(&Simulator) -> Road = admin;
    let cases = [
        (affiliate, 200, include_str!("../../../fixtures/cake/affiliate/rejected.xml"), ErrorKind::CredentialsRejected),
        (
            affiliate,
            403,
            include_str!("../../../fixtures/cake/affiliate/forbidden.json"),
            ErrorKind::CredentialsRejected,
        ),
        (affiliate, 429, include_str!("../../../fixtures/cake/affiliate/rate_limited.json"), ErrorKind::RateLimited),
        (admin, 200, include_str!("../../../fixtures/cake/admin/rejected.xml"), ErrorKind::CredentialsRejected),
        (admin, 429, include_str!("../../../fixtures/cake/admin/rate_limited.json"), ErrorKind::RateLimited),
        (admin, 500, include_str!("../../../fixtures/cake/admin/missing_parameter.txt"), ErrorKind::BadResponse),
    ];
    for (connect, status, body, kind) in cases {
        let simulator = Simulator::start(Cake::default());
        // A wait beyond the deadline is not waited for.
        simulator.always(Some(Fault::Instead(fixture(status, body).with_header("retry-after", "3600"))));
        let refused = connect(&simulator).pull(&query(&[Dimension::Offer], september())).await;
        assert_eq!(refused.map(|table| table.rows.len()).expect_err(body).kind, kind, "{body}");
    }
}
