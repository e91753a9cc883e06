//! What is asked for, and what comes out.

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
        for (hours, wrapped, flag) in [(HourIds::Instant, false, Flag::Always), (HourIds::OfDay, true, Flag::WhenTrue)]
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
                for dimensions in [&[Dimension::Date][..], &[Dimension::Hour], &[Dimension::Hour, Dimension::Date]] {
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
    let query = query(&[Dimension::Country, Dimension::Hour, Dimension::Date], OCTOBER_19, NOVEMBER_4, "US/Eastern");
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
