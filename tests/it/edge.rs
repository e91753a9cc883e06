//! What every request meets before a handler looks at it, and what everybody gets who sends nonsense.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use affzero_connections::http::openapi;
use affzero_connections::problem::Code;
use affzero_connections::tenancy::Plan;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::app::{Answer, TestApp};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::Simulator;

const ORIGIN: &str = "https://app.affzero.test";

/// Sends bytes as they are, which no well-behaved client would, and reads the answer.
fn send_bytes(app: &TestApp, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(app.url.trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    // The service may answer and hang up before it has read everything.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..length]);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers: HeaderMap = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| {
            (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"))
        })
        .collect();
    Answer { status: status.expect("a status"), headers, text: body.to_owned() }
}

/// A request of these parts, written as they are.
fn request(method: &str, target: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Asserts what holds of every answer, whatever was asked.
#[track_caller]
fn assert_decent(answer: &Answer, asked: &str) {
    assert!(answer.status < 500, "{asked}: {} {}", answer.status, answer.text);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{asked}");
    assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{asked}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{asked}");
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src") && policy.contains("frame-ancestors 'none'"), "{asked}: {policy}");
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{asked}");
    if answer.status >= 400 && !answer.text.is_empty() {
        let code = answer.json()["code"].as_str().expect("a code").to_owned();
        answer.problem(answer.status, &code);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{asked}");
    }
}

/// Every documented operation: its method and its path with ids filled in.
fn operations() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(openapi::document()).expect("the document");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path
            .replace("{id}", "01990000-0000-7000-8000-000000000000")
            .replace("{platform}", "demo")
            .replace("{code}", "internal");
        operations
            .extend(item.as_object().expect("methods").keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_address_is_a_problem() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    for path in
        ["/api", "/api/v1", "/api/v1/", "/api/v2/connections", "/api/v1/connections/", "//", "/metrics", "/.env"]
    {
        user.get(path).await.problem(404, "not_found");
        app.anonymous("POST", path).await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_answered_with_the_ones_there_are() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let operations = operations();
    let pages = ["/", "/console", "/console/", "/console/console.js"];
    let open = ["/api-docs/openapi.json", "/swagger-ui/", "/swagger-ui", "/swagger-ui/swagger-ui.css"];
    let open = open.into_iter().chain(pages);
    let paths: Vec<&str> = operations.iter().map(|(_, path)| path.as_str()).chain(open).collect();
    for path in paths {
        let mut known: Vec<&str> =
            operations.iter().filter(|(_, other)| other == path).map(|(method, _)| method.as_str()).collect();
        if known.is_empty() {
            known.push("GET");
        }
        if known.contains(&"GET") {
            known.push("HEAD");
        }
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "PROPFIND"] {
            if known.contains(&method) {
                continue;
            }
            let answer = user.send(method, path, &[], None).await;
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text);
            if method == "HEAD" {
                assert!(answer.text.is_empty());
            } else {
                answer.problem(405, "method_not_allowed");
            }
            let mut allowed: Vec<&str> =
                answer.header("allow").unwrap_or_else(|| panic!("no Allow: {method} {path}")).split(", ").collect();
            allowed.sort_unstable();
            known.sort_unstable();
            assert_eq!(allowed, known, "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_answers_the_headers_of_get_and_nothing_else() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Try").await;
    let open =
        ["/", "/console/", "/api-docs/openapi.json", "/swagger-ui/", "/swagger-ui", "/nowhere"].map(str::to_owned);
    let documented = operations().into_iter().filter(|(method, _)| method == "GET").map(|(_, path)| path);
    let with_id = ["", "/verifications", "/automations", "/stats?group_by=date&preset=yesterday", "/stats?group_by=x"]
        .map(|rest| format!("/api/v1/connections/{id}{rest}"));
    for path in open.into_iter().chain(documented).chain(with_id) {
        let (get, head) = (user.get(&path).await, user.send("HEAD", &path, &[], None).await);
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        let lasting = |answer: &Answer| -> Vec<(String, String)> {
            let changing = ["date", "x-request-id", "cache-status", "age", "vary", "access-control-expose-headers"];
            let all = answer.headers.iter().filter(|(name, _)| !changing.contains(&name.as_str()));
            // The length of a problem is that of its request's id as well.
            let all = all.filter(|(name, _)| get.status < 400 || *name != "content-length");
            all.map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect()
        };
        let (mut of_get, mut of_head) = (lasting(&get), lasting(&head));
        of_get.sort();
        of_head.sort();
        assert_eq!(of_head, of_get, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_of_a_stream_calls_no_tracker_and_head_of_a_page_calls_it_once() {
    let tracker = Simulator::start(Affise::default());
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let body = json!({"name": "x", "platform": "affise", "connection_type": "admin", "settings": {"base_url": tracker.url}, "credentials": {"api_key": ADMIN_KEY}});
    let id = user.post("/api/v1/connections", &body).await.ok(201)["id"].as_str().expect("an id").to_owned();
    let path = |query: &str| format!("/api/v1/connections/{id}/stats?{query}");
    let question = path("group_by=offer&preset=yesterday");
    tracker.forget();
    for (kind, content_type) in
        [("application/x-ndjson", "application/x-ndjson"), ("text/csv", "text/csv; charset=utf-8; header=present")]
    {
        let head = user.send("HEAD", &question, &[("accept", kind)], None).await;
        assert_eq!((head.status, head.header("content-type")), (200, Some(content_type)));
        assert_eq!((head.text.as_str(), head.header("content-length")), ("", None));
        let refused = user.send("HEAD", &path("group_by=campaign&preset=yesterday"), &[("accept", kind)], None).await;
        assert_eq!(refused.status, 422);
        let unknown = question.replace(&id, "01990000-0000-7000-8000-000000000000");
        assert_eq!(user.send("HEAD", &unknown, &[("accept", kind)], None).await.status, 404);
    }
    assert!(tracker.requests().is_empty());
    let head = user.send("HEAD", &question, &[], None).await;
    let pulled = tracker.requests().len();
    assert!(head.status == 200 && pulled > 0);
    let get = user.get(&question).await;
    assert_eq!(head.header("etag"), get.header("etag"));
    assert!(get.header("cache-status").is_some_and(|status| status.contains("hit")));
    assert_eq!(tracker.requests().len(), pulled, "what HEAD has pulled is kept for GET");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_bad_json_is_named_but_it_is_never_quoted() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Try").await;
    let bearer = format!("Bearer {}", user.token());
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let bodies: [&[u8]; 13] = [
        b"",
        b" ",
        b"{",
        b"{\"name\": canary-7 }",
        b"{\"name\": \"canary-7\",}",
        b"{\"name\": \"canary-7\"} trailing",
        b"{\"name\": \"canary-7\n\"}",
        b"{\"name\": \"\\ud800\"}",
        b"{\"name\": \"canary-7\xff\xfe\"}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b"{\"name\": 1e99999}",
        deep.as_bytes(),
    ];
    for body in bodies {
        for (method, path) in [
            ("POST", "/api/v1/connections".to_owned()),
            ("POST", "/api/v1/connections/verify".to_owned()),
            ("PATCH", format!("/api/v1/connections/{}", id)),
        ] {
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            let answer = app.send(method, &path, &headers, Some(body.to_vec())).await;
            let problem = answer.problem(400, "malformed_request");
            let detail = problem["detail"].as_str().expect("a detail");
            assert!(detail.contains("line ") && detail.contains("column "), "{detail}");
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_wrong_shape_is_unprocessable() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Try").await;
    for body in [
        json!(null),
        json!(7),
        json!("text"),
        json!([]),
        json!([{}]),
        json!({}),
        json!(true),
        json!({"name": 7, "platform": "demo"}),
        json!({"name": null, "platform": "demo"}),
        json!({"name": "x", "platform": ["demo"]}),
        json!({"name": "x", "platform": "DEMO"}),
        json!({"name": "x", "platform": "demo\0"}),
        json!({"name": "", "platform": "demo"}),
        json!({"name": "   ", "platform": "demo"}),
        json!({"name": "x\0y", "platform": "demo"}),
        json!({"name": "x\ny", "platform": "demo"}),
        json!({"name": "x".repeat(101), "platform": "demo"}),
        json!({"name": "x", "platform": "demo", "settings": []}),
        json!({"name": "x", "platform": "demo", "settings": {"scenario": "\0"}}),
        json!({"name": "x", "platform": "demo", "settings": {"scenario": {"a": {"b": []}}}}),
        json!({"name": "x", "platform": "demo", "credentials": "none"}),
        json!({"name": "x", "platform": "demo", "\0": 1}),
        json!({"name": "x", "platform": "demo", "api_kye": "canary"}),
        json!({"name": "x", "platform": "affise", "connection_type": "admin", "settings": {"base_url": "\0"}, "credentials": {"api_key": "\0"}}),
    ] {
        let problem = user.post("/api/v1/connections", &body).await.problem(422, "validation_failed");
        let errors = problem["errors"].as_array().expect("errors");
        assert!(errors.iter().all(|error| error["pointer"].is_string() && error["detail"].is_string()), "{problem}");
        assert!(!errors.is_empty());
    }
    for patch in [
        json!(null),
        json!([]),
        json!("x"),
        json!({"name": null}),
        json!({"name": "a\0"}),
        json!({"platform": "affise"}),
        json!({"id": "x"}),
        json!({"settings": 1}),
        json!({"credentials": []}),
    ] {
        user.patch(&format!("/api/v1/connections/{id}"), &patch).await.problem(422, "validation_failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_json_is_read() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Try").await;
    let bearer = format!("Bearer {}", user.token());
    let body = br#"{"name":"Other","platform":"demo"}"#.to_vec();
    for kind in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonx",
        "json",
        ";",
        "application/merge-patch+json",
        "application/json, text/plain",
    ] {
        let mut headers = vec![("authorization", bearer.as_str())];
        if !kind.is_empty() {
            headers.push(("content-type", kind));
        }
        for path in ["/api/v1/connections", "/api/v1/connections/verify"] {
            app.send("POST", path, &headers, Some(body.clone())).await.problem(415, "unsupported_media_type");
        }
    }
    let patch = br#"{"name":"Renamed"}"#.to_vec();
    for (kind, status) in [
        ("application/merge-patch+json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/json-patch+json", 415),
        ("text/json", 415),
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = app.send("PATCH", &format!("/api/v1/connections/{id}"), &headers, Some(patch.clone())).await;
        assert_eq!(answer.status, status, "{kind}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_more_than_64_kib_is_refused_however_it_comes() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let bearer = format!("Bearer {}", user.token());
    let with_length = |length: usize| {
        let padding = " ".repeat(length - br#"{"platform":"demo"}"#.len());
        let headers: [(&str, &[u8]); 2] = [("authorization", bearer.as_bytes()), ("content-type", b"application/json")];
        request(
            "POST",
            "/api/v1/connections/verify",
            &headers,
            format!("{{\"platform\":\"demo\"}}{padding}").as_bytes(),
        )
    };
    assert_eq!(send_bytes(&app, &with_length(64 * 1024)).status, 200);
    send_bytes(&app, &with_length(64 * 1024 + 1)).problem(413, "payload_too_large");
    let announced = format!(
        "POST /api/v1/connections HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 99999999999\r\n\r\n{{"
    );
    send_bytes(&app, announced.as_bytes()).problem(413, "payload_too_large");
    let mut chunked = format!(
        "POST /api/v1/connections HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    for _ in 0..5 {
        chunked.push_str(&format!("4000\r\n{}\r\n", " ".repeat(0x4000)));
    }
    chunked.push_str("0\r\n\r\n");
    send_bytes(&app, chunked.as_bytes()).problem(413, "payload_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_id_names_no_connection() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let long = "a".repeat(5_000);
    for id in [
        "0",
        "-1",
        "null",
        "%00",
        "%ff",
        "..%2f..%2fetc",
        "1%27%20OR%201=1",
        "{id}",
        "%7Bid%7D",
        "ünï",
        "01990000000070008000000000000000",
        "urn:uuid:01990000-0000-7000-8000-000000000000",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        &long,
    ] {
        for (method, rest) in [
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/verifications"),
            ("GET", "/automations"),
            ("POST", "/verify"),
            ("GET", "/stats?group_by=date&preset=today"),
        ] {
            let answer = user.send(method, &format!("/api/v1/connections/{id}{rest}"), &[], None).await;
            answer.problem(404, "not_found");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_has_its_page() {
    let app = TestApp::start().await;
    for code in Code::ALL {
        let page = app.anonymous("GET", &format!("/problems/{}", code.slug())).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.text.contains(code.title()) && page.text.contains(code.slug()), "{}", page.text);
        assert!(!page.text.contains("<script"));
        assert_decent(&page, code.slug());
    }
    for slug in ["nothing", "INTERNAL", "%00", "%ff", "<script>", "internal%20"] {
        app.anonymous("GET", &format!("/problems/{slug}")).await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_request_id_is_kept_and_a_bad_one_replaced() {
    let app = TestApp::start().await;
    let id_for = |sent: &[u8]| {
        let answer = send_bytes(&app, &request("GET", "/healthz", &[("x-request-id", sent)], b""));
        assert_eq!(answer.status, 200);
        answer.header("x-request-id").expect("an id").to_owned()
    };
    for good in ["a", "0199a2b4-0000-7000-8000-000000000000", "svc:7/x_y.z+=", &"x".repeat(128)] {
        assert_eq!(id_for(good.as_bytes()), good);
    }
    let long = "x".repeat(129);
    let bad: [&[u8]; 8] = [b"", b"a b", b"\"quoted\"", b"a\tb", b"<script>", b"{}", b"\xc3\xa9", long.as_bytes()];
    for bad in bad {
        let id = id_for(bad);
        assert!(id.parse::<uuid::Uuid>().is_ok_and(|id| id.get_version_num() == 7), "{id}");
    }
    assert_ne!(id_for(b""), id_for(b""));
    let problem = app.send("GET", "/nowhere", &[("x-request-id", "mine")], None).await.problem(404, "not_found");
    assert_eq!(problem["request_id"], "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_learns_nothing_of_the_caller() {
    let tracker = Simulator::start(Affise::default());
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let body = json!({"platform": "affise", "connection_type": "admin", "settings": {"base_url": tracker.url}, "credentials": {"api_key": ADMIN_KEY}});
    let headers = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "vendor=1"),
        ("x-request-id", "request-of-mine"),
        ("x-automation-id", "automation-7"),
        ("cookie", "session=1"),
        ("x-forwarded-for", "203.0.113.7"),
    ];
    let answer = user.send("POST", "/api/v1/connections/verify", &headers, Some(&body)).await.ok(200);
    assert_eq!(answer["status"], "ok", "{answer}");
    let requests = tracker.requests();
    assert!(!requests.is_empty());
    for request in requests {
        for name in [
            "traceparent",
            "tracestate",
            "x-request-id",
            "x-automation-id",
            "cookie",
            "x-forwarded-for",
            "authorization",
        ] {
            assert_eq!(request.header(name), None, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_origin_may_read_answers_and_problems() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", ORIGIN)]).await;
    let user = app.user("acme", Plan::Pro);
    let fine = user.send("GET", "/api/v1/connections", &[("origin", ORIGIN)], None).await;
    let problems = [
        app.send("GET", "/api/v1/connections", &[("origin", ORIGIN)], None).await,
        user.send("GET", "/nowhere", &[("origin", ORIGIN)], None).await,
        user.send("PUT", "/api/v1/connections", &[("origin", ORIGIN)], None).await,
        user.send("POST", "/api/v1/connections", &[("origin", ORIGIN)], Some(&json!({}))).await,
    ];
    assert_eq!(fine.status, 200);
    assert_eq!(problems.clone().map(|problem| problem.status), [401, 404, 405, 422]);
    for answer in problems.iter().chain([&fine]) {
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{}", answer.text);
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default().to_ascii_lowercase();
        for name in ["etag", "location", "retry-after", "cache-status", "age", "x-request-id", "idempotency-replayed"] {
            assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{name} in {exposed}");
        }
        assert!(answer.header("vary").unwrap_or_default().to_ascii_lowercase().contains("origin"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_allows_what_the_contract_lists() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", ORIGIN)]).await;
    let preflight = async |origin: &str, method: &str, headers: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", method),
            ("access-control-request-headers", headers),
        ];
        app.send("OPTIONS", "/api/v1/connections", &headers, None).await
    };
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let wanted = "authorization, content-type, if-match, if-none-match, idempotency-key, x-request-id, x-org-id, x-org-plan, x-automation-id, x-anything";
        let answer = preflight(ORIGIN, method, wanted).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        assert!(answer.header("access-control-allow-methods").unwrap_or_default().contains(method));
        let allowed = answer.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
        for name in wanted.split(", ") {
            assert!(allowed.split(',').any(|allowed| allowed.trim() == name), "{name} in {allowed}");
        }
        assert_decent(&answer, method);
    }
    for (origin, method, status, code) in [
        ("https://evil.test", "GET", 403, "forbidden"),
        (ORIGIN, "PUT", 400, "malformed_request"),
        ("null", "POST", 403, "forbidden"),
    ] {
        let answer = preflight(origin, method, "authorization").await;
        let problem = answer.problem(status, code);
        if status == 403 {
            assert_eq!(problem["detail"], format!("Pages of {origin} may not call this service."));
            assert!(problem["hint"].as_str().expect("a hint").contains("CORS_ALLOWED_ORIGINS"), "{problem}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_decent(&answer, origin);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_get_no_cors_headers() {
    let configured = TestApp::with(&[("CORS_ALLOWED_ORIGINS", ORIGIN)]).await;
    let unconfigured = TestApp::start().await;
    for (app, origins) in [
        (
            &configured,
            vec![
                "https://evil.test",
                "null",
                "https://app.affzero.test.evil.test",
                "http://app.affzero.test",
                "https://app.affzero.test:444",
            ],
        ),
        (&unconfigured, vec![ORIGIN, "null"]),
    ] {
        for origin in origins {
            for path in ["/healthz", "/nowhere", "/api/v1/connections"] {
                let answer = app.user("acme", Plan::Pro).send("GET", path, &[("origin", origin)], None).await;
                assert!(
                    answer
                        .headers
                        .keys()
                        .all(|name| name == "access-control-expose-headers"
                            || !name.as_str().starts_with("access-control-")),
                    "{origin} {:?}",
                    answer.headers
                );
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_security_headers_and_private_ones_are_not_stored() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Try").await;
    for path in [
        "/healthz",
        "/readyz",
        "/",
        "/console/",
        "/console/style.css",
        "/console/nothing",
        "/api-docs/openapi.json",
        "/swagger-ui",
        "/swagger-ui/",
        "/swagger-ui/swagger-ui.css",
        "/problems/internal",
    ] {
        assert_decent(&app.anonymous("GET", path).await, path);
    }
    for (method, path) in operations() {
        assert_decent(&app.anonymous(&method, &path).await, &path);
        assert_decent(&user.send(&method, &path, &[], None).await, &path);
    }
    for path in [
        "/api/v1/connections",
        "/api/v1/usage",
        "/api/v1/audit-events",
        "/api/v1/platforms",
        &format!("/api/v1/connections/{id}"),
    ] {
        assert_eq!(user.get(path).await.header("cache-control"), Some("no-store"), "{path}");
    }
    let stats = user.get(&format!("/api/v1/connections/{id}/stats?group_by=date&preset=today")).await;
    assert_eq!(stats.header("cache-control"), Some("private, no-cache"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_an_organisation_over_its_rate_says_when_to_come_back() {
    let app = TestApp::with(&[("RATE_LIMIT_PER_ORG", "2")]).await;
    let user = app.user("acme", Plan::Pro);
    let mut refused = None;
    for _ in 0..200 {
        let answer = user.get("/api/v1/platforms/demo").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200);
    }
    let refused = refused.expect("the limit was never reached");
    refused.problem(429, "rate_limited");
    assert!(refused.header("retry-after").expect("a time").parse::<u64>().expect("seconds") >= 1);
    assert!(refused.header("ratelimit-policy").expect("a policy").contains("q=2"));
    assert!(refused.header("ratelimit").expect("what is left").contains("r=0"));
    assert_eq!(app.user("other", Plan::Pro).get("/api/v1/platforms/demo").await.status, 200, "limits are apart");
    assert_eq!(app.anonymous("GET", "/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_verifications_are_limited_and_working_ones_are_not() {
    let tracker = Simulator::start(Affise::default());
    let app = TestApp::with(&[("RATE_LIMIT_VERIFY_FAILURES", "2")]).await;
    let user = app.user("acme", Plan::Pro);
    let body = |key: &str| json!({"platform": "affise", "connection_type": "admin", "settings": {"base_url": tracker.url}, "credentials": {"api_key": key}});
    for _ in 0..4 {
        assert_eq!(user.post("/api/v1/connections/verify", &body(ADMIN_KEY)).await.ok(200)["status"], "ok");
    }
    let guess = body("00000000000000000000000000000000");
    for _ in 0..2 {
        assert_eq!(user.post("/api/v1/connections/verify", &guess).await.ok(200)["status"], "failed");
    }
    tracker.forget();
    let refused = user.post("/api/v1/connections/verify", &guess).await;
    refused.problem(429, "rate_limited");
    assert!(refused.header("retry-after").is_some());
    let refused = user.post("/api/v1/connections", &json!({"name": "x", "platform": "affise", "connection_type": "admin", "settings": {"base_url": tracker.url}, "credentials": {"api_key": ADMIN_KEY}})).await;
    refused.problem(429, "rate_limited");
    assert!(tracker.requests().is_empty(), "no tracker is asked any more");
    let other = app.user("other", Plan::Pro);
    assert_eq!(other.post("/api/v1/connections/verify", &guess).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_refused_without_harm() {
    let app = TestApp::start().await;
    let giant = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-giant: {}\r\n\r\n", "x".repeat(300_000));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: 1\r\n".repeat(500));
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(300_000));
    for bytes in [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\nbad header: \0\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        &giant,
        &many,
        &long,
    ] {
        let status = send_bytes(&app, bytes.as_bytes()).status;
        assert!((400..500).contains(&status), "{status}: {:.60}", bytes);
    }
    assert_eq!(app.anonymous("GET", "/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_queries_are_refused_by_name() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Try").await;
    let stats = format!("/api/v1/connections/{id}/stats");
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1e9",
        "limit=%00",
        "limit=1&limit=2",
        "cursor=%00",
        "cursor=x",
        "cursor=AAAA",
        "platform=%27",
        "status=%ff",
        "connection_type=x",
        "sort=--name",
        "sort=%00",
        "nope=1",
        "%00=%00",
        "q[]=1",
        "q=%00",
        "q=a%0Ab",
    ] {
        user.get(&format!("/api/v1/connections?{query}")).await.problem(422, "validation_failed");
    }
    for query in ["q=%25", "q=%5F", "q=%5C", "q=%27%3B--", "q=%ff%fe", "q=%F0%9F%92%A9"] {
        let listed = user.get(&format!("/api/v1/connections?{query}")).await.ok(200);
        assert_eq!(listed["data"], json!([]), "{query}");
    }
    for query in [
        "",
        "group_by=",
        "group_by=%00&preset=today",
        "group_by=date",
        "group_by=date&preset=today&from=2026-01-01",
        "group_by=date&from=2026-13-41&to=2026-01-01",
        "group_by=date&from=99999-01-01&to=99999-01-02",
        "group_by=date&from=-9999-01-01&to=9999-12-31",
        "group_by=date&preset=today&timezone=../../etc/passwd",
        "group_by=date&preset=today&timezone=%00",
        "group_by=date&preset=today&filter[%00]=1",
        "group_by=date&preset=today&limit=0",
        "group_by=date&preset=today&limit=99999999999999999999",
        "group_by=date&preset=today&metrics=%00",
        "group_by=date&preset=today&cursor=AAAA",
        "group_by=date,date&preset=today",
    ] {
        let answer = user.get(&format!("{stats}?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.text);
        assert_decent(&answer, query);
    }
}

/// A piece of a hostile request.
fn junk() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("%00".to_owned()),
        Just("%ff".to_owned()),
        Just("%".to_owned()),
        Just("%zz".to_owned()),
        Just("..".to_owned()),
        Just("%2e%2e%2f".to_owned()),
        Just("'--".to_owned()),
        Just("{id}".to_owned()),
        Just("[".to_owned()),
        Just("%F0%9F".to_owned()),
        Just("99999999999999999999999".to_owned()),
        Just("-1".to_owned()),
        Just("null".to_owned()),
        Just("demo".to_owned()),
        Just("date".to_owned()),
        Just("today".to_owned()),
        Just("01990000-0000-7000-8000-000000000000".to_owned()),
        "[!-~&&[^ #?\"<>`]]{0,20}",
    ]
}

fn hostile_path() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "/api/v1/connections",
        "/api/v1/connections/verify",
        "/api/v1/platforms",
        "/api/v1/stats",
        "/api/v1/usage",
        "/api/v1/audit-events",
        "/problems",
        "/swagger-ui",
        "/console",
        "/api-docs",
        "",
        "/healthz",
        "/api/v1/connections/ID",
        "/api/v1/connections/ID/stats",
    ]);
    (known, prop::collection::vec(junk(), 0..3))
        .prop_map(|(known, rest)| {
            let rest: String = rest.iter().map(|part| format!("/{part}")).collect();
            format!("{known}{rest}")
        })
        .prop_map(|path| if path.is_empty() { "/".to_owned() } else { path })
}

fn hostile_query() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "limit",
            "cursor",
            "q",
            "sort",
            "platform",
            "status",
            "group_by",
            "preset",
            "from",
            "to",
            "timezone",
            "filter[offer]",
            "filter[",
            "metrics",
            "connection_id",
            "verify"
        ])
        .prop_map(str::to_owned),
        junk()
    ];
    prop::collection::vec((key, junk()), 0..5)
        .prop_map(|pairs| pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&"))
}

fn hostile_headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let name = prop::sample::select(vec![
        "x-request-id",
        "traceparent",
        "x-org-id",
        "x-org-plan",
        "if-match",
        "if-none-match",
        "idempotency-key",
        "x-automation-id",
        "accept",
        "cache-control",
        "origin",
        "accept-encoding",
        "range",
        "cookie",
    ]);
    let visible = prop::collection::vec(prop_oneof![0x21_u8..0x7f, 0x80_u8..=0xff], 0..30);
    let sensible = prop::sample::select(vec![
        "*",
        "*/*",
        "text/csv",
        "application/x-ndjson",
        "\"1\"",
        "no-cache",
        "pro",
        "acme",
        ",,,",
        "\"",
        "W/\"1\"",
        "text/*;q=2",
    ])
    .prop_map(|text| text.as_bytes().to_vec());
    prop::collection::vec((name, prop_oneof![visible, sensible]), 0..4)
}

fn hostile_body() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("demo")),
        Just(json!("affise")),
        Just(json!("\0")),
        Just(json!("http://127.0.0.1:1")),
        Just(json!("admin"))
    ];
    let tree = leaf.prop_recursive(3, 24, 5, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "name",
                "platform",
                "connection_type",
                "settings",
                "credentials",
                "base_url",
                "api_key",
                "scenario",
                "currency",
                "id",
                "version",
                ""
            ])
            .prop_map(str::to_owned),
            ".{0,6}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    prop_oneof![
        4 => tree.prop_map(|tree| tree.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

#[test]
fn nothing_that_is_sent_breaks_the_service() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (app, id, token) = runtime.block_on(async {
        let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", ORIGIN), ("RATE_LIMIT_VERIFY_FAILURES", "0")]).await;
        let user = app.user("acme", Plan::Business);
        let id = user.add_demo("Try").await;
        let token = user.token().to_owned();
        (app, id, token)
    });
    let bearer = format!("Bearer {token}");
    let method = prop::sample::select(vec!["GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"]);
    let kind = prop::sample::select(vec!["application/json", "application/merge-patch+json", "text/plain"]);
    let asked = (method, hostile_path(), hostile_query(), hostile_headers(), kind, hostile_body());
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    runner
        .run(&asked, |(method, path, query, headers, kind, body)| {
            // The connection itself is to stay: only its name in the address is filled in, never its deletion.
            let path = path.replace("ID", if method == "DELETE" { "none" } else { &id });
            let target = if query.is_empty() { path } else { format!("{path}?{query}") };
            let mut all: Vec<(&str, &[u8])> =
                vec![("authorization", bearer.as_bytes()), ("content-type", kind.as_bytes())];
            all.extend(headers.iter().map(|(name, value)| (*name, value.as_slice())));
            let answer = send_bytes(&app, &request(method, &target, &all, &body));
            assert_decent(&answer, &format!("{method} {target} {headers:?} {:?}", String::from_utf8_lossy(&body)));
            Ok(())
        })
        .expect("every answer is decent");
    let alive = runtime.block_on(app.anonymous("GET", "/readyz"));
    assert_eq!(alive.status, 200);
}
