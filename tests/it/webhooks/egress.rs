//! Where webhooks may lead, and how much a receiver can cost.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use super::{WEBHOOKS, acme, happen, receiver, subscribe, until_attempts};
use crate::app::TestApp;
use crate::connections::execute;
use crate::support::tracker::{Fault, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_and_plain_http_are_refused_where_nobody_allows_them() {
    let app = TestApp::with(&[("EGRESS_ALLOW", "127.0.0.1/32:9")]).await;
    let user = acme(&app);
    for url in [
        "https://127.0.0.1:8443/",
        "http://127.0.0.1:10/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://169.254.169.254/latest",
        "https://10.0.0.7/",
        "https://0x7f.1/",
        "https://localhost/",
        "https://db.internal/",
        "http://1.1.1.1/",
        "http://nowhere.invalid/",
    ] {
        let problem = user.post(WEBHOOKS, &json!({ "url": url })).await.problem(422, "egress_blocked");
        assert_eq!(problem["errors"][0]["pointer"], "/url", "{url}");
    }
    let hook = subscribe(&user, "http://127.0.0.1:9/allowed").await;
    user.patch(&hook.path(), &json!({ "url": "https://192.168.0.1/" })).await.problem(422, "egress_blocked");
    assert_eq!(hook.show(&user).await["url"], "http://127.0.0.1:9/allowed");
    user.post(WEBHOOKS, &json!({ "url": "https://not-there-yet.invalid/" })).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_delivery_is_checked_again() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    // Another process has other rules by now.
    let strict = app.replica(&[("EGRESS_ALLOW", "")]).await;
    let tested = acme(&strict).send("POST", &format!("{}/test", hook.path()), &[], None).await.ok(200);
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(false), &json!(null)));
    assert!(tested["error"].as_str().is_some_and(|error| error.contains("only public hosts")), "{tested}");
    assert!(receiver.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let (app, receiver, elsewhere) = (TestApp::start().await, receiver(), receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    for status in [301, 302, 307, 308] {
        let reply = Reply::text(status, "text/plain", "").with_header("location", elsewhere.url.clone());
        receiver.always(Some(Fault::Instead(reply)));
        let tested = user.send("POST", &format!("{}/test", hook.path()), &[], None).await.ok(200);
        assert_eq!(tested["error"], "The receiver redirects, and redirects are not followed.");
        assert_eq!(tested["delivered"], false);
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_slow_is_asked_again_and_one_that_is_away_is_named_by_its_fault() {
    let (app, receiver) = (TestApp::with(&[("WEBHOOK_TIMEOUT_MS", "700")]).await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    receiver.inject([Fault::Stall(Duration::from_secs(5))]);
    happen(&user, "Slow").await;
    let attempt = until_attempts(&user, &hook, 1).await.remove(0);
    assert_eq!((&attempt["outcome"], &attempt["status"]), (&json!("retrying"), &json!(null)));
    assert_eq!(attempt["error"], "The receiver did not answer in time.");
    assert!(attempt["duration_ms"].as_u64().is_some_and(|time| time >= 700), "{attempt}");
    let away = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    user.patch(&hook.path(), &json!({ "url": format!("http://{away}/") })).await.ok(200);
    let tested = user.send("POST", &format!("{}/test", hook.path()), &[], None).await.ok(200);
    assert_eq!(tested["error"], "The receiver does not accept connections.");
    let tls = user.patch(&hook.path(), &json!({ "url": receiver.url.replace("http:", "https:") })).await.ok(200);
    assert!(tls["url"].as_str().is_some_and(|url| url.starts_with("https://127")));
    let tested = user.send("POST", &format!("{}/test", hook.path()), &[], None).await.ok(200);
    let error = tested["error"].as_str().expect("an error");
    assert!(!error.contains("127.0.0.1"), "{error}");
}

/// A receiver that answers 200 and then sends without an end; says how much of it was taken.
fn endless() -> (String, std::thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let sending = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a call");
        let mut request = [0; 16 * 1024];
        let _ = socket.read(&mut request);
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").expect("a head");
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        let mut sent = 0;
        while sent < 256 * 1024 * 1024 && socket.write_all(&chunk).is_ok() {
            sent += chunk.len();
        }
        sent
    });
    (url, sending)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_is_not_read() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let (url, sending) = endless();
    let hook = subscribe(&user, &url).await;
    let tested = user.send("POST", &format!("{}/test", hook.path()), &[], None).await.ok(200);
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(200)), "its status says all");
    let sent = sending.join().expect("it stops");
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_still_shown_and_can_be_mended() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    subscribe(&user, &receiver.url).await;
    let junk = if crate::app::on_sqlite(&app) { "x'00'" } else { "'\\x00'::bytea" };
    let damage = format!("UPDATE webhooks SET url_sealed = {junk}, secret_sealed = {junk} WHERE id = '{}'", hook.id);
    execute(&app, damage).await;
    assert_eq!(hook.show(&user).await["url"], "");
    assert_eq!(user.get(WEBHOOKS).await.ok(200)["data"].as_array().map(Vec::len), Some(2));
    let test = format!("{}/test", hook.path());
    user.send("POST", &test, &[], None).await.problem(424, "credentials_unreadable");
    happen(&user, "Unsent").await;
    let attempt = until_attempts(&user, &hook, 1).await.remove(0);
    assert_eq!(attempt["error"], "The stored address or secret of the webhook cannot be read.");
    user.patch(&hook.path(), &json!({ "url": receiver.url })).await.ok(200);
    let rotated = user.send("POST", &format!("{}/rotate-secret", hook.path()), &[], None).await.ok(200);
    assert_eq!(user.send("POST", &test, &[], None).await.ok(200)["delivered"], true);
    let last = receiver.requests().into_iter().next_back().expect("a call");
    assert!(super::is_signed_with(&last, rotated["secret"].as_str().expect("a secret")));
}
