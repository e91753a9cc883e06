//! Verifying: dry runs, and saved connections again.

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    CONNECTIONS, acme, affise, affise_at, eventually, fields, keys_sent, path, revoked, service_and_tracker, throttled,
    with_status,
};
use crate::app::TestApp;
use crate::support::affise::{ADMIN_KEY, AFFILIATE_KEY, Affise};
use crate::support::tracker::{Fault, Simulator};

const DRY_RUN: &str = "/api/v1/connections/verify";

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_answers_200_whatever_comes_out_and_saves_nothing() {
    let (app, tracker) = service_and_tracker().await;
    let user = app.user("acme", Plan::Starter);
    let mut nameless = affise("Brand", &tracker);
    nameless.as_object_mut().expect("an object").remove("name");
    let good = user.post(DRY_RUN, &nameless).await.ok(200);
    assert_eq!((&good["status"], &good["failure"]), (&json!("ok"), &Value::Null));
    let stages: Vec<_> = good["stages"].as_array().expect("stages").iter().map(|stage| &stage["name"]).collect();
    assert_eq!(stages, ["resolve", "connect", "tls", "request", "authenticate", "authorize"]);

    let answer = user.post(DRY_RUN, &affise_at("Brand", &tracker.url, "canary-wrong-wrong-wrong")).await;
    let bad = answer.ok(200);
    assert_eq!((&bad["status"], &bad["failure"]["code"]), (&json!("failed"), &json!("credentials_rejected")));
    assert!(!answer.text.contains("wrong-wrong"));
    let other = user.post(DRY_RUN, &affise_at("Brand", &tracker.url, AFFILIATE_KEY)).await.ok(200);
    assert_eq!(other["failure"]["code"], "wrong_portal");
    tracker.inject([throttled()]);
    let unsure = user.post(DRY_RUN, &affise("Brand", &tracker)).await.ok(200);
    assert_eq!((&unsure["status"], &unsure["failure"]["retryable"]), (&json!("inconclusive"), &json!(true)));

    assert!(user.get(CONNECTIONS).await.ok(200)["data"].as_array().expect("data").is_empty());
    let events = user.get("/api/v1/audit-events").await.ok(200);
    let events = events["data"].as_array().expect("data");
    let outcomes: Vec<_> = events.iter().map(|event| (&event["action"], &event["outcome"])).collect();
    let verified = json!("credentials.verified");
    let expected = [json!("rate_limited"), json!("wrong_portal"), json!("credentials_rejected"), json!("ok")];
    assert_eq!(outcomes, expected.iter().map(|outcome| (&verified, outcome)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_checks_the_body_as_strictly_as_creating_does() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let mut body = affise("Brand", &tracker);
    body["credentials"]["api_kye"] = json!("x");
    let problem = user.post(DRY_RUN, &body).await.problem(422, "validation_failed");
    assert_eq!(fields(&problem), [("/credentials/api_kye".to_owned(), "unknown_field".to_owned())]);
    assert!(tracker.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn verifying_again_follows_the_tracker_but_an_outage_changes_no_status() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let verify = format!("{}/verify", path(&id));
    let mut expected = "active";
    for (fault, outcome, status) in [
        (Some(throttled()), "inconclusive", "active"),
        (Some(revoked()), "failed", "failing"),
        (Some(throttled()), "inconclusive", "failing"),
        (None, "ok", "active"),
    ] {
        assert_eq!(user.get(&path(&id)).await.ok(200)["status"], expected);
        tracker.inject(fault);
        let verification = user.send("POST", &verify, &[], None).await.ok(200);
        assert_eq!(verification["status"], outcome);
        let shown = user.get(&path(&id)).await.ok(200);
        assert_eq!((&shown["status"], &shown["version"]), (&json!(status), &json!(1)));
        assert_eq!(shown["last_verification"], verification);
        expected = status;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_verifications_are_limited_so_that_keys_cannot_be_guessed() {
    let app = TestApp::with(&[("RATE_LIMIT_VERIFY_FAILURES", "2")]).await;
    let tracker = Simulator::start(Affise::default());
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let wrong = affise_at("Other", &tracker.url, "canary-wrong-wrong-wrong");
    user.post(DRY_RUN, &wrong).await.ok(200);
    user.post(CONNECTIONS, &wrong).await.problem(422, "verification_failed");
    tracker.forget();
    for answer in [
        user.post(DRY_RUN, &wrong).await,
        user.post(CONNECTIONS, &wrong).await,
        user.patch(&path(&id), &json!({ "credentials": { "api_key": "x" } })).await,
        user.post(&format!("{}/verify", path(&id)), &json!({})).await,
    ] {
        assert!(answer.header("retry-after").is_some());
        answer.problem(429, "rate_limited");
    }
    assert!(tracker.requests().is_empty());
    app.user("other", Plan::Pro).post(DRY_RUN, &affise_at("A", &tracker.url, ADMIN_KEY)).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_made_at_the_same_time_are_no_more_than_those_made_in_turn() {
    let app = TestApp::with(&[("RATE_LIMIT_VERIFY_FAILURES", "5")]).await;
    let tracker = Simulator::start(Affise::default());
    let user = acme(&app);
    let guesses: Vec<Value> =
        (0..60).map(|n| affise_at("Guess", &tracker.url, &format!("canary-guess-{n:04}"))).collect();
    let answers = join_all(guesses.iter().map(|guess| user.post(DRY_RUN, guess))).await;
    assert_eq!(with_status(&answers, 200), 5);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.problem(429, "rate_limited");
        let wait: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(refused.header("ratelimit-policy"), Some("\"verifications\";q=5"));
        assert_eq!(refused.header("ratelimit"), Some(format!("\"verifications\";r=0;t={wait}").as_str()));
    }
    assert_eq!(keys_sent(&tracker).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn good_verifications_take_no_place_for_longer_than_they_last() {
    let app = TestApp::with(&[("RATE_LIMIT_VERIFY_FAILURES", "3")]).await;
    let tracker = Simulator::start(Affise::default());
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let good = affise("Another", &tracker);
    let again = format!("{}/verify", path(&id));
    for _ in 0..4 {
        let nothing = json!({});
        let (dry, stored) = tokio::join!(user.post(DRY_RUN, &good), user.post(&again, &nothing));
        assert_eq!((&dry.ok(200)["status"], &stored.ok(200)["status"]), (&json!("ok"), &json!("ok")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_while_the_tracker_is_asked_has_asked() {
    let app = TestApp::with(&[("RATE_LIMIT_VERIFY_FAILURES", "1")]).await;
    let tracker = Simulator::start(Affise::default());
    let user = acme(&app);
    tracker.inject([Fault::Stall(Duration::from_secs(5))]);
    let guess = affise_at("Guess", &tracker.url, "canary-guess-0000");
    tokio::select! {
        _ = user.post(DRY_RUN, &guess) => panic!("the tracker stalls"),
        () = eventually("the tracker is asked", async || (!tracker.requests().is_empty()).then_some(())) => {}
    }
    for _ in 0..10 {
        user.post(DRY_RUN, &guess).await.problem(429, "rate_limited");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
