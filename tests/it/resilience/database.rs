//! The service's own database does not answer for a while.

use affzero_connections::tenancy::Plan;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::json;

use crate::app::{TestApp, on_sqlite};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_written_is_said_so_and_needs_no_restart() {
    let app = TestApp::start().await;
    if !on_sqlite(&app) {
        // A shared PostgreSQL server is not this test's to stop.
        return;
    }
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Before").await;
    let file = app.folder.path().join("affzero.db");
    let mut hog = SqliteConnection::establish(&file.display().to_string()).expect("the same file");
    hog.batch_execute("BEGIN EXCLUSIVE").expect("the only writer");

    let answer = user.post("/api/v1/connections", &json!({ "name": "During", "platform": "demo" })).await;
    answer.problem(503, "overloaded");
    assert!(answer.header("retry-after").is_some());
    // Statistics need no write.
    user.get(&format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday")).await.ok(200);

    hog.batch_execute("ROLLBACK").expect("room for others");
    user.add_demo("During").await;
}
