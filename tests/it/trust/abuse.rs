//! Too much, too long, too slow, too often.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use affzero_connections::db::DbError;
use affzero_connections::db::schema::automations;
use affzero_connections::tenancy::Plan;
use diesel::prelude::*;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::connections::execute;
use crate::process::Service;

/// Sends these very bytes and reads until the service closes the connection.
pub(super) fn exchange(url: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    // A service that has closed already has its reasons, which are read below.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_tokens_are_held_up_and_good_ones_are_not() {
    let app = TestApp::with(&[("RATE_LIMIT_AUTH_FAILURES", "3")]).await;
    let (good, bad) = (app.user("acme", Plan::Pro), app.holder("not.a.token"));
    for _ in 0..3 {
        bad.get("/api/v1/usage").await.problem(401, "unauthorized");
    }
    for _ in 0..3 {
        let held_up = bad.get("/api/v1/usage").await;
        held_up.problem(429, "rate_limited");
        let wait: u64 = held_up.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(held_up.header("ratelimit-policy"), Some("\"address\";q=3"));
        assert!(held_up.header("ratelimit").expect("a state").starts_with("\"address\";r=0;t="));
        app.anonymous("GET", "/api/v1/usage").await.problem(429, "rate_limited");
        good.get("/api/v1/usage").await.ok(200);
    }
    let unlimited = TestApp::with(&[("RATE_LIMIT_AUTH_FAILURES", "0")]).await;
    for _ in 0..700 {
        unlimited.anonymous("GET", "/api/v1/usage").await.problem(401, "unauthorized");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_address_is_not_believed() {
    let app = TestApp::with(&[("RATE_LIMIT_AUTH_FAILURES", "2")]).await;
    let mut statuses = Vec::new();
    for number in 0..4 {
        let address = format!("192.0.2.{number}");
        let forwarded = format!("for={address}");
        let headers = [("x-forwarded-for", address.as_str()), ("forwarded", forwarded.as_str())];
        statuses.push(app.send("GET", "/api/v1/usage", &headers, None).await.status);
    }
    assert_eq!(statuses, [401, 401, 429, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_addresses_and_heads_are_refused() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let long = format!("/api/v1/connections?q={}", "x".repeat(20_000));
    user.get(&long).await.problem(400, "malformed_request");
    for (name, value) in [("x-padding", "x".repeat(300_000)), ("cookie", "x=y;".repeat(100_000))] {
        let answer = exchange(&app.url, &format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{name}: {value}\r\n\r\n"));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let many: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
    let answer = exchange(&app.url, &format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("malformed_request"), "{answer}");
    for (sent, status) in
        [("NONSENSE\r\n\r\n", 400), ("GET / HTTP/3.7\r\n\r\n", 400), ("GET /healthz HTTP/1.1\r\nho st: x\r\n\r\n", 400)]
    {
        let answer = exchange(&app.url, sent);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let body: Value = serde_json::from_str(body).expect("a problem");
        assert_eq!((&body["status"], &body["code"]), (&json!(status), &json!("malformed_request")), "{sent}");
        assert!(head.starts_with("HTTP/1.1 400") && head.contains("application/problem+json"), "{head}");
    }
    user.get("/api/v1/usage").await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_deep_or_too_large_are_refused() {
    let app = TestApp::start().await;
    let bearer = format!("Bearer {}", app.user("acme", Plan::Pro).token());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    for deep in ["[".repeat(60_000), "{\"a\":".repeat(10_000), format!("{}{}", "[".repeat(200), "]".repeat(200))] {
        let answer = app.send("POST", "/api/v1/connections", &headers, Some(deep.into_bytes())).await;
        answer.problem(400, "malformed_request");
    }
    for twice in [
        r#"{"name":"a","name":"b","platform":"demo"}"#,
        r#"{"name":"a","platform":"demo","settings":{"scenario":"slow","scenario":"down"}}"#,
    ] {
        let answer = app.send("POST", "/api/v1/connections", &headers, Some(twice.as_bytes().to_vec())).await;
        answer.problem(400, "malformed_request");
    }
    let large = json!({ "name": "x".repeat(70_000), "platform": "demo" }).to_string().into_bytes();
    app.send("POST", "/api/v1/connections", &headers, Some(large)).await.problem(413, "payload_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_two_ends_are_refused() {
    let app = TestApp::start().await;
    for two_ends in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        "content-length: 0\r\ncontent-length: 5\r\n\r\nhello",
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ] {
        let head = "POST /api/v1/connections HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        let answer = exchange(&app.url, &format!("{head}{two_ends}"));
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_that_is_not_read_becomes_a_request() {
    let app = TestApp::start().await;
    let inner = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let size = inner.len();
    for refused in [
        format!("content-length: {size}\r\n\r\n{inner}"),
        format!("content-length: 999999\r\n\r\n{inner}"),
        format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n{inner}\r\n0\r\n\r\n"),
        format!("transfer-encoding: chunked\r\n\r\nzz\r\n{inner}"),
    ] {
        // Without a token the body is never looked at.
        let mut stream = TcpStream::connect(app.url.trim_start_matches("http://")).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        let head = "POST /api/v1/connections HTTP/1.1\r\nhost: x\r\n";
        stream.write_all(format!("{head}{refused}").as_bytes()).expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_say_who_asks_stand_there_once() {
    let app = TestApp::start().await;
    let token = app.user("acme", Plan::Pro).token().to_owned();
    let service = app.user_with_scope("acme", Plan::Pro, "connections:read").token().to_owned();
    let bearer = format!("authorization: Bearer {token}\r\n");
    for (headers, status) in [
        (bearer.clone(), 200),
        (format!("{bearer}authorization: Bearer {service}\r\n"), 401),
        (format!("{bearer}authorization: Bearer x\r\n"), 401),
        (format!("{bearer}x-org-id: acme\r\n"), 200),
        (format!("{bearer}x-org-id: acme\r\nx-org-id: evil\r\n"), 400),
        (format!("{bearer}x-org-id: acme\r\nX-Org-Id: acme\r\n"), 400),
    ] {
        let request = format!("GET /api/v1/usage HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        let answer = exchange(&app.url, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn automations_beyond_number_take_no_more_room() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Demo").await;
    let made_up: Vec<String> = (0..1_100).map(|n| format!("('{id}', 'made-up-{n}', 'acme', {n}, {n})")).collect();
    let rows = made_up.join(", ");
    execute(&app, format!("INSERT INTO automations (connection_id, automation_id, organisation_id, first_used_at, last_used_at) VALUES {rows}")).await;
    let stats = format!("/api/v1/connections/{id}/stats?group_by=date&preset=today");
    user.send("GET", &stats, &[("x-automation-id", "a real one")], None).await.ok(200);
    app.connections.flush_uses().await;
    let left = app.db.read(|db| -> Result<Vec<String>, DbError> {
        Ok(automations::table.order(automations::last_used_at.desc()).select(automations::automation_id).load(db)?)
    });
    let left = left.await.expect("automations");
    assert_eq!((left.len(), left[0].as_str(), left[999].as_str()), (1_000, "a real one", "made-up-101"));
}

#[test]
fn whoever_sends_a_head_byte_by_byte_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(folder.path(), &[]);
    let answer = exchange(&service.url, "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// Sends a whole request, then this at once and that a byte a second; says whether the service has closed the connection
/// half a minute later, and how many answers there were.
fn cut_off(url: &str, at_once: &str, slowly: &str) -> (bool, usize) {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    let mut writer = stream.try_clone().expect("the same connection");
    writer.write_all(at_once.as_bytes()).expect("sent");
    let slowly = slowly.as_bytes().to_vec();
    std::thread::spawn(move || {
        for part in slowly.chunks(1) {
            std::thread::sleep(Duration::from_secs(1));
            if writer.write_all(part).is_err() {
                break;
            }
        }
    });
    let (mut answers, mut part, started) = (Vec::new(), [0; 4_096], Instant::now());
    loop {
        match stream.read(&mut part) {
            Ok(read @ 1..) if started.elapsed() < Duration::from_secs(30) => answers.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return (false, 0),
            Ok(1..) => return (false, 0),
            Ok(0) | Err(_) => return (true, String::from_utf8_lossy(&answers).matches("HTTP/1.1 200").count()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_falls_silent_after_a_first_request_is_cut_off() {
    let app = TestApp::start().await;
    let head = "GET /healthz HTTP/1.1\r\nhost: x\r\n";
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let cases = [
        ("\r\n".to_owned(), String::new(), 1),
        (head.to_owned(), String::new(), 1),
        (format!("{head}x-slow: "), "x".repeat(60), 1),
        // Nobody reads this body, and it never ends.
        (format!("{chunked}5\r\nhel"), String::new(), 2),
        (chunked, "1\r\nx\r\n".repeat(10), 2),
        (format!("{head}expect: 100-continue\r\ncontent-length: 5\r\n\r\n"), String::new(), 2),
    ];
    let waits = cases.map(|(at_once, slowly, answers)| {
        let url = app.url.clone();
        tokio::task::spawn_blocking(move || (cut_off(&url, &at_once, &slowly), (true, answers), at_once))
    });
    for wait in waits {
        let (outcome, expected, sent) = wait.await.expect("a caller");
        assert_eq!(outcome, expected, "{sent:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn silent_connections_beyond_number_do_not_use_the_descriptors_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_with_descriptors(folder.path(), 200);
    let address = service.url.trim_start_matches("http://").to_owned();
    let silent: Vec<TcpStream> = (0..90)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).expect("a connection");
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n\r\n").expect("sent");
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    let open = std::fs::read_dir(format!("/proc/{}/fd", service.id())).expect("a process on Linux").count();
    assert!(open < 170, "{open} descriptors are in use");
    // The database has to be opened for this.
    let ready = "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = exchange(&service.url, ready);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!service.written().contains("too many open files"), "{}", service.written());
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_now_and_then_keeps_the_connection() {
    let app = TestApp::start().await;
    let url = app.url.clone();
    let asking = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        for _ in 0..6 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
            let mut answer = [0; 4_096];
            let length = stream.read(&mut answer).expect("an answer");
            assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
            std::thread::sleep(Duration::from_secs(4));
        }
    });
    asking.await.expect("the connection is good for longer than a silent one");
}
