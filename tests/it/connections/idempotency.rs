//! Creating under an `Idempotency-Key`.

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{CONNECTIONS, acme, affise, affise_at, eventually, execute, names, path, service_and_tracker};
use crate::app::{Answer, TestApp, User};
use crate::support::affise::ADMIN_KEY;
use crate::support::tracker::Fault;

async fn create(user: &User<'_>, key: &str, body: &Value) -> Answer {
    user.send("POST", CONNECTIONS, &[("idempotency-key", key)], Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_and_body_give_the_same_connection_again() {
    let (app, tracker) = service_and_tracker().await;
    let user = app.user("acme", Plan::Starter);
    let first = create(&user, "key-1", &affise("Brand", &tracker)).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    tracker.forget();
    let second = create(&user, "key-1", &affise("Brand", &tracker)).await;
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(second.ok(201), first.ok(201));
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(second.header("etag"), first.header("etag"));
    assert!(tracker.requests().is_empty());
    assert_eq!(names(&user.get(CONNECTIONS).await.ok(200)), ["Brand"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_leaves_its_key_free() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let body = affise("Brand", &tracker);
    tracker.inject([Fault::Stall(Duration::from_secs(5))]);
    let verified = eventually("it is being verified", async || (!tracker.requests().is_empty()).then_some(()));
    tokio::select! {
        answer = create(&user, "key-1", &body) => panic!("the tracker takes longer than that: {}", answer.text),
        () = verified => {}
    }
    let again = eventually("the key is free", async || {
        Some(create(&user, "key-1", &body).await).filter(|answer| answer.status != 409)
    });
    let again = tokio::time::timeout(Duration::from_secs(10), again).await.expect("long before its lease is over");
    again.ok(201);
    assert_eq!(create(&user, "key-1", &body).await.header("idempotency-replayed"), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_while_another_has_the_key_frees_nothing() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let body = affise("Brand", &tracker);
    tracker.inject([Fault::Stall(Duration::from_millis(1_500))]);
    let first = create(&user, "key-1", &body);
    let others = async {
        eventually("the first request is at the tracker", async || (!tracker.requests().is_empty()).then_some(()))
            .await;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let _ = tokio::time::timeout(Duration::from_millis(1), create(&user, "key-1", &body)).await;
        }
    };
    let (first, ()) = tokio::join!(first, others);
    first.ok(201);
    assert_eq!(names(&user.get(CONNECTIONS).await.ok(200)), ["Brand"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_and_blanks_do_not_make_another_body() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let bearer = format!("Bearer {}", user.token());
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "key-1")];
    let mut ids = Vec::new();
    for body in [
        r#"{"name":"A","platform":"demo","settings":{"scenario":"down"}}"#,
        "{ \"settings\" : {\"scenario\": \"down\"},\n \"platform\":\"demo\", \"name\":\"\\u0041\" }",
    ] {
        let answer = app.send("POST", CONNECTIONS, &headers, Some(body.as_bytes().to_vec())).await;
        ids.push(answer.ok(201)["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_body_under_the_same_key_is_refused() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    create(&user, "key-1", &affise("Brand", &tracker)).await.ok(201);
    for body in [
        affise("Other", &tracker),
        affise_at("Brand", &tracker.url, "another-key"),
        json!({ "name": "Brand", "platform": "demo" }),
    ] {
        create(&user, "key-1", &body).await.problem(422, "idempotency_key_reused");
    }
    assert_eq!(names(&user.get(CONNECTIONS).await.ok(200)), ["Brand"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_its_organisation() {
    let app = TestApp::start().await;
    let body = json!({ "name": "Demo", "platform": "demo" });
    let mine = create(&acme(&app), "key-1", &body).await;
    let theirs = create(&app.user("other", Plan::Pro), "key-1", &body).await;
    assert_eq!(theirs.header("idempotency-replayed"), None);
    assert_ne!(mine.ok(201)["id"], theirs.ok(201)["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_first_request_runs_the_second_is_asked_to_wait() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    tracker.inject([Fault::Stall(Duration::from_secs(2))]);
    let body = affise("Brand", &tracker);
    let meanwhile = async {
        eventually("the tracker is called", async || (!tracker.requests().is_empty()).then_some(())).await;
        (create(&user, "key-1", &body).await, create(&user, "key-1", &json!({ "name": "B", "platform": "demo" })).await)
    };
    let (first, (second, other)) = tokio::join!(create(&user, "key-1", &body), meanwhile);
    second.problem(409, "request_in_progress");
    assert_eq!(second.header("retry-after"), Some("1"));
    other.problem(422, "idempotency_key_reused");
    let third = create(&user, "key-1", &body).await;
    assert_eq!(third.header("idempotency-replayed"), Some("true"));
    assert_eq!(third.ok(201)["id"], first.ok(201)["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_not_kept() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    create(&user, "key-1", &affise_at("Brand", &tracker.url, "canary-wrong-wrong-wrong"))
        .await
        .problem(422, "verification_failed");
    let created = create(&user, "key-1", &affise("Brand", &tracker)).await;
    assert_eq!(created.header("idempotency-replayed"), None);
    created.ok(201);
    create(&user, "key-2", &affise("Brand", &tracker)).await.problem(409, "name_taken");
    create(&user, "key-2", &affise("Brand 2", &tracker)).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_connection_is_not_created_again_by_a_repetition() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let body = json!({ "name": "Demo", "platform": "demo" });
    let created = create(&user, "key-1", &body).await.ok(201);
    user.delete(&path(created["id"].as_str().expect("an id"))).await.ok(204);
    create(&user, "key-1", &body).await.problem(410, "connection_deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_free_again_when_its_day_is_over() {
    let app = TestApp::start().await;
    let user = acme(&app);
    create(&user, "key-1", &json!({ "name": "First", "platform": "demo" })).await.ok(201);
    execute(&app, "UPDATE idempotency_keys SET expires_at = 1".to_owned()).await;
    create(&user, "key-1", &json!({ "name": "Second", "platform": "demo" })).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_1_to_255_characters() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let body = json!({ "name": "Demo", "platform": "demo" });
    create(&user, "", &body).await.problem(400, "malformed_request");
    create(&user, &"k".repeat(256), &body).await.problem(400, "malformed_request");
    create(&user, &"k".repeat(255), &body).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_hashes_of_key_and_body_are_stored() {
    let (app, tracker) = service_and_tracker().await;
    create(&acme(&app), "a-telling-key", &affise("Brand", &tracker)).await.ok(201);
    let dump = crate::storage::dump(&app).await;
    assert!(dump.contains("idempotency_keys"));
    assert!(!dump.contains("a-telling-key") && !dump.contains(ADMIN_KEY));
}
