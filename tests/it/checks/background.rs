//! Checks in the background: what they find, when they come, and what they never do.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{acme, down, due_now, event_types, revoked};
use crate::app::{TestApp, User};
use crate::connections::{affise, eventually, execute, path, until_status};
use crate::support::affise::Affise;
use crate::support::tracker::{Fault, Reply, Simulator};

async fn shown(user: &User<'_>, id: &str) -> Value {
    user.get(&path(id)).await.ok(200)
}

/// Seconds from now until the next check.
fn until_check(connection: &Value) -> i64 {
    let at: Timestamp = connection["health"]["next_check_at"].as_str().expect("a time").parse().expect("a time");
    at.as_second() - Timestamp::now().as_second()
}

/// Has a connection checked now, and waits until that is written down.
async fn check(app: &TestApp, user: &User<'_>, id: &str) -> Value {
    let before = shown(user, id).await["health"]["last_checked_at"].clone();
    due_now(app, id).await;
    eventually("it is checked", async || {
        Some(shown(user, id).await).filter(|now| now["health"]["last_checked_at"] != before)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_checked_without_anybody_asking_and_leaves_no_noise() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let fresh = shown(&user, &id).await;
    assert!((21_590..=27_010).contains(&until_check(&fresh)), "an interval, and up to a quarter more: {fresh}");
    tracker.forget();
    let checked = check(&app, &user, &id).await;
    assert!(!tracker.requests().is_empty());
    assert_eq!((&checked["status"], &checked["version"]), (&json!("active"), &json!(1)));
    assert!((21_590..=27_010).contains(&until_check(&checked)), "{checked}");
    let history = user.get(&format!("{}/verifications", path(&id))).await.ok(200);
    assert_eq!(history["data"].as_array().expect("data").len(), 1, "the same outcome is no history");
    let audit = user.get("/api/v1/audit-events").await.ok(200);
    assert_eq!(audit["data"].as_array().expect("data").len(), 1, "nobody did anything: {audit}");
    assert_eq!(event_types(&user).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_the_background_meets_is_confirmed_before_it_counts() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    tracker.always(Some(revoked()));
    let suspected = check(&app, &user, &id).await;
    assert_eq!((&suspected["status"], &suspected["health"]["reason"]), (&json!("active"), &Value::Null));
    assert!((55..=76).contains(&until_check(&suspected)), "a minute later at the earliest: {suspected}");
    assert_eq!(event_types(&user).await, [""; 0]);

    check(&app, &user, &id).await;
    let failing = until_status(&user, &id, "failing").await;
    assert_eq!(failing["health"]["reason"]["source"], "background");
    assert_eq!(failing["health"]["reason"]["code"], "credentials_rejected");
    check(&app, &user, &id).await;
    assert_eq!(event_types(&user).await, ["connection.failing"], "once");

    tracker.always(None);
    check(&app, &user, &id).await;
    assert_eq!(shown(&user, &id).await["status"], "active");
    assert_eq!(event_types(&user).await, ["connection.failing", "connection.recovered"]);
    let audit = user.get("/api/v1/audit-events").await.ok(200);
    let checks: Vec<&Value> =
        audit["data"].as_array().expect("data").iter().filter(|event| event["detail"]["background"] == true).collect();
    assert_eq!(checks.len(), 2, "what changed something: {audit}");
    assert!(checks.iter().all(|event| event["actor"] == "background"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_in_between_ends_the_suspicion_and_a_person_needs_no_second() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    for _ in 0..2 {
        tracker.always(Some(revoked()));
        check(&app, &user, &id).await;
        tracker.always(None);
        check(&app, &user, &id).await;
    }
    assert_eq!(event_types(&user).await, [""; 0]);
    tracker.always(Some(revoked()));
    user.post(&format!("{}/verify", path(&id)), &Value::Null).await.ok(200);
    assert_eq!(event_types(&user).await, ["connection.failing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_throttling_and_walls_warn_and_never_make_it_failing() {
    let cases = [
        (Fault::Instead(Reply::text(500, "text/plain", "oops")), "platform_error"),
        (Fault::Instead(Reply::json(429, &json!({})).with_header("retry-after", "60")), "rate_limited"),
        (Fault::Instead(Reply::text(403, "text/plain", "error code: 1010")), "access_blocked"),
        (Fault::Instead(Reply::html(200)), "not_this_platform"),
    ];
    for (fault, code) in cases {
        let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
        let user = acme(&app);
        let id = user.add(affise("Brand", &tracker)).await;
        tracker.always(Some(fault));
        let warned = check(&app, &user, &id).await;
        assert_eq!((&warned["status"], &warned["health"]["reason"]), (&json!("active"), &Value::Null));
        assert_eq!(warned["health"]["warning"]["code"], code, "{warned}");
        let again = check(&app, &user, &id).await;
        assert_eq!(again["health"]["warning"]["since"], warned["health"]["warning"]["since"]);
        assert!(until_check(&again) > 21_000, "it is left alone for an interval: {again}");
        assert_eq!(event_types(&user).await, [""; 0]);
        tracker.always(None);
        user.post(&format!("{}/verify", path(&id)), &Value::Null).await.ok(200);
        assert_eq!(shown(&user, &id).await["health"]["warning"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_for_three_intervals_is_reported_once_and_so_is_its_return() {
    let tracker = Simulator::start(Affise::default());
    let app = TestApp::with(&[("HEALTH_CHECK_INTERVAL_S", "1")]).await;
    let user = acme(&app);
    tracker.always(None);
    let id = user.add(affise("Brand", &tracker)).await;
    tracker.always(Some(down()));
    eventually("it is reported", async || (!event_types(&user).await.is_empty()).then_some(())).await;
    let event = &super::feed(&user, 100).await[0];
    assert_eq!((&event["type"], &event["data"]["status"]), (&json!("connection.unreachable"), &json!("active")));
    assert_eq!(event["data"]["reason"]["code"], "platform_error");
    tracker.always(None);
    user.post(&format!("{}/verify", path(&id)), &Value::Null).await.ok(200);
    assert_eq!(event_types(&user).await, ["connection.unreachable", "connection.reachable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_works_puts_the_check_off() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let soon = jiff::Timestamp::now().as_microsecond() + 600_000_000;
    crate::connections::execute(&app, format!("UPDATE connections SET check_after = {soon} WHERE id = '{id}'")).await;
    assert!(until_check(&shown(&user, &id).await) <= 600);
    user.get(&format!("{}/stats?group_by=date&from=2026-11-16&to=2026-11-22", path(&id))).await.ok(200);
    eventually("it is put off", async || (until_check(&shown(&user, &id).await) > 21_000).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_interval_nothing_is_checked() {
    let tracker = Simulator::start(Affise::default());
    let app = TestApp::start().await;
    let id = acme(&app).add(affise("Brand", &tracker)).await;
    due_now(&app, &id).await;
    eventually("it is checked", async || (until_check(&shown(&acme(&app), &id).await) > 0).then_some(())).await;
    let app = TestApp::with(&[("HEALTH_CHECK_INTERVAL_S", "0")]).await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    assert_eq!(shown(&user, &id).await["health"]["next_check_at"], Value::Null);
    // As it was left by a configuration with checks.
    due_now(&app, &id).await;
    tracker.forget();
    eventually("it is taken off the list", async || {
        (shown(&user, &id).await["health"]["next_check_at"] == Value::Null).then_some(())
    })
    .await;
    assert!(tracker.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_release_has_added_is_checked_within_an_interval() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    crate::connections::execute(&app, format!("UPDATE connections SET check_after = NULL WHERE id = '{id}'")).await;
    let listed = eventually("it is put on the list", async || {
        Some(shown(&user, &id).await).filter(|connection| connection["health"]["next_check_at"].is_string())
    })
    .await;
    assert!((-1..=21_600).contains(&until_check(&listed)), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_a_clock_that_has_gone_back_binds_nobody() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    // As if a process had claimed it an hour ahead, and had died.
    let until = Timestamp::now().as_microsecond() + 3_600_000_000;
    execute(&app, format!("UPDATE connections SET lease_until = {until}, lease_owner = 'gone' WHERE id = '{id}'"))
        .await;
    tracker.forget();
    check(&app, &user, &id).await;
    assert!(!tracker.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_replicas_check_each_connection_once() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let _second = app.replica(&[]).await;
    let user = acme(&app);
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(user.add(affise(&format!("Brand {number}"), &tracker)).await);
    }
    let per_check = tracker.requests().len() / ids.len();
    tracker.forget();
    tracker.always(Some(Fault::Stall(std::time::Duration::from_millis(30))));
    crate::connections::execute(&app, "UPDATE connections SET check_after = 1".to_owned()).await;
    for id in &ids {
        eventually("it is checked", async || (until_check(&shown(&user, id).await) > 0).then_some(())).await;
    }
    assert_eq!(tracker.requests().len(), per_check * ids.len());
}
