//! Connections that are saved first and verified in the background.

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    CONNECTIONS, acme, affise, affise_at, eventually, execute, keys_sent, path, service_and_tracker, throttled,
    until_status, with_status,
};
use crate::app::{TestApp, User};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Simulator};

async fn add_deferred(user: &User<'_>, body: &Value) -> String {
    let created = user.post(&format!("{CONNECTIONS}?verify=deferred"), body).await.ok(201);
    assert_eq!((&created["status"], &created["last_verification"]), (&json!("unverified"), &Value::Null));
    created["id"].as_str().expect("an id").to_owned()
}

/// Makes the next attempt due now instead of in some seconds.
async fn hurry(app: &TestApp, id: &str) {
    execute(app, format!("UPDATE connections SET verify_after = 0 WHERE id = '{id}' AND verify_after IS NOT NULL"))
        .await;
}

async fn until_tried(user: &User<'_>, id: &str, times: usize) {
    eventually(&format!("it was tried {times} times"), async || {
        let history = user.get(&format!("{}/verifications", path(id))).await.ok(200);
        (history["data"].as_array().expect("data").len() >= times).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_saved_at_once_and_becomes_what_the_tracker_says() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let good = add_deferred(&user, &affise("Good", &tracker)).await;
    let bad = add_deferred(&user, &affise_at("Bad", &tracker.url, "canary-wrong-wrong-wrong")).await;
    assert_eq!(until_status(&user, &good, "active").await["last_verification"]["status"], "ok");
    let failing = until_status(&user, &bad, "failing").await;
    assert_eq!(failing["last_verification"]["failure"]["code"], "credentials_rejected");
    assert_eq!(failing["version"], 1);
    let events = user.get(&format!("/api/v1/audit-events?connection_id={bad}")).await.ok(200);
    assert_eq!(events["data"][0]["action"], "connection.verified");
    assert_eq!(events["data"][0]["outcome"], "credentials_rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inconclusive_attempt_is_repeated_until_there_is_an_answer() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    tracker.always(Some(throttled()));
    let id = add_deferred(&user, &affise("Brand", &tracker)).await;
    for attempt in 1..=3 {
        until_tried(&user, &id, attempt).await;
        assert_eq!(user.get(&path(&id)).await.ok(200)["status"], "unverified");
        hurry(&app, &id).await;
    }
    tracker.always(None);
    hurry(&app, &id).await;
    until_status(&user, &id, "active").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_none() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    tracker.always(Some(throttled()));
    let waiting = add_deferred(&user, &affise("Waiting", &tracker)).await;
    until_tried(&user, &waiting, 1).await;
    // This one was being worked on when the process died.
    let lost = add_deferred(&user, &affise("Lost", &tracker)).await;
    until_tried(&user, &lost, 1).await;
    execute(&app, format!("UPDATE connections SET lease_until = 1, verify_after = 0 WHERE id = '{lost}'")).await;
    hurry(&app, &waiting).await;

    let app = app.restart().await;
    tracker.always(None);
    hurry(&app, &waiting).await;
    hurry(&app, &lost).await;
    let user = acme(&app);
    until_status(&user, &waiting, "active").await;
    until_status(&user, &lost, "active").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_during_the_attempt_does_not_leave_it_unverified_for_good() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    tracker.inject([Fault::Stall(Duration::from_secs(1))]);
    let id = add_deferred(&user, &affise("Before", &tracker)).await;
    eventually("the tracker is called", async || (!tracker.requests().is_empty()).then_some(())).await;
    user.patch(&path(&id), &json!({ "name": "After" })).await.ok(200);
    let verified = until_status(&user, &id, "active").await;
    assert_eq!((&verified["name"], &verified["version"]), (&json!("After"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_or_a_deletion_takes_the_place_of_the_attempt() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    tracker.always(Some(throttled()));
    let changed = add_deferred(&user, &affise("Changed", &tracker)).await;
    let deleted = add_deferred(&user, &affise("Deleted", &tracker)).await;
    until_tried(&user, &changed, 1).await;
    until_tried(&user, &deleted, 1).await;
    tracker.always(None);
    assert_eq!(user.delete(&path(&deleted)).await.status, 204);
    let body = json!({ "credentials": { "api_key": ADMIN_KEY } });
    assert_eq!(user.patch(&path(&changed), &body).await.ok(200)["status"], "active");
    tracker.forget();
    hurry(&app, &changed).await;
    hurry(&app, &deleted).await;
    // A third one shows that the background has had its turn.
    let after = add_deferred(&user, &affise_at("After", &tracker.url, "canary-wrong-wrong-wrong")).await;
    until_status(&user, &after, "failing").await;
    assert_eq!(keys_sent(&tracker), ["canary-wrong-wrong-wrong"]);
    user.get(&path(&deleted)).await.problem(410, "connection_deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_verify_each_connection_once() {
    let (app, tracker) = service_and_tracker().await;
    let replica = app.replica(&[]).await;
    let (user, other) = (acme(&app), replica.user("acme", Plan::Business));
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(add_deferred(&user, &affise(&format!("First {n}"), &tracker)).await);
        ids.push(add_deferred(&other, &affise(&format!("Second {n}"), &tracker)).await);
    }
    for id in &ids {
        until_status(&user, id, "active").await;
        let history = other.get(&format!("{}/verifications", path(id))).await.ok(200);
        assert_eq!(history["data"].as_array().expect("data").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_cannot_be_guessed_by_saving_them_unverified_either() {
    let (app, tracker) =
        (TestApp::with(&[("RATE_LIMIT_VERIFY_FAILURES", "3")]).await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let deferred = format!("{CONNECTIONS}?verify=deferred");
    let guesses: Vec<Value> =
        (0..9).map(|n| affise_at(&format!("Guess {n}"), &tracker.url, &format!("canary-guess-{n:04}"))).collect();
    let answers = join_all(guesses.iter().map(|guess| user.post(&deferred, guess))).await;
    assert_eq!(with_status(&answers, 201), 3);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.problem(429, "rate_limited");
        assert!(refused.header("retry-after").is_some());
    }
    // What was accepted is verified all the same, and deleting it gives no further guess.
    for saved in answers.iter().filter(|answer| answer.status == 201) {
        let id = saved.json()["id"].as_str().expect("an id").to_owned();
        until_status(&user, &id, "failing").await;
        assert_eq!(user.delete(&path(&id)).await.status, 204);
    }
    user.post(&deferred, &affise("Brand", &tracker)).await.problem(429, "rate_limited");
    user.post("/api/v1/connections/verify", &affise("Brand", &tracker)).await.problem(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn good_ones_give_their_places_back_and_refused_ones_take_none() {
    let (app, tracker) =
        (TestApp::with(&[("RATE_LIMIT_VERIFY_FAILURES", "1")]).await, Simulator::start(Affise::default()));
    let user = acme(&app);
    for n in 0..3 {
        let id = add_deferred(&user, &affise(&format!("Brand {n}"), &tracker)).await;
        until_status(&user, &id, "active").await;
        let taken =
            user.post(&format!("{CONNECTIONS}?verify=deferred"), &affise(&format!("Brand {n}"), &tracker)).await;
        taken.problem(409, "name_taken");
    }
}
