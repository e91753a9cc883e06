//! Adding connections.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    CONNECTIONS, acme, affise, affise_at, fields, keys_sent, names, nowhere, path, service_and_tracker, throttled,
    with_status,
};
use crate::app::TestApp;
use crate::support::affise::{ADMIN_KEY, AFFILIATE_KEY};
use crate::support::tracker::{Fault, Reply};
use affzero_connections::tenancy::Plan;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_is_verified_saved_and_shown_without_its_secret() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let answer = user.post(CONNECTIONS, &affise(" Brand A ", &tracker)).await;
    let created = answer.ok(201);
    let id: Uuid = created["id"].as_str().expect("an id").parse().expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(answer.header("location"), Some(path(&id.to_string()).as_str()));
    let tag = answer.header("etag").expect("a tag").to_owned();
    assert!(tag.starts_with("\"1."), "{tag}");
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(created["name"], "Brand A");
    assert_eq!(created["platform"], "affise");
    assert_eq!(created["connection_type"], "admin");
    assert_eq!(created["settings"], json!({ "base_url": tracker.url }));
    assert_eq!(created["credentials"]["api_key"]["hint"], "…0913");
    assert!(created["credentials"]["api_key"]["updated_at"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(created["status"], "active");
    assert_eq!(created["counts_toward_limit"], true);
    assert_eq!(created["version"], 1);
    assert_eq!(created["last_verification"]["status"], "ok");
    assert_eq!(created["last_used_at"], Value::Null);
    assert_eq!(created["created_at"], created["updated_at"]);
    assert_eq!(keys_sent(&tracker), [ADMIN_KEY]);

    let shown = user.get(&path(&id.to_string())).await;
    assert_eq!(shown.ok(200), created);
    assert_eq!(shown.header("etag"), Some(tag.as_str()));
    let listed = user.get(CONNECTIONS).await;
    assert_eq!(listed.ok(200), json!({ "data": [created], "next_cursor": null }));
    for answer in [answer, shown, listed] {
        assert!(!answer.text.contains(ADMIN_KEY));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_address_is_saved_and_returned_in_its_one_form() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let pasted = format!(" {}/3.0/stats/custom?slice[]=day#top ", tracker.url.replace("http", "HTTP"));
    let created = user.post(CONNECTIONS, &affise_at("Pasted", &pasted, ADMIN_KEY)).await.ok(201);
    assert_eq!(created["settings"]["base_url"], tracker.url);
    for (name, pasted, saved) in [
        ("No scheme", "127.0.0.1:9", "https://127.0.0.1:9"),
        ("Upper case", "HTTPS://API-Brand.Invalid:443/api/", "https://api-brand.invalid"),
    ] {
        let body = affise_at(name, pasted, ADMIN_KEY);
        let created = user.post(&format!("{CONNECTIONS}?verify=deferred"), &body).await.ok(201);
        assert_eq!(created["settings"]["base_url"], saved);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_secrets_of_sixteen_characters_or_more_have_a_hint() {
    let app = TestApp::start().await;
    let user = acme(&app);
    for (key, hint) in [("0123456789abcde", Value::Null), ("0123456789abcdef", json!("…cdef"))] {
        let body = affise_at(key, &nowhere(), key);
        let created = user.post(&format!("{CONNECTIONS}?verify=deferred"), &body).await.ok(201);
        assert_eq!(created["credentials"]["api_key"]["hint"], hint);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_key_saves_nothing_and_says_which_field_it_is() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let wrong = "a-key-that-nobody-ever-had";
    let answer = user.post(CONNECTIONS, &affise_at("Brand", &tracker.url, wrong)).await;
    let problem = answer.problem(422, "verification_failed");
    assert_eq!(problem["verification"]["status"], "failed");
    assert_eq!(problem["verification"]["failure"]["code"], "credentials_rejected");
    assert_eq!(problem["verification"]["failure"]["pointer"], "/credentials/api_key");
    assert_eq!(fields(&problem), [("/credentials/api_key".to_owned(), "credentials_rejected".to_owned())]);
    assert!(!answer.text.contains(wrong));
    assert!(user.get(CONNECTIONS).await.ok(200)["data"].as_array().expect("data").is_empty());
    user.post(CONNECTIONS, &affise("Brand", &tracker)).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_tried_by_creating_leave_a_trace() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let wrong = affise_at("Brand", &tracker.url, "canary-a-key-that-nobody-ever-had");
    let headers = [("x-request-id", "guess-1"), ("idempotency-key", "the same")];
    user.send("POST", CONNECTIONS, &headers, Some(&wrong)).await.problem(422, "verification_failed");
    tracker.inject([throttled()]);
    user.post(CONNECTIONS, &affise("Brand", &tracker)).await.problem(422, "verification_inconclusive");
    let events = user.get("/api/v1/audit-events").await.ok(200);
    let events = events["data"].as_array().expect("data");
    let outcomes: Vec<_> = events.iter().map(|event| [&event["action"], &event["outcome"]]).collect();
    let [tried, rejected, limited] = ["credentials.verified", "credentials_rejected", "rate_limited"].map(Value::from);
    assert_eq!(outcomes, [[&tried, &limited], [&tried, &rejected]]);
    assert_eq!((&events[1]["connection_id"], &events[1]["request_id"]), (&Value::Null, &json!("guess-1")));
    assert_eq!(events[1]["detail"], json!({ "platform": "affise", "connection_type": "admin" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_is_away_or_throttling_is_inconclusive_and_saves_nothing() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    tracker.always(Some(throttled()));
    let problem = user.post(CONNECTIONS, &affise("Brand", &tracker)).await.problem(422, "verification_inconclusive");
    assert_eq!(problem["verification"]["status"], "inconclusive");
    assert_eq!(problem["verification"]["failure"]["code"], "rate_limited");
    let body = affise_at("Brand", &nowhere(), ADMIN_KEY);
    let problem = user.post(CONNECTIONS, &body).await.problem(422, "verification_inconclusive");
    assert_eq!(problem["verification"]["failure"]["code"], "connect_failed");
    assert_eq!(fields(&problem), [("/settings/base_url".to_owned(), "connect_failed".to_owned())]);
    assert!(user.get(CONNECTIONS).await.ok(200)["data"].as_array().expect("data").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_other_portal_is_named_as_that() {
    let (app, tracker) = service_and_tracker().await;
    let body = affise_at("Brand", &tracker.url, AFFILIATE_KEY);
    let problem = acme(&app).post(CONNECTIONS, &body).await.problem(422, "verification_failed");
    assert_eq!(problem["verification"]["failure"]["code"], "wrong_portal");
    assert_eq!(problem["verification"]["detected"]["connection_type"], "affiliate");
    assert_eq!(fields(&problem), [("/connection_type".to_owned(), "wrong_portal".to_owned())]);
    assert!(problem["hint"].as_str().expect("a hint").contains("affiliate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_page_with_status_200_is_not_the_platform() {
    let (app, tracker) = service_and_tracker().await;
    tracker.always(Some(Fault::Instead(Reply::html(200))));
    let problem = acme(&app).post(CONNECTIONS, &affise("Brand", &tracker)).await.problem(422, "verification_failed");
    assert_eq!(fields(&problem), [("/settings/base_url".to_owned(), "not_this_platform".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_inside_is_blocked_by_verification() {
    let app = TestApp::start().await;
    let body = affise_at("Inside", "https://10.0.0.1", ADMIN_KEY);
    let problem = acme(&app).post(CONNECTIONS, &body).await.problem(422, "verification_failed");
    assert_eq!(fields(&problem), [("/settings/base_url".to_owned(), "egress_blocked".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_is_named_at_once_and_no_value_is_repeated() {
    let (app, tracker) = service_and_tracker().await;
    let answer = acme(&app)
        .post(
            CONNECTIONS,
            &json!({
                "name": "x".repeat(101), "platform": "affise", "connection_type": "admin", "nam/e": "canary-1",
                "settings": { "base_url": 5, "base_ur": "canary-2" }, "credentials": { "api_kye": "canary-3" },
            }),
        )
        .await;
    let mut wrong = fields(&answer.problem(422, "validation_failed"));
    wrong.sort();
    let expected = [
        ("/credentials/api_key", "required"),
        ("/credentials/api_kye", "unknown_field"),
        ("/name", "too_long"),
        ("/nam~1e", "unknown_field"),
        ("/settings/base_ur", "unknown_field"),
        ("/settings/base_url", "type"),
    ];
    assert_eq!(wrong, expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    assert!(!answer.text.contains("canary"));
    assert!(tracker.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_bodies_are_refused_with_the_field_they_are_wrong_in() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let demo = |more: Value| {
        let mut body = json!({ "name": "Demo", "platform": "demo" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    for (body, pointer) in [
        (json!([]), ""),
        (json!(null), ""),
        (json!("text"), ""),
        (json!({}), "/name"),
        (demo(json!({ "name": null })), "/name"),
        (demo(json!({ "name": " \t " })), "/name"),
        (demo(json!({ "name": 7 })), "/name"),
        (demo(json!({ "name": "a\u{0}b" })), "/name"),
        (demo(json!({ "platform": "affize" })), "/platform"),
        (demo(json!({ "platform": ["demo"] })), "/platform"),
        (demo(json!({ "platform": "affise" })), "/connection_type"),
        (demo(json!({ "connection_type": "root" })), "/connection_type"),
        (demo(json!({ "settings": [] })), "/settings"),
        (demo(json!({ "settings": { "scenario": "none" } })), "/settings/scenario"),
        (demo(json!({ "settings": { "scenario": { "a": 1 } } })), "/settings/scenario"),
        (demo(json!({ "credentials": { "api_key": "x" } })), "/credentials/api_key"),
        (affise_at("A", "not an address", "key"), "/settings/base_url"),
        (affise_at("A", "https://user:pw@a.example", "key"), "/settings/base_url"),
        (affise_at("A", "https://a.example", "  "), "/credentials/api_key"),
        (affise_at("A", "https://a.example", "a\nb"), "/credentials/api_key"),
    ] {
        let problem = user.post(CONNECTIONS, &body).await.problem(422, "validation_failed");
        let named = fields(&problem);
        assert!(named.iter().any(|(named, _)| named == pointer), "{body} names {named:?}");
    }
    assert!(user.get(CONNECTIONS).await.ok(200)["data"].as_array().expect("data").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_of_bearable_size_is_refused_before_anything_else() {
    let app = TestApp::start().await;
    let bearer = format!("Bearer {}", acme(&app).token());
    let post = |kind: &'static str, body: Vec<u8>| {
        let headers = [("authorization", bearer.clone()), ("content-type", kind.to_owned())];
        let app = &app;
        async move {
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            app.send("POST", CONNECTIONS, &headers, Some(body)).await
        }
    };
    post("application/json", b"{\"name\": ".to_vec()).await.problem(400, "malformed_request");
    post("application/json", Vec::new()).await.problem(400, "malformed_request");
    post("text/plain", b"{}".to_vec()).await.problem(415, "unsupported_media_type");
    post("application/merge-patch+json", b"{}".to_vec()).await.problem(415, "unsupported_media_type");
    post("application/json", vec![b' '; 65 * 1024]).await.problem(413, "payload_too_large");
    post("application/json", "[".repeat(60_000).into_bytes()).await.problem(400, "malformed_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_does_not_need_may_be_left_out() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let created = user.post(CONNECTIONS, &json!({ "name": "Demo", "platform": "demo" })).await.ok(201);
    assert_eq!(created["connection_type"], "admin");
    assert_eq!(created["settings"], json!({ "scenario": "healthy" }));
    assert_eq!(created["credentials"], json!({}));
    assert_eq!(created["counts_toward_limit"], false);
    let query =
        user.post(&format!("{CONNECTIONS}?verify=sometimes"), &json!({ "name": "B", "platform": "demo" })).await;
    assert_eq!(fields(&query.problem(422, "validation_failed"))[0].0, "/verify");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_whatever_its_letter_case_but_only_in_its_organisation() {
    let app = TestApp::start().await;
    let user = acme(&app);
    user.add_demo("Größe Ä").await;
    for name in ["Größe Ä", "GRÖßE ä", " größe ä "] {
        let body = json!({ "name": name, "platform": "demo" });
        let problem = user.post(CONNECTIONS, &body).await.problem(409, "name_taken");
        assert_eq!(fields(&problem), [("/name".to_owned(), "name_taken".to_owned())]);
    }
    app.user("other", Plan::Pro).add_demo("größe ä").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_must_be_seen_and_look_like_no_other() {
    let app = TestApp::start().await;
    let user = acme(&app);
    user.add_demo("Brand A").await;
    // Cyrillic letters, letters of full width, and a space that nobody sees.
    for name in ["Br\u{430}nd \u{410}", "\u{ff22}rand A", "Br\u{200b}and A"] {
        user.post(CONNECTIONS, &json!({ "name": name, "platform": "demo" })).await.problem(409, "name_taken");
    }
    for name in ["\u{200b}\u{2060}", "\u{3164}", "\u{2800} \u{ad}"] {
        let problem = user.post(CONNECTIONS, &json!({ "name": name, "platform": "demo" })).await;
        let problem = problem.problem(422, "validation_failed");
        assert_eq!(fields(&problem), [("/name".to_owned(), "required".to_owned())], "{name:?}");
    }
    let other = user.add_demo("Modem").await;
    user.add_demo("Modern").await;
    user.patch(&path(&other), &json!({ "name": "Brand \u{391}" })).await.problem(409, "name_taken");
    user.patch(&path(&other), &json!({ "name": "Mod\u{435}l" })).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_a_name_at_once_one_gets_it() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let bodies: Vec<Value> =
        (0..8).map(|n| json!({ "name": if n % 2 == 0 { "SAME" } else { "same" }, "platform": "demo" })).collect();
    let answers = join_all(bodies.iter().map(|body| user.post(CONNECTIONS, body))).await;
    assert_eq!(with_status(&answers, 201), 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.problem(409, "name_taken");
    }
    assert_eq!(names(&user.get(CONNECTIONS).await.ok(200)).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_that_are_still_to_come_say_so() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let platforms = user.get("/api/v1/platforms").await.ok(200);
    let coming = platforms["data"].as_array().expect("data").iter().filter(|entry| entry["status"] == "coming_soon");
    for entry in coming {
        let body = json!({ "name": "Soon", "platform": entry["platform"], "connection_type": "admin" });
        user.post(CONNECTIONS, &body).await.problem(422, "platform_unavailable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_is_stored_in_capitals_and_one_that_is_none_is_refused_with_the_nearest() {
    let (app, tracker) = service_and_tracker().await;
    let user = acme(&app);
    let with = |code: &str| {
        let mut body = affise("Brand", &tracker);
        body["settings"]["currency"] = code.into();
        body
    };
    for (code, nearest) in [("UDS", "USD"), ("ERU", "EUR"), ("euro", "EUR"), ("gpb", "GBP")] {
        let problem = user.post(CONNECTIONS, &with(code)).await.problem(422, "validation_failed");
        let [error] = problem["errors"].as_array().expect("errors").as_slice() else { panic!("{problem}") };
        assert_eq!((&error["pointer"], &error["code"]), (&"/settings/currency".into(), &"format".into()), "{code}");
        let detail = error["detail"].as_str().expect("a detail");
        assert!(detail.contains(&format!("the nearest is {nearest}")), "{code}: {detail}");
    }
    let created = user.post(CONNECTIONS, &with("usd")).await.ok(201);
    assert_eq!(created["settings"]["currency"], "USD");
}
