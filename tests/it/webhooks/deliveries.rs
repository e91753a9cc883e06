//! Events on their way: signed, once, in order, and only those that are wanted.

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{
    Hook, WEBHOOKS, acme, bodies, flip, happen, is_signed_with, receiver, sequences, subscribe, until_attempts,
    until_called,
};
use crate::app::TestApp;
use crate::connections::{eventually, execute};
use crate::support::tracker::{Fault, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_sent_as_it_is_in_the_feed_and_signed() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    happen(&user, "Before").await;
    let hook = subscribe(&user, &format!("{}/hook?team=ops", receiver.url)).await;
    happen(&user, "After").await;
    let request = until_called(&receiver, 1).await.remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str(), request.param("team")), ("POST", "/hook", Some("ops")));
    assert!(is_signed_with(&request, &hook.secret));
    let feed = user.get("/api/v1/events").await.ok(200);
    assert_eq!(bodies(&receiver), [feed["data"][1].clone()], "what was before is not sent");
    assert_eq!(request.header("webhook-id"), feed["data"][1]["id"].as_str());
    let sent_at: i64 = request.header("webhook-timestamp").expect("a time").parse().expect("whole seconds");
    assert!((jiff::Timestamp::now().as_second() - sent_at).abs() < 60);
    assert!(request.header("authorization").is_none() && request.header("cookie").is_none());

    let attempt = until_attempts(&user, &hook, 1).await.remove(0);
    assert_eq!(attempt["event_id"], feed["data"][1]["id"]);
    assert_eq!(
        (&attempt["type"], &attempt["attempt"], &attempt["outcome"], &attempt["status"], &attempt["error"]),
        (&json!("connection.deleted"), &json!(1), &json!("delivered"), &json!(204), &json!(null))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn any_2xx_is_success_and_only_wanted_events_are_sent() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let body = json!({ "url": receiver.url, "events": ["connection.recovered"] });
    let hook = Hook::of(&user.post(WEBHOOKS, &body).await.ok(201));
    receiver.always(Some(Fault::Instead(Reply::text(202, "text/html", "<p>thanks"))));
    let id = user.add_demo("Flipping").await;
    flip(&user, &id).await;
    happen(&user, "Unwanted").await;
    flip(&user, &id).await;
    until_called(&receiver, 2).await;
    let types: Vec<Value> = bodies(&receiver).iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["connection.recovered", "connection.recovered"]);
    until_attempts(&user, &hook, 2).await;
    assert_eq!(hook.outcomes(&user).await, ["delivered", "delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_come_in_order_and_each_once_with_two_replicas_at_work() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let _second = app.replica(&[]).await;
    let user = acme(&app);
    subscribe(&user, &receiver.url).await;
    let ids = [user.add_demo("One").await, user.add_demo("Two").await];
    for round in 0..15 {
        flip(&user, &ids[round % 2]).await;
    }
    until_called(&receiver, 30).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sequences(&receiver), (1..=30).collect::<Vec<i64>>());
    assert_eq!(receiver.most_at_once(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_turned_off_is_sent_nothing_and_resumes_with_what_comes_then() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    user.patch(&hook.path(), &json!({ "active": false })).await.ok(200);
    happen(&user, "Missed").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(receiver.requests().is_empty());
    user.patch(&hook.path(), &json!({ "active": true })).await.ok(200);
    happen(&user, "Reported").await;
    until_called(&receiver, 1).await;
    assert_eq!(bodies(&receiver)[0]["connection"]["name"], "Reported");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_retention_has_deleted_stop_nothing() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    // One is tried again later, and others are not tried yet.
    receiver.always(Some(Fault::Instead(Reply::text(500, "text/plain", "oops"))));
    for number in 0..6 {
        happen(&user, &format!("Old {number}")).await;
    }
    until_attempts(&user, &hook, 3).await;
    execute(&app, "DELETE FROM events".to_owned()).await;
    receiver.always(None);
    receiver.forget();
    super::due_now(&app).await;
    happen(&user, "New").await;
    eventually("the new event arrives", async || {
        super::due_now(&app).await;
        bodies(&receiver).iter().any(|event| event["connection"]["name"] == "New").then_some(())
    })
    .await;
    assert_eq!(sequences(&receiver), [7]);
    eventually("what is no longer kept is given up", async || {
        super::due_now(&app).await;
        let attempts = hook.attempts(&user).await;
        attempts.iter().any(|attempt| attempt["error"] == "The event is no longer kept.").then_some(())
    })
    .await;
    assert_eq!(hook.show(&user).await["active"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_dead_receivers_hold_up_nobody() {
    let app = TestApp::with(&[("WEBHOOK_TIMEOUT_MS", "4000")]).await;
    let (dead, well, other) = (receiver(), receiver(), receiver());
    dead.always(Some(Fault::Stall(Duration::from_secs(60))));
    let (user, neighbour) = (acme(&app), app.user("neighbour", Plan::Pro));
    for number in 0..10 {
        subscribe(&user, &format!("{}/{number}", dead.url)).await;
    }
    subscribe(&user, &well.url).await;
    subscribe(&neighbour, &other.url).await;
    for number in 0..5 {
        happen(&user, &format!("Event {number}")).await;
        happen(&neighbour, &format!("Event {number}")).await;
    }
    // None of the dead ones has answered by then, and all of them are being asked.
    until_called(&well, 5).await;
    until_called(&other, 5).await;
    assert_eq!((sequences(&well), sequences(&other)), ((1..=5).collect(), (1..=5).collect()));
    let asked = dead.requests().len();
    assert!((1..=30).contains(&asked), "{asked} calls of receivers that do not answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_at_a_trackers_own_address_takes_nothing_from_the_tracker() {
    use crate::connections::affise;
    use crate::support::affise::Affise;
    use crate::support::tracker::Simulator;
    let (app, network) = (TestApp::with(&[("STATS_CACHE_TTL_S", "0")]).await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let id = user.add(affise("Brand", &network)).await;
    let hook = subscribe(&user, &format!("{}/hook", network.url)).await;
    // The tracker knows no such path: every delivery fails, often enough for a breaker.
    for number in 0..4 {
        happen(&user, &format!("Event {number}")).await;
    }
    for _ in 0..12 {
        super::due_now(&app).await;
        user.send("POST", &format!("{}/test", hook.path()), &[], None).await.ok(200);
    }
    let refused: Vec<Value> = hook.attempts(&user).await;
    assert!(refused.iter().filter(|attempt| attempt["outcome"] != "delivered").count() >= 12, "{refused:?}");
    user.get(&format!("/api/v1/connections/{id}/stats?group_by=date&from=2026-11-16&to=2026-11-17")).await.ok(200);
    let keys = network.requests().into_iter().filter(|request| request.path == "/hook");
    assert!(keys.clone().count() >= 12);
    assert!(keys.into_iter().all(|request| request.header("api-key").is_none()), "never a tracker's credentials");
}
