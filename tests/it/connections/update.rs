//! Changing connections.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    CONNECTIONS, acme, affise, eventually, fields, keys_sent, nowhere, path, revoked, service_and_tracker, throttled,
};
use crate::app::{TestApp, User};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Simulator};

async fn patch_if(user: &User<'_>, id: &str, tag: &str, body: &Value) -> crate::app::Answer {
    user.send("PATCH", &path(id), &[("if-match", tag)], Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_alone_calls_no_tracker() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let before = user.post(CONNECTIONS, &affise("Before", &tracker)).await.ok(201);
    let id = before["id"].as_str().expect("an id");
    tracker.forget();
    let answer = user.patch(&path(id), &json!({ "name": " After " })).await;
    let after = answer.ok(200);
    assert!(answer.header("etag").is_some_and(|tag| tag.starts_with("\"2.")), "{:?}", answer.headers);
    assert_eq!((&after["name"], &after["version"]), (&json!("After"), &json!(2)));
    for kept in ["settings", "credentials", "status", "last_verification", "created_at"] {
        assert_eq!(after[kept], before[kept]);
    }
    assert!(after["updated_at"].as_str() > before["updated_at"].as_str());
    assert!(tracker.requests().is_empty());
    assert_eq!(user.get(&path(id)).await.ok(200), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_changes_nothing_makes_no_version_and_no_call() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let before = user.post(CONNECTIONS, &affise("Same", &tracker)).await.ok(201);
    let id = before["id"].as_str().expect("an id");
    tracker.forget();
    for same in [
        json!({}),
        json!({ "name": "Same" }),
        json!({ "settings": {}, "credentials": {} }),
        json!({ "settings": { "base_url": format!("{}/3.0/", tracker.url) } }),
        json!({ "settings": { "currency": null } }),
    ] {
        assert_eq!(user.patch(&path(id), &same).await.ok(200), before, "{same}");
    }
    assert!(tracker.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_merge_null_takes_away_and_the_stored_secret_is_kept() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    tracker.forget();
    let with = user.patch(&path(&id), &json!({ "settings": { "currency": "EUR" } })).await.ok(200);
    assert_eq!(with["settings"], json!({ "base_url": tracker.url, "currency": "EUR" }));
    assert_eq!(with["credentials"]["api_key"]["hint"], "…0913");
    assert_eq!(keys_sent(&tracker), [ADMIN_KEY]);
    let bearer = format!("Bearer {}", user.token());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/merge-patch+json; charset=utf-8")];
    let body = json!({ "settings": { "currency": null } }).to_string().into_bytes();
    let without = app.send("PATCH", &path(&id), &headers, Some(body)).await;
    assert_eq!(without.ok(200)["settings"], json!({ "base_url": tracker.url }));
    assert_eq!(user.post(&format!("{}/verify", path(&id)), &json!({})).await.ok(200)["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_tried_first_and_kept_only_if_it_works() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let before = user.post(CONNECTIONS, &affise("Brand", &tracker)).await.ok(201);
    let id = before["id"].as_str().expect("an id");
    tracker.forget();
    let wrong = json!({ "name": "Other", "credentials": { "api_key": "canary-wrong-wrong-wrong" } });
    let problem = user.patch(&path(id), &wrong).await.problem(422, "verification_failed");
    assert_eq!(problem["verification"]["failure"]["code"], "credentials_rejected");
    assert_eq!(fields(&problem), [("/credentials/api_key".to_owned(), "credentials_rejected".to_owned())]);
    assert_eq!(keys_sent(&tracker), ["canary-wrong-wrong-wrong"]);
    assert_eq!(user.get(&path(id)).await.ok(200), before, "the old ones stay in force");

    tracker.inject([throttled()]);
    let same = json!({ "credentials": { "api_key": ADMIN_KEY } });
    user.patch(&path(id), &same).await.problem(422, "verification_inconclusive");
    assert_eq!(user.get(&path(id)).await.ok(200), before);
    let events = user.get(&format!("/api/v1/audit-events?connection_id={id}")).await.ok(200);
    let events = events["data"].as_array().expect("data").iter();
    let outcomes: Vec<_> =
        events.filter_map(|event| Some((event["action"].as_str()?, event["outcome"].as_str()?))).collect();
    assert_eq!(
        outcomes,
        [
            ("credentials.verified", "rate_limited"),
            ("credentials.verified", "credentials_rejected"),
            ("connection.created", "ok"),
        ],
        "keys that are tried leave a trace"
    );

    tracker.forget();
    assert_eq!(user.post(&format!("{}/verify", path(id)), &json!({})).await.ok(200)["status"], "ok");
    assert_eq!(keys_sent(&tracker), [ADMIN_KEY]);
    let after = user.patch(&path(id), &same).await.ok(200);
    assert_eq!(after["version"], 2);
    assert_ne!(after["credentials"]["api_key"]["updated_at"], before["credentials"]["api_key"]["updated_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_mends_a_failing_connection() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    tracker.inject([revoked()]);
    user.post(&format!("{}/verify", path(&id)), &json!({})).await.ok(200);
    assert_eq!(user.get(&path(&id)).await.ok(200)["status"], "failing");
    let after = user.patch(&path(&id), &json!({ "credentials": { "api_key": ADMIN_KEY } })).await.ok(200);
    assert_eq!(after["status"], "active");
    assert_eq!(after["last_verification"]["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_key_never_goes_to_another_host() {
    let (app, tracker) = service_and_tracker().await;
    let other = Simulator::start(Affise::default());
    let user = acme(&app);
    let before = user.post(CONNECTIONS, &affise("Brand", &tracker)).await.ok(201);
    let id = before["id"].as_str().expect("an id");
    tracker.forget();
    for origin in
        [other.url.clone(), tracker.url.replace("http:", "https:"), tracker.url.replace("127.0.0.1", "localhost")]
    {
        let body = json!({ "name": "Moved", "settings": { "base_url": origin } });
        let problem = user.patch(&path(id), &body).await.problem(422, "secret_required");
        assert_eq!(fields(&problem), [("/credentials/api_key".to_owned(), "required".to_owned())]);
    }
    assert!(tracker.requests().is_empty() && other.requests().is_empty());
    assert_eq!(user.get(&path(id)).await.ok(200), before);

    let body = json!({ "settings": { "base_url": other.url }, "credentials": { "api_key": ADMIN_KEY } });
    let after = user.patch(&path(id), &body).await.ok(200);
    assert_eq!(after["settings"]["base_url"], other.url);
    assert!(tracker.requests().is_empty(), "the old host has no part in it");
    assert_eq!(keys_sent(&other), [ADMIN_KEY]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_moves_a_connection_to_another_origin_demands_its_secrets() {
    let (us, eu) = (nowhere(), nowhere());
    let app = TestApp::with(&[
        ("EVERFLOW_BASE_URL", us.as_str()),
        ("EVERFLOW_EU_BASE_URL", eu.as_str()),
        ("CAKE_BASE_DOMAIN", "cake.invalid"),
        ("TUNE_BASE_URL", "http://{network_id}.invalid"),
    ])
    .await;
    let user = acme(&app);
    let create = format!("{CONNECTIONS}?verify=deferred");
    let key = "canary-key-0123456789";
    for (platform, connection_type, settings, moves) in [
        (
            "cake",
            "admin",
            json!({ "domain": "brand-a" }),
            vec![json!({ "domain": "brand-b" }), json!({ "domain": "brand-a.example.com" })],
        ),
        ("everflow", "admin", json!({}), vec![json!({ "region": "eu" })]),
        (
            "everflow",
            "affiliate",
            json!({ "region": "eu" }),
            vec![json!({ "region": "us" }), json!({ "region": null })],
        ),
        ("tune", "affiliate", json!({ "network_id": "brand-a" }), vec![json!({ "network_id": "brand-b" })]),
        (
            "binom",
            "admin",
            json!({ "base_url": us }),
            vec![json!({ "base_url": eu }), json!({ "base_url": us.replace("http:", "https:") })],
        ),
    ] {
        let body = json!({
            "name": format!("{platform} {connection_type}"), "platform": platform, "connection_type": connection_type,
            "settings": settings, "credentials": { "api_key": key },
        });
        let created = user.post(&create, &body).await.ok(201);
        let at = path(created["id"].as_str().expect("an id"));
        for moved in moves {
            let problem = user.patch(&at, &json!({ "settings": moved })).await.problem(422, "secret_required");
            assert_eq!(fields(&problem), [("/credentials/api_key".to_owned(), "required".to_owned())], "{moved}");
            let with = json!({ "settings": moved, "credentials": { "api_key": key } });
            let tried = user.patch(&at, &with).await.json();
            assert_ne!(tried["code"], "secret_required", "{moved}: {tried}");
        }
        assert_eq!(user.get(&at).await.ok(200)["settings"], created["settings"], "nothing has moved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_patches_are_refused_with_every_field_and_change_nothing() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let before = user.post(CONNECTIONS, &affise("Brand", &tracker)).await.ok(201);
    let id = before["id"].as_str().expect("an id");
    tracker.forget();
    for (body, wrong) in [
        (json!([]), vec![("", "type")]),
        (json!({ "name": null }), vec![("/name", "required")]),
        (json!({ "settings": null }), vec![("/settings", "type")]),
        (json!({ "credentials": "x" }), vec![("/credentials", "type")]),
        (
            json!({ "platform": "affise", "connection_type": "admin" }),
            vec![("/connection_type", "read_only"), ("/platform", "read_only")],
        ),
        (json!({ "version": 9, "name": "" }), vec![("/name", "required"), ("/version", "unknown_field")]),
        (json!({ "credentials": { "api_kye": "x" } }), vec![("/credentials/api_kye", "unknown_field")]),
        (json!({ "credentials": { "api_kye": null } }), vec![("/credentials/api_kye", "unknown_field")]),
        (json!({ "settings": { "bas_url": null } }), vec![("/settings/bas_url", "unknown_field")]),
        (json!({ "credentials": { "api_key": null } }), vec![("/credentials/api_key", "required")]),
        (
            json!({ "settings": { "base_url": null, "currency": 5 }, "credentials": { "api_key": "" } }),
            vec![
                ("/credentials/api_key", "required"),
                ("/settings/base_url", "required"),
                ("/settings/currency", "type"),
            ],
        ),
    ] {
        let mut named = fields(&user.patch(&path(id), &body).await.problem(422, "validation_failed"));
        named.sort();
        let wrong: Vec<_> = wrong.into_iter().map(|(at, code)| (at.to_owned(), code.to_owned())).collect();
        assert_eq!(named, wrong, "{body}");
    }
    assert!(tracker.requests().is_empty());
    assert_eq!(user.get(&path(id)).await.ok(200), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_change_its_letters_but_not_take_anothers() {
    let (app, _) = service_and_tracker().await;
    let user = acme(&app);
    user.add_demo("First").await;
    let second = user.add_demo("Second").await;
    user.patch(&path(&second), &json!({ "name": "FIRST" })).await.problem(409, "name_taken");
    let renamed = user.patch(&path(&second), &json!({ "name": "SECOND" })).await.ok(200);
    assert_eq!(renamed["name"], "SECOND");
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_lets_only_the_current_version_be_changed_or_deleted() {
    let (app, _) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add_demo("Demo").await;
    let stale = ["\"0\"", "\"+1\"", "\"01\"", "\" 1\"", "\"2\"", "W/\"2\"", "\"2-gzip\"", "1", "\"\"", "\"x\"", ""];
    for stale in stale {
        patch_if(&user, &id, stale, &json!({ "name": "No" })).await.problem(412, "version_conflict");
        let answer = user.send("DELETE", &path(&id), &[("if-match", stale)], None).await;
        answer.problem(412, "version_conflict");
    }
    assert_eq!(patch_if(&user, &id, "\"1\"", &json!({ "name": "Two" })).await.ok(200)["version"], 2);
    assert_eq!(patch_if(&user, &id, "*", &json!({ "name": "Three" })).await.ok(200)["version"], 3);
    assert_eq!(patch_if(&user, &id, "\"9\", \"3\"", &json!({ "name": "Four" })).await.ok(200)["version"], 4);
    patch_if(&user, &id, "\"3\"", &json!({})).await.problem(412, "version_conflict");
    assert_eq!(user.send("DELETE", &path(&id), &[("if-match", "\"4\"")], None).await.status, 204);
    assert_eq!(user.send("DELETE", &path(&id), &[("if-match", "\"4\"")], None).await.status, 204);
    // As proxies that compress write tags.
    let id = user.add_demo("Compressed").await;
    for (version, tag) in ["W/\"1\"", "\"2-gzip\"", "W/\"3-br\"", "\"4-zstd\""].into_iter().enumerate() {
        let name = json!({ "name": format!("Compressed {version}") });
        assert_eq!(patch_if(&user, &id, tag, &name).await.ok(200)["version"], version + 2, "{tag}");
    }
    assert_eq!(user.send("DELETE", &path(&id), &[("if-match", "W/\"5\"")], None).await.status, 204);
    patch_if(&user, &id, "*", &json!({ "name": "Five" })).await.problem(410, "connection_deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_made_for_one_version_one_wins() {
    let (app, _) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add_demo("Demo").await;
    let (one, two) = (json!({ "name": "One" }), json!({ "name": "Two" }));
    let (first, second) = tokio::join!(patch_if(&user, &id, "\"1\"", &one), patch_if(&user, &id, "\"1\"", &two));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    assert_eq!(user.get(&path(&id)).await.ok(200)["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_verified_is_not_saved_over_something_newer() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let id = user.add(affise("Brand", &tracker)).await;
    tracker.forget();
    tracker.inject([Fault::Stall(Duration::from_secs(2))]);
    let (at, slow) = (path(&id), json!({ "settings": { "currency": "EUR" } }));
    let rename = async {
        eventually("the tracker is called", async || (!tracker.requests().is_empty()).then_some(())).await;
        user.patch(&path(&id), &json!({ "name": "Meanwhile" })).await.ok(200)
    };
    let (slow, renamed) = tokio::join!(user.patch(&at, &slow), rename);
    slow.problem(412, "version_conflict");
    assert_eq!(user.get(&path(&id)).await.ok(200), renamed);
}
