//! `health`: why a connection is failing, since when, and what keeps it from being checked; and the tag that follows it.

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{CONNECTIONS, acme, affise, eventually, execute, path, revoked, service_and_tracker, throttled};
use crate::app::{Answer, TestApp, User};

fn stats(id: &str) -> String {
    format!("{}/stats?group_by=date&from=2026-11-16&to=2026-11-22", path(id))
}

async fn health(user: &User<'_>, id: &str) -> Value {
    user.get(&path(id)).await.ok(200)["health"].clone()
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").expect("a tag").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pull_says_why_the_connection_is_failing() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let fresh = user.get(&path(&id)).await.ok(200);
    assert_eq!((&fresh["health"]["reason"], &fresh["health"]["warning"]), (&Value::Null, &Value::Null));
    assert_eq!(fresh["health"]["since"], fresh["created_at"]);
    assert!(fresh["health"]["last_success_at"].is_string() && fresh["health"]["last_checked_at"].is_string());

    tracker.always(Some(revoked()));
    user.get(&stats(&id)).await.problem(424, "credentials_rejected");
    let failing = user.get(&path(&id)).await.ok(200);
    let reason = &failing["health"]["reason"];
    assert_eq!((&failing["status"], &failing["last_verification"]["status"]), (&json!("failing"), &json!("ok")));
    assert_eq!((&reason["code"], &reason["source"]), (&json!("credentials_rejected"), &json!("pull")));
    assert_eq!((&reason["owner"], &reason["pointer"]), (&json!("you"), &json!("/credentials/api_key")));
    assert!(reason["detail"].as_str().expect("a detail").contains("127.0.0.1"), "{reason}");
    assert!(!reason["hint"].as_str().expect("a hint").is_empty());
    assert!(failing["health"]["since"].as_str() > fresh["health"]["since"].as_str(), "{failing}");
    let listed = user.get(&format!("{CONNECTIONS}?status=failing")).await.ok(200);
    assert_eq!(listed["data"][0]["health"], failing["health"], "the list carries it too");

    // The same refusal once more is no news, also where another caller meets it.
    user.post(&format!("{}/verify", path(&id)), &Value::Null).await.ok(200);
    let again = health(&user, &id).await;
    assert_eq!((&again["reason"], &again["since"]), (reason, &failing["health"]["since"]));

    tracker.always(None);
    user.get(&stats(&id)).await.ok(200);
    let well = user.get(&path(&id)).await.ok(200);
    assert_eq!((&well["status"], &well["health"]["reason"]), (&json!("active"), &Value::Null));
    assert!(well["health"]["since"].as_str() > failing["health"]["since"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_verification_is_the_reason_and_an_outage_only_a_warning() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let verify = format!("{}/verify", path(&id));
    tracker.always(Some(throttled()));
    user.post(&verify, &Value::Null).await.ok(200);
    let warned = user.get(&path(&id)).await.ok(200);
    assert_eq!(warned["status"], "active");
    assert_eq!(warned["health"]["reason"], Value::Null);
    assert_eq!(warned["health"]["warning"]["code"], "rate_limited");
    user.post(&verify, &Value::Null).await.ok(200);
    assert_eq!(health(&user, &id).await["warning"]["since"], warned["health"]["warning"]["since"]);

    tracker.always(Some(revoked()));
    user.post(&verify, &Value::Null).await.ok(200);
    let failing = health(&user, &id).await;
    assert_eq!((&failing["warning"], &failing["reason"]["source"]), (&Value::Null, &json!("verification")));
    tracker.always(None);
    user.post(&verify, &Value::Null).await.ok(200);
    let well = health(&user, &id).await;
    assert_eq!((&well["reason"], &well["warning"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_that_works_ends_the_reason() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    tracker.inject([revoked()]);
    user.get(&stats(&id)).await.problem(424, "credentials_rejected");
    let body = json!({ "credentials": { "api_key": crate::support::affise::ADMIN_KEY } });
    let changed = user.patch(&path(&id), &body).await.ok(200);
    assert_eq!((&changed["status"], &changed["health"]["reason"]), (&json!("active"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_opened_says_so_and_one_of_an_earlier_release_what_is_known() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    tracker.always(Some(revoked()));
    user.post(&format!("{}/verify", path(&id)), &Value::Null).await.ok(200);
    // As an earlier release leaves it, which knows the status and the verification only.
    execute(&app, format!("UPDATE connections SET health_sealed = NULL, last_success_at = NULL WHERE id = '{id}'"))
        .await;
    let inherited = health(&user, &id).await;
    assert_eq!(inherited["since"], Value::Null);
    assert_eq!(inherited["reason"]["code"], "credentials_rejected");
    // And as it changes the status behind this release's back.
    execute(&app, format!("UPDATE connections SET status = 'active' WHERE id = '{id}'")).await;
    assert_eq!(health(&user, &id).await["reason"], Value::Null);

    let keys = [("CREDENTIALS_KEYS", "k9:Y2FuYXJ5LW9mLXRoZS1zZWNvbmQta2V5LTAxMjM0NTY=")];
    let without = app.replica(&keys).await;
    let shown = acme(&without).get(&path(&id)).await.ok(200);
    assert_eq!(
        (&shown["status"], &shown["health"]["reason"]["code"]),
        (&json!("failing"), &json!("credentials_unreadable"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_follows_the_health_and_a_change_compares_the_version_alone() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let before = tag(&user.get(&path(&id)).await);
    let (version, state) = before.trim_matches('"').split_once('.').expect("version and state");
    assert_eq!((version, state.len()), ("1", 16), "{before}");
    assert!(state.chars().all(|digit| digit.is_ascii_hexdigit()), "{before}");
    let unchanged = user.send("GET", &path(&id), &[("if-none-match", &before)], None).await;
    assert_eq!((unchanged.status, unchanged.text.as_str(), tag(&unchanged)), (304, "", before.clone()));

    tracker.always(Some(revoked()));
    user.get(&stats(&id)).await.problem(424, "credentials_rejected");
    let failing = user.send("GET", &path(&id), &[("if-none-match", &before)], None).await;
    assert_eq!(failing.ok(200)["status"], "failing");
    let after = tag(&failing);
    assert_ne!(after, before);
    assert_eq!(after.split('.').next(), before.split('.').next(), "no edit, no other version");

    // The pull in between spoils no edit; an edit in between does.
    let rename = |name: &str| json!({ "name": name });
    let renamed = user.send("PATCH", &path(&id), &[("if-match", &before)], Some(&rename("New"))).await;
    assert_eq!(renamed.ok(200)["version"], 2);
    let late = user.send("PATCH", &path(&id), &[("if-match", &after)], Some(&rename("Late"))).await;
    late.problem(412, "version_conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_works_counts_as_a_check() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    let before = health(&user, &id).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    user.get(&stats(&id)).await.ok(200);
    eventually("the pull is written down", async || {
        let now = health(&user, &id).await;
        let is_later = |key: &str| now[key].as_str() > before[key].as_str();
        (is_later("last_success_at") && is_later("last_checked_at") && now["since"] == before["since"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_health_of_another_organisation_is_seen_and_none_outlives_a_deletion() {
    let app = TestApp::start().await;
    let id = acme(&app).add_demo("Demo").await;
    app.user("other", Plan::Pro).get(&path(&id)).await.problem(404, "not_found");
    assert_eq!(acme(&app).delete(&path(&id)).await.status, 204);
    let left = app
        .db
        .read(|db| -> Result<i64, affzero_connections::db::DbError> {
            use affzero_connections::db::schema::connections;
            use diesel::prelude::*;
            Ok(connections::table.filter(connections::health_sealed.is_not_null()).count().get_result(db)?)
        })
        .await
        .expect("a count");
    assert_eq!(left, 0);
}
