//! What becomes of events that a receiver does not take.

use std::time::Duration;

use serde_json::{Value, json};

use super::{acme, bodies, due_now, flip, happen, receiver, sequences, subscribe, until_attempts, until_called};
use crate::app::TestApp;
use crate::connections::{all_entries, eventually, execute};
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

fn down() -> Fault {
    Fault::Instead(Reply::text(503, "text/plain", "down"))
}

/// A receiver that never takes the events of one connection.
struct Choosy;

impl Tracker for Choosy {
    fn answer(&self, request: &Request) -> Reply {
        let event: Value = serde_json::from_slice(&request.body).expect("JSON");
        let status = if event["connection"]["name"] == "Poison" { 500 } else { 204 };
        Reply { status, headers: Vec::new(), body: Vec::new() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_event_is_tried_again_after_some_seconds_by_itself() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    receiver.inject([down()]);
    happen(&user, "Retried").await;
    let attempts = until_attempts(&user, &hook, 2).await;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| (&attempt["attempt"], &attempt["outcome"])).collect();
    assert_eq!(outcomes, [(&json!(2), &json!("delivered")), (&json!(1), &json!("retrying"))]);
    assert_eq!(attempts[1]["error"], "The receiver answered 503.");
    let times: Vec<jiff::Timestamp> =
        attempts.iter().map(|attempt| attempt["at"].as_str().expect("a time").parse().expect("a time")).collect();
    let pause = times[0].duration_since(times[1]);
    assert!(pause >= jiff::SignedDuration::from_secs(5), "{pause:?}");
    let requests = receiver.requests();
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(requests[0].body, requests[1].body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_back_gets_everything_in_order() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    receiver.always(Some(down()));
    let id = user.add_demo("Flipping").await;
    for _ in 0..4 {
        flip(&user, &id).await;
    }
    until_attempts(&user, &hook, 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = receiver.requests().len();
    assert!(asked <= 4, "a receiver that keeps failing is left alone: {asked}");
    receiver.always(None);
    receiver.forget();
    // A test that is taken says that it is back.
    assert_eq!(user.send("POST", &format!("{}/test", hook.path()), &[], None).await.ok(200)["delivered"], true);
    until_called(&receiver, 9).await;
    assert_eq!(sequences(&receiver), (1..=8).collect::<Vec<i64>>());
    eventually("nothing is left to be tried again", async || {
        (hook.outcomes(&user).await.iter().filter(|outcome| *outcome == "delivered").count() == 9).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_never_taken_holds_up_no_other() {
    let (app, receiver) = (TestApp::start().await, Simulator::start(Choosy));
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    for round in 0..4 {
        for poison in 0..3 {
            let id = user.add_demo("Poison").await;
            assert_eq!(user.delete(&format!("/api/v1/connections/{id}")).await.status, 204, "{poison}");
        }
        happen(&user, &format!("Good {round}")).await;
    }
    let good = || bodies(&receiver).into_iter().filter(|event| event["connection"]["name"] != "Poison");
    eventually("the good events arrive", async || {
        due_now(&app).await;
        (good().count() == 4).then_some(())
    })
    .await;
    let names: Vec<Value> = good().map(|event| event["connection"]["name"].clone()).collect();
    assert_eq!(names, ["Good 0", "Good 1", "Good 2", "Good 3"], "each once, and in order");
    assert_eq!(hook.show(&user).await["active"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_three_days_a_webhook_is_paused_and_says_so_and_resumes_on_request() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    receiver.always(Some(down()));
    happen(&user, "Lost").await;
    until_attempts(&user, &hook, 1).await;
    // Two attempts do not make three days, whatever a clock says.
    execute(&app, "UPDATE webhook_retries SET first_at = 1".to_owned()).await;
    due_now(&app).await;
    until_attempts(&user, &hook, 2).await;
    assert_eq!(hook.show(&user).await["active"], true);
    execute(&app, "UPDATE webhook_retries SET attempts = 30".to_owned()).await;
    due_now(&app).await;
    let shown = eventually("the webhook is paused", async || {
        Some(hook.show(&user).await).filter(|shown| shown["active"] == false)
    })
    .await;
    assert_eq!(shown["paused_reason"], "failures");
    let attempt = hook.attempts(&user).await.remove(0);
    assert_eq!((&attempt["attempt"], &attempt["outcome"]), (&json!(31), &json!("failed")));
    let audited = all_entries(&user, "/api/v1/audit-events", 100).await;
    let paused: Vec<&Value> = audited.iter().filter(|event| event["action"] == "webhook.paused").collect();
    assert_eq!(paused.len(), 1);
    assert_eq!(
        (&paused[0]["detail"]["webhook_id"], &paused[0]["detail"]["reason"], &paused[0]["actor"]),
        (&json!(hook.id), &json!("failures"), &json!("background"))
    );

    receiver.always(None);
    receiver.forget();
    let resumed = user.patch(&hook.path(), &json!({ "active": true })).await.ok(200);
    assert_eq!((&resumed["active"], &resumed["paused_reason"]), (&json!(true), &json!(null)));
    happen(&user, "New").await;
    until_called(&receiver, 1).await;
    assert_eq!(bodies(&receiver)[0]["connection"]["name"], "New", "what was missed is in the feed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_turned_off_at_once() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    receiver.always(Some(Fault::Instead(Reply::text(410, "text/plain", "gone"))));
    for number in 0..3 {
        happen(&user, &format!("Event {number}")).await;
    }
    let shown = eventually("the webhook is turned off", async || {
        Some(hook.show(&user).await).filter(|shown| shown["active"] == false)
    })
    .await;
    assert_eq!(shown["paused_reason"], "gone");
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(hook.outcomes(&user).await, ["failed"]);
    let off = user.patch(&hook.path(), &json!({ "active": false })).await.ok(200);
    assert_eq!(off["paused_reason"], json!(null), "somebody has turned it off now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_time_gets_it() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    let busy = Reply::text(429, "text/plain", "busy").with_header("retry-after", "3000");
    receiver.inject([Fault::Instead(busy)]);
    happen(&user, "One").await;
    until_attempts(&user, &hook, 1).await;
    happen(&user, "Two").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(receiver.requests().len(), 1);
    due_now(&app).await;
    until_called(&receiver, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_a_clock_has_left_in_the_future_hold_up_nothing() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    receiver.inject([down(), down(), down()]);
    for number in 0..3 {
        happen(&user, &format!("Event {number}")).await;
    }
    until_attempts(&user, &hook, 3).await;
    // A clock that was a year ahead when all this was written, and is right now.
    let year = 31_536_000_000_000_i64;
    for (table, column) in [
        ("webhook_retries", "next_at"),
        ("webhook_retries", "first_at"),
        ("webhooks", "rest_until"),
        ("webhooks", "retry_at"),
        ("webhooks", "served_at"),
    ] {
        execute(&app, format!("UPDATE {table} SET {column} = {column} + {year} WHERE {column} IS NOT NULL")).await;
    }
    execute(&app, format!("UPDATE webhooks SET lease_until = rest_until + {year}, lease_owner = 'nobody'")).await;
    until_called(&receiver, 6).await;
    eventually("all are delivered", async || {
        (hook.outcomes(&user).await.iter().filter(|outcome| *outcome == "delivered").count() == 3).then_some(())
    })
    .await;
}
