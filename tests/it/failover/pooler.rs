//! PgBouncer before PostgreSQL, with fewer connections than there are callers.

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::json;

use super::create;
use crate::app::TestApp;
use crate::servers::{PrivatePooler, PrivatePostgres};

/// What one caller does, each step depending on the one before.
async fn round(app: &TestApp, caller: usize) {
    let user = app.user(&format!("org{caller}"), Plan::Business);
    for number in 0..5 {
        let name = format!("{caller} {number}");
        let created = create(&user, &name).await.ok(201);
        let path = format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"));
        assert_eq!(user.get(&path).await.ok(200)["name"], name.as_str());
        let renamed = user.patch(&path, &json!({ "name": format!("{name}, renamed") })).await.ok(200);
        assert_eq!(renamed["version"], 2);
        user.get(&format!("{path}/verifications")).await.ok(200);
        user.delete(&path).await.ok(204);
        user.get(&path).await.problem(410, "connection_deleted");
    }
    let kept = create(&user, "Kept").await.ok(201);
    let all = user.get("/api/v1/connections").await.ok(200);
    assert_eq!(all["data"].as_array().expect("connections").len(), 1);
    assert_eq!(all["data"][0]["id"], kept["id"]);
}

async fn works_through(mode: &str, connections: usize) {
    let Some(server) = PrivatePostgres::start() else { return };
    let pooler = PrivatePooler::start(&server, mode, connections);
    // Two replicas of four connections each, and callers that are more than both have.
    let app = TestApp::with(&[("DATABASE_URL", &pooler.url)]).await;
    let replica = app.replica(&[("DATABASE_URL", &pooler.url)]).await;
    join_all((0..32).map(|caller| round(if caller % 2 == 0 { &app } else { &replica }, caller))).await;
    // A division by zero, if a lock of a session has stayed behind.
    server.run("SELECT 1 / (SELECT (count(*) = 0)::int FROM pg_locks WHERE locktype = 'advisory')");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_work_through_a_pooler_that_gives_out_transactions() {
    works_through("transaction", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_work_through_a_pooler_that_gives_out_sessions() {
    works_through("session", 20).await;
}
