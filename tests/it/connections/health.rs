//! Why a connection fails, whoever found out, and the tag that follows it.

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{CONNECTIONS, affise, path, revoked, service_and_tracker, throttled};
use crate::app::{OTHER_KEYS_OF_TESTS, User};

const STATS: &str = "/stats?group_by=date&from=2026-11-16&to=2026-11-22&fresh=true";

/// A connection as its own page and the list show it; both say the same of its health.
async fn shown(user: &User<'_>, id: &str) -> Value {
    let one = user.get(&path(id)).await.ok(200);
    let listed = user.get(CONNECTIONS).await.ok(200);
    let listed = listed["data"].as_array().expect("data").iter().find(|entry| entry["id"] == id).expect("an entry");
    assert_eq!(one["health"], listed["health"]);
    one
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_connection_says_why_whoever_found_out_and_one_success_ends_it() {
    let (app, tracker) = service_and_tracker().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add(affise("Brand", &tracker)).await;
    let fresh = shown(&user, &id).await;
    assert_eq!((&fresh["status"], &fresh["health"]["reason"]), (&json!("active"), &Value::Null));
    assert!(fresh["health"]["last_success_at"].is_string() && fresh["health"]["last_checked_at"].is_string());
    assert_eq!((&fresh["health"]["warning"], &fresh["health"]["next_check_at"]), (&Value::Null, &Value::Null));

    tracker.inject([revoked()]);
    user.get(&format!("{}{STATS}", path(&id))).await.problem(424, "credentials_rejected");
    let pulled = shown(&user, &id).await;
    let reason = &pulled["health"]["reason"];
    assert_eq!((&pulled["status"], &pulled["last_verification"]["status"]), (&json!("failing"), &json!("ok")));
    assert_eq!((&reason["code"], &reason["source"]), (&json!("credentials_rejected"), &json!("pull")));
    assert_eq!((&reason["owner"], &reason["pointer"]), (&json!("you"), &json!("/credentials/api_key")));
    assert!(reason["detail"].as_str().expect("text").contains("127.0.0.1") && !reason["hint"].is_null(), "{reason}");
    assert!(pulled["health"]["since"].as_str() > fresh["health"]["since"].as_str());
    assert_eq!(pulled["health"]["last_success_at"], fresh["health"]["last_success_at"]);

    user.send("POST", &format!("{}/verify", path(&id)), &[], None).await.ok(200);
    let recovered = shown(&user, &id).await;
    assert_eq!((&recovered["status"], &recovered["health"]["reason"]), (&json!("active"), &Value::Null));
    assert!(recovered["health"]["last_success_at"].as_str() > fresh["health"]["last_success_at"].as_str());

    tracker.inject([revoked()]);
    user.send("POST", &format!("{}/verify", path(&id)), &[], None).await.ok(200);
    let verified = shown(&user, &id).await;
    assert_eq!(verified["health"]["reason"]["source"], "verification");
    // An outage is no news of the credentials, but it is a check.
    tracker.inject([throttled()]);
    user.send("POST", &format!("{}/verify", path(&id)), &[], None).await.ok(200);
    let after = shown(&user, &id).await;
    assert_eq!((&after["health"]["reason"], &after["health"]["since"]), (&verified["health"]["reason"], &verified["health"]["since"]));
    assert!(after["health"]["last_checked_at"].as_str() > verified["health"]["last_checked_at"].as_str());
    let replica = app.replica(&[("CREDENTIALS_KEYS", OTHER_KEYS_OF_TESTS)]).await;
    let unreadable = replica.user("acme", Plan::Pro).get(&path(&id)).await.ok(200);
    assert_eq!(unreadable["health"]["reason"]["code"], "credentials_unreadable");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_follows_all_that_is_shown_but_an_edit_looks_at_the_version_alone() {
    let (app, tracker) = service_and_tracker().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add(affise("Brand", &tracker)).await;
    let tag = |answer: &crate::app::Answer| answer.header("etag").expect("a tag").to_owned();
    let before = tag(&user.get(&path(&id)).await);
    let (version, state) = before.trim_matches('"').split_once('.').expect("version and state");
    assert!(version == "1" && state.len() == 16 && state.bytes().all(|byte| byte.is_ascii_hexdigit()), "{before}");
    for form in [before.clone(), format!("W/{before}"), before.replace("\"1", "\"1").replace(state, &format!("{state}-gzip"))] {
        let known = user.send("GET", &path(&id), &[("if-none-match", &form)], None).await;
        assert_eq!((known.status, known.text.as_str(), tag(&known)), (304, "", before.clone()), "{form}");
    }
    tracker.inject([revoked()]);
    user.send("POST", &format!("{}/verify", path(&id)), &[], None).await.ok(200);
    let changed = user.send("GET", &path(&id), &[("if-none-match", &before)], None).await;
    assert_eq!(changed.status, 200, "its status is another");
    assert!(tag(&changed).starts_with("\"1.") && tag(&changed) != before);
    // A check in between spoils no edit.
    for (form, name) in [(before.clone(), "Second"), (format!("W/\"2.{state}-br\""), "Third")] {
        let renamed = user.send("PATCH", &path(&id), &[("if-match", &form)], Some(&json!({ "name": name }))).await;
        assert_eq!(renamed.ok(200)["name"], name, "{form}");
    }
    user.send("PATCH", &path(&id), &[("if-match", &before)], Some(&json!({ "name": "Fourth" })))
        .await
        .problem(412, "version_conflict");
}
