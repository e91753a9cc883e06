//! Adding, listing, changing, testing and deleting webhooks.

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Hook, WEBHOOKS, acme, bodies, happen, is_signed_with, receiver, subscribe, until_called};
use crate::app::{Answer, TestApp};
use crate::connections::all_entries;
use crate::support::tracker::{Fault, Reply};

/// The audit trail's actions about webhooks, oldest first, without the background's.
async fn trail(user: &crate::app::User<'_>) -> Vec<String> {
    let events = all_entries(user, "/api/v1/audit-events", 100).await;
    let actions = events.iter().rev().map(|event| event["action"].as_str().expect("text").to_owned());
    actions.filter(|action| action.starts_with("webhook.")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_added_shown_changed_and_deleted_and_its_secret_is_shown_once() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let answer = user.post(WEBHOOKS, &json!({ "url": format!("{}/hook", receiver.url) })).await;
    let created = answer.ok(201);
    let hook = Hook::of(&created);
    assert_eq!(answer.header("location"), Some(hook.path().as_str()));
    assert!(hook.secret.starts_with("whsec_") && hook.secret.len() == 6 + 44, "{}", hook.secret.len());
    let mut expected = created.clone();
    expected.as_object_mut().expect("members").remove("secret");
    let shown = user.get(&hook.path()).await;
    assert_eq!(shown.ok(200), expected);
    assert_eq!(
        (&expected["events"], &expected["active"], &expected["paused_reason"], &expected["description"]),
        (&json!(["*"]), &json!(true), &json!(null), &json!(null))
    );
    assert_eq!(expected.as_object().map(serde_json::Map::len), Some(7), "{expected}");
    assert_eq!(shown.header("etag"), answer.header("etag"));

    let etag = shown.header("etag").expect("a tag").to_owned();
    let same = user.send("GET", &hook.path(), &[("if-none-match", &etag)], None).await;
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    let change = json!({ "events": ["connection.failing"], "description": "Alerts", "active": false });
    let changed = user.send("PATCH", &hook.path(), &[("if-match", &etag)], Some(&change)).await;
    let body = changed.ok(200);
    assert_eq!((&body["events"], &body["description"]), (&json!(["connection.failing"]), &json!("Alerts")));
    assert_eq!(body["active"], false);
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
    let late = user.send("PATCH", &hook.path(), &[("if-match", &etag)], Some(&json!({ "active": true }))).await;
    late.problem(412, "version_conflict");
    let nothing = user.patch(&hook.path(), &json!({ "active": false })).await;
    assert_eq!(nothing.header("etag"), changed.header("etag"), "nothing changed");
    assert_eq!(user.patch(&hook.path(), &json!({ "description": null })).await.ok(200)["description"], json!(null));

    let late = user.send("DELETE", &hook.path(), &[("if-match", &etag)], None).await;
    late.problem(412, "version_conflict");
    assert_eq!(user.delete(&hook.path()).await.status, 204);
    user.get(&hook.path()).await.problem(404, "not_found");
    user.delete(&hook.path()).await.problem(404, "not_found");
    assert_eq!(user.get(WEBHOOKS).await.ok(200), json!({ "data": [], "next_cursor": null }));
    assert_eq!(trail(&user).await, ["webhook.created", "webhook.changed", "webhook.changed", "webhook.deleted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_webhook_is_said_at_once_and_by_field() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let body = json!({ "events": ["connection.fails"], "active": "yes", "colour": 1 });
    let problem = user.post(WEBHOOKS, &body).await.problem(422, "validation_failed");
    let pointers: Vec<&str> =
        problem["errors"].as_array().expect("errors").iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert_eq!(pointers, ["/colour", "/url", "/events/0", "/active"]);
    let unknown = user.get(&format!("{WEBHOOKS}/01990000-0000-7000-8000-000000000001")).await;
    unknown.problem(404, "not_found");
    user.get(&format!("{WEBHOOKS}/x")).await.problem(404, "not_found");
    user.get(&format!("{WEBHOOKS}?colour=1")).await.problem(422, "validation_failed");
    user.get(&format!("{WEBHOOKS}?cursor=x")).await.problem(422, "validation_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_webhooks_and_attempts_are_keyset_pages() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let mut hooks = Vec::new();
    for number in 0..5 {
        hooks.push(subscribe(&user, &format!("{}/{number}", receiver.url)).await);
    }
    let listed = all_entries(&user, WEBHOOKS, 2).await;
    let ids: Vec<&str> = listed.iter().filter_map(|hook| hook["id"].as_str()).collect();
    let newest_first: Vec<&str> = hooks.iter().rev().map(|hook| hook.id.as_str()).collect();
    assert_eq!(ids, newest_first);
    assert!(listed.iter().all(|hook| hook.get("secret").is_none()));

    for _ in 0..3 {
        assert_eq!(user.post(&format!("{}/test", hooks[0].path()), &json!({})).await.ok(200)["delivered"], true);
    }
    let attempts = all_entries(&user, &format!("{}/deliveries", hooks[0].path()), 2).await;
    assert_eq!(attempts.len(), 3);
    let members: Vec<&str> = attempts[0].as_object().expect("members").keys().map(String::as_str).collect();
    let mut expected = ["id", "event_id", "type", "attempt", "at", "outcome", "status", "duration_ms", "error"];
    expected.sort_unstable();
    assert_eq!(members, expected);
    // A cursor is of one webhook only.
    let page = user.get(&format!("{}/deliveries?limit=2", hooks[0].path())).await.ok(200);
    let cursor = page["next_cursor"].as_str().expect("more");
    let other = user.get(&format!("{}/deliveries?cursor={cursor}", hooks[1].path())).await;
    other.problem(422, "validation_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_at_once_whatever_the_receiver_says() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    user.patch(&hook.path(), &json!({ "active": false })).await.ok(200);
    let test = format!("{}/test", hook.path());
    let delivered = user.send("POST", &test, &[], None).await.ok(200);
    assert_eq!(
        (&delivered["delivered"], &delivered["status"], &delivered["error"]),
        (&json!(true), &json!(204), &json!(null))
    );
    let request = &receiver.requests()[0];
    assert!(is_signed_with(request, &hook.secret));
    assert_eq!((request.method.as_str(), request.header("content-type")), ("POST", Some("application/json")));
    let event = &bodies(&receiver)[0];
    assert_eq!(event["id"].as_str(), request.header("webhook-id"));
    assert_eq!(
        (&event["type"], &event["connection"], &event["sequence"]),
        (&json!("webhook.test"), &json!(null), &json!(null))
    );
    receiver.always(Some(Fault::Instead(Reply::text(500, "text/plain", "oops"))));
    let refused = user.send("POST", &test, &[], None).await.ok(200);
    assert_eq!((&refused["delivered"], &refused["status"]), (&json!(false), &json!(500)));
    assert_eq!(refused["error"], "The receiver answered 500.");
    receiver.always(Some(Fault::Instead(Reply::text(410, "text/plain", "gone"))));
    assert_eq!(user.send("POST", &test, &[], None).await.ok(200)["status"], 410);
    let shown = hook.show(&user).await;
    assert_eq!((&shown["active"], &shown["paused_reason"]), (&json!(false), &json!(null)), "a test pauses nothing");

    let attempts = hook.attempts(&user).await;
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| attempt["type"] == "webhook.test"));
    assert_eq!(hook.outcomes(&user).await, ["delivered", "failed", "failed"]);
    assert_eq!(user.get("/api/v1/events").await.ok(200)["data"], json!([]), "it is in no feed");
    assert_eq!(trail(&user).await.iter().filter(|action| *action == "webhook.tested").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_sends_few_tests_at_the_same_time() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    receiver.always(Some(Fault::Stall(std::time::Duration::from_secs(1))));
    let test = format!("{}/test", hook.path());
    let answers = join_all((0..12).map(|_| user.send("POST", &test, &[], None))).await;
    assert!(receiver.most_at_once() <= 4, "{}", receiver.most_at_once());
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!refused.is_empty());
    for answer in refused {
        answer.problem(429, "rate_limited");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(user.send("POST", &test, &[], None).await.ok(200)["delivered"], true, "the places are free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_signs_beside_the_old_one_for_a_day_and_then_alone() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    let rotated = Hook::of(&user.send("POST", &format!("{}/rotate-secret", hook.path()), &[], None).await.ok(200));
    assert_ne!(rotated.secret, hook.secret);
    happen(&user, "One").await;
    let request = until_called(&receiver, 1).await.remove(0);
    assert!(is_signed_with(&request, &hook.secret) && is_signed_with(&request, &rotated.secret));
    assert_eq!(request.header("webhook-signature").map(|header| header.split(' ').count()), Some(2));

    crate::connections::execute(&app, "UPDATE webhooks SET former_secret_until = 1".to_owned()).await;
    happen(&user, "Two").await;
    let request = until_called(&receiver, 2).await.remove(1);
    assert!(!is_signed_with(&request, &hook.secret) && is_signed_with(&request, &rotated.secret));
    assert_eq!(trail(&user).await, ["webhook.created", "webhook.secret_rotated"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_and_body_give_the_same_webhook_with_its_secret_again() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let body = json!({ "url": receiver.url });
    let create = async |body: Value| user.send("POST", WEBHOOKS, &[("idempotency-key", "k")], Some(&body)).await;
    let first = create(body.clone()).await;
    let again = create(body.clone()).await;
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
    assert_eq!(first.ok(201), again.ok(201));
    assert_eq!(first.header("etag"), again.header("etag"));
    create(json!({ "url": receiver.url, "active": false })).await.problem(422, "idempotency_key_reused");
    let race = join_all((0..8).map(|_| user.send("POST", WEBHOOKS, &[("idempotency-key", "race")], Some(&body)))).await;
    let ids: std::collections::BTreeSet<String> = race.iter().map(|answer| answer.ok(201)["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(all_entries(&user, WEBHOOKS, 100).await.len(), 2);
    // A refused request leaves its key free.
    create_refused_then_good(&app).await;
}

async fn create_refused_then_good(app: &TestApp) {
    let (user, receiver) = (app.user("other", Plan::Pro), receiver());
    let key = [("idempotency-key", "later")];
    let blocked = user.send("POST", WEBHOOKS, &key, Some(&json!({ "url": "http://10.0.0.1/" }))).await;
    blocked.problem(422, "egress_blocked");
    user.send("POST", WEBHOOKS, &key, Some(&json!({ "url": receiver.url }))).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_race_for_the_last_webhooks_exactly_as_many_get_one() {
    let (app, receiver) = (TestApp::with(&[("WEBHOOK_MAX_PER_ORG", "3")]).await, receiver());
    let replica = app.replica(&[("WEBHOOK_MAX_PER_ORG", "3")]).await;
    let users = [acme(&app), acme(&replica)];
    let body = json!({ "url": receiver.url });
    let answers = join_all((0..16).map(|number| users[number % 2].post(WEBHOOKS, &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 3);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        let problem = refused.problem(409, "webhook_limit_reached");
        assert_eq!((&problem["limit"], &problem["used"]), (&json!(3), &json!(3)));
    }
    let listed = all_entries(&users[0], WEBHOOKS, 100).await;
    assert_eq!(listed.len(), 3);
    let one = format!("{WEBHOOKS}/{}", listed[0]["id"].as_str().expect("an id"));
    assert_eq!(users[1].delete(&one).await.status, 204);
    users[0].post(WEBHOOKS, &body).await.ok(201);
    app.user("other", Plan::Starter).post(WEBHOOKS, &body).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_its_organisations_alone_and_needs_the_right_scope() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    let other = app.user("other", Plan::Business);
    assert_eq!(other.get(WEBHOOKS).await.ok(200)["data"], json!([]));
    for (method, path, body) in [
        ("GET", hook.path(), None),
        ("PATCH", hook.path(), Some(json!({ "active": false }))),
        ("DELETE", hook.path(), None),
        ("POST", format!("{}/test", hook.path()), None),
        ("POST", format!("{}/rotate-secret", hook.path()), None),
        ("GET", format!("{}/deliveries", hook.path()), None),
    ] {
        other.send(method, &path, &[], body.as_ref()).await.problem(404, "not_found");
    }
    let reader = app.user_with_scope("acme", Plan::Business, "connections:read");
    reader.get(&hook.path()).await.ok(200);
    reader.get(&format!("{}/deliveries", hook.path())).await.ok(200);
    for (method, path) in [
        ("POST", WEBHOOKS.to_owned()),
        ("DELETE", hook.path()),
        ("POST", format!("{}/test", hook.path())),
        ("POST", format!("{}/rotate-secret", hook.path())),
    ] {
        let body = (path == WEBHOOKS).then(|| json!({ "url": receiver.url }));
        reader.send(method, &path, &[], body.as_ref()).await.problem(403, "forbidden");
    }
    let stats = app.user_with_scope("acme", Plan::Business, "stats:read");
    stats.get(WEBHOOKS).await.problem(403, "forbidden");
    assert!(receiver.requests().is_empty());

    // Another organisation's events go nowhere near it.
    happen(&other, "Theirs").await;
    happen(&user, "Ours").await;
    until_called(&receiver, 1).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let names: Vec<Value> = bodies(&receiver).iter().map(|event| event["connection"]["name"].clone()).collect();
    assert_eq!(names, ["Ours"]);
}
