//! Deleting connections, and who may know that there ever was one.

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{CONNECTIONS, acme, affise, path, service_and_tracker};
use crate::app::{Answer, TestApp, User};

/// Every call about one connection but DELETE.
async fn every_call(user: &User<'_>, id: &str) -> Vec<Answer> {
    let at = path(id);
    let mut answers = Vec::new();
    for get in ["", "/verifications", "/automations", "/stats?group_by=date&preset=today"] {
        answers.push(user.get(&format!("{at}{get}")).await);
    }
    for accept in ["text/csv", "application/x-ndjson"] {
        let stats = format!("{at}/stats?group_by=date&preset=today");
        answers.push(user.send("GET", &stats, &[("accept", accept)], None).await);
    }
    answers.push(user.post(&format!("{at}/verify"), &json!({})).await);
    for body in [json!({}), json!({ "name": "x" }), json!({ "credentials": { "api_key": "x" } }), json!({ "nam": 1 })] {
        answers.push(user.patch(&at, &body).await);
        answers.push(user.send("PATCH", &at, &[("if-match", "\"77\"")], Some(&body)).await);
    }
    answers
}

async fn failures_of_all(user: &User<'_>, id: &str) -> Value {
    let path = format!("/api/v1/stats?group_by=date&preset=today&connection_id={id}");
    user.get(&path).await.ok(200)["failures"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_on_a_deleted_connection_but_delete_says_that_it_was_deleted() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    tracker.forget();
    for _ in 0..2 {
        let deleted = user.delete(&path(&id)).await;
        assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    }
    for answer in every_call(&user, &id).await {
        answer.problem(410, "connection_deleted");
    }
    assert_eq!(failures_of_all(&user, &id).await[0]["problem"]["code"], "connection_deleted");
    assert!(tracker.requests().is_empty());
    assert!(user.get(CONNECTIONS).await.ok(200)["data"].as_array().expect("data").is_empty());
    let events = user.get(&format!("/api/v1/audit-events?connection_id={id}")).await.ok(200);
    let actions: Vec<_> = events["data"].as_array().expect("data").iter().map(|event| &event["action"]).collect();
    assert_eq!(actions, ["connection.deleted", "connection.created"], "the second delete is no event");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_frees_the_name_and_the_place_in_the_plan() {
    let (app, tracker) = service_and_tracker().await;
    let user = app.user("acme", Plan::Starter);
    let first = user.add(affise("Brand", &tracker)).await;
    user.post(CONNECTIONS, &affise("Other", &tracker)).await.problem(409, "connection_limit_reached");
    assert_eq!(user.delete(&path(&first)).await.status, 204);
    assert_eq!(user.get("/api/v1/usage").await.ok(200)["used"], 0);
    let second = user.add(affise("Brand", &tracker)).await;
    assert_ne!(first, second);
    assert_eq!(user.delete(&path(&first)).await.status, 204);
    assert_eq!(user.get(&path(&second)).await.status, 200, "the old id deletes nothing new");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_connection_cannot_be_told_from_none() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let gone = user.add_demo("Gone").await;
    user.delete(&path(&gone)).await.ok(204);
    tracker.forget();
    let stranger = app.user("stranger", Plan::Business);
    let nobodys = uuid::Uuid::now_v7().to_string();
    for id in [id.as_str(), &gone, &nobodys, "no-uuid", "1"] {
        for answer in every_call(&stranger, id).await {
            answer.problem(404, "not_found");
        }
        stranger.delete(&path(id)).await.problem(404, "not_found");
        stranger.send("DELETE", &path(id), &[("if-match", "*")], None).await.problem(404, "not_found");
    }
    assert_eq!(failures_of_all(&stranger, &id).await[0]["problem"]["code"], "not_found");
    assert_eq!(failures_of_all(&stranger, &gone).await[0]["problem"]["code"], "not_found");
    for list in [CONNECTIONS.to_owned(), format!("/api/v1/audit-events?connection_id={id}")] {
        assert!(stranger.get(&list).await.ok(200)["data"].as_array().expect("data").is_empty());
    }
    assert_eq!(stranger.get("/api/v1/usage").await.ok(200)["used"], 0);
    assert!(tracker.requests().is_empty());
    assert_eq!(user.get(&path(&id)).await.ok(200)["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_is_no_right_to_write() {
    let app = TestApp::start().await;
    let id = acme(&app).add_demo("Demo").await;
    let reader = app.user_with_scope("acme", Plan::Pro, "connections:read");
    assert_eq!(reader.get(&path(&id)).await.status, 200);
    reader.delete(&path(&id)).await.problem(403, "forbidden");
    reader.patch(&path(&id), &json!({ "name": "x" })).await.problem(403, "forbidden");
    reader.post(&format!("{}/verify", path(&id)), &json!({})).await.problem(403, "forbidden");
    reader.post(CONNECTIONS, &json!({ "name": "B", "platform": "demo" })).await.problem(403, "forbidden");
    reader.get(&format!("{}/stats?group_by=date&preset=today", path(&id))).await.problem(403, "forbidden");
}
