//! The same question to several connections.

use std::time::{Duration, Instant};

use affzero_connections::tenancy::Plan;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{WEEK, add, eventually, list, path, pulls};
use crate::app::TestApp;
use crate::support::affise::{ADMIN_KEY, Affise, Owner};
use crate::support::tracker::{Fault, Reply, Simulator};

fn failure<'a>(answer: &'a Value, id: &str) -> &'a Value {
    let failures = answer["failures"].as_array().expect("failures");
    &failures.iter().find(|failure| failure["connection_id"] == id).expect("a failure")["problem"]
}

fn named(name: &str, network: &Simulator) -> Value {
    json!({
        "name": name, "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": network.url }, "credentials": { "api_key": ADMIN_KEY },
    })
}

fn ids(answer: &Value) -> Vec<String> {
    list(&answer["results"])
        .iter()
        .map(|result| result["connection"]["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_began_later_holds_nobody_beyond_the_deadline() {
    let variables = [("STATS_DEADLINE_MS", "3000"), ("PLAN_LIMITS", "starter=1,pro=3,pro_plus=8,business=40")];
    let app = TestApp::with(&variables).await;
    let user = app.user("acme", Plan::Business);
    let network = Simulator::start(Affise::default());
    // One more than are pulled at the same time.
    let mut ids = Vec::new();
    for number in 0..33 {
        ids.push(user.add(named(&format!("Brand {number}"), &network)).await);
    }
    network.always(Some(Fault::Stall(Duration::from_secs(20))));
    let all: String = ids.iter().map(|id| format!("&connection_id={id}")).collect();
    let (started, question) = (Instant::now(), format!("/api/v1/stats?group_by=offer&{WEEK}{all}"));
    let last = path(ids.last().expect("an id"), &format!("group_by=offer&{WEEK}"));
    let many = async {
        let answer = user.get(&question).await;
        (answer, started.elapsed())
    };
    let ((many, time), _) = tokio::join!(many, async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        user.get(&last).await
    });
    assert_eq!(list(&many.ok(200)["failures"]).len(), ids.len());
    assert!(time < Duration::from_millis(4_300), "{time:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_never_hides_the_good_ones() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Business);
    let (good, broken) = (Simulator::start(Affise::default()), Simulator::start(Affise::default()));
    let admin = add(&user, &good, Owner::Network).await;
    let affiliate = add(&user, &broken, Owner::Affiliate).await;
    broken.always(Some(Fault::Instead(Reply::html(200))));
    let demo = user.add_demo("Demo").await;
    let deleted = user.add_demo("Deleted").await;
    user.delete(&format!("/api/v1/connections/{deleted}")).await;
    let foreign = app.user("other", Plan::Pro).add_demo("Foreign").await;
    let unknown = "0199a000-0000-7000-8000-000000000000";

    let named: String = [&admin, &affiliate, &demo, &deleted, &foreign, unknown, &admin]
        .iter()
        .map(|id| format!("&connection_id={id}"))
        .collect();
    let answer = user.get(&format!("/api/v1/stats?group_by=offer&{WEEK}{named}")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let many = answer.ok(200);
    assert_eq!(ids(&many), [admin.clone(), demo.clone()], "each once, in the order they were named");
    assert_eq!(list(&many["failures"]).len(), 4);
    assert_eq!(failure(&many, &affiliate)["code"], "upstream_protocol_error");
    assert_eq!(failure(&many, &deleted)["code"], "connection_deleted");
    assert_eq!(failure(&many, &deleted)["status"], 410);
    assert_eq!(failure(&many, &foreign)["code"], "not_found");
    assert_eq!(failure(&many, unknown)["code"], "not_found");
    for failure in list(&many["failures"]) {
        assert_eq!(failure["problem"]["request_id"].as_str(), answer.header("x-request-id"));
        assert_eq!(failure["problem"]["instance"], "/api/v1/stats");
    }
    for result in list(&many["results"]) {
        let id = result["connection"]["id"].as_str().expect("an id");
        assert_eq!(user.get(&path(id, &format!("group_by=offer&{WEEK}"))).await.ok(200), result);
    }
    assert_eq!(pulls(&good).len(), 1, "an answer to one and to many is kept in one place");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ids_all_connections_of_the_organisation_are_asked() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Business);
    let simulator = Simulator::start(Affise::default());
    assert_eq!(
        user.get("/api/v1/stats?group_by=date&preset=today").await.ok(200),
        json!({ "results": [], "failures": [] })
    );
    let mut expected = vec![add(&user, &simulator, Owner::Network).await, user.add_demo("One").await];
    let affiliate = add(&user, &simulator, Owner::Affiliate).await;
    let deleted = user.add_demo("Two").await;
    user.delete(&format!("/api/v1/connections/{deleted}")).await;
    app.user("other", Plan::Pro).add_demo("Foreign").await;
    let many = user.get(&format!("/api/v1/stats?group_by=affiliate&{WEEK}")).await.ok(200);
    let mut found = ids(&many);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(list(&many["failures"]).len(), 1);
    assert_eq!(failure(&many, &affiliate)["code"], "unsupported_query", "an affiliate cannot group so");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_of_demo_fails_in_its_own_way_beside_a_healthy_one() {
    let app = TestApp::with(&[("STATS_DEADLINE_MS", "800")]).await;
    let user = app.user("acme", Plan::Starter);
    let healthy = user.add_demo("Healthy").await;
    let mut broken = Vec::new();
    for (scenario, status, code) in [
        ("rejected_key", 424, "credentials_rejected"),
        ("rate_limited", 503, "upstream_rate_limited"),
        ("slow", 504, "upstream_timeout"),
        ("down", 502, "upstream_unavailable"),
    ] {
        let body = json!({ "name": scenario, "platform": "demo", "settings": { "scenario": scenario } });
        broken.push((user.add(body).await, status, code));
    }
    let many = user.get("/api/v1/stats?group_by=date&preset=yesterday").await.ok(200);
    assert_eq!(ids(&many), [healthy]);
    for (id, status, code) in broken {
        let problem = failure(&many, &id);
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_automation_is_noted_for_every_connection_that_answered() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let ids = [user.add_demo("One").await, user.add_demo("Two").await];
    let query = "/api/v1/stats?group_by=date&preset=yesterday";
    user.send("GET", query, &[("x-automation-id", "nightly")], None).await.ok(200);
    for id in ids {
        eventually("the automation", async || {
            let page = user.get(&format!("/api/v1/connections/{id}/automations")).await.ok(200);
            (page["data"][0]["automation_id"] == "nightly").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_refused_for_all_at_once() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    for (query, pointer) in [
        ("group_by=date&preset=today&connection_id=seven", "/connection_id"),
        ("group_by=date&preset=today&cursor=x", "/cursor"),
        ("group_by=date&preset=today&color=red", "/color"),
        ("group_by=nothing&preset=today", "/group_by"),
    ] {
        assert_eq!(super::complaints(&user.get(&format!("/api/v1/stats?{query}")).await), [pointer], "{query}");
    }
    let crowd: String = (0..101).map(|id| format!("&connection_id=0199a000-0000-7000-8000-{id:012}")).collect();
    let answer = user.get(&format!("/api/v1/stats?group_by=date&preset=today{crowd}")).await;
    assert_eq!(super::complaints(&answer), ["/connection_id"]);
}

fn values(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_merged_stream_leave_before_a_slow_tracker_has_answered() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Business);
    let (quick, slow) = (Simulator::start(Affise::default()), Simulator::start(Affise::default()));
    let ids = [user.add(named("Slow", &slow)).await, user.add(named("Quick", &quick)).await];
    slow.always(Some(Fault::Stall(Duration::from_secs(60))));
    let question = format!(
        "/api/v1/stats?merge=true&format=ndjson&deadline_ms=6000&group_by=offer&{WEEK}&connection_id={}&connection_id={}",
        ids[0], ids[1]
    );
    let started = Instant::now();
    let bearer = format!("Bearer {}", user.token());
    let mut body = app.raw("GET", &question, &[("authorization", &bearer)], None).await.bytes_stream();
    let (mut text, mut first) = (Vec::new(), None);
    while let Some(part) = body.next().await {
        first.get_or_insert_with(|| started.elapsed());
        text.extend_from_slice(&part.expect("a whole stream"));
    }
    let lines = values(std::str::from_utf8(&text).expect("text"));
    let (last, rows) = lines.split_last().expect("a summary");
    assert!(!rows.is_empty() && rows.iter().all(|row| row["connection"]["id"] == ids[1].as_str()));
    assert!(first.expect("rows") < Duration::from_secs(4), "{first:?}");
    let summary = &last["summary"];
    assert_eq!(failure(summary, &ids[0])["code"], "upstream_timeout");
    assert_eq!((list(&summary["failures"]).len(), list(&summary["connections"]).len()), (1, 1));
    assert_eq!(summary["row_count"], rows.len());
    let clicks: i64 = rows.iter().filter_map(|row| row["clicks"].as_i64()).sum();
    assert_eq!(list(&summary["totals"]).iter().filter_map(|total| total["clicks"].as_i64()).sum::<i64>(), clicks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_stream_has_the_rows_and_totals_of_the_page() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Business);
    let network = Simulator::start(Affise::default());
    user.add(named("Brand", &network)).await;
    for name in ["One", "Two"] {
        user.add_demo(name).await;
    }
    for more in ["", "&compare=previous_period", "&min[clicks]=3"] {
        let question = format!("/api/v1/stats?merge=true&group_by=offer&{WEEK}{more}");
        let page = user.get(&format!("{question}&limit=1000")).await.ok(200);
        let lines = values(&user.get(&format!("{question}&format=ndjson")).await.text);
        let (last, rows) = lines.split_last().expect("a summary");
        let key = |row: &Value| format!("{} {} {} {}", row["connection"], row["offer"], row["currency"], row["clicks"]);
        let mut keys = [rows.iter().map(key).collect::<Vec<_>>(), list(&page["rows"]).iter().map(key).collect()];
        keys.iter_mut().for_each(|keys| keys.sort_unstable());
        assert_eq!(keys[0], keys[1], "{more}");
        assert_eq!(last["summary"]["totals"], page["totals"], "{more}");
        assert_eq!(last["summary"]["query"], page["query"], "{more}");
        let names = |parts: &Value| list(parts).iter().map(|one| one["connection"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&last["summary"]["connections"]), names(&page["connections"]), "{more}");
    }
}
