//! Keys as people paste them.

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::samples;
use crate::support::tracker::Simulator;
use affzero_connections::platforms::Pair;
use jiff::civil::date;

const DRY_RUN: &str = "/api/v1/connections/verify";

fn affise(url: &str, key: &str) -> Value {
    json!({ "name": "Brand", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": url }, "credentials": { "api_key": key } })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_around_a_pasted_key_is_cut_off_before_it_is_sent_or_stored() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = app.user("acme", Plan::Business);
    for (number, (before, after)) in
        [("", "\u{200b}"), ("\u{feff}", ""), ("\"", "\""), (" “", "”\r\n"), ("\u{a0}'", "'\u{2060}")].iter().enumerate()
    {
        let mut body = affise(&tracker.url, &format!("{before}{ADMIN_KEY}{after}"));
        body["name"] = json!(format!("Brand {number}"));
        let created = user.post("/api/v1/connections", &body).await.ok(201);
        let hint = created["credentials"]["api_key"]["hint"].as_str().expect("a hint");
        assert!(ADMIN_KEY.ends_with(hint.trim_start_matches('…')), "{hint}");
        // What is stored is what is sent from now on.
        let path = format!("/api/v1/connections/{}/verify", created["id"].as_str().expect("an id"));
        assert_eq!(user.send("POST", &path, &[], None).await.ok(200)["status"], "ok");
    }
    assert!(tracker.requests().iter().all(|request| request.header("api-key") == Some(ADMIN_KEY)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_inside_a_key_is_refused_with_its_place_before_any_tracker_is_asked() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = app.user("acme", Plan::Pro);
    let (head, tail) = ADMIN_KEY.split_at(11);
    for (inside, words) in [
        ("\u{200b}", "a zero-width space (U+200B) at position 12"),
        (" ", "a blank at position 12"),
        ("\n", "a line break at position 12"),
        ("с", "a Cyrillic letter (U+0441) at position 12"),
    ] {
        let body = affise(&tracker.url, &format!("  {head}{inside}{tail}"));
        let problem = user.post(DRY_RUN, &body).await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], "/credentials/api_key", "{problem}");
        assert_eq!(problem["errors"][0]["code"], "invalid_characters");
        assert!(problem["errors"][0]["detail"].as_str().expect("text").contains(words), "{problem}");
    }
    assert!(tracker.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_halves_of_a_voluum_key_in_one_field_are_taken_apart() {
    let sample = samples::of(Pair::VoluumAdmin, date(2026, 11, 20)).remove(0);
    let tracker = Simulator::start(sample.tracker.expect("a tracker"));
    let app = TestApp::with(&[("VOLUUM_BASE_URL", &tracker.url)]).await;
    let user = app.user("acme", Plan::Pro);
    let secret = |field: &str| {
        sample.credentials.iter().find(|(name, _)| *name == field).map(|(_, text)| text.clone()).expect("a field")
    };
    let (id, key) = (secret("access_key_id"), secret("access_key"));
    let body = |credentials: Value| json!({ "name": "Own", "platform": "voluum", "credentials": credentials });
    for credentials in [
        json!({ "access_key_id": format!("{id}:{key}") }),
        json!({ "access_key_id": id, "access_key": format!("{id}:{key}") }),
        json!({ "access_key_id": format!("{id}\n{key}"), "access_key": format!("{id}\n{key}") }),
        json!({ "access_key": json!({ "accessId": id, "accessKey": key }).to_string() }),
    ] {
        let verified = user.post(DRY_RUN, &body(credentials)).await.ok(200);
        assert_eq!(verified["status"], "ok", "{verified}");
    }
    let unsure = body(json!({ "access_key_id": "another", "access_key": format!("{id}:{key}") }));
    let problem = user.post(DRY_RUN, &unsure).await.problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["pointer"], "/credentials/access_key");
    assert_eq!(problem["errors"][0]["code"], "two_values");
    let created = user.add(body(json!({ "access_key_id": id, "access_key": key }))).await;
    let patch = json!({ "credentials": { "access_key": format!("{id}:{key}") } });
    assert_eq!(user.patch(&format!("/api/v1/connections/{created}"), &patch).await.ok(200)["status"], "active");
}
