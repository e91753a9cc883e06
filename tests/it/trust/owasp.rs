//! One attack for each item of the OWASP API Security Top 10 (2023).

use affzero_connections::http::openapi;
use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::egress::{Inside, affise};
use crate::app::{Answer, TestApp, User};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

const STATS: &str = "group_by=date&preset=yesterday";

/// Every documented call that needs a token: method and path.
fn documented() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(openapi::document()).expect("a document");
    let paths = document["paths"].as_object().expect("paths").iter();
    let calls: Vec<_> = paths
        .filter(|(path, _)| path.starts_with("/api/v1"))
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("methods").keys();
            methods
                .filter(|method| ["get", "post", "patch", "delete", "put"].contains(&method.as_str()))
                .map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    assert!(calls.len() >= 15, "{calls:?}");
    calls
}

/// A body that would do for the call, if it takes one.
fn body_of(method: &str, path: &str) -> Option<Value> {
    match (method, path) {
        ("POST", "/api/v1/connections" | "/api/v1/connections/verify") => {
            Some(json!({ "name": "Mine", "platform": "demo" }))
        }
        ("PATCH", _) => Some(json!({ "name": "Taken over" })),
        _ => None,
    }
}

/// Makes a documented call about this connection.
async fn call(user: &User<'_>, method: &str, path: &str, id: &str) -> Answer {
    let query = if path.ends_with("/stats") { format!("?{STATS}") } else { String::new() };
    let path = path.replace("{platform}", "demo").replace("{id}", id);
    user.send(method, &format!("{path}{query}"), &[], body_of(method, &path).as_ref()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn api1_another_organisations_connection_is_nothing_on_every_route() {
    let app = TestApp::start().await;
    let (victim, thief) = (app.user("victim", Plan::Pro), app.user("thief", Plan::Pro));
    let id = victim.add_demo("Victims own").await;
    let before = victim.get(&format!("/api/v1/connections/{id}")).await.text;
    let unknown = uuid::Uuid::now_v7().to_string();
    let mut walked = 0;
    for (method, path) in documented().into_iter().filter(|(_, path)| path.contains("{id}")) {
        let foreign = call(&thief, &method, &path, &id).await;
        let nothing = call(&thief, &method, &path, &unknown).await;
        let (mut foreign, mut nothing) = (foreign.problem(404, "not_found"), nothing.problem(404, "not_found"));
        for body in [&mut foreign, &mut nothing] {
            body["request_id"] = Value::Null;
            body["instance"] = Value::Null;
        }
        assert_eq!(foreign, nothing, "{method} {path}: a foreign id is told from an unknown one");
        walked += 1;
    }
    assert!(walked >= 7, "{walked}");
    for path in ["connections", "audit-events", "usage"] {
        let answer = thief.get(&format!("/api/v1/{path}")).await;
        answer.ok(200);
        assert!(!answer.text.contains(&id) && !answer.text.contains("Victims own"), "{}", answer.text);
    }
    thief.get(&format!("/api/v1/audit-events?connection_id={id}")).await;
    let stats = thief.get(&format!("/api/v1/stats?connection_id={id}&{STATS}")).await.ok(200);
    assert_eq!(stats["results"], json!([]));
    assert_eq!(stats["failures"][0]["problem"]["code"], "not_found");
    assert_eq!(victim.get(&format!("/api/v1/connections/{id}")).await.text, before, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn api1_cursors_keys_and_cached_answers_of_another_organisation_are_worth_nothing() {
    let app = TestApp::start().await;
    let (victim, thief) = (app.user("victim", Plan::Pro), app.user("thief", Plan::Pro));
    let key = [("idempotency-key", "the same key")];
    let body = json!({ "name": "Victims own", "platform": "demo" });
    let first = victim.send("POST", "/api/v1/connections", &key, Some(&body)).await.ok(201);
    let id = first["id"].as_str().expect("an id");
    let second = thief.send("POST", "/api/v1/connections", &key, Some(&body)).await;
    assert_eq!((second.status, second.header("idempotency-replayed")), (201, None));
    assert_ne!(second.json()["id"], first["id"]);

    victim.add_demo("Second").await;
    let page = victim.get("/api/v1/connections?limit=1").await.ok(200);
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    thief.get(&format!("/api/v1/connections?limit=1&cursor={cursor}")).await.problem(422, "validation_failed");

    let path = format!("/api/v1/connections/{id}/stats?{STATS}");
    let warm = victim.get(&path).await;
    warm.ok(200);
    let tag = warm.header("etag").expect("a tag").to_owned();
    for headers in [vec![], vec![("if-none-match", tag.as_str())]] {
        thief.send("GET", &path, &headers, None).await.problem(404, "not_found");
    }
    let named = [("x-org-id", "victim")];
    thief.send("GET", &path, &named, None).await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn api2_no_documented_route_answers_without_a_good_token() {
    let app = TestApp::start().await;
    let good = app.user("acme", Plan::Pro);
    let unsigned = {
        let (message, _) = good.token().rsplit_once('.').expect("a signature");
        format!("{message}.")
    };
    // {"alg":"none"} and the claims of the good token.
    let none = format!("eyJhbGciOiJub25lIn0.{}.", good.token().split('.').nth(1).expect("claims"));
    for (method, path) in documented() {
        for token in ["", "x", unsigned.as_str(), none.as_str()] {
            let answer = call(&app.holder(token), &method, &path, &uuid::Uuid::now_v7().to_string()).await;
            answer.problem(401, "unauthorized");
            assert!(answer.header("www-authenticate").expect("a challenge").starts_with("Bearer"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api3_no_property_can_be_smuggled_in_and_no_secret_read_out() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Mine").await;
    for (field, value) in [
        ("organisation_id", json!("victim")),
        ("org", json!("victim")),
        ("status", json!("active")),
        ("counts_toward_limit", json!(false)),
        ("version", json!(7)),
        ("created_by", json!("someone")),
        ("id", json!(uuid::Uuid::now_v7())),
        ("__proto__", json!({})),
    ] {
        let mut body = json!({ "name": "Other", "platform": "demo" });
        body[field] = value.clone();
        user.post("/api/v1/connections", &body).await.problem(422, "validation_failed");
        let patch = json!({ field: value });
        user.patch(&format!("/api/v1/connections/{id}"), &patch).await.problem(422, "validation_failed");
    }
    let tracker = Simulator::start(Inside);
    let refused = user.post("/api/v1/connections", &affise(&tracker.url)).await;
    refused.problem(422, "verification_failed");
    assert!(!refused.text.contains("canary-key"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn api4_what_one_request_may_cost_is_bounded() {
    let app = TestApp::with(&[("RATE_LIMIT_PER_ORG", "5")]).await;
    let (greedy, other) = (app.user("greedy", Plan::Pro), app.user("other", Plan::Pro));
    for path in ["connections?limit=101", "connections?limit=-1", "audit-events?limit=99999999999999999999"] {
        other.get(&format!("/api/v1/{path}")).await.problem(422, "validation_failed");
    }
    let answers = futures_util::future::join_all((0..30).map(|_| greedy.get("/api/v1/usage"))).await;
    let held_up: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(held_up.len() >= 15, "{}", held_up.len());
    assert!(
        held_up.iter().all(|answer| answer.header("retry-after").is_some() && answer.header("ratelimit").is_some())
    );
    other.get("/api/v1/usage").await.ok(200);
}

/// The scope a call needs; `None` where any token will do.
fn needed(method: &str, path: &str) -> Option<&'static str> {
    match (method, path) {
        (_, path) if path.starts_with("/api/v1/platforms") => None,
        (_, path) if path.ends_with("/stats") || path.ends_with("/values") => Some("stats:read"),
        ("GET", _) => Some("connections:read"),
        _ => Some("connections:write"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api5_every_route_asks_for_its_scope_and_no_other_will_do() {
    let app = TestApp::start().await;
    let id = app.user("acme", Plan::Pro).add_demo("Mine").await;
    for scope in ["connections:read", "connections:write", "stats:read"] {
        let holder = app.user_with_scope("acme", Plan::Pro, scope);
        for (method, path) in documented() {
            let answer = call(&holder, &method, &path, &id).await;
            if needed(&method, &path).is_none_or(|needed| needed == scope) {
                assert!(![401, 403].contains(&answer.status), "{method} {path} with {scope}: {}", answer.text);
            } else {
                answer.problem(403, "forbidden");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api6_keys_cannot_be_guessed_by_verifying_and_plans_not_outgrown_by_haste() {
    let tracker = Simulator::start(Inside);
    let app =
        TestApp::with(&[("RATE_LIMIT_VERIFY_FAILURES", "3"), ("PLAN_LIMITS", "starter=2,pro=2,pro_plus=2,business=2")])
            .await;
    let user = app.user("acme", Plan::Pro);
    for _ in 0..3 {
        user.post("/api/v1/connections/verify", &affise(&tracker.url)).await.ok(200);
    }
    let asked = tracker.requests().len();
    let held_up = user.post("/api/v1/connections/verify", &affise(&tracker.url)).await;
    held_up.problem(429, "rate_limited");
    assert!(held_up.header("retry-after").is_some());
    user.post("/api/v1/connections", &affise(&tracker.url)).await.problem(429, "rate_limited");
    assert_eq!(tracker.requests().len(), asked, "the tracker hears of no further guess");

    let hasty = app.user("hasty", Plan::Pro);
    let bodies: Vec<Value> = (0..12)
        .map(|number| {
            let mut body = affise(&tracker.url);
            body["name"] = json!(format!("Number {number}"));
            body
        })
        .collect();
    let all = bodies.iter().map(|body| hasty.post("/api/v1/connections?verify=deferred", body));
    let made = futures_util::future::join_all(all).await.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn api7_no_address_inside_can_be_saved_or_moved_to() {
    let app = TestApp::with(&[("EGRESS_ALLOW", "")]).await;
    let user = app.user("acme", Plan::Pro);
    for inside in
        ["http://169.254.169.254", "https://127.0.0.1:8080", "https://[::ffff:10.0.0.1]", "https://2130706433"]
    {
        let refused = user.post("/api/v1/connections", &affise(inside)).await.problem(422, "verification_failed");
        assert_eq!(refused["verification"]["failure"]["code"], "egress_blocked", "{inside}: {refused}");
    }
    for nowhere in ["file:///etc/passwd", "gopher://127.0.0.1", "https://user:pw@tracker.example.com"] {
        user.post("/api/v1/connections", &affise(nowhere)).await.problem(422, "validation_failed");
    }
    assert_eq!(user.get("/api/v1/connections").await.ok(200)["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn api8_answers_are_private_hardened_and_say_nothing_of_the_inside() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", "https://app.example.com")]).await;
    let user = app.user("acme", Plan::Pro);
    let evil = [("origin", "https://evil.example.com")];
    for answer in [
        user.send("GET", "/api/v1/usage", &evil, None).await,
        app.send("GET", "/api/v1/usage", &evil, None).await,
        app.send("GET", "/no/such/thing", &evil, None).await,
        app.send("OPTIONS", "/api/v1/usage", &[evil[0], ("access-control-request-method", "GET")], None).await,
    ] {
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("content-security-policy").is_some());
        assert_eq!(answer.header("server"), None);
    }
    for method in ["TRACE", "CONNECT", "PUT", "PROPFIND"] {
        let answer = user.send(method, "/api/v1/usage", &[], None).await;
        assert!([400, 404, 405, 501].contains(&answer.status), "{method}: {}", answer.status);
    }
    app.anonymous("GET", "/metrics").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn api9_what_is_documented_is_served_and_nothing_else() {
    let app = TestApp::start().await;
    for (method, path) in documented() {
        let path = path.replace("{id}", &uuid::Uuid::now_v7().to_string()).replace("{platform}", "demo");
        app.anonymous(&method, &path).await.problem(401, "unauthorized");
    }
    for forgotten in
        ["/api", "/api/v0/connections", "/api/v2/connections", "/admin", "/debug/pprof", "/.env", "/api/v1/internal"]
    {
        app.user("acme", Plan::Pro).get(forgotten).await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api10_what_a_tracker_answers_is_not_trusted() {
    let tracker = Simulator::start(Inside);
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let echo = "canary-key-0123456789 \u{1b}[31m<script>alert(1)</script>\r\nforged: line\u{0}";
    for hostile in [
        Reply::json(401, &json!({ "status": 2, "error": echo, "message": echo })),
        Reply::json(200, &json!({ "status": 1, "stats": echo, "pagination": { "total_count": "1e400" } })),
        Reply::text(200, "application/json", "[".repeat(200_000)),
        Reply::text(200, "application/json", vec![0xff; 10_000]),
        Reply::text(200, "application/json", "").with_header("content-encoding", "gzip"),
        Reply::html(200),
    ] {
        tracker.always(Some(Fault::Instead(hostile)));
        let answer = user.post("/api/v1/connections/verify", &affise(&tracker.url)).await;
        let verified = answer.ok(200);
        assert_ne!(verified["status"], "ok", "{verified}");
        let detail = verified["failure"]["detail"].as_str().expect("words");
        assert!(!answer.text.contains("canary-key"), "{}", answer.text);
        assert!(!detail.chars().any(char::is_control) && detail.chars().count() < 600, "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api10_words_of_a_tracker_that_says_yes_are_not_trusted_either() {
    /// A network that knows every key, and signs its answers with it.
    struct Flatterer;
    impl Tracker for Flatterer {
        fn answer(&self, request: &Request) -> Reply {
            let mut asked = request.clone();
            let key = request.header("api-key").unwrap_or_default().to_uppercase();
            asked.headers.iter_mut().filter(|(name, _)| name == "api-key").for_each(|(_, key)| *key = ADMIN_KEY.into());
            if request.path != "/3.1/user/me" {
                return Affise::default().answer(&asked);
            }
            let echo = format!("{key} \u{1b}[31m\r\nforged: line\u{0}");
            let much = format!("{echo} {}", "x".repeat(3 << 20));
            Reply::json(
                200,
                &json!({ "status": 1, "user": { "id": echo, "type": "common_manager", "timezone": much } }),
            )
        }
    }
    let tracker = Simulator::start(Flatterer);
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let answer = user.post("/api/v1/connections", &affise(&tracker.url)).await;
    let created = answer.ok(201);
    let at = format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"));
    let shown = [&answer, &user.get(&at).await, &user.get(&format!("{at}/verifications")).await].map(Answer::clone);
    for answer in shown {
        assert!(!answer.text.to_lowercase().contains("canary-key") && answer.text.len() < 10_000, "{}", answer.text);
    }
    let detected = &created["last_verification"]["detected"];
    assert_eq!(detected["account"], "[secret] [31m forged: line");
    let zone = detected["timezone"].as_str().expect("words");
    assert!(zone.starts_with("[secret] [31m forged: line xxx") && zone.chars().count() == 301, "{zone}");
    assert_eq!(detected["currency"], "EUR");
    user.get(&format!("{at}/stats?{STATS}")).await.ok(200);
}
