//! Demo over HTTP: everything works without an account, and the same question has the same answer.

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{connection, list, path, walk};
use crate::app::TestApp;

fn body(kind: &str, scenario: &str) -> Value {
    json!({
        "name": format!("{kind} {scenario}"), "platform": "demo", "connection_type": kind,
        "settings": { "scenario": scenario },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dimension_and_metric_of_the_catalogue_works_for_both_types() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Starter);
    let catalogue = user.get("/api/v1/platforms/demo").await.ok(200);
    for entry in list(&catalogue["connection_types"]) {
        let kind = entry["connection_type"].as_str().expect("a type");
        let id = user.add(body(kind, "healthy")).await;
        let unavailable = list(&entry["unavailable_metrics"]);
        for dimension in list(&entry["dimensions"]) {
            let dimension = dimension["key"].as_str().expect("a key");
            let page = user.get(&path(&id, &format!("group_by={dimension}&preset=last_7_days"))).await.ok(200);
            assert!(!list(&page["rows"]).is_empty(), "{kind} {dimension}");
            assert_eq!(
                page["integrity"],
                json!({ "checked": true, "against": "independent", "matches": true, "detail": null })
            );
            for row in list(&page["rows"]) {
                assert!(row[dimension]["id"].is_string() && row[dimension]["name"].is_string(), "{row}");
            }
            let filtered = page["rows"][0][dimension]["id"].as_str().expect("an id");
            let query = format!("group_by=date,country&preset=last_7_days&filter[{dimension}]={filtered}&limit=1000");
            let rows = walk(&user, &id, &query).await;
            assert!(!rows.is_empty(), "{kind} {dimension}");
        }
        for metric in list(&entry["metrics"]) {
            let key = metric["key"].as_str().expect("a key");
            let query = format!("group_by=offer&preset=last_30_days&metrics={key}&sort=-{key}");
            let page = user.get(&path(&id, &query)).await.ok(200);
            let cell = &page["rows"][0][key];
            assert!(!cell.is_null(), "{kind} {key}");
            assert_eq!(cell.is_u64(), metric["type"] == "integer", "{kind} {key}: {cell}");
            assert!(!unavailable.contains(&metric["key"]), "{kind} {key}");
        }
        let page = user.get(&path(&id, "group_by=offer&preset=last_30_days")).await.ok(200);
        for metric in &unavailable {
            let key = metric.as_str().expect("a key");
            assert!(list(&page["rows"]).iter().all(|row| row[key].is_null()), "{kind} {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_twice_gives_the_same_numbers_and_two_connections_differ() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Starter);
    let (id, other) = (user.add_demo("One").await, user.add_demo("Two").await);
    let query = "group_by=offer,date&preset=last_14_days&timezone=Asia/Kathmandu&limit=1000";
    let no_cache = [("cache-control", "no-cache")];
    let first = user.send("GET", &path(&id, query), &no_cache, None).await;
    let second = user.send("GET", &path(&id, query), &no_cache, None).await;
    assert_eq!(first.ok(200)["rows"], second.ok(200)["rows"]);
    assert_eq!(first.header("etag"), second.header("etag"));
    assert_ne!(first.ok(200)["rows"], user.get(&path(&other, query)).await.ok(200)["rows"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_add_up_to_the_whole_however_they_are_cut() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Starter);
    let id = user.add_demo("Sums").await;
    for zone in ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Australia/Lord_Howe"] {
        // Clocks change in Berlin on the 25th, on Lord Howe on the 4th.
        let days = format!("from=2026-10-01&to=2026-10-31&timezone={zone}");
        let mut totals = Vec::new();
        for group in ["date", "hour", "affiliate,offer", "traffic_source,country,date", "campaign,affiliate_network"] {
            totals.push(user.get(&path(&id, &format!("group_by={group}&{days}"))).await.ok(200)["totals"].clone());
        }
        assert!(totals.windows(2).all(|pair| pair[0] == pair[1]), "{zone}");
        assert!(list(&totals[0]).len() > 1, "some money is in another currency");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scenario_is_its_own_problem_in_every_form_and_teaches_the_status() {
    let app = TestApp::with(&[("STATS_DEADLINE_MS", "700")]).await;
    let user = app.user("acme", Plan::Starter);
    for (scenario, status, code, learnt) in [
        ("rejected_key", 424, "credentials_rejected", "failing"),
        ("rate_limited", 503, "upstream_rate_limited", "active"),
        ("slow", 504, "upstream_timeout", "active"),
        ("down", 502, "upstream_unavailable", "active"),
    ] {
        for kind in ["admin", "affiliate"] {
            let id = user.add(body(kind, scenario)).await;
            assert_eq!(connection(&user, &id).await["status"], "active", "{scenario}");
            for accept in ["application/json", "application/x-ndjson", "text/csv"] {
                let query = path(&id, "group_by=date&preset=yesterday");
                let answer = user.send("GET", &query, &[("accept", accept)], None).await;
                let problem = answer.problem(status, code);
                assert!(problem["hint"].as_str().expect("a hint").contains("healthy"), "{scenario}");
                let wait = answer.header("retry-after").map(|text| text.parse::<u64>().expect("seconds"));
                assert_eq!(wait, (scenario == "rate_limited").then_some(30), "{scenario}");
            }
            assert_eq!(connection(&user, &id).await["status"], learnt, "{scenario}");
            let healthy = json!({ "settings": { "scenario": "healthy" } });
            user.patch(&format!("/api/v1/connections/{id}"), &healthy).await.ok(200);
            user.get(&path(&id, "group_by=date&preset=yesterday")).await.ok(200);
            assert_eq!(connection(&user, &id).await["status"], "active", "{scenario}");
        }
    }
}
