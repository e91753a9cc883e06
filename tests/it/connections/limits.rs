//! The plan's limit, under any concurrency.

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{CONNECTIONS, affise, execute, names, path, service_and_tracker, with_status};
use crate::app::{Answer, TestApp};

fn brands(tracker: &crate::support::tracker::Simulator, count: usize) -> Vec<Value> {
    (0..count).map(|n| affise(&format!("Brand {n}"), tracker)).collect()
}

#[track_caller]
fn assert_limited(answers: &[Answer], allowed: u32) {
    assert_eq!(with_status(answers, 201), allowed as usize);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        let problem = refused.problem(409, "connection_limit_reached");
        assert_eq!(problem["plan"], "pro");
        assert_eq!((&problem["limit"], &problem["used"]), (&json!(allowed), &json!(allowed)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_race_for_three_places_three_get_one() {
    let (app, tracker) = service_and_tracker().await;
    let user = app.user("acme", Plan::Pro);
    let bodies = brands(&tracker, 20);
    let answers = join_all(bodies.iter().map(|body| user.post(CONNECTIONS, body))).await;
    assert_limited(&answers, 3);
    assert_eq!(names(&user.get(CONNECTIONS).await.ok(200)).len(), 3);
    let usage = user.get("/api/v1/usage").await.ok(200);
    let expected = json!({ "plan": "pro", "limit": 3, "used": 3, "remaining": 0, "over_limit": false, "demo_used": 0 });
    assert_eq!(usage, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_holds_across_replicas_and_for_deferred_connections() {
    let (app, tracker) = service_and_tracker().await;
    let replica = app.replica(&[]).await;
    let users = [app.user("acme", Plan::Pro), replica.user("acme", Plan::Pro)];
    let bodies = brands(&tracker, 20);
    let deferred = format!("{CONNECTIONS}?verify=deferred");
    let answers = join_all(bodies.iter().enumerate().map(|(n, body)| {
        let at = if n % 4 < 2 { CONNECTIONS } else { &deferred };
        users[n % 2].post(at, body)
    }))
    .await;
    assert_limited(&answers, 3);
    assert_eq!(names(&users[1].get(CONNECTIONS).await.ok(200)).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_plan_is_reported_before_the_tracker_is_called() {
    let (app, tracker) = service_and_tracker().await;
    let user = app.user("acme", Plan::Starter);
    user.add(affise("One", &tracker)).await;
    tracker.forget();
    user.post(CONNECTIONS, &affise("Two", &tracker)).await.problem(409, "connection_limit_reached");
    assert!(tracker.requests().is_empty());
    app.user("other", Plan::Starter).add(affise("One", &tracker)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_connections_do_not_count_but_end_at_a_hundred() {
    let (app, tracker) = service_and_tracker().await;
    let user = app.user("acme", Plan::Starter);
    for n in 0..99 {
        user.add_demo(&format!("Demo {n}")).await;
    }
    let last: Vec<Value> = (99..104).map(|n| json!({ "name": format!("Demo {n}"), "platform": "demo" })).collect();
    let answers = join_all(last.iter().map(|body| user.post(CONNECTIONS, body))).await;
    assert_eq!(with_status(&answers, 201), 1);
    let refused = answers.iter().find(|answer| answer.status != 201).expect("a refused one");
    let problem = refused.problem(409, "connection_limit_reached");
    assert_eq!((&problem["limit"], &problem["used"]), (&json!(100), &json!(100)));
    user.add(affise("Brand", &tracker)).await;
    let usage = user.get("/api/v1/usage").await.ok(200);
    assert_eq!((&usage["used"], &usage["remaining"], &usage["demo_used"]), (&json!(1), &json!(0), &json!(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_downgrade_everything_is_there_and_works_but_nothing_can_be_added() {
    let (app, tracker) = service_and_tracker().await;
    let before = app.user("acme", Plan::Pro);
    let mut ids = Vec::new();
    for body in brands(&tracker, 3) {
        ids.push(before.add(body).await);
    }
    let user = app.user("acme", Plan::Starter);
    let usage = user.get("/api/v1/usage").await.ok(200);
    let expected =
        json!({ "plan": "starter", "limit": 1, "used": 3, "remaining": 0, "over_limit": true, "demo_used": 0 });
    assert_eq!(usage, expected);
    assert_eq!(names(&user.get(CONNECTIONS).await.ok(200)).len(), 3);
    for id in &ids {
        user.get(&format!("{}/stats?group_by=date&from=2026-09-01&to=2026-09-02", path(id))).await.ok(200);
        user.patch(&path(id), &json!({ "settings": { "currency": "USD" } })).await.ok(200);
        assert_eq!(user.post(&format!("{}/verify", path(id)), &json!({})).await.ok(200)["status"], "ok");
    }
    user.post(CONNECTIONS, &affise("More", &tracker)).await.problem(409, "connection_limit_reached");
    user.add_demo("Demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_come_from_the_configuration() {
    let app = TestApp::with(&[("PLAN_LIMITS", "starter=0,pro=2,pro_plus=8,business=10")]).await;
    assert_eq!(app.user("acme", Plan::Starter).get("/api/v1/usage").await.ok(200)["limit"], 0);
    assert_eq!(app.user("acme", Plan::Pro).get("/api/v1/usage").await.ok(200)["remaining"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_takes_no_place_however_many_there_are() {
    let (app, tracker) = service_and_tracker().await;
    let user = app.user("acme", Plan::Starter);
    for n in 0..3 {
        let id = user.add(affise(&format!("Brand {n}"), &tracker)).await;
        assert_eq!(user.delete(&path(&id)).await.status, 204);
    }
    // Even one whose row was damaged by hand counts by what it is, not by what it holds.
    let id = user.add(affise("Damaged", &tracker)).await;
    execute(&app, format!("UPDATE connections SET credentials_sealed = NULL WHERE id = '{id}'")).await;
    assert_eq!(user.get("/api/v1/usage").await.ok(200)["used"], 1);
    assert_eq!(user.delete(&path(&id)).await.status, 204);
    assert_eq!(user.get("/api/v1/usage").await.ok(200)["used"], 0);
}
