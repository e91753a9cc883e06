//! What is remembered: verifications, automations, audit events.

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{CONNECTIONS, acme, affise, all_entries, eventually, fields, path, revoked, service_and_tracker};
use crate::app::TestApp;
use crate::support::affise::ADMIN_KEY;

const EVENTS: &str = "/api/v1/audit-events";

#[tokio::test(flavor = "multi_thread")]
async fn verifications_are_kept_newest_first() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let created = user.post(CONNECTIONS, &affise("Brand", &tracker)).await.ok(201);
    let at = path(created["id"].as_str().expect("an id"));
    let mut expected = vec![created["last_verification"].clone()];
    for fault in [Some(revoked()), None, Some(revoked())] {
        tracker.inject(fault);
        expected.insert(0, user.post(&format!("{at}/verify"), &json!({})).await.ok(200));
    }
    let patched = user.patch(&at, &json!({ "settings": { "currency": "USD" } })).await.ok(200);
    expected.insert(0, patched["last_verification"].clone());
    tracker.inject([revoked()]);
    user.patch(&at, &json!({ "settings": { "currency": "EUR" } })).await.problem(422, "verification_failed");
    for limit in [1, 2, 100] {
        assert_eq!(all_entries(&user, &format!("{at}/verifications"), limit).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_verifications_has_an_end() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let at = path(&user.add_demo("Demo").await);
    for _ in 0..55 {
        user.post(&format!("{at}/verify"), &json!({})).await.ok(200);
    }
    let kept = all_entries(&user, &format!("{at}/verifications"), 30).await;
    assert_eq!(kept.len(), 50);
    assert_eq!(kept[0], user.get(&at).await.ok(200)["last_verification"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn automations_that_pulled_are_listed_with_their_last_use() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let at = path(&user.add_demo("Demo").await);
    assert_eq!(user.get(&at).await.ok(200)["last_used_at"], Value::Null);
    for automation in ["weekly", "daily", "weekly", "hourly"] {
        let stats = format!("{at}/stats?group_by=date&preset=yesterday");
        user.send("GET", &stats, &[("x-automation-id", automation)], None).await.ok(200);
    }
    let automations = all_entries(&user, &format!("{at}/automations"), 2).await;
    let ids: Vec<_> = automations.iter().map(|entry| entry["automation_id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["daily", "hourly", "weekly"]);
    assert!(automations[2]["last_used_at"].as_str() > automations[2]["first_used_at"].as_str());
    eventually("the use is shown", async || user.get(&at).await.ok(200)["last_used_at"].as_str().map(drop)).await;
    assert_eq!(user.get(&at).await.ok(200)["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_says_who_did_what_to_which_connection() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let created =
        user.send("POST", CONNECTIONS, &[("x-request-id", "request-1")], Some(&affise("Brand", &tracker))).await;
    let created = created.ok(201);
    let id = created["id"].as_str().expect("an id");
    let at = path(id);
    user.patch(&at, &json!({ "name": "New", "credentials": { "api_key": ADMIN_KEY } })).await.ok(200);
    user.patch(&at, &json!({ "settings": { "currency": "USD" } })).await.ok(200);
    tracker.inject([revoked()]);
    user.post(&format!("{at}/verify"), &json!({})).await.ok(200);
    user.get(&format!("{at}/stats?group_by=date&from=2026-09-01&to=2026-09-01")).await.ok(200);
    user.delete(&at).await.ok(204);

    let events = all_entries(&user, EVENTS, 2).await;
    let summary: Vec<_> =
        events.iter().map(|event| (event["action"].as_str().expect("an action"), event["outcome"].as_str())).collect();
    let expected = [
        ("connection.deleted", Some("ok")),
        ("connection.used", Some("ok")),
        ("connection.verified", Some("credentials_rejected")),
        ("connection.updated", Some("ok")),
        ("connection.updated", Some("ok")),
        ("connection.created", Some("ok")),
    ];
    let sorted = |mut events: Vec<(&'static str, Option<String>)>| {
        events.sort();
        events
    };
    let known = |wanted: &str| expected.iter().map(|(action, _)| *action).find(|action| *action == wanted);
    let summary = summary
        .into_iter()
        .map(|(action, outcome)| (known(action).expect("a known action"), outcome.map(str::to_owned)));
    // A use is written with the next batch, so its place among the others is open.
    assert_eq!(
        sorted(summary.collect()),
        sorted(expected.iter().map(|(action, outcome)| (*action, outcome.map(str::to_owned))).collect())
    );
    let changes: Vec<_> = events.iter().filter(|event| event["action"] == "connection.updated").collect();
    assert_eq!(changes[1]["detail"], json!({ "fields": ["name", "api_key"] }));
    assert_eq!(changes[0]["detail"], json!({ "fields": ["settings"] }));
    let first = events.last().expect("an event");
    assert_eq!(first["request_id"], "request-1");
    assert_eq!(first["address"], "127.0.0.1");
    assert_eq!(first["actor"], created["created_by"]);
    assert_eq!(first["connection_id"], id);
    // With the sign that stands before a hint: four digits alone may be those of any id.
    let text = json!(events).to_string();
    assert!(!text.contains(ADMIN_KEY) && !text.contains("…0913") && !text.contains(&tracker.url));
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_events_can_be_asked_for_by_connection_and_are_the_organisations_own() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let (one, two) = (user.add_demo("One").await, user.add_demo("Two").await);
    user.patch(&path(&one), &json!({ "name": "Uno" })).await.ok(200);
    assert_eq!(all_entries(&user, EVENTS, 1).await.len(), 3);
    let of_one = all_entries(&user, &format!("{EVENTS}?connection_id={one}"), 1).await;
    assert_eq!(of_one.len(), 2);
    assert!(of_one.iter().all(|event| event["connection_id"] == one.as_str()));
    assert_eq!(all_entries(&user, &format!("{EVENTS}?connection_id={two}"), 1).await.len(), 1);
    assert!(all_entries(&app.user("other", Plan::Pro), EVENTS, 1).await.is_empty());
    let problem = user.get(&format!("{EVENTS}?connection_id=x")).await.problem(422, "validation_failed");
    assert_eq!(fields(&problem), [("/connection_id".to_owned(), "format".to_owned())]);
    let page = user.get(&format!("{EVENTS}?limit=1&connection_id={one}")).await.ok(200);
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    user.get(&format!("{EVENTS}?connection_id={two}&cursor={cursor}")).await.problem(422, "validation_failed");
}
