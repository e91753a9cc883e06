//! The numbers of a simulated network, exact to the last digit, in any grouping, zone and filter.

use affzero_connections::tenancy::Plan;
use jiff::ToSpan;
use jiff::civil::date;
use serde_json::json;

use super::{FROM, TO, WEEK, add, list, metrics, path, pulls, table, total, walk};
use crate::app::TestApp;
use crate::support::affise::{Affise, Owner};
use crate::support::tracker::Simulator;

const GROUPINGS: [&[&str]; 11] = [
    &["affiliate"],
    &["offer"],
    &["advertiser"],
    &["date"],
    &["hour"],
    &["country"],
    &["date", "hour"],
    &["affiliate", "date"],
    &["advertiser", "offer", "country"],
    &["country", "hour", "affiliate"],
    &["hour", "offer", "date"],
];

#[tokio::test(flavor = "multi_thread")]
async fn every_grouping_of_both_portals_is_exact_to_the_last_digit() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let network = Affise::default();
    let simulator = Simulator::start(network.clone());
    for owner in [Owner::Network, Owner::Affiliate] {
        let id = add(&user, &simulator, owner).await;
        for dimensions in GROUPINGS {
            if owner == Owner::Affiliate && dimensions.iter().any(|name| ["affiliate", "advertiser"].contains(name)) {
                continue;
            }
            let query = format!("group_by={}&{WEEK}&limit=1000", dimensions.join(","));
            let rows = walk(&user, &id, &query).await;
            let expected = network.expected(owner, dimensions, FROM, TO, "UTC");
            let written = expected.iter().map(|(key, numbers)| (key.clone(), metrics(owner, numbers))).collect();
            assert_eq!(table(&rows, dimensions), written, "{owner:?} {dimensions:?}");

            let page = user.get(&path(&id, &query)).await.ok(200);
            assert_eq!(page["totals"], json!([total(owner, expected.values())]), "{owner:?} {dimensions:?}");
            assert!(rows.iter().any(|row| row["unique_clicks"].is_u64()), "the platform's own rows keep theirs");
            assert_eq!(page["row_count"], expected.len());
            assert_eq!(
                page["integrity"],
                json!({"checked": true, "against": "same_source", "matches": true, "detail": null})
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_and_hours_are_those_of_the_zone_asked_for() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let network = Affise::default();
    let simulator = Simulator::start(network.clone());
    let id = add(&user, &simulator, Owner::Network).await;
    for zone in [
        "Europe/Berlin",
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "America/St_Johns",
    ] {
        for dimensions in [&["date"][..], &["hour"], &["date", "hour"], &["offer"]] {
            let query = format!("group_by={}&{WEEK}&timezone={zone}&limit=1000", dimensions.join(","));
            let rows = walk(&user, &id, &query).await;
            let expected = network.expected(Owner::Network, dimensions, FROM, TO, zone);
            let written =
                expected.iter().map(|(key, numbers)| (key.clone(), metrics(Owner::Network, numbers))).collect();
            assert_eq!(table(&rows, dimensions), written, "{zone} {dimensions:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_on_which_clocks_change_has_all_its_hours_and_each_once() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    // Berlin puts its clocks back on 25 October 2026, Lord Howe forward by half an hour on 4 October.
    let mut network = Affise::default();
    for hour in &mut network.traffic {
        hour.at += (24 * 22).hours();
    }
    let simulator = Simulator::start(network.clone());
    let id = add(&user, &simulator, Owner::Network).await;
    for (zone, day) in [("Europe/Berlin", date(2026, 10, 25)), ("Australia/Lord_Howe", date(2026, 10, 4))] {
        for dimensions in [&["date"][..], &["hour"], &["date", "hour"], &["hour", "affiliate"]] {
            let query = format!("group_by={}&from={day}&to={day}&timezone={zone}&limit=1000", dimensions.join(","));
            let rows = walk(&user, &id, &query).await;
            let expected = network.expected(Owner::Network, dimensions, day, day, zone);
            let written =
                expected.iter().map(|(key, numbers)| (key.clone(), metrics(Owner::Network, numbers))).collect();
            assert_eq!(table(&rows, dimensions), written, "{zone} {dimensions:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_keeps_exactly_its_ids_whether_grouped_by_or_not() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let network = Affise::default();
    let simulator = Simulator::start(network.clone());
    let id = add(&user, &simulator, Owner::Network).await;
    let by_all = network.expected(Owner::Network, &["offer", "affiliate", "country"], FROM, TO, "UTC");
    type Keeps = fn(&[String]) -> bool;
    let cases: [(&str, Keeps); 5] = [
        ("filter[offer]=906", |key| key[0] == "906"),
        ("filter[affiliate]=71,5000", |key| ["71", "5000"].contains(&key[1].as_str())),
        ("filter[affiliate]=unknown&filter[country]=unknown", |key| key[1] == "unknown" && key[2] == "unknown"),
        ("filter[offer]=906,907&filter[affiliate]=72&filter[country]=DE,US", |key| {
            key[0] != "908" && key[1] == "72" && ["DE", "US"].contains(&key[2].as_str())
        }),
        ("filter[affiliate]=no-such", |_| false),
    ];
    for (filter, keeps) in cases {
        let mut expected: std::collections::BTreeMap<Vec<String>, crate::support::affise::Numbers> =
            std::collections::BTreeMap::new();
        for (key, numbers) in by_all.iter().filter(|(key, _)| keeps(key)) {
            expected.entry(vec![key[0].clone()]).or_default().add(numbers);
        }
        let page = user.get(&path(&id, &format!("group_by=offer&{WEEK}&{filter}"))).await.ok(200);
        let written = expected.iter().map(|(key, numbers)| (key.clone(), metrics(Owner::Network, numbers))).collect();
        assert_eq!(table(&list(&page["rows"]), &["offer"]), written, "{filter}");
        if expected.is_empty() {
            assert_eq!(page["totals"], json!([]));
        } else {
            // Where one row is all there is, its visitors are the total's; others are never added up.
            let mut totals = page["totals"].clone();
            let unique = totals[0]["unique_clicks"].take();
            assert_eq!(unique.is_null(), expected.len() > 1, "{filter}");
            assert_eq!(totals, json!([total(Owner::Network, expected.values())]), "{filter}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_smaller_than_asked_are_read_to_the_end_and_counted() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let network = Affise { rows_per_page: 7, ..Affise::default() };
    let simulator = Simulator::start(network.clone());
    let id = add(&user, &simulator, Owner::Network).await;
    let page = user.get(&path(&id, &format!("group_by=offer,date&{WEEK}"))).await.ok(200);
    let expected = network.expected(Owner::Network, &["offer", "date"], FROM, TO, "UTC");
    assert_eq!(page["totals"], json!([total(Owner::Network, expected.values())]));
    assert_eq!(page["row_count"], 21);
    assert_eq!(pulls(&simulator).len(), 3);
    assert_eq!(page["source"]["upstream_calls"], 3);
}
