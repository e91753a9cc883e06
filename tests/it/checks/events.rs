//! The feed of events: each change once, in order, with nothing missed and nothing private.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{acme, due_now, event_types, feed, revoked};
use crate::app::TestApp;
use crate::connections::{CONNECTIONS, affise, affise_at, eventually, execute, path, until_status};
use crate::support::affise::Affise;
use crate::support::tracker::Simulator;

const STATS: &str = "stats?group_by=date&from=2026-11-16&to=2026-11-22&fresh=true";

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_connection_is_reported_in_order_and_without_a_host() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let saved = user.post(&format!("{CONNECTIONS}?verify=deferred"), &affise("Brand", &tracker)).await.ok(201);
    let id = saved["id"].as_str().expect("an id").to_owned();
    until_status(&user, &id, "active").await;
    let stats = format!("{}/{STATS}", path(&id));
    user.send("GET", &stats, &[("x-automation-id", "payout mail")], None).await.ok(200);
    tracker.always(Some(revoked()));
    user.get(&stats).await.problem(424, "credentials_rejected");
    tracker.always(None);
    user.get(&stats).await.ok(200);
    user.patch(&path(&id), &json!({ "name": "Renamed" })).await.ok(200);
    assert_eq!(user.delete(&path(&id)).await.status, 204);
    assert_eq!(user.delete(&path(&id)).await.status, 204);

    let events = feed(&user, 2).await;
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().expect("a type")).collect();
    assert_eq!(types, ["connection.verified", "connection.failing", "connection.recovered", "connection.deleted"]);
    let sequences: Vec<i64> = events.iter().filter_map(|event| event["sequence"].as_i64()).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    let failing = &events[1];
    assert_eq!(
        failing["connection"],
        json!({ "id": id, "name": "Brand", "platform": "affise", "connection_type": "admin" })
    );
    let reason = &failing["data"]["reason"];
    assert_eq!((&reason["code"], &reason["source"]), (&json!("credentials_rejected"), &json!("pull")));
    assert_eq!(reason.as_object().map(serde_json::Map::len), Some(4), "code, owner, hint, source: {reason}");
    assert_eq!(failing["data"]["status"], "failing");
    let deleted = &events[3];
    assert_eq!(
        (&deleted["connection"]["name"], &deleted["data"]["automations"]),
        (&json!("Renamed"), &json!(["payout mail"]))
    );
    let text = serde_json::to_string(&events).expect("text");
    assert!(!text.contains("127.0.0.1") && !text.contains(&tracker.url), "an event names no host: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_with_its_cursor_and_misses_nothing() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let empty = user.get("/api/v1/events").await.ok(200);
    assert_eq!((&empty["data"], &empty["has_more"]), (&json!([]), &json!(false)));
    let cursor = empty["next_cursor"].as_str().expect("never null").to_owned();
    for number in 0..3 {
        let id = user.add_demo(&format!("Demo {number}")).await;
        assert_eq!(user.delete(&path(&id)).await.status, 204);
    }
    let page = user.get(&format!("/api/v1/events?limit=2&cursor={cursor}")).await.ok(200);
    assert_eq!((page["data"].as_array().map(Vec::len), &page["has_more"]), (Some(2), &json!(true)));
    let next = page["next_cursor"].as_str().expect("a cursor");
    let rest = user.get(&format!("/api/v1/events?limit=2&cursor={next}")).await.ok(200);
    assert_eq!((&rest["data"][0]["sequence"], &rest["has_more"]), (&json!(3), &json!(false)));
    let last = rest["next_cursor"].as_str().expect("a cursor");
    let nothing = user.get(&format!("/api/v1/events?cursor={last}")).await.ok(200);
    assert_eq!((&nothing["data"], &nothing["next_cursor"]), (&json!([]), &json!(last)));

    // Another's events are never seen, nor is another's cursor taken.
    let other = app.user("other", Plan::Pro);
    assert_eq!(other.get("/api/v1/events").await.ok(200)["data"], json!([]));
    other.get(&format!("/api/v1/events?cursor={last}")).await.problem(422, "validation_failed");
    user.get("/api/v1/events?cursor=nonsense").await.problem(422, "validation_failed");
    app.user_with_scope("acme", Plan::Pro, "stats:read").get("/api/v1/events").await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_of_pull_check_and_verification_on_several_replicas_is_one_event() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let replicas = [app.replica(&[]).await, app.replica(&[]).await];
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        for (fault, change) in [(Some(revoked()), "connection.failing"), (None, "connection.recovered")] {
            tracker.always(fault);
            due_now(&app, &id).await;
            join_all([&app, &replicas[0], &replicas[1]].into_iter().flat_map(|app| {
                let (stats, verify) = (format!("{}/{STATS}", path(&id)), format!("{}/verify", path(&id)));
                let pull = async move { drop(acme(app).get(&stats).await) };
                let verify = async move { drop(acme(app).post(&verify, &Value::Null).await) };
                [Box::pin(pull) as std::pin::Pin<Box<dyn Future<Output = ()>>>, Box::pin(verify)]
            }))
            .await;
            expected.push(change);
            assert_eq!(event_types(&user).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_beside_writers_on_several_replicas_reads_every_number_once() {
    let app = TestApp::start().await;
    let replica = app.replica(&[]).await;
    let done = Arc::new(AtomicBool::new(false));
    let writers = async {
        join_all((0..6).map(|writer| {
            let app = if writer % 2 == 0 { &app } else { &replica };
            async move {
                for number in 0..8 {
                    let id = acme(app).add_demo(&format!("Demo {writer} {number}")).await;
                    assert_eq!(acme(app).delete(&path(&id)).await.status, 204);
                }
            }
        }))
        .await;
        done.store(true, Ordering::Relaxed);
    };
    let reader = async {
        let (user, mut cursor, mut read) = (acme(&replica), String::new(), Vec::new());
        loop {
            let was_done = done.load(Ordering::Relaxed);
            let page = user.get(&format!("/api/v1/events?limit=3{cursor}")).await.ok(200);
            let data = page["data"].as_array().expect("data");
            read.extend(data.iter().filter_map(|event| event["sequence"].as_i64()));
            cursor = format!("&cursor={}", page["next_cursor"].as_str().expect("a cursor"));
            if was_done && page["has_more"] == false && data.is_empty() {
                return read;
            }
        }
    };
    let ((), read) = tokio::join!(writers, reader);
    assert_eq!(read, (1..=48).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_is_that_of_the_changes_whatever_the_clock_says() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let first = user.add_demo("First").await;
    assert_eq!(user.delete(&path(&first)).await.status, 204);
    // As if the clock had been an hour ahead when that was written.
    let id = "ffffffff-ffff-7fff-bfff-ffffffffffff";
    execute(&app, format!("UPDATE events SET id = '{id}', created_at = created_at + 3600000000")).await;
    let second = user.add_demo("Second").await;
    assert_eq!(user.delete(&path(&second)).await.status, 204);
    let names: Vec<Value> = feed(&user, 1).await.iter().map(|event| event["connection"]["name"].clone()).collect();
    assert_eq!(names, ["First", "Second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_is_not_reported() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let stale = user.send("DELETE", &path(&id), &[("if-match", "\"7\"")], None).await;
    stale.problem(412, "version_conflict");
    let wrong = affise_at("Brand", &tracker.url, "canary-wrong-wrong-wrong");
    user.patch(&path(&id), &json!({ "credentials": wrong["credentials"] })).await.problem(422, "verification_failed");
    assert_eq!(event_types(&user).await, [""; 0]);
    // A number that was given in a transaction that failed is given again.
    assert_eq!(user.delete(&path(&id)).await.status, 204);
    assert_eq!(feed(&user, 100).await[0]["sequence"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_when_audit_events_go_and_their_numbers_do_not_come_again() {
    let app = TestApp::with(&[("AUDIT_RETENTION_DAYS", "30")]).await;
    let user = acme(&app);
    let id = user.add_demo("Old").await;
    assert_eq!(user.delete(&path(&id)).await.status, 204);
    let cursor = user.get("/api/v1/events").await.ok(200)["next_cursor"].as_str().expect("a cursor").to_owned();
    // Of 2024.
    execute(&app, "UPDATE events SET id = '018cc251-f400-7000-8000-000000000000'".to_owned()).await;
    while app.connections.prune().await.expect("pruning") > 0 {}
    assert_eq!(event_types(&user).await, [""; 0]);
    let id = user.add_demo("New").await;
    assert_eq!(user.delete(&path(&id)).await.status, 204);
    let next = user.get(&format!("/api/v1/events?cursor={cursor}")).await.ok(200);
    assert_eq!(next["data"][0]["sequence"], 2);
    eventually("the feed is whole", async || (event_types(&user).await.len() == 1).then_some(())).await;
}
