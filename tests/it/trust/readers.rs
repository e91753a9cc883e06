//! Callers who take their answers slowly, or not at all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use crate::app::{KEYS, SECRET, TestApp};
use crate::connections::affise;
use crate::process::Service;
use crate::support::affise::Affise;
use crate::support::tracker::{Reply, Request, Simulator, Tracker};

/// A network whose offers have names so long that no buffer on the way holds its table: some 13 MB in all.
struct Wordy;

impl Tracker for Wordy {
    fn answer(&self, request: &Request) -> Reply {
        let network = Affise { rows_per_page: 30, ..Affise::default() };
        let mut reply = network.answer(request);
        if request.path == "/3.0/stats/custom" {
            let mut body: Value = serde_json::from_slice(&reply.body).expect("JSON");
            for row in body["stats"].as_array_mut().into_iter().flatten() {
                if row["slice"].get("offer").is_some() {
                    row["slice"]["offer"]["title"] = json!("x".repeat(2_000));
                }
            }
            reply.body = body.to_string().into_bytes();
        }
        reply
    }
}

/// Asks for the whole table as a stream, and leaves it to the caller to read it.
fn ask(url: &str, token: &str, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let query = "group_by=offer,date,hour&from=2026-09-07&to=2026-09-13";
    let request = format!(
        "GET /api/v1/connections/{id}/stats?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         accept: application/x-ndjson\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    stream
}

/// Reads at this pace to the end, however it comes; says how much there was, and whether it was whole.
fn take(mut stream: TcpStream, pause: Duration) -> (usize, bool) {
    let (mut length, mut end) = (0, Vec::new());
    let mut part = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut part) {
        length += read;
        end.extend_from_slice(&part[..read]);
        end.drain(..end.len().saturating_sub(5));
        std::thread::sleep(pause);
    }
    (length, end == b"0\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_slowly_is_cut_off_at_the_deadline() {
    let tracker = Simulator::start(Wordy);
    let app = TestApp::with(&[("STATS_DEADLINE_MS", "3000"), ("UPSTREAM_TIMEOUT_MS", "60000")]).await;
    let patient = TestApp::with(&[("STATS_DEADLINE_MS", "120000"), ("UPSTREAM_TIMEOUT_MS", "60000")]).await;
    let mut taken = Vec::new();
    for (app, pause) in [(&patient, 0), (&app, 1_000)] {
        let user = app.user("acme", Plan::Pro);
        let id = user.add(affise("Wordy", &tracker)).await;
        let (stream, pause) = (ask(&app.url, user.token(), &id), Duration::from_millis(pause));
        taken.push(tokio::task::spawn_blocking(move || take(stream, pause)).await.expect("read"));
    }
    let [(all, true), (some, false)] = taken[..] else { panic!("{taken:?}") };
    assert!(some < all, "{some} of {all}");
}

/// Only Linux cuts off who reads nothing at all: elsewhere the connection stays, though nothing is pulled for it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_nothing_is_cut_off_long_before_the_deadline() {
    let tracker = Simulator::start(Wordy);
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [
        ("AUTH_JWT_SECRET", SECRET),
        ("CREDENTIALS_KEYS", KEYS),
        ("EGRESS_ALLOW", "127.0.0.0/8"),
        ("STATS_DEADLINE_MS", "600000"),
        ("LOG_FORMAT", "json"),
    ];
    let service = Service::start(folder.path(), &variables);
    let token = service.wait_for("valid for a day): ");
    let created = service.send(&token, "POST", "/api/v1/connections", Some(&affise("Wordy", &tracker))).await.ok(201);
    let id = created["id"].as_str().expect("an id");
    let (stream, reader) = (ask(&service.url, &token, id), ask(&service.url, &token, id));
    let (all, whole) = tokio::task::spawn_blocking(|| take(reader, Duration::ZERO)).await.expect("read");
    assert!(whole, "{all} bytes");

    let asked = Instant::now();
    // The service gives up after 30 seconds; whatever is read then comes from buffers on the way.
    tokio::time::sleep(Duration::from_secs(36)).await;
    let (some, whole) = tokio::task::spawn_blocking(|| take(stream, Duration::ZERO)).await.expect("read");
    assert!(!whole && some < all, "{some} of {all} after {:?}", asked.elapsed());
    assert_eq!(service.send(&token, "GET", "/api/v1/usage", None).await.status, 200);
}
