//! The audit trail: what it says, and how long it is kept.

use affzero_connections::clock::now_micros;
use affzero_connections::db::schema::{audit_events, idempotency_keys};
use affzero_connections::db::{DbConnection, DbError};
use affzero_connections::tenancy::Plan;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Text;
use serde_json::{Value, json};

use crate::app::{TestApp, on_sqlite};
use crate::connections::eventually;

const DAY: i64 = 24 * 3_600 * 1_000_000;

/// Adds `count` events that are `days` old.
async fn remember(app: &TestApp, count: u16, days: i64) {
    let at = now_micros() - days * DAY;
    app.db
        .write("acme".to_owned(), at, move |db| -> Result<(), DbError> {
            for number in 0..count {
                let mut random = [0; 10];
                random[8..].copy_from_slice(&number.to_be_bytes());
                let millis = u64::try_from(at / 1_000).expect("after 1970");
                let row = (
                    audit_events::id
                        .eq(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()),
                    audit_events::organisation_id.eq("acme"),
                    audit_events::action.eq(format!("test.{days}")),
                    audit_events::outcome.eq("ok"),
                    audit_events::actor.eq("user-1"),
                    audit_events::detail.eq("{}"),
                    audit_events::created_at.eq(at),
                );
                diesel::insert_into(audit_events::table).values(row).execute(db)?;
            }
            Ok(())
        })
        .await
        .expect("events");
}

async fn remembered(app: &TestApp, days: i64) -> i64 {
    let action = format!("test.{days}");
    app.db
        .read(move |db| -> Result<i64, DbError> {
            Ok(audit_events::table.filter(audit_events::action.eq(action)).count().get_result(db)?)
        })
        .await
        .expect("a count")
}

