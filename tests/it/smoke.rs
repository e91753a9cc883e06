//! The main job once, from an empty database to numbers and back.

use affzero_connections::tenancy::Plan;
use serde_json::json;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_added_used_and_deleted() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add(json!({ "name": "Try", "platform": "demo" })).await;
    let stats =
        user.get(&format!("/api/v1/connections/{id}/stats?group_by=affiliate&preset=last_7_days")).await.ok(200);
    assert!(stats["row_count"].as_u64().expect("a count") > 0);
    assert_eq!(user.delete(&format!("/api/v1/connections/{id}")).await.status, 204);
    user.get(&format!("/api/v1/connections/{id}/stats?group_by=date&preset=today"))
        .await
        .problem(410, "connection_deleted");
}
