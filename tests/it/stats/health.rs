//! What a tracker's failures become, and what a connection's status learns from them.

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};
use std::time::Duration;

use super::{WEEK, add, connection, eventually, list, path};
use crate::app::{TestApp, User};
use crate::support::affise::{Affise, Owner};
use crate::support::tracker::{Fault, Reply, Simulator};

fn refusal(status: u16, text: &str) -> Fault {
    Fault::Instead(Reply::json(status, &json!({"status": 2, "message": text})))
}

fn question(id: &str) -> String {
    path(id, &format!("group_by=date&{WEEK}"))
}

async fn status(user: &User<'_>, id: &str) -> Value {
    connection(user, id).await["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_key_makes_the_connection_failing_until_a_pull_works_again() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    simulator.always(Some(refusal(401, "Token is necessary")));
    let problem = user.get(&question(&id)).await.problem(424, "credentials_rejected");
    assert!(problem["detail"].as_str().expect("a detail").contains("127.0.0.1"), "{problem}");
    assert!(problem["hint"].is_string());
    assert_eq!(status(&user, &id).await, "failing");
    simulator.always(None);
    user.get(&question(&id)).await.ok(200);
    assert_eq!(status(&user, &id).await, "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_teaches_a_connections_status_as_a_page_does() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let accept = [("accept", "text/csv")];
    simulator.always(Some(refusal(401, "Token is necessary")));
    user.send("GET", &question(&id), &accept, None).await.problem(424, "credentials_rejected");
    assert_eq!(status(&user, &id).await, "failing");
    simulator.always(None);
    assert_eq!(user.send("GET", &question(&id), &accept, None).await.status, 200);
    assert_eq!(status(&user, &id).await, "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_and_a_blocked_address_are_told_apart() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    simulator.always(Some(refusal(403, "Auth Denied")));
    user.get(&question(&id)).await.problem(424, "insufficient_permissions");
    assert_eq!(status(&user, &id).await, "failing");
    simulator.always(Some(refusal(403, "Your IP is not in the allow list")));
    user.get(&question(&id)).await.problem(424, "ip_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_and_nonsense_never_make_a_connection_failing() {
    let app = TestApp::with(&[("STATS_DEADLINE_MS", "4000")]).await;
    let user = app.user("acme", Plan::Pro);
    let cases = [
        (Fault::Instead(Reply::text(500, "text/plain", "oops")), 502, "upstream_unavailable"),
        (Fault::Instead(Reply::text(502, "text/plain", "oops")), 502, "upstream_unavailable"),
        (Fault::Instead(Reply::html(200)), 502, "upstream_protocol_error"),
        (Fault::Instead(Reply::text(200, "application/json", "{\"status\":1,")), 502, "upstream_protocol_error"),
        (Fault::Instead(Reply::json(200, &json!({"status": 1}))), 502, "upstream_protocol_error"),
        (
            Fault::Instead(Reply::text(302, "text/plain", "").with_header("location", "https://elsewhere.example/")),
            502,
            "upstream_protocol_error",
        ),
        (Fault::Cut, 502, ""),
    ];
    for (place, (fault, code, slug)) in cases.into_iter().enumerate() {
        // One organisation each, for the limit of the plan, and one tracker, for its circuit breaker.
        let organisation = format!("org-{place}");
        let user = if place == 0 { user.clone() } else { app.user(&organisation, Plan::Pro) };
        let simulator = Simulator::start(Affise::default());
        let id = add(&user, &simulator, Owner::Network).await;
        simulator.always(Some(fault.clone()));
        let answer = user.get(&question(&id)).await;
        assert_eq!(answer.status, code, "{fault:?} {}", answer.text);
        if slug.is_empty() {
            assert!(answer.json()["code"].as_str().expect("a code").starts_with("upstream_"), "{}", answer.text);
        } else {
            answer.problem(code, slug);
        }
        assert_eq!(status(&user, &id).await, "active", "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_says_when_to_come_back_and_does_not_make_a_connection_failing() {
    let app = TestApp::with(&[("STATS_DEADLINE_MS", "3000")]).await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    simulator.always(Some(Fault::Instead(Reply::text(429, "text/plain", "").with_header("retry-after", "77"))));
    let answer = user.get(&question(&id)).await;
    answer.problem(503, "upstream_rate_limited");
    let wait: u64 = answer.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!((70..=77).contains(&wait), "{wait}");
    assert_eq!(status(&user, &id).await, "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_slower_than_the_deadline_is_a_timeout() {
    let app = TestApp::with(&[("STATS_DEADLINE_MS", "400")]).await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    simulator.always(Some(Fault::Stall(Duration::from_secs(30))));
    user.get(&question(&id)).await.problem(504, "upstream_timeout");
    user.send("GET", &question(&id), &[("accept", "application/x-ndjson")], None)
        .await
        .problem(504, "upstream_timeout");
    assert_eq!(status(&user, &id).await, "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_is_gone_is_unavailable() {
    let app = TestApp::with(&[("STATS_DEADLINE_MS", "4000")]).await;
    let user = app.user("acme", Plan::Pro);
    let nowhere = json!({
        "name": "Nowhere", "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": "https://tracker.invalid" }, "credentials": { "api_key": "0123456789abcdef" },
    });
    let created = user.post("/api/v1/connections?verify=deferred", &nowhere).await.ok(201);
    let unknown = created["id"].as_str().expect("an id");
    user.get(&question(unknown)).await.problem(502, "upstream_unavailable");
    let simulator = Simulator::start(Affise::default());
    let gone = add(&user, &simulator, Owner::Network).await;
    drop(simulator);
    eventually("the simulator's end", async || {
        let answer = user.send("GET", &question(&gone), &[("cache-control", "no-cache")], None).await;
        (answer.status != 200).then(|| answer.problem(502, "upstream_unavailable"))
    })
    .await;
    assert_eq!(status(&user, &gone).await, "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_used_a_connection_is_written_down() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Used").await;
    assert_eq!(connection(&user, &id).await["last_used_at"], Value::Null);
    let demo = path(&id, "group_by=date&preset=last_7_days");
    // The second comes from memory and counts as well.
    for automation in ["nightly report", "nightly report", "hourly"] {
        user.send("GET", &demo, &[("x-automation-id", automation)], None).await.ok(200);
    }
    let csv = [("x-automation-id", "export"), ("accept", "text/csv")];
    assert_eq!(user.send("GET", &demo, &csv, None).await.status, 200);
    let automations = eventually("the list of automations", async || {
        let page = user.get(&format!("/api/v1/connections/{id}/automations")).await.ok(200);
        let found = list(&page["data"]);
        (found.len() == 3).then_some(found)
    })
    .await;
    let mut names: Vec<&str> = automations.iter().map(|one| one["automation_id"].as_str().expect("a name")).collect();
    names.sort_unstable();
    assert_eq!(names, ["export", "hourly", "nightly report"]);
    assert!(automations.iter().all(|one| one["last_used_at"].is_string()));
    assert!(connection(&user, &id).await["last_used_at"].is_string());
    let audit = user.get("/api/v1/audit-events").await.ok(200);
    let used: Vec<Value> =
        list(&audit["data"]).into_iter().filter(|event| event["action"] == "connection.used").collect();
    assert_eq!(used.len(), 1, "once in an hour, whatever the automations are called: {audit}");
    assert_eq!(used[0]["connection_id"], id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_automation_whose_name_is_too_long_is_refused() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Used").await;
    let long = "x".repeat(201);
    user.send("GET", &question(&id), &[("x-automation-id", &long)], None).await.problem(400, "malformed_request");
}