async fn prune_all(app: &TestApp) {
    while app.connections.prune().await.expect("pruned") > 0 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn events_past_their_retention_go_and_younger_ones_stay() {
    let app = TestApp::with(&[("AUDIT_RETENTION_DAYS", "30")]).await;
    for (count, days) in [(1_200, 31), (3, 29), (2, 0)] {
        remember(&app, count, days).await;
    }
    assert!(app.connections.prune().await.expect("pruned") <= 500, "a small batch");
    prune_all(&app).await;
    assert_eq!((remembered(&app, 31).await, remembered(&app, 29).await, remembered(&app, 0).await), (0, 3, 2));
    assert_eq!(app.connections.prune().await.expect("nothing"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_retention_events_are_kept_for_ever() {
    let app = TestApp::with(&[("AUDIT_RETENTION_DAYS", "0")]).await;
    remember(&app, 3, 5_000).await;
    prune_all(&app).await;
    assert_eq!(remembered(&app, 5_000).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_keys_that_are_over_go() {
    let app = TestApp::start().await;
    let now = now_micros();
    app.db
        .write("acme".to_owned(), now, move |db| -> Result<(), DbError> {
            for (key_hash, expires_at) in [("over", now - 1), ("long over", 0), ("good", now + DAY)] {
                let row = (
                    idempotency_keys::organisation_id.eq("gone"),
                    idempotency_keys::key_hash.eq(key_hash.to_owned()),
                    idempotency_keys::body_hash.eq("k1:00"),
                    idempotency_keys::expires_at.eq(expires_at),
                );
                diesel::insert_into(idempotency_keys::table).values(row).execute(db)?;
            }
            Ok(())
        })
        .await
        .expect("keys");
    prune_all(&app).await;
    let left = app
        .db
        .read(|db| -> Result<Vec<String>, DbError> {
            Ok(idempotency_keys::table.select(idempotency_keys::key_hash).load(db)?)
        })
        .await
        .expect("keys");
    assert_eq!(left, ["good"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_who_as_whom_from_where_and_in_which_request() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let body = json!({ "name": "A", "platform": "demo" });
    let headers = [("x-request-id", "order-4711"), ("x-forwarded-for", "192.0.2.7")];
    let created = user.send("POST", "/api/v1/connections", &headers, Some(&body)).await.ok(201);
    let events = user.get("/api/v1/audit-events").await.ok(200);
    let event = &events["data"][0];
    assert_eq!(event["action"], "connection.created");
    assert_eq!(event["connection_id"], created["id"]);
    assert_eq!(event["actor"], created["created_by"]);
    assert_eq!((&event["request_id"], &event["address"]), (&json!("order-4711"), &json!("127.0.0.1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_told_from_the_organisations_own_user_of_the_same_name() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let service = app.user_with_scope("acme", Plan::Pro, "org:any connections:read connections:write stats:read");
    let id = user.add_demo("Users own").await;
    let headers = [("x-org-id", "acme"), ("x-org-plan", "pro")];
    let body = json!({ "name": "Services own", "platform": "demo" });
    service.send("POST", "/api/v1/connections", &headers, Some(&body)).await.ok(201);
    let stats = format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday");
    user.get(&stats).await.ok(200);
    service.send("GET", &stats, &headers, None).await.ok(200);
    app.connections.flush_uses().await;
    let events = user.get("/api/v1/audit-events").await.ok(200);
    let events = events["data"].as_array().expect("data");
    let mut recorded: Vec<_> =
        events.iter().map(|event| (event["action"].as_str(), event["detail"].get("via_service"))).collect();
    recorded.sort_by_key(|(action, via_service)| (*action, via_service.is_some()));
    let (created, used, yes) = (Some("connection.created"), Some("connection.used"), Some(&Value::Bool(true)));
    assert_eq!(recorded, [(created, None), (created, yes), (used, None), (used, yes)]);
    assert!(events.iter().all(|event| event["actor"] == events[0]["actor"]), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_background_does_for_a_service_is_recorded_as_the_services() {
    let app = TestApp::start().await;
    let service = app.user_with_scope("any", Plan::Pro, "org:any connections:read connections:write");
    let headers = [("x-org-id", "acme"), ("x-org-plan", "pro")];
    let body = json!({ "name": "Later", "platform": "demo" });
    service.send("POST", "/api/v1/connections?verify=deferred", &headers, Some(&body)).await.ok(201);
    let user = app.user("acme", Plan::Pro);
    let event = eventually("it is verified", async || {
        let events = user.get("/api/v1/audit-events").await.ok(200);
        Some(events["data"][0].clone()).filter(|event| event["action"] == "connection.verified")
    })
    .await;
    assert_eq!(event["detail"], json!({ "deferred": true, "via_service": true }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_the_tracker_refuses_leaves_a_trace_and_is_no_use() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let add = |scenario: &str| {
        user.add(json!({ "name": scenario, "platform": "demo", "settings": { "scenario": scenario } }))
    };
    let (refused, away) = (add("rejected_key").await, add("down").await);
    let stats = |id: &str| format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday");
    for accept in ["application/json", "application/json", "text/csv"] {
        let headers = [("x-automation-id", "nightly"), ("accept", accept)];
        user.send("GET", &stats(&refused), &headers, None).await.problem(424, "credentials_rejected");
        user.send("GET", &stats(&away), &headers, None).await.problem(502, "upstream_unavailable");
    }
    app.connections.flush_uses().await;
    let events = user.get("/api/v1/audit-events").await.ok(200);
    let used: Vec<&Value> =
        events["data"].as_array().expect("data").iter().filter(|event| event["action"] == "connection.used").collect();
    assert_eq!(used.len(), 1, "once in an hour: {used:?}");
    assert_eq!((&used[0]["connection_id"], &used[0]["outcome"]), (&json!(refused), &json!("credentials_rejected")));
    assert_eq!(used[0]["detail"], json!({ "automation_id": "nightly" }));
    let at = format!("/api/v1/connections/{refused}");
    assert_eq!(user.get(&at).await.ok(200)["last_used_at"], Value::Null);
    assert_eq!(user.get(&format!("{at}/automations")).await.ok(200)["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn not_even_the_database_changes_or_deletes_what_happened() {
    let app = TestApp::start().await;
    app.user("acme", Plan::Pro).add_demo("Demo").await;
    remember(&app, 1, 2).await;
    let replace = "INSERT OR REPLACE INTO audit_events SELECT id, organisation_id, connection_id, 'nothing', outcome, \
                   actor, address, request_id, detail, created_at FROM audit_events";
    let forbidden = [
        "UPDATE audit_events SET actor = 'nobody'",
        "UPDATE audit_events SET created_at = 0 WHERE action = 'test.2'",
        "DELETE FROM audit_events WHERE action = 'connection.created'",
        "DELETE FROM audit_events",
        if on_sqlite(&app) { replace } else { "TRUNCATE audit_events" },
    ];
    for sql in forbidden {
        let outcome = app.db.write_all(move |db| db.batch_execute(sql).map_err(DbError::from)).await;
        let refusal = outcome.expect_err(sql);
        assert!(format!("{refusal:?}").contains("audit events"), "{sql}: {refusal:?}");
    }
    let old = "DELETE FROM audit_events WHERE action = 'test.2'";
    app.db.write_all(move |db| db.batch_execute(old).map_err(DbError::from)).await.expect("old ones may go");
    assert_eq!(remembered(&app, 2).await, 0);
    let events = app.user("acme", Plan::Pro).get("/api/v1/audit-events").await.ok(200);
    assert_eq!(events["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(events["data"][0]["action"], "connection.created");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shortest_retention_gets_past_what_the_database_forbids() {
    let app = TestApp::with(&[("AUDIT_RETENTION_DAYS", "1")]).await;
    for days in [1, 0] {
        remember(&app, 2, days).await;
    }
    prune_all(&app).await;
    assert_eq!((remembered(&app, 1).await, remembered(&app, 0).await), (0, 2));
}

#[derive(QueryableByName)]
struct SqliteStep {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PostgresStep {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    detail: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_trail_is_found_by_its_index_among_many_events() {
    const INDEXES: [(&str, &str); 3] = [
        ("connection_id", "audit_events_of_connection"),
        ("action", "audit_events_of_action"),
        ("actor", "audit_events_of_actor"),
    ];
    let app = TestApp::start().await;
    remember(&app, 3_000, 1).await;
    let is_sqlite = on_sqlite(&app);
    let plans: Vec<(&str, Vec<String>)> = app
        .db
        .write("acme".to_owned(), now_micros(), move |db: &mut DbConnection| -> Result<_, DbError> {
            db.batch_execute("ANALYZE audit_events")?;
            let mut plans = Vec::new();
            for (column, index) in INDEXES {
                let page = format!(
                    "SELECT id FROM audit_events WHERE organisation_id = 'acme' AND {column} = 'none' AND id < 'z' \
                     ORDER BY id DESC LIMIT 51"
                );
                let plan: Vec<String> = if is_sqlite {
                    let steps: Vec<SqliteStep> = sql_query(format!("EXPLAIN QUERY PLAN {page}")).load(db)?;
                    steps.into_iter().map(|step| step.detail).collect()
                } else {
                    let steps: Vec<PostgresStep> = sql_query(format!("EXPLAIN {page}")).load(db)?;
                    steps.into_iter().map(|step| step.detail).collect()
                };
                plans.push((index, plan));
            }
            Ok(plans)
        })
        .await
        .expect("a plan");
    for (index, plan) in plans {
        assert!(plan.iter().any(|step| step.contains(index)), "{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE") || step.contains("Sort")), "{plan:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_filtered_by_action_actor_and_days() {
    let app = TestApp::start().await;
    remember(&app, 3, 2).await;
    remember(&app, 2, 5).await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("A").await;
    user.send("DELETE", &format!("/api/v1/connections/{id}"), &[], None).await.ok(204);
    let count = async |query: &str| {
        let found = user.get(&format!("/api/v1/audit-events?{query}")).await.ok(200);
        found["data"].as_array().expect("data").len()
    };
    assert_eq!(count("action=connection.deleted").await, 1);
    assert_eq!(count("action=connection.updated").await, 0);
    let mine = user.get("/api/v1/audit-events?action=connection.created").await.ok(200)["data"][0]["actor"].clone();
    assert_eq!(count(&format!("actor={}", mine.as_str().expect("an actor"))).await, 2);
    assert_eq!(count("actor=user-1&limit=100").await, if mine == "user-1" { 7 } else { 5 });
    assert_eq!(count("actor=nobody").await, 0);
    let day = |back: i64| {
        let at = jiff::Timestamp::from_microsecond(now_micros() - back * DAY).expect("a time");
        at.to_string().chars().take(10).collect::<String>()
    };
    assert_eq!(count(&format!("to={}", day(5))).await, 2);
    assert_eq!(count(&format!("from={}&to={}", day(5), day(2))).await, 5);
    assert_eq!(count(&format!("from={}&to={}", day(4), day(3))).await, 0);
    assert_eq!(
        count(&format!("from={}&actor=user-1&action=connection.deleted", day(0))).await.min(1),
        usize::from(mine == "user-1")
    );
    assert_eq!(
        count(&format!("from={}&to={}", day(0), day(3))).await,
        0,
        "a range that ends before it begins is empty"
    );

    let page = user.get(&format!("/api/v1/audit-events?limit=2&to={}", day(1))).await.ok(200);
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    assert_eq!(count(&format!("limit=100&to={}&cursor={cursor}", day(1))).await, 3);
    let other = format!("/api/v1/audit-events?to={}&cursor={cursor}", day(2));
    user.get(&other).await.problem(422, "validation_failed");

    let wrong = user.get("/api/v1/audit-events?action=connection.made&actor=%00&from=yesterday&to=2026-02-30").await;
    let errors = wrong.problem(422, "validation_failed")["errors"].clone();
    let pointers: Vec<_> = errors.as_array().expect("errors").iter().map(|error| error["pointer"].as_str()).collect();
    assert_eq!(pointers, [Some("/action"), Some("/actor"), Some("/from"), Some("/to")]);
    assert!(errors[0]["detail"].as_str().is_some_and(|detail| detail.contains("connection.deleted")), "{errors}");
}
